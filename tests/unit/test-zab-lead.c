/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Zab: leading: quorums, reads, promises, configurations (protocol 2.9, 2.10, 2.13)
 */

#include <errno.h>
#include <string.h>

#include "tests/unit/zab-fixture.h"

static Net *led(unsigned nodes, unsigned voters, uint32_t *ret_leader) {
        Net *n = net_new(nodes, voters);

        for (uint32_t sid = 1; sid <= nodes; sid++)
                node_start(n, sid);
        net_run(n, 4 * SECOND);
        *ret_leader = net_leader(n);
        return n;
}

/* 2.9: no quorum, no leader. */
static void test_steps_down(void) {
        uint32_t leader;
        Net *n = led(3, 3, &leader);

        for (uint32_t sid = 1; sid <= 3; sid++)
                if (sid != leader)
                        node_crash(n, sid);
        g_assert_cmpint(node_propose(n, leader, "a", NULL), ==, 0);
        net_run(n, 2 * SECOND);
        g_assert_cmpint(n->nodes[leader].role, <, ZAB_ROLE_LEADER_SYNC);
        g_assert_cmpuint(zab_commit(n->nodes[leader].zab), ==, 1);
        g_assert_cmpint(node_propose(n, leader, "b", NULL), ==, -EAGAIN);
        node_start(n, leader % 3 + 1);
        net_run(n, 6 * SECOND);
        net_check_equal(n);
        net_free(n);
}

/* 2.10: one that no longer leads never answers, however long it takes to notice. */
static void test_read_deposed(void) {
        uint32_t old;
        Net *n = led(3, 3, &old);

        g_assert_cmpint(node_read(n, old, 1), ==, 0);
        net_settle(n);
        g_assert_true(node_has_read(&n->nodes[old], 1));
        net_isolate(n, old, true);
        g_assert_cmpint(node_read(n, old, 2), ==, 0);
        net_run(n, 5 * SECOND);
        g_assert_cmpuint(net_leader(n), !=, old);
        g_assert_cmpint(node_propose(n, net_leader(n), "a", NULL), ==, 0);
        net_isolate(n, old, false);
        net_run(n, 5 * SECOND);
        net_check_equal(n);
        g_assert_false(node_has_read(&n->nodes[old], 2));
        net_free(n);
}

static void test_read_follower(void) {
        uint32_t leader;
        Net *n = led(3, 3, &leader);
        uint32_t other = leader % 3 + 1;
        unsigned pings;

        n->nodes[other].slow_log = true;        /* it acknowledges and applies nothing; its read has to wait for that */
        g_assert_cmpint(node_propose(n, leader, "a", NULL), ==, 0);
        net_settle(n);
        pings = n->sent[ZAB_MESSAGE_PING];
        for (uint64_t id = 1; id <= 50; id++)
                g_assert_cmpint(node_read(n, other, id), ==, 0);
        net_settle(n);
        for (uint64_t id = 1; id <= 50; id++)
                g_assert_true(node_has_read(&n->nodes[other], id));
        g_assert_cmpuint(n->nodes[other].read_index, ==, 2);
        g_assert_cmpuint(zab_applied(n->nodes[other].zab)->index, ==, 1);
        g_assert_cmpuint(n->sent[ZAB_MESSAGE_PING] - pings, <=, 8);     /* many share a round */

        /* An answer nobody asked for is none. */
        net_forge(n, leader, other, &(ZabMessage) { .type = ZAB_MESSAGE_READ_OK, .epoch = zab_epoch(n->nodes[other].zab),
                                                    .session = zab_session(n->nodes[other].zab).session, .index = 99 });
        g_assert_false(node_has_read(&n->nodes[other], 99));
        net_free(n);
}

/* DESIGN 2.8: a promise counts from when a quorum was heard after it, and ends with the quorum. */
static void test_confirmed(void) {
        uint32_t leader;
        Net *n = led(5, 5, &leader);
        uint32_t follower = leader % 5 + 1;
        uint64_t cut, frozen;

        net_run(n, 2 * SECOND);
        g_assert_cmpuint(zab_confirmed_usec(n->nodes[follower].zab) + SECOND / 2, >=, n->now);
        g_assert_cmpuint(zab_confirmed_usec(n->nodes[follower].zab), <=, n->now);
        g_assert_cmpuint(zab_confirmed_usec(n->nodes[leader].zab) + SECOND / 2, >=, n->now);

        /* The two of them alone: they still talk, and prolong nothing. */
        cut = n->now;
        for (uint32_t sid = 1; sid <= 5; sid++)
                if (sid != leader && sid != follower)
                        for (uint32_t to = 1; to <= 5; to++)
                                if (to == leader || to == follower)
                                        n->blocked[sid][to] = n->blocked[to][sid] = true;
        net_run(n, SECOND / 2);
        g_assert_cmpint(n->nodes[leader].role, ==, ZAB_ROLE_LEADER);
        frozen = zab_confirmed_usec(n->nodes[follower].zab);
        g_assert_cmpuint(frozen, <=, cut);
        g_assert_cmpuint(zab_confirmed_usec(n->nodes[leader].zab), <=, cut);
        net_run(n, 5 * SECOND);
        g_assert_cmpuint(zab_confirmed_usec(n->nodes[follower].zab), ==, 0);    /* no leader any more */
        net_free(n);
}

/* What was proposed before the heartbeat, and may end what is promised, is applied first. */
static void test_confirmed_is_applied(void) {
        uint32_t leader;
        Net *n = led(3, 3, &leader);
        uint32_t follower = leader % 3 + 1, third = follower % 3 + 1;
        uint64_t proposed;

        n->nodes[follower].slow_log = n->nodes[third].slow_log = true;
        proposed = n->now;
        g_assert_cmpint(node_propose(n, leader, "a", NULL), ==, 0);
        net_run(n, SECOND);
        g_assert_cmpuint(zab_confirmed_usec(n->nodes[follower].zab), <=, proposed);
        g_assert_cmpuint(zab_confirmed_usec(n->nodes[leader].zab), <=, proposed);
        n->nodes[third].slow_log = false;
        net_run(n, SECOND);
        g_assert_cmpuint(zab_commit(n->nodes[follower].zab), ==, 2);
        g_assert_cmpuint(zab_confirmed_usec(n->nodes[follower].zab), <=, proposed);
        g_assert_cmpuint(zab_confirmed_usec(n->nodes[leader].zab) + SECOND / 2, >=, n->now);
        g_assert_cmpuint(zab_confirmed_usec(n->nodes[third].zab) + SECOND / 2, >=, n->now);
        n->nodes[follower].slow_log = false;
        net_run(n, SECOND / 2);
        g_assert_cmpuint(zab_confirmed_usec(n->nodes[follower].zab) + SECOND / 2, >=, n->now);
        net_free(n);
}

static void test_established(void) {
        uint32_t leader;
        Net *n = led(3, 3, &leader);
        uint32_t other = leader % 3 + 1;

        g_assert_cmpuint(zab_established(n->nodes[leader].zab), ==, 1);
        g_assert_cmpuint(zab_established(n->nodes[other].zab), ==, 1);
        for (unsigned i = 0; i < 3; i++)
                g_assert_cmpint(node_propose(n, leader, "a", NULL), ==, 0);
        net_settle(n);
        net_disconnect(n, leader, other);
        g_assert_cmpuint(zab_established(n->nodes[other].zab), ==, UINT64_MAX);
        net_run(n, SECOND);
        g_assert_cmpuint(zab_established(n->nodes[other].zab), ==, 4);
        net_free(n);
}

/* 2.13: an observer gets everything and counts for nothing. */
static void test_observer(void) {
        uint32_t leader;
        Net *n = led(4, 3, &leader);
        static const uint32_t voters[] = { 1, 2, 3, 0 }, observers[] = { 4, 0 };
        g_autoptr(GBytes) config = net_config(n, voters, observers);

        g_assert_cmpint(node_reconfigure(n, leader, config, 0), ==, 0);
        net_settle(n);
        net_check_equal(n);
        g_assert_false(zab_is_voter(n->nodes[4].zab));
        for (uint32_t sid = 1; sid <= 3; sid++)
                if (sid != leader)
                        net_isolate(n, sid, true);
        n->blocked[leader][4] = n->blocked[4][leader] = false;
        g_assert_cmpint(node_propose(n, leader, "a", NULL), ==, 0);
        net_settle(n);
        g_assert_cmpuint(zab_durable(n->nodes[4].zab), ==, 3);
        g_assert_cmpuint(zab_commit(n->nodes[leader].zab), ==, 2);
        net_run(n, 2 * SECOND);
        g_assert_cmpint(n->nodes[leader].role, !=, ZAB_ROLE_LEADER);
        net_free(n);
}

static void test_reconfigure_refuses(void) {
        uint32_t leader;
        Net *n = led(4, 3, &leader);
        static const uint32_t all[] = { 1, 2, 3, 4, 0 }, old[] = { 1, 2, 3, 0 };
        g_autoptr(GBytes) four = net_config(n, all, NULL), three = net_config(n, old, NULL), bad = g_bytes_new("x", 1);

        g_assert_cmpint(node_reconfigure(n, leader % 3 + 1, four, 0), ==, -EAGAIN);
        g_assert_cmpint(node_reconfigure(n, leader, bad, 0), ==, -EINVAL);
        g_assert_cmpint(node_reconfigure(n, leader, four, zxid_make(7, 7)), ==, -ESTALE);
        node_crash(n, 4);
        g_assert_cmpint(node_reconfigure(n, leader, four, 0), ==, -EBUSY);
        node_start(n, 4);
        net_run(n, SECOND);
        for (uint32_t sid = 1; sid <= 4; sid++)
                n->nodes[sid].slow_log = true;
        g_assert_cmpint(node_reconfigure(n, leader, four, zxid_make(0, 1)), ==, 0);
        g_assert_cmpint(node_reconfigure(n, leader, three, 0), ==, -EINPROGRESS);
        g_assert_nonnull(zab_pending_config(n->nodes[leader].zab));
        for (uint32_t sid = 1; sid <= 4; sid++)
                n->nodes[sid].slow_log = false;
        net_settle(n);
        g_assert_null(zab_pending_config(n->nodes[leader].zab));
        net_check_equal(n);
        g_assert_cmpuint(zab_config_voters(zab_config(n->nodes[4].zab)), ==, 4);
        g_assert_true(zab_is_voter(n->nodes[4].zab));
        net_free(n);
}

/* 2.13.2: under load an observer is always a batch behind; what counts is that it keeps up. */
static void test_promote_under_load(void) {
        uint32_t leader;
        Net *n = led(4, 3, &leader);
        static const uint32_t all[] = { 1, 2, 3, 4, 0 };
        g_autoptr(GBytes) four = net_config(n, all, NULL);

        net_run(n, SECOND);
        n->nodes[4].slow_log = true;
        g_assert_cmpint(node_propose(n, leader, "a", NULL), ==, 0);
        net_settle(n);
        g_assert_cmpint(node_reconfigure(n, leader, four, 0), ==, 0);
        n->nodes[4].slow_log = false;
        net_run(n, SECOND);
        net_check_equal(n);
        g_assert_true(zab_is_voter(n->nodes[4].zab));

        /* One that does not keep up is not promoted. */
        net_free(n);
        n = led(4, 3, &leader);
        net_run(n, SECOND);
        n->nodes[4].slow_log = true;
        g_assert_cmpint(node_propose(n, leader, "a", NULL), ==, 0);
        net_run(n, SECOND / 2);
        g_assert_cmpint(node_reconfigure(n, leader, four, 0), ==, -EBUSY);
        net_free(n);
}

/* After an election all of the log may be due at once: it is applied in pieces, and the role does not wait for it. */
static void test_applied_in_pieces(void) {
        enum { ENTRIES = 3000 };
        uint32_t leader;
        Net *n = led(1, 1, &leader);
        uint64_t before;

        n->nodes[1].slow_log = true;
        for (unsigned i = 0; i < ENTRIES; i++)
                g_assert_cmpint(node_propose(n, 1, "a", NULL), ==, 0);
        before = zab_applied(n->nodes[1].zab)->index;
        node_log_durable(n, 1);
        g_assert_cmpuint(zab_applied(n->nodes[1].zab)->index, <=, before + 1024);
        g_assert_cmpuint(zab_timeout_usec(n->nodes[1].zab), <=, n->now);
        n->nodes[1].slow_log = false;
        net_run(n, SECOND);
        g_assert_cmpuint(zab_applied(n->nodes[1].zab)->index, ==, before + ENTRIES);
        net_free(n);
}

/* A committed configuration stands alone after a restart, too: one of three may be gone, though it was one of the two before. */
static void test_reconfigured_restart(void) {
        uint32_t leader;
        Net *n = led(3, 2, &leader);
        static const uint32_t all[] = { 1, 2, 3, 0 };
        g_autoptr(GBytes) three = net_config(n, all, NULL);

        g_assert_cmpint(node_reconfigure(n, leader, three, 0), ==, 0);
        net_settle(n);
        net_check_equal(n);
        for (uint32_t sid = 1; sid <= 3; sid++)
                node_crash(n, sid);
        node_start(n, 1);
        node_start(n, 3);
        net_connect(n, 1, 3);
        net_run(n, 10 * SECOND);
        leader = net_leader(n);
        g_assert_cmpint(node_propose(n, leader, "a", NULL), ==, 0);
        net_run(n, SECOND);
        g_assert_cmpuint(zab_applied(n->nodes[1].zab)->index, ==, 3);
        g_assert_cmpuint(zab_applied(n->nodes[3].zab)->index, ==, 3);
        net_free(n);
}

/* A leader cut off with entries of its own, of which the second may be a configuration; the others have committed another
 * configuration at their place. */
static Net *diverged(uint32_t *ret_old, ZabEntryType type) {
        static const uint32_t all[] = { 1, 2, 3, 0 }, observers[] = { 4, 0 };
        uint32_t old, new;
        Net *n = led(4, 3, &old);
        g_autoptr(GBytes) config = net_config(n, all, observers), other = net_config(n, all, NULL);

        net_isolate(n, old, true);
        if (type == ZAB_ENTRY_CONFIG)
                g_assert_cmpint(node_reconfigure(n, old, other, 0), ==, 0);
        else
                g_assert_cmpint(node_propose(n, old, "lost", NULL), ==, 0);
        net_run(n, 5 * SECOND);
        new = net_leader(n);
        g_assert_cmpuint(new, !=, old);
        g_assert_cmpint(node_reconfigure(n, new, config, 0), ==, 0);
        net_run(n, SECOND);
        g_assert_cmpuint(zab_commit(n->nodes[new].zab), ==, 2);
        g_assert_cmpuint(n->nodes[old].log->len, ==, 2);
        g_assert_cmpuint(n->nodes[old].meta.commit_floor, ==, 1);
        *ret_old = old;
        return n;
}

/* Power goes: what META says to be committed is of this disk's log. */
static void lose_power(Net *n, uint32_t sid) {
        Node *node = &n->nodes[sid];

        node_crash(n, sid);
        node->slow_log = node->slow_meta = false;
        node_start(n, sid);
        g_assert_cmpuint(zab_commit(node->zab), ==, 1);
        g_assert_cmpuint(node->applied->len, ==, 1);
        net_isolate(n, sid, false);
        net_connect_all(n);
        net_run(n, 5 * SECOND);
        net_check_equal(n);
        net_settle(n);
        g_assert_cmpuint(node->meta.commit_floor, ==, 2);
        net_free(n);
}

/* META is a queue of its own (2.5): it may be durable before the truncation and the entries that it speaks of. */
static void test_floor_overtakes(void) {
        uint32_t old;
        Net *n = diverged(&old, ZAB_ENTRY_REQUEST);

        n->nodes[old].slow_log = true;
        net_isolate(n, old, false);
        net_connect_all(n);
        net_run(n, SECOND);
        g_assert_cmpuint(zab_commit(n->nodes[old].zab), ==, 2);
        g_assert_cmpuint(zab_durable(n->nodes[old].zab), ==, 1);
        g_assert_cmpuint(n->nodes[old].log->len, ==, 2);
        lose_power(n, old);
}

/* A hello says that a later configuration is committed, and nothing about one that stands in this log. */
static void test_floor_of_hello(void) {
        uint32_t old, new;
        Net *n = diverged(&old, ZAB_ENTRY_CONFIG);

        for (uint32_t sid = 1; sid <= 4; sid++)
                if (sid != old)
                        net_disconnect(n, old, sid);
        new = net_leader(n);
        net_connect(n, old, new);
        while (net_deliver(n, old, new) || (n->nodes[old].role != ZAB_ROLE_FOLLOWER_HELLO && net_deliver(n, new, old)))
                ;
        g_assert_cmpint(n->nodes[old].role, ==, ZAB_ROLE_FOLLOWER_HELLO);
        g_assert_cmpuint(zab_config(n->nodes[old].zab)->version, ==, zab_config(n->nodes[new].zab)->version);
        node_meta_durable(n, old);
        node_meta_durable(n, old);
        lose_power(n, old);
}

/* 2.13.6: a read shows that the members left can do without those that are gone: a quorum of them knows it after any crash. */
static void test_settled(void) {
        uint32_t a, voters[3] = { 0 };
        Net *n = led(3, 3, &a);
        uint32_t b = a % 3 + 1, removed = b % 3 + 1;
        g_autoptr(GBytes) two = NULL;

        voters[0] = a;
        voters[1] = b;
        two = net_config(n, voters, NULL);
        n->nodes[b].slow_meta = true;
        g_assert_cmpint(node_reconfigure(n, a, two, 0), ==, 0);
        net_settle(n);
        g_assert_cmpuint(zab_commit(n->nodes[b].zab), ==, 2);
        g_assert_cmpint(node_read(n, a, 1), ==, 0);
        g_assert_cmpint(node_read(n, removed, 2), ==, 0);
        net_run(n, 3 * SECOND);                 /* heartbeats do not wait for META */
        g_assert_cmpuint(net_leader(n), ==, a);
        g_assert_cmpuint(n->nodes[b].meta.commit_floor, ==, 1);
        g_assert_false(node_has_read(&n->nodes[a], 1) || node_has_read(&n->nodes[removed], 2));
        n->nodes[b].slow_meta = false;
        net_settle(n);
        g_assert_cmpuint(n->nodes[b].meta.commit_floor, ==, 2);
        g_assert_true(node_has_read(&n->nodes[a], 1) && node_has_read(&n->nodes[removed], 2));

        for (uint32_t sid = 1; sid <= 3; sid++)
                node_crash(n, sid);
        node_start(n, a);
        node_start(n, b);
        net_connect(n, a, b);
        net_run(n, 6 * SECOND);
        g_assert_cmpint(node_propose(n, net_leader(n), "a", NULL), ==, 0);
        net_settle(n);
        g_assert_cmpuint(zab_commit(n->nodes[a].zab), ==, 3);
        net_free(n);
}

static void say_hello(Net *n, uint32_t from, uint32_t to, uint32_t epoch, uint64_t session, GBytes *config) {
        net_forge(n, from, to, &(ZabMessage) { .type = ZAB_MESSAGE_LEADER_HELLO, .epoch = epoch, .session = session,
                                               .hello = { .established = true, .config = config } });
}

/* 2.8: who is no voter follows an established leader of an epoch before its promise; 2.13.7: but no deposed one. */
static void test_waiver(void) {
        static const uint32_t all[] = { 1, 2, 3, 0 }, observers[] = { 4, 0 }, every[] = { 1, 2, 3, 4, 0 };
        uint32_t old, new;
        Net *n = led(4, 3, &old);
        g_autoptr(GBytes) four = net_config(n, all, observers), promoted = net_config(n, every, NULL), before = zab_checkpoint_config(n->nodes[old].zab), after = NULL;

        net_isolate(n, old, true);
        net_run(n, 5 * SECOND);
        new = net_leader(n);
        g_assert_cmpint(node_reconfigure(n, new, four, 0), ==, 0);
        net_run(n, SECOND);
        after = zab_checkpoint_config(n->nodes[new].zab);
        g_assert_cmpuint(zab_config(n->nodes[4].zab)->version, ==, zab_config(n->nodes[new].zab)->version);

        n->manual_network = true;
        for (uint32_t sid = 1; sid <= 3; sid++)
                net_disconnect(n, sid, 4);
        net_connect(n, new, 4);
        say_hello(n, new, 4, 3, 97, after);
        net_disconnect(n, new, 4);
        net_connect(n, old, 4);
        say_hello(n, old, 4, 2, 98, before);
        g_assert_cmpint(n->nodes[4].role, ==, ZAB_ROLE_LOOKING);
        g_assert_cmpuint(net_count(n, 4, old, ZAB_MESSAGE_REJECT), ==, 1);
        say_hello(n, old, 4, 2, 99, after);
        g_assert_cmpint(n->nodes[4].role, ==, ZAB_ROLE_FOLLOWER_SYNC);

        /* It gets everything and is not to be counted: no voter of this epoch, but of the next one of them all. */
        net_disconnect(n, old, 4);
        n->manual_network = false;
        net_isolate(n, old, false);
        net_run(n, 2 * SECOND);
        new = net_leader(n);
        g_assert_cmpuint(zab_epoch(n->nodes[new].zab), ==, 2);
        net_check_equal(n);
        g_assert_cmpint(node_reconfigure(n, new, promoted, 0), ==, -EBUSY);
        node_crash(n, new);
        net_run(n, 20 * SECOND);
        g_assert_cmpuint(zab_epoch(n->nodes[net_leader(n)].zab), >=, 3);
        g_assert_cmpint(node_reconfigure(n, net_leader(n), promoted, 0), ==, 0);
        net_free(n);
}

/* ... also one that has not adopted the later epoch yet, and has applied what was committed in it. */
static void test_waiver_of_applied(void) {
        uint32_t old, new;
        Net *n = led(4, 3, &old);
        g_autoptr(GBytes) config = zab_checkpoint_config(n->nodes[old].zab);
        Node *node = &n->nodes[4];

        n->manual_network = true;
        for (uint32_t sid = 1; sid <= 3; sid++)
                net_disconnect(n, sid, 4);
        net_isolate(n, old, true);
        net_run(n, 5 * SECOND);
        new = net_leader(n);
        g_assert_cmpint(node_propose(n, new, "a", NULL), ==, 0);
        net_settle(n);
        net_connect(n, new, 4);
        while (zab_commit(node->zab) < 2) {
                (void) net_deliver(n, new, 4);
                node_meta_durable(n, 4);
                (void) net_deliver(n, 4, new);
        }
        node_log_durable(n, 4);
        g_assert_cmpuint(zab_applied(node->zab)->index, ==, 2);
        g_assert_cmpuint(node->meta.current_epoch, ==, 1);
        net_disconnect(n, new, 4);
        net_connect(n, old, 4);
        say_hello(n, old, 4, 1, 98, config);
        g_assert_cmpint(node->role, <, ZAB_ROLE_LEADER_SYNC);
        g_assert_cmpuint(net_count(n, 4, old, ZAB_MESSAGE_REJECT), ==, 1);
        net_free(n);
}

/* 2.13.3: old and new both, until it is committed. */
static void test_reconfigure_joint(void) {
        uint32_t leader;
        Net *n = led(5, 2, &leader);
        static const uint32_t all[] = { 1, 2, 3, 4, 5, 0 };
        g_autoptr(GBytes) five = net_config(n, all, NULL);
        uint32_t other = 3 - leader;

        /* The new ones alone are a majority of the new, not of the old. */
        n->nodes[other].slow_log = true;
        g_assert_cmpint(node_reconfigure(n, leader, five, 0), ==, 0);
        net_settle(n);
        g_assert_cmpuint(zab_commit(n->nodes[leader].zab), ==, 1);
        g_assert_cmpint(node_propose(n, leader, "a", NULL), ==, 0);
        net_settle(n);
        g_assert_cmpuint(zab_commit(n->nodes[leader].zab), ==, 1);

        /* The old ones alone are a majority of the old, not of the new. */
        for (uint32_t sid = 3; sid <= 5; sid++)
                n->nodes[sid].slow_log = true;
        n->nodes[other].slow_log = false;
        net_settle(n);
        g_assert_cmpuint(zab_commit(n->nodes[leader].zab), ==, 3);      /* three to five had both durable before */
        net_check_equal(n);
        g_assert_cmpint(node_propose(n, leader, "b", NULL), ==, 0);
        net_settle(n);
        g_assert_cmpuint(zab_commit(n->nodes[leader].zab), ==, 3);
        n->nodes[3].slow_log = false;
        net_settle(n);
        g_assert_cmpuint(zab_commit(n->nodes[leader].zab), ==, 4);
        net_free(n);
}

/* 2.13.5: a leader that removes itself commits that, hands over and steps down; it stays a follower that does not count. */
static void test_leader_removed(void) {
        uint32_t leader, voters[3] = { 0 };
        Net *n = led(3, 3, &leader);
        g_autoptr(GBytes) two = NULL;

        for (uint32_t sid = 1, count = 0; sid <= 3; sid++)
                if (sid != leader)
                        voters[count++] = sid;
        two = net_config(n, voters, NULL);
        g_assert_cmpint(node_reconfigure(n, leader, two, 0), ==, 0);
        g_assert_cmpint(node_propose(n, leader, "a", NULL), ==, -EAGAIN);
        net_run(n, SECOND / 2);
        g_assert_cmpuint(net_leader(n), !=, leader);
        g_assert_cmpint(node_propose(n, net_leader(n), "a", NULL), ==, 0);
        net_run(n, 3 * SECOND);
        net_check_equal(n);
        g_assert_false(zab_is_voter(n->nodes[leader].zab));
        g_assert_cmpuint(zab_config_voters(zab_config(n->nodes[leader].zab)), ==, 2);
        net_free(n);
}

/* 2.0.5: another disk is another voter; it joins as a learner, and votes when a configuration says so. */
static void test_wiped(void) {
        uint32_t leader;
        Net *n = led(3, 3, &leader);
        uint32_t wiped = leader % 3 + 1, third = wiped % 3 + 1;
        static const uint32_t all[] = { 1, 2, 3, 0 };
        g_autoptr(GBytes) again = NULL;

        node_wipe(n, wiped);
        node_start(n, wiped);
        net_run(n, SECOND);
        net_check_equal(n);
        g_assert_false(zab_is_voter(n->nodes[wiped].zab));
        net_isolate(n, third, true);
        g_assert_cmpint(node_propose(n, leader, "a", NULL), ==, 0);
        net_settle(n);
        g_assert_cmpuint(zab_commit(n->nodes[leader].zab), ==, 1);
        net_isolate(n, third, false);
        net_run(n, SECOND / 2);
        g_assert_cmpuint(net_leader(n), ==, leader);
        again = net_config(n, all, NULL);
        g_assert_cmpint(node_reconfigure(n, leader, again, 0), ==, 0);
        net_settle(n);
        net_check_equal(n);
        g_assert_true(zab_is_voter(n->nodes[wiped].zab));
        net_free(n);
}

/* A voter comes back in the same epoch with fewer entries than it had acknowledged. */
static void lose_entries(Net *n, uint32_t sid, unsigned count) {
        node_crash(n, sid);
        g_ptr_array_set_size(n->nodes[sid].log, (gint) (n->nodes[sid].log->len - count));
        node_start(n, sid);
}

/* 2.12: what a disk acknowledged and has lost does not count; once its log is brought through by the leader, it does again. */
static void test_lying_disk(void) {
        uint32_t leader;
        Net *n = led(3, 3, &leader);
        uint32_t liar = leader % 3 + 1, third = liar % 3 + 1;

        for (unsigned i = 0; i < 3; i++)
                g_assert_cmpint(node_propose(n, leader, "a", NULL), ==, 0);
        net_settle(n);
        node_crash(n, liar);
        node_start(n, liar);                    /* an honest one */
        net_run(n, SECOND);
        g_assert_cmpuint(n->nodes[leader].regressed, ==, 0);

        n->nodes[third].slow_log = n->nodes[leader].slow_log = true;
        g_assert_cmpint(node_propose(n, leader, "b", NULL), ==, 0);
        net_settle(n);                          /* acknowledged by the liar alone */
        g_assert_cmpuint(zab_durable(n->nodes[liar].zab), ==, 5);
        g_assert_cmpuint(zab_commit(n->nodes[leader].zab), ==, 4);
        lose_entries(n, liar, 2);
        n->nodes[liar].slow_log = true;
        net_run(n, SECOND / 2);
        g_assert_cmpuint(net_leader(n), ==, leader);
        g_assert_cmpuint(n->nodes[leader].regressed, ==, liar);
        g_assert_cmpuint(n->nodes[leader].regressed_from, ==, 5);
        g_assert_cmpuint(n->nodes[leader].regressed_to, ==, 3);
        n->nodes[leader].slow_log = false;      /* with what was acknowledged before, that would be a quorum */
        net_run(n, SECOND / 2);
        g_assert_cmpuint(zab_durable(n->nodes[leader].zab), ==, 5);
        g_assert_cmpuint(zab_commit(n->nodes[leader].zab), ==, 4);
        g_assert_cmpint(node_step(n, leader, (ZabInput) { .type = ZAB_INPUT_TRANSFER, .sid = liar }), ==, -ENOENT);
        n->nodes[liar].slow_log = false;
        net_run(n, SECOND / 2);
        g_assert_cmpuint(net_leader(n), ==, leader);
        g_assert_cmpuint(zab_commit(n->nodes[leader].zab), ==, 5);
        n->nodes[third].slow_log = false;
        net_run(n, SECOND / 2);
        net_check_equal(n);
        net_free(n);
}

/* Two of five are gone; with the third, whose disk was mended meanwhile, the two others are a quorum. */
static void test_mended_disk_counts(void) {
        uint32_t leader;
        Net *n = led(5, 5, &leader);
        uint32_t liar = leader % 5 + 1, third = liar % 5 + 1;

        g_assert_cmpint(node_propose(n, leader, "a", NULL), ==, 0);
        net_settle(n);
        for (uint32_t sid = 1; sid <= 5; sid++)
                if (sid != leader && sid != liar && sid != third)
                        node_crash(n, sid);
        lose_entries(n, liar, 1);
        net_run(n, SECOND);
        g_assert_cmpuint(net_leader(n), ==, leader);
        g_assert_cmpuint(n->nodes[leader].regressed, ==, liar);
        n->nodes[leader].regressed = 0;
        g_assert_cmpint(node_propose(n, leader, "b", NULL), ==, 0);
        net_settle(n);
        g_assert_cmpuint(zab_commit(n->nodes[leader].zab), ==, 3);
        net_check_equal(n);

        /* It comes again with all of that: nothing to be told. */
        node_crash(n, liar);
        node_start(n, liar);
        net_run(n, SECOND);
        g_assert_cmpuint(n->nodes[leader].regressed, ==, 0);
        net_free(n);
}

/* 2.13.8: a disk that another replaced, or that is another member's, is nobody's new disk. */
static void test_disks_do_not_come_back(void) {
        static const uint32_t all[] = { 1, 2, 3, 0 }, observers[] = { 4, 0 };
        uint32_t leader, two[3] = { 0 };
        Net *n = led(4, 3, &leader);
        g_autoptr(GBytes) before = net_config(n, all, NULL), after = NULL, twice = NULL, without = NULL;
        uint32_t wiped = leader % 3 + 1;
        Id128 old = n->nodes[wiped].disk_id, new;

        node_wipe(n, wiped);
        node_start(n, wiped);
        net_run(n, SECOND);
        two[0] = leader;
        two[1] = wiped;
        after = net_config(n, all, NULL);
        without = net_config(n, two, NULL);
        g_assert_cmpint(node_reconfigure(n, leader, after, 0), ==, 0);
        net_settle(n);
        g_assert_cmpint(node_reconfigure(n, leader, before, 0), ==, -EINVAL);

        new = n->nodes[wiped].disk_id;
        g_assert_cmpint(memcmp(&old, &new, sizeof(old)), !=, 0);
        n->nodes[4].disk_id = new;
        twice = net_config(n, all, observers);
        g_assert_cmpint(node_reconfigure(n, leader, twice, 0), ==, -EINVAL);

        /* One that goes may come again: it has kept its promises. */
        g_assert_cmpint(node_reconfigure(n, leader, without, 0), ==, 0);
        net_run(n, SECOND);
        g_assert_cmpint(node_reconfigure(n, leader, after, 0), ==, 0);
        net_settle(n);
        net_free(n);
}

/* Two voters need each other: neither leads alone, and leadership goes from one to the other all the same. */
static void test_two_voters(void) {
        uint32_t leader;
        Net *n = led(2, 2, &leader);
        uint32_t other = 3 - leader;

        g_assert_cmpint(node_propose(n, leader, "a", NULL), ==, 0);
        net_settle(n);
        g_assert_cmpint(node_step(n, leader, (ZabInput) { .type = ZAB_INPUT_TRANSFER }), ==, 0);
        net_run(n, SECOND);
        g_assert_cmpuint(net_leader(n), ==, other);
        g_assert_cmpint(node_propose(n, other, "b", NULL), ==, 0);
        net_settle(n);
        g_assert_cmpuint(zab_commit(n->nodes[other].zab), ==, 3);

        node_crash(n, leader);
        g_assert_cmpint(node_propose(n, other, "c", NULL), ==, 0);
        net_run(n, 5 * SECOND);
        g_assert_cmpint(n->nodes[other].role, <, ZAB_ROLE_LEADER_SYNC);
        g_assert_cmpuint(zab_commit(n->nodes[other].zab), ==, 3);
        node_start(n, leader);
        net_run(n, 6 * SECOND);
        g_assert_cmpint(node_propose(n, net_leader(n), "d", NULL), ==, 0);
        net_run(n, SECOND);
        net_check_equal(n);
        g_assert_cmpuint(zab_applied(n->nodes[leader].zab)->index, ==, 5);
        net_free(n);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/zab-lead/steps-down", test_steps_down);
        g_test_add_func("/zab-lead/read-deposed", test_read_deposed);
        g_test_add_func("/zab-lead/read-follower", test_read_follower);
        g_test_add_func("/zab-lead/confirmed", test_confirmed);
        g_test_add_func("/zab-lead/confirmed-is-applied", test_confirmed_is_applied);
        g_test_add_func("/zab-lead/established", test_established);
        g_test_add_func("/zab-lead/observer", test_observer);
        g_test_add_func("/zab-lead/reconfigure-refuses", test_reconfigure_refuses);
        g_test_add_func("/zab-lead/reconfigure-joint", test_reconfigure_joint);
        g_test_add_func("/zab-lead/floor-overtakes", test_floor_overtakes);
        g_test_add_func("/zab-lead/floor-of-hello", test_floor_of_hello);
        g_test_add_func("/zab-lead/settled", test_settled);
        g_test_add_func("/zab-lead/waiver", test_waiver);
        g_test_add_func("/zab-lead/waiver-of-applied", test_waiver_of_applied);
        g_test_add_func("/zab-lead/promote-under-load", test_promote_under_load);
        g_test_add_func("/zab-lead/applied-in-pieces", test_applied_in_pieces);
        g_test_add_func("/zab-lead/reconfigured-restart", test_reconfigured_restart);
        g_test_add_func("/zab-lead/leader-removed", test_leader_removed);
        g_test_add_func("/zab-lead/wiped", test_wiped);
        g_test_add_func("/zab-lead/lying-disk", test_lying_disk);
        g_test_add_func("/zab-lead/mended-disk-counts", test_mended_disk_counts);
        g_test_add_func("/zab-lead/disks-do-not-come-back", test_disks_do_not_come_back);
        g_test_add_func("/zab-lead/two-voters", test_two_voters);
        return g_test_run();
}
