/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Owners
 *
 * Sessions this agent answers for, and what each lives and dies with (DESIGN 2.6): a connection, a run of a unit, a
 * descriptor, the host, or nothing but its timeout.  When the owner ends, the session is closed; should the ensemble
 * refuse that at the moment, it is asked again, and the session's timeout runs from then on in any case.
 */

#include "agent/host/owner.h"
#include "dbus/server/call.h"

typedef struct OwnedSession {
        Server *server;
        uint64_t id;
        OwnerKind kind;
        Caller *caller;                 /* who opened or attached it, as long as it is there */
        Account *account;               /* charged; NULL: the agent's own */
        UnitRun *run;                   /* UNIT */
        int fd;                         /* DESCRIPTOR: our end; -1 */
        sd_event_source *hangup;
        bool seen_lost;                 /* DESCRIPTOR: lost, and the event of that was taken */
        OwnerText *claim;               /* recovered CONNECTION: whose unique name must still be there */
        sd_bus_slot *claim_slot;
        bool attached_before;           /* recovered CONNECTION: it has changed hands since its owner was written down */
        int theirs;                     /* DESCRIPTOR of a grant: the holder's end until it is handed over; -1 */
        struct Grant *grant;            /* what it holds or waits for; NULL: nothing that we know of */
        struct Stand *stand;            /* HOST: the election it stands in; NULL: none that we know of */

        bool keep;                      /* to be told to the member: it answers for it */
        bool end;                       /* to be closed */
        bool ending;                    /* ... and the member has been asked */
        Deferred work;
} OwnedSession;

/* What a session to be opened is for. */
typedef struct OpenPlan OpenPlan;

struct OpenPlan {
        Server *server;
        OwnerKind kind;
        uint32_t timeout_msec;
        char *unit;                     /* UNIT: whose run */
        sd_id128_t invocation;
        UnitLookup *lookup;             /* UNIT: under way */
        int fds[2];                     /* DESCRIPTOR: ours, the caller's; -1 */
        char label[32];                 /* DESCRIPTOR: what the owner text calls it */
        bool marked;                    /* DESCRIPTOR: a byte lies in our end */
        uint8_t secret[16];
        bool implicit;                  /* for a caller's ephemerals */
        Account *charged;               /* counts it as a session already */
        /* With the outcome, instead of answering a caller; from the event loop. */
        void (*opened)(void *userdata, ConveneStatus status, uint64_t session);
        void *userdata;
};

#define SECRET_BYTES 16

/* Our end of a grant's or a session's descriptor: whoever has the other one reads the end of it. */
void descriptor_hang_up(int fd);

int owners_init(Server *s);
void owners_done(Server *s);

/* Opens a session for a caller's call, or for the caller itself (`m` NULL: its implicit one).  Takes the plan.  Every
 * problem is an answer. */
void owners_open(Server *s, Caller *c, sd_bus_message *m, OpenPlan *plan);
OpenPlan *open_plan_new(Server *s, OwnerKind kind, uint32_t timeout_msec);
void owners_drop_deliveries(Server *s);
uint32_t owners_negotiate(const Server *s, uint32_t timeout_msec);
void secret_hash(const uint8_t *secret, size_t size, uint8_t *ret_hash);

/* Begins to answer for a session that exists. */
OwnedSession *owners_add(Server *s, uint64_t session, OwnerKind kind, Caller *c, Account *account);
OwnedSession *owners_find(Server *s, uint64_t session);
/* One that an agent, here or elsewhere, opened for itself and not for a caller. */
bool owners_is_agents_own(const Server *s, uint64_t session);
/* The caller may act for it: it opened or attached it on its connection. */
OwnedSession *owners_find_of_caller(Caller *c, uint64_t session);
void owners_refuse_session(Caller *c, sd_bus_message *m, uint64_t session);
void owners_give(OwnedSession *o, Caller *c);   /* its holder is now this caller; NULL: nobody */
void owners_touch(OwnedSession *o);             /* an explicit one's timeout starts over */
void owners_keep(OwnedSession *o);
void owners_end(OwnedSession *o);               /* its owner has ended */
void owners_hang_up(OwnedSession *o);           /* DESCRIPTOR: ends it, and its owner sees it at once */
void owners_tell_lost(OwnedSession *o);         /* DESCRIPTOR: its owner sees that it is lost; it ends later, or once that has closed it */
int owners_watch_descriptor(OwnedSession *o, int fd);   /* takes fd */
void owners_watch_unit(OwnedSession *o, const char *unit, sd_id128_t invocation);

void owners_on_caller_gone(Caller *c);

/* recover.c */
void owners_check_claims(Server *s);            /* once the broker has told its id */
void owners_forget_claim(OwnedSession *o);
