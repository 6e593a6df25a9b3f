/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Join
 *
 * The frames of one who does not belong yet: it asks once, and gets one answer.  The header is that of Frame; no
 * other type is read from a stranger, and none of these from a member.
 *
 *      JOIN            u32 version min, u32 max, u32 feature level, 16 bytes each of cluster id, disk id and secret, string
 *                      name, string address
 *      JOINED          u32 sid, blob configuration
 *      JOIN_REFUSED    string text
 *      JOIN_PUT_OFF    string text: not now, or not by this member; what it asked with is as good as before
 *
 * The secret goes over as it is: the channel is encrypted, and the joiner knows from its token that the key at the other
 * end is a member's.
 *
 * Source: reliability 5.2.
 */

#include "agent/wire/frame.h"

#define JOIN_TYPE 250
#define JOIN_TYPE_JOINED 251
#define JOIN_TYPE_REFUSED 252
#define JOIN_TYPE_PUT_OFF 253

#define JOIN_BODY_BYTES_MAX 2048                /* of what a stranger may send */
#define JOIN_ANSWER_BYTES_MAX (1024 * 1024)
#define JOIN_SECRET_BYTES 16
#define JOIN_TEXT_BYTES_MAX 512

typedef struct JoinRequest {
        uint32_t version_min, version_max, feature_level;
        Id128 cluster_id;                       /* from the token */
        Id128 disk_id;
        uint8_t secret[JOIN_SECRET_BYTES];
        const char *name, *address;             /* borrowed; the address may be "" */
} JoinRequest;

typedef struct JoinAnswer {
        uint32_t sid;                           /* 0: refused, then `text` says why */
        bool put_off;                           /* refused for now */
        const uint8_t *config;                  /* borrowed; as zab_checkpoint_config() gives it */
        size_t config_size;
        const char *text;                       /* borrowed */
} JoinAnswer;

/* Each appends one whole frame.  A text beyond its limit is cut. */
void join_encode_request(Writer *w, const JoinRequest *request);
void join_encode_answer(Writer *w, const JoinAnswer *answer);

/* Reads the 8 bytes; `answer`: of an answer, else of a request.  False if no such frame begins so. */
bool join_decode_header(const uint8_t header[static FRAME_HEADER_BYTES], bool answer, uint32_t *ret_size,
                        uint8_t *ret_type);

/* What follows them; false for malformed. */
bool join_decode_request(const uint8_t *body, size_t size, JoinRequest *ret);
bool join_decode_answer(uint8_t type, const uint8_t *body, size_t size, JoinAnswer *ret);
