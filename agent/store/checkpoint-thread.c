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

struct CheckpointThread {
        WriterThread *writer;
        Outbox *outbox;
        GThread *thread;

        /* the thread's own */
        Directory directory;
        uint64_t generation;
        Checkpoint checkpoint;
        bool open;
        uint64_t io_seq;
        int64_t start_usec;

        GMutex lock;                    /* guards what follows */
        GCond cond;
        Queue queue;
        unsigned backlog;               /* ROWS in the queue or in work */
        bool stopping;
};

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
        if (!writer_thread_settle(c->writer, new, index))
                return;
        c->generation = new;
        r = full && old > 0 ? checkpoint_remove(&c->directory, old) : 0;
        if (r < 0)
                outbox_fail(c->outbox, r, c->directory.what);
        else
                tell_done(c, rows);
}

static void execute(CheckpointThread *c, const Operation *o) {
        int r;

        if (outbox_has_failed(c->outbox))
                return;
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
                checkpoint_done(&c->checkpoint, false);
                c->open = false;
                return;

        default:
                assert(false);
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
                if (o->type == OPERATION_CHECKPOINT_ROWS)
                        c->backlog--;
                operation_free(o);
        }
        g_mutex_unlock(&c->lock);

        if (c->open)
                checkpoint_done(&c->checkpoint, false);
        return NULL;
}

/*
 * The event loop
 */

int checkpoint_thread_new(const CheckpointThreadOptions *options, CheckpointThread **ret) {
        CheckpointThread *c = g_new0(CheckpointThread, 1);

        c->writer = options->writer;
        c->outbox = options->outbox;
        c->generation = options->generation;
        c->directory = *options->directory;
        c->checkpoint = CHECKPOINT_INIT(&c->directory);
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
        if (o->type == OPERATION_CHECKPOINT_ROWS)
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

unsigned checkpoint_thread_backlog(CheckpointThread *c) {
        unsigned n;

        g_mutex_lock(&c->lock);
        n = c->backlog;
        g_mutex_unlock(&c->lock);
        return n;
}
