/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Sightings
 */

#include "dbus/server/sightings.h"

#include <string.h>

#include "agent/recipe/lease.h"
#include "dbus/server/attempt.h"
#include "dbus/server/server-private.h"

struct Sightings {
        Server *server;
        GHashTable *by_path;            /* path -> LeaseSighting */
        bool stale;                     /* changes may have been missed */
        Guest guest;                    /* at the root of all leases */
};

typedef struct Sightings Sightings;

static void sightings_put(Sightings *all, const char *path, Zxid mzxid, uint64_t seen_usec) {
        LeaseSighting *one = g_new(LeaseSighting, 1);

        *one = (LeaseSighting) { mzxid, seen_usec };
        g_hash_table_insert(all->by_path, g_strdup(path), one);
}

uint64_t sightings_get(Server *s, const char *path, Zxid mzxid) {
        LeaseSighting *one = g_hash_table_lookup(s->sightings->by_path, path);
        uint64_t now = attempt_now_usec();

        if (one)
                return lease_sighted(one, mzxid, now);
        sightings_put(s->sightings, path, mzxid, now);
        return now;
}

static void on_saw(void *userdata, WatchEventType type, const char *path, Zxid zxid) {
        Sightings *all = userdata;

        if (!path)
                all->stale = true;
        else if (path[strlen(RECIPE_LEASES)] != '/' || strchr(path + strlen(RECIPE_LEASES "/"), '/'))
                return;                         /* no lease */
        else if (type == WATCH_EVENT_DELETED)
                g_hash_table_remove(all->by_path, path);
        else
                sightings_put(all, path, zxid, attempt_now_usec());
}

/* What is as it was when it was seen last has been so all the time. */
static void on_look(void *userdata) {
        Sightings *all = userdata;
        Server *s = all->server;
        g_autoptr(GHashTable) before = NULL;
        g_autoptr(GPtrArray) names = NULL;

        if (!all->stale)
                return;
        all->stale = false;
        before = g_steal_pointer(&all->by_path);
        all->by_path = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        names = place_children(s, RECIPE_LEASES);
        for (guint i = 0; i < names->len; i++) {
                g_autofree char *path = g_strdup_printf(RECIPE_LEASES "/%s", (const char *) names->pdata[i]);
                Request r = { .op = REQUEST_EXISTS, .path = path, .caller = server_reading_identities(s) };
                const LeaseSighting *seen = g_hash_table_lookup(before, path);
                Result result;

                tree_read(member_tree(s->member), &r, &result);
                if (result.status != CONVENE_OK)
                        continue;
                sightings_put(all, path, result.stat.mzxid,
                              seen && seen->mzxid == result.stat.mzxid ? seen->seen_usec : attempt_now_usec());
        }
}

void sightings_init(Server *s) {
        Sightings *all = s->sightings = g_new0(Sightings, 1);

        all->server = s;
        all->by_path = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        all->stale = true;
        all->guest = (Guest) { .every_event = true, .look = on_look, .saw = on_saw, .userdata = all };
        place_join(s, RECIPE_LEASES, &all->guest);
}

void sightings_done(Server *s) {
        Sightings *all = g_steal_pointer(&s->sightings);

        if (!all)
                return;
        place_leave(&all->guest);
        g_hash_table_unref(all->by_path);
        g_free(all);
}
