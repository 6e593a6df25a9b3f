/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Change history
 *
 * A ring of the latest changes.  What leaves it raises the floor to its zxid, so a change of several znodes at one
 * zxid is either known whole or not at all.
 */

#include <assert.h>
#include <string.h>

#include <glib.h>

#include "agent/base/limits.h"
#include "agent/tree/watch.h"

#define EVENTS_ALLOCATED_MIN 64

typedef struct Event {
        Zxid zxid;
        Acl *acl, *parent_acl;          /* references */
        uint32_t path_size;
        ChangeKind kind;
        char path[];
} Event;

G_STATIC_ASSERT(offsetof(Event, path) == sizeof(Event));        /* no padding: an Event may be assigned */

struct ChangeHistory {
        AclTable *acls;
        Zxid floor;
        Event **events;                 /* ring */
        unsigned allocated;             /* a power of two */
        unsigned first, count;
        size_t bytes;
};

static Event *event_at(const ChangeHistory *h, unsigned i) {
        return h->events[(h->first + i) & (h->allocated - 1)];
}

static size_t event_bytes(size_t path_size) {
        return offsetof(Event, path) + path_size + 1;
}

ChangeHistory *change_history_new(AclTable *acls, Zxid floor) {
        ChangeHistory *h = g_new(ChangeHistory, 1);

        *h = (ChangeHistory) { .acls = acls, .floor = floor };
        return h;
}

static void drop_oldest(ChangeHistory *h) {
        Event *e = event_at(h, 0);

        h->floor = e->zxid;
        h->first = (h->first + 1) & (h->allocated - 1);
        h->count--;
        h->bytes -= event_bytes(e->path_size);

        acl_unref(h->acls, e->acl);
        acl_unref(h->acls, e->parent_acl);
        g_free(e);
}

ChangeHistory *change_history_free(ChangeHistory *h) {
        if (!h)
                return NULL;

        while (h->count > 0)
                drop_oldest(h);

        g_free(h->events);
        g_free(h);
        return NULL;
}

static void grow(ChangeHistory *h) {
        unsigned allocated = MAX(h->allocated * 2, EVENTS_ALLOCATED_MIN);
        Event **events = g_new(Event *, allocated);

        for (unsigned i = 0; i < h->count; i++)
                events[i] = event_at(h, i);

        g_free(h->events);
        h->events = events;
        h->allocated = allocated;
        h->first = 0;
}

void change_history_add(ChangeHistory *h, const TreeChange *change) {
        size_t path_size, size;
        Event *e;

        if (change->soft_quota)
                return;

        path_size = strlen(change->path);
        size = event_bytes(path_size);
        while (h->count > 0 && (h->count >= LIMIT_HISTORY_EVENTS || h->bytes + size > LIMIT_HISTORY_BYTES))
                drop_oldest(h);

        /* Nothing is known at the floor, not even the rest of an entry whose beginning had to go. */
        if (change->zxid <= h->floor)
                return;

        if (h->count == h->allocated)
                grow(h);

        e = g_malloc(size);
        *e = (Event) {
                .zxid = change->zxid,
                .acl = acl_ref(change->acl),
                .parent_acl = change->parent_acl ? acl_ref(change->parent_acl) : NULL,
                .path_size = (uint32_t) path_size,
                .kind = change->kind,
        };
        memcpy(e->path, change->path, path_size + 1);

        h->events[(h->first + h->count) & (h->allocated - 1)] = e;
        h->count++;
        h->bytes += size;
}

Zxid change_history_floor(const ChangeHistory *h) {
        return h->floor;
}

/* The first event after `since`; zxids never fall. */
static unsigned find_after(const ChangeHistory *h, Zxid since) {
        unsigned low = 0, high = h->count;

        while (low < high) {
                unsigned middle = low + (high - low) / 2;

                if (event_at(h, middle)->zxid > since)
                        high = middle;
                else
                        low = middle + 1;
        }

        return low;
}

/* True if the event's znode is the one at `path`, or below it. */
static bool event_is_within(const Event *e, const char *path, size_t size) {
        if (size == 1)
                return true;

        return e->path_size >= size && memcmp(e->path, path, size) == 0 &&
                (e->path[size] == 0 || e->path[size] == '/');
}

/* True if the znode at `path` is the parent of the event's. */
static bool event_is_child(const Event *e, const char *path, size_t size) {
        size_t prefix = size == 1 ? 0 : size;

        return e->path_size > prefix + 1 && memcmp(e->path, path, prefix) == 0 && e->path[prefix] == '/' &&
                !strchr(e->path + prefix + 1, '/');
}

ConveneStatus change_history_replay(const ChangeHistory *h, const char *path, WatchKind kind, Zxid since,
                                    uint64_t watcher, WatchEmit emit, void *userdata) {
        size_t size = strlen(path);

        assert(kind == WATCH_PERSISTENT || kind == WATCH_PERSISTENT_RECURSIVE);

        if (since < h->floor)
                return CONVENE_HISTORY_GONE;

        for (unsigned i = find_after(h, since); i < h->count; i++) {
                const Event *e = event_at(h, i);
                /* The numbers of the two types are the same. */
                WatchEventType type = (WatchEventType) e->kind;

                if (kind == WATCH_PERSISTENT_RECURSIVE ? event_is_within(e, path, size) :
                    e->path_size == size && memcmp(e->path, path, size) == 0)
                        emit(userdata, watcher, type, e->path, e->zxid, e->acl, /* spent= */ false);
                else if (kind == WATCH_PERSISTENT && e->kind != CHANGE_DATA && event_is_child(e, path, size))
                        emit(userdata, watcher, WATCH_EVENT_CHILDREN_CHANGED, path, e->zxid, e->parent_acl,
                             /* spent= */ false);
        }

        return CONVENE_OK;
}
