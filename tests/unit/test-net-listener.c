/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Net: who may come in
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>

#include "agent/net/listener.h"
#include "agent/net/socket.h"
#include "tests/unit/run-until.h"

#define GUESTS_MAX 32

static sd_event *event;

typedef struct House {
        NetListener *listener;
        NetAdmission *admissions[GUESTS_MAX];
        int fds[GUESTS_MAX];
        unsigned guests;
        bool knows, evicts;
        unsigned evicted, crowded;
} House;

static void on_evict(void *userdata) {
        House *h = userdata;

        /* the first that is still there */
        for (unsigned i = 0; i < h->guests; i++)
                if (h->admissions[i]) {
                        h->admissions[i] = net_admission_free(h->admissions[i]);
                        h->evicted++;
                        return;
                }
        g_assert_not_reached();
}

static void on_crowded(void *userdata, const NetAddress *from) {
        House *h = userdata;

        h->crowded++;
}

static void on_accepted(void *userdata, int fd, const NetAddress *from, NetAdmission *admission) {
        House *h = userdata;

        g_assert_cmpuint(h->guests, <, GUESTS_MAX);
        g_assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
        g_assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        h->fds[h->guests] = fd;
        h->admissions[h->guests++] = admission;
        if (h->evicts)
                net_admission_set_evict(admission, on_evict, h);
}

static bool on_known(void *userdata, const NetAddress *from) {
        const House *h = userdata;

        return h->knows;
}

static void open_house(House *h, const char *text, NetListenerOptions options) {
        const NetListenerHandler handler = { on_accepted, on_known, on_crowded, h };
        NetAddress address;

        g_assert_true(net_address_parse(text, &address));
        g_assert_cmpint(net_listener_new(event, &address, &options, &handler, &h->listener), ==, 0);
}

static void close_house(House *h) {
        for (unsigned i = 0; i < h->guests; i++) {
                close(h->fds[i]);
                net_admission_free(h->admissions[i]);
        }
        h->listener = net_listener_free(h->listener);
}

static NetListenerStatistics statistics(const House *h) {
        NetListenerStatistics s;

        net_listener_get_statistics(h->listener, &s);
        return s;
}

/* From another of loopback's many addresses. */
static int knock(const House *h, const char *from) {
        const NetAddress *to = net_listener_address(h->listener);
        NetAddress address;
        int fd;

        g_assert_true(net_address_parse(from, &address));
        fd = socket(to->sockaddr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(bind(fd, (const struct sockaddr *) &address.sockaddr, address.size), ==, 0);
        g_assert_true(connect(fd, (const struct sockaddr *) &to->sockaddr, to->size) == 0 || errno == EINPROGRESS);
        return fd;
}

static void test_accept(void) {
        House h = { 0 };
        int fd;

        open_house(&h, "127.0.0.1:0", (NetListenerOptions) { 0 });
        g_assert_cmpint(net_dial(net_listener_address(h.listener), &fd), ==, 0);
        run_until(event, h.guests == 1);
        g_assert_cmpuint(statistics(&h).accepted, ==, 1);
        g_assert_cmpuint(statistics(&h).pending, ==, 1);
        h.admissions[0] = net_admission_free(h.admissions[0]);
        g_assert_cmpuint(statistics(&h).pending, ==, 0);
        close(fd);
        close_house(&h);
}

static void test_in_use(void) {
        const NetListenerHandler handler = { .accepted = on_accepted };
        House h = { 0 };
        NetListener *second = NULL;

        open_house(&h, "127.0.0.1:0", (NetListenerOptions) { 0 });
        g_assert_cmpint(net_listener_new(event, net_listener_address(h.listener), &(const NetListenerOptions) { 0 },
                                         &handler, &second), ==, -EADDRINUSE);
        g_assert_null(second);
        close_house(&h);
}

static void test_cap_of_host(void) {
        House h = { 0 };
        int fds[5];

        open_house(&h, "127.0.0.1:0", (NetListenerOptions) { .pending_of_host_max = 3 });
        for (unsigned i = 0; i < 4; i++)
                fds[i] = knock(&h, "127.0.0.2:0");
        run_until(event, statistics(&h).refused == 1);
        g_assert_cmpuint(h.guests, ==, 3);

        /* another host, and the same one again once it is known who one of them is */
        fds[4] = knock(&h, "127.0.0.3:0");
        run_until(event, h.guests == 4);
        h.admissions[1] = net_admission_free(h.admissions[1]);
        close(fds[3]);
        fds[3] = knock(&h, "127.0.0.2:0");
        run_until(event, h.guests == 5);
        g_assert_cmpuint(statistics(&h).refused, ==, 1);
        for (unsigned i = 0; i < 5; i++)
                close(fds[i]);
        close_house(&h);
}

static void test_cap_of_all(void) {
        House h = { 0 };
        int fds[6];

        open_house(&h, "127.0.0.1:0", (NetListenerOptions) { .pending_max = 3, .pending_of_host_max = 2 });
        for (unsigned i = 0; i < 4; i++) {
                g_autofree char *from = g_strdup_printf("127.0.0.%u:0", 10 + i);

                fds[i] = knock(&h, from);
        }
        run_until(event, statistics(&h).refused == 1);
        g_assert_cmpuint(h.guests, ==, 3);

        /* who belongs here is not kept out by the crowd */
        h.knows = true;
        fds[4] = knock(&h, "127.0.0.20:0");
        run_until(event, h.guests == 4);
        h.knows = false;
        fds[5] = knock(&h, "127.0.0.21:0");
        run_until(event, statistics(&h).refused == 2);
        for (unsigned i = 0; i < 6; i++)
                close(fds[i]);
        close_house(&h);
}

/* Where there is no room the oldest goes that may, and the newcomer gets its place. */
static void test_evict(void) {
        House h = { .evicts = true };
        int fds[8];

        open_house(&h, "127.0.0.1:0", (NetListenerOptions) { .pending_max = 4, .pending_of_host_max = 2 });
        for (unsigned i = 0; i < 5; i++)
                fds[i] = knock(&h, "127.0.0.2:0");
        run_until(event, h.guests == 5);
        g_assert_cmpuint(h.evicted, ==, 3);
        g_assert_cmpuint(h.crowded, ==, 3);
        g_assert_cmpuint(statistics(&h).refused, ==, 3);
        g_assert_cmpuint(statistics(&h).pending, ==, 2);

        /* those who have said who they are stay */
        net_admission_stays(h.admissions[3]);
        net_admission_stays(h.admissions[4]);
        fds[5] = knock(&h, "127.0.0.2:0");
        run_until(event, statistics(&h).refused == 4);
        g_assert_cmpuint(h.guests, ==, 5);

        /* and another host is no matter of them */
        fds[6] = knock(&h, "127.0.0.3:0");
        run_until(event, h.guests == 6);
        g_assert_cmpuint(h.evicted, ==, 3);
        for (unsigned i = 0; i < 7; i++)
                close(fds[i]);
        close_house(&h);
}

/* An address that this host does not have yet. */
static void test_not_yet(void) {
        House h = { 0 };

        open_house(&h, "192.0.2.77:0", (NetListenerOptions) { 0 });
        g_assert_false(net_is_here(net_listener_address(h.listener)));
        close_house(&h);
        open_house(&h, "127.0.0.1:0", (NetListenerOptions) { 0 });
        g_assert_true(net_is_here(net_listener_address(h.listener)));
        close_house(&h);
        open_house(&h, "[2001:db8::77]:0", (NetListenerOptions) { 0 });
        close_house(&h);
}

static void test_admission_outlives(void) {
        House h = { 0 };
        int fd;

        open_house(&h, "127.0.0.1:0", (NetListenerOptions) { 0 });
        g_assert_cmpint(net_dial(net_listener_address(h.listener), &fd), ==, 0);
        run_until(event, h.guests == 1);
        h.listener = net_listener_free(h.listener);
        close(fd);
        close_house(&h);
}

static void test_mapped(void) {
        House h = { 0 };
        NetAddress to;
        int fd;

        open_house(&h, "[::ffff:127.0.0.1]:0", (NetListenerOptions) { .pending_of_host_max = 1 });
        to = *net_listener_address(h.listener);
        g_assert_cmpint(net_dial(&to, &fd), ==, 0);
        run_until(event, h.guests == 1);
        close(fd);
        close_house(&h);
}

/* Without descriptors it rests, and goes on when there are some again. */
static void test_no_descriptors(void) {
        House h = { 0 };
        struct rlimit old, none;
        unsigned turns = 0;
        gint64 end;
        int fd;

        open_house(&h, "127.0.0.1:0", (NetListenerOptions) { .rest_usec = 50000 });
        g_assert_cmpint(net_dial(net_listener_address(h.listener), &fd), ==, 0);
        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &old), ==, 0);
        none = old;
        none.rlim_cur = (rlim_t) fd + 1;
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);

        run_until(event, statistics(&h).rests == 1);
        end = g_get_monotonic_time() + 200000;
        while (g_get_monotonic_time() < end) {
                g_assert_cmpint(sd_event_run(event, 10000), >=, 0);
                turns++;
        }
        g_assert_cmpuint(turns, <, 60);         /* a busy loop would take thousands */
        g_assert_cmpuint(statistics(&h).rests, <=, 6);
        g_assert_cmpuint(h.guests, ==, 0);

        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &old), ==, 0);
        run_until(event, h.guests == 1);
        close(fd);
        close_house(&h);
}

int main(int argc, char *argv[]) {
        int r;

        g_test_init(&argc, &argv, NULL);
        g_assert_cmpint(sd_event_new(&event), >=, 0);
        g_test_add_func("/net/listener/accept", test_accept);
        g_test_add_func("/net/listener/in-use", test_in_use);
        g_test_add_func("/net/listener/cap-of-host", test_cap_of_host);
        g_test_add_func("/net/listener/cap-of-all", test_cap_of_all);
        g_test_add_func("/net/listener/evict", test_evict);
        g_test_add_func("/net/listener/not-yet", test_not_yet);
        g_test_add_func("/net/listener/admission-outlives", test_admission_outlives);
        g_test_add_func("/net/listener/mapped", test_mapped);
        g_test_add_func("/net/listener/no-descriptors", test_no_descriptors);
        r = g_test_run();
        sd_event_unref(event);
        return r;
}
