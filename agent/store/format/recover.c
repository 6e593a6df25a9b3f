/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Recover
 *
 * scan_log() walks the segments, scan_segment() the records of one, and search() looks past a bad spot for what
 * tells a torn write from a loss.
 */

#include "agent/store/format/recover.h"

#include <assert.h>
#include <string.h>

#include "agent/store/format/record.h"

typedef struct Scan {
        const RecoverOptions *options;
        const RecoverSource *source;
        SegmentScan scan;
        ZabPosition at;                 /* the last good entry */
        RecoverResult *result;
} Scan;

/* What lies behind a bad spot. */
typedef struct Search {
        uint64_t proof;                 /* highest durable hint */
        bool resumes;                   /* a record goes on where the good part, or the checkpoint, ended: */
        uint64_t resume_offset;
        ZabPosition resume_at;
        uint64_t nonzero_end;           /* behind the last eight bytes that are not zero */
} Search;

/* Whether the record at `offset` lets the scan go on: after the last good entry or, while still below the
 * checkpoint, after that. */
static int try_resume(Scan *s, uint64_t offset, Search *search) {
        const ZabPosition *from[] = { &s->at, &s->options->checkpoint };

        for (unsigned i = 0; i < (s->at.index < s->options->checkpoint.index ? 2 : 1); i++) {
                ZabEntry entry = { 0 };
                Record record;
                int r;

                r = segment_scan_record(&s->scan, from[i], offset, &record, &entry);
                if (r < 0)
                        return r;
                g_clear_pointer(&entry.payload, g_bytes_unref);
                if (r > 0) {
                        search->resumes = true;
                        search->resume_offset = offset;
                        search->resume_at = *from[i];
                        return 0;
                }
        }
        return 0;
}

static int search(Scan *s, uint64_t offset, Search *ret) {
        *ret = (Search) { .nonzero_end = offset };

        for (; !ret->resumes; offset += 8) {
                const uint8_t *data;
                Record record;
                uint64_t word;
                int r;

                r = segment_scan_bytes(&s->scan, offset, sizeof word, &data);
                if (r < 0)
                        return r;
                if (r == 0)
                        return 0;
                memcpy(&word, data, sizeof word);
                if (word == 0)
                        continue;
                ret->nonzero_end = offset + sizeof word;

                r = segment_scan_bytes(&s->scan, offset, RECORD_HEADER_BYTES, &data);
                if (r < 0)
                        return r;
                if (r == 0 || !record_decode_header(data, s->scan.header.salt, &record))
                        continue;
                ret->proof = MAX(ret->proof, record.durable_hint);
                r = try_resume(s, offset, ret);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int damaged(Scan *s, uint64_t offset, const char *why) {
        RecoverResult *result = s->result;

        result->verdict = RECOVER_DAMAGED;
        result->segment = s->scan.segment;
        result->offset = offset;
        result->lost_index = MAX(s->at.index, s->options->checkpoint.index) + 1;
        result->why = why;
        return 0;
}

/* The bad spot at `offset` of the last segment cannot be stepped over. */
static int judge_tail(Scan *s, uint64_t offset, const Search *found) {
        const RecoverOptions *o = s->options;
        RecoverResult *result = s->result;
        uint64_t lost = MAX(s->at.index, o->checkpoint.index) + 1;

        if (s->scan.end < s->scan.header.segment_bytes)
                return damaged(s, offset, "the file is shorter than it was made");
        if (MAX(found->proof, o->durable_floor) >= lost)
                return damaged(s, offset, "a record that was durable is missing or does not match");
        if (o->newest_segment > s->scan.header.first_index)
                return damaged(s, offset, "the segment after this one is missing");

        result->segment = s->scan.segment;
        result->offset = offset;
        result->verdict = found->nonzero_end > offset ? RECOVER_TORN : RECOVER_CLEAN;
        result->torn_bytes = found->nonzero_end - offset;
        result->stale = s->at.index < o->checkpoint.index;
        return 0;
}

/* Takes an entry into the good part.  Returns 1, or 0 if the log and the checkpoint disagree about it. */
static int accept_entry(Scan *s, const ZabEntry *entry) {
        const ZabPosition *checkpoint = &s->options->checkpoint;
        ZabPosition at = { entry->index, entry->zxid, entry->chain };
        int r = 0;

        if (at.index == checkpoint->index &&
            (at.zxid != checkpoint->zxid || !hash128_equal(at.chain, checkpoint->chain)))
                return 0;
        s->at = at;
        if (at.index > checkpoint->index && s->source->entry)
                r = s->source->entry(s->source->userdata, entry);
        return r < 0 ? r : 1;
}

/* Returns 1 if the next segment is to be scanned, 0 if the verdict stands. */
static int scan_segment(Scan *s, bool is_last) {
        uint64_t offset = SEGMENT_HEADER_BYTES;

        for (;;) {
                ZabEntry entry = { 0 };
                Record record;
                Search found;
                int r;

                r = segment_scan_record(&s->scan, &s->at, offset, &record, &entry);
                if (r < 0)
                        return r;
                if (r > 0) {
                        if (record.type != ZAB_ENTRY_WATERMARK) {
                                r = accept_entry(s, &entry);
                                g_bytes_unref(entry.payload);
                                if (r < 0)
                                        return r;
                                if (r == 0)
                                        return damaged(s, offset, "the log and the checkpoint disagree");
                        }
                        offset += record_bytes(record.payload_size);
                        continue;
                }

                /* All of it is there: what may follow in this file does not matter. */
                if (!is_last && s->options->segments[s->scan.segment + 1] == s->at.index + 1)
                        return 1;

                r = search(s, offset, &found);
                if (r < 0)
                        return r;
                if (found.resumes) {
                        s->at = found.resume_at;
                        offset = found.resume_offset;
                        if (s->source->resumed)
                                s->source->resumed(s->source->userdata, s->scan.segment, offset, &s->at);
                        continue;
                }
                if (!is_last)
                        return damaged(s, offset, "a record is missing or does not match, and a later segment exists");
                return judge_tail(s, offset, &found);
        }
}

/* Returns 1 if the header of segment number `segment` is good and continues what was read, 0 with the verdict if not. */
static int scan_header(Scan *s, unsigned segment, bool is_first) {
        const RecoverOptions *o = s->options;
        const ZabPosition *c = &o->checkpoint;
        SegmentScanVerdict verdict;
        const SegmentHeader *h = &s->scan.header;
        const char *why;
        ZabPosition before;
        int r;

        r = segment_scan_begin(&s->scan, segment, o->segments[segment], &verdict, &why);
        if (r < 0)
                return r;
        if (verdict == SEGMENT_SCAN_NEWER) {
                s->result->verdict = RECOVER_NEWER;
                s->result->segment = segment;
                s->result->why = why;
                return 0;
        }
        if (verdict == SEGMENT_SCAN_BAD)
                return damaged(s, 0, why);

        before = segment_scan_before(&s->scan);
        if (is_first)
                s->at = before;
        else if (h->number != s->result->number + 1)
                return damaged(s, 0, "a segment before it is missing");
        if (before.zxid != s->at.zxid || !hash128_equal(before.chain, s->at.chain))
                return damaged(s, 0, "it does not continue the segment before it");
        if (before.index == c->index && (before.zxid != c->zxid || !hash128_equal(before.chain, c->chain)))
                return damaged(s, 0, "it does not continue the checkpoint");

        s->result->header = *h;
        s->result->number = h->number;
        return 1;
}

static int scan_log(Scan *s) {
        const RecoverOptions *o = s->options;
        unsigned first;
        int r;

        /* The last segment that does not begin behind the checkpoint. */
        for (first = o->segments_count; first > 0; first--)
                if (o->segments[first - 1] <= o->checkpoint.index + 1)
                        break;

        if (first == 0) {
                s->at = o->checkpoint;
                if (o->segments_count > 0)
                        return damaged(s, 0, "the segment before it is missing");
                if (o->newest_segment > 0 || o->durable_floor > o->checkpoint.index)
                        return damaged(s, 0, "the log is missing");
                s->result->stale = true;
                return 0;
        }

        for (unsigned segment = first - 1; segment < o->segments_count; segment++) {
                bool is_last = segment + 1 == o->segments_count;

                r = scan_header(s, segment, segment + 1 == first);
                if (r > 0)
                        r = scan_segment(s, is_last);
                if (r <= 0)
                        return r;
        }
        assert(false);
        return 0;
}

int recover_log(const RecoverOptions *options, const RecoverSource *source, RecoverResult *ret) {
        RecoverResult result = { .verdict = RECOVER_CLEAN };
        Scan s = {
                .options = options,
                .source = source,
                .scan = { .source = source, .cluster_id = options->cluster_id, .disk_id = options->disk_id },
                .result = &result,
        };
        int r;

        for (unsigned i = 1; i < options->segments_count; i++)
                assert(options->segments[i - 1] < options->segments[i]);

        r = scan_log(&s);
        segment_scan_done(&s.scan);
        if (r < 0)
                return r;

        result.last = s.at.index >= options->checkpoint.index ? s.at : options->checkpoint;
        *ret = result;
        return 0;
}
