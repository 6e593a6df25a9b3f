/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * VStore: storage, steps, and what is asked for.
 */

#include "tests/sim/vstore-internal.h"

#include <assert.h>
#include <string.h>


const char *persist_point_to_string(PersistPoint p) {
        static const char *const names[] = {
                "append", "meta", "segment", "truncate", "install", "checkpoint", "drop",
        };

        return p < _PERSIST_MAX ? names[p] : "?";
}

/*
 * Storage
 */

VCheckpoint **vstorage_find(VStorage *s, uint64_t generation) {
        for (unsigned i = 0; i < G_N_ELEMENTS(s->checkpoints); i++)
                if (s->checkpoints[i].generation == generation && s->checkpoints[i].checkpoint)
                        return &s->checkpoints[i].checkpoint;
        return NULL;
}

static void storage_put(VStorage *s, uint64_t generation, VCheckpoint *checkpoint) {
        VCheckpoint **place = vstorage_find(s, generation);

        for (unsigned i = 0; !place && i < G_N_ELEMENTS(s->checkpoints); i++)
                if (!s->checkpoints[i].checkpoint) {
                        s->checkpoints[i].generation = generation;
                        place = &s->checkpoints[i].checkpoint;
                }
        assert(place);
        vcheckpoint_unref(*place);
        *place = vcheckpoint_ref(checkpoint);
}

void vstorage_drop_others(VStorage *s, uint64_t generation) {
        for (unsigned i = 0; i < G_N_ELEMENTS(s->checkpoints); i++)
                if (s->checkpoints[i].generation != generation)
                        s->checkpoints[i].checkpoint = vcheckpoint_unref(s->checkpoints[i].checkpoint);
}

void vstorage_done(VStorage *s) {
        vdisk_done(&s->disk);
        vstorage_drop_others(s, 0);
        *s = (VStorage) { 0 };
}

void vstorage_format(VStorage *s, const ZabMeta *meta) {
        VFile *f = vdisk_create(&s->disk, VDISK_NAME_META, META_FILE_BYTES);
        uint8_t slot[META_SLOT_BYTES];

        for (uint64_t seq = 1; seq <= 2; seq++) {
                meta_encode(&(MetaRecord) { .seq = seq, .meta = *meta }, slot);
                vdisk_write(f, meta_slot_offset(seq), slot, sizeof(slot));
        }
        vdisk_sync(f);
        vdisk_sync_names(&s->disk);
}

/*
 * Memory
 */

ZabEntry *entry_copy(const ZabEntry *e) {
        ZabEntry *copy = g_memdup2(e, sizeof(*e));

        if (copy->payload)
                g_bytes_ref(copy->payload);
        return copy;
}

void entry_free(gpointer p) {
        ZabEntry *e = p;

        if (e->payload)
                g_bytes_unref(e->payload);
        g_free(e);
}

void op_free(VOp *o) {
        for (unsigned i = 0; i < o->entries_count; i++)
                g_clear_pointer(&o->entries[i].payload, g_bytes_unref);
        g_free(o->entries);
        vcheckpoint_unref(o->checkpoint);
        vchanges_free(o->changes);
        checkpoint_position_done(&o->at);
        g_free(o);
}

static void step_clear(VStep *step) {
        g_clear_pointer(&step->data, g_free);
        step->checkpoint = vcheckpoint_unref(step->checkpoint);
}

VStore *vstore_new(VStorage *storage, const VStore *options) {
        VStore *s = g_new0(VStore, 1);

        s->storage = storage;
        s->listener = options->listener;
        s->prng = options->prng;
        s->segment_bytes = options->segment_bytes;
        s->keep_bytes = options->keep_bytes;
        s->watermark_usec = options->watermark_usec;
        s->meta_overtakes = options->meta_overtakes;
        s->segments = g_array_new(FALSE, FALSE, sizeof(VSegment));
        s->places = g_array_new(FALSE, FALSE, sizeof(VPlace));
        s->steps = g_array_new(FALSE, FALSE, sizeof(VStep));
        s->ops_end = &s->ops;
        return s;
}

VStore *vstore_free(VStore *s) {
        if (!s)
                return NULL;
        for (unsigned i = s->step; i < s->steps->len; i++)
                step_clear(&g_array_index(s->steps, VStep, i));
        for (VOp *o = s->ops, *next; o; o = next) {
                next = o->next;
                op_free(o);
        }
        if (s->checkpoint)
                op_free(s->checkpoint);
        g_array_unref(s->segments);
        g_array_unref(s->places);
        g_array_unref(s->steps);
        writer_done(&s->buffer);
        g_free(s);
        return NULL;
}

bool vstore_get_chain(const VStore *s, uint64_t index, Hash128 *ret) {
        const VPlace *place = index <= s->durable ? vstore_place(s, index) : NULL;

        if (!place)
                return false;
        *ret = place->chain;
        return true;
}

/*
 * Steps
 */

void vstore_sync_meta(VStore *s, const MetaRecord *record) {
        VFile *f = vdisk_find(&s->storage->disk, VDISK_NAME_META);
        uint8_t slot[META_SLOT_BYTES];
        MetaRecord r = *record;

        r.seq = ++s->next_seq;
        meta_encode(&r, slot);
        vdisk_write(f, meta_slot_offset(r.seq), slot, sizeof(slot));
        vdisk_sync(f);
        s->record = r;
}

static void step_begin(VStore *s, VStep *step) {
        VDisk *d = &s->storage->disk;
        uint8_t slot[META_SLOT_BYTES];

        switch (step->type) {

        case VSTEP_WRITE:
                vdisk_write(vdisk_find(d, step->name), step->offset, step->data, step->size);
                break;

        case VSTEP_META:
                meta_encode(&step->record, slot);
                vdisk_write(vdisk_find(d, VDISK_NAME_META), meta_slot_offset(step->record.seq), slot, sizeof(slot));
                break;

        case VSTEP_RENAME:
                vdisk_rename(d, VDISK_NAME_SPARE, step->name);
                break;

        case VSTEP_UNLINK:
                vdisk_unlink(d, step->name);
                break;

        default:
                break;
        }
}

static void step_end(VStore *s, VStep *step) {
        VDisk *d = &s->storage->disk;

        switch (step->type) {

        case VSTEP_WRITE:
                vdisk_sync(vdisk_find(d, step->name));
                break;

        case VSTEP_META:
                vdisk_sync(vdisk_find(d, VDISK_NAME_META));
                s->record = step->record;
                s->listener.settled(s->listener.userdata, PERSIST_META);
                break;

        case VSTEP_RENAME:
        case VSTEP_UNLINK:
                vdisk_sync_names(d);
                break;

        case VSTEP_COMMIT:
                storage_put(s->storage, step->number, step->checkpoint);
                break;

        default:
                break;
        }
}

/* What a call changes is seen by judges at once, but the member hears of it only if the host outlives the step. */
static void finish_step(VStore *s) {
        VStep step = g_array_index(s->steps, VStep, s->step);

        step_end(s, &step);
        s->in_step = false;
        s->step++;
        step_clear(&step);
        if (s->listener.persist(s->listener.userdata, step.point, PERSIST_AFTER, 0))
                s->stalled = true;
}

static void run(VStore *s) {
        uint64_t usec;

        while (!s->stalled && !s->in_step) {
                VStep *step;

                if (s->step == s->steps->len && !vstore_plan(s)) {
                        if (!s->proven && s->durable == s->last.index && vstore_newest(s))
                                s->listener.wake(s->listener.userdata, s->watermark_usec, ++s->token);
                        return;
                }
                if (s->step == s->steps->len)
                        continue;
                step = &g_array_index(s->steps, VStep, s->step);
                if (step->type == VSTEP_CALL) {
                        VStep call = *step;

                        s->step++;
                        call.call(s, call.number);
                        continue;
                }
                usec = s->listener.latency(s->listener.userdata, step->point);
                if (s->listener.persist(s->listener.userdata, step->point, PERSIST_BEFORE, usec)) {
                        s->stalled = true;
                        return;
                }
                step_begin(s, step);
                s->in_step = true;
                (void) s->listener.persist(s->listener.userdata, step->point, PERSIST_DURING, usec);
                s->listener.wake(s->listener.userdata, usec, ++s->token);
        }
}

/* Token 0: something was submitted.  Any other: that step, or that pause, is over, unless something came between. */
void vstore_on_disk(VStore *s, uint64_t token) {
        if (s->stalled || (token != 0 && token != s->token) || (token == 0 && s->in_step))
                return;
        if (s->in_step)
                finish_step(s);
        else if (token != 0 && !s->ops && !s->proven && s->durable == s->last.index && vstore_newest(s))
                vstore_plan_watermark(s);
        run(s);
}

/*
 * What is asked for
 */

static VOp *submit(VStore *s, VOpType type, uint64_t io_seq) {
        VOp *o = g_new0(VOp, 1);

        o->type = type;
        o->io_seq = io_seq;
        if (type == VOP_CHECKPOINT) {
                assert(!s->checkpoint);
                s->checkpoint = o;
        } else {
                *s->ops_end = o;
                s->ops_end = &o->next;
        }
        if (!s->in_step)
                s->listener.wake(s->listener.userdata, 0, 0);
        return o;
}

void vstore_append(VStore *s, uint64_t io_seq, const ZabEntry *entries, unsigned entries_count) {
        VOp *o = submit(s, VOP_APPEND, io_seq);

        o->entries = g_memdup2(entries, entries_count * sizeof(ZabEntry));
        o->entries_count = entries_count;
        for (unsigned i = 0; i < entries_count; i++)
                if (o->entries[i].payload)
                        g_bytes_ref(o->entries[i].payload);
}

void vstore_truncate(VStore *s, uint64_t io_seq, const ZabPosition *position) {
        submit(s, VOP_TRUNCATE, io_seq)->position = *position;
}

void vstore_write_meta(VStore *s, uint64_t io_seq, const ZabMeta *meta) {
        submit(s, VOP_META, io_seq)->meta = *meta;
}

void vstore_install(VStore *s, uint64_t io_seq, const ZabMeta *meta, VChanges *rows, const CheckpointPosition *position) {
        VOp *o;

        if (s->checkpoint && s->checkpoint->entries_done == 0)
                op_free(g_steal_pointer(&s->checkpoint));       /* of the state that is to go */
        o = submit(s, VOP_INSTALL, io_seq);
        s->installing = position->position.index;
        o->meta = *meta;
        o->position = position->position;
        o->checkpoint = vcheckpoint_commit(NULL, rows, position);
        vchanges_free(rows);
}

void vstore_checkpoint(VStore *s, bool full, VChanges *rows, const CheckpointPosition *position) {
        VOp *o = submit(s, VOP_CHECKPOINT, 0);

        o->full = full;
        o->changes = rows;
        o->at = *position;
        if (o->at.config)
                g_bytes_ref(o->at.config);
}

bool vstore_is_idle(const VStore *s) {
        return !s->ops && !s->in_step && s->step == s->steps->len;
}

bool vstore_is_checkpointing(const VStore *s) {
        return s->checkpoint;
}
