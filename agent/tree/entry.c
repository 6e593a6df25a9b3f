/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Entry
 *
 * What one entry does to znodes.  Each effect is carried out at once, so that the next operation of a multi sees it,
 * and leaves an Undo.  Rolling back takes them in reverse.  Digest and dirty rows are left alone until the end: they
 * come from the list of touched znodes, whose old rows were hashed at first touch, so a failed multi leaves no trace
 * in them and a znode that is changed a thousand times counts once.  A deleted znode's memory stays until
 * entry_end(), because undos and the listener's paths go through it.
 */

#include <assert.h>
#include <string.h>

#include "agent/tree/tree-internal.h"

typedef enum UndoKind {
        UNDO_TOUCH,                     /* the first change to what was there before: the old row's hash and stat */
        UNDO_CREATE,
        UNDO_DELETE,
        UNDO_DATA,
        UNDO_ACL,
} UndoKind;

typedef struct ZnodeBefore {
        Hash128 row;
        Zxid mzxid, pzxid;
        int64_t mtime_msec;
        uint64_t creates;
        int32_t version, aversion;
} ZnodeBefore;

typedef struct Undo {
        UndoKind kind;
        Znode *znode;
        union {
                ZnodeBefore before;
                ZnodeData *data;        /* owned */
                Acl *acl;               /* owned reference */
        };
} Undo;

typedef struct EntryChange {
        ChangeKind kind;                /* 0: the soft quota that this znode is the root of */
        Znode *znode;
} EntryChange;

#define UNDO_AT(e, i) (&g_array_index((e)->undos, Undo, (i)))

void entry_init(Entry *e) {
        e->undos = g_array_new(FALSE, FALSE, sizeof(Undo));
        e->changes = g_array_new(FALSE, FALSE, sizeof(EntryChange));
        e->quotas = g_ptr_array_new();
}

void entry_done(Entry *e) {
        g_array_unref(e->undos);
        g_array_unref(e->changes);
        g_ptr_array_unref(e->quotas);
}

void entry_begin(Tree *t, Zxid zxid, int64_t time_msec) {
        Entry *e = &t->entry;

        assert(!e->open);
        assert(e->undos->len == 0 && e->changes->len == 0 && e->quotas->len == 0);
        e->open = true;
        e->zxid = zxid;
        e->time_msec = time_msec;
        e->next_id_before = t->next_id;
}

static void touch(Tree *t, Znode *z) {
        Undo u = { .kind = UNDO_TOUCH, .znode = z };

        if (z->touched)
                return;

        u.before = (ZnodeBefore) {
                .row = row_hash_znode(t, z),
                .mzxid = z->mzxid,
                .pzxid = znode_pzxid(z),
                .mtime_msec = z->mtime_msec,
                .creates = znode_creates(z),
                .version = z->version,
                .aversion = znode_aversion(z),
        };
        checkpoint_before_znode(t, z);
        z->touched = true;
        g_array_append_val(t->entry.undos, u);
}

static void add_change(Tree *t, ChangeKind kind, Znode *z) {
        EntryChange c = { kind, z };

        g_array_append_val(t->entry.changes, c);
}

static void add_soft_quota(Tree *t, Znode *z, int64_t znodes_more, int64_t bytes_more) {
        Znode *root = quota_exceeded_root(z, znodes_more, bytes_more);

        if (root)
                add_change(t, 0, root);
}

Znode *entry_create(Tree *t, const ZnodeSpec *spec) {
        Znode *parent = spec->parent, *z = znode_new(t->next_id++, spec->name, spec->name_size);
        Undo u = { .kind = UNDO_CREATE, .znode = z };
        ZnodeExtra *up;

        touch(t, parent);
        up = znode_need_extra(parent);
        up->creates++;
        up->pzxid = t->entry.zxid;

        z->parent = parent;
        z->czxid = z->mzxid = t->entry.zxid;
        z->ctime_msec = z->mtime_msec = t->entry.time_msec;
        z->mode = spec->mode;
        z->acl = spec->acl;
        z->data = znode_data_new(spec->data, spec->data_size);
        if (spec->mode == CREATE_EPHEMERAL) {
                znode_need_extra(z)->ephemeral_owner = spec->ephemeral_owner;
                z->extra->ephemeral_before =
                        ((Session *) index_find(&t->sessions, spec->ephemeral_owner))->ephemerals_last;
        } else if (spec->mode == CREATE_TTL)
                znode_need_extra(z)->ttl_msec = spec->ttl_msec;

        z->touched = true;
        tree_link(t, z);
        g_array_append_val(t->entry.undos, u);
        add_change(t, CHANGE_CREATED, z);
        add_soft_quota(t, z, 1, spec->data_size);
        return z;
}

void entry_delete(Tree *t, Znode *z) {
        Undo u = { .kind = UNDO_DELETE, .znode = z };

        assert(!z->gone && !znode_is_fixed(z));
        touch(t, z);
        touch(t, z->parent);
        z->parent->extra->pzxid = t->entry.zxid;
        tree_unlink(t, z);
        z->gone = true;
        g_array_append_val(t->entry.undos, u);
        add_change(t, CHANGE_DELETED, z);
}

void entry_replace_data(Tree *t, Znode *z, const uint8_t *data, uint32_t data_size) {
        Undo u = { .kind = UNDO_DATA, .znode = z, .data = z->data };
        uint32_t size_before = znode_data_size(z);

        touch(t, z);
        z->data = znode_data_new(data, data_size);
        tree_data_resized(t, z, size_before);
        g_array_append_val(t->entry.undos, u);
}

/* -1 means "any" in a request, so no version has that number. */
static int32_t version_after(int32_t version) {
        int32_t next = (int32_t) ((uint32_t) version + 1);

        return next == VERSION_ANY ? 0 : next;
}

void entry_set_data(Tree *t, Znode *z, const uint8_t *data, uint32_t data_size) {
        int64_t bytes_more = (int64_t) data_size - znode_data_size(z);

        entry_replace_data(t, z, data, data_size);
        z->version = version_after(z->version);
        z->mzxid = t->entry.zxid;
        z->mtime_msec = t->entry.time_msec;
        reap_update(t, z);
        add_change(t, CHANGE_DATA, z);
        add_soft_quota(t, z, 0, bytes_more);
}

void entry_set_acl(Tree *t, Znode *z, Acl *acl) {
        Undo u = { .kind = UNDO_ACL, .znode = z, .acl = z->acl };

        touch(t, z);
        z->acl = acl;
        znode_need_extra(z)->aversion = version_after(znode_aversion(z));
        g_array_append_val(t->entry.undos, u);
}

static void undo_touch(Tree *t, Znode *z, const ZnodeBefore *b) {
        z->mzxid = b->mzxid;
        z->mtime_msec = b->mtime_msec;
        z->version = b->version;
        if (z->extra) {
                z->extra->pzxid = b->pzxid;
                z->extra->creates = b->creates;
                z->extra->aversion = b->aversion;
        }
        z->touched = false;
        reap_update(t, z);
}

static void undo_data(Tree *t, Znode *z, ZnodeData *data) {
        uint32_t size = znode_data_size(z);

        g_free(z->data);
        z->data = data;
        tree_data_resized(t, z, size);
}

static void undo(Tree *t, Undo *u) {
        Znode *z = u->znode;

        switch (u->kind) {

        case UNDO_TOUCH:
                undo_touch(t, z, &u->before);
                break;

        case UNDO_CREATE:
                tree_unlink(t, z);
                znode_free(t->acls, z);
                break;

        case UNDO_DELETE:
                z->gone = false;
                tree_link(t, z);
                break;

        case UNDO_DATA:
                undo_data(t, z, u->data);
                break;

        case UNDO_ACL:
                acl_unref(t->acls, z->acl);
                z->acl = u->acl;
                break;
        }
}

void entry_rollback(Tree *t) {
        Entry *e = &t->entry;

        for (unsigned i = e->undos->len; i > 0; i--)
                undo(t, UNDO_AT(e, i - 1));

        t->next_id = e->next_id_before;
        g_array_set_size(e->undos, 0);
        g_array_set_size(e->changes, 0);
}

/* The row of a touched znode, from what it was to what it is. */
static void settle_row(Tree *t, const Undo *u) {
        Znode *z = u->znode;

        if (u->kind == UNDO_TOUCH)
                t->digest = hash128_subtract(t->digest, u->before.row);

        if (!z->gone) {
                t->digest = hash128_add(t->digest, row_hash_znode(t, z));
                checkpoint_mark_znode(t, z);
        } else if (u->kind == UNDO_TOUCH)
                checkpoint_mark_znode_gone(t, z);

        z->touched = false;
}

static void settle_state(Tree *t) {
        uint64_t before = t->entry.next_id_before;

        if (t->next_id == before)
                return;

        t->digest = hash128_subtract(t->digest, row_hash_state(t, before));
        t->digest = hash128_add(t->digest, row_hash_state(t, t->next_id));
        checkpoint_mark_state(t);
}

static void tell(Tree *t, const EntryChange *c) {
        PathBuffer buffer;
        TreeChange change = {
                .kind = c->kind,
                .zxid = t->entry.zxid,
                .path = znode_path(c->znode, &buffer),
                .soft_quota = c->kind == 0,
        };

        if (c->kind != 0) {
                change.acl = c->znode->acl;
                change.parent_acl = c->znode->parent ? c->znode->parent->acl : NULL;
        }
        t->listener.changed(t->listener.userdata, &change);
}

void entry_commit(Tree *t) {
        Entry *e = &t->entry;

        quota_refresh(t);

        for (unsigned i = 0; i < e->undos->len; i++) {
                Undo *u = UNDO_AT(e, i);

                switch (u->kind) {

                case UNDO_TOUCH:
                case UNDO_CREATE:
                        settle_row(t, u);
                        break;

                case UNDO_DELETE:
                        break;

                case UNDO_DATA:
                        g_clear_pointer(&u->data, g_free);
                        break;

                case UNDO_ACL:
                        acl_unref(t->acls, g_steal_pointer(&u->acl));
                        break;
                }
        }
        settle_state(t);

        if (t->listener.changed)
                for (unsigned i = 0; i < e->changes->len; i++)
                        tell(t, &g_array_index(e->changes, EntryChange, i));
}

void entry_end(Tree *t) {
        Entry *e = &t->entry;

        for (unsigned i = 0; i < e->undos->len; i++)
                if (UNDO_AT(e, i)->kind == UNDO_DELETE)
                        znode_free(t->acls, UNDO_AT(e, i)->znode);

        g_array_set_size(e->undos, 0);
        g_array_set_size(e->changes, 0);
        quota_forget_notes(t);
        e->open = false;
}

/*
 * Sessions
 */

void entry_session_touch(Tree *t, Session *s) {
        t->digest = hash128_subtract(t->digest, row_hash_session(t, s));
        checkpoint_before_session(t, s);
}

void entry_session_settle(Tree *t, Session *s) {
        t->digest = hash128_add(t->digest, row_hash_session(t, s));
        checkpoint_mark_session(t, s);
}
