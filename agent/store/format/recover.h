/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Recover
 *
 * The strict scan of the log at start: from the segment that holds the entry after the checkpoint, every entry must
 * continue the one before it by index, zxid and chain.  Where one does not, at index x, the question is whether it ever
 * was durable.  Proof that it was: the checkpoint, META's durable floor, the durable hint of any later record that
 * still parses, a later segment (a segment is begun only when the ones before it are durable), or a file that is
 * shorter or less than what was durable when it got its name.
 *
 *     proof >= x    DAMAGED: something acknowledged may be lost; never cut silently
 *     proof <  x    TORN: the tail of a write that was never acknowledged; cut it
 *
 * A hole that costs no index costs nothing: if a record further on continues the last good one (what is lost was a
 * watermark), or continues the checkpoint (what is lost is in it), the scan goes on there.
 *
 * The bytes come from a RecoverSource (scan.h), so the same scan runs on files, in the simulator and under the fuzzer.
 *
 * Source: protocol 2.11, 2.12.
 */

#include "agent/store/format/scan.h"
#include "agent/zab/zab.h"

typedef struct RecoverOptions {
        Id128 cluster_id, disk_id;
        ZabPosition checkpoint;         /* index 0: none */
        uint64_t durable_floor;         /* META's */
        uint64_t newest_segment;        /* META's: first index of a segment that must be there; 0: none */
        const uint64_t *segments;       /* first indexes, from the files' names, ascending */
        unsigned segments_count;
} RecoverOptions;

typedef enum RecoverVerdict {
        RECOVER_CLEAN,
        RECOVER_TORN,
        RECOVER_DAMAGED,
        RECOVER_NEWER,                  /* a segment of a later format */
} RecoverVerdict;

typedef struct RecoverResult {
        RecoverVerdict verdict;
        ZabPosition last;               /* the last good entry, or the checkpoint if that is later */
        unsigned segment;               /* CLEAN and TORN: where the next record goes; DAMAGED, NEWER: the bad one */
        uint64_t offset;                /* there; 0 if the whole file is bad or missing */
        bool stale;                     /* CLEAN and TORN: the log ends before the checkpoint; it begins anew there */
        uint64_t torn_bytes;            /* TORN: from `offset` to the last byte that is not zero */
        uint64_t lost_index;            /* DAMAGED: the first entry that may be lost */
        const char *why;                /* DAMAGED, NEWER: static, a part of a sentence */
        SegmentHeader header;           /* of `segment`, unless offset is 0 */
        uint64_t number;                /* the highest segment number seen */
} RecoverResult;

/* Returns 0 with *ret filled, or what `read` or `entry` returned below zero. */
int recover_log(const RecoverOptions *options, const RecoverSource *source, RecoverResult *ret);

/* What the log still holds before the checkpoint: the entries after `base`, in which these epochs begin. */
typedef struct RecoverBase {
        ZabPosition base;
        GArray *epochs;                 /* ZabEpochStart; owned by the caller */
} RecoverBase;

/* Walks the segments that begin at or before the checkpoint and finds the longest stretch without damage that leads up to
 * it; the checkpoint itself if there is none.  Every record is read whole, so that a damaged one is not offered to
 * another member again after each start.  Returns 0, or what `read` returned below zero. */
int recover_base(const RecoverOptions *options, const RecoverSource *source, RecoverBase *ret);
