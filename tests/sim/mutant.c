/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Mutant
 */

#include "tests/sim/mutant.h"

#include <stdio.h>
#include <stdlib.h>

#include "agent/recipe/break.h"
#include "agent/zab/break.h"
#include "tests/sim/runner.h"

#ifdef CONVENE_BREAK

typedef struct Mutant {
        unsigned number;                /* those of the recipes follow those of the protocol */
        const char *name;
        SimProfile profile;
        unsigned seeds;                 /* within which it must be found */
        bool rare;                      /* takes minutes: not in every test run */
} Mutant;

#define FAST SIM_PROFILE_FAST
#define SLOW SIM_PROFILE_SLOW_DISK
#define RECIPES SIM_PROFILE_RECIPES
#define RECIPE(name) (_ZAB_BREAK_MAX - 1 + RECIPE_BREAK_##name)

static const Mutant mutants[] = {
        { ZAB_BREAK_CANDIDATE_EARLY, "VOTE_REQUEST before the promise is durable", FAST, 500 },
        { ZAB_BREAK_VOTE_EARLY, "VOTE_RESPONSE before the promise is durable", FAST, 500 },
        { ZAB_BREAK_SYNC_EARLY, "SYNC_REQUEST before the promise is durable", FAST, 500 },
        { ZAB_BREAK_EPOCH_BEFORE_LOG, "current_epoch durable before the history", FAST, 500 },
        { ZAB_BREAK_NEWLEADER_ACK_BEFORE_LOG, "ACK_NEWLEADER before the history is durable", FAST, 500 },
        { ZAB_BREAK_NEWLEADER_ACK_BEFORE_EPOCH, "ACK_NEWLEADER before current_epoch is durable", FAST, 500 },
        { ZAB_BREAK_LEADER_ADOPTS_EARLY, "the leader counts itself for NEWLEADER at once", FAST, 500 },
        { ZAB_BREAK_ACK_EARLY, "ACK before the log is durable", FAST, 500 },
        { ZAB_BREAK_LEADER_COUNTS_EARLY, "the leader counts itself before its own sync", FAST, 500 },
        { ZAB_BREAK_COMMIT_ALONE, "COMMIT without a quorum", FAST, 500 },
        { ZAB_BREAK_APPLY_BEFORE_COMMIT, "applied before it is committed", FAST, 500 },
        { ZAB_BREAK_APPLY_BEFORE_DURABLE, "applied before it is durable here", FAST, 500 },
        { ZAB_BREAK_READ_APPLIED, "read index of what is applied, not of what is committed", FAST, 500 },
        { ZAB_BREAK_NO_NEWLEADER, "broadcast without a NEWLEADER round", FAST, 500 },
        { ZAB_BREAK_READ_LEASE, "read without a quorum round", FAST, 2000 },
        { ZAB_BREAK_ELECT_APPLIED, "election by the applied position", FAST, 500 },
        { ZAB_BREAK_COUNT_UNSYNCED, "who is still synchronising is counted", FAST, 500 },
        { ZAB_BREAK_TRUNC_KEEPS_DURABLE, "durable not lowered by TRUNC", FAST, 500 },
        { ZAB_BREAK_WIPED_VOTES, "a wiped voter keeps its identity", FAST, 500 },
        { ZAB_BREAK_ACK_AFTER_PROMISE, "ACK to the old leader after a later promise", FAST, 2000 },
        { ZAB_BREAK_OLD_QUORUM, "reconfiguration decided by the old quorum alone", FAST, 500 },
        { ZAB_BREAK_NEW_QUORUM, "reconfiguration decided by the new quorum alone", FAST, 500 },
        { ZAB_BREAK_VOTE_ZXID_ONLY, "vote compares the last zxid only", FAST, 5000 },
        { ZAB_BREAK_META_OF_EARLIER_SESSION, "META completion of an earlier session counts", FAST, 500 },
        { ZAB_BREAK_NO_CONFIG_TAUGHT, "neither hello, NEWLEADER nor SNAP brings the configuration", FAST, 500 },
        { ZAB_BREAK_STALE_COMPLETION, "completion from before a truncation counts", SLOW, 5000 },
        { ZAB_BREAK_NO_GOSSIP, "election messages teach no commit", SLOW, 10000, true },
        { ZAB_BREAK_NO_WAIVER, "a removed member with a later promise stays outside", FAST, 2000 },
        { ZAB_BREAK_TRUNC_RAISES_NOTHING, "durable not raised by the truncation itself", SLOW, 5000 },
        { ZAB_BREAK_RECONFIGURE_UNSYNCED, "voters added that have nothing yet", FAST, 5000 },
        { ZAB_BREAK_CONFIG_SURVIVES_TRUNC, "a configuration that was cut off stays in force", SLOW, 3000 },
        { ZAB_BREAK_READ_OLD_ROUND, "read confirmed by a round that began before it", FAST, 2000 },
        { ZAB_BREAK_ECHO_UNCONFIRMED, "time echoed without a quorum", FAST, 5000 },
        { ZAB_BREAK_COMMIT_UNMATCHED, "COMMIT applied to entries that may not be the leader's", FAST, 500 },
        { ZAB_BREAK_WAIVED_VOTES, "who has promised a later epoch is made a voter", SLOW, 10000, true },
        { ZAB_BREAK_SETTLED_EARLY, "a removal reported before a quorum's META knows it", SLOW, 5000 },
        { ZAB_BREAK_FEED_UNCOMMITTED, "a parent takes all it has for committed", FAST, 500 },
        { ZAB_BREAK_FEED_FORGOTTEN, "an observer waits for a parent that is gone", FAST, 2000 },
        { RECIPE(READER_LOOKS_AT_ONE), "a reader looks only at the one just before", RECIPES, 1000 },
        { RECIPE(SLOT_TOO_MANY), "one too many holds a semaphore", RECIPES, 1000 },
        { RECIPE(SEQUENCE_AS_TEXT), "contenders in the order of their names' bytes", RECIPES, 1000 },
        { RECIPE(WAKES_ON_ARRIVAL), "waiters look when somebody comes, not when one goes", RECIPES, 1000 },
        { RECIPE(TOKEN_WITHOUT_EPOCH), "the token is the zxid's counter alone", RECIPES, 1000 },
        { RECIPE(NO_MARGIN), "a grant is given up when its promise ends", RECIPES, 2000 },
        { RECIPE(RELEASES_AT_ONCE), "released while its holder may go by it still", RECIPES, 2000 },
        { RECIPE(ACK_WITHOUT_CLAIM), "an item is done whoever has claimed it by now", RECIPES, 2000 },
        { RECIPE(BARRIER_EARLY), "a barrier is full with one too few", RECIPES, 1000 },
        { RECIPE(LEASE_BLIND), "a lease written whatever its version is by now", RECIPES, 2000 },
        { RECIPE(LEASE_SEEN_ANEW), "a renewed lease free after its first time", RECIPES, 2000 },
        { RECIPE(COUNTER_BLIND), "a counter written whatever its version is by now", RECIPES, 1000 },
        { RECIPE(PRIORITY_OF_NEXT), "only the one just behind is let pass", RECIPES, 1000 },
};

_Static_assert(G_N_ELEMENTS(mutants) == _ZAB_BREAK_MAX - 1 + _RECIPE_BREAK_MAX - 1, "every wrong ordering is tried");

typedef struct Found {
        uint64_t seed;
        char why[160];
} Found;

static void on_failed(void *userdata, uint64_t seed, const char *why) {
        Found *f = userdata;

        f->seed = seed;
        (void) g_strlcpy(f->why, why, sizeof(f->why));
}

void mutant_set(unsigned number) {
        zab_break = number < _ZAB_BREAK_MAX ? number : ZAB_BREAK_NONE;
        recipe_break = number < _ZAB_BREAK_MAX ? RECIPE_BREAK_NONE : number - (_ZAB_BREAK_MAX - 1);
}

static bool run_one(const Mutant *m, unsigned jobs) {
        Statistics *s = g_new0(Statistics, 1);
        const char *profile = m->profile == FAST ? "fast" : m->profile == SLOW ? "slow-disk" : "recipes";
        Found f = { 0 };

        mutant_set(m->number);
        (void) runner_run(&(RunnerOptions) {
                .first = 1,
                .seeds = m->seeds,
                .profile = m->profile,
                .jobs = jobs,
                .failures_max = 1,
                .failed = on_failed,
                .userdata = &f,
        }, s);
        printf("%2u  %-56s %-9s ", m->number, m->name, profile);
        if (f.seed > 0)
                printf("%6" PRIu64 "  %.60s\n", f.seed, f.why);
        else
                printf("  NOT FOUND within %u\n", m->seeds);
        fflush(stdout);
        g_free(s);
        return f.seed > 0;
}

int mutant_run_all(unsigned jobs, bool rare, unsigned only) {
        bool all = only <= G_N_ELEMENTS(mutants);

        printf("wrong orderings put back, and the first seed that fails\n");
        for (unsigned i = 0; i < G_N_ELEMENTS(mutants); i++)
                if (only > 0 ? mutants[i].number == only : rare || !mutants[i].rare)
                        all = run_one(&mutants[i], jobs) && all;
        return all ? EXIT_SUCCESS : EXIT_FAILURE;
}

#else

void mutant_set(unsigned number) {
}

int mutant_run_all(unsigned jobs, bool rare, unsigned only) {
        return EXIT_FAILURE;
}

#endif
