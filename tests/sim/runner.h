/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Runner
 *
 * Many seeds in several processes: one that dies or gets stuck takes nothing with it but its own seed.
 */

#include "tests/sim/world.h"

#define RUNNER_JOBS_MAX 64

typedef struct RunnerOptions {
        uint64_t first, seeds;
        SimProfile profile;
        unsigned jobs;
        unsigned failures_max;          /* go on until so many seeds failed */
        bool print_hashes;
        /* Called for each seed that fails. */
        void (*failed)(void *userdata, uint64_t seed, const char *why);
        void *userdata;
} RunnerOptions;

/* Returns how many seeds failed; adds what they all came to. */
unsigned runner_run(const RunnerOptions *options, Statistics *statistics);

/* One seed, in this process.  False with the reason in `failure`. */
bool runner_run_seed(uint64_t seed, SimProfile profile, Statistics *statistics, bool verbose, char *failure, size_t size,
                     uint64_t *ret_hash);

uint64_t runner_clock_msec(void);
uint64_t runner_processor_msec(void);   /* of all processes that have ended: others may be at work on this machine, too */
