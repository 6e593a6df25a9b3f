/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Zxid
 *
 * The position of a change in the order of all changes: the epoch of the leader that proposed it in the upper 32
 * bits and a counter, from 1, in the lower.  Epochs stay below 2^31 because Java clients read a signed number; a
 * leader starts a new epoch before the counter wraps (ZOOKEEPER-1277).
 */

#include <inttypes.h>
#include <stdint.h>

typedef uint64_t Zxid;

#define ZXID_EPOCH_MAX UINT32_C(0x7fffffff)
#define ZXID_COUNTER_MAX UINT32_C(0xffff0000)
#define ZXID_FORMAT "0x%" PRIx64

static inline Zxid zxid_make(uint32_t epoch, uint32_t counter) {
        return (uint64_t) epoch << 32 | counter;
}

static inline uint32_t zxid_epoch(Zxid zxid) {
        return zxid >> 32;
}

static inline uint32_t zxid_counter(Zxid zxid) {
        return (uint32_t) zxid;
}
