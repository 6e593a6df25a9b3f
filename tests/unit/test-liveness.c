/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Liveness: when sessions expire, against a table that looks at every session each time
 */

#include <glib.h>

#include "agent/base/prng.h"
#include "agent/member/liveness.h"

typedef Liveness *AutoLiveness;
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(AutoLiveness, liveness_free, NULL)

#define SESSIONS 40

static uint64_t heard_usec[SESSIONS + 1];

static uint64_t heard(void *userdata, uint64_t session) {
        return heard_usec[session];
}

static void test_expiry(void) {
        g_auto(AutoLiveness) l = liveness_new();

        liveness_add(l, 1, 1000, 0);
        liveness_add(l, 2, 500, 0);
        g_assert_cmpuint(liveness_next_usec(l), ==, 500);
        g_assert_cmpuint(liveness_pop_expired(l, 499, heard, NULL), ==, 0);
        liveness_touch(l, 2, 400);
        g_assert_cmpuint(liveness_pop_expired(l, 899, heard, NULL), ==, 0);
        g_assert_cmpuint(liveness_pop_expired(l, 900, heard, NULL), ==, 2);
        g_assert_cmpuint(liveness_pop_expired(l, 900, heard, NULL), ==, 0);
        g_assert_cmpuint(liveness_pop_expired(l, 1000, heard, NULL), ==, 1);
        g_assert_cmpuint(liveness_next_usec(l), ==, UINT64_MAX);
}

/* Who keeps a session need not touch it: that it is heard is asked when the session comes due. */
static void test_kept(void) {
        g_auto(AutoLiveness) l = liveness_new();

        liveness_add(l, 1, 1000, 0);
        liveness_add(l, 2, 1000, 0);
        heard_usec[1] = 400;
        g_assert_cmpuint(liveness_pop_expired(l, 1000, heard, NULL), ==, 2);
        g_assert_cmpuint(liveness_next_usec(l), ==, 1400);
        heard_usec[1] = 1399;
        g_assert_cmpuint(liveness_pop_expired(l, 1400, heard, NULL), ==, 0);
        g_assert_cmpuint(liveness_pop_expired(l, 2398, heard, NULL), ==, 0);
        g_assert_cmpuint(liveness_pop_expired(l, 2399, heard, NULL), ==, 1);
        heard_usec[1] = 0;
}

/* Its end could not be proposed. */
static void test_again(void) {
        g_auto(AutoLiveness) l = liveness_new();

        liveness_add(l, 1, 1000, 0);
        g_assert_cmpuint(liveness_pop_expired(l, 1000, heard, NULL), ==, 1);
        liveness_again(l, 1, 1500);
        g_assert_cmpuint(liveness_next_usec(l), ==, 1500);
        g_assert_cmpuint(liveness_pop_expired(l, 1499, heard, NULL), ==, 0);
        g_assert_cmpuint(liveness_pop_expired(l, 1500, heard, NULL), ==, 1);
        liveness_again(l, 1, 2000);
        liveness_touch(l, 1, 1900);
        g_assert_cmpuint(liveness_pop_expired(l, 2000, heard, NULL), ==, 0);
        g_assert_cmpuint(liveness_pop_expired(l, 2900, heard, NULL), ==, 1);
        liveness_again(l, 7, 1);                /* unknown */
        g_assert_cmpuint(liveness_next_usec(l), ==, UINT64_MAX);
}

/* A shorter timeout than before counts from now on, a longer one too. */
static void test_changed_timeout(void) {
        g_auto(AutoLiveness) l = liveness_new();

        liveness_add(l, 1, 10000, 0);
        liveness_add(l, 1, 100, 0);
        g_assert_cmpuint(liveness_next_usec(l), ==, 100);
        g_assert_cmpuint(liveness_pop_expired(l, 100, heard, NULL), ==, 1);
        liveness_add(l, 1, 10000, 100);
        g_assert_cmpuint(liveness_pop_expired(l, 10000, heard, NULL), ==, 0);
        g_assert_cmpuint(liveness_pop_expired(l, 10100, heard, NULL), ==, 1);
}

static void test_removed(void) {
        g_auto(AutoLiveness) l = liveness_new();

        liveness_add(l, 1, 100, 0);
        liveness_remove(l, 1);
        liveness_touch(l, 1, 50);
        g_assert_cmpuint(liveness_pop_expired(l, 1000, heard, NULL), ==, 0);
        g_assert_cmpuint(liveness_next_cxid(l, 1, 7), ==, 0);
}

/* What sessions that came and went leave behind is bounded by those that are there, not by how many there were. */
static void test_churn(void) {
        g_auto(AutoLiveness) l = liveness_new();
        unsigned stale = 0;

        liveness_add(l, 1, 1000000, 0);
        for (uint64_t id = 2; id < 10002; id++) {
                liveness_add(l, id, id, 0);
                liveness_remove(l, id);
        }
        for (uint64_t due; (due = liveness_next_usec(l)) < 1000000; stale++)
                g_assert_cmpuint(liveness_pop_expired(l, due, heard, NULL), ==, 0);
        g_assert_cmpuint(stale, <=, 100);
        g_assert_cmpuint(liveness_pop_expired(l, 1000000, heard, NULL), ==, 1);
}

static void test_touch_all_revives(void) {
        g_auto(AutoLiveness) l = liveness_new();

        liveness_add(l, 1, 100, 0);
        g_assert_cmpuint(liveness_pop_expired(l, 100, heard, NULL), ==, 1);
        liveness_touch_all(l, 150);             /* its close was lost with the old leader */
        g_assert_cmpuint(liveness_pop_expired(l, 249, heard, NULL), ==, 0);
        g_assert_cmpuint(liveness_pop_expired(l, 250, heard, NULL), ==, 1);
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
        bool there, reported;
} Model;

static void check_pops(Liveness *l, Model *m, uint64_t now) {
        bool expired[SESSIONS + 1] = { 0 };
        uint64_t id;

        while ((id = liveness_pop_expired(l, now, heard, NULL)) != 0) {
                g_assert_false(expired[id]);
                expired[id] = true;
        }
        for (unsigned i = 1; i <= SESSIONS; i++) {
                bool due = m[i].there && !m[i].reported && MAX(m[i].touched, heard_usec[i]) + m[i].timeout <= now;

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
                        m[i] = (Model) { 1 + prng_below(&p, 500), now, true, false };
                        liveness_add(l, i, m[i].timeout, now);
                        break;
                case 1:
                        m[i] = (Model) { 0 };
                        liveness_remove(l, i);
                        break;
                case 2:
                        heard_usec[i] = now - prng_below(&p, MIN(now, 30) + 1);
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
        g_test_add_func("/liveness/again", test_again);
        g_test_add_func("/liveness/changed-timeout", test_changed_timeout);
        g_test_add_func("/liveness/removed", test_removed);
        g_test_add_func("/liveness/churn", test_churn);
        g_test_add_func("/liveness/touch-all-revives", test_touch_all_revives);
        g_test_add_func("/liveness/cxid", test_cxid);
        g_test_add_func("/liveness/random", test_random);
        return g_test_run();
}
