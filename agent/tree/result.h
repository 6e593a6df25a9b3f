/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Result
 *
 * The answer to a request.  Everything it points at belongs to the tree and is valid until the next call that
 * changes the tree and, if it is the answer to a read, until the next read: a front encodes its reply at once.
 */

#include "agent/tree/request.h"

/* ZooKeeper's Stat (zookeeper-semantics 2.5, 2.10), as shown to clients. */
typedef struct Stat {
        Zxid czxid, mzxid, pzxid;
        int64_t ctime_msec, mtime_msec;         /* wall clock of the leader, ms since the epoch */
        int32_t version, cversion, aversion;
        uint64_t ephemeral_owner;               /* 0 for all but ephemerals */
        int32_t data_length;
        int32_t children_count;
} Stat;

typedef struct ListItem {
        const char *path;                       /* GET_CHILDREN: the name; LIST: the absolute path */
        Stat stat;                              /* LIST, or GET_CHILDREN with want_data if the caller may read it */
        const uint8_t *data;                    /* with want_data, if the caller may read it; else NULL */
        uint32_t data_size;
} ListItem;

typedef struct SessionInfo {
        uint64_t id;
        uint32_t timeout_msec;
        uint32_t member;
        OwnerKind owner_kind;
        const char *owner;
        Identities identities;
        uint32_t ephemerals_count;
        int64_t ctime_msec;
        uint64_t generation;                    /* grows with each attach */
} SessionInfo;

typedef struct Result Result;
struct Result {
        RequestOp op;
        ConveneStatus status;
        Zxid zxid;              /* update: its own; read: the last applied */
        const char *path;       /* CREATE: the path made; otherwise NULL */
        Stat stat;              /* CREATE, SET_DATA, SET_ACL, EXISTS, GET_DATA, GET_ACL, GET_CHILDREN */
        const uint8_t *data;    /* GET_DATA; NULL for a null value */
        uint32_t data_size;
        AclEntries acl;         /* GET_ACL; digest hashes redacted ("user:x") without ADMIN */
        const ListItem *items;  /* GET_CHILDREN, LIST, GET_EPHEMERALS (path only) */
        uint32_t items_count;
        bool more;              /* the list goes on after its last item */
        uint64_t count;         /* COUNT_DESCENDANTS; DELETE_RECURSIVE: znodes removed */
        uint64_t session;       /* OPEN, ATTACH: id */
        uint32_t timeout_msec;
        const SessionInfo *sessions;            /* LIST_SESSIONS, items_count of them */
        Identities identities;  /* WHO_AM_I */
        const Result *results;  /* MULTI, MULTI_READ: one per operation.  A failed multi has CONVENE_OK in
                                 * `status` of those before the failing one, its error there and
                                 * CONVENE_RUNTIME_INCONSISTENCY after it; Result.status of the whole is the error
                                 * of the failing operation (a ZooKeeper front shows 0 in the header instead). */
        uint32_t results_count;
};
