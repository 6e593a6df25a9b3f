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
        SIM_PROFILE_RECIPES,            /* the same, with callers of recipes */
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
        FAULT_DISK,                     /* one disk is slow for a while */
        _FAULT_MAX,
} FaultKind;

/* Somebody's step into which trouble fits best. */
typedef enum Moment {
        MOMENT_CANDIDATE,
        MOMENT_ELECTED,
        MOMENT_ESTABLISHED,
        MOMENT_CONFIG,                  /* as leader it has proposed a configuration */
        MOMENT_TRUNCATES,
        MOMENT_PINGS,                   /* as leader it has begun a round: a pause, then */
        MOMENT_REMOVED,                 /* the administrator was told that it may go */
        MOMENT_AHEAD,                   /* as candidate it has promised an epoch that nobody else has heard of */
        _MOMENT_MAX,
} Moment;

/* What callers of recipes are about. */
typedef enum Errand {
        ERRAND_LOCK,
        ERRAND_WRITE,
        ERRAND_READ,
        ERRAND_SLOT,
        ERRAND_LEAD,
        ERRAND_ENTER,
        ERRAND_TAKE,
        ERRAND_LEASE,
        ERRAND_COUNT,
        ERRAND_PUT,
        _ERRAND_MAX,
} Errand;

typedef struct Params {
        SimProfile profile;             /* FAST or SLOW_DISK */
        unsigned voters, observers;     /* of the founding configuration */
        unsigned joiners;               /* hosts that may be added later */
        unsigned hosts;                 /* all */
        uint64_t election_usec, heartbeat_usec;
        uint64_t tail_bytes, window_bytes;
        Spread wire_usec;               /* one way */
        unsigned bulk_share;            /* of a thousand large frames: they take their time, and bytes of them come all the while */
        Spread disk_usec;
        Spread pause_usec, down_usec, cut_usec, fault_usec, op_usec;
        unsigned fault_weights[_FAULT_MAX], fault_weights_sum;
        unsigned moment_share[_MOMENT_MAX];     /* of a thousand moments of a kind, so many bring trouble */
        unsigned segment_bytes, keep_bytes;
        bool meta_overtakes;            /* a META write does not wait for appends asked for before it (protocol 2.5) */
        uint64_t checkpoint_usec;       /* between a host's checkpoints, on average; 0: only as faults */
        unsigned slice_rows;
        uint64_t phase_usec;            /* of phase 1 */
        unsigned clock_ppm;             /* rates differ by up to so much either way */
        unsigned clients, callers;
        unsigned errands;               /* of callers: a bit for each kind that there is */
        unsigned heal_share;            /* of a thousand grants that are given up: cuts heal just then */
        unsigned watch_share, linear_share, read_share, multi_share;    /* of a thousand requests */
        uint64_t request_bytes;         /* data of a znode, up to */
        bool black_box;                 /* check linearizability without trusting zxids, too */
        unsigned remove_share;          /* of a thousand voters that are to be none any more: removed at once, not demoted */
        bool admin_mends;               /* wiped and removed hosts are taken in again during phase 1 */
} Params;

void params_draw(Params *p, Prng *prng, SimProfile profile);
uint64_t spread_draw(const Spread *s, Prng *prng);
bool prng_chance(Prng *prng, unsigned thousandths);
uint64_t prng_between(Prng *prng, uint64_t min, uint64_t max);
const char *fault_kind_to_string(FaultKind k);
const char *moment_to_string(Moment m);
