/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Deferred
 *
 * One event source for all of it, of the same priority as input; a piece of work that schedules itself again waits for the
 * next round.  So nobody is starved.
 */

#include "dbus/server/deferred.h"

#include <assert.h>

static int queue_on_event(sd_event_source *source, void *userdata) {
        DeferredQueue *q = userdata;

        for (guint n = q->list.length; n > 0 && q->list.length > 0; n--) {
                GList *link = g_queue_pop_head_link(&q->list);
                Deferred *d = (Deferred *) link;

                G_STATIC_ASSERT(G_STRUCT_OFFSET(Deferred, link) == 0);
                d->queued = false;
                d->run(link->data);
        }

        if (q->list.length > 0)
                return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

int deferred_queue_init(DeferredQueue *q, sd_event *event) {
        int r;

        g_queue_init(&q->list);
        r = sd_event_add_defer(event, &q->source, queue_on_event, q);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(q->source, SD_EVENT_OFF);
}

void deferred_queue_done(DeferredQueue *q) {
        assert(q->list.length == 0);

        q->source = sd_event_source_disable_unref(q->source);
}

void deferred_schedule(DeferredQueue *q, Deferred *d) {
        assert(d->run);

        if (d->queued)
                return;
        d->queued = true;
        g_queue_push_tail_link(&q->list, &d->link);
        (void) sd_event_source_set_enabled(q->source, SD_EVENT_ONESHOT);
}

void deferred_cancel(DeferredQueue *q, Deferred *d) {
        if (!d->queued)
                return;
        d->queued = false;
        g_queue_unlink(&q->list, &d->link);
}
