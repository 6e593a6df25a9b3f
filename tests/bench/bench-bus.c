/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Calls per second over a private dbus-daemon and over the local socket, beside a process that does nothing but serve methods with
 * sd-bus on the same path: Empty (no arguments, no answer) and Same (Get's arguments and an answer of Get's form and size).
 * Then durable Sets: one at a time beside one preallocated 4-KiB pwrite and fdatasync on the disk of the agent's store, beside
 * the same write done by that process before it answers a method (Durable: what the disk and a call cost, and nothing else),
 * and a thousand at a time beside one at a time.  All are measured in turns; the figures are medians.
 *
 *     bench-bus [MILLISECONDS [CONVENED [DBUS-DAEMON]]]         per measurement; default 400
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <systemd/sd-event.h>

#include "tests/bench/load.h"
#include "tests/bus/harness.h"

#define ROUNDS 7
#define DURABLE_ROUNDS 12
#define DURABLE_SETS 100                /* at window 1, and as many bare writes, in each round */
#define DURABLE_WINDOW 1000

static uint64_t measure_usec = 400000;
static int durable_fd = -1;
static unsigned durable_number;

/*
 * The process to compare with
 */

static int method_empty(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return sd_bus_reply_method_return(m, NULL);
}

static int method_same(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        static const uint8_t data[LOAD_DATA_BYTES];
        g_autoptr(sd_bus_message) reply = NULL;
        const char *path;

        if (sd_bus_message_read(m, "s", &path) < 0 || sd_bus_message_skip(m, "a{sv}") < 0 ||
            sd_bus_message_new_method_return(m, &reply) < 0 ||
            sd_bus_message_append_array(reply, 'y', data, sizeof(data)) < 0 ||
            sd_bus_message_append(reply, STAT, UINT64_C(1), UINT64_C(2), UINT64_C(3), INT64_C(4), INT64_C(5), 6, 7, 8,
                                  UINT64_C(9), 10, 11) < 0)
                return -EINVAL;
        return sd_bus_send(NULL, reply, NULL);
}

static int method_durable(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        (void) load_bare_write(durable_fd, durable_number++);
        return sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable bare_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Durable", NULL, NULL, method_durable, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Empty", NULL, NULL, method_empty, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Same", "sa{sv}", "ay" STAT, method_same, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static void serve(sd_bus *bus, sd_event *event) {
        g_assert_cmpint(sd_bus_add_object_vtable(bus, NULL, "/org/convene1", "org.convene1.Bare", bare_vtable, NULL), >=, 0);
        g_assert_cmpint(sd_bus_start(bus), >=, 0);
        g_assert_cmpint(sd_bus_attach_event(bus, event, 0), >=, 0);
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        sd_bus *bus;

        g_assert_cmpint(sd_bus_new(&bus), >=, 0);
        g_assert_cmpint(sd_bus_set_fd(bus, connection, connection), >=, 0);
        g_assert_cmpint(sd_bus_set_server(bus, true, SD_ID128_MAKE(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)), >=, 0);
        g_assert_cmpint(sd_bus_negotiate_fds(bus, true), >=, 0);
        serve(bus, sd_event_source_get_event(source));
        return 0;
}

_Noreturn static void run_bare(int listening, int ready, const char *broker_address) {
        sd_event *event = NULL;
        sd_bus *bus = NULL;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        g_assert_cmpint(sd_event_new(&event), >=, 0);
        g_assert_cmpint(sd_event_add_io(event, NULL, listening, EPOLLIN, on_connection, NULL), >=, 0);
        g_assert_cmpint(sd_bus_new(&bus), >=, 0);
        g_assert_cmpint(sd_bus_set_address(bus, broker_address), >=, 0);
        g_assert_cmpint(sd_bus_set_bus_client(bus, true), >=, 0);
        serve(bus, event);
        g_assert_cmpint(sd_bus_request_name(bus, "org.convene1.Bare", 0), >=, 0);
        g_assert_cmpint(write(ready, "", 1), ==, 1);
        (void) sd_event_loop(event);
        _exit(EXIT_FAILURE);
}

static pid_t start_bare(const char *path, const char *broker_address) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), ready[2];
        pid_t pid;
        char c;

        g_strlcpy(sa.sun_path, path, sizeof(sa.sun_path));
        g_assert_cmpint(bind(fd, (struct sockaddr *) &sa, sizeof(sa)), ==, 0);
        g_assert_cmpint(listen(fd, 16), ==, 0);
        g_assert_cmpint(pipe(ready), ==, 0);
        pid = fork();
        g_assert_cmpint(pid, >=, 0);
        if (pid == 0)
                run_bare(fd, ready[1], broker_address);
        close(fd);
        close(ready[1]);
        g_assert_cmpint(read(ready[0], &c, 1), ==, 1);
        close(ready[0]);
        return pid;
}

static void compare_at(const char *transport, unsigned window, Load *get, Load *empty, Load *same, Load *set) {
        double gets[ROUNDS], empties[ROUNDS], sames[ROUNDS], sets[ROUNDS], g, e, s;

        for (unsigned i = 0; i < ROUNDS; i++) {
                gets[i] = load_rate(get, window, measure_usec);
                empties[i] = load_rate(empty, window, measure_usec);
                sames[i] = load_rate(same, window, measure_usec);
                sets[i] = load_rate(set, window, measure_usec);
        }
        g = load_median(gets, ROUNDS);
        e = load_median(empties, ROUNDS);
        s = load_median(sames, ROUNDS);
        printf("%-6s  window %4u  Get %7.0f/s   empty method %7.0f/s   ratio %.2f   same form %7.0f/s   ratio %.2f   Set %7.0f/s\n",
               transport, window, g, e, g / e, s, g / s, load_median(sets, ROUNDS));
        fflush(stdout);
}

/*
 * Durable Sets
 */

static void durable(const char *transport, const Agent *a, Load *set, Load *alone) {
        static double bares[DURABLE_ROUNDS * DURABLE_SETS], sets[DURABLE_ROUNDS * DURABLE_SETS], alones[DURABLE_ROUNDS * DURABLE_SETS];
        double many[DURABLE_ROUNDS], bare_usec, set_usec, alone_usec, m;
        unsigned n = 0;
        int fd = load_bare_open(a->directory, "bare-disk", DURABLE_ROUNDS * DURABLE_SETS);

        for (unsigned round = 0; round < DURABLE_ROUNDS; round++) {
                for (unsigned i = 0; i < DURABLE_SETS; i++, n++) {
                        bares[n] = load_bare_write(fd, n);
                        sets[n] = load_once(set);
                        alones[n] = load_once(alone);
                }
                many[round] = load_rate(set, DURABLE_WINDOW, measure_usec);
        }
        close(fd);
        bare_usec = load_median(bares, n);
        set_usec = load_median(sets, n);
        alone_usec = load_median(alones, n);
        m = load_median(many, DURABLE_ROUNDS);
        printf("%-6s  durable Set   %4.0f us   bare 4-KiB pwrite + fdatasync %4.0f us   ratio %.2f   "
               "method that does it %4.0f us   ratio %.2f   window %u %7.0f/s   times window 1 %.1f\n",
               transport, set_usec, bare_usec, set_usec / bare_usec, alone_usec, set_usec / alone_usec, DURABLE_WINDOW, m, m * set_usec / 1e6);
        fflush(stdout);
}

static void bench(const char *transport, const Agent *a, sd_bus *agent, sd_bus *bare) {
        Load get = { agent, "org.convene1", TREE, "Get", 1 }, set = { agent, "org.convene1", TREE, "Set", 2 };
        Load empty = { bare, "org.convene1.Bare", "org.convene1.Bare", "Empty", 0 };
        Load same = { bare, "org.convene1.Bare", "org.convene1.Bare", "Same", 1 };
        Load alone = { bare, "org.convene1.Bare", "org.convene1.Bare", "Durable", 0 };

        (void) load_rate(&get, 100, measure_usec);                 /* warm */
        compare_at(transport, 1, &get, &empty, &same, &set);
        compare_at(transport, 100, &get, &empty, &same, &set);
        durable(transport, a, &set, &alone);
}

static sd_bus *connect_bare(const char *path) {
        g_autofree char *address = g_strdup_printf("unix:path=%s", path);
        sd_bus *bus = NULL;

        g_assert_cmpint(sd_bus_new(&bus), >=, 0);
        g_assert_cmpint(sd_bus_set_address(bus, address), >=, 0);
        g_assert_cmpint(sd_bus_negotiate_fds(bus, true), >=, 0);
        g_assert_cmpint(sd_bus_start(bus), >=, 0);
        return bus;
}

int main(int argc, char *argv[]) {
        g_autofree char *path = NULL, *daemon = g_find_program_in_path("dbus-daemon");
        Agent *a;
        pid_t bare_pid;

        if (argc > 1)
                measure_usec = strtoull(argv[1], NULL, 10) * 1000;
        convened_path = argc > 2 ? argv[2] : CONVENED;
        dbus_daemon_path = argc > 3 ? argv[3] : daemon;
        if (measure_usec == 0 || !dbus_daemon_path) {
                fprintf(stderr, "usage: %s [MILLISECONDS [CONVENED [DBUS-DAEMON]]]\n", argv[0]);
                return EXIT_FAILURE;
        }

        a = agent_new(NULL);
        path = g_build_filename(a->directory, "bare", NULL);
        durable_fd = load_bare_open(a->directory, "bare-service", 2 * DURABLE_ROUNDS * DURABLE_SETS);
        bare_pid = start_bare(path, a->broker_address);
        {
                g_autoptr(sd_bus) broker = peer_new(a), agent = peer_new_socket(a), bare = connect_bare(path);

                sd_bus_message_unref(call(agent, TREE, "Create", "saysa{sv}", "/bench", 0, "persistent", 0));
                {
                        Load fill = { agent, "org.convene1", TREE, "Set", 2 };

                        (void) load_rate(&fill, 1, measure_usec);
                }
                bench("socket", a, agent, bare);
                bench("broker", a, broker, broker);
        }
        kill(bare_pid, SIGTERM);
        (void) waitpid(bare_pid, NULL, 0);
        agent_free(a);
        return EXIT_SUCCESS;
}
