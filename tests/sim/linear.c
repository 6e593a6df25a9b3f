/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Linear: the black-box checker (reliability 4.3 B), in the manner of Wing and Gong with the memory of Lowe.  It believes no zxid:
 * from what clients asked, when, and what they were told, it looks for an order of the operations on each znode in
 * which a plain register would have given the same answers.
 */

#include "tests/sim/linear.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/workload.h"

/* The register: present, version, value. */
typedef struct Register {
        bool present;
        int32_t version;
        uint64_t value;
} Register;

typedef struct Point Point;

struct Point {                          /* a call or a return, in a list by time */
        const LinearOp *op;
        unsigned number;
        bool is_return;
        uint64_t at, order;
        Point *match, *before, *after;
};

typedef struct Search {
        unsigned count;
        uint64_t *done;                 /* a bit per operation */
        GHashTable *seen;               /* done and register, as bytes */
        uint64_t budget;
} Search;

static bool versions_agree(const LinearOp *op, const Register *r) {
        return op->version == -1 || op->version == r->version;
}

/* Whether the answer fits the register; if so, *ret is the register after it. */
static bool apply(const LinearOp *op, const Register *r, Register *ret) {
        ConveneStatus expected = CONVENE_OK;

        *ret = *r;
        switch (op->kind) {

        case LINEAR_CREATE:
                if (r->present)
                        expected = CONVENE_NODE_EXISTS;
                else
                        *ret = (Register) { true, 0, op->value };
                break;

        case LINEAR_SET:
                if (!r->present)
                        expected = CONVENE_NO_NODE;
                else if (!versions_agree(op, r))
                        expected = CONVENE_BAD_VERSION;
                else
                        *ret = (Register) { true, r->version + 1, op->value };
                break;

        case LINEAR_DELETE:
                if (!r->present)
                        expected = CONVENE_NO_NODE;
                else if (!versions_agree(op, r))
                        expected = CONVENE_BAD_VERSION;
                else
                        *ret = (Register) { 0 };
                break;

        case LINEAR_READ:
                if (!r->present)
                        expected = CONVENE_NO_NODE;
                else if (!op->is_unknown && op->status == CONVENE_OK &&
                         (op->value != r->value || op->answer_version != r->version))
                        return false;
                break;
        }
        if (op->is_unknown)
                return true;
        if (op->status != expected)
                return false;
        return op->kind != LINEAR_SET || expected != CONVENE_OK || op->answer_version == ret->version;
}

static int compare_points(const void *a, const void *b) {
        const Point *x = *(Point *const *) a, *y = *(Point *const *) b;

        if (x->at != y->at)
                return x->at < y->at ? -1 : 1;
        /* At one instant calls come before returns: they overlap. */
        if (x->is_return != y->is_return)
                return x->is_return ? 1 : -1;
        return x->order < y->order ? -1 : 1;
}

static Point *make_list(const LinearOp *ops, unsigned count, Point *points) {
        g_autofree Point **order = g_new(Point *, 2 * count);
        Point *head = points + 2 * count;

        for (unsigned i = 0; i < count; i++) {
                points[2 * i] = (Point) { &ops[i], i, false, ops[i].called, 2 * i };
                points[2 * i + 1] = (Point) { &ops[i], i, true, ops[i].is_unknown ? UINT64_MAX : ops[i].returned, 2 * i + 1 };
                points[2 * i].match = &points[2 * i + 1];
                order[2 * i] = &points[2 * i];
                order[2 * i + 1] = &points[2 * i + 1];
        }
        qsort(order, 2 * count, sizeof(Point *), compare_points);
        *head = (Point) { 0 };
        for (Point *last = head, **p = order; p < order + 2 * count; p++) {
                last->after = *p;
                (*p)->before = last;
                (*p)->after = NULL;
                last = *p;
        }
        return head;
}

static void lift(Point *p) {
        p->before->after = p->after;
        if (p->after)
                p->after->before = p->before;
        p->match->before->after = p->match->after;
        if (p->match->after)
                p->match->after->before = p->match->before;
}

static void unlift(Point *p) {
        p->match->before->after = p->match;
        if (p->match->after)
                p->match->after->before = p->match;
        p->before->after = p;
        if (p->after)
                p->after->before = p;
}

/* True if this set of operations with this register was not there before. */
static bool remember(Search *s, const Register *r) {
        size_t words = (s->count + 63) / 64 * sizeof(uint64_t);
        uint8_t *key = g_malloc(words + 24);
        uint64_t numbers[3] = { r->present, (uint32_t) r->version, r->value };
        GBytes *bytes;

        memcpy(key, s->done, words);
        memcpy(key + words, numbers, sizeof(numbers));
        bytes = g_bytes_new_take(key, words + sizeof(numbers));
        return g_hash_table_add(s->seen, bytes);
}

typedef struct Choice {
        Point *point;
        Register before;
} Choice;

LinearVerdict linear_judge(const LinearOp *ops, unsigned count, uint64_t budget) {
        g_autofree Point *points = g_new(Point, 2 * count + 1);
        g_autofree Choice *stack = g_new(Choice, count + 1);
        g_autofree uint64_t *done = g_new0(uint64_t, count / 64 + 1);
        Search s = { count, done, g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify) g_bytes_unref, NULL),
                     budget };
        Point *head = make_list(ops, count, points), *p = head->after;
        LinearVerdict verdict = LINEAR_OK;
        unsigned depth = 0, open = 0;
        Register now = { 0 }, next;

        for (unsigned i = 0; i < count; i++)
                open += !ops[i].is_unknown;
        /* Done when all that returned has its place; what never did need not have one. */
        while (open > 0) {
                if (s.budget-- == 0) {
                        verdict = LINEAR_GAVE_UP;
                        break;
                }
                if (p && !p->is_return) {
                        if (apply(p->op, &now, &next)) {
                                s.done[p->number / 64] |= UINT64_C(1) << p->number % 64;
                                if (remember(&s, &next)) {
                                        stack[depth++] = (Choice) { p, now };
                                        open -= !p->op->is_unknown;
                                        now = next;
                                        lift(p);
                                        p = head->after;
                                        continue;
                                }
                                s.done[p->number / 64] &= ~(UINT64_C(1) << p->number % 64);
                        }
                        p = p->after;
                        continue;
                }
                if (depth == 0) {
                        verdict = LINEAR_BAD;
                        break;
                }
                p = stack[--depth].point;
                now = stack[depth].before;
                open += !p->op->is_unknown;
                s.done[p->number / 64] &= ~(UINT64_C(1) << p->number % 64);
                unlift(p);
                p = p->after;
        }
        g_hash_table_unref(s.seen);
        return verdict;
}

/*
 * From what clients did
 */

#define BUDGET 3000000

static bool translate(const Op *op, const Request *r, LinearOp *ret) {
        *ret = (LinearOp) {
                .called = op->invoked_usec,
                .returned = op->answered_usec,
                .is_unknown = op->state != OP_ANSWERED,
                .status = op->status,
                .version = r->version,
                .answer_version = op->version,
                .value = request_value(r->data, r->data_size),
        };
        /* What has another answer says that it has no effect; whether that is true, reads show. */
        if (op->state == OP_ANSWERED && op->status != CONVENE_OK && op->status != CONVENE_NO_NODE &&
            op->status != CONVENE_NODE_EXISTS && op->status != CONVENE_BAD_VERSION)
                return false;
        if (r->op == REQUEST_CREATE)
                ret->kind = LINEAR_CREATE;
        else if (r->op == REQUEST_SET_DATA)
                ret->kind = LINEAR_SET;
        else if (r->op == REQUEST_DELETE)
                ret->kind = LINEAR_DELETE;
        else if (r->op == REQUEST_GET_DATA && op->linearizable && !ret->is_unknown) {
                ret->kind = LINEAR_READ;
                ret->value = op->value;
        } else
                return false;
        return true;
}

static void dump(const World *w, const GArray *ops) {
        static const char *const kinds[] = { "create", "set", "delete", "read" };

        for (guint i = 0; w->verbose && i < ops->len; i++) {
                const LinearOp *o = &g_array_index(ops, LinearOp, i);

                world_trace((World *) w, "  %s %" PRIu64 "..%" PRIu64 " %s version %d -> %d value %" PRIu64, kinds[o->kind],
                            o->called, o->is_unknown ? UINT64_MAX : o->returned,
                            o->is_unknown ? "?" : convene_status_to_string(o->status), o->version, o->answer_version,
                            o->value);
        }
}

char *linear_check(const World *w, uint64_t *ret_operations) {
        for (unsigned key = 0; key < 5; key++) {
                g_autoptr(GArray) ops = g_array_new(FALSE, FALSE, sizeof(LinearOp));
                char path[16];

                (void) g_snprintf(path, sizeof(path), "/s/k%u", key);
                for (guint i = 0; i < w->workload->ops->len; i++) {
                        const Op *op = w->workload->ops->pdata[i];
                        DecodedRequest d;
                        LinearOp l;

                        if (!request_decode(g_bytes_get_data(op->request, NULL), g_bytes_get_size(op->request), &d))
                                g_assert_not_reached();
                        if (g_strcmp0(d.request.path, path) == 0 && translate(op, &d.request, &l))
                                g_array_append_val(ops, l);
                        request_decoded_done(&d);
                }
                *ret_operations += ops->len;
                if (linear_judge((const LinearOp *) ops->data, ops->len, BUDGET) == LINEAR_BAD) {
                        dump(w, ops);
                        return g_strdup_printf("the history of %s is not linearizable", path);
                }
        }
        return NULL;
}
