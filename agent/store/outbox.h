/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Outbox
 *
 * What the store's threads tell the event loop: completions, the final failure, figures.  Those of one thread arrive
 * in its order; nothing that is told after a failure arrives.
 */

#include "agent/store/queue.h"

typedef struct Outbox {
        GMutex lock;                    /* guards what follows, but for the descriptor */
        GArray *completions, *delivering;       /* Completion; swapped by each dispatch */
        StoreStatistics statistics;
        int failed;                     /* set with the lock held, read without */
        int event_fd;
        GArray *snapshots;              /* uint64_t: those the caller has open; the event loop's, without the lock */
} Outbox;

int outbox_init(Outbox *o);
/* After outbox_init(), whatever it returned. */
void outbox_done(Outbox *o);

/* Takes c->what. */
void outbox_tell(Outbox *o, const Completion *c);
void outbox_tell_space(Outbox *o, bool available);      /* if that is new */
void outbox_fail(Outbox *o, int error, const char *what);
bool outbox_has_failed(const Outbox *o);

/* The event loop's.  A snapshot that was closed is not spoken of any more. */
void outbox_open_snapshot(Outbox *o, uint64_t request);
void outbox_close_snapshot(Outbox *o, uint64_t request);
void outbox_dispatch(Outbox *o, const StoreListener *listener);
void outbox_get_statistics(Outbox *o, StoreStatistics *ret);

/* A thread with all signals blocked; NULL if there can be none. */
GThread *outbox_thread_new(const char *name, GThreadFunc run, gpointer userdata);
