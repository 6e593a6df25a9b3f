/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Recipe: work queues
 *
 * The twin is a row of boxes with a tally of its own on each; takers come, succeed, fail and die in any order.
 */

#include <glib.h>

#include "agent/base/prng.h"
#include "agent/recipe/workqueue.h"

static void test_names(void) {
        g_assert_true(workqueue_is_item("item-0000000000"));
        g_assert_true(workqueue_is_item("item-2147483647"));
        g_assert_false(workqueue_is_item("item-000000000"));
        g_assert_false(workqueue_is_item("item-00000000000"));
        g_assert_false(workqueue_is_item("item--000000001"));
        g_assert_false(workqueue_is_item("item-000000000x"));
        g_assert_false(workqueue_is_item("Item-0000000000"));
        g_assert_false(workqueue_is_item("item-"));
        g_assert_false(workqueue_is_item("dead"));
        g_assert_false(workqueue_is_item(""));
}

#define ITEMS 12
#define STEPS 2000

typedef struct Box {
        bool claimed, done, dead;
        uint32_t tally;
        int32_t cversion;               /* as the tree counts: up with each child that comes and each that goes */
} Box;

static int choose(Box *boxes, const WorkqueueTaker *t, unsigned *buried) {
        for (int i = 0; i < ITEMS; i++) {
                Box *b = &boxes[i];

                if (b->done || b->dead)
                        continue;
                switch (workqueue_judge(t, b->claimed, workqueue_attempts(b->cversion, b->claimed))) {
                case WORKQUEUE_TAKE:
                        return i;
                case WORKQUEUE_BURY:
                        g_assert_cmpuint(b->tally, >=, t->tries_max);
                        b->dead = true;
                        ++*buried;
                        break;
                case WORKQUEUE_NEXT:
                        break;
                case WORKQUEUE_WAIT:
                        return -1;
                }
        }
        return -1;
}

/* What a taker may expect of what it got, and of getting nothing. */
static void judge(const Box *boxes, const WorkqueueTaker *t, int chosen) {
        for (int i = 0; i < ITEMS; i++) {
                const Box *b = &boxes[i];
                bool open = !b->done && !b->dead;

                if (i == chosen) {
                        g_assert_true(open && !b->claimed);
                        g_assert_true(t->tries_max == 0 || b->tally < t->tries_max);
                        return;
                }
                if (!open)
                        continue;
                g_assert_true(b->claimed);              /* nobody is passed over */
                if (t->ordered) {
                        g_assert_cmpint(chosen, ==, -1);
                        return;
                }
        }
        g_assert_cmpint(chosen, ==, -1);
}

static void run_twin(uint64_t seed, WorkqueueTaker t) {
        Prng prng = { seed };
        Box boxes[ITEMS] = { 0 };
        unsigned buried = 0, done = 0;

        for (unsigned step = 0; step < STEPS; step++) {
                int i = choose(boxes, &t, &buried);
                unsigned k = (unsigned) prng_below(&prng, ITEMS);

                judge(boxes, &t, i);
                if (i >= 0) {
                        boxes[i].claimed = true;
                        boxes[i].tally++;
                        boxes[i].cversion++;
                        g_assert_cmpuint(workqueue_attempts(boxes[i].cversion, 1), ==, boxes[i].tally);
                }
                if (boxes[k].claimed) {
                        boxes[k].claimed = false;
                        boxes[k].cversion++;
                        g_assert_cmpuint(workqueue_attempts(boxes[k].cversion, 0), ==, boxes[k].tally);
                        if (prng_below(&prng, 3) == 0) {
                                boxes[k].done = true;
                                done++;
                        }
                }
        }
        g_assert_cmpuint(done + buried, ==, ITEMS);
        if (t.tries_max == 0)
                g_assert_cmpuint(buried, ==, 0);
        if (t.ordered)
                for (int i = 0; i < ITEMS; i++)
                        g_assert_true(boxes[i].done || boxes[i].dead);
}

static void test_twin(void) {
        for (uint64_t seed = 1; seed <= 50; seed++)
                for (uint32_t tries = 0; tries < 4; tries++) {
                        run_twin(seed, (WorkqueueTaker) { .tries_max = tries });
                        run_twin(seed, (WorkqueueTaker) { .ordered = true, .tries_max = tries });
                }
}

/* The tree's counter runs over; what is counted goes on for twice as long. */
static void test_many_attempts(void) {
        g_assert_cmpuint(workqueue_attempts(INT32_MAX, 1), ==, UINT32_C(1) << 30);
        g_assert_cmpuint(workqueue_attempts(INT32_MIN, 0), ==, UINT32_C(1) << 30);
        g_assert_cmpuint(workqueue_attempts(0, 0), ==, 0);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/workqueue/names", test_names);
        g_test_add_func("/workqueue/twin", test_twin);
        g_test_add_func("/workqueue/many-attempts", test_many_attempts);
        return g_test_run();
}
