/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Entry and META
 *
 * The two durable things of the replication protocol: an entry of the log, and the small record of promises (META).
 * Source: protocol 2.2, 2.3.
 */

#include <stdint.h>

#include <glib.h>

#include "agent/base/hash.h"
#include "agent/base/zxid.h"

typedef struct Id128 {
        uint8_t bytes[16];
} Id128;

typedef enum ZabEntryType {
        ZAB_ENTRY_REQUEST = 1,          /* payload: an encoded request of the tree */
        ZAB_ENTRY_CONFIG = 2,           /* payload: ZabConfig, encoded */
        ZAB_ENTRY_WATERMARK = 3,        /* only in log files: proves that what precedes it was durable; no index */
} ZabEntryType;

typedef struct ZabEntry {
        uint64_t index;                 /* dense, from 1 */
        Zxid zxid, prev_zxid;
        Hash128 chain;                  /* see zab_entry_chain() */
        ZabEntryType type;
        int64_t time_msec;              /* leader's wall clock */
        GBytes *payload;
} ZabEntry;

/* Where a log or a checkpoint stands. */
typedef struct ZabPosition {
        uint64_t index;
        Zxid zxid;
        Hash128 chain;
} ZabPosition;

/* chain[i] = H(chain[i-1], index, zxid, prev_zxid, type, time, H(payload)), seeded with the first eight bytes of the
 * cluster id: equal chains mean equal histories.  entry->chain is not read. */
Hash128 zab_entry_chain(Hash128 previous, const Id128 *cluster_id, const ZabEntry *entry);

typedef enum ZabMembership {
        ZAB_MEMBERSHIP_BLANK = 0,       /* never initialised: not an empty history, no vote */
        ZAB_MEMBERSHIP_MEMBER = 1,
        ZAB_MEMBERSHIP_DAMAGED = 2,     /* lost something durable: no vote until a leader repaired it (2.12) */
        ZAB_MEMBERSHIP_JOINING = 3,     /* admitted by a token, never yet brought to a leader's history: no vote either */
} ZabMembership;

typedef struct ZabMeta {
        Id128 cluster_id;
        Id128 disk_id;                  /* random, made with the first META: a wiped disk is another voter */
        uint32_t sid;                   /* 1..255 */
        uint32_t accepted_epoch;        /* promised */
        uint32_t current_epoch;         /* history adopted; <= accepted_epoch */
        uint64_t checkpoint_generation; /* which checkpoint.<generation> is the valid one; 0: none yet */
        uint64_t durable_floor;         /* an index known durable when META was written */
        uint64_t commit_floor;          /* an index known committed, and durable here, when META was written: the
                                         * configurations up to it are in force no longer, but for the last of them */
        ZabMembership membership;
} ZabMeta;
