/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Members wired together in one process
 */

#include "tests/unit/member-network.h"

#include <string.h>

#include "agent/tree/chunk.h"

typedef enum JobType {
        JOB_APPEND,
        JOB_META,
        JOB_READ_LOG,
        JOB_OPEN_SNAPSHOT,
        JOB_READ_SNAPSHOT,
} JobType;

typedef struct Job {
        JobType type;
        uint64_t number, from, to;
} Job;

typedef struct Message {
        uint32_t from, to;
        uint64_t conn;
        PeerMessage message;
        GPtrArray *owned;               /* g_free */
        GPtrArray *bytes;               /* GBytes */
} Message;

/*
 * Messages outlive the call that sends them
 */

static void *own(Message *to, const void *data, size_t size) {
        void *copy = data && size > 0 ? g_memdup2(data, size) : NULL;

        if (copy)
                g_ptr_array_add(to->owned, copy);
        return copy;
}

static GBytes *hold(Message *to, GBytes *bytes) {
        if (bytes)
                g_ptr_array_add(to->bytes, g_bytes_ref(bytes));
        return bytes;
}

static const char *own_text(Message *to, const char *s) {
        return s ? own(to, s, strlen(s) + 1) : NULL;
}

static void own_zab(Message *to, ZabMessage *z) {
        hold(to, z->config);
        hold(to, z->bytes);
        hold(to, z->hello.config);
        hold(to, z->hello.pending_config);
        z->entries = own(to, z->entries, z->entries_count * sizeof(ZabEntry));
        for (unsigned i = 0; i < z->entries_count; i++)
                hold(to, z->entries[i].payload);
        z->sync.ends = own(to, z->sync.ends, z->sync.ends_count * sizeof(ZabEpochEnd));
        z->text = own_text(to, z->text);
}

static void own_member(Message *to, MemberMessage *m) {
        hold(to, m->payload);
        m->sessions = own(to, m->sessions, m->sessions_count * sizeof(uint64_t));
        m->change.member.name = own_text(to, m->change.member.name);
        m->change.member.address = own_text(to, m->change.member.address);
        m->change.member.pin = own(to, m->change.member.pin, m->change.member.pin_size);
}

static void message_free(Message *m) {
        g_ptr_array_unref(m->owned);
        g_ptr_array_unref(m->bytes);
        g_free(m);
}

static Message *message_new(uint32_t from, uint32_t to, uint64_t conn, const PeerMessage *message) {
        Message *m = g_new0(Message, 1);

        m->from = from;
        m->to = to;
        m->conn = conn;
        m->message = *message;
        m->owned = g_ptr_array_new_with_free_func(g_free);
        m->bytes = g_ptr_array_new_with_free_func((GDestroyNotify) g_bytes_unref);
        if (message->is_zab)
                own_zab(m, &m->message.zab);
        else
                own_member(m, &m->message.member);
        return m;
}

static uint32_t sid_of_conn(const Host *h, uint64_t conn) {
        for (uint32_t sid = 1; sid <= HOSTS_MAX; sid++)
                if (conn != 0 && h->conns[sid] == conn)
                        return sid;
        return 0;
}

static void disconnect(Network *n, Host *a, Host *b) {
        uint64_t conn = a->conns[b->sid];

        if (conn == 0)
                return;

        a->conns[b->sid] = b->conns[a->sid] = 0;
        for (GList *i = n->messages.head, *next; i; i = next) {
                next = i->next;
                if (((Message *) i->data)->conn != conn)
                        continue;
                message_free(i->data);
                g_queue_delete_link(&n->messages, i);
        }
        if (a->member)
                member_on_peer_down(a->member, conn, b->sid);
        if (b->member)
                member_on_peer_down(b->member, conn, a->sid);
}

static void connect_all(Network *n) {
        for (uint32_t i = 1; i <= n->hosts_count; i++)
                for (uint32_t k = i + 1; k <= n->hosts_count; k++) {
                        Host *a = &n->hosts[i], *b = &n->hosts[k];

                        if (!a->member || !b->member || a->conns[k] != 0 || n->cut[i][k] || n->cut[k][i])
                                continue;
                        a->conns[k] = b->conns[i] = ++n->next_conn;
                        member_on_peer_up(a->member, n->next_conn, k, &b->meta.disk_id);
                        if (b->conns[i] != 0)
                                member_on_peer_up(b->member, b->conns[i], i, &a->meta.disk_id);
                }
}

/*
 * The driver
 */

static void push_job(Host *h, Job job) {
        g_queue_push_tail(&h->jobs, g_memdup2(&job, sizeof(job)));
}

static void entry_free(void *p) {
        g_bytes_unref(((ZabEntry *) p)->payload);
        g_free(p);
}

static void on_append(void *userdata, uint64_t io_seq, const ZabEntry *entries, unsigned count) {
        Host *h = userdata;

        for (unsigned i = 0; i < count; i++) {
                ZabEntry *e = g_memdup2(&entries[i], sizeof(*e));

                g_bytes_ref(e->payload);
                g_ptr_array_add(h->log, e);
        }
        push_job(h, (Job) { JOB_APPEND, io_seq });
}

static void on_truncate(void *userdata, uint64_t io_seq, const ZabPosition *position) {
        Host *h = userdata;

        g_ptr_array_set_size(h->log, position->index - h->base_index);
        push_job(h, (Job) { JOB_APPEND, io_seq });
}

static void on_write_meta(void *userdata, uint64_t io_seq, const ZabMeta *meta) {
        Host *h = userdata;

        h->meta = *meta;
        push_job(h, (Job) { JOB_META, io_seq });
}

static GPtrArray *chunks_new(void) {
        return g_ptr_array_new_with_free_func((GDestroyNotify) g_bytes_unref);
}

static void on_snap_begin(void *userdata, const ZabPosition *position, GBytes *config) {
        Host *h = userdata;

        h->incoming = *position;
        g_clear_pointer(&h->incoming_config, g_bytes_unref);
        h->incoming_config = g_bytes_ref(config);
        g_ptr_array_set_size(h->incoming_chunks, 0);
}

static void on_snap_chunk(void *userdata, GBytes *chunk) {
        g_ptr_array_add(((Host *) userdata)->incoming_chunks, g_bytes_ref(chunk));
}

static void on_snap_abort(void *userdata) {
        g_ptr_array_set_size(((Host *) userdata)->incoming_chunks, 0);
}

static void on_snap_install(void *userdata, uint64_t io_seq, const ZabMeta *meta, Hash128 digest) {
        Host *h = userdata;

        h->meta = *meta;
        h->checkpoint = h->incoming;
        g_clear_pointer(&h->checkpoint_config, g_bytes_unref);
        h->checkpoint_config = g_steal_pointer(&h->incoming_config);
        g_ptr_array_unref(h->checkpoint_chunks);
        h->checkpoint_chunks = h->incoming_chunks;
        h->incoming_chunks = chunks_new();
        g_ptr_array_set_size(h->log, 0);
        h->base_index = h->checkpoint.index;
        h->base_zxid = h->checkpoint.zxid;
        h->snapshots++;
        push_job(h, (Job) { JOB_APPEND, io_seq });
}

static void on_read_log(void *userdata, uint64_t request, uint64_t from, uint64_t to, uint64_t bytes_max) {
        push_job(userdata, (Job) { JOB_READ_LOG, request, from, to });
}

static void on_open_snapshot(void *userdata, uint64_t request) {
        push_job(userdata, (Job) { JOB_OPEN_SNAPSHOT, request });
}

static void on_read_snapshot(void *userdata, uint64_t request) {
        push_job(userdata, (Job) { JOB_READ_SNAPSHOT, request });
}

static void on_close_snapshot(void *userdata, uint64_t request) {
}

static void on_send(void *userdata, uint64_t conn, const PeerMessage *message) {
        Host *h = userdata;
        uint32_t to = sid_of_conn(h, conn);

        if (to != 0)
                g_queue_push_tail(&h->network->messages, message_new(h->sid, to, conn, message));
}

/* Both ends hear of it later, from the pump. */
static void on_close(void *userdata, uint64_t conn, const char *reason) {
        Host *h = userdata;
        uint32_t to = sid_of_conn(h, conn);
        PeerMessage end = { .is_zab = true, .zab = { .type = _ZAB_MESSAGE_MAX } };

        h->closes++;
        g_string_assign(h->close_reason, reason);
        if (to != 0)
                g_queue_push_tail(&h->network->messages, message_new(h->sid, to, conn, &end));
}

static void on_config_changed(void *userdata) {
}

static void on_role_changed(void *userdata, ZabRole role, uint32_t epoch, const char *reason) {
        Host *h = userdata;

        if (g_getenv("MEMBER_NETWORK_TRACE"))
                g_printerr("%" PRIu64 " h%u: role %d epoch %u: %s\n", h->network->now_usec, h->sid, role, epoch, reason);
}

static void on_session_ended(void *userdata, uint64_t session, bool expired) {
        g_string_append_printf(((Host *) userdata)->trace, "%s ", expired ? "expired" : "closed");
}

static void on_soft_quota(void *userdata, const char *path) {
}

static void on_diverged(void *userdata, uint64_t index) {
        g_string_append(((Host *) userdata)->trace, "diverged ");
}

static void on_get_time(void *userdata, uint64_t *ret_now_usec, int64_t *ret_wall_msec) {
        *ret_now_usec = ((Host *) userdata)->network->now_usec;
        *ret_wall_msec = 1000;
}

/*
 * The front
 */

static void on_reply(void *userdata, uint64_t tag, const Result *r) {
        Host *h = userdata;

        g_string_append_printf(h->trace, "%" PRIu64 ":%s", tag, convene_status_to_string(r->status));
        if (r->op == REQUEST_GET_DATA && r->status == CONVENE_OK)
                g_string_append_printf(h->trace, "=%.*s", (int) r->data_size, (const char *) r->data);
        if (r->op == REQUEST_GET_CHILDREN && r->status == CONVENE_OK)
                g_string_append_printf(h->trace, "=%u", r->items_count);
        g_string_append_c(h->trace, ' ');
}

static void on_event(void *userdata, uint64_t watch, WatchEventType type, const char *path, Zxid zxid, bool spent) {
        static const char *const names[] = { "", "created", "deleted", "data", "children" };

        g_string_append_printf(((Host *) userdata)->trace, "w%" PRIu64 ":%s(%s)%s ", watch, names[type], path,
                               spent ? "!" : "");
}

static void on_lost(void *userdata, uint64_t watch, const char *path, Zxid zxid) {
        g_string_append_printf(((Host *) userdata)->trace, "w%" PRIu64 ":lost(%s) ", watch, path);
}

static const MemberFront front = { .reply = on_reply, .event = on_event, .lost = on_lost };

void host_submit(Host *h, uint64_t tag, Request r, uint64_t watch, unsigned flags) {
        static const Identity super[] = { { "super", "" } };

        if (r.session == 0 && r.caller.count == 0)
                r.caller = (Identities) { super, 1 };
        member_submit(h->client, tag, &r, watch, flags);
}

void host_expect(Host *h, const char *trace) {
        g_assert_cmpstr(h->trace->str, ==, trace);
        g_string_truncate(h->trace, 0);
}

/*
 * I/O
 */

static void serve_open(Host *h, uint64_t request) {
        Tree *t = member_tree(h->member);
        const TreeRow *rows;
        unsigned count;
        ZabPosition position;
        GBytes *config;

        g_clear_pointer(&h->served, g_ptr_array_unref);
        h->served = chunks_new();
        tree_checkpoint_begin(t, /* full= */ true);
        h->served_digest = tree_checkpoint_digest(t);
        while (tree_checkpoint_next(t, 3, &rows, &count)) {
                g_auto(Writer) w = WRITER_INIT;

                if (count == 0)
                        continue;
                tree_chunk_encode(rows, count, &w);
                g_ptr_array_add(h->served, writer_to_bytes(&w));
        }
        member_get_applied(h->member, &position, &config);
        member_on_snapshot_opened(h->member, request, &position, config);
        g_clear_pointer(&config, g_bytes_unref);
}

static void serve_chunk(Host *h, uint64_t request) {
        g_autoptr(GBytes) chunk = NULL;

        if (h->served->len > 0)
                chunk = g_ptr_array_steal_index(h->served, 0);
        member_on_snapshot_chunk(h->member, request, chunk, h->served_digest);
}

static void serve_log(Host *h, const Job *j) {
        g_autofree ZabEntry *entries = g_new(ZabEntry, j->to - j->from + 1);
        unsigned count = 0;

        for (uint64_t i = j->from; i <= j->to && i > h->base_index && i <= h->base_index + h->log->len; i++)
                entries[count++] = *(ZabEntry *) h->log->pdata[i - h->base_index - 1];
        member_on_log_read(h->member, j->number, entries, count);
}

static bool do_job(Host *h) {
        g_autofree Job *j = h->member && !h->disk_stalled ? g_queue_pop_head(&h->jobs) : NULL;

        if (!j)
                return false;

        switch (j->type) {
        case JOB_APPEND: member_on_appended(h->member, j->number); break;
        case JOB_META: member_on_meta_written(h->member, j->number); break;
        case JOB_READ_LOG: serve_log(h, j); break;
        case JOB_OPEN_SNAPSHOT: serve_open(h, j->number); break;
        case JOB_READ_SNAPSHOT: serve_chunk(h, j->number); break;
        }
        return true;
}

static bool is_stuck(Network *n, const Message *m) {
        const PeerMessage *p = &m->message;

        if (n->stuck_at_keep[m->from] && !p->is_zab && p->member.type == MEMBER_MESSAGE_KEEP && p->member.sessions_count > 0)
                n->stuck[m->from] = true;

        return n->stuck[m->from];
}

static bool deliver(Network *n) {
        Message *m = g_queue_pop_head(&n->messages);
        Host *to;

        if (!m)
                return false;

        to = &n->hosts[m->to];
        if (m->message.is_zab && m->message.zab.type == _ZAB_MESSAGE_MAX) {
                if (n->hosts[m->from].conns[m->to] == m->conn)
                        disconnect(n, &n->hosts[m->from], to);
        } else if (to->member && to->conns[m->from] == m->conn && !n->silent[m->from] && !n->silent[m->to] && !is_stuck(n, m)) {
                member_on_message(to->member, m->conn, m->from, &m->message);
                n->delivered++;
        }
        message_free(m);
        return true;
}

void network_pump(Network *n) {
        for (bool busy = true; busy;) {
                busy = false;
                for (uint32_t sid = 1; sid <= n->hosts_count; sid++)
                        busy = do_job(&n->hosts[sid]) || busy;
                busy = deliver(n) || busy;
                if (n->kill_leader_at != 0 && n->delivered >= n->kill_leader_at) {
                        n->kill_leader_at = 0;
                        if (network_leader(n))
                                host_kill(network_leader(n));
                }
        }
}

void network_run(Network *n, uint64_t msec) {
        for (uint64_t end = n->now_usec + msec * 1000; n->now_usec < end;) {
                n->now_usec += 10000;
                connect_all(n);
                for (uint32_t sid = 1; sid <= n->hosts_count; sid++) {
                        Host *h = &n->hosts[sid];

                        if (h->member && n->now_usec >= member_next_tick_usec(h->member))
                                member_on_tick(h->member);
                }
                network_pump(n);
        }
}

void network_isolate(Network *n, uint32_t sid, bool isolated) {
        for (uint32_t other = 1; other <= n->hosts_count; other++) {
                n->cut[sid][other] = isolated;
                if (isolated && other != sid)
                        disconnect(n, &n->hosts[sid], &n->hosts[other]);
        }
}

/*
 * Hosts
 */

static bool load_row(void *userdata, const TreeRow *row) {
        const char *error;

        return tree_load_row(userdata, row, &error);
}

static Tree *load_tree(Host *h) {
        const TreeListener *listener = member_tree_listener(h->member);
        const char *error;
        Tree *t;

        if (h->checkpoint.index == 0)
                return tree_new(listener);

        t = tree_new_empty(listener);
        for (guint i = 0; i < h->checkpoint_chunks->len; i++)
                g_assert_true(tree_chunk_decode(h->checkpoint_chunks->pdata[i], load_row, t));
        g_assert_true(tree_load_finish(t, h->checkpoint.zxid, &error));
        return t;
}

static GBytes *genesis(const Network *n, unsigned voters) {
        ZabConfigMember members[HOSTS_MAX];
        static const char *const names[] = { "h1", "h2", "h3", "h4", "h5" };

        for (unsigned i = 0; i < n->hosts_count; i++)
                members[i] = (ZabConfigMember) {
                        .sid = i + 1,
                        .disk_id = n->hosts[i + 1].meta.disk_id,
                        .role = i < voters ? ZAB_MEMBER_VOTER : ZAB_MEMBER_OBSERVER,
                        .name = names[i],
                        .address = "",
                };
        return zab_config_encode(members, n->hosts_count);
}

static void host_create(Host *h, GBytes *config) {
        MemberDriver driver = {
                .append = on_append, .truncate = on_truncate, .write_meta = on_write_meta,
                .snap_begin = on_snap_begin, .snap_chunk = on_snap_chunk, .snap_install = on_snap_install,
                .snap_abort = on_snap_abort, .read_log = on_read_log, .open_snapshot = on_open_snapshot,
                .read_snapshot = on_read_snapshot, .close_snapshot = on_close_snapshot, .send = on_send,
                .close = on_close, .config_changed = on_config_changed, .role_changed = on_role_changed,
                .session_ended = on_session_ended, .soft_quota = on_soft_quota, .diverged = on_diverged,
                .get_time = on_get_time, .userdata = h,
        };
        MemberOptions options = {
                .zab = {
                        .sid = h->sid,
                        .disk_id = h->meta.disk_id,
                        .genesis = config,
                        .prng_seed = h->sid * 1000 + h->runs++,
                },
        };

        h->member = member_new(&options, &driver);
        g_assert_cmpint(member_take_tree(h->member, load_tree(h), &h->checkpoint, h->checkpoint_config), ==, 0);
        for (guint i = 0; i < h->log->len; i++)
                if (((ZabEntry *) h->log->pdata[i])->index > h->checkpoint.index)
                        g_assert_cmpint(member_replay(h->member, h->log->pdata[i]), ==, 0);
        h->client = member_client_new(h->member, &front, h);
        member_start(h->member, &h->meta);
}

void host_start(Host *h) {
        host_create(h, NULL);
}

void host_kill(Host *h) {
        Member *m = h->member;

        h->client = member_client_free(h->client);
        h->member = NULL;
        member_free(m);
        g_queue_clear_full(&h->jobs, g_free);
        for (uint32_t sid = 1; sid <= h->network->hosts_count; sid++)
                disconnect(h->network, h, &h->network->hosts[sid]);
}

void host_drop_log(Host *h) {
        const TreeRow *rows;
        unsigned count;
        Tree *t = member_tree(h->member);
        uint64_t dropped;

        g_clear_pointer(&h->checkpoint_config, g_bytes_unref);
        member_get_applied(h->member, &h->checkpoint, &h->checkpoint_config);
        g_ptr_array_set_size(h->checkpoint_chunks, 0);
        tree_checkpoint_begin(t, /* full= */ true);
        while (tree_checkpoint_next(t, 100, &rows, &count)) {
                g_auto(Writer) w = WRITER_INIT;

                tree_chunk_encode(rows, count, &w);
                g_ptr_array_add(h->checkpoint_chunks, writer_to_bytes(&w));
        }
        dropped = h->checkpoint.index - h->base_index;
        g_ptr_array_remove_range(h->log, 0, dropped);
        h->base_index = h->checkpoint.index;
        h->base_zxid = h->checkpoint.zxid;
        member_on_checkpointed(h->member, h->checkpoint.index);
        member_on_log_dropped(h->member, h->checkpoint.index);
}

Network *network_new(unsigned hosts, unsigned voters) {
        Network *n = g_new0(Network, 1);
        g_autoptr(GBytes) config = NULL;

        n->hosts_count = hosts;
        n->now_usec = 1000000;
        for (uint32_t sid = 1; sid <= hosts; sid++) {
                Host *h = &n->hosts[sid];

                *h = (Host) {
                        .network = n,
                        .sid = sid,
                        .trace = g_string_new(NULL),
                        .close_reason = g_string_new(NULL),
                        .log = g_ptr_array_new_with_free_func(entry_free),
                        .checkpoint_chunks = chunks_new(),
                        .incoming_chunks = chunks_new(),
                        .meta = { .disk_id = { { (uint8_t) sid } }, .sid = sid, .membership = ZAB_MEMBERSHIP_MEMBER },
                };
        }
        config = genesis(n, voters);
        for (uint32_t sid = 1; sid <= hosts; sid++)
                host_create(&n->hosts[sid], config);
        return n;
}

Network *network_free(Network *n) {
        for (uint32_t sid = 1; sid <= n->hosts_count; sid++) {
                Host *h = &n->hosts[sid];

                if (h->member)
                        tree_check(member_get_tree(h->member));
                if (h->member)
                        host_kill(h);
                g_clear_pointer(&h->checkpoint_config, g_bytes_unref);
                g_clear_pointer(&h->incoming_config, g_bytes_unref);
                g_clear_pointer(&h->served, g_ptr_array_unref);
                g_ptr_array_unref(h->log);
                g_ptr_array_unref(h->checkpoint_chunks);
                g_ptr_array_unref(h->incoming_chunks);
                g_string_free(h->trace, TRUE);
                g_string_free(h->close_reason, TRUE);
        }
        g_queue_clear_full(&n->messages, (GDestroyNotify) message_free);
        g_free(n);
        return NULL;
}

Host *network_leader(Network *n) {
        for (uint32_t sid = 1; sid <= n->hosts_count; sid++) {
                MemberStatus s;

                if (!n->hosts[sid].member)
                        continue;
                member_get_status(n->hosts[sid].member, &s);
                if (s.role == ZAB_ROLE_LEADER)
                        return &n->hosts[sid];
        }
        return NULL;
}

Host *network_follower(Network *n) {
        for (uint32_t sid = 1; sid <= n->hosts_count; sid++) {
                MemberStatus s;

                if (!n->hosts[sid].member)
                        continue;
                member_get_status(n->hosts[sid].member, &s);
                if (s.role == ZAB_ROLE_FOLLOWER && s.voter)
                        return &n->hosts[sid];
        }
        return NULL;
}

Host *network_settle(Network *n) {
        for (unsigned i = 0; i < 2000; i++) {
                bool all = network_leader(n) != NULL;

                for (uint32_t sid = 1; sid <= n->hosts_count; sid++) {
                        MemberStatus s = { .serving = true };

                        if (n->hosts[sid].member)
                                member_get_status(n->hosts[sid].member, &s);
                        all = all && s.serving;
                }
                if (all)
                        return network_leader(n);
                network_run(n, 10);
        }
        g_assert_not_reached();
}

void network_inject(Network *n, uint32_t from, uint32_t to, const MemberMessage *message) {
        PeerMessage m = { .member = *message };

        g_queue_push_tail(&n->messages, message_new(from, to, n->hosts[from].conns[to], &m));
}
