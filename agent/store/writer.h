/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * WriterThread
 *
 * The one thread that writes.  It takes everything that is queued for the log and META, in order, and merges
 * neighbouring appends into one write and one fdatasync; only when nothing of that kind waits does it take a piece of a
 * checkpoint, and only when there is none of these, the watermark and the spare segment.  The lock is held for
 * moving pointers, never across a system call that touches the disk.
 *
 * Rules it keeps: completions are told in the order of the queue; after a failure nothing is written and nothing
 * completed any more; META's durable floor, generation and newest segment are the thread's own knowledge.
 */

#include "agent/store/checkpoint.h"
#include "agent/store/log.h"
#include "agent/store/meta-file.h"

typedef struct WriterThread WriterThread;

typedef struct WriterThreadOptions {
        Directory *directory;           /* these three: borrowed, and the thread's alone between start and free */
        MetaFile *meta;
        Log *log;
        const StoreListener *listener;  /* borrowed */
        uint64_t log_keep_bytes;
} WriterThreadOptions;

/* Makes the first segment if there is none, tries for the spare, starts the thread. */
int writer_thread_new(const WriterThreadOptions *options, WriterThread **ret);

/* Finishes what is queued.  NULL is allowed. */
WriterThread *writer_thread_free(WriterThread *w);

int writer_thread_get_fd(const WriterThread *w);
void writer_thread_dispatch(WriterThread *w);
void writer_thread_get_statistics(WriterThread *w, StoreStatistics *ret);
unsigned writer_thread_checkpoint_backlog(WriterThread *w);

/* What store.h says of the functions of the same names. */
void writer_thread_append(WriterThread *w, uint64_t io_seq, const ZabEntry *entries, unsigned entries_count);
void writer_thread_write_meta(WriterThread *w, uint64_t io_seq, const ZabMeta *meta);
void writer_thread_checkpoint_begin(WriterThread *w, uint64_t io_seq, bool full, const CheckpointPosition *position);
void writer_thread_checkpoint_rows(WriterThread *w, const TreeRow *rows, unsigned rows_count);
void writer_thread_checkpoint_end(WriterThread *w);
void writer_thread_checkpoint_abort(WriterThread *w);
