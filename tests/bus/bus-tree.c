/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Tree: every method, its answers and its errors.
 */

#include <string.h>

#include "tests/bus/harness.h"

typedef struct BusStat {
        uint64_t czxid, mzxid, pzxid, owner;
        int64_t ctime, mtime;
        int32_t version, cversion, aversion, data_length, children;
} BusStat;

static BusStat read_stat(sd_bus_message *m) {
        BusStat s;

        g_assert_cmpint(sd_bus_message_read(m, STAT, &s.czxid, &s.mzxid, &s.pzxid, &s.ctime, &s.mtime, &s.version,
                                            &s.cversion, &s.aversion, &s.owner, &s.data_length, &s.children), >, 0);
        return s;
}

static void assert_data(sd_bus *bus, const char *path, const char *wanted, int32_t version) {
        g_autoptr(sd_bus_message) m = call(bus, TREE, "Get", "sa{sv}", path, 0);
        const void *data;
        size_t size;
        BusStat s;

        g_assert_cmpint(sd_bus_message_read_array(m, 'y', &data, &size), >=, 0);
        g_assert_cmpmem(data, size, wanted, strlen(wanted));
        s = read_stat(m);
        g_assert_cmpint(s.version, ==, version);
        g_assert_cmpint(s.data_length, ==, strlen(wanted));
        g_assert_true(sd_bus_message_at_end(m, true));
}

static void test_create_get_set_delete(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autoptr(sd_bus_message) m = NULL;
        const char *created;
        BusStat s, set;

        m = call(bus, TREE, "Create", "saysa{sv}", "/basic", 3, 'a', 'b', 'c', "persistent", 0);
        g_assert_cmpint(sd_bus_message_read(m, "s", &created), >, 0);
        g_assert_cmpstr(created, ==, "/basic");
        s = read_stat(m);
        g_assert_cmpuint(s.czxid, >, 0);
        g_assert_cmpuint(s.czxid, ==, s.mzxid);
        g_assert_cmpint(s.data_length, ==, 3);
        assert_data(bus, "/basic", "abc", 0);

        m = sd_bus_message_unref(m);
        m = call(bus, TREE, "Set", "sayia{sv}", "/basic", 2, 'x', 'y', 0, 1, "czxid", "t", s.czxid);
        set = read_stat(m);
        g_assert_cmpuint(set.czxid, ==, s.czxid);
        g_assert_cmpuint(set.mzxid, >, s.mzxid);
        assert_data(bus, "/basic", "xy", 1);

        g_free(call_fails(bus, "org.convene1.Error.BadVersion", TREE, "Set", "sayia{sv}", "/basic", 0, 0, 0));
        g_free(call_fails(bus, "org.convene1.Error.BadVersion", TREE, "Delete", "sia{sv}", "/basic", 7, 0));
        sd_bus_message_unref(call(bus, TREE, "Delete", "sia{sv}", "/basic", 1, 0));
        g_assert_false(exists(bus, "/basic"));
        g_free(call_fails(bus, NO_NODE, TREE, "Delete", "sia{sv}", "/basic", -1, 0));
}

static void test_exists(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autoptr(sd_bus_message) m = call(bus, TREE, "Exists", "sa{sv}", "/exists-not", 0);
        int there;
        BusStat s;

        g_assert_cmpint(sd_bus_message_read(m, "b", &there), >, 0);
        g_assert_false(there);
        s = read_stat(m);
        g_assert_cmpuint(s.czxid, ==, 0);
        g_assert_true(exists(bus, "/"));
}

static void test_modes(void) {
        static const struct {
                const char *mode, *prefix, *created;
        } modes[] = {
                { "persistent", "/modes/p", "/modes/p" },
                { "persistent-sequential", "/modes/s-", "/modes/s-0000000001" },
                { "persistent-sequential", "/modes/", "/modes/0000000002" },
                { "container", "/modes/c", "/modes/c" },
                { "ephemeral", "/modes/e", "/modes/e" },
                { "ephemeral-sequential", "/modes/e-", "/modes/e-0000000005" },
        };
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autoptr(sd_bus_message) ttl = NULL;

        make_open(bus, "/modes");
        for (size_t i = 0; i < G_N_ELEMENTS(modes); i++) {
                g_autoptr(sd_bus_message) m = call(bus, TREE, "Create", "saysa{sv}", modes[i].prefix, 0, modes[i].mode, 0);
                const char *created;
                BusStat s;

                g_assert_cmpint(sd_bus_message_read(m, "s", &created), >, 0);
                g_assert_cmpstr(created, ==, modes[i].created);
                s = read_stat(m);
                g_assert_cmpint(s.owner != 0, ==, g_str_has_prefix(modes[i].mode, "ephemeral"));
        }
        ttl = call(bus, TREE, "Create", "saysa{sv}", "/modes/ttl", 0, "ttl", 1, "ttl", "t", UINT64_C(300));
        wait_exists(bus, "/modes/ttl", false);  /* reaped */
        g_free(call_fails(bus, BAD_ARGUMENTS, TREE, "Create", "saysa{sv}", "/modes/x", 0, "eternal", 0));
        g_free(call_fails(bus, BAD_ARGUMENTS, TREE, "Create", "saysa{sv}", "/modes/x", 0, "ttl", 0));
        g_free(call_fails(bus, "org.convene1.Error.NoChildrenForEphemerals", TREE, "Create", "saysa{sv}", "/modes/e/x", 0,
                          "persistent", 0));
}

static void test_parents(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autoptr(sd_bus_message) m = NULL;

        g_free(call_fails(bus, NO_NODE, TREE, "Create", "saysa{sv}", "/parents/a/b", 0, "persistent", 0));
        m = call(bus, TREE, "Create", "saysa{sv}", "/parents/a/b", 0, "persistent", 1, "parents", "b", true);
        g_assert_true(exists(bus, "/parents/a/b"));
        g_free(call_fails(bus, "org.convene1.Error.NodeExists", TREE, "Create", "saysa{sv}", "/parents/a/b", 0, "persistent", 1,
                          "parents", "b", true));
        sd_bus_message_unref(call(bus, TREE, "Create", "saysa{sv}", "/parents/c/d/s-", 0, "ephemeral-sequential", 1, "parents", "b",
                                  true));
        g_assert_true(exists(bus, "/parents/c/d/s-0000000000"));
}

static void test_null(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);

        sd_bus_message_unref(call(bus, TREE, "Create", "saysa{sv}", "/null", 0, "persistent", 1, "null", "b", true));
        assert_data(bus, "/null", "", 0);
        g_free(call_fails(bus, BAD_ARGUMENTS, TREE, "Set", "sayia{sv}", "/null", 1, 'x', -1, 1, "null", "b", true));
        sd_bus_message_unref(call(bus, TREE, "Set", "sayia{sv}", "/null", 0, -1, 1, "null", "b", true));
        assert_data(bus, "/null", "", 1);
}

static void assert_names(sd_bus_message *m, const char *wanted, bool more) {
        g_auto(GStrv) names = NULL;
        g_autofree char *joined = NULL;
        int more_there;

        g_assert_cmpint(sd_bus_message_read_strv(m, &names), >=, 0);
        joined = g_strjoinv(" ", names ? names : (char *[]) { NULL });
        g_assert_cmpstr(joined, ==, wanted);
        read_stat(m);
        g_assert_cmpint(sd_bus_message_read(m, "b", &more_there), >, 0);
        g_assert_cmpint(more_there, ==, more);
}

static void test_children(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autoptr(sd_bus_message) all = NULL, first = NULL, next = NULL;

        make_open(bus, "/children");
        for (const char *const *n = (const char *const[]) { "c", "a", "d", "b", NULL }; *n; n++) {
                g_autofree char *path = g_strconcat("/children/", *n, NULL);

                make_open(bus, path);
        }
        all = call(bus, TREE, "GetChildren", "sa{sv}", "/children", 0);
        assert_names(all, "a b c d", false);
        first = call(bus, TREE, "GetChildren", "sa{sv}", "/children", 1, "limit", "u", 3);
        assert_names(first, "a b c", true);
        next = call(bus, TREE, "GetChildren", "sa{sv}", "/children", 2, "limit", "u", 3, "start-after", "s", "c");
        assert_names(next, "d", false);
}

static void test_list_and_count(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autoptr(sd_bus_message) m = NULL, count = NULL, gone = NULL;
        g_autoptr(GString) seen = g_string_new(NULL);
        const char *path;
        const void *data;
        uint64_t number;
        size_t size;
        int more;

        sd_bus_message_unref(call(bus, TREE, "Create", "saysa{sv}", "/list/b/c", 1, 'C', "persistent", 1, "parents", "b", true));
        sd_bus_message_unref(call(bus, TREE, "Create", "saysa{sv}", "/list/a", 1, 'A', "persistent", 0));
        m = call(bus, TREE, "List", "sa{sv}", "/list", 1, "data", "b", true);
        g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "(s" STAT "ay)"), >, 0);
        while (sd_bus_message_enter_container(m, 'r', "s" STAT "ay") > 0) {
                g_assert_cmpint(sd_bus_message_read(m, "s", &path), >, 0);
                read_stat(m);
                g_assert_cmpint(sd_bus_message_read_array(m, 'y', &data, &size), >=, 0);
                g_string_append_printf(seen, "%s=%.*s ", path, (int) size, (const char *) data);
                g_assert_cmpint(sd_bus_message_exit_container(m), >=, 0);
        }
        g_assert_cmpstr(seen->str, ==, "/list= /list/a=A /list/b= /list/b/c=C ");
        g_assert_cmpint(sd_bus_message_exit_container(m), >=, 0);
        g_assert_cmpint(sd_bus_message_read(m, "b", &more), >, 0);
        g_assert_false(more);

        count = call(bus, TREE, "CountDescendants", "sa{sv}", "/list", 0);
        g_assert_cmpint(sd_bus_message_read(count, "t", &number), >, 0);
        g_assert_cmpuint(number, ==, 3);
        g_free(call_fails(bus, "org.convene1.Error.NotEmpty", TREE, "Delete", "sia{sv}", "/list", -1, 0));
        gone = call(bus, TREE, "DeleteRecursive", "sa{sv}", "/list", 0);
        g_assert_cmpint(sd_bus_message_read(gone, "t", &number), >, 0);
        g_assert_cmpuint(number, ==, 4);
        g_assert_false(exists(bus, "/list"));
}

static void test_sync(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autoptr(sd_bus_message) m = call(bus, TREE, "Sync", "a{sv}", 0);
        uint64_t zxid;

        sd_bus_message_unref(call(bus, TREE, "Get", "sa{sv}", "/", 1, "linearizable", "b", true));
        g_assert_cmpint(sd_bus_message_read(m, "t", &zxid), >, 0);
        g_assert_cmpuint(zxid, >, 0);
}

static void test_option_errors(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autofree char *unknown = NULL, *type = NULL, *twice = NULL, *none = NULL;

        unknown = call_fails(bus, BAD_ARGUMENTS, TREE, "Get", "sa{sv}", "/", 1, "linearisable", "b", true);
        g_assert_nonnull(strstr(unknown, "linearisable"));
        g_assert_nonnull(strstr(unknown, "linearizable (b)"));
        type = call_fails(bus, BAD_ARGUMENTS, TREE, "Get", "sa{sv}", "/", 1, "linearizable", "s", "yes");
        g_assert_nonnull(strstr(type, "'b'"));
        twice = call_fails(bus, BAD_ARGUMENTS, TREE, "Get", "sa{sv}", "/", 2, "super", "b", true, "super", "b", true);
        g_assert_nonnull(strstr(twice, "twice"));
        none = call_fails(bus, BAD_ARGUMENTS, TREE, "Sync", "a{sv}", 1, "parents", "b", true);
        g_free(call_fails(bus, BAD_ARGUMENTS, SESSIONS, "Close", "ta{sv}", UINT64_C(1), 1, "now", "b", true));
}

static void test_path_errors(void) {
        static const char *const paths[] = { "", "a", "/a/", "//", "/a//b", "/.", "/a/../b" };
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autofree char *text = call_fails(bus, NO_NODE, TREE, "Get", "sa{sv}", "/no-such", 0);
        g_autofree char *long_path = g_strnfill(2000, 'x');

        g_assert_nonnull(strstr(text, "/no-such"));
        for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
                g_free(call_fails(bus, BAD_ARGUMENTS, TREE, "Get", "sa{sv}", paths[i], 0));
                g_free(call_fails(bus, BAD_ARGUMENTS, TREE, "Create", "saysa{sv}", paths[i], 0, "persistent", 0));
        }
        g_free(call_fails(bus, "org.convene1.Error.NodeExists", TREE, "Create", "saysa{sv}", "/", 0, "persistent", 0));
        long_path[0] = '/';
        g_free(call_fails(bus, "org.convene1.Error.TooLarge", TREE, "Create", "saysa{sv}", long_path, 0, "persistent", 0));
}

static void test_data_too_large(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autofree uint8_t *data = g_malloc0(1024 * 1024 + 1);

        for (int over = 0; over < 2; over++) {
                sd_bus_error error = SD_BUS_ERROR_NULL;
                g_autoptr(sd_bus_message) m = NULL;
                int r;

                g_assert_cmpint(sd_bus_message_new_method_call(bus, &m, "org.convene1", "/org/convene1", TREE, "Create"), >=, 0);
                g_assert_cmpint(sd_bus_message_append(m, "s", "/large"), >=, 0);
                g_assert_cmpint(sd_bus_message_append_array(m, 'y', data, 1024 * 1024 + over), >=, 0);
                g_assert_cmpint(sd_bus_message_append(m, "sa{sv}", "persistent", 0), >=, 0);
                r = sd_bus_call(bus, m, 0, &error, NULL);
                if (over)
                        g_assert_cmpstr(error.name, ==, "org.convene1.Error.TooLarge");
                else
                        g_assert_cmpint(r, >=, 0);
                sd_bus_error_free(&error);
        }
}

/* A window of updates and reads: answers in the order of the calls, each read sees the update before it. */
static void test_pipeline(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autoptr(Record) record = record_new(bus);

        make_open(bus, "/pipeline");
        for (unsigned i = 0; i < 300; i++) {
                g_autofree char *set = g_strdup_printf("set%u", i), *get = g_strdup_printf("get%u", i);

                call_later(bus, record, set, TREE, "Set", "sayia{sv}", "/pipeline", 1, i & 0xff, (int) i, 0);
                call_later(bus, record, get, TREE, "Get", "sa{sv}", "/pipeline", 0);
        }
        call_later(bus, record, "wrong", TREE, "Set", "sayia{sv}", "/pipeline", 0, 17, 0);
        call_later(bus, record, "last", TREE, "Exists", "sa{sv}", "/pipeline", 0);
        record_wait(bus, record, 602);
        for (unsigned i = 0; i < 300; i++) {
                g_autofree char *set = g_strdup_printf("reply set%u", i), *get = g_strdup_printf("reply get%u", i);

                g_assert_cmpstr(record_line(record, 2 * i), ==, set);
                g_assert_cmpstr(record_line(record, 2 * i + 1), ==, get);
        }
        g_assert_cmpstr(record_line(record, 600), ==, "error wrong org.convene1.Error.BadVersion");
        g_assert_cmpstr(record_line(record, 601), ==, "reply last");
}

/* Calls that need something first (a session, a parent's ACL) do not let later ones pass. */
static void test_pipeline_with_holds(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autoptr(Record) record = record_new(bus);
        static const char *const wanted[] = { "reply a", "reply b", "reply c", "reply d", "reply e", "reply f" };

        call_later(bus, record, "a", TREE, "Create", "saysa{sv}", "/holds", 0, "persistent", 0);
        call_later(bus, record, "b", TREE, "Create", "saysa{sv}", "/holds/x", 0, "persistent", 0);
        call_later(bus, record, "c", TREE, "Create", "saysa{sv}", "/holds/e", 0, "ephemeral", 0);
        call_later(bus, record, "d", TREE, "Create", "saysa{sv}", "/holds/f", 0, "ephemeral", 0);
        call_later(bus, record, "e", TREE, "GetEphemerals", "sa{sv}", "/holds", 0);
        call_later(bus, record, "f", TREE, "Delete", "sia{sv}", "/holds/f", -1, 0);
        record_wait(bus, record, G_N_ELEMENTS(wanted));
        for (size_t i = 0; i < G_N_ELEMENTS(wanted); i++)
                g_assert_cmpstr(record_line(record, i), ==, wanted[i]);
}

static void test_properties(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autofree char *role = NULL, *host = NULL, *text = NULL;
        sd_bus_error error = SD_BUS_ERROR_NULL;

        g_assert_cmpint(sd_bus_get_property_string(bus, "org.convene1", "/org/convene1", "org.convene1.Ensemble", "Role", NULL,
                                                   &role), >=, 0);
        g_assert_cmpstr(role, ==, "leader");
        g_assert_cmpint(sd_bus_get_property_string(bus, "org.convene1", "/org/convene1", "org.convene1.Agent", "Host", NULL,
                                                   &host), >=, 0);
        g_assert_cmpstr(host, ==, "testhost");
        g_assert_cmpint(sd_bus_set_property(bus, "org.convene1", "/org/convene1", "org.convene1.Agent", "Host", &error, "s",
                                            "other"), <, 0);
        g_assert_cmpstr(error.name, ==, SD_BUS_ERROR_PROPERTY_READ_ONLY);
        sd_bus_error_free(&error);
        g_assert_cmpint(sd_bus_get_property_string(bus, "org.convene1", "/org/convene1/member/testhost", "org.convene1.Member",
                                                   "Role", NULL, &text), >=, 0);
        g_assert_cmpstr(text, ==, "voter");
        g_assert_cmpuint(agent_statistic(shared, "reads"), <, UINT64_MAX);
}

static void test_checkpoint(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autoptr(sd_bus_message) m = call(bus, "org.convene1.Agent", "Checkpoint", NULL);
        uint64_t zxid;

        g_assert_cmpint(sd_bus_message_read(m, "t", &zxid), >, 0);
        g_assert_cmpuint(zxid, >, 0);
        sd_bus_message_unref(call(bus, "org.convene1.Agent", "ListPresences", NULL));
}

void add_tree_tests(void) {
        g_test_add_func("/bus/tree/create-get-set-delete", test_create_get_set_delete);
        g_test_add_func("/bus/tree/exists", test_exists);
        g_test_add_func("/bus/tree/modes", test_modes);
        g_test_add_func("/bus/tree/parents", test_parents);
        g_test_add_func("/bus/tree/null", test_null);
        g_test_add_func("/bus/tree/children", test_children);
        g_test_add_func("/bus/tree/list-and-count", test_list_and_count);
        g_test_add_func("/bus/tree/sync", test_sync);
        g_test_add_func("/bus/tree/option-errors", test_option_errors);
        g_test_add_func("/bus/tree/path-errors", test_path_errors);
        g_test_add_func("/bus/tree/data-too-large", test_data_too_large);
        g_test_add_func("/bus/tree/pipeline", test_pipeline);
        g_test_add_func("/bus/tree/pipeline-with-holds", test_pipeline_with_holds);
        g_test_add_func("/bus/tree/properties", test_properties);
        g_test_add_func("/bus/tree/checkpoint", test_checkpoint);
}
