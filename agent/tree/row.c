/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Row
 *
 * The durable form of what the tree consists of; the layout is drawn in tree.h.
 */

#include <endian.h>
#include <string.h>

#include "agent/tree/tree-internal.h"

static uint8_t *put_u8(uint8_t *p, uint8_t v) {
        *p = v;
        return p + 1;
}

static uint8_t *put_u32(uint8_t *p, uint32_t v) {
        v = htole32(v);
        memcpy(p, &v, sizeof(v));
        return p + sizeof(v);
}

static uint8_t *put_u64(uint8_t *p, uint64_t v) {
        v = htole64(v);
        memcpy(p, &v, sizeof(v));
        return p + sizeof(v);
}

static uint8_t *put_head(uint8_t *p, TreeTable table, uint64_t key) {
        p = put_u8(p, table);
        return put_u64(p, key);
}

void row_encode_znode(const Znode *z, Writer *w) {
        uint8_t *p = writer_reserve(w, ROW_HEAD_BYTES + 7 * sizeof(uint64_t) + 2 * sizeof(uint32_t) +
                                       1 + 2 * sizeof(uint64_t));

        p = put_head(p, TREE_TABLE_ZNODE, z->id);
        p = put_u64(p, z->parent ? z->parent->id : 0);
        p = put_u64(p, z->czxid);
        p = put_u64(p, z->mzxid);
        p = put_u64(p, znode_pzxid(z));
        p = put_u64(p, (uint64_t) z->ctime_msec);
        p = put_u64(p, (uint64_t) z->mtime_msec);
        p = put_u64(p, znode_creates(z));
        p = put_u32(p, (uint32_t) z->version);
        p = put_u32(p, (uint32_t) znode_aversion(z));
        p = put_u8(p, z->mode);
        p = put_u64(p, znode_ephemeral_owner(z));
        (void) put_u64(p, z->extra ? (uint64_t) z->extra->ttl_msec : 0);

        writer_string(w, z->name);
        acl_entries_encode(acl_entries(z->acl), w);
        writer_u8(w, z->data != NULL);
        writer_blob(w, z->data ? z->data->bytes : NULL, znode_data_size(z));
}

void row_encode_session(const Session *s, Writer *w) {
        (void) put_head(writer_reserve(w, ROW_HEAD_BYTES), TREE_TABLE_SESSION, s->id);
        writer_u32(w, s->timeout_msec);
        writer_u32(w, s->member);
        writer_u8(w, s->owner_kind);
        writer_u64(w, s->generation);
        writer_u64(w, s->cxid);
        writer_i64(w, s->ctime_msec);
        writer_bytes(w, s->secret_hash, sizeof(s->secret_hash));
        writer_string(w, s->owner);
        identities_encode(s->identities, w);
}

void row_encode_state(uint64_t next_id, Writer *w) {
        uint8_t *p = writer_reserve(w, ROW_HEAD_BYTES + sizeof(uint64_t));

        p = put_head(p, TREE_TABLE_STATE, 1);
        (void) put_u64(p, next_id);
}

Hash128 row_hash_znode(Tree *t, const Znode *z) {
        writer_clear(&t->row);
        row_encode_znode(z, &t->row);
        return hash128(t->row.data, t->row.size, 0);
}

Hash128 row_hash_session(Tree *t, const Session *s) {
        writer_clear(&t->row);
        row_encode_session(s, &t->row);
        return hash128(t->row.data, t->row.size, 0);
}

Hash128 row_hash_state(Tree *t, uint64_t next_id) {
        writer_clear(&t->row);
        row_encode_state(next_id, &t->row);
        return hash128(t->row.data, t->row.size, 0);
}
