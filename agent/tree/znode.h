/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Znode
 *
 * How one znode lies in memory, and the two structures that find it: the name table (parent and name -> znode, for
 * paths) and each parent's children in byte order of their names (for lists).  Both are intrusive.  Everything here
 * is mechanics: rules, digest and undo are elsewhere.
 *
 * The fixed part is 106 bytes with the name right behind it, so that a name of up to 13 bytes makes an allocation of
 * 128.  What only parents, ephemerals, containers and TTL znodes have is in ZnodeExtra.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/limits.h"
#include "agent/tree/result.h"

typedef struct Quota Quota;
typedef struct Znode Znode;

typedef struct ZnodeData {
        uint32_t size;
        uint8_t bytes[];
} ZnodeData;

typedef struct ZnodeExtra {
        Znode *children;                /* the top of an AVL tree */
        uint32_t children_count;
        int32_t aversion;
        uint64_t creates;
        Zxid pzxid;

        /* of everything below, derived: a quota's usage and a subtree's size cost nothing to ask */
        uint64_t descendants;
        uint64_t bytes_below;

        /* ephemerals: their session's, in the order of their ids */
        uint64_t ephemeral_owner;
        Znode *ephemeral_before, *ephemeral_after;

        /* containers and TTL znodes */
        int64_t ttl_msec;
        int64_t reap_due_msec;          /* sorts the reap index, with the id */
        bool reapable;                  /* is in it */

        Quota *quota;                   /* that this znode is the root of */
} ZnodeExtra;

struct Znode {
        uint64_t id;                    /* first, for Index */
        Zxid czxid, mzxid;
        int64_t ctime_msec, mtime_msec;
        Znode *parent;                  /* NULL for "/" */
        Znode *chain;                   /* name table */
        Znode *left, *right;            /* siblings */
        Acl *acl;                       /* owned reference */
        ZnodeData *data;                /* owned; NULL is a null value */
        ZnodeExtra *extra;              /* owned; NULL: all zero, and pzxid is czxid */
        uint32_t hash;                  /* of parent and name */
        int32_t version;
        uint8_t mode : 3;               /* CREATE_PERSISTENT, _EPHEMERAL, _CONTAINER or _TTL */
        uint8_t balance : 2;            /* height of right less left, plus 1 */
        uint8_t dirty : 2;              /* by set of changed rows; see checkpoint.c */
        uint8_t stored : 1;             /* a checkpoint may hold its row */
        uint8_t touched : 1;            /* by the entry being applied */
        uint8_t gone : 1;               /* deleted by the entry being applied */
        char name[];
};

Znode *znode_new(uint64_t id, const char *name, size_t name_size);
void znode_free(AclTable *acls, Znode *z);              /* must be linked nowhere */
ZnodeExtra *znode_need_extra(Znode *z);

ZnodeData *znode_data_new(const uint8_t *data, size_t size);    /* NULL for NULL */

static inline uint32_t znode_data_size(const Znode *z) {
        return z->data ? z->data->size : 0;
}

static inline uint32_t znode_children_count(const Znode *z) {
        return z->extra ? z->extra->children_count : 0;
}

static inline uint64_t znode_creates(const Znode *z) {
        return z->extra ? z->extra->creates : 0;
}

static inline Zxid znode_pzxid(const Znode *z) {
        return z->extra ? z->extra->pzxid : z->czxid;
}

static inline int32_t znode_aversion(const Znode *z) {
        return z->extra ? z->extra->aversion : 0;
}

static inline uint64_t znode_ephemeral_owner(const Znode *z) {
        return z->extra ? z->extra->ephemeral_owner : 0;
}

static inline uint64_t znode_descendants(const Znode *z) {
        return z->extra ? z->extra->descendants : 0;
}

static inline uint64_t znode_bytes_below(const Znode *z) {
        return z->extra ? z->extra->bytes_below : 0;
}

void znode_stat(const Znode *z, Stat *ret);

/* The path, written to the end of `buffer`; works for a deleted znode as long as its ancestors' memory lives. */
typedef struct PathBuffer {
        char bytes[LIMIT_PATH_BYTES + 1];
} PathBuffer;

const char *znode_path(const Znode *z, PathBuffer *buffer);

/*
 * Name table: a linear hash table, which grows and shrinks by one bucket per change.
 */

typedef struct NameTable {
        Znode ***segments;              /* of NAME_SEGMENT_BUCKETS each */
        size_t segments_allocated;
        uint64_t buckets;
        uint64_t level;                 /* the largest power of two not above buckets */
        uint64_t count;
} NameTable;

void name_table_done(NameTable *t);
uint32_t name_hash(const Znode *parent, const char *name, size_t name_size);
void name_table_reserve(NameTable *t, uint64_t count);  /* on an empty table */
void name_table_insert(NameTable *t, Znode *z);         /* z->hash and z->parent are set */
void name_table_remove(NameTable *t, Znode *z);
Znode *name_table_find(const NameTable *t, const Znode *parent, const char *name, size_t name_size);
void name_table_check(const NameTable *t);

/*
 * Children: in byte order of names.
 */

#define CHILDREN_DEPTH_MAX 48           /* an AVL tree of 2^32 has 46 levels */

typedef struct ChildrenCursor {
        Znode *stack[CHILDREN_DEPTH_MAX];
        unsigned depth;
} ChildrenCursor;

bool children_insert(Znode *parent, Znode *z);          /* false, without effect, if its name is not new */
void children_remove(Znode *parent, Znode *z);
Znode *children_find(const Znode *parent, const char *name, size_t name_size);
Znode *children_first(const Znode *parent);
Znode *children_after(const Znode *parent, const char *name, size_t name_size);

/* The one after `z` in the subtree of `top`, depth first, parents before children; NULL at the end.  `below`: go into
 * the children of z; otherwise past them. */
Znode *subtree_next(const Znode *top, const Znode *z, bool below);

/* All of them from the first after `name` on ("" for the very first); valid until the next change of the children. */
void children_cursor_init(ChildrenCursor *c, const Znode *parent, const char *name);
Znode *children_cursor_next(ChildrenCursor *c);
void children_check(const Znode *parent);
