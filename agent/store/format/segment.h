/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Segment
 *
 * The header of a log segment: one 4-KiB block, durable before the file has its name, so that a named segment
 * without a valid header is damage and never a torn write.  Little-endian:
 *
 *      0  8 bytes magic "cvn-log\n"
 *      8  u32 format (1)          12  u32 header bytes (4096)
 *     16  16 bytes cluster id     32  16 bytes disk id
 *     48  u64 number, one more than that of the segment before
 *     56  u64 first index
 *     64  u64 zxid of the entry before the first        72  u128 its chain (low, high)
 *     88  u64 salt, random       96  u64 bytes of the whole segment, header included
 *    104  zeros
 *   4088  u64 check               XXH3-64 of bytes 0..4087
 *
 * Magic, format and check keep their places in every format, so that a later one is recognised and refused
 * instead of being taken for damage.
 *
 * Source: protocol 2.11.
 */

#include <stdint.h>

#include "agent/zab/entry.h"

#define SEGMENT_HEADER_BYTES 4096
#define SEGMENT_FORMAT 1

typedef struct SegmentHeader {
        Id128 cluster_id, disk_id;
        uint64_t number;
        uint64_t first_index;
        Zxid prev_zxid;
        Hash128 prev_chain;
        uint64_t salt;
        uint64_t segment_bytes;
} SegmentHeader;

typedef enum SegmentVerdict {
        SEGMENT_OK,
        SEGMENT_BAD,
        SEGMENT_NEWER,                  /* intact, of a later format */
} SegmentVerdict;

void segment_header_encode(const SegmentHeader *h, uint8_t ret_block[static SEGMENT_HEADER_BYTES]);
SegmentVerdict segment_header_decode(const uint8_t block[static SEGMENT_HEADER_BYTES], SegmentHeader *ret);
