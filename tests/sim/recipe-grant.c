/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Recipes: grants, as dbus/server/grant.c keeps them.
 */

#include <stdio.h>
#include <string.h>

#include "tests/sim/judge.h"
#include "tests/sim/recipes.h"

#define RETRY_USEC UINT64_C(300000)
#define LATE_USEC 1000
#define LATE_ACK_USEC UINT64_C(1500000)
#define PROMISED_GRACE 4                /* org.convene1.Locks: a quarter of the session's timeout */

static const struct {
        const char *parent;
        ContenderRole role;
        unsigned resource;
        bool shared;
        unsigned limit;
} places[] = {
        [ERRAND_LOCK] = { RECIPE_ROOT "/m", CONTENDER_MUTEX, 0, false, 0 },
        [ERRAND_WRITE] = { RECIPE_ROOT "/w", CONTENDER_WRITER, 1, false, 0 },
        [ERRAND_READ] = { RECIPE_ROOT "/w", CONTENDER_READER, 1, true, 0 },
        [ERRAND_SLOT] = { RECIPE_ROOT "/s", CONTENDER_LEASE, 2, true, RECIPE_SLOTS },
        [ERRAND_LEAD] = { RECIPE_ROOT "/e", CONTENDER_LATCH, 3, false, 0 },
};

static bool is_contender(const RecipeCaller *c) {
        return c->errand <= ERRAND_LEAD;
}

static void submit_create(RecipeCaller *c) {
        Request r = {
                .op = REQUEST_CREATE,
                .session = c->session,
                .data = (const uint8_t *) "",
                .acl = recipe_acl(),
                .mode = is_contender(c) ? CREATE_EPHEMERAL_SEQUENTIAL : CREATE_EPHEMERAL,
        };
        char prefix[CONTENDER_PREFIX_BYTES], path[160];
        uint8_t id[16];

        for (unsigned i = 0; i < sizeof(id); i++)
                id[i] = (uint8_t) prng_next(&c->world->prng);
        if (is_contender(c))
                contender_prefix(places[c->errand].role, id, prefix);
        else
                (void) snprintf(prefix, sizeof(prefix), c->errand == ERRAND_TAKE ? WORKQUEUE_CLAIM : "c%u", c->number);
        (void) g_strlcpy(c->name, prefix, sizeof(c->name));
        (void) snprintf(path, sizeof(path), "%s/%s", c->parent, prefix);
        r.path = path;
        c->state = CALLER_CREATING;
        if (c->errand == ERRAND_ENTER)
                recipe_judge_enters(c->world->recipes->judge, c->barrier);
        recipe_submit(c, &r, 0);
}

static void leave(RecipeCaller *c) {
        c->state = CALLER_LEAVING;
        c->look = true;
}

void recipe_grant_begin(RecipeCaller *c) {
        World *w = c->world;
        Request r = {
                .op = REQUEST_OPEN_SESSION,
                .caller = recipe_identities(c),
                .identities = recipe_identities(c),
                .member = c->host->sid,
        };
        char owner[64];

        c->session = 0;
        c->czxid = c->token = 0;
        c->tenure = (Tenure) { 0 };
        c->acks = false;
        c->deadline_usec = 0;
        if (is_contender(c))
                (void) g_strlcpy(c->parent, places[c->errand].parent, sizeof(c->parent));
        else if (c->errand == ERRAND_ENTER) {
                c->barrier = w->recipes->barriers_used;
                c->count = (BarrierCount) { .wanted = 2 + c->barrier % 3 };
                (void) snprintf(c->parent, sizeof(c->parent), RECIPE_ROOT "/b%u", c->barrier);
        } else
                (void) g_strlcpy(c->parent, RECIPE_ROOT "/q", sizeof(c->parent));
        (void) snprintf(owner, sizeof(owner), "caller%u %" PRIu64, c->number, c->next_tag);
        recipe_campaign_begin(c, owner, sizeof(owner));
        r.owner = owner;
        r.timeout_msec = c->timeout_msec = (uint32_t) prng_between(&w->prng, 1000, 2500);
        for (unsigned i = 0; i < sizeof(r.secret_hash); i++)
                r.secret_hash[i] = (uint8_t) prng_next(&w->prng);
        c->state = CALLER_OPENING;
        recipe_submit(c, &r, 0);
}

static void keep(RecipeCaller *c) {
        member_keep_session(c->host->member, c->session, true);
        c->kept_run = c->host->run;
        judge_on_keep(c->host, c->session);
}

/* Its session is over.  It may go by what it had for a while still; and one that has not looked for long says that it has done what
 * may be somebody else's by now. */
static void forget(RecipeCaller *c) {
        uint64_t now = host_clock(c->host);

        c->session = 0;
        c->kept_run = 0;
        if (c->errand == ERRAND_TAKE && c->acks)
                c->until_usec = MAX(c->until_usec, now + prng_below(&c->world->prng, LATE_ACK_USEC));
        if (now >= c->until_usec) {
                recipe_rest(c);
                return;
        }
        c->state = CALLER_LOST;
        c->timer_usec = c->until_usec;
}

static void on_opened(RecipeCaller *c, const Result *result) {
        SimSession s = { result->session, result->timeout_msec };

        if (result->status != CONVENE_OK) {
                forget(c);
                return;
        }
        c->session = result->session;
        g_array_append_val(c->world->workload->sessions, s);
        keep(c);
        if (c->errand == ERRAND_TAKE) {
                c->state = CALLER_CHOOSING;
                c->look = true;
        } else
                submit_create(c);
}

static void on_created(RecipeCaller *c, const Result *result) {
        if (result->status == CONVENE_OK) {
                (void) g_strlcpy(c->name, strrchr(result->path, '/') + 1, sizeof(c->name));
                c->czxid = result->stat.czxid;
                c->token = tenure_token(result);
                c->state = CALLER_WAITING;
                c->look = true;
        } else if (c->errand == ERRAND_TAKE && (result->status == CONVENE_NODE_EXISTS || result->status == CONVENE_NO_NODE)) {
                (void) g_strlcpy(c->parent, RECIPE_ROOT "/q", sizeof(c->parent));
                c->state = CALLER_CHOOSING;     /* somebody else was faster */
                c->look = true;
        } else
                leave(c);
}

static void on_acked(RecipeCaller *c, const Result *result) {
        World *w = c->world;

        if (result->status == CONVENE_OK) {
                w->statistics->recipe_acks++;
                recipe_fail(w, recipe_judge_acked(w->recipes->judge, c->parent, c->token));
        } else if (result->status == CONVENE_FATE_UNKNOWN)
                recipe_judge_maybe_acked(w->recipes->judge, c->parent);
        leave(c);
}

void recipe_grant_answered(RecipeCaller *c, const Result *result) {
        switch (c->state) {

        case CALLER_OPENING:
                on_opened(c, result);
                break;

        case CALLER_CREATING:
                on_created(c, result);
                break;

        case CALLER_MOVING:
                if (!recipe_campaign_stood_aside(c, result))
                        leave(c);
                break;

        case CALLER_ACKING:
                on_acked(c, result);
                break;

        default:                        /* of the end of its session */
                if (result->status == CONVENE_OK || result->status == CONVENE_SESSION_EXPIRED)
                        forget(c);
                else
                        c->timer_usec = host_clock(c->host) + RETRY_USEC;
                break;
        }
}

/*
 * Its turn
 */

static bool item_is_chosen(RecipeCaller *c, const ListItem *item, bool *ret_go_on) {
        const WorkqueueTaker taker = { 0 };

        *ret_go_on = true;
        if (!workqueue_is_item(item->path))
                return false;
        *ret_go_on = workqueue_consider(&taker, &item->stat) == WORKQUEUE_NEXT;
        return !*ret_go_on;
}

static void choose(RecipeCaller *c) {
        Request r = { .op = REQUEST_GET_CHILDREN, .path = RECIPE_ROOT "/q", .session = c->session, .want_data = true };
        bool go_on = true;
        Result page;

        tree_read(member_tree(c->host->member), &r, &page);
        if (page.status != CONVENE_OK)
                return;
        for (uint32_t i = 0; i < page.items_count && go_on; i++)
                if (item_is_chosen(c, page.items + i, &go_on)) {
                        (void) snprintf(c->parent, sizeof(c->parent), RECIPE_ROOT "/q/%s", page.items[i].path);
                        submit_create(c);
                }
}

static bool is_there(const RecipeCaller *c, const Host *at) {
        char path[160];

        (void) snprintf(path, sizeof(path), "%s/%s", c->parent, c->name);
        return tree_lookup(member_get_tree(at->member), path, NULL, NULL);
}

static LineupStanding stand(RecipeCaller *c) {
        g_autoptr(GPtrArray) names = NULL;
        g_autoptr(Lineup) l = NULL;

        if (c->errand == ERRAND_TAKE)
                return is_there(c, c->host) ? STANDING_HOLDS : STANDING_GONE;
        names = recipe_children(c->host, c->parent);
        if (c->errand == ERRAND_ENTER) {
                if (!c->count.known)
                        barrier_look(&c->count, (const char *const *) names->pdata, names->len);
                return !is_there(c, c->host) ? STANDING_GONE : c->count.full ? STANDING_HOLDS : STANDING_WAITS;
        }
        l = lineup_new((const char *const *) names->pdata, names->len);
        return lineup_stand(l, c->name, c->errand == ERRAND_SLOT ? RECIPE_SLOTS : 1);
}

static TenureClock read_clock(RecipeCaller *c) {
        TenureClock k = {
                .now_usec = host_clock(c->host),
                .deadline_usec = member_session_deadline(c->host->member, c->session),
                .timeout_msec = c->timeout_msec,
        };

        if (k.deadline_usec != 0)
                c->deadline_usec = k.deadline_usec;
        return k;
}

/* By when they were made, which is what the lineup does not go by: how many that are there still came earlier and are in the way. */
static unsigned earlier(const RecipeCaller *c) {
        const GPtrArray *all = c->world->recipes->callers;
        unsigned count = 0;

        for (guint i = 0; i < all->len; i++) {
                const RecipeCaller *o = all->pdata[i];

                if (o == c || !is_contender(o) || o->czxid == 0 || o->czxid > c->czxid || o->session == 0 ||
                    places[o->errand].resource != places[c->errand].resource || (c->errand == ERRAND_READ && o->errand == ERRAND_READ))
                        continue;
                count += is_there(o, c->host);
        }
        return count;
}

/* How many that are there and wait as well are more important. */
static unsigned outranking(const RecipeCaller *c) {
        const GPtrArray *all = c->world->recipes->callers;
        unsigned count = 0;

        for (guint i = 0; i < all->len; i++) {
                const RecipeCaller *o = all->pdata[i];

                count += o != c && o->errand == c->errand && o->session != 0 && o->czxid != 0 && o->priority > c->priority &&
                         is_there(o, c->host);
        }
        return count;
}

static void be_judged(RecipeCaller *c) {
        World *w = c->world;
        RecipeJudge *j = w->recipes->judge;

        w->statistics->recipe_grants++;
        if (c->errand == ERRAND_ENTER) {
                recipe_fail(w, recipe_judge_passed(j, c->barrier, c->count.wanted));
                if (w->recipes->barriers_used == c->barrier && c->barrier + 1 < RECIPE_BARRIERS)
                        w->recipes->barriers_used++;
        } else if (c->errand == ERRAND_TAKE)
                recipe_fail(w, recipe_judge_claimed(j, c->parent, c->token));
        else {
                recipe_fail(w, recipe_judge_order(j, places[c->errand].resource, earlier(c), MAX(places[c->errand].limit, 1)));
                if (c->errand == ERRAND_LEAD)
                        recipe_fail(w, recipe_judge_priority(j, places[c->errand].resource, outranking(c)));
                if (!places[c->errand].shared)
                        recipe_fail(w, recipe_judge_token(j, places[c->errand].resource, c->token));
        }
}

static void be_granted(RecipeCaller *c) {
        TenureClock k = read_clock(c);

        if (!tenure_may_begin(&c->tenure, &k, &c->timer_usec))
                return;
        TRACE(c->world, "caller %u: errand %d granted on h%u, token " ZXID_FORMAT, c->number, c->errand, c->host->sid, c->token);
        c->state = CALLER_HOLDING;
        c->acks = c->errand == ERRAND_TAKE && prng_chance(&c->world->prng, 700);
        /* Some hold for as long as they can. */
        c->end_usec = k.now_usec + (prng_chance(&c->world->prng, 300) && c->world->phase == 1 ? UINT64_C(10000000) :
                                    prng_below(&c->world->prng, 600000));
        be_judged(c);
}

static void ack(RecipeCaller *c) {
        char claim[128];
        Request operations[2], r = { .op = REQUEST_MULTI, .operations = operations, .operations_count = 2,
                                     .caller = recipe_identities(c) };
        Result result;

        c->acks = false;
        c->until_usec = 0;
        (void) snprintf(claim, sizeof(claim), "%s/" WORKQUEUE_CLAIM, c->parent);
        if (recipe_read(c, REQUEST_EXISTS, claim, &result) != CONVENE_OK || !workqueue_is_claim_of(&result.stat, c->token)) {
                leave(c);
                return;
        }
        workqueue_ack(c->parent, claim, c->token, operations);
        c->state = CALLER_ACKING;
        recipe_submit(c, &r, 0);
}

/* What is given up for want of news is worst off when news comes in the next instant. */
static void be_heard_again(const RecipeCaller *c) {
        World *w = c->world;

        if (w->phase == 1 && w->params.heal_share > 0 && prng_chance(&w->prng, w->params.heal_share))
                agenda_add(&w->agenda, w->now_usec + prng_below(&w->prng, 100000), EVENT_HEAL_LINKS, 0, FAULT_EVERY_PARTITION);
}

static void hold(RecipeCaller *c) {
        TenureClock k = read_clock(c);
        uint64_t at = tenure_give_up_usec(&c->tenure, &k);

        if (k.now_usec >= at) {
                TRACE(c->world, "caller %u: lost, for nothing is promised any more", c->number);
                c->world->statistics->recipe_losses++;
                c->state = CALLER_LOST;
                c->until_usec = k.now_usec + (uint64_t) c->timeout_msec * 1000 / PROMISED_GRACE;
                /* Frozen, or without an agent, when it should have been told: what it was promised is over earlier. */
                if (k.now_usec > at + LATE_USEC || c->tenure.unknown_since_usec != 0)
                        c->until_usec = MIN(c->until_usec, c->deadline_usec);
                c->end_usec = UINT64_MAX;
                c->timer_usec = tenure_release_usec(&k);
                be_heard_again(c);
        } else if (k.now_usec >= c->end_usec && c->acks)
                ack(c);
        else if (k.now_usec >= c->end_usec)
                leave(c);
        else
                c->timer_usec = MIN(at, c->end_usec);
}

static void look(RecipeCaller *c) {
        LineupStanding standing = stand(c);

        if (standing == STANDING_GONE)
                leave(c);
        else if (c->state == CALLER_HOLDING)
                hold(c);
        else if (standing == STANDING_HOLDS && c->errand == ERRAND_LEAD && recipe_campaign_lets_pass(c))
                recipe_campaign_stand_aside(c);
        else if (standing == STANDING_HOLDS)
                be_granted(c);
        else if (c->world->phase == 2 && c->errand == ERRAND_ENTER)
                leave(c);               /* nobody else will come */
        if (c->state == CALLER_LEAVING || c->state == CALLER_HOLDING)
                recipe_grant_step(c);
}

static void end_session(RecipeCaller *c) {
        Request r = { .op = REQUEST_CLOSE_SESSION, .target = c->session, .caller = recipe_identities(c) };

        if (c->session == 0)
                forget(c);
        else if (!c->op)
                recipe_submit(c, &r, 0);
}

/* What a new agent finds is held on. */
static void recover(RecipeCaller *c) {
        if (c->session == 0 || c->kept_run == c->host->run)
                return;
        keep(c);
        c->tenure = (Tenure) { 0 };
        c->look = c->state == CALLER_HOLDING;
}

void recipe_grant_step(RecipeCaller *c) {
        uint64_t now = host_clock(c->host);
        bool due = now >= c->timer_usec || now >= c->end_usec, looks = c->look;

        c->look = false;
        recover(c);
        if (now >= c->timer_usec)
                c->timer_usec = UINT64_MAX;
        if (c->op)
                return;
        if (c->state == CALLER_CHOOSING) {
                if (looks || due)
                        choose(c);
                if (c->state == CALLER_CHOOSING && c->world->phase == 2)
                        leave(c);
        } else if (c->state == CALLER_WAITING && (looks || due))
                look(c);
        else if (c->state == CALLER_HOLDING && looks)
                look(c);
        else if (c->state == CALLER_HOLDING)
                hold(c);
        else if (c->state == CALLER_LOST && due) {
                if (c->acks && (c->session == 0 || prng_next(&c->world->prng) & 1))
                        ack(c);
                else
                        leave(c);
        }
        if (c->state == CALLER_LEAVING && !c->op && (due || looks || c->look)) {
                c->look = false;
                c->end_usec = UINT64_MAX;
                end_session(c);
        }
}

/*
 * What happens to it
 */

void recipe_grant_saw(RecipeCaller *c, WatchEventType type, const char *path) {
        size_t parent = strlen(c->parent);

        if (c->state < CALLER_CHOOSING || c->state > CALLER_HOLDING)
                return;
        if (!path) {
                barrier_lost(&c->count);
                c->look = true;
                return;
        }
        if (!g_str_has_prefix(path, c->parent) || path[parent] != '/')
                return;
        if (c->errand == ERRAND_ENTER) {
                if (type != WATCH_EVENT_DATA_CHANGED)
                        (void) barrier_saw(&c->count, path + parent + 1, type == WATCH_EVENT_DELETED);
                c->look = true;
        } else if (c->errand == ERRAND_TAKE)
                c->look = true;
        else if (!strchr(path + parent + 1, '/') && lineup_wakes(type))
                c->look = true;
}

void recipe_grant_session_ended(RecipeCaller *c) {
        if (c->op && (c->state == CALLER_LEAVING || c->state == CALLER_ACKING)) {
                c->session = 0;
                return;                 /* the answer comes */
        }
        TRACE(c->world, "caller %u: its session is gone", c->number);
        if (c->op)
                leave(c);
        else
                forget(c);
}

/* Who only waited has lost the call with the agent. */
void recipe_grant_host_gone(RecipeCaller *c, bool power) {
        if (c->state == CALLER_ACKING)
                recipe_judge_maybe_acked(c->world->recipes->judge, c->parent);
        if (power) {
                c->until_usec = 0;
                c->acks = false;
        }
        if (power || c->state < CALLER_WAITING)
                forget(c);
        else if (c->state == CALLER_WAITING || c->state == CALLER_MOVING || c->state == CALLER_ACKING)
                leave(c);
}

bool recipe_grant_believes(const RecipeCaller *c) {
        uint64_t now = host_clock(c->host);

        if (c->errand == ERRAND_TAKE && c->session == 0)
                return false;           /* it only says so */
        if (c->state == CALLER_LOST || c->state == CALLER_LEAVING)
                return now < c->until_usec;
        if (c->state != CALLER_HOLDING)
                return false;
        /* Without an agent, or with one that has heard nothing yet, it goes by what it was promised last. */
        if (c->host->state != HOST_UP || c->kept_run != c->host->run || c->tenure.unknown_since_usec != 0)
                return now < c->deadline_usec;
        return true;
}
