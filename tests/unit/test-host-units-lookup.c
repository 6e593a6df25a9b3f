/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Units: questions, and what is made of systemd's answers. */

#include "agent/host/units.h"

#include <errno.h>

#include "tests/unit/units-fixture.h"

static void test_lookups(Fixture *f, gconstpointer unused) {
        Found r = { 0 };
        sd_bus_message *m;
        const char *name;
        uint32_t pid;

        connect_bus(f);
        units_lookup_pid(f->units, 712, on_found, &r);
        m = expect_manager(f, "GetUnitByPID");
        g_assert_cmpint(sd_bus_message_read(m, "u", &pid), >, 0);
        g_assert_cmpuint(pid, ==, 712);
        script_return(f->script, m, "o", UNIT_PATH);
        expect_properties(f, UNIT, run_1, "activating", "start-pre");
        script_settle(f->script);
        g_assert_cmpstr(r.unit, ==, UNIT);
        g_assert_cmpstr(r.active_state, ==, "activating");
        g_assert_true(sd_id128_equal(r.invocation, run_1));
        assert_found(f, &r, 0);

        units_lookup_name(f->units, UNIT, on_found, &r);
        m = expect_manager(f, "GetUnit");
        g_assert_cmpint(sd_bus_message_read(m, "s", &name), >, 0);
        g_assert_cmpstr(name, ==, UNIT);
        script_return(f->script, m, "o", UNIT_PATH);
        expect_properties(f, UNIT, SD_ID128_NULL, "inactive", "dead");
        script_settle(f->script);
        g_assert_true(sd_id128_is_null(r.invocation));
        assert_found(f, &r, 0);

        units_lookup_invocation(f->units, run_1, on_found, &r);
        expect_running(f, run_1);
        assert_found(f, &r, 0);
}

/* What systemd would take for "the caller", which is the agent. */
static void test_lookups_of_nobody(Fixture *f, gconstpointer unused) {
        Found r = { 0 };

        connect_bus(f);
        units_lookup_pid(f->units, 0, on_found, &r);
        assert_found(f, &r, -ENOENT);
        units_lookup_pid(f->units, -1, on_found, &r);
        assert_found(f, &r, -ENOENT);
        units_lookup_name(f->units, "", on_found, &r);
        assert_found(f, &r, -ENOENT);
        units_lookup_name(f->units, "a\xff.service", on_found, &r);
        assert_found(f, &r, -ENOENT);
        units_lookup_invocation(f->units, SD_ID128_NULL, on_found, &r);
        assert_found(f, &r, -ESRCH);
        script_expect_nothing(f->script);
}

static void test_lookup_errors(Fixture *f, gconstpointer unused) {
        static const struct {
                const char *error;
                int by_name, by_invocation;
        } cases[] = {
                { SYSTEMD ".NoSuchUnit", -ENOENT, -ESRCH },
                { SYSTEMD ".NoUnitForPID", -ENOENT, -ESRCH },
                { SYSTEMD ".NoUnitForInvocationID", -ENOENT, -ESRCH },
                { SD_BUS_ERROR_UNKNOWN_OBJECT, -ENOENT, -ESRCH },
                { SD_BUS_ERROR_SERVICE_UNKNOWN, -EHOSTUNREACH, -EHOSTUNREACH },
                { SD_BUS_ERROR_NAME_HAS_NO_OWNER, -EHOSTUNREACH, -EHOSTUNREACH },
                { SD_BUS_ERROR_ACCESS_DENIED, -EACCES, -EACCES },
        };
        Found r = { 0 };

        connect_bus(f);
        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
                for (unsigned late = 0; late < 2; late++) {     /* the manager says so, or the unit's object */
                        units_lookup_name(f->units, UNIT, on_found, &r);
                        if (late)
                                script_return(f->script, expect_manager(f, "GetUnit"), "o", UNIT_PATH);
                        script_fail(f->script, late ? script_expect(f->script, UNIT_PATH, "GetAll")
                                                    : expect_manager(f, "GetUnit"), cases[i].error);
                        assert_found(f, &r, cases[i].by_name);

                        units_lookup_invocation(f->units, run_1, on_found, &r);
                        if (late)
                                script_return(f->script, expect_invocation(f, run_1), "o", UNIT_PATH);
                        script_fail(f->script, late ? script_expect(f->script, UNIT_PATH, "GetAll")
                                                    : expect_invocation(f, run_1), cases[i].error);
                        assert_found(f, &r, cases[i].by_invocation);
                }
}

/* Answers of another shape say nothing about the unit. */
static void test_lookup_nonsense(Fixture *f, gconstpointer unused) {
        static const char *const types[] = { "s", "a{sv}", "a{ss}" };
        Found r = { 0 };

        connect_bus(f);
        units_lookup_name(f->units, UNIT, on_found, &r);
        script_return(f->script, expect_manager(f, "GetUnit"), "s", "here");
        script_settle(f->script);
        g_assert_true(r.error < 0 && r.error != -ENOENT && r.error != -ESRCH);
        assert_found(f, &r, r.error);

        for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
                units_lookup_invocation(f->units, run_1, on_found, &r);
                script_return(f->script, expect_invocation(f, run_1), "o", UNIT_PATH);
                if (i == 0)
                        script_return(f->script, script_expect(f->script, UNIT_PATH, "GetAll"), "s", "x");
                else if (i == 1)
                        script_return(f->script, script_expect(f->script, UNIT_PATH, "GetAll"), "a{sv}", 1, "Id", "u", 5);
                else
                        script_return(f->script, script_expect(f->script, UNIT_PATH, "GetAll"), "a{sv}", 0);
                script_settle(f->script);
                g_assert_true(r.error < 0 && r.error != -ENOENT && r.error != -ESRCH);
                assert_found(f, &r, r.error);
        }
}

/* Between the two questions the unit may have gone on. */
static void test_lookup_of_past_run(Fixture *f, gconstpointer unused) {
        static const struct {
                sd_id128_t run;
                const char *active, *sub;
                int error;
        } cases[] = {
                { RUN_2, "active", "running", -ESRCH },
                { RUN_1, "inactive", "dead", -ESRCH },
                { RUN_1, "failed", "failed", -ESRCH },
                { RUN_1, "activating", "auto-restart", -ESRCH },
                { RUN_1, "activating", "auto-restart-queued", -ESRCH },
                { RUN_1, "activating", "start", 0 },
                { RUN_1, "deactivating", "stop-sigterm", 0 },
                { RUN_1, "reloading", "reload", 0 },
        };
        Found r = { 0 };

        connect_bus(f);
        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                units_lookup_invocation(f->units, run_1, on_found, &r);
                script_return(f->script, expect_invocation(f, run_1), "o", UNIT_PATH);
                expect_properties(f, UNIT, cases[i].run, cases[i].active, cases[i].sub);
                assert_found(f, &r, cases[i].error);
        }
}

static void test_lookup_cancelled(Fixture *f, gconstpointer unused) {
        Found r = { 0 };
        sd_bus_message *m;
        UnitLookup *l;

        l = units_lookup_pid(f->units, 1, on_found, &r);
        unit_lookup_cancel(l);                          /* before its end was told */
        connect_bus(f);
        l = units_lookup_pid(f->units, 712, on_found, &r);
        m = expect_manager(f, "GetUnitByPID");
        unit_lookup_cancel(l);
        script_return(f->script, m, "o", UNIT_PATH);
        script_expect_nothing(f->script);

        l = units_lookup_pid(f->units, 712, on_found, &r);
        script_return(f->script, expect_manager(f, "GetUnitByPID"), "o", UNIT_PATH);
        m = script_expect(f->script, UNIT_PATH, "GetAll");
        unit_lookup_cancel(l);
        sd_bus_message_unref(m);

        (void) units_lookup_name(f->units, UNIT, on_found, &r); /* and one that is left to units_free() */
        sd_bus_message_unref(expect_manager(f, "GetUnit"));
        f->units = units_free(f->units);
        script_settle(f->script);
        g_assert_cmpuint(r.count, ==, 0);
}

int main(int argc, char *argv[]) {
        static const struct {
                const char *path;
                void (*run)(Fixture *f, gconstpointer unused);
        } tests[] = {
                { "/units/lookup/answers", test_lookups },
                { "/units/lookup/nobody", test_lookups_of_nobody },
                { "/units/lookup/errors", test_lookup_errors },
                { "/units/lookup/nonsense", test_lookup_nonsense },
                { "/units/lookup/past-run", test_lookup_of_past_run },
                { "/units/lookup/cancelled", test_lookup_cancelled },
        };

        g_test_init(&argc, &argv, NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
                g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].run, tear_down);
        return g_test_run();
}
