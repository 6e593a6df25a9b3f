/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Zab: observers whose entries come from a follower (protocol 2.13, feed.c)
 */

#include <string.h>

#include "tests/unit/zab-fixture.h"

#define CHILD 4

static const uint32_t voters[] = { 1, 2, 3, 0 }, observers[] = { CHILD, 0 }, all[] = { 1, 2, 3, CHILD, 0 };

/* Three voters, and an observer that has a parent. */
static Net *fed(uint64_t tail_bytes, uint64_t window_bytes, uint32_t *ret_leader, uint32_t *ret_parent) {
        Net *n = net_new(4, 3);
        g_autoptr(GBytes) config = net_config(n, voters, observers);

        n->tail_bytes = tail_bytes;
        n->window_bytes = window_bytes;
        for (uint32_t sid = 1; sid <= 4; sid++)
                node_start(n, sid);
        net_run(n, 4 * SECOND);
        *ret_leader = net_leader(n);
        g_assert_cmpuint(zab_parent(n->nodes[CHILD].zab), ==, 0);       /* nobody knows it yet */
        g_assert_cmpint(node_reconfigure(n, *ret_leader, config, 0), ==, 0);
        net_run(n, 2 * SECOND);
        *ret_parent = zab_parent(n->nodes[CHILD].zab);
        g_assert_cmpuint(*ret_parent, !=, 0);
        g_assert_cmpuint(*ret_parent, !=, *ret_leader);
        return n;
}

static uint32_t third(uint32_t leader, uint32_t parent) {
        return 1 + 2 + 3 - leader - parent;
}

static void block(Net *n, uint32_t a, uint32_t b, bool blocked) {
        n->blocked[a][b] = n->blocked[b][a] = blocked;
}

static void propose(Net *n, uint32_t leader, unsigned count) {
        for (unsigned i = 0; i < count; i++)
                g_assert_cmpint(node_propose(n, leader, "a request of some length", NULL), ==, 0);
}

static uint64_t applied(const Net *n, uint32_t sid) {
        return zab_applied(n->nodes[sid].zab)->index;
}

/* Everything comes from the parent, and all else is between the observer and its leader. */
static void test_fed(void) {
        uint32_t leader, parent;
        Net *n = fed(0, 0, &leader, &parent);
        uint64_t confirmed = zab_confirmed_usec(n->nodes[CHILD].zab);
        ZabPeerState peer;

        block(n, leader, CHILD, true);
        propose(n, leader, 5);
        net_settle(n);
        g_assert_cmpuint(applied(n, CHILD), ==, 7);
        g_assert_cmpuint(net_count(n, leader, CHILD, ZAB_MESSAGE_ENTRIES), ==, 0);
        g_assert_cmpuint(net_count(n, leader, CHILD, ZAB_MESSAGE_COMMIT), ==, 0);
        block(n, leader, CHILD, false);
        net_run(n, SECOND);
        net_check_equal(n);
        g_assert_cmpuint(zab_confirmed_usec(n->nodes[CHILD].zab), >, confirmed);
        g_assert_cmpint(node_read(n, CHILD, 5), ==, 0);
        net_settle(n);
        g_assert_true(node_has_read(&n->nodes[CHILD], 5));
        g_assert_cmpuint(zab_leader(n->nodes[CHILD].zab), ==, leader);
        g_assert_true(zab_peer(n->nodes[leader].zab, CHILD, &peer));
        g_assert_cmpuint(peer.parent, ==, parent);
        g_assert_cmpuint(peer.acked, ==, 7);
        net_free(n);
}

/* A read asks those who can confirm it; the others hear heartbeats. */
static void test_reads_ask_voters(void) {
        uint32_t leader, parent;
        Net *n = fed(0, 0, &leader, &parent);

        g_assert_cmpint(node_read(n, leader, 6), ==, 0);
        g_assert_cmpuint(net_count(n, leader, parent, ZAB_MESSAGE_PING), ==, 1);
        g_assert_cmpuint(net_count(n, leader, CHILD, ZAB_MESSAGE_PING), ==, 0);
        net_settle(n);
        g_assert_true(node_has_read(&n->nodes[leader], 6));
        net_free(n);
}

/* A parent has entries that are not committed, and keeps them to itself. */
static void test_committed_alone(void) {
        uint32_t leader, parent;
        Net *n = fed(0, 0, &leader, &parent);
        uint32_t other = third(leader, parent);

        net_isolate(n, other, true);
        n->nodes[leader].slow_log = true;
        propose(n, leader, 3);
        net_settle(n);
        g_assert_cmpuint(zab_last(n->nodes[parent].zab)->index, ==, 5);
        g_assert_cmpuint(zab_last(n->nodes[CHILD].zab)->index, ==, 2);
        n->nodes[leader].slow_log = false;
        net_settle(n);
        g_assert_cmpuint(applied(n, CHILD), ==, 5);
        net_isolate(n, other, false);
        net_run(n, SECOND);
        net_check_equal(n);
        net_free(n);
}

/* ... and who is fed counts for no commit. */
static void test_never_counted(void) {
        uint32_t leader, parent;
        Net *n = fed(0, 0, &leader, &parent);

        for (uint32_t sid = 1; sid <= 3; sid++)
                n->nodes[sid].slow_log = sid != leader;
        propose(n, leader, 1);
        net_settle(n);
        net_forge(n, CHILD, leader, &(ZabMessage) { .type = ZAB_MESSAGE_ACK, .epoch = zab_epoch(n->nodes[leader].zab),
                                                    .session = zab_session(n->nodes[CHILD].zab).session, .index = 3 });
        net_settle(n);
        g_assert_cmpuint(zab_commit(n->nodes[leader].zab), ==, 2);
        net_free(n);
}

/* Its session with the leader does not notice that the parent is gone. */
static void test_parent_crashes(void) {
        uint32_t leader, parent, next;
        Net *n = fed(0, 0, &leader, &parent);
        uint64_t session = zab_session(n->nodes[CHILD].zab).session;

        node_crash(n, parent);
        propose(n, leader, 3);
        net_settle(n);
        g_assert_cmpuint(applied(n, CHILD), ==, 5);
        g_assert_cmpuint(zab_parent(n->nodes[CHILD].zab), ==, 0);
        net_run(n, 2 * SECOND);
        next = zab_parent(n->nodes[CHILD].zab);
        g_assert_cmpuint(next, ==, third(leader, parent));
        propose(n, leader, 3);
        net_settle(n);
        node_start(n, parent);
        net_run(n, 2 * SECOND);
        net_check_equal(n);
        g_assert_cmpuint(zab_parent(n->nodes[CHILD].zab), ==, next);    /* it stays where it is */
        g_assert_cmpuint(zab_session(n->nodes[CHILD].zab).session, ==, session);
        net_free(n);
}

/* Nobody says that anything is wrong, and what is committed does not come: that takes half an election time-out. */
static void test_parent_falls_silent(void) {
        uint32_t leader, parent;
        Net *n = fed(0, 0, &leader, &parent);
        uint64_t session = zab_session(n->nodes[CHILD].zab).session, confirmed;

        block(n, parent, CHILD, true);
        propose(n, leader, 3);
        net_run(n, SECOND / 5);
        confirmed = zab_confirmed_usec(n->nodes[CHILD].zab);
        g_assert_cmpuint(applied(n, CHILD), ==, 2);

        /* Nothing is promised while it does not know what stands in the log. */
        net_run(n, SECOND / 10);
        g_assert_cmpuint(zab_confirmed_usec(n->nodes[CHILD].zab), ==, confirmed);
        net_run(n, SECOND);
        g_assert_cmpuint(applied(n, CHILD), ==, 5);
        g_assert_cmpuint(zab_confirmed_usec(n->nodes[CHILD].zab), >, confirmed);

        /* What that parent still sends is of a feed that is over. */
        block(n, parent, CHILD, false);
        propose(n, leader, 3);
        net_run(n, 2 * SECOND);
        net_check_equal(n);
        g_assert_cmpuint(zab_parent(n->nodes[CHILD].zab), ==, third(leader, parent));
        g_assert_cmpuint(zab_session(n->nodes[CHILD].zab).session, ==, session);
        net_free(n);
}

/* With nothing to send a silent parent is as good as any. */
static void test_idle_parent_stays(void) {
        uint32_t leader, parent;
        Net *n = fed(0, 0, &leader, &parent);

        block(n, parent, CHILD, true);
        net_run(n, 5 * SECOND);
        g_assert_cmpuint(zab_parent(n->nodes[CHILD].zab), ==, parent);
        net_free(n);
}

/* A parent that has lost its leader says so. */
static void test_parent_without_leader(void) {
        uint32_t leader, parent;
        Net *n = fed(0, 0, &leader, &parent);

        n->manual_network = true;
        net_disconnect(n, leader, parent);
        g_assert_cmpint(n->nodes[parent].role, ==, ZAB_ROLE_LOOKING);
        g_assert_cmpuint(net_count(n, parent, CHILD, ZAB_MESSAGE_FEED_END), ==, 1);
        propose(n, leader, 3);
        net_settle(n);
        g_assert_cmpuint(applied(n, CHILD), ==, 5);
        net_run(n, 5 * SECOND);
        g_assert_cmpuint(net_leader(n), ==, leader);
        g_assert_cmpuint(zab_parent(n->nodes[CHILD].zab), ==, third(leader, parent));
        propose(n, leader, 3);
        net_settle(n);
        g_assert_cmpuint(applied(n, CHILD), ==, 8);
        net_free(n);
}

/* Another leader: everything begins anew. */
static void test_leader_changes(void) {
        uint32_t leader, parent, next;
        Net *n = fed(0, 0, &leader, &parent);

        node_crash(n, leader);
        net_run(n, 6 * SECOND);
        next = net_leader(n);
        propose(n, next, 3);
        net_settle(n);
        node_start(n, leader);
        net_run(n, 6 * SECOND);
        net_check_equal(n);
        g_assert_cmpuint(zab_parent(n->nodes[CHILD].zab), !=, 0);
        g_assert_cmpuint(zab_parent(n->nodes[CHILD].zab), !=, next);
        net_free(n);
}

/* Who becomes a voter has to have what is not committed yet: here nothing can be committed without it. */
static void test_promoted(void) {
        uint32_t leader, parent;
        Net *n = fed(0, 0, &leader, &parent);
        g_autoptr(GBytes) four = net_config(n, all, NULL);

        node_crash(n, third(leader, parent));
        net_run(n, SECOND);
        g_assert_cmpuint(zab_parent(n->nodes[CHILD].zab), ==, parent);
        g_assert_cmpint(node_reconfigure(n, leader, four, 0), ==, 0);
        propose(n, leader, 1);
        net_settle(n);
        g_assert_cmpuint(zab_commit(n->nodes[leader].zab), ==, 4);
        g_assert_true(zab_is_voter(n->nodes[CHILD].zab));
        propose(n, leader, 3);
        net_run(n, SECOND);
        g_assert_cmpuint(applied(n, CHILD), ==, 7);
        g_assert_cmpuint(zab_parent(n->nodes[CHILD].zab), ==, 0);
        net_free(n);
}

/* ... and is sent what it has had for so long that it has a checkpoint of it, and no log. */
static void test_promoted_without_log(void) {
        uint32_t leader, parent;
        Net *n = fed(0, 0, &leader, &parent);
        g_autoptr(GBytes) four = net_config(n, all, NULL);
        uint64_t session = zab_session(n->nodes[CHILD].zab).session;

        n->blocked[CHILD][leader] = true;       /* what it acknowledges is not heard */
        propose(n, leader, 5);
        net_settle(n);
        g_assert_cmpuint(applied(n, CHILD), ==, 7);
        node_checkpoint(n, CHILD);
        node_drop_log(n, CHILD);
        g_assert_cmpint(node_reconfigure(n, leader, four, 0), ==, 0);
        g_assert_cmpuint(net_find(n, leader, CHILD, ZAB_MESSAGE_ENTRIES)->message.entries[0].index, ==, 3);
        n->blocked[CHILD][leader] = false;
        net_run(n, SECOND);
        net_check_equal(n);
        g_assert_true(zab_is_voter(n->nodes[CHILD].zab));
        g_assert_cmpuint(zab_session(n->nodes[CHILD].zab).session, ==, session);
        net_free(n);
}

/* What the parent no longer has in memory comes from its log, no faster than the child takes it; what is no longer there from the
 * leader. */
static void test_slow_child(void) {
        for (unsigned dropped = 0; dropped < 2; dropped++) {
                uint32_t leader, parent;
                Net *n = fed(500, 1000, &leader, &parent);
                unsigned sent;

                n->nodes[CHILD].slow_log = true;
                propose(n, leader, 200);
                net_settle(n);
                sent = n->sent[ZAB_MESSAGE_FEED];
                propose(n, leader, 200);
                net_settle(n);
                g_assert_cmpuint(n->sent[ZAB_MESSAGE_FEED], ==, sent);
                g_assert_cmpuint(zab_last(n->nodes[CHILD].zab)->index, <, 100);
                if (dropped) {
                        node_checkpoint(n, parent);
                        node_drop_log(n, parent);
                }
                n->nodes[CHILD].slow_log = false;
                net_settle(n);
                net_check_equal(n);
                if (!dropped)
                        g_assert_cmpuint(n->nodes[parent].log_reads, >, 0);
                g_assert_cmpuint(zab_parent(n->nodes[CHILD].zab), ==, dropped ? 0 : parent);
                net_free(n);
        }
}

static void ask(Net *n, uint32_t from, uint32_t to, uint32_t epoch, ZabPosition position) {
        net_forge(n, from, to, &(ZabMessage) { .type = ZAB_MESSAGE_FEED_REQUEST, .epoch = epoch, .session = 77,
                                               .position = position });
}

/* Who feeds whom: followers observers, of one history. */
static void test_refuses(void) {
        uint32_t leader, parent, other;
        Net *n = fed(0, 0, &leader, &parent);
        uint32_t epoch = zab_epoch(n->nodes[leader].zab);
        ZabPosition last = *zab_last(n->nodes[parent].zab), wrong = last, far = last;

        other = third(leader, parent);
        n->manual_network = true;
        net_isolate(n, CHILD, true);
        wrong.zxid++;
        far.index = UINT64_MAX;
        ask(n, parent, other, epoch, last);             /* a voter */
        ask(n, CHILD, leader, epoch, last);             /* the leader feeds in its own way */
        ask(n, CHILD, other, epoch + 1, last);
        ask(n, CHILD, other, epoch, wrong);
        ask(n, CHILD, other, epoch, far);
        g_assert_cmpuint(net_count(n, other, parent, ZAB_MESSAGE_FEED_END), ==, 1);
        g_assert_cmpuint(net_count(n, leader, CHILD, ZAB_MESSAGE_FEED_END), ==, 1);
        g_assert_cmpuint(net_count(n, other, CHILD, ZAB_MESSAGE_FEED_END), ==, 3);
        g_assert_cmpuint(net_count(n, other, CHILD, ZAB_MESSAGE_FEED), ==, 0);
        ask(n, CHILD, other, epoch, last);
        g_assert_cmpuint(net_count(n, other, CHILD, ZAB_MESSAGE_FEED), ==, 1);
        net_free(n);
}

/* Nothing that a child or a parent may say does more than end the feed, or its own session. */
static void test_hostile(void) {
        uint32_t leader, parent;
        Net *n = fed(0, 0, &leader, &parent);
        uint32_t epoch = zab_epoch(n->nodes[leader].zab);
        ZabSession s = zab_session(n->nodes[CHILD].zab);
        g_autoptr(GBytes) payload = g_bytes_new("x", 1);
        ZabEntry e = { .index = 3, .zxid = zxid_make(epoch, 9), .prev_zxid = zxid_make(epoch, 1), .type = ZAB_ENTRY_REQUEST,
                       .payload = payload };
        ZabMessage entries = { .type = ZAB_MESSAGE_FEED, .epoch = epoch, .session = 1, .entries = &e, .entries_count = 1,
                               .commit = 3 };
        ZabMessage ack = { .type = ZAB_MESSAGE_FEED_ACK, .epoch = epoch, .session = 1, .index = 1000 };
        unsigned closes = n->nodes[leader].closes;

        entries.session = 99;                           /* of another feed */
        net_forge(n, parent, CHILD, &entries);
        g_assert_cmpuint(zab_parent(n->nodes[CHILD].zab), ==, parent);
        entries.session = 1;
        entries.commit = 1000;
        net_forge(n, third(leader, parent), CHILD, &entries);           /* by another */
        g_assert_cmpuint(zab_parent(n->nodes[CHILD].zab), ==, parent);
        net_forge(n, parent, CHILD, &entries);
        g_assert_cmpuint(zab_parent(n->nodes[CHILD].zab), ==, 0);
        g_assert_cmpuint(zab_last(n->nodes[CHILD].zab)->index, ==, 2);
        net_run(n, 2 * SECOND);
        g_assert_cmpuint(zab_parent(n->nodes[CHILD].zab), ==, third(leader, parent));
        g_assert_cmpuint(zab_session(n->nodes[CHILD].zab).session, ==, s.session);

        ack.session = 2;                                /* of what the leader sent, say, before it heard of the feed */
        net_forge(n, CHILD, third(leader, parent), &ack);
        propose(n, leader, 3);
        net_settle(n);
        g_assert_cmpuint(zab_parent(n->nodes[CHILD].zab), ==, third(leader, parent));
        g_assert_cmpuint(applied(n, CHILD), ==, 5);

        g_assert_cmpuint(n->nodes[leader].closes, ==, closes);
        net_run(n, 2 * SECOND);
        net_forge(n, CHILD, leader, &(ZabMessage) { .type = ZAB_MESSAGE_FED, .epoch = epoch, .session = s.session, .index = 1000 });
        g_assert_cmpuint(n->nodes[leader].closes, ==, closes + 1);
        net_run(n, 2 * SECOND);
        propose(n, leader, 2);
        net_run(n, SECOND);
        net_check_equal(n);
        net_free(n);
}

/* Who votes is fed by the leader, whatever it says. */
static void test_voter_says_it_is_fed(void) {
        uint32_t leader, parent;
        Net *n = fed(0, 0, &leader, &parent);

        net_forge(n, parent, leader, &(ZabMessage) { .type = ZAB_MESSAGE_FED, .flag = true, .index = 1,
                                                     .epoch = zab_epoch(n->nodes[leader].zab),
                                                     .session = zab_session(n->nodes[parent].zab).session });
        propose(n, leader, 2);
        net_settle(n);
        net_check_equal(n);
        net_free(n);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/zab-feed/fed", test_fed);
        g_test_add_func("/zab-feed/reads-ask-voters", test_reads_ask_voters);
        g_test_add_func("/zab-feed/committed-alone", test_committed_alone);
        g_test_add_func("/zab-feed/never-counted", test_never_counted);
        g_test_add_func("/zab-feed/parent-crashes", test_parent_crashes);
        g_test_add_func("/zab-feed/parent-falls-silent", test_parent_falls_silent);
        g_test_add_func("/zab-feed/idle-parent-stays", test_idle_parent_stays);
        g_test_add_func("/zab-feed/parent-without-leader", test_parent_without_leader);
        g_test_add_func("/zab-feed/leader-changes", test_leader_changes);
        g_test_add_func("/zab-feed/promoted", test_promoted);
        g_test_add_func("/zab-feed/promoted-without-log", test_promoted_without_log);
        g_test_add_func("/zab-feed/slow-child", test_slow_child);
        g_test_add_func("/zab-feed/refuses", test_refuses);
        g_test_add_func("/zab-feed/hostile", test_hostile);
        g_test_add_func("/zab-feed/voter-says-it-is-fed", test_voter_says_it_is_fed);
        return g_test_run();
}
