/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * WriterThread
 *
 * First what runs in the thread, the log before the background; then what the checkpoint's thread asks for, then what
 * runs in the event loop.
 */

#include "agent/store/writer.h"

#include <assert.h>
#include <errno.h>

#include "agent/store/checkpoint.h"
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
        Outbox *outbox;
        uint64_t log_keep_bytes;
        GThread *thread;

        /* the thread's own */
        uint64_t encoded_io_seq, encoded_entries, completed_io_seq;
        uint64_t requests_done;
        Operation *switch_to;           /* came before INSTALL did */
        int64_t watermark_due_usec, spare_due_usec;     /* INT64_MAX: never */

        GMutex lock;                    /* guards what follows */
        GCond cond;
        Queue queue;
        Queue requests;                 /* of the checkpoint's thread */
        bool sleeping, stopping;
        GCond progress;                 /* of these, for the checkpoint's thread */
        unsigned waiters;               /* 0: nobody to signal, which would be a system call */
        uint64_t durable;               /* index */
        uint64_t requests_asked, requests_answered;
};

static void fail(WriterThread *w, int error) {
        outbox_fail(w->outbox, error, w->directory->what);
}

static void count_segments(WriterThread *w) {
        uint64_t bytes = log_bytes(w->log);

        g_mutex_lock(&w->outbox->lock);
        w->outbox->statistics.segments = w->log->segments->len;
        w->outbox->statistics.log_bytes = bytes;
        g_mutex_unlock(&w->outbox->lock);
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
        outbox_tell_space(w->outbox, r >= 0);
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

/* Both slots before what they claimed goes: whichever is lost later, the other is right. */
static int write_meta_twice(WriterThread *w, const ZabMeta *meta, uint64_t newest_segment) {
        for (unsigned i = 0; i < 2; i++) {
                int r = meta_file_write(w->meta, meta, newest_segment);

                if (r < 0)
                        return r;
        }
        return 0;
}

static void count_flush(WriterThread *w, uint64_t bytes, uint64_t usec) {
        StoreStatistics *s = &w->outbox->statistics;

        g_mutex_lock(&w->outbox->lock);
        s->appends += w->encoded_entries;
        s->append_bytes += bytes;
        s->syncs++;
        s->sync_usec_total += usec;
        s->sync_usec_max = MAX(s->sync_usec_max, usec);
        g_mutex_unlock(&w->outbox->lock);
        w->encoded_entries = 0;
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

                count_flush(w, bytes, usec);
        }
        if (w->encoded_io_seq > w->completed_io_seq) {
                w->completed_io_seq = w->encoded_io_seq;
                outbox_tell(w->outbox, &(Completion) { .type = COMPLETION_APPENDED, .io_seq = w->completed_io_seq });
        }
        return 0;
}

/* More was under way than the segment had room for, on a full disk: it stays unanswered until there is room.  Nothing of it is
 * lost or acknowledged meanwhile. */
static int wait_for_room(WriterThread *w) {
        bool stopping = false;
        int r;

        while ((r = log_make_spare(w->log)) < 0 && error_is_room(r) && !stopping) {
                outbox_tell_space(w->outbox, false);
                g_mutex_lock(&w->lock);
                if (!w->stopping)
                        (void) g_cond_wait_until(&w->cond, &w->lock, g_get_monotonic_time() + SPACE_RETRY_USEC);
                stopping = w->stopping;
                g_mutex_unlock(&w->lock);
        }
        return r;
}

/* Begins the next segment and writes META, which then says that it must be there. */
static int rotate(WriterThread *w) {
        int r;

        r = wait_for_room(w);
        if (r < 0)
                return r;
        r = log_rotate(w->log);
        if (r < 0)
                return r;
        r = write_meta(w, &w->meta->record.meta, w->meta->record.meta.checkpoint_generation);
        if (r < 0)
                return r;
        count_segments(w);
        w->watermark_due_usec = INT64_MAX;
        make_spare(w);
        return outbox_has_failed(w->outbox) ? -EIO : 0;
}

static int write_entries(WriterThread *w, const Operation *o) {
        int r;

        for (unsigned i = 0; i < o->entries_count; i++) {
                bool fits = log_encode(w->log, o->entries + i);

                w->encoded_entries += fits;
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
                w->encoded_entries++;
        }
        w->encoded_io_seq = o->io_seq;
        return 0;
}

static int update_meta(WriterThread *w, const Operation *o) {
        int r;

        r = write_meta(w, &o->meta, w->meta->record.meta.checkpoint_generation);
        if (r >= 0)
                outbox_tell(w->outbox, &(Completion) { .type = COMPLETION_META, .io_seq = o->io_seq });
        return r;
}

/* Points META at a new generation before the old one goes. */
static int settle(WriterThread *w, const Operation *o) {
        ZabMeta m = w->meta->record.meta;
        int r = 0;

        if (o->generation != m.checkpoint_generation) {
                m.durable_floor = w->log->durable;
                m.checkpoint_generation = o->generation;
                r = write_meta_twice(w, &m, log_newest(w->log));
        }
        if (r >= 0)
                r = log_drop(w->log, o->index, w->log_keep_bytes);
        if (r > 0)
                outbox_tell(w->outbox, &(Completion) {
                                               .type = COMPLETION_LOG_DROPPED,
                                               .index = g_array_index(w->log->segments, LogSegment, 0).first_index - 1,
                                       });
        count_segments(w);
        return r;
}

static int truncate_log(WriterThread *w, const Operation *o) {
        const ZabPosition *position = &o->position.position;
        ZabMeta m = w->meta->record.meta;
        unsigned segment;
        uint64_t offset;
        int r;

        if (position->index < w->log->last.index) {
                r = log_find(w->log, position, &segment, &offset);
                if (r < 0)
                        return r;
                m.durable_floor = position->index;
                r = write_meta_twice(w, &m, g_array_index(w->log->segments, LogSegment, segment).first_index);
                if (r < 0)
                        return r;
                r = log_cut(w->log, position, segment, offset);
                if (r < 0)
                        return r;
                w->watermark_due_usec = g_get_monotonic_time() + WATERMARK_USEC;
                count_segments(w);
                make_spare(w);
        }
        w->encoded_io_seq = o->io_seq;
        return outbox_has_failed(w->outbox) ? -EIO : 0;
}

/*
 * The leader's snapshot
 */

/* One META write is the switch.  It says that there is no newest segment, so whatever a crash leaves of the old log is void
 * (store.c); the next one, which goes to the other slot, follows when that is gone and a new segment has begun. */
static int switch_over(WriterThread *w, const Operation *install, const Operation *o) {
        ZabMeta m = install->meta;
        int r;

        m.checkpoint_generation = o->generation;
        m.durable_floor = o->position.position.index;
        r = meta_file_write(w->meta, &m, 0);
        if (r < 0)
                return r;
        r = log_begin_anew(w->log, &o->position.position);
        if (r < 0)
                return r;
        r = rotate(w);
        w->encoded_io_seq = install->io_seq;
        return r;
}

static int answer_request(WriterThread *w, Operation *o) {
        int r = 0;

        if (o->type == OPERATION_SWITCH) {
                assert(!w->switch_to);
                w->switch_to = o;
                return 0;
        }
        assert(o->type == OPERATION_SETTLE);
        if (!outbox_has_failed(w->outbox))
                r = settle(w, o);
        w->requests_done++;
        operation_free(o);
        return r;
}

/* Whether all went well or not, the asker may go on. */
static void tell_progress(WriterThread *w) {
        g_mutex_lock(&w->lock);
        w->durable = w->log->durable;
        w->requests_answered = w->requests_done;
        if (w->waiters > 0)
                g_cond_broadcast(&w->progress);
        g_mutex_unlock(&w->lock);
}

/* The snapshot is still being built, and a checkpoint before it may need an answer first. */
static int wait_for_switch(WriterThread *w) {
        int r = 0;

        while (!w->switch_to) {
                Operation *o;

                tell_progress(w);
                g_mutex_lock(&w->lock);
                while (!(o = queue_pop(&w->requests))) {
                        w->sleeping = true;
                        g_cond_wait(&w->cond, &w->lock);
                        w->sleeping = false;
                }
                g_mutex_unlock(&w->lock);
                r = answer_request(w, o);
                if (r < 0)
                        fail(w, r);
        }
        return r;
}

static int install(WriterThread *w, const Operation *install_operation) {
        g_autoptr(Operation) o = NULL;
        int r;

        r = wait_for_switch(w);
        o = g_steal_pointer(&w->switch_to);
        if (r >= 0 && o->error < 0)
                outbox_tell(w->outbox, &(Completion) {
                                               .type = COMPLETION_SNAP_FAILED,
                                               .io_seq = install_operation->io_seq,
                                               .error = o->error,
                                       });
        else if (r >= 0 && !outbox_has_failed(w->outbox))
                r = switch_over(w, install_operation, o);
        w->requests_done++;
        return r;
}

static int write_operation(WriterThread *w, const Operation *o) {
        int r;

        if (o->type == OPERATION_APPEND)
                return write_entries(w, o);

        r = flush(w);
        if (r < 0)
                return r;
        switch (o->type) {

        case OPERATION_META:
                return update_meta(w, o);

        case OPERATION_TRUNCATE:
                r = truncate_log(w, o);
                break;

        case OPERATION_INSTALL:
                r = install(w, o);
                break;

        default:
                assert(false);
        }
        return r < 0 ? r : flush(w);
}

static void write_log(WriterThread *w, Operation *list) {
        int r = 0;

        while (list) {
                g_autoptr(Operation) o = list;

                list = g_steal_pointer(&o->next);
                if (!outbox_has_failed(w->outbox) && r >= 0)
                        r = write_operation(w, o);
                else if (o->type == OPERATION_INSTALL) {
                        (void) wait_for_switch(w);
                        g_clear_pointer(&w->switch_to, operation_free);
                        w->requests_done++;
                }
        }
        if (!outbox_has_failed(w->outbox) && r >= 0)
                r = flush(w);
        if (r < 0)
                fail(w, r);
}

static void answer_requests(WriterThread *w, Operation *list) {
        while (list) {
                Operation *o = list;
                int r;

                list = g_steal_pointer(&o->next);
                r = answer_request(w, o);
                if (r < 0)
                        fail(w, r);
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
        return outbox_has_failed(w->outbox) ? INT64_MAX : MIN(w->watermark_due_usec, w->spare_due_usec);
}

static void run_background(WriterThread *w) {
        if (w->watermark_due_usec <= w->spare_due_usec)
                write_watermark(w);
        else
                tend_spare(w);
}

/* Called with the lock held.  Returns false if there is nothing to do but to sleep or to end. */
static bool run_once(WriterThread *w) {
        Operation *requests = queue_take(&w->requests), *list = queue_take(&w->queue);

        if (!requests && !list && next_due(w) > g_get_monotonic_time())
                return false;

        g_mutex_unlock(&w->lock);
        answer_requests(w, requests);
        if (list)
                write_log(w, list);
        else if (!requests)
                run_background(w);
        tell_progress(w);
        g_mutex_lock(&w->lock);
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

        if (!outbox_has_failed(w->outbox))
                write_watermark(w);
        return NULL;
}

/*
 * The checkpoint's thread
 */

static void submit(WriterThread *w, Queue *queue, Operation *o) {
        bool wake;

        g_mutex_lock(&w->lock);
        queue_push(queue, o);
        wake = w->sleeping;
        w->sleeping = false;
        g_mutex_unlock(&w->lock);
        if (wake)
                g_cond_signal(&w->cond);
}

/* Called with the lock held. */
static void wait_for_progress(WriterThread *w) {
        w->waiters++;
        g_cond_wait(&w->progress, &w->lock);
        w->waiters--;
}

bool writer_thread_wait_durable(WriterThread *w, uint64_t index) {
        g_mutex_lock(&w->lock);
        while (w->durable < index && !outbox_has_failed(w->outbox))
                wait_for_progress(w);
        g_mutex_unlock(&w->lock);
        return !outbox_has_failed(w->outbox);
}

static bool ask(WriterThread *w, Operation *o) {
        uint64_t number;

        submit(w, &w->requests, o);
        g_mutex_lock(&w->lock);
        number = ++w->requests_asked;
        while (w->requests_answered < number)
                wait_for_progress(w);
        g_mutex_unlock(&w->lock);
        return !outbox_has_failed(w->outbox);
}

bool writer_thread_settle(WriterThread *w, uint64_t generation, uint64_t index) {
        Operation *o = operation_new(OPERATION_SETTLE, 0);

        o->generation = generation;
        o->index = index;
        return ask(w, o);
}

bool writer_thread_switch(WriterThread *w, int error, uint64_t generation, const ZabPosition *position) {
        Operation *o = operation_new(OPERATION_SWITCH, 0);

        o->error = error;
        o->generation = generation;
        o->position.position = *position;
        return ask(w, o);
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
        int r;

        w->directory = options->directory;
        w->meta = options->meta;
        w->log = options->log;
        w->outbox = options->outbox;
        w->log_keep_bytes = options->log_keep_bytes;
        w->durable = w->log->durable;
        w->watermark_due_usec = w->spare_due_usec = INT64_MAX;
        g_mutex_init(&w->lock);
        g_cond_init(&w->cond);
        g_cond_init(&w->progress);
        queue_init(&w->queue);
        queue_init(&w->requests);

        r = prepare(w);
        if (r < 0) {
                writer_thread_free(w);
                return r;
        }
        w->thread = outbox_thread_new("store", run, w);
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
        queue_clear(&w->queue);
        g_mutex_clear(&w->lock);
        g_cond_clear(&w->cond);
        g_cond_clear(&w->progress);
        g_free(w);
        return NULL;
}

void writer_thread_append(WriterThread *w, uint64_t io_seq, const ZabEntry *entries, unsigned entries_count) {
        submit(w, &w->queue, operation_new_append(io_seq, entries, entries_count));
}

void writer_thread_write_meta(WriterThread *w, uint64_t io_seq, const ZabMeta *meta) {
        Operation *o = operation_new(OPERATION_META, io_seq);

        o->meta = *meta;
        submit(w, &w->queue, o);
}

void writer_thread_truncate(WriterThread *w, uint64_t io_seq, const ZabPosition *position) {
        Operation *o = operation_new(OPERATION_TRUNCATE, io_seq);

        o->position.position = *position;
        submit(w, &w->queue, o);
}

void writer_thread_install(WriterThread *w, uint64_t io_seq, const ZabMeta *meta) {
        Operation *o = operation_new(OPERATION_INSTALL, io_seq);

        o->meta = *meta;
        submit(w, &w->queue, o);
}
