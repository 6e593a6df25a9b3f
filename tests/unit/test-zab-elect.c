/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Zab: elections and hand-over (protocol 2.7, 2.12, 2.14)
 */

#include <errno.h>

#include "tests/unit/zab-fixture.h"

static Net *founded(unsigned nodes, unsigned voters) {
        Net *n = net_new(nodes, voters);

        for (uint32_t sid = 1; sid <= nodes; sid++)
                node_start(n, sid);
        net_connect_all(n);
        return n;
}

static ZabMessage vote_request(uint32_t epoch, uint32_t current_epoch, Zxid last) {
        return (ZabMessage) {
                .type = ZAB_MESSAGE_VOTE_REQUEST,
                .epoch = epoch,
                .vote = { .accepted_epoch = epoch, .current_epoch = current_epoch, .last = { .index = 1, .zxid = last } },
        };
}

static void test_three(void) {
        Net *n = founded(3, 3);
        uint32_t leader;

        net_run(n, 3 * SECOND);
        leader = net_leader(n);
        net_check_equal(n);
        for (uint32_t sid = 1; sid <= 3; sid++) {
                g_assert_cmpuint(zab_leader(n->nodes[sid].zab), ==, leader);
                g_assert_cmpuint(zab_epoch(n->nodes[sid].zab), ==, 1);          /* one campaign was enough */
                g_assert_cmpuint(n->nodes[sid].meta.current_epoch, ==, 1);
                g_assert_cmpuint(zab_config_voters(zab_config(n->nodes[sid].zab)), ==, 3);
        }
        net_free(n);
}

/* 2.14: VOTE_RSP needs accepted_epoch durable, and goes to the connection that asked. */
static void test_vote_durable_first(void) {
        for (unsigned reconnect = 0; reconnect < 2; reconnect++) {
                Net *n = founded(3, 3);
                ZabMessage m = vote_request(5, 0, zxid_make(0, 1));
                Node *voter = &n->nodes[1];

                net_settle(n);
                voter->slow_meta = true;
                net_forge(n, 2, 1, &m);
                net_settle(n);
                g_assert_cmpuint(voter->meta_writing.accepted_epoch, ==, 5);
                g_assert_cmpuint(n->sent[ZAB_MESSAGE_VOTE_RESPONSE], ==, 0);
                if (reconnect == 1) {
                        net_disconnect(n, 1, 2);
                        net_connect(n, 1, 2);
                }
                node_meta_durable(n, 1);
                g_assert_cmpuint(n->sent[ZAB_MESSAGE_VOTE_RESPONSE], ==, reconnect == 0);
                if (reconnect == 0)
                        g_assert_true(net_find(n, 1, 2, ZAB_MESSAGE_VOTE_RESPONSE)->message.vote.granted);

                /* An epoch is granted once. */
                net_settle(n);
                net_forge(n, 3, 1, &m);
                g_assert_false(net_find(n, 1, 3, ZAB_MESSAGE_VOTE_RESPONSE)->message.vote.granted);
                net_free(n);
        }
}

/* 2.0.1: the epoch of the history decides before its length. */
static void test_vote_compares(void) {
        static const struct {
                uint32_t current_epoch;
                Zxid last;
                bool granted;
        } cases[] = {
                { 0, UINT64_C(0x5ffffffff), false },
                { 1, UINT64_C(0x000000001), false },
                { 1, UINT64_C(0x100000002), true },
                { 2, UINT64_C(0x000000001), true },
        };

        for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
                Net *n = founded(3, 3);
                ZabMessage m = vote_request(9, cases[i].current_epoch, cases[i].last);
                uint32_t leader, voter, asker;

                net_run(n, 3 * SECOND);
                leader = net_leader(n);
                voter = leader % 3 + 1;
                asker = voter % 3 + 1;
                g_assert_cmpint(node_propose(n, leader, "a", NULL), ==, 0);
                g_assert_cmpint(node_propose(n, leader, "b", NULL), ==, 0);
                net_settle(n);
                g_assert_cmpuint(zab_last(n->nodes[voter].zab)->zxid, ==, UINT64_C(0x100000002));

                /* Not while it hears its leader. */
                net_forge(n, asker, voter, &m);
                g_assert_false(net_find(n, voter, asker, ZAB_MESSAGE_VOTE_RESPONSE)->message.vote.granted);
                net_settle(n);
                n->manual_network = true;
                net_disconnect(n, leader, voter);
                net_forge(n, asker, voter, &m);
                node_meta_durable(n, voter);
                g_assert_true(net_find(n, voter, asker, ZAB_MESSAGE_VOTE_RESPONSE)->message.vote.granted == cases[i].granted);
                net_free(n);
        }
}

/* 2.14: VOTE_REQ and the own vote need accepted_epoch durable. */
static void test_candidate_durable_first(void) {
        Net *n = founded(3, 3);
        unsigned candidates = 0;

        for (uint32_t sid = 1; sid <= 3; sid++)
                n->nodes[sid].slow_meta = true;
        net_run(n, 10 * SECOND);
        g_assert_cmpuint(n->sent[ZAB_MESSAGE_VOTE_REQUEST], ==, 0);
        for (uint32_t sid = 1; sid <= 3; sid++)
                if (n->nodes[sid].role == ZAB_ROLE_CANDIDATE) {
                        node_meta_durable(n, sid);
                        candidates++;
                }
        g_assert_cmpuint(candidates, >, 0);
        g_assert_cmpuint(n->sent[ZAB_MESSAGE_VOTE_REQUEST], ==, 2 * candidates);
        net_free(n);
}

/* A leader whose connections break is replaced in a fraction of the election timeout. */
static void test_killed_leader(void) {
        Net *n = founded(3, 3);
        uint32_t old;

        net_run(n, 3 * SECOND);
        old = net_leader(n);
        g_assert_cmpint(node_propose(n, old, "a", NULL), ==, 0);
        net_settle(n);
        node_crash(n, old);
        net_run(n, 3 * SECOND / 10);
        g_assert_cmpuint(net_leader(n), !=, old);
        g_assert_cmpuint(zab_epoch(n->nodes[net_leader(n)].zab), ==, 2);
        node_start(n, old);
        net_run(n, SECOND);
        net_check_equal(n);
        g_assert_cmpuint(zab_applied(n->nodes[old].zab)->index, ==, 2);
        net_free(n);
}

/* 2.12: who has no history of its own, or a broken one, neither campaigns nor votes. */
static void test_no_vote(void) {
        static const ZabMembership memberships[] = { ZAB_MEMBERSHIP_JOINING, ZAB_MEMBERSHIP_DAMAGED };

        for (unsigned i = 0; i < G_N_ELEMENTS(memberships); i++) {
                Net *n = net_new(3, 3);
                ZabMessage m = vote_request(5, 3, zxid_make(3, 9));

                n->nodes[1].meta.membership = memberships[i];
                node_start(n, 1);
                node_start(n, 2);
                net_connect(n, 1, 2);
                net_forge(n, 2, 1, &m);
                g_assert_false(net_find(n, 1, 2, ZAB_MESSAGE_VOTE_RESPONSE)->message.vote.granted);
                for (unsigned t = 0; t < 100; t++) {
                        n->now += SECOND;
                        node_step(n, 1, (ZabInput) { .type = ZAB_INPUT_TICK });
                        g_assert_cmpint(n->nodes[1].role, ==, ZAB_ROLE_LOOKING);
                }
                net_free(n);
        }
}

/* 2.8: a damaged member is mended by a leader elected without it, and votes again. */
static void test_damaged_is_mended(void) {
        Net *n = net_new(3, 3);

        n->nodes[1].meta.membership = ZAB_MEMBERSHIP_DAMAGED;
        for (uint32_t sid = 1; sid <= 3; sid++)
                node_start(n, sid);
        net_run(n, 4 * SECOND);
        net_check_equal(n);
        g_assert_cmpuint(net_leader(n), !=, 1);
        g_assert_cmpint(n->nodes[1].meta.membership, ==, ZAB_MEMBERSHIP_MEMBER);
        g_assert_cmpuint(n->nodes[1].meta.current_epoch, ==, n->nodes[2].meta.current_epoch);
        net_free(n);
}

/* Of two the successor is needed for the quorum, and is not expected to be heard while it takes over. */
static void test_transfer_fails_of_two(void) {
        Net *n = founded(2, 2);
        uint32_t leader, target;

        net_run(n, 3 * SECOND);
        leader = net_leader(n);
        target = leader % 2 + 1;
        n->blocked[target][leader] = true;
        g_assert_cmpint(node_step(n, leader, (ZabInput) { .type = ZAB_INPUT_TRANSFER, .sid = target }), ==, 0);
        net_run(n, 12 * SECOND / 10);
        g_assert_cmpint(n->nodes[leader].role, ==, ZAB_ROLE_LEADER);
        g_assert_cmpint(node_propose(n, leader, "a", NULL), ==, 0);
        n->blocked[target][leader] = false;
        net_run(n, 4 * SECOND);
        net_check_equal(n);
        net_free(n);
}

/* An observer that says what no observer would can neither use up the epochs nor have votes for itself. */
static void test_observer_lies(void) {
        Net *n = net_new(4, 3);
        const ZabVote boast = { .accepted_epoch = ZXID_EPOCH_MAX, .current_epoch = 1000, .granted = true,
                                .last = { .index = 1 << 20, .zxid = zxid_make(1000, 1) } };
        uint32_t leader, epoch;

        for (uint32_t sid = 1; sid <= 4; sid++)
                node_start(n, sid);
        net_connect_all(n);
        net_run(n, 5 * SECOND);
        leader = net_leader(n);
        epoch = zab_epoch(n->nodes[leader].zab);

        for (unsigned leap = 0; leap < 2; leap++)
                for (uint32_t to = 1; to <= 3; to++) {
                        ZabMessage m = { .type = ZAB_MESSAGE_PREVOTE_RESPONSE, .epoch = epoch + 1, .vote = boast };

                        m.vote.accepted_epoch = leap ? ZXID_EPOCH_MAX : epoch + 1000;
                        net_forge(n, 4, to, &m);
                        m.type = ZAB_MESSAGE_VOTE_RESPONSE;
                        net_forge(n, 4, to, &m);
                        m.type = ZAB_MESSAGE_VOTE_REQUEST;
                        m.epoch = m.vote.accepted_epoch;
                        m.vote.transfer_epoch = epoch;
                        net_forge(n, 4, to, &m);
                        net_forge(n, 4, to, &(ZabMessage) { .type = ZAB_MESSAGE_LEADER_HELLO, .epoch = ZXID_EPOCH_MAX, .session = 1 });
                        net_forge(n, 4, to, &(ZabMessage) { .type = ZAB_MESSAGE_REJECT, .epoch = epoch, .session = 1,
                                                            .index = m.epoch });
                }
        net_run(n, 2 * SECOND);
        g_assert_cmpuint(net_leader(n), ==, leader);
        g_assert_cmpuint(zab_epoch(n->nodes[leader].zab), ==, epoch);

        node_crash(n, leader);
        net_run(n, 5 * SECOND);
        g_assert_cmpuint(zab_epoch(n->nodes[net_leader(n)].zab), <, epoch + 10);
        net_free(n);
}

static void test_transfer(void) {
        for (unsigned members = 2; members <= 3; members++) {
                Net *n = founded(members, members);
                uint32_t old, target;
                uint64_t before;

                net_run(n, 3 * SECOND);
                old = net_leader(n);
                target = old % members + 1;
                g_assert_cmpint(node_step(n, target, (ZabInput) { .type = ZAB_INPUT_TRANSFER }), ==, -EAGAIN);
                g_assert_cmpint(node_step(n, old, (ZabInput) { .type = ZAB_INPUT_TRANSFER, .sid = old }), ==, -ENOENT);
                g_assert_cmpint(node_propose(n, old, "a", NULL), ==, 0);

                /* What is proposed goes over first. */
                g_assert_cmpint(node_step(n, old, (ZabInput) { .type = ZAB_INPUT_TRANSFER, .sid = target }), ==, 0);
                g_assert_cmpint(node_propose(n, old, "b", NULL), ==, -EAGAIN);
                g_assert_cmpuint(n->sent[ZAB_MESSAGE_TIMEOUT_NOW], ==, 0);
                before = n->now;
                while (n->nodes[target].role != ZAB_ROLE_LEADER)
                        net_run(n, 10000);
                g_assert_cmpuint(n->now - before, <=, SECOND / 10);
                net_run(n, SECOND);
                g_assert_cmpuint(net_leader(n), ==, target);
                net_check_equal(n);
                g_assert_cmpuint(zab_applied(n->nodes[target].zab)->index, ==, 2);
                net_free(n);
        }
}

/* Nobody takes over: the leader goes on, and says so. */
static void test_transfer_fails(void) {
        Net *n = founded(3, 3);
        uint32_t leader, target;

        net_run(n, 3 * SECOND);
        leader = net_leader(n);
        target = leader % 3 + 1;
        n->blocked[target][1] = n->blocked[target][2] = n->blocked[target][3] = true;
        g_assert_cmpint(node_step(n, leader, (ZabInput) { .type = ZAB_INPUT_TRANSFER, .sid = target }), ==, 0);
        net_run(n, 6 * SECOND / 10);
        g_assert_cmpint(node_propose(n, leader, "a", NULL), ==, -EAGAIN);
        net_run(n, 6 * SECOND / 10);
        g_assert_cmpint(node_propose(n, leader, "a", NULL), ==, 0);
        for (uint32_t to = 1; to <= 3; to++)
                n->blocked[target][to] = false;
        net_run(n, 4 * SECOND);
        net_check_equal(n);
        net_free(n);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/zab-elect/three", test_three);
        g_test_add_func("/zab-elect/vote-durable-first", test_vote_durable_first);
        g_test_add_func("/zab-elect/vote-compares", test_vote_compares);
        g_test_add_func("/zab-elect/candidate-durable-first", test_candidate_durable_first);
        g_test_add_func("/zab-elect/killed-leader", test_killed_leader);
        g_test_add_func("/zab-elect/no-vote", test_no_vote);
        g_test_add_func("/zab-elect/damaged-is-mended", test_damaged_is_mended);
        g_test_add_func("/zab-elect/observer-lies", test_observer_lies);
        g_test_add_func("/zab-elect/transfer", test_transfer);
        g_test_add_func("/zab-elect/transfer-fails", test_transfer_fails);
        g_test_add_func("/zab-elect/transfer-fails-of-two", test_transfer_fails_of_two);
        return g_test_run();
}
