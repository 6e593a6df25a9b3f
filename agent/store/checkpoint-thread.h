/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * CheckpointThread
 *
 * The thread that writes checkpoints, so that the log never waits for LMDB.  It asks the writer thread for what is
 * the writer's: to begin only when the log is durable up to the checkpoint's position, and at the end, when the
 * checkpoint is durable and verified, to point META at it and only then to drop the log before it.  A generation that
 * is replaced goes last.
 *
 * A snapshot from the leader is built here too, in a generation that is nobody's until the writer switches over to it.
 */

#include "agent/store/checkpoint.h"
#include "agent/store/outbox.h"
#include "agent/store/writer.h"

typedef struct CheckpointThread CheckpointThread;

typedef struct CheckpointThreadOptions {
        const Directory *directory;     /* copied: what failed last is each thread's own */
        WriterThread *writer;           /* borrowed, as the next two */
        Outbox *outbox;
        Environments *environments;
        uint64_t generation;            /* that META points at; 0: none */
} CheckpointThreadOptions;

int checkpoint_thread_new(const CheckpointThreadOptions *options, CheckpointThread **ret);

/* Finishes what is queued, for which the writer thread must still run.  NULL is allowed. */
CheckpointThread *checkpoint_thread_free(CheckpointThread *c);

/* What store.h says of the functions of the same names. */
void checkpoint_thread_begin(CheckpointThread *c, uint64_t io_seq, bool full, const CheckpointPosition *position);
void checkpoint_thread_rows(CheckpointThread *c, const TreeRow *rows, unsigned rows_count);
void checkpoint_thread_end(CheckpointThread *c);
void checkpoint_thread_abort(CheckpointThread *c);
unsigned checkpoint_thread_backlog(CheckpointThread *c);
void checkpoint_thread_snap_begin(CheckpointThread *c, const CheckpointPosition *position);
void checkpoint_thread_snap_chunk(CheckpointThread *c, GBytes *chunk);
/* After writer_thread_install(). */
void checkpoint_thread_snap_install(CheckpointThread *c, Hash128 digest);
void checkpoint_thread_snap_abort(CheckpointThread *c);
