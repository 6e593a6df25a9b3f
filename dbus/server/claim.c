/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Grants: the claim of an item of a work queue
 *
 * Which item it is to be follows from this agent's tree; should another have been faster, the next is chosen.  Of all takers on this host
 * one tries at a time.
 */

#include <errno.h>
#include <string.h>

#include "dbus/server/codec.h"
#include "dbus/server/grant.h"
#include "dbus/server/server-private.h"

#define PAGE_ENTRIES 32

static void on_buried(Call *call, const Result *result) {
        Grant *g = g_steal_pointer(&call->plan);

        if (g)
                grant_made(g, result);
}

static void go_to(Grant *g, const ListItem *item) {
        g_free(g->parent);
        g->parent = g_strdup_printf("%s/%s", g->queue, item->path);
        place_occupy(&g->guest);
}

/* To the queue of the dead, all or nothing, with its own ACL; whoever else does it first has done it as well. */
static void bury(Grant *g, const ListItem *item) {
        Server *s = g->server;
        const Tree *tree = member_get_tree(s->member);
        g_autofree char *dead = g_strdup_printf("%s/" WORKQUEUE_DEAD, g->queue);
        g_autofree char *grave = g_strdup_printf("%s/" WORKQUEUE_PREFIX, dead);
        g_autofree uint8_t *data = g_memdup2(item->data, item->data_size);
        Request operations[] = {
                { .op = REQUEST_CREATE, .path = grave, .data = data ?: (const uint8_t *) "", .data_size = item->data_size,
                  .mode = CREATE_PERSISTENT_SEQUENTIAL },
                { .op = REQUEST_DELETE, .path = NULL, .version = VERSION_ANY, .czxid = item->stat.czxid },
        };
        Request r = {
                .op = REQUEST_MULTI,
                .session = g->owned->id,
                .operations = operations,
                .operations_count = G_N_ELEMENTS(operations),
        };

        Call *making;

        go_to(g, item);
        operations[1].path = g->parent;
        g->parents_made = CONVENE_OK;
        g->making = making = call_new_detached(s, NULL, NULL, &r, on_buried);
        making->plan = g;
        recipe_make_parents(s, dead, g->owned->id, (Identities) { 0 }, recipe_nearest_acl(tree, g->queue), making,
                            grant_on_parent);
        operations[0].acl = recipe_nearest_acl(tree, g->parent);
        call_start_detached(making, &r);
}

/* True: go on to the next. */
static bool consider(Grant *g, const ListItem *item, bool *ret_chosen) {
        if (item->stat.czxid == 0) {            /* it may not be read: it is for others, but what comes first comes first */
                if (g->taker.ordered)
                        grant_refuse(g, CONVENE_NO_AUTH, g->queue);
                return !g->taker.ordered;
        }
        switch (workqueue_consider(&g->taker, &item->stat)) {
        case WORKQUEUE_NEXT:
                return true;
        case WORKQUEUE_BURY:
                bury(g, item);
                return false;
        case WORKQUEUE_TAKE:
                go_to(g, item);
                *ret_chosen = true;
                return false;
        case WORKQUEUE_WAIT:
                return false;
        }
        g_assert_not_reached();
}

/* By the names in their order, page by page. */
static bool claim_choose(Grant *g) {
        g_autofree char *after = NULL;
        bool chosen = false, go_on = true;
        Result page;

        if (place_is_occupied(&g->guest))
                return false;
        do {
                Request r = {
                        .op = REQUEST_GET_CHILDREN,
                        .path = g->queue,
                        .session = g->owned->id,
                        .want_data = true,
                        .entries_max = PAGE_ENTRIES,
                        .start_after = after,
                };

                tree_read(member_tree(g->server->member), &r, &page);
                if (page.status != CONVENE_OK) {
                        if (page.status != CONVENE_NO_NODE)
                                grant_refuse(g, page.status, g->queue);
                        return false;
                }
                for (uint32_t i = 0; i < page.items_count && go_on; i++)
                        if (workqueue_is_item(page.items[i].path))
                                go_on = consider(g, &page.items[i], &chosen);
                if (go_on && page.items_count > 0) {
                        g_free(after);
                        after = g_strdup(page.items[page.items_count - 1].path);
                }
        } while (go_on && page.more);
        return chosen;
}

static LineupStanding claim_stand(Grant *g) {
        return g->name && grant_is_there(g) ? STANDING_HOLDS : STANDING_GONE;
}

/* The work, and how often it has been taken, this time included. */
static int claim_answer(Grant *g, sd_bus_message *reply) {
        Request r = { .op = REQUEST_GET_DATA, .path = g->parent, .session = g->owned->id };
        uint32_t attempts;
        Result result;
        int k;

        tree_read(member_tree(g->server->member), &r, &result);
        if (result.status != CONVENE_OK)
                return -EACCES;
        attempts = workqueue_attempts(result.stat.cversion, result.stat.children_count);
        k = bytes_append(reply, result.data, result.data_size);
        return k < 0 ? k : sd_bus_message_append_basic(reply, 'u', &attempts);
}

const GrantKind grant_claim = {
        .label = "claim",
        .choose = claim_choose,
        .stand = claim_stand,
        .answer = claim_answer,
};
