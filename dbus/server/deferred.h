/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Deferred
 *
 * Work that must not be done where it was noticed: the member's outward calls may not call back into the member, and
 * nothing may be freed that is still on the stack.  Each piece of work is embedded in its object, so that scheduling
 * allocates nothing and the object's end takes it back.
 */

#include <stdbool.h>

#include <glib.h>
#include <systemd/sd-event.h>

typedef struct Deferred {
        GList link;
        void (*run)(void *userdata);
        bool queued;
} Deferred;

typedef struct DeferredQueue {
        sd_event_source *source;
        GQueue list;
} DeferredQueue;

int deferred_queue_init(DeferredQueue *q, sd_event *event);
void deferred_queue_done(DeferredQueue *q);     /* everything must have been cancelled */

static inline void deferred_init(Deferred *d, void (*run)(void *userdata), void *userdata) {
        d->link.data = userdata;
        d->run = run;
}

/* `d` runs once, from the event loop; scheduling it twice is scheduling it once. */
void deferred_schedule(DeferredQueue *q, Deferred *d);
void deferred_cancel(DeferredQueue *q, Deferred *d);
