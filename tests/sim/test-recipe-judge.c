/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The judges of recipes, given histories that they must refuse, and their neighbours that they must not.
 */

#include <string.h>

#include "tests/sim/recipe-judge.h"

static RecipeJudge *judge;

/* What it says begins with the name of the invariant; NULL: it has nothing to say. */
static void check(const char *why, const char *expected) {
        if (!expected)
                g_assert_null(why);
        else {
                g_assert_nonnull(why);
                g_assert_true(g_str_has_prefix(why, expected));
        }
}

#define ALONE(caller, resource) { caller, resource, false, 0 }
#define SHARES(caller, resource) { caller, resource, true, 0 }
#define SLOT(caller, resource) { caller, resource, true, 2 }

static const struct {
        const char *name;
        Belief all[4];
        unsigned count;
        bool good;
} beliefs[] = {
        { "nobody", { { 0 } }, 0, true },
        { "one", { ALONE(1, 0) }, 1, true },
        { "one-each", { ALONE(1, 0), ALONE(2, 1), ALONE(3, 1000), ALONE(4, 1001) }, 4, true },
        { "two", { ALONE(1, 0), ALONE(2, 0) }, 2, false },
        { "two-of-three", { ALONE(1, 0), ALONE(2, 1), ALONE(3, 0) }, 3, false },
        { "two-of-an-item", { ALONE(1, 1000), ALONE(2, 1000) }, 2, false },
        { "readers", { SHARES(1, 1), SHARES(2, 1), SHARES(3, 1), SHARES(4, 1) }, 4, true },
        { "reader-and-writer", { SHARES(1, 1), ALONE(2, 1) }, 2, false },
        { "writer-and-readers", { ALONE(1, 1), SHARES(2, 1), SHARES(3, 1) }, 3, false },
        { "slots", { SLOT(1, 2), SLOT(2, 2) }, 2, true },
        { "slots-too-many", { SLOT(1, 2), SLOT(2, 2), SLOT(3, 2) }, 3, false },
};

static void test_holders(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(beliefs); i++) {
                g_test_message("%s", beliefs[i].name);
                check(recipe_judge_holders(judge, beliefs[i].all, beliefs[i].count), beliefs[i].good ? NULL : "M1");
        }
}

static void test_tokens(void) {
        check(recipe_judge_token(judge, 0, 5), NULL);
        check(recipe_judge_token(judge, 1, 3), NULL);
        check(recipe_judge_token(judge, 0, 6), NULL);
        check(recipe_judge_token(judge, 0, 6), "M2");
        check(recipe_judge_token(judge, 0, 5), "M2");
        check(recipe_judge_token(judge, 0, zxid_make(1, 0)), NULL);
        check(recipe_judge_token(judge, 0, 7), "M2");
}

static void test_order(void) {
        check(recipe_judge_order(judge, 0, 0, 1), NULL);
        check(recipe_judge_order(judge, 0, 1, 1), "M3");
        check(recipe_judge_order(judge, 2, 1, 2), NULL);
        check(recipe_judge_order(judge, 2, 2, 2), "M3");
}

static void test_priority(void) {
        check(recipe_judge_priority(judge, 3, 0), NULL);
        check(recipe_judge_priority(judge, 3, 1), "M9");
}

static bool is_there(void *userdata, const char *item) {
        return strstr(userdata, item);
}

static void test_queue(void) {
        recipe_judge_put(judge, "/q/1");
        recipe_judge_put(judge, "/q/2");
        check(recipe_judge_left(judge, is_there, (char *) "/q/1 /q/2"), NULL);
        check(recipe_judge_left(judge, is_there, (char *) "/q/1"), "M5");               /* one is lost */
        check(recipe_judge_claimed(judge, "/q/1", 10), NULL);
        check(recipe_judge_claimed(judge, "/q/1", 12), NULL);                           /* at least once */
        check(recipe_judge_claimed(judge, "/q/1", 11), "M5");                           /* the token shrinks */
        check(recipe_judge_acked(judge, "/q/1", 12), NULL);
        check(recipe_judge_left(judge, is_there, (char *) "/q/2"), NULL);
        check(recipe_judge_left(judge, is_there, (char *) "/q/1 /q/2"), "M5");          /* done, and there still */
        check(recipe_judge_acked(judge, "/q/1", 12), "M5");                             /* twice */
        check(recipe_judge_claimed(judge, "/q/1", 13), "M5");                           /* what is done */
        check(recipe_judge_claimed(judge, "/q/2", 20), NULL);
        check(recipe_judge_claimed(judge, "/q/2", 21), NULL);
        check(recipe_judge_acked(judge, "/q/2", 20), "M5");                             /* by who had it before */
}

static void test_unknown_ack(void) {
        recipe_judge_put(judge, "/q/1");
        recipe_judge_maybe_acked(judge, "/q/1");
        check(recipe_judge_left(judge, is_there, (char *) ""), NULL);
        check(recipe_judge_left(judge, is_there, (char *) "/q/1"), NULL);
}

static void test_barrier(void) {
        check(recipe_judge_passed(judge, 0, 1), "M6");
        recipe_judge_enters(judge, 0);
        recipe_judge_enters(judge, 1);
        check(recipe_judge_passed(judge, 0, 2), "M6");
        recipe_judge_enters(judge, 0);
        check(recipe_judge_passed(judge, 0, 2), NULL);
        check(recipe_judge_passed(judge, 1, 2), "M6");
}

static void test_counter(void) {
        check(recipe_judge_count(judge, 0), NULL);
        check(recipe_judge_count(judge, 1), "M7");
        check(recipe_judge_counted(judge, 1), NULL);
        check(recipe_judge_counted(judge, 2), NULL);
        check(recipe_judge_count(judge, 2), NULL);
        check(recipe_judge_count(judge, 1), "M7");              /* one is lost */
        recipe_judge_maybe_counted(judge);
        check(recipe_judge_count(judge, 2), NULL);
        check(recipe_judge_count(judge, 3), NULL);
        check(recipe_judge_count(judge, 4), "M7");              /* one was counted twice */
        check(recipe_judge_counted(judge, 2), "M7");            /* two made it the same */
}

static const char *judge_parts(const char *const parts[3][4]) {
        g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify) g_ptr_array_unref);

        for (unsigned p = 0; p < 3; p++) {
                GPtrArray *part = g_ptr_array_new();

                for (unsigned i = 0; i < 4 && parts[p][i]; i++)
                        g_ptr_array_add(part, (char *) parts[p][i]);
                g_ptr_array_add(all, part);
        }
        return recipe_judge_shares(judge, (GPtrArray *const *) all->pdata, all->len, 4);
}

static void test_shares(void) {
        static const char *const good[3][4] = { { "a", "b" }, { "c" }, { "d" } };
        static const char *const twice[3][4] = { { "a", "b" }, { "c" }, { "a" } };
        static const char *const lost[3][4] = { { "a" }, { "b" }, { "c" } };
        static const char *const uneven[3][4] = { { "a", "b", "c" }, { "d" }, { NULL } };

        check(judge_parts(good), NULL);
        check(judge_parts(twice), "M8");
        check(judge_parts(lost), "M8");
        check(judge_parts(uneven), "M8");
}

static void run(gconstpointer test) {
        judge = recipe_judge_new();
        ((void (*)(void)) (uintptr_t) test)();
        judge = recipe_judge_free(judge);
}

int main(int argc, char **argv) {
        static const struct {
                const char *path;
                void (*test)(void);
        } tests[] = {
                { "/holders", test_holders }, { "/tokens", test_tokens }, { "/order", test_order }, { "/priority", test_priority },
                { "/queue", test_queue },
                { "/unknown-ack", test_unknown_ack }, { "/barrier", test_barrier }, { "/counter", test_counter },
                { "/shares", test_shares },
        };

        g_test_init(&argc, &argv, NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
                g_test_add_data_func(tests[i].path, (gconstpointer) (uintptr_t) tests[i].test, run);
        return g_test_run();
}
