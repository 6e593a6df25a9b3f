/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Liveness
 *
 * Until when each session is promised to live (protocol 2.13).  Touches are not replicated: the leader keeps this
 * table, gives every session a full timeout when it begins to lead, and turns an expiry into an entry.
 *
 * A touch only stores a number; a binary heap of deadlines is corrected when its top comes due.  So a session costs
 * one heap operation per timeout, however often it is touched.
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

/* Kept: touched by itself for as long as it stays kept. */
void liveness_keep(Liveness *l, uint64_t session, bool kept, uint64_t now_usec);

/* Every session touched now: a change of leader. */
void liveness_touch_all(Liveness *l, uint64_t now_usec);

/* A session whose time has run out, each once until it is touched or removed; 0 if there is none (any more). */
uint64_t liveness_pop_expired(Liveness *l, uint64_t now_usec);

/* When liveness_pop_expired() may next have one; UINT64_MAX for never. */
uint64_t liveness_next_usec(const Liveness *l);

/* The instant up to which the session is promised, 0 if unknown; for a kept one that is from now on. */
uint64_t liveness_deadline(const Liveness *l, uint64_t session, uint64_t now_usec);

/* The last cxid handed out for the session; see DESIGN 2.5.  Both are 0 for a session that is not known. */
uint64_t liveness_next_cxid(Liveness *l, uint64_t session, uint64_t applied_cxid);
