/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Tree: its inside
 *
 * How the parts of this folder share the one object.
 *
 *     index, ids, znode, children, arena  mechanics; know nothing of the Tree
 *     tree.c          life, counters, lookup
 *     apply.c         one entry: the session's checks, dispatch, multi, result
 *     apply-znode.c   rules of each update of a znode
 *     apply-session.c rules of each update of a session
 *     entry.c         effects of one entry on znodes: undo, digest, dirty rows, what the listener hears
 *     session.c       sessions
 *     quota.c         limits and usage below /zookeeper/quota
 *     reap.c          containers and TTL znodes
 *     read.c          reads; read-list.c  recursive, paged lists
 *     row.c, load.c   rows out and in
 *     checkpoint.c    changed rows
 *     check.c         every invariant
 */

#include <glib.h>

#include "agent/tree/arena.h"
#include "agent/tree/ids.h"
#include "agent/tree/index.h"
#include "agent/tree/session.h"
#include "agent/tree/tree.h"
#include "agent/tree/znode.h"

/* The fixed znodes have the ids 1 to ZNODE_ID_FIXED. */
#define ZNODE_ID_ROOT 1
#define ZNODE_ID_ZOOKEEPER 2
#define ZNODE_ID_QUOTA 3
#define ZNODE_ID_FIXED 4

/* Rows that changed: ids of those to write and of those to delete, each once.  An id in `changed` may meanwhile
 * name nothing. */
typedef struct DirtySet {
        Ids changed, gone;
} DirtySet;

typedef struct DirtyTable {
        DirtySet sets[2];               /* the current one and the last checkpoint's, by Checkpoint.current */
        uint64_t count;                 /* rows of the current one, without ids that name nothing */
} DirtyTable;

typedef struct Checkpoint {
        unsigned current;               /* which set takes the changes; the bit in Znode.dirty and Session.dirty */
        DirtyTable znodes, sessions;
        bool state_dirty[2];            /* the STATE row, by set */

        bool active, full;
        bool may_abort;                 /* the frozen set is still that of the checkpoint begun last */
        Zxid zxid;
        Hash128 digest;
        uint64_t next_id;               /* at that zxid */
        TreeTable table;                /* being handed out */
        bool gone;                      /* of it, the deleted ones */
        uint64_t cursor;                /* full: the id handed out last */
        IdsCursor position;             /* otherwise: in the set's list */
        GTree *aside;                   /* AsideRow: rows that changed before their turn */
        Writer slice;
        GArray *rows;                   /* TreeRow */
} Checkpoint;

/* The effects of the entry being applied, so that they can be undone, counted and told. */
typedef struct Entry {
        Zxid zxid;
        int64_t time_msec;
        bool open;                      /* between entry_begin() and entry_end() */
        uint64_t next_id_before;
        GArray *undos;                  /* Undo, in order */
        GArray *changes;                /* EntryChange, in order */
        GPtrArray *quotas;              /* Quota whose usage may have changed */
} Entry;

struct Tree {
        TreeListener listener;

        /* replicated */
        Zxid zxid;
        uint64_t next_id;
        Znode *root;
        Index sessions;                 /* Session by id */

        /* derived */
        Hash128 digest;
        AclTable *acls;
        NameTable names;
        Index znodes;                   /* Znode by id */
        uint64_t data_bytes, ephemerals_count;
        GHashTable *quotas;             /* path -> Quota; for lookup only */
        GTree *reapable;                /* Znode, by due time and id */

        /* local */
        Entry entry;
        Checkpoint checkpoint;
        struct {
                int64_t due_msec;
                uint64_t id;
        } reap_cursor;                  /* after which the next search begins */
        Arena applied, answered;        /* what the last update's and the last read's Result point at */
        Writer row;                     /* scratch for one row */
        struct TreeLoad *load;          /* between tree_new_empty() and tree_load_finish() */
};

/* tree.c: finds by path; "" is "/", and whatever is no path finds nothing. */
Znode *tree_find(const Tree *t, const char *path);
Znode *tree_find_sized(const Tree *t, const char *path, size_t size);

static inline bool znode_is_fixed(const Znode *z) {
        return z->id <= ZNODE_ID_FIXED;
}

/* tree.c: puts a complete znode into every structure, or takes it out; data_resized after a change of its data.
 * The parent's stat is the caller's business. */
void tree_link(Tree *t, Znode *z);
void tree_unlink(Tree *t, Znode *z);
void tree_data_resized(Tree *t, Znode *z, uint32_t size_before);

/* tree.c: while loading, where names are unknown and sessions missing until the end, so that paths find
 * nothing; false if the parent has a child of that name. */
bool tree_link_loaded(Tree *t, Znode *z);
void tree_link_names(Tree *t);

/* entry.c */
void entry_init(Entry *e);
void entry_done(Entry *e);
void entry_begin(Tree *t, Zxid zxid, int64_t time_msec);
void entry_rollback(Tree *t);           /* nothing has happened */
void entry_commit(Tree *t);             /* digest, dirty rows; then the listener */
void entry_end(Tree *t);

typedef struct ZnodeSpec {
        Znode *parent;
        const char *name;
        size_t name_size;
        CreateMode mode;                /* without the sequential part */
        Acl *acl;                       /* the reference is taken over */
        const uint8_t *data;
        uint32_t data_size;
        uint64_t ephemeral_owner;
        int64_t ttl_msec;
} ZnodeSpec;

/* Effects.  They check nothing. */
Znode *entry_create(Tree *t, const ZnodeSpec *spec);
void entry_delete(Tree *t, Znode *z);
void entry_set_data(Tree *t, Znode *z, const uint8_t *data, uint32_t data_size);
void entry_replace_data(Tree *t, Znode *z, const uint8_t *data, uint32_t data_size);   /* leaves the stat alone */
void entry_set_acl(Tree *t, Znode *z, Acl *acl);        /* takes the reference over */

/* Around a change of a session, which cannot be undone. */
void entry_session_touch(Tree *t, Session *s);
void entry_session_settle(Tree *t, Session *s);         /* for a new one without a touch before */

/* apply-znode.c, apply-session.c: one operation on behalf of `who`; *ret is zero but for op and zxid. */
typedef struct Caller {
        Session *session;               /* NULL for none */
        Identities identities;
} Caller;

ConveneStatus apply_znode(Tree *t, const Caller *caller, const Request *r, Result *ret);

/* What there is to tell of the end or move of a session, after everything else. */
typedef struct SessionEvent {
        uint64_t session, generation;
        bool ended, moved, expired;
} SessionEvent;

ConveneStatus apply_session(Tree *t, const Request *r, Result *ret, SessionEvent *ret_event);

/* What is left of a session that has ended, once its last changes are told: who may hear of them is still asked of it. */
void session_bury(Tree *t, uint64_t session);

/* read-list.c: what one answer may still hold.  The first item always fits, so that every page is progress. */
typedef struct Page {
        uint32_t entries_left;
        uint64_t bytes_left;
        bool any;
} Page;

bool page_take(Page *p, uint64_t bytes);
void read_children(Tree *t, const Request *r, const Znode *z, Identities who, Page *page, Result *ret);
void read_list(Tree *t, const Request *r, const Znode *top, Identities who, Result *ret);
void read_ephemerals(Tree *t, const Request *r, Result *ret);
void read_sessions(Tree *t, const Request *r, Result *ret);

#define PAGE_INIT ((Page) { .entries_left = LIMIT_PAGE_ENTRIES, .bytes_left = LIMIT_PAGE_BYTES })

/* quota.c */
void quota_free(gpointer p);
void quota_on_link(Tree *t, Znode *z);          /* z may be a root, a limits or a usage znode */
void quota_on_unlink(Tree *t, Znode *z);
void quota_on_data(Tree *t, Znode *z);          /* the data of a limits znode was exchanged */
void quota_note(Tree *t, Quota *q);             /* its usage changes in this entry */
void quota_refresh(Tree *t);                    /* the usage znodes, before the digest is made */
void quota_forget_notes(Tree *t);
void quota_check(const Tree *t);

/* Whether a new znode at `path` below `parent`, or more bytes in `z`, stay within the hard limits of the
 * nearest quota at or above it. */
ConveneStatus quota_admits_znode(const Tree *t, const Znode *parent, const char *path, uint32_t bytes);
ConveneStatus quota_admits_bytes(const Znode *z, int64_t bytes_more);

/* After a change in z: the root of the nearest quota if that much growth ended above its soft limits, or NULL. */
Znode *quota_exceeded_root(Znode *z, int64_t znodes_more, int64_t bytes_more);

/* What a client writes at `path`: refuses malformed limits, and for a usage znode exchanges *data by the truth,
 * in the buffer. */
#define QUOTA_TEXT_BYTES 64
ConveneStatus quota_filter(const Tree *t, const char *path, const uint8_t **data, uint32_t *data_size,
                           char buffer[static QUOTA_TEXT_BYTES]);

/* False, with a static text, if limits do not parse or usage is wrong. */
bool quota_load(Tree *t, const char **ret_error);

/* reap.c */
int reap_compare(gconstpointer a, gconstpointer b, gpointer userdata);
void reap_update(Tree *t, Znode *z);            /* after anything that may make it due or not */
void reap_on_unlink(Tree *t, Znode *z);
bool reap_is_due(const Znode *z, int64_t now_msec);
void reap_check(const Tree *t);

/* row.c: appends table, key and value, the very bytes that are hashed.  The value begins at ROW_HEAD_BYTES. */
#define ROW_HEAD_BYTES 9
void row_encode_znode(const Znode *z, Writer *w);
void row_encode_session(const Session *s, Writer *w);
void row_encode_state(uint64_t next_id, Writer *w);
Hash128 row_hash_znode(Tree *t, const Znode *z);        /* leaves the row in t->row */
Hash128 row_hash_session(Tree *t, const Session *s);
Hash128 row_hash_state(Tree *t, uint64_t next_id);

/* load.c */
struct TreeLoad *load_new(void);
void load_free(struct TreeLoad *l);

/* checkpoint.c */
void tree_checkpoint_init(Checkpoint *c);
void tree_checkpoint_done(Checkpoint *c);
void tree_checkpoint_check(const Tree *t);

/* Before a row changes; t->row holds it. */
void checkpoint_before_znode(Tree *t, Znode *z);
void checkpoint_before_session(Tree *t, Session *s);

/* After it has: */
void checkpoint_mark_znode(Tree *t, Znode *z);
void checkpoint_mark_session(Tree *t, Session *s);
void checkpoint_mark_znode_gone(Tree *t, Znode *z);
void checkpoint_mark_session_gone(Tree *t, Session *s);
void checkpoint_mark_state(Tree *t);
