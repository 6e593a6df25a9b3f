/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * WriterThread
 *
 * The one thread that writes the log and META.  It takes everything that is queued, in order, and merges neighbouring
 * appends into one write and one fdatasync; when nothing waits, it tends the watermark and the spare segment.  The
 * lock is held for moving pointers, never across a system call that touches the disk.
 *
 * Rules it keeps: completions are told in the order of the queue; after a failure nothing is written and nothing
 * completed any more; META's durable floor, generation and newest segment are the thread's own knowledge; and META
 * claims less before there is less: a truncation first lowers its floor and its newest segment, in both slots.
 */

#include "agent/store/log.h"
#include "agent/store/meta-file.h"
#include "agent/store/outbox.h"

typedef struct WriterThread WriterThread;

typedef struct WriterThreadOptions {
        Directory *directory;           /* these three: borrowed, and the thread's alone between start and free */
        MetaFile *meta;
        Log *log;
        Outbox *outbox;                 /* borrowed */
        uint64_t log_keep_bytes;
} WriterThreadOptions;

/* Makes the first segment if there is none, tries for the spare, starts the thread. */
int writer_thread_new(const WriterThreadOptions *options, WriterThread **ret);

/* Finishes what is queued.  NULL is allowed. */
WriterThread *writer_thread_free(WriterThread *w);

/* What store.h says of the functions of the same names. */
void writer_thread_append(WriterThread *w, uint64_t io_seq, const ZabEntry *entries, unsigned entries_count);
void writer_thread_write_meta(WriterThread *w, uint64_t io_seq, const ZabMeta *meta);
void writer_thread_truncate(WriterThread *w, uint64_t io_seq, const ZabPosition *position);
/* Its place in the queue is here; writer_thread_switch() must follow from the checkpoint's thread, come what may. */
void writer_thread_install(WriterThread *w, uint64_t io_seq, const ZabMeta *meta);

/* For the checkpoint's thread, which waits for all of these; false after a failure. */
bool writer_thread_wait_durable(WriterThread *w, uint64_t index);
/* A checkpoint up to `index` is durable: META points at its generation on return, and the log has let go of what is
 * no longer needed. */
bool writer_thread_settle(WriterThread *w, uint64_t generation, uint64_t index);
/* The answer to writer_thread_install(): META points at the generation of the leader's snapshot and the log begins anew behind
 * `position`; with `error` < 0 nothing changes, and that is told. */
bool writer_thread_switch(WriterThread *w, int error, uint64_t generation, const ZabPosition *position);
