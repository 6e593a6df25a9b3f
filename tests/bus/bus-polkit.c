/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Calls that need polkit's permission, with a polkit of our own on the private bus that thinks for as long as we want.
 */

#include <poll.h>
#include <unistd.h>

#include "tests/bus/harness.h"

typedef struct Authority {
        sd_bus *bus;
        GPtrArray *questions;           /* sd_bus_message*: without an answer yet */
        unsigned asked;
        bool at_once;                   /* every answer is yes, for this one time */
} Authority;

static void answer(sd_bus_message *question, bool allowed) {
        g_assert_cmpint(sd_bus_reply_method_return(question, "(bba{ss})", (int) allowed, 0, 1,
                                                   "polkit.temporary_authorization_id", "1"), >=, 0);
}

static int on_check(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Authority *p = userdata;

        p->asked++;
        if (p->at_once)
                answer(m, true);
        else
                g_ptr_array_add(p->questions, sd_bus_message_ref(m));
        return 1;
}

static const sd_bus_vtable authority_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})", on_check, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static void unref_message(gpointer m) {
        sd_bus_message_unref(m);
}

static void authority_start(Authority *p, Agent *a) {
        *p = (Authority) { .bus = peer_new(a) };
        p->questions = g_ptr_array_new_with_free_func(unref_message);
        g_assert_cmpint(sd_bus_add_object_vtable(p->bus, NULL, "/org/freedesktop/PolicyKit1/Authority",
                                                 "org.freedesktop.PolicyKit1.Authority", authority_vtable, p), >=, 0);
        g_assert_cmpint(sd_bus_request_name(p->bus, "org.freedesktop.PolicyKit1", 0), >=, 0);
}

static void authority_answer(Authority *p, bool allowed) {
        for (guint i = 0; i < p->questions->len; i++)
                answer(p->questions->pdata[i], allowed);
        g_ptr_array_set_size(p->questions, 0);
        g_assert_cmpint(sd_bus_flush(p->bus), >=, 0);
}

static void authority_done(Authority *p) {
        g_ptr_array_unref(p->questions);
        peer_free(p->bus);
}

static bool process(sd_bus *bus) {
        int r = sd_bus_process(bus, NULL);

        g_assert_cmpint(r, >=, 0);
        return r > 0;
}

/* Until one of them has something. */
static void pump(Authority *p, sd_bus *one, sd_bus *two) {
        sd_bus *all[] = { p->bus, one, two };
        struct pollfd fds[3];
        bool any = false;

        for (unsigned i = 0; i < 3; i++) {
                while (process(all[i]))
                        any = true;
                fds[i] = (struct pollfd) { sd_bus_get_fd(all[i]), (short) sd_bus_get_events(all[i]), 0 };
        }
        if (!any)
                g_assert_cmpint(poll(fds, 3, 30000), >, 0);
}

/* What was sent before has been dealt with, and so has what came of it. */
static void settle(Agent *a, sd_bus *bus) {
        g_autoptr(sd_bus) other = peer_new(a);

        for (unsigned i = 0; i < 3; i++)
                sd_bus_message_unref(call(other, TREE, "Get", "sa{sv}", "/", 0));
        while (process(bus))
                ;
}

static void check_order(bool allowed) {
        g_autoptr(sd_bus) bus = peer_new_as(shared, NOBODY), root = peer_new(shared);
        g_autofree char *path = g_strdup_printf("/polkit-%d", allowed);
        g_autoptr(Record) r = record_new(bus);
        Authority p;

        authority_start(&p, shared);
        make_open(root, path);
        call_later(bus, r, "set", TREE, "Set", "sayia{sv}", path, 0, -1, 1, "super", "b", 1);
        call_later(bus, r, "get", TREE, "Get", "sa{sv}", path, 0);
        while (p.questions->len == 0)
                pump(&p, bus, bus);
        settle(shared, bus);
        g_assert_cmpuint(r->replies, ==, 0);
        authority_answer(&p, allowed);
        record_wait(bus, r, 2);
        g_assert_cmpstr(record_line(r, 0), ==, allowed ? "reply set" : "error set " NO_AUTH);
        g_assert_cmpstr(record_line(r, 1), ==, "reply get");
        g_assert_cmpuint(p.asked, ==, 1);
        authority_done(&p);
}

static void test_granted_in_order(void) {
        check_order(true);
}

static void test_refused_in_order(void) {
        check_order(false);
}

static void test_caller_leaves(void) {
        g_autoptr(sd_bus) bus = peer_new_as(shared, NOBODY);
        g_autoptr(Record) r = record_new(bus);
        Authority p;

        authority_start(&p, shared);
        call_later(bus, r, "open", SESSIONS, "Open", "sa{sv}", "host", 0);
        while (p.questions->len == 0)
                pump(&p, bus, bus);
        g_clear_pointer(&bus, peer_free);
        settle(shared, p.bus);
        authority_answer(&p, true);
        settle(shared, p.bus);
        authority_done(&p);
        g_assert_true(agent_is_running(shared));
}

/* Being alive does not wait for polkit. */
static void test_keep_alive(void) {
        g_autoptr(sd_bus) bus = peer_new_as(shared, NOBODY);
        g_autoptr(sd_bus_message) m = call(bus, SESSIONS, "Open", "sa{sv}", "explicit", 1, "timeout", "u", 1000);
        g_autoptr(Record) r = record_new(bus);
        uint64_t session, started = (uint64_t) g_get_monotonic_time();
        unsigned sent = 0;
        Authority p;

        g_assert_cmpint(sd_bus_message_read(m, "t", &session), >=, 0);
        authority_start(&p, shared);
        call_later(bus, r, "open", SESSIONS, "Open", "sa{sv}", "host", 0);
        while (p.questions->len == 0)
                pump(&p, bus, bus);
        while ((uint64_t) g_get_monotonic_time() - started < 3000000) {
                call_later(bus, r, "alive", SESSIONS, "KeepAlive", "t", session);
                sent++;
                sd_bus_flush(bus);
                g_usleep(100000);
        }
        g_assert_cmpuint(r->replies, ==, 0);
        authority_answer(&p, true);
        record_wait(bus, r, 1 + sent);
        for (unsigned i = 0; i < 1 + sent; i++)
                g_assert_true(g_str_has_prefix(record_line(r, i), "reply "));
        authority_done(&p);
}

typedef struct Outcomes {
        unsigned done, refused;
} Outcomes;

static int on_set(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Outcomes *o = userdata;

        if (sd_bus_message_is_method_error(m, LIMIT_EXCEEDED))
                o->refused++;
        else {
                if (sd_bus_message_is_method_error(m, NULL))
                        g_error("Set: %s: %s", sd_bus_message_get_error(m)->name, sd_bus_message_get_error(m)->message);
                o->done++;
        }
        return 1;
}

static void set_later(sd_bus *bus, Outcomes *o, size_t size, bool super) {
        g_autofree uint8_t *data = g_malloc0(size);
        g_autoptr(sd_bus_message) m = NULL;

        g_assert_cmpint(sd_bus_message_new_method_call(bus, &m, "org.convene1", "/org/convene1", TREE, "Set"), >=, 0);
        g_assert_cmpint(sd_bus_message_append(m, "s", "/p"), >=, 0);
        g_assert_cmpint(sd_bus_message_append_array(m, 'y', data, size), >=, 0);
        g_assert_cmpint(sd_bus_message_append(m, "i", -1), >=, 0);
        g_assert_cmpint(super ? sd_bus_message_append(m, "a{sv}", 1, "super", "b", 1) :
                                sd_bus_message_append(m, "a{sv}", 0), >=, 0);
        g_assert_cmpint(sd_bus_call_async(bus, NULL, m, on_set, o, 0), >=, 0);
}

/* What waits for polkit is counted, for all connections of a user together: four of these megabytes fit. */
static void test_bytes(void) {
        Agent *a = agent_new("Bytes=4M\n");
        Outcomes o = { 0 };
        Authority p;
        {
                g_autoptr(sd_bus) one = peer_new_as(a, NOBODY), two = peer_new_as(a, NOBODY), root = peer_new(a);

                authority_start(&p, a);
                make_open(root, "/p");
                for (unsigned i = 0; i < 3; i++)
                        set_later(one, &o, 1000000, true);
                while (p.questions->len < 1)
                        pump(&p, one, two);
                for (unsigned i = 0; i < 3; i++)
                        set_later(two, &o, 1000000, true);
                while (p.questions->len < 2 || o.refused < 2)
                        pump(&p, one, two);
                sd_bus_message_unref(call(root, TREE, "Set", "sayia{sv}", "/p", 0, -1, 0));
                authority_answer(&p, true);
                p.at_once = true;               /* each is another question: the permission is for one time */
                while (o.done + o.refused < 6)
                        pump(&p, one, two);
                g_assert_cmpuint(o.refused, ==, 2);
                authority_done(&p);
        }
        agent_free(a);
}

/* A call that polkit has allowed and that must wait for others before it is not asked about again. */
static void test_granted_once(void) {
        g_autoptr(sd_bus) bus = peer_new_as(shared, NOBODY), root = peer_new(shared);
        g_autoptr(Record) r = record_new(bus);
        Outcomes o = { 0 };
        Authority p;

        authority_start(&p, shared);
        p.at_once = true;
        make_open(root, "/p");
        for (unsigned i = 0; i < 120; i++)
                set_later(bus, &o, 100000, false);
        call_later(bus, r, "watch", WATCHES, "Watch", "tssa{sv}", UINT64_C(1), "/p", "data", 1, "super", "b", 1);
        while (r->replies == 0 || o.done + o.refused < 120)
                pump(&p, bus, bus);
        g_assert_cmpuint(o.refused, ==, 0);
        g_assert_cmpstr(record_line(r, 0), ==, "reply watch");
        g_assert_cmpuint(p.asked, ==, 1);
        authority_done(&p);
}

void add_polkit_tests(void) {
        /* Only a broker's callers can be asked about, and root is not. */
        if (!dbus_daemon_path || geteuid() != 0)
                return;
        g_test_add_func("/bus/polkit/granted-in-order", test_granted_in_order);
        g_test_add_func("/bus/polkit/refused-in-order", test_refused_in_order);
        g_test_add_func("/bus/polkit/caller-leaves", test_caller_leaves);
        g_test_add_func("/bus/polkit/keep-alive", test_keep_alive);
        g_test_add_func("/bus/polkit/bytes", test_bytes);
        g_test_add_func("/bus/polkit/granted-once", test_granted_once);
}
