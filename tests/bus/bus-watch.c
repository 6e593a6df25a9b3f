/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Watches: kinds, order against replies, catching up.
 */

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/bus/harness.h"

#define N(x) UINT64_C(x)

static void set(sd_bus *bus, const char *path) {
        sd_bus_message_unref(call(bus, TREE, "Set", "sayia{sv}", path, 0, -1, 0));
}

static void delete(sd_bus *bus, const char *path) {
        sd_bus_message_unref(call(bus, TREE, "Delete", "sia{sv}", path, -1, 0));
}

static void watch(sd_bus *bus, uint64_t number, const char *path, const char *kind) {
        sd_bus_message_unref(call(bus, WATCHES, "Watch", "tssa{sv}", number, path, kind, 0));
}

static void assert_lines(sd_bus *bus, Record *r, const char *const *wanted) {
        unsigned n = g_strv_length((char **) wanted);

        record_wait(bus, r, n);
        for (unsigned i = 0; i < n; i++)
                g_assert_cmpstr(record_line(r, i), ==, wanted[i]);
        /* Nothing else is on its way: everything before this answer has come. */
        sd_bus_message_unref(call(bus, TREE, "Sync", "a{sv}", 0));
        while (sd_bus_process(bus, NULL) > 0)
                ;
        g_assert_cmpuint(r->lines->len, ==, n);
}

static void test_kinds(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), other = peer_new(shared);
        g_autoptr(Record) r = record_new(bus);

        make_open(other, "/watch");
        watch(bus, 1, "/watch", "data");
        watch(bus, 2, "/watch", "children");
        watch(bus, 3, "/watch", "persistent");
        watch(bus, 4, "/watch", "recursive");
        set(other, "/watch");
        set(other, "/watch");
        make_open(other, "/watch/a");
        set(other, "/watch/a");
        delete(other, "/watch/a");
        delete(other, "/watch");
        assert_lines(bus, r, (const char *const[]) {
                "event 1 data-changed /watch spent",
                "event 3 data-changed /watch",
                "event 4 data-changed /watch",
                "event 3 data-changed /watch",
                "event 4 data-changed /watch",
                "event 4 created /watch/a",
                "event 2 children-changed /watch spent",
                "event 3 children-changed /watch",
                "event 4 data-changed /watch/a",
                "event 4 deleted /watch/a",
                "event 3 children-changed /watch",
                "event 3 deleted /watch",
                "event 4 deleted /watch",
                NULL });
}

static void test_with_reads(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), other = peer_new(shared);
        g_autoptr(Record) r = record_new(bus);

        sd_bus_message_unref(call(bus, TREE, "Exists", "sa{sv}", "/watch-read", 1, "watch", "t", N(1)));
        make_open(other, "/watch-read");
        record_wait(bus, r, 1);
        sd_bus_message_unref(call(bus, TREE, "Get", "sa{sv}", "/watch-read", 1, "watch", "t", N(2)));
        sd_bus_message_unref(call(bus, TREE, "GetChildren", "sa{sv}", "/watch-read", 1, "watch", "t", N(3)));
        g_free(call_fails(bus, NO_NODE, TREE, "Get", "sa{sv}", "/watch-nothing", 1, "watch", "t", N(4)));
        g_free(call_fails(bus, BAD_ARGUMENTS, TREE, "List", "sa{sv}", "/", 1, "watch", "t", N(4)));
        set(other, "/watch-read");
        make_open(other, "/watch-read/a");
        make_open(other, "/watch-nothing");
        assert_lines(bus, r, (const char *const[]) {
                "event 1 created /watch-read spent",
                "event 2 data-changed /watch-read spent",
                "event 3 children-changed /watch-read spent",
                NULL });
}

/* The event comes before any answer that shows the new state, to the one who changed it as well. */
static void test_order(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autoptr(Record) r = record_new(bus);

        make_open(bus, "/watch-order");
        watch(bus, 1, "/watch-order", "persistent");
        for (unsigned i = 0; i < 50; i++) {
                g_autofree char *label = g_strdup_printf("set%u", i), *get = g_strdup_printf("get%u", i);

                call_later(bus, r, label, TREE, "Set", "sayia{sv}", "/watch-order", 0, (int) i, 0);
                call_later(bus, r, get, TREE, "Get", "sa{sv}", "/watch-order", 0);
        }
        record_wait(bus, r, 150);
        for (unsigned i = 0; i < 50; i++) {
                g_autofree char *label = g_strdup_printf("reply set%u", i), *get = g_strdup_printf("reply get%u", i);

                g_assert_cmpstr(record_line(r, 3 * i), ==, "event 1 data-changed /watch-order");
                g_assert_cmpstr(record_line(r, 3 * i + 1), ==, label);
                g_assert_cmpstr(record_line(r, 3 * i + 2), ==, get);
        }
}

static void test_unwatch(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autoptr(Record) r = record_new(bus);

        make_open(bus, "/unwatch");
        make_open(bus, "/unwatch-other");
        watch(bus, 1, "/unwatch", "persistent");
        watch(bus, 1, "/unwatch-other", "persistent");
        sd_bus_message_unref(call(bus, WATCHES, "Unwatch", "ts", N(1), "/unwatch"));
        set(bus, "/unwatch");
        set(bus, "/unwatch-other");
        sd_bus_message_unref(call(bus, WATCHES, "Unwatch", "ts", N(1), ""));
        set(bus, "/unwatch-other");
        g_free(call_fails(bus, "org.convene1.Error.NoWatcher", WATCHES, "Unwatch", "ts", N(1), ""));
        assert_lines(bus, r, (const char *const[]) { "event 1 data-changed /unwatch-other", NULL });
}

static void test_errors(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);

        g_free(call_fails(bus, BAD_ARGUMENTS, WATCHES, "Watch", "tssa{sv}", N(0), "/", "data", 0));
        g_free(call_fails(bus, BAD_ARGUMENTS, WATCHES, "Watch", "tssa{sv}", N(1), "/", "exist", 0));
        g_free(call_fails(bus, BAD_ARGUMENTS, WATCHES, "Watch", "tssa{sv}", N(1), "/", "all", 0));
        g_free(call_fails(bus, BAD_ARGUMENTS, WATCHES, "Watch", "tssa{sv}", N(1), "/a/", "data", 0));
        g_free(call_fails(bus, BAD_ARGUMENTS, WATCHES, "Watch", "tssa{sv}", N(1), "/", "data", 1, "since", "t", N(1)));
}

static uint64_t zxid_now(sd_bus *bus) {
        g_autoptr(sd_bus_message) m = call(bus, TREE, "Sync", "a{sv}", 0);
        uint64_t zxid;

        g_assert_cmpint(sd_bus_message_read(m, "t", &zxid), >, 0);
        return zxid;
}

static void test_since(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), other = peer_new(shared);
        g_autoptr(Record) r = record_new(bus);
        uint64_t since;

        make_open(other, "/since");
        since = zxid_now(other);
        make_open(other, "/since/a");
        set(other, "/since");
        call_later(bus, r, "watch", WATCHES, "Watch", "tssa{sv}", N(1), "/since", "recursive", 1, "since", "t", since);
        record_wait(bus, r, 3);
        delete(other, "/since/a");
        assert_lines(bus, r, (const char *const[]) {
                "event 1 created /since/a",
                "event 1 data-changed /since",
                "reply watch",
                "event 1 deleted /since/a",
                NULL });
}

/* What is in a checkpoint and no longer in the log is not remembered. */
/* A caller that has seen more than this member: it waits until that is here, too, and loses nothing behind it. */
static void test_since_ahead(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), other = peer_new(shared);
        g_autoptr(Record) r = record_new(bus);
        uint64_t now;

        make_open(other, "/ahead");
        now = zxid_now(other);
        call_later(bus, r, "watch", WATCHES, "Watch", "tssa{sv}", N(1), "/ahead", "persistent", 1, "since", "t", now + 2);
        call_later(bus, r, "read", TREE, "Exists", "sa{sv}", "/ahead", 0);
        /* Its own are in order, too: registered, then removed. */
        call_later(bus, r, "data", WATCHES, "SetWatches", "ttsasa{sv}", N(2), now + 3, "data", 1, "/ahead", 0);
        call_later(bus, r, "gone", WATCHES, "Unwatch", "ts", N(2), "");
        for (unsigned i = 0; i < 3; i++)
                set(other, "/ahead");
        assert_lines(bus, r, (const char *const[]) { "reply watch", "reply read", "event 1 data-changed /ahead", "reply data",
                                                     "reply gone", NULL });
        set(other, "/ahead");
        record_wait(bus, r, 6);
        g_assert_cmpstr(record_line(r, 5), ==, "event 1 data-changed /ahead");

        /* One that goes away while it waits. */
        {
                g_autoptr(sd_bus) brief = peer_new(shared);
                g_autoptr(Record) nothing = record_new(brief);

                call_later(brief, nothing, "watch", WATCHES, "Watch", "tssa{sv}", N(1), "/ahead", "persistent", 1, "since", "t",
                           zxid_now(other) + 1);
                sd_bus_message_unref(call(brief, "org.convene1.Statistics", "Get", NULL));
        }
        set(other, "/ahead");
        record_wait(bus, r, 7);
}

static void test_history_gone(void) {
        Agent *a = agent_new(NULL);
        {
                g_autoptr(sd_bus) bus = peer_new(a);

                make_open(bus, "/old");
                sd_bus_message_unref(call(bus, "org.convene1.Agent", "Checkpoint", NULL));
        }
        agent_stop(a, SIGTERM);
        agent_start(a);
        {
                g_autoptr(sd_bus) bus = peer_new(a);

                g_free(call_fails(bus, "org.convene1.Error.HistoryGone", WATCHES, "Watch", "tssa{sv}", N(1), "/", "recursive", 1,
                                  "since", "t", N(1)));
        }
        agent_free(a);
}

static void test_set_watches(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), other = peer_new(shared);
        g_autoptr(Record) r = record_new(bus);
        uint64_t relative;

        make_open(other, "/catch-up");
        make_open(other, "/catch-up/a");
        make_open(other, "/catch-up/b");
        relative = zxid_now(other);
        set(other, "/catch-up/a");
        sd_bus_message_unref(call(bus, WATCHES, "SetWatches", "ttsasa{sv}", N(1), relative, "data", 2, "/catch-up/a",
                                  "/catch-up/b", 0));
        set(other, "/catch-up/b");
        assert_lines(bus, r, (const char *const[]) {
                "event 1 data-changed /catch-up/a spent",
                "event 1 data-changed /catch-up/b spent",
                NULL });
}

/* SEC-18: what one may not read is not told of. */
static void test_unreadable(void) {
        g_autoptr(sd_bus) root = NULL, other = NULL;
        g_autoptr(Record) r = NULL;

        if (geteuid() != 0) {
                g_test_skip("needs root, to be somebody else");
                return;
        }
        root = peer_new(shared);
        other = peer_new_as(shared, NOBODY);
        r = record_new(other);
        make_open(root, "/unreadable");
        watch(other, 1, "/unreadable", "recursive");
        sd_bus_message_unref(call(root, TREE, "Create", "saysa{sv}", "/unreadable/secret", 0, "persistent", 1, "acl", "a(uss)", 1, 31,
                                  "unix", "0@testhost"));
        set(root, "/unreadable/secret");
        delete(root, "/unreadable/secret");
        set(root, "/unreadable");
        assert_lines(other, r, (const char *const[]) { "event 1 data-changed /unreadable", NULL });
}

void add_watch_tests(void) {
        g_test_add_func("/bus/watch/kinds", test_kinds);
        g_test_add_func("/bus/watch/with-reads", test_with_reads);
        g_test_add_func("/bus/watch/order", test_order);
        g_test_add_func("/bus/watch/unwatch", test_unwatch);
        g_test_add_func("/bus/watch/errors", test_errors);
        g_test_add_func("/bus/watch/since", test_since);
        g_test_add_func("/bus/watch/since-ahead", test_since_ahead);
        g_test_add_func("/bus/watch/history-gone", test_history_gone);
        g_test_add_func("/bus/watch/set-watches", test_set_watches);
        g_test_add_func("/bus/watch/unreadable", test_unreadable);
}
