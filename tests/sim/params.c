/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Params
 */

#include "tests/sim/params.h"

#include <limits.h>

#include <glib.h>

#define MSEC UINT64_C(1000)
#define SEC UINT64_C(1000000)

const char *fault_kind_to_string(FaultKind k) {
        static const char *const names[] = {
                "crash", "crash-all", "aim", "pause", "break", "stall", "split", "isolate", "bridge", "deaf", "wipe",
                "reconfigure", "transfer", "checkpoint", "wall", "rot", "disk",
        };

        return k < _FAULT_MAX ? names[k] : "?";
}

const char *moment_to_string(Moment m) {
        static const char *const names[] = { "candidate", "elected", "established", "config", "truncates", "pings", "removed", "ahead" };

        return m < _MOMENT_MAX ? names[m] : "?";
}

bool prng_chance(Prng *prng, unsigned thousandths) {
        return prng_below(prng, 1000) < thousandths;
}

uint64_t prng_between(Prng *prng, uint64_t min, uint64_t max) {
        return min + prng_below(prng, max - min + 1);
}

uint64_t spread_draw(const Spread *s, Prng *prng) {
        uint64_t width = s->max - s->min + 1;

        if (s->spikes > 0 && prng_chance(prng, s->spikes))
                return prng_between(prng, s->max, MAX(s->max, s->spike_max));
        /* Half of all in the lowest quarter. */
        if (prng_next(prng) & 1)
                width = MAX(width / 4, 1);
        return s->min + prng_below(prng, width);
}

static void draw_size(Params *p, Prng *prng) {
        static const unsigned voters[] = { 1, 2, 3, 3, 3, 3, 3, 4, 5, 5, 5, 7 };

        p->voters = voters[prng_below(prng, G_N_ELEMENTS(voters))];
        p->observers = p->voters <= 5 && prng_chance(prng, 300) ? (unsigned) prng_between(prng, 1, 2) : 0;
        p->joiners = prng_chance(prng, 350) ? (unsigned) prng_between(prng, 1, 2) : 0;
        p->hosts = MIN(p->voters + p->observers + p->joiners, (unsigned) HOSTS_MAX);
        p->joiners = p->hosts - p->voters - p->observers;
}

static void draw_times(Params *p, Prng *prng) {
        bool slow = p->profile == SIM_PROFILE_SLOW_DISK;

        p->election_usec = prng_between(prng, 150, slow ? 1000 : 600) * MSEC;
        p->heartbeat_usec = p->election_usec / prng_between(prng, 5, 10);
        p->wire_usec = (Spread) {
                .min = prng_between(prng, 20, 300),
                .max = prng_between(prng, 1, 20) * MSEC,
                .spikes = prng_chance(prng, 300) ? (unsigned) prng_between(prng, 1, 30) : 0,
                .spike_max = p->election_usec * 3,
        };
        if (slow)
                p->disk_usec = (Spread) {
                        .min = 60 * MSEC,
                        .max = 250 * MSEC,
                        .spikes = (unsigned) prng_between(prng, 0, 60),
                        .spike_max = p->election_usec * 3,
                };
        else
                p->disk_usec = (Spread) {
                        .min = 100,
                        .max = prng_between(prng, 1, 10) * MSEC / 2,
                        .spikes = prng_chance(prng, 500) ? (unsigned) prng_between(prng, 1, 10) : 0,
                        .spike_max = p->election_usec * 2,
                };
        p->phase_usec = prng_between(prng, 3, slow ? 14 : 10) * SEC;
        p->pause_usec = (Spread) { .min = 10 * MSEC, .max = p->election_usec * 4 };
        p->down_usec = (Spread) { .min = 1 * MSEC, .max = p->election_usec * 4, .spikes = 50, .spike_max = 5 * SEC };
        p->cut_usec = (Spread) { .min = 20 * MSEC, .max = p->election_usec * 6 };
        p->clock_ppm = prng_chance(prng, 700) ? 4900 : 0;       /* two of them differ by less than the 1 % of protocol 2.13 */
}

static void draw_faults(Params *p, Prng *prng) {
        uint64_t mean = prng_between(prng, 100, 1500) * MSEC;

        p->fault_usec = (Spread) { .min = mean / 20, .max = mean * 2 };
        for (unsigned i = 0; i < _FAULT_MAX; i++)
                p->fault_weights[i] = prng_chance(prng, 500) ? (unsigned) prng_between(prng, 1, 10) : 0;
        p->fault_weights[FAULT_CRASH_ALL] = MIN(p->fault_weights[FAULT_CRASH_ALL], 3);
        p->fault_weights[FAULT_WIPE] = MIN(p->fault_weights[FAULT_WIPE], 4);
        p->fault_weights[FAULT_AIM] *= 2;
        p->fault_weights[FAULT_ROT] = prng_chance(prng, 100) ? 2 : 0;
        p->fault_weights[FAULT_WALL] = prng_chance(prng, 200) ? 1 : 0;
        for (unsigned i = 0; i < _FAULT_MAX; i++)
                p->fault_weights_sum += p->fault_weights[i];
        for (unsigned i = 0; i < MOMENT_AHEAD; i++)
                p->moment_share[i] = prng_chance(prng, 300) ? (unsigned) prng_between(prng, 50, 700) : 0;
        p->moment_share[MOMENT_PINGS] = MIN(p->moment_share[MOMENT_PINGS], 3);  /* there are many */
        p->moment_share[MOMENT_REMOVED] = prng_chance(prng, 700) ? 700 : 0;     /* rare, and the administrator acts on it */
}

static void draw_work(Params *p, Prng *prng) {
        bool slow = p->profile == SIM_PROFILE_SLOW_DISK;

        p->clients = (unsigned) prng_between(prng, 2, 6);
        p->op_usec = (Spread) { .min = 1 * MSEC, .max = prng_between(prng, 20, slow ? 300 : 200) * MSEC };
        p->watch_share = (unsigned) prng_between(prng, 0, 300);
        p->linear_share = (unsigned) prng_between(prng, 100, 900);
        p->read_share = (unsigned) prng_between(prng, 200, 600);
        p->multi_share = (unsigned) prng_between(prng, 0, 150);
        p->request_bytes = prng_chance(prng, 200) ? 1500 : 60;
        p->black_box = prng_chance(prng, 60);
        p->admin_mends = prng_chance(prng, 800);
        p->remove_share = (unsigned) prng_between(prng, 200, 900);
        p->tail_bytes = prng_chance(prng, 500) ? prng_between(prng, 200, 4000) : 0;
        p->window_bytes = prng_chance(prng, 300) ? prng_between(prng, 400, 8000) : 0;
        /* Small, so that logs have many segments and lose their beginnings; but every request fits into one. */
        p->segment_bytes = (unsigned) (p->request_bytes > 100 ? prng_between(prng, 4, 16) : prng_between(prng, 2, 6)) * 4096;
        p->keep_bytes = (unsigned) prng_between(prng, 0, 2) * p->segment_bytes;
        p->checkpoint_usec = prng_chance(prng, 800) ? prng_between(prng, 300, 4000) * MSEC : 0;
        p->meta_overtakes = prng_next(prng) & 1;
        p->slice_rows = (unsigned) prng_between(prng, 1, 40);
        p->bulk_share = prng_chance(prng, 300) ? (unsigned) prng_between(prng, 20, 300) : 0;
}

/* Worlds in which a member comes to be ahead of its leader.  By a generator of their own, so that all others stay as they are. */
static void draw_ahead(Params *p, uint64_t seed) {
        Prng prng = { seed };
        unsigned weight;

        if (p->voters < 3 || !prng_chance(&prng, 60))
                return;
        /* Somebody is a candidate and its leader leads on only while leadership is handed over. */
        weight = 2 + p->fault_weights_sum / 4;
        p->fault_weights[FAULT_TRANSFER] += weight;
        p->fault_weights_sum += weight;
        p->moment_share[MOMENT_AHEAD] = 700;
}

/* Fewer clients beside them, and cuts and pauses that are long enough for promises to run out. */
static void draw_recipes(Params *p, Prng *prng) {
        p->callers = (unsigned) prng_between(prng, 4, 14);
        /* A few kinds, so that they meet; often all. */
        p->errands = prng_chance(prng, 300) ? UINT_MAX : (unsigned) (prng_next(prng) & prng_next(prng));
        if (prng_chance(prng, 100))
                p->errands = 1 << ERRAND_TAKE;
        if (p->errands & 1 << ERRAND_TAKE)
                p->errands |= 1 << ERRAND_PUT;
        p->heal_share = prng_chance(prng, 500) ? 700 : 0;
        p->clients = (unsigned) prng_between(prng, 0, 2);
        p->black_box = false;
        p->cut_usec.spikes = p->pause_usec.spikes = (unsigned) prng_between(prng, 0, 300);
        p->cut_usec.spike_max = 4 * SEC;
        p->pause_usec.spike_max = 4 * SEC;
}

void params_draw(Params *p, Prng *prng, SimProfile profile) {
        uint64_t seed = prng->state;

        *p = (Params) { .profile = profile };
        if (profile == SIM_PROFILE_MIXED || profile == SIM_PROFILE_RECIPES)
                p->profile = prng_next(prng) & 1 ? SIM_PROFILE_SLOW_DISK : SIM_PROFILE_FAST;
        draw_size(p, prng);
        draw_times(p, prng);
        draw_faults(p, prng);
        draw_work(p, prng);
        draw_ahead(p, seed);
        if (profile == SIM_PROFILE_RECIPES)
                draw_recipes(p, prng);
}
