/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who may do what: identities, default ACLs, digest, and what only root may.
 */

#include <string.h>
#include <unistd.h>

#include "harness.h"

static bool need_root(void) {
        if (geteuid() == 0)
                return true;
        g_test_skip("needs root, to be somebody else");
        return false;
}

static char *identities_of(sd_bus *bus) {
        g_autoptr(sd_bus_message) m = call(bus, TREE, "WhoAmI", "a{sv}", 0);
        GString *s = g_string_new(NULL);
        const char *scheme, *id;

        g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "(ss)"), >, 0);
        while (sd_bus_message_read(m, "(ss)", &scheme, &id) > 0)
                g_string_append_printf(s, "%s:%s ", scheme, id);
        return g_string_free(s, FALSE);
}

static void test_who_am_i(void) {
        g_autoptr(sd_bus) mine = peer_new(shared), other = NULL;
        g_autofree char *my_ids = identities_of(mine), *other_ids = NULL;
        g_autofree char *wanted = g_strdup_printf("unix:%u@testhost super:%u@testhost ", geteuid(), geteuid());

        g_assert_cmpstr(my_ids, ==, wanted);
        if (!need_root())
                return;
        other = peer_new_as(shared, NOBODY);
        other_ids = identities_of(other);
        g_assert_cmpstr(other_ids, ==, "unix:65534@testhost ");
}

static void test_strangers(void) {
        g_autoptr(sd_bus) root = NULL, other = NULL;

        if (!need_root())
                return;
        root = peer_new(shared);
        other = peer_new_as(shared, NOBODY);
        /* The root znode lets everybody read and nobody but administrators write. */
        g_free(call_fails(other, NO_AUTH, TREE, "Create", "saysa{sv}", "/stranger", 0, "persistent", 0));
        sd_bus_message_unref(call(other, TREE, "GetChildren", "sa{sv}", "/", 0));
        sd_bus_message_unref(call(root, TREE, "Create", "saysa{sv}", "/private", 1, 'x', "persistent", 1, "acl", "a(uss)", 1, 31,
                                  "unix", "0@testhost"));
        g_free(call_fails(other, NO_AUTH, TREE, "Get", "sa{sv}", "/private", 0));
        g_free(call_fails(other, NO_AUTH, TREE, "Set", "sayia{sv}", "/private", 0, -1, 0));
        g_free(call_fails(other, NO_AUTH, TREE, "Get", "sa{sv}", "/private", 1, "super", "b", true));
        g_free(call_fails(other, NO_AUTH, "org.convene1.Agent", "Checkpoint", NULL));
        g_free(call_fails(other, NO_AUTH, SESSIONS, "Open", "sa{sv}", "host", 0));
        g_free(call_fails(other, NO_AUTH, SESSIONS, "Open", "sa{sv}", "unit", 1, "unit", "s", "dbus.service"));

        sd_bus_message_unref(call(root, TREE, "SetAcl", "sa(uss)ia{sv}", "/private", 2, 1, "unix", "65534@*", 31, "unix",
                                  "0@testhost", -1, 0));
        sd_bus_message_unref(call(other, TREE, "Get", "sa{sv}", "/private", 0));
        g_free(call_fails(other, NO_AUTH, TREE, "Set", "sayia{sv}", "/private", 0, -1, 0));
}

static void assert_acl(sd_bus *bus, const char *path, const char *wanted) {
        g_autoptr(sd_bus_message) m = call(bus, TREE, "GetAcl", "sa{sv}", path, 0);
        g_autoptr(GString) s = g_string_new(NULL);
        const char *scheme, *id;
        uint32_t permissions;

        g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "(uss)"), >, 0);
        while (sd_bus_message_read(m, "(uss)", &permissions, &scheme, &id) > 0)
                g_string_append_printf(s, "%u %s:%s ", permissions, scheme, id);
        g_assert_cmpstr(s->str, ==, wanted);
}

static void test_default_acl(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autoptr(Record) record = record_new(bus);

        sd_bus_message_unref(call(bus, TREE, "Create", "saysa{sv}", "/inherit", 0, "persistent", 1, "acl", "a(uss)", 2, 31,
                                  "digest", "bob:Zm9vYmFyYmF6cXV4cXV1eHF1dXg=", 1, "world", "anyone"));
        sd_bus_message_unref(call(bus, TREE, "Create", "saysa{sv}", "/inherit/child", 0, "persistent", 0));
        assert_acl(bus, "/inherit/child", "31 digest:bob:Zm9vYmFyYmF6cXV4cXV1eHF1dXg= 1 world:anyone ");
        sd_bus_message_unref(call(bus, TREE, "Create", "saysa{sv}", "/inherit/a/b", 0, "persistent", 1, "parents", "b", true));
        assert_acl(bus, "/inherit/a", "31 digest:bob:Zm9vYmFyYmF6cXV4cXV1eHF1dXg= 1 world:anyone ");

        /* Behind a change of the parent's ACL that is still under way. */
        call_later(bus, record, "acl", TREE, "SetAcl", "sa(uss)ia{sv}", "/inherit", 1, 31, "world", "anyone", -1, 0);
        call_later(bus, record, "create", TREE, "Create", "saysa{sv}", "/inherit/late", 0, "persistent", 0);
        record_wait(bus, record, 2);
        assert_acl(bus, "/inherit/late", "31 world:anyone ");
}

static void test_digest(void) {
        g_autoptr(sd_bus) root = NULL, other = NULL;
        g_autoptr(sd_bus_message) open = NULL;
        uint64_t session;

        if (!need_root())
                return;
        root = peer_new(shared);
        other = peer_new_as(shared, NOBODY);
        /* ZooKeeper's digest of "super:test" is well known. */
        sd_bus_message_unref(call(root, TREE, "Create", "saysa{sv}", "/digest", 0, "persistent", 1, "acl", "a(uss)", 1, 31,
                                  "digest", "super:D/InIHSb7yEEbrWz8b9l71RjZJU="));
        open = call(other, SESSIONS, "Open", "sa{sv}", "explicit", 0);
        g_assert_cmpint(sd_bus_message_read(open, "t", &session), >, 0);
        g_free(call_fails(other, NO_AUTH, TREE, "Get", "sa{sv}", "/digest", 1, "session", "t", session));
        g_free(call_fails(other, "org.convene1.Error.AuthFailed", SESSIONS, "Authenticate", "tsay", session, "x509", 1, 'x'));
        g_free(call_fails(other, "org.convene1.Error.AuthFailed", SESSIONS, "Authenticate", "tsay", session, "digest", 1, 'x'));
        g_free(call_fails(other, SESSION_EXPIRED, SESSIONS, "Authenticate", "tsay", UINT64_C(1), "digest", 3, 'a', ':', 'b'));
        sd_bus_message_unref(call(other, SESSIONS, "Authenticate", "tsay", session, "digest", 10, 's', 'u', 'p', 'e', 'r', ':',
                                  't', 'e', 's', 't'));
        sd_bus_message_unref(call(other, TREE, "Get", "sa{sv}", "/digest", 1, "session", "t", session));
        g_free(call_fails(other, NO_AUTH, TREE, "Get", "sa{sv}", "/digest", 0));
}

void add_acl_tests(void) {
        g_test_add_func("/bus/acl/who-am-i", test_who_am_i);
        g_test_add_func("/bus/acl/strangers", test_strangers);
        g_test_add_func("/bus/acl/default", test_default_acl);
        g_test_add_func("/bus/acl/digest", test_digest);
}
