/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Frame: what zab's messages carry
 */

#include <string.h>

#include "agent/base/limits.h"
#include "agent/wire/frame-internal.h"

/* index, zxid, prev_zxid, chain, type, time, length of the payload */
#define ENTRY_BYTES_MIN (3 * 8 + 16 + 1 + 8 + 4)

void frame_write_hash(Writer *w, Hash128 h) {
        writer_u64(w, h.low);
        writer_u64(w, h.high);
}

void frame_read_hash(Reader *r, Hash128 *ret) {
        ret->low = reader_u64(r);
        ret->high = reader_u64(r);
}

void frame_read_id(Reader *r, Id128 *ret) {
        const uint8_t *bytes = reader_bytes(r, sizeof(ret->bytes));

        if (bytes)
                memcpy(ret->bytes, bytes, sizeof(ret->bytes));
}

GBytes *frame_read_slice(Reader *r, GBytes *body, size_t size_max) {
        size_t size;
        const uint8_t *at = reader_blob(r, size_max, &size);

        if (r->failed)
                return NULL;
        return g_bytes_new_from_bytes(body, at - (const uint8_t *) g_bytes_get_data(body, NULL), size);
}

void frame_write_text(Writer *w, const char *text, size_t size_max) {
        size_t size = text ? strnlen(text, size_max) : 0;
        const char *end = text;

        if (size > 0)
                (void) g_utf8_validate(text, (gssize) size, &end);
        writer_blob(w, text, (size_t) (end - text));
        writer_u8(w, 0);
}

const char *frame_read_text(Reader *r, size_t size_max) {
        const char *s = reader_string(r, size_max);

        if (s && !g_utf8_validate(s, -1, NULL)) {
                r->failed = true;
                return NULL;
        }
        return s;
}

bool frame_read_bool(Reader *r) {
        uint8_t v = reader_u8(r);

        if (v > 1)
                r->failed = true;
        return v == 1;
}

static void write_position(Writer *w, const ZabPosition *p) {
        writer_u64(w, p->index);
        writer_u64(w, p->zxid);
        frame_write_hash(w, p->chain);
}

static void read_position(Reader *r, ZabPosition *ret) {
        ret->index = reader_u64(r);
        ret->zxid = reader_u64(r);
        frame_read_hash(r, &ret->chain);
}

static void write_optional(Writer *w, GBytes *bytes) {
        writer_u8(w, bytes != NULL);
        if (bytes)
                writer_blob(w, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

static GBytes *read_optional(Reader *r, GBytes *body) {
        return frame_read_bool(r) && !r->failed ? frame_read_slice(r, body, FRAME_CONFIG_BYTES_MAX) : NULL;
}

static void write_entries(Writer *w, const ZabEntry *entries, unsigned count) {
        writer_u32(w, count);
        for (unsigned i = 0; i < count; i++) {
                const ZabEntry *e = entries + i;

                writer_u64(w, e->index);
                writer_u64(w, e->zxid);
                writer_u64(w, e->prev_zxid);
                frame_write_hash(w, e->chain);
                writer_u8(w, (uint8_t) e->type);
                writer_i64(w, e->time_msec);
                writer_blob(w, g_bytes_get_data(e->payload, NULL), g_bytes_get_size(e->payload));
        }
}

static void read_entries(Reader *r, FrameMessage *m) {
        uint32_t count = reader_count(r, ZAB_MESSAGE_ENTRIES_MAX, ENTRY_BYTES_MIN);

        if (r->failed)
                return;

        m->entries = g_new0(ZabEntry, count);
        m->message.zab.entries = m->entries;
        m->message.zab.entries_count = count;
        for (uint32_t i = 0; i < count && !r->failed; i++) {
                ZabEntry *e = m->entries + i;

                e->index = reader_u64(r);
                e->zxid = reader_u64(r);
                e->prev_zxid = reader_u64(r);
                frame_read_hash(r, &e->chain);
                e->type = (ZabEntryType) reader_u8(r);
                e->time_msec = reader_i64(r);
                if (e->type != ZAB_ENTRY_REQUEST && e->type != ZAB_ENTRY_CONFIG)
                        r->failed = true;
                e->payload = frame_read_slice(r, m->body, LIMIT_REQUEST_BYTES);
        }
}

static void write_vote(Writer *w, const ZabVote *v) {
        writer_u32(w, v->accepted_epoch);
        writer_u32(w, v->current_epoch);
        write_position(w, &v->last);
        writer_u64(w, v->commit_index);
        writer_u64(w, v->commit_zxid);
        writer_u32(w, v->transfer_epoch);
        writer_u8(w, v->granted);
}

static void read_vote(Reader *r, ZabVote *ret) {
        ret->accepted_epoch = reader_u32(r);
        ret->current_epoch = reader_u32(r);
        read_position(r, &ret->last);
        ret->commit_index = reader_u64(r);
        ret->commit_zxid = reader_u64(r);
        ret->transfer_epoch = reader_u32(r);
        ret->granted = frame_read_bool(r);
}

static void write_sync(Writer *w, const ZabSyncRequest *s) {
        writer_u32(w, s->current_epoch);
        write_position(w, &s->last);
        writer_u64(w, s->base_index);
        writer_u64(w, s->base_zxid);
        writer_u8(w, s->snap_only);
        writer_u32(w, s->ends_count);
        for (unsigned i = 0; i < s->ends_count; i++) {
                writer_u32(w, s->ends[i].epoch);
                writer_u32(w, s->ends[i].counter);
        }
}

static void read_sync(Reader *r, FrameMessage *m) {
        ZabSyncRequest *s = &m->message.zab.sync;
        uint32_t count;

        s->current_epoch = reader_u32(r);
        read_position(r, &s->last);
        s->base_index = reader_u64(r);
        s->base_zxid = reader_u64(r);
        s->snap_only = frame_read_bool(r);
        count = reader_count(r, ZAB_MESSAGE_EPOCHS_MAX, 8);
        m->ends = g_new0(ZabEpochEnd, count);
        s->ends = m->ends;
        s->ends_count = count;
        for (uint32_t i = 0; i < count; i++) {
                m->ends[i].epoch = reader_u32(r);
                m->ends[i].counter = reader_u32(r);
                if (i > 0 && m->ends[i].epoch <= m->ends[i - 1].epoch)
                        r->failed = true;
        }
}

void frame_write_zab(Writer *w, unsigned fields, const ZabMessage *m) {
        if (fields & FIELD_INDEX)
                writer_u64(w, m->index);
        if (fields & FIELD_COMMIT)
                writer_u64(w, m->commit);
        if (fields & FIELD_TIME)
                writer_u64(w, m->time_usec);
        if (fields & FIELD_FLAG)
                writer_u8(w, m->flag);
        if (fields & FIELD_POSITION)
                write_position(w, &m->position);
        if (fields & FIELD_DIGEST)
                frame_write_hash(w, m->digest);
        if (fields & FIELD_CONFIG)
                write_optional(w, m->config);
        if (fields & FIELD_BYTES)
                writer_blob(w, g_bytes_get_data(m->bytes, NULL), g_bytes_get_size(m->bytes));
        if (fields & FIELD_ENTRIES)
                write_entries(w, m->entries, m->entries_count);
        if (fields & FIELD_VOTE)
                write_vote(w, &m->vote);
        if (fields & FIELD_HELLO) {
                writer_u8(w, m->hello.established);
                write_optional(w, m->hello.config);
                write_optional(w, m->hello.pending_config);
        }
        if (fields & FIELD_SYNC)
                write_sync(w, &m->sync);
        if (fields & FIELD_TEXT)
                frame_write_text(w, m->text, FRAME_TEXT_BYTES_MAX);
}

void frame_read_zab(Reader *r, unsigned fields, FrameMessage *m) {
        ZabMessage *z = &m->message.zab;

        if (fields & FIELD_INDEX)
                z->index = reader_u64(r);
        if (fields & FIELD_COMMIT)
                z->commit = reader_u64(r);
        if (fields & FIELD_TIME)
                z->time_usec = reader_u64(r);
        if (fields & FIELD_FLAG)
                z->flag = frame_read_bool(r);
        if (fields & FIELD_POSITION)
                read_position(r, &z->position);
        if (fields & FIELD_DIGEST)
                frame_read_hash(r, &z->digest);
        if (fields & FIELD_CONFIG)
                z->config = read_optional(r, m->body);
        if (fields & FIELD_BYTES)
                z->bytes = frame_read_slice(r, m->body, FRAME_BODY_BYTES_MAX);
        if (fields & FIELD_ENTRIES)
                read_entries(r, m);
        if (fields & FIELD_VOTE)
                read_vote(r, &z->vote);
        if (fields & FIELD_HELLO) {
                z->hello.established = frame_read_bool(r);
                z->hello.config = read_optional(r, m->body);
                z->hello.pending_config = read_optional(r, m->body);
        }
        if (fields & FIELD_SYNC)
                read_sync(r, m);
        if (fields & FIELD_TEXT)
                z->text = frame_read_text(r, FRAME_TEXT_BYTES_MAX);
}
