/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Replay: the log-based checker (reliability 4.3 A), when a seed is over.
 *
 * G is replayed through the twin, a slow and obvious tree that shares no code with the real one.  Every answer names its
 * zxid: that of an update must be an entry that holds just this request, and its result must be the twin's there; a read
 * must be what the twin reads there.  A request that was refused, or whose fate its caller was not told, may not have
 * taken effect more often than that allows.  Real-time order was looked at when each answer came.
 */

#include <assert.h>
#include <string.h>

#include "tests/sim/judge.h"
#include "tests/sim/replay.h"
#include "tests/sim/workload.h"
#include "tests/unit/twin.h"

static void hash_bytes(uint64_t *h, const void *data, size_t size) {
        *h = XXH3_64bits_withSeed(data, size, *h);
}

static void hash_number(uint64_t *h, uint64_t n) {
        *h = (*h ^ n) * UINT64_C(0x9e3779b97f4a7c15);
        *h ^= *h >> 29;
}

static void hash_text(uint64_t *h, const char *s) {
        hash_bytes(h, s ?: "", s ? strlen(s) + 1 : 0);
}

static void hash_stat(uint64_t *h, const Stat *s) {
        hash_number(h, s->czxid);
        hash_number(h, s->mzxid);
        hash_number(h, s->pzxid);
        hash_number(h, (uint64_t) s->ctime_msec);
        hash_number(h, (uint64_t) s->mtime_msec);
        hash_number(h, (uint32_t) s->version);
        hash_number(h, (uint32_t) s->cversion);
        hash_number(h, (uint32_t) s->aversion);
        hash_number(h, s->ephemeral_owner);
        hash_number(h, (uint32_t) s->data_length);
        hash_number(h, (uint32_t) s->children_count);
}

static void hash_result(uint64_t *h, const Result *r, bool part) {
        hash_number(h, (uint64_t) (int64_t) r->status);
        if (!part)
                hash_number(h, r->zxid);
        if (r->status == CONVENE_OK) {
                hash_text(h, r->path);
                hash_stat(h, &r->stat);
                hash_number(h, r->data != NULL);
                hash_bytes(h, r->data, r->data ? r->data_size : 0);
                hash_number(h, r->count);
                hash_number(h, r->session);
                hash_number(h, r->timeout_msec);
                hash_number(h, r->more);
                for (uint32_t i = 0; r->items && i < r->items_count; i++)
                        hash_text(h, r->items[i].path);
        }
        for (uint32_t i = 0; r->results && i < r->results_count; i++)
                if (r->status == CONVENE_OK)
                        hash_result(h, r->results + i, true);
                else
                        hash_number(h, (uint64_t) (int64_t) r->results[i].status);
}

/* Everything that a client is shown. */
uint64_t result_hash(const Result *r) {
        uint64_t h = 1;

        hash_result(&h, r, false);
        return h;
}

typedef struct Replay {
        World *world;
        Twin *twin;
        WatchReplay *watches;
        GHashTable *by_request;         /* hash of the bytes -> Op, of unique requests; lookup only */
        GPtrArray *updates;             /* Op of answered updates, by zxid */
        guint next_update;
        GPtrArray *reads;               /* Op, by zxid */
        guint next_read;
        GHashTable *effects;            /* Op -> how often it took effect; lookup only */
        Writer writer;
} Replay;

static uint64_t bytes_hash(const void *data, size_t size) {
        return XXH3_64bits(data, size);
}

static bool is_refusal(ConveneStatus status) {
        return status == CONVENE_NOT_READY || status == CONVENE_NO_SPACE || status == CONVENE_AUTH_FAILED;
}

static int compare_ops(const void *a, const void *b) {
        const Op *x = *(Op *const *) a, *y = *(Op *const *) b;

        if (x->zxid != y->zxid)
                return x->zxid < y->zxid ? -1 : 1;
        return x->number < y->number ? -1 : 1;
}

static void index_ops(Replay *r) {
        GPtrArray *ops = r->world->workload->ops;

        for (guint i = 0; i < ops->len; i++) {
                Op *op = ops->pdata[i];

                if (request_op_is_update(op->op)) {
                        uint64_t *key = g_new(uint64_t, 1);

                        *key = bytes_hash(g_bytes_get_data(op->request, NULL), g_bytes_get_size(op->request));
                        g_hash_table_insert(r->by_request, key, op);
                        if (op->state == OP_ANSWERED && !is_refusal(op->status))
                                g_ptr_array_add(r->updates, op);
                } else if (op->state == OP_ANSWERED && !is_refusal(op->status))
                        g_ptr_array_add(r->reads, op);
        }
        g_ptr_array_sort(r->reads, compare_ops);
        g_ptr_array_sort(r->updates, compare_ops);
}

static void check_reads(Replay *r, Zxid zxid) {
        World *w = r->world;

        for (; r->next_read < r->reads->len && !w->failure; r->next_read++) {
                Op *op = r->reads->pdata[r->next_read];
                DecodedRequest d;
                Result result;

                if (op->zxid > zxid)
                        return;
                if (op->zxid < zxid) {
                        world_fail(w, "A", "read %" PRIu64 " is of " ZXID_FORMAT ", where there is no entry", op->number,
                                   op->zxid);
                        return;
                }
                if (!request_decode(g_bytes_get_data(op->request, NULL), g_bytes_get_size(op->request), &d))
                        g_assert_not_reached();
                twin_read(r->twin, &d.request, &result);
                result.zxid = zxid;
                if (result_hash(&result) != op->result_hash)
                        world_fail(w, "A", "read %" PRIu64 " (op %d of %s) on h%u at " ZXID_FORMAT " is answered %s, the "
                                   "model says %s, or the answers differ elsewhere", op->number, op->op,
                                   d.request.path ?: "", op->host, op->zxid, convene_status_to_string(op->status),
                                   convene_status_to_string(result.status));
                request_decoded_done(&d);
        }
}

/* The request of a client that an entry stands for; NULL for none. */
static Op *find_op(Replay *r, const Request *request) {
        Request bare = *request;
        uint64_t key;

        /* What the member adds. */
        bare.cxid = 0;
        bare.origin = 0;
        bare.number = 0;
        writer_clear(&r->writer);
        request_encode(&bare, &r->writer);
        key = bytes_hash(r->writer.data, r->writer.size);
        return g_hash_table_lookup(r->by_request, &key);
}

static bool is_members_own(const Request *r) {
        return r->op == REQUEST_REAP || (r->op == REQUEST_CLOSE_SESSION && r->expired);
}

static void check_effects(Replay *r, Op *op, Zxid zxid) {
        unsigned count = GPOINTER_TO_UINT(g_hash_table_lookup(r->effects, op)) + 1;

        g_hash_table_insert(r->effects, op, GUINT_TO_POINTER(count));
        if (!op->unique)
                return;
        if (count > 1)
                world_fail(r->world, "A", "request %" PRIu64 " took effect again at " ZXID_FORMAT, op->number, zxid);
        else if (op->state == OP_ANSWERED && (is_refusal(op->status) || op->zxid != zxid))
                world_fail(r->world, "A", "request %" PRIu64 " was answered %s at " ZXID_FORMAT ", and took effect at "
                           ZXID_FORMAT, op->number, convene_status_to_string(op->status), op->zxid, zxid);
}

/* An answer that names this entry.  One that is no success may be a refusal, which names what was applied then. */
static void check_answer(Replay *r, const Op *answered, const Op *asked, Zxid zxid, const Result *result) {
        World *w = r->world;

        if (!asked || !g_bytes_equal(asked->request, answered->request)) {
                if (answered->status == CONVENE_OK)
                        world_fail(w, "A", "request %" PRIu64 " was acknowledged with " ZXID_FORMAT ", where another "
                                   "request is", answered->number, zxid);
        } else if (result_hash(result) != answered->result_hash && (answered->unique || answered->status == CONVENE_OK))
                world_fail(w, "A", "request %" PRIu64 " (op %d) at " ZXID_FORMAT " was answered %s, the model says %s, or the "
                           "answers differ elsewhere", answered->number, answered->op, zxid,
                           convene_status_to_string(answered->status), convene_status_to_string(result->status));
}

static void check_answers(Replay *r, Zxid zxid, const Op *asked, const Result *result) {
        for (; r->next_update < r->updates->len && !r->world->failure; r->next_update++) {
                const Op *op = r->updates->pdata[r->next_update];

                if (op->zxid > zxid)
                        return;
                if (op->zxid == zxid && result)
                        check_answer(r, op, asked, zxid, result);
                else if (op->status == CONVENE_OK)
                        world_fail(r->world, "A", "request %" PRIu64 " was acknowledged with " ZXID_FORMAT
                                   ", which is no entry of a client", op->number, op->zxid);
        }
}

static void check_update(Replay *r, uint64_t index, Zxid zxid, const Request *request, const Result *result) {
        Op *asked = find_op(r, request);

        if (!asked && !is_members_own(request))
                world_fail(r->world, "I3", "entry %" PRIu64 " " ZXID_FORMAT " (op %d) is no client's request", index, zxid,
                           request->op);
        if (asked && result->status == CONVENE_OK)
                check_effects(r, asked, zxid);
        check_answers(r, zxid, asked, result);
}

/* I12: now and then, for it costs as much as the whole tree. */
static void check_digest(Replay *r, uint64_t index) {
        const Committed *c = &g_array_index(r->world->judge->committed, Committed, index - 1);

        if (!c->has_digest || (index % 97 != 0 && index != judge_committed(r->world)))
                return;
        if (!hash128_equal(twin_digest(r->twin), c->digest))
                world_fail(r->world, "I12", "the tree at %" PRIu64 " is not the model's", index);
}

static void replay_entry(Replay *r, uint64_t index) {
        Zxid zxid = judge_zxid(r->world, index);
        const Proposal *p = judge_proposal(r->world, zxid);
        DecodedRequest d;
        Result result;

        if (p->type != ZAB_ENTRY_REQUEST) {
                twin_skip(r->twin, zxid);
                return;
        }
        if (!request_decode(g_bytes_get_data(p->payload, NULL), g_bytes_get_size(p->payload), &d)) {
                world_fail(r->world, "I3", "entry %" PRIu64 " does not decode", index);
                return;
        }
        twin_apply(r->twin, zxid, p->time_msec, &d.request, true, &result);
        check_update(r, index, zxid, &d.request, &result);
        if (d.request.op == REQUEST_CLOSE_SESSION && d.request.expired && result.status == CONVENE_OK)
                judge_closed(r->world, zxid);
        watch_replay_changes(r->watches, r->twin, zxid);
        request_decoded_done(&d);
}

static void check_rest(Replay *r) {
        if (r->next_read < r->reads->len)
                world_fail(r->world, "A", "read %" PRIu64 " is of a zxid that is not committed",
                           ((Op *) r->reads->pdata[r->next_read])->number);
        check_answers(r, UINT64_MAX, NULL, NULL);
}

void replay_check(World *w) {
        Replay r = {
                .world = w,
                .twin = twin_new(),
                .watches = watch_replay_new(w),
                .by_request = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL),
                .updates = g_ptr_array_new(),
                .reads = g_ptr_array_new(),
                .effects = g_hash_table_new(NULL, NULL),
        };

        index_ops(&r);
        check_reads(&r, 0);
        for (uint64_t i = 1; i <= judge_committed(w) && !w->failure; i++) {
                replay_entry(&r, i);
                check_reads(&r, judge_zxid(w, i));
                if (!w->failure)
                        check_digest(&r, i);
        }
        if (!w->failure)
                check_rest(&r);
        if (!w->failure)
                watch_replay_finish(r.watches);
        watch_replay_free(r.watches);
        twin_free(r.twin);
        g_hash_table_unref(r.by_request);
        g_hash_table_unref(r.effects);
        g_ptr_array_unref(r.reads);
        g_ptr_array_unref(r.updates);
        writer_done(&r.writer);
}
