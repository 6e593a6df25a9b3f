/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Marks
 *
 * A FIFO of pairs (at, value) with ascending `at`, in a ring that grows: which index is durable once a log operation is, how
 * many bytes are off the wire once an entry is acknowledged.
 */

#include <stddef.h>
#include <stdint.h>

typedef struct Mark {
        uint64_t at, value;
} Mark;

typedef struct Marks {
        Mark *ring;                     /* owned */
        size_t allocated, head, count;  /* allocated: a power of two, or 0 */
} Marks;

void marks_done(Marks *m);
void marks_clear(Marks *m);
void marks_push(Marks *m, uint64_t at, uint64_t value);

/* The oldest mark, NULL for none. */
const Mark *marks_first(const Marks *m);
void marks_pop(Marks *m);
