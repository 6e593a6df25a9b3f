/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Singletons: names, the stop margin, the leader file, when to stand back, the settings
 */

#include <string.h>

#include <glib.h>

#include "agent/base/leader-file.h"
#include "agent/base/singleton-name.h"
#include "agent/base/stop-margin.h"
#include "agent/host/singleton-file.h"
#include "agent/recipe/candidacy.h"

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

/* Doubles up to the most, and begins anew after a run that was long enough. */
static void test_stand_back(void) {
        static const uint64_t wanted[] = { 10, 20, 40, 80, 160, 300, 300, 300 };
        StandBack b = { 0 };

        for (size_t i = 0; i < G_N_ELEMENTS(wanted); i++)
                g_assert_cmpuint(stand_back_msec(&b, 299, 10, 300), ==, wanted[i]);
        for (unsigned i = 0; i < 100; i++)
                g_assert_cmpuint(stand_back_msec(&b, 0, 10, 300), ==, 300);
        g_assert_cmpuint(stand_back_msec(&b, 300, 10, 300), ==, 10);
        g_assert_cmpuint(stand_back_msec(&b, 0, 10, 300), ==, 20);
        b = (StandBack) { 0 };
        g_assert_cmpuint(stand_back_msec(&b, 0, 500, 300), ==, 300);
        b = (StandBack) { 0 };
        g_assert_cmpuint(stand_back_msec(&b, 0, 0, 300), ==, 0);
}

static void test_yields(void) {
        static const char *const queue[] = { "a", "b", "c", "d" }, *const preferred[] = { "c", "b", NULL }, *const none[] = { NULL },
                                 *const absent[] = { "x", NULL };

        g_assert_true(candidacy_yields(queue, 4, 0, 1, preferred));             /* to c */
        g_assert_true(candidacy_yields(queue, 4, 1, 1, preferred));             /* b to c */
        g_assert_false(candidacy_yields(queue, 4, 2, 1, preferred));            /* c to nobody */
        g_assert_true(candidacy_yields(queue, 4, 3, 1, preferred));
        g_assert_false(candidacy_yields(queue, 1, 0, 1, preferred));            /* alone */
        g_assert_false(candidacy_yields(queue, 4, 1, 3, preferred));            /* c leads as well: only d waits */
        g_assert_false(candidacy_yields(queue, 4, 0, 1, none));
        g_assert_false(candidacy_yields(queue, 4, 0, 1, absent));
        g_assert_false(candidacy_yields(queue, 4, 0, 1, NULL));
        g_assert_false(candidacy_yields(queue, 4, 4, 1, preferred));            /* not in the queue */
        g_assert_false(candidacy_yields(queue, 4, UINT_MAX, 1, preferred));
}

static void test_stands_aside(void) {
        static const Candidate all[] = { { "a", 1 }, { "b", 0 }, { "c", UINT32_MAX }, { "a", 1 }, { "c", UINT32_MAX } };
        const CandidacyOrder to_b = { "c", "b" }, to_any = { "c", "" }, to_gone = { "c", "d" };

        g_assert_true(candidacy_stands_aside(all, 5, 0, NULL));
        g_assert_false(candidacy_stands_aside(all, 5, 2, NULL));        /* not for its like */
        g_assert_false(candidacy_stands_aside(all, 2, 0, NULL));
        g_assert_false(candidacy_stands_aside(all, 1, 0, NULL));        /* alone */
        g_assert_false(candidacy_stands_aside(all, 5, 5, NULL));        /* not in the queue */
        g_assert_false(candidacy_stands_aside(NULL, 0, 0, &to_b));

        g_assert_true(candidacy_stands_aside(all, 5, 0, &to_b));
        g_assert_false(candidacy_stands_aside(all, 5, 1, &to_b));
        g_assert_true(candidacy_stands_aside(all, 5, 2, &to_b));
        g_assert_false(candidacy_stands_aside(all, 5, 0, &to_any));     /* c does not count */
        g_assert_true(candidacy_stands_aside(all, 5, 1, &to_any));      /* a does */
        g_assert_true(candidacy_stands_aside(all, 5, 2, &to_any));
        g_assert_false(candidacy_stands_aside(all, 5, 2, &to_gone));    /* as if there were none */
        g_assert_false(candidacy_stands_aside(all + 4, 1, 0, &to_any)); /* nobody else is left */
}

/* However the queue begins and whatever is ordered, it comes to an end, with the right one first. */
static void test_aside_ends(void) {
        static const char *const hosts[] = { "a", "b", "c" };

        for (unsigned seed = 0; seed < 2000; seed++) {
                g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
                unsigned count = (unsigned) g_rand_int_range(rand, 1, 9), rounds = 0;
                const CandidacyOrder order = { hosts[g_rand_int_range(rand, 0, 3)], seed % 3 == 0 ? "" : hosts[g_rand_int_range(rand, 0, 3)] },
                                     *o = seed % 4 == 0 ? NULL : &order;
                bool named = false, other = false;
                Candidate queue[8];

                for (unsigned i = 0; i < count; i++) {
                        queue[i] = (Candidate) { hosts[g_rand_int_range(rand, 0, 3)], (uint32_t) g_rand_int_range(rand, 0, 4) };
                        named |= g_str_equal(queue[i].host, order.to);
                        other |= !g_str_equal(queue[i].host, order.from);
                }
                for (; candidacy_stands_aside(queue, count, 0, o); rounds++) {
                        Candidate first = queue[0];

                        g_assert_cmpuint(rounds, <, count);
                        memmove(queue, queue + 1, (count - 1) * sizeof(queue[0]));
                        queue[count - 1] = first;
                }
                if (o && named)
                        g_assert_cmpstr(queue[0].host, ==, order.to);
                else if (o && order.to[0] == '\0' && other)
                        g_assert_cmpstr(queue[0].host, !=, order.from);
                for (unsigned i = 1; i < count; i++)
                        if (!o || (order.to[0] == '\0' ? !other || !g_str_equal(queue[i].host, order.from) : !named))
                                g_assert_cmpuint(queue[i].priority, <=, queue[0].priority);
        }
}

static void test_order(void) {
        const CandidacyOrder named = { "a", "b" }, any = { "a", "" };

        g_assert_true(candidacy_resigns(&named, "a"));
        g_assert_false(candidacy_resigns(&named, "b"));
        g_assert_true(candidacy_is_passed_over(&named, "a", true));
        g_assert_true(candidacy_is_passed_over(&named, "c", true));
        g_assert_false(candidacy_is_passed_over(&named, "b", true));
        g_assert_false(candidacy_is_passed_over(&named, "c", false));           /* b has left: whoever is next */
        g_assert_true(candidacy_is_passed_over(&any, "a", true));
        g_assert_false(candidacy_is_passed_over(&any, "c", true));
        g_assert_true(candidacy_is_chosen(&named, "b"));
        g_assert_false(candidacy_is_chosen(&named, "a"));
        g_assert_false(candidacy_is_chosen(&any, "a"));
}

static char *parse_error(const char *text) {
        char *error = NULL;

        g_assert_null(singleton_file_parse("/etc/x.conf", text, strlen(text), &error));
        return error;
}

static void test_settings(void) {
        static const char text[] = "# a comment\n[Singleton]\nUnit=myapp@.service\nStopTimeout=1min 30s\nSessionTimeout=2min\nCopies=3\n"
                                   "PreferredHosts= web1  web2 \nStandBack=5\nStandBackMax=1h\nX-By=convenectl\n[X-More]\na=b\n";
        static const struct {
                const char *text, *mentions;
        } bad[] = {
                { "[Singleton]\nUnit=a.service\n", "lacks StopTimeout=" },
                { "[Singleton]\nStopTimeout=1\n", "lacks Unit=" },
                { "[Singleton]\nUnit=a\n", "Unit=a: is not" },
                { "[Singleton]\nUnit=*.service\n", "Unit=*.service: is not" },
                { "[Singleton]\nUnit=../a.service\n", "is not the name" },
                { "[Singleton]\nUnit=a.env.service\n", "is not the name" },
                { "[Singleton]\nUnit=a.service b.service\n", "is not the name" },
                { "[Singleton]\nUnit=a.service\nStopTimeout=soon\n", "StopTimeout=soon: is no time span" },
                { "[Singleton]\nUnit=a.service\nStopTimeout=\n", "is empty" },
                { "[Singleton]\nUnit=a.service\nStopTimeout=2d\n", "more than a day" },
                { "[Singleton]\nSessionTimeout=500ms\n", "less than a second" },
                { "[Singleton]\nCopies=0\n", "Copies=0" },
                { "[Singleton]\nCopies=1001\n", "Copies=1001" },
                { "[Singleton]\nCopies=-1\n", "Copies=-1" },
                { "[Singleton]\nPreferredHosts=a b/c\n", "no host's name" },
                { "[Singleton]\nunit=a.service\n", "is not a key of [Singleton]" },
                { "[Presence]\nUnit=a.service\n", "is not a section" },
                { "Unit=a.service\n", "/etc/x.conf" },
        };
        char *error = NULL;
        g_autoptr(SingletonFile) f = singleton_file_parse("/etc/x.conf", text, strlen(text), &error);

        g_assert_cmpstr(error, ==, NULL);
        g_assert_cmpstr(f->unit, ==, "myapp@.service");
        g_assert_cmpuint(f->stop_msec, ==, 90000);
        g_assert_cmpuint(f->session_msec, ==, 120000);
        g_assert_cmpuint(f->stand_back_msec, ==, 5000);
        g_assert_cmpuint(f->stand_back_max_msec, ==, 3600000);
        g_assert_cmpuint(f->copies, ==, 3);
        g_assert_cmpuint(g_strv_length(f->preferred), ==, 2);
        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
                g_autofree char *said = parse_error(bad[i].text);

                g_assert_nonnull(said);
                if (!strstr(said, bad[i].mentions))
                        g_error("%s: %s", bad[i].text, said);
        }
        g_assert_null(parse_error("# only a comment\n"));              /* a mask */
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/singleton/names", test_names);
        g_test_add_func("/singleton/units", test_units);
        g_test_add_func("/singleton/candidates", test_candidates);
        g_test_add_func("/singleton/margin", test_margin);
        g_test_add_func("/singleton/file", test_file);
        g_test_add_func("/singleton/stand-back", test_stand_back);
        g_test_add_func("/singleton/yields", test_yields);
        g_test_add_func("/candidacy/stands-aside", test_stands_aside);
        g_test_add_func("/candidacy/aside-ends", test_aside_ends);
        g_test_add_func("/candidacy/order", test_order);
        g_test_add_func("/singleton/settings", test_settings);

        return g_test_run();
}
