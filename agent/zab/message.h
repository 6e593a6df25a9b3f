/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Message
 *
 * What members say to each other about who leads and what is committed.  Bytes are wire/'s matter; here a message is a
 * struct, whose pointers live as long as the call that carries it.
 *
 * Every message carries the epoch it speaks for.  Those of a session (one follower's place in one epoch of one leader, on one
 * connection) carry its id, too, and are ignored when it is not the current one.
 *
 * Source: protocol 2.6.
 */

#include <stdbool.h>

#include "agent/zab/config.h"
#include "agent/zab/entry.h"

typedef enum ZabMessageType {
        /* election; epoch: the one that is asked for */
        ZAB_MESSAGE_PREVOTE_REQUEST = 1,        /* vote */
        ZAB_MESSAGE_PREVOTE_RESPONSE = 2,       /* vote */
        ZAB_MESSAGE_VOTE_REQUEST = 3,           /* vote */
        ZAB_MESSAGE_VOTE_RESPONSE = 4,          /* vote */

        /* leader and follower; all but REJECT within a session */
        ZAB_MESSAGE_LEADER_HELLO = 5,           /* hello: opens the session */
        ZAB_MESSAGE_REJECT = 6,                 /* index: the accepted epoch of the sender */
        ZAB_MESSAGE_SYNC_REQUEST = 7,           /* sync */
        ZAB_MESSAGE_TRUNC = 8,                  /* position; its chain is 0 if the leader no longer has it at hand */
        ZAB_MESSAGE_SNAP_BEGIN = 9,             /* position, config (as zab_checkpoint_config() gives it) */
        ZAB_MESSAGE_SNAP_CHUNK = 10,            /* index: its number, from 0; bytes */
        ZAB_MESSAGE_SNAP_END = 11,              /* index: how many chunks; digest */
        ZAB_MESSAGE_ENTRIES = 12,               /* entries, commit */
        ZAB_MESSAGE_NEWLEADER = 13,             /* position; config as in SNAP_BEGIN */
        ZAB_MESSAGE_ACK_NEWLEADER = 14,         /* index; flag: the sender has promised a later epoch and only listens (2.8) */
        ZAB_MESSAGE_UPTODATE = 15,              /* commit */
        ZAB_MESSAGE_PROGRESS = 16,              /* index: entries (or, with `flag`, chunks) taken in; for flow control alone */
        ZAB_MESSAGE_ACK = 17,                   /* index: highest durable in this session */
        ZAB_MESSAGE_COMMIT = 18,                /* commit */
        ZAB_MESSAGE_PING = 19,                  /* index: round; commit; time_usec: see PONG */
        ZAB_MESSAGE_PONG = 20,                  /* index: round; time_usec: sender's clock, echoed by a later PING once a quorum
                                                 * has confirmed the leader after it was received; flag: the sender's META
                                                 * says which configurations were committed when that PING was sent */
        ZAB_MESSAGE_READ_REQUEST = 21,          /* index: read id */
        ZAB_MESSAGE_READ_OK = 22,               /* index: read id; commit: the index to have applied */
        ZAB_MESSAGE_TIMEOUT_NOW = 23,           /* leadership is handed over: campaign at once */
        ZAB_MESSAGE_LEAVE = 24,                 /* the sender closes the connection; text: why */

        /* observer, parent and leader (feed.c); session: the feed's number, given by the observer; in FED the session's */
        ZAB_MESSAGE_FEED_REQUEST = 25,          /* to a follower: position: of the sender's last entry */
        ZAB_MESSAGE_FEED = 26,                  /* from it: entries, all of them committed; commit.  Empty: it begins */
        ZAB_MESSAGE_FEED_ACK = 27,              /* to it: index: durable; for flow control alone */
        ZAB_MESSAGE_FEED_END = 28,              /* from either; text: why */
        ZAB_MESSAGE_FED = 29,                   /* to the leader: with `flag` entries come from member `index`; without it they
                                                 * are to come from the leader again, after `index` */
        _ZAB_MESSAGE_MAX,
} ZabMessageType;

#define ZAB_MESSAGE_EPOCHS_MAX 64
#define ZAB_MESSAGE_ENTRIES_MAX 1024
#define ZAB_MESSAGE_CHUNK_BYTES (256 * 1024)    /* aimed at; one row may be larger than this alone */

/* The last counter of an epoch in a log. */
typedef struct ZabEpochEnd {
        uint32_t epoch;
        uint32_t counter;
} ZabEpochEnd;

typedef struct ZabVote {
        uint32_t accepted_epoch, current_epoch; /* the sender's */
        ZabPosition last;
        uint64_t commit_index;
        Zxid commit_zxid;
        uint32_t transfer_epoch;                /* requests: not 0: the leader of this epoch told it to campaign */
        bool granted;                           /* responses */
} ZabVote;

typedef struct ZabHello {
        bool established;                       /* the leader broadcasts already */
        GBytes *config, *pending_config;        /* committed, and proposed after it; both as zab_checkpoint_config()
                                                 * gives it; NULL: none */
} ZabHello;

typedef struct ZabSyncRequest {
        uint32_t current_epoch;
        ZabPosition last;
        uint64_t base_index;                    /* the log is complete from the entry after it on */
        Zxid base_zxid;
        bool snap_only;                         /* its state differs from everybody's: only SNAP mends it */
        const ZabEpochEnd *ends;                /* ascending; the newest if there are more than fit */
        unsigned ends_count;
} ZabSyncRequest;

typedef struct ZabMessage {
        ZabMessageType type;
        uint32_t epoch;
        uint64_t session;
        uint64_t index;
        uint64_t commit;
        uint64_t time_usec;
        bool flag;
        ZabPosition position;
        Hash128 digest;
        GBytes *config;
        GBytes *bytes;
        const ZabEntry *entries;                /* consecutive */
        unsigned entries_count;
        ZabVote vote;
        ZabHello hello;
        ZabSyncRequest sync;
        const char *text;
} ZabMessage;

/* "prevote-request", ... for the journal and tables of tests; never NULL. */
const char *zab_message_type_to_string(ZabMessageType type);
