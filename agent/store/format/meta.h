/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * META
 *
 * The member's promises, in a file of two 4-KiB slots written in turn: slot `seq % 2`, so that a write that is torn
 * leaves the one before it.  A slot, little-endian:
 *
 *      0  8 bytes magic "cvn-meta"
 *      8  u32 format (1)          12  u32 sid
 *     16  u64 seq, one more with every write
 *     24  16 bytes cluster id     40  16 bytes disk id
 *     56  u32 accepted epoch      60  u32 current epoch
 *     64  u64 checkpoint generation
 *     72  u64 durable floor       an index known durable when this was written
 *     80  u64 newest segment      first index of the newest log segment then: its absence is a loss
 *     88  u32 membership
 *     92  u64 commit floor        an index known committed when this was written
 *    100  zeros
 *   4088  u64 check               XXH3-64 of bytes 0..4087
 *
 * Magic, format and check keep their places in every format.
 *
 * Source: protocol 2.3.
 */

#include <stddef.h>
#include <stdint.h>

#include "agent/zab/entry.h"

#define META_SLOT_BYTES 4096
#define META_FILE_BYTES (2 * META_SLOT_BYTES)
#define META_FORMAT 1

typedef struct MetaRecord {
        uint64_t seq;
        ZabMeta meta;
        uint64_t newest_segment;        /* 0: none yet */
} MetaRecord;

typedef enum MetaVerdict {
        META_OK,
        META_BAD,
        META_NEWER,                     /* intact, of a later format */
} MetaVerdict;

static inline size_t meta_slot_offset(uint64_t seq) {
        return seq % 2 * META_SLOT_BYTES;
}

void meta_encode(const MetaRecord *r, uint8_t ret_slot[static META_SLOT_BYTES]);
MetaVerdict meta_decode(const uint8_t slot[static META_SLOT_BYTES], MetaRecord *ret);

/* The valid slot with the higher seq.  META_NEWER if either is of a later format, META_BAD if neither is valid.  A
 * valid slot in the wrong place is bad.  `size` may be short: what is missing is bad.  *ret_bad: how many slots are. */
MetaVerdict meta_choose(const uint8_t *file, size_t size, MetaRecord *ret, unsigned *ret_bad);
