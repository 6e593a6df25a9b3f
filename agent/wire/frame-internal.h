/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the files of this folder share: the fields a message may carry, written and read in this order.
 */

#include "agent/wire/frame.h"

enum {
        FIELD_INDEX = 1 << 0,
        FIELD_COMMIT = 1 << 1,
        FIELD_TIME = 1 << 2,
        FIELD_FLAG = 1 << 3,
        FIELD_POSITION = 1 << 4,
        FIELD_DIGEST = 1 << 5,
        FIELD_CONFIG = 1 << 6,
        FIELD_BYTES = 1 << 7,           /* a member's: its payload */
        FIELD_ENTRIES = 1 << 8,
        FIELD_VOTE = 1 << 9,
        FIELD_HELLO = 1 << 10,
        FIELD_SYNC = 1 << 11,
        FIELD_TEXT = 1 << 12,
        FIELD_NUMBER = 1 << 13,
        FIELD_STATUS = 1 << 14,
        FIELD_CHANGE = 1 << 15,
        FIELD_ZXID = 1 << 16,
        FIELD_SESSIONS = 1 << 17,
};

#define FRAME_TEXT_BYTES_MAX 512
#define FRAME_CONFIG_BYTES_MAX (512 * 1024)

/* Appends the header; its size is known at the end. */
size_t frame_begin(Writer *w, uint8_t type);
void frame_end(Writer *w, size_t at);

void frame_write_zab(Writer *w, unsigned fields, const ZabMessage *m);
void frame_write_member(Writer *w, unsigned fields, const MemberMessage *m);

/* What is malformed makes the reader fail; what was allocated before is in `m`. */
void frame_read_zab(Reader *r, unsigned fields, FrameMessage *m);
void frame_read_member(Reader *r, unsigned fields, FrameMessage *m);

void frame_write_hash(Writer *w, Hash128 h);
void frame_read_hash(Reader *r, Hash128 *ret);
void frame_read_id(Reader *r, Id128 *ret);

/* A slice of the frame's body, u32 length before it; NULL on failure. */
GBytes *frame_read_slice(Reader *r, GBytes *body, size_t size_max);

/* A string, or as much of it as is UTF-8 and fits. */
void frame_write_text(Writer *w, const char *text, size_t size_max);

/* A string that is UTF-8; NULL on failure. */
const char *frame_read_text(Reader *r, size_t size_max);

/* u8 0 or 1; anything else fails. */
bool frame_read_bool(Reader *r);
