/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Lineup
 *
 * The contenders below one znode in their order, and who of them holds.  A function of the names alone: every agent that has
 * the same children comes to the same answer, and needs to look again only when one of them has gone.
 *
 * The order is that of the sequence numbers.  ZooKeeper's counter runs over from 2147483647 to -2147483648; the queue begins
 * after the widest gap on that circle, which is the right place as long as it is shorter than half of it.
 *
 *     mutex, writer, latch    hold when nobody is before them; they wait for the one just before
 *     reader                  holds when no one but readers is before it; it waits for the last other
 *     lease                   holds when fewer than N are before it; it waits until enough of them have gone
 */

#include <glib.h>

#include "agent/member/member.h"
#include "agent/recipe/contender.h"

typedef struct LineupEntry {
        char *name;
        ContenderName parsed;
        unsigned exclusive_before;      /* 1 + the place of the last one before that is no reader; 0: there is none */
} LineupEntry;

typedef enum LineupStanding {
        STANDING_GONE,                  /* it is not there */
        STANDING_WAITS,
        STANDING_HOLDS,
} LineupStanding;

typedef struct Lineup Lineup;

/* Names that are no contender's are left out. */
Lineup *lineup_new(const char *const *names, unsigned names_count);
Lineup *lineup_free(Lineup *l);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Lineup, lineup_free)

unsigned lineup_length(const Lineup *l);
const LineupEntry *lineup_at(const Lineup *l, unsigned place);     /* 0: the first */
/* False if there is no such contender. */
bool lineup_find(const Lineup *l, const char *name, unsigned *ret_place);

/* Does the one at `place` hold, as one of `slots` (for a lease; 1 or more)?  If not, *ret_behind is the place of the one that it
 * waits for: nothing changes for it before that one has gone, or, for a lease, before one of those up to it has. */
bool lineup_holds(const Lineup *l, unsigned place, uint32_t slots, unsigned *ret_behind);

/* The same by its name. */
LineupStanding lineup_stand(const Lineup *l, const char *name, uint32_t slots);

/* Has to be looked again after this event?  Contenders who come queue up behind those who are there. */
bool lineup_wakes(WatchEventType type);
