/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Record
 *
 * One entry of the log as bytes, or a watermark, which is no entry but says how far the log was durable when it was
 * written.  Everything is little-endian; a record starts at a multiple of 8 in its segment.
 *
 *      0  u32 payload size         4  u32 type (ZabEntryType)
 *      8  u64 check                XXH3-64 of bytes 0..7 and 16..79, seeded with the segment's salt
 *     16  u64 payload check        XXH3-64 of the payload and its padding, seeded with the salt
 *     24  u64 index               32  u64 zxid               40  u64 prev_zxid
 *     48  u128 chain (low, high)
 *     64  u64 durable_hint         highest index known durable here when the record was written
 *     72  i64 time, msec
 *     80  payload, zeros up to a multiple of 8
 *
 * The two checks let a search through damaged bytes judge a header without its payload: what a client stored
 * can neither pass for a record (it does not know the salt) nor make the search hash megabytes at every step.
 * A watermark has no payload, and the index, zxid and chain of the entry before it.
 *
 * Source: protocol 2.11.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/limits.h"
#include "agent/base/writer.h"
#include "agent/zab/entry.h"

#define RECORD_HEADER_BYTES 80
#define RECORD_PAYLOAD_BYTES_MAX LIMIT_REQUEST_BYTES
#define RECORD_BYTES_MAX (RECORD_HEADER_BYTES + RECORD_PAYLOAD_BYTES_MAX)

typedef struct Record {
        ZabEntryType type;
        uint32_t payload_size;
        uint64_t payload_check;
        uint64_t index;
        Zxid zxid, prev_zxid;
        Hash128 chain;
        uint64_t durable_hint;
        int64_t time_msec;
} Record;

/* The bytes a record with such a payload takes. */
static inline size_t record_bytes(size_t payload_size) {
        return RECORD_HEADER_BYTES + ((payload_size + 7) & ~(size_t) 7);
}

/* Appends an entry of type REQUEST or CONFIG. */
void record_encode(Writer *w, uint64_t salt, const ZabEntry *entry, uint64_t durable_hint);

/* Appends a watermark: everything up to `last` is durable. */
void record_encode_watermark(Writer *w, uint64_t salt, const ZabPosition *last);

/* Reads a header from RECORD_HEADER_BYTES bytes.  False if it is none: wrong check, unknown type, size
 * beyond the limit. */
bool record_decode_header(const uint8_t *data, uint64_t salt, Record *ret);

/* True if record_bytes(r->payload_size) - RECORD_HEADER_BYTES bytes at `payload` are what was written. */
bool record_payload_is_intact(const Record *r, uint64_t salt, const uint8_t *payload);
