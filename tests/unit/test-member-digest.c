/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Members whose trees differ: who is told so, and how it is mended
 */

#include "tests/unit/member-requests.h"

/* Another byte on one disk, which nobody noticed. */
static void corrupt(Host *h, const char *from, const char *to) {
        for (guint i = 0; i < h->checkpoint_chunks->len; i++) {
                gsize size;
                char *data = (char *) g_bytes_get_data(h->checkpoint_chunks->pdata[i], &size);
                char *at = memmem(data, size, from, strlen(from));

                if (at) {
                        memcpy(at, to, strlen(to));
                        return;
                }
        }
        g_assert_not_reached();
}

static void test_disagreement(void) {
        g_autoptr(Network) n = network_new(3, 3);
        Host *leader = network_settle(n), *f = network_follower(n);

        host_submit(leader, 1, make("/a", "right"), 0, 0);
        for (unsigned i = 0; i < 200; i++)
                host_submit(f, 1, make_sequential("/x"), 0, 0);
        network_run(n, 1000);
        g_assert_null(strstr(f->trace->str, "diverged"));
        g_string_truncate(leader->trace, 0);
        g_string_truncate(f->trace, 0);

        host_drop_log(f);
        host_drop_log(leader);
        host_kill(f);
        corrupt(f, "right", "wrong");
        host_start(f);
        network_run(n, 100);
        network_settle(n);
        network_run(n, 1000);
        host_expect(f, "diverged ");            /* at rest */
        g_assert_cmpuint(f->snapshots, ==, 1);
        host_submit(f, 2, get("/a"), 0, 0);
        host_expect(f, "2:Ok=right ");
        g_assert_true(hash128_equal(tree_digest(member_get_tree(leader->member)), tree_digest(member_get_tree(f->member))));

        host_drop_log(f);
        host_kill(f);
        corrupt(f, "right", "wrong");
        f->snapshots = 0;
        host_start(f);
        for (unsigned i = 0; i < 100; i++) {
                host_submit(leader, 3, make_sequential("/y"), 0, 0);
                network_run(n, 10);             /* and under load */
        }
        g_assert_nonnull(strstr(f->trace->str, "diverged"));
        network_settle(n);
        network_run(n, 1000);
        g_assert_cmpuint(f->snapshots, ==, 1);
        g_assert_true(hash128_equal(tree_digest(member_get_tree(leader->member)), tree_digest(member_get_tree(f->member))));
}

/* A byte in the leader's memory: what it tells is wrong, and the others are many. */
static void test_leader_is_wrong(void) {
        g_autoptr(Network) n = network_new(3, 3);
        Host *leader = network_settle(n);
        Request r = get("/a");
        Result result;

        r.caller = SUPER;
        host_submit(leader, 1, make("/a", "right"), 0, 0);
        network_run(n, 1000);
        host_expect(leader, "1:Ok ");
        for (uint32_t sid = 1; sid <= 3; sid++)
                host_drop_log(&n->hosts[sid]);
        tree_read((Tree *) member_get_tree(leader->member), &r, &result);
        g_assert_cmpint(result.status, ==, CONVENE_OK);
        *(uint8_t *) result.data ^= 1;
        host_submit(leader, 2, set("/a", "new"), 0, 0);
        network_run(n, 5000);
        g_assert_nonnull(strstr(leader->trace->str, "diverged"));
        g_assert_true(network_settle(n) != leader);
        for (uint32_t sid = 1; sid <= 3; sid++) {
                Host *h = &n->hosts[sid];

                g_assert_cmpuint(h->snapshots, ==, h == leader);
                g_assert_true(h == leader || !strstr(h->trace->str, "diverged"));
                g_assert_true(hash128_equal(tree_digest(member_get_tree(h->member)),
                                            tree_digest(member_get_tree(network_leader(n)->member))));
        }
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/member-digest/disagreement", test_disagreement);
        g_test_add_func("/member-digest/leader-is-wrong", test_leader_is_wrong);
        return g_test_run();
}
