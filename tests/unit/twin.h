/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Twin
 *
 * The tree once more, slow and obvious: znodes are a plain array of path and fields, searched from end to end;
 * children, quotas and ephemerals are counted by looking at every znode; a multi works on a copy of everything; the
 * digest is made by encoding every row anew.  It is written from the documentation of the tree alone and shares no
 * code with it but the base library's writer and hash.  test-twin.c compares the two.
 *
 * Memory: what a Result or a list points at belongs to the twin and lives until the next request.
 *
 *     twin.c          the state: znodes, sessions, rows, digest
 *     twin-acl.c      who may do what
 *     twin-update.c   requests that change something
 *     twin-quota.c    limits on count and bytes
 *     twin-read.c     requests that do not
 *     twin-watch.c    watches and what they have to see
 */

#include <glib.h>

#include "agent/base/hash.h"
#include "agent/tree/watch.h"

/* A list of ACL entries or, with permissions 0, of identities.  Shared by counting, never changed once made. */
typedef struct TwinList {
        unsigned references;
        unsigned count;
        AclEntry items[];               /* strings owned */
} TwinList;

typedef struct TwinZnode {
        uint64_t id, parent_id;
        char *path;                     /* GRefString */
        Zxid czxid, mzxid, pzxid;
        int64_t ctime_msec, mtime_msec;
        uint64_t creates;
        int32_t version, aversion;
        CreateMode mode;                /* PERSISTENT, EPHEMERAL, CONTAINER or TTL */
        uint64_t ephemeral_owner;
        int64_t ttl_msec;
        TwinList *acl;
        GBytes *data;                   /* NULL is a null value */
} TwinZnode;

typedef struct TwinSession {
        uint64_t id;
        uint32_t timeout_msec, member;
        OwnerKind owner_kind;
        uint64_t generation, cxid;
        int64_t ctime_msec;
        uint8_t secret_hash[SESSION_SECRET_HASH_BYTES];
        char *owner;                    /* GRefString */
        TwinList *identities;
} TwinSession;

typedef struct TwinChange {
        ChangeKind kind;
        Zxid zxid;
        char *path;                     /* GRefString */
        TwinList *acl, *parent_acl;     /* parent_acl: NULL for "/" */
        bool soft_quota;
} TwinChange;

typedef struct TwinSessionEvent {
        uint64_t session;
        bool ended, expired;
        uint64_t generation;            /* if not ended */
} TwinSessionEvent;

typedef struct TwinRow {
        TreeTable table;
        uint64_t key;
        GBytes *value;
} TwinRow;

typedef struct Twin {
        GPtrArray *znodes;              /* TwinZnode, in order of creation */
        GPtrArray *sessions;            /* TwinSession, in order of opening, which is order of id */
        uint64_t next_id;
        Zxid zxid;

        /* of the last request */
        GPtrArray *changes;             /* TwinChange */
        GArray *session_events;         /* TwinSessionEvent */
        GPtrArray *scratch;             /* g_free: what its Result points at */
} Twin;

/* How one entry is stamped and who asks. */
typedef struct TwinContext {
        Zxid zxid;
        int64_t time_msec;
        uint64_t session;
        TwinList *caller;
        bool encoded;                   /* the request travelled as bytes, which have no ttl in modes without one */
} TwinContext;

Twin *twin_new(void);
Twin *twin_free(Twin *t);

/* The answer to an update.  `encoded`: the request travelled as bytes, so that what no byte can say or the decoder
 * must refuse is a marshalling error. */
void twin_apply(Twin *t, Zxid zxid, int64_t time_msec, const Request *r, bool encoded, Result *ret);
void twin_skip(Twin *t, Zxid zxid);
void twin_read(Twin *t, const Request *r, Result *ret);

/* What the decoder has to refuse, and what request_validate() has to say of a request it did not refuse. */
bool twin_decodes(const Request *r);
ConveneStatus twin_validate(const Request *r);
ConveneStatus twin_validate_path(const char *path);

/* Of all rows, in the order in which a tree loads them; free with g_ptr_array_unref(). */
GPtrArray *twin_rows(const Twin *t);
Hash128 twin_rows_digest(GPtrArray *rows);
Hash128 twin_digest(const Twin *t);

TwinZnode *twin_find(const Twin *t, const char *path);
TwinZnode *twin_find_named(const Twin *t, const char *path);    /* as requests name it: "" is "/" */
TwinZnode *twin_find_by_id(const Twin *t, uint64_t id);
TwinSession *twin_find_session(const Twin *t, uint64_t id);
unsigned twin_children_count(const Twin *t, const TwinZnode *z);
unsigned twin_ephemerals_count(const Twin *t, uint64_t session);        /* 0: of all sessions */
uint64_t twin_data_bytes(const Twin *t);
void twin_stat(const Twin *t, const TwinZnode *z, Stat *ret);
bool twin_is_reapable(const Twin *t, const TwinZnode *z, int64_t now_msec);
void twin_session_info(Twin *t, const TwinSession *s, SessionInfo *ret);

/* For the parts of the twin */
void *twin_scratch(Twin *t, size_t size);
char *twin_scratch_string(Twin *t, const char *s);
const char *twin_name(const char *path);                /* after the last '/' */
char *twin_parent_path(Twin *t, const char *path);      /* "/" for "/a"; in scratch */
bool twin_is_below(const char *path, const char *ancestor);     /* strictly */
TwinZnode *twin_parent(const Twin *t, const TwinZnode *z);
void twin_add_znode(Twin *t, TwinZnode *z);
void twin_remove_znode(Twin *t, TwinZnode *z);
void twin_remove_session(Twin *t, TwinSession *s);
void twin_add_change(Twin *t, ChangeKind kind, Zxid zxid, const TwinZnode *z);
void twin_add_soft_quota(Twin *t, Zxid zxid, const TwinZnode *z);
TwinSession *twin_session_copy(const TwinSession *s);
Twin *twin_copy(const Twin *t);
void twin_take(Twin *t, Twin *copy);                    /* t becomes what copy is; copy is freed */

/* ACLs */
TwinList *twin_list_new(const AclEntry *items, unsigned count);
TwinList *twin_list_from_identities(Identities i);
TwinList *twin_list_ref(TwinList *l);
void twin_list_unref(TwinList *l);
Identities twin_list_to_identities(Twin *t, const TwinList *l);
bool twin_is_text(const char *s);       /* what is shown to people: UTF-8 without control characters */
bool twin_identity_is_valid(const char *scheme, const char *id, bool in_acl, bool allow_super);
ConveneStatus twin_acl_normalise(AclEntries entries, const TwinList *caller, TwinList **ret);
bool twin_acl_allows(const TwinList *acl, uint32_t permissions, const TwinList *caller);
AclEntries twin_acl_redacted(Twin *t, const TwinList *acl, bool redact);

/* Quotas: whether `path` may have this data, which for a usage znode is replaced; whether its quota allows that many
 * znodes and bytes more; the soft limit exceeded after it; and, at the end of an entry, the usage znodes. */
ConveneStatus twin_quota_filter(Twin *t, const char *path, GBytes **data);
ConveneStatus twin_quota_check(Twin *t, const char *path, int64_t count, int64_t bytes);
void twin_quota_refresh(Twin *t);
void twin_quota_report(Twin *t, Zxid zxid, const char *path, int64_t count, int64_t bytes);

/* Watches */
typedef struct TwinWatch {
        uint64_t watcher;
        char *path;
        WatchKind kind;
} TwinWatch;

typedef struct TwinEvent {
        uint64_t watcher;
        WatchEventType type;
        char *path;
        Zxid zxid;
        TwinList *acl;
        bool spent;
} TwinEvent;

GPtrArray *twin_watches_new(void);                      /* TwinWatch */
GPtrArray *twin_events_new(void);                       /* TwinEvent */
bool twin_watches_add(GPtrArray *watches, uint64_t watcher, const char *path, WatchKind kind);
unsigned twin_watches_get(GPtrArray *watches, uint64_t watcher, const char *path);
unsigned twin_watches_remove(GPtrArray *watches, uint64_t watcher, const char *path, unsigned kinds);
void twin_watches_remove_watcher(GPtrArray *watches, uint64_t watcher);
void twin_watches_fire(GPtrArray *watches, const TwinChange *change, GPtrArray *events);

/* What a watch that is never spent would have seen of these changes. */
void twin_watches_replay(GPtrArray *changes, const char *path, WatchKind kind, Zxid since, uint64_t watcher,
                         GPtrArray *events);
GPtrArray *twin_changes_new(void);                      /* TwinChange */
TwinChange *twin_change_copy(const TwinChange *c);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Twin, twin_free)
