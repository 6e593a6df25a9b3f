/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Grants: what each kind waits for
 */

#include <string.h>

#include "dbus/server/grant.h"
#include "dbus/server/server-private.h"

bool grant_is_there(const Grant *g) {
        g_autofree char *path = g_strdup_printf("%s/%s", g->parent, g->name);

        return tree_lookup(member_get_tree(g->server->member), path, NULL, NULL);
}

/* Locks and slots: by the names of all who contend. */
static LineupStanding contender_stand(Grant *g) {
        const Lineup *l = place_lineup(&g->guest);

        return g->name ? lineup_stand(l, g->name, g->slots) : STANDING_GONE;
}

const GrantKind grant_contender = { .is_sequential = true, .stand = contender_stand };

/* A group takes everybody. */
static LineupStanding member_stand(Grant *g) {
        return g->name && grant_is_there(g) ? STANDING_HOLDS : STANDING_GONE;
}

const GrantKind grant_member = { .label = "member", .stand = member_stand };

/* A double barrier, once it has been full since this one came. */
static LineupStanding entrant_stand(Grant *g) {
        if (!g->count.known) {
                g_autoptr(GPtrArray) names = place_children(g->server, g->parent);

                barrier_look(&g->count, (const char *const *) names->pdata, names->len);
        }
        if (!g->name || !grant_is_there(g))
                return STANDING_GONE;
        if (g->makes_ready) {
                g->makes_ready = false;
                grant_make_beside(g, BARRIER_READY);
        }
        return g->count.full ? STANDING_HOLDS : STANDING_WAITS;
}

/* With whom it becomes full tells clients of another kind so. */
static void entrant_saw(void *userdata, WatchEventType type, const char *path, Zxid zxid) {
        Grant *g = userdata;
        size_t parent = strlen(g->parent);
        const char *name;

        if (!path) {
                barrier_lost(&g->count);
                return;
        }
        if (strlen(path) <= parent + 1 || strchr(path + parent + 1, '/') || type == WATCH_EVENT_DATA_CHANGED)
                return;
        name = path + parent + 1;
        if (barrier_saw(&g->count, name, type == WATCH_EVENT_DELETED) && g_str_equal(name, g->node))
                g->makes_ready = true;
}

const GrantKind grant_entrant = { .label = "entrant", .stand = entrant_stand, .saw = entrant_saw };
