/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Member: its inside
 *
 * What the files of this folder share.
 *
 *     member.c        life, inputs, and what zab has applied
 *     client.c        one connection's requests, in order
 *     forward.c       updates on their way to becoming entries, here and at the leader
 *     change.c        changes of the membership
 *     sessions.c      who answers for which session, and until when it is promised; liveness.c  when its time is over
 *     snapshot.c      the leader's tree in place of one's own
 *     digest.c        whether the trees are the same
 *     subscription.c  watches
 *     status.c        what an operator sees
 *
 * zab may not be called from inside its own effects.  So what an applied entry or an answer leads to is noted (a client
 * becomes ready), and done in member_leave(), when nobody is inside any more.
 */

#include "agent/base/prng.h"
#include "agent/member/liveness.h"
#include "agent/member/member.h"

typedef struct Pending Pending;
typedef struct Subscription Subscription;

/* What a request that is not answered yet waits for. */
typedef enum PendingState {
        PENDING_WAIT,                   /* a leader, or its turn behind one that must not be passed */
        PENDING_SENT,                   /* update: its entry; it is in Member.sent */
        PENDING_CONFIRM,                /* linearizable read: the confirmation that the leader still leads */
        PENDING_INDEX,                  /* linearizable read: that `index` is applied; it is in Member.indexed */
        PENDING_ZXID,                   /* wait: that `zxid` is applied; it is in Member.awaiting */
        PENDING_ANSWER,                 /* change: what the leader says to it; it is in Member.changes */
        PENDING_CONFIG,                 /* change: the entry `zxid`; likewise */
        PENDING_TURN,                   /* a read, a refusal or a change that is done: the answers before it */
} PendingState;

struct Pending {
        MemberClient *client;           /* NULL: gone */
        uint64_t tag;
        PendingState state;
        RequestOp op;                   /* 0: a change or a wait */
        bool linearizable;
        bool wait;
        bool in_flight;                 /* SENT: this term's leader, another member, has it */
        bool given;                     /* SENT: some leader may have it */
        bool uncertain;                 /* SENT: a snapshot came after it was, which may hold its effect */
        ConveneStatus refusal;          /* TURN: not OK: the answer */
        uint64_t deadline_usec;         /* refused then, unless a leader's answer is on its way (change.c has its own) */
        uint64_t sent_usec;
        uint64_t number;                /* SENT, ANSWER: ours */
        uint64_t session, cxid;         /* SENT */
        uint64_t read_id;               /* CONFIRM */
        uint64_t index;                 /* INDEX */
        uint64_t watch;
        GBytes *payload;                /* the encoded request */
        MemberChange change;            /* change: with texts of its own */
        Zxid base, zxid;                /* change: the version it counts on; its entry.  wait: what it waits for */
        GList link;                     /* in Member.sent, .indexed, .awaiting or .changes */
};

struct MemberClient {
        Member *member;
        const MemberFront *front;       /* NULL: freed, kept until nobody is inside the member any more */
        void *userdata;
        GQueue pending;                 /* Pending*, in the order of submission: those that wait stand behind the one that
                                         * blocks, if there is one */
        unsigned waiting;               /* of them, WAIT */
        unsigned blocking;              /* of them, under way and not to be passed */
        unsigned reading;               /* of these, CONFIRM and INDEX, which further reads do pass, since answers are in order */
        GHashTable *subscriptions;      /* watch number -> Subscription, lookup only */
        GQueue subscription_list;       /* the same, in order of creation */
        GList link;                     /* in Member.clients, or in Member.dead */
        bool ready;                     /* in Member.ready */
        GList ready_link;
};

/* One role in one epoch, and as follower one session: whatever was asked of another one is void. */
typedef struct Term {
        bool leads, follows;            /* neither: there is none */
        uint32_t epoch;
        ZabSession session;             /* follows */
} Term;

/* A digest of the tree at an index. */
typedef struct DigestMark {
        uint64_t index;
        Hash128 digest;
} DigestMark;

/* What a member was told of the leader's digests, and what it said. */
typedef struct DigestTold {
        uint64_t session;               /* zab's */
        uint64_t index;
        uint64_t said_index, judged_index;
        Hash128 said;
        unsigned words;                 /* how often the leader's word alone stood against it */
} DigestTold;

#define DIGEST_MARKS 64
#define DIGEST_AWAITED 8

struct Member {
        MemberOptions options;
        MemberDriver driver;
        TreeListener listener;
        Zab *zab;
        Tree *tree;
        WatchTable *watches;
        ChangeHistory *history;
        Liveness *liveness;
        uint64_t applied_index;
        uint64_t config_index;          /* of the committed configuration; 0: applied by an earlier run, or in a snapshot */

        GQueue clients;                 /* MemberClient*, in order of creation */
        GQueue dead;                    /* MemberClient*, freed from inside an outward call */
        GQueue ready;                   /* MemberClient* that may be able to go on */
        unsigned depth;                 /* calls into the member on the stack */
        bool stepping;                  /* zab is one of them */
        bool stepped;                   /* zab has moved since the last look at its role */
        bool started;
        bool retry;                     /* zab refused something although it leads or follows: not before the next tick */
        uint64_t outstanding;           /* Pending of all clients */

        Term term;
        bool settled;                   /* all entries that earlier terms can have left are applied */
        uint64_t confirmed_usec;        /* of this term: zab_confirmed_usec() */

        /* forward.c */
        GQueue sent;                    /* Pending*, SENT, by number */
        GList *undispatched;            /* the first of them that this term's leader was not given */
        size_t flight_bytes;            /* of those that it was */
        uint64_t first_number, next_number;
        GQueue held;                    /* Held*: of followers, while zab takes nothing */
        size_t held_bytes;

        /* client.c */
        GHashTable *confirming;         /* read id -> Pending, lookup only */
        GQueue indexed;                 /* Pending*, INDEX, by index */
        GQueue awaiting;                /* Pending*, ZXID, by zxid */
        uint64_t next_read_id;

        /* change.c */
        GQueue changes;                 /* Pending*, ANSWER and CONFIG */

        /* sessions.c */
        GHashTable *locals;             /* session -> Local, lookup only */
        GQueue local_list;              /* the same, in order of creation */
        GArray *keep_changed;           /* uint64_t: sessions whose keeping the leader must be told */
        GArray *touched;                /* uint64_t: sessions touched since the last tick */
        uint64_t flush_at_usec;         /* 0: nothing to tell */
        GHashTable *claims[ZAB_CONFIG_MEMBERS_MAX + 1]; /* as leader: set of sessions each member says it answers for */
        uint64_t claims_session[ZAB_CONFIG_MEMBERS_MAX + 1];    /* zab's, in which it said so */
        uint64_t heard_usec[ZAB_CONFIG_MEMBERS_MAX + 1];
        uint64_t lost_usec[ZAB_CONFIG_MEMBERS_MAX + 1];         /* heard last when its connection went */

        /* snapshot.c */
        Tree *incoming;
        ZabPosition incoming_position;
        Hash128 incoming_digest;

        /* digest.c */
        DigestMark marks[DIGEST_MARKS]; /* ring */
        unsigned marks_count;           /* ever */
        DigestMark awaited[DIGEST_AWAITED];     /* the leader's, for indexes not applied yet; index 0: free */
        uint64_t idle_index;            /* applied at the last tick */
        DigestMark poll;                /* as leader: what all are asked about; index 0: nothing yet */
        uint64_t polled_usec;
        DigestTold told[ZAB_CONFIG_MEMBERS_MAX + 1];    /* as leader: each member's last */
        bool differs;                   /* as follower: from its leader, when they last compared; it does not serve */
        DigestMark own_digest;          /* to be said to the leader; index 0: nothing */
        uint64_t diverged_index;        /* not 0: to be told to zab */

        /* subscription.c */
        GHashTable *subscriptions;      /* watcher -> Subscription, lookup only */
        GHashTable *watching;           /* session -> Watching, lookup only */
        uint64_t next_watcher;
        uint64_t watches_told;          /* of watch_table_count(), what the fronts know */

        uint64_t connections[ZAB_CONFIG_MEMBERS_MAX + 1];       /* to each member; 0: none */
        uint64_t now_usec;
        uint64_t ticked_usec;           /* the last tick */
        int64_t wall_msec;
        uint64_t reap_at_usec;
        uint64_t role_since_usec;
        char *role_reason;
        GString *trouble;
        bool space_available;
        uint64_t durable_seen, durable_moved_usec;      /* the log's durable index, and since when it stands still behind the commit */
        uint64_t hand_over_at_usec, hand_over_wait_usec;        /* of a leader that cannot write; wait 0: it can */
        Writer writer;
        MemberStatistics statistics;
};

/* Around everything that may call outwards; the last one out does what became possible. */
void member_enter(Member *m);
void member_leave(Member *m);

/* zab_step() at this time; never from inside an effect of zab. */
int member_step(Member *m, ZabInput in, Zxid *ret_zxid);

/* Leading or following, and up to date. */
bool member_is_serving(const Member *m);

/* To a member: within the session with it.  Fills epoch and session. */
void member_send(Member *m, const ZabSession *to, MemberMessage message);

/* Proposes an encoded update; 0, or what zab_step() says. */
int member_propose(Member *m, GBytes *payload);

/* Proposes a request of the member's own: expiry, reaping. */
bool member_propose_own(Member *m, const Request *r);

/* client.c */
Pending *client_enqueue(MemberClient *c, uint64_t tag, RequestOp op, PendingState state);
void pending_set_state(Pending *p, PendingState state);
void client_make_ready(MemberClient *c);
void client_make_all_ready(Member *m);
void client_advance_ready(Member *m);
void client_on_tick(Member *m, bool retry);
void client_on_term(Member *m);
void client_on_index(Member *m);                /* after applied_index has grown */
void client_on_read_ready(Member *m, uint64_t read_id, uint64_t index);
void client_answer_update(Pending *p, const Result *result);    /* frees it */
void client_refuse(Pending *p, ConveneStatus status);           /* it waits for nothing but its turn, then */
void client_destroy(MemberClient *c);
void pending_free(Pending *p);

/* forward.c */
void forward_send(Pending *p, GBytes *payload, const Request *r);
void forward_flush(Member *m);
void forward_on_term(Member *m);
void forward_on_tick(Member *m);
void forward_time_out(Member *m);               /* this member does not serve */
void forward_on_settled(Member *m);
void forward_on_snapshot(Member *m);
void forward_on_applied(Member *m, const Request *r, const Result *result);
void forward_on_refused(Member *m, uint64_t number, ConveneStatus status);
void forward_on_message(Member *m, uint64_t conn, uint32_t sid, const ZabSession *from, const MemberMessage *message);
void forward_forget(Pending *p);                /* its client is gone */
void forward_done(Member *m);

/* change.c */
void change_start(Pending *p);
void change_forget(Pending *p);
void change_on_settled(Member *m);
void change_on_applied(Member *m, Zxid zxid);
void change_on_message(Member *m, uint32_t sid, const ZabSession *from, const MemberMessage *message);
void change_on_answer(Member *m, const MemberMessage *message);
void change_copy(MemberChange *to, const MemberChange *from);
void change_done(MemberChange *c);

/* sessions.c */
void sessions_init(Member *m);
void sessions_done(Member *m);
void sessions_on_term(Member *m);
void sessions_on_applied(Member *m, const Request *r, const Result *result, uint64_t sent_usec);
void sessions_on_ended(Member *m, uint64_t session);
void sessions_on_snapshot(Member *m, const Tree *before);
void sessions_on_message(Member *m, uint32_t sid, const ZabSession *from, const MemberMessage *message);
void sessions_on_peer_down(Member *m, uint32_t sid);
void sessions_on_tick(Member *m);
void sessions_expire(Member *m);

/* snapshot.c */
void snapshot_effects(ZabEffects *effects);
void snapshot_done(Member *m);

/* digest.c */
void digest_on_applied(Member *m);
void digest_on_tick(Member *m);
void digest_on_term(Member *m);
void digest_on_snapshot(Member *m);
void digest_on_message(Member *m, const MemberMessage *message);
void digest_on_report(Member *m, uint32_t sid, const MemberMessage *message);
void digest_on_verdict(Member *m, const MemberMessage *message);
void digest_act(Member *m);

/* subscription.c */
void subscriptions_init(Member *m);
void subscriptions_done(Member *m);
void subscription_on_change(Member *m, const TreeChange *change);
void subscription_on_session_ended(Member *m, uint64_t session);
/* Whether the number is free, or theirs. */
bool subscription_fits(const MemberClient *c, uint64_t watch, uint64_t session, Identities caller);
void subscription_add(MemberClient *c, uint64_t watch, const char *path, WatchKind kind, uint64_t session,
                      Identities caller);
void subscription_on_snapshot(Member *m, const Tree *before);
void subscription_free_all(MemberClient *c);
