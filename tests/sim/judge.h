/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Judge
 *
 * Outside of all members, and knowing everything: the one committed history G, what is on whose platter, who led which
 * epoch.  Names of invariants (I1 ...) are those of reliability 4.1.  All of it is incremental: a step costs what it
 * changed.
 *
 *     judge-log.c      I1 to I7, I9, I13, I14, I15: logs and applied streams
 *     judge-disk.c     I8, I10, I11: what had to be durable, and where, before something was said or done
 *     judge-session.c  S3: nobody's session is ended early, or before what its member was promised
 *     history.c, replay.c, replay-watch.c, linear.c: what clients saw, at the end of the seed
 */

#include "tests/sim/world.h"

/* An entry as its leader made it, the first time anybody appended it. */
typedef struct Proposal {
        uint64_t index;
        Hash128 chain;
        ZabEntryType type;
        int64_t time_msec;
        GBytes *payload;
} Proposal;

typedef struct Epoch {
        uint32_t leader;                /* sid; 0: nobody yet */
        bool established;               /* its leader broadcast */
        GArray *proposals;              /* Proposal, by counter - 1 */
} Epoch;

/* One entry of G. */
typedef struct Committed {
        Zxid zxid;
        Hash128 digest;                 /* of the tree after it */
        bool has_digest;
} Committed;

/* What a leader knows of one session; void when its role changes. */
typedef struct Touch {
        uint64_t session;
        uint64_t at_usec;               /* its clock */
} Touch;

struct HostJudge {
        uint64_t base;                  /* the log as the member has it: entries behind `base` */
        GArray *log;                    /* Zxid */
        uint64_t applied, commit;
        uint64_t established;           /* as leader: the end of its log when it began to broadcast */
        bool is_leader;                 /* of `epoch` */
        ZabRole role;
        uint32_t epoch;
        uint64_t led_since_usec;        /* this host's clock */
        uint32_t accepted, current;     /* META on the platter, over all runs with this disk */
        uint32_t mark_epoch;            /* the last NEWLEADER that it was sent or, as leader, stands for: */
        uint64_t mark;                  /* the end of the history of this epoch */
        uint32_t refused, refused_sid;  /* the last epoch for which one asked a vote whose history it must not follow, and who */
        Zxid hello_config;              /* the last LEADER_HELLO: of a leader that broadcasts, the configuration in it; 0 */
        uint32_t promised;              /* highest epoch it sent a grant or a SYNC_REQUEST for, with this disk */
        bool bad_disk;                  /* wiped or rotten: what was there may be gone */
        uint64_t installing;            /* base of a snapshot that is to become the state, or 0 */
        GArray *touches;                /* Touch, as leader */
};

/* A session ended by its leader before its time, if the entry has that effect. */
typedef struct EarlyClose {
        Zxid zxid;
        uint32_t leader;
        uint64_t session, silent_usec;
} EarlyClose;

/* A session whose end was committed while a member was promised more, if the entry has that effect. */
typedef struct BrokenPromise {
        Zxid zxid;
        uint64_t session;
        uint32_t sid;
        uint64_t left_usec;
} BrokenPromise;

struct Judge {
        GPtrArray *epochs;              /* Epoch, by number */
        GArray *committed;              /* Committed: G */
        GPtrArray *configs;             /* ZabConfig committed, in order */
        GArray *config_indexes;         /* uint64_t, theirs */
        GArray *early;                  /* EarlyClose, by zxid within an epoch */
        GArray *broken;                 /* BrokenPromise */
        uint64_t configs_proposed;
};

void judge_init(World *w);
void judge_done(World *w);
void judge_host_init(Host *h);
void judge_host_done(Host *h);
void judge_host_wiped(Host *h);

/* Lives as long as the judge; NULL if nobody ever appended it. */
const Proposal *judge_proposal(const World *w, Zxid zxid);
uint64_t judge_committed(const World *w);               /* |G| */
Zxid judge_zxid(const World *w, uint64_t index);        /* of G */
const ZabConfig *judge_config(const World *w);          /* the last committed; NULL before the first */
/* Zxid of the entry `index` of the host's log; 0 if it is not there. */
Zxid judge_log_zxid(const HostJudge *j, uint64_t index);
uint64_t judge_log_last(const HostJudge *j);

/* What the host's member asked for or said. */
void judge_on_start(Host *h, const VFound *found);
void judge_on_append(Host *h, const ZabEntry *entries, unsigned entries_count);
void judge_on_truncate(Host *h, const ZabPosition *position);
void judge_on_install(Host *h, const ZabPosition *position);
void judge_on_send(Host *h, uint32_t peer, const PeerMessage *message);
void judge_on_role(Host *h, ZabRole role, uint32_t epoch);
void judge_on_config(Host *h);
/* After every input. */
void judge_step(Host *h);

/* judge-disk.c */
void judge_on_settled(Host *h, PersistPoint point);
void judge_recovered(Host *h, const VStore *before, const VFound *found);
/* True if the platter of the host has G, or the log of `zxid`, up to `index`. */
bool judge_disk_has(const Host *h, uint64_t index, Hash128 chain);
/* I8, for G as it is now. */
void judge_quorums(World *w);
/* Before G or a leader's commit reaches `index` of this host's log: a quorum of every configuration in force has it. */
void judge_commit(World *w, Host *h, uint64_t index);
void judge_send_zab(Host *h, uint32_t peer, const ZabMessage *m);
void judge_on_hello(Host *h, const ZabMessage *m);
void judge_on_vote_request(Host *h, uint32_t from, const ZabMessage *m);

/* judge-session.c */
void judge_on_local_touch(Host *h, uint64_t session);
void judge_on_received(Host *h, uint32_t from, const PeerMessage *message);
void judge_on_keep(Host *h, uint64_t session);
void judge_close(Host *leader, const ZabEntry *entry);
/* G has come to this entry: a session that ends by it for its time-out was promised to nobody for longer. */
void judge_promises(World *w, Zxid zxid);
/* The entry of this zxid has ended a session for its time-out: not before its time? */
void judge_closed(World *w, Zxid zxid);
