/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Twin: its state
 */

#include "tests/unit/twin.h"

#include <string.h>

#include "agent/base/writer.h"

static void znode_free(gpointer p) {
        TwinZnode *z = p;

        g_ref_string_release(z->path);
        twin_list_unref(z->acl);
        g_clear_pointer(&z->data, g_bytes_unref);
        g_free(z);
}

static TwinZnode *znode_copy(const TwinZnode *z) {
        TwinZnode *copy = g_memdup2(z, sizeof(*z));

        g_ref_string_acquire(copy->path);
        twin_list_ref(copy->acl);
        if (copy->data)
                g_bytes_ref(copy->data);
        return copy;
}

static void session_free(gpointer p) {
        TwinSession *s = p;

        g_ref_string_release(s->owner);
        twin_list_unref(s->identities);
        g_free(s);
}

TwinSession *twin_session_copy(const TwinSession *s) {
        TwinSession *copy = g_memdup2(s, sizeof(*s));

        g_ref_string_acquire(copy->owner);
        twin_list_ref(copy->identities);
        return copy;
}

static void change_free(gpointer p) {
        TwinChange *c = p;

        g_ref_string_release(c->path);
        twin_list_unref(c->acl);
        twin_list_unref(c->parent_acl);
        g_free(c);
}

TwinChange *twin_change_copy(const TwinChange *c) {
        TwinChange *copy = g_memdup2(c, sizeof(*c));

        g_ref_string_acquire(copy->path);
        twin_list_ref(copy->acl);
        twin_list_ref(copy->parent_acl);
        return copy;
}

GPtrArray *twin_changes_new(void) {
        return g_ptr_array_new_with_free_func(change_free);
}

static Twin *twin_new_empty(void) {
        Twin *t = g_new0(Twin, 1);

        t->znodes = g_ptr_array_new_with_free_func(znode_free);
        t->sessions = g_ptr_array_new_with_free_func(session_free);
        t->next_id = 1;
        t->changes = twin_changes_new();
        t->session_events = g_array_new(false, false, sizeof(TwinSessionEvent));
        t->scratch = g_ptr_array_new_with_free_func(g_free);
        return t;
}

Twin *twin_free(Twin *t) {
        if (!t)
                return NULL;

        g_ptr_array_unref(t->znodes);
        g_ptr_array_unref(t->sessions);
        g_ptr_array_unref(t->changes);
        g_array_unref(t->session_events);
        g_ptr_array_unref(t->scratch);
        g_free(t);
        return NULL;
}

Twin *twin_new(void) {
        static const char *const fixed[] = { "/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config" };
        static const AclEntry readable = { PERMISSION_READ, { "world", "anyone" } };
        Twin *t = twin_new_empty();

        for (size_t i = 0; i < G_N_ELEMENTS(fixed); i++) {
                TwinZnode *z = g_new0(TwinZnode, 1);

                z->path = g_ref_string_new(fixed[i]);
                z->acl = twin_list_new(&readable, 1);
                twin_add_znode(t, z);
        }
        return t;
}

Twin *twin_copy(const Twin *t) {
        Twin *copy = twin_new_empty();

        for (unsigned i = 0; i < t->znodes->len; i++)
                g_ptr_array_add(copy->znodes, znode_copy(t->znodes->pdata[i]));
        for (unsigned i = 0; i < t->sessions->len; i++)
                g_ptr_array_add(copy->sessions, twin_session_copy(t->sessions->pdata[i]));
        copy->next_id = t->next_id;
        copy->zxid = t->zxid;
        return copy;
}

void twin_take(Twin *t, Twin *copy) {
        Twin old = *t;

        /* What the answer so far points at stays with t. */
        for (unsigned i = 0; i < copy->scratch->len; i++)
                g_ptr_array_add(old.scratch, copy->scratch->pdata[i]);
        g_ptr_array_set_free_func(copy->scratch, NULL);
        g_ptr_array_set_size(copy->scratch, 0);
        g_ptr_array_set_free_func(copy->scratch, g_free);

        *t = *copy;
        t->scratch = old.scratch;
        old.scratch = copy->scratch;
        *copy = old;
        twin_free(copy);
}

void *twin_scratch(Twin *t, size_t size) {
        void *p = g_malloc0(size > 0 ? size : 1);

        g_ptr_array_add(t->scratch, p);
        return p;
}

char *twin_scratch_string(Twin *t, const char *s) {
        char *copy = twin_scratch(t, strlen(s) + 1);

        strcpy(copy, s);
        return copy;
}

const char *twin_name(const char *path) {
        return strrchr(path, '/') + 1;
}

/* What stands before the last '/'; nothing there is "/". */
char *twin_parent_path(Twin *t, const char *path) {
        size_t size = strrchr(path, '/') - path;
        char *parent = twin_scratch_string(t, path);

        parent[size > 0 ? size : 1] = 0;
        return parent;
}

bool twin_is_below(const char *path, const char *ancestor) {
        size_t size = strlen(ancestor);

        if (g_str_equal(ancestor, "/"))
                return !g_str_equal(path, "/");

        return strncmp(path, ancestor, size) == 0 && path[size] == '/';
}

TwinZnode *twin_find(const Twin *t, const char *path) {
        for (unsigned i = 0; i < t->znodes->len; i++) {
                TwinZnode *z = t->znodes->pdata[i];

                if (g_str_equal(z->path, path))
                        return z;
        }
        return NULL;
}

TwinZnode *twin_find_named(const Twin *t, const char *path) {
        return twin_find(t, path[0] != 0 ? path : "/");
}

TwinZnode *twin_find_by_id(const Twin *t, uint64_t id) {
        for (unsigned i = 0; i < t->znodes->len; i++) {
                TwinZnode *z = t->znodes->pdata[i];

                if (z->id == id)
                        return z;
        }
        return NULL;
}

TwinSession *twin_find_session(const Twin *t, uint64_t id) {
        for (unsigned i = 0; i < t->sessions->len; i++) {
                TwinSession *s = t->sessions->pdata[i];

                if (s->id == id)
                        return s;
        }
        return NULL;
}

TwinZnode *twin_parent(const Twin *t, const TwinZnode *z) {
        return twin_find_by_id(t, z->parent_id);
}

unsigned twin_children_count(const Twin *t, const TwinZnode *z) {
        unsigned count = 0;

        for (unsigned i = 0; i < t->znodes->len; i++)
                if (((TwinZnode *) t->znodes->pdata[i])->parent_id == z->id)
                        count++;
        return count;
}

unsigned twin_ephemerals_count(const Twin *t, uint64_t session) {
        unsigned count = 0;

        for (unsigned i = 0; i < t->znodes->len; i++) {
                TwinZnode *z = t->znodes->pdata[i];

                if (z->mode == CREATE_EPHEMERAL && (session == 0 || z->ephemeral_owner == session))
                        count++;
        }
        return count;
}

uint64_t twin_data_bytes(const Twin *t) {
        uint64_t bytes = 0;

        for (unsigned i = 0; i < t->znodes->len; i++) {
                TwinZnode *z = t->znodes->pdata[i];

                if (z->data)
                        bytes += g_bytes_get_size(z->data);
        }
        return bytes;
}

void twin_stat(const Twin *t, const TwinZnode *z, Stat *ret) {
        unsigned children = twin_children_count(t, z);

        *ret = (Stat) {
                .czxid = z->czxid,
                .mzxid = z->mzxid,
                .pzxid = z->pzxid,
                .ctime_msec = z->ctime_msec,
                .mtime_msec = z->mtime_msec,
                .version = z->version,
                .cversion = (int32_t) (uint32_t) (2 * z->creates - children),
                .aversion = z->aversion,
                .ephemeral_owner = z->ephemeral_owner,
                .data_length = z->data ? g_bytes_get_size(z->data) : 0,
                .children_count = children,
        };
}

bool twin_is_reapable(const Twin *t, const TwinZnode *z, int64_t now_msec) {
        if (twin_children_count(t, z) > 0)
                return false;
        if (z->mode == CREATE_CONTAINER)
                return z->creates > 0;

        return z->mode == CREATE_TTL && now_msec >= z->mtime_msec + z->ttl_msec;
}

void twin_session_info(Twin *t, const TwinSession *s, SessionInfo *ret) {
        *ret = (SessionInfo) {
                .id = s->id,
                .timeout_msec = s->timeout_msec,
                .member = s->member,
                .owner_kind = s->owner_kind,
                .owner = s->owner,
                .identities = twin_list_to_identities(t, s->identities),
                .ephemerals_count = twin_ephemerals_count(t, s->id),
                .ctime_msec = s->ctime_msec,
                .generation = s->generation,
        };
}

/* Gives the znode its id and tells its parent, but not who listens. */
void twin_add_znode(Twin *t, TwinZnode *z) {
        z->id = t->next_id++;
        if (!g_str_equal(z->path, "/")) {
                g_autofree char *dir = g_path_get_dirname(z->path);
                TwinZnode *parent = twin_find(t, dir);

                z->parent_id = parent->id;
                parent->creates++;
                parent->pzxid = z->czxid;
        }
        g_ptr_array_add(t->znodes, z);
}

void twin_remove_znode(Twin *t, TwinZnode *z) {
        g_ptr_array_remove(t->znodes, z);
}

void twin_remove_session(Twin *t, TwinSession *s) {
        g_ptr_array_remove(t->sessions, s);
}

void twin_add_change(Twin *t, ChangeKind kind, Zxid zxid, const TwinZnode *z) {
        TwinChange *c = g_new0(TwinChange, 1);
        TwinZnode *parent = twin_parent(t, z);

        c->kind = kind;
        c->zxid = zxid;
        c->path = g_ref_string_acquire(z->path);
        c->acl = twin_list_ref(z->acl);
        c->parent_acl = parent ? twin_list_ref(parent->acl) : NULL;
        g_ptr_array_add(t->changes, c);
}

void twin_add_soft_quota(Twin *t, Zxid zxid, const TwinZnode *z) {
        TwinChange *c = g_new0(TwinChange, 1);

        c->zxid = zxid;
        c->path = g_ref_string_acquire(z->path);
        c->soft_quota = true;
        g_ptr_array_add(t->changes, c);
}

/* Rows: drawn in tree.h */

static void row_free(gpointer p) {
        TwinRow *row = p;

        g_bytes_unref(row->value);
        g_free(row);
}

static void rows_add(GPtrArray *rows, TreeTable table, uint64_t key, Writer *w) {
        TwinRow *row = g_new0(TwinRow, 1);

        row->table = table;
        row->key = key;
        row->value = writer_to_bytes(w);
        g_ptr_array_add(rows, row);
}

static void znode_write(const TwinZnode *z, Writer *w) {
        writer_u64(w, z->parent_id);
        writer_u64(w, z->czxid);
        writer_u64(w, z->mzxid);
        writer_u64(w, z->pzxid);
        writer_i64(w, z->ctime_msec);
        writer_i64(w, z->mtime_msec);
        writer_u64(w, z->creates);
        writer_i32(w, z->version);
        writer_i32(w, z->aversion);
        writer_u8(w, z->mode);
        writer_u64(w, z->ephemeral_owner);
        writer_i64(w, z->ttl_msec);
        writer_string(w, twin_name(z->path));
        writer_u32(w, z->acl->count);
        for (unsigned i = 0; i < z->acl->count; i++) {
                writer_u32(w, z->acl->items[i].permissions);
                writer_string(w, z->acl->items[i].who.scheme);
                writer_string(w, z->acl->items[i].who.id);
        }
        writer_u8(w, z->data ? 1 : 0);
        writer_blob(w, z->data ? g_bytes_get_data(z->data, NULL) : NULL, z->data ? g_bytes_get_size(z->data) : 0);
}

static void session_write(const TwinSession *s, Writer *w) {
        writer_u32(w, s->timeout_msec);
        writer_u32(w, s->member);
        writer_u8(w, s->owner_kind);
        writer_u64(w, s->generation);
        writer_u64(w, s->cxid);
        writer_i64(w, s->ctime_msec);
        writer_bytes(w, s->secret_hash, SESSION_SECRET_HASH_BYTES);
        writer_string(w, s->owner);
        writer_u32(w, s->identities->count);
        for (unsigned i = 0; i < s->identities->count; i++) {
                writer_string(w, s->identities->items[i].who.scheme);
                writer_string(w, s->identities->items[i].who.id);
        }
}

GPtrArray *twin_rows(const Twin *t) {
        GPtrArray *rows = g_ptr_array_new_with_free_func(row_free);
        g_auto(Writer) w = WRITER_INIT;

        for (unsigned i = 0; i < t->znodes->len; i++) {
                TwinZnode *z = t->znodes->pdata[i];

                znode_write(z, &w);
                rows_add(rows, TREE_TABLE_ZNODE, z->id, &w);
        }
        for (unsigned i = 0; i < t->sessions->len; i++) {
                TwinSession *s = t->sessions->pdata[i];

                session_write(s, &w);
                rows_add(rows, TREE_TABLE_SESSION, s->id, &w);
        }
        writer_u64(&w, t->next_id);
        rows_add(rows, TREE_TABLE_STATE, 1, &w);
        return rows;
}

Hash128 twin_rows_digest(GPtrArray *rows) {
        Hash128 sum = { 0, 0 };
        g_auto(Writer) w = WRITER_INIT;

        for (unsigned i = 0; i < rows->len; i++) {
                TwinRow *row = rows->pdata[i];

                writer_clear(&w);
                writer_u8(&w, row->table);
                writer_u64(&w, row->key);
                writer_bytes(&w, g_bytes_get_data(row->value, NULL), g_bytes_get_size(row->value));
                sum = hash128_add(sum, hash128(w.data, w.size, 0));
        }
        return sum;
}

Hash128 twin_digest(const Twin *t) {
        g_autoptr(GPtrArray) rows = twin_rows(t);

        return twin_rows_digest(rows);
}
