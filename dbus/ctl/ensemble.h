/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Ensemble
 *
 * The members as this one sees them, and what a person concludes from that: how many may still be lost, what is wrong, and
 * what to do.
 */

#include "dbus/ctl/agent-status.h"

/* Reads the status, and what is known of each member beyond it.  *ret must be {} or read before. */
ExitStatus ensemble_read(Ctl *c, AgentStatus *ret);

const MemberFacts *ensemble_find(const AgentStatus *s, const char *name);       /* NULL for none */

bool member_is_voter(const MemberFacts *m);
/* In entries, behind the leader; false if it is not known here. */
bool member_lag(const AgentStatus *s, const MemberFacts *m, uint64_t *ret);
/* When this member, as leader, last heard of it; false if it is not known here. */
bool member_heard_msec(const AgentStatus *s, const MemberFacts *m, uint64_t *ret);
char *member_describe_state(const AgentStatus *s, const MemberFacts *m);
JsonObject *member_to_json(const AgentStatus *s, const MemberFacts *m);

typedef struct Quorum {
        unsigned voters, observers;
        unsigned needed;                /* a majority of the voters */
        unsigned up;                    /* voters that are connected and, where that is known, up to date; this one included */
        unsigned may_fail;              /* of those that are up, before updates stop */
} Quorum;

Quorum ensemble_quorum(const AgentStatus *s);

/* Sentences (char*) about what is wrong beside AgentStatus.problems and .trouble, and what to do about it. */
GPtrArray *ensemble_problems(const AgentStatus *s);
