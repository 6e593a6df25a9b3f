/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Liveness: when sessions expire, against a table that looks at every session each time
 */

#include <glib.h>

#include "agent/base/prng.h"
#include "agent/member/liveness.h"

typedef Liveness *AutoLiveness;
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(AutoLiveness, liveness_free, NULL)

static void test_expiry(void) {
        g_auto(AutoLiveness) l = liveness_new();

        liveness_add(l, 1, 1000, 0);
        liveness_add(l, 2, 500, 0);
        g_assert_cmpuint(liveness_next_usec(l), ==, 500);
        g_assert_cmpuint(liveness_pop_expired(l, 499), ==, 0);
        liveness_touch(l, 2, 400);
        g_assert_cmpuint(liveness_pop_expired(l, 899), ==, 0);
        g_assert_cmpuint(liveness_pop_expired(l, 900), ==, 2);
        g_assert_cmpuint(liveness_pop_expired(l, 900), ==, 0);
        g_assert_cmpuint(liveness_pop_expired(l, 1000), ==, 1);
        g_assert_cmpuint(liveness_next_usec(l), ==, UINT64_MAX);
}

static void test_kept(void) {
        g_auto(AutoLiveness) l = liveness_new();

        liveness_add(l, 1, 1000, 0);
        liveness_keep(l, 1, true, 0);
        g_assert_cmpuint(liveness_pop_expired(l, 50000), ==, 0);
        g_assert_cmpuint(liveness_deadline(l, 1, 50000), ==, 51000);
        liveness_keep(l, 1, false, 50000);
        g_assert_cmpuint(liveness_pop_expired(l, 50999), ==, 0);
        g_assert_cmpuint(liveness_pop_expired(l, 51000), ==, 1);
}

/* A shorter timeout than before counts from now on, a longer one too. */
static void test_changed_timeout(void) {
        g_auto(AutoLiveness) l = liveness_new();

        liveness_add(l, 1, 10000, 0);
        liveness_add(l, 1, 100, 0);
        g_assert_cmpuint(liveness_next_usec(l), ==, 100);
        g_assert_cmpuint(liveness_pop_expired(l, 100), ==, 1);
        liveness_add(l, 1, 10000, 100);
        g_assert_cmpuint(liveness_pop_expired(l, 10000), ==, 0);
        g_assert_cmpuint(liveness_pop_expired(l, 10100), ==, 1);
}

static void test_removed(void) {
        g_auto(AutoLiveness) l = liveness_new();

        liveness_add(l, 1, 100, 0);
        liveness_remove(l, 1);
        liveness_touch(l, 1, 50);
        g_assert_cmpuint(liveness_pop_expired(l, 1000), ==, 0);
        g_assert_cmpuint(liveness_deadline(l, 1, 0), ==, 0);
        g_assert_cmpuint(liveness_next_cxid(l, 1, 7), ==, 0);
}

static void test_touch_all_revives(void) {
        g_auto(AutoLiveness) l = liveness_new();

        liveness_add(l, 1, 100, 0);
        g_assert_cmpuint(liveness_pop_expired(l, 100), ==, 1);
        liveness_touch_all(l, 150);             /* its close was lost with the old leader */
        g_assert_cmpuint(liveness_pop_expired(l, 249), ==, 0);
        g_assert_cmpuint(liveness_pop_expired(l, 250), ==, 1);
}

static void test_cxid(void) {
        g_auto(AutoLiveness) l = liveness_new();

        liveness_add(l, 1, 100, 0);
        g_assert_cmpuint(liveness_next_cxid(l, 1, 0), ==, 1);
        g_assert_cmpuint(liveness_next_cxid(l, 1, 0), ==, 2);
        g_assert_cmpuint(liveness_next_cxid(l, 1, 9), ==, 10);
}

typedef struct Model {
        uint64_t timeout, touched;
        bool there, kept, reported;
} Model;

#define SESSIONS 40

static void check_pops(Liveness *l, Model *m, uint64_t now) {
        bool expired[SESSIONS + 1] = { 0 };
        uint64_t id;

        while ((id = liveness_pop_expired(l, now)) != 0) {
                g_assert_false(expired[id]);
                expired[id] = true;
        }
        for (unsigned i = 1; i <= SESSIONS; i++) {
                bool due = m[i].there && !m[i].reported && !m[i].kept && m[i].touched + m[i].timeout <= now;

                g_assert_cmpint(expired[i], ==, due);
                m[i].reported = m[i].reported || due;
        }
}

static void test_random(void) {
        g_auto(AutoLiveness) l = liveness_new();
        Model m[SESSIONS + 1] = { 0 };
        Prng p = { 42 };
        uint64_t now = 0;

        for (unsigned n = 0; n < 200000; n++) {
                unsigned i = 1 + prng_below(&p, SESSIONS);

                now += prng_below(&p, 20);
                switch (prng_below(&p, 6)) {
                case 0:
                        m[i] = (Model) { 1 + prng_below(&p, 500), now, true, m[i].there && m[i].kept, false };
                        liveness_add(l, i, m[i].timeout, now);
                        break;
                case 1:
                        m[i] = (Model) { 0 };
                        liveness_remove(l, i);
                        break;
                case 2:
                        if (!m[i].there)
                                break;
                        m[i].kept = !m[i].kept;
                        m[i].touched = now;
                        m[i].reported = false;
                        liveness_keep(l, i, m[i].kept, now);
                        break;
                case 3:
                        check_pops(l, m, now);
                        break;
                default:
                        m[i].touched = now;
                        m[i].reported = false;
                        liveness_touch(l, i, now);
                }
        }
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/liveness/expiry", test_expiry);
        g_test_add_func("/liveness/kept", test_kept);
        g_test_add_func("/liveness/changed-timeout", test_changed_timeout);
        g_test_add_func("/liveness/removed", test_removed);
        g_test_add_func("/liveness/touch-all-revives", test_touch_all_revives);
        g_test_add_func("/liveness/cxid", test_cxid);
        g_test_add_func("/liveness/random", test_random);
        return g_test_run();
}
