/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * VStore: operations become steps, in the orders of protocol 2.11 and 2.14.
 *
 * Planning changes what the store knows of the log ahead of the disk; what is durable changes only by the calls between
 * the steps.
 */

#include <assert.h>
#include <string.h>

#include "agent/store/format/record.h"
#include "tests/sim/vstore-internal.h"

#define BATCH_BYTES (64 * 1024)

static VStep *add_step(VStore *s, VStepType type, PersistPoint point) {
        VStep step = { .type = type, .point = point };

        g_array_append_val(s->steps, step);
        return &g_array_index(s->steps, VStep, s->steps->len - 1);
}

static void add_call(VStore *s, void (*call)(VStore *s, uint64_t number), uint64_t number) {
        VStep *step = add_step(s, VSTEP_CALL, _PERSIST_MAX);

        step->call = call;
        step->number = number;
}

static void add_meta(VStore *s, PersistPoint point, const MetaRecord *record) {
        VStep *step = add_step(s, VSTEP_META, point);

        step->record = *record;
        step->record.seq = ++s->next_seq;
}

/* What META is to say of the log as it will be once the steps before are done. */
static MetaRecord next_record(VStore *s, const ZabMeta *meta) {
        VSegment *segment = vstore_newest(s);
        MetaRecord r = { .meta = meta ? *meta : s->record.meta, .newest_segment = segment ? segment->first_index : 0 };

        r.meta.durable_floor = s->durable;
        r.meta.checkpoint_generation = s->record.meta.checkpoint_generation;
        return r;
}

static void call_flushed(VStore *s, uint64_t index) {
        s->durable = index;
        s->listener.settled(s->listener.userdata, PERSIST_APPEND);
}

static void call_appended(VStore *s, uint64_t io_seq) {
        s->listener.appended(s->listener.userdata, io_seq);
}

static void call_meta(VStore *s, uint64_t io_seq) {
        s->listener.meta_written(s->listener.userdata, io_seq);
}

static void plan_flush(VStore *s) {
        VSegment *segment = vstore_newest(s);
        VStep *step;

        if (s->buffer.size == 0)
                return;
        step = add_step(s, VSTEP_WRITE, PERSIST_APPEND);
        step->name = segment->first_index;
        step->offset = segment->end;
        step->size = s->buffer.size;
        step->data = g_memdup2(s->buffer.data, s->buffer.size);
        segment->end += s->buffer.size;
        writer_clear(&s->buffer);
        add_call(s, call_flushed, s->last.index);
}

static void make_header(VStore *s, SegmentHeader *ret) {
        *ret = (SegmentHeader) {
                .cluster_id = s->record.meta.cluster_id,
                .disk_id = s->record.meta.disk_id,
                .number = vstore_newest(s) ? vstore_newest(s)->header.number + 1 : 1,
                .first_index = s->last.index + 1,
                .prev_zxid = s->last.zxid,
                .prev_chain = s->last.chain,
                .salt = prng_next(&s->prng),
                .segment_bytes = s->segment_bytes,
        };
}

static VFile *need_spare(VStore *s) {
        VFile *spare = vdisk_find(&s->storage->disk, VDISK_NAME_SPARE);

        return spare ?: vdisk_create(&s->storage->disk, VDISK_NAME_SPARE, s->segment_bytes);
}

static void add_segment(VStore *s, const SegmentHeader *h) {
        VSegment segment = { .first_index = h->first_index, .header = *h, .end = SEGMENT_HEADER_BYTES };

        if (s->segments->len == 0)
                s->base = s->last;
        g_array_append_val(s->segments, segment);
        s->proven = true;
}

/* Header durable, then the name, then META says that it must be there. */
static void plan_segment(VStore *s) {
        SegmentHeader h;
        MetaRecord record;
        VStep *step;

        assert(s->buffer.size == 0);
        make_header(s, &h);
        (void) need_spare(s);
        step = add_step(s, VSTEP_WRITE, PERSIST_SEGMENT);
        step->name = VDISK_NAME_SPARE;
        step->size = SEGMENT_HEADER_BYTES;
        step->data = g_malloc(SEGMENT_HEADER_BYTES);
        segment_header_encode(&h, step->data);
        step = add_step(s, VSTEP_RENAME, PERSIST_SEGMENT);
        step->name = h.first_index;

        add_segment(s, &h);
        record = next_record(s, NULL);
        record.meta.durable_floor = s->last.index;
        add_meta(s, PERSIST_SEGMENT, &record);
}

void vstore_begin_segment(VStore *s) {
        uint8_t block[SEGMENT_HEADER_BYTES];
        SegmentHeader h;
        MetaRecord record;
        VFile *spare;

        make_header(s, &h);
        spare = need_spare(s);
        segment_header_encode(&h, block);
        vdisk_write(spare, 0, block, sizeof(block));
        vdisk_sync(spare);
        vdisk_rename(&s->storage->disk, VDISK_NAME_SPARE, h.first_index);
        vdisk_sync_names(&s->storage->disk);
        add_segment(s, &h);
        record = next_record(s, NULL);
        vstore_sync_meta(s, &record);
}

static bool encode(VStore *s, const ZabEntry *e) {
        VSegment *segment = vstore_newest(s);
        VPlace place = { .zxid = e->zxid, .chain = e->chain };
        size_t bytes = record_bytes(e->payload ? g_bytes_get_size(e->payload) : 0);

        assert(e->index == s->last.index + 1);
        assert(e->prev_zxid == s->last.zxid);
        if (segment->end + s->buffer.size + bytes > segment->header.segment_bytes)
                return false;
        place.segment = segment->first_index;
        place.offset = segment->end + s->buffer.size;
        record_encode(&s->buffer, segment->header.salt, e, s->durable);
        g_array_append_val(s->places, place);
        s->last = (ZabPosition) { e->index, e->zxid, e->chain };
        s->proven = false;
        return true;
}

/* As many appends as wait go out together.  Returns false if one of them needs a new segment first. */
static void plan_append(VStore *s) {
        uint64_t io_seq = 0;

        while (s->ops && s->ops->type == VOP_APPEND && s->buffer.size < BATCH_BYTES) {
                VOp *o = s->ops;

                while (o->entries_done < o->entries_count && encode(s, o->entries + o->entries_done))
                        o->entries_done++;
                if (o->entries_done < o->entries_count)
                        break;
                io_seq = o->io_seq;
                s->ops = o->next;
                if (!s->ops)
                        s->ops_end = &s->ops;
                op_free(o);
        }
        plan_flush(s);
        if (io_seq > 0)
                add_call(s, call_appended, io_seq);
        else
                plan_segment(s);
}

static void plan_unlinks(VStore *s, uint64_t from_index, PersistPoint point) {
        while (s->segments->len > 0 && vstore_newest(s)->first_index >= from_index) {
                add_step(s, VSTEP_UNLINK, point)->name = vstore_newest(s)->first_index;
                g_array_set_size(s->segments, s->segments->len - 1);
        }
}

/* The kept part of a segment in a new file, which then takes the name of the old one.  Zeros over the cut records would
 * not do: torn, they leave later records whose hints prove that the earlier ones were durable. */
static void plan_shorten(VStore *s, VSegment *segment, size_t end) {
        VFile *old = vdisk_find(&s->storage->disk, segment->first_index);
        VStep *step;

        (void) need_spare(s);
        step = add_step(s, VSTEP_WRITE, PERSIST_TRUNCATE);
        step->name = VDISK_NAME_SPARE;
        step->size = end;
        step->data = g_memdup2(old->cache, end);
        add_step(s, VSTEP_RENAME, PERSIST_TRUNCATE)->name = segment->first_index;
        segment->end = end;
}

/* First META, whose floor would else prove that the end is lost; then from the newest segment back (protocol P12). */
static void plan_truncate(VStore *s, const VOp *o) {
        const VPlace *after = vstore_place(s, o->position.index + 1);
        uint64_t index = o->position.index;
        MetaRecord record;

        assert(index >= s->base.index && index <= s->last.index);
        if (after) {
                size_t end = after->offset;
                uint64_t segment = after->segment;

                s->durable = MIN(s->durable, index);
                record = next_record(s, NULL);
                record.newest_segment = segment;
                for (unsigned i = 0; i < 2; i++)
                        add_meta(s, PERSIST_TRUNCATE, &record);
                plan_unlinks(s, segment + 1, PERSIST_TRUNCATE);
                plan_shorten(s, vstore_newest(s), end);
                g_array_set_size(s->places, (unsigned) (index - s->base.index));
                s->last = o->position;
                s->proven = false;
        }
        add_call(s, call_appended, o->io_seq);
}

static void call_installed(VStore *s, uint64_t index) {
        s->base = s->last;
        g_array_set_size(s->places, 0);
        s->durable = s->checkpoint_index = index;
        s->installing = 0;
        s->listener.settled(s->listener.userdata, PERSIST_INSTALL);
}

static void call_drop_generations(VStore *s, uint64_t generation) {
        vstorage_drop_others(s->storage, generation);
}

/* The new state beside the old one; META points at it and, with no newest segment, says that the log is void; only
 * then the log goes. */
static void plan_install(VStore *s, const VOp *o) {
        uint64_t generation = s->record.meta.checkpoint_generation + 1;
        MetaRecord record = { .meta = o->meta };
        VStep *step;

        step = add_step(s, VSTEP_COMMIT, PERSIST_INSTALL);
        step->checkpoint = vcheckpoint_ref(o->checkpoint);
        step->number = generation;
        s->last = o->position;
        record.meta.durable_floor = o->position.index;
        record.meta.checkpoint_generation = generation;
        add_meta(s, PERSIST_INSTALL, &record);
        add_call(s, call_installed, o->position.index);
        plan_unlinks(s, 0, PERSIST_INSTALL);
        add_call(s, call_drop_generations, generation);
        add_call(s, call_appended, o->io_seq);
}

static void call_checkpointed(VStore *s, uint64_t index) {
        s->checkpoint_index = index;
        s->listener.settled(s->listener.userdata, PERSIST_CHECKPOINT);
}

static void call_tell_checkpointed(VStore *s, uint64_t index) {
        if (s->checkpoint)
                op_free(g_steal_pointer(&s->checkpoint));
        s->listener.checkpointed(s->listener.userdata, index);
}

static void call_dropped(VStore *s, uint64_t first_index) {
        const VPlace *last = vstore_place(s, first_index - 1);

        if (!last)
                return;                 /* what went lay before a hole */
        s->base = (ZabPosition) { first_index - 1, last->zxid, last->chain };
        g_array_remove_range(s->places, 0, s->places->len - (unsigned) (s->last.index - s->base.index));
        s->listener.log_dropped(s->listener.userdata, s->base.index);
}

static void plan_drop(VStore *s, uint64_t checkpoint_index) {
        unsigned drop = 0;
        size_t bytes = 0;

        for (unsigned i = s->segments->len; i-- > 0;) {
                if (drop == 0 && i + 1 < s->segments->len && bytes >= s->keep_bytes &&
                    g_array_index(s->segments, VSegment, i + 1).first_index <= checkpoint_index + 1)
                        drop = i + 1;
                bytes += s->segment_bytes;
        }
        for (unsigned i = 0; i < drop; i++)
                add_step(s, VSTEP_UNLINK, PERSIST_DROP)->name = g_array_index(s->segments, VSegment, i).first_index;
        if (drop == 0)
                return;
        g_array_remove_range(s->segments, 0, drop);
        add_call(s, call_dropped, g_array_index(s->segments, VSegment, 0).first_index);
}

static void plan_checkpoint(VStore *s, VOp *o) {
        uint64_t current = s->record.meta.checkpoint_generation;
        uint64_t index = o->at.position.index;
        VStep *step = add_step(s, VSTEP_COMMIT, PERSIST_CHECKPOINT);

        assert(index <= s->durable);
        assert(current > 0 || o->full);
        step->number = o->full ? current + 1 : current;
        step->checkpoint = vcheckpoint_commit(o->full ? NULL : *vstorage_find(s->storage, current), o->changes, &o->at);
        if (o->full) {
                MetaRecord record = next_record(s, NULL);

                record.meta.checkpoint_generation = current + 1;
                add_meta(s, PERSIST_CHECKPOINT, &record);
                add_meta(s, PERSIST_CHECKPOINT, &record);
                add_call(s, call_drop_generations, current + 1);
        }
        add_call(s, call_checkpointed, index);
        plan_drop(s, index);
        add_call(s, call_tell_checkpointed, index);
        o->entries_done = 1;            /* in work */
}

/* The operation that is next, taken from the queue unless it is an append. */
static VOp *next_op(VStore *s) {
        VOp **at = &s->ops, *o;

        if (s->meta_overtakes)
                while (*at && ((*at)->type == VOP_APPEND || (*at)->type == VOP_TRUNCATE))
                        at = &(*at)->next;
        if (!*at || (*at)->type != VOP_META)
                at = &s->ops;
        o = *at;
        if (o->type == VOP_APPEND)
                return o;
        *at = o->next;
        if (!*at)
                s->ops_end = at;
        return o;
}

static void plan_op(VStore *s) {
        VOp *o = next_op(s);

        switch (o->type) {

        case VOP_APPEND:
                plan_append(s);
                return;

        case VOP_TRUNCATE:
                plan_truncate(s, o);
                break;

        case VOP_INSTALL:
                plan_install(s, o);
                break;

        default: {
                MetaRecord record = next_record(s, &o->meta);

                add_meta(s, PERSIST_META, &record);
                add_call(s, call_meta, o->io_seq);
                break;
        }
        }
        op_free(o);
}

void vstore_plan_watermark(VStore *s) {
        VSegment *segment = vstore_newest(s);

        s->proven = true;
        if (segment->end + record_bytes(0) > segment->header.segment_bytes)
                return;
        record_encode_watermark(&s->buffer, segment->header.salt, &s->last);
        plan_flush(s);
}

bool vstore_plan(VStore *s) {
        bool checkpoint = s->checkpoint && s->checkpoint->entries_done == 0;

        assert(s->step == s->steps->len);
        g_array_set_size(s->steps, 0);
        s->step = 0;

        if (s->segments->len == 0)
                plan_segment(s);        /* a snapshot has taken the place of the log */
        else if (s->ops && !(s->wrote_log && checkpoint)) {
                s->wrote_log = true;
                plan_op(s);
        } else if (checkpoint) {
                s->wrote_log = false;
                plan_checkpoint(s, s->checkpoint);
        } else
                return false;
        return true;
}
