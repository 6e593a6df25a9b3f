/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Hash
 *
 * 128-bit values for the chain of log records and the digest of the tree.  The function is XXH3 (xxhash library):
 * it finds damage and divergence; it is no defence against somebody who may write to the disk.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

typedef struct Hash128 {
        uint64_t low, high;
} Hash128;

static inline Hash128 hash128(const void *data, size_t size, uint64_t seed) {
        XXH128_hash_t h = XXH3_128bits_withSeed(data, size, seed);

        return (Hash128) { h.low64, h.high64 };
}

static inline bool hash128_equal(Hash128 a, Hash128 b) {
        return a.low == b.low && a.high == b.high;
}

/* Sum and difference modulo 2^128: the digest of a set is the sum of the hashes of its members, so members come
 * and go in any order. */
static inline Hash128 hash128_add(Hash128 a, Hash128 b) {
        Hash128 r = { .low = a.low + b.low };

        r.high = a.high + b.high + (r.low < a.low);
        return r;
}

static inline Hash128 hash128_subtract(Hash128 a, Hash128 b) {
        return (Hash128) { .low = a.low - b.low, .high = a.high - b.high - (a.low < b.low) };
}
