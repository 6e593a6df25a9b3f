/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Tail
 *
 * The newest entries of the log, in memory: all that is not applied yet, and some that is, for followers.  A ring of
 * entries by value with lookup by index.
 */

#include <stddef.h>
#include <stdint.h>

#include "agent/zab/entry.h"

typedef struct Tail {
        ZabEntry *ring;                 /* owned, with references to the payloads */
        size_t allocated, head, count;  /* allocated: a power of two, or 0 */
        uint64_t first;                 /* index of the oldest, or of the next if there is none; >= 1 */
} Tail;

void tail_done(Tail *t);

/* Empty; the next entry has this index. */
void tail_reset(Tail *t, uint64_t next);

/* The entry must be the next.  A reference to its payload is taken. */
void tail_push(Tail *t, const ZabEntry *entry);
void tail_pop_first(Tail *t);

/* Drops the entries after `index`. */
void tail_truncate(Tail *t, uint64_t index);

/* NULL if it is not here; valid until the tail changes. */
const ZabEntry *tail_get(const Tail *t, uint64_t index);

/* What an entry costs in memory and, about, on the wire. */
size_t tail_entry_bytes(const ZabEntry *entry);
