/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Load
 *
 * Rows in.  They come from a disk or a peer, so each is checked by itself as it comes and against what came
 * before; what needs everything (owners of ephemerals, quotas) waits for tree_load_finish().  A row that is
 * accepted is, byte for byte, the one that the tree would write, so its hash can be taken as it is.
 */

#include <assert.h>
#include <string.h>

#include "agent/tree/tree-internal.h"

typedef struct TreeLoad {
        bool any;                       /* a row came */
        TreeTable table;                /* the last row's */
        uint64_t key;
        Zxid zxid_max;                  /* the newest that a row mentions */
        GPtrArray *ephemerals;          /* Znode, by id */
        Znode *parent;                  /* the last row's: siblings come together */

        /* The last row's ACL: most znodes have the same. */
        Acl *acl;                       /* borrowed from a znode */
        uint8_t *acl_bytes;
        size_t acl_size;
} TreeLoad;

typedef struct ZnodeRow {
        uint64_t parent_id;
        Zxid czxid, mzxid, pzxid;
        int64_t ctime_msec, mtime_msec;
        uint64_t creates;
        int32_t version, aversion;
        uint8_t mode;
        uint64_t ephemeral_owner;
        int64_t ttl_msec;
        const char *name;
        Acl *acl;                       /* owned reference */
        uint8_t has_data;
        const uint8_t *data;
        size_t data_size;
} ZnodeRow;

struct TreeLoad *load_new(void) {
        TreeLoad *l = g_new0(TreeLoad, 1);

        l->ephemerals = g_ptr_array_new();
        return l;
}

void load_free(TreeLoad *l) {
        if (!l)
                return;

        g_ptr_array_unref(l->ephemerals);
        g_free(l->acl_bytes);
        g_free(l);
}

static bool fail(const char **ret_error, const char *text) {
        *ret_error = text;
        return false;
}

/* An encoded ACL ends where it says, so the same bytes at this place are the same ACL. */
static Acl *read_acl(Tree *t, Reader *r) {
        TreeLoad *l = t->load;
        const uint8_t *start = r->at;
        AclEntries entries;

        if (l->acl && reader_left(r) >= l->acl_size && memcmp(start, l->acl_bytes, l->acl_size) == 0) {
                (void) reader_bytes(r, l->acl_size);
                return acl_ref(l->acl);
        }

        if (!acl_entries_decode(r, &entries)) {
                r->failed = true;
                return NULL;
        }
        if (entries.count == 0) {
                g_free((gpointer) entries.items);
                r->failed = true;
                return NULL;
        }

        l->acl = acl_table_intern(t->acls, entries);
        g_free((gpointer) entries.items);
        l->acl_size = r->at - start;
        g_free(l->acl_bytes);
        l->acl_bytes = g_memdup2(start, l->acl_size);
        return l->acl;
}

static void read_znode(Tree *t, Reader *r, ZnodeRow *ret) {
        ret->parent_id = reader_u64(r);
        ret->czxid = reader_u64(r);
        ret->mzxid = reader_u64(r);
        ret->pzxid = reader_u64(r);
        ret->ctime_msec = reader_i64(r);
        ret->mtime_msec = reader_i64(r);
        ret->creates = reader_u64(r);
        ret->version = reader_i32(r);
        ret->aversion = reader_i32(r);
        ret->mode = reader_u8(r);
        ret->ephemeral_owner = reader_u64(r);
        ret->ttl_msec = reader_i64(r);
        ret->name = reader_string(r, LIMIT_PATH_BYTES);
        ret->acl = read_acl(t, r);
        ret->has_data = reader_u8(r);
        ret->data = reader_blob(r, LIMIT_DATA_BYTES, &ret->data_size);
}

/* What must hold of a znode's row by itself. */
static bool znode_row_is_sane(const ZnodeRow *row) {
        bool ephemeral = row->mode == CREATE_EPHEMERAL, ttl = row->mode == CREATE_TTL;

        if (row->mode != CREATE_PERSISTENT && row->mode != CREATE_CONTAINER && !ephemeral && !ttl)
                return false;
        if (ephemeral != (row->ephemeral_owner != 0) || (ephemeral && row->creates > 0))
                return false;
        if (ttl ? row->ttl_msec < 1 || row->ttl_msec > TTL_MSEC_MAX : row->ttl_msec != 0)
                return false;
        if (row->creates > INT64_MAX || row->has_data > 1 || (!row->has_data && row->data_size > 0))
                return false;
        if (row->version == VERSION_ANY || row->aversion == VERSION_ANY)
                return false;

        return row->mzxid >= row->czxid && row->pzxid >= row->czxid;
}

static bool place_is_valid(uint64_t id, const Znode *parent, const ZnodeRow *row,
                           const char **ret_error) {
        PathBuffer buffer;
        const char *path;
        size_t path_size, name_size = strlen(row->name);
        char whole[LIMIT_PATH_BYTES * 2 + 2];

        if (id == ZNODE_ID_ROOT || row->parent_id == 0)
                return (id == ZNODE_ID_ROOT && row->parent_id == 0 && name_size == 0 &&
                        row->mode == CREATE_PERSISTENT) || fail(ret_error, "a second root, or none");
        if (!parent)
                return fail(ret_error, "parent of a znode missing");
        if (parent->mode == CREATE_EPHEMERAL)
                return fail(ret_error, "an ephemeral with children");
        if (parent->extra ? parent->extra->children_count >= parent->extra->creates : true)
                return fail(ret_error, "more children than were ever created");
        if (strchr(row->name, '/'))
                return fail(ret_error, "malformed name of a znode");

        path = znode_path(parent, &buffer);
        path_size = parent->parent ? strlen(path) : 0;
        memcpy(whole, path, path_size);
        whole[path_size] = '/';
        memcpy(whole + path_size + 1, row->name, name_size + 1);
        if (path_validate(whole, /* sequential= */ false) != CONVENE_OK || name_size == 0)
                return fail(ret_error, "malformed path of a znode");

        return true;
}

static Znode *make_znode(uint64_t id, Znode *parent, const ZnodeRow *row) {
        Znode *z = znode_new(id, row->name, strlen(row->name));

        z->parent = parent;
        z->czxid = row->czxid;
        z->mzxid = row->mzxid;
        z->ctime_msec = row->ctime_msec;
        z->mtime_msec = row->mtime_msec;
        z->version = row->version;
        z->mode = row->mode;
        z->acl = row->acl;
        z->data = znode_data_new(row->has_data ? row->data : NULL, row->data_size);
        z->stored = true;

        if (row->pzxid != row->czxid || row->creates > 0 || row->aversion != 0 ||
            row->ephemeral_owner != 0 || row->ttl_msec != 0) {
                ZnodeExtra *x = znode_need_extra(z);

                x->pzxid = row->pzxid;
                x->creates = row->creates;
                x->aversion = row->aversion;
                x->ephemeral_owner = row->ephemeral_owner;
                x->ttl_msec = row->ttl_msec;
        }

        return z;
}

static bool load_znode(Tree *t, const TreeRow *row, const char **ret_error) {
        TreeLoad *l = t->load;
        Reader r = READER_INIT(row->value, row->value_size);
        ZnodeRow decoded;
        Znode *parent, *z;

        read_znode(t, &r, &decoded);
        if (!reader_done(&r) || !znode_row_is_sane(&decoded)) {
                acl_unref(t->acls, decoded.acl);
                l->acl = NULL;
                return fail(ret_error, "malformed row of a znode");
        }

        parent = l->parent;
        if (!parent || parent->id != decoded.parent_id)
                parent = l->parent = index_find(&t->znodes, decoded.parent_id);
        if (!place_is_valid(row->key, parent, &decoded, ret_error)) {
                acl_unref(t->acls, decoded.acl);
                l->acl = NULL;
                return false;
        }

        z = make_znode(row->key, parent, &decoded);
        if (!tree_link_loaded(t, z)) {
                znode_free(t->acls, z);
                l->acl = NULL;
                return fail(ret_error, "two znodes of one name");
        }
        if (z->mode == CREATE_EPHEMERAL)
                g_ptr_array_add(l->ephemerals, z);
        l->zxid_max = MAX(l->zxid_max, MAX(decoded.mzxid, decoded.pzxid));
        return true;
}

static bool session_row_is_sane(const Session *s, Identities identities) {
        if (s->timeout_msec < LIMIT_SESSION_TIMEOUT_MIN_MSEC || s->timeout_msec > LIMIT_SESSION_TIMEOUT_MAX_MSEC ||
            s->generation == 0 || s->generation > INT64_MAX || !session_has_room(s, identities))
                return false;
        for (uint32_t i = 0; i < identities.count; i++)
                if (!identity_is_valid(identities.items[i], /* allow_super= */ true))
                        return false;

        return true;
}

static bool load_session(Tree *t, const TreeRow *row, const char **ret_error) {
        Reader r = READER_INIT(row->value, row->value_size);
        Identities identities = { 0 };
        const uint8_t *secret;
        const char *owner;
        uint8_t owner_kind;
        Session *s;
        bool sane;

        if (row->key == 0 || t->sessions.count >= LIMIT_SESSIONS_TOTAL)
                return fail(ret_error, "too many sessions, or one without id");

        s = session_new(row->key);
        s->timeout_msec = reader_u32(&r);
        s->member = reader_u32(&r);
        owner_kind = reader_u8(&r);
        s->generation = reader_u64(&r);
        s->cxid = reader_u64(&r);
        s->ctime_msec = reader_i64(&r);
        secret = reader_bytes(&r, SESSION_SECRET_HASH_BYTES);
        owner = reader_string(&r, LIMIT_OWNER_BYTES);
        sane = identities_decode(&r, &identities) && reader_done(&r) && owner_kind < _OWNER_KIND_MAX &&
                session_row_is_sane(s, identities);
        if (sane) {
                s->owner_kind = owner_kind;
                s->owner = g_strdup(owner);
                memcpy(s->secret_hash, secret, SESSION_SECRET_HASH_BYTES);
                session_add_identities(s, identities);
                sane = s->identities.count == identities.count;         /* none twice */
        }
        g_free((gpointer) identities.items);
        if (!sane) {
                session_free(s);
                return fail(ret_error, "malformed row of a session");
        }

        s->stored = true;
        index_insert(&t->sessions, s);
        t->load->zxid_max = MAX(t->load->zxid_max, s->id);
        return true;
}

static bool load_state(Tree *t, const TreeRow *row, const char **ret_error) {
        Reader r = READER_INIT(row->value, row->value_size);
        uint64_t next_id = reader_u64(&r);

        if (row->key != 1 || !reader_done(&r) || next_id == 0 || next_id > INT64_MAX ||
            index_after(&t->znodes, next_id - 1))
                return fail(ret_error, "malformed row of the state");

        t->next_id = next_id;
        return true;
}

static bool load_by_table(Tree *t, const TreeRow *row, const char **ret_error) {
        switch (row->table) {

        case TREE_TABLE_ZNODE:
                return load_znode(t, row, ret_error);

        case TREE_TABLE_SESSION:
                return load_session(t, row, ret_error);

        case TREE_TABLE_STATE:
                return load_state(t, row, ret_error);

        default:
                return fail(ret_error, "row of an unknown table");
        }
}

bool tree_load_row(Tree *t, const TreeRow *row, const char **ret_error) {
        TreeLoad *l = t->load;
        Writer *w = &t->row;

        assert(l);
        if (l->any && (row->table < l->table || (row->table == l->table && row->key <= l->key)))
                return fail(ret_error, "rows not in order");
        if (!row->value)
                return fail(ret_error, "row without a value");
        if (!load_by_table(t, row, ret_error))
                return false;

        l->any = true;
        l->table = row->table;
        l->key = row->key;

        writer_clear(w);
        writer_u8(w, row->table);
        writer_u64(w, row->key);
        writer_bytes(w, row->value, row->value_size);
        t->digest = hash128_add(t->digest, hash128(w->data, w->size, 0));
        return true;
}

static bool fixed_are_there(const Tree *t) {
        static const char *const paths[] = { "/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config" };

        for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
                const Znode *z = tree_find(t, paths[i]);

                if (!z || z->id != i + 1 || z->mode != CREATE_PERSISTENT)
                        return false;
        }

        return true;
}

static bool link_ephemerals(Tree *t, const char **ret_error) {
        for (unsigned i = 0; i < t->load->ephemerals->len; i++) {
                Znode *z = t->load->ephemerals->pdata[i];
                Session *s = index_find(&t->sessions, z->extra->ephemeral_owner);

                if (!s)
                        return fail(ret_error, "an ephemeral without its session");
                if (s->ephemerals_count >= LIMIT_SESSION_EPHEMERALS)
                        return fail(ret_error, "too many ephemerals of one session");

                z->extra->ephemeral_before = s->ephemerals_last;
                session_insert_ephemeral(s, z);
                t->ephemerals_count++;
        }

        return true;
}

bool tree_load_finish(Tree *t, Zxid zxid, const char **ret_error) {
        assert(t->load);

        if (!t->root || t->next_id == 0)
                return fail(ret_error, "no root or no state");
        tree_link_names(t);
        if (!fixed_are_there(t))
                return fail(ret_error, "a fixed znode missing");
        if (t->load->zxid_max > zxid)
                return fail(ret_error, "a row from after the position");
        if (!link_ephemerals(t, ret_error) || !quota_load(t, ret_error))
                return false;

        t->zxid = zxid;
        g_clear_pointer(&t->load, load_free);
        return true;
}
