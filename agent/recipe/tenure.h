/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Tenure
 *
 * How long what was granted may be held.  The ensemble promises the session behind it until a deadline, which moves on as long as the
 * ensemble is heard.  Who holds is told that it has lost while a part of the session's timeout is left, the grace, and may go by the grant
 * for so long still: its session is ended, and others can have the grant, when the grace is over and not before.
 *
 * All times are CLOCK_BOOTTIME of this host, in microseconds.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/member/member.h"

#define TENURE_GRACE_DIVISOR 4          /* of the session's timeout */

typedef struct Tenure {
        uint64_t unknown_since_usec;    /* nothing is promised, as after a restart of the agent; 0: something is */
} Tenure;

typedef struct TenureClock {
        uint64_t now_usec;
        uint64_t deadline_usec;         /* member_session_deadline() */
        uint32_t timeout_msec;          /* the session's */
} TenureClock;

uint64_t tenure_grace_usec(uint32_t timeout_msec);

/* When what is held must be given up, as far as is known now: to be asked again then. */
uint64_t tenure_give_up_usec(Tenure *t, const TenureClock *c);

/* Its turn has come: may it be told so?  True: *ret_usec is when it must be given up.  False, for the ensemble has not been heard for too
 * long: *ret_usec is when to ask again. */
bool tenure_may_begin(Tenure *t, const TenureClock *c, uint64_t *ret_usec);

/* What was given up just now: when its session may be ended. */
uint64_t tenure_release_usec(const TenureClock *c);

/* The fencing token of a grant, by the answer to the create of its znode. */
Zxid tenure_token(const Result *created);
