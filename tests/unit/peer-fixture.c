/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Peer fixture
 */

#include "tests/unit/peer-fixture.h"

#include <string.h>

#include "agent/net/socket.h"

sd_event *test_event;
Node test_nodes[NODES_MAX];

static void on_up(void *userdata, uint64_t conn, uint32_t sid, const Id128 *disk_id) {
        Node *n = userdata;

        g_assert_cmpuint(sid, <, NODES_MAX);
        g_assert_cmpuint(n->conn[sid], ==, 0);
        n->conn[sid] = conn;
        n->received[sid] = 0;
        n->others = 0;
        n->ups++;
        if (n->closes_in_up)
                peer_mesh_close(n->mesh, conn, "not today");
}

static void on_down(void *userdata, uint64_t conn, uint32_t sid, const char *reason) {
        Node *n = userdata;

        g_assert_cmpuint(n->conn[sid], ==, conn);
        n->conn[sid] = 0;
        n->downs++;
        g_free(n->reason);
        n->reason = g_strdup(reason);
}

static void on_message(void *userdata, uint64_t conn, uint32_t sid, const PeerMessage *m) {
        Node *n = userdata;

        g_assert_cmpuint(n->conn[sid], ==, conn);
        if (m->is_zab && m->zab.type == ZAB_MESSAGE_PING)
                g_assert_cmpuint(m->zab.index, ==, ++n->received[sid]);
        else
                n->others++;
        if (!m->is_zab && m->member.type == MEMBER_MESSAGE_FORWARD)
                n->bytes += g_bytes_get_size(m->member.payload);
        if (n->closes_in_message)
                peer_mesh_close(n->mesh, conn, "heard enough");
        if (n->admits_nobody_in_message)
                peer_mesh_set_config(n->mesh, NULL, NULL);
}

static void on_alive(void *userdata, uint64_t conn, uint32_t sid) {
        Node *n = userdata;

        g_assert_cmpuint(n->conn[sid], ==, conn);
        n->alive++;
        if (n->closes_in_message)
                peer_mesh_close(n->mesh, conn, "heard enough");
}

static void on_alarm(void *userdata, int priority, const char *text) {
        Node *n = userdata;

        g_test_message("%s: %s", n->name, text);
        n->priority = priority;
        g_ptr_array_add(n->alarms, g_strdup(text));
}

static void on_join(void *userdata, PeerJoin *join, const PeerJoinRequest *request) {
        Node *n = userdata;

        n->join = join;
        n->joins++;
        n->request = *request;
        g_free(n->request_name);
        g_free(n->request_address);
        n->request_name = g_strdup(request->name);
        n->request_address = g_strdup(request->address);
}

static void on_join_cancelled(void *userdata, PeerJoin *join) {
        Node *n = userdata;

        g_assert_true(n->join == join);
        n->join = NULL;
        n->cancelled++;
}

void nodes_begin(void) {
        for (uint32_t sid = 1; sid < NODES_MAX; sid++) {
                Node *n = &test_nodes[sid];

                *n = (Node) { .options = { .sid = sid, .cluster_id = { "the cluster" }, .feature_level = 1 } };
                g_snprintf(n->name, sizeof(n->name), "host%u", sid);
                g_snprintf((char *) n->options.disk_id.bytes, 16, "disk %u", sid);
                n->options.name = n->name;
                n->key = net_key_new();
                n->alarms = g_ptr_array_new_with_free_func(g_free);
                n->address = g_strdup("");
        }
}

void node_stop(Node *n) {
        n->mesh = peer_mesh_free(n->mesh);
        memset(n->conn, 0, sizeof(n->conn));
        n->join = NULL;
}

void nodes_done(void) {
        for (uint32_t sid = 1; sid < NODES_MAX; sid++) {
                Node *n = &test_nodes[sid];

                node_stop(n);
                net_key_unref(n->key);
                g_ptr_array_unref(n->alarms);
                g_free(n->address);
                g_free(n->reason);
                g_free(n->request_name);
                g_free(n->request_address);
        }
}

Node *node_start(uint32_t sid) {
        Node *n = &test_nodes[sid];
        const PeerMeshListener listener = {
                .up = on_up, .down = on_down, .message = on_message, .alive = on_alive, .alarm = on_alarm, .join = on_join,
                .join_cancelled = on_join_cancelled, .userdata = n,
        };
        NetAddress any;

        n->mesh = peer_mesh_new(test_event, n->key, &n->options, &listener);
        g_assert_nonnull(n->mesh);
        g_assert_null(peer_mesh_address(n->mesh));
        g_assert_true(net_address_parse(*n->address ? n->address : "127.0.0.1:0", &any));
        g_assert_cmpint(peer_mesh_listen(n->mesh, &any), ==, 0);
        g_free(n->address);
        n->address = net_address_to_string(peer_mesh_address(n->mesh));
        return n;
}

ZabConfig *nodes_config(uint32_t without, Zxid version) {
        ZabConfigMember members[NODES_MAX] = { 0 };
        g_autoptr(GBytes) bytes = NULL;
        unsigned count = 0;
        ZabConfig *c;

        for (uint32_t sid = 1; sid < NODES_MAX; sid++) {
                const Node *n = &test_nodes[sid];

                if (sid == without)
                        continue;
                members[count++] = (ZabConfigMember) {
                        sid, n->options.disk_id, ZAB_MEMBER_VOTER, n->name, n->address, net_key_pin(n->key), NET_PIN_BYTES,
                };
        }
        bytes = zab_config_encode(members, count);
        c = zab_config_decode(bytes, version);
        g_assert_nonnull(c);
        return c;
}

void node_configure(Node *n, uint32_t without) {
        ZabConfig *c = nodes_config(without, 1 + without);

        peer_mesh_set_config(n->mesh, c, NULL);
        zab_config_unref(c);
}

void nodes_run(uint32_t sids) {
        for (uint32_t sid = 1; sid <= sids; sid++)
                node_start(sid);
        for (uint32_t sid = 1; sid <= sids; sid++)
                node_configure(&test_nodes[sid], 0);
}

bool node_alarmed(const Node *n, const char *part) {
        for (unsigned i = 0; i < n->alarms->len; i++)
                if (strstr(n->alarms->pdata[i], part))
                        return true;
        return false;
}

static PeerMessage ping(uint64_t number) {
        return (PeerMessage) { .is_zab = true, .zab = { .type = ZAB_MESSAGE_PING, .epoch = 1, .index = number } };
}

bool node_ping(Node *n, uint32_t to, uint64_t number) {
        const PeerMessage m = ping(number);

        return peer_mesh_send(n->mesh, n->conn[to], &m);
}

PeerStatus node_status(const Node *n, uint32_t of) {
        PeerStatus s;

        g_assert_true(peer_mesh_get_status(n->mesh, of, &s));
        return s;
}

static bool on_fake_verify(void *userdata, const uint8_t pin[static NET_PIN_BYTES]) {
        Fake *f = userdata;

        f->met = true;
        memcpy(f->pin, pin, NET_PIN_BYTES);
        return true;
}

static ssize_t on_fake_bytes(void *userdata, const uint8_t *data, size_t size) {
        Fake *f = userdata;

        g_byte_array_append(f->received, data, (guint) size);
        if (f->deaf && fake_has(f, FRAME_TYPE_HELLO))
                net_stream_pause(f->stream, true);
        return (ssize_t) size;
}

static void on_fake_closed(void *userdata, const char *reason) {
        Fake *f = userdata;

        f->closed = g_strdup(reason);
        f->stream = net_stream_free(f->stream);
}

void fake_begin(Fake *f, const Node *to, const Node *as, bool silent) {
        const NetStreamHandler handler = { on_fake_verify, on_fake_bytes, on_fake_closed, f };
        int fd;

        *f = (Fake) {
                .hello = { .version_min = FRAME_VERSION, .version_max = FRAME_VERSION, .feature_level = 1,
                           .cluster_id = as->options.cluster_id, .disk_id = as->options.disk_id, .incarnation = { "one" },
                           .sid = as->options.sid, .name = as->name },
                .received = g_byte_array_new(),
        };
        g_assert_cmpint(net_dial(peer_mesh_address(to->mesh), &fd), ==, 0);
        f->stream = net_stream_new(test_event, fd, as->key, &(const NetStreamOptions) { 0 }, &handler);
        g_assert_nonnull(f->stream);
        if (!silent)
                fake_hello(f);
}

void fake_done(Fake *f) {
        f->stream = net_stream_free(f->stream);
        g_byte_array_unref(f->received);
        g_free(f->closed);
}

void fake_write(Fake *f, const void *data, size_t size) {
        if (f->stream)
                g_assert_true(net_stream_write(f->stream, data, size));
}

void fake_hello(Fake *f) {
        g_auto(Writer) w = WRITER_INIT;

        frame_encode_hello(&w, &f->hello);
        fake_write(f, w.data, w.size);
}

void fake_agree(Fake *f) {
        fake_write(f, "\0\0\0\0\0\0\0", 8);
}

void fake_ping(Fake *f, uint64_t number) {
        g_auto(Writer) w = WRITER_INIT;
        const PeerMessage m = ping(number);

        frame_encode(&w, &m);
        fake_write(f, w.data, w.size);
}

void fake_up(Fake *f, Node *to) {
        unsigned before = to->ups;

        run_until(test_event, fake_has(f, FRAME_TYPE_HELLO));
        fake_agree(f);
        run_until(test_event, to->ups == before + 1);
}

/* Its body, or NULL. */
static const uint8_t *find(const Fake *f, uint8_t type, uint32_t *ret_size) {
        for (size_t at = 0; at + FRAME_HEADER_BYTES <= f->received->len;) {
                uint32_t size;
                uint8_t found;

                g_assert_true(frame_decode_header(f->received->data + at, &size, &found));
                at += FRAME_HEADER_BYTES;
                if (f->received->len - at < size)
                        break;
                if (found == type) {
                        *ret_size = size;
                        return f->received->data + at;
                }
                at += size;
        }
        return NULL;
}

bool fake_has(const Fake *f, uint8_t type) {
        uint32_t size;

        return find(f, type, &size);
}

char *fake_leave(const Fake *f) {
        uint32_t size;
        const uint8_t *data = find(f, ZAB_MESSAGE_LEAVE, &size);
        g_autoptr(GBytes) body = NULL;
        FrameMessage m;
        char *text;

        if (!data)
                return NULL;
        body = g_bytes_new(data, size);
        g_assert_true(frame_decode(ZAB_MESSAGE_LEAVE, body, &m));
        text = g_strdup(m.message.zab.text);
        frame_message_done(&m);
        return text;
}
