/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Zab
 *
 * The replication protocol as a pure step function: zab_step() takes one input and calls the effects it leads to.  It knows
 * no clock, disk or network: time, messages and completions are inputs.  The same inputs give the same effects.
 *
 * In short: a voter promises an epoch once and durably; a leader elected by a quorum of promises brings a quorum to its own
 * history (DIFF, TRUNC or SNAP, then NEWLEADER) before it proposes; an entry is committed when a quorum of every configuration
 * in force has it durable.  Observers get the same stream, of the leader or, once they are up to date, of a follower, and are
 * never counted.  What must be durable before which message leaves stands in the code beside each send.
 *
 * Source: protocol 2.0 to 2.14.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/prng.h"
#include "agent/zab/config.h"
#include "agent/zab/entry.h"
#include "agent/zab/message.h"

typedef enum ZabRole {
        ZAB_ROLE_STOPPED = 0,
        ZAB_ROLE_LOOKING,
        ZAB_ROLE_PRECANDIDATE,
        ZAB_ROLE_CANDIDATE,
        ZAB_ROLE_LEADER_SYNC,           /* elected, its history is not yet a quorum's */
        ZAB_ROLE_LEADER,                /* broadcasting */
        ZAB_ROLE_FOLLOWER_HELLO,        /* has a leader, its promise is not durable yet */
        ZAB_ROLE_FOLLOWER_SYNC,         /* is being brought to the leader's history */
        ZAB_ROLE_FOLLOWER,              /* up to date; an observer, if it is no voter */
        _ZAB_ROLE_MAX,
} ZabRole;

/* "looking", "leader", "follower": as operators see it (candidates are looking, a syncing leader or follower is too). */
const char *zab_role_to_string(ZabRole role);

typedef struct ZabOptions {
        uint32_t sid;
        Id128 cluster_id, disk_id;
        const char *name;               /* host name for a genesis configuration of its own; borrowed during zab_new() */
        GBytes *genesis;                /* configuration to found an ensemble with, the same bytes at each founder; NULL: of
                                         * this member alone.  A reference is taken */
        uint64_t election_timeout_usec; /* T_min; 0: 800 ms */
        uint64_t heartbeat_usec;        /* T_hb; 0: a tenth of T_min */
        uint64_t tail_bytes;            /* applied entries kept in memory for followers; 0: 16 MiB */
        uint64_t window_bytes;          /* sent to one follower and not yet durable there; 0: 8 MiB */
        uint64_t prng_seed;
} ZabOptions;

typedef enum ZabInputType {
        ZAB_INPUT_TICK,                 /* time has come to `now_usec` */
        ZAB_INPUT_LOG_DURABLE,          /* appends, truncations and snapshots up to `io_seq` are durable */
        ZAB_INPUT_META_DURABLE,         /* the META write `io_seq` is durable */
        ZAB_INPUT_PROPOSE,              /* order `payload`; only as leader */
        ZAB_INPUT_READ_INDEX,           /* confirm leadership for the read `read_id` (never used before); as leader or
                                         * follower.  Forgotten without an answer when the role or session changes.  The
                                         * answer also says that a quorum of the newest configuration that was known
                                         * committed to anybody when it was asked knows that durably: none of them needs
                                         * a member that it left out ever again */
        ZAB_INPUT_CHECKPOINTED,         /* entries up to `index` are in a checkpoint */
        ZAB_INPUT_LOG_DROPPED,          /* the log now begins after `index`: DIFF reaches back no further */
        ZAB_INPUT_PEER_UP,              /* connection `conn` to member `sid` with disk `disk_id` is up and authenticated; it
                                         * replaces an earlier one, which is then down */
        ZAB_INPUT_PEER_DOWN,            /* `conn` is gone; also the answer to close() */
        ZAB_INPUT_MESSAGE,              /* `message` came in on `conn` */
        ZAB_INPUT_ALIVE,                /* bytes of a message came in on `conn`, and it is not whole yet: the other end lives, and
                                         * a heartbeat may wait behind it.  It proves nothing else: no promise grows by it */
        ZAB_INPUT_LOG_READ,             /* the answer to read_log(): `entries`; none: they are gone */
        ZAB_INPUT_SNAPSHOT_OPENED,      /* the answer to open_snapshot(): `position`, `config`; index 0: there is none */
        ZAB_INPUT_SNAPSHOT_CHUNK,       /* the answer to read_snapshot(): `payload`; at the end NULL and `digest` */
        ZAB_INPUT_RECONFIGURE,          /* propose the configuration `payload`; only as leader.  `base`: only if the
                                         * committed one has this version; 0: any */
        ZAB_INPUT_TRANSFER,             /* hand leadership to member `sid`, 0: to the voter most up to date */
        ZAB_INPUT_DIVERGED,             /* this member's state differs from the leader's: stop, and ask for a SNAP */
} ZabInputType;

typedef struct ZabInput {
        ZabInputType type;
        uint64_t now_usec;              /* in every input */
        uint64_t io_seq;
        uint64_t read_id;               /* READ_INDEX; LOG_READ and SNAPSHOT_*: the number given with the request */
        uint64_t index;
        uint64_t conn;                  /* PEER_*, MESSAGE, ALIVE: never 0, never used twice */
        uint32_t sid;
        Id128 disk_id;
        ZabEntryType entry_type;        /* PROPOSE */
        int64_t time_msec;              /* PROPOSE, RECONFIGURE: the stamp */
        GBytes *payload;                /* a reference is taken */
        Zxid base;
        ZabPosition position;
        GBytes *config;
        Hash128 digest;
        const ZabEntry *entries;        /* LOG_READ: borrowed; references to payloads are taken */
        unsigned entries_count;
        const ZabMessage *message;      /* borrowed */
} ZabInput;

/* All required unless marked.  Called from inside zab_step() and zab_start(); none may call back into zab, getters excepted. */
typedef struct ZabEffects {
        /* The log: one FIFO queue of appends, truncations and installs, numbered by io_seq. */
        void (*append)(void *userdata, uint64_t io_seq, const ZabEntry *entries, unsigned entries_count);
        void (*truncate)(void *userdata, uint64_t io_seq, const ZabPosition *position);   /* becomes the last entry */
        void (*write_meta)(void *userdata, uint64_t io_seq, const ZabMeta *meta);

        /* A snapshot is coming in: rows in chunks, taken beside the present state, which stays until install.  `config`
         * as zab_checkpoint_config() gives it.  snap_end() says whether the chunks are a tree with this digest; then
         * snap_install(), durable as `io_seq`, switches the disk over and drops the whole log; when that is durable
         * snap_switch() makes it the state that apply() goes on from.  snap_abort() at any time before install. */
        void (*snap_begin)(void *userdata, const ZabPosition *position, GBytes *config);
        bool (*snap_chunk)(void *userdata, GBytes *chunk);      /* false: malformed */
        /* May be NULL.  True: chunks that were taken wait for the disk, and the leader is to wait, too; asked again at its PINGs. */
        bool (*snap_is_behind)(void *userdata);
        bool (*snap_end)(void *userdata, Hash128 digest);
        void (*snap_install)(void *userdata, uint64_t io_seq, const ZabMeta *meta);
        void (*snap_switch)(void *userdata);
        void (*snap_abort)(void *userdata);

        /* Reading back for a follower.  Answers come as inputs with the same `request`. */
        void (*read_log)(void *userdata, uint64_t request, uint64_t from_index, uint64_t to_index, uint64_t bytes_max);
        void (*open_snapshot)(void *userdata, uint64_t request);        /* the newest checkpoint */
        void (*read_snapshot)(void *userdata, uint64_t request);        /* its next chunk */
        void (*close_snapshot)(void *userdata, uint64_t request);       /* no more answers for it */

        /* The mesh.  A message to a connection that is already gone is dropped. */
        void (*send)(void *userdata, uint64_t conn, const ZabMessage *message);
        void (*close)(void *userdata, uint64_t conn, const char *reason);

        /* Committed and durable here; in order, each once. */
        void (*apply)(void *userdata, const ZabEntry *entry);
        /* The read may be answered once `index` is applied. */
        void (*read_ready)(void *userdata, uint64_t read_id, uint64_t index);
        /* Also, with the role it had, when a leader that stopped proposing to hand over leads on after all. */
        void (*role_changed)(void *userdata, ZabRole role, uint32_t epoch, const char *reason);
        /* The committed configuration, or one that awaits its quorum, has changed: who may be connected. */
        void (*config_changed)(void *userdata);
        /* May be NULL.  As leader: the disk of member `sid` acknowledged entries up to `acked` in this epoch, and has come back with
         * a log that ends at `last`.  It counts again once it has been brought up to date (2.12). */
        void (*disk_regressed)(void *userdata, uint32_t sid, uint64_t acked, uint64_t last);
        void *userdata;
} ZabEffects;

typedef struct Zab Zab;

Zab *zab_new(const ZabOptions *options, const ZabEffects *effects);
Zab *zab_free(Zab *z);

/* The committed configuration as a checkpoint keeps it, version first (owned by the caller); NULL before there is one. */
GBytes *zab_checkpoint_config(const Zab *z);
/* The reverse; NULL for malformed bytes. */
ZabConfig *zab_checkpoint_config_decode(GBytes *bytes);

/* First index of an epoch in a log. */
typedef struct ZabEpochStart {
        uint32_t epoch;
        uint64_t index;
} ZabEpochStart;

/* Start-up, before zab_start(): the checkpoint's position and configuration (from zab_checkpoint_config(); NULL: none),
 * then the log's entries after it.  Both return -EBADMSG for bytes that are none, or that do not continue the log (index,
 * prev_zxid, chain). */
int zab_restore_checkpoint(Zab *z, const ZabPosition *position, GBytes *config);
int zab_restore_entry(Zab *z, const ZabEntry *entry);

/* Start-up, optional, after the checkpoint: the log still holds the entries from base_index + 1 to the checkpoint, too, and
 * these epochs begin in them (ascending; the first may begin before them).  False, and nothing changes, if they do not
 * fit. */
bool zab_restore_base(Zab *z, uint64_t base_index, Zxid base_zxid, const ZabEpochStart *epochs, unsigned epochs_count);

/* Takes part from now on.  A member (membership MEMBER) without any configuration whose log is empty founds an ensemble:
 * its first entry is the genesis configuration (2.0.6; only ever called so for a store that was BLANK and told to). */
void zab_start(Zab *z, const ZabMeta *meta, uint64_t now_usec);

/* Returns 0, or for PROPOSE, READ_INDEX, RECONFIGURE and TRANSFER: -EAGAIN while there is no (or another) leader;
 * RECONFIGURE also -EINVAL (malformed, or with a disk that was replaced, or is another's), -EINPROGRESS (another one is not committed yet), -ESTALE (`base`), -EBUSY (a voter to
 * be added is not synced, or a quorum of the new one is not connected); TRANSFER also -ENOENT (no such synced voter).
 * PROPOSE and RECONFIGURE give the entry's zxid. */
int zab_step(Zab *z, const ZabInput *input, Zxid *ret_zxid);

/* When the next TICK is due at the latest (absolute); UINT64_MAX for never. */
uint64_t zab_timeout_usec(const Zab *z);

ZabRole zab_role(const Zab *z);
uint32_t zab_epoch(const Zab *z);
uint32_t zab_leader(const Zab *z);              /* sid of the leader that is followed (or this one), 0 for none */
uint32_t zab_parent(const Zab *z);              /* sid of the follower that this observer's entries come from; 0: from the leader */
bool zab_is_voter(const Zab *z);                /* in a configuration in force, with this disk */
const ZabMeta *zab_meta(const Zab *z);          /* as last durable */
const ZabPosition *zab_last(const Zab *z);
const ZabPosition *zab_applied(const Zab *z);
uint64_t zab_base(const Zab *z);                /* the log is complete after this index */
uint64_t zab_commit(const Zab *z);
uint64_t zab_durable(const Zab *z);
const ZabConfig *zab_config(const Zab *z);      /* last committed; NULL for none */
const ZabConfig *zab_pending_config(const Zab *z);      /* newest that awaits its quorum; NULL for none */

/* As leader or up-to-date follower: every entry proposed before this role was taken has an index up to this one, or
 * never appears; UINT64_MAX otherwise (DESIGN 2.5). */
uint64_t zab_established(const Zab *z);

/* This member was heard by the leader, and the leader was confirmed by a quorum after that, when this member's clock
 * stood here; 0 for never in this role (DESIGN 2.8).  For a leader: by the quorum alone.  Every entry that was proposed before
 * the leader heard it is applied here. */
uint64_t zab_confirmed_usec(const Zab *z);

/* The session with the leader, for messages of the layer above; all 0 unless an up-to-date follower. */
typedef struct ZabSession {
        uint64_t conn, session;
        uint32_t epoch;
} ZabSession;

ZabSession zab_session(const Zab *z);

/* As leader: member `sid`, if `s` is its current session and it has acknowledged NEWLEADER in it; else 0. */
uint32_t zab_session_member(const Zab *z, const ZabSession *s);

/* As leader: what is known of a member. */
typedef struct ZabPeerState {
        uint32_t sid;
        bool connected, synced;                 /* has acknowledged NEWLEADER */
        uint64_t conn, session;
        uint64_t acked;                         /* durable there */
        uint32_t parent;                        /* sid: whom it gets its entries from; 0: from this leader */
        uint64_t heard_usec;
} ZabPeerState;

bool zab_peer(const Zab *z, uint32_t sid, ZabPeerState *ret);
