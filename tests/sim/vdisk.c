/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * VDisk
 */

#include "tests/sim/vdisk.h"

#include <assert.h>
#include <string.h>

#include <glib.h>

static VFile *file_new(size_t size) {
        VFile *f = g_new0(VFile, 1);

        assert(size % VDISK_SECTOR_BYTES == 0);
        f->refs = 1;
        f->size = size;
        f->cache = g_malloc0(2 * size + (size / VDISK_SECTOR_BYTES + 63) / 64 * sizeof(uint64_t));
        f->platter = f->cache + size;
        f->dirty = (uint64_t *) (f->platter + size);
        return f;
}

static void file_unref(VFile *f) {
        if (--f->refs > 0)
                return;
        g_free(f->cache);
        g_free(f);
}

/* The place of `name`, or where it would be. */
static unsigned names_place(const VNames *n, uint64_t name) {
        unsigned i = n->count;

        while (i > 0 && n->items[i - 1].name >= name)
                i--;
        return i;
}

static VFile *names_find(const VNames *n, uint64_t name) {
        unsigned i = names_place(n, name);

        return i < n->count && n->items[i].name == name ? n->items[i].file : NULL;
}

static void names_remove(VNames *n, uint64_t name) {
        unsigned i = names_place(n, name);

        if (i == n->count || n->items[i].name != name)
                return;
        file_unref(n->items[i].file);
        n->count--;
        memmove(n->items + i, n->items + i + 1, (n->count - i) * sizeof(VName));
}

static void names_add(VNames *n, uint64_t name, VFile *file) {
        unsigned i;

        file->refs++;
        names_remove(n, name);
        if (n->count == n->allocated) {
                n->allocated = MAX(2 * n->allocated, 8);
                n->items = g_renew(VName, n->items, n->allocated);
        }
        i = names_place(n, name);
        memmove(n->items + i + 1, n->items + i, (n->count - i) * sizeof(VName));
        n->items[i] = (VName) { name, file };
        n->count++;
}

static void names_clear(VNames *n) {
        for (unsigned i = 0; i < n->count; i++)
                file_unref(n->items[i].file);
        n->count = 0;
}

static void names_apply(VNames *n, const VNameChange *c) {
        if (c->from != 0)
                names_remove(n, c->from);
        if (c->to != 0)
                names_add(n, c->to, c->file);
}

static void change(VDisk *d, uint64_t from, uint64_t to, VFile *file) {
        VNameChange c = { from, to, file };

        file->refs++;
        if (d->changes_count == d->changes_allocated) {
                d->changes_allocated = MAX(2 * d->changes_allocated, 8);
                d->changes = g_renew(VNameChange, d->changes, d->changes_allocated);
        }
        d->changes[d->changes_count++] = c;
        names_apply(&d->cached, &c);
}

static void forget_changes(VDisk *d) {
        for (unsigned i = 0; i < d->changes_count; i++)
                file_unref(d->changes[i].file);
        d->changes_count = 0;
}

void vdisk_done(VDisk *d) {
        forget_changes(d);
        names_clear(&d->cached);
        names_clear(&d->durable);
        g_free(d->cached.items);
        g_free(d->durable.items);
        g_free(d->changes);
        *d = (VDisk) { 0 };
}

VFile *vdisk_find(const VDisk *d, uint64_t name) {
        return names_find(&d->cached, name);
}

VFile *vdisk_create(VDisk *d, uint64_t name, size_t size) {
        VFile *f = file_new(size);

        change(d, 0, name, f);
        file_unref(f);
        return f;
}

void vdisk_rename(VDisk *d, uint64_t from, uint64_t to) {
        VFile *f = names_find(&d->cached, from);

        assert(f);
        change(d, from, to, f);
}

void vdisk_unlink(VDisk *d, uint64_t name) {
        VFile *f = names_find(&d->cached, name);

        assert(f);
        change(d, name, 0, f);
}

void vdisk_sync_names(VDisk *d) {
        for (unsigned i = 0; i < d->changes_count; i++)
                names_apply(&d->durable, d->changes + i);
        forget_changes(d);
}

void vdisk_write(VFile *f, size_t offset, const void *data, size_t size) {
        assert(offset <= f->size && size <= f->size - offset);

        if (size == 0)
                return;
        if (data)
                memcpy(f->cache + offset, data, size);
        else
                memset(f->cache + offset, 0, size);
        for (size_t i = offset / VDISK_SECTOR_BYTES; i <= (offset + size - 1) / VDISK_SECTOR_BYTES; i++)
                f->dirty[i / 64] |= UINT64_C(1) << i % 64;
        f->has_dirty = true;
}

static bool is_dirty(const VFile *f, size_t sector) {
        return f->dirty[sector / 64] >> sector % 64 & 1;
}

static void clean(VFile *f) {
        memset(f->dirty, 0, (f->size / VDISK_SECTOR_BYTES + 63) / 64 * sizeof(uint64_t));
        f->has_dirty = false;
}

void vdisk_sync(VFile *f) {
        if (!f->has_dirty)
                return;
        for (size_t i = 0; i < f->size / VDISK_SECTOR_BYTES; i++)
                if (is_dirty(f, i))
                        memcpy(f->platter + i * VDISK_SECTOR_BYTES, f->cache + i * VDISK_SECTOR_BYTES,
                               VDISK_SECTOR_BYTES);
        clean(f);
}

/* What the disk had written of the cache by itself. */
static void lose_cache(VFile *f, Prng *prng) {
        size_t group = prng_below(prng, 2) == 0 ? 1 : 8;        /* sectors that are written or not as one */
        uint64_t kept = prng_below(prng, 4);                    /* of three: none, about a third, ..., all */

        if (!f->has_dirty)
                return;
        for (size_t i = 0; i < f->size / VDISK_SECTOR_BYTES; i += group) {
                if (prng_below(prng, 3) >= kept)
                        continue;
                for (size_t j = i; j < MIN(i + group, f->size / VDISK_SECTOR_BYTES); j++)
                        if (is_dirty(f, j))
                                memcpy(f->platter + j * VDISK_SECTOR_BYTES, f->cache + j * VDISK_SECTOR_BYTES,
                                       VDISK_SECTOR_BYTES);
        }
        memcpy(f->cache, f->platter, f->size);
        clean(f);
}

void vdisk_lose_power(VDisk *d, Prng *prng) {
        unsigned kept = (unsigned) prng_below(prng, d->changes_count + 1);

        for (unsigned i = 0; i < kept; i++)
                names_apply(&d->durable, d->changes + i);
        forget_changes(d);
        names_clear(&d->cached);
        for (unsigned i = 0; i < d->durable.count; i++) {
                lose_cache(d->durable.items[i].file, prng);
                names_add(&d->cached, d->durable.items[i].name, d->durable.items[i].file);
        }
}

void vdisk_rot(VFile *f, Prng *prng, size_t begin, size_t end) {
        size_t at = begin + (size_t) prng_below(prng, end - begin);
        uint8_t bit = (uint8_t) (1 << prng_below(prng, 8));

        f->cache[at] ^= bit;
        f->platter[at] ^= bit;
}
