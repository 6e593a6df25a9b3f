/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Follow
 *
 * What: a session with a leader, from its hello to broadcast; voters and observers alike.
 * Rules it keeps: promise durable before SYNC_REQUEST; history durable, then current_epoch durable, then
 *     ACK_NEWLEADER, then ACK (2.14, P1, P2); the log moves only entry by entry, and only if each continues the one
 *     before (P7, P13); whoever abandons a session closes its connection (2.6).
 * Not here: SNAP: snapshot.  Entries of an observer that come from another follower: feed.
 * Source: protocol 2.8, 2.9, 2.12.
 */

#include "agent/zab/zab-internal.h"

#include <assert.h>
#include <errno.h>

/* 2.7 spreads followers over a whole T_min.  Two that lose their leader at once are a pre-vote of milliseconds apart; a quarter tells
 * them apart as well, and a leader's silence costs that much less.  Whoever then fails is spread over all of it. */
#define FIRST_SPREAD 4

void follow_send(Zab *z, ZabMessage *m) {
        Peer *p = peer_by_conn(z, z->follow.conn);

        if (!p)
                return;

        m->epoch = z->follow.epoch;
        m->session = z->follow.session;
        peer_send(z, p, m);
}

void follow_leave(Zab *z, bool close, const char *reason) {
        Peer *p = close ? peer_by_conn(z, z->follow.conn) : NULL;
        GArray *reads = z->follow.reads;

        snap_leave(z);
        feed_end_all(z, reason);
        feed_leave(z, reason);
        g_array_set_size(reads, 0);
        z->follow = (FollowSession) { .reads = reads };
        if (p)
                peer_close(z, p, reason);
}

static void violation(Zab *z, const char *reason) {
        Peer *p = peer_by_conn(z, z->follow.conn);

        if (p)
                peer_close(z, p, reason);       /* which ends the session, too */
}

static void heard(Zab *z) {
        z->follow.heard_usec = z->now_usec;
        z->election_at_usec = z->now_usec + z->follow.timeout_usec;
}

/* A large message of the leader is on its way, and its PINGs wait behind it.  So that the leader hears this member meanwhile, it
 * says again what it has said; a PONG would be a promise (2.10). */
void follow_on_alive(Zab *z) {
        const FollowSession *f = &z->follow;

        heard(z);
        if (f->acked)
                follow_send(z, &(ZabMessage) { .type = ZAB_MESSAGE_ACK, .index = f->ack_sent });
        else if (z->snap == SNAP_RECEIVING)
                follow_send(z, &(ZabMessage) { .type = ZAB_MESSAGE_PROGRESS, .flag = true, .index = z->snap_reported });
        else if (z->role == ZAB_ROLE_FOLLOWER_SYNC && z->snap == SNAP_NONE)
                follow_send(z, &(ZabMessage) { .type = ZAB_MESSAGE_PROGRESS, .index = f->progress_sent });
}

static bool is_voter_of(const Zab *z, GBytes *config) {
        g_autoptr(ZabConfig) c = config ? zab_checkpoint_config_decode(config) : NULL;

        return c && zab_config_has_voter(c, z->options.sid, &z->options.disk_id);
}

/* 2.13.7: a leader that knows less than this, or in whose time less could be committed, has been deposed, and what it sends need
 * not be of the committed history. */
static bool is_deposed(const Zab *z, const ZabMessage *m) {
        g_autoptr(ZabConfig) c = m->hello.config ? zab_checkpoint_config_decode(m->hello.config) : NULL;

        return (z->config && (!c || c->version < z->config->version)) ||
                zxid_epoch(epochs_zxid_at(&z->epochs, z->commit)) > m->epoch;
}

/* 2.8: a removed member with a later promise could never come back otherwise; its acknowledgements are never counted. */
static bool may_join_as_learner(const Zab *z, const ZabMessage *m) {
        return !ZAB_BREAK(NO_WAIVER) && m->hello.established && z->meta.current_epoch <= m->epoch &&
                !is_deposed(z, m) &&
                !is_voter_of(z, m->hello.config) && !is_voter_of(z, m->hello.pending_config);
}

static void reject(Zab *z, Peer *p, const ZabMessage *hello) {
        peer_send(z, p, &(ZabMessage) {
                .type = ZAB_MESSAGE_REJECT,
                .epoch = hello->epoch,
                .session = hello->session,
                .index = z->meta.accepted_epoch,
        });
}

static void learn_config(Zab *z, GBytes *bytes) {
        g_autoptr(ZabConfig) c = bytes ? zab_checkpoint_config_decode(bytes) : NULL;

        if (c && !ZAB_BREAK(NO_CONFIG_TAUGHT))
                config_learn(z, c);
}

static void begin(Zab *z, Peer *p, const ZabMessage *m) {
        GArray *reads = z->follow.reads;
        uint64_t t = z->options.election_timeout_usec;

        z->follow = (FollowSession) {
                .conn = p->conn,
                .session = m->session,
                .epoch = m->epoch,
                .sid = p->sid,
                .listens = m->epoch < z->meta.accepted_epoch,
                .timeout_usec = t + prng_below(&z->prng, t / FIRST_SPREAD + 1),
                .reads = reads,
                .feed.at_usec = z->now_usec + 2 * z->options.heartbeat_usec,    /* others are to be up to date, too */
        };
        heard(z);
        z->failures = 0;
        z->vote.epoch = 0;
        z->meta.accepted_epoch = MAX(z->meta.accepted_epoch, m->epoch);
        z->epoch = m->epoch;
        learn_config(z, m->hello.config);
        set_role(z, ZAB_ROLE_FOLLOWER_HELLO, "there is a leader");
}

void follow_on_hello(Zab *z, Peer *p, const ZabMessage *m) {
        if (m->epoch == 0 || m->epoch > ZXID_EPOCH_MAX || elect_leaps(z, m->epoch)) {
                peer_close(z, p, "a leader of an impossible epoch");
                return;
        }

        if (zab_follows(z) && z->follow.conn == p->conn && z->follow.epoch == m->epoch && z->follow.session == m->session)
                return;                 /* said again; that session goes on */

        if (m->epoch < z->meta.accepted_epoch && !may_join_as_learner(z, m)) {
                reject(z, p, m);
                return;
        }

        if ((zab_leads(z) || (zab_follows(z) && z->follow.sid != p->sid)) && m->epoch <= z->epoch) {
                if (m->epoch == z->epoch)
                        peer_close(z, p, "two leaders in one epoch");   /* I7: cannot be */
                else
                        reject(z, p, m);
                return;
        }

        if (zab_leads(z))
                lead_step_down(z, p->conn, "there is a leader of a later epoch");
        else if (zab_follows(z))
                follow_leave(z, z->follow.conn != p->conn, "there is a leader of a later epoch");

        begin(z, p, m);
}

/* 2.14: SYNC_REQUEST in epoch e needs accepted_epoch >= e durable. */
static void request_sync(Zab *z) {
        ZabEpochEnd ends[ZAB_MESSAGE_EPOCHS_MAX];
        ZabMessage m = {
                .type = ZAB_MESSAGE_SYNC_REQUEST,
                .sync = {
                        .current_epoch = z->meta_durable.current_epoch,
                        .last = z->last,
                        .base_index = epochs_base(&z->epochs),
                        .base_zxid = epochs_zxid_at(&z->epochs, epochs_base(&z->epochs)),
                        .snap_only = z->snap_only,
                        .ends = ends,
                },
        };

        m.sync.ends_count = epochs_ends(&z->epochs, ends, ZAB_MESSAGE_EPOCHS_MAX);
        follow_send(z, &m);
        set_role(z, ZAB_ROLE_FOLLOWER_SYNC, "asks the leader for its history");
}

static bool history_is_durable(const Zab *z) {
        return z->durable >= z->follow.mark || ZAB_BREAK(NEWLEADER_ACK_BEFORE_LOG) || ZAB_BREAK(EPOCH_BEFORE_LOG) ||
                (ZAB_BREAK(META_OF_EARLIER_SESSION) && z->meta_durable.current_epoch >= z->follow.epoch);
}

/* 2.8, NEWLEADER: durable up to the mark, then META, then the acknowledgement; each a condition, not a consequence. */
static void acknowledge(Zab *z) {
        FollowSession *f = &z->follow;
        ZabMessage m = { .type = ZAB_MESSAGE_ACK_NEWLEADER, .index = f->mark, .flag = f->listens };

        if (!f->newleader || f->acked || !history_is_durable(z))
                return;

        if (z->meta.current_epoch < f->epoch || z->meta.membership != ZAB_MEMBERSHIP_MEMBER) {
                if (!meta_is_idle(z))
                        return;

                /* Set only when it can be written at once: a wish left over from this session must not reach the disk in
                 * the next (2.15 d).  2.12: the same write makes a joining or damaged member a member. */
                z->meta.current_epoch = MAX(z->meta.current_epoch, f->epoch);
                z->meta.membership = ZAB_MEMBERSHIP_MEMBER;
                meta_sync(z);
        }

        if ((z->meta_durable.current_epoch < f->epoch || z->meta_durable.membership != ZAB_MEMBERSHIP_MEMBER) &&
            !ZAB_BREAK(NEWLEADER_ACK_BEFORE_EPOCH))
                return;

        if (z->durable < f->mark && ZAB_BREAK(EPOCH_BEFORE_LOG))
                return;

        f->acked = true;
        follow_send(z, &m);
}

/* 2.14: ACK(i) needs the log durable up to i in this session, after current_epoch = e. */
static void report_durable(Zab *z) {
        FollowSession *f = &z->follow;
        uint64_t index = ZAB_BREAK(ACK_EARLY) ? f->matched : MIN(z->durable, f->matched);

        feed_report(z, index);
        if (f->acked && index > f->ack_sent) {
                f->ack_sent = f->progress_sent = index;
                follow_send(z, &(ZabMessage) { .type = ZAB_MESSAGE_ACK, .index = index });
        } else if (!f->acked && index > f->progress_sent) {
                f->progress_sent = index;
                follow_send(z, &(ZabMessage) { .type = ZAB_MESSAGE_PROGRESS, .index = index });
        }
}

/* The leader's commit index says nothing about entries that are not known to be the leader's. */
static void note_commit(Zab *z, uint64_t index) {
        log_commit(z, MIN(index, ZAB_BREAK(COMMIT_UNMATCHED) ? z->last.index : z->follow.matched));
}

static void on_trunc(Zab *z, const ZabPosition *k) {
        ZabPosition mine;
        bool chain_known;

        if (z->role != ZAB_ROLE_FOLLOWER_SYNC || z->follow.matched > 0 || z->snap != SNAP_NONE) {
                violation(z, "a truncation inside a stream");
                return;
        }

        if (k->index < (z->snap_only ? z->applied.index : MAX(z->applied.index, z->commit))) {
                stop(z, "the leader's history lacks an entry that was committed here");         /* I13 */
                return;
        }

        if (k->index > z->last.index) {
                violation(z, "a truncation behind the end of the log");
                return;
        }

        chain_known = log_position(z, k->index, &mine) && (k->chain.low != 0 || k->chain.high != 0);
        if (mine.zxid != k->zxid || (chain_known && !hash128_equal(mine.chain, k->chain))) {
                violation(z, "a truncation to an entry that is another one here");
                return;
        }

        z->follow.matched = k->index;
        if (k->index < z->last.index)
                log_truncate(z, &mine);
}

/* How many of these the log has already; all of them continue it, or are equal (P5).  -1: they do not. */
static int check_entries(const Zab *z, const ZabMessage *m) {
        ZabPosition position = z->last;
        unsigned known = 0;

        for (unsigned i = 0; i < m->entries_count; i++) {
                const ZabEntry *e = &m->entries[i];
                const ZabEntry *mine = tail_get(&z->tail, e->index);

                if (e->index > z->last.index) {
                        if (zxid_epoch(e->zxid) > z->follow.epoch || !log_follows(z, &position, e))
                                return -1;
                        continue;
                }

                if (i != known)
                        return -1;

                if (e->index < epochs_base(&z->epochs)) {
                        known++;        /* committed, applied and dropped: there is nothing left to compare */
                        continue;
                }

                if (!epochs_has(&z->epochs, e->index) ||
                    epochs_zxid_at(&z->epochs, e->index) != e->zxid || (mine && !hash128_equal(mine->chain, e->chain)))
                        return -1;
                known++;
        }

        return known;
}

bool follow_take(Zab *z, const ZabMessage *m) {
        int known;

        if (z->role < ZAB_ROLE_FOLLOWER_SYNC || z->snap != SNAP_NONE || m->entries_count == 0 ||
            m->entries_count > ZAB_MESSAGE_ENTRIES_MAX || (known = check_entries(z, m)) < 0)
                return false;

        if ((unsigned) known < m->entries_count)
                log_append(z, m->entries + known, m->entries_count - known);
        z->follow.matched = MAX(z->follow.matched, m->entries[m->entries_count - 1].index);
        note_commit(z, m->commit);
        return true;
}

static void on_newleader(Zab *z, const ZabMessage *m) {
        if (z->role != ZAB_ROLE_FOLLOWER_SYNC || z->follow.newleader || z->snap != SNAP_NONE ||
            m->position.index != z->last.index || m->position.zxid != z->last.zxid ||
            !hash128_equal(m->position.chain, z->last.chain)) {
                violation(z, "a history that does not end where its leader says");
                return;
        }

        z->follow.newleader = true;
        z->follow.mark = z->follow.matched = m->position.index;
        learn_config(z, m->config);     /* 2.15 e */
}

static void on_uptodate(Zab *z, const ZabMessage *m) {
        if (z->role != ZAB_ROLE_FOLLOWER_SYNC || !z->follow.acked) {
                violation(z, "up to date without having said so");
                return;
        }

        note_commit(z, m->commit);
        set_role(z, ZAB_ROLE_FOLLOWER, "up to date with the leader");
}

/* Knows what was committed when this PING was sent, and its META knows the configurations among that. */
static bool is_settled(const Zab *z, uint64_t commit) {
        return z->follow.acked && z->commit >= commit && meta_has_floor(z);
}

static void pong(Zab *z, uint64_t round, bool settled) {
        ZabMessage m = { .type = ZAB_MESSAGE_PONG, .index = round, .time_usec = z->now_usec };

        m.flag = settled || ZAB_BREAK(SETTLED_EARLY);
        follow_send(z, &m);
}

/* A heartbeat waits for no disk; what only META allows to say is said afterwards. */
static void on_ping(Zab *z, const ZabMessage *m) {
        bool settled;

        note_commit(z, m->commit);
        snap_on_ping(z);
        if (z->follow.confirming_usec == 0) {           /* else a later one would put off an earlier one */
                z->follow.confirming_usec = MIN(m->time_usec, z->now_usec);
                z->follow.confirming_index = m->commit;
        }
        settled = is_settled(z, m->commit);
        z->follow.owed_round = settled ? 0 : m->index;
        z->follow.owed_commit = m->commit;
        pong(z, m->index, settled);
        feed_on_ping(z, m->commit);
}

void follow_confirm(Zab *z) {
        FollowSession *f = &z->follow;

        if (f->confirming_usec == 0 || z->applied.index < f->confirming_index)
                return;

        f->confirmed_usec = MAX(f->confirmed_usec, f->confirming_usec);
        f->confirming_usec = 0;
}

static void pong_again(Zab *z) {
        FollowSession *f = &z->follow;

        if (f->owed_round == 0 || !is_settled(z, f->owed_commit))
                return;

        pong(z, f->owed_round, true);
        f->owed_round = 0;
}

void follow_advance(Zab *z) {
        if (z->role == ZAB_ROLE_FOLLOWER_HELLO &&
            (z->meta_durable.accepted_epoch >= z->follow.epoch || ZAB_BREAK(SYNC_EARLY)) &&
            z->snap == SNAP_NONE && z->meta.membership == z->meta_durable.membership)
                request_sync(z);

        if (z->role == ZAB_ROLE_FOLLOWER_SYNC)
                acknowledge(z);
        if (z->role == ZAB_ROLE_FOLLOWER_SYNC || z->role == ZAB_ROLE_FOLLOWER) {
                report_durable(z);
                pong_again(z);
        }
}

int follow_read(Zab *z, uint64_t read_id) {
        if (z->role != ZAB_ROLE_FOLLOWER)
                return -EAGAIN;

        g_array_append_val(z->follow.reads, read_id);
        follow_send(z, &(ZabMessage) { .type = ZAB_MESSAGE_READ_REQUEST, .index = read_id });
        return 0;
}

static void on_read_ok(Zab *z, const ZabMessage *m) {
        GArray *reads = z->follow.reads;

        for (guint i = 0; i < reads->len; i++)
                if (g_array_index(reads, uint64_t, i) == m->index) {
                        g_array_remove_index(reads, i);
                        z->effects.read_ready(z->effects.userdata, m->index, m->commit);
                        return;
                }
}

/* The session ends on both sides with this message, so its connection may stay for the votes. */
static void on_timeout_now(Zab *z) {
        uint32_t epoch = z->follow.epoch;

        if (z->role != ZAB_ROLE_FOLLOWER) {
                violation(z, "leadership for a member that is not up to date");
                return;
        }

        follow_leave(z, false, "the leader hands over");
        elect_campaign(z, epoch, "the leader hands over to this member");
}

void follow_on_message(Zab *z, Peer *p, const ZabMessage *m) {
        if (!zab_follows(z) || p->conn != z->follow.conn || m->epoch != z->follow.epoch || m->session != z->follow.session)
                return;                 /* 2.6: of another session */

        heard(z);
        switch (m->type) {
        case ZAB_MESSAGE_TRUNC:
                on_trunc(z, &m->position);
                break;
        case ZAB_MESSAGE_SNAP_BEGIN:
        case ZAB_MESSAGE_SNAP_CHUNK:
        case ZAB_MESSAGE_SNAP_END:
                snap_on_message(z, p, m);
                break;
        case ZAB_MESSAGE_ENTRIES:
                if (!follow_take(z, m))
                        violation(z, "entries that do not continue the log");
                break;
        case ZAB_MESSAGE_NEWLEADER:
                on_newleader(z, m);
                break;
        case ZAB_MESSAGE_UPTODATE:
                on_uptodate(z, m);
                break;
        case ZAB_MESSAGE_COMMIT:
                note_commit(z, m->commit);
                break;
        case ZAB_MESSAGE_PING:
                on_ping(z, m);
                break;
        case ZAB_MESSAGE_READ_OK:
                on_read_ok(z, m);
                break;
        case ZAB_MESSAGE_TIMEOUT_NOW:
                on_timeout_now(z);
                break;
        default:
                break;
        }
}

/* 2.12, 2.13: its state is wrong: it says so durably, and takes part again when a SNAP has mended it. */
void follow_on_diverged(Zab *z) {
        const char *reason = "this member's state differs from the leader's";

        if (zab_leads(z))
                lead_step_down(z, 0, reason);
        else if (zab_follows(z))
                follow_leave(z, true, reason);

        z->snap_only = true;
        z->vote.epoch = 0;
        z->meta.membership = ZAB_MEMBERSHIP_DAMAGED;
        set_role(z, ZAB_ROLE_LOOKING, reason);
        elect_restart_timer(z);
        meta_sync(z);
}
