/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Caller
 *
 * Somebody who calls: one unique name of the broker, or one connection of the local socket.  Who that is (uid, unit) is found
 * out at the first call, without blocking; calls wait, in order, until it is known.  They also wait while a
 * call of the same caller needs something else first (METHOD_HOLD), polkit's permission for one, so that a caller's calls take
 * effect in the order in which they were made.
 */

#include "dbus/server/account.h"
#include "dbus/server/channel.h"
#include "dbus/server/deferred.h"

/* A method: reads the message and either answers it, or leaves a Call behind, or returns METHOD_HOLD.  Returns 0 or more in the first
 * two cases; another negative errno means that the arguments could not be read, and the caller is told so.  Methods never run inside an
 * outward call of the member. */
typedef int (*Method)(Caller *c, sd_bus_message *m);

/* Not yet: the method runs again, from its start, when every hold on the caller is gone.  The method has seen to
 * it that there is one. */
#define METHOD_HOLD (-EAGAIN)

typedef struct OwnedSession OwnedSession;

typedef enum CallerState {
        CALLER_RESOLVING,
        CALLER_READY,
        CALLER_REFUSED,                 /* nobody knows who it is */
} CallerState;

struct Caller {
        Server *server;
        Channel *channel;
        char *name;                     /* unique name; NULL on the local socket */
        CallerState state;
        uid_t uid;
        pid_t pid;
        int pidfd;                      /* -1: nobody knows it */
        char *unit;                     /* NULL: none known */
        sd_id128_t invocation;
        Account *account;
        MemberClient *client;           /* NULL until READY */

        Identity items[3];
        Identities identities;          /* without super */
        Identities identities_super;    /* the same and super */
        char *unix_id, *unit_id;
        bool privileged;                /* root, or the agent's own user */

        sd_bus_slot *question;          /* to the broker */
        UnitLookup *lookup;

        unsigned holds;
        bool barrier;                   /* one of them: until no call of this caller is unanswered */
        GQueue held;                    /* Held* */
        uint64_t held_bytes;
        Deferred drain;
        PolkitQuestion *asking;         /* one of the holds: the first call held needs polkit's permission */
        const char *action;             /* ... for this; static */
        const char *granted;            /* the polkit action granted to the method that runs now */

        struct Call *calls;             /* unanswered, through `client` */
        unsigned calls_count, acl_changes_count;

        GPtrArray *sessions;            /* OwnedSession* opened or attached here */
        OwnedSession *implicit;         /* the connection's own session; NULL: none yet */
        bool implicit_opening;
        char *implicit_error;           /* the sentence, if it could not be opened; */
        ConveneStatus implicit_status;  /* ... and its status */
        unsigned attach_failures;

        unsigned watches;               /* as the member counts them; charged */
        bool events_lost;               /* an event could not be sent: no call is answered any more */
};

/* Entry of every vtable method. */
int caller_dispatch(Channel *ch, sd_bus_message *m, Method method);

#define DEFINE_METHOD(name)                                                                     \
        static int bus_##name(sd_bus_message *m, void *userdata, sd_bus_error *error) {         \
                return caller_dispatch(userdata, m, name);                                      \
        }

Caller *caller_new(Channel *ch, const char *name);
/* Its calls are forgotten, its watches gone, its connection-owned sessions end. */
Caller *caller_free(Caller *c);
/* The caller of that unique name, new if need be. */
Caller *caller_get(Channel *ch, const char *name);
/* The one who sent this; NULL: it has not called before. */
Caller *caller_find(Channel *ch, sd_bus_message *m);
/* Once: from the local socket before the first call, from the broker when it has told.  Takes the descriptor. */
void caller_set_credentials(Caller *c, uid_t uid, pid_t pid, int pidfd);

void caller_hold(Caller *c);
void caller_release(Caller *c);
/* Holds until everything submitted so far is answered; false if nothing is unanswered. */
bool caller_hold_until_answered(Caller *c);
static inline bool caller_is_held(const Caller *c) {
        return c->holds > 0 || c->held.length > 0;
}

/* What its requests are judged by at this moment. */
Identities caller_identities(const Caller *c);

/* May the caller do what `action` of polkit stands for?  1: yes; 0: no, and the call has been answered so; METHOD_HOLD: polkit
 * is asked. */
int caller_authorize(Caller *c, sd_bus_message *m, const char *action);

#define ACTION_ADMIN "org.convene1.admin"
#define ACTION_BIND "org.convene1.bind"

/* resolve.c: finds out who it is; calls caller_resolved() or frees the caller. */
void caller_resolve(Caller *c);
void caller_resolved(Caller *c, CallerState state);
