/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Segment: see segment.h for the bytes.
 */

#include "agent/store/format/segment.h"

#include <assert.h>
#include <string.h>

#include "agent/base/reader.h"
#include "agent/base/writer.h"

#define CHECK_OFFSET (SEGMENT_HEADER_BYTES - 8)

static const char magic[8] = { 'c', 'v', 'n', '-', 'l', 'o', 'g', '\n' };

void segment_header_encode(const SegmentHeader *h, uint8_t ret_block[static SEGMENT_HEADER_BYTES]) {
        g_auto(Writer) w = WRITER_INIT;
        uint64_t check;

        writer_bytes(&w, magic, sizeof magic);
        writer_u32(&w, SEGMENT_FORMAT);
        writer_u32(&w, SEGMENT_HEADER_BYTES);
        writer_bytes(&w, h->cluster_id.bytes, sizeof h->cluster_id.bytes);
        writer_bytes(&w, h->disk_id.bytes, sizeof h->disk_id.bytes);
        writer_u64(&w, h->number);
        writer_u64(&w, h->first_index);
        writer_u64(&w, h->prev_zxid);
        writer_u64(&w, h->prev_chain.low);
        writer_u64(&w, h->prev_chain.high);
        writer_u64(&w, h->salt);
        writer_u64(&w, h->segment_bytes);
        assert(w.size <= CHECK_OFFSET);

        memset(ret_block, 0, SEGMENT_HEADER_BYTES);
        memcpy(ret_block, w.data, w.size);
        check = GUINT64_TO_LE(XXH3_64bits(ret_block, CHECK_OFFSET));
        memcpy(ret_block + CHECK_OFFSET, &check, sizeof check);
}

SegmentVerdict segment_header_decode(const uint8_t block[static SEGMENT_HEADER_BYTES], SegmentHeader *ret) {
        Reader r = READER_INIT(block, SEGMENT_HEADER_BYTES);
        SegmentHeader h = { 0 };
        uint32_t format;
        uint64_t check;

        memcpy(&check, block + CHECK_OFFSET, sizeof check);
        if (memcmp(reader_bytes(&r, sizeof magic), magic, sizeof magic) != 0 ||
            GUINT64_FROM_LE(check) != XXH3_64bits(block, CHECK_OFFSET))
                return SEGMENT_BAD;

        format = reader_u32(&r);
        if (format > SEGMENT_FORMAT)
                return SEGMENT_NEWER;
        if (format != SEGMENT_FORMAT || reader_u32(&r) != SEGMENT_HEADER_BYTES)
                return SEGMENT_BAD;

        memcpy(h.cluster_id.bytes, reader_bytes(&r, sizeof h.cluster_id.bytes), sizeof h.cluster_id.bytes);
        memcpy(h.disk_id.bytes, reader_bytes(&r, sizeof h.disk_id.bytes), sizeof h.disk_id.bytes);
        h.number = reader_u64(&r);
        h.first_index = reader_u64(&r);
        h.prev_zxid = reader_u64(&r);
        h.prev_chain.low = reader_u64(&r);
        h.prev_chain.high = reader_u64(&r);
        h.salt = reader_u64(&r);
        h.segment_bytes = reader_u64(&r);
        if (h.first_index == 0 || h.segment_bytes < SEGMENT_HEADER_BYTES || h.segment_bytes > INT64_MAX)
                return SEGMENT_BAD;
        *ret = h;
        return SEGMENT_OK;
}
