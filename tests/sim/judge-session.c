/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Judge: sessions (S3).  A leader may end a session for its time-out only if it has not heard of it, by its own clock, for
 * all of that time, counted from when it began to lead.
 */

#include "tests/sim/judge.h"
#include "tests/sim/recipes.h"

static Touch *need_touch(Host *leader, uint64_t session) {
        GArray *touches = leader->judge->touches;
        Touch new = { .session = session };

        for (guint i = 0; i < touches->len; i++)
                if (g_array_index(touches, Touch, i).session == session)
                        return &g_array_index(touches, Touch, i);
        g_array_append_val(touches, new);
        return &g_array_index(touches, Touch, touches->len - 1);
}

static void touch(Host *leader, uint64_t session) {
        if (leader->judge->role != ZAB_ROLE_LEADER)
                return;
        TRACE(leader->world, "h%u hears of session " ZXID_FORMAT, leader->sid, session);
        need_touch(leader, session)->at_usec = host_clock(leader);
}

/* Only the member that a session was last attached to may speak for it. */
static bool is_at(const Host *leader, uint64_t session, uint32_t sid) {
        SessionInfo info;

        return tree_get_session(member_get_tree(leader->member), session, &info) && info.member == sid;
}

void judge_on_local_touch(Host *h, uint64_t session) {
        if (is_at(h, session, h->sid))
                touch(h, session);
}

/* The host answers for it, or has just ceased to. */
void judge_on_keep(Host *h, uint64_t session) {
        if (is_at(h, session, h->sid))
                touch(h, session);
}

void judge_on_received(Host *h, uint32_t from, const PeerMessage *message) {
        const MemberMessage *m = &message->member;

        /* A later session of the same epoch has a later mark; the first is what the epoch may be adopted with. */
        if (message->is_zab && message->zab.type == ZAB_MESSAGE_NEWLEADER &&
            h->judge->mark_epoch != message->zab.epoch) {
                h->judge->mark_epoch = message->zab.epoch;
                h->judge->mark = message->zab.position.index;
        }
        if (message->is_zab && message->zab.type == ZAB_MESSAGE_VOTE_REQUEST)
                judge_on_vote_request(h, from, &message->zab);
        if (message->is_zab && message->zab.type == ZAB_MESSAGE_LEADER_HELLO)
                judge_on_hello(h, &message->zab);
        if (message->is_zab || h->judge->role != ZAB_ROLE_LEADER || m->epoch != h->judge->epoch)
                return;
        if (m->type == MEMBER_MESSAGE_TOUCH)
                for (unsigned i = 0; i < m->sessions_count; i++)
                        if (is_at(h, m->sessions[i], from))
                                touch(h, m->sessions[i]);
}

/* An entry of this leader, at the moment of its proposal.  An end that is proposed early is none if the session has moved in
 * the meantime: that shows when the entry is applied. */
void judge_close(Host *leader, const ZabEntry *entry) {
        World *w = leader->world;
        EarlyClose early = { .zxid = entry->zxid, .leader = leader->sid };
        DecodedRequest d;

        if (!request_decode(g_bytes_get_data(entry->payload, NULL), g_bytes_get_size(entry->payload), &d))
                return;
        if (d.request.op == REQUEST_OPEN_SESSION || d.request.op == REQUEST_ATTACH_SESSION)
                touch(leader, d.request.op == REQUEST_OPEN_SESSION ? entry->zxid : d.request.target);
        if (d.request.op == REQUEST_CLOSE_SESSION && d.request.expired) {
                const Touch *t = need_touch(leader, d.request.target);
                uint64_t timeout_usec = (uint64_t) workload_session_timeout_msec(w, d.request.target) * 1000;

                TRACE(w, "h%u proposes the end of session " ZXID_FORMAT, leader->sid, d.request.target);
                early.session = d.request.target;
                early.silent_usec = host_clock(leader) - MAX(t->at_usec, leader->judge->led_since_usec);
                if (early.silent_usec < timeout_usec || ((workload_keeps(leader, d.request.target) || recipes_keep(leader, d.request.target)) &&
                                                          is_at(leader, d.request.target, leader->sid)))
                        g_array_append_val(w->judge->early, early);
        }
        request_decoded_done(&d);
}

static void note_promises(World *w, Zxid zxid, uint64_t session) {
        for (uint32_t sid = 1; sid <= w->params.hosts; sid++) {
                Host *h = &w->hosts[sid];
                uint64_t deadline = h->state == HOST_UP ? member_session_deadline(h->member, session) : 0;
                BrokenPromise b = { .zxid = zxid, .session = session, .sid = sid };

                if (deadline <= host_clock(h))
                        continue;
                b.left_usec = deadline - host_clock(h);
                g_array_append_val(w->judge->broken, b);
        }
}

void judge_promises(World *w, Zxid zxid) {
        const Proposal *p = judge_proposal(w, zxid);
        DecodedRequest d;

        if (!request_decode(g_bytes_get_data(p->payload, NULL), g_bytes_get_size(p->payload), &d))
                return;
        if (d.request.op == REQUEST_CLOSE_SESSION && d.request.expired)
                note_promises(w, zxid, d.request.target);
        request_decoded_done(&d);
}

void judge_closed(World *w, Zxid zxid) {
        for (guint i = 0; i < w->judge->broken->len; i++) {
                const BrokenPromise *b = &g_array_index(w->judge->broken, BrokenPromise, i);

                if (b->zxid == zxid)
                        world_fail(w, "S3", "session " ZXID_FORMAT " is ended for its time-out with " ZXID_FORMAT
                                   ", but h%u was promised another %" PRIu64 " usec", b->session, zxid, b->sid, b->left_usec);
        }
        for (guint i = 0; i < w->judge->early->len; i++) {
                const EarlyClose *e = &g_array_index(w->judge->early, EarlyClose, i);

                if (e->zxid == zxid)
                        world_fail(w, "S3", "h%u ends session " ZXID_FORMAT " with " ZXID_FORMAT ", %" PRIu64 " usec after it "
                                   "heard of it; its time-out is %u msec, or it answers for it itself", e->leader,
                                   e->session, zxid, e->silent_usec, workload_session_timeout_msec(w, e->session));
        }
}
