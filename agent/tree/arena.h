/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Arena
 *
 * Memory for what one answer points at: handed out piece by piece, taken back all at once.  What an ordinary answer
 * needs is kept from one to the next.
 */

#include <stddef.h>
#include <stdint.h>

typedef struct ArenaChunk ArenaChunk;

typedef struct Arena {
        ArenaChunk *chunks;             /* newest first */
} Arena;

void arena_done(Arena *a);
void arena_reset(Arena *a);
void *arena_allocate(Arena *a, size_t size);            /* aligned for any type, not cleared */
void *arena_allocate_array(Arena *a, size_t count, size_t size);        /* cleared; NULL for none */
char *arena_copy_string(Arena *a, const char *s, size_t size);          /* adds the NUL */
