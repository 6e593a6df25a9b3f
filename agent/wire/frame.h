/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Frame
 *
 * What members say to each other, as bytes.  Little-endian:
 *
 *      0  u32 size of what follows these 8 bytes, at most FRAME_BODY_BYTES_MAX
 *      4  u8 type: 0 is the hello, else ZabMessageType or MemberMessageType     5  u8 zeros[3]
 *      8  the hello; or u32 epoch, u64 session, and what the type carries
 *
 * The encoding of a message is one: what frame_decode() accepts, frame_encode() gives again.  Integrity and order are TLS's
 * matter; everything else is checked here, limits before anything is allocated.
 *
 * Source: protocol 2.6.
 */

#include "agent/base/reader.h"
#include "agent/base/writer.h"
#include "agent/member/message.h"

#define FRAME_HEADER_BYTES 8
#define FRAME_BODY_BYTES_MAX (4 * 1024 * 1024)
#define FRAME_HELLO_BYTES_MAX 1024
#define FRAME_TYPE_HELLO 0

/* The first frame in either direction: who speaks, checked against the pinned entry of the configuration before anything
 * else is read (reliability 5.2).  Its layout is for ever: it is what tells versions apart. */
typedef struct FrameHello {
        uint32_t version_min, version_max;      /* of this protocol; the highest common one is spoken */
        uint32_t feature_level;                 /* what the sender's program can do */
        Id128 cluster_id, disk_id;
        Id128 incarnation;                      /* random, made anew by each run of the process */
        uint32_t sid;
        Zxid config_version;
        Hash128 config_digest;                  /* of its bytes; equal versions have equal ones */
        const char *name;                       /* borrowed */
} FrameHello;

#define FRAME_VERSION 2

void frame_encode_hello(Writer *w, const FrameHello *hello);
/* `body`: what follows the 8 bytes; false for malformed. */
bool frame_decode_hello(const uint8_t *body, size_t size, FrameHello *ret);

/* Appends one whole frame.  The message must be within the limits (zab and member keep them). */
void frame_encode(Writer *w, const PeerMessage *message);

/* Reads the 8 bytes; false if no frame begins so (size beyond the limit for its type, unknown type, padding not 0). */
bool frame_decode_header(const uint8_t header[static FRAME_HEADER_BYTES], uint32_t *ret_size, uint8_t *ret_type);

typedef struct FrameMessage {
        PeerMessage message;                    /* borrows from `body` and from the arrays below */
        GBytes *body;
        ZabEntry *entries;
        ZabEpochEnd *ends;
        uint64_t *sessions;
} FrameMessage;

/* Decodes the body of a frame of this type; payloads are slices of `body`, of which a reference is kept.  False for
 * anything malformed or with trailing bytes, *ret then needs no frame_message_done(). */
bool frame_decode(uint8_t type, GBytes *body, FrameMessage *ret);
void frame_message_done(FrameMessage *m);
