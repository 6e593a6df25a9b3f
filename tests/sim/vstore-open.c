/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * VStore: recovery, and reading back.
 */

#include <assert.h>
#include <string.h>

#include "agent/store/format/record.h"
#include "tests/sim/vstore-internal.h"

void vfound_done(VFound *f) {
        g_clear_pointer(&f->config, g_bytes_unref);
        g_clear_pointer(&f->entries, g_ptr_array_unref);
        g_clear_pointer(&f->epochs, g_array_unref);
        f->tree = tree_free(f->tree);
}

typedef struct Source {
        VDisk *disk;
        const uint64_t *segments;
        GPtrArray *entries;
} Source;

static ssize_t source_read(void *userdata, unsigned segment, uint64_t offset, void *buffer, size_t size) {
        Source *s = userdata;
        VFile *f = vdisk_find(s->disk, s->segments[segment]);
        size_t n;

        if (offset >= f->size)
                return 0;
        n = MIN(size, f->size - (size_t) offset);
        memcpy(buffer, f->cache + offset, n);
        return (ssize_t) n;
}

static int source_entry(void *userdata, const ZabEntry *entry) {
        Source *s = userdata;

        g_ptr_array_add(s->entries, entry_copy(entry));
        return 0;
}

static GArray *list_segments(const VDisk *d) {
        GArray *list = g_array_new(FALSE, FALSE, sizeof(uint64_t));

        for (unsigned i = 0; i < d->cached.count; i++)
                if (d->cached.items[i].name < VDISK_NAME_SPARE)
                        g_array_append_val(list, d->cached.items[i].name);
        return list;
}

static void remove_segments(VDisk *d, uint64_t from) {
        while (d->cached.count > 0) {
                uint64_t name = 0;

                for (unsigned i = 0; i < d->cached.count; i++)
                        if (d->cached.items[i].name < VDISK_NAME_SPARE && d->cached.items[i].name >= from)
                                name = d->cached.items[i].name;
                if (name == 0)
                        return;
                vdisk_unlink(d, name);
                vdisk_sync_names(d);
        }
}

/* Takes the records of a segment from its beginning up to `last` into the places. */
static void read_segment(VStore *s, uint64_t name, uint64_t last) {
        VFile *f = vdisk_find(&s->storage->disk, name);
        VSegment segment = { .first_index = name, .end = SEGMENT_HEADER_BYTES };
        Record r;

        if (segment_header_decode(f->cache, &segment.header) != SEGMENT_OK)
                return;
        if (s->segments->len == 0)
                s->base = (ZabPosition) { name - 1, segment.header.prev_zxid, segment.header.prev_chain };
        while (segment.end + RECORD_HEADER_BYTES <= f->size && s->base.index + s->places->len < last) {
                VPlace place = { name, segment.end };

                if (!record_decode_header(f->cache + segment.end, segment.header.salt, &r) || r.index > last ||
                    segment.end + record_bytes(r.payload_size) > f->size ||
                    !record_payload_is_intact(&r, segment.header.salt, f->cache + segment.end + RECORD_HEADER_BYTES)) {
                        segment.end += 8;       /* a hole below the checkpoint */
                        continue;
                }
                segment.end += record_bytes(r.payload_size);
                if (r.type == ZAB_ENTRY_WATERMARK && r.index > s->base.index + s->places->len) {
                        g_array_set_size(s->places, 0);
                        s->base = (ZabPosition) { r.index, r.zxid, r.chain };
                }
                if (r.type == ZAB_ENTRY_WATERMARK)
                        continue;
                if (r.index != s->base.index + s->places->len + 1) {
                        g_array_set_size(s->places, 0);
                        s->base = (ZabPosition) { r.index - 1, r.prev_zxid };
                }
                place.zxid = r.zxid;
                place.chain = r.chain;
                g_array_append_val(s->places, place);
        }
        g_array_append_val(s->segments, segment);
}

static void forget_log(VStore *s) {
        g_array_set_size(s->segments, 0);
        g_array_set_size(s->places, 0);
}

/* Everything the log holds, from the oldest segment from which it is complete to its end. */
static void read_places(VStore *s, const GArray *segments, uint64_t last) {
        for (unsigned i = 0; i < segments->len; i++) {
                uint64_t name = g_array_index(segments, uint64_t, i);

                if (s->segments->len > 0 && name != s->base.index + s->places->len + 1)
                        forget_log(s);
                read_segment(s, name, last);
        }
}

/* What the log holds before the checkpoint, as far as it is whole. */
static void find_base(VStore *s, const RecoverOptions *options, const RecoverSource *source, VFound *ret) {
        RecoverBase found;

        if (recover_base(options, source, &found) < 0)
                g_assert_not_reached();
        assert(found.base.index >= s->base.index);
        if (found.base.index > s->base.index) {
                g_array_remove_range(s->places, 0, (unsigned) (found.base.index - s->base.index));
                s->base = found.base;
        }
        ret->base_index = found.base.index;
        ret->base_zxid = found.base.zxid;
        ret->epochs = found.epochs;
}

/* What the scan found becomes what the disk says. */
static void settle(VStore *s, const GArray *segments, const RecoverResult *found, VFound *ret) {
        VDisk *d = &s->storage->disk;
        bool keep = !found->stale && found->offset > 0 && segments->len > 0;

        if (found->stale)
                remove_segments(d, 0);
        else if (segments->len > 0)
                remove_segments(d, g_array_index(segments, uint64_t, found->segment) + (keep ? 1 : 0));
        if (keep) {
                VFile *f = vdisk_find(d, g_array_index(segments, uint64_t, found->segment));

                if (found->verdict != RECOVER_CLEAN)
                        vdisk_write(f, (size_t) found->offset, NULL, f->size - (size_t) found->offset);
                vdisk_sync(f);
        }
        vdisk_sync_names(d);
        s->last = found->last;
        s->durable = found->last.index;
        ret->torn_bytes = found->torn_bytes;
}

static void damage(VFound *ret, const char *why) {
        ret->verdict = VSTORE_DAMAGED;
        ret->why = why;
}

static void load_checkpoint(VStore *s, const TreeListener *listener, VFound *ret) {
        uint64_t generation = s->record.meta.checkpoint_generation;
        VCheckpoint **c = generation > 0 ? vstorage_find(s->storage, generation) : NULL;
        CheckpointPosition position = { 0 };
        const char *why = "the checkpoint is missing";

        vstorage_drop_others(s->storage, generation);
        if (generation == 0)
                return;
        if (c)
                ret->tree = vcheckpoint_load(*c, listener, &position, &why);
        if (!ret->tree) {
                damage(ret, why);
                return;
        }
        ret->checkpoint = position.position;
        ret->config = g_steal_pointer(&position.config);
        s->checkpoint_index = position.position.index;
}

static void scan(VStore *s, VFound *ret) {
        g_autoptr(GArray) segments = list_segments(&s->storage->disk);
        Source source = { &s->storage->disk, (const uint64_t *) segments->data, ret->entries };
        RecoverSource rs = { source_read, source_entry, &source };
        RecoverOptions options = {
                .cluster_id = s->record.meta.cluster_id,
                .disk_id = s->record.meta.disk_id,
                .checkpoint = ret->checkpoint,
                .durable_floor = s->record.meta.durable_floor,
                .newest_segment = s->record.newest_segment,
                .segments = (const uint64_t *) segments->data,
                .segments_count = segments->len,
        };
        RecoverResult found;

        if (recover_log(&options, &rs, &found) < 0)
                g_assert_not_reached();
        g_assert(found.verdict != RECOVER_NEWER);
        if (found.verdict == RECOVER_DAMAGED)
                damage(ret, found.why);
        settle(s, segments, &found, ret);

        g_array_unref(segments);
        segments = list_segments(&s->storage->disk);
        read_places(s, segments, s->last.index);
        if (s->segments->len > 0 && found.offset > 0)
                g_array_index(s->segments, VSegment, s->segments->len - 1).end = (size_t) found.offset;
        /* What is left of a damaged log ends before the checkpoint: it continues nothing. */
        if (s->segments->len > 0 && s->base.index + s->places->len < s->last.index) {
                assert(ret->verdict == VSTORE_DAMAGED && s->last.index == ret->checkpoint.index);
                remove_segments(&s->storage->disk, 0);
                forget_log(s);
        }
        if (s->segments->len == 0)
                s->base = s->last;
        source.segments = (const uint64_t *) segments->data;
        options.segments = source.segments;
        options.segments_count = s->segments->len > 0 ? segments->len : 0;
        find_base(s, &options, &rs, ret);
}

static void mark_damaged(VStore *s) {
        MetaRecord r = s->record;
        VSegment *newest = s->segments->len > 0 ? &g_array_index(s->segments, VSegment, s->segments->len - 1) : NULL;

        r.meta.membership = ZAB_MEMBERSHIP_DAMAGED;
        r.meta.durable_floor = s->last.index;
        r.newest_segment = newest ? newest->first_index : 0;
        for (unsigned i = 0; i < 2; i++)
                vstore_sync_meta(s, &r);
}

/* A checkpoint that is no tree: what is behind it in the log means nothing. */
static void start_over(VStore *s, VFound *ret) {
        remove_segments(&s->storage->disk, 0);
        vstorage_drop_others(s->storage, 0);
        s->record.meta.checkpoint_generation = 0;
        s->last = s->base = (ZabPosition) { 0 };
        ret->epochs = g_array_new(FALSE, FALSE, sizeof(ZabEpochStart));
}

VStore *vstore_open(VStorage *storage, const VStore *options, const TreeListener *listener_tree, VFound *ret) {
        VFile *meta = vdisk_find(&storage->disk, VDISK_NAME_META);
        unsigned bad;
        VStore *s;

        *ret = (VFound) { .verdict = VSTORE_BLANK };
        if (!meta)
                return NULL;
        s = vstore_new(storage, options);
        vdisk_sync(meta);
        if (meta_choose(meta->cache, meta->size, &s->record, &bad) != META_OK) {
                ret->verdict = VSTORE_LOST;
                return vstore_free(s);
        }

        s->next_seq = s->record.seq;
        ret->verdict = VSTORE_OK;
        ret->entries = g_ptr_array_new_with_free_func(entry_free);
        load_checkpoint(s, listener_tree, ret);
        if (ret->verdict == VSTORE_DAMAGED)
                start_over(s, ret);
        else {
                /* A snapshot was installed, and its host crashed before the old log was gone. */
                if (s->record.newest_segment == 0)
                        remove_segments(&storage->disk, 0);
                scan(s, ret);
        }
        if (ret->verdict == VSTORE_DAMAGED)
                mark_damaged(s);
        if (s->segments->len == 0)
                vstore_begin_segment(s);
        return s;
}

/*
 * Reading back
 */

GPtrArray *vstore_read_log(const VStore *s, uint64_t from_index, uint64_t to_index, uint64_t bytes_max) {
        GPtrArray *entries = g_ptr_array_new_with_free_func(entry_free);
        uint64_t bytes = 0;

        if (from_index <= s->base.index)
                return entries;
        for (uint64_t i = from_index; i <= MIN(to_index, s->durable); i++) {
                const VPlace *p = &g_array_index(s->places, VPlace, i - s->base.index - 1);
                VFile *f = vdisk_find(&s->storage->disk, p->segment);
                const VSegment *segment = NULL;
                ZabEntry *e;
                Record r;

                for (unsigned j = 0; j < s->segments->len; j++)
                        if (g_array_index(s->segments, VSegment, j).first_index == p->segment)
                                segment = &g_array_index(s->segments, VSegment, j);
                if (!f || !segment || !record_decode_header(f->cache + p->offset, segment->header.salt, &r))
                        break;
                bytes += r.payload_size;
                if (bytes > bytes_max && entries->len > 0)
                        break;
                e = g_new0(ZabEntry, 1);
                *e = (ZabEntry) { r.index, r.zxid, r.prev_zxid, r.chain, r.type, r.time_msec,
                                  g_bytes_new(f->cache + p->offset + RECORD_HEADER_BYTES, r.payload_size) };
                g_ptr_array_add(entries, e);
        }
        return entries;
}

VCheckpoint *vstore_get_checkpoint(const VStore *s) {
        uint64_t generation = s->record.meta.checkpoint_generation;
        VCheckpoint **c = generation > 0 ? vstorage_find(s->storage, generation) : NULL;

        return c ? *c : NULL;
}
