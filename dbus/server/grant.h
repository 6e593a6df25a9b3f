/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Grant
 *
 * A lock, a slot of a semaphore or leadership that somebody on this host holds or waits for: an ephemeral sequential znode whose
 * session lives with a descriptor.  Whether it holds follows from the names beside it in this agent's own tree (agent/recipe),
 * looked at again whenever one of them has gone.  So a release is one entry, and costs nobody else a message.
 *
 * What is held is given up before the ensemble could give it to another: the descriptor hangs up while a quarter of the
 * session's timeout is left of the promise (DESIGN 2.8).
 */

#include "dbus/server/owners.h"
#include "dbus/server/place.h"
#include "dbus/server/recipe.h"

#define GRANT_SLOTS "leases"            /* below a semaphore's path, as Curator has it */

typedef enum GrantState {
        GRANT_OPENING,                  /* its session */
        GRANT_CREATING,                 /* its znode */
        GRANT_WAITING,
        GRANT_HELD,
        GRANT_LEAVING,                  /* until its session has ended */
} GrantState;

typedef struct Grant {
        Server *server;
        GList link;                     /* in Server.grants */
        GrantState state;
        ContenderRole role;
        uint32_t slots;                 /* LEASE; otherwise 1 */
        uint8_t id[16];
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
        uint64_t unknown_since_usec;    /* recovered, and nothing has been promised yet */
        sd_event_source *promise;
        Deferred work;
} Grant;

/* What somebody asks for; everything is copied. */
typedef struct GrantRequest {
        ContenderRole role;
        uint32_t slots, session_timeout_msec;
        uint64_t patience_usec;
        const char *parent;
        const uint8_t *data;
        size_t data_size;
        const Options *options;         /* the ACL is there */
} GrantRequest;

void grants_done(Server *s);

/* Queues up for the caller, whose call is answered when it holds, or with why it does not. */
void grant_start(Caller *c, sd_bus_message *m, const GrantRequest *r);
void grants_on_caller_gone(Caller *c);
void grant_on_session_gone(Grant *g);
/* After a restart of the agent: what such a session stands for is held on. */
void grant_recover(OwnedSession *o, const char *label);
/* How many slots the semaphore has by the owner text of one who contends for it; 0: it does not say. */
uint32_t grant_label_slots(const char *label);
