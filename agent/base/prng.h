/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * PRNG
 *
 * A seeded generator (SplitMix64) for tests, the simulator and election time-outs.  Never for secrets.
 */

#include <stdint.h>

typedef struct Prng {
        uint64_t state;
} Prng;

static inline uint64_t prng_next(Prng *p) {
        uint64_t z = p->state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

/* A number in [0, bound); bound > 0.  The bias of the modulo is below 2^-32 for the bounds in use. */
static inline uint64_t prng_below(Prng *p, uint64_t bound) {
        return prng_next(p) % bound;
}
