/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Attempt
 *
 * A call that is answered when the tree has come to some state, or when an update has been made that follows from the state.  It looks at
 * this agent's tree, and either answers, or waits, or submits an update that only succeeds if what it saw still is so; if it is
 * not, it looks again.  Of all at one place only one has an update under way, first come, first served, so that those of one host never
 * spoil each other's.
 */

#include "dbus/server/place.h"
#include "dbus/server/recipe.h"

typedef struct Attempt Attempt;

typedef struct AttemptKind {
        /* Ends with one of attempt_answer(), attempt_refuse(), attempt_submit() and attempt_wait(). */
        void (*look)(Attempt *a);
        /* The update has been applied, and outcome says what it made: the same. */
        void (*applied)(Attempt *a);
        bool is_blind;                  /* its update does not depend on what it saw: it need not wait for others' */
        bool is_fresh;                  /* what it sees reflects everything acknowledged before the call */
} AttemptKind;

struct Attempt {
        Server *server;
        GList link;                     /* in Server.attempts */
        const AttemptKind *kind;
        Call *call;                     /* waits for the answer; NULL: it has it */
        char *path;                     /* the znode it is about */
        Guest guest;                    /* there */
        void *plan;                     /* the kind's own; freed with plan_free */
        void (*plan_free)(void *plan);
        RecipeAcl acl;

        Call *asking;                   /* the member: an update, or for freshness */
        ConveneStatus status, parents_status;
        Stat stat;                      /* of the znode the update was about */
        char *made;                     /* the path that was created */
        unsigned tries, conflicts;      /* updates that failed because there was no znode, and because there was another */
        bool updates;                   /* an update is under way, or its outcome is in `status` */
        bool waits;                     /* its patience is not at its end */

        sd_event_source *patience, *timer;
        Deferred work;
};

void attempts_done(Server *s);
void attempts_on_caller_gone(Caller *c);

/* Takes path and plan; of the options, timeout and acl, and data and kept_bytes to be charged. */
void attempt_start(Caller *c, sd_bus_message *m, const AttemptKind *kind, char *path, void *plan, void (*plan_free)(void *plan),
                   const Options *o);

/* CLOCK_BOOTTIME, as late as can be. */
uint64_t attempt_now_usec(void);
/* Who asks, for what it may read and change. */
Identities attempt_identities(const Attempt *a);
ConveneStatus attempt_read(const Attempt *a, Result *ret);      /* the znode's data and stat */

void attempt_answer(Attempt *a, const char *types, ...);
/* For longer ones: NULL: nobody waits for it; takes the reply, k negative: it does not fit. */
sd_bus_message *attempt_new_reply(Attempt *a);
void attempt_return(Attempt *a, sd_bus_message *reply, int k, uint64_t bytes);
void attempt_refuse(Attempt *a, ConveneStatus status);
void attempt_refuse_text(Attempt *a, ConveneStatus status, const char *text);
/* Of the znode or what is below it; `caller` is filled in, and for a CREATE the ACL and the parents. */
void attempt_submit(Attempt *a, Request *r);
/* Until something happens at the znode, or until then; with no patience left: TimedOut. */
void attempt_wait(Attempt *a, uint64_t until_usec);
