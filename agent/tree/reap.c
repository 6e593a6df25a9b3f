/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reap
 *
 * Containers that are empty again and TTL znodes without children, in order of when they are due: containers at
 * once, TTL znodes a TTL after their last change.
 */

#include <assert.h>

#include "agent/tree/tree-internal.h"

int reap_compare(gconstpointer a, gconstpointer b, gpointer userdata) {
        const Znode *x = a, *y = b;

        if (x->extra->reap_due_msec != y->extra->reap_due_msec)
                return x->extra->reap_due_msec < y->extra->reap_due_msec ? -1 : 1;

        return x->id < y->id ? -1 : x->id > y->id;
}

/* False if it is not to be reaped as it stands, whatever the time. */
static bool due_time(const Znode *z, int64_t *ret) {
        if (znode_children_count(z) > 0)
                return false;

        if (z->mode == CREATE_CONTAINER) {
                *ret = INT64_MIN;
                return znode_creates(z) > 0;
        }

        return z->mode == CREATE_TTL && !__builtin_add_overflow(z->mtime_msec, z->extra->ttl_msec, ret);
}

bool reap_is_due(const Znode *z, int64_t now_msec) {
        int64_t due_msec;

        return due_time(z, &due_msec) && now_msec >= due_msec;
}

void reap_on_unlink(Tree *t, Znode *z) {
        if (!z->extra || !z->extra->reapable)
                return;

        (void) g_tree_remove(t->reapable, z);
        z->extra->reapable = false;
}

void reap_update(Tree *t, Znode *z) {
        int64_t due_msec;

        if (z->mode != CREATE_CONTAINER && z->mode != CREATE_TTL)
                return;

        if (!due_time(z, &due_msec)) {
                reap_on_unlink(t, z);
                return;
        }

        if (z->extra->reapable && z->extra->reap_due_msec == due_msec)
                return;

        reap_on_unlink(t, z);
        z->extra->reap_due_msec = due_msec;
        z->extra->reapable = true;
        g_tree_insert(t->reapable, z, z);
}

static GTreeNode *next_candidate(const Tree *t) {
        ZnodeExtra extra = { .reap_due_msec = t->reap_cursor.due_msec };
        Znode key = { .id = t->reap_cursor.id, .extra = &extra };

        return g_tree_upper_bound(t->reapable, &key);
}

static bool is_candidate(GTreeNode *n, int64_t now_msec) {
        return n && ((const Znode *) g_tree_node_key(n))->extra->reap_due_msec <= now_msec;
}

static void rewind_cursor(Tree *t) {
        t->reap_cursor.due_msec = INT64_MIN;
        t->reap_cursor.id = 0;
}

unsigned tree_find_reapable(Tree *t, int64_t now_msec, unsigned max,
                            void (*each)(const char *path, Zxid czxid, void *userdata), void *userdata) {
        GTreeNode *n = next_candidate(t);
        unsigned count = 0;

        if (!is_candidate(n, now_msec)) {
                rewind_cursor(t);
                n = next_candidate(t);
        }

        for (; count < max && is_candidate(n, now_msec); n = g_tree_node_next(n)) {
                const Znode *z = g_tree_node_key(n);
                PathBuffer buffer;

                each(znode_path(z, &buffer), z->czxid, userdata);
                t->reap_cursor.due_msec = z->extra->reap_due_msec;
                t->reap_cursor.id = z->id;
                count++;
        }

        return count;
}

static gboolean check_candidate(gpointer key, gpointer value, gpointer userdata) {
        const Tree *t = userdata;
        const Znode *z = key;
        int64_t due_msec;

        assert(index_find(&t->znodes, z->id) == z);
        assert(due_time(z, &due_msec));
        assert(z->extra->reapable && z->extra->reap_due_msec == due_msec);
        return FALSE;
}

void reap_check(const Tree *t) {
        unsigned count = 0;

        g_tree_foreach(t->reapable, check_candidate, (gpointer) t);
        for (const Znode *z = index_first(&t->znodes); z; z = index_after(&t->znodes, z->id)) {
                int64_t due_msec;
                bool wanted = due_time(z, &due_msec);

                assert(wanted == (z->extra && z->extra->reapable));
                count += wanted;
        }
        assert((gint) count == g_tree_nnodes(t->reapable));
}
