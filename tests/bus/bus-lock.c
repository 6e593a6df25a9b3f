/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Locks: what a program gets that calls it itself
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bus/harness.h"

#define LOCKS "org.convene1.Locks"
#define TIMED_OUT "org.convene1.Error.TimedOut"
#define NOT_HELD "org.convene1.Error.NotHeld"
#define HANG_UP_MSEC 30000

typedef struct Held {
        int fd;
        uint64_t token;
        char *path;
        uint32_t grace;
} Held;

static Held take(sd_bus_message *m) {
        const char *path;
        Held h;
        int fd;

        g_assert_cmpint(sd_bus_message_read(m, "htsu", &fd, &h.token, &path, &h.grace), >, 0);
        h.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        g_assert_cmpint(h.fd, >=, 0);
        h.path = g_strdup(path);
        sd_bus_message_unref(m);
        return h;
}

static Held lock(sd_bus *bus, const char *name) {
        return take(call(bus, LOCKS, "Lock", "sa{sv}", name, 0));
}

static void held_done(Held *h) {
        if (h->fd >= 0)
                close(h->fd);
        g_free(h->path);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Held, held_done)

static bool is_current(sd_bus *bus, const char *name, uint64_t token) {
        g_autoptr(sd_bus_message) m = call(bus, LOCKS, "Verify", "st", name, token);
        int current;

        g_assert_cmpint(sd_bus_message_read(m, "b", &current), >, 0);
        return current;
}

static void wait_hang_up(int fd) {
        struct pollfd p = { .fd = fd };

        g_assert_cmpint(poll(&p, 1, HANG_UP_MSEC), ==, 1);
        g_assert_cmpint(p.revents & POLLHUP, ==, POLLHUP);
}

/* The last copy is what counts, not the connection. */
static void test_descriptor(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), other = peer_new(shared);
        g_auto(Held) first = lock(bus, "fd");
        g_auto(Held) second = { .fd = -1 };
        int copy = dup(first.fd);

        g_assert_true(is_current(other, "fd", first.token));
        g_assert_false(is_current(other, "fd", first.token - 1));
        g_assert_false(is_current(other, "another", first.token));
        g_assert_cmpuint(first.grace, ==, 2500);        /* a quarter of the usual timeout */

        g_clear_pointer(&bus, peer_free);
        close(g_steal_fd(&first.fd));
        sd_bus_message_unref(call(other, TREE, "Sync", "a{sv}", 0));
        g_assert_true(is_current(other, "fd", first.token));
        g_free(call_fails(other, TIMED_OUT, LOCKS, "Lock", "sa{sv}", "fd", 1, "timeout", "t", UINT64_C(0)));

        close(copy);
        second = lock(other, "fd");
        g_assert_cmpuint(second.token, >, first.token);
        g_assert_true(is_current(other, "fd", second.token));
        g_assert_false(is_current(other, "fd", first.token));
}

static void test_hang_up(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_auto(Held) h = lock(bus, "hangup");
        char c;

        sd_bus_message_unref(call(bus, TREE, "Delete", "sia{sv}", h.path, -1, 0));
        wait_hang_up(h.fd);
        g_assert_cmpint(read(h.fd, &c, 1), ==, 0);
        g_assert_cmpint(send(h.fd, "x", 1, MSG_NOSIGNAL), <, 0);
        g_assert_false(is_current(bus, "hangup", h.token));
}

static Held lock_pending(sd_bus *bus, const char *name) {
        return take(call(bus, LOCKS, "Lock", "sa{sv}", name, 1, "pending", "b", 1));
}

static void wait_told(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        char c;

        g_assert_cmpint(poll(&p, 1, HANG_UP_MSEC), ==, 1);
        g_assert_cmpint(recv(fd, &c, 1, MSG_DONTWAIT), ==, 1);
        g_assert_cmpint(recv(fd, &c, 1, MSG_DONTWAIT), <, 0);
        g_assert_cmpint(errno, ==, EAGAIN);
}

/* The descriptor comes first, and tells in its turn. */
static void test_pending(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_auto(Held) first = lock_pending(bus, "pending"), second = lock_pending(bus, "pending"), third = lock_pending(bus, "pending");
        char c;

        wait_told(first.fd);
        g_assert_true(is_current(bus, "pending", first.token));
        g_assert_false(is_current(bus, "pending", second.token));
        g_assert_cmpint(recv(second.fd, &c, 1, MSG_DONTWAIT), <, 0);
        g_assert_cmpint(errno, ==, EAGAIN);

        sd_bus_message_unref(call(bus, TREE, "Delete", "sia{sv}", second.path, -1, 0));
        wait_hang_up(second.fd);
        g_assert_cmpint(recv(second.fd, &c, 1, MSG_DONTWAIT), ==, 0);   /* it never held */

        close(g_steal_fd(&first.fd));
        wait_told(third.fd);
        g_assert_true(is_current(bus, "pending", third.token));
        sd_bus_message_unref(call(bus, TREE, "Delete", "sia{sv}", third.path, -1, 0));
        wait_hang_up(third.fd);
}

/* "granted TOKEN PATH" */
static const char *read_granted(const Record *r, unsigned line, uint64_t *ret_token) {
        char *end;

        g_assert_true(g_str_has_prefix(record_line(r, line), "granted "));
        *ret_token = g_ascii_strtoull(record_line(r, line) + strlen("granted "), &end, 10);
        g_assert_cmpint(*end, ==, ' ');
        return end + 1;
}

/* Without a descriptor: the call is what holds, until its caller goes or the znode does. */
static void test_stay(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), brief = peer_new(shared), other = peer_new(shared);
        g_autoptr(Record) r = record_new(bus), gone = record_new(brief);
        g_auto(Held) third = { .fd = -1 };
        uint64_t first, second;
        const char *path;

        g_free(call_fails(bus, BAD_ARGUMENTS, LOCKS, "Lock", "sa{sv}", "stay", 2, "stay", "b", 1, "pending", "b", 1));
        g_free(call_fails(bus, BAD_ARGUMENTS, LOCKS, "Campaign", "sa{sv}", "stay", 2, "stay", "b", 1, "pending", "b", 1));
        call_later(brief, gone, "lock", LOCKS, "Lock", "sa{sv}", "stay", 2, "stay", "b", 1, "timeout", "t", UINT64_C(500000));
        record_wait(brief, gone, 1);
        (void) read_granted(gone, 0, &first);
        g_assert_true(is_current(other, "stay", first));

        /* Its patience is for the time until it holds. */
        g_free(call_fails(other, TIMED_OUT, LOCKS, "Lock", "sa{sv}", "stay", 2, "stay", "b", 1, "timeout", "t", UINT64_C(700000)));
        g_assert_true(is_current(other, "stay", first));

        call_later(bus, r, "lock", LOCKS, "Lock", "sa{sv}", "stay", 1, "stay", "b", 1);
        g_clear_pointer(&gone, record_free);
        g_clear_pointer(&brief, peer_free);
        record_wait(bus, r, 1);
        path = read_granted(r, 0, &second);
        g_assert_cmpuint(second, >, first);
        g_assert_true(is_current(other, "stay", second));
        g_assert_false(is_current(other, "stay", first));

        sd_bus_message_unref(call(other, TREE, "Delete", "sia{sv}", path, -1, 0));
        record_wait(bus, r, 2);
        g_assert_cmpstr(record_line(r, 1), ==, "error lock " NOT_HELD);
        third = lock(other, "stay");
        g_assert_cmpuint(third.token, >, second);
}

/* A caller goes on calling while it waits, and one that leaves is out of the queue. */
static void test_waiting(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), waiting = peer_new(shared);
        g_autoptr(Record) r = record_new(waiting);
        g_autoptr(sd_bus_message) m = NULL;
        g_auto(Held) h = lock(bus, "waiting");
        const char *name;
        unsigned n = 0;

        call_later(waiting, r, "lock", LOCKS, "Lock", "sa{sv}", "waiting", 0);
        call_later(waiting, r, "sync", TREE, "Sync", "a{sv}", 0);
        record_wait(waiting, r, 1);
        g_assert_cmpstr(record_line(r, 0), ==, "reply sync");
        g_clear_pointer(&r, record_free);
        g_clear_pointer(&waiting, peer_free);

        do {
                g_clear_pointer(&m, sd_bus_message_unref);
                m = call(bus, TREE, "GetChildren", "sa{sv}", "/convene/locks/waiting", 0);
                g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "s"), >, 0);
                for (n = 0; sd_bus_message_read_basic(m, 's', &name) > 0; n++)
                        ;
        } while (n > 1);
        g_assert_cmpuint(n, ==, 1);
        g_assert_true(is_current(bus, "waiting", h.token));
}

/* One who has given up on the call, and says so to nobody: the lock is not lost with the answer. */
static void test_answer_that_nobody_takes(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), impatient = peer_new(shared), other = peer_new(shared);
        sd_bus_error error = SD_BUS_ERROR_NULL;
        g_autoptr(sd_bus_message) m = NULL;
        g_auto(Held) first = lock(bus, "impatient");
        g_autoptr(Record) r = record_new(other);

        g_assert_cmpint(sd_bus_message_new_method_call(impatient, &m, "org.convene1", "/org/convene1", LOCKS, "Lock"), >=, 0);
        g_assert_cmpint(sd_bus_message_append(m, "sa{sv}", "impatient", 0), >=, 0);
        g_assert_cmpint(sd_bus_call(impatient, m, 50000, &error, NULL), ==, -ETIMEDOUT);

        sd_bus_error_free(&error);

        close(g_steal_fd(&first.fd));
        /* Its library reads the answer and throws it away; until then the lock is with the message. */
        call_later(other, r, "lock", LOCKS, "Lock", "sa{sv}", "impatient", 1, "timeout", "t", UINT64_C(20000000));
        for (bool done = false; !done;) {
                g_assert_cmpint(sd_bus_process(impatient, NULL), >=, 0);
                g_assert_cmpint(sd_bus_process(other, NULL), >=, 0);
                (void) sd_bus_wait(other, 10000);
                done = r->lines->len > 0;
        }
        g_assert_cmpstr(record_line(r, 0), ==, "reply lock");
}

static Held campaign(sd_bus *bus, uint32_t priority) {
        return take(call(bus, LOCKS, "Campaign", "sa{sv}", "impatient", 3, "pending", "b", 1, "priority", "u", priority,
                         "timeout", "t", UINT64_C(0)));
}

/* The answer has come at once: its patience is over by then, and it lets others pass all the same. */
static void test_pending_without_patience(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_auto(Held) first = campaign(bus, 0), low = campaign(bus, 0), high = campaign(bus, 1);
        struct pollfd p[] = { { .fd = high.fd, .events = POLLIN }, { .fd = low.fd, .events = POLLIN } };
        char line[256];
        ssize_t n;

        close(g_steal_fd(&first.fd));
        g_assert_cmpint(poll(p, 1, HANG_UP_MSEC), ==, 1);
        g_assert_cmpint(read(high.fd, line, sizeof line), ==, 1);
        g_assert_cmpint(poll(p + 1, 1, 0), ==, 0);
        close(g_steal_fd(&high.fd));
        g_assert_cmpint(poll(p + 1, 1, HANG_UP_MSEC), ==, 1);
        n = read(low.fd, line, sizeof line - 1);
        g_assert_cmpint(n, >, 1);
        line[n] = '\0';
        g_assert_cmpuint(strtoull(line, NULL, 10), >, high.token);
}

static void test_mistakes(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        static const char *const names[] = { "", "a/b", ".", "..", "/", "/a/", "//a", "relative/path" };
        g_autofree char *text = NULL;
        g_autofree char *too_long = g_strnfill(1020, 'x');

        for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
                g_free(call_fails(bus, BAD_ARGUMENTS, LOCKS, "Lock", "sa{sv}", names[i], 0));
                g_free(call_fails(bus, BAD_ARGUMENTS, LOCKS, "Campaign", "sa{sv}", names[i], 0));
                g_free(call_fails(bus, BAD_ARGUMENTS, LOCKS, "Leader", "sa{sv}", names[i], 0));
                g_free(call_fails(bus, BAD_ARGUMENTS, LOCKS, "Verify", "st", names[i], UINT64_C(1)));
        }
        sd_bus_message_unref(call(bus, LOCKS, "Verify", "st", "nothing", UINT64_C(1)));
        g_free(call_fails(bus, BAD_ARGUMENTS, LOCKS, "Lock", "sa{sv}", too_long, 0));
        g_free(call_fails(bus, BAD_ARGUMENTS, LOCKS, "Lock", "sa{sv}", "x", 1, "slots", "u", 0));
        g_free(call_fails(bus, BAD_ARGUMENTS, LOCKS, "Lock", "sa{sv}", "x", 2, "slots", "u", 2, "shared", "b", 1));
        g_free(call_fails(bus, BAD_ARGUMENTS, LOCKS, "Campaign", "sa{sv}", "x", 1, "slots", "u", 2));
        g_free(call_fails(bus, "org.convene1.Error.InvalidACL", LOCKS, "Lock", "sa{sv}", "x", 1, "acl", "a(uss)", 1, 99,
                          "no", "such"));
        text = call_fails(bus, BAD_ARGUMENTS, LOCKS, "Lock", "sa{sv}", "x", 1, "timeout", "u", 1);
        g_assert_nonnull(strstr(text, "must be of type 't'"));
        g_free(call_fails(bus, NOT_HELD, LOCKS, "Leader", "sa{sv}", "nobody", 0));
}

static void test_limits(void) {
        Agent *a = agent_new("Sessions=3\n");
        g_autoptr(Record) r = NULL;
        sd_bus *bus, *admin;

        admin = peer_new(a);
        bus = peer_new(a);
        {
                g_auto(Held) first = lock(bus, "limit");
                g_autofree char *text = NULL;

                r = record_new(bus);
                call_later(bus, r, "second", LOCKS, "Lock", "sa{sv}", "limit", 0);
                call_later(bus, r, "third", LOCKS, "Lock", "sa{sv}", "limit", 0);
                text = call_fails(bus, LIMIT_EXCEEDED, LOCKS, "Lock", "sa{sv}", "another", 0);
                g_assert_nonnull(strstr(text, "Sessions="));
                close(g_steal_fd(&first.fd));
                record_wait(bus, r, 1);
                g_assert_cmpstr(record_line(r, 0), ==, "reply second");
        }
        g_clear_pointer(&r, record_free);
        peer_free(bus);
        /* All of it is given back. */
        wait_exists(admin, "/convene/locks/limit", false);
        for (unsigned i = 0; i < 4; i++) {
                g_auto(Held) h = lock(admin, "limit");

                close(g_steal_fd(&h.fd));
                wait_exists(admin, h.path, false);
        }
        peer_free(admin);
        agent_free(a);
}

void add_lock_tests(void) {
        g_test_add_func("/lock/descriptor", test_descriptor);
        g_test_add_func("/lock/hang-up", test_hang_up);
        g_test_add_func("/lock/pending", test_pending);
        g_test_add_func("/lock/pending-without-patience", test_pending_without_patience);
        g_test_add_func("/lock/stay", test_stay);
        g_test_add_func("/lock/waiting", test_waiting);
        g_test_add_func("/lock/answer-that-nobody-takes", test_answer_that_nobody_takes);
        g_test_add_func("/lock/mistakes", test_mistakes);
        g_test_add_func("/lock/limits", test_limits);
}
