/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * ReaderThread
 *
 * First what runs in the thread, then what runs in the event loop.
 */

#include "agent/store/reader-thread.h"

#include <assert.h>
#include <errno.h>

#include "agent/store/log-reader.h"
#include "agent/store/queue.h"

typedef struct Snapshot {
        uint64_t request;
        SnapshotReader reader;
} Snapshot;

struct ReaderThread {
        Environments *environments;
        LogIndex *index;
        Outbox *outbox;
        GThread *thread;

        /* the thread's own */
        Directory directory;
        LogReader log;
        GPtrArray *snapshots;           /* Snapshot */
        GArray *waiting;                /* uint64_t: requests that wait for one to be closed */

        GMutex lock;                    /* guards what follows */
        GCond cond;
        Queue queue;
        bool stopping;
};

static void read_log(ReaderThread *t, const Operation *o) {
        Completion c = { .type = COMPLETION_LOG_READ, .io_seq = o->request, .entries = entries_new() };
        int r;

        r = log_reader_read(&t->log, o->from_index, o->to_index, o->bytes_max, c.entries);
        if (r < 0) {
                completion_clear(&c);
                outbox_fail(t->outbox, r, t->directory.what);
        } else
                outbox_tell(t->outbox, &c);
}

/*
 * Snapshots
 */

/* The log goes on behind each of them until it is closed. */
static bool hold_log(ReaderThread *t, uint64_t index) {
        uint64_t held = UINT64_MAX;

        for (unsigned i = 0; i < t->snapshots->len; i++) {
                const Snapshot *s = t->snapshots->pdata[i];

                held = MIN(held, s->reader.position.position.index);
        }
        return log_index_hold(t->index, held, index);
}

static void snapshot_free(ReaderThread *t, Snapshot *s) {
        snapshot_reader_done(&s->reader, t->environments);
        g_free(s);
}

static int find_snapshot(const ReaderThread *t, uint64_t request) {
        for (unsigned i = 0; i < t->snapshots->len; i++)
                if (((const Snapshot *) t->snapshots->pdata[i])->request == request)
                        return (int) i;
        return -1;
}

static int open_newest(ReaderThread *t, Snapshot **ret) {
        Environment *environment;
        Snapshot *s;
        int r;

        r = environments_use_newest(t->environments, &t->directory, &environment);
        if (r <= 0)
                return r;
        s = g_new0(Snapshot, 1);
        r = snapshot_reader_open(&s->reader, &t->directory, t->environments, environment);
        if (r < 0) {
                g_free(s);
                return r;
        }
        *ret = s;
        return 1;
}

/* A newer checkpoint may have come and taken the log behind this one with it: then that one is to be had. */
static int open_snapshot(ReaderThread *t, uint64_t request) {
        Completion c = { .type = COMPLETION_SNAPSHOT_OPENED, .io_seq = request };
        Snapshot *s;
        int r;

        for (;;) {
                r = open_newest(t, &s);
                if (r <= 0)
                        break;
                s->request = request;
                g_ptr_array_add(t->snapshots, s);
                if (hold_log(t, s->reader.position.position.index)) {
                        c.position = s->reader.position.position;
                        if (s->reader.position.config)
                                c.bytes = g_bytes_ref(s->reader.position.config);
                        break;
                }
                g_ptr_array_remove_fast(t->snapshots, s);
                snapshot_free(t, s);
        }
        /* Out of descriptors or memory: none, for now. */
        if (r == -EUCLEAN || r == -EIO)
                return r;
        outbox_tell(t->outbox, &c);
        return 0;
}

static int read_snapshot(ReaderThread *t, uint64_t request) {
        Completion c = { .type = COMPLETION_SNAPSHOT_CHUNK, .io_seq = request };
        int n = find_snapshot(t, request), r;
        Snapshot *s;

        if (n < 0)
                return 0;
        s = t->snapshots->pdata[n];
        r = snapshot_reader_next(&s->reader, &c.bytes);
        if (r < 0)
                return r;
        c.digest = s->reader.position.digest;
        outbox_tell(t->outbox, &c);
        return 0;
}

static int open_or_wait(ReaderThread *t, uint64_t request) {
        if (t->snapshots->len < READER_SNAPSHOTS_MAX)
                return open_snapshot(t, request);
        g_array_append_val(t->waiting, request);
        return 0;
}

static int close_snapshot(ReaderThread *t, uint64_t request) {
        int n = find_snapshot(t, request), r = 0;

        if (n < 0) {
                for (unsigned i = 0; i < t->waiting->len; i++)
                        if (g_array_index(t->waiting, uint64_t, i) == request) {
                                g_array_remove_index(t->waiting, i);
                                break;
                        }
                return 0;
        }
        snapshot_free(t, g_ptr_array_remove_index_fast(t->snapshots, (unsigned) n));
        (void) hold_log(t, UINT64_MAX);
        if (t->waiting->len > 0) {
                uint64_t next = g_array_index(t->waiting, uint64_t, 0);

                g_array_remove_index(t->waiting, 0);
                r = open_snapshot(t, next);
        }
        return r;
}

/*
 * The thread
 */

static void execute(ReaderThread *t, const Operation *o) {
        int r = 0;

        switch (o->type) {

        case OPERATION_READ_LOG:
                read_log(t, o);
                return;

        case OPERATION_SNAPSHOT_OPEN:
                r = open_or_wait(t, o->request);
                break;

        case OPERATION_SNAPSHOT_READ:
                r = read_snapshot(t, o->request);
                break;

        case OPERATION_SNAPSHOT_CLOSE:
                r = close_snapshot(t, o->request);
                break;

        default:
                assert(false);
        }
        if (r < 0)
                outbox_fail(t->outbox, r, t->directory.what);
}

static gpointer run(gpointer userdata) {
        ReaderThread *t = userdata;

        g_mutex_lock(&t->lock);
        while (!t->stopping) {
                Operation *o = queue_pop(&t->queue);

                if (!o) {
                        g_cond_wait(&t->cond, &t->lock);
                        continue;
                }
                g_mutex_unlock(&t->lock);
                if (!outbox_has_failed(t->outbox))
                        execute(t, o);
                operation_free(o);
                g_mutex_lock(&t->lock);
        }
        g_mutex_unlock(&t->lock);
        return NULL;
}

/*
 * The event loop
 */

int reader_thread_new(const ReaderThreadOptions *options, ReaderThread **ret) {
        ReaderThread *t = g_new0(ReaderThread, 1);

        t->environments = options->environments;
        t->index = options->index;
        t->outbox = options->outbox;
        t->directory = *options->directory;
        log_reader_init(&t->log, &t->directory, options->index, &options->cluster_id, &options->disk_id);
        t->snapshots = g_ptr_array_new();
        t->waiting = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        g_mutex_init(&t->lock);
        g_cond_init(&t->cond);
        queue_init(&t->queue);
        t->thread = outbox_thread_new("reader", run, t);
        if (!t->thread) {
                reader_thread_free(t);
                return -EAGAIN;
        }
        *ret = t;
        return 0;
}

ReaderThread *reader_thread_free(ReaderThread *t) {
        if (!t)
                return NULL;
        if (t->thread) {
                g_mutex_lock(&t->lock);
                t->stopping = true;
                g_cond_signal(&t->cond);
                g_mutex_unlock(&t->lock);
                g_thread_join(t->thread);
        }
        for (unsigned i = 0; i < t->snapshots->len; i++)
                snapshot_free(t, t->snapshots->pdata[i]);
        g_ptr_array_unref(t->snapshots);
        g_array_unref(t->waiting);
        log_reader_done(&t->log);
        queue_clear(&t->queue);
        g_mutex_clear(&t->lock);
        g_cond_clear(&t->cond);
        g_free(t);
        return NULL;
}

static void submit(ReaderThread *t, Operation *o) {
        g_mutex_lock(&t->lock);
        queue_push(&t->queue, o);
        g_cond_signal(&t->cond);
        g_mutex_unlock(&t->lock);
}

static void submit_request(ReaderThread *t, OperationType type, uint64_t request) {
        Operation *o = operation_new(type, 0);

        o->request = request;
        submit(t, o);
}

void reader_thread_read_log(ReaderThread *t, uint64_t request, uint64_t from_index, uint64_t to_index,
                            uint64_t bytes_max) {
        Operation *o = operation_new(OPERATION_READ_LOG, 0);

        o->request = request;
        o->from_index = from_index;
        o->to_index = to_index;
        o->bytes_max = bytes_max;
        submit(t, o);
}

void reader_thread_open_snapshot(ReaderThread *t, uint64_t request) {
        submit_request(t, OPERATION_SNAPSHOT_OPEN, request);
}

void reader_thread_read_snapshot(ReaderThread *t, uint64_t request) {
        submit_request(t, OPERATION_SNAPSHOT_READ, request);
}

void reader_thread_close_snapshot(ReaderThread *t, uint64_t request) {
        submit_request(t, OPERATION_SNAPSHOT_CLOSE, request);
}
