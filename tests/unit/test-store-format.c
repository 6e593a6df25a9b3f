/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The log's bytes and the rules of its recovery, on images in memory: cuts at every byte, every bit turned over.
 */

#include <errno.h>
#include <string.h>

#include <glib.h>

#include "agent/base/prng.h"
#include "agent/store/format/record.h"
#include "agent/store/format/recover.h"
#include "agent/store/format/segment.h"

#define SEGMENT_BYTES (8 * 1024)
#define SEGMENTS_MAX 8
#define ENTRIES_MAX 64

static const Id128 cluster_id = { { 1, 2, 3, 4, 5, 6, 7, 8, 9 } };
static const Id128 disk_id = { { 9, 8, 7 } };

/* A log in memory, and what was written to it. */
typedef struct Image {
        Writer segments[SEGMENTS_MAX];
        uint64_t first[SEGMENTS_MAX];
        uint64_t bytes[SEGMENTS_MAX];           /* of the file; SEGMENT_BYTES, or less if cut */
        unsigned segments_count;
        uint64_t salt;
        ZabPosition last;
        uint64_t durable;

        /* every entry: where it is */
        unsigned entry_segment[ENTRIES_MAX + 1];
        size_t entry_begin[ENTRIES_MAX + 1], entry_end[ENTRIES_MAX + 1];
        uint64_t entry_hint[ENTRIES_MAX + 1];
        ZabPosition entry_position[ENTRIES_MAX + 1];
} Image;

static SegmentHeader image_header(Image *m) {
        return (SegmentHeader) {
                .cluster_id = cluster_id,
                .disk_id = disk_id,
                .number = m->segments_count + 1,
                .first_index = m->last.index + 1,
                .prev_zxid = m->last.zxid,
                .prev_chain = m->last.chain,
                .salt = m->salt = 77 + m->segments_count,
                .segment_bytes = SEGMENT_BYTES,
        };
}

static void image_rotate(Image *m) {
        SegmentHeader h = image_header(m);
        Writer *w = &m->segments[m->segments_count];

        segment_header_encode(&h, writer_reserve(w, SEGMENT_HEADER_BYTES));
        m->first[m->segments_count] = h.first_index;
        m->bytes[m->segments_count] = SEGMENT_BYTES;
        m->segments_count++;
        m->durable = m->last.index;
}

static void image_append(Image *m, size_t payload_size) {
        Writer *w = &m->segments[m->segments_count - 1];
        g_autofree uint8_t *data = g_malloc(payload_size + 1);
        g_autoptr(GBytes) payload = NULL;
        ZabEntry e = {
                .index = m->last.index + 1,
                .zxid = m->last.zxid + 3,
                .prev_zxid = m->last.zxid,
                .type = m->last.index == 0 ? ZAB_ENTRY_CONFIG : ZAB_ENTRY_REQUEST,
                .time_msec = 1000 + (int64_t) m->last.index,
        };

        memset(data, 'a' + (int) (e.index % 26), payload_size);
        e.payload = payload = g_bytes_new(data, payload_size);
        e.chain = zab_entry_chain(m->last.chain, &cluster_id, &e);
        m->entry_segment[e.index] = m->segments_count - 1;
        m->entry_begin[e.index] = w->size;
        m->entry_hint[e.index] = m->durable;
        record_encode(w, m->salt, &e, m->durable);
        m->entry_end[e.index] = w->size;
        m->last = m->entry_position[e.index] = (ZabPosition) { e.index, e.zxid, e.chain };
        g_assert_cmpuint(w->size, <=, SEGMENT_BYTES);
}

static void image_sync(Image *m) {
        m->durable = m->last.index;
}

static void image_watermark(Image *m) {
        image_sync(m);
        record_encode_watermark(&m->segments[m->segments_count - 1], m->salt, &m->last);
}

/* Zeros up to the segment's size, so that bytes can be changed in place. */
static void image_finish(Image *m) {
        for (unsigned i = 0; i < m->segments_count; i++) {
                size_t used = m->segments[i].size;

                memset(writer_reserve(&m->segments[i], SEGMENT_BYTES - used), 0, SEGMENT_BYTES - used);
        }
}

static void image_done(Image *m) {
        for (unsigned i = 0; i < SEGMENTS_MAX; i++)
                writer_done(&m->segments[i]);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Image, image_done)

/* What a scan of an image saw. */
typedef struct Seen {
        const Image *image;
        uint64_t first, last;
} Seen;

typedef struct Reading {
        const Image *image;
        Seen *seen;
} Reading;

static ssize_t image_read(void *userdata, unsigned segment, uint64_t offset, void *buffer, size_t size) {
        Reading *reading = userdata;
        const Image *m = reading->image;

        g_assert_cmpuint(segment, <, m->segments_count);
        if (offset >= m->bytes[segment])
                return 0;
        size = MIN(size, m->bytes[segment] - offset);
        memcpy(buffer, m->segments[segment].data + offset, size);
        return (ssize_t) size;
}

static int image_entry(void *userdata, const ZabEntry *e) {
        Reading *reading = userdata;
        Seen *seen = reading->seen;
        const ZabPosition *p = &reading->image->entry_position[e->index];

        if (seen->first == 0)
                seen->first = e->index;
        else
                g_assert_cmpuint(e->index, ==, seen->last + 1);
        seen->last = e->index;
        g_assert_cmpuint(e->zxid, ==, p->zxid);
        g_assert_true(hash128_equal(e->chain, p->chain));
        g_assert_cmpint(e->time_msec, ==, 999 + (int64_t) e->index);
        for (size_t i = 0; i < g_bytes_get_size(e->payload); i++) {
                const char *data = g_bytes_get_data(e->payload, NULL);

                g_assert_cmpint(data[i], ==, 'a' + (int) (e->index % 26));
        }
        return 0;
}

static RecoverOptions image_options(const Image *m) {
        return (RecoverOptions) {
                .cluster_id = cluster_id,
                .disk_id = disk_id,
                .segments = m->first,
                .segments_count = m->segments_count,
        };
}

static RecoverResult image_scan(const Image *m, const RecoverOptions *options, Seen *ret_seen) {
        Seen seen = { .image = m };
        Reading reading = { .image = m, .seen = &seen };
        RecoverSource source = { .read = image_read, .entry = image_entry, .userdata = &reading };
        RecoverResult result;

        g_assert_cmpint(recover_log(options, &source, &result), ==, 0);
        if (ret_seen)
                *ret_seen = seen;
        return result;
}

static void assert_position(ZabPosition a, ZabPosition b) {
        g_assert_cmpuint(a.index, ==, b.index);
        g_assert_cmpuint(a.zxid, ==, b.zxid);
        g_assert_true(hash128_equal(a.chain, b.chain));
}

/* Three synced entries, then a batch of three that is cut at every byte: what is behind the cut is zeros, or
 * garbage. */
static void test_cut_everywhere(void) {
        for (unsigned garbage = 0; garbage < 2; garbage++) {
                g_auto(Image) m = { 0 };
                g_autofree uint8_t *whole = NULL;
                size_t begin, end;
                uint8_t *data;

                image_rotate(&m);
                for (unsigned i = 0; i < 3; i++) {
                        image_append(&m, 10 + i);
                        image_sync(&m);
                }
                for (unsigned i = 0; i < 3; i++)
                        image_append(&m, 30 + 7 * i);
                image_finish(&m);
                begin = m.entry_begin[4];
                end = m.entry_end[6];
                data = m.segments[0].data;
                whole = g_memdup2(data, SEGMENT_BYTES);

                for (size_t cut = begin; cut <= end; cut++) {
                        RecoverOptions o = image_options(&m);
                        unsigned good = 3;
                        RecoverResult r;
                        Seen seen;

                        memcpy(data, whole, SEGMENT_BYTES);
                        memset(data + cut, garbage ? 0xa5 : 0, SEGMENT_BYTES - cut);
                        /* the padding of a record is zeros: cutting it off with zeros takes nothing away */
                        while (good < 6 && memcmp(data + m.entry_begin[good + 1], whole + m.entry_begin[good + 1],
                                                  m.entry_end[good + 1] - m.entry_begin[good + 1]) == 0)
                                good++;
                        r = image_scan(&m, &o, &seen);
                        g_assert_cmpuint(seen.last, ==, good);
                        assert_position(r.last, m.entry_position[good]);
                        g_assert_cmpuint(r.offset, ==, m.entry_end[good]);
                        if (garbage || cut > m.entry_end[good])
                                g_assert_cmpint(r.verdict, ==, RECOVER_TORN);
                        else
                                g_assert_cmpint(r.verdict, ==, RECOVER_CLEAN);
                        g_assert_true((r.verdict == RECOVER_TORN) == (r.torn_bytes > 0));
                        g_assert_false(r.stale);

                        /* The same cut in a log whose META says that the batch was durable is a loss. */
                        o.durable_floor = 6;
                        r = image_scan(&m, &o, NULL);
                        if (good == 6)
                                g_assert_cmpint(r.verdict, ==, garbage ? RECOVER_TORN : RECOVER_CLEAN);
                        else {
                                g_assert_cmpint(r.verdict, ==, RECOVER_DAMAGED);
                                g_assert_cmpuint(r.lost_index, ==, good + 1);
                        }
                }
        }
}

/* A log of one segment; then every bit is turned over, one at a time.  What must come of it is said by another
 * route than the scan: by where the bit is and by the hints of the records behind it. */
static void flip_every_bit(Image *m, uint64_t watermark_index, size_t watermark_begin, size_t watermark_end) {
        RecoverOptions o = image_options(m);
        size_t used = watermark_end;
        uint8_t *data = m->segments[0].data;

        for (size_t bit = 0; bit < SEGMENT_BYTES * 8; bit++) {
                size_t byte = bit / 8;
                uint64_t hit = 0, proof = 0, last = m->last.index;
                RecoverResult r;
                Seen seen;

                data[byte] ^= 1u << bit % 8;
                r = image_scan(m, &o, &seen);
                data[byte] ^= 1u << bit % 8;

                if (byte < SEGMENT_HEADER_BYTES) {
                        if (r.verdict == RECOVER_NEWER)
                                g_assert_not_reached();
                        g_assert_cmpint(r.verdict, ==, RECOVER_DAMAGED);
                        g_assert_cmpuint(r.lost_index, ==, 1);
                        g_assert_cmpuint(r.offset, ==, 0);
                        g_assert_cmpuint(seen.last, ==, 0);
                        continue;
                }
                for (uint64_t i = 1; i <= last; i++) {
                        if (byte >= m->entry_begin[i] && byte < m->entry_end[i])
                                hit = i;
                        else if (hit > 0)
                                proof = MAX(proof, m->entry_hint[i]);
                }
                if (hit > 0 && m->entry_begin[hit] < watermark_begin)
                        proof = MAX(proof, watermark_index);

                if (hit == 0) {
                        /* the watermark, or the zeros at the end */
                        g_assert_cmpuint(byte, >=, watermark_begin);
                        g_assert_cmpint(r.verdict, ==, RECOVER_TORN);
                        assert_position(r.last, m->last);
                        g_assert_cmpuint(seen.last, ==, last);
                        g_assert_cmpuint(r.offset, ==, byte < used ? watermark_begin : used);
                } else if (proof >= hit) {
                        g_assert_cmpint(r.verdict, ==, RECOVER_DAMAGED);
                        g_assert_cmpuint(r.lost_index, ==, hit);
                        g_assert_cmpuint(seen.last, ==, hit - 1);
                        assert_position(r.last, m->entry_position[hit - 1]);
                        g_assert_cmpuint(r.offset, ==, m->entry_begin[hit]);
                } else {
                        g_assert_cmpint(r.verdict, ==, RECOVER_TORN);
                        g_assert_cmpuint(seen.last, ==, hit - 1);
                        g_assert_cmpuint(r.offset, ==, m->entry_begin[hit]);
                }
        }
}

static void test_flip_every_bit_proven(void) {
        g_auto(Image) m = { 0 };
        size_t begin;

        image_rotate(&m);
        for (unsigned i = 0; i < 5; i++) {
                image_append(&m, 20 + i);
                image_sync(&m);
        }
        begin = m.segments[0].size;
        image_watermark(&m);
        image_finish(&m);
        flip_every_bit(&m, 5, begin, begin + RECORD_HEADER_BYTES);
}

/* Two synced, then one batch of three that nothing proves. */
static void test_flip_every_bit_unproven(void) {
        g_auto(Image) m = { 0 };
        size_t end;

        image_rotate(&m);
        for (unsigned i = 0; i < 5; i++) {
                image_append(&m, 20 + i);
                if (i < 2)
                        image_sync(&m);
        }
        end = m.segments[0].size;
        image_finish(&m);
        flip_every_bit(&m, 0, end, end);
}

/* A watermark that is lost between two entries costs nothing. */
static void test_lost_watermark(void) {
        g_auto(Image) m = { 0 };
        RecoverOptions o;
        RecoverResult r;
        size_t begin;
        Seen seen;

        image_rotate(&m);
        image_append(&m, 10);
        begin = m.segments[0].size;
        image_watermark(&m);
        image_append(&m, 10);
        image_sync(&m);
        image_append(&m, 10);
        image_sync(&m);
        image_finish(&m);
        memset(m.segments[0].data + begin, 0xff, RECORD_HEADER_BYTES);

        o = image_options(&m);
        r = image_scan(&m, &o, &seen);
        g_assert_cmpint(r.verdict, ==, RECOVER_CLEAN);
        g_assert_cmpuint(seen.last, ==, 3);
}

/* Blocks of an unsynced batch that reached the disk in another order are no evidence. */
static void test_reordered(void) {
        g_auto(Image) m = { 0 };
        RecoverOptions o;
        RecoverResult r;

        image_rotate(&m);
        image_append(&m, 10);
        image_sync(&m);
        for (unsigned i = 0; i < 4; i++)
                image_append(&m, 50);
        image_finish(&m);
        memset(m.segments[0].data + m.entry_begin[2], 0, m.entry_end[2] - m.entry_begin[2]);

        o = image_options(&m);
        r = image_scan(&m, &o, NULL);
        g_assert_cmpint(r.verdict, ==, RECOVER_TORN);
        assert_position(r.last, m.entry_position[1]);
        g_assert_cmpuint(r.offset, ==, m.entry_begin[2]);
        g_assert_cmpuint(r.torn_bytes, >, m.entry_end[4] - m.entry_begin[2]);
}

static void make_segments(Image *m, unsigned segments, unsigned per_segment) {
        for (unsigned i = 0; i < segments; i++) {
                image_rotate(m);
                for (unsigned k = 0; k < per_segment; k++) {
                        image_append(m, 40);
                        image_sync(m);
                }
        }
        image_finish(m);
}

static void test_segments(void) {
        g_auto(Image) m = { 0 };
        RecoverOptions o;
        RecoverResult r;
        Seen seen;

        make_segments(&m, 4, 5);
        o = image_options(&m);
        r = image_scan(&m, &o, &seen);
        g_assert_cmpint(r.verdict, ==, RECOVER_CLEAN);
        g_assert_cmpuint(seen.first, ==, 1);
        g_assert_cmpuint(seen.last, ==, 20);
        g_assert_cmpuint(r.segment, ==, 3);
        g_assert_cmpuint(r.number, ==, 4);
        g_assert_cmpuint(r.offset, ==, m.entry_end[20]);

        /* From a checkpoint in any place: the entries after it, and no segment that is not needed. */
        for (uint64_t at = 0; at <= 20; at++) {
                o.checkpoint = m.entry_position[at];
                r = image_scan(&m, &o, &seen);
                g_assert_cmpint(r.verdict, ==, RECOVER_CLEAN);
                g_assert_cmpuint(seen.first, ==, at < 20 ? at + 1 : 0);
                assert_position(r.last, m.entry_position[20]);
        }

        /* A checkpoint of another history. */
        for (uint64_t at = 1; at <= 20; at++) {
                o.checkpoint = m.entry_position[at];
                o.checkpoint.chain.low ^= 1;
                r = image_scan(&m, &o, NULL);
                g_assert_cmpint(r.verdict, ==, RECOVER_DAMAGED);
        }
}

/* A segment that is not there, wherever it was. */
static void test_missing_segment(void) {
        for (unsigned missing = 0; missing < 4; missing++) {
                g_auto(Image) m = { 0 };
                g_auto(Image) gap = { 0 };
                RecoverOptions o;
                RecoverResult r;

                make_segments(&m, 4, 5);
                gap = m;
                memset(m.segments, 0, sizeof m.segments);
                writer_done(&gap.segments[missing]);
                for (unsigned i = missing; i + 1 < 4; i++) {
                        gap.segments[i] = gap.segments[i + 1];
                        gap.first[i] = gap.first[i + 1];
                }
                gap.segments[3] = WRITER_INIT;
                gap.segments_count = 3;

                o = image_options(&gap);
                o.newest_segment = 16;
                r = image_scan(&gap, &o, NULL);
                g_assert_cmpint(r.verdict, ==, RECOVER_DAMAGED);
                g_assert_cmpuint(r.lost_index, ==, missing * 5 + 1);

                /* Behind a checkpoint it does not matter. */
                if (missing < 3) {
                        o.checkpoint = gap.entry_position[15];
                        r = image_scan(&gap, &o, NULL);
                        g_assert_cmpint(r.verdict, ==, RECOVER_CLEAN);
                }
        }
}

/* Damage in what the checkpoint covers is stepped over. */
static void test_damage_before_checkpoint(void) {
        g_auto(Image) m = { 0 };
        RecoverOptions o;
        RecoverResult r;
        Seen seen;

        make_segments(&m, 1, 10);
        m.segments[0].data[m.entry_begin[3] + 20] ^= 1;
        o = image_options(&m);
        r = image_scan(&m, &o, &seen);
        g_assert_cmpint(r.verdict, ==, RECOVER_DAMAGED);
        g_assert_cmpuint(r.lost_index, ==, 3);

        for (uint64_t at = 3; at < 10; at++) {
                o.checkpoint = m.entry_position[at];
                r = image_scan(&m, &o, &seen);
                g_assert_cmpint(r.verdict, ==, RECOVER_CLEAN);
                g_assert_cmpuint(seen.first, ==, at + 1);
                g_assert_cmpuint(seen.last, ==, 10);
        }

        /* With nothing behind the checkpoint the log begins anew. */
        o.checkpoint = m.entry_position[10];
        r = image_scan(&m, &o, &seen);
        g_assert_cmpint(r.verdict, ==, RECOVER_TORN);
        g_assert_true(r.stale);
        assert_position(r.last, m.entry_position[10]);

        /* And if something behind it was durable, that is a loss. */
        o.durable_floor = 11;
        r = image_scan(&m, &o, &seen);
        g_assert_cmpint(r.verdict, ==, RECOVER_DAMAGED);
        g_assert_cmpuint(r.lost_index, ==, 11);
}

static void test_header(void) {
        uint8_t block[SEGMENT_HEADER_BYTES];
        g_auto(Image) m = { 0 };
        RecoverOptions o;
        RecoverResult r;
        uint32_t format = GUINT32_TO_LE(SEGMENT_FORMAT + 1);
        uint64_t check;

        make_segments(&m, 2, 3);
        o = image_options(&m);
        memcpy(block, m.segments[1].data, sizeof block);

        /* a later format, and intact */
        memcpy(m.segments[1].data + 8, &format, sizeof format);
        check = GUINT64_TO_LE(XXH3_64bits(m.segments[1].data, SEGMENT_HEADER_BYTES - 8));
        memcpy(m.segments[1].data + SEGMENT_HEADER_BYTES - 8, &check, sizeof check);
        r = image_scan(&m, &o, NULL);
        g_assert_cmpint(r.verdict, ==, RECOVER_NEWER);
        g_assert_cmpuint(r.segment, ==, 1);
        memcpy(m.segments[1].data, block, sizeof block);

        /* another member's disk */
        o.disk_id.bytes[0] ^= 1;
        r = image_scan(&m, &o, NULL);
        g_assert_cmpint(r.verdict, ==, RECOVER_DAMAGED);
        o = image_options(&m);

        /* a segment under another's name */
        m.first[1]++;
        r = image_scan(&m, &o, NULL);
        g_assert_cmpint(r.verdict, ==, RECOVER_DAMAGED);
        m.first[1]--;

        /* shorter than it was made, even by zeros only; the same of an older one does not matter */
        m.bytes[1]--;
        r = image_scan(&m, &o, NULL);
        g_assert_cmpint(r.verdict, ==, RECOVER_DAMAGED);
        g_assert_cmpuint(r.lost_index, ==, 7);
        m.bytes[1] = 100;
        r = image_scan(&m, &o, NULL);
        g_assert_cmpint(r.verdict, ==, RECOVER_DAMAGED);
        g_assert_cmpuint(r.lost_index, ==, 4);
        m.bytes[1] = SEGMENT_BYTES;
        m.bytes[0] = m.entry_end[3];
        r = image_scan(&m, &o, NULL);
        g_assert_cmpint(r.verdict, ==, RECOVER_CLEAN);
}

/* What a client stores cannot pass for a record, even a copy of one from another segment. */
static void test_forged(void) {
        g_auto(Image) m = { 0 };
        g_auto(Image) other = { 0 };
        RecoverOptions o;
        RecoverResult r;
        uint8_t *data;
        size_t at;

        image_rotate(&other);
        for (unsigned i = 0; i < 5; i++) {
                image_append(&other, 20);
                image_sync(&other);
        }
        image_finish(&other);

        m.segments_count = 0;
        image_rotate(&m);
        image_append(&m, 10);
        image_sync(&m);
        image_append(&m, 3000);
        image_finish(&m);
        data = m.segments[0].data;
        at = m.entry_begin[2] + RECORD_HEADER_BYTES + 8;
        /* Records with convincing hints inside the payload, under the salt of another segment. */
        other.salt = 4711;
        writer_clear(&other.segments[0]);
        other.last = m.entry_position[1];
        other.durable = 1;
        other.segments_count = 1;
        for (unsigned i = 0; i < 5; i++) {
                image_append(&other, 20);
                image_sync(&other);
        }
        memcpy(data + at, other.segments[0].data, other.segments[0].size);
        data[m.entry_begin[2]] ^= 4;

        o = image_options(&m);
        r = image_scan(&m, &o, NULL);
        g_assert_cmpint(r.verdict, ==, RECOVER_TORN);
        assert_position(r.last, m.entry_position[1]);
}

static ssize_t failing_read(void *userdata, unsigned segment, uint64_t offset, void *buffer, size_t size) {
        return -EIO;
}

static int refusing_entry(void *userdata, const ZabEntry *e) {
        return e->index == 4 ? -EBADMSG : 0;
}

static void test_errors(void) {
        g_auto(Image) m = { 0 };
        Reading reading = { .image = &m };
        RecoverSource source = { .read = failing_read, .userdata = &reading };
        RecoverOptions o;
        RecoverResult r;

        make_segments(&m, 2, 3);
        o = image_options(&m);
        g_assert_cmpint(recover_log(&o, &source, &r), ==, -EIO);
        source.read = image_read;
        source.entry = refusing_entry;
        g_assert_cmpint(recover_log(&o, &source, &r), ==, -EBADMSG);
}

static void test_empty(void) {
        RecoverOptions o = { .cluster_id = cluster_id, .disk_id = disk_id };
        g_auto(Image) m = { 0 };
        RecoverResult r;

        r = image_scan(&m, &o, NULL);
        g_assert_cmpint(r.verdict, ==, RECOVER_CLEAN);
        g_assert_true(r.stale);
        o.checkpoint.index = 5;
        r = image_scan(&m, &o, NULL);
        g_assert_cmpint(r.verdict, ==, RECOVER_CLEAN);
        g_assert_cmpuint(r.last.index, ==, 5);
        o.durable_floor = 6;
        r = image_scan(&m, &o, NULL);
        g_assert_cmpint(r.verdict, ==, RECOVER_DAMAGED);
        g_assert_cmpuint(r.lost_index, ==, 6);
        o.durable_floor = 0;
        o.newest_segment = 3;
        r = image_scan(&m, &o, NULL);
        g_assert_cmpint(r.verdict, ==, RECOVER_DAMAGED);
}

/* Random bytes over random places of a log, as the fuzzer does: always a verdict, and never a wrong entry. */
static void test_random_damage(void) {
        Prng prng = { 1 };

        for (unsigned round = 0; round < 3000; round++) {
                g_auto(Image) m = { 0 };
                g_auto(Image) whole = { 0 };
                RecoverOptions o;
                RecoverResult r;
                Seen seen;

                make_segments(&whole, 3, 6);
                make_segments(&m, 3, 6);
                for (unsigned i = 0; i < 1 + prng_below(&prng, 4); i++) {
                        size_t at = prng_below(&prng, 6000), n = 1 + prng_below(&prng, 600);

                        for (size_t k = 0; k < n; k++)
                                m.segments[i % 3].data[at + k] = (uint8_t) prng_next(&prng);
                }
                o = image_options(&m);
                o.checkpoint = m.entry_position[prng_below(&prng, 19)];
                r = image_scan(&m, &o, &seen);
                g_assert_cmpuint(r.last.index, >=, o.checkpoint.index);
                assert_position(r.last, m.entry_position[r.last.index]);
                if (r.verdict == RECOVER_DAMAGED) {
                        g_assert_cmpuint(r.lost_index, ==, r.last.index + 1);
                        continue;
                }
                /* Cut without a word only where no record that is still whole knew better. */
                g_assert_cmpuint(r.last.index, >=, 12);
                for (uint64_t i = r.last.index + 1; i <= 18; i++)
                        if (memcmp(m.segments[2].data + m.entry_begin[i], whole.segments[2].data + m.entry_begin[i],
                                   m.entry_end[i] - m.entry_begin[i]) == 0)
                                g_assert_cmpuint(m.entry_hint[i], <=, r.last.index);
        }
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/store/recover/cut-everywhere", test_cut_everywhere);
        g_test_add_func("/store/recover/flip-every-bit-proven", test_flip_every_bit_proven);
        g_test_add_func("/store/recover/flip-every-bit-unproven", test_flip_every_bit_unproven);
        g_test_add_func("/store/recover/lost-watermark", test_lost_watermark);
        g_test_add_func("/store/recover/reordered", test_reordered);
        g_test_add_func("/store/recover/segments", test_segments);
        g_test_add_func("/store/recover/missing-segment", test_missing_segment);
        g_test_add_func("/store/recover/damage-before-checkpoint", test_damage_before_checkpoint);
        g_test_add_func("/store/recover/header", test_header);
        g_test_add_func("/store/recover/forged", test_forged);
        g_test_add_func("/store/recover/errors", test_errors);
        g_test_add_func("/store/recover/empty", test_empty);
        g_test_add_func("/store/recover/random-damage", test_random_damage);

        return g_test_run();
}
