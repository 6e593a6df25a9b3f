/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Tree: life, lookup and what is derived from the znodes that are there
 */

#include <assert.h>
#include <string.h>

#include "agent/tree/tree-internal.h"

/*
 * Structure
 */

Znode *tree_find_sized(const Tree *t, const char *path, size_t size) {
        const char *p = path, *end = path + size;
        Znode *z = t->root;

        if (size == 0 || (size == 1 && *p == '/'))
                return z;

        while (z && p < end) {
                const char *slash;

                if (*p++ != '/')
                        return NULL;

                slash = memchr(p, '/', end - p);
                slash = slash ? slash : end;
                z = name_table_find(&t->names, z, p, slash - p);
                p = slash;
        }

        return z;
}

Znode *tree_find(const Tree *t, const char *path) {
        return tree_find_sized(t, path, strlen(path));
}

/* Counts, with all its znodes or some of its bytes, what comes or goes above `z`. */
static void account(Tree *t, Znode *z, int64_t znodes, int64_t bytes) {
        t->data_bytes += (uint64_t) bytes;
        if (z->extra && z->extra->quota)
                quota_note(t, z->extra->quota);

        for (Znode *up = z->parent; up; up = up->parent) {
                up->extra->descendants += (uint64_t) znodes;
                up->extra->bytes_below += (uint64_t) bytes;
                if (up->extra->quota)
                        quota_note(t, up->extra->quota);
        }
}

static void link_ephemeral(Tree *t, Znode *z) {
        Session *s = index_find(&t->sessions, z->extra->ephemeral_owner);

        assert(s);
        session_insert_ephemeral(s, z);
        t->ephemerals_count++;
}

static void link_derived(Tree *t, Znode *z) {
        index_insert(&t->znodes, z);
        account(t, z, 1, znode_data_size(z));
        reap_update(t, z);
        if (z->parent)
                reap_update(t, z->parent);
}

void tree_link(Tree *t, Znode *z) {
        assert(!t->load);

        if (z->parent) {
                bool is_new;

                (void) znode_need_extra(z->parent);
                z->hash = name_hash(z->parent, z->name, strlen(z->name));
                name_table_insert(&t->names, z);
                is_new = children_insert(z->parent, z);
                assert(is_new);
        } else
                t->root = z;

        if (z->mode == CREATE_EPHEMERAL)
                link_ephemeral(t, z);
        quota_on_link(t, z);
        link_derived(t, z);
}

bool tree_link_loaded(Tree *t, Znode *z) {
        assert(t->load);

        if (!z->parent)
                t->root = z;
        else if (!children_insert(z->parent, z))
                return false;

        link_derived(t, z);
        return true;
}

void tree_link_names(Tree *t) {
        name_table_reserve(&t->names, t->znodes.count);
        for (Znode *z = index_first(&t->znodes); z; z = index_after(&t->znodes, z->id)) {
                if (!z->parent)
                        continue;
                z->hash = name_hash(z->parent, z->name, strlen(z->name));
                name_table_insert(&t->names, z);
        }
}

void tree_unlink(Tree *t, Znode *z) {
        assert(z->parent);
        assert(znode_children_count(z) == 0);

        account(t, z, -1, -(int64_t) znode_data_size(z));
        quota_on_unlink(t, z);
        if (z->mode == CREATE_EPHEMERAL) {
                session_remove_ephemeral(index_find(&t->sessions, z->extra->ephemeral_owner), z);
                t->ephemerals_count--;
        }

        name_table_remove(&t->names, z);
        children_remove(z->parent, z);
        index_remove(&t->znodes, z);
        reap_on_unlink(t, z);
        reap_update(t, z->parent);
}

void tree_data_resized(Tree *t, Znode *z, uint32_t size_before) {
        account(t, z, 0, (int64_t) znode_data_size(z) - size_before);
        quota_on_data(t, z);
}

/*
 * Life
 */

static Tree *tree_allocate(void) {
        Tree *t = g_new0(Tree, 1);

        t->acls = acl_table_new();
        t->quotas = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, quota_free);
        t->reapable = g_tree_new_full(reap_compare, NULL, NULL, NULL);
        entry_init(&t->entry);
        tree_checkpoint_init(&t->checkpoint);
        t->reap_cursor.due_msec = INT64_MIN;
        return t;
}

Tree *tree_new_empty(const TreeListener *listener) {
        Tree *t = tree_allocate();

        if (listener)
                t->listener = *listener;
        t->load = load_new();
        return t;
}

static Acl *acl_of_fixed(Tree *t) {
        static const AclEntry readable = { PERMISSION_READ, { "world", "anyone" } };

        return acl_table_intern(t->acls, (AclEntries) { &readable, 1 });
}

static void make_fixed(Tree *t, Znode *parent, const char *name, uint64_t id) {
        ZnodeSpec spec = {
                .parent = parent,
                .name = name,
                .name_size = strlen(name),
                .mode = CREATE_PERSISTENT,
                .acl = acl_of_fixed(t),
        };
        const Znode *z = entry_create(t, &spec);

        assert(z->id == id);
}

Tree *tree_new(const TreeListener *listener) {
        Tree *t = tree_allocate();
        Znode *root = znode_new(ZNODE_ID_ROOT, "", 0);

        root->acl = acl_of_fixed(t);
        t->next_id = ZNODE_ID_ROOT + 1;
        tree_link(t, root);
        t->digest = hash128_add(row_hash_znode(t, root), row_hash_state(t, t->next_id));
        checkpoint_mark_znode(t, root);
        checkpoint_mark_state(t);

        entry_begin(t, 0, 0);
        make_fixed(t, root, "zookeeper", ZNODE_ID_ZOOKEEPER);
        make_fixed(t, tree_find(t, "/zookeeper"), "quota", ZNODE_ID_QUOTA);
        make_fixed(t, tree_find(t, "/zookeeper"), "config", ZNODE_ID_FIXED);
        entry_commit(t);
        entry_end(t);

        if (listener)
                t->listener = *listener;
        return t;
}

static void destroy_znode(void *object, void *userdata) {
        znode_free(userdata, object);
}

static void destroy_session(void *object, void *userdata) {
        session_free(object);
}

Tree *tree_free(Tree *t) {
        if (!t)
                return NULL;

        assert(!t->entry.open);
        g_hash_table_unref(t->quotas);
        g_tree_unref(t->reapable);
        name_table_done(&t->names);
        index_done(&t->znodes, destroy_znode, t->acls);
        index_done(&t->sessions, destroy_session, NULL);
        load_free(t->load);
        entry_done(&t->entry);
        tree_checkpoint_done(&t->checkpoint);
        arena_done(&t->applied);
        arena_done(&t->answered);
        writer_done(&t->row);
        acl_table_free(t->acls);
        g_free(t);
        return NULL;
}

/*
 * Facts
 */

Zxid tree_zxid(const Tree *t) {
        return t->zxid;
}

Hash128 tree_digest(const Tree *t) {
        return t->digest;
}

uint64_t tree_znodes_count(const Tree *t) {
        return t->znodes.count;
}

uint64_t tree_data_bytes(const Tree *t) {
        return t->data_bytes;
}

uint64_t tree_sessions_count(const Tree *t) {
        return t->sessions.count;
}

uint64_t tree_ephemerals_count(const Tree *t) {
        return t->ephemerals_count;
}

bool tree_get_session(const Tree *t, uint64_t session, SessionInfo *ret) {
        const Session *s = index_find(&t->sessions, session);

        if (!s)
                return false;

        session_info(s, ret);
        return true;
}

void tree_foreach_session(const Tree *t, void (*each)(const SessionInfo *s, void *userdata), void *userdata) {
        for (const Session *s = index_first(&t->sessions); s; s = index_after(&t->sessions, s->id)) {
                SessionInfo info;

                session_info(s, &info);
                each(&info, userdata);
        }
}

uint64_t tree_session_cxid(const Tree *t, uint64_t session) {
        const Session *s = index_find(&t->sessions, session);

        return s ? s->cxid : 0;
}

Acl *tree_get_acl(const Tree *t, const char *path) {
        const Znode *z = tree_find(t, path);

        return z ? z->acl : NULL;
}

AclTable *tree_acl_table(Tree *t) {
        return t->acls;
}

Identities tree_identities(const Tree *t, const Request *r) {
        const Session *s;

        if (r->session == 0)
                return r->caller;

        s = index_find(&t->sessions, r->session);
        return s ? s->identities : (Identities) { 0 };
}

bool tree_lookup(const Tree *t, const char *path, Zxid *ret_mzxid, Zxid *ret_pzxid) {
        const Znode *z = tree_find(t, path);

        if (!z)
                return false;

        if (ret_mzxid)
                *ret_mzxid = z->mzxid;
        if (ret_pzxid)
                *ret_pzxid = znode_pzxid(z);
        return true;
}
