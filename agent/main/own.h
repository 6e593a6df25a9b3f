/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Own
 *
 * Requests of the agent itself, as a client of its own member.
 */

#include "agent/member/member.h"

typedef struct Own Own;

Own *own_new(Member *member);
Own *own_free(Own *o);                  /* nobody hears of what is still unanswered; NULL allowed, returns NULL */

/* `done` is called once, with a result that lives during the call, perhaps before this returns.  The request is made with
 * every right. */
void own_submit(Own *o, const Request *r, unsigned flags, void (*done)(void *userdata, const Result *result), void *userdata);
void own_change(Own *o, const MemberChange *change, void (*done)(void *userdata, const Result *result), void *userdata);
