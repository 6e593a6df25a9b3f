/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Liveness
 *
 * When each session's time runs out (protocol 2.13).  Touches are not replicated: the leader goes by this table, gives
 * every session a full timeout when it begins to lead, and turns an expiry into an entry.
 *
 * A touch only stores a number; a binary heap of deadlines is corrected when its top comes due.  So a session costs
 * one heap operation per timeout, however often it is touched, and a member that answers for thousands of sessions touches
 * them all by being heard: only a session that comes due asks when that was.
 */

#include <stdbool.h>
#include <stdint.h>

typedef struct Liveness Liveness;

Liveness *liveness_new(void);
Liveness *liveness_free(Liveness *l);

/* Begins to count (or changes the timeout of) a session, touched now. */
void liveness_add(Liveness *l, uint64_t session, uint64_t timeout_usec, uint64_t now_usec);
void liveness_remove(Liveness *l, uint64_t session);
void liveness_touch(Liveness *l, uint64_t session, uint64_t now_usec);

/* Every session touched now: a change of leader. */
void liveness_touch_all(Liveness *l, uint64_t now_usec);

/* When who answers for the session was last heard; 0 if nobody does. */
typedef uint64_t (*LivenessHeard)(void *userdata, uint64_t session);

/* A session whose time has run out, each once until it is touched or removed; 0 if there is none (any more). */
uint64_t liveness_pop_expired(Liveness *l, uint64_t now_usec, LivenessHeard heard, void *userdata);

/* An expired session that could not be ended yet: comes up again at `at_usec`. */
void liveness_again(Liveness *l, uint64_t session, uint64_t at_usec);

/* Calls `each` for every session, in the order of their addition; it may remove that one. */
void liveness_foreach(Liveness *l, void (*each)(void *userdata, uint64_t session), void *userdata);

/* When liveness_pop_expired() may next have one; UINT64_MAX for never. */
uint64_t liveness_next_usec(const Liveness *l);

/* A new cxid for the session, above all before; 0 for a session that is not known. */
uint64_t liveness_next_cxid(Liveness *l, uint64_t session, uint64_t applied_cxid);
