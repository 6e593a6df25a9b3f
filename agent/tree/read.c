/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Read
 *
 * Answers from the tree as it is.  Data is pointed at, not copied; everything else an answer needs is in an
 * arena that the next read takes back.
 */

#include <assert.h>
#include <string.h>

#include "agent/tree/tree-internal.h"

/* The znode a read is about, if the caller has one of the permissions on it. */
static ConveneStatus find_permitted(const Tree *t, const Request *r, uint32_t permissions, Identities who,
                                    const Znode **ret) {
        const Znode *z;

        if (!r->path)
                return CONVENE_MARSHALLING_ERROR;
        z = tree_find(t, r->path);
        if (!z)
                return CONVENE_NO_NODE;
        if (!acl_allows(z->acl, permissions, who))
                return CONVENE_NO_AUTH;

        *ret = z;
        return CONVENE_OK;
}

/* "user:hash" as those see it who may read a znode but not administrate it. */
static const char *redact(Arena *a, const char *id) {
        static const char hidden[] = ":x";
        size_t size = strcspn(id, ":");
        char *s = arena_allocate(a, size + sizeof(hidden));

        memcpy(s, id, size);
        memcpy(s + size, hidden, sizeof(hidden));
        return s;
}

static void read_acl(Tree *t, const Znode *z, Identities who, Result *ret) {
        AclEntries entries = acl_entries(z->acl);
        AclEntry *items;

        ret->acl = entries;
        if (acl_allows(z->acl, PERMISSION_ADMIN, who))
                return;

        items = arena_allocate_array(&t->answered, entries.count, sizeof(AclEntry));
        for (uint32_t i = 0; i < entries.count; i++) {
                items[i] = entries.items[i];
                if (strcmp(items[i].who.scheme, "digest") == 0)
                        items[i].who.id = redact(&t->answered, items[i].who.id);
        }
        ret->acl.items = items;
}

static void read_data(const Znode *z, Result *ret) {
        ret->data = z->data ? z->data->bytes : NULL;
        ret->data_size = znode_data_size(z);
}

static ConveneStatus read_znode(Tree *t, const Request *r, Identities who, Page *page, Result *ret) {
        uint32_t permissions = PERMISSION_READ | (r->op == REQUEST_GET_ACL ? PERMISSION_ADMIN : 0);
        const Znode *z;
        ConveneStatus status;

        status = find_permitted(t, r, permissions, who, &z);
        if (status != CONVENE_OK)
                return status;

        switch (r->op) {

        case REQUEST_EXISTS:
                break;

        case REQUEST_GET_DATA:
                if (!page_take(page, znode_data_size(z)))
                        return CONVENE_TOO_LARGE;       /* only as a later part of a multi-read */
                read_data(z, ret);
                break;

        case REQUEST_GET_ACL:
                read_acl(t, z, who, ret);
                break;

        case REQUEST_GET_CHILDREN:
                read_children(t, r, z, who, page, ret);
                break;

        case REQUEST_COUNT_DESCENDANTS:
                ret->count = znode_descendants(z);
                return CONVENE_OK;

        case REQUEST_LIST:
                read_list(t, r, z, who, ret);
                return CONVENE_OK;

        default:
                assert(false);
        }

        znode_stat(z, &ret->stat);
        return CONVENE_OK;
}

static void read_multi(Tree *t, const Request *r, Identities who, Result *ret) {
        Result *results = arena_allocate_array(&t->answered, r->operations_count, sizeof(Result));
        Page page = PAGE_INIT;

        for (uint32_t i = 0; i < r->operations_count; i++) {
                results[i].op = r->operations[i].op;
                results[i].zxid = ret->zxid;
                results[i].status = read_znode(t, &r->operations[i], who, &page, &results[i]);
        }

        ret->results = results;
        ret->results_count = r->operations_count;
}

void tree_read(Tree *t, const Request *r, Result *ret) {
        Identities who = tree_identities(t, r);
        Page page = PAGE_INIT;

        assert(!t->load);

        arena_reset(&t->answered);
        *ret = (Result) { .op = r->op, .zxid = t->zxid };
        ret->status = request_validate(r);
        if (ret->status != CONVENE_OK)
                return;

        switch (r->op) {

        case REQUEST_EXISTS:
        case REQUEST_GET_DATA:
        case REQUEST_GET_ACL:
        case REQUEST_GET_CHILDREN:
        case REQUEST_COUNT_DESCENDANTS:
        case REQUEST_LIST:
                ret->status = read_znode(t, r, who, &page, ret);
                break;

        case REQUEST_GET_EPHEMERALS:
                read_ephemerals(t, r, ret);
                break;

        case REQUEST_MULTI_READ:
                read_multi(t, r, who, ret);
                break;

        case REQUEST_WHO_AM_I:
                ret->identities = who;
                break;

        case REQUEST_LIST_SESSIONS:
                read_sessions(t, r, ret);
                break;

        case REQUEST_SYNC:
                break;

        default:
                ret->status = CONVENE_UNIMPLEMENTED;
        }
}
