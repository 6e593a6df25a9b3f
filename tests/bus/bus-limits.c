/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Limits: each is a named error that says which, how much and where to change it, and others go on.
 */

#include <string.h>
#include <unistd.h>

#include "tests/bus/harness.h"

static void assert_limit(char *text, const char *number, const char *key) {
        g_autofree char *wanted = g_strdup_printf("%s=", key);

        g_assert_nonnull(strstr(text, number));
        g_assert_nonnull(strstr(text, wanted));
        g_free(text);
}

static void test_sessions(void) {
        Agent *a = agent_new("Sessions=3\n");
        {
                g_autoptr(sd_bus) bus = peer_new(a);

                for (unsigned i = 0; i < 3; i++)
                        sd_bus_message_unref(call(bus, SESSIONS, "Open", "sa{sv}", "explicit", 0));
                assert_limit(call_fails(bus, LIMIT_EXCEEDED, SESSIONS, "Open", "sa{sv}", "explicit", 0), "3", "Sessions");
                assert_limit(call_fails(bus, LIMIT_EXCEEDED, TREE, "Create", "saysa{sv}", "/x", 0, "ephemeral", 0), "3",
                             "Sessions");
                if (geteuid() == 0) {
                        g_autoptr(sd_bus) other = peer_new_as(a, NOBODY);

                        sd_bus_message_unref(call(other, SESSIONS, "Open", "sa{sv}", "explicit", 0));
                }
        }
        agent_free(a);
}

static void test_ephemerals(void) {
        Agent *a = agent_new("Ephemerals=4\n");
        {
                g_autoptr(sd_bus) bus = peer_new(a);

                make_open(bus, "/e");
                for (unsigned i = 0; i < 4; i++)
                        sd_bus_message_unref(call(bus, TREE, "Create", "saysa{sv}", "/e/s-", 0, "ephemeral-sequential", 0));
                assert_limit(call_fails(bus, LIMIT_EXCEEDED, TREE, "Create", "saysa{sv}", "/e/x", 0, "ephemeral", 0), "4",
                             "Ephemerals");
                sd_bus_message_unref(call(bus, TREE, "Delete", "sia{sv}", "/e/s-0000000000", -1, 0));
                sd_bus_message_unref(call(bus, TREE, "Create", "saysa{sv}", "/e/x", 0, "ephemeral", 0));
        }
        agent_free(a);
}

static void test_watches(void) {
        Agent *a = agent_new("Watches=3\n");
        {
                g_autoptr(sd_bus) bus = peer_new(a);
                g_autoptr(Record) r = record_new(bus);

                for (uint64_t i = 1; i <= 2; i++)
                        sd_bus_message_unref(call(bus, WATCHES, "Watch", "tssa{sv}", i, "/", "recursive", 0));
                sd_bus_message_unref(call(bus, WATCHES, "Watch", "tssa{sv}", UINT64_C(2), "/", "recursive", 0));
                sd_bus_message_unref(call(bus, TREE, "Exists", "sa{sv}", "/w", 1, "watch", "t", UINT64_C(3)));
                assert_limit(call_fails(bus, LIMIT_EXCEEDED, WATCHES, "Watch", "tssa{sv}", UINT64_C(4), "/", "data", 0), "3",
                             "Watches");
                assert_limit(call_fails(bus, LIMIT_EXCEEDED, TREE, "Get", "sa{sv}", "/", 1, "watch", "t", UINT64_C(4)), "3",
                             "Watches");
                sd_bus_message_unref(call(bus, TREE, "Get", "sa{sv}", "/", 0));
                make_open(bus, "/w");           /* spends the one of Exists */
                record_wait(bus, r, 3);
                sd_bus_message_unref(call(bus, TREE, "Get", "sa{sv}", "/w", 1, "watch", "t", UINT64_C(4)));
                sd_bus_message_unref(call(bus, WATCHES, "Unwatch", "ts", UINT64_C(1), ""));
                sd_bus_message_unref(call(bus, WATCHES, "Watch", "tssa{sv}", UINT64_C(5), "/", "data", 0));
                assert_limit(call_fails(bus, LIMIT_EXCEEDED, WATCHES, "SetWatches", "ttsasa{sv}", UINT64_C(6), UINT64_C(0), "data", 1,
                                        "/", 0), "3", "Watches");
                g_clear_pointer(&bus, peer_free);
                bus = peer_new(a);              /* what a connection had is free again */
                for (uint64_t i = 1; i <= 3; i++)
                        sd_bus_message_unref(call(bus, WATCHES, "Watch", "tssa{sv}", i, "/", "recursive", 0));
        }
        agent_free(a);
}

/* What SetWatches fires at once takes nothing else of the same number away. */
static void test_watches_set(void) {
        Agent *a = agent_new("Watches=3\n");
        {
                g_autoptr(sd_bus) bus = peer_new(a);
                g_autoptr(Record) r = record_new(bus);

                make_open(bus, "/s");
                for (unsigned i = 0; i < 2; i++)
                        sd_bus_message_unref(call(bus, WATCHES, "Watch", "tssa{sv}", UINT64_C(1), i == 0 ? "/s" : "/", "children", 0));
                for (unsigned i = 0; i < 5; i++)
                        sd_bus_message_unref(call(bus, WATCHES, "SetWatches", "ttsasa{sv}", UINT64_C(1), UINT64_C(1), "data", 1,
                                                  "/s", 0));
                record_wait(bus, r, 5);
                sd_bus_message_unref(call(bus, WATCHES, "Watch", "tssa{sv}", UINT64_C(2), "/", "children", 0));
                assert_limit(call_fails(bus, LIMIT_EXCEEDED, WATCHES, "Watch", "tssa{sv}", UINT64_C(3), "/", "children", 0), "3",
                             "Watches");
        }
        agent_free(a);
}

/* A one-shot watch whose event its owner may not see is spent all the same, and makes room. */
static void test_watches_unseen(void) {
        Agent *a;

        if (geteuid() != 0) {
                g_test_skip("needs a second user");
                return;
        }
        a = agent_new("Watches=3\n");
        {
                g_autoptr(sd_bus) root = peer_new(a), bus = peer_new_as(a, NOBODY);

                for (unsigned i = 0; i < 7; i++) {
                        g_autofree char *path = g_strdup_printf("/unseen-%u", i);

                        sd_bus_message_unref(call(bus, TREE, "Exists", "sa{sv}", path, 1, "watch", "t", UINT64_C(1) + i));
                        sd_bus_message_unref(call(root, TREE, "Create", "saysa{sv}", path, 0, "persistent", 1, "acl", "a(uss)", 1,
                                                  31, "unix", "0@testhost"));
                }
        }
        agent_free(a);
}

/* A window beyond the limit: some are refused by name, the others answered, none lost. */
static void test_calls(void) {
        Agent *a = agent_new("Calls=8\n");
        {
                g_autoptr(sd_bus) bus = peer_new(a);
                g_autoptr(Record) r = record_new(bus);
                unsigned done = 0, refused = 0;

                make_open(bus, "/c");
                for (unsigned i = 0; i < 200; i++)
                        call_later(bus, r, "set", TREE, "Set", "sayia{sv}", "/c", 0, -1, 0);
                record_wait(bus, r, 200);
                for (unsigned i = 0; i < 200; i++)
                        if (g_str_equal(record_line(r, i), "reply set"))
                                done++;
                        else if (g_str_equal(record_line(r, i), "error set " LIMIT_EXCEEDED))
                                refused++;
                g_assert_cmpuint(done, >=, 8);
                g_assert_cmpuint(refused, >, 0);
                g_assert_cmpuint(done + refused, ==, 200);
                sd_bus_message_unref(call(bus, TREE, "Set", "sayia{sv}", "/c", 0, -1, 0));
        }
        g_assert_cmpuint(agent_statistic(a, "bus_limits_reached"), >, 0);
        agent_free(a);
}

static void call_large(sd_bus *bus, Record *r, const uint8_t *data, size_t size) {
        g_autoptr(sd_bus_message) m = NULL;

        g_assert_cmpint(sd_bus_message_new_method_call(bus, &m, "org.convene1", "/org/convene1", TREE, "Set"), >=, 0);
        g_assert_cmpint(sd_bus_message_append(m, "s", "/b"), >=, 0);
        g_assert_cmpint(sd_bus_message_append_array(m, 'y', data, size), >=, 0);
        g_assert_cmpint(sd_bus_message_append(m, "ia{sv}", -1, 0), >=, 0);
        g_assert_cmpint(sd_bus_send(bus, m, NULL), >=, 0);
        sd_bus_flush(bus);
}

static void test_bytes(void) {
        Agent *a = agent_new("Bytes=4M\n");
        {
                g_autoptr(sd_bus) bus = peer_new(a);
                g_autoptr(Record) r = record_new(bus);
                g_autofree uint8_t *data = g_malloc0(1000000);
                uint64_t before;

                make_open(bus, "/b");
                before = agent_statistic(a, "bus_limits_reached");
                for (unsigned i = 0; i < 40; i++)
                        call_large(bus, r, data, 1000000);
                sd_bus_message_unref(call(bus, TREE, "Sync", "a{sv}", 0));
                g_assert_cmpuint(agent_statistic(a, "bus_limits_reached"), >=, before);
                sd_bus_message_unref(call(bus, TREE, "Get", "sa{sv}", "/b", 0));
        }
        agent_free(a);
}

static void test_connections(void) {
        Agent *a;

        if (dbus_daemon_path) {
                g_test_skip("the broker's own limit");
                return;
        }
        a = agent_new("Connections=3\n");
        {
                g_autoptr(sd_bus) one = peer_new_socket(a), two = peer_new_socket(a), three = peer_new_socket(a);
                g_autofree char *address = g_strdup_printf("unix:path=%s", a->socket);
                sd_bus *four = NULL;
                int r;

                sd_bus_message_unref(call(three, TREE, "Get", "sa{sv}", "/", 0));
                g_assert_cmpint(sd_bus_new(&four), >=, 0);
                g_assert_cmpint(sd_bus_set_address(four, address), >=, 0);
                r = sd_bus_start(four);
                while (r >= 0 && sd_bus_is_ready(four) == 0) {
                        r = sd_bus_process(four, NULL);
                        if (r == 0)
                                r = sd_bus_wait(four, UINT64_MAX);
                }
                g_assert_cmpint(sd_bus_is_ready(four), <=, 0);
                sd_bus_unref(four);
                sd_bus_message_unref(call(one, TREE, "Get", "sa{sv}", "/", 0));
                sd_bus_message_unref(call(two, TREE, "Get", "sa{sv}", "/", 0));
        }
        agent_free(a);
}

void add_limit_tests(void) {
        g_test_add_func("/bus/limits/sessions", test_sessions);
        g_test_add_func("/bus/limits/ephemerals", test_ephemerals);
        g_test_add_func("/bus/limits/watches", test_watches);
        g_test_add_func("/bus/limits/watches-set", test_watches_set);
        g_test_add_func("/bus/limits/watches-unseen", test_watches_unseen);
        g_test_add_func("/bus/limits/calls", test_calls);
        g_test_add_func("/bus/limits/bytes", test_bytes);
        g_test_add_func("/bus/limits/connections", test_connections);
}
