/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Message
 *
 * What members say to each other above zab: requests on their way to the leader, who answers for which session, and
 * whether their trees are the same.  All but DIGEST go from a follower to its leader or back, and carry the epoch and id
 * of the session between the two (zab_session()); those of another session are ignored.
 *
 * Source: DESIGN 2.5, 2.6, protocol 2.6, 2.13.
 */

#include "agent/base/status.h"
#include "agent/zab/message.h"

typedef enum MemberMessageType {
        MEMBER_MESSAGE_FORWARD = 64,            /* to the leader: number, payload: an encoded update, or change */
        MEMBER_MESSAGE_REFUSED = 65,            /* from it: number, status: it will never be an entry */
        MEMBER_MESSAGE_CHANGE = 66,             /* to the leader: number, change, base: change the membership */
        MEMBER_MESSAGE_CHANGED = 67,            /* from it: number, zxid: of the entry to wait for */
        MEMBER_MESSAGE_KEEP = 68,               /* to the leader: sessions that the sender answers for from now on */
        MEMBER_MESSAGE_UNKEEP = 69,             /* to the leader: those that it does not any more */
        MEMBER_MESSAGE_TOUCH = 70,              /* to the leader: sessions heard of since the last one */
        MEMBER_MESSAGE_DIGEST = 71,             /* from the leader: index, digest of the tree there */
        MEMBER_MESSAGE_DIGEST_IS = 72,          /* to it: index, the sender's digest there */
        MEMBER_MESSAGE_DIVERGED = 73,           /* from it: index: the receiver's tree is the wrong one */
        _MEMBER_MESSAGE_MAX,
} MemberMessageType;

#define MEMBER_MESSAGE_SESSIONS_MAX 4096

typedef enum MemberChangeOp {
        MEMBER_CHANGE_ADD = 1,                  /* an observer; sid 0: the lowest that is free */
        MEMBER_CHANGE_REMOVE = 2,
        MEMBER_CHANGE_PROMOTE = 3,              /* observer to voter */
        MEMBER_CHANGE_DEMOTE = 4,               /* voter to observer */
        MEMBER_CHANGE_REPLACE = 5,              /* the same member with a new disk, key or address, as observer */
        MEMBER_CHANGE_TRANSFER = 6,             /* no change: leadership goes to it; sid 0: to the best voter */
        MEMBER_CHANGE_UPDATE = 7,               /* sid; name and address unless "", pin unless empty: as it is reached and known now */
        _MEMBER_CHANGE_MAX,
} MemberChangeOp;

typedef struct MemberChange {
        MemberChangeOp op;
        ZabConfigMember member;                 /* REMOVE to TRANSFER: only its sid counts, or its name if sid is 0;
                                                 * UPDATE: sid, address, pin */
} MemberChange;

typedef struct MemberMessage {
        MemberMessageType type;
        uint32_t epoch;
        uint64_t session;                       /* zab's, not a client's */
        uint64_t number;
        GBytes *payload;
        ConveneStatus status;
        MemberChange change;
        Zxid base;
        Zxid zxid;
        const uint64_t *sessions;
        unsigned sessions_count;
        uint64_t index;
        Hash128 digest;
} MemberMessage;

/* What travels on one connection. */
typedef struct PeerMessage {
        bool is_zab;
        union {
                ZabMessage zab;
                MemberMessage member;
        };
} PeerMessage;

const char *member_message_type_to_string(MemberMessageType type);
