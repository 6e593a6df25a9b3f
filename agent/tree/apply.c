/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Apply
 *
 * One entry from its bytes to its result.  Everything is checked before anything is done, except in a multi, whose
 * operations see each other's effects and are rolled back together.
 */

#include <assert.h>

#include "agent/tree/tree-internal.h"

static bool op_is_of_session(RequestOp op) {
        return op >= REQUEST_OPEN_SESSION && op <= REQUEST_CLOSE_SESSION;
}

/* Keeps of a failed multi what 2.13 shows: which operation failed and how. */
static void multi_fail(Result *results, uint32_t count, uint32_t failed, ConveneStatus status) {
        for (uint32_t i = 0; i < count; i++) {
                ConveneStatus s = i < failed ? CONVENE_OK : i == failed ? status : CONVENE_RUNTIME_INCONSISTENCY;

                results[i] = (Result) { .op = results[i].op, .status = s, .zxid = results[i].zxid };
        }
}

static ConveneStatus apply_multi(Tree *t, const Caller *caller, const Request *r, Result *ret) {
        Result *results = arena_allocate_array(&t->applied, r->operations_count, sizeof(Result));

        ret->results = results;
        ret->results_count = r->operations_count;
        for (uint32_t i = 0; i < r->operations_count; i++) {
                results[i].op = r->operations[i].op;
                results[i].zxid = ret->zxid;
        }

        for (uint32_t i = 0; i < r->operations_count; i++) {
                ConveneStatus status = apply_znode(t, caller, &r->operations[i], &results[i]);

                if (status != CONVENE_OK) {
                        multi_fail(results, r->operations_count, i, status);
                        return status;
                }
        }

        return CONVENE_OK;
}

static ConveneStatus apply_operation(Tree *t, const Request *r, Result *ret, SessionEvent *ret_event) {
        Caller caller = { 0 };
        ConveneStatus status;

        if (r->session != 0) {
                caller.session = index_find(&t->sessions, r->session);
                if (!caller.session)
                        return CONVENE_SESSION_EXPIRED;
                /* Who answers for it now may have promised its owner that nothing of before comes any more. */
                if (r->origin != 0 && r->origin != caller.session->member)
                        return CONVENE_SESSION_MOVED;
                if (r->cxid != 0 && r->cxid <= caller.session->cxid)
                        return CONVENE_BAD_ARGUMENTS;
        }

        status = request_validate(r);
        if (status != CONVENE_OK)
                return status;
        if (!request_op_is_update(r->op))
                return CONVENE_UNIMPLEMENTED;

        if (op_is_of_session(r->op))
                return apply_session(t, r, ret, ret_event);

        caller.identities = tree_identities(t, r);
        if (r->op == REQUEST_MULTI)
                return apply_multi(t, &caller, r, ret);

        return apply_znode(t, &caller, r, ret);
}

static void remember_cxid(Tree *t, const Request *r, const SessionEvent *e) {
        Session *s;

        if (r->session == 0 || r->cxid == 0 || (e->ended && e->session == r->session))
                return;

        s = index_find(&t->sessions, r->session);
        entry_session_touch(t, s);
        s->cxid = r->cxid;
        entry_session_settle(t, s);
}

static void tell_session_event(Tree *t, const SessionEvent *e) {
        const TreeListener *l = &t->listener;

        if (e->ended && l->session_ended)
                l->session_ended(l->userdata, e->session, e->expired);
        if (e->moved && l->session_moved)
                l->session_moved(l->userdata, e->session, e->generation);
}

void tree_apply_request(Tree *t, Zxid zxid, int64_t time_msec, const Request *r, Result *ret) {
        SessionEvent event = { 0 };

        assert(!t->load);
        assert(zxid > t->zxid);

        arena_reset(&t->applied);
        t->zxid = zxid;
        *ret = (Result) { .op = r->op, .zxid = zxid };

        entry_begin(t, zxid, time_msec);
        ret->status = apply_operation(t, r, ret, &event);
        if (ret->status == CONVENE_OK) {
                remember_cxid(t, r, &event);
                entry_commit(t);
                if (event.ended)
                        session_bury(t, event.session);
                tell_session_event(t, &event);
        } else {
                entry_rollback(t);
                *ret = (Result) {
                        .op = r->op,
                        .status = ret->status,
                        .zxid = zxid,
                        .results = ret->results,
                        .results_count = ret->results_count,
                };
        }
        entry_end(t);
}

void tree_apply(Tree *t, Zxid zxid, int64_t time_msec, const uint8_t *payload, size_t payload_size, Result *ret) {
        DecodedRequest d;

        if (!request_decode(payload, payload_size, &d)) {
                tree_skip(t, zxid);
                *ret = (Result) { .status = CONVENE_MARSHALLING_ERROR, .zxid = zxid };
                return;
        }

        tree_apply_request(t, zxid, time_msec, &d.request, ret);
        request_decoded_done(&d);
}

void tree_skip(Tree *t, Zxid zxid) {
        assert(!t->load);
        assert(!t->entry.open);
        assert(zxid > t->zxid);

        t->zxid = zxid;
}
