/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Check
 *
 * Everything that must hold between two entries, found anew from the rows' own fields.
 */

#include <assert.h>
#include <string.h>

#include "agent/tree/tree-internal.h"

typedef struct Totals {
        Hash128 digest;
        uint64_t znodes, data_bytes, ephemerals;
} Totals;

static void add_row(Totals *totals, Writer *w) {
        totals->digest = hash128_add(totals->digest, hash128(w->data, w->size, 0));
        writer_clear(w);
}

static void check_extra(const Tree *t, const Znode *z) {
        const ZnodeExtra *x = z->extra;

        assert(x->creates >= x->children_count);
        assert((x->ephemeral_owner != 0) == (z->mode == CREATE_EPHEMERAL));
        assert((x->ttl_msec != 0) == (z->mode == CREATE_TTL));
        assert(x->pzxid >= z->czxid && x->pzxid <= t->zxid);
        if (z->mode == CREATE_EPHEMERAL)
                assert(x->children_count == 0 && x->creates == 0);
}

static void check_place(const Tree *t, const Znode *z) {
        PathBuffer buffer;
        const char *path = znode_path(z, &buffer);

        assert(tree_find(t, path) == z);
        assert(path_validate(path, /* sequential= */ false) == CONVENE_OK);
        if (!z->parent) {
                assert(z == t->root && z->id == ZNODE_ID_ROOT);
                return;
        }

        assert(z->parent->id < z->id);
        assert(z->parent->mode != CREATE_EPHEMERAL);
        assert(index_find(&t->znodes, z->parent->id) == z->parent);
        assert(children_find(z->parent, z->name, strlen(z->name)) == z);
}

static void check_znode(const Tree *t, const Znode *z, Totals *totals, Writer *w) {
        assert(z->id < t->next_id);
        assert(!z->touched && !z->gone);
        assert(z->acl);
        assert(z->czxid <= z->mzxid && z->mzxid <= t->zxid);
        assert(z->version != VERSION_ANY && znode_aversion(z) != VERSION_ANY);
        assert(znode_data_size(z) <= LIMIT_DATA_BYTES);

        check_place(t, z);
        children_check(z);
        if (z->extra)
                check_extra(t, z);
        else
                assert(z->mode == CREATE_PERSISTENT || z->mode == CREATE_CONTAINER);

        row_encode_znode(z, w);
        add_row(totals, w);
        totals->znodes++;
        totals->data_bytes += znode_data_size(z);
        totals->ephemerals += z->mode == CREATE_EPHEMERAL;
}

/* Sizes of subtrees, from one level of children at a time. */
static void check_sizes(const Znode *z) {
        uint64_t descendants = 0, bytes = 0;
        ChildrenCursor cursor;

        children_cursor_init(&cursor, z, "");
        for (const Znode *child; (child = children_cursor_next(&cursor));) {
                descendants += znode_descendants(child) + 1;
                bytes += znode_bytes_below(child) + znode_data_size(child);
        }

        assert(descendants == znode_descendants(z));
        assert(bytes == znode_bytes_below(z));
}

static void check_session(const Tree *t, const Session *s, Totals *totals, Writer *w) {
        const Znode *before = NULL;
        uint32_t count = 0;

        assert(s->id <= t->zxid);
        for (const Znode *z = s->ephemerals_first; z; z = z->extra->ephemeral_after) {
                assert(z->extra->ephemeral_owner == s->id);
                assert(z->extra->ephemeral_before == before);
                assert(!before || before->id < z->id);
                assert(index_find(&t->znodes, z->id) == z);
                before = z;
                count++;
        }
        assert(before == s->ephemerals_last);
        assert(count == s->ephemerals_count && count <= LIMIT_SESSION_EPHEMERALS);
        assert(s->identities.count <= LIMIT_SESSION_IDENTITIES);

        row_encode_session(s, w);
        add_row(totals, w);
        totals->ephemerals -= count;
}

void tree_check(const Tree *t) {
        Totals totals = { 0 };
        g_auto(Writer) w = WRITER_INIT;

        assert(!t->load && !t->entry.open);
        index_check(&t->znodes);
        index_check(&t->sessions);
        name_table_check(&t->names);

        for (const Znode *z = index_first(&t->znodes); z; z = index_after(&t->znodes, z->id)) {
                check_znode(t, z, &totals, &w);
                check_sizes(z);
        }
        assert(totals.znodes == t->znodes.count && totals.znodes == t->names.count + 1);
        assert(totals.znodes == znode_descendants(t->root) + 1);
        assert(totals.data_bytes == t->data_bytes);
        assert(totals.ephemerals == t->ephemerals_count);

        for (const Session *s = index_first(&t->sessions); s; s = index_after(&t->sessions, s->id))
                check_session(t, s, &totals, &w);
        assert(totals.ephemerals == 0);         /* each is on its session's list */

        row_encode_state(t->next_id, &w);
        add_row(&totals, &w);
        assert(hash128_equal(totals.digest, t->digest));

        quota_check(t);
        reap_check(t);
        tree_checkpoint_check(t);
}
