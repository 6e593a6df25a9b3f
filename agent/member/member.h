/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Member
 *
 * One member of the ensemble: joins zab (the order of entries) and tree (what they do), and is the one request path
 * that every front shares.  Pure: durability, time and requests come in; log appends, replies and events go out,
 * through function pointers called in the order in which things must happen.  An outward call must not call
 * back into the member, with these exceptions: MemberFront's may call member_client_free(), and reply() also
 * member_submit(), member_wait(), member_watch(), member_set_watches() and member_client_new() once it needs its result no
 * more.
 *
 * Guarantees to a client (zookeeper-semantics 2.11, 2.12): its requests take effect in the order submitted and are
 * answered in that order; a watch event is delivered before any reply that shows the new state; registering a watch is
 * atomic with the read that carries it; no reply to an update before it is committed and durable here.
 *
 * Source: DESIGN 2.1 to 2.5, protocol 2.5, 2.9, 2.10, 2.13.
 */

#include "agent/member/message.h"
#include "agent/tree/watch.h"
#include "agent/zab/zab.h"

typedef struct Member Member;

/* Where effects go.  All required unless marked. */
typedef struct MemberDriver {
        void (*append)(void *userdata, uint64_t io_seq, const ZabEntry *entries, unsigned entries_count);
        void (*truncate)(void *userdata, uint64_t io_seq, const ZabPosition *position);
        void (*write_meta)(void *userdata, uint64_t io_seq, const ZabMeta *meta);

        /* A snapshot from the leader, into a new checkpoint: chunks as tree_chunk_encode() makes them, already found to be a
         * tree by the member.  Install makes it the state on disk, drops the whole log and writes `meta`, all as one step
         * that is durable when member_on_appended(io_seq) says so.  Required with others in the ensemble, as all
         * down to config_changed. */
        void (*snap_begin)(void *userdata, const ZabPosition *position, GBytes *config);
        void (*snap_chunk)(void *userdata, GBytes *chunk);
        bool (*snap_is_behind)(void *userdata);         /* may be NULL: see ZabEffects */
        void (*snap_install)(void *userdata, uint64_t io_seq, const ZabMeta *meta, Hash128 digest);
        void (*snap_abort)(void *userdata);

        /* Reading back for a follower: answered by member_on_log_read(), member_on_snapshot_*() with the same number. */
        void (*read_log)(void *userdata, uint64_t request, uint64_t from_index, uint64_t to_index, uint64_t bytes_max);
        void (*open_snapshot)(void *userdata, uint64_t request);
        void (*read_snapshot)(void *userdata, uint64_t request);
        void (*close_snapshot)(void *userdata, uint64_t request);

        /* The mesh.  The message and all in it is borrowed. */
        void (*send)(void *userdata, uint64_t conn, const PeerMessage *message);
        void (*close)(void *userdata, uint64_t conn, const char *reason);
        void (*config_changed)(void *userdata);

        void (*role_changed)(void *userdata, ZabRole role, uint32_t epoch, const char *reason);
        /* Applied here.  `expired`: by its time-out, not by a close. */
        void (*session_ended)(void *userdata, uint64_t session, bool expired);
        void (*soft_quota)(void *userdata, const char *path);
        /* The state here differs from the leader's at this index (never seen to happen is the aim; say so loudly); a
         * snapshot will replace it. */
        void (*diverged)(void *userdata, uint64_t index);
        /* May be NULL: see ZabEffects. */
        void (*disk_regressed)(void *userdata, uint32_t sid, uint64_t acked, uint64_t last);
        /* CLOCK_BOOTTIME and the wall clock, as of the input being handled. */
        void (*get_time)(void *userdata, uint64_t *ret_now_usec, int64_t *ret_wall_msec);
        void *userdata;
} MemberDriver;

typedef struct MemberOptions {
        ZabOptions zab;
        uint32_t reap_interval_msec;            /* containers and TTL znodes; 0: 60000 */
        uint32_t reap_max;                      /* per interval; 0: 10000 */
        /* zab.prng_seed must be another one in each run of the agent: requests are told apart by numbers that begin
         * where it says. */
} MemberOptions;

/* member_take_tree() takes the tree (loaded, or new; made with member_tree_listener()) with the position and
 * configuration its rows stood for; `config` is NULL for a blank member, whose first entry is then the genesis
 * configuration.  Returns -EBADMSG for a configuration that is none. */
Member *member_new(const MemberOptions *options, const MemberDriver *driver);
const TreeListener *member_tree_listener(Member *m);
int member_take_tree(Member *m, Tree *tree, const ZabPosition *position, GBytes *config);

/* Start-up: entries after the checkpoint, in order.  Returns -EBADMSG if it does not continue the log. */
int member_replay(Member *m, const ZabEntry *entry);

/* Begins to take part.  `meta` is what the store found. */
void member_start(Member *m, const ZabMeta *meta);
Member *member_free(Member *m);

/* Inputs from the driver. */
void member_on_tick(Member *m);
uint64_t member_next_tick_usec(const Member *m);        /* CLOCK_BOOTTIME; when to call on_tick at the latest */
void member_on_appended(Member *m, uint64_t io_seq);
void member_on_meta_written(Member *m, uint64_t io_seq);
void member_on_space(Member *m, bool available);        /* false: new updates get CONVENE_NO_SPACE */

/* Inputs from the mesh: see ZAB_INPUT_PEER_UP and the following.  What a message says is checked; what cannot be is answered
 * by close(). */
void member_on_peer_up(Member *m, uint64_t conn, uint32_t sid, const Id128 *disk_id);
void member_on_peer_down(Member *m, uint64_t conn, uint32_t sid);
void member_on_message(Member *m, uint64_t conn, uint32_t sid, const PeerMessage *message);
void member_on_alive(Member *m, uint64_t conn, uint32_t sid);   /* bytes of a message that is not whole yet */
void member_on_log_read(Member *m, uint64_t request, const ZabEntry *entries, unsigned entries_count);
void member_on_log_dropped(Member *m, uint64_t index);
void member_on_snapshot_opened(Member *m, uint64_t request, const ZabPosition *position, GBytes *config);
/* chunk NULL: that was all, and `digest` is the tree's. */
void member_on_snapshot_chunk(Member *m, uint64_t request, GBytes *chunk, Hash128 digest);

/* The log goes back further than the checkpoint: see zab_restore_base(); between member_take_tree() and replay. */
bool member_restore_base(Member *m, uint64_t base_index, Zxid base_zxid, const ZabEpochStart *epochs,
                         unsigned epochs_count);

/*
 * Clients: one per connection of a front.
 */
typedef struct MemberClient MemberClient;

typedef struct MemberFront {
        void (*reply)(void *userdata, uint64_t tag, const Result *result);
        /* `watch` is the number given to member_watch(); `spent`: it is gone now. */
        void (*event)(void *userdata, uint64_t watch, WatchEventType type, const char *path, Zxid zxid, bool spent);

        /* May be NULL: the client holds that many more watches (path and kind), or fewer, for whatever reason: also where an
         * event used one up that may not be shown, and where a session took its watches along.  Told before the event.
         * Nothing is said of what goes with member_client_free(). */
        void (*watches)(void *userdata, int change);

        /* May be NULL: a persistent watch on `path` has missed events up to `zxid`, because this member was brought up by a
         * snapshot: what it watches is to be read again.  What a look at `path` itself shows was told by event() before. */
        void (*lost)(void *userdata, uint64_t watch, const char *path, Zxid zxid);
} MemberFront;

MemberClient *member_client_new(Member *m, const MemberFront *front, void *userdata);
/* Its unanswered requests may still take effect; it hears of nothing any more, its watches are gone. */
MemberClient *member_client_free(MemberClient *c);
unsigned member_client_pending(const MemberClient *c);  /* submitted and not answered */

/* Submits a request; the answer comes as front->reply(tag), perhaps before this returns.  Everything `r` points at is
 * copied where it must outlive the call.  r->cxid is set by the member.
 *
 * `watch` (0: none): for EXISTS, GET_DATA (WATCH_DATA) and GET_CHILDREN (WATCH_CHILDREN), registered by the
 * rules of 2.11 at the instant of the read; a number that belongs to other identities is refused (see member_watch()).
 * `flags`: MEMBER_LINEARIZABLE: the read reflects everything acknowledged to anyone before it was submitted. */
typedef enum MemberRequestFlags {
        MEMBER_LINEARIZABLE = 1,
} MemberRequestFlags;

void member_submit(MemberClient *c, uint64_t tag, const Request *r, uint64_t watch, unsigned flags);

/* Changes who belongs to the ensemble; the front has made sure that the caller may.  Answered by front->reply(tag) with
 * a Result whose op is 0, status: OK once the new configuration is committed, applied here (zxid: its version) and known
 * durably to a quorum of itself, so that who is not in it any more may be switched off and wiped;
 * CONVENE_BAD_ARGUMENTS (no such member, or it is that already), _BAD_VERSION (`base` is not the committed version; 0:
 * any), _RECONFIG_IN_PROGRESS, _NEW_CONFIG_NO_QUORUM (a voter to be is not in step, or too few of the new voters are
 * connected; an UPDATE to two keys: some member does not have the present configuration on its disk yet), _NOT_READY.  A TRANSFER is answered when it has begun. */
void member_change(MemberClient *c, uint64_t tag, const MemberChange *change, Zxid base);

/* Waits until this member serves and has applied `zxid` (0: whatever it has), in order with the client's requests and as long
 * as they wait for a leader.  Answered by front->reply(tag) with a Result whose op is 0: OK, or CONVENE_NOT_READY.  What is
 * called from inside that reply sees a state that is as new. */
void member_wait(MemberClient *c, uint64_t tag, Zxid zxid);

/* Watches that are not part of a read.  `watch` is unique in the client and not 0; the identities that
 * decide about READ are those of `session`, or `caller` (copied) without one.  With `since` not 0: first emits, before it
 * returns, the events since that zxid (CONVENE_HISTORY_GONE: nothing was registered).  One watch number may be
 * used with several paths, but for one session or one set of identities (CONVENE_BAD_ARGUMENTS); it ends with that session
 * (CONVENE_SESSION_EXPIRED: it has).  CONVENE_NOT_READY: this member does not serve, or has not come to `since`; to be asked
 * again after member_wait(since). */
ConveneStatus member_watch(MemberClient *c, uint64_t watch, const char *path, WatchKind kind, uint64_t session,
                           Identities caller, Zxid since);
/* Returns CONVENE_NO_WATCHER if there is none.  path NULL: the whole watch number. */
ConveneStatus member_unwatch(MemberClient *c, uint64_t watch, const char *path, unsigned kinds);

/* setWatches (2.11): for each path fires at once what changed since `relative`, else registers.  Errors as above, with
 * `relative` for `since`. */
ConveneStatus member_set_watches(MemberClient *c, uint64_t watch, uint64_t session, Identities caller, Zxid relative,
                                 WatchKind kind, bool exist, const char *const *paths, unsigned paths_count);

/* Sessions.  `kept`: this agent answers for it until told otherwise, so it cannot expire while the agent and a quorum
 * live; a session that is not kept expires `timeout` after its last touch (or after a change of leader). */
void member_touch_session(Member *m, uint64_t session);
void member_keep_session(Member *m, uint64_t session, bool kept);
/* CLOCK_BOOTTIME usec up to which the ensemble has promised to keep the session (DESIGN 2.8); 0 if unknown. */
uint64_t member_session_deadline(const Member *m, uint64_t session);

/* What an operator wants to know. */
typedef struct MemberStatus {
        ZabRole role;
        uint32_t epoch;
        uint32_t sid;
        uint32_t leader;                /* sid, 0 for none */
        uint32_t parent;                /* sid of the follower that an observer's entries come from; 0: the leader sends them */
        Id128 cluster_id;
        Zxid zxid;                      /* last applied */
        uint64_t last_index, commit_index, applied_index, durable_index;
        uint64_t role_since_usec;
        bool serving;                   /* requests are answered: led by a quorum and up to date */
        bool voter;
        uint64_t base_index;            /* the log is complete after it */
        const char *trouble;            /* why not serving, as a sentence without a full stop; NULL if serving */
        bool space_available;
        const ZabConfig *config;        /* committed */
        const ZabConfig *pending_config;        /* waits for its quorum; NULL for none */
} MemberStatus;

void member_get_status(const Member *m, MemberStatus *ret);

/* As leader: how far another member is; false if nothing is known of it. */
bool member_get_peer(const Member *m, uint32_t sid, ZabPeerState *ret);

typedef struct MemberStatistics {
        uint64_t updates, updates_failed, reads, events, proposals, sessions_opened, sessions_closed,
                 sessions_expired, reaped;
        uint64_t clients, outstanding, watches, watch_paths, watchers;
        Zxid history_floor;
} MemberStatistics;

void member_get_statistics(const Member *m, MemberStatistics *ret);
const Tree *member_get_tree(const Member *m);

/* Checkpoint of the applied state; the driver moves the rows (tree_checkpoint_next() on member_tree()). */
Tree *member_tree(Member *m);
/* The position that a checkpoint begun now stands for, and its configuration (owned by the caller, may be NULL). */
void member_get_applied(const Member *m, ZabPosition *ret, GBytes **ret_config);
/* Entries up to this index are in a durable checkpoint: forget them. */
void member_on_checkpointed(Member *m, uint64_t index);
