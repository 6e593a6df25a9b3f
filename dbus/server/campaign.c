/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Grants: a campaign
 *
 * Whoever is first among the contenders leads, as in Curator's leader latch.  One of ours whose turn has come may let others go first
 * (agent/recipe/candidacy.h): it makes itself a place at the end of the queue and gives its old one up, all or nothing, and with the
 * place it gets a token that is greater than those of all whom it lets pass.  One that leads is not driven out by who comes, but resigns
 * when leadership is handed over.
 *
 * How important a contender is stands in the owner text of its session ("election-5"), where every agent reads it and none but its own
 * writes it.
 */

#include <inttypes.h>
#include <string.h>

#include "dbus/server/grant.h"
#include "dbus/server/handover.h"
#include "dbus/server/holder.h"
#include "dbus/server/server-private.h"

bool grant_label_campaigns(const OwnerText *owner, uint32_t *ret_priority) {
        uint32_t priority = 0;

        if (owner->kind != OWNER_TEXT_DESCRIPTOR)
                return false;
        if (!g_str_equal(owner->name, contender_role_to_string(CONTENDER_LATCH)) &&
            (priority = grant_label_number(owner->name, CONTENDER_LATCH)) == 0)
                return false;
        *ret_priority = priority;
        return true;
}

/* Whoever is no campaign of the bus is as important as one that did not say, and never lets anybody pass. */
static Candidate read_candidate(Grant *g, unsigned place) {
        g_autofree char *path = g_strdup_printf("%s/%s", g->parent, lineup_at(place_lineup(&g->guest), place)->name);
        Candidate c = { .host = "" };
        Holder h;

        if (holder_read(g->server, path, &h)) {
                c.host = holder_host(g->server, &h);
                if (h.has_owner)
                        (void) grant_label_campaigns(&h.owner, &c.priority);
        }
        return c;
}

/* Its turn has come, and it has not been told so. */
static bool lets_pass(Grant *g) {
        const Lineup *l = place_lineup(&g->guest);
        const HandOverOrder *o = g->order;
        g_autofree Candidate *queue = NULL;
        unsigned place;

        if (g->keeps_place || !lineup_find(l, g->name, &place))
                return false;
        queue = g_new0(Candidate, lineup_length(l));
        for (unsigned i = 0; i < lineup_length(l); i++)
                queue[i] = read_candidate(g, i);
        if (candidacy_stands_aside(queue, lineup_length(l), place, o ? &o->order : NULL))
                return true;
        g->keeps_place = o != NULL;             /* the order ends as soon as this is first */
        return false;
}

/*
 * Standing aside
 */

static void on_stood_aside(Call *call, const Result *result) {
        Grant *g = g_steal_pointer(&call->plan);

        if (!g)
                return;
        if (result->status == CONVENE_OK) {
                g_free(g->name);
                g->name = g_strdup(strrchr(result->results[0].path, '/') + 1);
                g->token = tenure_token(result->results);
                g->moved = true;
        } else
                g->keeps_place = true;          /* it may not, or there is no room: then it leads */
        grant_made(g, result);
}

/* The new place is like the old one, data that it proclaimed since included. */
static void stand_aside(Grant *g) {
        Server *s = g->server;
        g_autofree char *old = g_strdup_printf("%s/%s", g->parent, g->name), *node = grant_random_node(CONTENDER_LATCH);
        g_autofree char *path = g_strdup_printf("%s/%s", g->parent, g->node ?: node);
        Request get = { .op = REQUEST_GET_DATA, .path = old, .caller = server_reading_identities(s) };
        g_autofree uint8_t *data = NULL;
        Result seen;

        tree_read(member_tree(s->member), &get, &seen);
        if (seen.status != CONVENE_OK)
                return;
        data = g_memdup2(seen.data, seen.data_size);

        Request operations[] = {
                { .op = REQUEST_CREATE, .path = path, .data = data ?: (const uint8_t *) "", .data_size = seen.data_size,
                  .mode = CREATE_EPHEMERAL_SEQUENTIAL, .acl = recipe_nearest_acl(member_get_tree(s->member), old) },
                { .op = REQUEST_DELETE, .path = old, .version = VERSION_ANY, .czxid = seen.stat.czxid },
        };
        Request r = {
                .op = REQUEST_MULTI,
                .session = g->owned->id,
                .operations = operations,
                .operations_count = G_N_ELEMENTS(operations),
        };

        g->making = call_new_detached(s, NULL, NULL, &r, on_stood_aside);
        g->making->plan = g;
        call_start_detached(g->making, &r);
}

/*
 * As a kind of grant
 */

static bool is_to_resign(const Grant *g) {
        g_autoptr(HandOverOrder) o = hand_over_read(g->server, g->parent);

        return o && candidacy_resigns(&o->order, g->server->host);
}

/* An order ends when somebody is first who stays there.  That may be this one, which has not looked since, and must not let those pass now
 * whom the order kept out. */
static void note_order(Grant *g, LineupStanding standing) {
        HandOverOrder *o = hand_over_read(g->server, g->parent);

        if (!o && standing == STANDING_HOLDS)
                return;
        g_clear_pointer(&g->order, hand_over_order_free);
        g->order = o;
}

static LineupStanding campaign_stand(Grant *g) {
        LineupStanding standing;

        if (!g->name)
                return STANDING_GONE;
        standing = lineup_stand(place_lineup(&g->guest), g->name, 1);
        note_order(g, standing);
        if (standing != STANDING_HOLDS)
                return standing;
        if (grant_is_told(g)) {
                if (is_to_resign(g))
                        grant_lose(g);
        } else if (lets_pass(g)) {
                if (g->patience_usec > 0 || g->pending)
                        stand_aside(g);
                return STANDING_WAITS;
        }
        return STANDING_HOLDS;
}

const GrantKind grant_campaign = { .is_sequential = true, .every_event = true, .stand = campaign_stand };
