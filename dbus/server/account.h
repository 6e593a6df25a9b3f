/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Account
 *
 * What one uid holds of this agent.  Everything a caller can make grow is charged here before it grows, so a limit is
 * reached by one uid and never by the others.
 */

#include <stdint.h>

#include "dbus/server/server.h"

typedef enum AccountLimit {
        ACCOUNT_SESSIONS,
        ACCOUNT_EPHEMERALS,
        ACCOUNT_WATCHES,
        ACCOUNT_CALLS,
        ACCOUNT_BYTES,
        ACCOUNT_CONNECTIONS,
        _ACCOUNT_LIMIT_MAX,
} AccountLimit;

typedef struct Account {
        Server *server;
        uid_t uid;
        unsigned refs;
        uint32_t sessions;              /* open, or being opened */
        uint32_t ephemerals_pending;    /* creates without an answer yet */
        uint32_t watches;               /* (number, path, kind) triples, and reads under way that carry one */
        uint32_t calls;                 /* without an answer yet */
        uint32_t connections;           /* to the local socket */
        uint64_t bytes;                 /* in those calls */
        uint64_t held_bytes;            /* in calls that wait until they may be made */
        GPtrArray *owned;               /* OwnedSession*, borrowed: their ephemerals count here */
        uint64_t reported_usec;         /* when a limit was last reported */
} Account;

Account *account_get(Server *s, uid_t uid);     /* a reference */
Account *account_ref(Account *a);
Account *account_unref(Account *a);

/* One call of this many bytes.  False, with the limit that stands in the way, if there is no room. */
bool account_charge_call(Account *a, uint64_t bytes, AccountLimit *ret_limit);
/* More of one that is charged already. */
bool account_charge_bytes(Account *a, uint64_t bytes);
void account_discharge_call(Account *a, uint64_t bytes);

/* True if one more of the kind fits (ACCOUNT_EPHEMERALS: of all its sessions together). */
bool account_has_room(const Account *a, AccountLimit limit);

/* A sentence naming the limit, its number and its key in the configuration; tells the agent, at most once a minute. */
char *account_limit_text(Account *a, AccountLimit limit);
