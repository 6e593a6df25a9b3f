/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Params
 *
 * What one seed's world is like.  Every seed draws anew how large it is, how fast its disks and wires are and what goes
 * wrong in it and how often, so that some worlds have nothing but one kind of trouble and others everything at once.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/prng.h"

#define HOSTS_MAX 9

typedef enum SimProfile {
        SIM_PROFILE_FAST,
        SIM_PROFILE_SLOW_DISK,
        SIM_PROFILE_MIXED,              /* either, by seed */
        _SIM_PROFILE_MAX,
} SimProfile;

/* A number from min to max, more often small, and in `spikes` of a thousand draws up to spike_max. */
typedef struct Spread {
        uint64_t min, max;
        unsigned spikes;
        uint64_t spike_max;
} Spread;

typedef enum FaultKind {
        FAULT_CRASH,                    /* one host: its process or its power */
        FAULT_CRASH_ALL,
        FAULT_AIM,                      /* one host, at a chosen point of its store */
        FAULT_PAUSE,
        FAULT_BREAK,                    /* one connection */
        FAULT_STALL,                    /* one direction of one pair */
        FAULT_SPLIT,                    /* two sides */
        FAULT_ISOLATE,                  /* one host */
        FAULT_BRIDGE,                   /* two sides with one host that sees both */
        FAULT_DEAF,                     /* one host hears, or is heard by, nobody */
        FAULT_WIPE,
        FAULT_RECONFIGURE,
        FAULT_TRANSFER,
        FAULT_CHECKPOINT,
        FAULT_WALL,                     /* a wall clock jumps */
        FAULT_ROT,                      /* a bit of a log at rest */
        _FAULT_MAX,
} FaultKind;

typedef struct Params {
        SimProfile profile;             /* FAST or SLOW_DISK */
        unsigned voters, observers;     /* of the founding configuration */
        unsigned joiners;               /* hosts that may be added later */
        unsigned hosts;                 /* all */
        uint64_t election_usec, heartbeat_usec;
        uint64_t tail_bytes, window_bytes;
        Spread wire_usec;               /* one way */
        Spread disk_usec;
        Spread pause_usec, down_usec, cut_usec, fault_usec, op_usec;
        unsigned fault_weights[_FAULT_MAX], fault_weights_sum;
        unsigned segment_bytes, keep_bytes;
        bool meta_overtakes;            /* a META write does not wait for appends asked for before it (protocol 2.5) */
        uint64_t checkpoint_usec;       /* between a host's checkpoints, on average; 0: only as faults */
        unsigned slice_rows;
        uint64_t phase_usec;            /* of phase 1 */
        unsigned clock_ppm;             /* rates differ by up to so much either way */
        unsigned clients;
        unsigned watch_share, linear_share, read_share, multi_share;    /* of a thousand requests */
        uint64_t request_bytes;         /* data of a znode, up to */
        bool black_box;                 /* check linearizability without trusting zxids, too */
        bool admin_mends;               /* wiped and removed hosts are taken in again during phase 1 */
} Params;

void params_draw(Params *p, Prng *prng, SimProfile profile);
uint64_t spread_draw(const Spread *s, Prng *prng);
bool prng_chance(Prng *prng, unsigned thousandths);
uint64_t prng_between(Prng *prng, uint64_t min, uint64_t max);
const char *fault_kind_to_string(FaultKind k);
