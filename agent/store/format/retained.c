/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Recover: what is kept behind the checkpoint for members that are behind.  Damage there loses nothing; it only shortens
 * what can be offered.
 */

#include <string.h>

#include "agent/store/format/recover.h"

typedef struct Walk {
        const RecoverOptions *options;
        SegmentScan scan;
        ZabPosition at;
        bool unbroken;                  /* from `result->base` to `at` */
        RecoverBase *result;
} Walk;

static void begin_anew(Walk *w, const ZabPosition *at) {
        w->result->base = w->at = *at;
        w->unbroken = true;
        g_array_set_size(w->result->epochs, 0);
}

static void take_entry(Walk *w, const ZabEntry *e) {
        if (zxid_epoch(e->zxid) != zxid_epoch(w->at.zxid)) {
                ZabEpochStart start = { zxid_epoch(e->zxid), e->index };

                g_array_append_val(w->result->epochs, start);
        }
        w->at = (ZabPosition) { e->index, e->zxid, e->chain };
}

/* To its last entry, or to the checkpoint. */
static int walk_records(Walk *w, unsigned segment) {
        const RecoverOptions *o = w->options;
        uint64_t end = o->checkpoint.index, offset = SEGMENT_HEADER_BYTES;

        if (segment + 1 < o->segments_count)
                end = MIN(end, o->segments[segment + 1] - 1);
        while (w->at.index < end) {
                ZabEntry entry = { 0 };
                Record record;
                int r;

                r = segment_scan_record(&w->scan, &w->at, offset, &record, &entry);
                if (r < 0)
                        return r;
                if (r == 0) {
                        w->unbroken = false;
                        return 0;
                }
                if (record.type != ZAB_ENTRY_WATERMARK) {
                        take_entry(w, &entry);
                        g_bytes_unref(entry.payload);
                }
                offset += record_bytes(record.payload_size);
        }
        return 0;
}

static int walk_segment(Walk *w, unsigned segment) {
        SegmentScanVerdict verdict;
        ZabPosition before;
        const char *why;
        int r;

        r = segment_scan_begin(&w->scan, segment, w->options->segments[segment], &verdict, &why);
        if (r < 0)
                return r;
        if (verdict != SEGMENT_SCAN_OK) {
                w->unbroken = false;
                return 0;
        }
        before = segment_scan_before(&w->scan);
        if (!w->unbroken || before.index != w->at.index || before.zxid != w->at.zxid ||
            !hash128_equal(before.chain, w->at.chain))
                begin_anew(w, &before);
        return walk_records(w, segment);
}

int recover_base(const RecoverOptions *options, const RecoverSource *source, RecoverBase *ret) {
        const ZabPosition *c = &options->checkpoint;
        Walk w = {
                .options = options,
                .scan = { .source = source, .cluster_id = options->cluster_id, .disk_id = options->disk_id },
                .result = ret,
        };
        int r = 0;

        *ret = (RecoverBase) { .base = *c, .epochs = g_array_new(FALSE, FALSE, sizeof(ZabEpochStart)) };
        for (unsigned i = 0; i < options->segments_count && r >= 0; i++)
                if (options->segments[i] <= c->index)
                        r = walk_segment(&w, i);
        segment_scan_done(&w.scan);
        if (r < 0) {
                g_clear_pointer(&ret->epochs, g_array_unref);
                return r;
        }
        if (!w.unbroken || w.at.index != c->index || w.at.zxid != c->zxid || !hash128_equal(w.at.chain, c->chain))
                begin_anew(&w, c);
        return 0;
}
