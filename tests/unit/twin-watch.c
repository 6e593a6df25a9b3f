/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Twin: watches
 *
 * A plain list of (watcher, path, kind) and the table of zookeeper-semantics 2.11, row by row.
 */

#include "tests/unit/twin.h"

static void watch_free(gpointer p) {
        TwinWatch *w = p;

        g_free(w->path);
        g_free(w);
}

static void event_free(gpointer p) {
        TwinEvent *e = p;

        g_free(e->path);
        twin_list_unref(e->acl);
        g_free(e);
}

GPtrArray *twin_watches_new(void) {
        return g_ptr_array_new_with_free_func(watch_free);
}

GPtrArray *twin_events_new(void) {
        return g_ptr_array_new_with_free_func(event_free);
}

unsigned twin_watches_get(GPtrArray *watches, uint64_t watcher, const char *path) {
        unsigned kinds = 0;

        for (unsigned i = 0; i < watches->len; i++) {
                TwinWatch *w = watches->pdata[i];

                if (w->watcher == watcher && g_str_equal(w->path, path))
                        kinds |= w->kind;
        }
        return kinds;
}

bool twin_watches_add(GPtrArray *watches, uint64_t watcher, const char *path, WatchKind kind) {
        TwinWatch *w;

        if (twin_watches_get(watches, watcher, path) & kind)
                return false;

        w = g_new0(TwinWatch, 1);
        w->watcher = watcher;
        w->path = g_strdup(path);
        w->kind = kind;
        g_ptr_array_add(watches, w);
        return true;
}

unsigned twin_watches_remove(GPtrArray *watches, uint64_t watcher, const char *path, unsigned kinds) {
        unsigned removed = twin_watches_get(watches, watcher, path) & kinds;

        for (unsigned i = watches->len; i-- > 0;) {
                TwinWatch *w = watches->pdata[i];

                if (w->watcher == watcher && g_str_equal(w->path, path) && (w->kind & kinds))
                        g_ptr_array_remove_index(watches, i);
        }
        return removed;
}

void twin_watches_remove_watcher(GPtrArray *watches, uint64_t watcher) {
        for (unsigned i = watches->len; i-- > 0;)
                if (((TwinWatch *) watches->pdata[i])->watcher == watcher)
                        g_ptr_array_remove_index(watches, i);
}

/* True if the change of a znode at `path` concerns this watch as one for that znode. */
static bool watch_sees_change(const TwinWatch *w, ChangeKind kind, const char *path) {
        switch (w->kind) {
        case WATCH_DATA:
        case WATCH_PERSISTENT:
                return g_str_equal(w->path, path);
        case WATCH_CHILDREN:
                return g_str_equal(w->path, path) && kind == CHANGE_DELETED;
        case WATCH_PERSISTENT_RECURSIVE:
                return g_str_equal(w->path, path) || twin_is_below(path, w->path);
        default:
                g_assert_not_reached();
        }
}

/* True if that a child of `path` came or went concerns this watch. */
static bool watch_sees_children(const TwinWatch *w, const char *path) {
        return (w->kind == WATCH_CHILDREN || w->kind == WATCH_PERSISTENT) && g_str_equal(w->path, path);
}

static void events_add(GPtrArray *events, uint64_t watcher, WatchEventType type, const char *path, Zxid zxid,
                       TwinList *acl, bool spent) {
        TwinEvent *e = g_new0(TwinEvent, 1);

        e->watcher = watcher;
        e->type = type;
        e->path = g_strdup(path);
        e->zxid = zxid;
        e->acl = twin_list_ref(acl);
        e->spent = spent;
        g_ptr_array_add(events, e);
}

/* One watcher, one path: takes its one-shot watches and gives at most one event.  `type` is CHILDREN_CHANGED for the
 * parent's part of the change. */
static void fire_watcher(GPtrArray *watches, const TwinChange *c, WatchEventType type, const char *path, TwinList *acl,
                         uint64_t watcher, GPtrArray *events) {
        bool fired = false, ended = false;

        for (unsigned i = watches->len; i-- > 0;) {
                TwinWatch *w = watches->pdata[i];

                if (w->watcher != watcher)
                        continue;
                if (type == WATCH_EVENT_CHILDREN_CHANGED ? !watch_sees_children(w, path) :
                                                           !watch_sees_change(w, c->kind, path))
                        continue;
                fired = true;
                if (w->kind == WATCH_DATA || w->kind == WATCH_CHILDREN) {
                        g_ptr_array_remove_index(watches, i);
                        ended = true;
                }
        }
        if (fired)
                events_add(events, watcher, type, path, c->zxid, acl,
                           ended && twin_watches_get(watches, watcher, path) == 0);
}

static uint64_t next_watcher(GPtrArray *watches, uint64_t after) {
        uint64_t next = UINT64_MAX;

        for (unsigned i = 0; i < watches->len; i++) {
                TwinWatch *w = watches->pdata[i];

                if (w->watcher > after && w->watcher < next)
                        next = w->watcher;
        }
        return next;
}

void twin_watches_fire(GPtrArray *watches, const TwinChange *c, GPtrArray *events) {
        g_autofree char *parent = g_path_get_dirname(c->path);

        if (c->soft_quota)
                return;

        for (uint64_t w = next_watcher(watches, 0); w != UINT64_MAX; w = next_watcher(watches, w))
                fire_watcher(watches, c, (WatchEventType) c->kind, c->path, c->acl, w, events);
        if (c->kind == CHANGE_DATA)
                return;
        for (uint64_t w = next_watcher(watches, 0); w != UINT64_MAX; w = next_watcher(watches, w))
                fire_watcher(watches, c, WATCH_EVENT_CHILDREN_CHANGED, parent, c->parent_acl, w, events);
}

void twin_watches_replay(GPtrArray *changes, const char *path, WatchKind kind, Zxid since, uint64_t watcher,
                         GPtrArray *events) {
        g_autoptr(GPtrArray) watches = twin_watches_new();

        twin_watches_add(watches, watcher, path, kind);
        for (unsigned i = 0; i < changes->len; i++) {
                TwinChange *c = changes->pdata[i];

                if (c->zxid > since)
                        twin_watches_fire(watches, c, events);
        }
}
