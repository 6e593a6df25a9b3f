/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Zab: bringing a member to the leader's history: DIFF, TRUNC, SNAP, what is durable before what is said, and what hostile
 * peers may send (protocol 2.6, 2.8, 2.14)
 */

#include <string.h>

#include "agent/base/prng.h"
#include "tests/unit/zab-fixture.h"

/* Three members, with a leader. */
static Net *led(uint64_t tail_bytes, uint32_t *ret_leader, uint32_t *ret_other) {
        Net *n = net_new(3, 3);

        n->tail_bytes = tail_bytes;
        for (uint32_t sid = 1; sid <= 3; sid++)
                node_start(n, sid);
        net_run(n, 3 * SECOND);
        *ret_leader = net_leader(n);
        *ret_other = *ret_leader % 3 + 1;
        return n;
}

static void propose_many(Net *n, uint32_t leader, unsigned count) {
        for (unsigned i = 0; i < count; i++)
                g_assert_cmpint(node_propose(n, leader, "a request of some length", NULL), ==, 0);
        net_settle(n);
}

static void test_diff(void) {
        for (unsigned from_log = 0; from_log < 2; from_log++) {
                uint32_t leader, other;
                Net *n = led(from_log ? 500 : 0, &leader, &other);

                node_crash(n, other);
                propose_many(n, leader, 3000);
                node_start(n, other);
                net_run(n, 2 * SECOND);
                net_check_equal(n);
                g_assert_cmpuint(zab_applied(n->nodes[other].zab)->index, ==, 3001);
                g_assert_true((n->nodes[leader].log_reads > 0) == (from_log == 1));
                g_assert_cmpuint(n->nodes[other].truncates + n->nodes[other].switches, ==, 0);
                net_free(n);
        }
}

/* What a leader proposed without a quorum goes, and is not acknowledged by what was under way for it (P11). */
static void test_trunc(void) {
        uint32_t old, other;
        Net *n = led(0, &old, &other);

        propose_many(n, old, 2);
        net_isolate(n, old, true);
        propose_many(n, old, 3);
        g_assert_cmpuint(zab_last(n->nodes[old].zab)->index, ==, 6);
        net_run(n, 4 * SECOND);
        g_assert_cmpuint(net_leader(n), !=, old);
        propose_many(n, net_leader(n), 1);
        net_isolate(n, old, false);
        n->nodes[old].slow_log = true;
        net_run(n, SECOND);
        g_assert_cmpuint(n->nodes[old].truncates, ==, 1);
        g_assert_cmpuint(zab_durable(n->nodes[old].zab), ==, 3);
        g_assert_cmpuint(zab_last(n->nodes[old].zab)->index, ==, 4);
        g_assert_cmpint(n->nodes[old].role, ==, ZAB_ROLE_FOLLOWER_SYNC);
        n->nodes[old].slow_log = false;
        net_run(n, SECOND);
        net_check_equal(n);
        net_free(n);
}

static bool sends_snapshot(const Node *node) {
        for (unsigned i = 0; i < NODES_MAX; i++)
                if (node->open[i].request != 0)
                        return true;
        return false;
}

static void test_snap(void) {
        uint32_t leader, other;
        Net *n = led(1, &leader, &other);

        node_crash(n, other);
        propose_many(n, leader, 50);
        node_checkpoint(n, leader);
        node_drop_log(n, leader);
        propose_many(n, leader, 5);
        node_start(n, other);
        n->nodes[other].slow_log = true;
        net_run(n, SECOND);

        /* Nothing moves before the snapshot is installed (P7, P8). */
        g_assert_cmpuint(n->nodes[other].chunks_in, ==, 6);
        g_assert_cmpuint(n->nodes[other].switches, ==, 0);
        g_assert_cmpuint(zab_last(n->nodes[other].zab)->index, ==, 1);
        g_assert_true(sends_snapshot(&n->nodes[leader]));       /* until it is installed, the log behind it has to stay */
        n->nodes[other].slow_log = false;
        net_run(n, SECOND);
        net_check_equal(n);
        g_assert_false(sends_snapshot(&n->nodes[leader]));
        g_assert_cmpuint(n->nodes[other].switches, ==, 1);
        g_assert_cmpuint(n->nodes[other].first_applied, ==, 52);
        g_assert_cmpuint(zab_config_voters(zab_config(n->nodes[other].zab)), ==, 3);

        /* From its own disk, too. */
        node_crash(n, other);
        node_start(n, other);
        net_run(n, SECOND);
        net_check_equal(n);
        g_assert_cmpuint(n->nodes[other].switches, ==, 1);
        net_free(n);
}

/* The disk is slower than the network: the leader sends no more than a few chunks ahead of it, and goes on when there is room. */
static void test_snap_behind(void) {
        uint32_t leader, other;
        Net *n = led(1, &leader, &other);

        node_crash(n, other);
        propose_many(n, leader, 50);
        node_checkpoint(n, leader);
        node_drop_log(n, leader);
        node_start(n, other);
        n->nodes[other].behind = true;
        net_run(n, 2 * SECOND);
        g_assert_cmpuint(n->nodes[other].chunks_in, ==, 4);
        g_assert_cmpint(n->nodes[other].role, ==, ZAB_ROLE_FOLLOWER_SYNC);
        g_assert_cmpuint(n->nodes[leader].snapshots, ==, 1);

        n->nodes[other].behind = false;
        net_run(n, SECOND);
        net_check_equal(n);
        g_assert_cmpuint(n->nodes[other].chunks_in, ==, 6);
        g_assert_cmpuint(n->nodes[other].switches, ==, 1);
        g_assert_cmpuint(n->nodes[leader].snapshots, ==, 1);            /* the same one */
        net_free(n);
}

/* A snapshot that breaks off leaves everything as it was. */
static void test_snap_broken_off(void) {
        uint32_t leader, other;
        Net *n = led(1, &leader, &other);
        Node *node = &n->nodes[other];

        node_crash(n, other);
        propose_many(n, leader, 50);
        node_checkpoint(n, leader);
        node_drop_log(n, leader);
        node_start(n, other);
        n->manual_network = true;
        net_connect(n, leader, other);
        n->blocked[leader][other] = true;
        while (node->chunks_in < 2) {
                net_settle(n);
                g_assert_true(net_deliver(n, leader, other));
        }
        net_disconnect(n, leader, other);
        n->blocked[leader][other] = false;
        n->manual_network = false;
        g_assert_cmpuint(node->incoming->len, ==, 0);           /* aborted */
        g_assert_cmpuint(zab_last(node->zab)->index, ==, 1);
        net_run(n, 3 * SECOND);
        net_check_equal(n);
        g_assert_cmpuint(node->switches, ==, 1);
        net_free(n);
}

/* 2.12: a diverged member asks for a SNAP although its log would do. */
static void test_diverged(void) {
        uint32_t leader, other;
        Net *n = led(0, &leader, &other);

        propose_many(n, leader, 5);
        node_checkpoint(n, leader);
        propose_many(n, leader, 5);
        node_step(n, other, (ZabInput) { .type = ZAB_INPUT_DIVERGED });
        g_assert_cmpint(n->nodes[other].role, ==, ZAB_ROLE_LOOKING);
        net_settle(n);
        g_assert_cmpint(n->nodes[other].meta.membership, ==, ZAB_MEMBERSHIP_DAMAGED);
        net_run(n, 2 * SECOND);
        net_check_equal(n);
        g_assert_cmpuint(n->nodes[other].switches, ==, 1);
        g_assert_cmpint(n->nodes[other].meta.membership, ==, ZAB_MEMBERSHIP_MEMBER);
        net_free(n);
}

/* 2.14: history durable, then current_epoch, then ACK_NEWLEADER; and ACK never before the log. */
static void test_durable_first(void) {
        uint32_t leader, other;
        Net *n = led(0, &leader, &other);
        Node *node = &n->nodes[other];
        unsigned acks, newleader_acks;

        node_crash(n, other);
        node_crash(n, leader);
        net_run(n, 2 * SECOND);
        node_start(n, leader);
        net_run(n, 3 * SECOND);
        leader = net_leader(n);
        propose_many(n, leader, 4);
        node_start(n, other);
        newleader_acks = n->sent[ZAB_MESSAGE_ACK_NEWLEADER];
        node->slow_log = true;
        net_run(n, SECOND / 2);
        g_assert_cmpuint(zab_last(node->zab)->index, ==, 5);
        g_assert_cmpuint(node->meta.accepted_epoch, ==, 2);
        g_assert_cmpuint(node->meta.current_epoch, ==, 1);
        g_assert_cmpuint(node->meta_io_seq, ==, 0);             /* not even asked for */
        node->slow_meta = true;
        node_log_durable(n, other);
        net_settle(n);
        g_assert_cmpuint(node->meta_writing.current_epoch, ==, 2);
        g_assert_cmpuint(n->sent[ZAB_MESSAGE_ACK_NEWLEADER], ==, newleader_acks);
        node_meta_durable(n, other);
        g_assert_cmpuint(n->sent[ZAB_MESSAGE_ACK_NEWLEADER], ==, newleader_acks + 1);
        net_settle(n);
        g_assert_cmpint(node->role, ==, ZAB_ROLE_FOLLOWER);

        acks = n->sent[ZAB_MESSAGE_ACK];
        for (uint32_t sid = 1; sid <= 3; sid++)
                n->nodes[sid].slow_log = true;
        propose_many(n, leader, 1);
        g_assert_cmpuint(n->sent[ZAB_MESSAGE_ACK], ==, acks);
        node_log_durable(n, other);
        g_assert_cmpuint(n->sent[ZAB_MESSAGE_ACK], ==, acks + 1);
        net_settle(n);
        g_assert_cmpuint(zab_commit(n->nodes[leader].zab), ==, 5);      /* one of three; the leader's own does not count yet */
        node_log_durable(n, leader);
        g_assert_cmpuint(zab_commit(n->nodes[leader].zab), ==, 6);
        net_free(n);
}

/* A slow follower holds a window's worth, and nobody else up. */
static void test_window(void) {
        uint32_t leader, other;
        Net *n = net_new(3, 3);
        uint64_t sent = 0;

        n->window_bytes = 2000;
        for (uint32_t sid = 1; sid <= 3; sid++)
                node_start(n, sid);
        net_run(n, 3 * SECOND);
        leader = net_leader(n);
        other = leader % 3 + 1;
        n->nodes[other].slow_log = true;
        n->blocked[leader][other] = true;
        propose_many(n, leader, 500);
        for (GList *i = n->messages.head; i; i = i->next)
                sent += ((Envelope *) i->data)->message.entries_count;
        g_assert_cmpuint(sent, >, 0);
        g_assert_cmpuint(sent, <, 40);
        g_assert_cmpuint(zab_commit(n->nodes[leader].zab), ==, 501);
        n->blocked[leader][other] = false;
        n->nodes[other].slow_log = false;
        net_run(n, SECOND);
        net_check_equal(n);
        net_free(n);
}

/* 2.6: what does not belong to the present session is ignored. */
static void test_stale_session(void) {
        uint32_t leader, other;
        Net *n = led(0, &leader, &other);
        ZabSession s = zab_session(n->nodes[other].zab);
        ZabMessage m = { .type = ZAB_MESSAGE_ACK, .epoch = s.epoch, .session = s.session + 7, .index = 2 };
        ZabPeerState state;

        for (uint32_t sid = 1; sid <= 3; sid++)
                n->nodes[sid].slow_log = true;
        propose_many(n, leader, 1);
        node_log_durable(n, leader);
        net_forge(n, other, leader, &m);
        m.session = s.session;
        m.epoch = s.epoch - 1;
        net_forge(n, other, leader, &m);
        g_assert_cmpuint(zab_commit(n->nodes[leader].zab), ==, 1);
        g_assert_true(zab_peer(n->nodes[leader].zab, other, &state));
        g_assert_cmpuint(state.acked, ==, 1);
        g_assert_cmpuint(zab_session_member(n->nodes[leader].zab, &s), ==, other);

        /* The same for a follower: a commit of another session moves nothing. */
        node_log_durable(n, other);
        m = (ZabMessage) { .type = ZAB_MESSAGE_COMMIT, .epoch = s.epoch, .session = s.session + 7, .commit = 2 };
        net_forge(n, leader, other, &m);
        g_assert_cmpuint(zab_commit(n->nodes[other].zab), ==, 1);
        m.session = s.session;
        net_forge(n, leader, other, &m);
        g_assert_cmpuint(zab_commit(n->nodes[other].zab), ==, 2);
        net_free(n);
}

static void test_chain_checked(void) {
        uint32_t leader, other;
        Net *n = led(0, &leader, &other);
        g_autoptr(GBytes) payload = g_bytes_new("x", 1);

        for (unsigned field = 0; field < 6; field++) {
                ZabSession s = zab_session(n->nodes[other].zab);
                const ZabPosition *last = zab_last(n->nodes[other].zab);
                uint64_t index = last->index;
                unsigned closes = n->nodes[other].closes;
                ZabEntry e = { .index = index + 1, .zxid = zxid_make(s.epoch, (uint32_t) index), .prev_zxid = last->zxid,
                               .type = ZAB_ENTRY_REQUEST, .payload = payload };
                ZabMessage m = { .type = ZAB_MESSAGE_ENTRIES, .epoch = s.epoch, .session = s.session, .entries = &e,
                                 .entries_count = 1 };
                Id128 cluster;

                memset(&cluster, 0xc1, sizeof(cluster));
                if (field == 0)
                        e.index++;
                else if (field == 1)
                        e.prev_zxid--;
                else if (field == 2)
                        e.zxid++;
                else if (field == 3)
                        e.zxid = zxid_make(s.epoch + 1, 1);
                else if (field == 4)
                        e.type = ZAB_ENTRY_CONFIG;      /* whose payload is none */
                e.chain = zab_entry_chain(last->chain, &cluster, &e);
                if (field == 5)
                        e.chain.low ^= 1;
                net_forge(n, leader, other, &m);
                g_assert_cmpuint(n->nodes[other].closes, ==, closes + 1);
                g_assert_cmpuint(zab_last(n->nodes[other].zab)->index, ==, index);
                net_run(n, SECOND);
                net_check_equal(n);
        }
        net_free(n);
}

/* One that continues the log, and behind it one from before what this log still has. */
static void test_entries_jump_back(void) {
        uint32_t leader, other;
        Net *n = led(0, &leader, &other);
        g_autoptr(GBytes) payload = g_bytes_new("x", 1);
        const ZabPosition *last;
        ZabEntry e[2];
        ZabSession s;
        Id128 cluster;
        unsigned closes;
        uint64_t index;

        propose_many(n, leader, 8);
        net_settle(n);
        node_checkpoint(n, other);
        node_drop_log(n, other);
        s = zab_session(n->nodes[other].zab);
        last = zab_last(n->nodes[other].zab);
        index = last->index;
        closes = n->nodes[other].closes;
        memset(&cluster, 0xc1, sizeof(cluster));
        e[0] = (ZabEntry) { .index = index + 1, .zxid = last->zxid + 1, .prev_zxid = last->zxid, .type = ZAB_ENTRY_REQUEST, .payload = payload };
        e[0].chain = zab_entry_chain(last->chain, &cluster, &e[0]);
        e[1] = (ZabEntry) { .index = 3, .zxid = zxid_make(s.epoch, 2), .type = ZAB_ENTRY_REQUEST, .payload = payload };
        net_forge(n, leader, other, &(ZabMessage) { .type = ZAB_MESSAGE_ENTRIES, .epoch = s.epoch, .session = s.session, .entries = e,
                                                    .entries_count = 2 });
        g_assert_cmpuint(n->nodes[other].closes, ==, closes + 1);
        g_assert_cmpuint(zab_last(n->nodes[other].zab)->index, ==, index);
        net_run(n, SECOND);
        net_check_equal(n);
        net_free(n);
}

/* Whatever a peer sends, at whatever time: a closed connection at most. */
static void test_garbage(void) {
        Prng prng = { 4711 };

        for (unsigned round = 0; round < 300; round++) {
                uint32_t leader, other;
                Net *n = led(0, &leader, &other);
                g_autoptr(GBytes) bytes = g_bytes_new("\1\2\3", 3);
                ZabEntry entries[2] = { { .index = prng_below(&prng, 4), .payload = bytes, .type = prng_below(&prng, 4) },
                                        { .index = prng_below(&prng, 4), .payload = bytes } };
                ZabEpochEnd ends[2] = { { 0, 5 }, { 1, (uint32_t) prng_next(&prng) } };
                const uint64_t values[] = { 0, 1, 2, 3, prng_next(&prng), UINT64_MAX };

                for (unsigned i = 0; i < 30; i++) {
                        uint32_t from = (uint32_t) (1 + prng_below(&prng, 3)), to = from % 3 + 1;
                        ZabSession s = zab_session(n->nodes[from].zab);
                        ZabMessage m = { .type = (ZabMessageType) prng_below(&prng, _ZAB_MESSAGE_MAX + 2) };

                        if (s.session == 0)
                                s = zab_session(n->nodes[to].zab);
                        m.epoch = s.epoch;
                        m.session = s.session;
                        m.index = values[prng_below(&prng, 6)];
                        m.commit = values[prng_below(&prng, 6)];
                        m.time_usec = values[prng_below(&prng, 6)];
                        m.flag = prng_below(&prng, 2);
                        m.position = (ZabPosition) { .index = values[prng_below(&prng, 6)], .zxid = values[prng_below(&prng, 6)] };
                        m.config = prng_below(&prng, 2) ? bytes : NULL;
                        m.bytes = prng_below(&prng, 2) ? bytes : NULL;
                        m.entries = entries;
                        m.entries_count = (unsigned) prng_below(&prng, 3);
                        m.vote.accepted_epoch = (uint32_t) values[prng_below(&prng, 6)];
                        m.vote.last.zxid = values[prng_below(&prng, 6)];
                        m.vote.commit_index = values[prng_below(&prng, 6)];
                        m.vote.commit_zxid = values[prng_below(&prng, 6)];
                        m.sync = (ZabSyncRequest) { .last.index = values[prng_below(&prng, 6)], .ends = ends, .ends_count = 2,
                                                    .base_index = values[prng_below(&prng, 6)] };
                        net_forge(n, from, to, &m);
                        net_settle(n);
                        net_connect_all(n);
                        net_settle(n);
                }
                net_free(n);
        }
}

/* A large message is under way, and so nothing else comes: its bytes are a sign of life of who sends it, and of nothing more. */
static void test_alive(void) {
        Net *n = net_new(3, 3);
        uint64_t confirmed[4];
        uint32_t leader;

        for (uint32_t sid = 1; sid <= 3; sid++)
                node_start(n, sid);
        net_run(n, 4 * SECOND);
        leader = net_leader(n);
        for (uint32_t sid = 1; sid <= 3; sid++)
                confirmed[sid] = zab_confirmed_usec(n->nodes[sid].zab);

        net_isolate(n, leader, true);
        g_assert_cmpint(node_read(n, leader, 1), ==, 0);
        for (unsigned i = 0; i < 100; i++) {
                for (uint32_t sid = 1; sid <= 3; sid++)
                        if (sid != leader) {
                                node_step(n, sid, (ZabInput) { .type = ZAB_INPUT_ALIVE, .conn = n->conn[sid][leader] });
                                node_step(n, leader, (ZabInput) { .type = ZAB_INPUT_ALIVE, .conn = n->conn[sid][leader] });
                        }
                net_run(n, SECOND / 20);
                g_assert_cmpuint(net_leader(n), ==, leader);
        }
        for (uint32_t sid = 1; sid <= 3; sid++)
                g_assert_cmpuint(zab_confirmed_usec(n->nodes[sid].zab), <=, confirmed[sid] + SECOND / 10);
        g_assert_false(node_has_read(&n->nodes[leader], 1));

        /* Only the leader's messages are held up: what the others say meanwhile reaches it. */
        for (uint32_t sid = 1; sid <= 3; sid++)
                n->blocked[sid][leader] = false;
        for (unsigned i = 0; i < 100; i++) {
                for (uint32_t sid = 1; sid <= 3; sid++)
                        if (sid != leader)
                                node_step(n, sid, (ZabInput) { .type = ZAB_INPUT_ALIVE, .conn = n->conn[sid][leader] });
                net_run(n, SECOND / 20);
                g_assert_cmpuint(net_leader(n), ==, leader);
        }
        net_isolate(n, leader, true);
        net_run(n, 3 * SECOND);
        g_assert_cmpuint(net_leader(n), !=, leader);
        net_isolate(n, leader, false);
        net_run(n, 5 * SECOND);
        net_check_equal(n);
        net_free(n);
}

/* The same for one that is being brought up to date: neither gives the other up. */
static void test_alive_in_snapshot(void) {
        uint32_t leader, other;
        Net *n = led(1, &leader, &other);

        node_crash(n, other);
        propose_many(n, leader, 50);
        node_checkpoint(n, leader);
        node_drop_log(n, leader);
        n->blocked[leader][other] = true;
        node_start(n, other);
        net_connect_all(n);
        net_settle(n);
        while (n->nodes[other].chunks_in == 0) {
                g_assert_true(net_deliver(n, leader, other));
                net_settle(n);
        }
        for (unsigned i = 0; i < 400; i++) {
                node_step(n, other, (ZabInput) { .type = ZAB_INPUT_ALIVE, .conn = n->conn[other][leader] });
                net_run(n, SECOND / 20);
                g_assert_cmpint(n->nodes[other].role, ==, ZAB_ROLE_FOLLOWER_SYNC);
        }
        n->blocked[leader][other] = false;
        net_run(n, SECOND);
        g_assert_cmpuint(n->nodes[other].chunks_in, ==, 6);
        net_check_equal(n);
        net_free(n);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/zab-sync/diff", test_diff);
        g_test_add_func("/zab-sync/trunc", test_trunc);
        g_test_add_func("/zab-sync/snap", test_snap);
        g_test_add_func("/zab-sync/snap-behind", test_snap_behind);
        g_test_add_func("/zab-sync/snap-broken-off", test_snap_broken_off);
        g_test_add_func("/zab-sync/diverged", test_diverged);
        g_test_add_func("/zab-sync/durable-first", test_durable_first);
        g_test_add_func("/zab-sync/window", test_window);
        g_test_add_func("/zab-sync/stale-session", test_stale_session);
        g_test_add_func("/zab-sync/chain-checked", test_chain_checked);
        g_test_add_func("/zab-sync/entries-jump-back", test_entries_jump_back);
        g_test_add_func("/zab-sync/alive", test_alive);
        g_test_add_func("/zab-sync/alive-in-snapshot", test_alive_in_snapshot);
        g_test_add_func("/zab-sync/garbage", test_garbage);
        return g_test_run();
}
