/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * WriterThread
 *
 * First what runs in the thread, the log before the checkpoint before the background; then what runs in the event loop.
 */

#include "agent/store/writer.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/store/format/record.h"
#include "agent/store/queue.h"

#define WATERMARK_USEC (100 * G_TIME_SPAN_MILLISECOND)
#define SPACE_RETRY_USEC G_TIME_SPAN_SECOND

/* A larger batch is written in parts. */
#define BATCH_BYTES (8 * 1024 * 1024)

/* The share of time that filling the spare may take from appends: one part in four. */
#define FILL_PAUSE_FACTOR 3

struct WriterThread {
        Directory *directory;
        MetaFile *meta;
        Log *log;
        const StoreListener *listener;
        uint64_t log_keep_bytes;
        GThread *thread;
        int event_fd;

        /* the thread's own */
        bool failed;
        bool wrote_log;                 /* in its last turn */
        Checkpoint checkpoint;
        bool checkpoint_open;
        uint64_t checkpoint_io_seq;
        int64_t checkpoint_start_usec;
        uint64_t encoded_io_seq, completed_io_seq;
        int64_t watermark_due_usec, spare_due_usec;     /* INT64_MAX: never */

        GMutex lock;                    /* guards what follows */
        GCond cond;
        Queue log_queue, checkpoint_queue;
        unsigned backlog;               /* ROWS in checkpoint_queue or in work */
        bool sleeping, stopping;
        GArray *completions;
        StoreStatistics statistics;
};

/*
 * Telling
 */

static void complete(WriterThread *w, const Completion *c) {
        bool wake;

        g_mutex_lock(&w->lock);
        wake = w->completions->len == 0;
        completions_push(w->completions, c);
        g_mutex_unlock(&w->lock);

        /* One that is not taken yet has made the descriptor readable. */
        if (wake)
                (void) eventfd_write(w->event_fd, 1);
}

static void fail(WriterThread *w, int error) {
        assert(error < 0);

        if (w->failed)
                return;
        w->failed = true;
        complete(w, &(Completion) {
                            .type = COMPLETION_FAILED,
                            .error = error,
                            .what = g_strdup(w->directory->what),
                    });
}

static void set_space(WriterThread *w, bool available) {
        bool changed;

        g_mutex_lock(&w->lock);
        changed = w->statistics.space_available != available;
        w->statistics.space_available = available;
        g_mutex_unlock(&w->lock);
        if (changed)
                complete(w, &(Completion) { .type = COMPLETION_SPACE, .available = available });
}

static void count_segments(WriterThread *w) {
        uint64_t bytes = log_bytes(w->log);

        g_mutex_lock(&w->lock);
        w->statistics.segments = w->log->segments->len;
        w->statistics.log_bytes = bytes;
        g_mutex_unlock(&w->lock);
}

/*
 * The spare
 */

static bool error_is_room(int error) {
        return checkpoint_error_is_room(error) || error == -EMFILE || error == -ENFILE || error == -ENOMEM;
}

/* Space is known to be there, or not, as soon as a segment has been begun and has all its room: what is submitted
 * before the caller hears of it fits in. */
static void make_spare(WriterThread *w) {
        int r;

        r = log_make_spare(w->log);
        if (r < 0 && !error_is_room(r)) {
                fail(w, r);
                return;
        }
        set_space(w, r >= 0);
        if (r < 0)
                w->spare_due_usec = g_get_monotonic_time() + SPACE_RETRY_USEC;
        else
                w->spare_due_usec = w->log->spare_filled < w->log->segment_bytes ? 0 : INT64_MAX;
}

/* A retry, or the next piece of zeros.  Unwritten extents would do as well, at half as much again for each append. */
static void tend_spare(WriterThread *w) {
        int64_t begin = g_get_monotonic_time(), end;
        int r;

        if (w->log->spare_fd < 0) {
                make_spare(w);
                return;
        }
        r = log_fill_spare(w->log);
        if (r < 0) {
                fail(w, r);
                return;
        }
        end = g_get_monotonic_time();
        w->spare_due_usec = r > 0 ? INT64_MAX : end + (end - begin) * FILL_PAUSE_FACTOR;
}

/*
 * The log and META
 */

static int write_meta(WriterThread *w, const ZabMeta *meta, uint64_t generation) {
        ZabMeta m = *meta;

        m.durable_floor = w->log->durable;
        m.checkpoint_generation = generation;
        return meta_file_write(w->meta, &m, log_newest(w->log));
}

static int flush(WriterThread *w) {
        uint64_t bytes = w->log->buffer.size, usec;
        int64_t begin;
        int r;

        if (bytes > 0) {
                begin = g_get_monotonic_time();
                r = log_flush(w->log);
                if (r < 0)
                        return r;
                usec = (uint64_t) (g_get_monotonic_time() - begin);
                w->watermark_due_usec = w->log->proven ? INT64_MAX : begin + (int64_t) usec + WATERMARK_USEC;

                g_mutex_lock(&w->lock);
                w->statistics.append_bytes += bytes;
                w->statistics.syncs++;
                w->statistics.sync_usec_total += usec;
                w->statistics.sync_usec_max = MAX(w->statistics.sync_usec_max, usec);
                g_mutex_unlock(&w->lock);
        }
        if (w->encoded_io_seq > w->completed_io_seq) {
                w->completed_io_seq = w->encoded_io_seq;
                complete(w, &(Completion) { .type = COMPLETION_APPENDED, .io_seq = w->completed_io_seq });
        }
        return 0;
}

/* Begins the next segment and writes META, which then says that it must be there. */
static int rotate(WriterThread *w) {
        int r;

        r = log_rotate(w->log);
        if (r < 0)
                return r;
        r = write_meta(w, &w->meta->record.meta, w->meta->record.meta.checkpoint_generation);
        if (r < 0)
                return r;
        count_segments(w);
        w->watermark_due_usec = INT64_MAX;
        make_spare(w);
        return w->failed ? -EIO : 0;
}

static int write_entries(WriterThread *w, const Operation *o) {
        int r;

        for (unsigned i = 0; i < o->entries_count; i++) {
                bool fits = log_encode(w->log, o->entries + i);

                if (fits && w->log->buffer.size < BATCH_BYTES)
                        continue;
                r = flush(w);
                if (r < 0)
                        return r;
                if (fits)
                        continue;
                r = rotate(w);
                if (r < 0)
                        return r;
                fits = log_encode(w->log, o->entries + i);
                assert(fits);
        }
        w->encoded_io_seq = o->io_seq;
        return 0;
}

static int write_operation(WriterThread *w, const Operation *o) {
        int r;

        if (o->type == OPERATION_APPEND)
                return write_entries(w, o);

        assert(o->type == OPERATION_META);
        r = flush(w);
        if (r < 0)
                return r;
        r = write_meta(w, &o->meta, w->meta->record.meta.checkpoint_generation);
        if (r < 0)
                return r;
        complete(w, &(Completion) { .type = COMPLETION_META, .io_seq = o->io_seq });
        return 0;
}

static void write_log(WriterThread *w, Operation *list) {
        int r = 0;

        while (list) {
                Operation *o = list;

                list = g_steal_pointer(&o->next);
                if (!w->failed && r >= 0)
                        r = write_operation(w, o);
                operation_free(o);
        }
        if (!w->failed && r >= 0)
                r = flush(w);
        if (r < 0)
                fail(w, r);
}

/*
 * The checkpoint
 */

/* `fatal`: what is on the disk may differ from what was there before. */
static void fail_checkpoint(WriterThread *w, int error, bool fatal) {
        assert(w->checkpoint_open);

        checkpoint_done(&w->checkpoint, false);
        w->checkpoint_open = false;
        if (fatal)
                fail(w, error);
        else
                complete(w, &(Completion) {
                                    .type = COMPLETION_CHECKPOINT,
                                    .io_seq = w->checkpoint_io_seq,
                                    .error = error,
                            });
}

static void begin_checkpoint(WriterThread *w, const Operation *o) {
        uint64_t current = w->meta->record.meta.checkpoint_generation;
        int r;

        assert(!w->checkpoint_open);
        assert(o->position.position.index <= w->log->durable);

        w->checkpoint_open = true;
        w->checkpoint_io_seq = o->io_seq;
        w->checkpoint_start_usec = g_get_monotonic_time();
        if (current == 0 && !o->full)
                r = -ENOENT;
        else
                r = checkpoint_begin(&w->checkpoint, o->full ? current + 1 : current, o->full, &o->position);
        if (r < 0)
                fail_checkpoint(w, r, false);
}

/* Points META at the new generation, in both slots before the old one goes: whichever slot is lost later, the other is
 * right. */
static int switch_generation(WriterThread *w) {
        uint64_t old = w->meta->record.meta.checkpoint_generation, new = w->checkpoint.generation;

        for (unsigned i = 0; i < 2; i++) {
                int r = write_meta(w, &w->meta->record.meta, new);

                if (r < 0)
                        return r;
        }
        return old > 0 ? checkpoint_remove(w->directory, old) : 0;
}

static void end_checkpoint(WriterThread *w) {
        uint64_t index = w->checkpoint.position.position.index, rows = w->checkpoint.rows_count;
        bool full = w->checkpoint.full;
        int r;

        r = checkpoint_commit(&w->checkpoint);
        if (r < 0) {
                /* A failed commit that is no matter of room leaves LMDB's file in doubt (protocol 2.11); a new
                 * generation is nobody's yet. */
                fail_checkpoint(w, r, !full && !checkpoint_error_is_room(r));
                return;
        }
        r = full ? switch_generation(w) : 0;
        checkpoint_done(&w->checkpoint, true);
        w->checkpoint_open = false;
        if (r >= 0)
                r = log_drop(w->log, index, w->log_keep_bytes);
        if (r < 0) {
                fail(w, r);
                return;
        }
        count_segments(w);

        g_mutex_lock(&w->lock);
        w->statistics.checkpoints++;
        w->statistics.checkpoint_rows += rows;
        w->statistics.checkpoint_usec_last = (uint64_t) (g_get_monotonic_time() - w->checkpoint_start_usec);
        g_mutex_unlock(&w->lock);
        complete(w, &(Completion) { .type = COMPLETION_CHECKPOINT, .io_seq = w->checkpoint_io_seq });
}

/* Returns true when the operation is done with. */
static bool write_checkpoint(WriterThread *w, Operation *o) {
        unsigned n;
        int r;

        if (w->failed)
                return true;
        if (o->type == OPERATION_CHECKPOINT_BEGIN) {
                begin_checkpoint(w, o);
                return true;
        }
        if (!w->checkpoint_open)
                return true;

        switch (o->type) {

        case OPERATION_CHECKPOINT_ROWS:
                n = MIN(o->rows_count - o->rows_done, CHECKPOINT_PIECE_ROWS);
                r = checkpoint_put(&w->checkpoint, o->rows + o->rows_done, n);
                if (r < 0) {
                        fail_checkpoint(w, r, false);
                        return true;
                }
                o->rows_done += n;
                return o->rows_done == o->rows_count;

        case OPERATION_CHECKPOINT_END:
                end_checkpoint(w);
                return true;

        case OPERATION_CHECKPOINT_ABORT:
                checkpoint_done(&w->checkpoint, false);
                w->checkpoint_open = false;
                return true;

        default:
                assert(false);
                return true;
        }
}

/*
 * The thread
 */

static void write_watermark(WriterThread *w) {
        int r;

        w->watermark_due_usec = INT64_MAX;
        /* Without a spare the room left is for entries. */
        if (w->log->proven || w->log->spare_fd < 0 || !log_encode_watermark(w->log))
                return;
        r = flush(w);
        if (r < 0)
                fail(w, r);
}

static int64_t next_due(const WriterThread *w) {
        return w->failed ? INT64_MAX : MIN(w->watermark_due_usec, w->spare_due_usec);
}

static void run_background(WriterThread *w) {
        if (w->watermark_due_usec <= w->spare_due_usec)
                write_watermark(w);
        else
                tend_spare(w);
}

/* The log comes first, but under a load that always has more of it a checkpoint gets every other turn: else the log
 * would grow without end.  Only its beginning has to wait until the log is durable up to its position. */
static bool yields_to_checkpoint(const WriterThread *w) {
        const Operation *o = w->checkpoint_queue.first;

        return w->wrote_log && o &&
               (o->type != OPERATION_CHECKPOINT_BEGIN || o->position.position.index <= w->log->durable);
}

/* Called with the lock held.  Returns false if there is nothing to do but to sleep or to end. */
static bool run_once(WriterThread *w) {
        Operation *list = yields_to_checkpoint(w) ? NULL : queue_take(&w->log_queue), *o = NULL;
        bool background = false, done;

        w->wrote_log = list;
        if (!list)
                o = w->checkpoint_queue.first;
        if (!list && !o)
                background = next_due(w) <= g_get_monotonic_time();
        if (!list && !o && !background)
                return false;

        g_mutex_unlock(&w->lock);
        if (list)
                write_log(w, list);
        else if (background)
                run_background(w);
        done = o && write_checkpoint(w, o);
        g_mutex_lock(&w->lock);

        if (done) {
                o = queue_pop(&w->checkpoint_queue);
                if (o->type == OPERATION_CHECKPOINT_ROWS)
                        w->backlog--;
                operation_free(o);
        }
        return true;
}

static gpointer run(gpointer userdata) {
        WriterThread *w = userdata;

        g_mutex_lock(&w->lock);
        for (;;) {
                int64_t due;

                if (run_once(w))
                        continue;
                if (w->stopping)
                        break;
                due = next_due(w);
                w->sleeping = true;
                if (due == INT64_MAX)
                        g_cond_wait(&w->cond, &w->lock);
                else
                        (void) g_cond_wait_until(&w->cond, &w->lock, due);
                w->sleeping = false;
        }
        g_mutex_unlock(&w->lock);

        if (w->checkpoint_open)
                checkpoint_done(&w->checkpoint, false);
        if (!w->failed)
                write_watermark(w);
        return NULL;
}

/*
 * The event loop
 */

/* The very first segment is filled with zeros before anything runs; later ones are filled while they are the spare. */
static int make_first_segment(WriterThread *w) {
        int r;

        r = log_make_spare(w->log);
        if (r < 0)
                return r;
        while (w->log->spare_filled < w->log->segment_bytes) {
                r = log_fill_spare(w->log);
                if (r < 0)
                        return r;
        }
        return rotate(w);
}

static int prepare(WriterThread *w) {
        int r;

        w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (w->event_fd < 0)
                return directory_fail(w->directory, -errno, w->directory->fd, "writer", "eventfd");
        if (w->log->fd < 0) {
                r = make_first_segment(w);
                if (r < 0)
                        return r;
        } else
                make_spare(w);
        count_segments(w);
        if (!w->log->proven)
                w->watermark_due_usec = g_get_monotonic_time() + WATERMARK_USEC;
        return 0;
}

int writer_thread_new(const WriterThreadOptions *options, WriterThread **ret) {
        WriterThread *w = g_new0(WriterThread, 1);
        sigset_t all, old;
        int r;

        w->directory = options->directory;
        w->meta = options->meta;
        w->log = options->log;
        w->listener = options->listener;
        w->log_keep_bytes = options->log_keep_bytes;
        w->event_fd = -1;
        w->checkpoint = CHECKPOINT_INIT(w->directory);
        w->watermark_due_usec = w->spare_due_usec = INT64_MAX;
        g_mutex_init(&w->lock);
        g_cond_init(&w->cond);
        queue_init(&w->log_queue);
        queue_init(&w->checkpoint_queue);
        w->completions = completions_new();
        w->statistics.space_available = true;

        r = prepare(w);
        if (r < 0) {
                writer_thread_free(w);
                return r;
        }

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        w->thread = g_thread_try_new("store", run, w, NULL);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        if (!w->thread) {
                writer_thread_free(w);
                return directory_fail(options->directory, -EAGAIN, options->directory->fd, "writer", "start");
        }
        *ret = w;
        return 0;
}

WriterThread *writer_thread_free(WriterThread *w) {
        if (!w)
                return NULL;
        if (w->thread) {
                g_mutex_lock(&w->lock);
                w->stopping = true;
                g_cond_signal(&w->cond);
                g_mutex_unlock(&w->lock);
                g_thread_join(w->thread);
        }
        queue_clear(&w->log_queue);
        queue_clear(&w->checkpoint_queue);
        g_array_unref(w->completions);
        if (w->event_fd >= 0)
                close(w->event_fd);
        g_mutex_clear(&w->lock);
        g_cond_clear(&w->cond);
        g_free(w);
        return NULL;
}

int writer_thread_get_fd(const WriterThread *w) {
        return w->event_fd;
}

void writer_thread_dispatch(WriterThread *w) {
        g_autoptr(GArray) completions = NULL, empty = completions_new();
        eventfd_t count;

        (void) eventfd_read(w->event_fd, &count);
        g_mutex_lock(&w->lock);
        completions = w->completions;
        w->completions = g_steal_pointer(&empty);
        g_mutex_unlock(&w->lock);

        for (unsigned i = 0; i < completions->len; i++)
                completion_deliver(&g_array_index(completions, Completion, i), w->listener);
}

void writer_thread_get_statistics(WriterThread *w, StoreStatistics *ret) {
        g_mutex_lock(&w->lock);
        *ret = w->statistics;
        g_mutex_unlock(&w->lock);
}

unsigned writer_thread_checkpoint_backlog(WriterThread *w) {
        unsigned n;

        g_mutex_lock(&w->lock);
        n = w->backlog;
        g_mutex_unlock(&w->lock);
        return n;
}

static void submit(WriterThread *w, Queue *q, Operation *o) {
        bool wake;

        g_mutex_lock(&w->lock);
        queue_push(q, o);
        if (o->type == OPERATION_APPEND)
                w->statistics.appends += o->entries_count;
        if (o->type == OPERATION_CHECKPOINT_ROWS)
                w->backlog++;
        wake = w->sleeping;
        w->sleeping = false;
        g_mutex_unlock(&w->lock);
        if (wake)
                g_cond_signal(&w->cond);
}

void writer_thread_append(WriterThread *w, uint64_t io_seq, const ZabEntry *entries, unsigned entries_count) {
        submit(w, &w->log_queue, operation_new_append(io_seq, entries, entries_count));
}

void writer_thread_write_meta(WriterThread *w, uint64_t io_seq, const ZabMeta *meta) {
        Operation *o = operation_new(OPERATION_META, io_seq);

        o->meta = *meta;
        submit(w, &w->log_queue, o);
}

void writer_thread_checkpoint_begin(WriterThread *w, uint64_t io_seq, bool full, const CheckpointPosition *position) {
        Operation *o = operation_new(OPERATION_CHECKPOINT_BEGIN, io_seq);

        o->full = full;
        o->position = *position;
        if (position->config)
                g_bytes_ref(position->config);
        submit(w, &w->checkpoint_queue, o);
}

void writer_thread_checkpoint_rows(WriterThread *w, const TreeRow *rows, unsigned rows_count) {
        submit(w, &w->checkpoint_queue, operation_new_rows(rows, rows_count));
}

void writer_thread_checkpoint_end(WriterThread *w) {
        submit(w, &w->checkpoint_queue, operation_new(OPERATION_CHECKPOINT_END, 0));
}

void writer_thread_checkpoint_abort(WriterThread *w) {
        submit(w, &w->checkpoint_queue, operation_new(OPERATION_CHECKPOINT_ABORT, 0));
}
