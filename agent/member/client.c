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

void pending_free(Pending *p) {
        if (p->payload)
                g_bytes_unref(p->payload);
        change_done(&p->change);
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
        c->link.data = c->ready_link.data = c;
        g_queue_push_tail_link(&m->clients, &c->link);
        return c;
}

/* Takes the request away from whoever would wake it; true if it lives on without a client. */
static bool pending_forget(Member *m, Pending *p) {
        switch (p->state) {

        case PENDING_SENT:
                forward_forget(p);
                return true;

        case PENDING_CONFIRM:
                g_hash_table_remove(m->confirming, &p->read_id);
                return false;

        case PENDING_INDEX:
                g_queue_unlink(&m->indexed, &p->link);
                return false;

        case PENDING_ZXID:
                g_queue_unlink(&m->awaiting, &p->link);
                return false;

        case PENDING_ANSWER:
        case PENDING_CONFIG:
                change_forget(p);
                return false;

        case PENDING_WAIT:
        case PENDING_TURN:
                break;
        }
        return false;
}

void client_destroy(MemberClient *c) {
        Member *m = c->member;
        Pending *p;

        assert(!c->front);

        while ((p = g_queue_pop_head(&c->pending))) {
                m->outstanding--;
                if (!pending_forget(m, p))
                        pending_free(p);
        }

        if (c->ready)
                g_queue_unlink(&m->ready, &c->ready_link);
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

void client_make_ready(MemberClient *c) {
        if (c->ready || !c->front)
                return;

        c->ready = true;
        g_queue_push_tail_link(&c->member->ready, &c->ready_link);
}

void client_make_all_ready(Member *m) {
        for (GList *i = m->clients.head; i; i = i->next) {
                MemberClient *c = i->data;

                if (c->pending.length > 0)
                        client_make_ready(c);
        }
}

/* Neither waits for its turn to begin, nor lets anything behind it begin. */
static bool state_blocks(PendingState state) {
        return state != PENDING_WAIT && state != PENDING_SENT && state != PENDING_TURN;
}

/* A linearizable read under way: several share a round of the leader. */
static bool state_reads(PendingState state) {
        return state == PENDING_CONFIRM || state == PENDING_INDEX;
}

static void count(MemberClient *c, PendingState state, int change) {
        if (state == PENDING_WAIT)
                c->waiting += change;
        else if (state_blocks(state))
                c->blocking += change;
        if (state_reads(state))
                c->reading += change;
}

void pending_set_state(Pending *p, PendingState state) {
        count(p->client, p->state, -1);
        p->state = state;
        count(p->client, p->state, 1);
}

static void reply(MemberClient *c, uint64_t tag, const Result *result) {
        if (c->front)
                c->front->reply(c->userdata, tag, result);
}

static void answer_refusal(MemberClient *c, uint64_t tag, RequestOp op, ConveneStatus status) {
        Result result = { .op = op, .status = status, .zxid = tree_zxid(c->member->tree) };

        reply(c, tag, &result);
}

/* The read and the registration of its watch are one instant: nothing is applied between them. */
static void answer_read(MemberClient *c, uint64_t tag, const Request *r, uint64_t watch) {
        Member *m = c->member;
        Result result;

        if (watch != 0 && !subscription_fits(c, watch, r->session, r->caller)) {
                answer_refusal(c, tag, r->op, CONVENE_BAD_ARGUMENTS);
                return;
        }

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

/* The cxid and the number are given when the entry is made, so that a session's and a member's grow in the order of the
 * log. */
static GBytes *encode_update(Member *m, Request *r) {
        r->cxid = r->session == 0 ? 0 : liveness_next_cxid(m->liveness, r->session,
                                                           tree_session_cxid(m->tree, r->session));
        r->origin = m->options.zab.sid;
        r->number = m->next_number++;
        request_encode(r, &m->writer);
        return writer_to_bytes(&m->writer);
}

static void start_update(Pending *p) {
        g_autoptr(GBytes) payload = NULL;
        DecodedRequest d;

        if (!request_decode(g_bytes_get_data(p->payload, NULL), g_bytes_get_size(p->payload), &d))
                g_assert_not_reached();         /* we encoded it */

        payload = encode_update(p->client->member, &d.request);
        pending_set_state(p, PENDING_SENT);
        forward_send(p, payload, &d.request);
        request_decoded_done(&d);
}

/* False if there is no leader after all. */
static bool start_confirm(Pending *p) {
        Member *m = p->client->member;

        p->read_id = ++m->next_read_id;         /* a fresh one each time (etcd #20418) */
        pending_set_state(p, PENDING_CONFIRM);
        g_hash_table_insert(m->confirming, &p->read_id, p);
        if (member_step(m, (ZabInput) { .type = ZAB_INPUT_READ_INDEX, .read_id = p->read_id }, NULL) >= 0)
                return true;

        g_hash_table_remove(m->confirming, &p->read_id);
        pending_set_state(p, PENDING_WAIT);
        m->retry = true;
        return false;
}

static void start_wait(Pending *p) {
        Member *m = p->client->member;
        GList *before;

        if (p->zxid <= tree_zxid(m->tree)) {
                pending_set_state(p, PENDING_TURN);
                return;
        }

        pending_set_state(p, PENDING_ZXID);
        for (before = m->awaiting.tail; before; before = before->prev)
                if (((Pending *) before->data)->zxid <= p->zxid)
                        break;
        g_queue_insert_after_link(&m->awaiting, before, &p->link);
}

static bool start(Pending *p) {
        if (p->linearizable)
                return start_confirm(p);

        if (p->wait)
                start_wait(p);
        else if (p->op == 0)
                change_start(p);
        else if (request_op_is_update(p->op))
                start_update(p);
        else
                pending_set_state(p, PENDING_TURN);
        return true;
}

/* Reads pass reads, since they are answered in order; nothing else passes what blocks. */
static bool may_start(const MemberClient *c, const Pending *p) {
        return c->blocking == 0 || (c->blocking == c->reading && p->op != 0 && !request_op_is_update(p->op));
}

/* There is one.  Those that wait are the last ones, but for refusals. */
static GList *first_waiting(const MemberClient *c) {
        unsigned left = c->waiting;

        for (GList *i = c->pending.tail;; i = i->prev)
                if (((Pending *) i->data)->state == PENDING_WAIT && --left == 0)
                        return i;
}

/* Starts waiting requests, in order, as far as they go. */
static void start_waiting(MemberClient *c) {
        Member *m = c->member;
        GList *i;

        if (c->waiting == 0)
                return;
        if (m->stepping) {
                client_make_ready(c);
                return;
        }

        for (i = first_waiting(c); i && member_is_serving(m);) {
                Pending *p = i->data;
                bool waits = p->state == PENDING_WAIT, may_be_answered = waits && p->linearizable;

                if (waits && (!may_start(c, p) || !start(p)))
                        return;
                if (c->waiting == 0)
                        return;
                i = may_be_answered ? first_waiting(c) : i->next;
        }
}

static void answer_turn(MemberClient *c, Pending *p) {
        DecodedRequest d;

        if (p->refusal != CONVENE_OK) {
                answer_refusal(c, p->tag, p->op, p->refusal);
                return;
        }
        if (p->op == 0) {
                reply(c, p->tag, &(Result) { .status = CONVENE_OK, .zxid = p->zxid });
                return;
        }

        if (!request_decode(g_bytes_get_data(p->payload, NULL), g_bytes_get_size(p->payload), &d))
                g_assert_not_reached();         /* we encoded it */
        answer_read(c, p->tag, &d.request, p->watch);
        request_decoded_done(&d);
}

/* Answers from the head of the queue what can be answered now.  A read whose turn it is was started while this member
 * served, and sees no older state than it would have seen then, so it needs no leader any more. */
static void answer_heads(MemberClient *c) {
        while (c->front) {
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

void client_advance_ready(Member *m) {
        GList *link;

        while ((link = g_queue_pop_head_link(&m->ready))) {
                MemberClient *c = link->data;

                c->ready = false;
                if (c->front)
                        answer_heads(c);
        }
}

Pending *client_enqueue(MemberClient *c, uint64_t tag, RequestOp op, PendingState state) {
        Pending *p = g_new0(Pending, 1);

        p->client = c;
        p->tag = tag;
        p->op = op;
        p->state = state;
        p->link.data = p;
        p->deadline_usec = c->member->now_usec + LEADER_WAIT_USEC;
        count(c, state, 1);
        g_queue_push_tail(&c->pending, p);
        c->member->outstanding++;
        return p;
}

static void submit_refusal(MemberClient *c, uint64_t tag, RequestOp op, ConveneStatus status) {
        if (g_queue_is_empty(&c->pending))
                answer_refusal(c, tag, op, status);
        else
                client_enqueue(c, tag, op, PENDING_TURN)->refusal = status;
}

static GBytes *encode_as_is(Member *m, const Request *r) {
        request_encode(r, &m->writer);
        return writer_to_bytes(&m->writer);
}

static void submit_update(MemberClient *c, uint64_t tag, const Request *r) {
        Member *m = c->member;

        if (!m->stepping && member_is_serving(m) && c->waiting == 0 && c->blocking == 0) {
                Request copy = *r;
                g_autoptr(GBytes) payload = encode_update(m, &copy);

                forward_send(client_enqueue(c, tag, r->op, PENDING_SENT), payload, &copy);
                return;
        }

        client_enqueue(c, tag, r->op, PENDING_WAIT)->payload = encode_as_is(m, r);
        client_make_ready(c);
}

static void submit_read(MemberClient *c, uint64_t tag, const Request *r, uint64_t watch, unsigned flags) {
        bool linearizable = flags & MEMBER_LINEARIZABLE || r->op == REQUEST_SYNC;
        Pending *p;

        if (!linearizable && member_is_serving(c->member) && g_queue_is_empty(&c->pending)) {
                answer_read(c, tag, r, watch);
                return;
        }

        /* Without a leader the tree may be old, and after a start it is the last checkpoint's: nobody is shown that. */
        p = client_enqueue(c, tag, r->op, PENDING_WAIT);
        p->linearizable = linearizable;
        p->watch = watch;
        p->payload = encode_as_is(c->member, r);
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

void member_wait(MemberClient *c, uint64_t tag, Zxid zxid) {
        Member *m = c->member;
        Pending *p;

        member_enter(m);
        p = client_enqueue(c, tag, 0, PENDING_WAIT);
        p->wait = true;
        p->zxid = zxid;
        client_make_ready(c);
        member_leave(m);
}

void client_answer_update(Pending *p, const Result *result) {
        MemberClient *c = p->client;

        if (c) {
                if (g_queue_peek_head(&c->pending) != p)
                        answer_heads(c);        /* refusals found just now */
                g_queue_remove(&c->pending, p);
                c->member->outstanding--;
                reply(c, p->tag, result);
                if (c->front)
                        answer_heads(c);
        }
        pending_free(p);
}

void client_refuse(Pending *p, ConveneStatus status) {
        pending_set_state(p, PENDING_TURN);
        p->refusal = status;
        client_make_ready(p->client);
}

void client_on_index(Member *m) {
        Pending *p;

        /* Now: the next entry must not be seen with this one. */
        while ((p = g_queue_peek_head(&m->indexed)) && p->index <= m->applied_index) {
                g_queue_unlink(&m->indexed, &p->link);
                pending_set_state(p, PENDING_TURN);
                answer_heads(p->client);
        }
        while ((p = g_queue_peek_head(&m->awaiting)) && p->zxid <= tree_zxid(m->tree) && member_is_serving(m)) {
                g_queue_unlink(&m->awaiting, &p->link);
                pending_set_state(p, PENDING_TURN);
                answer_heads(p->client);
        }
}

void client_on_read_ready(Member *m, uint64_t read_id, uint64_t index) {
        Pending *p = g_hash_table_lookup(m->confirming, &read_id);
        GList *before;

        if (!p)
                return;

        g_hash_table_remove(m->confirming, &read_id);
        p->index = index;
        if (index <= m->applied_index) {
                pending_set_state(p, PENDING_TURN);
                client_make_ready(p->client);
                return;
        }

        pending_set_state(p, PENDING_INDEX);
        for (before = m->indexed.tail; before; before = before->prev)
                if (((Pending *) before->data)->index <= index)
                        break;
        g_queue_insert_after_link(&m->indexed, before, &p->link);
}

/* What was asked of another leader has no answer any more; what waits for a zxid waits for serving again, too. */
void client_on_term(Member *m) {
        Pending *waits;

        while ((waits = g_queue_peek_head(&m->awaiting))) {
                g_queue_unlink(&m->awaiting, &waits->link);
                pending_set_state(waits, PENDING_WAIT);
        }

        for (GList *i = m->clients.head; i; i = i->next) {
                MemberClient *c = i->data;

                for (GList *k = c->pending.head; k; k = k->next) {
                        Pending *p = k->data;

                        if (p->state == PENDING_CONFIRM) {
                                g_hash_table_remove(m->confirming, &p->read_id);
                                pending_set_state(p, PENDING_WAIT);
                        }
                }
        }
}

static void time_out(MemberClient *c) {
        for (GList *i = c->pending.head; i; i = i->next) {
                Pending *p = i->data;

                if (p->state == PENDING_WAIT && c->member->now_usec >= p->deadline_usec)
                        client_refuse(p, CONVENE_NOT_READY);
        }
}

/* The index is known and the log is not there: cut off in between. */
static void time_out_indexed(Member *m) {
        for (GList *i = m->indexed.head, *next; i; i = next) {
                Pending *p = i->data;

                next = i->next;
                if (m->now_usec < p->deadline_usec)
                        continue;
                g_queue_unlink(&m->indexed, i);
                client_refuse(p, CONVENE_NOT_READY);
        }
}

static void time_out_awaiting(Member *m) {
        for (GList *i = m->awaiting.head, *next; i; i = next) {
                Pending *p = i->data;

                next = i->next;
                if (m->now_usec < p->deadline_usec)
                        continue;
                g_queue_unlink(&m->awaiting, i);
                client_refuse(p, CONVENE_NOT_READY);
        }
}

void client_on_tick(Member *m, bool retry) {
        time_out_awaiting(m);
        if (!member_is_serving(m)) {
                time_out_indexed(m);
                forward_time_out(m);
        }
        if (retry)
                client_make_all_ready(m);
        if (member_is_serving(m) && !retry)
                return;

        for (GList *i = m->clients.head; i; i = i->next)
                if (((MemberClient *) i->data)->waiting > 0)
                        time_out(i->data);
}
