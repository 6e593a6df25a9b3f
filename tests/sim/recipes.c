/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Recipes
 */

#include "tests/sim/recipes.h"

#include <stdio.h>
#include <string.h>

#include "agent/recipe/counter.h"
#include "agent/recipe/share.h"
#include "tests/sim/judge.h"

#define WATCH_AGAIN_USEC UINT64_C(100000)
#define BELIEFS_MAX 64
#define CLAIM_RESOURCE 1000             /* and on: the items */
#define SHARED_ITEMS 20

static const char *const founded[] = { "", "/m", "/w", "/s", "/e", "/q" };

static const AclEntry open_acl[] = { { PERMISSION_ALL, { "world", "anyone" } } };
static const Identity super[] = { { "super", "" } };

AclEntries recipe_acl(void) {
        return (AclEntries) { open_acl, 1 };
}

RecipeHost *recipes_host(const Host *h) {
        return &h->world->recipes->hosts[h->sid];
}

void recipe_fail(World *w, const char *why) {
        if (why)
                world_fail(w, "recipe", "%s", why);
}

static bool is_grant(const RecipeCaller *c) {
        return c->errand <= ERRAND_TAKE;
}

/*
 * Birth and death
 */

void recipes_init(World *w) {
        Recipes *r;

        if (w->params.callers == 0)
                return;
        r = w->recipes = g_new0(Recipes, 1);
        r->judge = recipe_judge_new();
        r->callers = g_ptr_array_new_with_free_func(g_free);
        for (unsigned i = 0; i < w->params.callers; i++) {
                RecipeCaller *c = g_new0(RecipeCaller, 1);

                c->world = w;
                c->number = i;
                c->host = &w->hosts[1 + i % w->params.hosts];
                c->timer_usec = UINT64_MAX;
                g_ptr_array_add(r->callers, c);
        }
        for (unsigned sid = 0; sid <= HOSTS_MAX; sid++)
                r->hosts[sid].due_usec = UINT64_MAX;
}

void recipes_done(World *w) {
        Recipes *r = g_steal_pointer(&w->recipes);

        if (!r)
                return;
        recipe_judge_free(r->judge);
        g_ptr_array_unref(r->callers);
        g_free(r);
}

/*
 * Requests
 */

Identities recipe_identities(const RecipeCaller *c) {
        static const char *const names[HOSTS_MAX + 1] = {
                "", "1000@h1", "1000@h2", "1000@h3", "1000@h4", "1000@h5", "1000@h6", "1000@h7", "1000@h8", "1000@h9",
        };
        static Identity of[HOSTS_MAX + 1];

        of[c->host->sid] = (Identity) { "unix", names[c->host->sid] };
        return (Identities) { &of[c->host->sid], 1 };
}

ConveneStatus recipe_read(RecipeCaller *c, RequestOp op, const char *path, Result *ret) {
        Request r = { .op = op, .path = path, .caller = recipe_identities(c) };

        tree_read(member_tree(c->host->member), &r, ret);
        return ret->status;
}

GPtrArray *recipe_children(const Host *h, const char *path) {
        Request r = { .op = REQUEST_GET_CHILDREN, .path = path, .caller = { super, 1 } };
        GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
        Result page;

        tree_read(member_tree(h->member), &r, &page);
        for (uint32_t i = 0; page.status == CONVENE_OK && i < page.items_count; i++)
                g_ptr_array_add(names, g_strdup(page.items[i].path));
        return names;
}

static void on_reply(void *userdata, uint64_t tag, const Result *result) {
        RecipeCaller *c = userdata;
        World *w = c->world;
        Op *op = g_steal_pointer(&c->op);

        TRACE(w, "caller %u: %" PRIu64 " is answered %s " ZXID_FORMAT, c->number, tag, convene_status_to_string(result->status),
              result->zxid);
        workload_note_answer(w, op, result);
        if (op->session == 0 && request_op_is_update(op->op) && c->state == CALLER_IDLE)
                w->recipes->founded |= result->status == CONVENE_OK || result->status == CONVENE_NODE_EXISTS;
        else if (is_grant(c))
                recipe_grant_answered(c, result);
        else
                recipe_attempt_answered(c, result);
        recipes_wake(c->host);
}

static void on_event(void *userdata, uint64_t watch, WatchEventType type, const char *path, Zxid zxid, bool spent) {
}

static const MemberFront front = { on_reply, on_event };

void recipe_submit(RecipeCaller *c, const Request *r, unsigned flags) {
        if (!c->member || c->run != c->host->run) {
                c->member = member_client_new(c->host->member, &front, c);
                c->run = c->host->run;
        }
        c->tag = ++c->next_tag;
        c->op = workload_note(c->world, c->host, r, flags);
        TRACE(c->world, "caller %u: %" PRIu64 " op %d %s on h%u", c->number, c->tag, r->op, r->path ?: "", c->host->sid);
        member_submit(c->member, c->tag, r, 0, flags);
}

/*
 * What agents watch
 */

static void tell_all(Host *h, WatchEventType type, const char *path) {
        const GPtrArray *all = h->world->recipes->callers;

        for (guint i = 0; i < all->len; i++) {
                RecipeCaller *c = all->pdata[i];

                if (c->host != h)
                        continue;
                if (is_grant(c))
                        recipe_grant_saw(c, type, path);
                else if (c->state == CALLER_LOOKING && (!path || strcmp(path, RECIPE_ROOT "/l") == 0))
                        c->look = true;
        }
        recipes_wake(h);
}

static void watcher_on_event(void *userdata, uint64_t watch, WatchEventType type, const char *path, Zxid zxid, bool spent) {
        Host *h = userdata;

        if (strcmp(path, RECIPE_ROOT "/l") == 0)
                (void) lease_sighted(&recipes_host(h)->sighting, zxid, host_clock(h));
        tell_all(h, type, path);
}

static void watcher_on_lost(void *userdata, uint64_t watch, const char *path, Zxid zxid) {
        tell_all(userdata, 0, NULL);
}

static void watcher_on_reply(void *userdata, uint64_t tag, const Result *result) {
}

static const MemberFront watcher_front = { .reply = watcher_on_reply, .event = watcher_on_event, .lost = watcher_on_lost };

/* Before anybody looks, so that nothing that happens after it is missed. */
static void watch(Host *h) {
        RecipeHost *r = recipes_host(h);

        if (!r->watcher)
                r->watcher = member_client_new(h->member, &watcher_front, h);
        r->watched = member_watch(r->watcher, 1, RECIPE_ROOT, WATCH_PERSISTENT_RECURSIVE, 0, (Identities) { super, 1 }, 0) ==
                     CONVENE_OK;
        if (r->watched)
                tell_all(h, 0, NULL);
        else
                r->again_usec = host_clock(h) + WATCH_AGAIN_USEC;
}

/*
 * The loop of one host
 */

static void plan(Host *h, uint64_t at_usec) {
        RecipeHost *r = recipes_host(h);

        at_usec = MAX(at_usec, h->world->now_usec);
        if (h->state != HOST_UP || r->due_usec <= at_usec)
                return;
        r->due_usec = at_usec;
        agenda_add(&h->world->agenda, at_usec, EVENT_RECIPE, world_host_key(h), 0);
}

void recipes_wake(Host *h) {
        plan(h, h->world->now_usec);
}

void recipe_rest(RecipeCaller *c) {
        c->state = CALLER_IDLE;
        c->look = false;
        c->timer_usec = UINT64_MAX;
        c->until_usec = 0;
        c->end_usec = host_clock(c->host) + prng_below(&c->world->prng, 300000);
}

static void found(RecipeCaller *c) {
        Request operations[G_N_ELEMENTS(founded) + RECIPE_BARRIERS];
        Request r = { .op = REQUEST_MULTI, .operations = operations, .operations_count = G_N_ELEMENTS(operations), .caller = { super, 1 } };
        char paths[G_N_ELEMENTS(operations)][16];

        for (unsigned i = 0; i < G_N_ELEMENTS(operations); i++) {
                if (i < G_N_ELEMENTS(founded))
                        (void) snprintf(paths[i], sizeof(paths[i]), RECIPE_ROOT "%s", founded[i]);
                else
                        (void) snprintf(paths[i], sizeof(paths[i]), RECIPE_ROOT "/b%u", i - (unsigned) G_N_ELEMENTS(founded));
                operations[i] = (Request) { .op = REQUEST_CREATE, .path = paths[i], .acl = recipe_acl() };
        }
        c->end_usec = host_clock(c->host) + WATCH_AGAIN_USEC;
        recipe_submit(c, &r, 0);
}

static Errand draw_errand(World *w) {
        unsigned errand = (unsigned) prng_below(&w->prng, _ERRAND_MAX);

        for (unsigned i = 0; i < _ERRAND_MAX; i++, errand = (errand + 1) % _ERRAND_MAX)
                if (w->params.errands >> errand & 1)
                        break;
        return (Errand) errand;
}

static void begin(RecipeCaller *c) {
        World *w = c->world;

        if (c->op || w->phase == 2)
                return;
        if (!w->recipes->founded) {
                if (c->number % 3 == 0)
                        found(c);
                else
                        c->end_usec = host_clock(c->host) + WATCH_AGAIN_USEC;
                return;
        }
        c->errand = draw_errand(w);
        c->end_usec = c->timer_usec = UINT64_MAX;
        if (is_grant(c))
                recipe_grant_begin(c);
        else
                recipe_attempt_begin(c);
}

static void step(RecipeCaller *c) {
        if (c->state != CALLER_IDLE) {
                if (is_grant(c))
                        recipe_grant_step(c);
                else
                        recipe_attempt_step(c);
        } else if (host_clock(c->host) >= c->end_usec)
                begin(c);
}

void recipes_on_event(Host *h) {
        Recipes *all = h->world->recipes;
        RecipeHost *r = recipes_host(h);
        uint64_t next = UINT64_MAX;

        r->due_usec = UINT64_MAX;
        if (r->closed)
                return;
        if (!r->watched && host_clock(h) >= r->again_usec)
                watch(h);
        if (!r->watched)
                next = r->again_usec;
        for (guint i = 0; i < all->callers->len && r->watched; i++) {
                RecipeCaller *c = all->callers->pdata[i];

                if (c->host != h)
                        continue;
                step(c);
                if (c->op)
                        continue;       /* goes on with the answer */
                if (c->look)
                        next = host_clock(h);
                next = MIN(next, c->timer_usec);
                if (c->state != CALLER_IDLE || h->world->phase == 1)
                        next = MIN(next, c->end_usec);
        }
        if (next < UINT64_MAX)
                plan(h, MAX(host_instant(h, next), h->world->now_usec + 1));
        host_after_input(h);
}

/*
 * Hosts
 */

void recipes_host_started(Host *h) {
        if (!h->world->recipes)
                return;
        recipes_host(h)->due_usec = UINT64_MAX;
        recipes_host(h)->again_usec = 0;
        recipes_host(h)->sighting = (LeaseSighting) { 0 };
        recipes_wake(h);
}

static void caller_host_gone(RecipeCaller *c, bool power) {
        bool waited = c->op != NULL;

        c->op = NULL;
        if (c->member)
                c->member = member_client_free(c->member);
        if (c->state == CALLER_IDLE)
                recipe_rest(c);
        else if (is_grant(c))
                recipe_grant_host_gone(c, power);
        else {
                if (waited)
                        recipe_attempt_unanswered(c);
                if (power || c->state != CALLER_HOLDING)
                        recipe_rest(c);
        }
}

void recipes_host_gone(Host *h, bool power) {
        Recipes *all = h->world->recipes;

        if (!all)
                return;
        for (guint i = 0; i < all->callers->len; i++)
                if (((RecipeCaller *) all->callers->pdata[i])->host == h)
                        caller_host_gone(all->callers->pdata[i], power);
        if (recipes_host(h)->watcher)
                recipes_host(h)->watcher = member_client_free(recipes_host(h)->watcher);
        recipes_host(h)->watched = false;
}

void recipes_on_session_ended(Host *h, uint64_t session) {
        Recipes *all = h->world->recipes;

        for (guint i = 0; all && i < all->callers->len; i++) {
                RecipeCaller *c = all->callers->pdata[i];

                if (c->host == h && c->session == session && is_grant(c) && c->state != CALLER_IDLE) {
                        recipe_grant_session_ended(c);
                        recipes_wake(h);
                }
        }
}

bool recipes_keep(const Host *h, uint64_t session) {
        const Recipes *all = h->world->recipes;

        for (guint i = 0; all && i < all->callers->len; i++) {
                const RecipeCaller *c = all->callers->pdata[i];

                if (c->host == h && c->session == session && c->kept_run == h->run)
                        return true;
        }
        return false;
}

void recipes_heal(World *w) {
        for (guint i = 0; w->recipes && i < w->recipes->callers->len; i++) {
                RecipeCaller *c = w->recipes->callers->pdata[i];

                if (c->state == CALLER_HOLDING)
                        c->end_usec = MIN(c->end_usec, host_clock(c->host) + prng_below(&w->prng, 300000));
                c->look = c->state != CALLER_IDLE;
                if (c->host->state == HOST_UP)
                        recipes_wake(c->host);
        }
}

static void close_host(Host *h) {
        Recipes *all = h->world->recipes;

        for (guint i = 0; i < all->callers->len; i++) {
                RecipeCaller *c = all->callers->pdata[i];

                if (c->host != h || c->session == 0 || c->kept_run != h->run)
                        continue;
                member_keep_session(h->member, c->session, false);
                c->kept_run = 0;
                judge_on_keep(h, c->session);
        }
        recipes_host_gone(h, true);
        recipes_host(h)->closed = true;
        host_after_input(h);
}

/* Removed: its agent serves nobody any more. */
void recipes_leave_removed(World *w) {
        for (uint32_t sid = 1; w->recipes && sid <= w->params.hosts; sid++) {
                Host *h = &w->hosts[sid];

                if (!world_takes_part(w, h) && h->state == HOST_UP && !recipes_host(h)->closed)
                        close_host(h);
        }
}

bool recipes_are_idle(const World *w) {
        for (guint i = 0; w->recipes && i < w->recipes->callers->len; i++) {
                const RecipeCaller *c = w->recipes->callers->pdata[i];

                if (world_takes_part(w, c->host) && (c->state != CALLER_IDLE || c->op))
                        return false;
        }
        return true;
}

/*
 * For the judges
 */

static bool believes(const RecipeCaller *c) {
        const Host *h = c->host;

        /* A host that is frozen does nothing, and in the instant in which it goes on nobody has had a chance to look. */
        if (h->resume_usec >= h->world->now_usec)
                return false;
        return is_grant(c) ? recipe_grant_believes(c) : recipe_attempt_believes(c);
}

static Belief belief_of(const RecipeCaller *c) {
        static const Belief of[_ERRAND_MAX] = {
                [ERRAND_LOCK] = { .resource = 0 },
                [ERRAND_WRITE] = { .resource = 1 },
                [ERRAND_READ] = { .resource = 1, .shared = true },
                [ERRAND_SLOT] = { .resource = 2, .shared = true, .limit = RECIPE_SLOTS },
                [ERRAND_LEAD] = { .resource = 3 },
                [ERRAND_TAKE] = { .resource = CLAIM_RESOURCE },
                [ERRAND_LEASE] = { .resource = 4 },
        };
        Belief b = of[c->errand];

        b.caller = c->number;
        if (c->errand == ERRAND_TAKE)
                b.resource += (unsigned) g_ascii_strtoull(strrchr(c->parent, '-') + 1, NULL, 10);
        return b;
}

void recipes_judge_step(World *w) {
        Belief beliefs[BELIEFS_MAX];
        unsigned count = 0;

        for (guint i = 0; w->recipes && i < w->recipes->callers->len; i++) {
                const RecipeCaller *c = w->recipes->callers->pdata[i];

                if (c->state != CALLER_IDLE && c->errand != ERRAND_ENTER && believes(c))
                        beliefs[count++] = belief_of(c);
        }
        if (count > 1)
                recipe_fail(w, recipe_judge_holders(w->recipes->judge, beliefs, count));
}

static bool item_is_there(void *userdata, const char *item) {
        const Host *h = userdata;

        return tree_lookup(member_get_tree(h->member), item, NULL, NULL);
}

static void judge_shares(World *w, const GPtrArray *names) {
        g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func((GDestroyNotify) g_ptr_array_unref);
        char texts[SHARED_ITEMS][16];
        const char *items[SHARED_ITEMS];

        for (unsigned i = 0; i < SHARED_ITEMS; i++) {
                (void) snprintf(texts[i], sizeof(texts[i]), "row %u", i);
                items[i] = texts[i];
        }
        for (guint i = 0; i < names->len; i++)
                g_ptr_array_add(parts, share_of((const char *const *) names->pdata, names->len, i, items, SHARED_ITEMS));
        if (names->len > 0)
                recipe_fail(w, recipe_judge_shares(w->recipes->judge, (GPtrArray *const *) parts->pdata, parts->len, SHARED_ITEMS));
}

void recipes_judge_end(World *w) {
        Host *h = NULL;
        int64_t value = 0;
        Request r = { .op = REQUEST_GET_DATA, .path = RECIPE_ROOT "/c", .caller = { super, 1 } };
        g_autoptr(GPtrArray) names = NULL;
        Result result;

        for (uint32_t sid = 1; sid <= w->params.hosts; sid++)
                if (w->hosts[sid].state == HOST_UP && world_takes_part(w, &w->hosts[sid]) &&
                    w->hosts[sid].judge->applied == judge_committed(w))
                        h = &w->hosts[sid];
        if (!w->recipes || !h)
                return;
        tree_read(member_tree(h->member), &r, &result);
        if (result.status == CONVENE_OK && !counter_parse(result.data, result.data_size, &value))
                world_fail(w, "M7", "the counter is none");
        recipe_fail(w, recipe_judge_count(w->recipes->judge, value));
        recipe_fail(w, recipe_judge_left(w->recipes->judge, item_is_there, h));
        names = recipe_children(h, RECIPE_ROOT "/q");
        judge_shares(w, names);
}
