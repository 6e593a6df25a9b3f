/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Log
 *
 * The segment files, the place in the newest one where the next record goes, and the spare that will be the next.
 *
 * Rules it keeps: a record is durable only after the fdatasync that follows its write; a segment gets its name only
 * with a durable header, and its first record only after the name is durable; the entries of a segment are durable
 * before the next one begins.  A segment is allocated in whole and filled with zeros before use, so that an append
 * changes no metadata of the file system: one write and one fdatasync, no commit of its journal.
 *
 * A cut never zeroes records where they stand: torn, that would leave later ones whose durable hints prove that the
 * earlier ones are lost.  What is kept of the segment is copied, and the copy takes its name.
 *
 * Not here: what the bytes mean (format/), when META follows a rotation (writer.c).
 */

#include "agent/base/writer.h"
#include "agent/store/directory.h"
#include "agent/store/format/recover.h"
#include "agent/store/format/segment.h"
#include "agent/store/log-index.h"

#define LOG_NAME_BYTES 32
#define LOG_SPARE_NAME "spare"
#define LOG_CUT_NAME "cut"             /* only while a segment is cut */

typedef struct LogSegment {
        uint64_t first_index;
        uint64_t bytes;
} LogSegment;

/* Where the scan at start went on behind a hole. */
typedef struct ResumedMark {
        unsigned segment;
        LogMark mark;
} ResumedMark;

typedef struct Log {
        Directory *directory;           /* borrowed */
        Id128 cluster_id, disk_id;
        uint64_t segment_bytes;         /* of segments to be made */
        GArray *segments;               /* LogSegment, ascending; the last one is written to, if `fd` is open */
        LogIndex index;                 /* what others may know of it */
        GArray *resumed;                /* start-up: ResumedMark, of the scan */

        /* the segment being written */
        int fd;
        char name[LOG_NAME_BYTES];
        SegmentHeader header;
        uint64_t offset;                /* where the next flush goes */
        uint64_t marked;                /* offset of the last mark in the index */

        ZabPosition last;               /* of the last record encoded */
        uint64_t durable;               /* index; <= last.index */
        bool proven;                    /* some later bytes say that `durable` is durable */
        Writer buffer;                  /* records encoded and not yet written */

        /* the spare */
        int spare_fd;                   /* -1: none */
        uint64_t spare_filled;          /* so far, with zeros; space is allocated for all of it */
} Log;

void log_init(Log *l, Directory *directory, uint64_t segment_bytes);
void log_done(Log *l);

/* Start-up: forgets the segment that was opened. */
void log_close(Log *l);

/* Start-up: finds the segments by name. */
int log_list(Log *l);

/* Start-up: the scan of format/recover.h over the files. */
int log_recover(Log *l, const RecoverOptions *options, int (*entry)(void *userdata, const ZabEntry *entry),
                void *userdata, RecoverResult *ret);

/* Start-up: makes what the scan found what the disk says: cuts at (segment, offset) with all that follows, zeroes the
 * tail, and syncs even a clean one, because a killed process may have left its last records in the page cache only. */
int log_settle(Log *l, const RecoverResult *found);

/* Start-up, after the log is settled: what of it is kept behind the checkpoint, and can be read from now on. */
int log_offer(Log *l, const RecoverOptions *options, RecoverBase *ret);

/* Removes the segments from number `first` on, newest first, each removal durable before the next: a crash leaves a log
 * that ends early, never one with a gap (protocol P12). */
int log_remove_from(Log *l, unsigned first);

/* Where the entry after `position` begins: in segment number *ret_segment, at *ret_offset.  -EUCLEAN, with directory->what,
 * if the log has no such position.  Nothing may be in the buffer. */
int log_find(Log *l, const ZabPosition *position, unsigned *ret_segment, uint64_t *ret_offset);
/* Cuts there.  META must already claim no more (writer.c). */
int log_cut(Log *l, const ZabPosition *position, unsigned segment, uint64_t offset);
/* Removes all segments; the log continues at `position`, with a segment of its own once it is rotated. */
int log_begin_anew(Log *l, const ZabPosition *position);

/* Encodes an entry or a watermark behind what is in the buffer.  False if it does not fit the segment (any more): flush
 * and rotate. */
bool log_encode(Log *l, const ZabEntry *entry);
bool log_encode_watermark(Log *l);

/* Writes the buffer in one write and one fdatasync: then `durable` is last.index. */
int log_flush(Log *l);

/* Begins the next segment, in the spare or, without one, in a new file.  Nothing may be in the buffer. */
int log_rotate(Log *l);

/* Bytes left in the segment being written. */
uint64_t log_room(const Log *l);

/* Allocates the spare (or takes the one that is there); -ENOSPC and the like leave nothing behind. */
int log_make_spare(Log *l);
/* Fills a piece of it with zeros.  Returns 1 when all is filled. */
int log_fill_spare(Log *l);

/* Removes the oldest segments whose entries are all covered by `checkpoint`, except the newest `keep_bytes` of such and
 * what a reader holds.  Returns 1 if any were removed. */
int log_drop(Log *l, uint64_t checkpoint, uint64_t keep_bytes);

/* First index of the newest segment, 0 for none. */
uint64_t log_newest(const Log *l);

/* All segments. */
uint64_t log_bytes(const Log *l);

/* Reads the segments of a log for a scan; one is open at a time. */
typedef struct LogSource {
        Log *log;
        bool settle;                    /* at start, see directory_settle_file() */
        int (*entry)(void *userdata, const ZabEntry *entry);
        void *userdata;
        int fd;
        unsigned segment;
        char name[LOG_NAME_BYTES];
} LogSource;

#define LOG_SOURCE_INIT(l) ((LogSource) { .log = (l), .fd = -1 })

ssize_t log_source_read(void *userdata, unsigned segment, uint64_t offset, void *buffer, size_t size);
void log_source_done(LogSource *s);

/* "0000000000000001.log" */
void log_segment_name(uint64_t first_index, char ret_name[static LOG_NAME_BYTES]);
