/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Recipes: attempts, as dbus/server/attempt.c makes them: look at the tree of the agent, submit what only succeeds if it still is so, or
 * else look again.
 */

#include <stdio.h>
#include <string.h>

#include "agent/recipe/counter.h"
#include "tests/sim/recipes.h"

#define LEASE_PATH RECIPE_ROOT "/l"
#define COUNTER_PATH RECIPE_ROOT "/c"
#define LEASE_RESOURCE 4

static void look_soon(RecipeCaller *c) {
        c->state = CALLER_LOOKING;
        c->look = true;
}

void recipe_attempt_begin(RecipeCaller *c) {
        Request sync = { .op = REQUEST_SYNC, .path = "/", .caller = recipe_identities(c) };

        c->state = CALLER_UPDATING;
        c->asked_usec = 0;
        if (c->errand == ERRAND_LEASE) {
                c->timeout_msec = (uint32_t) prng_between(&c->world->prng, 1000, 1500);
                c->releases = false;
                (void) snprintf(c->name, sizeof(c->name), "caller%u", c->number);
                recipe_submit(c, &sync, MEMBER_LINEARIZABLE);
        } else
                look_soon(c);
}

/*
 * Lease
 */

static bool sight(RecipeCaller *c, LeaseSight *ret) {
        ConveneStatus status;
        Result result;

        *ret = (LeaseSight) { 0 };
        status = recipe_read(c, REQUEST_GET_DATA, LEASE_PATH, &result);
        if (status == CONVENE_NO_NODE)
                return true;
        if (status != CONVENE_OK || !lease_parse(result.data, result.data_size, &ret->record))
                return false;
        ret->there = true;
        ret->czxid = result.stat.czxid;
        ret->version = result.stat.version;
        ret->seen_usec = lease_sighted(&recipes_host(c->host)->sighting, result.stat.mzxid, host_clock(c->host));
        return true;
}

static void look_at_lease(RecipeCaller *c) {
        g_autofree char *text = NULL;
        LeaseSight s;
        bool writes;
        Request r;

        if (!sight(c, &s)) {
                recipe_rest(c);
                return;
        }
        if (c->releases)
                writes = lease_hand_over(&s, c->name, "", &c->record);
        else {
                c->asked_usec = host_clock(c->host);
                writes = lease_take(&s, c->name, c->timeout_msec, c->asked_usec, &c->record);
        }
        if (!writes && (c->releases || c->world->phase == 2))
                recipe_rest(c);
        else if (!writes)
                c->timer_usec = lease_free_usec(&s);
        else {
                text = lease_format(&c->record);
                r = lease_request(&s, LEASE_PATH, text);
                r.caller = recipe_identities(c);
                r.acl = recipe_acl();
                c->state = CALLER_UPDATING;
                recipe_submit(c, &r, 0);
        }
}

static void lease_answered(RecipeCaller *c, const Result *result) {
        LeaseSight s = { .there = true, .czxid = result->stat.czxid, .record = c->record };
        RecipeJudge *j = c->world->recipes->judge;

        uint64_t until = lease_until_usec(c->asked_usec, c->record.ttl_msec);

        /* An answer may come so late that it is of a time that has passed. */
        if (c->releases || host_clock(c->host) >= until) {
                recipe_rest(c);
                return;
        }
        c->world->statistics->recipe_leases++;
        c->state = CALLER_HOLDING;
        c->until_usec = until;
        if (c->lease_token != lease_token(&s))  /* who has it goes on with it, even if it did not know that it has it */
                recipe_fail(c->world, recipe_judge_token(j, LEASE_RESOURCE, lease_token(&s)));
        c->lease_token = lease_token(&s);
        c->end_usec = host_clock(c->host) + prng_below(&c->world->prng, (uint64_t) c->timeout_msec * 1200);
        c->timer_usec = c->until_usec;
}

/* Renewed, released, or left to itself. */
static void hold_lease(RecipeCaller *c) {
        uint64_t now = host_clock(c->host), kind;

        if (now >= c->until_usec)
                recipe_rest(c);
        else if (now >= c->end_usec) {
                kind = c->world->phase == 2 ? 1 : prng_below(&c->world->prng, 3);
                c->end_usec = UINT64_MAX;
                if (kind == 2)
                        return;
                /* Who releases goes by it no more; who renews does. */
                c->releases = kind == 1;
                if (c->releases)
                        look_soon(c);
                else
                        look_at_lease(c);
        }
}

/*
 * Counter and put
 */

static void look_at_counter(RecipeCaller *c) {
        uint8_t bytes[COUNTER_BYTES];
        Stat stat = { 0 };
        int64_t before = 0;
        Result result;
        Request r;

        if (recipe_read(c, REQUEST_GET_DATA, COUNTER_PATH, &result) == CONVENE_OK) {
                stat = result.stat;
                if (!counter_parse(result.data, result.data_size, &before))
                        world_fail(c->world, "M7", "the counter has %u bytes", result.data_size);
        } else if (result.status != CONVENE_NO_NODE) {
                recipe_rest(c);
                return;
        }
        if (!counter_add(before, 1, &c->value)) {
                world_fail(c->world, "M7", "the counter is at its end");
                return;
        }
        counter_format(c->value, bytes);
        r = counter_request(COUNTER_PATH, &stat, bytes);
        r.caller = recipe_identities(c);
        r.acl = recipe_acl();
        c->state = CALLER_UPDATING;
        recipe_submit(c, &r, 0);
}

static void put(RecipeCaller *c) {
        Request r = {
                .op = REQUEST_CREATE,
                .path = RECIPE_ROOT "/q/" WORKQUEUE_PREFIX,
                .caller = recipe_identities(c),
                .data = (const uint8_t *) "work",
                .data_size = 4,
                .acl = recipe_acl(),
                .mode = CREATE_PERSISTENT_SEQUENTIAL,
        };

        c->state = CALLER_UPDATING;
        recipe_submit(c, &r, 0);
}

/*
 * Both
 */

static void look(RecipeCaller *c) {
        if (c->errand == ERRAND_LEASE)
                look_at_lease(c);
        else if (c->errand == ERRAND_COUNT)
                look_at_counter(c);
        else
                put(c);
}

void recipe_attempt_step(RecipeCaller *c) {
        uint64_t now = host_clock(c->host);
        bool looks = c->look || now >= c->timer_usec;

        c->look = false;
        if (now >= c->timer_usec)
                c->timer_usec = UINT64_MAX;
        if (c->op)
                return;
        if (c->state == CALLER_LOOKING && looks)
                look(c);
        else if (c->state == CALLER_HOLDING)
                hold_lease(c);
}

static void applied(RecipeCaller *c, const Result *result) {
        World *w = c->world;
        RecipeJudge *j = w->recipes->judge;

        if (c->errand == ERRAND_LEASE) {
                lease_answered(c, result);
                return;
        }
        if (c->errand == ERRAND_COUNT) {
                w->statistics->recipe_added++;
                recipe_fail(w, recipe_judge_counted(j, c->value));
        } else
                recipe_judge_put(j, result->path);
        recipe_rest(c);
}

void recipe_attempt_unanswered(RecipeCaller *c) {
        if (c->errand == ERRAND_COUNT && c->state == CALLER_UPDATING)
                recipe_judge_maybe_counted(c->world->recipes->judge);
}

void recipe_attempt_answered(RecipeCaller *c, const Result *result) {
        bool still_holds = c->errand == ERRAND_LEASE && c->state == CALLER_HOLDING;

        if (result->op == REQUEST_SYNC && result->status == CONVENE_OK)
                look_soon(c);
        else if (result->status == CONVENE_OK)
                applied(c, result);
        else if (result->status == CONVENE_BAD_VERSION || result->status == CONVENE_NODE_EXISTS ||
                 result->status == CONVENE_NO_NODE)
                look_soon(c);
        else {
                if (result->status == CONVENE_FATE_UNKNOWN)
                        recipe_attempt_unanswered(c);
                if (!still_holds)
                        recipe_rest(c);
        }
}

/* While it is renewed, too, and without an agent. */
bool recipe_attempt_believes(const RecipeCaller *c) {
        return c->errand == ERRAND_LEASE && c->until_usec > 0 && !c->releases && host_clock(c->host) < c->until_usec;
}
