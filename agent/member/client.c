/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Client
 *
 * The requests of one connection of a front, in order.  Rules it keeps: answers leave in the order of the requests; a
 * read waits for the updates before it; an update is in the log before anything later of the same client is
 * (zookeeper-semantics 2.11.5); a request that finds no leader waits for one for a bounded time, so that a change of
 * leader is not an error to anybody (DESIGN 2.5).
 */

#include <assert.h>
#include <errno.h>

#include "agent/member/member-internal.h"

#define LEADER_WAIT_USEC UINT64_C(20000000)     /* below the 25 s after which a D-Bus caller gives up */

static void pending_free(Pending *p) {
        if (p->payload)
                g_bytes_unref(p->payload);
        g_free(p);
}

MemberClient *member_client_new(Member *m, const MemberFront *front, void *userdata) {
        MemberClient *c = g_new0(MemberClient, 1);

        c->member = m;
        c->front = front;
        c->userdata = userdata;
        g_queue_init(&c->pending);
        c->subscriptions = g_hash_table_new(g_int64_hash, g_int64_equal);
        g_queue_init(&c->subscription_list);
        c->link.data = c;
        g_queue_push_tail_link(&m->clients, &c->link);
        return c;
}

void client_destroy(MemberClient *c) {
        Member *m = c->member;
        Pending *p;

        assert(!c->front);

        while ((p = g_queue_pop_head(&c->pending))) {
                m->outstanding--;
                if (p->state == PENDING_APPLY) {
                        p->client = NULL;       /* it is in Member.proposals and freed when it is applied */
                        continue;
                }
                if (p->state == PENDING_INDEX)
                        g_hash_table_remove(m->confirming, &p->read_id);
                pending_free(p);
        }

        subscription_free_all(c);
        g_hash_table_unref(c->subscriptions);
        g_free(c);
}

MemberClient *member_client_free(MemberClient *c) {
        Member *m;

        if (!c)
                return NULL;

        m = c->member;
        c->front = NULL;
        g_queue_unlink(&m->clients, &c->link);
        if (m->depth > 0)
                g_queue_push_tail_link(&m->dead, &c->link);
        else
                client_destroy(c);
        return NULL;
}

unsigned member_client_pending(const MemberClient *c) {
        return c->pending.length;
}

static void reply(MemberClient *c, uint64_t tag, const Result *result) {
        if (c->front)
                c->front->reply(c->userdata, tag, result);
}

static void refuse(MemberClient *c, uint64_t tag, RequestOp op, ConveneStatus status) {
        Result result = { .op = op, .status = status, .zxid = tree_zxid(c->member->tree) };

        reply(c, tag, &result);
}

/* The read and the registration of its watch are one instant: nothing is applied between them. */
static void answer_read(MemberClient *c, uint64_t tag, const Request *r, uint64_t watch) {
        Member *m = c->member;
        Result result;

        m->statistics.reads++;
        tree_read(m->tree, r, &result);
        if (watch != 0) {
                bool found = result.status == CONVENE_OK;

                if (r->op == REQUEST_EXISTS && (found || result.status == CONVENE_NO_NODE))
                        subscription_add(c, watch, r->path, WATCH_DATA, r->session, r->caller);
                else if (r->op == REQUEST_GET_DATA && found)
                        subscription_add(c, watch, r->path, WATCH_DATA, r->session, r->caller);
                else if (r->op == REQUEST_GET_CHILDREN && found)
                        subscription_add(c, watch, r->path, WATCH_CHILDREN, r->session, r->caller);
        }
        reply(c, tag, &result);
}

/* Encodes `r` with the next cxid of its session. */
static GBytes *encode_update(Member *m, const Request *r) {
        Request copy = *r;

        copy.cxid = r->session == 0 ? 0 : liveness_next_cxid(m->liveness, r->session,
                                                             tree_session_cxid(m->tree, r->session));
        request_encode(&copy, &m->writer);
        return writer_to_bytes(&m->writer);
}

static bool propose(Pending *p, GBytes *payload) {
        Member *m = p->client->member;

        p->zxid = member_propose(m, payload);
        if (p->zxid == 0)
                return false;

        p->state = PENDING_APPLY;
        g_queue_push_tail(&m->proposals, p);
        return true;
}

/* The cxid is given when the entry is made, so that a session's numbers grow in the order of the log. */
static bool propose_again(Pending *p) {
        g_autoptr(GBytes) payload = NULL;
        DecodedRequest d;

        if (!request_decode(g_bytes_get_data(p->payload, NULL), g_bytes_get_size(p->payload), &d))
                g_assert_not_reached();         /* we encoded it */

        payload = encode_update(p->client->member, &d.request);
        request_decoded_done(&d);
        return propose(p, payload);
}

static void confirm(Pending *p) {
        Member *m = p->client->member;
        ZabInput in = { .type = ZAB_INPUT_READ_INDEX, .now_usec = m->now_usec, .read_id = ++m->next_read_id };

        p->read_id = in.read_id;                /* a fresh one each time (etcd #20418) */
        p->state = PENDING_INDEX;
        g_hash_table_insert(m->confirming, &p->read_id, p);
        if (zab_step(m->zab, &in, NULL) < 0) {
                g_hash_table_remove(m->confirming, &p->read_id);
                p->state = PENDING_LEADER;
        }
}

/* Gives waiting requests to zab, in order, as far as it takes them. */
static void start_waiting(MemberClient *c) {
        for (GList *i = c->pending.head; i; i = i->next) {
                Pending *p = i->data;

                if (p->state == PENDING_LEADER) {
                        if (request_op_is_update(p->op))
                                (void) propose_again(p);
                        else if (p->linearizable)
                                confirm(p);
                        else if (member_is_serving(c->member))
                                p->state = PENDING_TURN;
                }
                if (p->state == PENDING_LEADER || p->state == PENDING_INDEX)
                        return;                 /* what is behind it must not pass it */
        }
}

static void answer_turn(MemberClient *c, Pending *p) {
        DecodedRequest d;

        if (p->refusal != CONVENE_OK) {
                refuse(c, p->tag, p->op, p->refusal);
                return;
        }

        if (!request_decode(g_bytes_get_data(p->payload, NULL), g_bytes_get_size(p->payload), &d))
                g_assert_not_reached();         /* we encoded it */
        answer_read(c, p->tag, &d.request, p->watch);
        request_decoded_done(&d);
}

/* Answers from the head of the queue what can be answered now. */
static void answer_heads(MemberClient *c) {
        for (;;) {
                Pending *p;

                start_waiting(c);
                p = g_queue_peek_head(&c->pending);
                if (!p || p->state != PENDING_TURN)
                        return;

                g_queue_pop_head(&c->pending);
                c->member->outstanding--;
                answer_turn(c, p);
                pending_free(p);
        }
}

static Pending *enqueue(MemberClient *c, uint64_t tag, RequestOp op, PendingState state) {
        Pending *p = g_new0(Pending, 1);

        p->client = c;
        p->tag = tag;
        p->op = op;
        p->state = state;
        g_queue_push_tail(&c->pending, p);
        c->member->outstanding++;
        return p;
}

static void submit_refusal(MemberClient *c, uint64_t tag, RequestOp op, ConveneStatus status) {
        if (g_queue_is_empty(&c->pending))
                refuse(c, tag, op, status);
        else
                enqueue(c, tag, op, PENDING_TURN)->refusal = status;
}

static GBytes *encode_as_is(Member *m, const Request *r) {
        request_encode(r, &m->writer);
        return writer_to_bytes(&m->writer);
}

/* True if nothing of this client waits for a leader, so that an update may enter the log now. */
static bool nothing_held_back(const MemberClient *c) {
        for (const GList *i = c->pending.tail; i; i = i->prev) {
                const Pending *p = i->data;

                if (p->state == PENDING_LEADER || p->state == PENDING_INDEX)
                        return false;
                if (p->state == PENDING_APPLY)
                        return true;            /* it passed the same test */
        }

        return true;
}

static void submit_update(MemberClient *c, uint64_t tag, const Request *r) {
        Member *m = c->member;
        bool direct = member_is_serving(m) && nothing_held_back(c);
        Pending *p = enqueue(c, tag, r->op, PENDING_LEADER);

        if (direct) {
                g_autoptr(GBytes) payload = encode_update(m, r);

                if (propose(p, payload))
                        return;
        }

        p->payload = encode_as_is(m, r);
        p->deadline_usec = m->now_usec + LEADER_WAIT_USEC;
}

static void submit_read(MemberClient *c, uint64_t tag, const Request *r, uint64_t watch, unsigned flags) {
        bool linearizable = flags & MEMBER_LINEARIZABLE || r->op == REQUEST_SYNC;
        bool serving = member_is_serving(c->member);
        Pending *p;

        if (!linearizable && serving && g_queue_is_empty(&c->pending)) {
                answer_read(c, tag, r, watch);
                return;
        }

        /* Without a leader the tree may be old, and after a start it is the last checkpoint's: nobody is shown that. */
        p = enqueue(c, tag, r->op, linearizable || !serving ? PENDING_LEADER : PENDING_TURN);
        p->linearizable = linearizable;
        p->watch = watch;
        p->payload = encode_as_is(c->member, r);
        p->deadline_usec = c->member->now_usec + LEADER_WAIT_USEC;
        answer_heads(c);
}

void member_submit(MemberClient *c, uint64_t tag, const Request *r, uint64_t watch, unsigned flags) {
        Member *m = c->member;
        ConveneStatus status = request_validate(r);

        member_enter(m);
        if (status == CONVENE_OK && request_op_is_update(r->op) && !m->space_available)
                status = CONVENE_NO_SPACE;
        if (status == CONVENE_OK && watch != 0 && r->op != REQUEST_EXISTS && r->op != REQUEST_GET_DATA &&
            r->op != REQUEST_GET_CHILDREN)
                status = CONVENE_BAD_ARGUMENTS;
        if (status == CONVENE_OK && watch != 0)
                status = path_validate(r->path, false);

        if (status != CONVENE_OK)
                submit_refusal(c, tag, r->op, status);
        else if (request_op_is_update(r->op))
                submit_update(c, tag, r);
        else
                submit_read(c, tag, r, watch, flags);
        member_leave(m);
}

void client_on_applied(Member *m, Zxid zxid, const Result *result) {
        Pending *p = g_queue_peek_head(&m->proposals);
        MemberClient *c;

        if (!p || p->zxid != zxid)
                return;                         /* replayed, the member's own, or another member's */

        g_queue_pop_head(&m->proposals);
        c = p->client;
        if (c && c->front) {
                assert(g_queue_peek_head(&c->pending) == p);
                g_queue_pop_head(&c->pending);
                m->outstanding--;
                reply(c, p->tag, result);
                answer_heads(c);
        } else if (c) {                         /* freed meanwhile, not destroyed yet */
                g_queue_remove(&c->pending, p);
                m->outstanding--;
        }
        pending_free(p);
}

void client_on_read_ready(Member *m, uint64_t read_id, uint64_t index) {
        Pending *p = g_hash_table_lookup(m->confirming, &read_id);

        if (!p)
                return;

        /* With one voter everything committed is applied by now; nothing else is in force yet. */
        assert(index <= zab_applied(m->zab)->index);
        g_hash_table_remove(m->confirming, &read_id);
        p->state = PENDING_TURN;
}

void client_advance_all(Member *m) {
        GList *next;

        for (GList *i = m->clients.head; i; i = next) {
                MemberClient *c = i->data;

                next = i->next;
                for (GList *k = c->pending.head; k; k = k->next) {
                        Pending *p = k->data;

                        if (p->state == PENDING_LEADER && m->now_usec >= p->deadline_usec) {
                                p->state = PENDING_TURN;
                                p->refusal = CONVENE_NOT_READY;
                        }
                }
                answer_heads(c);
        }
}
