/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Apply: updates of znodes
 *
 * For each operation: its checks in the order that clients rely on (the first that fails is the answer), then
 * its effects, then its result.
 */

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/tree/tree-internal.h"

#define SEQUENCE_MAX INT32_MAX
#define SEQUENCE_DIGITS 10

static bool may(const Znode *z, uint32_t permissions, const Caller *caller) {
        return acl_allows(z->acl, permissions, caller->identities);
}

static ConveneStatus check_version(const Znode *z, const Request *r) {
        if (r->version != VERSION_ANY && r->version != z->version)
                return CONVENE_BAD_VERSION;
        if (r->czxid != 0 && r->czxid != z->czxid)
                return CONVENE_BAD_VERSION;

        return CONVENE_OK;
}

/*
 * Create
 */

typedef struct Creation {
        ZnodeSpec spec;
        char path[LIMIT_PATH_BYTES + SEQUENCE_DIGITS + 1];      /* as it will be */
        char usage[QUOTA_TEXT_BYTES];
} Creation;

/* What of a mode the znode keeps: the part without the sequence number. */
static CreateMode mode_split(CreateMode mode, bool *ret_sequential) {
        *ret_sequential = true;

        switch (mode) {

        case CREATE_PERSISTENT_SEQUENTIAL:
                return CREATE_PERSISTENT;

        case CREATE_EPHEMERAL_SEQUENTIAL:
                return CREATE_EPHEMERAL;

        case CREATE_TTL_SEQUENTIAL:
                return CREATE_TTL;

        default:
                *ret_sequential = false;
                return mode;
        }
}

/* Steps 6 to 9 of zookeeper-semantics 2.8: the parent and the name.  `slash` is the last one in the path. */
static ConveneStatus create_check_name(Tree *t, const Caller *caller, const Request *r, const char *slash,
                                       bool sequential, Creation *c) {
        ZnodeSpec *s = &c->spec;
        size_t size = strlen(r->path);
        ConveneStatus status;

        s->parent = tree_find_sized(t, r->path, slash - r->path);
        if (!s->parent)
                return CONVENE_NO_NODE;
        if (!may(s->parent, PERMISSION_CREATE, caller))
                return CONVENE_NO_AUTH;

        assert(size <= LIMIT_PATH_BYTES);       /* by request_validate() */
        memcpy(c->path, r->path, size + 1);
        if (sequential) {
                if (znode_creates(s->parent) > SEQUENCE_MAX)
                        return CONVENE_SEQUENCE_OVERFLOW;
                (void) snprintf(c->path + size, SEQUENCE_DIGITS + 1, "%010" PRIu64, znode_creates(s->parent));
        }

        status = path_validate(c->path, /* sequential= */ false);
        if (status != CONVENE_OK)
                return status;

        s->name = c->path + (slash - r->path) + 1;
        s->name_size = strlen(s->name);
        return CONVENE_OK;
}

/* Steps 10 to 12 */
static ConveneStatus create_check_place(Tree *t, const Caller *caller, Creation *c) {
        ZnodeSpec *s = &c->spec;
        ConveneStatus status;

        /* Without a name it is "/".  Searched as the insertion to come will search again, over warm memory; the name
         * table would cost some cache misses of its own. */
        if (s->name_size == 0 || children_find(s->parent, s->name, s->name_size))
                return CONVENE_NODE_EXISTS;
        if (s->parent->mode == CREATE_EPHEMERAL)
                return CONVENE_NO_CHILDREN_FOR_EPHEMERALS;
        if (s->mode == CREATE_EPHEMERAL && caller->session->ephemerals_count >= LIMIT_SESSION_EPHEMERALS)
                return CONVENE_LIMIT_EXCEEDED;

        status = quota_filter(t, c->path, &s->data, &s->data_size, c->usage);
        if (status != CONVENE_OK)
                return status;

        return quota_admits_znode(t, s->parent, c->path, s->data_size);
}

/* Steps 1 to 3 */
static ConveneStatus create_check_mode(const Caller *caller, const Request *r) {
        bool ttl = r->mode == CREATE_TTL || r->mode == CREATE_TTL_SEQUENTIAL;
        bool ephemeral = r->mode == CREATE_EPHEMERAL || r->mode == CREATE_EPHEMERAL_SEQUENTIAL;

        if ((unsigned) r->mode >= _CREATE_MODE_MAX)
                return CONVENE_BAD_ARGUMENTS;
        if (ttl ? r->ttl_msec < 1 || r->ttl_msec > TTL_MSEC_MAX : r->ttl_msec != 0)
                return CONVENE_BAD_ARGUMENTS;
        if (ephemeral && !caller->session)      /* nothing would ever end it */
                return CONVENE_BAD_ARGUMENTS;

        return CONVENE_OK;
}

static ConveneStatus apply_create(Tree *t, const Caller *caller, const Request *r, Result *ret) {
        const char *slash = r->path ? strrchr(r->path, '/') : NULL;
        bool sequential;
        ConveneStatus status;
        const Znode *z;
        Creation c;

        c.spec = (ZnodeSpec) {
                .mode = mode_split(r->mode, &sequential),
                .data = r->data,
                .data_size = r->data_size,
                .ephemeral_owner = caller->session ? caller->session->id : 0,
                .ttl_msec = r->ttl_msec,
        };

        status = create_check_mode(caller, r);
        if (status != CONVENE_OK)
                return status;
        if (!slash)
                return CONVENE_BAD_ARGUMENTS;

        status = acl_table_normalise(t->acls, r->acl, caller->identities, &c.spec.acl);
        if (status != CONVENE_OK)
                return status;

        status = create_check_name(t, caller, r, slash, sequential, &c);
        if (status == CONVENE_OK)
                status = create_check_place(t, caller, &c);
        if (status != CONVENE_OK) {
                acl_unref(t->acls, c.spec.acl);
                return status;
        }

        z = entry_create(t, &c.spec);
        ret->path = arena_copy_string(&t->applied, c.path, strlen(c.path));
        znode_stat(z, &ret->stat);
        return CONVENE_OK;
}

/*
 * Delete
 */

static ConveneStatus apply_delete(Tree *t, const Caller *caller, const Request *r, Result *ret) {
        Znode *z = tree_find(t, r->path);
        ConveneStatus status;

        if (!z)
                return CONVENE_NO_NODE;
        if (znode_is_fixed(z))
                return CONVENE_BAD_ARGUMENTS;
        if (!may(z->parent, PERMISSION_DELETE, caller))
                return CONVENE_NO_AUTH;

        status = check_version(z, r);
        if (status != CONVENE_OK)
                return status;
        if (znode_children_count(z) > 0)
                return CONVENE_NOT_EMPTY;

        entry_delete(t, z);
        return CONVENE_OK;
}

static ConveneStatus apply_delete_recursive(Tree *t, const Caller *caller, const Request *r, Result *ret) {
        Znode *top = tree_find(t, r->path), *z;

        if (!top)
                return CONVENE_NO_NODE;
        if (znode_is_fixed(top))
                return CONVENE_BAD_ARGUMENTS;
        if (!may(top->parent, PERMISSION_DELETE, caller))
                return CONVENE_NO_AUTH;
        if (znode_descendants(top) >= LIMIT_RECURSIVE_ZNODES)
                return CONVENE_LIMIT_EXCEEDED;
        for (const Znode *i = top; i; i = subtree_next(top, i, /* below= */ true))
                if (znode_children_count(i) > 0 && !may(i, PERMISSION_DELETE, caller))
                        return CONVENE_NO_AUTH;

        ret->count = znode_descendants(top) + 1;
        for (z = top;;) {
                Znode *up = z->parent;

                if (znode_children_count(z) > 0) {
                        z = children_first(z);
                        continue;
                }
                entry_delete(t, z);
                if (z == top)
                        return CONVENE_OK;
                z = up;
        }
}

/* A container or TTL znode whose time has come; the leader may have been wrong by the time this is applied. */
static ConveneStatus apply_reap(Tree *t, const Request *r) {
        Znode *z = tree_find(t, r->path);

        if (!z)
                return CONVENE_NO_NODE;
        if (z->czxid != r->czxid)
                return CONVENE_BAD_VERSION;
        if (z->mode != CREATE_CONTAINER && z->mode != CREATE_TTL)
                return CONVENE_BAD_ARGUMENTS;
        if (znode_children_count(z) > 0)
                return CONVENE_NOT_EMPTY;
        if (!reap_is_due(z, t->entry.time_msec))
                return CONVENE_BAD_ARGUMENTS;

        entry_delete(t, z);
        return CONVENE_OK;
}

/*
 * Set
 */

static ConveneStatus apply_set_data(Tree *t, const Caller *caller, const Request *r, Result *ret) {
        Znode *z = tree_find(t, r->path);
        const uint8_t *data = r->data;
        uint32_t data_size = r->data_size;
        char usage[QUOTA_TEXT_BYTES];
        ConveneStatus status;

        if (!z)
                return CONVENE_NO_NODE;
        if (!may(z, PERMISSION_WRITE, caller))
                return CONVENE_NO_AUTH;

        status = check_version(z, r);
        if (status == CONVENE_OK)
                status = quota_filter(t, r->path, &data, &data_size, usage);
        if (status == CONVENE_OK)
                status = quota_admits_bytes(z, (int64_t) data_size - znode_data_size(z));
        if (status != CONVENE_OK)
                return status;

        entry_set_data(t, z, data, data_size);
        znode_stat(z, &ret->stat);
        return CONVENE_OK;
}

static ConveneStatus apply_set_acl(Tree *t, const Caller *caller, const Request *r, Result *ret) {
        Znode *z = tree_find(t, r->path);
        ConveneStatus status;
        Acl *acl;

        status = acl_table_normalise(t->acls, r->acl, caller->identities, &acl);
        if (status != CONVENE_OK)
                return status;

        if (!z)
                status = CONVENE_NO_NODE;
        else if (!may(z, PERMISSION_ADMIN, caller))
                status = CONVENE_NO_AUTH;
        else if (r->version != VERSION_ANY && r->version != znode_aversion(z))
                status = CONVENE_BAD_VERSION;
        if (status != CONVENE_OK) {
                acl_unref(t->acls, acl);
                return status;
        }

        entry_set_acl(t, z, acl);
        znode_stat(z, &ret->stat);
        return CONVENE_OK;
}

static ConveneStatus apply_check(const Tree *t, const Caller *caller, const Request *r) {
        const Znode *z = tree_find(t, r->path);

        if (!z)
                return CONVENE_NO_NODE;
        if (!may(z, PERMISSION_READ, caller))
                return CONVENE_NO_AUTH;

        return check_version(z, r);
}

ConveneStatus apply_znode(Tree *t, const Caller *caller, const Request *r, Result *ret) {
        /* Create has its own order of checks.  "" acts as "/" in reads only: an empty string is more often a mistake
         * than the wish to change the root. */
        if (r->op != REQUEST_CREATE && (!r->path || r->path[0] == 0))
                return CONVENE_BAD_ARGUMENTS;

        switch (r->op) {

        case REQUEST_CREATE:
                return apply_create(t, caller, r, ret);

        case REQUEST_DELETE:
                return apply_delete(t, caller, r, ret);

        case REQUEST_DELETE_RECURSIVE:
                return apply_delete_recursive(t, caller, r, ret);

        case REQUEST_REAP:
                return apply_reap(t, r);

        case REQUEST_SET_DATA:
                return apply_set_data(t, caller, r, ret);

        case REQUEST_SET_ACL:
                return apply_set_acl(t, caller, r, ret);

        case REQUEST_CHECK:
                return apply_check(t, caller, r);

        default:
                return CONVENE_UNIMPLEMENTED;
        }
}
