/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Peer: who is kept out, and what they are told
 */

#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "agent/net/socket.h"
#include "tests/unit/peer-fixture.h"

#define N(sid) (&test_nodes[sid])

/* Two that cannot get on: nobody is up, and both sides say why. */
static void expect_refusal(const char *part, const char *other_part) {
        run_until(test_event, node_alarmed(N(1), part) && node_alarmed(N(2), part));
        g_assert_true(node_alarmed(N(1), other_part) && node_alarmed(N(2), other_part));
        run_until(test_event, node_status(N(2), 1).error && strstr(node_status(N(2), 1).error, part));
        g_assert_cmpuint(N(1)->ups + N(2)->ups, ==, 0);
        nodes_done();
}

static void test_cluster(void) {
        nodes_begin();
        N(2)->options.cluster_id = (Id128) { "other" };
        nodes_run(2);
        expect_refusal("74686520636c7573746572", "6f74686572");         /* both ids */
}

static void test_versions(void) {
        nodes_begin();
        g_autofree char *later = g_strdup_printf("versions %d to %d", FRAME_VERSION + 1, FRAME_VERSION + 6);
        g_autofree char *ours = g_strdup_printf("%d to %d", FRAME_VERSION, FRAME_VERSION);

        N(2)->options.version_min = FRAME_VERSION + 1;
        N(2)->options.version_max = FRAME_VERSION + 6;
        nodes_run(2);
        expect_refusal(later, ours);
}

static void test_feature_level(void) {
        nodes_begin();
        node_start(1);
        node_start(2);
        peer_mesh_set_required(N(1)->mesh, 3);
        node_configure(N(1), 0);
        node_configure(N(2), 0);
        expect_refusal("feature level 3", "no more than 1");
}

/* The lower one may be the old one, too. */
static void test_feature_level_of_lower(void) {
        nodes_begin();
        node_start(1);
        node_start(2);
        peer_mesh_set_required(N(2)->mesh, 2);
        node_configure(N(1), 0);
        node_configure(N(2), 0);
        expect_refusal("feature level 2", "no more than 1");
}

static void test_config(void) {
        ZabConfig *c;

        nodes_begin();
        node_start(1);
        node_start(2);
        node_configure(N(1), 0);
        c = nodes_config(3, 1);                 /* the same version, another content */
        peer_mesh_set_config(N(2)->mesh, c, NULL);
        zab_config_unref(c);
        expect_refusal("another configuration", "configuration 1");
}

/* What a fake says about itself, and what it is told. */
typedef void (*Lie)(Fake *f);

static void expect_lie_refused(uint32_t key_of, Lie lie, const char *part, const char *other_part) {
        g_autofree char *text = NULL;
        Fake f;

        nodes_begin();
        node_start(2);
        node_configure(N(2), 0);
        fake_begin(&f, N(2), N(key_of), true);
        lie(&f);
        fake_hello(&f);
        run_until(test_event, f.closed);
        text = fake_leave(&f);
        g_assert_nonnull(text);
        g_assert_nonnull(strstr(text, part));
        g_assert_nonnull(strstr(text, other_part));
        g_assert_true(node_alarmed(N(2), part) && node_alarmed(N(2), other_part));
        g_assert_false(fake_has(&f, FRAME_TYPE_HELLO));
        g_assert_cmpuint(N(2)->ups, ==, 0);
        g_assert_cmpmem(f.pin, NET_PIN_BYTES, net_key_pin(N(2)->key), NET_PIN_BYTES);
        fake_done(&f);
        nodes_done();
}

static void claim_sid_1(Fake *f) {
        f->hello.sid = 1;
        f->hello.disk_id = N(1)->options.disk_id;
}

static void claim_old_disk(Fake *f) {
        f->hello.disk_id = (Id128) { "long gone" };
}

static void claim_own_sid(Fake *f) {
        f->hello.sid = 2;
}

static void test_other_sid(void) {
        expect_lie_refused(3, claim_sid_1, "says it is member 1", "that of member 3 (host3)");
}

static void test_own_sid(void) {
        expect_lie_refused(3, claim_own_sid, "says it is member 2", "that of member 3 (host3)");
}

static void test_old_disk(void) {
        expect_lie_refused(3, claim_old_disk, "6c6f6e6720676f6e65", "6469736b2033");
}

/* The lower one may dial, too, but there is one connection. */
static void test_direction(void) {
        Fake f, g;

        nodes_begin();
        nodes_run(2);
        run_until(test_event, N(1)->conn[2] && N(2)->conn[1]);
        node_stop(N(1));
        run_until(test_event, N(2)->downs == 1);
        fake_begin(&f, N(2), N(1), false);
        fake_up(&f, N(2));

        /* another one of the same run: it has given up the first */
        fake_begin(&g, N(2), N(1), false);
        fake_up(&g, N(2));
        run_until(test_event, f.closed);
        g_assert_cmpuint(N(2)->downs, ==, 2);
        g_assert_cmpuint(N(2)->alarms->len, ==, 0);
        fake_done(&f);
        fake_done(&g);
        nodes_done();
}

/* Whoever has a key that nobody has listed is told so: it may be a member that was removed while it was off. */
static void test_stranger(void) {
        g_autofree char *text = NULL;
        Node stranger = { .options = { .sid = 3 }, .key = net_key_new(), .name = "host3" };
        PeerMeshStatistics s;
        Fake f;

        nodes_begin();
        node_start(1);
        node_configure(N(1), 0);
        stranger.options = N(3)->options;
        fake_begin(&f, N(1), &stranger, false);
        run_until(test_event, f.closed);
        text = fake_leave(&f);
        g_assert_nonnull(text);
        g_assert_nonnull(strstr(text, "of no member of this ensemble"));
        g_assert_false(fake_has(&f, FRAME_TYPE_HELLO));
        g_assert_true(node_alarmed(N(1), "key of no member"));
        peer_mesh_get_statistics(N(1)->mesh, &s);
        g_assert_cmpuint(s.strangers, ==, 1);
        g_assert_cmpuint(s.joins, ==, 0);
        g_assert_cmpuint(N(1)->ups, ==, 0);
        fake_done(&f);
        net_key_unref(stranger.key);
        nodes_done();
}

/* One that was removed while it was off hears of it when it comes back; it has the old configuration. */
static void test_removed_meanwhile(void) {
        nodes_begin();
        N(1)->options.patience_usec = 50000;
        node_start(1);
        node_start(2);
        node_configure(N(1), 2);
        node_configure(N(2), 0);
        run_until(test_event, node_alarmed(N(2), "of no member of this ensemble"));
        g_assert_cmpint(N(2)->priority, <=, LOG_ERR);
        run_until(test_event, node_status(N(2), 1).error && strstr(node_status(N(2), 1).error, "of no member of this ensemble"));
        nodes_done();

        /* the lowest, too, whom the others used to dial */
        nodes_begin();
        N(1)->options.patience_usec = 50000;
        node_start(1);
        node_start(2);
        node_configure(N(2), 1);
        node_configure(N(1), 0);
        run_until(test_event, node_alarmed(N(1), "of no member of this ensemble"));
        nodes_done();
}

/* Somebody on another member's host keeps a crowd of connections open and says nothing: the member gets in, and the journal has it. */
static void test_crowd(void) {
        int fds[200];
        gint64 begin;

        nodes_begin();
        N(1)->options.patience_usec = 60000000;
        node_start(1);
        node_start(2);
        node_configure(N(1), 0);
        for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
                g_assert_cmpint(net_dial(peer_mesh_address(N(1)->mesh), &fds[i]), ==, 0);
                if (i % 50 == 49)
                        for (unsigned j = 0; j < 20; j++)
                                g_assert_cmpint(sd_event_run(test_event, 1000), >=, 0);
        }
        begin = g_get_monotonic_time();
        node_configure(N(2), 0);
        run_until(test_event, N(1)->conn[2] && N(2)->conn[1]);
        g_assert_cmpint(g_get_monotonic_time() - begin, <, 3000000);    /* the crowd's patience is 5 s */
        g_assert_true(node_alarmed(N(1), "that do not say who they are"));
        g_assert_cmpuint(N(1)->alarms->len, ==, 1);
        for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++)
                close(fds[i]);
        nodes_done();
}

/* At the address of a member is somebody else. */
static void test_other_server(void) {
        NetKey *key = net_key_new(), *key_of_1;

        nodes_begin();
        node_start(2);
        key_of_1 = N(1)->key;
        N(1)->key = key;
        node_start(1);
        node_configure(N(1), 0);
        N(1)->key = key_of_1;
        node_configure(N(2), 0);
        run_until(test_event, node_alarmed(N(2), "the address of member 1 (host1)"));
        run_until(test_event, node_status(N(2), 1).error && strstr(node_status(N(2), 1).error, "not welcome"));
        g_assert_cmpuint(N(1)->ups + N(2)->ups, ==, 0);
        nodes_done();
        net_key_unref(key);
}

/* Says nothing, or half of it: not for long. */
static void test_silent(void) {
        Fake f, g;

        nodes_begin();
        N(1)->options.hello_usec = 100000;
        node_start(1);
        node_configure(N(1), 0);
        fake_begin(&f, N(1), N(2), true);
        fake_begin(&g, N(1), N(3), false);
        run_until(test_event, f.closed && g.closed);
        g_assert_true(fake_has(&g, FRAME_TYPE_HELLO));
        g_assert_nonnull(strstr(node_status(N(1), 2).error, "in time"));
        g_assert_nonnull(strstr(node_status(N(1), 3).error, "in time"));
        g_assert_cmpuint(N(1)->ups, ==, 0);
        fake_done(&f);
        fake_done(&g);
        nodes_done();
}

static const uint8_t oversize[] = { 1, 0, 0x40, 0, ZAB_MESSAGE_ENTRIES, 0, 0, 0 };
static const uint8_t unknown_type[] = { 12, 0, 0, 0, 200, 0, 0, 0 };
static const uint8_t malformed[] = { 3, 0, 0, 0, ZAB_MESSAGE_PING, 0, 0, 0, 1, 2, 3 };
static const uint8_t second_hello[] = { 0, 0, 0, 0, FRAME_TYPE_HELLO, 0, 0, 0 };

static void banned(const uint8_t *data, size_t size) {
        Fake f, g;

        nodes_begin();
        N(1)->options.malformed_ban_usec = 300000;
        node_start(1);
        node_configure(N(1), 0);
        for (unsigned round = 1; round <= 2; round++) {
                gint64 begin;

                fake_begin(&f, N(1), N(2), false);
                fake_up(&f, N(1));
                fake_ping(&f, 1);
                fake_write(&f, data, size);
                fake_ping(&f, 2);
                begin = g_get_monotonic_time();
                run_until(test_event, N(1)->downs == round);
                g_assert_cmpuint(N(1)->received[2], ==, 1);
                g_assert_cmpuint(node_status(N(1), 2).malformed, ==, round);
                g_assert_cmpuint(node_status(N(1), 2).banned_until_usec, >, 0);
                g_assert_true(node_alarmed(N(1), round == 1 ? "kept out for 0.3 s" : "kept out for 0.6 s"));

                fake_begin(&g, N(1), N(2), false);
                run_until(test_event, g.closed);
                g_assert_cmpuint(g.received->len, ==, 0);
                run_until(test_event, node_status(N(1), 2).banned_until_usec == 0);
                g_assert_cmpint(g_get_monotonic_time() - begin, >=, round * 290000);
                fake_done(&g);
                fake_done(&f);
        }
        nodes_done();
}

static void test_oversize(void) {
        banned(oversize, sizeof(oversize));
}

static void test_unknown_type(void) {
        banned(unknown_type, sizeof(unknown_type));
}

static void test_malformed(void) {
        banned(malformed, sizeof(malformed));
}

static void test_second_hello(void) {
        banned(second_hello, sizeof(second_hello));
}

/* Before the two have agreed nothing but the hello is read, were it well formed. */
static void test_too_early(void) {
        Fake f;

        nodes_begin();
        node_start(1);
        node_configure(N(1), 0);
        fake_begin(&f, N(1), N(2), false);
        fake_ping(&f, 1);
        fake_agree(&f);
        run_until(test_event, f.closed);
        g_assert_cmpuint(N(1)->ups, ==, 0);
        g_assert_cmpuint(node_status(N(1), 2).malformed, ==, 1);
        fake_done(&f);
        nodes_done();
}

static void begin_clones(Fake *f, Fake *g) {
        nodes_begin();
        N(1)->options.hold_usec = 200000;
        N(1)->options.clone_ban_usec = 300000;
        node_start(1);
        node_configure(N(1), 0);
        fake_begin(f, N(1), N(2), false);
        fake_up(f, N(1));
        fake_begin(g, N(1), N(2), true);
}

/* A copy of the machine: both speak. */
static void test_clone(void) {
        Fake f, g;

        begin_clones(&f, &g);
        g.hello.incarnation = (Id128) { "two" };
        fake_hello(&g);
        run_until(test_event, g.met);
        for (uint64_t i = 1; !f.closed; i++) {
                fake_ping(&f, i);
                run_until(test_event, f.closed || N(1)->received[2] >= i);
                g_assert_cmpuint(i, <, 1000000);
        }
        run_until(test_event, g.closed && N(1)->downs == 1);
        g_assert_false(fake_has(&g, FRAME_TYPE_HELLO));
        g_assert_true(node_alarmed(N(1), "runs twice with the same disk"));
        g_assert_cmpint(N(1)->priority, ==, LOG_CRIT);
        g_assert_cmpuint(node_status(N(1), 2).banned_until_usec, >, 0);
        fake_done(&f);
        fake_done(&g);

        fake_begin(&f, N(1), N(2), false);
        run_until(test_event, f.closed);
        g_assert_cmpuint(N(1)->ups, ==, 1);
        fake_done(&f);
        nodes_done();
}

/* A machine that lost its power and came back: the old one is silent for ever. */
static void test_restart(void) {
        gint64 begin;
        Fake f, g;

        begin_clones(&f, &g);
        g.hello.incarnation = (Id128) { "two" };
        begin = g_get_monotonic_time();
        fake_hello(&g);
        fake_up(&g, N(1));
        g_assert_cmpint(g_get_monotonic_time() - begin, >=, 190000);
        g_assert_cmpuint(N(1)->downs, ==, 1);
        g_assert_nonnull(strstr(N(1)->reason, "newer run"));
        run_until(test_event, f.closed);
        fake_ping(&g, 1);
        run_until(test_event, N(1)->received[2] == 1);
        fake_done(&f);

        /* but the one thought dead is not */
        fake_begin(&f, N(1), N(2), false);
        run_until(test_event, f.closed && g.closed);
        g_assert_true(node_alarmed(N(1), "runs twice"));
        fake_done(&f);
        fake_done(&g);
        nodes_done();
}

/* The old connection ends while the new one waits: it need not wait any longer. */
static void test_restart_seen(void) {
        Fake f, g;

        begin_clones(&f, &g);
        g.hello.incarnation = (Id128) { "two" };
        fake_hello(&g);
        run_until(test_event, g.met);
        f.stream = net_stream_free(f.stream);
        fake_up(&g, N(1));
        g_assert_false(node_alarmed(N(1), "twice"));
        fake_done(&f);
        fake_done(&g);
        nodes_done();
}

/* Three runs in a moment: the second waits when the first ends, and the third comes before its turn. */
static void test_restart_twice(void) {
        Fake f, g, h;

        begin_clones(&f, &g);
        fake_begin(&h, N(1), N(2), true);
        g.hello.incarnation = (Id128) { "two" };
        h.hello.incarnation = (Id128) { "three" };
        run_until(test_event, g.met && h.met);
        fake_hello(&g);
        for (unsigned i = 0; i < 20; i++)
                g_assert_cmpint(sd_event_run(test_event, 1000), >=, 0);
        fake_hello(&h);
        f.stream = net_stream_free(f.stream);
        fake_up(&h, N(1));
        g_assert_false(fake_has(&g, FRAME_TYPE_HELLO));
        g.stream = net_stream_free(g.stream);
        for (unsigned i = 0; i < 20; i++) {
                fake_ping(&h, i + 1);
                run_until(test_event, N(1)->received[2] == i + 1);
                g_usleep(15000);
        }
        g_assert_cmpuint(N(1)->alarms->len, ==, 0);
        fake_done(&f);
        fake_done(&g);
        fake_done(&h);
        nodes_done();
}

/* A copy of a lower member dials, too. */
static void test_clone_of_lower(void) {
        Fake f;

        nodes_begin();
        N(2)->options.hold_usec = 200000;
        nodes_run(2);
        run_until(test_event, N(1)->conn[2] && N(2)->conn[1]);
        fake_begin(&f, N(2), N(1), false);
        for (uint64_t i = 1; !f.closed; i++) {
                (void) node_ping(N(1), 2, i);
                run_until(test_event, f.closed || N(2)->received[1] >= i);
        }
        g_assert_true(node_alarmed(N(2), "Member 1 (host1) runs twice with the same disk"));
        g_assert_cmpint(N(2)->priority, ==, LOG_CRIT);
        fake_done(&f);
        nodes_done();
}

static void test_same_run(void) {
        Fake f, g;

        begin_clones(&f, &g);
        fake_hello(&g);
        fake_up(&g, N(1));
        run_until(test_event, f.closed);
        g_assert_cmpuint(N(1)->downs, ==, 1);
        g_assert_cmpuint(N(1)->alarms->len, ==, 0);
        fake_done(&f);
        fake_done(&g);
        nodes_done();
}

/* The same complaint is made once, and all of them together are not too many. */
static void test_alarms(void) {
        PeerMeshStatistics s;
        Fake f, g;

        nodes_begin();
        node_start(2);
        node_configure(N(2), 0);
        for (unsigned i = 0; i < 30; i++) {
                fake_begin(&f, N(2), N(3), true);
                f.hello.disk_id.bytes[0] = (uint8_t) i;
                fake_hello(&f);
                run_until(test_event, f.closed);
                fake_done(&f);
        }
        g_assert_cmpuint(N(2)->alarms->len, ==, 20);
        peer_mesh_get_statistics(N(2)->mesh, &s);
        g_assert_cmpuint(s.alarms_left_out, ==, 10);

        /* what is critical is said at all events */
        fake_begin(&f, N(2), N(3), false);
        fake_up(&f, N(2));
        fake_begin(&g, N(2), N(3), true);
        g.hello.incarnation = (Id128) { "two" };
        fake_hello(&g);
        for (uint64_t i = 1; !f.closed; i++) {
                fake_ping(&f, i);
                run_until(test_event, f.closed || N(2)->received[3] >= i);
        }
        g_assert_true(node_alarmed(N(2), "runs twice"));
        fake_done(&f);
        fake_done(&g);
        nodes_done();

        nodes_begin();
        node_start(2);
        node_configure(N(2), 0);
        for (unsigned i = 0; i < 5; i++) {
                fake_begin(&f, N(2), N(3), true);
                f.hello.disk_id.bytes[0] = 1;
                fake_hello(&f);
                run_until(test_event, f.closed);
                fake_done(&f);
        }
        g_assert_cmpuint(N(2)->alarms->len, ==, 1);
        nodes_done();
}

/* Strangers make new keys at will: what they bring up leaves room for what is said of members. */
static void test_alarms_of_strangers(void) {
        Fake f;

        nodes_begin();
        node_start(2);
        node_configure(N(2), 0);
        for (unsigned i = 0; i < 30; i++) {
                Node stranger = { .options = N(3)->options, .key = net_key_new(), .name = "host3" };

                fake_begin(&f, N(2), &stranger, false);
                run_until(test_event, f.closed);
                fake_done(&f);
                net_key_unref(stranger.key);
        }
        g_assert_cmpuint(N(2)->alarms->len, ==, 5);
        fake_begin(&f, N(2), N(3), true);
        f.hello.disk_id.bytes[0] = 99;
        fake_hello(&f);
        run_until(test_event, f.closed);
        g_assert_true(node_alarmed(N(2), "that of member 3 (host3)"));
        fake_done(&f);
        nodes_done();
}

int main(int argc, char *argv[]) {
        int r;

        g_test_init(&argc, &argv, NULL);
        g_assert_cmpint(sd_event_new(&test_event), >=, 0);
        g_test_add_func("/peer/refuse/cluster", test_cluster);
        g_test_add_func("/peer/refuse/versions", test_versions);
        g_test_add_func("/peer/refuse/feature-level", test_feature_level);
        g_test_add_func("/peer/refuse/feature-level-of-lower", test_feature_level_of_lower);
        g_test_add_func("/peer/refuse/config", test_config);
        g_test_add_func("/peer/refuse/other-sid", test_other_sid);
        g_test_add_func("/peer/refuse/own-sid", test_own_sid);
        g_test_add_func("/peer/refuse/old-disk", test_old_disk);
        g_test_add_func("/peer/refuse/direction", test_direction);
        g_test_add_func("/peer/refuse/stranger", test_stranger);
        g_test_add_func("/peer/refuse/other-server", test_other_server);
        g_test_add_func("/peer/refuse/silent", test_silent);
        g_test_add_func("/peer/refuse/oversize", test_oversize);
        g_test_add_func("/peer/refuse/unknown-type", test_unknown_type);
        g_test_add_func("/peer/refuse/malformed", test_malformed);
        g_test_add_func("/peer/refuse/second-hello", test_second_hello);
        g_test_add_func("/peer/refuse/too-early", test_too_early);
        g_test_add_func("/peer/refuse/alarms", test_alarms);
        g_test_add_func("/peer/refuse/alarms-of-strangers", test_alarms_of_strangers);
        g_test_add_func("/peer/refuse/removed-meanwhile", test_removed_meanwhile);
        g_test_add_func("/peer/refuse/crowd", test_crowd);
        g_test_add_func("/peer/twice/clone", test_clone);
        g_test_add_func("/peer/twice/restart", test_restart);
        g_test_add_func("/peer/twice/restart-seen", test_restart_seen);
        g_test_add_func("/peer/twice/restart-twice", test_restart_twice);
        g_test_add_func("/peer/twice/clone-of-lower", test_clone_of_lower);
        g_test_add_func("/peer/twice/same-run", test_same_run);
        r = g_test_run();
        sd_event_unref(test_event);
        return r;
}
