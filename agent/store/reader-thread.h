/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * ReaderThread
 *
 * The thread that reads back for other members: entries of the log and the rows of the newest checkpoint.  It has one of
 * its own because neither of the others may wait for it: the writer for nobody, and a checkpoint under way may take
 * minutes, in which a follower that lacks a thousand entries must not starve.
 *
 * Each request is small (a batch of entries, a chunk of rows), so they are served in turn.
 */

#include "agent/store/log.h"
#include "agent/store/outbox.h"
#include "agent/store/snapshot-reader.h"

#define READER_SNAPSHOTS_MAX 4          /* open at once; more wait: each pins pages of LMDB and part of the log */

typedef struct ReaderThread ReaderThread;

typedef struct ReaderThreadOptions {
        const Directory *directory;     /* copied */
        Environments *environments;     /* borrowed, as the next two */
        LogIndex *index;
        Outbox *outbox;
        Id128 cluster_id, disk_id;
} ReaderThreadOptions;

int reader_thread_new(const ReaderThreadOptions *options, ReaderThread **ret);
/* What is queued is forgotten.  NULL is allowed. */
ReaderThread *reader_thread_free(ReaderThread *t);

/* What store.h says of the functions of the same names. */
void reader_thread_read_log(ReaderThread *t, uint64_t request, uint64_t from_index, uint64_t to_index,
                            uint64_t bytes_max);
void reader_thread_open_snapshot(ReaderThread *t, uint64_t request);
void reader_thread_read_snapshot(ReaderThread *t, uint64_t request);
void reader_thread_close_snapshot(ReaderThread *t, uint64_t request);
