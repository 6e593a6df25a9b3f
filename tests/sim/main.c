/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * sim: runs worlds from seeds and says what did not hold and how to see it again.  Built with CONVENE_BREAK (sim-broken) it
 * also puts wrong orderings back and counts how many seeds it takes to find them.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/mutant.h"
#include "tests/sim/runner.h"

typedef struct Options {
        gint64 seeds, first, replay;
        const char *profile_name;
        SimProfile profile;
        gint jobs, failures, mutant;
        gboolean hash, mutants, rare;
} Options;

static Options options = { .seeds = 100, .first = 1, .replay = -1, .jobs = 1, .failures = 1 };
static const char *program;

static const char *profile_to_string(SimProfile p) {
        static const char *const names[] = { "fast", "slow-disk", "mixed", "recipes" };

        return names[p];
}

static int replay(void) {
        Statistics *s = g_new0(Statistics, 1);
        char failure[1024] = "";
        uint64_t hash;
        bool ok;

        setvbuf(stdout, NULL, _IOLBF, 0);
        ok = runner_run_seed((uint64_t) options.replay, options.profile, s, true, failure, sizeof(failure), &hash);
        printf("seed %" PRId64 ": %s\ntrace %016" PRIx64 "\n", (int64_t) options.replay, ok ? "clean" : failure, hash);
        g_free(s);
        return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void print_failure(void *userdata, uint64_t seed, const char *why) {
        printf("FAILED seed %" PRIu64 ": %s\n       again: %s --profile %s", seed, why, program,
               profile_to_string(options.profile));
        if (options.mutant > 0)
                printf(" --break %d", options.mutant);
        printf(" --replay %" PRIu64 "\n", seed);
        fflush(stdout);
}

static int run(void) {
        Statistics *sum = g_new0(Statistics, 1);
        uint64_t began = runner_clock_msec();
        const char *gap;
        unsigned failures = runner_run(&(RunnerOptions) {
                .first = (uint64_t) options.first,
                .seeds = (uint64_t) options.seeds,
                .profile = options.profile,
                .jobs = (unsigned) options.jobs,
                .failures_max = (unsigned) options.failures,
                .print_hashes = options.hash,
                .failed = print_failure,
        }, sum);

        if (!options.hash) {
                statistics_print(sum, (double) (runner_clock_msec() - began) / 1000, (double) runner_processor_msec() / 1000);
                printf("%s: profile %s, seeds %" PRId64 " to %" PRId64 "\n", failures == 0 ? "clean" : "NOT CLEAN",
                       profile_to_string(options.profile), (int64_t) options.first,
                       (int64_t) (options.first + options.seeds - 1));
        }
        gap = statistics_gap(sum);
        if (gap && failures == 0)
                printf("NOT COVERED: not one of these: %s\n", gap);
        g_free(sum);
        return failures == 0 && !gap ? EXIT_SUCCESS : EXIT_FAILURE;
}

static bool check_options(int argc) {
        options.profile = _SIM_PROFILE_MAX;
        for (unsigned p = 0; p < _SIM_PROFILE_MAX; p++)
                if (strcmp(options.profile_name ?: "fast", profile_to_string((SimProfile) p)) == 0)
                        options.profile = (SimProfile) p;
        if (argc == 1 && options.profile != _SIM_PROFILE_MAX && options.jobs >= 1 && options.jobs <= RUNNER_JOBS_MAX &&
            options.mutant >= 0 && options.seeds >= 1 && options.first >= 0 && options.failures >= 1)
                return true;
        fprintf(stderr, "%s: bad arguments; see --help\n", program);
        return false;
}

static bool parse(int argc, char **argv) {
        GOptionEntry entries[] = {
                { "seeds", 0, 0, G_OPTION_ARG_INT64, &options.seeds, "How many seeds (100)", "N" },
                { "first", 0, 0, G_OPTION_ARG_INT64, &options.first, "The first of them (1)", "S" },
                { "profile", 0, 0, G_OPTION_ARG_STRING, &options.profile_name, "fast, slow-disk, mixed or recipes (fast)", "NAME" },
                { "replay", 0, 0, G_OPTION_ARG_INT64, &options.replay, "One seed, telling everything", "SEED" },
                { "jobs", 0, 0, G_OPTION_ARG_INT, &options.jobs, "Processes (1)", "J" },
                { "failures", 0, 0, G_OPTION_ARG_INT, &options.failures, "Go on until so many seeds failed (1)", "N" },
                { "hash", 0, 0, G_OPTION_ARG_NONE, &options.hash, "Print the hash of each seed's trace", NULL },
#ifdef CONVENE_BREAK
                { "break", 0, 0, G_OPTION_ARG_INT, &options.mutant, "The wrong ordering to put back; with --mutants: only this one", "N" },
                { "mutants", 0, 0, G_OPTION_ARG_NONE, &options.mutants, "All wrong orderings that are found soon", NULL },
                { "rare", 0, 0, G_OPTION_ARG_NONE, &options.rare, "With --mutants: the others, too", NULL },
#endif
                { NULL },
        };
        g_autoptr(GOptionContext) context = g_option_context_new("- ensembles from seeds");
        g_autoptr(GError) error = NULL;

        g_option_context_add_main_entries(context, entries, NULL);
        if (!g_option_context_parse(context, &argc, &argv, &error)) {
                fprintf(stderr, "%s\n", error->message);
                return false;
        }
        return check_options(argc);
}

int main(int argc, char **argv) {
        program = argv[0];
        if (!parse(argc, argv))
                return 2;
        if (options.mutants)
                return mutant_run_all((unsigned) options.jobs, options.rare, (unsigned) options.mutant);
        if (options.mutant > 0)
                mutant_set((unsigned) options.mutant);
        return options.replay >= 0 ? replay() : run();
}
