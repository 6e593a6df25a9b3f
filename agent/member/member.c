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
#define RETRY_USEC UINT64_C(50000)
#define DISK_HANGS_USEC 4000000
#define HAND_OVER_WAIT_USEC 1000000
#define HAND_OVER_WAIT_MAX_USEC 64000000

/* Its own stream of the seed: election time-outs draw from the other. */
#define NUMBERS_SEED UINT64_C(0x6e756d6265727321)

/*
 * Terms
 */

static Term term_now(const Member *m) {
        Term t = { 0 };

        if (zab_role(m->zab) == ZAB_ROLE_LEADER)
                t = (Term) { .leads = true, .epoch = zab_epoch(m->zab) };
        else if (zab_role(m->zab) == ZAB_ROLE_FOLLOWER) {
                t = (Term) { .follows = true, .session = zab_session(m->zab) };
                t.epoch = t.session.epoch;
        }

        return t;
}

static bool term_equal(const Term *a, const Term *b) {
        return a->leads == b->leads && a->follows == b->follows && a->epoch == b->epoch &&
                a->session.conn == b->session.conn && a->session.session == b->session.session;
}

bool member_is_serving(const Member *m) {
        ZabRole role = zab_role(m->zab);

        return m->settled && !m->differs && (role == ZAB_ROLE_LEADER || role == ZAB_ROLE_FOLLOWER);
}

static void change_term(Member *m, const Term *t) {
        m->term = *t;
        m->settled = m->retry = false;
        client_on_term(m);
        forward_on_term(m);
        sessions_on_term(m);
        digest_on_term(m);
}

/* DESIGN 2.5: from here on it is known what of the terms before has become an entry and what never will. */
static void settle(Member *m) {
        m->settled = true;
        forward_on_settled(m);
        change_on_settled(m);
        client_make_all_ready(m);
}

/* What zab's last steps made possible.  It may lead to further steps. */
static void work(Member *m) {
        do {
                Term t = term_now(m);

                m->stepped = false;
                if (!term_equal(&t, &m->term))
                        change_term(m, &t);
                if (t.leads || t.follows) {
                        m->confirmed_usec = MAX(m->confirmed_usec, zab_confirmed_usec(m->zab));
                        if (!m->settled && m->applied_index >= zab_established(m->zab))
                                settle(m);
                }
                digest_act(m);
                forward_flush(m);
                client_advance_ready(m);
        } while (m->stepped);
}

void member_enter(Member *m) {
        if (m->depth++ == 0)
                m->driver.get_time(m->driver.userdata, &m->now_usec, &m->wall_msec);
}

void member_leave(Member *m) {
        GList *link;

        assert(m->depth > 0);
        if (m->depth == 1 && m->started)
                work(m);
        if (--m->depth > 0)
                return;

        while ((link = g_queue_pop_head_link(&m->dead)))
                client_destroy(link->data);
}

int member_step(Member *m, ZabInput in, Zxid *ret_zxid) {
        int r;

        assert(!m->stepping);

        in.now_usec = m->now_usec;
        m->stepping = m->stepped = true;
        r = zab_step(m->zab, &in, ret_zxid);
        m->stepping = false;
        return r;
}

/*
 * The tree
 */

static void on_changed(void *userdata, const TreeChange *change) {
        Member *m = userdata;

        if (change->soft_quota)
                m->driver.soft_quota(m->driver.userdata, change->path);
        else
                subscription_on_change(m, change);
}

static void on_session_ended(void *userdata, uint64_t session, bool expired) {
        Member *m = userdata;

        sessions_on_ended(m, session);
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

static void apply_request(Member *m, const ZabEntry *entry) {
        gsize size;
        const uint8_t *payload = g_bytes_get_data(entry->payload, &size);
        DecodedRequest d;
        Result result;

        m->statistics.updates++;
        if (!request_decode(payload, size, &d)) {
                m->statistics.updates_failed++;
                tree_skip(m->tree, entry->zxid);
                return;
        }

        tree_apply_request(m->tree, entry->zxid, entry->time_msec, &d.request, &result);
        if (result.status != CONVENE_OK)
                m->statistics.updates_failed++;
        forward_on_applied(m, &d.request, &result);
        request_decoded_done(&d);
}

/*
 * Effects of zab
 */

static void on_apply(void *userdata, const ZabEntry *entry) {
        Member *m = userdata;

        m->applied_index = entry->index;
        if (entry->type == ZAB_ENTRY_REQUEST)
                apply_request(m, entry);
        else {
                tree_skip(m->tree, entry->zxid);
                if (entry->type == ZAB_ENTRY_CONFIG) {
                        m->config_index = entry->index;
                        change_on_applied(m, entry->zxid);
                }
        }
        digest_on_applied(m);
        client_on_index(m);
}

static void on_append(void *userdata, uint64_t io_seq, const ZabEntry *entries, unsigned entries_count) {
        Member *m = userdata;

        m->driver.append(m->driver.userdata, io_seq, entries, entries_count);
}

static void on_truncate(void *userdata, uint64_t io_seq, const ZabPosition *position) {
        Member *m = userdata;

        m->driver.truncate(m->driver.userdata, io_seq, position);
}

static void on_write_meta(void *userdata, uint64_t io_seq, const ZabMeta *meta) {
        Member *m = userdata;

        m->driver.write_meta(m->driver.userdata, io_seq, meta);
}

static void on_read_log(void *userdata, uint64_t request, uint64_t from_index, uint64_t to_index, uint64_t bytes_max) {
        Member *m = userdata;

        m->driver.read_log(m->driver.userdata, request, from_index, to_index, bytes_max);
}

static void on_open_snapshot(void *userdata, uint64_t request) {
        Member *m = userdata;

        m->driver.open_snapshot(m->driver.userdata, request);
}

static void on_read_snapshot(void *userdata, uint64_t request) {
        Member *m = userdata;

        m->driver.read_snapshot(m->driver.userdata, request);
}

static void on_close_snapshot(void *userdata, uint64_t request) {
        Member *m = userdata;

        m->driver.close_snapshot(m->driver.userdata, request);
}

static void on_send(void *userdata, uint64_t conn, const ZabMessage *message) {
        Member *m = userdata;

        m->driver.send(m->driver.userdata, conn, &(PeerMessage) { .is_zab = true, .zab = *message });
}

static void on_close(void *userdata, uint64_t conn, const char *reason) {
        Member *m = userdata;

        m->driver.close(m->driver.userdata, conn, reason);
}

static void on_read_ready(void *userdata, uint64_t read_id, uint64_t index) {
        client_on_read_ready(userdata, read_id, index);
}

static void on_role_changed(void *userdata, ZabRole role, uint32_t epoch, const char *reason) {
        Member *m = userdata;

        m->role_since_usec = m->now_usec;
        g_free(m->role_reason);
        m->role_reason = g_strdup(reason);
        m->driver.role_changed(m->driver.userdata, role, epoch, reason);
}

static void on_config_changed(void *userdata) {
        Member *m = userdata;

        if (m->driver.config_changed)           /* a member alone has no mesh to adjust */
                m->driver.config_changed(m->driver.userdata);
}

static void on_disk_regressed(void *userdata, uint32_t sid, uint64_t acked, uint64_t last) {
        Member *m = userdata;

        if (m->driver.disk_regressed)
                m->driver.disk_regressed(m->driver.userdata, sid, acked, last);
}

void member_send(Member *m, const ZabSession *to, MemberMessage message) {
        message.epoch = to->epoch;
        message.session = to->session;
        m->driver.send(m->driver.userdata, to->conn, &(PeerMessage) { .member = message });
}

/*
 * Life
 */

Member *member_new(const MemberOptions *options, const MemberDriver *driver) {
        Member *m = g_new0(Member, 1);
        Prng numbers = { options->zab.prng_seed ^ NUMBERS_SEED };
        ZabEffects effects = {
                .append = on_append,
                .truncate = on_truncate,
                .write_meta = on_write_meta,
                .read_log = on_read_log,
                .open_snapshot = on_open_snapshot,
                .read_snapshot = on_read_snapshot,
                .close_snapshot = on_close_snapshot,
                .send = on_send,
                .close = on_close,
                .apply = on_apply,
                .read_ready = on_read_ready,
                .role_changed = on_role_changed,
                .config_changed = on_config_changed,
                .disk_regressed = on_disk_regressed,
                .userdata = m,
        };

        snapshot_effects(&effects);
        m->options = *options;
        if (m->options.reap_interval_msec == 0)
                m->options.reap_interval_msec = REAP_INTERVAL_MSEC_DEFAULT;
        if (m->options.reap_max == 0)
                m->options.reap_max = REAP_MAX_DEFAULT;
        m->driver = *driver;
        m->listener = (TreeListener) { .changed = on_changed, .session_ended = on_session_ended, .userdata = m };
        m->watches = watch_table_new();
        m->liveness = liveness_new();
        m->first_number = m->next_number = (prng_next(&numbers) >> 1) + 1;
        m->confirming = g_hash_table_new(g_int64_hash, g_int64_equal);
        subscriptions_init(m);
        m->trouble = g_string_new(NULL);
        sessions_init(m);
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
        m->applied_index = position->index;
        m->history = change_history_new(tree_acl_table(tree), tree_zxid(tree));
        tree_foreach_session(tree, count_session, m);
        return 0;
}

bool member_restore_base(Member *m, uint64_t base_index, Zxid base_zxid, const ZabEpochStart *epochs,
                         unsigned epochs_count) {
        return zab_restore_base(m->zab, base_index, base_zxid, epochs, epochs_count);
}

int member_replay(Member *m, const ZabEntry *entry) {
        return zab_restore_entry(m->zab, entry);
}

void member_start(Member *m, const ZabMeta *meta) {
        assert(m->tree);

        member_enter(m);
        m->started = true;
        m->reap_at_usec = m->now_usec + (uint64_t) m->options.reap_interval_msec * 1000;
        m->role_since_usec = m->ticked_usec = m->now_usec;
        m->stepping = true;
        zab_start(m->zab, meta, m->now_usec);
        m->stepping = false;
        member_leave(m);
}

Member *member_free(Member *m) {
        if (!m)
                return NULL;

        assert(m->depth == 0);
        while (!g_queue_is_empty(&m->clients))
                member_client_free(m->clients.head->data);

        forward_done(m);
        sessions_done(m);
        snapshot_done(m);
        m->history = change_history_free(m->history);
        watch_table_free(m->watches);
        liveness_free(m->liveness);
        g_hash_table_unref(m->confirming);
        subscriptions_done(m);
        g_string_free(m->trouble, TRUE);
        g_free(m->role_reason);
        zab_free(m->zab);
        tree_free(m->tree);
        writer_done(&m->writer);
        g_free(m);
        return NULL;
}

/*
 * Entries of the leader's own
 */

int member_propose(Member *m, GBytes *payload) {
        int r = member_step(m, (ZabInput) {
                .type = ZAB_INPUT_PROPOSE,
                .entry_type = ZAB_ENTRY_REQUEST,
                .time_msec = m->wall_msec,
                .payload = payload,
        }, NULL);

        if (r >= 0)
                m->statistics.proposals++;
        return r;
}

bool member_propose_own(Member *m, const Request *r) {
        g_autoptr(GBytes) payload = NULL;

        request_encode(r, &m->writer);
        payload = writer_to_bytes(&m->writer);
        return member_propose(m, payload) >= 0;
}

static void reap_one(const char *path, Zxid czxid, void *userdata) {
        Member *m = userdata;

        if (member_propose_own(m, &(Request) { .op = REQUEST_REAP, .path = path, .czxid = czxid }))
                m->statistics.reaped++;
}

static void reap(Member *m) {
        if (m->now_usec < m->reap_at_usec)
                return;

        m->reap_at_usec = m->now_usec + (uint64_t) m->options.reap_interval_msec * 1000;
        (void) tree_find_reapable(m->tree, m->wall_msec, m->options.reap_max, reap_one, m);
}

/*
 * Inputs
 */

static void input(Member *m, ZabInput in) {
        member_enter(m);
        (void) member_step(m, in, NULL);
        member_leave(m);
}

/* The others' quorum commits on, and the leader alone does not see it. */
static bool disk_hangs(Member *m) {
        uint64_t durable = zab_durable(m->zab);

        if (durable != m->durable_seen || durable >= zab_commit(m->zab)) {
                m->durable_seen = durable;
                m->durable_moved_usec = m->now_usec;
        }
        return m->now_usec - m->durable_moved_usec > DISK_HANGS_USEC;
}

/* A leader that cannot write holds up everybody's updates and lets no session end, though others may have room. */
static void hand_over_when_stuck(Member *m) {
        const ZabConfig *config = zab_config(m->zab);
        bool stuck = disk_hangs(m) || !m->space_available;

        if (!stuck) {
                m->hand_over_wait_usec = 0;
                return;
        }
        if (!m->term.leads || !config || zab_config_voters(config) < 2)
                return;
        if (m->hand_over_wait_usec > 0 && m->now_usec < m->hand_over_at_usec)
                return;

        /* The next one may be no better off: each time it waits longer. */
        if (m->hand_over_wait_usec > 0)
                (void) member_step(m, (ZabInput) { .type = ZAB_INPUT_TRANSFER }, NULL);
        m->hand_over_wait_usec = m->hand_over_wait_usec > 0 ? MIN(2 * m->hand_over_wait_usec, HAND_OVER_WAIT_MAX_USEC) :
                                                              HAND_OVER_WAIT_USEC;
        m->hand_over_at_usec = m->now_usec + m->hand_over_wait_usec;
}

void member_on_tick(Member *m) {
        bool retry = m->retry;

        member_enter(m);
        m->ticked_usec = m->now_usec;
        m->retry = false;
        (void) member_step(m, (ZabInput) { .type = ZAB_INPUT_TICK }, NULL);
        forward_on_tick(m);
        sessions_on_tick(m);
        digest_on_tick(m);
        client_on_tick(m, retry);
        hand_over_when_stuck(m);
        if (m->term.leads && member_is_serving(m) && m->space_available) {
                sessions_expire(m);
                reap(m);
        }
        member_leave(m);
}

/* What is due again some time after the last tick is not put off by other inputs. */
uint64_t member_next_tick_usec(const Member *m) {
        uint64_t next = zab_timeout_usec(m->zab);

        if (m->flush_at_usec != 0 && (m->term.leads || m->term.follows))
                next = MIN(next, m->flush_at_usec);
        if (m->retry)
                next = MIN(next, m->ticked_usec + RETRY_USEC);
        if (m->awaiting.length > 0)
                next = MIN(next, m->ticked_usec + 1000000);
        if (!member_is_serving(m))
                return MIN(next, m->ticked_usec + 1000000);
        if (!m->term.leads)
                return next;
        if (!m->space_available)
                return MIN(next, m->ticked_usec + 100000);

        next = MIN(next, m->reap_at_usec);
        return MIN(next, liveness_next_usec(m->liveness));
}

void member_on_appended(Member *m, uint64_t io_seq) {
        input(m, (ZabInput) { .type = ZAB_INPUT_LOG_DURABLE, .io_seq = io_seq });
}

void member_on_meta_written(Member *m, uint64_t io_seq) {
        input(m, (ZabInput) { .type = ZAB_INPUT_META_DURABLE, .io_seq = io_seq });
}

void member_on_space(Member *m, bool available) {
        m->space_available = available;
}

void member_on_checkpointed(Member *m, uint64_t index) {
        input(m, (ZabInput) { .type = ZAB_INPUT_CHECKPOINTED, .index = index });
}

void member_on_peer_up(Member *m, uint64_t conn, uint32_t sid, const Id128 *disk_id) {
        assert(conn != 0 && sid <= ZAB_CONFIG_MEMBERS_MAX);

        if (m->connections[sid] != 0)
                sessions_on_peer_down(m, sid);
        m->connections[sid] = conn;
        input(m, (ZabInput) { .type = ZAB_INPUT_PEER_UP, .conn = conn, .sid = sid, .disk_id = *disk_id });
}

void member_on_peer_down(Member *m, uint64_t conn, uint32_t sid) {
        assert(sid <= ZAB_CONFIG_MEMBERS_MAX);

        if (m->connections[sid] == conn) {
                sessions_on_peer_down(m, sid);
                m->connections[sid] = 0;
        }
        input(m, (ZabInput) { .type = ZAB_INPUT_PEER_DOWN, .conn = conn, .sid = sid });
}

static void on_request_of_follower(Member *m, uint64_t conn, uint32_t sid, const MemberMessage *message) {
        ZabSession from = { .conn = conn, .session = message->session, .epoch = message->epoch };

        if (!m->term.leads || sid == 0 || zab_session_member(m->zab, &from) != sid)
                return;                         /* of a session that is over */

        switch (message->type) {

        case MEMBER_MESSAGE_FORWARD:
                forward_on_message(m, conn, sid, &from, message);
                break;

        case MEMBER_MESSAGE_CHANGE:
                change_on_message(m, sid, &from, message);
                break;

        case MEMBER_MESSAGE_DIGEST_IS:
                digest_on_report(m, sid, message);
                break;

        default:
                sessions_on_message(m, sid, &from, message);
                break;
        }
}

static void on_answer_of_leader(Member *m, uint64_t conn, const MemberMessage *message) {
        if (!m->term.follows || conn != m->term.session.conn)
                return;

        if (message->type == MEMBER_MESSAGE_DIGEST) {
                digest_on_message(m, message);
                return;
        }
        if (message->type == MEMBER_MESSAGE_DIVERGED && message->session == m->term.session.session) {
                digest_on_verdict(m, message);
                return;
        }
        if (message->session != m->term.session.session || message->epoch != m->term.session.epoch)
                return;

        if (message->type == MEMBER_MESSAGE_REFUSED)
                forward_on_refused(m, message->number, message->status);
        change_on_answer(m, message);
}

static void on_member_message(Member *m, uint64_t conn, uint32_t sid, const MemberMessage *message) {
        if (message->sessions_count > MEMBER_MESSAGE_SESSIONS_MAX || (message->sessions_count > 0 && !message->sessions)) {
                m->driver.close(m->driver.userdata, conn, "sent a list beyond its bound");
                return;
        }

        switch (message->type) {

        case MEMBER_MESSAGE_FORWARD:
        case MEMBER_MESSAGE_CHANGE:
        case MEMBER_MESSAGE_KEEP:
        case MEMBER_MESSAGE_UNKEEP:
        case MEMBER_MESSAGE_TOUCH:
        case MEMBER_MESSAGE_DIGEST_IS:
                on_request_of_follower(m, conn, sid, message);
                break;

        case MEMBER_MESSAGE_REFUSED:
        case MEMBER_MESSAGE_CHANGED:
        case MEMBER_MESSAGE_DIGEST:
        case MEMBER_MESSAGE_DIVERGED:
                on_answer_of_leader(m, conn, message);
                break;

        default:
                m->driver.close(m->driver.userdata, conn, "sent a message of no known type");
                break;
        }
}

void member_on_message(Member *m, uint64_t conn, uint32_t sid, const PeerMessage *message) {
        assert(sid <= ZAB_CONFIG_MEMBERS_MAX);

        member_enter(m);
        if (m->connections[sid] == conn && message->is_zab)
                (void) member_step(m, (ZabInput) {
                        .type = ZAB_INPUT_MESSAGE,
                        .conn = conn,
                        .sid = sid,
                        .message = &message->zab,
                }, NULL);
        else if (m->connections[sid] == conn)
                on_member_message(m, conn, sid, &message->member);
        member_leave(m);
}

void member_on_alive(Member *m, uint64_t conn, uint32_t sid) {
        input(m, (ZabInput) { .type = ZAB_INPUT_ALIVE, .conn = conn, .sid = sid });
}

void member_on_log_read(Member *m, uint64_t request, const ZabEntry *entries, unsigned entries_count) {
        input(m, (ZabInput) {
                .type = ZAB_INPUT_LOG_READ,
                .read_id = request,
                .entries = entries,
                .entries_count = entries_count,
        });
}

void member_on_log_dropped(Member *m, uint64_t index) {
        input(m, (ZabInput) { .type = ZAB_INPUT_LOG_DROPPED, .index = index });
}

void member_on_snapshot_opened(Member *m, uint64_t request, const ZabPosition *position, GBytes *config) {
        ZabInput in = { .type = ZAB_INPUT_SNAPSHOT_OPENED, .read_id = request, .config = config };

        if (position)
                in.position = *position;
        input(m, in);
}

void member_on_snapshot_chunk(Member *m, uint64_t request, GBytes *chunk, Hash128 digest) {
        input(m, (ZabInput) {
                .type = ZAB_INPUT_SNAPSHOT_CHUNK,
                .read_id = request,
                .payload = chunk,
                .digest = digest,
        });
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
