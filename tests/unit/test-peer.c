/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Peer: members that get on with each other
 */

#include <errno.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "agent/net/socket.h"
#include "tests/unit/peer-fixture.h"

#define N(sid) (&test_nodes[sid])

static void test_pair(void) {
        nodes_begin();
        nodes_run(2);
        run_until(test_event, N(1)->conn[2] && N(2)->conn[1]);
        for (uint64_t i = 1; i <= 3000; i++) {
                g_assert_true(node_ping(N(1), 2, i));
                g_assert_true(node_ping(N(2), 1, i));
        }
        run_until(test_event, N(1)->received[2] == 3000 && N(2)->received[1] == 3000);
        g_assert_cmpuint(N(1)->ups, ==, 1);
        g_assert_cmpuint(N(1)->alarms->len, ==, 0);
        nodes_done();
}

static void test_status(void) {
        PeerStatus s, t;
        PeerMeshStatistics all;

        nodes_begin();
        nodes_run(2);
        s = node_status(N(2), 1);
        g_assert_false(s.connected);
        g_assert_null(s.address);
        run_until(test_event, N(1)->conn[2] && N(2)->conn[1]);
        for (uint64_t i = 1; i <= 10; i++)
                g_assert_true(node_ping(N(2), 1, i));
        g_assert_cmpuint(node_status(N(2), 1).queued_bytes, >, 0);
        run_until(test_event, N(1)->received[2] == 10);

        s = node_status(N(1), 2);
        t = node_status(N(2), 1);
        g_assert_true(s.connected);
        g_assert_cmpstr(s.name, ==, "host2");
        g_assert_cmpstr(t.address, ==, N(1)->address);
        g_assert_cmpuint(s.frames_in, ==, 10);
        g_assert_cmpuint(t.frames_out, ==, 10);
        g_assert_cmpuint(s.bytes_in, ==, t.bytes_out);
        g_assert_cmpuint(t.queued_bytes, ==, 0);
        g_assert_cmpuint(s.connections, ==, 1);
        g_assert_cmpuint(s.since_usec, >, 0);
        g_assert_false(peer_mesh_get_status(N(1)->mesh, 1, &s));
        g_assert_false(peer_mesh_get_status(N(1)->mesh, 200, &s));
        g_assert_false(peer_mesh_get_status(N(1)->mesh, 4000, &s));

        /* figures outlive the connection */
        node_stop(N(2));
        run_until(test_event, N(1)->downs == 1);
        s = node_status(N(1), 2);
        g_assert_false(s.connected);
        g_assert_cmpuint(s.frames_in, ==, 10);
        g_assert_cmpstr(s.error, ==, "closed by the other side");
        g_assert_cmpuint(s.error_usec, >=, s.since_usec);
        peer_mesh_get_statistics(N(1)->mesh, &all);
        g_assert_cmpuint(all.accepted, >=, 1);
        g_assert_cmpuint(all.pending, ==, 0);
        nodes_done();
}

static bool all_connected(void) {
        return N(1)->conn[2] && N(1)->conn[3] && N(2)->conn[1] && N(2)->conn[3] && N(3)->conn[1] && N(3)->conn[2];
}

static void test_three(void) {
        PeerMeshStatistics s;

        nodes_begin();
        nodes_run(3);
        run_until(test_event, all_connected());
        for (unsigned i = 0; i < 50; i++)       /* and nobody tries once more */
                g_assert_cmpint(sd_event_run(test_event, 1000), >=, 0);
        for (uint32_t sid = 1; sid <= 3; sid++) {
                g_assert_cmpuint(N(sid)->ups, ==, 2);
                g_assert_cmpuint(N(sid)->downs, ==, 0);
                peer_mesh_get_statistics(N(sid)->mesh, &s);
                g_assert_cmpuint(s.accepted, ==, 3 - sid);
                g_assert_cmpuint(s.pending, ==, 0);
        }
        nodes_done();
}

/* Nobody listens yet: it is tried again and again. */
static void test_late(void) {
        nodes_begin();
        node_start(1);
        node_stop(N(1));
        node_start(2);
        node_configure(N(2), 0);
        run_until(test_event, node_status(N(2), 1).error);
        node_start(1);
        node_configure(N(1), 0);
        run_until(test_event, N(2)->conn[1] && N(1)->conn[2]);
        nodes_done();
}

/* Whoever of the two closes: a new connection at once, with a new number. */
static void test_redial(void) {
        nodes_begin();
        nodes_run(2);
        for (unsigned round = 1; round <= 6; round++) {
                Node *n = N(1 + round % 2);
                uint64_t conn, other;
                gint64 begin;

                run_until(test_event, N(1)->conn[2] && N(2)->conn[1]);
                conn = n->conn[3 - n->options.sid];
                other = N(3 - n->options.sid)->conn[n->options.sid];
                peer_mesh_close(n->mesh, conn, "a new session");
                g_assert_cmpuint(n->conn[3 - n->options.sid], ==, conn);        /* not from inside */
                g_assert_false(node_ping(n, 3 - n->options.sid, 1));
                peer_mesh_close(n->mesh, conn, "again");
                begin = g_get_monotonic_time();
                run_until(test_event, N(1)->downs == round && N(2)->downs == round);
                run_until(test_event, N(1)->conn[2] && N(2)->conn[1]);
                g_assert_cmpuint(n->conn[3 - n->options.sid], !=, conn);
                g_assert_cmpuint(N(3 - n->options.sid)->conn[n->options.sid], !=, other);
                if (n == N(2))          /* the dialler knows that it was meant: 10 to 20 ms; with room for a busy machine */
                        g_assert_cmpint(g_get_monotonic_time() - begin, <, 1000000);
        }
        nodes_done();
}

/* Both ends are of the same connection, and it lives. */
static void settle(void) {
        const PeerMessage ack = { .is_zab = true, .zab = { .type = ZAB_MESSAGE_ACK } };

        do {
                run_until(test_event, N(1)->conn[2] && N(2)->conn[1] && N(1)->ups == N(1)->downs + 1);
                (void) peer_mesh_send(N(1)->mesh, N(1)->conn[2], &ack);
                run_until(test_event, N(2)->others > 0 || !N(1)->conn[2] || !N(2)->conn[1]);
        } while (N(2)->others == 0);
}

static void test_close_inside(void) {
        nodes_begin();
        N(1)->closes_in_up = true;
        nodes_run(2);
        run_until(test_event, N(1)->ups >= 3 && N(2)->downs >= 2);
        N(1)->closes_in_up = false;
        N(1)->closes_in_message = true;
        settle();
        for (unsigned i = 1; i <= 10; i++)
                (void) node_ping(N(2), 1, i);
        run_until(test_event, N(1)->received[2] == 1 && !N(1)->conn[2]);
        g_assert_cmpstr(N(1)->reason, ==, "heard enough");
        N(1)->closes_in_message = false;
        settle();
        N(1)->admits_nobody_in_message = true;
        for (unsigned i = 1; i <= 10; i++)
                (void) node_ping(N(2), 1, i);
        run_until(test_event, !N(1)->conn[2]);
        nodes_done();
}

/* A removed member is gone within the call, and comes not back. */
static void test_removed(void) {
        PeerStatus s;

        nodes_begin();
        nodes_run(3);
        run_until(test_event, all_connected());
        node_configure(N(1), 2);
        g_assert_false(node_ping(N(1), 2, 1));
        g_assert_true(node_ping(N(1), 3, 1));
        g_assert_cmpuint(N(1)->downs, ==, 0);
        run_until(test_event, N(1)->downs == 1 && !N(1)->conn[2]);
        g_assert_false(peer_mesh_get_status(N(1)->mesh, 2, &s));
        run_until(test_event, node_status(N(2), 1).error && !N(2)->conn[1]);
        for (unsigned i = 0; i < 100; i++)
                g_assert_cmpint(sd_event_run(test_event, 2000), >=, 0);
        g_assert_cmpuint(N(1)->ups, ==, 2);

        /* and back in */
        node_configure(N(1), 0);
        run_until(test_event, all_connected());
        nodes_done();
}

/* The pending configuration counts as much as the committed one. */
static void test_pending(void) {
        ZabConfig *without, *with;

        nodes_begin();
        nodes_run(3);
        run_until(test_event, all_connected());
        without = nodes_config(2, 9);
        with = nodes_config(0, 1);
        peer_mesh_set_config(N(1)->mesh, with, without);
        peer_mesh_set_config(N(1)->mesh, without, with);
        g_assert_true(node_ping(N(1), 2, 1));
        peer_mesh_set_config(N(1)->mesh, without, without);
        g_assert_false(node_ping(N(1), 2, 2));
        zab_config_unref(with);
        zab_config_unref(without);
        nodes_done();
}

/* Old key, both keys, new key: nothing breaks but by the last step. */
static void test_rotation(void) {
        NetKey *new_key = net_key_new();
        uint8_t pins[2 * NET_PIN_BYTES];
        ZabConfigMember two[2];

        nodes_begin();
        nodes_run(2);
        run_until(test_event, N(1)->conn[2] && N(2)->conn[1]);
        memcpy(pins, net_key_pin(N(2)->key), NET_PIN_BYTES);
        memcpy(pins + NET_PIN_BYTES, net_key_pin(new_key), NET_PIN_BYTES);
        for (unsigned i = 0; i < 2; i++)
                two[i] = (ZabConfigMember) { i + 1, N(i + 1)->options.disk_id, ZAB_MEMBER_VOTER, N(i + 1)->name, N(i + 1)->address,
                                             net_key_pin(N(i + 1)->key), NET_PIN_BYTES };
        two[1].pin = pins;
        two[1].pin_size = sizeof(pins);
        peer_mesh_set_directory(N(1)->mesh, two, 2);
        g_assert_true(node_ping(N(1), 2, 1));
        peer_mesh_set_key(N(2)->mesh, new_key);
        peer_mesh_close(N(2)->mesh, N(2)->conn[1], "a new key");
        run_until(test_event, N(1)->ups == 2);

        two[1].pin = pins + NET_PIN_BYTES;
        two[1].pin_size = NET_PIN_BYTES;
        peer_mesh_set_directory(N(1)->mesh, two, 2);
        g_assert_true(node_ping(N(1), 2, 1));
        two[1].pin = pins;
        peer_mesh_set_directory(N(1)->mesh, two, 2);
        g_assert_false(node_ping(N(1), 2, 2));          /* it came with the other one */
        net_key_unref(new_key);
        nodes_done();
}

/* The largest frame passes, with pings before and after. */
static void test_large(void) {
        const size_t size = 2 * 1024 * 1024;
        g_autofree uint8_t *data = g_malloc0(size);
        g_autoptr(GBytes) payload = g_bytes_new(data, size);
        const PeerMessage m = { .member = { .type = MEMBER_MESSAGE_FORWARD, .payload = payload } };

        nodes_begin();
        nodes_run(2);
        run_until(test_event, N(1)->conn[2] && N(2)->conn[1]);
        g_assert_true(node_ping(N(2), 1, 1));
        for (unsigned i = 0; i < 5; i++)
                g_assert_true(peer_mesh_send(N(2)->mesh, N(2)->conn[1], &m));
        g_assert_true(node_ping(N(2), 1, 2));
        g_assert_true(node_ping(N(1), 2, 1));
        run_until(test_event, N(1)->received[2] == 2 && N(2)->received[1] == 1);
        g_assert_cmpuint(N(1)->bytes, ==, 5 * size);
        nodes_done();
}

static uint64_t event_usec(void) {
        uint64_t now;

        g_assert_cmpint(sd_event_now(test_event, CLOCK_BOOTTIME, &now), >=, 0);
        return now;
}

/* A piece of a frame arrives, and some milliseconds go by. */
static void drip(Fake *f, const uint8_t *data, size_t size) {
        uint64_t before = node_status(N(1), 2).bytes_in, begin = event_usec();

        fake_write(f, data, size);
        run_until(test_event, node_status(N(1), 2).bytes_in >= before + size || N(1)->downs > 0);
        run_until(test_event, event_usec() - begin >= 10000);
}

/* A large frame that comes in drops, over some seconds, and a ping behind it: no silence in between, and no more noise than
 * told, by the clock that the mesh goes by.  The listener may close it then. */
static void test_slow(void) {
        const size_t size = 400 * 1000, drop = 4000;
        g_autofree uint8_t *data = g_malloc0(size);
        g_autoptr(GBytes) payload = g_bytes_new(data, size);
        const PeerMessage m = { .member = { .type = MEMBER_MESSAGE_FORWARD, .payload = payload } };
        g_auto(Writer) w = WRITER_INIT;
        uint64_t begin, earlier, at_alive;
        unsigned seen = 0;
        Fake f;

        nodes_begin();
        N(1)->options.alive_usec = 50000;
        node_start(1);
        node_configure(N(1), 0);
        fake_begin(&f, N(1), N(2), false);
        fake_up(&f, N(1));
        frame_encode(&w, &m);
        begin = at_alive = event_usec();
        for (size_t at = 0; at + drop < w.size; at += drop) {
                earlier = event_usec();
                drip(&f, w.data + at, drop);
                /* It came in after `earlier`: it was due to be told by then, or was told. */
                g_assert_true(N(1)->alive > seen || earlier - at_alive < 50000);
                if (N(1)->alive > seen)
                        at_alive = event_usec();
                seen = N(1)->alive;
        }
        g_assert_cmpuint(N(1)->alive, >=, 5);
        g_assert_cmpuint(N(1)->alive, <=, (event_usec() - begin) / 50000 + 1);
        fake_write(&f, w.data + w.size - 1 - (w.size - 1) % drop, 1 + (w.size - 1) % drop);
        fake_ping(&f, 1);
        run_until(test_event, N(1)->received[2] == 1);
        g_assert_cmpuint(N(1)->bytes, ==, size);

        N(1)->closes_in_message = true;
        for (size_t at = 0; N(1)->downs == 0; at += drop) {
                g_assert_cmpuint(at + drop, <, w.size);
                drip(&f, w.data + at, drop);
        }
        run_until(test_event, f.closed);
        fake_done(&f);
        nodes_done();
}

/* One peer with much to say: the loop gets its turn in between. */
static void test_turns(void) {
        uint64_t most = 0;

        nodes_begin();
        nodes_run(2);
        run_until(test_event, N(1)->conn[2] && N(2)->conn[1]);
        for (uint64_t i = 1; i <= 20000; i++)
                g_assert_true(node_ping(N(2), 1, i));
        while (N(1)->received[2] < 20000) {
                uint64_t before = N(1)->received[2];

                g_assert_cmpint(sd_event_run(test_event, 100000), >=, 0);
                most = MAX(most, N(1)->received[2] - before);
        }
        g_assert_cmpuint(most, <=, 256);
        g_assert_cmpuint(most, >=, 128);
        nodes_done();
}

/* It never reads: what is sent to it is bounded, and it goes. */
static void test_output_max(void) {
        g_autoptr(GBytes) payload = g_bytes_new_take(g_malloc0(65536), 65536);
        const PeerMessage m = { .member = { .type = MEMBER_MESSAGE_FORWARD, .payload = payload } };
        bool fits = true;
        Fake f;

        nodes_begin();
        N(1)->options.output_max = 1024 * 1024;
        node_start(1);
        node_configure(N(1), 0);
        fake_begin(&f, N(1), N(2), false);
        f.deaf = true;
        fake_up(&f, N(1));
        for (unsigned i = 0; i < 4096 && fits; i++) {
                fits = peer_mesh_send(N(1)->mesh, N(1)->conn[2], &m);
                g_assert_cmpuint(node_status(N(1), 2).queued_bytes, <=, 1024 * 1024);
                if (i % 8 == 0)
                        g_assert_cmpint(sd_event_run(test_event, 0), >=, 0);
        }
        g_assert_false(fits);
        run_until(test_event, N(1)->downs == 1);
        g_assert_cmpstr(N(1)->reason, ==, "it does not read what it is sent");
        fake_done(&f);
        nodes_done();
}

/* Where it is reached may change, or be nowhere. */
static void test_listen(void) {
        NetAddress any;

        nodes_begin();
        nodes_run(2);
        run_until(test_event, N(1)->conn[2] && N(2)->conn[1]);
        g_assert_cmpint(peer_mesh_listen(N(1)->mesh, NULL), ==, 0);
        g_assert_null(peer_mesh_address(N(1)->mesh));
        g_assert_true(node_ping(N(1), 2, 1));
        peer_mesh_close(N(2)->mesh, N(2)->conn[1], "try again");
        run_until(test_event, N(2)->downs == 1 && node_status(N(2), 1).error &&
                  strstr(node_status(N(2), 1).error, "refused"));

        g_assert_true(net_address_parse("127.0.0.1:0", &any));
        g_assert_cmpint(peer_mesh_listen(N(1)->mesh, &any), ==, 0);
        g_free(N(1)->address);
        N(1)->address = net_address_to_string(peer_mesh_address(N(1)->mesh));
        node_configure(N(2), 3);        /* another version: it is not compared */
        run_until(test_event, N(1)->conn[2] && N(2)->conn[1]);
        g_assert_true(net_address_parse(N(2)->address, &any));
        g_assert_cmpint(peer_mesh_listen(N(1)->mesh, &any), ==, -EADDRINUSE);
        g_assert_nonnull(peer_mesh_address(N(1)->mesh));
        nodes_done();
}

/* At the address that the higher one knows nobody answers: the lower one comes to it. */
static void moved(const char *old_address) {
        g_autofree char *address = NULL;

        nodes_begin();
        N(1)->options.patience_usec = 100000;
        node_start(1);
        node_start(2);
        node_configure(N(1), 0);
        address = g_steal_pointer(&N(1)->address);
        N(1)->address = g_strdup(old_address);
        node_configure(N(2), 3);
        for (unsigned round = 1; round <= 3; round++) {
                run_until(test_event, N(1)->conn[2] && N(2)->conn[1]);
                g_assert_true(node_ping(N(1), 2, 1));
                g_assert_true(node_ping(N(2), 1, 1));
                run_until(test_event, N(1)->received[2] == 1 && N(2)->received[1] == 1);
                peer_mesh_close(N(2)->mesh, N(2)->conn[1], "and once more");
                run_until(test_event, N(1)->downs == round && N(2)->downs == round);
        }
        g_assert_cmpuint(N(1)->alarms->len + N(2)->alarms->len, ==, 0);
        nodes_done();
}

static void test_moved(void) {
        moved("127.0.0.1:1");
}

/* Its own attempt hangs there: that is none yet that could win. */
static void test_moved_silent(void) {
        g_autofree char *text = NULL;
        NetAddress any, silent;
        int fd;

        g_assert_true(net_address_parse("127.0.0.1:0", &any));
        g_assert_cmpint(net_listen(&any, &fd, &silent), ==, 0);
        text = net_address_to_string(&silent);
        moved(text);
        close(fd);
}

/* Both dial, at once or nearly: one connection comes of it, and it stays. */
static void test_both_dial(void) {
        nodes_begin();
        N(1)->options.patience_usec = 20000;
        nodes_run(2);
        for (unsigned round = 1; round <= 40; round++) {
                unsigned ups;

                settle();
                ups = N(1)->ups;
                for (unsigned i = 0; i < 20; i++)
                        g_assert_cmpint(sd_event_run(test_event, 1000), >=, 0);
                g_assert_cmpuint(N(1)->ups, ==, ups);
                g_assert_cmpuint(N(1)->downs, ==, ups - 1);
                g_assert_cmpuint(N(2)->ups, ==, N(2)->downs + 1);
                peer_mesh_close(N(1 + round % 2)->mesh, N(1 + round % 2)->conn[2 - round % 2], "a new session");
                run_until(test_event, N(1)->downs == ups);
        }
        g_assert_cmpuint(N(1)->alarms->len + N(2)->alarms->len, ==, 0);
        nodes_done();
}

static void test_no_address(void) {
        nodes_begin();
        node_start(1);
        node_start(2);
        g_free(N(1)->address);
        N(1)->address = g_strdup("host1.example:2890");
        node_configure(N(2), 0);
        run_until(test_event, node_status(N(2), 1).error);
        g_assert_nonnull(strstr(node_status(N(2), 1).error, "literal"));
        nodes_done();
}

int main(int argc, char *argv[]) {
        int r;

        g_test_init(&argc, &argv, NULL);
        g_assert_cmpint(sd_event_new(&test_event), >=, 0);
        g_test_add_func("/peer/pair", test_pair);
        g_test_add_func("/peer/status", test_status);
        g_test_add_func("/peer/three", test_three);
        g_test_add_func("/peer/late", test_late);
        g_test_add_func("/peer/redial", test_redial);
        g_test_add_func("/peer/close-inside", test_close_inside);
        g_test_add_func("/peer/removed", test_removed);
        g_test_add_func("/peer/pending", test_pending);
        g_test_add_func("/peer/rotation", test_rotation);
        g_test_add_func("/peer/large", test_large);
        g_test_add_func("/peer/slow", test_slow);
        g_test_add_func("/peer/turns", test_turns);
        g_test_add_func("/peer/output-max", test_output_max);
        g_test_add_func("/peer/listen", test_listen);
        g_test_add_func("/peer/moved", test_moved);
        g_test_add_func("/peer/moved-silent", test_moved_silent);
        g_test_add_func("/peer/both-dial", test_both_dial);
        g_test_add_func("/peer/no-address", test_no_address);
        r = g_test_run();
        sd_event_unref(test_event);
        return r;
}
