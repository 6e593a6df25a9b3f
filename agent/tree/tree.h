/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Tree
 *
 * The replicated state machine: znodes, sessions, ACLs, quotas.  The same entries in the same order give the same
 * tree, the same results and the same digest on every member; nothing else may influence them.  Semantics are
 * ZooKeeper 3.9's (zookeeper-semantics 2.6 to 2.16 with the stricter rules of 2.19).
 *
 * Fixed points of a new tree, made by tree_new() with zxid 0, in this order with ids 1 to 4: "/" (world:anyone
 * READ, so that only identity super may create below it until an administrator opens it), "/zookeeper",
 * "/zookeeper/quota", "/zookeeper/config" (world:anyone READ each).  They cannot be deleted (BadArguments), nor
 * by a recursive delete of an ancestor.
 *
 * Memory: one allocation per znode for its fixed part and name, one for its data; ACLs are shared; what only
 * parents, ephemerals and TTL znodes have hangs off a pointer that others leave NULL.
 */

#include "agent/base/hash.h"
#include "agent/tree/result.h"

typedef struct Tree Tree;

/* One change to one znode, in the order of the changes of an entry.  Pointers live during the callback. */
typedef enum ChangeKind {
        CHANGE_CREATED = 1,             /* the numbers of ZooKeeper's event types */
        CHANGE_DELETED = 2,
        CHANGE_DATA = 3,
} ChangeKind;

typedef struct TreeChange {
        ChangeKind kind;
        Zxid zxid;
        const char *path;
        Acl *acl;                       /* the znode's; before the deletion if it was deleted */
        Acl *parent_acl;                /* the parent's; NULL for "/" */
        bool soft_quota;                /* not a change of a znode but: the change before it grew `path`, which has
                                         * a soft quota, to above it, or further (journal); kind is 0 */
} TreeChange;

typedef struct TreeListener {
        void (*changed)(void *userdata, const TreeChange *change);      /* may be NULL */
        void (*session_ended)(void *userdata, uint64_t session, bool expired);  /* may be NULL */
        void (*session_moved)(void *userdata, uint64_t session, uint64_t generation);   /* attach; may be NULL */
        void *userdata;
} TreeListener;

/* The listener is called from inside tree_apply(), synchronously, after the change and before the result is
 * returned; it may read the tree but not change it.  A failed multi calls nothing. */
Tree *tree_new(const TreeListener *listener);
Tree *tree_free(Tree *t);

/* Applies one entry.  `zxid` must be above tree_zxid(); `time_msec` is the leader's stamp in the entry.  A request
 * that fails changes no znode and no session but still moves tree_zxid() (ZooKeeper's error transaction), and
 * returns its error.  A payload that does not decode is CONVENE_MARSHALLING_ERROR.  *ret is filled always.
 *
 * Order of checks for create: zookeeper-semantics 2.8.  Delete: node, version and czxid, NOT_EMPTY; DELETE
 * permission on the parent comes before all but the node's existence.  Update requests naming a session that
 * does not exist give CONVENE_SESSION_EXPIRED before anything else, and CONVENE_SESSION_MOVED if their origin is not 0
 * and not the member that answers for the session; a cxid not above the session's last applied
 * one (and not 0) is an error CONVENE_BAD_ARGUMENTS without effect, so that no request takes effect twice.  The
 * end of a session deletes its ephemerals oldest first. */
void tree_apply(Tree *t, Zxid zxid, int64_t time_msec, const uint8_t *payload, size_t payload_size, Result *ret);

/* The same for a request already decoded (the twin's tests, the member). */
void tree_apply_request(Tree *t, Zxid zxid, int64_t time_msec, const Request *r, Result *ret);

/* An entry that is not for the tree (a CONFIG entry): moves tree_zxid() and nothing else. */
void tree_skip(Tree *t, Zxid zxid);

/* Answers a read at the current position (SYNC too: it just echoes).  Never changes anything a client can see.
 * A list leaves out what the caller may not read, with all below it; GET_CHILDREN, which needs READ on the
 * parent alone, names such a child without stat and data.  The parts of a multi-read share the bounds of one
 * answer: a GET_DATA that does not fit any more is CONVENE_TOO_LARGE, a GET_CHILDREN ends early with `more`. */
void tree_read(Tree *t, const Request *r, Result *ret);

Zxid tree_zxid(const Tree *t);
Hash128 tree_digest(const Tree *t);             /* of all rows; O(1) */
uint64_t tree_znodes_count(const Tree *t);
uint64_t tree_data_bytes(const Tree *t);
uint64_t tree_sessions_count(const Tree *t);
uint64_t tree_ephemerals_count(const Tree *t);

/* The session's public facts, or false if there is none.  Pointers as in Result. */
bool tree_get_session(const Tree *t, uint64_t session, SessionInfo *ret);

/* Calls `each` for every session, by id; `each` must not change the tree. */
void tree_foreach_session(const Tree *t, void (*each)(const SessionInfo *s, void *userdata), void *userdata);

/* The session's last applied cxid (DESIGN 2.5), 0 for none. */
uint64_t tree_session_cxid(const Tree *t, uint64_t session);

/* The Acl of a znode, or NULL if there is none: for event filters. */
Acl *tree_get_acl(const Tree *t, const char *path);
AclTable *tree_acl_table(Tree *t);

/* The identities to check for `r`: its session's, or its own.  Empty if the session does not exist. */
Identities tree_identities(const Tree *t, const Request *r);

/* True if `path` exists; mzxid and pzxid for watch catch-up.  Any ret may be NULL. */
bool tree_lookup(const Tree *t, const char *path, Zxid *ret_mzxid, Zxid *ret_pzxid);

/* Reaping (2.15).  Calls `each` for up to `max` containers and TTL znodes that an entry at `now_msec` (leader's
 * wall clock) would be right to remove, resuming where the last call stopped; returns how many.  The leader
 * turns each into a REQUEST_REAP, which checks again when applied (no children; TTL: also now >= mtime + ttl
 * with the entry's time; container: has had a child).  Candidates are kept in an index: the cost is that of the
 * candidates. */
unsigned tree_find_reapable(Tree *t, int64_t now_msec, unsigned max,
                            void (*each)(const char *path, Zxid czxid, void *userdata), void *userdata);

/*
 * Rows: the durable form (checkpoint, SNAP, digest).  The digest is the sum over all rows of
 * hash128(u8 table, u64 key little-endian, value), seed 0.
 *
 *     table ZNODE, key = id (1, 2, 3 ... in order of creation, so a parent's id is smaller than its children's)
 *         u64 parent_id (0 for "/")  u64 czxid  u64 mzxid  u64 pzxid  i64 ctime_msec  i64 mtime_msec
 *         u64 creates (children ever created: ZooKeeper's hidden cversion)  i32 version  i32 aversion
 *         u8 mode (PERSISTENT, EPHEMERAL, CONTAINER or TTL)  u64 ephemeral_owner  i64 ttl_msec
 *         string name ("" for "/")  ACL (acl_entries_encode)  u8 has_data  blob data (empty if !has_data)
 *     table SESSION, key = id
 *         u32 timeout_msec  u32 member  u8 owner_kind  u64 generation  u64 cxid  i64 ctime_msec
 *         32 bytes secret_hash  string owner  identities (identities_encode)
 *     table STATE, key 1: u64 next znode id
 *
 * Shown cversion = 2 * creates - children_count (mod 2^32); a new "/" has creates 1 after tree_new() made one
 * child.
 */
typedef enum TreeTable {
        TREE_TABLE_ZNODE = 0,
        TREE_TABLE_SESSION = 1,
        TREE_TABLE_STATE = 2,
        _TREE_TABLE_MAX,
} TreeTable;

typedef struct TreeRow {
        TreeTable table;
        uint64_t key;
        const uint8_t *value;           /* NULL: the row is gone */
        uint32_t value_size;
} TreeRow;

/* Loading a tree from rows: on a tree from tree_new_empty(), rows table by table (ZNODE, SESSION, STATE), keys
 * ascending; then tree_load_finish(), which links ephemerals and quotas, and fails on a parent missing, an
 * ephemeral without session, a duplicate name, a missing "/" or STATE row.  Rows are untrusted: false, with
 * *ret_error a static text, on anything malformed; the tree can then only be freed. */
Tree *tree_new_empty(const TreeListener *listener);
bool tree_load_row(Tree *t, const TreeRow *row, const char **ret_error);
bool tree_load_finish(Tree *t, Zxid zxid, const char **ret_error);

/*
 * Checkpoint: what changed since the last one, as of one exact zxid, taken in slices while the tree goes on
 * changing.  tree_checkpoint_begin() fixes the position; each tree_checkpoint_next() hands out at most
 * `rows_max` rows as they were at that position (a znode about to change before its turn has its row put aside
 * first), until it returns false.  Rows live until the next call on the tree.  One checkpoint at a time; begin
 * and the slices cost no more than their own rows.  `full` hands out every row instead (SNAP, the first
 * checkpoint).  tree_checkpoint_abort(), until the next begin and even after the last slice: the rows handed out
 * since begin did not become durable; those that had changed count as changed again (after a full one too: what
 * it was to replace is still there, or another full one is due).
 */
void tree_checkpoint_begin(Tree *t, bool full);
bool tree_checkpoint_next(Tree *t, unsigned rows_max, const TreeRow **ret_rows, unsigned *ret_rows_count);
void tree_checkpoint_abort(Tree *t);
bool tree_checkpoint_is_active(const Tree *t);
Zxid tree_checkpoint_zxid(const Tree *t);       /* of the checkpoint begun last */
Hash128 tree_checkpoint_digest(const Tree *t);  /* of the tree at that zxid */
uint64_t tree_dirty_count(const Tree *t);       /* rows that a checkpoint begun now would hand out */

/* Walks everything and asserts every internal invariant and the digest; for tests. */
void tree_check(const Tree *t);
