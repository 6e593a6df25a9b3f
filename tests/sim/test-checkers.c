/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The checkers of the simulator, given histories that they must refuse: a world that ran clean is changed in one place.
 */

#include <string.h>

#include "tests/sim/judge.h"
#include "tests/sim/linear.h"
#include "tests/sim/vstore-internal.h"
#include "tests/sim/workload.h"

static Statistics statistics;

static Host *leader(const World *w) {
        for (uint32_t sid = 1; sid <= w->params.hosts; sid++)
                if (w->hosts[sid].state == HOST_UP && w->hosts[sid].judge->role == ZAB_ROLE_LEADER)
                        return (Host *) &w->hosts[sid];
        g_assert_not_reached();
}

typedef struct SessionOfLeader {
        uint32_t sid;
        uint64_t *ret;
} SessionOfLeader;

static void take_session_of_leader(const SessionInfo *s, void *userdata) {
        SessionOfLeader *l = userdata;

        if (s->member == l->sid)
                *l->ret = s->id;
}

/* A world with enough in it to be changed anywhere. */
static bool is_rich(const World *w) {
        guint events = 0, up = 0;
        uint64_t session = 0;

        for (guint i = 0; i < w->workload->conversations->len; i++) {
                const Conversation *v = w->workload->conversations->pdata[i];

                events += v->end == 0 && v->events->len >= 4 ? v->events->len : 0;
        }
        for (uint32_t sid = 1; sid <= w->params.hosts; sid++)
                up += w->hosts[sid].state == HOST_UP && w->hosts[sid].judge->applied == judge_committed(w);
        tree_foreach_session(member_get_tree(leader(w)->member), take_session_of_leader,
                             &(SessionOfLeader) { leader(w)->sid, &session });
        return session != 0 && zab_config_voters(judge_config(w)) >= 3 && up >= 3 && events >= 8 && judge_committed(w) >= 100 &&
                judge_log_last(w->hosts[1].judge) > 0;
}

static World *make_world(void) {
        static uint64_t seed = 0;

        for (uint64_t s = seed ?: 1; s < 500; s++) {
                World *w = world_new(s, SIM_PROFILE_FAST, &statistics, false);

                if (world_run(w) && is_rich(w)) {
                        seed = s;
                        return w;
                }
                world_free(w);
        }
        g_assert_not_reached();
}

/*
 * Replay
 */

/* The n-th update, from the end, that was acknowledged and whose bytes are its own. */
static Op *acknowledged(World *w, unsigned n) {
        for (guint i = w->workload->ops->len; i-- > 0;) {
                Op *op = w->workload->ops->pdata[i];

                if (request_op_is_update(op->op) && op->unique && op->state == OP_ANSWERED && op->status == CONVENE_OK &&
                    n-- == 0)
                        return op;
        }
        g_assert_not_reached();
}

static Op *answered_read(World *w, bool linearizable) {
        for (guint i = w->workload->ops->len; i-- > 0;) {
                Op *op = w->workload->ops->pdata[i];

                if (op->op == REQUEST_GET_DATA && op->linearizable == linearizable && op->state == OP_ANSWERED &&
                    op->status == CONVENE_OK)
                        return op;
        }
        g_assert_not_reached();
}

static Conversation *listener(World *w) {
        for (guint i = 0; i < w->workload->conversations->len; i++) {
                Conversation *v = w->workload->conversations->pdata[i];

                if (v->end == 0 && v->events->len >= 4)
                        return v;
        }
        g_assert_not_reached();
}

static Proposal *proposal_of(World *w, const Op *op) {
        return (Proposal *) judge_proposal(w, op->zxid);
}

static void lose_write(World *w) {
        acknowledged(w, 0)->zxid = judge_zxid(w, judge_committed(w)) + 1;
}

static void lose_tail(World *w) {
        const Proposal *p = proposal_of(w, acknowledged(w, 0));

        g_array_set_size(w->judge->committed, (guint) p->index - 1);
}

static void change_result(World *w) {
        acknowledged(w, 3)->result_hash ^= 1;
}

static void swap_answers(World *w) {
        Op *a = acknowledged(w, 1), *b = acknowledged(w, 2);
        Zxid zxid = a->zxid;

        a->zxid = b->zxid;
        b->zxid = zxid;
}

static void change_local_read(World *w) {
        answered_read(w, false)->result_hash ^= 4;
}

static void change_linearizable_read(World *w) {
        answered_read(w, true)->result_hash ^= 4;
}

static void read_nowhere(World *w) {
        answered_read(w, false)->zxid |= UINT64_C(0xfffff);
}

static void refuse_what_happened(World *w) {
        acknowledged(w, 2)->status = CONVENE_NOT_READY;
}

static void happen_elsewhere(World *w) {
        Op *op = acknowledged(w, 2);

        op->status = CONVENE_NO_NODE;
        op->zxid = judge_zxid(w, 2);
}

static void ask_something_else(World *w) {
        Op *op = acknowledged(w, 2), *other = acknowledged(w, 5);

        g_bytes_unref(op->request);
        op->request = g_bytes_ref(other->request);
}

static void happen_twice(World *w) {
        Proposal *a = proposal_of(w, acknowledged(w, 8)), *b = proposal_of(w, acknowledged(w, 1));

        g_bytes_unref(b->payload);
        b->payload = g_bytes_ref(a->payload);
}

static void invent_entry(World *w) {
        Proposal *p = proposal_of(w, acknowledged(w, 2));
        gsize size;
        uint8_t *bytes = g_memdup2(g_bytes_get_data(p->payload, &size), g_bytes_get_size(p->payload));

        bytes[size / 2] ^= 0x40;
        g_bytes_unref(p->payload);
        p->payload = g_bytes_new_take(bytes, size);
}

/* Of one that leaves a time in the tree. */
static void change_time(World *w) {
        for (unsigned n = 0;; n++) {
                Op *op = acknowledged(w, n);

                if (op->op == REQUEST_CREATE || op->op == REQUEST_SET_DATA) {
                        proposal_of(w, op)->time_msec++;
                        return;
                }
        }
}

static void change_digest(World *w) {
        Committed *c = &g_array_index(w->judge->committed, Committed, judge_committed(w) - 1);

        g_assert_true(c->has_digest);
        c->digest.low ^= 1;
}

static void miss_event(World *w) {
        GArray *events = listener(w)->events;

        g_free(g_array_index(events, WatchRecord, 1).path);
        g_array_remove_index(events, 1);
}

static void miss_last_event(World *w) {
        GArray *events = listener(w)->events;

        g_free(g_array_index(events, WatchRecord, events->len - 1).path);
        g_array_set_size(events, events->len - 1);
}

static void repeat_event(World *w) {
        GArray *events = listener(w)->events;
        WatchRecord e = g_array_index(events, WatchRecord, 0);

        e.path = g_strdup(e.path);
        g_array_insert_val(events, 1, e);
}

static void swap_events(World *w) {
        GArray *events = listener(w)->events;

        for (guint i = 0; i + 1 < events->len; i++) {
                WatchRecord *a = &g_array_index(events, WatchRecord, i), *b = a + 1, t = *a;

                if (a->zxid == b->zxid)
                        continue;
                *a = *b;
                *b = t;
                return;
        }
        g_assert_not_reached();
}

static void invent_event(World *w) {
        GArray *events = listener(w)->events;
        WatchRecord e = g_array_index(events, WatchRecord, events->len - 1);

        e.path = g_strdup("/s/nothing");
        g_array_append_val(events, e);
}

static void change_event_type(World *w) {
        WatchRecord *e = &g_array_index(listener(w)->events, WatchRecord, 2);

        e->type = e->type == WATCH_EVENT_CREATED ? WATCH_EVENT_DELETED : WATCH_EVENT_CREATED;
}

static void change_event_zxid(World *w) {
        g_array_index(listener(w)->events, WatchRecord, 2).zxid++;
}

static void change_event_watch(World *w) {
        g_array_index(listener(w)->events, WatchRecord, 2).watch += 1000;
}

typedef struct Tamper {
        const char *name;
        void (*change)(World *w);
        const char *invariant;
} Tamper;

static const Tamper tampers[] = {
        { "lose-write", lose_write, "A" },
        { "lose-tail", lose_tail, "A" },
        { "change-result", change_result, "A" },
        { "swap-answers", swap_answers, "A" },
        { "change-local-read", change_local_read, "A" },
        { "change-linearizable-read", change_linearizable_read, "A" },
        { "read-nowhere", read_nowhere, "A" },
        { "refuse-what-happened", refuse_what_happened, "A" },
        { "happen-elsewhere", happen_elsewhere, "A" },
        { "ask-something-else", ask_something_else, "" },
        { "happen-twice", happen_twice, "" },
        { "invent-entry", invent_entry, "" },
        { "change-time", change_time, "" },
        { "change-digest", change_digest, "I12" },
        { "miss-event", miss_event, "W2" },
        { "miss-last-event", miss_last_event, "W2" },
        { "repeat-event", repeat_event, "W" },
        { "swap-events", swap_events, "W2" },
        { "invent-event", invent_event, "W3" },
        { "change-event-type", change_event_type, "W2" },
        { "change-event-zxid", change_event_zxid, "W2" },
        { "change-event-watch", change_event_watch, "W2" },
};

static void expect_failure(World *w, const char *invariant) {
        g_assert_nonnull(w->failure);
        if (!g_str_has_prefix(w->failure, invariant))
                g_test_message("%s", w->failure);
        g_assert_true(g_str_has_prefix(w->failure, invariant));
        g_clear_pointer(&w->failure, g_free);
}

static void test_untouched(void) {
        World *w = make_world();

        g_assert_true(world_judge(w));
        world_free(w);
}

static void test_tamper(gconstpointer data) {
        const Tamper *t = data;
        World *w = make_world();

        t->change(w);
        replay_check(w);
        expect_failure(w, t->invariant);
        world_free(w);
}

/*
 * Judges that look at each step
 */

static Host *follower(World *w) {
        for (uint32_t sid = 1; sid <= w->params.voters; sid++)
                if (w->hosts[sid].state == HOST_UP && w->hosts[sid].judge->role == ZAB_ROLE_FOLLOWER &&
                    w->hosts[sid].judge->log->len > 2)
                        return &w->hosts[sid];
        g_assert_not_reached();
}

static ZabEntry next_entry(const Host *h) {
        const HostJudge *j = h->judge;
        Zxid last = judge_log_zxid(j, judge_log_last(j));

        return (ZabEntry) {
                .index = judge_log_last(j) + 1,
                .zxid = last + 1,
                .prev_zxid = last,
                .type = ZAB_ENTRY_REQUEST,
        };
}

static void test_logs(void) {
        World *w = make_world();
        Host *h = follower(w), *l = leader(w);
        HostJudge *j = h->judge;
        ZabEntry e = next_entry(h);

        judge_on_append(h, &e, 1);
        expect_failure(w, "I3");
        g_array_set_size(j->log, j->log->len - 1);

        e.index++;
        judge_on_append(h, &e, 1);
        expect_failure(w, "I2");

        e = next_entry(h);
        e.prev_zxid--;
        judge_on_append(h, &e, 1);
        expect_failure(w, "I2");

        e = (ZabEntry) { judge_log_last(j), judge_log_zxid(j, judge_log_last(j)) };
        e.prev_zxid = judge_log_zxid(j, judge_log_last(j) - 1);
        g_array_set_size(j->log, j->log->len - 1);
        judge_on_append(h, &e, 1);              /* with a chain of zeros */
        expect_failure(w, "I14");

        e = next_entry(l);
        e.zxid++;
        judge_on_append(l, &e, 1);
        expect_failure(w, "I4");

        judge_on_truncate(h, &(ZabPosition) { j->applied - 1 });
        expect_failure(w, "I13");
        j->applied = j->base;
        judge_on_truncate(h, &(ZabPosition) { j->base });
        expect_failure(w, "I8");
        world_free(w);
}

static void test_configurations(void) {
        World *w = make_world();
        Host *l = leader(w);
        ZabEntry e = next_entry(l);

        e.type = ZAB_ENTRY_CONFIG;
        judge_on_append(l, &e, 1);
        g_assert_null(w->failure);
        e = next_entry(l);
        e.type = ZAB_ENTRY_CONFIG;
        judge_on_append(l, &e, 1);
        expect_failure(w, "I15");

        judge_on_config(l);
        g_assert_null(w->failure);
        g_array_index(w->judge->committed, Committed, judge_proposal(w, judge_config(w)->version)->index - 1).zxid++;
        judge_on_config(l);
        expect_failure(w, "I15");
        world_free(w);
}

static void test_leaders(void) {
        World *w = make_world();
        Host *h = follower(w), *l = leader(w);

        judge_on_role(h, ZAB_ROLE_LEADER_SYNC, l->judge->epoch);
        expect_failure(w, "I7");
        judge_on_role(h, ZAB_ROLE_LEADER_SYNC, l->judge->epoch + 1);
        g_assert_null(w->failure);
        g_array_set_size(h->judge->log, h->judge->log->len - 1);
        judge_on_role(h, ZAB_ROLE_LEADER, l->judge->epoch + 1);
        expect_failure(w, "I6");
        world_free(w);
}

static void test_applied(void) {
        World *w = make_world();
        Host *h = follower(w);
        HostJudge *j = h->judge;

        j->applied--;
        judge_step(h);
        g_assert_null(w->failure);

        g_array_index(w->judge->committed, Committed, j->applied - 1).digest.high ^= 1;
        j->applied--;
        judge_step(h);
        expect_failure(w, "I12");

        j->applied--;
        g_array_index(j->log, Zxid, j->log->len - 1)--;
        judge_step(h);
        expect_failure(w, "I1");

        j->applied += 10;
        judge_step(h);
        expect_failure(w, "I9");
        world_free(w);
}

/* Committed where no quorum has it on disk. */
static void test_quorums(void) {
        World *w = make_world();
        uint64_t index = judge_committed(w);

        judge_quorums(w);
        g_assert_null(w->failure);
        for (uint32_t sid = 1; sid <= w->params.hosts; sid++)
                if (w->hosts[sid].store && &w->hosts[sid] != leader(w)) {
                        w->hosts[sid].store->durable = MIN(w->hosts[sid].store->durable, index - 1);
                        w->hosts[sid].store->checkpoint_index = 0;
                }
        judge_quorums(w);
        expect_failure(w, "I8");
        judge_commit(w, leader(w), index);
        expect_failure(w, "I11");
        world_free(w);
}

static void send_to(Host *h, uint32_t peer, ZabMessageType type, uint32_t epoch, uint64_t index) {
        ZabMessage m = { .type = type, .epoch = epoch, .index = index };

        m.vote.granted = true;
        judge_send_zab(h, peer, &m);
}

static void send(Host *h, ZabMessageType type, uint32_t epoch, uint64_t index) {
        send_to(h, 0, type, epoch, index);
}

static void test_messages(void) {
        World *w = make_world();
        Host *h = follower(w);
        HostJudge *j = h->judge;
        uint32_t epoch = h->store->record.meta.current_epoch, promised = j->promised;
        uint64_t durable = h->store->durable;

        send(h, ZAB_MESSAGE_ACK, epoch, durable);
        send(h, ZAB_MESSAGE_ACK_NEWLEADER, epoch, durable);
        g_assert_null(w->failure);

        send(h, ZAB_MESSAGE_ACK, epoch, durable + 1);
        expect_failure(w, "I11");
        send(h, ZAB_MESSAGE_ACK_NEWLEADER, epoch, durable + 1);
        expect_failure(w, "I11");
        send(h, ZAB_MESSAGE_ACK_NEWLEADER, epoch + 1, durable);
        expect_failure(w, "I11");
        send(h, ZAB_MESSAGE_VOTE_REQUEST, epoch + 7, 0);
        expect_failure(w, "I11");
        send(h, ZAB_MESSAGE_VOTE_RESPONSE, epoch + 7, 0);
        expect_failure(w, "I11");
        send(h, ZAB_MESSAGE_SYNC_REQUEST, epoch + 7, 0);
        expect_failure(w, "I11");
        send(h, ZAB_MESSAGE_ACK, epoch, durable);
        expect_failure(w, "I10");
        j->promised = promised;
        world_free(w);
}

/* 2.0.1: a vote for one whose history is behind. */
static void test_votes(void) {
        World *w = make_world();
        Host *h = follower(w), *l = leader(w);
        uint32_t epoch = h->store->record.meta.current_epoch;
        ZabMessage m = { .type = ZAB_MESSAGE_VOTE_REQUEST, .epoch = epoch };

        m.vote.current_epoch = epoch;
        m.vote.last.zxid = judge_log_zxid(h->judge, judge_log_last(h->judge));
        judge_on_vote_request(h, l->sid, &m);
        send_to(h, l->sid, ZAB_MESSAGE_VOTE_RESPONSE, epoch, 0);
        g_assert_null(w->failure);

        m.vote.last.zxid--;
        judge_on_vote_request(h, l->sid, &m);
        send_to(h, l->sid, ZAB_MESSAGE_VOTE_RESPONSE, epoch, 0);
        expect_failure(w, "I6");

        m.vote.last.zxid += 100;
        m.vote.current_epoch--;
        judge_on_vote_request(h, l->sid, &m);
        send_to(h, l->sid, ZAB_MESSAGE_VOTE_RESPONSE, epoch, 0);
        expect_failure(w, "I6");

        h->store->record.meta.membership = ZAB_MEMBERSHIP_DAMAGED;
        h->judge->refused = 0;
        send_to(h, l->sid, ZAB_MESSAGE_VOTE_RESPONSE, epoch, 0);
        expect_failure(w, "I11");
        world_free(w);
}

/* 2.8: one that votes in nothing and stays outside. */
static void test_rejects(void) {
        World *w = make_world();
        Host *h = follower(w), *l = leader(w);
        uint32_t epoch = l->judge->epoch;

        h->judge->hello_config = judge_config(w)->version;
        send_to(h, l->sid, ZAB_MESSAGE_REJECT, epoch, 0);
        g_assert_null(w->failure);              /* it votes */

        h->disk_id.bytes[0] ^= 1;
        send_to(h, l->sid, ZAB_MESSAGE_REJECT, epoch - 1, 0);
        g_assert_null(w->failure);              /* of one that leads no more */
        send_to(h, l->sid, ZAB_MESSAGE_REJECT, epoch, 0);
        expect_failure(w, "V4");
        world_free(w);
}

/* Whose store has done everything, and told nobody of the last entry. */
static void test_told(void) {
        static const MemberFront front = { 0 };
        Request r = { .op = REQUEST_DELETE, .path = "/nothing", .version = -1 };
        World *w = make_world();
        Host *l = leader(w);
        VStore *s = l->store;
        MemberClient *client;

        g_assert_true(vstore_is_idle(s));
        judge_step(l);
        g_assert_null(w->failure);

        client = member_client_new(l->member, &front, NULL);
        member_submit(client, 1, &r, 0, 0);
        member_client_free(client);
        g_assert_false(vstore_is_idle(s));
        judge_step(l);
        g_assert_null(w->failure);

        s->step = s->steps->len;
        s->in_step = false;
        while (s->ops) {
                VOp *o = s->ops;

                s->ops = o->next;
                op_free(o);
        }
        s->ops_end = &s->ops;
        judge_step(l);
        expect_failure(w, "V3");
        world_free(w);
}

static void test_disk(void) {
        World *w = make_world();
        Host *h = follower(w);
        VFound found = { .verdict = VSTORE_OK, .checkpoint = { .index = h->store->durable } };

        judge_recovered(h, h->store, &found);
        g_assert_null(w->failure);
        found.checkpoint.index--;
        judge_recovered(h, h->store, &found);
        expect_failure(w, "recovery");
        found.verdict = VSTORE_DAMAGED;
        judge_recovered(h, h->store, &found);
        expect_failure(w, "recovery");

        h->judge->accepted += 5;
        judge_on_settled(h, PERSIST_META);
        expect_failure(w, "I9");

        h->judge->current--;
        h->judge->mark_epoch = h->store->record.meta.current_epoch;
        h->judge->mark = h->store->durable + 1;
        judge_on_settled(h, PERSIST_META);
        expect_failure(w, "I11");
        world_free(w);
}

/* Goes by an older configuration than what it has applied. */
static void test_known_configuration(void) {
        World *w = make_world();
        Host *h = follower(w);
        const ZabConfig *c = judge_config(w);
        const Proposal *p = judge_proposal(w, c->version);
        uint64_t index = p->index;

        h->judge->applied--;
        judge_step(h);
        g_assert_null(w->failure);

        g_ptr_array_add(w->judge->configs, zab_config_decode(p->payload, c->version + 1));
        g_array_append_val(w->judge->config_indexes, index);
        h->judge->applied--;
        judge_step(h);
        expect_failure(w, "I15");
        world_free(w);
}

static void test_sessions(void) {
        World *w = make_world();
        Host *l = leader(w);
        uint64_t id = 0;
        Request r = { .op = REQUEST_CLOSE_SESSION, .expired = true };
        ZabEntry e = { .type = ZAB_ENTRY_REQUEST };
        SimSession s = { .timeout_msec = 1000 };
        Client *client = w->workload->clients->pdata[0], before;

        for (guint i = 0; i < w->workload->clients->len; i++)
                ((Client *) w->workload->clients->pdata[i])->keeping = false;
        before = *client;
        tree_foreach_session(member_get_tree(l->member), take_session_of_leader, &(SessionOfLeader) { l->sid, &id });
        g_assert_cmpuint(id, !=, 0);
        s.id = r.target = id;
        g_array_append_val(w->workload->sessions, s);
        request_encode(&r, &w->writer);
        e.payload = writer_to_bytes(&w->writer);
        judge_on_local_touch(l, id);
        w->now_usec += 900000;
        e.zxid = 1;
        judge_close(l, &e);
        judge_closed(w, 1);
        expect_failure(w, "S3");
        w->now_usec += 400000;          /* a clock may be slow */
        e.zxid = 2;
        judge_close(l, &e);
        judge_closed(w, 2);
        g_assert_null(w->failure);
        client->host = l;
        client->session = id;
        client->attached = client->keeping = true;
        w->now_usec += 2000000;
        e.zxid = 3;
        judge_close(l, &e);
        judge_closed(w, 3);
        expect_failure(w, "S3");
        *client = before;
        g_bytes_unref(e.payload);
        world_free(w);
}

typedef struct Promised {
        const Host *host;
        uint64_t session;               /* 0: none yet */
} Promised;

static void take_promised(const SessionInfo *s, void *userdata) {
        Promised *p = userdata;

        if (member_session_deadline(p->host->member, s->id) > host_clock(p->host))
                p->session = s->id;
}

/* A session ends for its time-out while a member may still tell its owner that it lives. */
static void test_promises(void) {
        World *w = make_world();
        Host *l = leader(w);
        Promised promised = { 0 };
        Request r = { .op = REQUEST_CLOSE_SESSION, .expired = true };
        ZabEntry e = next_entry(l);

        for (uint32_t sid = 1; sid <= w->params.hosts && promised.session == 0; sid++) {
                promised.host = &w->hosts[sid];
                if (promised.host->state == HOST_UP)
                        tree_foreach_session(member_get_tree(promised.host->member), take_promised, &promised);
        }
        g_assert_cmpuint(promised.session, !=, 0);
        r.target = promised.session;
        request_encode(&r, &w->writer);
        e.payload = writer_to_bytes(&w->writer);
        judge_on_append(l, &e, 1);
        g_array_set_size(w->judge->early, 0);   /* that is another judge's */
        judge_closed(w, e.zxid);
        g_assert_null(w->failure);

        judge_promises(w, e.zxid);
        judge_closed(w, e.zxid);
        expect_failure(w, "S3");
        g_bytes_unref(e.payload);
        world_free(w);
}

/*
 * Linear
 */

#define CREATE(from, to, st, v) { LINEAR_CREATE, from, to, false, CONVENE_##st, 0, 0, v }
#define SET(from, to, st, want, got, v) { LINEAR_SET, from, to, false, CONVENE_##st, want, got, v }
#define DELETE(from, to, st, want) { LINEAR_DELETE, from, to, false, CONVENE_##st, want, 0, 0 }
#define READ(from, to, st, got, v) { LINEAR_READ, from, to, false, CONVENE_##st, 0, got, v }
#define LOST_SET(from, want, v) { LINEAR_SET, from, 0, true, CONVENE_OK, want, 0, v }

typedef struct History {
        const char *name;
        LinearVerdict verdict;
        LinearOp ops[6];
} History;

static const History histories[] = {
        { "good/sequence", LINEAR_OK, { CREATE(1, 2, OK, 5), READ(3, 4, OK, 0, 5), SET(5, 6, OK, -1, 1, 6), READ(7, 8, OK, 1, 6) } },
        { "good/overlap-old", LINEAR_OK, { CREATE(1, 2, OK, 5), SET(3, 9, OK, -1, 1, 6), READ(4, 5, OK, 0, 5), READ(6, 7, OK, 1, 6) } },
        { "good/unknown-happened", LINEAR_OK, { CREATE(1, 2, OK, 5), LOST_SET(3, -1, 6), READ(8, 9, OK, 1, 6) } },
        { "good/unknown-did-not", LINEAR_OK, { CREATE(1, 2, OK, 5), LOST_SET(3, -1, 6), READ(8, 9, OK, 0, 5) } },
        { "good/unknown-later", LINEAR_OK, { CREATE(1, 2, OK, 5), LOST_SET(3, -1, 6), READ(4, 5, OK, 0, 5), READ(8, 9, OK, 1, 6) } },
        { "good/delete", LINEAR_OK, { CREATE(1, 2, OK, 5), DELETE(3, 4, OK, 0), READ(5, 6, NO_NODE, 0, 0), CREATE(7, 8, OK, 7) } },
        { "bad/stale-read", LINEAR_BAD, { CREATE(1, 2, OK, 5), SET(3, 4, OK, -1, 1, 6), READ(5, 6, OK, 0, 5) } },
        { "bad/lost-write", LINEAR_BAD, { CREATE(1, 2, OK, 5), READ(3, 4, NO_NODE, 0, 0) } },
        { "bad/back-in-time", LINEAR_BAD, { CREATE(1, 2, OK, 5), SET(3, 9, OK, -1, 1, 6), READ(4, 5, OK, 1, 6), READ(6, 7, OK, 0, 5) } },
        { "bad/two-creates", LINEAR_BAD, { CREATE(1, 3, OK, 5), CREATE(2, 4, OK, 6) } },
        { "bad/from-nowhere", LINEAR_BAD, { CREATE(1, 2, OK, 5), READ(3, 4, OK, 0, 9) } },
        { "bad/version-skipped", LINEAR_BAD, { CREATE(1, 2, OK, 5), SET(3, 4, OK, -1, 2, 6) } },
        { "bad/version-reused", LINEAR_BAD, { CREATE(1, 2, OK, 5), SET(3, 6, OK, 0, 1, 6), SET(4, 7, OK, 0, 1, 7) } },
        { "bad/refused-version", LINEAR_BAD, { CREATE(1, 2, OK, 5), SET(3, 4, BAD_VERSION, 0, 0, 6) } },
        { "bad/accepted-version", LINEAR_BAD, { CREATE(1, 2, OK, 5), DELETE(3, 4, OK, 3) } },
        { "bad/exists-not", LINEAR_BAD, { CREATE(1, 2, NODE_EXISTS, 5) } },
        { "bad/set-of-nothing", LINEAR_BAD, { SET(1, 2, OK, -1, 1, 6) } },
        { "bad/deleted-twice", LINEAR_BAD, { CREATE(1, 2, OK, 5), DELETE(3, 5, OK, -1), DELETE(4, 6, OK, -1) } },
        { "bad/unknown-twice", LINEAR_BAD, { CREATE(1, 2, OK, 5), LOST_SET(3, -1, 6), READ(4, 5, OK, 1, 6), READ(6, 7, OK, 2, 6) } },
        { "bad/unknown-undone", LINEAR_BAD, { CREATE(1, 2, OK, 5), LOST_SET(3, -1, 6), READ(4, 5, OK, 1, 6), READ(6, 7, OK, 0, 5) } },
        { "bad/unknown-before-call", LINEAR_BAD, { CREATE(1, 2, OK, 5), READ(3, 4, OK, 1, 6), LOST_SET(5, -1, 6) } },
};

static void test_history(gconstpointer data) {
        const History *h = data;
        unsigned count = 0;

        while (count < G_N_ELEMENTS(h->ops) && h->ops[count].called > 0)
                count++;
        g_assert_cmpint(linear_judge(h->ops, count, 100000), ==, h->verdict);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        for (unsigned i = 0; i < G_N_ELEMENTS(histories); i++) {
                g_autofree char *path = g_strdup_printf("/linear/%s", histories[i].name);

                g_test_add_data_func(path, &histories[i], test_history);
        }
        g_test_add_func("/replay/untouched", test_untouched);
        for (unsigned i = 0; i < G_N_ELEMENTS(tampers); i++) {
                g_autofree char *path = g_strdup_printf("/replay/%s", tampers[i].name);

                g_test_add_data_func(path, &tampers[i], test_tamper);
        }
        g_test_add_func("/judge/logs", test_logs);
        g_test_add_func("/judge/configurations", test_configurations);
        g_test_add_func("/judge/leaders", test_leaders);
        g_test_add_func("/judge/applied", test_applied);
        g_test_add_func("/judge/quorums", test_quorums);
        g_test_add_func("/judge/messages", test_messages);
        g_test_add_func("/judge/votes", test_votes);
        g_test_add_func("/judge/rejects", test_rejects);
        g_test_add_func("/judge/told", test_told);
        g_test_add_func("/judge/disk", test_disk);
        g_test_add_func("/judge/known-configuration", test_known_configuration);
        g_test_add_func("/judge/sessions", test_sessions);
        g_test_add_func("/judge/promises", test_promises);
        return g_test_run();
}
