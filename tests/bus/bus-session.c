/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Sessions: every owner that needs no systemd, secrets, and restarts of the agent.
 */

#include <inttypes.h>
#include <signal.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "tests/bus/harness.h"

typedef struct Opened {
        uint64_t id;
        uint8_t secret[16];
        uint32_t timeout;
} Opened;

static Opened open_session(sd_bus *bus, const char *owner, uint32_t timeout) {
        g_autoptr(sd_bus_message) m = call(bus, SESSIONS, "Open", "sa{sv}", owner, 1, "timeout", "u", timeout);
        const void *secret;
        size_t size;
        Opened o;

        g_assert_cmpint(sd_bus_message_read(m, "t", &o.id), >, 0);
        g_assert_cmpint(sd_bus_message_read_array(m, 'y', &secret, &size), >=, 0);
        g_assert_cmpuint(size, ==, sizeof(o.secret));
        memcpy(o.secret, secret, size);
        g_assert_cmpint(sd_bus_message_read(m, "u", &o.timeout), >, 0);
        return o;
}

static void make_ephemeral(sd_bus *bus, const char *path, uint64_t session) {
        sd_bus_message_unref(call(bus, TREE, "Create", "saysa{sv}", path, 0, "ephemeral", 1, "session", "t", session));
}

static int attach(sd_bus *bus, const Opened *o, const uint8_t *secret, char **ret_error) {
        g_autoptr(sd_bus_message) m = NULL;
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        g_assert_cmpint(sd_bus_message_new_method_call(bus, &m, "org.convene1", "/org/convene1", SESSIONS, "Attach"), >=, 0);
        g_assert_cmpint(sd_bus_message_append(m, "t", o->id), >=, 0);
        g_assert_cmpint(sd_bus_message_append_array(m, 'y', secret, 16), >=, 0);
        g_assert_cmpint(sd_bus_message_append(m, "a{sv}", 1, "timeout", "u", o->timeout), >=, 0);
        r = sd_bus_call(bus, m, 0, &error, NULL);
        *ret_error = g_strdup(error.name);
        sd_bus_error_free(&error);
        return r;
}

static void attach_well(sd_bus *bus, const Opened *o) {
        g_autofree char *error = NULL;

        g_assert_cmpint(attach(bus, o, o->secret, &error), >=, 0);
}

static void test_timeout_is_negotiated(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);

        g_assert_cmpuint(open_session(bus, "explicit", 1).timeout, ==, 1000);
        g_assert_cmpuint(open_session(bus, "explicit", 5000).timeout, ==, 5000);
        g_assert_cmpuint(open_session(bus, "explicit", UINT32_MAX).timeout, ==, 3600000);
}

static void test_implicit(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), other = peer_new(shared);
        g_autoptr(sd_bus_message) before = call(bus, TREE, "GetEphemerals", "sa{sv}", "/", 0), after = NULL;
        g_auto(GStrv) none = NULL, both = NULL;

        g_assert_cmpint(sd_bus_message_read_strv(before, &none), >=, 0);
        g_assert_true(!none || !none[0]);
        sd_bus_message_unref(call(bus, TREE, "Create", "saysa{sv}", "/implicit-a", 0, "ephemeral", 0));
        sd_bus_message_unref(call(bus, TREE, "Create", "saysa{sv}", "/implicit-b", 0, "ephemeral", 0));
        after = call(bus, TREE, "GetEphemerals", "sa{sv}", "/", 0);
        g_assert_cmpint(sd_bus_message_read_strv(after, &both), >=, 0);
        g_assert_cmpuint(g_strv_length(both), ==, 2);
        g_assert_true(exists(other, "/implicit-a"));
        g_clear_pointer(&before, sd_bus_message_unref);
        g_clear_pointer(&after, sd_bus_message_unref);
        g_clear_pointer(&bus, peer_free);
        wait_exists(other, "/implicit-a", false);
        g_assert_false(exists(other, "/implicit-b"));
}

/* By pages of two and one, each after the last path of the page before. */
static void test_ephemerals_pages(void) {
        static const char *const wanted[] = { "/page-a", "/page-b", "/page-c" };
        g_autoptr(sd_bus) bus = peer_new(shared);
        const char *after = "";
        unsigned n = 0;
        int more = true;

        for (unsigned i = 3; i > 0; i--)
                sd_bus_message_unref(call(bus, TREE, "Create", "saysa{sv}", wanted[i - 1], 0, "ephemeral", 0));
        while (more) {
                g_autoptr(sd_bus_message) m = call(bus, TREE, "GetEphemerals", "sa{sv}", "/page-", 2, "limit", "u", 2,
                                                   "start-after", "s", after);
                g_auto(GStrv) page = NULL;

                g_assert_cmpint(sd_bus_message_read_strv(m, &page), >=, 0);
                g_assert_cmpint(sd_bus_message_read(m, "b", &more), >=, 0);
                g_assert_cmpuint(g_strv_length(page), ==, n == 0 ? 2 : 1);
                for (char **path = page; *path; path++)
                        g_assert_cmpstr(*path, ==, wanted[n++]);
                after = wanted[n - 1];
        }
        g_assert_cmpuint(n, ==, 3);
}

static void test_connection(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), other = peer_new(shared);
        Opened o = open_session(bus, "connection", 5000);

        make_ephemeral(bus, "/connection", o.id);
        g_free(call_fails(other, NO_AUTH, TREE, "Create", "saysa{sv}", "/connection-x", 0, "ephemeral", 1, "session", "t", o.id));
        g_clear_pointer(&bus, peer_free);
        wait_exists(other, "/connection", false);
}

static void test_explicit_and_attach(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), other = peer_new(shared);
        Opened o = open_session(bus, "explicit", 10000);
        uint8_t wrong[16] = { 0 };
        g_autofree char *error = NULL;

        make_ephemeral(bus, "/explicit", o.id);
        sd_bus_message_unref(call(bus, SESSIONS, "KeepAlive", "t", o.id));
        g_clear_pointer(&bus, peer_free);
        sd_bus_message_unref(call(other, TREE, "Sync", "a{sv}", 0));
        g_assert_true(exists(other, "/explicit"));
        g_assert_cmpint(attach(other, &o, wrong, &error), <, 0);
        g_assert_cmpstr(error, ==, "org.convene1.Error.AuthFailed");
        attach_well(other, &o);
        make_ephemeral(other, "/explicit-more", o.id);
        sd_bus_message_unref(call(other, SESSIONS, "Close", "ta{sv}", o.id, 0));
        g_assert_false(exists(other, "/explicit"));
        g_assert_false(exists(other, "/explicit-more"));
        g_free(call_fails(other, SESSION_EXPIRED, SESSIONS, "KeepAlive", "t", o.id));
}

static void test_attach_moves(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), other = peer_new(shared), third = peer_new(shared);
        Opened o = open_session(bus, "connection", 5000);

        make_ephemeral(bus, "/moves", o.id);
        attach_well(other, &o);
        g_free(call_fails(bus, NO_AUTH, SESSIONS, "KeepAlive", "t", o.id));
        g_clear_pointer(&bus, peer_free);
        sd_bus_message_unref(call(third, TREE, "Sync", "a{sv}", 0));
        make_ephemeral(other, "/moves-b", o.id);
        g_assert_true(exists(third, "/moves"));
        g_clear_pointer(&other, peer_free);
        wait_exists(third, "/moves", false);
}

/* SEC-16: five guesses, ever. */
static void test_guessing(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), thief = peer_new(shared);
        Opened o = open_session(bus, "explicit", 10000);
        uint8_t guess[16] = { 0 };

        for (uint8_t i = 0; i < 5; i++) {
                g_autofree char *error = NULL;

                guess[0] = i;
                g_assert_cmpint(attach(thief, &o, guess, &error), <, 0);
                g_assert_cmpstr(error, ==, "org.convene1.Error.AuthFailed");
        }
        {
                g_autofree char *error = NULL;
                int r = attach(thief, &o, o.secret, &error);

                g_assert_cmpint(r, <, 0);       /* the connection is closed, or refused from now on */
                if (dbus_daemon_path)
                        g_assert_cmpstr(error, ==, "org.convene1.Error.AuthFailed");
        }
        sd_bus_message_unref(call(bus, SESSIONS, "KeepAlive", "t", o.id));
}

static void test_expiry(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), other = peer_new(shared);
        g_autoptr(Record) r = record_new(bus);
        Opened o = open_session(bus, "explicit", 1000);
        g_autofree char *wanted = g_strdup_printf("ended %" PRIu64 " expired", o.id);

        make_ephemeral(bus, "/expiry", o.id);
        record_wait(bus, r, 1);
        g_assert_cmpstr(record_line(r, 0), ==, wanted);
        g_assert_false(exists(other, "/expiry"));
}

static int open_descriptor(sd_bus *bus, uint64_t *ret_id) {
        g_autoptr(sd_bus_message) m = call(bus, SESSIONS, "OpenDescriptor", "a{sv}", 0);
        uint32_t timeout;
        int fd;

        g_assert_cmpint(sd_bus_message_read(m, "thu", ret_id, &fd, &timeout), >, 0);
        return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static void test_descriptor(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), other = peer_new(shared);
        struct pollfd p = { .events = POLLIN };
        uint64_t id, second;
        int fd = open_descriptor(bus, &id), copy;
        char c;

        make_ephemeral(bus, "/descriptor", id);
        copy = dup(fd);
        g_clear_pointer(&bus, peer_free);
        close(fd);
        sd_bus_message_unref(call(other, TREE, "Sync", "a{sv}", 0));
        g_assert_true(exists(other, "/descriptor"));
        close(copy);                            /* the last one */
        wait_exists(other, "/descriptor", false);

        fd = open_descriptor(other, &second);
        sd_bus_message_unref(call(other, SESSIONS, "Close", "ta{sv}", second, 0));
        p.fd = fd;
        g_assert_cmpint(poll(&p, 1, 30000), ==, 1);
        g_assert_cmpint(read(fd, &c, 1), ==, 0);
        close(fd);
}

static void test_ended_signal(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), other = peer_new(shared);
        g_autoptr(Record) r = record_new(bus);
        Opened o = open_session(bus, "explicit", 10000);
        g_autofree char *wanted = g_strdup_printf("ended %" PRIu64, o.id);

        if (geteuid() != 0) {
                g_test_skip("needs root, to end what is somebody else's");
                return;
        }
        sd_bus_message_unref(call(other, SESSIONS, "Close", "ta{sv}", o.id, 0));
        record_wait(bus, r, 1);
        g_assert_cmpstr(record_line(r, 0), ==, wanted);
        g_free(call_fails(bus, SESSION_EXPIRED, TREE, "Get", "sa{sv}", "/", 1, "session", "t", o.id));
}

static void test_errors(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autofree char *unit = NULL;

        g_free(call_fails(bus, BAD_ARGUMENTS, SESSIONS, "Open", "sa{sv}", "forever", 0));
        g_free(call_fails(bus, BAD_ARGUMENTS, SESSIONS, "Open", "sa{sv}", "descriptor", 0));
        g_free(call_fails(bus, BAD_ARGUMENTS, SESSIONS, "Open", "sa{sv}", "unit", 0));
        unit = call_fails(bus, BAD_ARGUMENTS, SESSIONS, "Open", "sa{sv}", "unit", 1, "unit", "s", "no-such.service");
        g_assert_nonnull(strstr(unit, "no-such.service"));
        g_free(call_fails(bus, BAD_ARGUMENTS, SESSIONS, "Open", "sa{sv}", "explicit", 1, "unit", "s", "x.service"));
        g_free(call_fails(bus, SESSION_EXPIRED, SESSIONS, "Close", "ta{sv}", UINT64_C(77), 0));
        g_free(call_fails(bus, SESSION_EXPIRED, TREE, "Get", "sa{sv}", "/", 1, "session", "t", UINT64_C(77)));
}

static void test_list_and_object(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        Opened o = open_session(bus, "explicit", 10000);
        g_autoptr(sd_bus_message) m = NULL;
        g_autofree char *path = g_strdup_printf("/org/convene1/session/%016" PRIx64, o.id), *kind = NULL;
        const char *word, *owner;
        uint32_t member, timeout, ephemerals;
        uint64_t id, deadline;
        int64_t created;

        m = call(bus, SESSIONS, "List", "a{sv}", 2, "start-after", "t", o.id - 1, "limit", "u", 1);
        g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "(tssuuuxt)"), >, 0);
        g_assert_cmpint(sd_bus_message_read(m, "(tssuuuxt)", &id, &word, &owner, &member, &timeout, &ephemerals, &created,
                                            &deadline), >, 0);
        g_assert_cmpuint(id, ==, o.id);
        g_assert_cmpstr(word, ==, "explicit");
        g_assert_true(g_str_has_prefix(owner, "uid "));
        g_assert_cmpuint(timeout, ==, 10000);
        g_assert_cmpuint(deadline, >, 0);
        g_assert_cmpint(sd_bus_get_property_string(bus, "org.convene1", path, "org.convene1.Session", "OwnerKind", NULL, &kind),
                        >=, 0);
        g_assert_cmpstr(kind, ==, "explicit");
        g_assert_cmpint(sd_bus_get_property_string(bus, "org.convene1", "/org/convene1/session/0000000000000001",
                                                   "org.convene1.Session", "OwnerKind", NULL, &kind), <, 0);
}

static void test_host(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), other = peer_new(shared);
        Opened o = open_session(bus, "host", 5000);

        make_ephemeral(bus, "/host", o.id);
        g_clear_pointer(&bus, peer_free);
        sd_bus_message_unref(call(other, TREE, "Sync", "a{sv}", 0));
        g_assert_true(exists(other, "/host"));
        sd_bus_message_unref(call(other, SESSIONS, "Close", "ta{sv}", o.id, 0));
}

/* kill -9 of the agent: what still lives keeps its znodes, what ended meanwhile loses them. */
static void test_agent_restart(void) {
        Agent *a = agent_new(NULL);
        sd_bus *bus = peer_new(a), *leaver = peer_new(a), *other = NULL;
        Opened host = open_session(bus, "host", 5000), explicit = open_session(bus, "explicit", 20000);
        Opened socket_session;
        uint64_t descriptor;
        int fd;

        make_ephemeral(bus, "/r-host", host.id);
        make_ephemeral(bus, "/r-explicit", explicit.id);
        sd_bus_message_unref(call(bus, TREE, "Create", "saysa{sv}", "/r-mine", 0, "ephemeral", 0));
        sd_bus_message_unref(call(leaver, TREE, "Create", "saysa{sv}", "/r-leaver", 0, "ephemeral", 0));
        fd = open_descriptor(bus, &descriptor);
        make_ephemeral(bus, "/r-descriptor", descriptor);
        {
                sd_bus *p = peer_new_socket(a);

                socket_session = open_session(p, "connection", 20000);
                make_ephemeral(p, "/r-socket", socket_session.id);
                agent_stop(a, SIGKILL);
                peer_free(p);
        }
        peer_free(leaver);
        if (!a->broker_address)
                g_clear_pointer(&bus, peer_free);
        agent_start(a);

        other = peer_new(a);
        /* There is no fd store here: a descriptor cannot be told from one that was closed. */
        wait_exists(other, "/r-descriptor", false);
        if (a->broker_address) {
                wait_exists(other, "/r-leaver", false);
                g_assert_true(exists(other, "/r-mine"));
                /* Still the connection's own. */
                sd_bus_message_unref(call(bus, TREE, "Create", "saysa{sv}", "/r-mine-too", 0, "ephemeral", 0));
                peer_free(bus);
                wait_exists(other, "/r-mine", false);
                g_assert_false(exists(other, "/r-mine-too"));
        }
        g_assert_true(exists(other, "/r-host"));
        g_assert_true(exists(other, "/r-explicit"));
        g_assert_true(exists(other, "/r-socket"));
        attach_well(other, &explicit);
        attach_well(other, &socket_session);
        make_ephemeral(other, "/r-explicit-too", explicit.id);
        {
                sd_bus *watcher = peer_new(a);

                peer_free(other);
                wait_exists(watcher, "/r-socket", false);
                g_assert_true(exists(watcher, "/r-explicit"));
                peer_free(watcher);
        }
        close(fd);
        agent_free(a);
}

void add_session_tests(void) {
        g_test_add_func("/bus/session/timeout-is-negotiated", test_timeout_is_negotiated);
        g_test_add_func("/bus/session/implicit", test_implicit);
        g_test_add_func("/bus/session/ephemerals-pages", test_ephemerals_pages);
        g_test_add_func("/bus/session/connection", test_connection);
        g_test_add_func("/bus/session/explicit-and-attach", test_explicit_and_attach);
        g_test_add_func("/bus/session/attach-moves", test_attach_moves);
        g_test_add_func("/bus/session/guessing", test_guessing);
        g_test_add_func("/bus/session/expiry", test_expiry);
        g_test_add_func("/bus/session/descriptor", test_descriptor);
        g_test_add_func("/bus/session/ended-signal", test_ended_signal);
        g_test_add_func("/bus/session/errors", test_errors);
        g_test_add_func("/bus/session/list-and-object", test_list_and_object);
        g_test_add_func("/bus/session/host", test_host);
        g_test_add_func("/bus/session/agent-restart", test_agent_restart);
}
