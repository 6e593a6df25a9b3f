/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Zab, inside
 *
 * One struct, and what its files offer each other.  After every input zab.c lets each part look at the whole state and do
 * what has become due (the *_advance() functions): a completion never "means" something, it only changes what is durable.
 * Source: protocol 2.4, 2.5.
 */

#include <string.h>

#include "agent/zab/break.h"
#include "agent/zab/epochs.h"
#include "agent/zab/marks.h"
#include "agent/zab/tail.h"
#include "agent/zab/zab.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ZabConfig, zab_config_unref)

#define BATCH_BYTES (256 * 1024)        /* of one ENTRIES message; one larger entry goes alone */
#define CHUNKS_IN_FLIGHT 4
#define PROGRESS_TIMEOUTS 10            /* T_min without any progress before a synchronisation is given up */

/* 2.6: a leader's session with one follower, and how far its stream has come. */
typedef enum StreamState {
        STREAM_NONE = 0,
        STREAM_HELLO,                   /* LEADER_HELLO is out */
        STREAM_SNAP_OPENING,            /* waits for the checkpoint */
        STREAM_SNAP,                    /* sends its chunks */
        STREAM_SNAP_INSTALLING,         /* sent; waits until it is durable there */
        STREAM_ENTRIES,                 /* everything from `cursor` on, old and new alike */
} StreamState;

typedef struct Stream {
        StreamState state;
        bool feeds;                     /* as follower: to a child (feed.c); `session` is the feed's number */
        uint64_t session;
        uint64_t cursor;                /* the next entry to send */
        ZabPosition mark;               /* the leader's last entry when the stream began: NEWLEADER stands behind it */
        bool newleader_sent, newleader_acked, uptodate_sent;
        bool listens;                   /* it has promised a later epoch: no voter of any configuration of this one (2.8) */
        bool was_fed;                   /* in this session: what it acknowledges need not have been sent in it */
        uint32_t parent;                /* it gets its entries from this member (feed.c); 0: from the leader */
        uint64_t acked;                 /* counted; 0 before newleader_acked (2.9) */
        uint64_t progress;              /* durable there: for flow control alone */
        uint64_t commit_sent;
        Marks flight;                   /* last index of a batch -> its bytes */
        uint64_t in_flight;             /* their sum */
        uint64_t moved_usec;            /* when it last made progress */

        uint64_t request;               /* of the log or snapshot under way; 0: none */
        bool reading;                   /* its answer is awaited */
        uint64_t held;                  /* the snapshot that was sent: while it is open, the log behind it stays; 0: none */
        ZabPosition snapshot;
        uint64_t chunks_sent, chunks_taken;

        uint64_t round;                 /* newest PING answered */
        uint64_t settled_round;         /* the same, with a META that knows the committed configuration */
        uint64_t time_heard;            /* its clock, newest */
        uint64_t time_pending;          /* the same at the start of the round that is tracked */
        uint64_t time_confirmed;        /* the same, confirmed by a quorum since */
} Stream;

typedef struct Peer {
        uint32_t sid;
        Id128 disk_id;
        uint64_t conn;                  /* 0: not connected */
        uint64_t heard_usec;
        bool granted;                   /* its pre-vote or vote in the present campaign */
        uint64_t witnessed;             /* as leader: what this disk has acknowledged in this epoch, over all sessions */
        Stream stream;
} Peer;

typedef struct PendingConfig {
        uint64_t index;
        ZabConfig *config;
} PendingConfig;

/* A log operation that lowers or replaces the log (2.5: trunc_barrier). */
typedef enum BarrierType {
        BARRIER_NONE = 0,
        BARRIER_TRUNCATE,
        BARRIER_INSTALL,
} BarrierType;

/* Where an observer's entries come from, if not from the leader (feed.c). */
typedef struct Feed {
        uint64_t conn, session;         /* conn 0: nobody was asked */
        uint32_t sid;
        bool begun;                     /* it has answered, and the leader was told to send none */
        uint64_t reported;              /* durable here, as said to it */
        uint64_t moved_usec;            /* when entries came, or none were missing, or it was asked */
        uint64_t at_usec;               /* the next one is asked then at the earliest */
        unsigned failures;              /* in this session */
} Feed;

/* A follower's place in one epoch of one leader on one connection. */
typedef struct FollowSession {
        uint64_t conn, session;         /* conn 0: no session */
        uint32_t epoch, sid;
        uint64_t heard_usec, timeout_usec;
        uint64_t matched;               /* up to here the log is known to be the leader's */
        bool newleader, acked;          /* NEWLEADER was received, answered */
        bool listens;                   /* by the waiver of 2.8 */
        uint64_t mark;                  /* its index */
        uint64_t progress_sent, ack_sent;
        uint64_t confirmed_usec;
        uint64_t confirming_usec, confirming_index;     /* confirmed once that is applied; 0: none */
        uint64_t owed_round, owed_commit;       /* a PING that is to be answered again with `flag`; 0: none */
        GArray *reads;                  /* uint64_t: ids asked for */
        Feed feed;
} FollowSession;

typedef enum SnapState {
        SNAP_NONE = 0,
        SNAP_RECEIVING,
        SNAP_COMPLETE,                  /* waits for META to be idle */
        SNAP_INSTALLING,                /* no way back (2.8) */
} SnapState;

typedef struct Read {
        uint64_t id, index;
        uint64_t round;                 /* the PING round that has to be confirmed; 0: the next one */
        Peer *peer;                     /* NULL: our own */
        uint64_t session;
} Read;

struct Zab {
        ZabOptions options;
        ZabEffects effects;
        Prng prng;
        uint64_t now_usec;
        uint64_t io_seq;                /* of log and META alike */

        /* META: as wanted, as last durable, and as under way with meta_io_seq (0: idle) */
        ZabMeta meta, meta_durable, meta_writing;
        uint64_t meta_io_seq;

        /* the log: base <= applied <= commit, durable <= last */
        Tail tail;
        Epochs epochs;
        ZabPosition applied, last;
        uint64_t commit, durable;
        uint64_t checkpointed;
        uint64_t tail_applied_bytes;    /* of entries of the tail up to `applied` */
        Marks appends;                  /* io_seq -> index, of those after the barrier */
        BarrierType barrier;
        uint64_t barrier_io_seq, barrier_index;

        /* configurations: as of `applied`; the last known committed; those after it in the log */
        ZabConfig *applied_config, *config;
        GArray *pending_configs;        /* PendingConfig, ascending */
        uint64_t floor;                 /* the newest entry with a configuration that is known committed: META is to say so */
        GArray *retired;                /* Id128: disks that others replaced, as far as seen */

        Peer *peers[ZAB_CONFIG_MEMBERS_MAX + 1];        /* by sid; once seen, for good */
        uint32_t peers_top;             /* the highest sid of them */
        unsigned peers_count;           /* connected */

        /* role and election */
        ZabRole role;
        uint32_t epoch;                 /* of the leader, the follower's session or the candidacy */
        uint32_t campaign_epoch, transfer_epoch, highest_epoch;
        bool votes_asked;               /* VOTE_REQ is out */
        unsigned failures;              /* candidacies without success */
        uint64_t election_at_usec;
        struct {
                uint32_t epoch;         /* 0: none */
                uint32_t sid;
                uint64_t conn;
        } vote;                         /* the grant that waits for its META write */

        FollowSession follow;
        uint64_t feeds;                 /* asked for, ever */
        uint64_t commit_fed;            /* children have been sent entries up to here, as far as their windows allow */
        bool snap_only;
        SnapState snap;
        ZabPosition snap_position;
        ZabConfig *snap_config;
        uint64_t snap_chunks, snap_reported;    /* taken; and as the leader knows */

        /* leader */
        uint64_t z0;                    /* last.index when elected */
        bool self_newleader;
        uint32_t counter;
        uint64_t sessions;              /* given out */
        uint64_t requests;              /* given out */
        uint64_t heartbeat_at_usec;
        uint64_t commit_before, commit_lately;  /* `commit` as of the last heartbeat but one, and the last */
        uint64_t moved_usec;            /* progress while in LEADER_SYNC */
        GArray *scratch;                /* ZabEntry: a batch */

        /* leader: reads and confirmation */
        GArray *reads;                  /* Read */
        uint64_t round, round_confirmed;
        struct {                        /* one heartbeat on its way to being confirmed (reads.c) */
                bool active;
                uint64_t round, usec;
                uint64_t index;         /* of the last entry proposed before it */
        } tracked, own;                 /* for the followers; and then for this member */
        uint64_t confirmed_usec;
        uint64_t settle_round;          /* that shows the committed configuration to be settled (reads.c); 0: it is */

        /* leader: hand-over */
        struct {
                uint32_t sid;           /* 0: none under way */
                bool told;
                uint64_t deadline_usec;
        } transfer;
};

static inline bool zab_leads(const Zab *z) {
        return z->role == ZAB_ROLE_LEADER_SYNC || z->role == ZAB_ROLE_LEADER;
}

static inline bool zab_follows(const Zab *z) {
        return z->role >= ZAB_ROLE_FOLLOWER_HELLO && z->role <= ZAB_ROLE_FOLLOWER;
}

static inline bool id128_equal(const Id128 *a, const Id128 *b) {
        return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* zab.c */
void set_role(Zab *z, ZabRole role, const char *reason);
void stop(Zab *z, const char *reason);                  /* for good: nothing leaves any more */
void peer_send(Zab *z, Peer *p, const ZabMessage *m);
void peer_close(Zab *z, Peer *p, const char *reason);   /* forgets the connection at once, and its session */
Peer *peer_next(const Zab *z, unsigned *at);            /* each connected one; `at` starts at 0 */
Peer *peer_by_conn(const Zab *z, uint64_t conn);

/* promise.c: META */
bool meta_is_idle(const Zab *z);
bool meta_has_floor(const Zab *z);                      /* durably: which configurations of the log are committed */
void meta_sync(Zab *z);                                 /* writes what is wanted, if it differs and nothing is under way */
uint64_t meta_install_begin(Zab *z);                    /* for snap_install(): the same slot; returns its io_seq */
void meta_on_durable(Zab *z, uint64_t io_seq);

/* log.c */
bool log_follows(const Zab *z, ZabPosition *position, const ZabEntry *e);       /* checks, and moves on */
void log_append(Zab *z, const ZabEntry *entries, unsigned count);               /* checked before */
Zxid log_propose(Zab *z, ZabEntryType type, int64_t time_msec, GBytes *payload, Zxid zxid);
void log_truncate(Zab *z, const ZabPosition *position);
void log_reset(Zab *z, const ZabPosition *position, ZabConfig *config);
bool log_position(const Zab *z, uint64_t index, ZabPosition *ret);              /* false: only its zxid is known */
bool log_on_durable(Zab *z, uint64_t io_seq);           /* true: a snapshot's installation is, too */
void log_commit(Zab *z, uint64_t index);                /* is known committed */
void log_apply(Zab *z);
void log_on_checkpointed(Zab *z, uint64_t index);
void log_on_dropped(Zab *z, uint64_t index);

/* quorum.c */
typedef uint64_t (*VoterValue)(const Zab *z, const Peer *p);    /* p NULL: of this member */

uint64_t quorum_of(const Zab *z, const ZabConfig *c, VoterValue value);         /* the highest a quorum of it reaches */
uint64_t quorum_in_force(const Zab *z, VoterValue value);       /* ... a quorum of each configuration in force; 0: none */
bool quorum_alone(const Zab *z);                                /* this member is a quorum */
bool voter_in_force(const Zab *z, uint32_t sid, const Id128 *disk_id);
bool config_brings_disk_back(const Zab *z, const ZabConfig *c);
void config_push(Zab *z, uint64_t index, Zxid version, GBytes *bytes);
void config_truncate(Zab *z, uint64_t index);
void config_commit(Zab *z);
void config_learn(Zab *z, ZabConfig *c);                        /* is committed; a reference is taken */
GBytes *config_to_bytes(const ZabConfig *c);                    /* NULL for NULL */

/* elect.c */
void elect_restart_timer(Zab *z);
void elect_soon(Zab *z);
void elect_campaign(Zab *z, uint32_t transfer_epoch, const char *reason);
void elect_advance(Zab *z);
void elect_on_tick(Zab *z);
void elect_on_peer_up(Zab *z, Peer *p);
bool elect_leaps(const Zab *z, uint32_t epoch);                 /* further than elections can have led */
void elect_on_message(Zab *z, Peer *p, const ZabMessage *m);

/* follow.c */
void follow_on_hello(Zab *z, Peer *p, const ZabMessage *m);
void follow_on_message(Zab *z, Peer *p, const ZabMessage *m);
void follow_on_alive(Zab *z);
void follow_leave(Zab *z, bool close, const char *reason);      /* the caller sets the role */
void follow_advance(Zab *z);
void follow_confirm(Zab *z);                                    /* after something was applied */
void follow_send(Zab *z, ZabMessage *m);                        /* fills in epoch and session */
bool follow_take(Zab *z, const ZabMessage *m);                  /* entries and commit, from whomever; false: they do not fit */
void follow_on_diverged(Zab *z);
int follow_read(Zab *z, uint64_t read_id);

/* snapshot.c: SNAP, both sides */
void snap_on_message(Zab *z, Peer *p, const ZabMessage *m);
void snap_on_ping(Zab *z);
void snap_leave(Zab *z);
void snap_advance(Zab *z);
void snap_on_installed(Zab *z);
void snap_open(Zab *z, Peer *p);
void snap_on_opened(Zab *z, Peer *p, const ZabInput *in);
void snap_on_chunk(Zab *z, Peer *p, const ZabInput *in);
void snap_on_progress(Zab *z, Peer *p, const ZabMessage *m);

/* stream.c */
void stream_done(Zab *z, Peer *p);
void stream_release(Zab *z, Peer *p);                           /* the snapshot it was brought up with */
void stream_send(Zab *z, Peer *p, ZabMessage *m);               /* fills in epoch and session */
void stream_hello(Zab *z, Peer *p);
void stream_on_sync_request(Zab *z, Peer *p, const ZabMessage *m);
void stream_on_progress(Zab *z, Peer *p, uint64_t index);
void stream_on_log_read(Zab *z, Peer *p, const ZabInput *in);
void stream_begin_entries(Zab *z, Peer *p, uint64_t cursor);
void stream_pump(Zab *z, Peer *p);
Peer *stream_by_request(const Zab *z, uint64_t request);

/* feed.c */
void feed_leave(Zab *z, const char *reason);                    /* its session with the leader ends */
void feed_on_ping(Zab *z, uint64_t commit);
void feed_on_alive(Zab *z, const Peer *p);
void feed_on_gone(Zab *z, uint64_t conn);
void feed_report(Zab *z, uint64_t durable);
void feed_on_message(Zab *z, Peer *p, const ZabMessage *m);
void feed_end(Zab *z, Peer *p, const char *reason);             /* as parent */
void feed_end_all(Zab *z, const char *reason);
void feed_advance(Zab *z);
void feed_on_fed(Zab *z, Peer *p, const ZabMessage *m);         /* as leader */
void feed_take_back_voters(Zab *z);

/* lead.c */
void lead_begin(Zab *z);
void lead_step_down(Zab *z, uint64_t spared_conn, const char *reason);
void lead_on_peer_up(Zab *z, Peer *p);
void lead_on_message(Zab *z, Peer *p, const ZabMessage *m);
void lead_advance(Zab *z);
void lead_on_tick(Zab *z);
int lead_propose(Zab *z, ZabEntryType type, int64_t time_msec, GBytes *payload, Zxid *ret_zxid);
uint64_t lead_acked(const Zab *z, const Peer *p);               /* a VoterValue */
void lead_witness(Zab *z, Peer *p, uint64_t last);              /* its log ends there: is that what it said? */

/* reads.c */
void reads_reset(Zab *z);
void reads_unsettle(Zab *z);                                    /* another configuration is committed */
int reads_add(Zab *z, Peer *p, uint64_t id);
void reads_start_round(Zab *z);
void reads_on_pong(Zab *z, Peer *p, const ZabMessage *m);
void reads_check(Zab *z);
void reads_confirm(Zab *z);                                     /* what is committed and applied now confirms */

/* reconfigure.c, transfer.c */
int reconfigure(Zab *z, const ZabInput *in, Zxid *ret_zxid);
int transfer_request(Zab *z, uint32_t sid);
void transfer_when_removed(Zab *z);                             /* 2.13.5 */
void transfer_advance(Zab *z);
void transfer_on_tick(Zab *z);
bool transfer_stops_proposals(const Zab *z);
