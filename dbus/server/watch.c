/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Watch
 */

#include "dbus/server/watch.h"

#include <assert.h>
#include <string.h>

#include "dbus/server/codec.h"
#include "dbus/server/server-private.h"

typedef struct WatchEntry {
        uint64_t number;
        char *path;
        unsigned kinds;
} WatchEntry;

static guint entry_hash(gconstpointer p) {
        const WatchEntry *e = p;

        return g_str_hash(e->path) * 31 + g_int64_hash(&e->number);
}

static gboolean entry_equal(gconstpointer a, gconstpointer b) {
        const WatchEntry *x = a, *y = b;

        return x->number == y->number && g_str_equal(x->path, y->path);
}

static void entry_free(gpointer p) {
        WatchEntry *e = p;

        g_free(e->path);
        g_free(e);
}

static WatchEntry *entry_find(Caller *c, uint64_t number, const char *path) {
        WatchEntry key = { .number = number, .path = (char *) path };

        return c->watches ? g_hash_table_lookup(c->watches, &key) : NULL;
}

void watch_note_added(Caller *c, uint64_t number, const char *path, WatchKind kind) {
        WatchEntry *e = entry_find(c, number, path);

        if (!e) {
                if (!c->watches)
                        c->watches = g_hash_table_new_full(entry_hash, entry_equal, entry_free, NULL);
                e = g_new0(WatchEntry, 1);
                e->number = number;
                e->path = g_strdup(path);
                g_hash_table_add(c->watches, e);
        }
        if (e->kinds & kind)
                return;
        e->kinds |= kind;
        c->account->watches++;
}

static void entry_reduce(Caller *c, WatchEntry *e, unsigned kinds) {
        unsigned gone = e->kinds & kinds;

        c->account->watches -= __builtin_popcount(gone);
        e->kinds &= ~gone;
}

void watch_note_removed(Caller *c, uint64_t number, const char *path, unsigned kinds) {
        GHashTableIter i;
        gpointer p;

        if (!c->watches)
                return;
        if (path) {
                WatchEntry *e = entry_find(c, number, path);

                if (!e)
                        return;
                entry_reduce(c, e, kinds);
                if (e->kinds == 0)
                        g_hash_table_remove(c->watches, e);
                return;
        }

        g_hash_table_iter_init(&i, c->watches);
        while (g_hash_table_iter_next(&i, &p, NULL)) {
                WatchEntry *e = p;

                if (e->number != number)
                        continue;
                entry_reduce(c, e, kinds);
                if (e->kinds == 0)
                        g_hash_table_iter_remove(&i);
        }
}

void watch_forget_caller(Caller *c) {
        GHashTableIter i;
        gpointer p;

        if (!c->watches)
                return;
        g_hash_table_iter_init(&i, c->watches);
        while (g_hash_table_iter_next(&i, &p, NULL))
                entry_reduce(c, p, ~0U);
        g_clear_pointer(&c->watches, g_hash_table_unref);
}

/* The one-shot watches that an event of this type uses up. */
static unsigned kinds_spent(WatchEventType type, bool spent) {
        if (spent)
                return ~0U;
        switch (type) {
        case WATCH_EVENT_CREATED:
        case WATCH_EVENT_DATA_CHANGED: return WATCH_DATA;
        case WATCH_EVENT_CHILDREN_CHANGED: return WATCH_CHILDREN;
        case WATCH_EVENT_DELETED: return WATCH_DATA | WATCH_CHILDREN;
        }
        g_assert_not_reached();
}

static int event_append(sd_bus_message *m, const Caller *c, uint64_t watch, WatchEventType type, const char *path,
                        Zxid zxid, bool spent) {
        int r;

        if (c->name) {
                r = sd_bus_message_set_destination(m, c->name);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_append(m, "tsstb", watch, watch_event_to_string(type), path, zxid, (int) spent);
}

void watch_on_event(void *userdata, uint64_t watch, WatchEventType type, const char *path, Zxid zxid, bool spent) {
        g_autoptr(sd_bus_message) m = NULL;
        Caller *c = userdata;

        watch_note_removed(c, watch, path, kinds_spent(type, spent));
        c->server->counters.events++;
        if (c->events_lost)
                return;
        if (sd_bus_message_new_signal(c->channel->bus, &m, OBJECT_PATH, "org.convene1.Watches", "Event") < 0 ||
            event_append(m, c, watch, type, path, zxid, spent) < 0 ||
            channel_send(c->channel, m, 256 + strlen(path)) < 0)
                c->events_lost = true;
}
