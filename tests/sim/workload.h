/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Workload
 *
 * Clients, what they ask and what they are told.  A client has one connection at a time to the member of some host,
 * perhaps a session, and a few requests under way; now and then it goes to another host and takes its session along.
 * Everything is written down: the checkers of replay.c, replay-watch.c and linear.c read it when the seed is over.
 * What can be seen to be wrong at once (order of answers, events before answers, reads and writes that are older than what
 * somebody had been told) is looked at here.
 */

#include "tests/sim/world.h"

typedef enum OpState {
        OP_PENDING,
        OP_ANSWERED,
        OP_UNKNOWN,                     /* its connection ended first, or the member says that it does not know */
} OpState;

typedef struct Op {
        uint64_t number;                /* from 1, in order of invocation: its tag */
        unsigned client, host;
        uint64_t connection;
        GBytes *request;                /* encoded, cxid 0 */
        RequestOp op;
        uint64_t session;
        bool linearizable;
        bool unique;                    /* no other request has these bytes */
        uint64_t watch;
        Zxid floor;                     /* the newest that anybody had been told of when it was made */
        uint64_t invoked_usec, answered_usec;
        OpState state;
        ConveneStatus status;
        Zxid zxid;
        uint64_t result_hash;
        int32_t version;                /* for linear.c: of the znode in the answer */
        uint64_t value;                 /* number of the request whose data a read got; 0: none */
} Op;

typedef struct Registration {
        uint64_t watch;
        char *path;                     /* owned */
        WatchKind kind;
        Zxid since;                     /* sees what is newer */
        uint64_t session;               /* whose identities decide what it is shown; 0: a caller's */
} Registration;

typedef struct WatchRecord {
        uint64_t watch;
        WatchEventType type;
        char *path;                     /* owned */
        Zxid zxid;
        bool spent;
} WatchRecord;

/* One connection of a client. */
typedef struct Conversation {
        unsigned client;
        uint32_t host;
        GArray *registrations;          /* Registration, by `since` */
        GArray *events;                 /* WatchRecord, in order */
        Zxid end;                       /* what was applied when it ended, or when it took part no more; 0: still open */
        Zxid last_zxid;                 /* told */
} Conversation;

typedef struct Client {
        World *world;
        unsigned number;
        bool probe;                     /* of phase 2: writes on its host until one is acknowledged */
        Host *host;                     /* NULL: not connected */
        MemberClient *member;
        uint64_t connection;            /* index + 1 of its Conversation */
        uint64_t session;
        uint8_t secret[SESSION_SECRET_HASH_BYTES];
        uint32_t timeout_msec;
        bool kept, attached;            /* the session is this connection's */
        bool keeping;                   /* its host was told to answer for it */
        GQueue outstanding;             /* Op, in order */
        bool satisfied;                 /* a probe's write is acknowledged */
} Client;

typedef struct SimSession {
        uint64_t id;
        uint32_t timeout_msec;
} SimSession;

struct Workload {
        GPtrArray *clients;             /* Client */
        GPtrArray *ops;                 /* Op, by number - 1 */
        GPtrArray *conversations;       /* Conversation */
        GArray *sessions;               /* SimSession */
        Zxid acknowledged;              /* the newest that anybody was told of */
        uint64_t next_watch;
        bool founded;                   /* "/s" is there */
        bool stopped;                   /* nothing new is asked */
};

void workload_init(World *w);
void workload_done(World *w);
/* Nobody hears anything any more: what was applied where each is connected is what they had to hear of. */
void workload_end(World *w);
void workload_on_client(World *w, uint64_t number);
void workload_on_pause(Host *h);        /* some ask at the very end of it, before the member has heard anything */
void workload_host_gone(Host *h);
void workload_on_session_ended(Host *h, uint64_t session, bool expired);
/* What somebody else than a client of the workload asks of a member, and how it is answered: replay.c looks at it, too. */
Op *workload_note(World *w, const Host *h, const Request *r, unsigned flags);
void workload_note_answer(World *w, Op *op, const Result *result);
bool workload_keeps(const Host *h, uint64_t session);   /* the host was told to answer for it */
void workload_on_snapshot(Host *h);
/* One more client, which writes on this host until it may stop. */
void workload_add_probe(World *w, Host *h);
bool workload_probes_satisfied(const World *w);
bool workload_is_idle(const World *w);
uint32_t workload_session_timeout_msec(const World *w, uint64_t session);       /* 0: not known */

/* request.c: what to ask */
typedef struct Asked {
        Request request;
        Request operations[4];
        char path[64];
        char paths[4][64];
        uint8_t data[2048];
        uint64_t watch_kind;            /* 0: none */
        unsigned flags;
        bool unique;
} Asked;

void request_draw(Client *c, uint64_t number, Asked *ret);
void request_open(Client *c, uint64_t number, Asked *ret);
void request_attach(Client *c, Asked *ret);
void request_found(Client *c, Asked *ret);
void request_probe(Client *c, uint64_t number, Asked *ret);
/* The number that request_draw() put into this data; 0 for none. */
uint64_t request_value(const uint8_t *data, size_t size);

/* replay.c, replay-watch.c, linear.c: NULL, or what does not hold (owned by the caller) */
uint64_t result_hash(const Result *r);
void replay_check(World *w);
char *linear_check(const World *w, uint64_t *ret_operations);
