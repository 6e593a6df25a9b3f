/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Barrier
 *
 * Who enters a double barrier waits until so many have come.  Everybody who is inside is a child of one znode, and the one with whom it is
 * full makes the child "ready" beside them, as Curator's DistributedDoubleBarrier does.
 *
 * Whoever was inside at the moment when it was full is let go, even if others have left again since: so changes are counted one by one,
 * in the order in which they happened, which is the same everywhere.
 */

#include <stdbool.h>
#include <stdint.h>

#define BARRIER_READY "ready"

typedef struct BarrierCount {
        uint32_t wanted;
        uint32_t present;
        bool known;                     /* present is right */
        bool full;                      /* it was, and stays so */
} BarrierCount;

/* The children as they are now. */
void barrier_look(BarrierCount *b, const char *const *names, unsigned names_count);
/* A child came or went.  True: with this one it became full. */
bool barrier_saw(BarrierCount *b, const char *name, bool gone);
/* Changes may have been missed: look again. */
void barrier_lost(BarrierCount *b);
