/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * SegmentScan
 */

#include "agent/store/format/scan.h"

#include <string.h>

#define WINDOW_BYTES (256 * 1024)

void segment_scan_done(SegmentScan *s) {
        g_clear_pointer(&s->window, g_free);
        s->window_size = s->window_allocated = 0;
}

void segment_scan_forget(SegmentScan *s) {
        s->window_size = 0;
}

int segment_scan_bytes(SegmentScan *s, uint64_t offset, size_t size, const uint8_t **ret) {
        size_t want = MAX(size, (size_t) WINDOW_BYTES);
        ssize_t n;

        *ret = NULL;
        if (s->end < offset || s->end - offset < size)
                return 0;

        if (offset < s->window_offset || offset + size > s->window_offset + s->window_size) {
                if (s->window_allocated < want) {
                        s->window = g_realloc(s->window, want);
                        s->window_allocated = want;
                }
                s->window_size = 0;
                want = (size_t) MIN((uint64_t) want, s->end - offset);
                n = s->source->read(s->source->userdata, s->segment, offset, s->window, want);
                if (n < 0)
                        return (int) n;
                s->window_offset = offset;
                s->window_size = (size_t) n;
                if ((size_t) n < want)
                        s->end = offset + (uint64_t) n;
                if (s->window_size < size)
                        return 0;
        }

        *ret = s->window + (offset - s->window_offset);
        return 1;
}

static SegmentScanVerdict judge_header(const SegmentScan *s, uint64_t first_index, const SegmentHeader *h,
                                       const char **ret_why) {
        if (memcmp(&h->cluster_id, &s->cluster_id, sizeof h->cluster_id) != 0 ||
            memcmp(&h->disk_id, &s->disk_id, sizeof h->disk_id) != 0) {
                *ret_why = "it belongs to another member";
                return SEGMENT_SCAN_BAD;
        }
        if (h->first_index != first_index) {
                *ret_why = "its name does not match its header";
                return SEGMENT_SCAN_BAD;
        }
        return SEGMENT_SCAN_OK;
}

int segment_scan_begin(SegmentScan *s, unsigned segment, uint64_t first_index, SegmentScanVerdict *ret,
                       const char **ret_why) {
        SegmentHeader h = { 0 };
        const uint8_t *block;
        int r;

        s->segment = segment;
        s->end = UINT64_MAX;
        segment_scan_forget(s);
        *ret = SEGMENT_SCAN_BAD;
        *ret_why = "the file is shorter than its header";
        r = segment_scan_bytes(s, 0, SEGMENT_HEADER_BYTES, &block);
        if (r <= 0)
                return r;

        switch (segment_header_decode(block, &h)) {

        case SEGMENT_OK:
                *ret = judge_header(s, first_index, &h, ret_why);
                break;

        case SEGMENT_BAD:
                *ret_why = "its header is damaged";
                return 0;

        case SEGMENT_NEWER:
                *ret = SEGMENT_SCAN_NEWER;
                *ret_why = "its format is of a later version";
                return 0;
        }
        if (*ret == SEGMENT_SCAN_OK) {
                s->header = h;
                s->end = MIN(s->end, h.segment_bytes);
        }
        return 0;
}

ZabPosition segment_scan_before(const SegmentScan *s) {
        return (ZabPosition) { s->header.first_index - 1, s->header.prev_zxid, s->header.prev_chain };
}

static bool continues(const ZabPosition *at, const Record *r) {
        if (r->type == ZAB_ENTRY_WATERMARK)
                return r->index == at->index && r->zxid == at->zxid && hash128_equal(r->chain, at->chain) &&
                       r->durable_hint == r->index;
        return r->index == at->index + 1 && r->zxid > at->zxid && r->prev_zxid == at->zxid &&
               r->durable_hint <= at->index;
}

int segment_scan_record(SegmentScan *s, const ZabPosition *at, uint64_t offset, Record *ret_record,
                        ZabEntry *ret_entry) {
        g_autoptr(GBytes) payload = NULL;
        const uint8_t *data;
        ZabEntry entry;
        Record record;
        int r;

        r = segment_scan_bytes(s, offset, RECORD_HEADER_BYTES, &data);
        if (r <= 0)
                return r;
        if (!record_decode_header(data, s->header.salt, &record) || !continues(at, &record))
                return 0;
        if (ret_entry) {
                r = segment_scan_bytes(s, offset, record_bytes(record.payload_size), &data);
                if (r <= 0)
                        return r;
                if (!record_payload_is_intact(&record, s->header.salt, data + RECORD_HEADER_BYTES))
                        return 0;
        }

        if (ret_entry && record.type != ZAB_ENTRY_WATERMARK) {
                payload = g_bytes_new(data + RECORD_HEADER_BYTES, record.payload_size);
                entry = (ZabEntry) {
                        .index = record.index,
                        .zxid = record.zxid,
                        .prev_zxid = record.prev_zxid,
                        .type = record.type,
                        .time_msec = record.time_msec,
                        .payload = payload,
                };
                entry.chain = zab_entry_chain(at->chain, &s->cluster_id, &entry);
                if (!hash128_equal(entry.chain, record.chain))
                        return 0;
                payload = NULL;
                *ret_entry = entry;
        }
        *ret_record = record;
        return 1;
}
