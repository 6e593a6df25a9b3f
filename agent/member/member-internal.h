/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the files of this folder share.
 */

#include "agent/member/liveness.h"
#include "agent/member/member.h"

typedef struct Pending Pending;
typedef struct Subscription Subscription;

/* What a request that is not answered yet waits for. */
typedef enum PendingState {
        PENDING_LEADER,                 /* a leader, or its turn behind a linearizable read */
        PENDING_INDEX,                  /* linearizable read: the confirmation that there is still a leader */
        PENDING_APPLY,                  /* update: its entry, `zxid` */
        PENDING_TURN,                   /* a read or a refusal: the answers before it */
} PendingState;

struct Pending {
        MemberClient *client;           /* NULL: the client is gone, or it is the member's own */
        uint64_t tag;
        PendingState state;
        RequestOp op;
        bool linearizable;
        ConveneStatus refusal;          /* TURN: not OK: the answer */
        uint64_t deadline_usec;         /* LEADER: refused as NOT_READY then */
        Zxid zxid;
        uint64_t read_id;
        uint64_t watch;
        GBytes *payload;                /* LEADER, INDEX, TURN: the encoded request */
};

struct MemberClient {
        Member *member;
        const MemberFront *front;       /* NULL: freed, kept until nobody is inside the member any more */
        void *userdata;
        GQueue pending;                 /* Pending*, in the order of submission */
        GHashTable *subscriptions;      /* watch number -> Subscription, lookup only */
        GQueue subscription_list;       /* the same, in order of creation */
        GList link;                     /* in Member.clients, or in Member.dead */
};

struct Member {
        MemberOptions options;
        MemberDriver driver;
        TreeListener listener;
        Zab *zab;
        Tree *tree;
        WatchTable *watches;
        ChangeHistory *history;
        Liveness *liveness;

        GQueue clients;                 /* MemberClient*, in order of creation */
        GQueue dead;                    /* MemberClient*, freed from inside an outward call */
        unsigned depth;                 /* calls into the member on the stack */
        GQueue proposals;               /* Pending*, APPLY, by zxid */
        GHashTable *confirming;         /* read id -> Pending, lookup only */
        uint64_t next_read_id;
        uint64_t outstanding;           /* Pending of all clients */

        GHashTable *subscriptions;      /* watcher -> Subscription, lookup only */
        uint64_t next_watcher;

        uint64_t now_usec;
        int64_t wall_msec;
        uint64_t reap_at_usec;
        uint64_t role_since_usec;
        bool space_available;
        Writer writer;
        MemberStatistics statistics;
};

/* Around everything that may call outwards. */
void member_enter(Member *m);
void member_leave(Member *m);

/* Leading, so that a proposal is taken. */
bool member_is_serving(const Member *m);

/* Proposes an encoded update; 0 if it is not taken. */
Zxid member_propose(Member *m, GBytes *payload);

/* Proposes a request of the member's own: expiry, reaping. */
void member_propose_own(Member *m, const Request *r);

/* client.c */
void client_on_applied(Member *m, Zxid zxid, const Result *result);
void client_on_read_ready(Member *m, uint64_t read_id, uint64_t index);
void client_advance_all(Member *m);     /* a leader, or time, has come */
void client_destroy(MemberClient *c);

/* subscription.c */
void subscription_on_change(Member *m, const TreeChange *change);
void subscription_add(MemberClient *c, uint64_t watch, const char *path, WatchKind kind, uint64_t session,
                      Identities caller);
void subscription_free_all(MemberClient *c);
