/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Hand-over
 *
 * Leadership of a singleton, or of a campaign of the bus, goes from one host to another that is named, or to any other.  What is wanted
 * stands in a znode beside the contenders for as long as somebody waits for it: the host that leads resigns when it sees it, and whoever
 * is to be passed over goes to the end of the queue when its turn comes (agent/recipe/candidacy.h).
 *
 *     ELECTION/move           ephemeral, "FROM\nTO"; TO may be empty
 *
 * It is an order only in a session that an agent has opened for itself: anybody else with the right to contend could make such a znode.
 */

#include "agent/recipe/candidacy.h"
#include "dbus/server/call.h"

#define HAND_OVER_PATIENCE_USEC (UINT64_C(30) * 1000 * 1000)
#define HAND_OVER_PATIENCE_MAX_USEC (UINT64_C(3600) * 1000 * 1000)

/* Answers the call (which it takes) with the host that leads now, or with why there is none.  `election`: a name or a whole path; `to` may be
 * "".  Of the options it takes OPTION_PATIENCE.  Who may ask for it is the caller's to check. */
void hand_over_start(Call *call, const char *election, const char *to, const Options *o);

typedef struct HandOverOrder {
        CandidacyOrder order;           /* strings are its own */
        bool to_stands;                 /* who is to lead is in the queue */
} HandOverOrder;

/* The order under way at an election's path; NULL: none. */
HandOverOrder *hand_over_read(Server *s, const char *parent);
void hand_over_order_free(HandOverOrder *o);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HandOverOrder, hand_over_order_free)

/* Locks.HandOver. */
int method_hand_over(Caller *c, sd_bus_message *m);

void hand_overs_done(Server *s);
