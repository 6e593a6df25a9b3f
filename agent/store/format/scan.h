/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * SegmentScan
 *
 * Reads the records of one segment after the other and says of each whether it is intact and continues the one before
 * it.  Bytes are read through a window, so that a record costs no read of its own.  What a record that is not all right
 * means is the caller's to judge: recovery at start, a walk through what is kept behind the checkpoint, a reader for
 * another member.
 *
 * Source: protocol 2.11 (chain), P13.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/store/format/record.h"
#include "agent/store/format/segment.h"
#include "agent/zab/entry.h"

typedef struct RecoverSource {
        /* Copies up to `size` bytes at `offset` of segment number `segment` of the list; fewer only at the file's end.
         * Returns how many, or a negative errno, which ends the scan. */
        ssize_t (*read)(void *userdata, unsigned segment, uint64_t offset, void *buffer, size_t size);
        /* For every entry after the checkpoint, in order; negative ends the scan with that value.  May be NULL. */
        int (*entry)(void *userdata, const ZabEntry *entry);
        void *userdata;
        /* The scan went on behind a hole, at a record that follows `before`.  May be NULL. */
        void (*resumed)(void *userdata, unsigned segment, uint64_t offset, const ZabPosition *before);
} RecoverSource;

typedef struct SegmentScan {
        const RecoverSource *source;
        Id128 cluster_id, disk_id;
        unsigned segment;               /* the one being scanned, and its header */
        SegmentHeader header;
        uint64_t end;                   /* where its bytes end: header.segment_bytes, or earlier if the file is short */

        /* a stretch of it in memory */
        uint8_t *window;                /* owned */
        size_t window_size, window_allocated;
        uint64_t window_offset;
} SegmentScan;

void segment_scan_done(SegmentScan *s);

typedef enum SegmentScanVerdict {
        SEGMENT_SCAN_OK,
        SEGMENT_SCAN_BAD,
        SEGMENT_SCAN_NEWER,             /* of a later format */
} SegmentScanVerdict;

/* Turns to segment number `segment`, which by its name begins with `first_index`, and judges its header.  Returns 0 with
 * *ret, and *ret_why (static, a part of a sentence) unless OK; or a negative errno. */
int segment_scan_begin(SegmentScan *s, unsigned segment, uint64_t first_index, SegmentScanVerdict *ret,
                       const char **ret_why);

/* The position its first record follows. */
ZabPosition segment_scan_before(const SegmentScan *s);

/* Forgets what is in memory: the file may have more by now. */
void segment_scan_forget(SegmentScan *s);

/* Points *ret at `size` bytes of the segment.  Returns 1, or 0 if it ends before, or a negative errno. */
int segment_scan_bytes(SegmentScan *s, uint64_t offset, size_t size, const uint8_t **ret);

/* Judges the record at `offset` as the one after `at`.  Returns 1 with the record and, unless it is a watermark, its
 * entry (whose payload the caller owns), 0 if it is not that, or a negative errno.  ret_entry NULL: neither the payload
 * nor, therefore, the chain is checked. */
int segment_scan_record(SegmentScan *s, const ZabPosition *at, uint64_t offset, Record *ret_record,
                        ZabEntry *ret_entry);
