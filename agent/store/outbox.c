/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Outbox
 */

#include "agent/store/outbox.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

int outbox_init(Outbox *o) {
        *o = (Outbox) {
                .completions = completions_new(),
                .delivering = completions_new(),
                .snapshots = g_array_new(FALSE, FALSE, sizeof(uint64_t)),
                .statistics.space_available = true,
        };
        g_mutex_init(&o->lock);
        o->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        return o->event_fd < 0 ? -errno : 0;
}

void outbox_done(Outbox *o) {
        if (!o->completions)
                return;
        if (o->event_fd >= 0)
                close(o->event_fd);
        g_clear_pointer(&o->completions, g_array_unref);
        g_clear_pointer(&o->delivering, g_array_unref);
        g_clear_pointer(&o->snapshots, g_array_unref);
        g_mutex_clear(&o->lock);
}

/* Called with the lock held; gives it back. */
static void push_and_unlock(Outbox *o, const Completion *c) {
        bool wake = o->completions->len == 0;

        completions_push(o->completions, c);
        g_mutex_unlock(&o->lock);

        /* One that is not taken yet has made the descriptor readable. */
        if (wake)
                (void) eventfd_write(o->event_fd, 1);
}

void outbox_tell(Outbox *o, const Completion *c) {
        Completion dropped = *c;

        g_mutex_lock(&o->lock);
        if (!o->failed) {
                push_and_unlock(o, c);
                return;
        }
        g_mutex_unlock(&o->lock);
        completion_clear(&dropped);
}

void outbox_tell_space(Outbox *o, bool available) {
        g_mutex_lock(&o->lock);
        if (o->failed || o->statistics.space_available == available) {
                g_mutex_unlock(&o->lock);
                return;
        }
        o->statistics.space_available = available;
        push_and_unlock(o, &(Completion) { .type = COMPLETION_SPACE, .available = available });
}

void outbox_fail(Outbox *o, int error, const char *what) {
        assert(error < 0);

        g_mutex_lock(&o->lock);
        if (o->failed) {
                g_mutex_unlock(&o->lock);
                return;
        }
        g_atomic_int_set(&o->failed, true);
        push_and_unlock(o, &(Completion) { .type = COMPLETION_FAILED, .error = error, .what = g_strdup(what) });
}

bool outbox_has_failed(const Outbox *o) {
        return g_atomic_int_get(&o->failed);
}

static unsigned find_snapshot(const Outbox *o, uint64_t request) {
        unsigned n = 0;

        while (n < o->snapshots->len && g_array_index(o->snapshots, uint64_t, n) != request)
                n++;
        return n;
}

void outbox_open_snapshot(Outbox *o, uint64_t request) {
        assert(find_snapshot(o, request) == o->snapshots->len);

        g_array_append_val(o->snapshots, request);
}

void outbox_close_snapshot(Outbox *o, uint64_t request) {
        unsigned n = find_snapshot(o, request);

        assert(n < o->snapshots->len);
        g_array_remove_index_fast(o->snapshots, n);
}

static bool is_wanted(const Outbox *o, const Completion *c) {
        if (c->type != COMPLETION_SNAPSHOT_OPENED && c->type != COMPLETION_SNAPSHOT_CHUNK)
                return true;
        return find_snapshot(o, c->io_seq) < o->snapshots->len;
}

void outbox_dispatch(Outbox *o, const StoreListener *listener) {
        GArray *taken;
        eventfd_t count;

        (void) eventfd_read(o->event_fd, &count);
        g_mutex_lock(&o->lock);
        taken = o->completions;
        o->completions = o->delivering;
        o->delivering = taken;
        g_mutex_unlock(&o->lock);

        for (unsigned i = 0; i < taken->len; i++)
                if (is_wanted(o, &g_array_index(taken, Completion, i)))
                        completion_deliver(&g_array_index(taken, Completion, i), listener);
        g_array_set_size(taken, 0);
}

void outbox_get_statistics(Outbox *o, StoreStatistics *ret) {
        g_mutex_lock(&o->lock);
        *ret = o->statistics;
        g_mutex_unlock(&o->lock);
}

GThread *outbox_thread_new(const char *name, GThreadFunc run, gpointer userdata) {
        sigset_t all, old;
        GThread *thread;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        thread = g_thread_try_new(name, run, userdata, NULL);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        return thread;
}
