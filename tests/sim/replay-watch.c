/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Replay of watches
 */

#include "tests/sim/replay.h"

#include <string.h>

typedef struct Watcher {
        Conversation *conversation;
        GPtrArray *watches;             /* TwinWatch */
        guint next_registration, next_event;
} Watcher;

struct WatchReplay {
        World *world;
        GArray *watchers;               /* Watcher: conversations that watch anything */
};

WatchReplay *watch_replay_new(World *w) {
        WatchReplay *r = g_new0(WatchReplay, 1);
        GPtrArray *all = w->workload->conversations;

        r->world = w;
        r->watchers = g_array_new(FALSE, FALSE, sizeof(Watcher));
        for (guint i = 0; i < all->len; i++) {
                Watcher watcher = { .conversation = all->pdata[i] };

                if (watcher.conversation->registrations->len == 0 && watcher.conversation->events->len == 0)
                        continue;
                watcher.watches = twin_watches_new();
                g_array_append_val(r->watchers, watcher);
        }
        return r;
}

void watch_replay_free(WatchReplay *r) {
        for (guint i = 0; i < r->watchers->len; i++)
                g_ptr_array_unref(g_array_index(r->watchers, Watcher, i).watches);
        g_array_unref(r->watchers);
        g_free(r);
}

/* Those made at a tree older than `zxid`. */
static void add_registrations(Watcher *w, Zxid zxid) {
        GArray *list = w->conversation->registrations;

        for (; w->next_registration < list->len; w->next_registration++) {
                const Registration *g = &g_array_index(list, Registration, w->next_registration);

                if (g->since >= zxid)
                        return;
                /* In the order of registration, which is the order of events of one change. */
                (void) twin_watches_add(w->watches, w->next_registration + 1, g->path, g->kind);
        }
}

static bool is_told(const WatchRecord *told, const Registration *g, const TwinEvent *e) {
        return told && told->watch == g->watch && told->type == e->type && told->zxid == e->zxid &&
               strcmp(told->path, e->path) == 0;
}

/* A watch of a session shows nothing any more once the session has ended; of the changes of its end, perhaps. */
static void expect(WatchReplay *r, Watcher *w, const Twin *t, const TwinEvent *e) {
        const Registration *g = &g_array_index(w->conversation->registrations, Registration, e->watcher - 1);
        bool session_ended = g->session != 0 && !twin_find_session(t, g->session);
        const WatchRecord *told = NULL;

        if (w->next_event < w->conversation->events->len)
                told = &g_array_index(w->conversation->events, WatchRecord, w->next_event);
        if (is_told(told, g, e))
                w->next_event++;
        else if (!session_ended)
                world_fail(r->world, "W2", "client %u on h%u had to hear of %s (type %d) at " ZXID_FORMAT " by watch %" PRIu64
                           ", and heard of %s (type %d) at " ZXID_FORMAT " by watch %" PRIu64, w->conversation->client,
                           w->conversation->host, e->path, e->type, e->zxid, g->watch, told ? told->path : "nothing",
                           told ? told->type : 0, told ? told->zxid : 0, told ? told->watch : 0);
}

void watch_replay_changes(WatchReplay *r, Twin *t, Zxid zxid) {
        for (guint i = 0; i < r->watchers->len && !r->world->failure; i++) {
                Watcher *w = &g_array_index(r->watchers, Watcher, i);
                g_autoptr(GPtrArray) events = NULL;

                if (w->conversation->end != 0 && zxid > w->conversation->end)
                        continue;
                add_registrations(w, zxid);
                if (w->watches->len == 0 || t->changes->len == 0)
                        continue;
                events = twin_events_new();
                for (guint j = 0; j < t->changes->len; j++)
                        if (!((TwinChange *) t->changes->pdata[j])->soft_quota)
                                twin_watches_fire(w->watches, t->changes->pdata[j], events);
                for (guint j = 0; j < events->len && !r->world->failure; j++)
                        expect(r, w, t, events->pdata[j]);
        }
}

void watch_replay_finish(WatchReplay *r) {
        for (guint i = 0; i < r->watchers->len; i++) {
                const Watcher *w = &g_array_index(r->watchers, Watcher, i);

                if (w->next_event < w->conversation->events->len)
                        world_fail(r->world, "W3", "client %u on h%u heard of %s, which did not happen or was not watched",
                                   w->conversation->client, w->conversation->host,
                                   g_array_index(w->conversation->events, WatchRecord, w->next_event).path);
        }
}
