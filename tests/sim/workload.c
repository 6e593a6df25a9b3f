/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Workload: clients.
 */

#include "tests/sim/workload.h"

#include <assert.h>
#include <string.h>

#include "tests/sim/judge.h"

#define OUTSTANDING_MAX 4

static void op_free(gpointer p) {
        Op *op = p;

        g_bytes_unref(op->request);
        g_free(op);
}

static void conversation_free(gpointer p) {
        Conversation *v = p;

        for (guint i = 0; i < v->registrations->len; i++)
                g_free(g_array_index(v->registrations, Registration, i).path);
        for (guint i = 0; i < v->events->len; i++)
                g_free(g_array_index(v->events, WatchRecord, i).path);
        g_array_unref(v->registrations);
        g_array_unref(v->events);
        g_free(v);
}

static Client *add_client(World *w) {
        Client *c = g_new0(Client, 1);

        c->world = w;
        c->number = w->workload->clients->len;
        g_queue_init(&c->outstanding);
        g_ptr_array_add(w->workload->clients, c);
        agenda_add(&w->agenda, w->now_usec + world_draw(w, &w->params.op_usec), EVENT_CLIENT, 0, c->number);
        return c;
}

void workload_init(World *w) {
        Workload *l = w->workload = g_new0(Workload, 1);

        l->clients = g_ptr_array_new();
        l->ops = g_ptr_array_new_with_free_func(op_free);
        l->conversations = g_ptr_array_new_with_free_func(conversation_free);
        l->sessions = g_array_new(FALSE, FALSE, sizeof(SimSession));
        for (unsigned i = 0; i < w->params.clients; i++)
                (void) add_client(w);
}

void workload_done(World *w) {
        Workload *l = w->workload;

        for (guint i = 0; i < l->clients->len; i++) {
                Client *c = l->clients->pdata[i];

                g_queue_clear(&c->outstanding);
                g_free(c);
        }
        g_ptr_array_unref(l->clients);
        g_ptr_array_unref(l->ops);
        g_ptr_array_unref(l->conversations);
        g_array_unref(l->sessions);
        g_free(l);
}

static Conversation *conversation(Client *c) {
        return c->world->workload->conversations->pdata[c->connection - 1];
}

uint32_t workload_session_timeout_msec(const World *w, uint64_t session) {
        for (guint i = w->workload->sessions->len; i-- > 0;)
                if (g_array_index(w->workload->sessions, SimSession, i).id == session)
                        return g_array_index(w->workload->sessions, SimSession, i).timeout_msec;
        return 0;
}

/*
 * What clients hear
 */

static void add_registration(Client *c, uint64_t watch, const char *path, WatchKind kind, Zxid since, uint64_t session) {
        Registration r = { watch, g_strdup(path), kind, since, session };

        g_array_append_val(conversation(c)->registrations, r);
}

/* The rules of zookeeper-semantics 2.11: exists also watches what is not there. */
static void register_read(Client *c, const Op *op, const Result *result) {
        DecodedRequest d;

        if (op->watch == 0 || (result->status != CONVENE_OK &&
                               !(op->op == REQUEST_EXISTS && result->status == CONVENE_NO_NODE)))
                return;
        if (!request_decode(g_bytes_get_data(op->request, NULL), g_bytes_get_size(op->request), &d))
                g_assert_not_reached();
        add_registration(c, op->watch, d.request.path, op->op == REQUEST_GET_CHILDREN ? WATCH_CHILDREN : WATCH_DATA,
                         result->zxid, op->session);
        request_decoded_done(&d);
}

static void keep(Client *c, bool kept) {
        member_keep_session(c->host->member, c->session, kept);
        judge_on_keep(c->host, c->session);
        c->keeping = kept;
}

static void lose_session(Client *c) {
        c->session = 0;
        c->attached = c->kept = c->keeping = false;
}

bool workload_keeps(const Host *h, uint64_t session) {
        GPtrArray *clients = h->world->workload->clients;

        for (guint i = 0; i < clients->len; i++) {
                const Client *c = clients->pdata[i];

                if (c->host == h && c->session == session && c->attached && c->keeping)
                        return true;
        }
        return false;
}

static void on_session_reply(Client *c, const Op *op, const Result *result) {
        World *w = c->world;
        SimSession s = { result->session, result->timeout_msec };

        if (result->status == CONVENE_OK && op->op != REQUEST_CLOSE_SESSION) {
                c->session = result->session;
                c->timeout_msec = result->timeout_msec;
                c->attached = true;
                g_array_append_val(w->workload->sessions, s);
                if (op->op == REQUEST_OPEN_SESSION) {
                        c->kept = prng_chance(&w->prng, 400);
                        w->statistics->sessions++;
                } else
                        w->statistics->moves++;
        } else if (op->op != REQUEST_OPEN_SESSION)
                lose_session(c);
}

static void check_answer(Client *c, const Op *op, const Result *result) {
        World *w = c->world;
        Conversation *v = conversation(c);
        bool is_update = request_op_is_update(op->op);

        if (result->zxid < v->last_zxid)
                world_fail(w, "S5", "request %" PRIu64 " on h%u is answered at " ZXID_FORMAT ", after one at " ZXID_FORMAT,
                           op->number, c->host->sid, result->zxid, v->last_zxid);
        if (is_update && result->status == CONVENE_OK && result->zxid <= op->floor)
                world_fail(w, "R1", "update %" PRIu64 " on h%u has " ZXID_FORMAT ", but " ZXID_FORMAT
                           " was acknowledged before it was made", op->number, c->host->sid, result->zxid, op->floor);
        if (op->linearizable && result->status == CONVENE_OK && result->zxid < op->floor)
                world_fail(w, "R1", "linearizable read %" PRIu64 " on h%u is of " ZXID_FORMAT ", but " ZXID_FORMAT
                           " was acknowledged before it was made", op->number, c->host->sid, result->zxid, op->floor);
        v->last_zxid = MAX(v->last_zxid, result->zxid);
}

static void count_answer(World *w, const Op *op) {
        Statistics *s = w->statistics;

        if (op->status == CONVENE_FATE_UNKNOWN)
                s->writes_unknown++;
        else if (op->status == CONVENE_NOT_READY)
                s->writes_refused++;
        else if (!request_op_is_update(op->op)) {
                s->reads++;
                s->linear_reads += op->linearizable;
        } else if (op->status == CONVENE_OK)
                s->writes++;
        else
                s->writes_failed++;
}

static void on_reply(void *userdata, uint64_t tag, const Result *result) {
        Client *c = userdata;
        World *w = c->world;
        Op *op = g_queue_pop_head(&c->outstanding);

        if (!op || op->number != tag) {
                world_fail(w, "S6", "h%u answers %" PRIu64 ", next is %" PRIu64, c->host->sid, tag, op ? op->number : 0);
                return;
        }
        TRACE(w, "client %u: %" PRIu64 " on h%u: %s " ZXID_FORMAT, c->number, tag, c->host->sid,
              convene_status_to_string(result->status), result->zxid);
        workload_note_answer(w, op, result);
        if (result->status == CONVENE_NOT_READY || result->status == CONVENE_FATE_UNKNOWN)
                return;
        check_answer(c, op, result);
        w->workload->acknowledged = MAX(w->workload->acknowledged, result->zxid);
        if (op->op == REQUEST_OPEN_SESSION || op->op == REQUEST_ATTACH_SESSION || op->op == REQUEST_CLOSE_SESSION)
                on_session_reply(c, op, result);
        if (result->status == CONVENE_SESSION_EXPIRED && op->session == c->session)
                lose_session(c);
        if (result->status == CONVENE_SESSION_MOVED && op->session == c->session)
                c->attached = c->keeping = false;
        if (c->probe && result->status == CONVENE_OK)
                c->satisfied = true;
        if (!w->workload->founded && op->op == REQUEST_CREATE)
                w->workload->founded = result->status == CONVENE_OK || result->status == CONVENE_NODE_EXISTS;
        register_read(c, op, result);
}

static void on_event(void *userdata, uint64_t watch, WatchEventType type, const char *path, Zxid zxid, bool spent) {
        Client *c = userdata;
        World *w = c->world;
        Conversation *v = conversation(c);
        WatchRecord record = { watch, type, NULL, zxid, spent };

        TRACE(w, "client %u: event %d %s " ZXID_FORMAT " on h%u", c->number, type, path, zxid, c->host->sid);
        w->statistics->watch_events++;
        world_hash(w, zxid ^ watch << 32 ^ type);
        if (v->end != 0)
                return;
        if (zxid <= v->last_zxid)
                world_fail(w, "W1", "h%u tells of " ZXID_FORMAT " after it has answered at " ZXID_FORMAT, c->host->sid,
                           zxid, v->last_zxid);
        record.path = g_strdup(path);
        g_array_append_val(v->events, record);
}

static const MemberFront front = { on_reply, on_event };

/*
 * What clients do
 */

Op *workload_note(World *w, const Host *h, const Request *r, unsigned flags) {
        Op *op = g_new0(Op, 1);

        g_ptr_array_add(w->workload->ops, op);
        op->number = w->workload->ops->len;
        op->host = h->sid;
        request_encode(r, &w->writer);
        op->request = writer_to_bytes(&w->writer);
        op->op = r->op;
        op->session = r->session;
        op->linearizable = flags & MEMBER_LINEARIZABLE;
        op->floor = w->workload->acknowledged;
        op->invoked_usec = w->now_usec;
        return op;
}

void workload_note_answer(World *w, Op *op, const Result *result) {
        op->state = result->status == CONVENE_FATE_UNKNOWN ? OP_UNKNOWN : OP_ANSWERED;
        op->status = result->status;
        op->zxid = result->zxid;
        op->answered_usec = w->now_usec;
        op->version = result->stat.version;
        op->value = request_value(result->data, result->data_size);
        op->result_hash = result_hash(result);
        world_hash(w, op->result_hash);
        count_answer(w, op);
}

static void submit(Client *c, Asked *a) {
        World *w = c->world;
        Op *op = workload_note(w, c->host, &a->request, a->flags);

        op->client = c->number;
        op->connection = c->connection;
        op->unique = a->unique;
        op->watch = a->watch_kind != 0 ? ++w->workload->next_watch : 0;
        TRACE(w, "client %u: %" PRIu64 " op %d %s%s on h%u", c->number, op->number, op->op, a->request.path ?: "",
              op->linearizable ? " linearizable" : "", c->host->sid);
        g_queue_push_tail(&c->outstanding, op);
        member_submit(c->member, op->number, &a->request, op->watch, a->flags);
        if (c->host)
                host_after_input(c->host);
}

static void connect_to(Client *c, Host *h) {
        Conversation *v = g_new0(Conversation, 1);
        World *w = c->world;

        v->client = c->number;
        v->host = h->sid;
        v->registrations = g_array_new(FALSE, FALSE, sizeof(Registration));
        v->events = g_array_new(FALSE, FALSE, sizeof(WatchRecord));
        g_ptr_array_add(w->workload->conversations, v);
        c->connection = w->workload->conversations->len;
        c->host = h;
        c->attached = false;
        c->member = member_client_new(h->member, &front, c);
}

/* Its member is there still. */
static void end_conversation(Client *c) {
        Conversation *v = conversation(c);

        if (v->end == 0)
                v->end = MAX(tree_zxid(member_get_tree(c->host->member)), 1);
}

void workload_end(World *w) {
        for (guint i = 0; i < w->workload->clients->len; i++) {
                Client *c = w->workload->clients->pdata[i];

                if (c->host)
                        end_conversation(c);
        }
}

static void disconnect(Client *c) {
        Op *op;

        end_conversation(c);
        c->member = member_client_free(c->member);
        if (c->attached && c->keeping)
                keep(c, false);
        c->host = NULL;
        c->attached = false;
        while ((op = g_queue_pop_head(&c->outstanding)))
                op->state = OP_UNKNOWN;
}

void workload_host_gone(Host *h) {
        GPtrArray *clients = h->world->workload->clients;

        for (guint i = 0; i < clients->len; i++) {
                Client *c = clients->pdata[i];

                if (c->host == h)
                        disconnect(c);
        }
}

void workload_on_session_ended(Host *h, uint64_t session, bool expired) {
        GPtrArray *clients = h->world->workload->clients;

        h->world->statistics->expirations += expired;
        for (guint i = 0; i < clients->len; i++) {
                Client *c = clients->pdata[i];

                if (c->host == h && c->session == session && c->attached)
                        lose_session(c);
        }
}

/* Changes that a snapshot skips are told to nobody: what is watched from here on is not looked at any more. */
void workload_on_snapshot(Host *h) {
        GPtrArray *clients = h->world->workload->clients;

        for (guint i = 0; i < clients->len; i++) {
                Client *c = clients->pdata[i];

                if (c->host == h)
                        end_conversation(c);
        }
}

static void watch_something(Client *c) {
        static const WatchKind kinds[] = { WATCH_PERSISTENT, WATCH_PERSISTENT_RECURSIVE };
        World *w = c->world;
        WatchKind kind = kinds[prng_below(&w->prng, 2)];
        uint64_t watch = ++w->workload->next_watch;
        Identity super = { "super", "" };
        Zxid zxid = tree_zxid(member_get_tree(c->host->member));
        const char *path = prng_next(&w->prng) & 1 ? "/s" : "/s/k1";

        if (member_watch(c->member, watch, path, kind, 0, (Identities) { &super, 1 }, 0) == CONVENE_OK)
                add_registration(c, watch, path, kind, zxid, 0);
}

static Host *choose_host(World *w) {
        Host *h = &w->hosts[1 + prng_below(&w->prng, w->params.hosts)];

        return h->state == HOST_UP && !host_is_paused(h) ? h : NULL;
}

static void tend_session(Client *c) {
        if (!c->attached)
                return;
        if (c->kept)
                keep(c, true);
        else {
                member_touch_session(c->host->member, c->session);
                judge_on_local_touch(c->host, c->session);
        }
        host_after_input(c->host);
}

static void act(Client *c) {
        World *w = c->world;
        uint64_t number = w->workload->ops->len + 1;
        bool busy = c->outstanding.length > 0;
        Asked a;

        if (c->probe && w->workload->founded) {
                if (busy || c->satisfied)
                        return;
                request_probe(c, number, &a);
        } else if (!w->workload->founded) {
                if (busy)
                        return;
                request_found(c, &a);
        } else if (c->session != 0 && !c->attached) {
                if (busy)
                        return;
                request_attach(c, &a);
        } else if (c->session == 0 && !busy && prng_chance(&w->prng, 200))
                request_open(c, number, &a);
        else if (prng_chance(&w->prng, w->params.watch_share / 6)) {
                watch_something(c);
                return;
        } else
                request_draw(c, number, &a);
        submit(c, &a);
}

/* A session under way to being opened or attached is waited for; so is a member that is paused. */
static bool may_ask(const Client *c) {
        const Op *last = g_queue_peek_tail((GQueue *) &c->outstanding);

        if (c->outstanding.length >= OUTSTANDING_MAX)
                return false;
        return !last || (last->op != REQUEST_OPEN_SESSION && last->op != REQUEST_ATTACH_SESSION &&
                         last->op != REQUEST_CLOSE_SESSION);
}

#define EXTRA (UINT64_C(1) << 32)       /* an event beside the client's own */

void workload_on_pause(Host *h) {
        World *w = h->world;

        for (guint i = 0; i < w->workload->clients->len; i++)
                if (((Client *) w->workload->clients->pdata[i])->host == h && prng_next(&w->prng) & 1)
                        agenda_add(&w->agenda, h->resume_usec, EVENT_CLIENT, 0, i | EXTRA);
}

void workload_on_client(World *w, uint64_t number) {
        Client *c = w->workload->clients->pdata[number & (EXTRA - 1)];
        Host *h;

        if (!w->done && !(number & EXTRA))
                agenda_add(&w->agenda, w->now_usec + world_draw(w, &w->params.op_usec), EVENT_CLIENT, 0, number);
        if (w->workload->stopped && c->outstanding.length == 0 && !c->probe)
                return;
        if (!c->host) {
                h = choose_host(w);
                if (h && !c->probe && !w->workload->stopped)
                        connect_to(c, h);
                return;
        }
        if (host_is_paused(c->host))
                return;
        if (prng_chance(&w->prng, 15) && !c->probe) {
                disconnect(c);
                return;
        }
        tend_session(c);
        if (!w->workload->stopped && may_ask(c))
                act(c);
}

/*
 * Phase 2
 */

void workload_add_probe(World *w, Host *h) {
        Client *c = add_client(w);

        c->probe = true;
        connect_to(c, h);
}

bool workload_probes_satisfied(const World *w) {
        for (guint i = 0; i < w->workload->clients->len; i++) {
                const Client *c = w->workload->clients->pdata[i];

                if (c->probe && !c->satisfied && world_takes_part(w, c->host))
                        return false;
        }
        return true;
}

bool workload_is_idle(const World *w) {
        for (guint i = 0; i < w->workload->clients->len; i++) {
                const Client *c = w->workload->clients->pdata[i];

                if (c->outstanding.length > 0 && world_takes_part(w, c->host))
                        return false;
        }
        return true;
}
