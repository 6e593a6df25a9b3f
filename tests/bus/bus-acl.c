/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who may do what: identities, default ACLs, digest, and what only root may.
 */

#include <string.h>
#include <unistd.h>

#include "tests/bus/harness.h"

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

/*
 * A polkit of our own, on the private bus.
 */

typedef struct Authority {
        bool allow;
        unsigned questions;
        char *subject, *action;
} Authority;

static int on_check(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *kind, *key, *name, *action;
        Authority *a = userdata;

        g_assert_cmpint(sd_bus_message_read(m, "(sa{sv})s", &kind, 1, &key, "s", &name, &action), >, 0);
        g_assert_cmpstr(kind, ==, "system-bus-name");
        a->questions++;
        g_free(a->subject);
        a->subject = g_strdup(name);
        g_free(a->action);
        a->action = g_strdup(action);
        return sd_bus_reply_method_return(m, "(bba{ss})", a->allow, false, 0);
}

static const sd_bus_vtable authority_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})", on_check, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL("Changed", "", 0),
        SD_BUS_VTABLE_END,
};

static void process_both(sd_bus *a, sd_bus *b, Record *r, unsigned lines) {
        while (r->lines->len < lines) {
                int k = sd_bus_process(a, NULL), l = sd_bus_process(b, NULL);

                g_assert_cmpint(k, >=, 0);
                g_assert_cmpint(l, >=, 0);
                if (k == 0 && l == 0) {
                        GPollFD fds[] = { { sd_bus_get_fd(a), G_IO_IN, 0 }, { sd_bus_get_fd(b), G_IO_IN, 0 } };

                        g_assert_cmpint(g_poll(fds, 2, 30000), >, 0);
                }
        }
}

static void test_polkit(void) {
        g_autoptr(sd_bus) root = NULL, other = NULL, polkit = NULL;
        g_autoptr(Record) r = NULL;
        Authority a = { 0 };
        const char *name;

        if (!dbus_daemon_path || geteuid() != 0) {
                g_test_skip("needs a broker, and root to be somebody else");
                return;
        }
        root = peer_new(shared);
        other = peer_new_as(shared, NOBODY);
        polkit = peer_new(shared);
        r = record_new(other);
        g_assert_cmpint(sd_bus_get_unique_name(other, &name), >=, 0);
        g_assert_cmpint(sd_bus_add_object_vtable(polkit, NULL, "/org/freedesktop/PolicyKit1/Authority",
                                                 "org.freedesktop.PolicyKit1.Authority", authority_vtable, &a), >=, 0);
        g_assert_cmpint(sd_bus_request_name(polkit, "org.freedesktop.PolicyKit1", 0), >=, 0);

        sd_bus_message_unref(call(root, TREE, "Create", "saysa{sv}", "/polkit", 0, "persistent", 1, "acl", "a(uss)", 1, 31, "unix",
                                  "0@testhost"));
        call_later(other, r, "refused", TREE, "Set", "sayia{sv}", "/polkit", 1, 'x', -1, 1, "super", "b", true);
        process_both(other, polkit, r, 1);
        g_assert_cmpstr(record_line(r, 0), ==, "error refused " NO_AUTH);
        g_assert_cmpstr(a.subject, ==, name);
        g_assert_cmpstr(a.action, ==, "org.convene1.admin");
        g_assert_cmpuint(a.questions, ==, 1);

        /* What it said is remembered until it says that something changed. */
        call_later(other, r, "again", TREE, "Set", "sayia{sv}", "/polkit", 1, 'x', -1, 1, "super", "b", true);
        process_both(other, polkit, r, 2);
        g_assert_cmpstr(record_line(r, 1), ==, "error again " NO_AUTH);
        g_assert_cmpuint(a.questions, ==, 1);

        a.allow = true;
        g_assert_cmpint(sd_bus_emit_signal(polkit, "/org/freedesktop/PolicyKit1/Authority",
                                           "org.freedesktop.PolicyKit1.Authority", "Changed", NULL), >=, 0);
        sd_bus_flush(polkit);
        sd_bus_message_unref(call(polkit, TREE, "Sync", "a{sv}", 0));     /* the agent has heard of it */
        call_later(other, r, "allowed", TREE, "Set", "sayia{sv}", "/polkit", 1, 'y', 0, 1, "super", "b", true);
        call_later(other, r, "host", SESSIONS, "Open", "sa{sv}", "host", 0);
        process_both(other, polkit, r, 4);
        g_assert_cmpstr(record_line(r, 2), ==, "reply allowed");
        g_assert_cmpstr(record_line(r, 3), ==, "reply host");
        g_free(a.subject);
        g_free(a.action);
}

void add_acl_tests(void) {
        g_test_add_func("/bus/acl/who-am-i", test_who_am_i);
        g_test_add_func("/bus/acl/strangers", test_strangers);
        g_test_add_func("/bus/acl/default", test_default_acl);
        g_test_add_func("/bus/acl/digest", test_digest);
        g_test_add_func("/bus/acl/polkit", test_polkit);
}
