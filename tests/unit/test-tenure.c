/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Recipe: how long a grant may be held, and what holds the place of who gives it up
 */

#include <glib.h>

#include "agent/recipe/lineup.h"
#include "agent/recipe/tenure.h"

#define TIMEOUT_MSEC 4000
#define GRACE_USEC UINT64_C(1000000)

static TenureClock at(uint64_t now_usec, uint64_t deadline_usec) {
        return (TenureClock) { now_usec, deadline_usec, TIMEOUT_MSEC };
}

static void test_promised(void) {
        TenureClock c = at(50000000, 54000000);
        Tenure t = { 0 };

        g_assert_cmpuint(tenure_grace_usec(TIMEOUT_MSEC), ==, GRACE_USEC);
        g_assert_cmpuint(tenure_give_up_usec(&t, &c), ==, 53000000);
        c.deadline_usec = 57000000;
        g_assert_cmpuint(tenure_give_up_usec(&t, &c), ==, 56000000);
        /* A promise that is shorter than the grace: at once, and that is no "never". */
        c.deadline_usec = 10;
        g_assert_cmpuint(tenure_give_up_usec(&t, &c), ==, 1);
}

/* After a restart: a grace from when nothing was known, not from when it is asked again; forgotten with the first promise. */
static void test_unpromised(void) {
        TenureClock c = at(50000000, 0);
        Tenure t = { 0 };

        g_assert_cmpuint(tenure_give_up_usec(&t, &c), ==, 50000000 + GRACE_USEC);
        c.now_usec += 300000;
        g_assert_cmpuint(tenure_give_up_usec(&t, &c), ==, 50000000 + GRACE_USEC);
        c.deadline_usec = 60000000;
        g_assert_cmpuint(tenure_give_up_usec(&t, &c), ==, 60000000 - GRACE_USEC);
        g_assert_cmpuint(t.unknown_since_usec, ==, 0);
        c = at(70000000, 0);
        g_assert_cmpuint(tenure_give_up_usec(&t, &c), ==, 70000000 + GRACE_USEC);
}

static void test_begins(void) {
        TenureClock c = at(50000000, 54000000);
        Tenure t = { 0 };
        uint64_t usec;

        g_assert_true(tenure_may_begin(&t, &c, &usec));
        g_assert_cmpuint(usec, ==, 53000000);
        c.now_usec = 52999999;
        g_assert_true(tenure_may_begin(&t, &c, &usec));
        c.now_usec = 53000000;
        g_assert_false(tenure_may_begin(&t, &c, &usec));
        g_assert_cmpuint(usec, ==, 53000000 + GRACE_USEC / TENURE_GRACE_DIVISOR);
        c = at(50000000, 0);
        g_assert_false(tenure_may_begin(&t, &c, &usec));
        g_assert_cmpuint(usec, >, c.now_usec);
}

/* Whoever was told that it has lost may go by the grant for the grace, whenever it was told: nobody else has it before. */
static void test_release(void) {
        for (uint64_t now = 52000000; now < 56000000; now += 250000) {
                TenureClock c = at(now, 54000000);

                g_assert_cmpuint(tenure_release_usec(&c), ==, now + GRACE_USEC);
        }
        /* Told in time, its session ends when the ensemble might have ended it, and no later. */
        {
                TenureClock c = at(0, 54000000);
                Tenure t = { 0 };

                c.now_usec = tenure_give_up_usec(&t, &c);
                g_assert_cmpuint(tenure_release_usec(&c), ==, c.deadline_usec);
        }
}

static void test_token(void) {
        Result created = { .zxid = 7, .stat = { .czxid = zxid_make(3, 9), .mzxid = 1, .pzxid = 2 } };

        g_assert_cmpuint(tenure_token(&created), ==, zxid_make(3, 9));
}

static void test_stand(void) {
        static const char *const names[] = { "a-lock-0000000002", "b-lock-0000000001", "stranger" };
        g_autoptr(Lineup) l = lineup_new(names, G_N_ELEMENTS(names));

        g_assert_cmpint(lineup_stand(l, names[1], 1), ==, STANDING_HOLDS);
        g_assert_cmpint(lineup_stand(l, names[0], 1), ==, STANDING_WAITS);
        g_assert_cmpint(lineup_stand(l, names[2], 1), ==, STANDING_GONE);
        g_assert_cmpint(lineup_stand(l, "c-lock-0000000003", 1), ==, STANDING_GONE);
        g_assert_true(lineup_wakes(WATCH_EVENT_DELETED));
        g_assert_false(lineup_wakes(WATCH_EVENT_CREATED));
        g_assert_false(lineup_wakes(WATCH_EVENT_DATA_CHANGED));
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/tenure/promised", test_promised);
        g_test_add_func("/tenure/unpromised", test_unpromised);
        g_test_add_func("/tenure/begins", test_begins);
        g_test_add_func("/tenure/release", test_release);
        g_test_add_func("/tenure/token", test_token);
        g_test_add_func("/lineup/stand", test_stand);
        return g_test_run();
}
