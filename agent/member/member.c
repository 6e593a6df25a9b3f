/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Member
 *
 * The join of zab and tree: what zab says is committed and durable is applied to the tree, in order; what that brings
 * about goes to watchers first and then to who asked.
 */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "agent/member/member-internal.h"

#define REAP_INTERVAL_MSEC_DEFAULT 60000
#define REAP_MAX_DEFAULT 10000
#define DEADLINE_DRIFT_PERCENT 1        /* protocol 2.13: rho */

void member_enter(Member *m) {
        if (m->depth++ == 0)
                m->driver.get_time(m->driver.userdata, &m->now_usec, &m->wall_msec);
}

void member_leave(Member *m) {
        GList *link;

        assert(m->depth > 0);
        if (--m->depth > 0)
                return;

        while ((link = g_queue_pop_head_link(&m->dead)))
                client_destroy(link->data);
}

bool member_is_serving(const Member *m) {
        return zab_role(m->zab) == ZAB_ROLE_LEADER;
}

static void on_changed(void *userdata, const TreeChange *change) {
        Member *m = userdata;

        if (change->soft_quota)
                m->driver.soft_quota(m->driver.userdata, change->path);
        else
                subscription_on_change(m, change);
}

static void on_session_ended(void *userdata, uint64_t session, bool expired) {
        Member *m = userdata;

        liveness_remove(m->liveness, session);
        if (expired)
                m->statistics.sessions_expired++;
        else
                m->statistics.sessions_closed++;
        m->driver.session_ended(m->driver.userdata, session, expired);
}

static void count_session(const SessionInfo *s, void *userdata) {
        Member *m = userdata;

        liveness_add(m->liveness, s->id, (uint64_t) s->timeout_msec * 1000, m->now_usec);
}

static void on_apply(void *userdata, const ZabEntry *entry) {
        Member *m = userdata;
        gsize size;
        const uint8_t *payload = g_bytes_get_data(entry->payload, &size);
        Result result;

        if (entry->type != ZAB_ENTRY_REQUEST) {
                tree_skip(m->tree, entry->zxid);
                return;
        }

        tree_apply(m->tree, entry->zxid, entry->time_msec, payload, size, &result);
        m->statistics.updates++;
        if (result.status != CONVENE_OK)
                m->statistics.updates_failed++;
        else if (result.op == REQUEST_OPEN_SESSION || result.op == REQUEST_ATTACH_SESSION) {
                liveness_add(m->liveness, result.session, (uint64_t) result.timeout_msec * 1000, m->now_usec);
                if (result.op == REQUEST_OPEN_SESSION)
                        m->statistics.sessions_opened++;
        }
        client_on_applied(m, entry->zxid, &result);
}

static void on_append(void *userdata, uint64_t io_seq, const ZabEntry *entries, unsigned entries_count) {
        Member *m = userdata;

        m->driver.append(m->driver.userdata, io_seq, entries, entries_count);
}

static void on_write_meta(void *userdata, uint64_t io_seq, const ZabMeta *meta) {
        Member *m = userdata;

        m->driver.write_meta(m->driver.userdata, io_seq, meta);
}

static void on_read_ready(void *userdata, uint64_t read_id, uint64_t index) {
        client_on_read_ready(userdata, read_id, index);
}

static void on_role_changed(void *userdata, ZabRole role, uint32_t epoch, const char *reason) {
        Member *m = userdata;

        m->role_since_usec = m->now_usec;
        if (role == ZAB_ROLE_LEADER)
                liveness_touch_all(m->liveness, m->now_usec);   /* protocol 2.13: a full timeout for everybody */
        m->driver.role_changed(m->driver.userdata, role, epoch, reason);
}

Member *member_new(const MemberOptions *options, const MemberDriver *driver) {
        Member *m = g_new0(Member, 1);
        ZabEffects effects = {
                .append = on_append,
                .write_meta = on_write_meta,
                .apply = on_apply,
                .read_ready = on_read_ready,
                .role_changed = on_role_changed,
                .userdata = m,
        };

        m->options = *options;
        if (m->options.reap_interval_msec == 0)
                m->options.reap_interval_msec = REAP_INTERVAL_MSEC_DEFAULT;
        if (m->options.reap_max == 0)
                m->options.reap_max = REAP_MAX_DEFAULT;
        m->driver = *driver;
        m->listener = (TreeListener) { .changed = on_changed, .session_ended = on_session_ended, .userdata = m };
        m->watches = watch_table_new();
        m->liveness = liveness_new();
        m->confirming = g_hash_table_new(g_int64_hash, g_int64_equal);
        m->subscriptions = g_hash_table_new(g_int64_hash, g_int64_equal);
        m->space_available = true;
        m->zab = zab_new(&options->zab, &effects);
        return m;
}

const TreeListener *member_tree_listener(Member *m) {
        return &m->listener;
}

int member_take_tree(Member *m, Tree *tree, const ZabPosition *position, GBytes *config) {
        int r;

        assert(!m->tree);

        r = zab_restore_checkpoint(m->zab, position, config);
        if (r < 0)
                return r;

        m->tree = tree;
        m->history = change_history_new(tree_acl_table(tree), tree_zxid(tree));
        tree_foreach_session(tree, count_session, m);
        return 0;
}

int member_replay(Member *m, const ZabEntry *entry) {
        return zab_restore_entry(m->zab, entry);
}

void member_start(Member *m, const ZabMeta *meta) {
        assert(m->tree);

        member_enter(m);
        m->reap_at_usec = m->now_usec + (uint64_t) m->options.reap_interval_msec * 1000;
        m->role_since_usec = m->now_usec;
        zab_start(m->zab, meta, m->now_usec);
        member_leave(m);
}

Member *member_free(Member *m) {
        if (!m)
                return NULL;

        assert(m->depth == 0);
        while (!g_queue_is_empty(&m->clients))
                member_client_free(m->clients.head->data);

        /* What clients left behind in the log. */
        g_queue_clear_full(&m->proposals, g_free);
        m->history = change_history_free(m->history);
        watch_table_free(m->watches);
        liveness_free(m->liveness);
        g_hash_table_unref(m->confirming);
        g_hash_table_unref(m->subscriptions);
        zab_free(m->zab);
        tree_free(m->tree);
        writer_done(&m->writer);
        g_free(m);
        return NULL;
}

Zxid member_propose(Member *m, GBytes *payload) {
        ZabInput in = {
                .type = ZAB_INPUT_PROPOSE,
                .now_usec = m->now_usec,
                .entry_type = ZAB_ENTRY_REQUEST,
                .time_msec = m->wall_msec,
                .payload = payload,
        };
        Zxid zxid = 0;

        if (zab_step(m->zab, &in, &zxid) < 0)
                return 0;

        m->statistics.proposals++;
        return zxid;
}

void member_propose_own(Member *m, const Request *r) {
        g_autoptr(GBytes) payload = NULL;

        request_encode(r, &m->writer);
        payload = writer_to_bytes(&m->writer);
        (void) member_propose(m, payload);      /* no leader any more: the next one decides anew */
}

static void expire_sessions(Member *m) {
        uint64_t session;

        while ((session = liveness_pop_expired(m->liveness, m->now_usec)) != 0)
                member_propose_own(m, &(Request) {
                        .op = REQUEST_CLOSE_SESSION,
                        .target = session,
                        .expired = true,
                });
}

static void reap_one(const char *path, Zxid czxid, void *userdata) {
        Member *m = userdata;

        m->statistics.reaped++;
        member_propose_own(m, &(Request) { .op = REQUEST_REAP, .path = path, .czxid = czxid });
}

static void reap(Member *m) {
        if (m->now_usec < m->reap_at_usec)
                return;

        m->reap_at_usec = m->now_usec + (uint64_t) m->options.reap_interval_msec * 1000;
        (void) tree_find_reapable(m->tree, m->wall_msec, m->options.reap_max, reap_one, m);
}

static void step(Member *m, const ZabInput *in) {
        bool serving = member_is_serving(m);

        (void) zab_step(m->zab, in, NULL);
        if (!serving && member_is_serving(m))
                client_advance_all(m);
}

void member_on_tick(Member *m) {
        member_enter(m);
        step(m, &(ZabInput) { .type = ZAB_INPUT_TICK, .now_usec = m->now_usec });
        if (member_is_serving(m) && m->space_available) {
                expire_sessions(m);
                reap(m);
        } else if (!member_is_serving(m))
                client_advance_all(m);          /* deadlines of those who wait for a leader */
        member_leave(m);
}

uint64_t member_next_tick_usec(const Member *m) {
        uint64_t next = zab_timeout_usec(m->zab);

        if (!member_is_serving(m))
                return MIN(next, m->now_usec + 1000000);
        if (!m->space_available)
                return MIN(next, m->now_usec + 100000);

        next = MIN(next, m->reap_at_usec);
        return MIN(next, liveness_next_usec(m->liveness));
}

void member_on_appended(Member *m, uint64_t io_seq) {
        member_enter(m);
        step(m, &(ZabInput) { .type = ZAB_INPUT_LOG_DURABLE, .now_usec = m->now_usec, .io_seq = io_seq });
        member_leave(m);
}

void member_on_meta_written(Member *m, uint64_t io_seq) {
        member_enter(m);
        step(m, &(ZabInput) { .type = ZAB_INPUT_META_DURABLE, .now_usec = m->now_usec, .io_seq = io_seq });
        member_leave(m);
}

void member_on_space(Member *m, bool available) {
        m->space_available = available;
}

void member_touch_session(Member *m, uint64_t session) {
        member_enter(m);
        liveness_touch(m->liveness, session, m->now_usec);
        member_leave(m);
}

void member_keep_session(Member *m, uint64_t session, bool kept) {
        member_enter(m);
        liveness_keep(m->liveness, session, kept, m->now_usec);
        member_leave(m);
}

uint64_t member_session_deadline(const Member *m, uint64_t session) {
        uint64_t now_usec, deadline_usec;
        int64_t wall_msec;

        m->driver.get_time(m->driver.userdata, &now_usec, &wall_msec);
        deadline_usec = liveness_deadline(m->liveness, session, now_usec);
        if (deadline_usec == 0 || !member_is_serving(m))
                return deadline_usec;

        return deadline_usec - (deadline_usec - MIN(now_usec, deadline_usec)) * DEADLINE_DRIFT_PERCENT / 100;
}

void member_get_status(const Member *m, MemberStatus *ret) {
        *ret = (MemberStatus) {
                .role = zab_role(m->zab),
                .epoch = zab_epoch(m->zab),
                .sid = m->options.zab.sid,
                .leader = zab_leader(m->zab),
                .cluster_id = m->options.zab.cluster_id,
                .zxid = tree_zxid(m->tree),
                .last_index = zab_last(m->zab)->index,
                .commit_index = zab_commit(m->zab),
                .applied_index = zab_applied(m->zab)->index,
                .durable_index = zab_durable(m->zab),
                .role_since_usec = m->role_since_usec,
                .serving = member_is_serving(m) && m->space_available,
                .space_available = m->space_available,
                .config = zab_config(m->zab),
        };
}

void member_get_statistics(const Member *m, MemberStatistics *ret) {
        *ret = m->statistics;
        ret->clients = m->clients.length;
        ret->outstanding = m->outstanding;
        ret->watches = watch_table_count(m->watches);
        ret->watch_paths = watch_table_paths_count(m->watches);
        ret->watchers = watch_table_watchers_count(m->watches);
        ret->history_floor = change_history_floor(m->history);
}

const Tree *member_get_tree(const Member *m) {
        return m->tree;
}

Tree *member_tree(Member *m) {
        return m->tree;
}

void member_get_applied(const Member *m, ZabPosition *ret, GBytes **ret_config) {
        *ret = *zab_applied(m->zab);
        *ret_config = zab_checkpoint_config(m->zab);
}

void member_on_checkpointed(Member *m, uint64_t index) {
        member_enter(m);
        step(m, &(ZabInput) { .type = ZAB_INPUT_CHECKPOINTED, .now_usec = m->now_usec, .index = index });
        member_leave(m);
}
