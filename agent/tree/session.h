/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Session
 *
 * How one session lies in memory.  It owns its texts and lists its ephemerals in the order of their creation; the
 * znodes themselves belong to the tree.
 */

#include "agent/tree/result.h"
#include "agent/tree/znode.h"

typedef struct Session {
        uint64_t id;                    /* first, for Index; the zxid of its opening */
        uint64_t generation, cxid;
        int64_t ctime_msec;
        uint32_t timeout_msec, member;
        OwnerKind owner_kind;
        uint8_t secret_hash[SESSION_SECRET_HASH_BYTES];
        char *owner;                    /* owned */
        Identities identities;          /* owned, with the strings, in one allocation */

        Znode *ephemerals_first, *ephemerals_last;
        uint32_t ephemerals_count;
        uint8_t dirty : 2, stored : 1;  /* as Znode's */
} Session;

Session *session_new(uint64_t id);
void session_free(Session *s);

/* Whether it may hold those of `more` as well that it does not hold yet; and adds them. */
bool session_has_room(const Session *s, Identities more);
void session_add_identities(Session *s, Identities more);

void session_info(const Session *s, SessionInfo *ret);

/* The znode's ephemeral_before and _after say where it belongs: session_remove_ephemeral() leaves them, so that
 * removals are undone in reverse. */
void session_insert_ephemeral(Session *s, Znode *z);
void session_remove_ephemeral(Session *s, Znode *z);
