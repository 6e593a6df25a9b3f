/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * LogReader
 */

#include "agent/store/log-reader.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "agent/store/log.h"

static ssize_t reader_read(void *userdata, unsigned segment, uint64_t offset, void *buffer, size_t size) {
        LogReader *l = userdata;

        return directory_read(l->directory, l->directory->log_fd, l->name, l->fd, buffer, size, offset);
}

void log_reader_init(LogReader *l, Directory *d, LogIndex *index, const Id128 *cluster_id, const Id128 *disk_id) {
        *l = (LogReader) {
                .directory = d,
                .index = index,
                .source = { .read = reader_read, .userdata = l },
                .scan = { .source = &l->source, .cluster_id = *cluster_id, .disk_id = *disk_id },
                .fd = -1,
        };
}

static void close_segment(LogReader *l) {
        if (l->fd >= 0)
                close(l->fd);
        l->fd = -1;
        l->serial = 0;
}

void log_reader_done(LogReader *l) {
        close_segment(l);
        segment_scan_done(&l->scan);
}

static int damaged(LogReader *l, const char *why) {
        return directory_fail(l->directory, -EUCLEAN, l->directory->log_fd, l->name, why);
}

static int open_segment(LogReader *l, const LogPlace *place) {
        SegmentScanVerdict verdict;
        const char *why;
        int r;

        segment_scan_forget(&l->scan);
        if (l->serial == place->serial)
                return 0;
        close_segment(l);
        log_segment_name(place->first_index, l->name);
        r = l->fd = directory_open_file(l->directory, l->directory->log_fd, l->name, O_RDONLY);
        if (r < 0)
                return r;
        r = segment_scan_begin(&l->scan, 0, place->first_index, &verdict, &why);
        if (r < 0)
                return r;
        if (verdict != SEGMENT_SCAN_OK)
                return damaged(l, why);
        l->serial = place->serial;
        l->last = (LogMark) { segment_scan_before(&l->scan), SEGMENT_HEADER_BYTES };
        return 0;
}

/* The nearest known place before entry `from`. */
static LogMark begin_at(const LogReader *l, const LogPlace *place, uint64_t from) {
        if (l->last.before.index < from && l->last.before.index >= place->mark.before.index)
                return l->last;
        if (place->mark.offset > 0)
                return place->mark;
        return (LogMark) { segment_scan_before(&l->scan), SEGMENT_HEADER_BYTES };
}

/* Reads the record at `at` and moves behind it; adds its entry if it is one and not before `from`. */
static int take_record(LogReader *l, LogMark *at, uint64_t from, GArray *ret) {
        bool wanted = at->before.index + 1 >= from;
        ZabEntry entry = { 0 };
        Record record;
        int r;

        r = segment_scan_record(&l->scan, &at->before, at->offset, &record, wanted ? &entry : NULL);
        if (r < 0)
                return r;
        if (r == 0)
                return damaged(l, "a record is missing or does not match");
        at->offset += record_bytes(record.payload_size);
        if (record.type == ZAB_ENTRY_WATERMARK)
                return 0;
        at->before = (ZabPosition) { record.index, record.zxid, record.chain };
        if (wanted)
                g_array_append_val(ret, entry);
        return 0;
}

static int read_place(LogReader *l, const LogPlace *place, uint64_t from, uint64_t to, uint64_t bytes_max, GArray *ret) {
        uint64_t bytes = 0, marked;
        LogMark at;
        int r;

        r = open_segment(l, place);
        if (r < 0)
                return r;
        at = begin_at(l, place, from);
        marked = at.offset;
        for (to = MIN(to, place->last_index); at.before.index < to;) {
                LogMark before = at;
                unsigned count = ret->len;

                r = take_record(l, &at, from, ret);
                if (r < 0)
                        return r;
                if (ret->len > count)
                        bytes += at.offset - before.offset;
                if (bytes > bytes_max && ret->len > 1) {
                        g_array_set_size(ret, ret->len - 1);
                        at = before;
                        break;
                }
                if (at.offset >= marked + LOG_MARK_BYTES) {
                        log_index_learn(l->index, place, &at);
                        marked = at.offset;
                }
        }
        l->last = at;
        return 0;
}

int log_reader_read(LogReader *l, uint64_t from, uint64_t to, uint64_t bytes_max, GArray *ret) {
        LogPlace place;

        while (from <= to && log_index_find(l->index, from, &place)) {
                int r = read_place(l, &place, from, to, bytes_max, ret);

                if (log_index_is_unchanged(l->index, &place))
                        return r;
                /* What was read may be gone, or be something else by now. */
                g_array_set_size(ret, 0);
                close_segment(l);
        }
        return 0;
}
