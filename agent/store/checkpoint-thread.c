/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * CheckpointThread
 *
 * First what runs in the thread, then what runs in the event loop.
 */

#include "agent/store/checkpoint-thread.h"

#include <assert.h>
#include <errno.h>

#include "agent/store/queue.h"
#include "agent/store/snapshot-reader.h"
#include "agent/tree/chunk.h"

struct CheckpointThread {
        WriterThread *writer;
        Outbox *outbox;
        Environments *environments;
        GThread *thread;

        /* the thread's own */
        Directory directory;
        uint64_t generation;
        Checkpoint checkpoint;
        bool open;                      /* one of our own */
        bool snap;                      /* one of the leader's */
        int snap_error;                 /* after which the rest of it is passed over */
        uint64_t io_seq;
        int64_t start_usec;

        GMutex lock;                    /* guards what follows */
        GCond cond;
        Queue queue;
        unsigned backlog;               /* ROWS and SNAP_CHUNKs in the queue or in work */
        bool stopping;
};

static bool is_load(const Operation *o) {
        return o->type == OPERATION_CHECKPOINT_ROWS || o->type == OPERATION_SNAP_CHUNK;
}

/* `fatal`: what is on the disk may differ from what was there before. */
static void fail(CheckpointThread *c, int error, bool fatal) {
        assert(c->open);

        checkpoint_done(&c->checkpoint, false);
        c->open = false;
        if (fatal)
                outbox_fail(c->outbox, error, c->directory.what);
        else
                outbox_tell(c->outbox, &(Completion) {
                                               .type = COMPLETION_CHECKPOINT,
                                               .io_seq = c->io_seq,
                                               .error = error,
                                       });
}

static void begin(CheckpointThread *c, const Operation *o) {
        int r;

        assert(!c->open);

        if (c->snap) {
                outbox_tell(c->outbox, &(Completion) {
                                               .type = COMPLETION_CHECKPOINT,
                                               .io_seq = o->io_seq,
                                               .error = -EBUSY,
                                       });
                return;
        }
        if (!writer_thread_wait_durable(c->writer, o->position.position.index))
                return;
        c->open = true;
        c->io_seq = o->io_seq;
        c->start_usec = g_get_monotonic_time();
        if (c->generation == 0 && !o->full)
                r = -ENOENT;
        else
                r = checkpoint_begin(&c->checkpoint, o->full ? c->generation + 1 : c->generation, o->full, &o->position);
        if (r < 0)
                fail(c, r, false);
}

static void tell_done(CheckpointThread *c, uint64_t rows) {
        Outbox *o = c->outbox;

        g_mutex_lock(&o->lock);
        o->statistics.checkpoints++;
        o->statistics.checkpoint_rows += rows;
        o->statistics.checkpoint_usec_last = (uint64_t) (g_get_monotonic_time() - c->start_usec);
        g_mutex_unlock(&o->lock);
        outbox_tell(o, &(Completion) { .type = COMPLETION_CHECKPOINT, .io_seq = c->io_seq });
}

static void end(CheckpointThread *c) {
        uint64_t index = c->checkpoint.position.position.index, rows = c->checkpoint.rows_count;
        uint64_t old = c->generation, new = c->checkpoint.generation;
        bool full = c->checkpoint.full;
        int r;

        r = checkpoint_commit(&c->checkpoint);
        if (r < 0) {
                /* A failed commit that is no matter of room leaves LMDB's file in doubt (protocol 2.11); a new
                 * generation is nobody's yet. */
                fail(c, r, !full && !checkpoint_error_is_room(r));
                return;
        }
        checkpoint_done(&c->checkpoint, true);
        c->open = false;
        /* Before the log behind it may go: a reader finds the one or the other. */
        environments_publish(c->environments, new);
        if (!writer_thread_settle(c->writer, new, index))
                return;
        c->generation = new;
        r = full && old > 0 ? checkpoint_remove(&c->directory, old) : 0;
        if (r < 0)
                outbox_fail(c->outbox, r, c->directory.what);
        else
                tell_done(c, rows);
}

static void abort_own(CheckpointThread *c) {
        if (!c->open)
                return;
        checkpoint_done(&c->checkpoint, false);
        c->open = false;
}

static void execute_own(CheckpointThread *c, const Operation *o) {
        int r;

        if (o->type == OPERATION_CHECKPOINT_BEGIN) {
                begin(c, o);
                return;
        }
        if (!c->open)
                return;

        switch (o->type) {

        case OPERATION_CHECKPOINT_ROWS:
                r = checkpoint_put(&c->checkpoint, o->rows, o->rows_count);
                if (r < 0)
                        fail(c, r, false);
                return;

        case OPERATION_CHECKPOINT_END:
                end(c);
                return;

        case OPERATION_CHECKPOINT_ABORT:
                abort_own(c);
                return;

        default:
                assert(false);
        }
}

/*
 * The leader's snapshot
 */

/* Takes it back, as far as it has come. */
static void snap_done(CheckpointThread *c) {
        if (c->snap)
                checkpoint_done(&c->checkpoint, false);
        c->snap = false;
        c->snap_error = 0;
}

static void snap_note(CheckpointThread *c, int r) {
        if (r >= 0)
                return;
        c->snap_error = r;
        checkpoint_done(&c->checkpoint, false);
}

static void snap_begin(CheckpointThread *c, const Operation *o) {
        abort_own(c);
        snap_done(c);
        c->snap = true;
        snap_note(c, checkpoint_begin(&c->checkpoint, c->generation + 1, true, &o->position));
}

typedef struct ChunkRows {
        Checkpoint *checkpoint;
        int r;
} ChunkRows;

static bool put_chunk_row(void *userdata, const TreeRow *row) {
        ChunkRows *rows = userdata;

        rows->r = checkpoint_put(rows->checkpoint, row, 1);
        return rows->r >= 0;
}

static void snap_chunk(CheckpointThread *c, const Operation *o) {
        ChunkRows rows = { .checkpoint = &c->checkpoint };

        if (!c->snap || c->snap_error < 0)
                return;
        if (!tree_chunk_decode(o->chunk, put_chunk_row, &rows) && rows.r >= 0)
                rows.r = -EBADMSG;
        snap_note(c, rows.r);
}

/* Durable, and read again to the last row.  What fails here is nobody's generation. */
static int snap_finish(CheckpointThread *c, Hash128 digest, ZabPosition *ret_position) {
        uint64_t generation = c->checkpoint.generation;
        int r;

        *ret_position = c->checkpoint.position.position;
        c->checkpoint.position.digest = digest;
        r = checkpoint_commit(&c->checkpoint);
        if (r < 0) {
                snap_note(c, r);
                return r;
        }
        checkpoint_done(&c->checkpoint, true);
        r = snapshot_reader_verify(&c->directory, c->environments, generation);
        if (r < 0)
                (void) checkpoint_remove(&c->directory, generation);
        return r;
}

/* The writer waits for this, whatever has happened. */
static void snap_install(CheckpointThread *c, const Operation *o) {
        uint64_t old = c->generation, new = c->generation + 1;
        ZabPosition position = { 0 };
        bool building = c->snap;
        int r = !c->snap ? -EINVAL : c->snap_error;

        if (outbox_has_failed(c->outbox))
                r = -ECANCELED;
        if (r >= 0)
                r = snap_finish(c, o->position.digest, &position);
        else if (building && c->snap_error >= 0)
                checkpoint_done(&c->checkpoint, false);
        c->snap = false;
        c->snap_error = 0;

        if (r >= 0)
                environments_publish(c->environments, new);
        if (!writer_thread_switch(c->writer, r, new, &position) || r < 0)
                return;
        c->generation = new;
        if (old > 0)
                r = checkpoint_remove(&c->directory, old);
        if (r < 0)
                outbox_fail(c->outbox, r, c->directory.what);
}

static void execute(CheckpointThread *c, const Operation *o) {
        if (outbox_has_failed(c->outbox) && o->type != OPERATION_SNAP_INSTALL)
                return;

        switch (o->type) {

        case OPERATION_SNAP_BEGIN:
                snap_begin(c, o);
                return;

        case OPERATION_SNAP_CHUNK:
                snap_chunk(c, o);
                return;

        case OPERATION_SNAP_INSTALL:
                snap_install(c, o);
                return;

        case OPERATION_SNAP_ABORT:
                snap_done(c);
                return;

        default:
                execute_own(c, o);
        }
}

static gpointer run(gpointer userdata) {
        CheckpointThread *c = userdata;

        g_mutex_lock(&c->lock);
        for (;;) {
                Operation *o = queue_pop(&c->queue);

                if (!o && c->stopping)
                        break;
                if (!o) {
                        g_cond_wait(&c->cond, &c->lock);
                        continue;
                }
                g_mutex_unlock(&c->lock);
                execute(c, o);
                g_mutex_lock(&c->lock);
                if (is_load(o))
                        c->backlog--;
                operation_free(o);
        }
        g_mutex_unlock(&c->lock);

        abort_own(c);
        snap_done(c);
        return NULL;
}

/*
 * The event loop
 */

int checkpoint_thread_new(const CheckpointThreadOptions *options, CheckpointThread **ret) {
        CheckpointThread *c = g_new0(CheckpointThread, 1);

        c->writer = options->writer;
        c->outbox = options->outbox;
        c->environments = options->environments;
        c->generation = options->generation;
        c->directory = *options->directory;
        c->checkpoint = CHECKPOINT_INIT(&c->directory, c->environments);
        g_mutex_init(&c->lock);
        g_cond_init(&c->cond);
        queue_init(&c->queue);
        c->thread = outbox_thread_new("checkpoint", run, c);
        if (!c->thread) {
                checkpoint_thread_free(c);
                return -EAGAIN;
        }
        *ret = c;
        return 0;
}

CheckpointThread *checkpoint_thread_free(CheckpointThread *c) {
        if (!c)
                return NULL;
        if (c->thread) {
                g_mutex_lock(&c->lock);
                c->stopping = true;
                g_cond_signal(&c->cond);
                g_mutex_unlock(&c->lock);
                g_thread_join(c->thread);
        }
        queue_clear(&c->queue);
        g_mutex_clear(&c->lock);
        g_cond_clear(&c->cond);
        g_free(c);
        return NULL;
}

static void submit(CheckpointThread *c, Operation *o) {
        g_mutex_lock(&c->lock);
        queue_push(&c->queue, o);
        if (is_load(o))
                c->backlog++;
        g_cond_signal(&c->cond);
        g_mutex_unlock(&c->lock);
}

void checkpoint_thread_begin(CheckpointThread *c, uint64_t io_seq, bool full, const CheckpointPosition *position) {
        Operation *o = operation_new(OPERATION_CHECKPOINT_BEGIN, io_seq);

        o->full = full;
        o->position = *position;
        if (position->config)
                g_bytes_ref(position->config);
        submit(c, o);
}

void checkpoint_thread_rows(CheckpointThread *c, const TreeRow *rows, unsigned rows_count) {
        submit(c, operation_new_rows(rows, rows_count));
}

void checkpoint_thread_end(CheckpointThread *c) {
        submit(c, operation_new(OPERATION_CHECKPOINT_END, 0));
}

void checkpoint_thread_abort(CheckpointThread *c) {
        submit(c, operation_new(OPERATION_CHECKPOINT_ABORT, 0));
}

void checkpoint_thread_snap_begin(CheckpointThread *c, const CheckpointPosition *position) {
        Operation *o = operation_new(OPERATION_SNAP_BEGIN, 0);

        o->position = *position;
        if (position->config)
                g_bytes_ref(position->config);
        submit(c, o);
}

void checkpoint_thread_snap_chunk(CheckpointThread *c, GBytes *chunk) {
        Operation *o = operation_new(OPERATION_SNAP_CHUNK, 0);

        o->chunk = g_bytes_ref(chunk);
        submit(c, o);
}

void checkpoint_thread_snap_install(CheckpointThread *c, Hash128 digest) {
        Operation *o = operation_new(OPERATION_SNAP_INSTALL, 0);

        o->position.digest = digest;
        submit(c, o);
}

void checkpoint_thread_snap_abort(CheckpointThread *c) {
        submit(c, operation_new(OPERATION_SNAP_ABORT, 0));
}

unsigned checkpoint_thread_backlog(CheckpointThread *c) {
        unsigned n;

        g_mutex_lock(&c->lock);
        n = c->backlog;
        g_mutex_unlock(&c->lock);
        return n;
}
