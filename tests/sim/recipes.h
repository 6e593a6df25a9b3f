/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Recipes
 *
 * Callers on simulated hosts that lock, lead, lease, meet at barriers, work through a queue and count: what dbus/server is to its callers,
 * over the same rules of agent/recipe, through requests to the member and watches of its tree.  They live through all that happens to
 * their hosts.  A killed agent leaves them their descriptors, as systemd's fd store does, and the next agent goes on with them; a host that
 * loses power takes them along.
 *
 *     recipes.c          birth, the loop of a host, what the judges are shown        (EVENT_RECIPE)
 *     recipe-grant.c     what is an ephemeral znode: locks, slots, leadership, entrants, claims
 *     recipe-campaign.c  who lets others pass in an election
 *     recipe-attempt.c   what follows from the tree: leases, counters, putting and acknowledging items
 *     recipe-judge.c     the judges
 */

#include "agent/recipe/barrier.h"
#include "agent/recipe/contender.h"
#include "agent/recipe/lease.h"
#include "agent/recipe/lineup.h"
#include "agent/recipe/tenure.h"
#include "agent/recipe/workqueue.h"
#include "tests/sim/recipe-judge.h"
#include "tests/sim/workload.h"

#define RECIPE_ROOT "/r"
#define RECIPE_SLOTS 2

typedef enum CallerState {
        CALLER_IDLE,
        CALLER_OPENING,                 /* a session */
        CALLER_CHOOSING,                /* an item of the queue */
        CALLER_CREATING,
        CALLER_WAITING,
        CALLER_MOVING,                  /* to the end of the queue */
        CALLER_HOLDING,
        CALLER_LOST,                    /* was told so; has its grace still */
        CALLER_LEAVING,                 /* its session is to be ended */
        CALLER_LOOKING,                 /* an attempt: at its agent's tree */
        CALLER_UPDATING,
        CALLER_ACKING,
} CallerState;

typedef struct RecipeCaller {
        World *world;
        Host *host;
        unsigned number;
        uint32_t run;                   /* of the host, of `member` */
        MemberClient *member;
        Op *op;                         /* unanswered; NULL: none */
        uint64_t next_tag, tag;

        Errand errand;
        CallerState state;
        bool look;
        uint64_t timer_usec;            /* of the host's clock: to look again; UINT64_MAX: never */
        uint64_t end_usec;              /* to have done with it, or to begin something new */

        uint64_t session;               /* of a grant */
        uint32_t timeout_msec;
        uint32_t kept_run;              /* the run of the agent that keeps the session */
        char parent[48], name[CONTENDER_PREFIX_BYTES + 16];
        Zxid czxid, token;
        uint32_t priority;              /* of who means to lead */
        bool acks;                      /* means to acknowledge, be it late */
        Tenure tenure;
        uint64_t deadline_usec;         /* the last promise known */
        unsigned barrier;
        BarrierCount count;

        LeaseRecord record;             /* of a lease, written or about to be */
        uint64_t asked_usec;
        uint64_t until_usec;            /* a lease is held; a grant that is lost may be gone by */
        Zxid lease_token;               /* of the last that it had */
        bool releases;
        int64_t value;                  /* of the counter, about to be written */
} RecipeCaller;

typedef struct RecipeHost {
        MemberClient *watcher;
        bool watched, closed;
        uint64_t again_usec;            /* to try to watch */
        uint64_t due_usec;              /* of the world: the next EVENT_RECIPE; UINT64_MAX: none */
        LeaseSighting sighting;
} RecipeHost;

typedef struct Recipes {
        RecipeJudge *judge;
        GPtrArray *callers;             /* RecipeCaller */
        RecipeHost hosts[HOSTS_MAX + 1];
        bool founded;
        unsigned barriers_used;
} Recipes;

/* recipes.c.  All but init are for worlds without recipes, too. */
void recipes_init(World *w);
void recipes_done(World *w);
void recipes_host_gone(Host *h, bool power);
void recipes_host_started(Host *h);
void recipes_on_event(Host *h);
void recipes_on_session_ended(Host *h, uint64_t session);
bool recipes_keep(const Host *h, uint64_t session);
void recipes_heal(World *w);            /* nothing new is begun; what is held is given up soon */
void recipes_leave_removed(World *w);   /* in phase 2: hosts that are no members any more hold nothing up */
bool recipes_are_idle(const World *w);
void recipes_judge_step(World *w);
void recipes_judge_end(World *w);

/* For recipe-grant.c and recipe-attempt.c. */
void recipes_wake(Host *h);             /* its callers go on in the next instant */
RecipeHost *recipes_host(const Host *h);
void recipe_fail(World *w, const char *why);            /* of a judge; NULL: nothing */
void recipe_submit(RecipeCaller *c, const Request *r, unsigned flags);
Identities recipe_identities(const RecipeCaller *c);
AclEntries recipe_acl(void);
void recipe_rest(RecipeCaller *c);      /* idle, for a while */
/* Result of a read of the tree of the caller's agent. */
ConveneStatus recipe_read(RecipeCaller *c, RequestOp op, const char *path, Result *ret);
GPtrArray *recipe_children(const Host *h, const char *path);

void recipe_grant_begin(RecipeCaller *c);
void recipe_grant_step(RecipeCaller *c);
void recipe_grant_answered(RecipeCaller *c, const Result *result);
void recipe_grant_saw(RecipeCaller *c, WatchEventType type, const char *path);  /* path NULL: some were missed */
void recipe_grant_host_gone(RecipeCaller *c, bool power);
void recipe_grant_session_ended(RecipeCaller *c);
bool recipe_grant_believes(const RecipeCaller *c);

void recipe_campaign_begin(RecipeCaller *c, char *owner, size_t size);  /* appends to the owner text */
bool recipe_campaign_lets_pass(RecipeCaller *c);
void recipe_campaign_stand_aside(RecipeCaller *c);
bool recipe_campaign_stood_aside(RecipeCaller *c, const Result *result);        /* false: it did not come to that */

void recipe_attempt_begin(RecipeCaller *c);
void recipe_attempt_step(RecipeCaller *c);
void recipe_attempt_answered(RecipeCaller *c, const Result *result);
void recipe_attempt_unanswered(RecipeCaller *c);        /* nobody will tell what became of it */
bool recipe_attempt_believes(const RecipeCaller *c);
