/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Peer: tokens, and new hosts
 */

#include <errno.h>
#include <string.h>

#include "agent/peer/join.h"
#include "agent/peer/token.h"
#include "tests/unit/peer-fixture.h"

#define N(sid) (&test_nodes[sid])

static PeerToken token_of(unsigned members) {
        Id128 cluster = { "the cluster" };
        PeerToken t;

        g_assert_cmpint(peer_token_make(&cluster, &t), ==, 0);
        for (unsigned i = 0; i < members; i++) {
                g_autofree char *address = g_strdup_printf("192.0.2.%u:2890", i + 1);
                uint8_t pin[NET_PIN_BYTES];

                memset(pin, (int) i + 100, sizeof(pin));
                g_assert_true(peer_token_add(&t, address, pin));
        }
        return t;
}

static void test_token(void) {
        for (unsigned members = 1; members <= PEER_TOKEN_MEMBERS_MAX; members++) {
                g_auto(PeerToken) t = token_of(members), u = { 0 };
                g_autofree char *text = peer_token_to_string(&t), *padded = g_strconcat("  ", text, "\n", NULL);

                g_assert_true(g_str_has_prefix(text, "cvn1."));
                g_assert_cmpuint(strspn(text + 5, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), ==,
                                 strlen(text) - 5);
                g_assert_cmpint(peer_token_parse(padded, &u), ==, 0);
                g_assert_cmpmem(&u.cluster_id, 16, &t.cluster_id, 16);
                g_assert_cmpmem(u.secret, 16, t.secret, 16);
                g_assert_cmpuint(u.members_count, ==, members);
                for (unsigned i = 0; i < members; i++) {
                        g_assert_cmpstr(u.members[i].address, ==, t.members[i].address);
                        g_assert_cmpmem(u.members[i].pin, NET_PIN_BYTES, t.members[i].pin, NET_PIN_BYTES);
                }
        }
}

/* Whatever one letter becomes, and wherever it is cut: told to be mistyped. */
static void test_token_typos(void) {
        g_auto(PeerToken) t = token_of(2), u = { 0 };
        g_autofree char *text = peer_token_to_string(&t);
        size_t size = strlen(text);

        for (size_t i = 0; i < size; i++) {
                g_autofree char *other = g_strdup(text), *shorter = g_strndup(text, i);

                other[i] = other[i] == 'A' ? 'B' : 'A';
                g_assert_cmpint(peer_token_parse(other, &u), ==, i < 5 ? -EINVAL : -EBADMSG);
                g_assert_cmpint(peer_token_parse(shorter, &u), ==, i < 5 ? -EINVAL : -EBADMSG);
                other[i] = '=';
                g_assert_cmpint(peer_token_parse(other, &u), <, 0);
        }
        g_assert_cmpint(peer_token_parse("", &u), ==, -EINVAL);
        g_assert_cmpint(peer_token_parse("cvn2.AAAA", &u), ==, -EINVAL);
        g_assert_cmpuint(u.members_count, ==, 0);
}

static void test_token_limits(void) {
        g_auto(PeerToken) t = token_of(PEER_TOKEN_MEMBERS_MAX), u = token_of(0), v = token_of(0);
        uint8_t hash[32], other[32], pin[NET_PIN_BYTES] = { 0 };

        g_assert_false(peer_token_add(&t, "192.0.2.9:1", pin));
        g_assert_false(peer_token_add(&u, "host1.example:1", pin));
        g_assert_cmpint(memcmp(u.secret, v.secret, sizeof(u.secret)), !=, 0);
        peer_secret_hash((const uint8_t *) "0123456789abcdef", hash);
        g_assert_cmpmem(hash, 4, "\x9f\x9f\x51\x11", 4);
        peer_secret_hash(u.secret, other);
        g_assert_cmpint(memcmp(hash, other, 32), !=, 0);
}

typedef struct New {
        PeerJoiner *joiner;
        NetKey *key;
        PeerToken token;
        uint32_t sid;
        GBytes *config;
        bool failed, refused;
        char *text;
} New;

static void on_joined(void *userdata, uint32_t sid, GBytes *config) {
        New *n = userdata;

        n->sid = sid;
        n->config = g_bytes_ref(config);
        n->joiner = peer_joiner_free(n->joiner);
}

static void on_failed(void *userdata, bool refused, const char *text) {
        New *n = userdata;

        n->failed = true;
        n->refused = refused;
        n->text = g_strdup(text);
        n->joiner = peer_joiner_free(n->joiner);
}

/* A member to ask, and a token of it. */
static void new_begin(New *n) {
        nodes_begin();
        node_start(1);
        node_configure(N(1), 3);
        *n = (New) { .key = net_key_new() };
        g_assert_cmpint(peer_token_make(&N(1)->options.cluster_id, &n->token), ==, 0);
}

static void new_knows(New *n, const char *address, const NetKey *key) {
        g_assert_true(peer_token_add(&n->token, address, net_key_pin(key)));
}

static void new_asks(New *n) {
        const PeerJoinerOptions options = {
                .name = "host3", .address = "192.0.2.3:2890", .disk_id = { "disk 3" }, .feature_level = 1,
        };
        const PeerJoinerHandler handler = { on_joined, on_failed, n };

        n->joiner = peer_joiner_new(test_event, n->key, &n->token, &options, &handler);
        g_assert_nonnull(n->joiner);
}

static void new_done(New *n) {
        n->joiner = peer_joiner_free(n->joiner);
        net_key_unref(n->key);
        peer_token_done(&n->token);
        g_clear_pointer(&n->config, g_bytes_unref);
        g_free(n->text);
        nodes_done();
}

static void answer(uint32_t sid, GBytes *config, const char *text) {
        PeerJoin *join = g_steal_pointer(&N(1)->join);

        peer_join_answer(join, sid, config, text);
}

static void test_join(void) {
        g_autoptr(GBytes) config = g_bytes_new_take(g_malloc0(400000), 400000);
        PeerMeshStatistics s;
        uint8_t hash[32];
        New n;

        new_begin(&n);
        new_knows(&n, N(1)->address, N(1)->key);
        new_asks(&n);
        run_until(test_event, N(1)->join);
        g_assert_cmpstr(N(1)->request_name, ==, "host3");
        g_assert_cmpstr(N(1)->request_address, ==, "192.0.2.3:2890");
        g_assert_cmpmem(&N(1)->request.disk_id, 7, "disk 3", 7);
        g_assert_cmpmem(N(1)->request.pin, NET_PIN_BYTES, net_key_pin(n.key), NET_PIN_BYTES);
        peer_secret_hash(n.token.secret, hash);
        g_assert_cmpmem(N(1)->request.secret_hash, 32, hash, 32);

        answer(3, config, NULL);
        run_until(test_event, n.config);
        g_assert_cmpuint(n.sid, ==, 3);
        g_assert_true(g_bytes_equal(n.config, config));
        run_until(test_event, (peer_mesh_get_statistics(N(1)->mesh, &s), s.pending == 0));
        g_assert_cmpuint(s.joins, ==, 1);
        g_assert_cmpuint(N(1)->ups, ==, 0);
        g_assert_cmpuint(N(1)->cancelled, ==, 0);
        new_done(&n);
}

/* From the token to the mesh. */
static void test_join_and_connect(void) {
        g_autoptr(GBytes) config = g_bytes_new("config", 6);
        New n;

        new_begin(&n);
        new_knows(&n, N(1)->address, N(1)->key);
        net_key_unref(n.key);
        n.key = net_key_ref(N(3)->key);
        new_asks(&n);
        run_until(test_event, N(1)->join);
        node_configure(N(1), 0);
        answer(3, config, NULL);
        run_until(test_event, n.config);
        node_start(3);                  /* which gives it its address */
        node_configure(N(1), 0);
        node_configure(N(3), 0);
        run_until(test_event, N(1)->conn[3] && N(3)->conn[1]);
        new_done(&n);
}

/* The ensemble has taken it up, and it was interrupted before it had noted that: it asks again with the key that is a member's now. */
static void test_join_again(void) {
        g_autoptr(GBytes) config = g_bytes_new("config", 6);
        New n;

        new_begin(&n);
        node_configure(N(1), 0);
        new_knows(&n, N(1)->address, N(1)->key);
        net_key_unref(n.key);
        n.key = net_key_ref(N(3)->key);
        new_asks(&n);
        run_until(test_event, N(1)->join || n.failed);
        g_assert_false(n.failed);
        g_assert_cmpmem(N(1)->request.pin, NET_PIN_BYTES, net_key_pin(n.key), NET_PIN_BYTES);
        answer(3, config, NULL);
        run_until(test_event, n.config);
        g_assert_cmpuint(node_status(N(1), 3).malformed, ==, 0);
        g_assert_cmpuint(N(1)->alarms->len, ==, 0);
        new_done(&n);
}

static void test_refused(void) {
        New n;

        new_begin(&n);
        new_knows(&n, N(1)->address, N(1)->key);
        n.token.secret[0] ^= 1;         /* it has a good checksum, and is of nobody */
        new_asks(&n);
        run_until(test_event, N(1)->join);
        answer(0, NULL, "this token is not known; make a new one");
        run_until(test_event, n.failed);
        g_assert_true(n.refused);
        g_assert_cmpstr(n.text, ==, "this token is not known; make a new one");
        new_done(&n);
}

/* It goes on to the next, which lets it in; or has nobody left. */
static void test_put_off(void) {
        g_autoptr(GBytes) config = g_bytes_new("config", 6);
        New n;

        new_begin(&n);
        node_start(2);
        node_configure(N(2), 3);
        new_knows(&n, N(1)->address, N(1)->key);
        new_knows(&n, N(2)->address, N(2)->key);
        new_asks(&n);
        run_until(test_event, N(1)->join);
        peer_join_put_off(g_steal_pointer(&N(1)->join), "no leader at the moment");
        run_until(test_event, N(2)->join || n.failed);
        g_assert_false(n.failed);
        peer_join_answer(g_steal_pointer(&N(2)->join), 3, config, NULL);
        run_until(test_event, n.config);

        g_clear_pointer(&n.config, g_bytes_unref);
        new_asks(&n);
        run_until(test_event, N(1)->join);
        peer_join_put_off(g_steal_pointer(&N(1)->join), "no leader at the moment");
        run_until(test_event, N(2)->join);
        peer_join_put_off(g_steal_pointer(&N(2)->join), "too many");
        run_until(test_event, n.failed);
        g_assert_false(n.refused);
        g_assert_nonnull(strstr(n.text, N(1)->address));
        g_assert_nonnull(strstr(n.text, "no leader at the moment; "));
        g_assert_nonnull(strstr(n.text, "too many"));
        new_done(&n);
}

static void test_other_cluster(void) {
        New n;

        new_begin(&n);
        new_knows(&n, N(1)->address, N(1)->key);
        n.token.cluster_id = (Id128) { "other" };
        new_asks(&n);
        run_until(test_event, n.failed);
        g_assert_true(n.refused);
        g_assert_nonnull(strstr(n.text, "6f74686572"));
        g_assert_nonnull(strstr(n.text, "74686520636c7573746572"));
        g_assert_cmpuint(N(1)->joins, ==, 0);
        new_done(&n);
}

static void test_too_old(void) {
        New n;

        new_begin(&n);
        new_knows(&n, N(1)->address, N(1)->key);
        peer_mesh_set_required(N(1)->mesh, 4);
        new_asks(&n);
        run_until(test_event, n.failed);
        g_assert_true(n.refused);
        g_assert_nonnull(strstr(n.text, "feature level 4"));
        g_assert_cmpuint(N(1)->joins, ==, 0);
        new_done(&n);
}

/* The address has been taken by somebody else: he does not get to see the secret. */
static void test_other_key(void) {
        New n;

        new_begin(&n);
        new_knows(&n, N(1)->address, N(2)->key);
        new_asks(&n);
        run_until(test_event, n.failed);
        g_assert_false(n.refused);
        g_assert_nonnull(strstr(n.text, N(1)->address));
        g_assert_nonnull(strstr(n.text, "another key"));
        g_assert_cmpuint(N(1)->joins, ==, 0);
        new_done(&n);
}

static void test_next_address(void) {
        g_autoptr(GBytes) config = g_bytes_new("config", 6);
        g_autofree char *dead = NULL;
        New n;

        new_begin(&n);
        node_start(2);
        dead = g_strdup(N(2)->address);
        node_stop(N(2));
        new_knows(&n, dead, N(2)->key);
        new_knows(&n, N(1)->address, N(2)->key);
        new_knows(&n, N(1)->address, N(1)->key);
        new_asks(&n);
        run_until(test_event, N(1)->join);
        answer(3, config, NULL);
        run_until(test_event, n.config);
        new_done(&n);
}

static void test_nobody(void) {
        g_autofree char *dead = NULL;
        New n;

        new_begin(&n);
        dead = g_strdup(N(1)->address);
        node_stop(N(1));
        new_knows(&n, dead, N(1)->key);
        new_asks(&n);
        run_until(test_event, n.failed);
        g_assert_false(n.refused);
        g_assert_nonnull(strstr(n.text, "refused"));
        new_done(&n);
}

/* It does not wait for the answer; or the answer comes just then. */
static void test_cancelled(void) {
        New n;

        new_begin(&n);
        new_knows(&n, N(1)->address, N(1)->key);
        new_asks(&n);
        run_until(test_event, N(1)->join);
        n.joiner = peer_joiner_free(n.joiner);
        run_until(test_event, N(1)->cancelled == 1);
        g_assert_null(N(1)->join);

        new_asks(&n);
        run_until(test_event, N(1)->join);
        n.joiner = peer_joiner_free(n.joiner);
        answer(0, NULL, "too late");
        for (unsigned i = 0; i < 20; i++)
                g_assert_cmpint(sd_event_run(test_event, 1000), >=, 0);
        g_assert_cmpuint(N(1)->cancelled, ==, 1);
        new_done(&n);
}

static void test_no_answer(void) {
        New n;

        nodes_begin();
        N(1)->options.join_usec = 100000;
        node_start(1);
        n = (New) { .key = net_key_new() };
        g_assert_cmpint(peer_token_make(&N(1)->options.cluster_id, &n.token), ==, 0);
        new_knows(&n, N(1)->address, N(1)->key);
        new_asks(&n);
        run_until(test_event, n.failed);
        g_assert_false(n.refused);      /* it may ask again */
        g_assert_nonnull(strstr(n.text, "in time"));
        g_assert_cmpuint(N(1)->joins, ==, 1);
        g_assert_cmpuint(N(1)->cancelled, ==, 1);
        new_done(&n);
}

/* What is no JOIN, or more than one, or none at all. */
static void test_strange_bytes(void) {
        static const uint8_t too_large[] = { 1, 8, 0, 0, JOIN_TYPE, 0, 0, 0 };
        static const uint8_t malformed[] = { 3, 0, 0, 0, JOIN_TYPE, 0, 0, 0, 1, 2, 3 };
        static const uint8_t ping[] = { 12, 0, 0, 0, ZAB_MESSAGE_PING, 0, 0, 0 };
        g_auto(Writer) twice = WRITER_INIT;
        const JoinRequest request = { 1, 1, 1, { "the cluster" }, { "disk" }, "secret", "host", "" };
        struct {
                const void *data;
                size_t size;
        } cases[5] = { { too_large, sizeof(too_large) }, { malformed, sizeof(malformed) }, { ping, sizeof(ping) }, { "", 0 } };

        join_encode_request(&twice, &request);
        join_encode_request(&twice, &request);
        cases[4].data = twice.data;
        cases[4].size = twice.size;
        for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
                Fake f;

                nodes_begin();
                N(1)->options.hello_usec = 100000;
                node_start(1);
                fake_begin(&f, N(1), N(2), true);       /* nobody belongs yet: a stranger */
                fake_write(&f, cases[i].data, cases[i].size);
                run_until(test_event, f.closed);
                g_assert_cmpuint(f.received->len, ==, 0);
                g_assert_cmpuint(N(1)->joins, ==, 0);
                g_assert_cmpuint(N(1)->ups, ==, 0);
                fake_done(&f);
                nodes_done();
        }
}

int main(int argc, char *argv[]) {
        int r;

        g_test_init(&argc, &argv, NULL);
        g_assert_cmpint(sd_event_new(&test_event), >=, 0);
        g_test_add_func("/peer/token/round-trip", test_token);
        g_test_add_func("/peer/token/typos", test_token_typos);
        g_test_add_func("/peer/token/limits", test_token_limits);
        g_test_add_func("/peer/join/joined", test_join);
        g_test_add_func("/peer/join/and-connect", test_join_and_connect);
        g_test_add_func("/peer/join/again", test_join_again);
        g_test_add_func("/peer/join/refused", test_refused);
        g_test_add_func("/peer/join/put-off", test_put_off);
        g_test_add_func("/peer/join/other-cluster", test_other_cluster);
        g_test_add_func("/peer/join/too-old", test_too_old);
        g_test_add_func("/peer/join/other-key", test_other_key);
        g_test_add_func("/peer/join/next-address", test_next_address);
        g_test_add_func("/peer/join/nobody", test_nobody);
        g_test_add_func("/peer/join/cancelled", test_cancelled);
        g_test_add_func("/peer/join/no-answer", test_no_answer);
        g_test_add_func("/peer/join/strange-bytes", test_strange_bytes);
        r = g_test_run();
        sd_event_unref(test_event);
        return r;
}
