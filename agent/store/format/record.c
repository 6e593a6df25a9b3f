/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Record: see record.h for the bytes.
 */

#include "agent/store/format/record.h"

#include <assert.h>
#include <string.h>

#include "agent/base/reader.h"

#define CHECK_OFFSET 8
#define CHECKED_OFFSET 16

static uint64_t header_check(const uint8_t *header, uint64_t salt) {
        uint8_t checked[RECORD_HEADER_BYTES - 8];

        memcpy(checked, header, CHECK_OFFSET);
        memcpy(checked + CHECK_OFFSET, header + CHECKED_OFFSET, RECORD_HEADER_BYTES - CHECKED_OFFSET);
        return XXH3_64bits_withSeed(checked, sizeof checked, salt);
}

/* The header goes in last, because it holds the hash of the padded payload, which is complete only in the buffer. */
static void encode(Writer *w, uint64_t salt, const Record *r, const void *payload) {
        size_t start = w->size, padded = record_bytes(r->payload_size) - RECORD_HEADER_BYTES;
        uint64_t check;
        uint8_t *body;

        assert(start % 8 == 0);
        assert(r->payload_size <= RECORD_PAYLOAD_BYTES_MAX);

        body = writer_reserve(w, RECORD_HEADER_BYTES + padded) + RECORD_HEADER_BYTES;
        if (r->payload_size > 0)
                memcpy(body, payload, r->payload_size);
        memset(body + r->payload_size, 0, padded - r->payload_size);
        check = XXH3_64bits_withSeed(body, padded, salt);

        w->size = start;
        writer_u32(w, r->payload_size);
        writer_u32(w, r->type);
        writer_u64(w, 0);
        writer_u64(w, check);
        writer_u64(w, r->index);
        writer_u64(w, r->zxid);
        writer_u64(w, r->prev_zxid);
        writer_u64(w, r->chain.low);
        writer_u64(w, r->chain.high);
        writer_u64(w, r->durable_hint);
        writer_i64(w, r->time_msec);
        assert(w->size == start + RECORD_HEADER_BYTES);

        check = GUINT64_TO_LE(header_check(w->data + start, salt));
        memcpy(w->data + start + CHECK_OFFSET, &check, sizeof check);
        w->size += padded;
}

void record_encode(Writer *w, uint64_t salt, const ZabEntry *entry, uint64_t durable_hint) {
        gsize size = 0;
        const void *payload = entry->payload ? g_bytes_get_data(entry->payload, &size) : NULL;

        assert(entry->type == ZAB_ENTRY_REQUEST || entry->type == ZAB_ENTRY_CONFIG);
        assert(entry->index > durable_hint);
        assert(size <= RECORD_PAYLOAD_BYTES_MAX);

        encode(w, salt,
               &(Record) {
                       .type = entry->type,
                       .payload_size = (uint32_t) size,
                       .index = entry->index,
                       .zxid = entry->zxid,
                       .prev_zxid = entry->prev_zxid,
                       .chain = entry->chain,
                       .durable_hint = durable_hint,
                       .time_msec = entry->time_msec,
               },
               payload);
}

void record_encode_watermark(Writer *w, uint64_t salt, const ZabPosition *last) {
        encode(w, salt,
               &(Record) {
                       .type = ZAB_ENTRY_WATERMARK,
                       .index = last->index,
                       .zxid = last->zxid,
                       .chain = last->chain,
                       .durable_hint = last->index,
               },
               NULL);
}

bool record_decode_header(const uint8_t *data, uint64_t salt, Record *ret) {
        Reader r = READER_INIT(data, RECORD_HEADER_BYTES);
        Record record = { 0 };
        uint64_t check;

        /* The cheap tests come first: a search asks this for every eighth byte of a segment. */
        record.payload_size = reader_u32(&r);
        record.type = (ZabEntryType) reader_u32(&r);
        if (record.type < ZAB_ENTRY_REQUEST || record.type > ZAB_ENTRY_WATERMARK)
                return false;
        if (record.payload_size > (record.type == ZAB_ENTRY_WATERMARK ? 0 : RECORD_PAYLOAD_BYTES_MAX))
                return false;
        check = reader_u64(&r);
        if (check != header_check(data, salt))
                return false;

        record.payload_check = reader_u64(&r);
        record.index = reader_u64(&r);
        record.zxid = reader_u64(&r);
        record.prev_zxid = reader_u64(&r);
        record.chain.low = reader_u64(&r);
        record.chain.high = reader_u64(&r);
        record.durable_hint = reader_u64(&r);
        record.time_msec = reader_i64(&r);
        assert(reader_done(&r));
        *ret = record;
        return true;
}

bool record_payload_is_intact(const Record *r, uint64_t salt, const uint8_t *payload) {
        size_t padded = record_bytes(r->payload_size) - RECORD_HEADER_BYTES;

        return XXH3_64bits_withSeed(payload, padded, salt) == r->payload_check;
}
