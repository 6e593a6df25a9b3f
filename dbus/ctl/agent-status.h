/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Agent status
 *
 * The properties of org.convene1.Agent and org.convene1.Ensemble.
 */

#include "dbus/ctl/connection.h"
#include "dbus/ctl/json.h"

typedef struct MemberFacts {
        uint32_t sid;
        char *name, *role, *address, *disk_id;

        /* as this member sees it; after ensemble_read() */
        bool connected;
        bool known;                     /* this member leads: */
        bool synced;                    /* ... it is up to date */
        uint64_t acked;                 /* ... the last index that is durable there */
        uint64_t heard_usec;            /* ... CLOCK_BOOTTIME; 0: not yet */
        char *error;                    /* why the last connection ended; NULL: connected, or nothing is known */
} MemberFacts;

typedef struct AgentStatus {
        /* org.convene1.Agent */
        char *version, *host;
        bool space_available;
        char **problems;

        /* org.convene1.Ensemble */
        char *role, *cluster_id;
        uint32_t epoch, leader, member;
        uint32_t parent;                /* of an observer: who passes on to it what is committed; 0: the leader itself */
        Zxid zxid;
        bool serving;
        uint64_t role_since_usec;       /* CLOCK_BOOTTIME */
        GPtrArray *members;             /* MemberFacts */
        uint64_t last, committed, applied, durable;
        char *trouble;                  /* why nothing is answered; "": it is */
} AgentStatus;

void agent_status_done(AgentStatus *s);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AgentStatus, agent_status_done)

/* *ret must be {} or read before. */
ExitStatus agent_status_read(Ctl *c, AgentStatus *ret);

/* Takes an a{sv} of properties, e.g. of PropertiesChanged, at the message's position.  Negative errno if it is none. */
int agent_status_take(AgentStatus *s, sd_bus_message *m);

/* A member's name, or its number for one that is no member (any more).  Owned by the caller. */
char *agent_status_member_name(const AgentStatus *s, uint32_t sid);
