/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Recipe: double barriers
 *
 * The twin keeps the whole history of comings and goings, and finds out from it who was inside at a moment when it was full.
 */

#include <glib.h>

#include "agent/base/prng.h"
#include "agent/recipe/barrier.h"

static void test_count(void) {
        static const char *const two[] = { "a", "b" }, *const ready[] = { "a", BARRIER_READY };
        BarrierCount b = { .wanted = 3 };

        g_assert_false(barrier_saw(&b, "a", false));    /* not looked yet */
        barrier_look(&b, two, 2);
        g_assert_false(b.full);
        g_assert_false(barrier_saw(&b, "b", true));
        g_assert_false(barrier_saw(&b, "c", false));
        g_assert_false(b.full);
        g_assert_true(barrier_saw(&b, "d", false));
        g_assert_false(barrier_saw(&b, "e", false));    /* it was full already */
        g_assert_false(barrier_saw(&b, "a", true));
        g_assert_false(barrier_saw(&b, "c", true));
        g_assert_true(b.full);

        b = (BarrierCount) { .wanted = 3 };
        barrier_look(&b, ready, 2);
        g_assert_true(b.full);
        b = (BarrierCount) { .wanted = 3 };
        barrier_look(&b, two, 2);
        barrier_lost(&b);
        g_assert_false(barrier_saw(&b, "c", false));
        barrier_look(&b, two, 1);
        g_assert_false(b.full);
        g_assert_cmpuint(b.present, ==, 1);
        g_assert_true(barrier_saw(&b, BARRIER_READY, false));
        b = (BarrierCount) { .wanted = 1 };
        barrier_look(&b, NULL, 0);
        g_assert_false(barrier_saw(&b, BARRIER_READY, true));
        g_assert_false(b.full);
}

#define CHANGES 200

typedef struct Change {
        unsigned who;
        bool gone;
} Change;

/* Each is watched by an agent of its own that looks just before it comes and then sees every change, late but in order. */
static void run_twin(uint64_t seed) {
        Prng prng = { seed };
        uint32_t wanted = 2 + (uint32_t) prng_below(&prng, 4);
        Change changes[CHANGES];
        unsigned comers = 0, inside_count = 0, inside[CHANGES], present_after[CHANGES];

        for (unsigned i = 0; i < CHANGES; i++) {
                if (inside_count == 0 || prng_below(&prng, 5) < 2 + (inside_count < wanted)) {
                        changes[i] = (Change) { comers, false };
                        inside[inside_count++] = comers++;
                } else {
                        unsigned k = (unsigned) prng_below(&prng, inside_count);

                        changes[i] = (Change) { inside[k], true };
                        inside[k] = inside[--inside_count];
                }
                present_after[i] = inside_count;
        }
        for (unsigned me = 0; me < comers; me++) {
                BarrierCount b = { .wanted = wanted };
                g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
                bool was_full = false, now_full = false;
                unsigned came = 0, made_full = 0;

                while (changes[came].who != me)
                        came++;
                for (unsigned i = 0; i < (came > 0 ? present_after[came - 1] : 0); i++)
                        g_ptr_array_add(names, g_strdup_printf("other%u", i));
                barrier_look(&b, (const char *const *) names->pdata, names->len);
                was_full = now_full = names->len >= wanted;
                for (unsigned i = came; i < CHANGES; i++) {
                        g_autofree char *name = g_strdup_printf("%u", changes[i].who);

                        made_full += barrier_saw(&b, name, changes[i].gone);
                        now_full = now_full || present_after[i] >= wanted;
                        g_assert_cmpint(b.full, ==, now_full);
                        g_assert_cmpuint(b.present, ==, present_after[i]);
                }
                g_assert_cmpuint(made_full, ==, now_full && !was_full);
        }
}

static void test_twin(void) {
        for (uint64_t seed = 1; seed <= 100; seed++)
                run_twin(seed);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/barrier/count", test_count);
        g_test_add_func("/barrier/twin", test_twin);
        return g_test_run();
}
