/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Random requests from a seed, biased towards collisions: few names, few sessions, few identities, and a look at the
 * twin's state so that most requests meet something that is there.
 */

#include "agent/base/prng.h"
#include "tests/unit/twin.h"

typedef enum Profile {
        PROFILE_MIXED,
        PROFILE_ACL,            /* many identities and ACLs, rarely super */
        PROFILE_SESSIONS,       /* sessions come and go with their ephemerals */
        PROFILE_MULTI,
        PROFILE_QUOTA,
        PROFILE_DEEP,           /* long names, deep paths */
        PROFILE_WRAP,           /* counters begin next to where they wrap */
        PROFILE_READ,
        PROFILE_WIDE,           /* up to two thousand znodes, down to some hundred, and up again */
        _PROFILE_MAX,
} Profile;

typedef struct Generator {
        Prng prng;
        Profile profile;
        const Twin *twin;
        GPtrArray *memory;              /* g_free: what the last request points at */
        Zxid closed_session;
        char *last_path;                /* of the last create, owned */
        bool benign;                    /* this request should rather succeed */
        bool shrinking;                 /* the tree has become too large and is being cut back */
} Generator;

const char *profile_to_string(Profile p);

void generator_init(Generator *g, uint64_t seed, Profile profile, const Twin *twin);
void generator_done(Generator *g);

/* The request lives until the next call. */
void generator_next_request(Generator *g, Request *ret);
const char *generator_path(Generator *g);
bool generator_chance(Generator *g, unsigned percent);
unsigned generator_below(Generator *g, unsigned bound);
