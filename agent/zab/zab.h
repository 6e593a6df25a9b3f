/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Zab
 *
 * The replication protocol of protocol 2.0 to 2.14 as a pure step function: zab_step() takes one input and calls the
 * effects it leads to.  It knows no clock, disk or network: time and completions are inputs.  What must be durable
 * before what is protocol 2.14; each rule stands in zab.c beside its section.
 *
 * This build holds election, synchronisation and broadcast for the member's own part: with one voter every quorum is itself, and
 * still goes through promise, vote, history, epoch, in the protocol's order.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/prng.h"
#include "agent/zab/config.h"
#include "agent/zab/entry.h"

typedef enum ZabRole {
        ZAB_ROLE_STOPPED = 0,
        ZAB_ROLE_LOOKING,
        ZAB_ROLE_PRECANDIDATE,
        ZAB_ROLE_CANDIDATE,
        ZAB_ROLE_LEADER_SYNC,           /* elected, its history is not yet a quorum's */
        ZAB_ROLE_LEADER,                /* broadcasting */
        _ZAB_ROLE_MAX,
} ZabRole;

/* "looking", "leader", ...: as operators see it (candidates are looking, a syncing leader is too). */
const char *zab_role_to_string(ZabRole role);

typedef struct ZabOptions {
        uint32_t sid;
        Id128 cluster_id, disk_id;
        const char *name;               /* host name for the genesis configuration; borrowed during zab_new() */
        uint64_t election_timeout_usec; /* T_min; 0: 1 s */
        uint64_t prng_seed;
} ZabOptions;

typedef enum ZabInputType {
        ZAB_INPUT_TICK,                 /* time has come to `now_usec` */
        ZAB_INPUT_LOG_DURABLE,          /* appends up to `io_seq` are durable */
        ZAB_INPUT_META_DURABLE,         /* the META write `io_seq` is durable */
        ZAB_INPUT_PROPOSE,              /* order `payload`; only as leader */
        ZAB_INPUT_READ_INDEX,           /* confirm leadership for the read `read_id`; only as leader */
        ZAB_INPUT_CHECKPOINTED,         /* entries up to `index` are in a checkpoint */
} ZabInputType;

typedef struct ZabInput {
        ZabInputType type;
        uint64_t now_usec;              /* in every input */
        uint64_t io_seq;
        uint64_t read_id;
        uint64_t index;
        ZabEntryType entry_type;        /* PROPOSE */
        int64_t time_msec;              /* PROPOSE: the stamp */
        GBytes *payload;                /* PROPOSE: a reference is taken */
} ZabInput;

typedef struct ZabEffects {
        void (*append)(void *userdata, uint64_t io_seq, const ZabEntry *entries, unsigned entries_count);
        void (*write_meta)(void *userdata, uint64_t io_seq, const ZabMeta *meta);
        /* Committed and durable here; in order, each once. */
        void (*apply)(void *userdata, const ZabEntry *entry);
        /* The read may be answered once `index` is applied. */
        void (*read_ready)(void *userdata, uint64_t read_id, uint64_t index);
        void (*role_changed)(void *userdata, ZabRole role, uint32_t epoch, const char *reason);
        void *userdata;
} ZabEffects;

typedef struct Zab Zab;

Zab *zab_new(const ZabOptions *options, const ZabEffects *effects);
Zab *zab_free(Zab *z);

/* The committed configuration as a checkpoint keeps it (owned by the caller); NULL before there is one. */
GBytes *zab_checkpoint_config(const Zab *z);

/* Start-up, before zab_start(): the checkpoint's position and configuration (from zab_checkpoint_config(); NULL: none),
 * then the log's entries.  Both return -EBADMSG for bytes that are none, or that do not continue the log (index,
 * prev_zxid, chain). */
int zab_restore_checkpoint(Zab *z, const ZabPosition *position, GBytes *config);
int zab_restore_entry(Zab *z, const ZabEntry *entry);

/* Takes part from now on.  A member without any configuration whose log is empty founds an ensemble of one: its first entry
 * is the genesis configuration (protocol 2.0.6; only ever called so for a store that was BLANK and told to). */
void zab_start(Zab *z, const ZabMeta *meta, uint64_t now_usec);

/* Returns 0, or -EAGAIN for a PROPOSE or READ_INDEX while not leading; PROPOSE gives the entry's zxid. */
int zab_step(Zab *z, const ZabInput *input, Zxid *ret_zxid);

/* When the next TICK is due at the latest (absolute); UINT64_MAX for never. */
uint64_t zab_timeout_usec(const Zab *z);

ZabRole zab_role(const Zab *z);
uint32_t zab_epoch(const Zab *z);
uint32_t zab_leader(const Zab *z);              /* sid, 0 for none */
const ZabPosition *zab_last(const Zab *z);
const ZabPosition *zab_applied(const Zab *z);
uint64_t zab_commit(const Zab *z);
uint64_t zab_durable(const Zab *z);
const ZabConfig *zab_config(const Zab *z);      /* last committed; NULL for none */
