/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Hand-over
 *
 * Leadership of a singleton goes from one host to another that is named, or to any other.  What is wanted stands in a znode beside the
 * contenders for as long as somebody waits for it: the host that leads resigns when it sees it, and whoever is to be passed over goes to the end
 * of the queue when its turn comes.
 *
 *     ELECTION/move           ephemeral, "FROM\nTO"; TO may be empty
 */

#include "dbus/server/call.h"

/* Answers the call (which it takes) with the host that leads now, or with why there is none. `to` may be "". */
void hand_over_start(Call *call, const char *election, const char *to, uint64_t timeout_usec);

typedef struct HandOverOrder {
        char *from, *to;                /* owned by who read it */
} HandOverOrder;

/* False: there is none. */
bool hand_over_read(Server *s, const char *parent, HandOverOrder *ret);
void hand_over_order_done(HandOverOrder *o);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(HandOverOrder, hand_over_order_done)

void hand_overs_done(Server *s);
