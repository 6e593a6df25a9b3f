/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Checkpointer
 */

#include "agent/main/checkpointer.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "agent/main/journal.h"

#define SLICE_ROWS 256                  /* well below a millisecond of encoding and copying */
#define BACKLOG_MAX 16                  /* slices the writer may be behind: bounds the memory */
#define RETRY_USEC UINT64_C(10000000)   /* after a failed checkpoint */

typedef struct Waiter {
        void (*done)(void *userdata, int error, Zxid zxid);
        void *userdata;
} Waiter;

struct Checkpointer {
        sd_event *event;
        Member *member;
        Store *store;
        uint64_t changes_max, log_bytes_max;
        sd_event_source *slice_source;  /* timer: armed while rows are left to hand over */
        GArray *waiters;                /* Waiter, of the checkpoint under way */
        GArray *next_waiters;           /* Waiter, of the one after it */
        ZabPosition position;
        uint64_t io_seq;
        uint64_t log_bytes;
        uint64_t retry_at_usec;
        uint64_t slice_usec_max;
        bool full;                      /* the next one: nothing is on disk yet */
        bool active;                    /* begun, and not reported by the store */
        bool handed_over;
        bool held;
};

static uint64_t now(clockid_t clock) {
        struct timespec ts;

        (void) clock_gettime(clock, &ts);
        return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int rearm(Checkpointer *c, uint64_t delay_usec) {
        (void) sd_event_source_set_time(c->slice_source, now(CLOCK_MONOTONIC) + delay_usec);
        return sd_event_source_set_enabled(c->slice_source, SD_EVENT_ONESHOT);
}

static int on_slice(sd_event_source *source, uint64_t usec, void *userdata) {
        Checkpointer *c = userdata;
        uint64_t begin = now(CLOCK_MONOTONIC);
        const TreeRow *rows;
        unsigned count;

        if (store_checkpoint_backlog(c->store) >= BACKLOG_MAX)
                return rearm(c, 1000);

        if (tree_checkpoint_next(member_tree(c->member), SLICE_ROWS, &rows, &count)) {
                if (count > 0)          /* a slice of ids that name nothing any more */
                        store_checkpoint_rows(c->store, rows, count);
                c->slice_usec_max = MAX(c->slice_usec_max, now(CLOCK_MONOTONIC) - begin);
                return rearm(c, 0);
        }

        c->handed_over = true;
        store_checkpoint_end(c->store);
        return 0;
}

Checkpointer *checkpointer_new(sd_event *event, Member *member, Store *store, const Conf *conf, bool full_first) {
        Checkpointer *c = g_new0(Checkpointer, 1);

        c->event = sd_event_ref(event);
        c->member = member;
        c->store = store;
        c->changes_max = conf->checkpoint_changes;
        c->log_bytes_max = conf->checkpoint_log_bytes;
        c->full = full_first;
        c->waiters = g_array_new(FALSE, FALSE, sizeof(Waiter));
        c->next_waiters = g_array_new(FALSE, FALSE, sizeof(Waiter));

        if (sd_event_add_time(event, &c->slice_source, CLOCK_MONOTONIC, 0, 1, on_slice, c) < 0)
                g_error("cannot add a timer to the event loop");
        (void) sd_event_source_set_enabled(c->slice_source, SD_EVENT_OFF);
        return c;
}

static void tell(GArray *waiters, int error, Zxid zxid) {
        for (guint i = 0; i < waiters->len; i++) {
                Waiter *w = &g_array_index(waiters, Waiter, i);

                w->done(w->userdata, error, zxid);
        }
        g_array_set_size(waiters, 0);
}

Checkpointer *checkpointer_free(Checkpointer *c) {
        if (!c)
                return NULL;

        if (c->active && !c->handed_over)
                store_checkpoint_abort(c->store);
        sd_event_source_unref(c->slice_source);
        g_array_unref(c->waiters);
        g_array_unref(c->next_waiters);
        sd_event_unref(c->event);
        g_free(c);
        return NULL;
}

static void begin(Checkpointer *c) {
        Tree *tree = member_tree(c->member);
        g_autoptr(GBytes) config = NULL;

        assert(!c->active);

        member_get_applied(c->member, &c->position, &config);
        tree_checkpoint_begin(tree, c->full);
        store_checkpoint_begin(c->store, ++c->io_seq, c->full, &c->position, tree_checkpoint_digest(tree), config);
        c->active = true;
        c->handed_over = false;
        c->log_bytes = 0;
        (void) rearm(c, 0);
}

void checkpointer_consider(Checkpointer *c) {
        if (c->active || c->held || now(CLOCK_MONOTONIC) < c->retry_at_usec)
                return;

        if (tree_dirty_count(member_tree(c->member)) >= c->changes_max || c->log_bytes >= c->log_bytes_max)
                begin(c);
}

bool checkpointer_is_blank(const Checkpointer *c) {
        return c->full;
}

void checkpointer_request(Checkpointer *c, void (*done)(void *userdata, int error, Zxid zxid), void *userdata) {
        Waiter w = { done, userdata };

        /* One under way may stand for a position before the caller's last update: wait for the next. */
        if (c->active || c->held) {
                g_array_append_val(c->next_waiters, w);
                return;
        }

        g_array_append_val(c->waiters, w);
        begin(c);
}

static void begin_for_waiters(Checkpointer *c) {
        GArray *empty = c->waiters;

        if (c->active || c->held || c->next_waiters->len == 0)
                return;

        c->waiters = c->next_waiters;
        c->next_waiters = empty;
        begin(c);
}

void checkpointer_on_done(Checkpointer *c, int error) {
        assert(c->active);

        c->active = false;
        (void) sd_event_source_set_enabled(c->slice_source, SD_EVENT_OFF);
        if (error < 0) {
                tree_checkpoint_abort(member_tree(c->member));
                c->retry_at_usec = now(CLOCK_MONOTONIC) + RETRY_USEC;
                journal(LOG_WARNING, NULL, "Checkpoint failed: %s; the log is kept and it is tried again in %u s",
                        strerror(-error), (unsigned) (RETRY_USEC / 1000000));
        } else {
                c->full = false;
                member_on_checkpointed(c->member, c->position.index);
        }

        tell(c->waiters, error, c->position.zxid);
        begin_for_waiters(c);
}

void checkpointer_hold(Checkpointer *c, bool held) {
        c->held = held;
        if (!held) {
                begin_for_waiters(c);
                return;
        }

        /* One that is handed over ends by itself, before anything that the store is given later. */
        if (!c->active || c->handed_over)
                return;

        c->active = false;
        (void) sd_event_source_set_enabled(c->slice_source, SD_EVENT_OFF);
        store_checkpoint_abort(c->store);
        tree_checkpoint_abort(member_tree(c->member));
        tell(c->waiters, -ECANCELED, c->position.zxid);
}

void checkpointer_on_snapshot(Checkpointer *c) {
        c->full = false;
        c->log_bytes = 0;
        checkpointer_hold(c, false);
}

void checkpointer_count_log(Checkpointer *c, uint64_t bytes) {
        c->log_bytes += bytes;
}

uint64_t checkpointer_slice_usec_max(const Checkpointer *c) {
        return c->slice_usec_max;
}
