/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Fuzz: the recovery scan
 *
 * Random bytes would never get past a checksum, so the input is a course of action: entries, syncs, watermarks and new
 * segments make a log, patches damage it, and a patched header or record may be given a right checksum again.
 *
 *     u8 index of the checkpoint  u8 durable floor  u8 newest segment, then commands: u8 and its arguments
 */

#include <string.h>

#include "agent/base/reader.h"
#include "agent/store/format/record.h"
#include "agent/store/format/recover.h"
#include "tests/fuzz/fuzz.h"

#define SEGMENT_BYTES 8192
#define SEGMENTS_MAX 6
#define ENTRIES_MAX 64

uint64_t fuzz_accepted;

typedef struct Image {
        uint8_t data[SEGMENTS_MAX][SEGMENT_BYTES];
        size_t used[SEGMENTS_MAX], size[SEGMENTS_MAX];
        uint64_t first[SEGMENTS_MAX];
        unsigned count;
        ZabPosition history[ENTRIES_MAX + 1];   /* by index */
        uint64_t last, durable;
        uint64_t seen;                  /* last entry delivered */
        Writer scratch;
} Image;

static const Id128 cluster_id = { { 1 } }, disk_id = { { 2 } };

static uint64_t salt_of(unsigned segment) {
        return 1000 + segment;
}

static void rotate(Image *m) {
        SegmentHeader h = {
                .cluster_id = cluster_id,
                .disk_id = disk_id,
                .number = m->count + 1,
                .first_index = m->last + 1,
                .prev_zxid = m->history[m->last].zxid,
                .prev_chain = m->history[m->last].chain,
                .salt = salt_of(m->count),
                .segment_bytes = SEGMENT_BYTES,
        };

        if (m->count == SEGMENTS_MAX || (m->count > 0 && m->first[m->count - 1] == m->last + 1))
                return;
        segment_header_encode(&h, m->data[m->count]);
        m->used[m->count] = SEGMENT_HEADER_BYTES;
        m->size[m->count] = SEGMENT_BYTES;
        m->first[m->count] = h.first_index;
        m->count++;
        m->durable = m->last;
}

static void put(Image *m) {
        unsigned s = m->count - 1;

        if (m->scratch.size <= SEGMENT_BYTES - m->used[s]) {
                memcpy(m->data[s] + m->used[s], m->scratch.data, m->scratch.size);
                m->used[s] += m->scratch.size;
        }
}

static void append(Image *m, unsigned payload_size) {
        static const uint8_t zeros[256];
        g_autoptr(GBytes) payload = g_bytes_new_static(zeros, payload_size);
        ZabPosition before = m->history[m->last];
        ZabEntry e = {
                .index = before.index + 1,
                .zxid = before.zxid + 1,
                .prev_zxid = before.zxid,
                .type = ZAB_ENTRY_REQUEST,
                .payload = payload,
        };

        if (m->last == ENTRIES_MAX || m->used[m->count - 1] + record_bytes(payload_size) > SEGMENT_BYTES)
                return;
        e.chain = zab_entry_chain(before.chain, &cluster_id, &e);
        writer_clear(&m->scratch);
        record_encode(&m->scratch, salt_of(m->count - 1), &e, m->durable);
        put(m);
        m->history[++m->last] = (ZabPosition) { e.index, e.zxid, e.chain };
}

static void watermark(Image *m) {
        m->durable = m->last;
        writer_clear(&m->scratch);
        record_encode_watermark(&m->scratch, salt_of(m->count - 1), &m->history[m->last]);
        put(m);
}

static void seal(uint8_t *at, const void *first, size_t first_size, const void *second, size_t second_size,
                 uint64_t salt) {
        uint8_t checked[256];
        uint64_t check;

        memcpy(checked, first, first_size);
        memcpy(checked + first_size, second, second_size);
        check = GUINT64_TO_LE(XXH3_64bits_withSeed(checked, first_size + second_size, salt));
        memcpy(at, &check, sizeof check);
}

static void seal_header(uint8_t *block) {
        uint64_t check = GUINT64_TO_LE(XXH3_64bits(block, SEGMENT_HEADER_BYTES - 8));

        memcpy(block + SEGMENT_HEADER_BYTES - 8, &check, sizeof check);
}

static void patch(Image *m, Reader *r, bool sealed) {
        unsigned s = reader_u8(r) % SEGMENTS_MAX;
        uint32_t where = reader_u32(r);
        size_t offset = where % SEGMENT_BYTES, size = reader_u8(r);
        const uint8_t *bytes = reader_bytes(r, size);

        if (!bytes || s >= m->count || size > SEGMENT_BYTES - offset)
                return;
        memcpy(m->data[s] + offset, bytes, size);
        if (!sealed)
                return;
        if (offset < SEGMENT_HEADER_BYTES)
                seal_header(m->data[s]);
        else if (offset % 8 == 0 && offset + RECORD_HEADER_BYTES <= SEGMENT_BYTES) {
                uint8_t *record = m->data[s] + offset;

                seal(record + 8, record, 8, record + 16, RECORD_HEADER_BYTES - 16, salt_of(s));
        }
}

static void build(Image *m, Reader *r) {
        rotate(m);
        while (reader_left(r) > 0) {
                switch (reader_u8(r) % 8) {

                case 0:
                case 1:
                        append(m, reader_u8(r));
                        break;

                case 2:
                        m->durable = m->last;
                        break;

                case 3:
                        watermark(m);
                        break;

                case 4:
                        rotate(m);
                        break;

                case 5:
                        patch(m, r, false);
                        break;

                case 6:
                        patch(m, r, true);
                        break;

                case 7:
                        m->size[m->count - 1] = reader_u32(r) % (SEGMENT_BYTES + 1);
                        break;
                }
        }
}

static ssize_t image_read(void *userdata, unsigned segment, uint64_t offset, void *buffer, size_t size) {
        Image *m = userdata;

        fuzz_check(segment < m->count);
        if (offset >= m->size[segment])
                return 0;
        size = MIN(size, m->size[segment] - offset);
        memcpy(buffer, m->data[segment] + offset, size);
        return (ssize_t) size;
}

/* The chain covers all of an entry, so whatever was done to the bytes, what comes out is what went in. */
static int image_entry(void *userdata, const ZabEntry *e) {
        Image *m = userdata;

        fuzz_check(e->index == m->seen + 1);
        fuzz_check(e->index <= m->last);
        fuzz_check(hash128_equal(e->chain, m->history[e->index].chain));
        m->seen = e->index;
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autofree Image *m = g_new0(Image, 1);
        Reader r = READER_INIT(data, size);
        RecoverSource source = { .read = image_read, .entry = image_entry, .userdata = m };
        uint64_t checkpoint = reader_u8(&r), floor = reader_u8(&r), newest = reader_u8(&r);
        RecoverOptions options = {
                .cluster_id = cluster_id,
                .disk_id = disk_id,
                .durable_floor = floor,
                .newest_segment = newest,
        };
        RecoverResult result;

        build(m, &r);
        options.segments = m->first;
        options.segments_count = m->count;
        m->seen = MIN(checkpoint, m->last);
        options.checkpoint = m->history[m->seen];
        fuzz_check(recover_log(&options, &source, &result) == 0);

        if (result.verdict != RECOVER_NEWER) {
                fuzz_check(result.last.index >= m->seen);
                fuzz_check(result.last.index == MAX(m->seen, options.checkpoint.index));
        }
        if (result.verdict == RECOVER_DAMAGED)
                fuzz_check(result.lost_index == result.last.index + 1 && result.why);
        if (result.verdict == RECOVER_CLEAN || result.verdict == RECOVER_TORN) {
                fuzz_accepted++;
                fuzz_check(result.last.index >= floor);
                fuzz_check(result.stale || (result.segment < m->count && result.offset >= SEGMENT_HEADER_BYTES &&
                                            result.offset <= SEGMENT_BYTES));
                fuzz_check(hash128_equal(result.last.chain, m->history[result.last.index].chain));
        }
        writer_done(&m->scratch);
        return 0;
}
