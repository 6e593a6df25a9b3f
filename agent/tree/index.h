/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Index
 *
 * Objects in ascending order of a 64-bit id that never changes and is their first member.  Chunks of pointers
 * under one sorted directory: 8 bytes per object, O(log n) to find, append without moving anything, no order
 * from addresses.  Whoever has the index owns the objects.
 */

#include <stddef.h>
#include <stdint.h>

typedef struct IndexSlot IndexSlot;

typedef struct Index {
        IndexSlot *slots;
        size_t slots_count, slots_allocated;
        uint64_t count;
} Index;

/* Calls `destroy` for each object that is still there. */
void index_done(Index *ix, void (*destroy)(void *object, void *userdata), void *userdata);

void *index_find(const Index *ix, uint64_t id);         /* NULL if there is none */
void *index_after(const Index *ix, uint64_t id);        /* the one with the smallest id above `id`, or NULL */
void *index_first(const Index *ix);
void index_insert(Index *ix, void *object);             /* its id must be new */
void index_remove(Index *ix, void *object);             /* must be there */
void index_check(const Index *ix);
