/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * LogReader
 *
 * Durable entries back from the log's files, beside the thread that writes them (log-index.h says how), each checked as
 * recovery checks it (protocol P13).
 */

#include "agent/store/directory.h"
#include "agent/store/format/scan.h"
#include "agent/store/log-index.h"

typedef struct LogReader {
        Directory *directory;           /* borrowed, as the next */
        LogIndex *index;
        RecoverSource source;
        SegmentScan scan;
        int fd;
        uint64_t serial;                /* of the segment that is open; 0: none */
        char name[32];
        LogMark last;                   /* in it: where the last read ended */
} LogReader;

void log_reader_init(LogReader *l, Directory *d, LogIndex *index, const Id128 *cluster_id, const Id128 *disk_id);
void log_reader_done(LogReader *l);

/* Consecutive entries from `from` to `to` (not beyond the end of a segment) of up to `bytes_max`, at least one; none if the log
 * does not reach back to `from`, or not yet up to it.  -EUCLEAN for a record that is not as it was written. */
int log_reader_read(LogReader *l, uint64_t from, uint64_t to, uint64_t bytes_max, GArray *ret);
