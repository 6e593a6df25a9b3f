/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Log: what takes entries away at its end.
 *
 * A cut removes segments newest first, and of the one that holds the point makes a copy of what is kept, which is durable
 * before it takes the name: at any moment the names show the old log, or the old log less some of its end, or
 * the new one.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent/store/log.h"

#define COPY_BYTES (256 * 1024)

int log_remove_from(Log *l, unsigned first) {
        Directory *d = l->directory;

        while (l->segments->len > first) {
                char name[LOG_NAME_BYTES];
                int r;

                log_segment_name(g_array_index(l->segments, LogSegment, l->segments->len - 1).first_index, name);
                r = directory_remove(d, d->log_fd, name, false);
                if (r < 0)
                        return r;
                r = directory_sync(d, d->log_fd);
                if (r < 0)
                        return r;
                g_array_set_size(l->segments, l->segments->len - 1);
        }
        return 0;
}

int log_begin_anew(Log *l, const ZabPosition *position) {
        int r;

        log_index_begin(&l->index, position->index);
        log_close(l);
        r = log_remove_from(l, 0);
        if (r < 0)
                return r;
        l->last = *position;
        l->durable = position->index;
        return 0;
}

/*
 * The place
 */

static int position_missing(Log *l, unsigned segment) {
        Directory *d = l->directory;
        char name[LOG_NAME_BYTES] = "";

        if (segment < l->segments->len)
                log_segment_name(g_array_index(l->segments, LogSegment, segment).first_index, name);
        return directory_fail(d, -EUCLEAN, d->log_fd, name, "find where to cut");
}

/* Steps from `at`, whose next record is at `offset`, to `position`. */
static int step_to(SegmentScan *scan, ZabPosition at, const ZabPosition *position, uint64_t *offset) {
        while (at.index < position->index) {
                Record record;
                int r;

                r = segment_scan_record(scan, &at, *offset, &record, NULL);
                if (r < 0)
                        return r;
                if (r == 0)
                        return -EUCLEAN;
                if (record.type != ZAB_ENTRY_WATERMARK)
                        at = (ZabPosition) { record.index, record.zxid, record.chain };
                *offset += record_bytes(record.payload_size);
        }
        return at.zxid == position->zxid && hash128_equal(at.chain, position->chain) ? 0 : -EUCLEAN;
}

int log_find(Log *l, const ZabPosition *position, unsigned *ret_segment, uint64_t *ret_offset) {
        unsigned segment = l->segments->len;
        LogSource s = LOG_SOURCE_INIT(l);
        RecoverSource source = { .read = log_source_read, .userdata = &s };
        SegmentScan scan = { .source = &source, .cluster_id = l->cluster_id, .disk_id = l->disk_id };
        uint64_t offset = SEGMENT_HEADER_BYTES;
        SegmentScanVerdict verdict;
        ZabPosition at;
        const char *why;
        LogPlace place;
        int r;

        while (segment > 0 && g_array_index(l->segments, LogSegment, segment - 1).first_index > position->index + 1)
                segment--;
        if (segment-- == 0)
                return position_missing(l, 0);

        r = segment_scan_begin(&scan, segment, g_array_index(l->segments, LogSegment, segment).first_index, &verdict,
                               &why);
        if (r >= 0 && verdict != SEGMENT_SCAN_OK)
                r = -EUCLEAN;
        if (r >= 0) {
                at = segment_scan_before(&scan);
                if (log_index_find(&l->index, position->index + 1, &place) && place.mark.offset > 0) {
                        at = place.mark.before;
                        offset = place.mark.offset;
                }
                r = step_to(&scan, at, position, &offset);
        }
        segment_scan_done(&scan);
        log_source_done(&s);
        if (r == -EUCLEAN)
                return position_missing(l, segment);
        *ret_segment = segment;
        *ret_offset = offset;
        return r;
}

/*
 * The copy
 */

/* The spare has its zeros already.  It loses its name before it has anything else. */
static int make_copy_file(Log *l, uint64_t bytes) {
        Directory *d = l->directory;
        int fd, r;

        r = directory_remove(d, d->log_fd, LOG_CUT_NAME, false);
        if (r < 0)
                return r;
        r = log_make_spare(l);
        if (r < 0)
                return r;
        r = directory_rename(d, d->log_fd, LOG_SPARE_NAME, LOG_CUT_NAME);
        if (r < 0)
                return r;
        fd = l->spare_fd;
        l->spare_fd = -1;
        r = directory_sync(d, d->log_fd);
        if (r >= 0 && bytes > l->segment_bytes)
                r = directory_allocate(d, d->log_fd, LOG_CUT_NAME, fd, bytes);
        if (r < 0)
                close(fd);
        return r < 0 ? r : fd;
}

static int copy(Log *l, int fd, unsigned segment, uint64_t size) {
        Directory *d = l->directory;
        g_autofree uint8_t *buffer = g_malloc(COPY_BYTES);
        LogSource s = LOG_SOURCE_INIT(l);
        int r = 0;

        for (uint64_t offset = 0; offset < size && r >= 0;) {
                size_t want = (size_t) MIN(size - offset, (uint64_t) COPY_BYTES);
                ssize_t n = log_source_read(&s, segment, offset, buffer, want);

                if (n < 0)
                        r = (int) n;
                else if ((size_t) n < want)
                        r = directory_fail(d, -EUCLEAN, d->log_fd, s.name, "read what is kept");
                else
                        r = directory_write(d, d->log_fd, LOG_CUT_NAME, fd, buffer, want, offset);
                offset += want;
        }
        log_source_done(&s);
        return r < 0 ? r : directory_sync_file(d, d->log_fd, LOG_CUT_NAME, fd);
}

/* Reads the header of the segment that is written to from now on. */
static int take_header(Log *l, unsigned segment) {
        LogSource s = LOG_SOURCE_INIT(l);
        RecoverSource source = { .read = log_source_read, .userdata = &s };
        SegmentScan scan = { .source = &source, .cluster_id = l->cluster_id, .disk_id = l->disk_id };
        SegmentScanVerdict verdict;
        const char *why;
        int r;

        r = segment_scan_begin(&scan, segment, g_array_index(l->segments, LogSegment, segment).first_index, &verdict,
                               &why);
        if (r >= 0 && verdict != SEGMENT_SCAN_OK)
                r = position_missing(l, segment);
        if (r >= 0)
                l->header = scan.header;
        segment_scan_done(&scan);
        log_source_done(&s);
        return r;
}

int log_cut(Log *l, const ZabPosition *position, unsigned segment, uint64_t offset) {
        Directory *d = l->directory;
        char name[LOG_NAME_BYTES];
        int fd, r;

        /* Nobody is told of what is about to go. */
        log_index_cut(&l->index, position->index);
        r = log_remove_from(l, segment + 1);
        if (r < 0)
                return r;
        r = take_header(l, segment);
        if (r < 0)
                return r;

        r = fd = make_copy_file(l, l->header.segment_bytes);
        if (r < 0)
                return r;
        log_segment_name(l->header.first_index, name);
        r = copy(l, fd, segment, offset);
        if (r >= 0)
                r = directory_replace(d, d->log_fd, LOG_CUT_NAME, name);
        if (r >= 0)
                r = directory_sync(d, d->log_fd);
        if (r < 0) {
                close(fd);
                return r;
        }

        /* And who opened the old file meanwhile opens anew. */
        log_index_cut(&l->index, position->index);
        log_close(l);
        l->fd = fd;
        memcpy(l->name, name, sizeof l->name);
        g_array_index(l->segments, LogSegment, segment).bytes = MAX(l->header.segment_bytes, l->segment_bytes);
        l->offset = l->marked = offset;
        l->last = *position;
        l->durable = position->index;
        l->proven = false;
        return 0;
}
