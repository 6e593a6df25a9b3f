/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Sessions
 *
 * Who answers for which session (DESIGN 2.6, 2.8; protocol 2.13).  A follower tells its leader which sessions it keeps: all
 * of them when a term begins, then what changes; from then on being heard by the leader touches them.  Sessions that
 * their clients keep alive themselves are told one by one, once per tick.
 *
 * The promise: until `base` + timeout, less what clocks may drift apart, this member's leader or any later one will not have
 * ended the session.  The base is a time on this member's clock at or before which the leader counts the session touched: it
 * was heard after that and, to be no deposed one, confirmed by a quorum after that.  A later leader gives a full timeout from
 * its own beginning, which is later still.
 */

#include <assert.h>

#include "agent/base/limits.h"
#include "agent/member/member-internal.h"

#define DRIFT_PERCENT 1                         /* protocol 2.13: rho */
#define FLUSH_USEC UINT64_C(50000)
#define EXPIRE_AGAIN_USEC UINT64_C(50000)

/* A session that this member answers for, or that its client touches here. */
typedef struct Local {
        uint64_t id;
        bool kept;
        bool touched;                   /* in Member.touched */
        uint64_t kept_usec;             /* when this term's leader was told that it is kept; 0: not yet */
        uint64_t told_usec;             /* when it was told of a touch, not confirmed yet; 0: none */
        uint64_t base_usec;             /* see above; 0: nothing was promised */
        GList link;                     /* in Member.local_list */
} Local;

void sessions_init(Member *m) {
        m->locals = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
        m->keep_changed = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        m->touched = g_array_new(FALSE, FALSE, sizeof(uint64_t));
}

void sessions_done(Member *m) {
        for (unsigned sid = 0; sid <= ZAB_CONFIG_MEMBERS_MAX; sid++)
                g_clear_pointer(&m->claims[sid], g_hash_table_unref);
        g_array_unref(m->keep_changed);
        g_array_unref(m->touched);
        g_hash_table_unref(m->locals);
}

static Local *find(const Member *m, uint64_t session) {
        return g_hash_table_lookup(m->locals, &session);
}

static Local *get(Member *m, uint64_t session) {
        Local *l = find(m, session);

        if (l)
                return l;

        l = g_new0(Local, 1);
        l->id = session;
        l->link.data = l;
        g_queue_push_tail_link(&m->local_list, &l->link);
        g_hash_table_insert(m->locals, &l->id, l);
        return l;
}

static bool has_term(const Member *m) {
        return m->term.leads || m->term.follows;
}

/* What is confirmed by now becomes the base.  A time that is confirmed came with a PONG: one of the very instant in which the leader
 * was told may have left before that, and the leader may have got no more. */
static void fold(const Member *m, Local *l) {
        if (l->kept && l->kept_usec != 0 && m->confirmed_usec > l->kept_usec)
                l->base_usec = MAX(l->base_usec, m->confirmed_usec);
        if (l->told_usec != 0 && m->confirmed_usec > l->told_usec) {
                l->base_usec = MAX(l->base_usec, l->told_usec);
                l->told_usec = 0;
        }
}

static void plan_flush(Member *m) {
        if (m->flush_at_usec == 0)
                m->flush_at_usec = m->now_usec + FLUSH_USEC;
}

static void tell_keeping(Member *m, uint64_t session) {
        if (!m->term.follows)
                return;                         /* the whole list goes to the next leader */

        g_array_append_val(m->keep_changed, session);
        plan_flush(m);
}

static void forget(Member *m, uint64_t session) {
        Local *l = find(m, session);

        if (!l)
                return;
        if (l->kept)
                tell_keeping(m, session);
        g_queue_unlink(&m->local_list, &l->link);
        g_hash_table_remove(m->locals, &session);
}

/*
 * To the leader
 */

static void send_list(Member *m, MemberMessageType type, const uint64_t *sessions, unsigned count) {
        member_send(m, &m->term.session, (MemberMessage) { .type = type, .sessions = sessions, .sessions_count = count });
}

static void add_to_list(Member *m, MemberMessageType type, GArray *list, uint64_t session) {
        g_array_append_val(list, session);
        if (list->len < MEMBER_MESSAGE_SESSIONS_MAX)
                return;

        send_list(m, type, (const uint64_t *) list->data, list->len);
        g_array_set_size(list, 0);
}

static void end_list(Member *m, MemberMessageType type, GArray *list) {
        if (list->len > 0)
                send_list(m, type, (const uint64_t *) list->data, list->len);
        g_array_unref(list);
}

/* An empty list says that there are none. */
static void tell_all_kept(Member *m) {
        GArray *list = g_array_new(FALSE, FALSE, sizeof(uint64_t));

        send_list(m, MEMBER_MESSAGE_KEEP, NULL, 0);
        for (GList *i = m->local_list.head; i; i = i->next) {
                Local *l = i->data;

                if (!l->kept)
                        continue;
                l->kept_usec = m->now_usec;
                add_to_list(m, MEMBER_MESSAGE_KEEP, list, l->id);
        }
        end_list(m, MEMBER_MESSAGE_KEEP, list);
}

static void flush_keeping(Member *m) {
        GArray *kept = g_array_new(FALSE, FALSE, sizeof(uint64_t)), *others = g_array_new(FALSE, FALSE, sizeof(uint64_t));

        for (guint i = 0; i < m->keep_changed->len; i++) {
                uint64_t session = g_array_index(m->keep_changed, uint64_t, i);
                Local *l = find(m, session);

                if (l && l->kept) {
                        if (l->kept_usec == 0)
                                l->kept_usec = m->now_usec;
                        add_to_list(m, MEMBER_MESSAGE_KEEP, kept, session);
                } else
                        add_to_list(m, MEMBER_MESSAGE_UNKEEP, others, session);
        }
        g_array_set_size(m->keep_changed, 0);
        end_list(m, MEMBER_MESSAGE_KEEP, kept);
        end_list(m, MEMBER_MESSAGE_UNKEEP, others);
}

static void flush_touched(Member *m) {
        GArray *list = g_array_new(FALSE, FALSE, sizeof(uint64_t));

        for (guint i = 0; i < m->touched->len; i++) {
                uint64_t session = g_array_index(m->touched, uint64_t, i);
                Local *l = find(m, session);

                if (!l)
                        continue;
                l->touched = false;
                fold(m, l);
                if (l->told_usec == 0)          /* else: a later one must not put off the confirmation of an earlier one */
                        l->told_usec = m->now_usec;
                if (m->term.leads)
                        liveness_touch(m->liveness, session, m->now_usec);
                else
                        add_to_list(m, MEMBER_MESSAGE_TOUCH, list, session);
        }
        g_array_set_size(m->touched, 0);
        end_list(m, MEMBER_MESSAGE_TOUCH, list);
}

static void flush(Member *m) {
        if (!has_term(m))
                return;

        if (m->term.follows)
                flush_keeping(m);
        flush_touched(m);
        m->flush_at_usec = 0;
}

static void refresh_heard(Member *m, uint32_t sid) {
        ZabPeerState peer;

        if (zab_peer(m->zab, sid, &peer))
                m->heard_usec[sid] = MAX(m->heard_usec[sid], peer.heard_usec);
}

void sessions_on_tick(Member *m) {
        const ZabConfig *config = zab_config(m->zab);

        if (m->flush_at_usec != 0 && m->now_usec >= m->flush_at_usec)
                flush(m);
        if (m->term.leads)
                for (unsigned i = 0; config && i < config->members_count; i++)
                        refresh_heard(m, config->members[i].sid);
}

/* What it claims next time may be less; what it claimed until now was touched until now. */
void sessions_on_peer_down(Member *m, uint32_t sid) {
        refresh_heard(m, sid);
        m->lost_usec[sid] = m->heard_usec[sid];
}

/* Another leader, or none: nothing that the last one was told counts with it. */
void sessions_on_term(Member *m) {
        for (GList *i = m->local_list.head; i; i = i->next) {
                Local *l = i->data;

                fold(m, l);
                l->told_usec = 0;
                l->kept_usec = m->term.leads ? m->now_usec : 0;
        }
        m->confirmed_usec = 0;
        g_array_set_size(m->keep_changed, 0);
        for (unsigned sid = 0; sid <= ZAB_CONFIG_MEMBERS_MAX; sid++) {
                g_clear_pointer(&m->claims[sid], g_hash_table_unref);
                m->heard_usec[sid] = m->lost_usec[sid] = 0;
        }

        if (m->term.leads)
                liveness_touch_all(m->liveness, m->now_usec);   /* protocol 2.13: a full timeout for everybody */
        else if (m->term.follows)
                tell_all_kept(m);
}

/*
 * As leader
 */

static void touch_of_member(Member *m, uint32_t sid, uint64_t session) {
        SessionInfo info;

        if (tree_get_session(m->tree, session, &info) && info.member == sid)
                liveness_touch(m->liveness, session, m->now_usec);
}

/* A claim counts for sessions whose member is the claimant, whenever the entry that says so is applied here. */
void sessions_on_message(Member *m, uint32_t sid, const ZabSession *from, const MemberMessage *message) {
        if (!m->claims[sid])
                m->claims[sid] = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
        if (m->claims_session[sid] != from->session) {
                g_hash_table_remove_all(m->claims[sid]);
                m->claims_session[sid] = from->session;
        }

        for (unsigned i = 0; i < message->sessions_count; i++) {
                const uint64_t *session = &message->sessions[i];

                if (message->type != MEMBER_MESSAGE_KEEP) {
                        touch_of_member(m, sid, *session);
                        if (message->type == MEMBER_MESSAGE_UNKEEP)
                                g_hash_table_remove(m->claims[sid], session);
                } else if (g_hash_table_size(m->claims[sid]) < LIMIT_SESSIONS_TOTAL)
                        g_hash_table_add(m->claims[sid], g_memdup2(session, sizeof(*session)));
        }
}

static uint64_t heard(void *userdata, uint64_t session) {
        Member *m = userdata;
        SessionInfo info;

        if (!tree_get_session(m->tree, session, &info))
                return 0;

        if (info.member == m->options.zab.sid) {
                const Local *l = find(m, session);

                return l && l->kept ? m->now_usec : 0;
        }
        if (info.member > ZAB_CONFIG_MEMBERS_MAX)
                return 0;
        if (!m->claims[info.member] || !g_hash_table_contains(m->claims[info.member], &session))
                return m->lost_usec[info.member];

        refresh_heard(m, info.member);
        return m->heard_usec[info.member];
}

void sessions_expire(Member *m) {
        uint64_t session;

        while ((session = liveness_pop_expired(m->liveness, m->now_usec, heard, m)) != 0) {
                Request r = { .op = REQUEST_CLOSE_SESSION, .target = session, .expired = true };
                SessionInfo info;

                if (tree_get_session(m->tree, session, &info))
                        r.generation = info.generation;         /* one that attaches before this is applied was in time */
                if (!member_propose_own(m, &r)) {
                        liveness_again(m->liveness, session, m->now_usec + EXPIRE_AGAIN_USEC);
                        return;
                }
        }
}

/*
 * What was applied
 */

void sessions_on_applied(Member *m, const Request *r, const Result *result, uint64_t sent_usec) {
        if (result->status != CONVENE_OK || (r->op != REQUEST_OPEN_SESSION && r->op != REQUEST_ATTACH_SESSION))
                return;

        if (r->op == REQUEST_OPEN_SESSION)
                m->statistics.sessions_opened++;
        liveness_add(m->liveness, result->session, (uint64_t) result->timeout_msec * 1000, m->now_usec);
        if (r->member != m->options.zab.sid)
                forget(m, result->session);             /* it moved away */
        else if (sent_usec != 0) {
                Local *l = get(m, result->session);

                /* The leader counts from when it applied the entry, which was later. */
                l->base_usec = MAX(l->base_usec, sent_usec);
        }
}

void sessions_on_ended(Member *m, uint64_t session) {
        liveness_remove(m->liveness, session);
        forget(m, session);
        subscription_on_session_ended(m, session);
}

typedef struct Swap {
        Member *member;
        const Tree *before;
} Swap;

static void drop_if_ended(void *userdata, uint64_t session) {
        const Swap *swap = userdata;
        Member *m = swap->member;
        SessionInfo info;
        bool local;

        if (tree_get_session(m->tree, session, &info)) {
                if (info.member != m->options.zab.sid)
                        forget(m, session);
                return;
        }

        local = tree_get_session(swap->before, session, &info) && info.member == m->options.zab.sid;
        sessions_on_ended(m, session);
        if (local)
                m->driver.session_ended(m->driver.userdata, session, /* expired= */ true);
}

static void add_session(const SessionInfo *s, void *userdata) {
        Member *m = userdata;

        liveness_add(m->liveness, s->id, (uint64_t) s->timeout_msec * 1000, m->now_usec);
}

void sessions_on_snapshot(Member *m, const Tree *before) {
        liveness_foreach(m->liveness, drop_if_ended, &(Swap) { m, before });
        tree_foreach_session(m->tree, add_session, m);
}

/*
 * What fronts say and ask
 */

/* There is one of this number, and it is this member that answers for it: what another says of it counts for nothing. */
static bool is_ours(const Member *m, uint64_t session, SessionInfo *ret) {
        return tree_get_session(m->tree, session, ret) && ret->member == m->options.zab.sid;
}

void member_touch_session(Member *m, uint64_t session) {
        SessionInfo info;
        Local *l;

        if (!is_ours(m, session, &info))
                return;

        member_enter(m);
        l = get(m, session);
        if (!l->touched) {
                l->touched = true;
                g_array_append_val(m->touched, session);
                plan_flush(m);
        }
        if (m->term.leads)
                flush(m);
        member_leave(m);
}

void member_keep_session(Member *m, uint64_t session, bool kept) {
        Local *l;

        if (!tree_get_session(m->tree, session, &(SessionInfo) { 0 }))
                return;

        member_enter(m);
        l = get(m, session);
        if (l->kept != kept) {
                fold(m, l);
                l->kept = kept;
                l->kept_usec = kept && m->term.leads ? m->now_usec : 0;
                if (m->term.leads)
                        liveness_touch(m->liveness, session, m->now_usec);
                tell_keeping(m, session);
        }
        member_leave(m);
}

uint64_t member_session_deadline(const Member *m, uint64_t session) {
        const Local *l = find(m, session);
        SessionInfo info;
        Local now;

        if (!l || !is_ours(m, session, &info))
                return 0;

        now = *l;
        fold(m, &now);
        if (now.base_usec == 0)
                return 0;

        return now.base_usec + (uint64_t) info.timeout_msec * 1000 * (100 - DRIFT_PERCENT) / 100;
}
