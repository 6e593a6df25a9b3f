/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * An ensemble of three on this machine, as ./dev run --members 3 starts it: durable Sets and Gets asked of the leader and of a
 * follower, beside one preallocated 4-KiB pwrite and fdatasync on the same disk, and beside as many of these at once as there are
 * members until most are done, in turns; and the processor time of all members for each Set.  Figures are medians.
 *
 *     bench-ensemble DIR [MILLISECONDS]         DIR: that of ./dev run; per measurement, default 1000
 */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/bench/bare-quorum.h"
#include "tests/bench/load.h"
#include "tests/bus/harness.h"

#define MEMBERS_MAX 7
#define ROUNDS 7
#define SETS 60                         /* at window 1, and as many bare writes, for each round */
#define WINDOW 600
#define NAME "org.convene1"
#define PATH "/org/convene1"
#define ENSEMBLE "org.convene1.Ensemble"

typedef struct Member {
        unsigned number;
        sd_bus *bus;
        char *pid_file;
        bool leads;
} Member;

static uint64_t measure_usec = 1000000;
static Member members[MEMBERS_MAX];
static unsigned members_count;

static sd_bus *connect_to(const char *socket) {
        g_autofree char *address = g_strdup_printf("unix:path=%s", socket);
        sd_bus *bus = NULL;

        if (sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, address) < 0 || sd_bus_start(bus) < 0) {
                fprintf(stderr, "bench-ensemble: no agent answers at %s\n", socket);
                exit(EXIT_FAILURE);
        }
        return bus;
}

static void find_members(const char *directory) {
        for (unsigned n = 1; n <= MEMBERS_MAX; n++) {
                g_autofree char *socket = g_strdup_printf("%s/m%u/bus", directory, n);
                g_autofree char *role = NULL;
                Member *m = &members[members_count];

                if (access(socket, F_OK) < 0)
                        break;
                *m = (Member) { .number = n, .bus = connect_to(socket), .pid_file = g_strdup_printf("%s/m%u/pid", directory, n) };
                if (sd_bus_get_property_string(m->bus, NAME, PATH, ENSEMBLE, "Role", NULL, &role) < 0) {
                        fprintf(stderr, "bench-ensemble: member %u does not answer\n", n);
                        exit(EXIT_FAILURE);
                }
                m->leads = g_str_equal(role, "leader");
                members_count++;
        }
}

static Member *find(bool leads) {
        for (unsigned i = 0; i < members_count; i++)
                if (members[i].leads == leads)
                        return &members[i];

        fprintf(stderr, "bench-ensemble: there is no %s; start one with ./dev run --members 3\n", leads ? "leader" : "follower");
        exit(EXIT_FAILURE);
}

/* Microseconds of processor time of all members so far. */
static double processor_usec(void) {
        double sum = 0;

        for (unsigned i = 0; i < members_count; i++) {
                g_autofree char *pid = NULL, *path = NULL, *stat = NULL;
                unsigned long user, system;
                const char *at;

                if (!g_file_get_contents(members[i].pid_file, &pid, NULL, NULL))
                        continue;
                path = g_strdup_printf("/proc/%d/stat", atoi(pid));
                if (!g_file_get_contents(path, &stat, NULL, NULL) || !(at = strrchr(stat, ')')) ||
                    sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
                        continue;
                sum += (double) (user + system) * 1e6 / (double) sysconf(_SC_CLK_TCK);
        }
        return sum;
}

/* One at a time, in turns with the bare ones. */
static void bench_single_sets(const char *directory, Member *m) {
        static double bares[ROUNDS * SETS], quorums[ROUNDS * SETS], sets[ROUNDS * SETS];
        Load l = { m->bus, NAME, TREE, "Set", 2 };
        g_autoptr(BareQuorum) q = bare_quorum_new(directory, members_count, ROUNDS * SETS);
        int fd = load_bare_open(directory, "bare-disk", ROUNDS * SETS);
        double bare, quorum, set;

        for (unsigned n = 0; n < ROUNDS * SETS; n++) {
                bares[n] = load_bare_write(fd, n);
                quorums[n] = bare_quorum_write(q);
                sets[n] = load_once(&l);
        }
        close(fd);
        bare = load_median(bares, ROUNDS * SETS);
        quorum = load_median(quorums, ROUNDS * SETS);
        set = load_median(sets, ROUNDS * SETS);
        printf("%-8s  Set   %5.0f us   bare 4-KiB pwrite + fdatasync %5.0f us   ratio %.2f   %u at once, until most are done %5.0f us   "
               "ratio %.2f\n", m->leads ? "leader" : "follower", set, bare, set / bare, members_count, quorum, set / quorum);
        fflush(stdout);
}

static void bench_sets(Member *m) {
        double many[ROUNDS], one[ROUNDS], processor[ROUNDS];
        Load l = { m->bus, NAME, TREE, "Set", 2 };

        for (unsigned round = 0; round < ROUNDS; round++) {
                double before;

                one[round] = load_rate(&l, 1, measure_usec);
                before = processor_usec();
                many[round] = load_rate(&l, WINDOW, measure_usec);
                processor[round] = (processor_usec() - before) / (double) l.answered;
        }
        printf("%-8s  Set   window 1 %6.0f/s   window %d %7.0f/s   %.1f us of processor time each, all members\n",
               m->leads ? "leader" : "follower", load_median(one, ROUNDS), WINDOW, load_median(many, ROUNDS),
               load_median(processor, ROUNDS));
        fflush(stdout);
}

static void bench_gets(Member *m) {
        static const unsigned windows[] = { 1, 100 };
        double local[ROUNDS], linearizable[ROUNDS];

        for (unsigned w = 0; w < G_N_ELEMENTS(windows); w++) {
                Load l = { m->bus, NAME, TREE, "Get", 1 };

                for (unsigned round = 0; round < ROUNDS; round++) {
                        l.linearizable = false;
                        local[round] = load_rate(&l, windows[w], measure_usec / 4);
                        l.linearizable = true;
                        linearizable[round] = load_rate(&l, windows[w], measure_usec / 4);
                }
                printf("%-8s  Get   window %3u   local %7.0f/s   linearizable %7.0f/s\n", m->leads ? "leader" : "follower", windows[w],
                       load_median(local, ROUNDS), load_median(linearizable, ROUNDS));
                fflush(stdout);
        }
}

int main(int argc, char *argv[]) {
        g_autoptr(sd_bus_message) reply = NULL;
        sd_bus_error error = SD_BUS_ERROR_NULL;
        static const uint8_t data[LOAD_DATA_BYTES];
        sd_bus_message *m = NULL;
        Member *leader, *follower;

        if (argc < 2 || argc > 3) {
                fprintf(stderr, "usage: %s DIR [MILLISECONDS]\n", argv[0]);
                return EXIT_FAILURE;
        }
        if (argc > 2)
                measure_usec = strtoull(argv[2], NULL, 10) * 1000;
        find_members(argv[1]);
        leader = find(true);
        follower = find(false);

        if (sd_bus_message_new_method_call(leader->bus, &m, NAME, PATH, TREE, "Create") < 0 || sd_bus_message_append(m, "s", "/bench") < 0 ||
            sd_bus_message_append_array(m, 'y', data, sizeof(data)) < 0 || sd_bus_message_append(m, "sa{sv}", "persistent", 0) < 0)
                return EXIT_FAILURE;
        if (sd_bus_call(leader->bus, m, 0, &error, &reply) < 0 && !sd_bus_error_has_name(&error, "org.convene1.Error.NodeExists")) {
                fprintf(stderr, "bench-ensemble: cannot create /bench: %s\n", error.message);
                return EXIT_FAILURE;
        }
        sd_bus_error_free(&error);
        sd_bus_message_unref(m);

        bench_single_sets(argv[1], leader);
        bench_single_sets(argv[1], follower);
        bench_sets(leader);
        bench_sets(follower);
        bench_gets(leader);
        bench_gets(follower);
        return EXIT_SUCCESS;
}
