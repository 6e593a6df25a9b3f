/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Grant
 *
 * A lock, a slot of a semaphore, leadership, a place in a group or behind a barrier that somebody on this host has or waits for: an
 * ephemeral znode whose session lives with a descriptor.  Whether it holds follows from the names beside it in this agent's own tree (agent/recipe),
 * looked at again whenever one of them has gone.  So a release is one entry, and costs nobody else a message.
 *
 * What is held is given up before the ensemble could give it to another: the descriptor hangs up while a quarter of the
 * session's timeout is left of the promise (DESIGN 2.8), and its session ends when that is over (agent/recipe/tenure.h).
 *
 * Whoever asked for a pending one has the descriptor while it waits, and reads a byte from it when it holds.  Until then a byte lies
 * unread in our end: a mark that is kept where the descriptor is kept, over a restart of the agent.
 *
 * Whoever cannot keep a descriptor has it stay with the call: both ends are ours then, and the call's end is the grant's.
 */

#include "agent/recipe/barrier.h"
#include "agent/recipe/tenure.h"
#include "agent/recipe/workqueue.h"
#include "dbus/server/owners.h"
#include "dbus/server/place.h"
#include "dbus/server/recipe.h"

#define GRANT_SLOTS "leases"            /* below a semaphore's path, as Curator has it */

typedef enum GrantState {
        GRANT_OPENING,                  /* its session */
        GRANT_CREATING,                 /* its znode */
        GRANT_WAITING,
        GRANT_HELD,
        GRANT_LOST,                     /* hung up; whoever held it has its grace still */
        GRANT_LEAVING,                  /* until its session has ended */
} GrantState;

typedef struct Grant Grant;

typedef struct GrantKind {
        const char *label;              /* in the owner text of its session; NULL: the contender's role */
        bool is_sequential;
        bool every_event;               /* looks when somebody has come, too */
        /* May be NULL.  Which parent it is to be made below; false: none at the moment.  Asked until one was made.  It may submit
         * something else first, about the parent it has set, as `making`. */
        bool (*choose)(Grant *g);
        LineupStanding (*stand)(Grant *g);
        int (*answer)(Grant *g, sd_bus_message *reply);         /* appends what goes beyond the usual; may be NULL */
        void (*saw)(void *userdata, WatchEventType type, const char *path, Zxid zxid);  /* of its guest */
} GrantKind;

extern const GrantKind grant_contender, grant_campaign, grant_member, grant_entrant, grant_claim;

struct Grant {
        Server *server;
        GList link;                     /* in Server.grants */
        GrantState state;
        const GrantKind *kind;
        ContenderRole role;             /* of a contender */
        uint32_t slots;                 /* of a semaphore; of a barrier, how many must come; otherwise 1 */
        uint32_t priority;              /* of a campaign */
        bool keeps_place;               /* of a campaign: it lets nobody pass */
        struct HandOverOrder *order;    /* of a campaign: under way when it was looked at last, and not first; owned */
        bool moved;                     /* name and token are not those that a pending one was answered with */
        char *node;                     /* what to create: a name, or a prefix if the kind is sequential */
        char *queue;                    /* of a claim: the parent of what it is to be made below */
        WorkqueueTaker taker;
        BarrierCount count;             /* of a barrier */
        bool makes_ready;
        bool pending;                   /* is answered before it holds, and told so by its descriptor */
        bool stays;                     /* is held by the call, which is only answered when it is lost */
        bool recovered;                 /* from an earlier life of the agent */
        char *parent;                   /* where it queues up */
        char *name;                     /* in there; NULL: not made yet */
        Zxid token;
        GBytes *data;
        RecipeAcl acl;

        Call *call;                     /* waits for the answer; NULL: nobody does */
        Call *making;                   /* the create under way */
        ConveneStatus made;             /* how it went */
        ConveneStatus parents_made;
        unsigned tries;
        OwnedSession *owned;            /* NULL: not yet, or gone */
        Guest guest;                    /* at its parent */

        uint64_t patience_usec;         /* UINT64_MAX: no end */
        sd_event_source *patience;
        Tenure tenure;
        sd_event_source *promise;
        Deferred work;
};

/* What somebody asks for; everything is copied. */
typedef struct GrantRequest {
        const GrantKind *kind;          /* NULL: contender */
        ContenderRole role;
        const char *node;               /* unless sequential; NULL: a random one */
        uint32_t slots;
        const char *parent;
        WorkqueueTaker taker;
} GrantRequest;

#define OPTIONS_GRANT (OPTION_PATIENCE | OPTION_DATA | OPTION_ACL | OPTION_SESSION_TIMEOUT)

void grants_done(Server *s);

/* Queues up for the caller, whose call is answered when it holds, or with why it does not.  Takes OPTIONS_GRANT of the options.  Returns
 * METHOD_DONE. */
int grant_start(Caller *c, sd_bus_message *m, const GrantRequest *r, const Options *o);
void grants_on_caller_gone(Caller *c);
void grant_on_session_gone(Grant *g);
/* Whether it keeps others out; and whether somebody here has it, or was told a moment ago that it is lost. */
bool grant_excludes(const Grant *g);
bool grant_is_held(const Grant *g);
/* For its kinds. */
AclEntries grant_acl(const Grant *g);
bool grant_is_there(const Grant *g);
bool grant_is_told(const Grant *g);     /* that it holds; or an earlier agent may have told it */
void grant_refuse(Grant *g, ConveneStatus status, const char *about);
/* Who holds it is told that it is lost, and has its grace. */
void grant_lose(Grant *g);
/* What to create, sequentially, for a contender like no other (g_free). */
char *grant_random_node(ContenderRole role);
void grant_made(Grant *g, const Result *result);        /* inside the member's outward call: `making` is done */
void grant_on_parent(Call *call, const Result *result); /* of a znode that `making` needs */
/* Makes another ephemeral beside its own, if it can be made. */
void grant_make_beside(Grant *g, const char *name);
/* After a restart of the agent: what such a session stands for is held on. */
void grant_recover(OwnedSession *o, const char *label);
/* Whether what the owner text of a descriptor's session stands for keeps others from having it. */
bool grant_label_excludes(const char *label);
/* The number behind the role in such an owner text: how many slots the semaphore has, or how important a campaign is; 0: it does not say. */
uint32_t grant_label_number(const char *label, ContenderRole role);
/* Whether it is a campaign's; *ret_priority is only set if it is. */
bool grant_label_campaigns(const OwnerText *owner, uint32_t *ret_priority);
