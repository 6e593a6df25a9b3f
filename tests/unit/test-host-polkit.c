/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Polkit: what is asked, what is remembered, and who is told what when somebody leaves. */

#include "agent/host/polkit.h"

#include <errno.h>

#include "tests/unit/bus-script.h"

#define NAME "org.freedesktop.PolicyKit1"
#define OBJECT "/org/freedesktop/PolicyKit1/Authority"
#define INTERFACE NAME ".Authority"
#define CALLER ":1.7"
#define ACTION "org.convene1.admin"

typedef struct Answer {
        unsigned count;
        bool allowed;
} Answer;

typedef struct Fixture {
        sd_event *event;
        Script *script;
        Polkit *polkit;
        GString *order;                 /* whose `done` was called: the userdata's label */
} Fixture;

static void set_up(Fixture *f, gconstpointer unused) {
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        f->script = script_new(f->event);
        f->polkit = polkit_new(f->event);
        polkit_set_bus(f->polkit, f->script->client);
        script_expect_nothing(f->script);
}

static void tear_down(Fixture *f, gconstpointer unused) {
        polkit_free(f->polkit);
        script_free(f->script);
        sd_event_unref(f->event);
}

static void on_done(void *userdata, bool allowed) {
        Answer *a = userdata;

        a->count++;
        a->allowed = allowed;
}

static int check(Fixture *f, bool interactive, Answer *a, PolkitQuestion **ret) {
        return polkit_check(f->polkit, CALLER, ACTION, interactive, on_done, a, ret);
}

static sd_bus_message *expect_check(Fixture *f) {
        return script_expect(f->script, OBJECT, "CheckAuthorization");
}

static void answer(Fixture *f, sd_bus_message *call, bool authorized, bool challenge) {
        script_return(f->script, call, "(bba{ss})", authorized, challenge, 0);
        script_settle(f->script);
}

/* Asks without a dialogue and answers; returns what was told. */
static bool ask(Fixture *f, bool authorized, bool challenge) {
        Answer a = { 0 };

        g_assert_cmpint(check(f, false, &a, NULL), ==, -EINPROGRESS);
        answer(f, expect_check(f), authorized, challenge);
        g_assert_cmpuint(a.count, ==, 1);
        return a.allowed;
}

static void test_no_bus(Fixture *f, gconstpointer unused) {
        polkit_set_bus(f->polkit, NULL);
        g_assert_cmpint(check(f, true, NULL, NULL), ==, 0);
}

/* The subject is the unique name, and nothing that could be somebody else's later. */
static void test_arguments(Fixture *f, gconstpointer unused) {
        const char *kind, *key, *name, *action, *id;
        Answer a = { 0 }, b = { 0 };
        sd_bus_message *m;
        uint32_t flags;

        for (unsigned interactive = 0; interactive < 2; interactive++) {
                g_assert_cmpint(check(f, interactive, interactive ? &b : &a, NULL), ==, -EINPROGRESS);
                m = expect_check(f);
                g_assert_cmpstr(sd_bus_message_get_destination(m), ==, NAME);
                g_assert_cmpstr(sd_bus_message_get_interface(m), ==, INTERFACE);
                g_assert_cmpstr(sd_bus_message_get_signature(m, true), ==, "(sa{sv})sa{ss}us");
                g_assert_cmpint(sd_bus_message_read(m, "(sa{sv})sa{ss}us", &kind, 1, &key, "s", &name, &action, 0,
                                                    &flags, &id), >, 0);
                g_assert_cmpstr(kind, ==, "system-bus-name");
                g_assert_cmpstr(key, ==, "name");
                g_assert_cmpstr(name, ==, CALLER);
                g_assert_cmpstr(action, ==, ACTION);
                g_assert_cmpuint(flags, ==, interactive);
                g_assert_true((*id != '\0') == interactive);
                answer(f, m, interactive, !interactive);
        }
        g_assert_true(a.count == 1 && !a.allowed);
        g_assert_true(b.count == 1 && b.allowed);
}

static void test_yes_and_no_stay(Fixture *f, gconstpointer unused) {
        g_assert_true(ask(f, true, false));
        g_assert_cmpint(check(f, false, NULL, NULL), ==, 1);
        g_assert_cmpint(check(f, true, NULL, NULL), ==, 1);

        /* Only for this caller and this action. */
        g_assert_cmpint(polkit_check(f->polkit, ":1.8", ACTION, false, on_done, &(Answer) { 0 }, NULL), ==, -EINPROGRESS);
        sd_bus_message_unref(expect_check(f));
        g_assert_cmpint(polkit_check(f->polkit, CALLER, "org.convene1.bind", false, on_done, &(Answer) { 0 }, NULL), ==,
                        -EINPROGRESS);
        sd_bus_message_unref(expect_check(f));

        script_signal(f->script, ":1.3", OBJECT, INTERFACE, "Changed", NULL);
        script_settle(f->script);
        g_assert_false(ask(f, false, false));
        g_assert_cmpint(check(f, false, NULL, NULL), ==, 0);

        script_owner_changed(f->script, NAME, ":1.3", "");
        script_settle(f->script);
        g_assert_true(ask(f, true, false));
        script_expect_nothing(f->script);
}

/* A dialogue might help, the authorisation is for a while, or it was given in a dialogue: asked again each time. */
static void test_passing(Fixture *f, gconstpointer unused) {
        Answer a = { 0 }, b = { 0 };
        sd_bus_message *m;

        g_assert_false(ask(f, false, true));
        g_assert_cmpint(check(f, false, &a, NULL), ==, -EINPROGRESS);
        m = expect_check(f);
        script_return(f->script, m, "(bba{ss})", true, false, 2, "other", "x", "polkit.temporary_authorization_id", "tmpauthz1");
        script_settle(f->script);
        g_assert_true(a.count == 1 && a.allowed);

        g_assert_cmpint(check(f, true, &b, NULL), ==, -EINPROGRESS);
        answer(f, expect_check(f), true, false);
        g_assert_true(b.count == 1 && b.allowed);
        g_assert_true(ask(f, true, false));
}

/* Whatever else happens is a no, and none that is remembered. */
static void test_errors(Fixture *f, gconstpointer unused) {
        Answer a[4] = { 0 };

        for (unsigned i = 0; i < 2; i++) {
                g_assert_cmpint(check(f, false, &a[i], NULL), ==, -EINPROGRESS);
                script_fail(f->script, expect_check(f), i == 0 ? SD_BUS_ERROR_SERVICE_UNKNOWN : NAME ".Error.Failed");
                script_settle(f->script);
        }
        g_assert_cmpint(check(f, false, &a[2], NULL), ==, -EINPROGRESS);
        script_return(f->script, expect_check(f), "b", true);
        script_settle(f->script);
        g_assert_cmpint(check(f, false, &a[3], NULL), ==, -EINPROGRESS);
        script_return(f->script, expect_check(f), "(bbs)", true, false, "");
        script_settle(f->script);
        for (unsigned i = 0; i < G_N_ELEMENTS(a); i++)
                g_assert_true(a[i].count == 1 && !a[i].allowed);
        g_assert_true(ask(f, true, false));
}

static void test_timeout(Fixture *f, gconstpointer unused) {
        Answer a = { 0 };
        sd_bus_message *m;

        g_assert_cmpint(sd_bus_set_method_call_timeout(f->script->client, 20 * 1000), >=, 0);
        g_assert_cmpint(check(f, false, &a, NULL), ==, -EINPROGRESS);
        m = expect_check(f);
        while (a.count == 0)
                g_assert_cmpint(sd_event_run(f->event, UINT64_MAX), >, 0);
        g_assert_false(a.allowed);

        /* The answer that comes after all is nobody's. */
        answer(f, m, true, false);
        g_assert_cmpuint(a.count, ==, 1);
        g_assert_cmpint(sd_bus_set_method_call_timeout(f->script->client, 0), >=, 0);
        g_assert_false(ask(f, false, false));
}

static void on_done_ordered(void *userdata, bool allowed) {
        g_string_append((GString *) userdata, allowed ? "+" : "-");
}

static void on_done_ask_again(void *userdata, bool allowed) {
        Fixture *f = userdata;

        g_string_append(f->order, "a");
        g_assert_cmpint(polkit_check(f->polkit, CALLER, ACTION, false, on_done_ordered, f->order, NULL), ==, 1);
}

static void test_shared(Fixture *f, gconstpointer unused) {
        Answer a = { 0 }, b = { 0 }, c = { 0 };
        g_autoptr(GString) order = f->order = g_string_new(NULL);
        PolkitQuestion *q;

        g_assert_cmpint(check(f, false, &a, NULL), ==, -EINPROGRESS);
        g_assert_cmpint(check(f, false, &b, &q), ==, -EINPROGRESS);
        g_assert_cmpint(polkit_check(f->polkit, CALLER, ACTION, false, on_done_ask_again, f, NULL), ==, -EINPROGRESS);
        g_assert_cmpint(check(f, false, &c, NULL), ==, -EINPROGRESS);
        polkit_question_cancel(q);
        answer(f, expect_check(f), true, false);
        script_expect_nothing(f->script);
        g_assert_true(a.count == 1 && a.allowed && c.count == 1 && c.allowed);
        g_assert_cmpuint(b.count, ==, 0);
        g_assert_cmpstr(order->str, ==, "a");
}

/* Rules that change while polkit thinks: the answer holds for those who asked before, and for nobody else. */
static void test_changed_meanwhile(Fixture *f, gconstpointer unused) {
        Answer a = { 0 }, b = { 0 };
        sd_bus_message *first, *second;

        g_assert_cmpint(check(f, false, &a, NULL), ==, -EINPROGRESS);
        first = expect_check(f);
        script_signal(f->script, ":1.3", OBJECT, INTERFACE, "Changed", NULL);
        script_settle(f->script);
        g_assert_cmpint(check(f, false, &b, NULL), ==, -EINPROGRESS);
        second = expect_check(f);
        answer(f, first, true, false);
        g_assert_true(a.count == 1 && a.allowed && b.count == 0);
        g_assert_cmpint(check(f, false, &b, NULL), ==, -EINPROGRESS);   /* joins the second */
        answer(f, second, false, false);
        g_assert_true(b.count == 2 && !b.allowed);
        g_assert_cmpint(check(f, false, NULL, NULL), ==, 0);
}

/* As the server does it: the question is cancelled and the name forgotten. */
static void test_caller_gone(Fixture *f, gconstpointer unused) {
        const char *kind, *key, *name, *action, *id, *cancelled;
        Answer a = { 0 };
        PolkitQuestion *q;
        sd_bus_message *m, *cancel;
        uint32_t flags;

        g_assert_cmpint(check(f, false, &a, &q), ==, -EINPROGRESS);
        m = expect_check(f);
        polkit_question_cancel(q);
        polkit_forget(f->polkit, CALLER);
        script_expect_nothing(f->script);
        answer(f, m, true, false);

        /* A dialogue is taken off the screen. */
        g_assert_cmpint(check(f, true, &a, &q), ==, -EINPROGRESS);
        m = expect_check(f);
        polkit_question_cancel(q);
        polkit_forget(f->polkit, CALLER);
        cancel = script_expect(f->script, OBJECT, "CancelCheckAuthorization");
        g_assert_cmpint(sd_bus_message_read(m, "(sa{sv})sa{ss}us", &kind, 1, &key, "s", &name, &action, 0, &flags, &id), >, 0);
        g_assert_cmpint(sd_bus_message_read(cancel, "s", &cancelled), >, 0);
        g_assert_cmpstr(cancelled, ==, id);
        sd_bus_message_unref(cancel);
        answer(f, m, true, false);
        g_assert_cmpuint(a.count, ==, 0);

        /* What was answered, and what is answered after all: nothing of it stays. */
        g_assert_true(ask(f, true, false));
        polkit_forget(f->polkit, CALLER);
        g_assert_cmpint(check(f, false, &a, NULL), ==, -EINPROGRESS);
        m = expect_check(f);
        polkit_forget(f->polkit, CALLER);
        answer(f, m, true, false);
        g_assert_cmpuint(a.count, ==, 1);
        g_assert_true(ask(f, true, false));
}

static void test_bounds(Fixture *f, gconstpointer unused) {
        Answer a = { 0 };
        unsigned count = 0;

        for (unsigned caller = 0; caller < 16; caller++) {
                g_autofree char *name = g_strdup_printf(":1.%u", 100 + caller);

                for (unsigned i = 0; i < 16; i++) {
                        g_autofree char *action = g_strdup_printf("a.%u", i);

                        g_assert_cmpint(polkit_check(f->polkit, name, action, false, on_done, &a, NULL), ==, -EINPROGRESS);
                        count++;
                }
                g_assert_cmpint(polkit_check(f->polkit, name, "a.more", false, on_done, &a, NULL), ==, -EBUSY);
                /* the same again is no more */
                g_assert_cmpint(polkit_check(f->polkit, name, "a.0", false, on_done, &a, NULL), ==, -EINPROGRESS);
                count++;
        }
        g_assert_cmpint(polkit_check(f->polkit, ":1.200", "a.0", false, on_done, &a, NULL), ==, -EBUSY);

        answer(f, expect_check(f), false, true);
        g_assert_cmpint(polkit_check(f->polkit, ":1.200", "a.0", false, on_done, &a, NULL), ==, -EINPROGRESS);
        count++;

        /* The bus goes: everybody is told no, from the event loop, once. */
        unsigned told = a.count;
        polkit_set_bus(f->polkit, NULL);
        g_assert_cmpuint(a.count, ==, told);
        script_settle(f->script);
        g_assert_cmpuint(a.count, ==, count);
        g_assert_false(a.allowed);
}

/* It hangs up while polkit thinks; the next bus has other callers. */
static void test_bus_lost(Fixture *f, gconstpointer unused) {
        Answer a = { 0 }, b = { 0 };
        sd_bus_message *m;

        g_assert_true(ask(f, true, false));
        g_assert_cmpint(polkit_check(f->polkit, CALLER, "org.convene1.bind", false, on_done, &a, NULL), ==, -EINPROGRESS);
        m = expect_check(f);
        script_hang_up(f->script);
        while (a.count == 0)
                g_assert_cmpint(sd_event_run(f->event, UINT64_MAX), >, 0);
        g_assert_false(a.allowed);
        sd_bus_message_unref(m);

        /* Asked on a bus that is closed already. */
        g_assert_cmpint(polkit_check(f->polkit, CALLER, "org.convene1.bind", false, on_done, &b, NULL), ==, -EINPROGRESS);
        g_assert_cmpuint(b.count, ==, 0);
        script_settle(f->script);
        g_assert_true(b.count == 1 && !b.allowed);

        polkit_set_bus(f->polkit, NULL);
        script_free(f->script);
        f->script = script_new(f->event);
        polkit_set_bus(f->polkit, f->script->client);
        g_assert_false(ask(f, false, false));
}

static void test_free_while_asking(Fixture *f, gconstpointer unused) {
        Answer a = { 0 };
        sd_bus_message *m;

        g_assert_cmpint(check(f, false, &a, NULL), ==, -EINPROGRESS);
        g_assert_cmpint(check(f, false, &a, NULL), ==, -EINPROGRESS);
        m = expect_check(f);
        f->polkit = polkit_free(f->polkit);
        answer(f, m, true, false);
        g_assert_cmpuint(a.count, ==, 0);
}

int main(int argc, char *argv[]) {
        static const struct {
                const char *path;
                void (*run)(Fixture *f, gconstpointer unused);
        } tests[] = {
                { "/polkit/no-bus", test_no_bus },
                { "/polkit/arguments", test_arguments },
                { "/polkit/yes-and-no-stay", test_yes_and_no_stay },
                { "/polkit/passing", test_passing },
                { "/polkit/errors", test_errors },
                { "/polkit/timeout", test_timeout },
                { "/polkit/shared", test_shared },
                { "/polkit/changed-meanwhile", test_changed_meanwhile },
                { "/polkit/caller-gone", test_caller_gone },
                { "/polkit/bounds", test_bounds },
                { "/polkit/bus-lost", test_bus_lost },
                { "/polkit/free-while-asking", test_free_while_asking },
        };

        g_test_init(&argc, &argv, NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
                g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].run, tear_down);
        return g_test_run();
}
