/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Units: when a run has ended, which have started, and that nothing is missed when the bus or systemd goes away. */

#include "agent/host/units.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/units-fixture.h"

typedef struct Watched {
        Fixture *fixture;
        const char *label;
        UnitRun *run;
        UnitRun **also;                 /* freed in the callback, too */
} Watched;

static void on_ended(void *userdata, const char *why) {
        Watched *w = userdata;

        g_assert_nonnull(why);
        g_string_append_printf(w->fixture->log, "ended %s;", w->label);
        w->run = unit_run_free(w->run);
        if (w->also)
                *w->also = unit_run_free(*w->also);
}

static Watched watch(Fixture *f, const char *label) {
        return (Watched) { .fixture = f, .label = label };
}

static void begin(Watched *w, const char *unit, sd_id128_t run) {
        w->run = units_watch_run(w->fixture->units, unit, run, on_ended, w);
}

static void test_no_bus(Fixture *f, gconstpointer unused) {
        Watched w = watch(f, "a");
        Found r = { 0 };

        g_assert_false(units_available(f->units));
        units_lookup_pid(f->units, 712, on_found, &r);
        g_assert_cmpuint(r.count, ==, 0);               /* later, always */
        assert_found(f, &r, -ENOENT);
        units_lookup_name(f->units, UNIT, on_found, &r);
        assert_found(f, &r, -ENOENT);

        /* A run waits for a bus to come. */
        begin(&w, UNIT, run_1);
        assert_log(f, "");
        connect_bus(f);
        g_assert_true(units_available(f->units));
        script_fail(f->script, expect_invocation(f, run_1), SYSTEMD ".NoUnitForInvocationID");
        assert_log(f, "ended a;");
}

/*
 * Runs
 */

static void test_run_ends(Fixture *f, gconstpointer unused) {
        static const struct {
                sd_id128_t run;
                const char *active, *sub;
        } ends[] = {
                { RUN_2, "active", "running" },
                { RUN_2, "activating", "start" },
                { { { 0 } }, "active", "running" },
                { RUN_1, "inactive", "dead" },
                { RUN_1, "failed", "failed" },
                { RUN_1, "activating", "auto-restart" },
        };

        connect_bus(f);
        for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
                Watched w = watch(f, "a");

                begin(&w, UNIT, run_1);
                expect_running(f, run_1);
                change(f, run_1, "active", "running");
                change(f, run_1, "reloading", "reload");
                change(f, run_1, "deactivating", "stop");
                change_from(f, SYSTEMD_OWNER, UNIT_PATH, NULL, NULL, NULL);
                change_from(f, SYSTEMD_OWNER, "/org/freedesktop/systemd1/unit/other_2eservice", &ends[i].run,
                            ends[i].active, ends[i].sub);
                script_signal(f->script, SYSTEMD_OWNER, MANAGER, SYSTEMD ".Manager", "UnitRemoved", "so", UNIT, UNIT_PATH);
                assert_log(f, "");
                change(f, ends[i].run, ends[i].active, ends[i].sub);
                change(f, ends[i].run, ends[i].active, ends[i].sub);    /* once */
                assert_log(f, "ended a;");
        }
        script_expect_nothing(f->script);
}

/* systemd may leave the InvocationID out of a change, or the states. */
static void test_run_ends_in_parts(Fixture *f, gconstpointer unused) {
        Watched w = watch(f, "a");

        connect_bus(f);
        begin(&w, UNIT, run_1);
        expect_running(f, run_1);
        script_settle(f->script);
        change_from(f, SYSTEMD_OWNER, UNIT_PATH, &run_2, NULL, NULL);
        assert_log(f, "ended a;");
        begin(&w, UNIT, run_2);
        expect_running(f, run_2);
        script_settle(f->script);
        change_from(f, SYSTEMD_OWNER, UNIT_PATH, NULL, "inactive", NULL);
        assert_log(f, "ended a;");
}

/* Over before it was watched. */
static void test_run_is_over(Fixture *f, gconstpointer unused) {
        Watched w = watch(f, "a");

        connect_bus(f);
        begin(&w, UNIT, run_1);
        script_fail(f->script, expect_invocation(f, run_1), SYSTEMD ".NoUnitForInvocationID");
        assert_log(f, "ended a;");

        begin(&w, UNIT, run_1);
        script_return(f->script, expect_invocation(f, run_1), "o", UNIT_PATH);
        expect_properties(f, "other.service", run_1, "active", "running");
        assert_log(f, "ended a;");
}

/* A signal from before the answer speaks of the run before. */
static void test_old_signals(Fixture *f, gconstpointer unused) {
        Watched w = watch(f, "a");
        sd_bus_message *m;

        connect_bus(f);
        begin(&w, UNIT, run_2);
        m = expect_invocation(f, run_2);
        change(f, run_1, "inactive", "dead");
        script_return(f->script, m, "o", UNIT_PATH);
        script_settle(f->script);
        change(f, run_1, "failed", "failed");
        expect_properties(f, UNIT, run_2, "active", "running");
        assert_log(f, "");
        change(f, run_2, "inactive", "dead");
        assert_log(f, "ended a;");
}

/* A match keeps nobody from sending to us alone. */
static void test_forged(Fixture *f, gconstpointer unused) {
        Watched w = watch(f, "a");

        connect_bus(f);
        begin(&w, UNIT, run_1);
        expect_running(f, run_1);
        script_settle(f->script);
        change_from(f, ":1.66", UNIT_PATH, &run_1, "inactive", "dead");
        script_signal(f->script, ":1.66", MANAGER, SYSTEMD ".Manager", "Reloading", "b", false);
        script_signal(f->script, ":1.66", "/org/freedesktop/DBus", BROKER, "NameOwnerChanged", "sss", SYSTEMD, SYSTEMD_OWNER,
                      ":1.66");
        change_from(f, ":1.66", UNIT_PATH, &run_1, "inactive", "dead");
        assert_log(f, "");
        script_expect_nothing(f->script);
        change(f, run_1, "inactive", "dead");
        assert_log(f, "ended a;");
}

static void test_many_runs(Fixture *f, gconstpointer unused) {
        Watched a = watch(f, "a"), b = watch(f, "b"), c = watch(f, "c"), d = watch(f, "d");

        connect_bus(f);
        begin(&a, UNIT, run_1);
        expect_running(f, run_1);
        begin(&b, UNIT, run_1);
        expect_running(f, run_1);
        begin(&c, UNIT, run_1);
        expect_running(f, run_1);
        begin(&d, "other.service", run_3);
        script_return(f->script, expect_invocation(f, run_3), "o", "/org/freedesktop/systemd1/unit/other_2eservice");
        sd_bus_message_unref(script_expect(f->script, "/org/freedesktop/systemd1/unit/other_2eservice", "GetAll"));
        script_settle(f->script);

        /* Whoever is told first takes another with it; the one in the middle leaves before. */
        b.run = unit_run_free(b.run);
        a.also = &c.run;
        c.also = &a.run;
        change(f, run_2, "active", "running");
        script_settle(f->script);
        g_assert_true(g_str_equal(f->log->str, "ended a;") || g_str_equal(f->log->str, "ended c;"));
        g_assert_true(!a.run && !c.run && d.run);
        g_string_truncate(f->log, 0);
        change(f, run_1, "inactive", "dead");
        assert_log(f, "");
        d.run = unit_run_free(d.run);
}

static void test_runs_end_together(Fixture *f, gconstpointer unused) {
        Watched a = watch(f, "a"), b = watch(f, "b"), c = watch(f, "c");

        connect_bus(f);
        begin(&a, UNIT, run_1);
        expect_running(f, run_1);
        begin(&b, UNIT, run_2);                 /* of a run to come, as far as this test goes */
        expect_running(f, run_2);
        begin(&c, UNIT, run_1);
        expect_running(f, run_1);
        script_settle(f->script);
        change(f, run_2, "active", "running");
        script_settle(f->script);
        g_assert_true(!a.run && b.run && !c.run);
        g_assert_cmpuint(f->log->len, ==, 2 * strlen("ended a;"));
        g_string_truncate(f->log, 0);
        change(f, run_2, "inactive", "dead");
        assert_log(f, "ended b;");
}

/* systemd could not be asked: that is no end, and it is asked again. */
static void test_run_asked_again(Fixture *f, gconstpointer unused) {
        Watched w = watch(f, "a");

        connect_bus(f);
        begin(&w, UNIT, run_1);
        script_fail(f->script, expect_invocation(f, run_1), SD_BUS_ERROR_ACCESS_DENIED);
        script_expect_nothing(f->script);               /* not at once */
        assert_log(f, "");
        expect_subscribe(f);
        script_return(f->script, expect_invocation(f, run_1), "o", UNIT_PATH);
        expect_properties(f, UNIT, run_1, "inactive", "dead");
        assert_log(f, "ended a;");
}

static void test_subscribed_already(Fixture *f, gconstpointer unused) {
        units_set_bus(f->units, f->script->client);
        expect_find_owner(f, SYSTEMD_OWNER);
        script_fail(f->script, expect_manager(f, "Subscribe"), SYSTEMD ".AlreadySubscribed");
        script_expect_nothing(f->script);

        /* Any other error would leave us blind. */
        script_signal(f->script, SYSTEMD_OWNER, MANAGER, SYSTEMD ".Manager", "Reloading", "b", false);
        script_fail(f->script, expect_manager(f, "Subscribe"), SD_BUS_ERROR_LIMITS_EXCEEDED);
        expect_subscribe(f);
        script_expect_nothing(f->script);
}

/*
 * What swallows signals
 */

static void test_reloading(Fixture *f, gconstpointer unused) {
        Watched w = watch(f, "a");

        connect_bus(f);
        begin(&w, UNIT, run_1);
        expect_running(f, run_1);
        script_signal(f->script, SYSTEMD_OWNER, MANAGER, SYSTEMD ".Manager", "Reloading", "b", true);
        script_expect_nothing(f->script);
        script_signal(f->script, SYSTEMD_OWNER, MANAGER, SYSTEMD ".Manager", "Reloading", "b", false);
        expect_subscribe(f);
        script_fail(f->script, expect_invocation(f, run_1), SYSTEMD ".NoUnitForInvocationID");
        assert_log(f, "ended a;");
}

/* PID 1 executes itself anew: another name, and the old one counts no more. */
static void test_systemd_comes_back(Fixture *f, gconstpointer unused) {
        Watched w = watch(f, "a");

        connect_bus(f);
        begin(&w, UNIT, run_1);
        expect_running(f, run_1);
        script_owner_changed(f->script, SYSTEMD, SYSTEMD_OWNER, "");
        script_expect_nothing(f->script);
        change(f, run_1, "inactive", "dead");
        assert_log(f, "");
        script_owner_changed(f->script, SYSTEMD, "", ":1.9");
        expect_subscribe(f);
        expect_running(f, run_1);
        script_settle(f->script);
        change(f, run_1, "inactive", "dead");
        assert_log(f, "");
        change_from(f, ":1.9", UNIT_PATH, &run_1, "inactive", "dead");
        assert_log(f, "ended a;");
}

/* Not there yet when the bus is. */
static void test_systemd_comes_late(Fixture *f, gconstpointer unused) {
        Watched w = watch(f, "a");

        begin(&w, UNIT, run_1);
        units_set_bus(f->units, f->script->client);
        expect_find_owner(f, NULL);
        script_expect_nothing(f->script);
        script_owner_changed(f->script, SYSTEMD, "", SYSTEMD_OWNER);
        expect_subscribe(f);
        expect_running(f, run_1);
        script_settle(f->script);
        change(f, run_2, "active", "running");
        assert_log(f, "ended a;");
}

/* The bus hangs up with questions open and comes back: a run that ended meanwhile ends, another goes on. */
static void test_bus_comes_back(Fixture *f, gconstpointer unused) {
        Watched a = watch(f, "a"), b = watch(f, "b");
        sd_bus_message *m;
        Found r = { 0 };

        connect_bus(f);
        begin(&a, UNIT, run_1);
        expect_running(f, run_1);
        begin(&b, UNIT, run_2);
        m = expect_invocation(f, run_2);
        units_lookup_pid(f->units, 712, on_found, &r);
        sd_bus_message_unref(expect_manager(f, "GetUnitByPID"));

        script_hang_up(f->script);
        while (r.count == 0)
                g_assert_cmpint(sd_event_run(f->event, UINT64_MAX), >, 0);
        g_assert_true(r.error != -ENOENT && r.error != -ESRCH);
        assert_found(f, &r, r.error);
        sd_bus_message_unref(m);

        /* On a bus that is gone, before its owner knows. */
        units_lookup_pid(f->units, 712, on_found, &r);
        script_settle(f->script);
        g_assert_true(r.error < 0 && r.error != -ENOENT && r.error != -ESRCH);
        assert_found(f, &r, r.error);
        assert_log(f, "");

        change_bus(f);
        assert_log(f, "");
        g_assert_false(units_available(f->units));
        connect_bus(f);
        for (unsigned i = 0; i < 2; i++) {
                sd_id128_t wanted;
                const void *id;
                size_t size;

                m = expect_manager(f, "GetUnitByInvocationID");
                g_assert_cmpint(sd_bus_message_read_array(m, 'y', &id, &size), >, 0);
                g_assert_cmpuint(size, ==, sizeof wanted);
                memcpy(&wanted, id, sizeof wanted);
                if (sd_id128_equal(wanted, run_1))
                        script_fail(f->script, m, SYSTEMD ".NoUnitForInvocationID");
                else
                        script_return(f->script, m, "o", UNIT_PATH);
        }
        expect_properties(f, UNIT, run_2, "active", "running");
        assert_log(f, "ended a;");
        change(f, run_2, "failed", "failed");
        assert_log(f, "ended b;");
}

/* Taken away with a question open: it fails, later, and a run waits. */
static void test_bus_taken(Fixture *f, gconstpointer unused) {
        Watched w = watch(f, "a");
        sd_bus_message *m;
        Found r = { 0 };

        connect_bus(f);
        begin(&w, UNIT, run_1);
        m = expect_invocation(f, run_1);
        units_lookup_name(f->units, UNIT, on_found, &r);
        sd_bus_message_unref(expect_manager(f, "GetUnit"));
        units_set_bus(f->units, NULL);
        g_assert_cmpuint(r.count, ==, 0);
        script_return(f->script, m, "o", UNIT_PATH);
        assert_found(f, &r, -ENOTCONN);
        assert_log(f, "");
        script_expect_nothing(f->script);
        w.run = unit_run_free(w.run);
}

/*
 * Started units
 */

static bool wanted(void *userdata, const char *unit) {
        return g_str_has_suffix(unit, ".service") && !g_str_equal(unit, "unwanted.service");
}

static void on_started(void *userdata, const UnitFacts *facts) {
        Fixture *f = userdata;

        g_string_append_printf(f->log, "started %s %02x;", facts->unit, facts->invocation.bytes[0]);
}

/* Answers ListUnitsByPatterns with these, each with its path. */
static void expect_list(Fixture *f, bool with_unit) {
        sd_bus_message *call = expect_manager(f, "ListUnitsByPatterns"), *m;

        g_assert_cmpstr(sd_bus_message_get_signature(call, true), ==, "asas");
        g_assert_cmpint(sd_bus_message_new_method_return(call, &m), >=, 0);
        g_assert_cmpint(sd_bus_message_open_container(m, 'a', "(ssssssouso)"), >=, 0);
        if (with_unit)
                g_assert_cmpint(sd_bus_message_append(m, "(ssssssouso)", UNIT, "An app", "loaded", "active", "running", "",
                                                      UNIT_PATH, 0, "", "/"), >=, 0);
        g_assert_cmpint(sd_bus_message_append(m, "(ssssssouso)", "unwanted.service", "", "loaded", "active", "running", "",
                                              "/org/freedesktop/systemd1/unit/unwanted_2eservice", 0, "", "/"), >=, 0);
        g_assert_cmpint(sd_bus_message_close_container(m), >=, 0);
        script_send(f->script, m);
        sd_bus_message_unref(call);
}

static void test_started(Fixture *f, gconstpointer unused) {
        units_set_started(f->units, wanted, on_started, f);
        connect_bus(f);
        expect_list(f, true);
        expect_properties(f, UNIT, run_1, "active", "running");
        assert_log(f, "started app.service 11;");
        change(f, run_1, "reloading", "reload");
        change(f, run_1, "active", "running");
        assert_log(f, "");                              /* once */

        change(f, run_1, "deactivating", "stop");
        change(f, run_2, "activating", "start");
        assert_log(f, "");
        change(f, run_2, "active", "running");
        assert_log(f, "started app.service 22;");
        change(f, run_2, "inactive", "dead");
        change_from(f, SYSTEMD_OWNER, "/org/freedesktop/systemd1/unit/unwanted_2eservice", &run_3, "active", "running");
        change_from(f, ":1.66", UNIT_PATH, &run_3, "active", "running");
        assert_log(f, "");

        /* Set again, it hears of all that is active now. */
        change(f, run_3, "active", "exited");
        assert_log(f, "started app.service 33;");
        units_set_started(f->units, wanted, on_started, f);
        expect_list(f, true);
        expect_properties(f, UNIT, run_3, "active", "exited");
        assert_log(f, "started app.service 33;");
        units_set_started(f->units, NULL, NULL, f);
        change(f, run_1, "active", "running");
        assert_log(f, "");
        script_expect_nothing(f->script);
}

/* The old run ends before the new one is told, so that its place is free. */
static void test_started_after_end(Fixture *f, gconstpointer unused) {
        Watched w = watch(f, "a");

        units_set_started(f->units, wanted, on_started, f);
        connect_bus(f);
        expect_list(f, true);
        expect_properties(f, UNIT, run_1, "active", "running");
        begin(&w, UNIT, run_1);
        expect_running(f, run_1);
        assert_log(f, "started app.service 11;");
        change(f, run_2, "active", "running");
        assert_log(f, "ended a;started app.service 22;");
}

/* A unit that was loaded may have started before we heard of it; while one look is under way, another is due. */
static void test_loaded(Fixture *f, gconstpointer unused) {
        units_set_started(f->units, wanted, on_started, f);
        connect_bus(f);
        script_signal(f->script, SYSTEMD_OWNER, MANAGER, SYSTEMD ".Manager", "UnitNew", "so", UNIT, UNIT_PATH);
        script_signal(f->script, SYSTEMD_OWNER, MANAGER, SYSTEMD ".Manager", "UnitNew", "so", UNIT, UNIT_PATH);
        script_settle(f->script);
        expect_list(f, false);
        expect_list(f, true);
        expect_properties(f, UNIT, run_1, "active", "running");
        assert_log(f, "started app.service 11;");
        script_expect_nothing(f->script);

        script_signal(f->script, SYSTEMD_OWNER, MANAGER, SYSTEMD ".Manager", "UnitNew", "so", "unwanted.service",
                      "/org/freedesktop/systemd1/unit/unwanted_2eservice");
        script_signal(f->script, ":1.66", MANAGER, SYSTEMD ".Manager", "UnitNew", "so", UNIT, UNIT_PATH);
        script_expect_nothing(f->script);
}

/* After the bus came back each is told once more only if it is another run. */
static void test_started_over_bus(Fixture *f, gconstpointer unused) {
        units_set_started(f->units, wanted, on_started, f);
        connect_bus(f);
        expect_list(f, true);
        expect_properties(f, UNIT, run_1, "active", "running");
        assert_log(f, "started app.service 11;");
        change_bus(f);
        connect_bus(f);
        expect_list(f, true);
        expect_properties(f, UNIT, run_1, "active", "running");
        assert_log(f, "");
        change_bus(f);
        connect_bus(f);
        expect_list(f, true);
        expect_properties(f, UNIT, run_2, "active", "running");
        assert_log(f, "started app.service 22;");
}

int main(int argc, char *argv[]) {
        static const struct {
                const char *path;
                void (*run)(Fixture *f, gconstpointer unused);
        } tests[] = {
                { "/units/no-bus", test_no_bus },
                { "/units/run/ends", test_run_ends },
                { "/units/run/ends-in-parts", test_run_ends_in_parts },
                { "/units/run/is-over", test_run_is_over },
                { "/units/run/old-signals", test_old_signals },
                { "/units/run/forged", test_forged },
                { "/units/run/many", test_many_runs },
                { "/units/run/end-together", test_runs_end_together },
                { "/units/run/asked-again", test_run_asked_again },
                { "/units/subscribed-already", test_subscribed_already },
                { "/units/reloading", test_reloading },
                { "/units/systemd-comes-back", test_systemd_comes_back },
                { "/units/systemd-comes-late", test_systemd_comes_late },
                { "/units/bus-comes-back", test_bus_comes_back },
                { "/units/bus-taken", test_bus_taken },
                { "/units/started/told", test_started },
                { "/units/started/after-end", test_started_after_end },
                { "/units/started/loaded", test_loaded },
                { "/units/started/over-bus", test_started_over_bus },
        };

        g_test_init(&argc, &argv, NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
                g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].run, tear_down);
        return g_test_run();
}
