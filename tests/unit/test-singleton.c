/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Singletons: names, the stop margin, the leader file
 */

#include <string.h>

#include <glib.h>

#include "agent/base/leader-file.h"
#include "agent/base/singleton-name.h"
#include "agent/base/stop-margin.h"

static void test_names(void) {
        static const char *const good[] = { "myapp", "myapp@blue", "backup.timer", "a-b_c:d.e", "dev-disk\\x2dby.mount" };
        static const char *const bad[] = { "", ".", "..", ".hidden", "-option", "a/b", "a b", "a%n", "a\n", "a$b", "a;b", "a*", "\xc3\xa4",
                                           "app@", "app@.timer", "@blue", "x.env", "x.token", "x.service", "a\x7f" };
        g_autofree char *longest = g_strnfill(SINGLETON_NAME_MAX, 'a'), *longer = g_strnfill(SINGLETON_NAME_MAX + 1, 'a');

        for (size_t i = 0; i < G_N_ELEMENTS(good); i++)
                g_assert_true(singleton_name_is_valid(good[i]));
        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
                g_assert_false(singleton_name_is_valid(bad[i]));
        g_assert_true(singleton_name_is_valid(longest));
        g_assert_false(singleton_name_is_valid(longer));
}

static void assert_owned(char *text, const char *wanted) {
        g_assert_cmpstr(text, ==, wanted);
        g_free(text);
}

/* Of each unit one name, and back. */
static void test_units(void) {
        static const struct {
                const char *unit, *name, *template;
        } cases[] = {
                { "myapp.service", "myapp", NULL },
                { "myapp@blue.service", "myapp@blue", "myapp@.service" },
                { "my.app.service", "my.app", NULL },
                { "backup.timer", "backup.timer", NULL },
                { "backup@weekly.timer", "backup@weekly.timer", "backup@.timer" },
                { "srv-data.mount", "srv-data.mount", NULL },
                { "backup.timer.service", NULL, NULL },
                { "myapp@.service", NULL, NULL },
                { "myapp", NULL, NULL },
                { "my/app.service", NULL, NULL },
                { "x.env.service", NULL, NULL },
                { ".service", NULL, NULL },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                assert_owned(singleton_name_of_unit(cases[i].unit), cases[i].name);
                assert_owned(singleton_template_of_unit(cases[i].unit), cases[i].template);
                if (cases[i].name)
                        assert_owned(singleton_name_to_unit(cases[i].name), cases[i].unit);
        }
}

static void test_candidates(void) {
        assert_owned(singleton_name_of_candidate("convene-candidate@myapp.target"), "myapp");
        assert_owned(singleton_name_of_candidate("convene-candidate@myapp@blue.target"), "myapp@blue");
        assert_owned(singleton_name_of_candidate("convene-candidate@backup.timer.target"), "backup.timer");
        assert_owned(singleton_name_of_candidate("convene-candidate@.target"), NULL);
        assert_owned(singleton_name_of_candidate("convene-candidate@x.env.target"), NULL);
        assert_owned(singleton_name_of_candidate("convene-candidate@myapp.service"), NULL);
        assert_owned(singleton_name_of_candidate("convene-leader@myapp.service"), NULL);
        assert_owned(singleton_name_of_candidate("multi-user.target"), NULL);
}

/* What is called the least that will do does, and what is less does not. */
static void test_margin(void) {
        g_autofree char *text = stop_margin_refusal(10000, 90000, 80);

        g_assert_cmpstr(text, ==, "the unit may take 90s to stop; with 0.3s of margin and 0.16s for two heartbeats that is 90.46s, but a "
                        "session of 10s promises only 9.9s (1% less, for clocks that differ); let the unit stop faster "
                        "(TimeoutStopSec=) or give the session at least 91.4s");
        for (uint64_t stop = 0; stop < 100000; stop += 77) {
                uint64_t least = stop_margin_session_msec(stop, 80);
                g_autofree char *refusal = stop_margin_refusal(least - 1, stop, 80);

                g_assert_null(stop_margin_refusal(least, stop, 80));
                g_assert_nonnull(refusal);
                g_assert_cmpuint(least * (100 - STOP_MARGIN_DRIFT_PERCENT) / 100, >=, stop + STOP_MARGIN_MSEC + 160);
                g_assert_cmpuint(least, <=, (stop + STOP_MARGIN_MSEC + 160) * 102 / 100 + 2);
        }
}

static void test_file(void) {
        LeaderFile f, other;

        leader_file_fill(&f, "myapp", 77, 123456789);
        g_assert_null(leader_file_check(&f, sizeof(f), "myapp"));
        g_assert_cmpuint(leader_file_deadline(&f), ==, 123456789);
        g_assert_cmpuint(f.token, ==, 77);
        leader_file_set_deadline(&f, 5);
        g_assert_cmpuint(leader_file_deadline(&f), ==, 5);

        g_assert_nonnull(leader_file_check(&f, sizeof(f) - 1, "myapp"));
        g_assert_nonnull(leader_file_check(&f, sizeof(f), "myap"));
        g_assert_nonnull(leader_file_check(&f, sizeof(f), "myappp"));
        other = f;
        other.version++;
        g_assert_nonnull(leader_file_check(&other, sizeof(other), "myapp"));
        other = f;
        other.size--;
        g_assert_nonnull(leader_file_check(&other, sizeof(other), "myapp"));
        other = f;
        other.magic[0]++;
        g_assert_nonnull(leader_file_check(&other, sizeof(other), "myapp"));
        memset(other.election, 'a', sizeof(other.election));
        memcpy(other.magic, f.magic, sizeof(f.magic));
        g_assert_nonnull(leader_file_check(&other, sizeof(other), "a"));
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/singleton/names", test_names);
        g_test_add_func("/singleton/units", test_units);
        g_test_add_func("/singleton/candidates", test_candidates);
        g_test_add_func("/singleton/margin", test_margin);
        g_test_add_func("/singleton/file", test_file);

        return g_test_run();
}
