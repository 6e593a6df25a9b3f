/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * BareQuorum: one mutex, and two conditions: there is something to write, and one more has written.
 */

#include <stdbool.h>
#include <unistd.h>

#include "tests/bench/bare-quorum.h"
#include "tests/bench/load.h"

typedef struct Writer {
        BareQuorum *quorum;
        GThread *thread;
        int fd;
} Writer;

struct BareQuorum {
        GMutex mutex;
        GCond begun, written;
        unsigned round;                 /* of writes; 0: none yet */
        unsigned done;                  /* in this round */
        bool ends;
        unsigned members;
        Writer writers[];
};

static gpointer run(gpointer userdata) {
        Writer *w = userdata;
        BareQuorum *q = w->quorum;
        unsigned round = 0;

        g_mutex_lock(&q->mutex);
        for (;;) {
                while (!q->ends && q->round == round)
                        g_cond_wait(&q->begun, &q->mutex);
                if (q->ends)
                        break;

                round = q->round;
                g_mutex_unlock(&q->mutex);
                (void) load_bare_write(w->fd, round - 1);
                g_mutex_lock(&q->mutex);
                q->done++;
                g_cond_signal(&q->written);
        }
        g_mutex_unlock(&q->mutex);
        return NULL;
}

BareQuorum *bare_quorum_new(const char *directory, unsigned members, unsigned writes) {
        BareQuorum *q = g_malloc0(sizeof(BareQuorum) + members * sizeof(Writer));

        g_mutex_init(&q->mutex);
        g_cond_init(&q->begun);
        g_cond_init(&q->written);
        q->members = members;
        for (unsigned i = 0; i < members; i++) {
                g_autofree char *name = g_strdup_printf("bare-quorum-%u", i);

                q->writers[i] = (Writer) { .quorum = q, .fd = load_bare_open(directory, name, writes) };
                q->writers[i].thread = g_thread_new(name, run, &q->writers[i]);
        }
        return q;
}

BareQuorum *bare_quorum_free(BareQuorum *q) {
        if (!q)
                return NULL;

        g_mutex_lock(&q->mutex);
        q->ends = true;
        g_cond_broadcast(&q->begun);
        g_mutex_unlock(&q->mutex);
        for (unsigned i = 0; i < q->members; i++) {
                g_thread_join(q->writers[i].thread);
                close(q->writers[i].fd);
        }
        g_mutex_clear(&q->mutex);
        g_cond_clear(&q->begun);
        g_cond_clear(&q->written);
        g_free(q);
        return NULL;
}

double bare_quorum_write(BareQuorum *q) {
        uint64_t from, until;

        g_mutex_lock(&q->mutex);
        from = load_now_usec();
        q->done = 0;
        q->round++;
        g_cond_broadcast(&q->begun);
        while (q->done < q->members / 2 + 1)
                g_cond_wait(&q->written, &q->mutex);
        until = load_now_usec();
        while (q->done < q->members)
                g_cond_wait(&q->written, &q->mutex);
        g_mutex_unlock(&q->mutex);
        return (double) (until - from);
}
