/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Znode: storage, stat, path and the name table
 */

#include "agent/tree/znode.h"

#include <assert.h>
#include <string.h>

#include <glib.h>

#include "agent/base/hash.h"

#define NAME_SEGMENT_BUCKETS UINT64_C(1024)

#define NAME_PREFETCH 8

/* Whoever picks names on purpose so that they share a bucket makes a chain this long and no lookup slower: beyond
 * it the parent's children are searched, which are balanced whatever the names. */
#define NAME_CHAIN_MAX 24

Znode *znode_new(uint64_t id, const char *name, size_t name_size) {
        size_t size = offsetof(Znode, name) + name_size + 1;
        Znode *z = g_malloc0(MAX(size, sizeof(Znode)));

        z->id = id;
        z->balance = 1;
        memcpy(z->name, name, name_size);
        return z;
}

void znode_free(AclTable *acls, Znode *z) {
        acl_unref(acls, z->acl);
        g_free(z->data);
        g_free(z->extra);
        g_free(z);
}

ZnodeExtra *znode_need_extra(Znode *z) {
        if (!z->extra) {
                z->extra = g_new0(ZnodeExtra, 1);
                z->extra->pzxid = z->czxid;
        }

        return z->extra;
}

ZnodeData *znode_data_new(const uint8_t *data, size_t size) {
        ZnodeData *d;

        if (!data)
                return NULL;

        assert(size <= LIMIT_DATA_BYTES);
        d = g_malloc(sizeof(ZnodeData) + size);
        d->size = size;
        memcpy(d->bytes, data, size);
        return d;
}

void znode_stat(const Znode *z, Stat *ret) {
        uint32_t children_count = znode_children_count(z);

        *ret = (Stat) {
                .czxid = z->czxid,
                .mzxid = z->mzxid,
                .pzxid = znode_pzxid(z),
                .ctime_msec = z->ctime_msec,
                .mtime_msec = z->mtime_msec,
                .version = z->version,
                .cversion = (int32_t) ((uint32_t) znode_creates(z) * 2 - children_count),
                .aversion = znode_aversion(z),
                .ephemeral_owner = znode_ephemeral_owner(z),
                .data_length = (int32_t) znode_data_size(z),
                .children_count = (int32_t) children_count,
        };
}

const char *znode_path(const Znode *z, PathBuffer *buffer) {
        char *p = buffer->bytes + sizeof(buffer->bytes) - 1;

        *p = '\0';
        if (!z->parent)
                *--p = '/';

        for (; z->parent; z = z->parent) {
                size_t size = strlen(z->name);

                assert((size_t) (p - buffer->bytes) > size);
                p -= size;
                memcpy(p, z->name, size);
                *--p = '/';
        }

        return p;
}

/*
 * Name table
 */

uint32_t name_hash(const Znode *parent, const char *name, size_t name_size) {
        return (uint32_t) XXH3_64bits_withSeed(name, name_size, parent->id);
}

void name_table_done(NameTable *t) {
        for (uint64_t i = 0; i < t->buckets; i += NAME_SEGMENT_BUCKETS)
                g_free(t->segments[i / NAME_SEGMENT_BUCKETS]);
        g_free(t->segments);
        *t = (NameTable) { 0 };
}

static Znode **bucket_at(const NameTable *t, uint64_t i) {
        return &t->segments[i / NAME_SEGMENT_BUCKETS][i % NAME_SEGMENT_BUCKETS];
}

/* Buckets below buckets - level are already split by one more bit of the hash. */
static Znode **bucket_of(const NameTable *t, uint32_t hash) {
        uint64_t i = hash & (t->level * 2 - 1);

        return bucket_at(t, i < t->buckets ? i : i - t->level);
}

static void segment_add(NameTable *t) {
        size_t n = t->buckets / NAME_SEGMENT_BUCKETS;

        if (n == t->segments_allocated) {
                t->segments_allocated = MAX(t->segments_allocated * 2, 4U);
                t->segments = g_renew(Znode **, t->segments, t->segments_allocated);
        }
        t->segments[n] = g_new0(Znode *, NAME_SEGMENT_BUCKETS);
}

static void name_table_grow(NameTable *t) {
        Znode **from, **to;

        if (t->buckets == 0) {
                segment_add(t);
                t->buckets = t->level = NAME_SEGMENT_BUCKETS;
                return;
        }
        if (t->buckets > UINT32_MAX)            /* no more bits of the hash to split by */
                return;

        if (t->buckets % NAME_SEGMENT_BUCKETS == 0)
                segment_add(t);
        if (t->buckets == t->level * 2)
                t->level *= 2;

        from = bucket_at(t, t->buckets - t->level);
        to = bucket_at(t, t->buckets);
        t->buckets++;
        while (*from) {
                Znode *z = *from;

                if (!(z->hash & t->level)) {
                        from = &z->chain;
                        continue;
                }
                *from = z->chain;
                z->chain = *to;
                *to = z;
        }

        /* Buckets are split in turn, and what is in one is nowhere near: have it fetched some splits ahead. */
        __builtin_prefetch(*bucket_at(t, (t->buckets + NAME_PREFETCH) & (t->level - 1)));
}

void name_table_reserve(NameTable *t, uint64_t count) {
        assert(t->count == 0);

        while (t->buckets < MIN(count, UINT32_MAX)) {
                if (t->buckets > 0) {
                        segment_add(t);
                        t->buckets += NAME_SEGMENT_BUCKETS;
                } else
                        name_table_grow(t);
                while (t->buckets >= t->level * 2)
                        t->level *= 2;
        }
}

static void name_table_shrink(NameTable *t) {
        Znode **into, **from;

        if (t->buckets <= NAME_SEGMENT_BUCKETS)
                return;

        t->buckets--;
        if (t->buckets < t->level)
                t->level /= 2;

        from = bucket_at(t, t->buckets);
        for (into = bucket_at(t, t->buckets - t->level); *into; into = &(*into)->chain)
                ;
        *into = g_steal_pointer(from);
        if (t->buckets % NAME_SEGMENT_BUCKETS == 0)
                g_clear_pointer(&t->segments[t->buckets / NAME_SEGMENT_BUCKETS], g_free);
}

void name_table_insert(NameTable *t, Znode *z) {
        Znode **bucket;

        t->count++;
        if (t->count > t->buckets)
                name_table_grow(t);

        bucket = bucket_of(t, z->hash);
        z->chain = *bucket;
        *bucket = z;
}

void name_table_remove(NameTable *t, Znode *z) {
        Znode **at = bucket_of(t, z->hash);

        while (*at != z) {
                assert(*at);
                at = &(*at)->chain;
        }

        *at = g_steal_pointer(&z->chain);
        t->count--;
        if (t->count < t->buckets / 2)          /* not at once after growing, or they would take turns */
                name_table_shrink(t);
}

Znode *name_table_find(const NameTable *t, const Znode *parent, const char *name, size_t name_size) {
        uint32_t hash;
        unsigned steps = 0;

        if (znode_children_count(parent) == 0)
                return NULL;

        hash = name_hash(parent, name, name_size);
        for (Znode *z = *bucket_of(t, hash); z; z = z->chain) {
                if (z->hash == hash && z->parent == parent &&
                    strncmp(z->name, name, name_size) == 0 && z->name[name_size] == '\0')
                        return z;
                if (++steps == NAME_CHAIN_MAX)
                        return children_find(parent, name, name_size);
        }

        return NULL;
}

void name_table_check(const NameTable *t) {
        uint64_t count = 0;

        if (t->buckets > 0) {
                assert((t->level & (t->level - 1)) == 0);
                assert(t->level <= t->buckets && t->buckets <= t->level * 2);
        }

        for (uint64_t i = 0; i < t->buckets; i++)
                for (const Znode *z = *bucket_at(t, i); z; z = z->chain) {
                        assert(bucket_of(t, z->hash) == bucket_at(t, i));
                        assert(z->hash == name_hash(z->parent, z->name, strlen(z->name)));
                        count++;
                }

        assert(count == t->count);
}
