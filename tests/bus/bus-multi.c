/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Tree.Multi and MultiRead
 */

#include <string.h>

#include "tests/bus/harness.h"

/* "committed Ok Ok" or "refused Ok NoNode RuntimeInconsistency", with what was created. */
static char *outcome(sd_bus_message *m) {
        GString *s = g_string_new(NULL);
        const char *status, *key, *created;
        int committed;

        g_assert_cmpint(sd_bus_message_read(m, "b", &committed), >, 0);
        g_string_append(s, committed ? "committed" : "refused");
        g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "(sa{sv})"), >, 0);
        while (sd_bus_message_enter_container(m, 'r', "sa{sv}") > 0) {
                g_assert_cmpint(sd_bus_message_read(m, "s", &status), >, 0);
                g_string_append_printf(s, " %s", status);
                g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "{sv}"), >, 0);
                while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
                        g_assert_cmpint(sd_bus_message_read(m, "s", &key), >, 0);
                        if (g_str_equal(key, "created")) {
                                g_assert_cmpint(sd_bus_message_read(m, "v", "s", &created), >, 0);
                                g_string_append_printf(s, "=%s", created);
                        } else
                                g_assert_cmpint(sd_bus_message_skip(m, "v"), >=, 0);
                        g_assert_cmpint(sd_bus_message_exit_container(m), >=, 0);
                }
                g_assert_cmpint(sd_bus_message_exit_container(m), >=, 0);
                g_assert_cmpint(sd_bus_message_exit_container(m), >=, 0);
        }
        return g_string_free(s, FALSE);
}

static void test_commit(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autoptr(sd_bus_message) m = NULL;
        g_autofree char *text = NULL;

        make_open(bus, "/multi");
        m = call(bus, TREE, "Multi", "a(ssa{sv})a{sv}", 5,
                 "create", "/multi/a", 1, "data", "ay", 2, 'h', 'i',
                 "create", "/multi/a/b", 0,
                 "create", "/multi/s-", 1, "mode", "s", "persistent-sequential",
                 "check", "/multi", 1, "version", "i", 0,
                 "set", "/multi", 1, "data", "ay", 1, 'x',
                 0);
        text = outcome(m);
        g_assert_cmpstr(text, ==, "committed Ok=/multi/a Ok=/multi/a/b Ok=/multi/s-0000000001 Ok Ok");
        g_assert_true(exists(bus, "/multi/a/b"));
}

static void test_refused(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autoptr(sd_bus_message) m = NULL;
        g_autofree char *text = NULL;

        make_open(bus, "/multi-refused");
        m = call(bus, TREE, "Multi", "a(ssa{sv})a{sv}", 3,
                 "create", "/multi-refused/a", 0,
                 "delete", "/multi-refused/nothing", 0,
                 "create", "/multi-refused/b", 0,
                 0);
        text = outcome(m);
        g_assert_cmpstr(text, ==, "refused Ok NoNode RuntimeInconsistency");
        g_assert_false(exists(bus, "/multi-refused/a"));
}

static void test_errors(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autofree char *option = NULL;

        g_free(call_fails(bus, BAD_ARGUMENTS, TREE, "Multi", "a(ssa{sv})a{sv}", 1, "rename", "/", 0, 0));
        option = call_fails(bus, BAD_ARGUMENTS, TREE, "Multi", "a(ssa{sv})a{sv}", 1, "delete", "/x", 1, "data", "ay", 0, 0);
        g_assert_nonnull(strstr(option, "'data'"));
        g_free(call_fails(bus, BAD_ARGUMENTS, TREE, "MultiRead", "a(ss)a{sv}", 1, "list", "/", 0));
}

static void test_too_many(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autoptr(sd_bus_message) m = NULL;
        sd_bus_error error = SD_BUS_ERROR_NULL;

        g_assert_cmpint(sd_bus_message_new_method_call(bus, &m, "org.convene1", "/org/convene1", TREE, "MultiRead"), >=, 0);
        g_assert_cmpint(sd_bus_message_open_container(m, 'a', "(ss)"), >=, 0);
        for (unsigned i = 0; i < 1025; i++)
                g_assert_cmpint(sd_bus_message_append(m, "(ss)", "get", "/"), >=, 0);
        g_assert_cmpint(sd_bus_message_close_container(m), >=, 0);
        g_assert_cmpint(sd_bus_message_append(m, "a{sv}", 0), >=, 0);
        g_assert_cmpint(sd_bus_call(bus, m, 0, &error, NULL), <, 0);
        g_assert_cmpstr(error.name, ==, LIMIT_EXCEEDED);
        sd_bus_error_free(&error);
}

static void test_ephemeral(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), other = peer_new(shared);
        g_autoptr(sd_bus_message) m = call(bus, TREE, "Multi", "a(ssa{sv})a{sv}", 1, "create", "/multi-ephemeral", 1, "mode", "s",
                                           "ephemeral", 0);
        g_autofree char *text = outcome(m);

        g_assert_cmpstr(text, ==, "committed Ok=/multi-ephemeral");
        g_clear_pointer(&m, sd_bus_message_unref);
        g_clear_pointer(&bus, peer_free);
        wait_exists(other, "/multi-ephemeral", false);
}

static void test_read(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autoptr(sd_bus_message) m = NULL;
        g_autoptr(GString) s = g_string_new(NULL);
        const char *status, *key;

        make_open(bus, "/multi-read");
        make_open(bus, "/multi-read/a");
        m = call(bus, TREE, "MultiRead", "a(ss)a{sv}", 3, "get", "/multi-read", "children", "/multi-read", "get", "/nothing", 0);
        g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "(sa{sv})"), >, 0);
        while (sd_bus_message_enter_container(m, 'r', "sa{sv}") > 0) {
                g_assert_cmpint(sd_bus_message_read(m, "s", &status), >, 0);
                g_string_append_printf(s, "%s(", status);
                g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "{sv}"), >, 0);
                while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
                        g_assert_cmpint(sd_bus_message_read(m, "s", &key), >, 0);
                        g_string_append_printf(s, "%s ", key);
                        g_assert_cmpint(sd_bus_message_skip(m, "v"), >=, 0);
                        g_assert_cmpint(sd_bus_message_exit_container(m), >=, 0);
                }
                g_string_append(s, ") ");
                g_assert_cmpint(sd_bus_message_exit_container(m), >=, 0);
                g_assert_cmpint(sd_bus_message_exit_container(m), >=, 0);
        }
        g_assert_cmpstr(s->str, ==, "Ok(data stat ) Ok(names stat ) NoNode() ");
}

void add_multi_tests(void) {
        g_test_add_func("/bus/multi/commit", test_commit);
        g_test_add_func("/bus/multi/refused", test_refused);
        g_test_add_func("/bus/multi/errors", test_errors);
        g_test_add_func("/bus/multi/too-many", test_too_many);
        g_test_add_func("/bus/multi/ephemeral", test_ephemeral);
        g_test_add_func("/bus/multi/read", test_read);
}
