/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Zab fixture
 */

#include "tests/unit/zab-fixture.h"

#include <string.h>

typedef enum OperationType {
        OPERATION_APPEND,
        OPERATION_TRUNCATE,
        OPERATION_INSTALL,
} OperationType;

typedef struct Operation {
        OperationType type;
        uint64_t io_seq;
        GPtrArray *entries;
        ZabPosition position;
        GBytes *config;
        ZabMeta meta;
} Operation;

static GBytes *ref_or_null(GBytes *b) {
        return b ? g_bytes_ref(b) : NULL;
}

static void clear_bytes(GBytes **b) {
        g_clear_pointer(b, g_bytes_unref);
}

static ZabEntry *entry_copy(const ZabEntry *e) {
        ZabEntry *copy = g_memdup2(e, sizeof(*e));

        g_bytes_ref(copy->payload);
        return copy;
}

static void entry_free(ZabEntry *e) {
        g_bytes_unref(e->payload);
        g_free(e);
}

static void operation_free(Operation *o) {
        if (o->entries)
                g_ptr_array_unref(o->entries);
        clear_bytes(&o->config);
        g_free(o);
}

static void envelope_free(Envelope *v) {
        ZabMessage *m = &v->message;

        for (unsigned i = 0; i < m->entries_count; i++)
                g_bytes_unref(m->entries[i].payload);
        g_free((ZabEntry *) m->entries);
        g_free((ZabEpochEnd *) m->sync.ends);
        clear_bytes(&m->config);
        clear_bytes(&m->bytes);
        clear_bytes(&m->hello.config);
        clear_bytes(&m->hello.pending_config);
        g_free(v);
}

static Envelope *envelope_new(uint64_t conn, Node *from, Node *to, const ZabMessage *m) {
        Envelope *v = g_new0(Envelope, 1);
        ZabEntry *entries = m->entries_count > 0 ? g_memdup2(m->entries, m->entries_count * sizeof(ZabEntry)) : NULL;

        *v = (Envelope) { conn, from, to, *m };
        for (unsigned i = 0; i < m->entries_count; i++)
                g_bytes_ref(entries[i].payload);
        v->message.entries = entries;
        v->message.sync.ends = g_memdup2(m->sync.ends, m->sync.ends_count * sizeof(ZabEpochEnd));
        v->message.config = ref_or_null(m->config);
        v->message.bytes = ref_or_null(m->bytes);
        v->message.hello.config = ref_or_null(m->hello.config);
        v->message.hello.pending_config = ref_or_null(m->hello.pending_config);
        return v;
}

/* Effects: the log */

static void on_append(void *userdata, uint64_t io_seq, const ZabEntry *entries, unsigned count) {
        Node *node = userdata;
        Operation *o = g_new0(Operation, 1);

        *o = (Operation) { .type = OPERATION_APPEND, .io_seq = io_seq };
        o->entries = g_ptr_array_new_with_free_func((GDestroyNotify) entry_free);
        for (unsigned i = 0; i < count; i++)
                g_ptr_array_add(o->entries, entry_copy(&entries[i]));
        g_queue_push_tail(&node->operations, o);
}

static void on_truncate(void *userdata, uint64_t io_seq, const ZabPosition *position) {
        Node *node = userdata;
        Operation *o = g_new0(Operation, 1);

        *o = (Operation) { .type = OPERATION_TRUNCATE, .io_seq = io_seq, .position = *position };
        node->truncates++;
        g_queue_push_tail(&node->operations, o);
}

static void on_write_meta(void *userdata, uint64_t io_seq, const ZabMeta *meta) {
        Node *node = userdata;

        g_assert_cmpuint(node->meta_io_seq, ==, 0);     /* one at a time */
        node->meta_io_seq = io_seq;
        node->meta_writing = *meta;
}

static void operation_done(Node *node, Operation *o) {
        switch (o->type) {
        case OPERATION_APPEND:
                for (guint i = 0; i < o->entries->len; i++) {
                        ZabEntry *e = g_ptr_array_index(o->entries, i);

                        g_assert_cmpuint(e->index, ==, node->checkpoint.index + node->log->len + 1);
                        g_ptr_array_add(node->log, entry_copy(e));
                }
                break;
        case OPERATION_TRUNCATE:
                g_assert_cmpuint(o->position.index, >=, node->checkpoint.index);
                g_ptr_array_set_size(node->log, (gint) (o->position.index - node->checkpoint.index));
                break;
        case OPERATION_INSTALL:
                g_ptr_array_set_size(node->log, 0);
                node->checkpoint = o->position;
                node->base = o->position.index;
                clear_bytes(&node->checkpoint_config);
                node->checkpoint_config = g_bytes_ref(o->config);
                node->meta = o->meta;
                break;
        }
}

/* Effects: snapshots.  The digest is made of the position and the number of chunks. */

#define CHUNKS 6

static void on_snap_begin(void *userdata, const ZabPosition *position, GBytes *config) {
        Node *node = userdata;

        g_assert_cmpuint(node->incoming->len, ==, 0);
        node->incoming_position = *position;
        node->incoming_config = g_bytes_ref(config);
}

static bool on_snap_chunk(void *userdata, GBytes *chunk) {
        Node *node = userdata;

        g_ptr_array_add(node->incoming, g_bytes_ref(chunk));
        node->chunks_in++;
        return g_bytes_get_size(chunk) > 0;
}

static bool on_snap_is_behind(void *userdata) {
        return ((const Node *) userdata)->behind;
}

static bool on_snap_end(void *userdata, Hash128 digest) {
        Node *node = userdata;

        return digest.low == node->incoming_position.index && digest.high == node->incoming->len;
}

static void drop_incoming(Node *node) {
        g_ptr_array_set_size(node->incoming, 0);
        clear_bytes(&node->incoming_config);
}

static void on_snap_install(void *userdata, uint64_t io_seq, const ZabMeta *meta) {
        Node *node = userdata;
        Operation *o = g_new0(Operation, 1);

        g_assert_cmpuint(node->meta_io_seq, ==, 0);
        *o = (Operation) { .type = OPERATION_INSTALL, .io_seq = io_seq, .meta = *meta };
        o->position = node->incoming_position;
        o->config = g_bytes_ref(node->incoming_config);
        g_queue_push_tail(&node->operations, o);
        drop_incoming(node);
}

static void on_snap_switch(void *userdata) {
        Node *node = userdata;

        node->switches++;
        g_array_set_size(node->applied, 0);
        node->first_applied = node->checkpoint.index + 1;
}

static void on_snap_abort(void *userdata) {
        drop_incoming(userdata);
}

/* Effects: reading back.  Answers are given by net_settle(), never from inside. */

typedef struct Answer {
        Node *node;
        ZabInputType type;
        uint64_t request, from, to;
} Answer;

static GQueue answers = G_QUEUE_INIT;

static void ask(Node *node, ZabInputType type, uint64_t request, uint64_t from, uint64_t to) {
        Answer *a = g_new(Answer, 1);

        *a = (Answer) { node, type, request, from, to };
        g_queue_push_tail(&answers, a);
}

static void on_read_log(void *userdata, uint64_t request, uint64_t from, uint64_t to, uint64_t bytes_max) {
        Node *node = userdata;

        g_assert_cmpuint(from, <=, to);
        node->log_reads++;
        ask(node, ZAB_INPUT_LOG_READ, request, from, to);
}

static unsigned slot_of(const Node *node, uint64_t request) {
        for (unsigned i = 0; i < NODES_MAX; i++)
                if (node->open[i].request == request)
                        return i;

        g_assert_not_reached();
}

static void on_open_snapshot(void *userdata, uint64_t request) {
        Node *node = userdata;

        node->snapshots++;
        node->open[slot_of(node, 0)].request = request;
        ask(node, ZAB_INPUT_SNAPSHOT_OPENED, request, 0, 0);
}

static void on_read_snapshot(void *userdata, uint64_t request) {
        ask(userdata, ZAB_INPUT_SNAPSHOT_CHUNK, request, 0, 0);
}

static void on_close_snapshot(void *userdata, uint64_t request) {
        Node *node = userdata;

        memset(&node->open[slot_of(node, request)], 0, sizeof(node->open[0]));
}

static bool is_open(const Node *node, uint64_t request) {
        for (unsigned i = 0; i < NODES_MAX; i++)
                if (node->open[i].request == request)
                        return true;

        return false;
}

static void answer(Answer *a) {
        Node *node = a->node;
        ZabInput in = { .type = a->type, .read_id = a->request };
        g_autoptr(GArray) entries = g_array_new(FALSE, FALSE, sizeof(ZabEntry));
        g_autoptr(GBytes) chunk = NULL;

        if (!node->zab || (a->type != ZAB_INPUT_LOG_READ && !is_open(node, a->request)))
                return;

        if (a->type == ZAB_INPUT_LOG_READ) {
                for (uint64_t i = a->from; i <= a->to && i > node->base && i <= node->checkpoint.index + node->log->len; i++)
                        if (i > node->checkpoint.index)
                                g_array_append_vals(entries, g_ptr_array_index(node->log, i - node->checkpoint.index - 1), 1);
                in.entries = (const ZabEntry *) entries->data;
                in.entries_count = entries->len;
        } else if (a->type == ZAB_INPUT_SNAPSHOT_OPENED) {
                in.position = node->open[slot_of(node, a->request)].position = node->checkpoint;
                in.config = node->checkpoint_config;
        } else if (node->open[slot_of(node, a->request)].chunks++ < CHUNKS)
                in.payload = chunk = g_bytes_new("chunk", 5);
        else
                in.digest = (Hash128) { node->open[slot_of(node, a->request)].position.index, CHUNKS };
        node_step(node->net, node->sid, in);
}

/* Effects: the rest */

static void on_send(void *userdata, uint64_t conn, const ZabMessage *m) {
        Node *node = userdata;
        Net *n = node->net;

        n->sent[m->type]++;
        for (uint32_t to = 1; to <= n->nodes_count; to++)
                if (n->conn[node->sid][to] == conn)
                        g_queue_push_tail(&n->messages, envelope_new(conn, node, &n->nodes[to], m));
}

static void on_close(void *userdata, uint64_t conn, const char *reason) {
        Node *node = userdata;
        Net *n = node->net;

        g_assert_nonnull(reason);
        node->closes++;
        node->last_reason = reason;
        for (uint32_t to = 1; to <= n->nodes_count; to++)
                if (n->conn[node->sid][to] == conn)
                        ask(node, ZAB_INPUT_PEER_DOWN, conn, to, 0);
}

static void on_apply(void *userdata, const ZabEntry *e) {
        Node *node = userdata;

        g_assert_cmpuint(e->index, ==, node->first_applied + node->applied->len);
        /* 2.14: committed, and durable here */
        g_assert_cmpuint(e->index, <=, zab_commit(node->zab));
        g_assert_cmpuint(e->index, <=, node->checkpoint.index + node->log->len);
        g_array_append_val(node->applied, e->zxid);
}

static void on_read_ready(void *userdata, uint64_t read_id, uint64_t index) {
        Node *node = userdata;

        g_array_append_val(node->reads, read_id);
        node->read_index = index;
}

static void on_role(void *userdata, ZabRole role, uint32_t epoch, const char *reason) {
        Node *node = userdata;

        g_assert_nonnull(reason);
        node->stops += role == ZAB_ROLE_STOPPED;
        node->elections += role == ZAB_ROLE_LEADER && node->role != role;
        node->role = role;
        node->last_reason = reason;
}

static void on_disk_regressed(void *userdata, uint32_t sid, uint64_t acked, uint64_t last) {
        Node *node = userdata;

        node->regressed = sid;
        node->regressed_from = acked;
        node->regressed_to = last;
}

static void on_config(void *userdata) {
}

static const ZabEffects effects = {
        .append = on_append,
        .truncate = on_truncate,
        .write_meta = on_write_meta,
        .snap_begin = on_snap_begin,
        .snap_chunk = on_snap_chunk,
        .snap_is_behind = on_snap_is_behind,
        .snap_end = on_snap_end,
        .snap_install = on_snap_install,
        .snap_switch = on_snap_switch,
        .snap_abort = on_snap_abort,
        .read_log = on_read_log,
        .open_snapshot = on_open_snapshot,
        .read_snapshot = on_read_snapshot,
        .close_snapshot = on_close_snapshot,
        .send = on_send,
        .close = on_close,
        .apply = on_apply,
        .read_ready = on_read_ready,
        .role_changed = on_role,
        .config_changed = on_config,
        .disk_regressed = on_disk_regressed,
};

/* Nodes */

static void set_disk(Node *node, uint8_t generation) {
        memset(node->disk_id.bytes, 0xd0 + generation, sizeof(node->disk_id.bytes));
        node->disk_id.bytes[0] = (uint8_t) node->sid;
        node->meta = (ZabMeta) { .sid = node->sid, .disk_id = node->disk_id, .membership = node->membership };
}

Net *net_new(unsigned nodes, unsigned voters) {
        Net *n = g_new0(Net, 1);

        n->nodes_count = nodes;
        n->now = SECOND;
        g_queue_init(&n->messages);
        for (uint32_t sid = 1; sid <= nodes; sid++) {
                Node *node = &n->nodes[sid];

                *node = (Node) { .net = n, .sid = sid, .first_applied = 1 };
                node->membership = sid <= voters ? ZAB_MEMBERSHIP_MEMBER : ZAB_MEMBERSHIP_JOINING;
                node->log = g_ptr_array_new_with_free_func((GDestroyNotify) entry_free);
                node->applied = g_array_new(FALSE, FALSE, sizeof(Zxid));
                node->reads = g_array_new(FALSE, FALSE, sizeof(uint64_t));
                node->incoming = g_ptr_array_new_with_free_func((GDestroyNotify) g_bytes_unref);
                g_queue_init(&node->operations);
                set_disk(node, 0);
        }
        return n;
}

void net_free(Net *n) {
        for (uint32_t sid = 1; sid <= n->nodes_count; sid++) {
                Node *node = &n->nodes[sid];

                node_crash(n, sid);
                g_ptr_array_unref(node->log);
                g_array_unref(node->applied);
                g_array_unref(node->reads);
                drop_incoming(node);
                g_ptr_array_unref(node->incoming);
                clear_bytes(&node->checkpoint_config);
        }
        g_queue_clear_full(&n->messages, (GDestroyNotify) envelope_free);
        g_queue_clear_full(&answers, g_free);
        g_free(n);
}

static bool listed(const uint32_t *sids, uint32_t sid) {
        for (; sids && *sids != 0; sids++)
                if (*sids == sid)
                        return true;

        return false;
}

GBytes *net_config(Net *n, const uint32_t *voters, const uint32_t *observers) {
        ZabConfigMember members[NODES_MAX];
        unsigned count = 0;

        for (uint32_t sid = 1; sid <= n->nodes_count; sid++)
                if (listed(voters, sid) || listed(observers, sid))
                        members[count++] = (ZabConfigMember) {
                                .sid = sid,
                                .disk_id = n->nodes[sid].disk_id,
                                .role = listed(voters, sid) ? ZAB_MEMBER_VOTER : ZAB_MEMBER_OBSERVER,
                                .name = "h",
                                .address = "",
                        };
        return zab_config_encode(members, count);
}

void node_start(Net *n, uint32_t sid) {
        Node *node = &n->nodes[sid];
        ZabEffects e = effects;
        uint32_t founders[NODES_MAX + 1] = { 0 };
        g_autoptr(GBytes) genesis = NULL;
        ZabOptions o = {
                .sid = sid,
                .disk_id = node->disk_id,
                .prng_seed = sid * 77,
                .tail_bytes = n->tail_bytes,
                .window_bytes = n->window_bytes,
        };

        for (uint32_t i = 1, count = 0; i <= n->nodes_count; i++)
                if (n->nodes[i].membership == ZAB_MEMBERSHIP_MEMBER)
                        founders[count++] = i;
        o.genesis = genesis = net_config(n, founders, NULL);
        memset(&o.cluster_id, 0xc1, sizeof(o.cluster_id));
        e.userdata = node;
        node->role = ZAB_ROLE_STOPPED;
        node->zab = zab_new(&o, &e);
        if (node->checkpoint.index > 0)
                g_assert_cmpint(zab_restore_checkpoint(node->zab, &node->checkpoint, node->checkpoint_config), ==, 0);
        for (guint i = 0; i < node->log->len; i++)
                g_assert_cmpint(zab_restore_entry(node->zab, g_ptr_array_index(node->log, i)), ==, 0);
        g_array_set_size(node->applied, 0);
        node->first_applied = node->checkpoint.index + 1;
        node->base = node->checkpoint.index;
        zab_start(node->zab, &node->meta, n->now);
}

void node_crash(Net *n, uint32_t sid) {
        Node *node = &n->nodes[sid];

        if (!node->zab)
                return;

        node->zab = zab_free(node->zab);
        g_queue_clear_full(&node->operations, (GDestroyNotify) operation_free);
        node->meta_io_seq = 0;
        memset(node->open, 0, sizeof(node->open));
        drop_incoming(node);
        for (GList *i = answers.head, *next; i; i = next) {
                next = i->next;
                if (((Answer *) i->data)->node == node) {
                        g_free(i->data);
                        g_queue_delete_link(&answers, i);
                }
        }
        for (uint32_t other = 1; other <= n->nodes_count; other++)
                if (other != sid)
                        net_disconnect(n, sid, other);
}

void node_wipe(Net *n, uint32_t sid) {
        Node *node = &n->nodes[sid];

        node_crash(n, sid);
        g_ptr_array_set_size(node->log, 0);
        clear_bytes(&node->checkpoint_config);
        node->checkpoint = (ZabPosition) { 0 };
        node->membership = ZAB_MEMBERSHIP_JOINING;
        set_disk(node, 7);
}

void node_checkpoint(Net *n, uint32_t sid) {
        Node *node = &n->nodes[sid];
        ZabPosition at = *zab_applied(node->zab);

        clear_bytes(&node->checkpoint_config);
        node->checkpoint_config = zab_checkpoint_config(node->zab);
        if (at.index > node->checkpoint.index)
                g_ptr_array_remove_range(node->log, 0, (guint) (at.index - node->checkpoint.index));
        node->checkpoint = at;
        node_step(n, sid, (ZabInput) { .type = ZAB_INPUT_CHECKPOINTED, .index = at.index });
}

void node_drop_log(Net *n, uint32_t sid) {
        Node *node = &n->nodes[sid];

        node->base = node->checkpoint.index;
        node_step(n, sid, (ZabInput) { .type = ZAB_INPUT_LOG_DROPPED, .index = node->base });
}

void node_log_durable(Net *n, uint32_t sid) {
        Node *node = &n->nodes[sid];
        uint64_t io_seq = 0;
        Operation *o;

        while ((o = g_queue_pop_head(&node->operations))) {
                g_assert_cmpuint(o->io_seq, >, io_seq);
                io_seq = o->io_seq;
                operation_done(node, o);
                operation_free(o);
        }
        if (io_seq > 0)
                node_step(n, sid, (ZabInput) { .type = ZAB_INPUT_LOG_DURABLE, .io_seq = io_seq });
}

void node_meta_durable(Net *n, uint32_t sid) {
        Node *node = &n->nodes[sid];
        uint64_t io_seq = node->meta_io_seq;

        if (io_seq == 0)
                return;

        node->meta = node->meta_writing;
        node->meta_io_seq = 0;
        node_step(n, sid, (ZabInput) { .type = ZAB_INPUT_META_DURABLE, .io_seq = io_seq });
}

/* The net */

static void up(Net *n, uint32_t at, uint32_t peer, uint64_t conn) {
        node_step(n, at, (ZabInput) { .type = ZAB_INPUT_PEER_UP, .sid = peer, .conn = conn,
                                      .disk_id = n->nodes[peer].disk_id });
}

static void down(Net *n, uint32_t at, uint64_t conn) {
        if (n->nodes[at].zab)
                node_step(n, at, (ZabInput) { .type = ZAB_INPUT_PEER_DOWN, .conn = conn });
}

void net_connect(Net *n, uint32_t a, uint32_t b) {
        uint64_t conn;

        if (!n->nodes[a].zab || !n->nodes[b].zab || n->conn[a][b] != 0)
                return;

        conn = n->conn[a][b] = n->conn[b][a] = ++n->conns;
        up(n, a, b, conn);
        up(n, b, a, conn);
}

void net_disconnect(Net *n, uint32_t a, uint32_t b) {
        uint64_t conn = n->conn[a][b];

        if (conn == 0)
                return;

        n->conn[a][b] = n->conn[b][a] = 0;
        for (GList *i = n->messages.head, *next; i; i = next) {
                next = i->next;
                if (((Envelope *) i->data)->conn == conn) {
                        envelope_free(i->data);
                        g_queue_delete_link(&n->messages, i);
                }
        }
        down(n, a, conn);
        down(n, b, conn);
}

void net_connect_all(Net *n) {
        for (uint32_t a = 1; a <= n->nodes_count; a++)
                for (uint32_t b = a + 1; b <= n->nodes_count; b++)
                        net_connect(n, a, b);
}

void net_isolate(Net *n, uint32_t sid, bool isolated) {
        for (uint32_t other = 1; other <= n->nodes_count; other++)
                n->blocked[sid][other] = n->blocked[other][sid] = isolated;
}

static void deliver(Net *n, GList *link) {
        Envelope *v = link->data;

        g_queue_delete_link(&n->messages, link);
        node_step(n, v->to->sid, (ZabInput) { .type = ZAB_INPUT_MESSAGE, .conn = v->conn, .message = &v->message });
        envelope_free(v);
}

bool net_deliver(Net *n, uint32_t from, uint32_t to) {
        for (GList *i = n->messages.head; i; i = i->next) {
                const Envelope *v = i->data;

                if (v->from->sid == from && v->to->sid == to) {
                        deliver(n, i);
                        return true;
                }
        }

        return false;
}

static bool deliver_one(Net *n) {
        for (GList *i = n->messages.head; i; i = i->next) {
                const Envelope *v = i->data;

                if (!n->blocked[v->from->sid][v->to->sid]) {
                        deliver(n, i);
                        return true;
                }
        }

        return false;
}

static bool answer_one(Net *n) {
        g_autofree Answer *a = g_queue_pop_head(&answers);

        if (!a)
                return false;

        if (a->type != ZAB_INPUT_PEER_DOWN)
                answer(a);
        else if (n->conn[a->node->sid][a->from] == a->request)
                net_disconnect(n, a->node->sid, (uint32_t) a->from);
        return true;
}

static bool complete_one(Net *n) {
        for (uint32_t sid = 1; sid <= n->nodes_count; sid++) {
                Node *node = &n->nodes[sid];

                if (node->zab && !node->slow_log && !g_queue_is_empty(&node->operations)) {
                        node_log_durable(n, sid);
                        return true;
                }
                if (node->zab && !node->slow_meta && node->meta_io_seq > 0) {
                        node_meta_durable(n, sid);
                        return true;
                }
        }

        return false;
}

void net_settle(Net *n) {
        unsigned steps = 0;

        while (answer_one(n) || complete_one(n) || deliver_one(n))
                g_assert_cmpuint(++steps, <, 1000000);
}

void net_run(Net *n, uint64_t usec) {
        uint64_t end = n->now + usec;

        while (n->now < end) {
                n->now += 10000;
                for (uint32_t sid = 1; sid <= n->nodes_count; sid++)
                        if (n->nodes[sid].zab && zab_timeout_usec(n->nodes[sid].zab) <= n->now)
                                node_step(n, sid, (ZabInput) { .type = ZAB_INPUT_TICK });
                net_settle(n);
                if (!n->manual_network) {
                        net_connect_all(n);
                        net_settle(n);
                }
        }
}

int node_step(Net *n, uint32_t sid, ZabInput in) {
        in.now_usec = n->now;
        g_assert_nonnull(n->nodes[sid].zab);
        return zab_step(n->nodes[sid].zab, &in, NULL);
}

int node_propose(Net *n, uint32_t sid, const char *text, Zxid *ret_zxid) {
        g_autoptr(GBytes) b = g_bytes_new(text, strlen(text));
        ZabInput in = { .type = ZAB_INPUT_PROPOSE, .entry_type = ZAB_ENTRY_REQUEST, .payload = b, .now_usec = n->now };

        return zab_step(n->nodes[sid].zab, &in, ret_zxid);
}

int node_read(Net *n, uint32_t sid, uint64_t id) {
        return node_step(n, sid, (ZabInput) { .type = ZAB_INPUT_READ_INDEX, .read_id = id });
}

int node_reconfigure(Net *n, uint32_t sid, GBytes *config, Zxid base) {
        return node_step(n, sid, (ZabInput) { .type = ZAB_INPUT_RECONFIGURE, .payload = config, .base = base });
}

bool node_has_read(const Node *node, uint64_t id) {
        for (guint i = 0; i < node->reads->len; i++)
                if (g_array_index(node->reads, uint64_t, i) == id)
                        return true;

        return false;
}

void net_forge(Net *n, uint32_t from, uint32_t to, const ZabMessage *m) {
        node_step(n, to, (ZabInput) { .type = ZAB_INPUT_MESSAGE, .conn = n->conn[from][to], .message = m });
}

Envelope *net_find(const Net *n, uint32_t from, uint32_t to, ZabMessageType type) {
        for (GList *i = n->messages.head; i; i = i->next) {
                Envelope *v = i->data;

                if (v->from->sid == from && v->to->sid == to && v->message.type == type)
                        return v;
        }

        return NULL;
}

unsigned net_count(const Net *n, uint32_t from, uint32_t to, ZabMessageType type) {
        unsigned count = 0;

        for (GList *i = n->messages.head; i; i = i->next) {
                const Envelope *v = i->data;

                count += v->from->sid == from && v->to->sid == to && v->message.type == type;
        }

        return count;
}

uint32_t net_leader(const Net *n) {
        uint32_t leader = 0;

        for (uint32_t sid = 1; sid <= n->nodes_count; sid++)
                if (n->nodes[sid].zab && zab_role(n->nodes[sid].zab) == ZAB_ROLE_LEADER) {
                        g_assert_cmpuint(leader, ==, 0);
                        leader = sid;
                }

        g_assert_cmpuint(leader, >, 0);
        return leader;
}

void net_check_equal(const Net *n) {
        const Zab *leader = n->nodes[net_leader(n)].zab;

        for (uint32_t sid = 1; sid <= n->nodes_count; sid++) {
                const Node *node = &n->nodes[sid];

                if (!node->zab)
                        continue;

                g_assert_true(node->role == ZAB_ROLE_LEADER || node->role == ZAB_ROLE_FOLLOWER);
                g_assert_cmpuint(zab_applied(node->zab)->index, ==, zab_last(leader)->index);
                g_assert_true(hash128_equal(zab_applied(node->zab)->chain, zab_last(leader)->chain));
        }
}
