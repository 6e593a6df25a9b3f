/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Lead
 *
 * What: from election to stepping down: hellos, acknowledgements, what is committed, heartbeats.
 * Rules it keeps: nothing is committed before a quorum has adopted this epoch's history (2.8); an entry is committed
 *     when a quorum of every configuration in force for it has it durable (2.9); the leader counts itself by the same
 *     rules (2.14); without a quorum that answers it stops leading (2.9).
 * Not here: what one follower is sent: stream.  Reads: reads.
 * Source: protocol 2.8, 2.9.
 */

#include "agent/zab/zab-internal.h"

#include <assert.h>
#include <errno.h>

void lead_begin(Zab *z) {
        Peer *p;

        z->z0 = z->last.index;
        z->self_newleader = false;
        z->counter = 0;
        z->failures = 0;
        z->moved_usec = z->now_usec;
        z->heartbeat_at_usec = z->now_usec + z->options.heartbeat_usec;
        z->commit_before = z->commit_lately = z->z0;
        z->transfer.sid = 0;
        reads_reset(z);
        set_role(z, ZAB_ROLE_LEADER_SYNC, "elected by a quorum");
        for (unsigned sid = 1; sid <= ZAB_CONFIG_MEMBERS_MAX; sid++)
                if ((p = z->peers[sid])) {
                        p->heard_usec = z->now_usec;
                        p->witnessed = 0;
                }
        for (unsigned at = 0; (p = peer_next(z, &at));) {
                stream_done(z, p);
                stream_hello(z, p);
        }
}

/* 2.9: all sessions end, and by the session rule their connections (2.6). */
void lead_step_down(Zab *z, uint64_t spared_conn, const char *reason) {
        Peer *p;

        set_role(z, ZAB_ROLE_LOOKING, reason);
        reads_reset(z);
        z->transfer.sid = 0;
        for (unsigned at = 0; (p = peer_next(z, &at));) {
                if (p->stream.state == STREAM_NONE)
                        continue;
                if (p->conn == spared_conn)
                        stream_done(z, p);
                else
                        peer_close(z, p, reason);
        }
        elect_restart_timer(z);
}

void lead_on_peer_up(Zab *z, Peer *p) {
        if (z->transfer.told && z->transfer.sid == p->sid)
                return;                 /* it is to campaign, not to follow */

        stream_hello(z, p);
}

/* NEWLEADER */

static uint64_t adopted(const Zab *z, const Peer *p) {
        return p ? p->stream.newleader_acked || (ZAB_BREAK(COUNT_UNSYNCED) && p->stream.state == STREAM_ENTRIES)
                 : z->self_newleader;
}

/* 2.14: the leader counts itself for NEWLEADER once its log is durable up to z0, and then current_epoch = e. */
static void adopt(Zab *z) {
        if (ZAB_BREAK(LEADER_ADOPTS_EARLY))
                z->self_newleader = true;

        if (z->self_newleader || z->durable < z->z0)
                return;

        if (z->meta.current_epoch < z->epoch) {
                if (!meta_is_idle(z))
                        return;
                z->meta.current_epoch = z->epoch;
                meta_sync(z);
        }

        if (z->meta_durable.current_epoch < z->epoch)
                return;

        z->self_newleader = true;
        z->moved_usec = z->now_usec;
}

static void establish(Zab *z) {
        Peer *p;

        if (z->role != ZAB_ROLE_LEADER_SYNC || (quorum_in_force(z, adopted) == 0 && !ZAB_BREAK(NO_NEWLEADER)))
                return;

        set_role(z, ZAB_ROLE_LEADER, "a quorum has this epoch's history");
        log_commit(z, z->z0);
        for (unsigned at = 0; (p = peer_next(z, &at));)
                if (p->stream.state == STREAM_HELLO)
                        stream_hello(z, p);     /* 2.6: now established, which some wait for */
}

/* Commit */

/* 2.9: acks of this session alone, and none before the follower has adopted this epoch's history. */
uint64_t lead_acked(const Zab *z, const Peer *p) {
        if (!p)
                return ZAB_BREAK(LEADER_COUNTS_EARLY) ? z->last.index : z->self_newleader ? z->durable : 0;

        if (ZAB_BREAK(COUNT_UNSYNCED) && p->stream.state == STREAM_ENTRIES)
                return p->stream.progress;

        return p->stream.newleader_acked ? p->stream.acked : 0;
}

static void acknowledge(Peer *p, uint64_t index) {
        p->stream.acked = MAX(p->stream.acked, index);
        p->witnessed = MAX(p->witnessed, p->stream.acked);
}

/* 2.12: what was acknowledged in an epoch is of its leader's history, which no follower cuts off in it; so a disk that comes
 * back with less has lied.  What it had acknowledged ended with the session (2.9) and counts no more.  It counts again from its
 * next ACK_NEWLEADER on, which says that it has this leader's whole history up to a mark behind all of that: the leader was
 * elected with what the voter had when it voted, the promise (META) is not what was lost, and one that has found out itself
 * (DAMAGED) votes for nobody before.  To leave it out for the rest of the epoch would make nothing safer, and cost the quorum
 * when other voters are gone. */
void lead_witness(Zab *z, Peer *p, uint64_t last) {
        if (last < p->witnessed && z->effects.disk_regressed)
                z->effects.disk_regressed(z->effects.userdata, p->sid, p->witnessed, last);
        p->witnessed = MIN(p->witnessed, last);
}

/* The largest index up to which a quorum of each configuration in force for that entry has everything durable: for an entry
 * that is the last committed one and every one after it up to the entry itself. */
static uint64_t committable(const Zab *z) {
        uint64_t limit = quorum_of(z, z->config, lead_acked);

        if (ZAB_BREAK(COMMIT_ALONE))
                return z->durable;

        if (z->pending_configs->len > 0 && ZAB_BREAK(NEW_QUORUM))
                return quorum_in_force(z, lead_acked);

        if (ZAB_BREAK(OLD_QUORUM))
                return limit;

        for (guint i = 0; i < z->pending_configs->len; i++) {
                const PendingConfig *c = &g_array_index(z->pending_configs, PendingConfig, i);

                if (limit < c->index)
                        break;

                limit = MIN(limit, quorum_of(z, c->config, lead_acked));
                if (limit < c->index)
                        return c->index - 1;
        }

        return limit;
}

/* 2.13.3: once a configuration is committed it stands alone, so what follows it may be committable now. */
static void advance_commit(Zab *z) {
        while (z->role == ZAB_ROLE_LEADER) {
                uint64_t index = committable(z);

                if (index <= z->commit || index < z->z0)
                        return;

                log_commit(z, index);
        }
}

static void tell_commit(Zab *z) {
        Peer *p;

        if (z->role != ZAB_ROLE_LEADER)
                return;

        for (unsigned at = 0; (p = peer_next(z, &at));) {
                Stream *s = &p->stream;
                ZabMessage m = { .commit = z->commit };

                if (!s->newleader_acked || s->parent != 0 || (s->uptodate_sent && s->commit_sent >= z->commit))
                        continue;

                m.type = s->uptodate_sent ? ZAB_MESSAGE_COMMIT : ZAB_MESSAGE_UPTODATE;
                s->uptodate_sent = true;
                s->commit_sent = z->commit;
                stream_send(z, p, &m);
        }
}

void lead_advance(Zab *z) {
        if (!zab_leads(z))
                return;

        adopt(z);
        establish(z);
        advance_commit(z);
        tell_commit(z);
        if (z->settle_round != 0 && z->reads->len > 0)
                reads_check(z);
        transfer_when_removed(z);
}

/* Proposals */

int lead_propose(Zab *z, ZabEntryType type, int64_t time_msec, GBytes *payload, Zxid *ret_zxid) {
        Peer *p;

        if (z->role != ZAB_ROLE_LEADER || transfer_stops_proposals(z))
                return -EAGAIN;

        if (z->counter >= ZXID_COUNTER_MAX) {
                /* ZOOKEEPER-1277: a new epoch before the counter wraps. */
                lead_step_down(z, 0, "the epoch's counter is used up");
                elect_soon(z);
                return -EAGAIN;
        }

        *ret_zxid = log_propose(z, type, time_msec, payload, zxid_make(z->epoch, ++z->counter));
        if (type == ZAB_ENTRY_CONFIG)
                feed_take_back_voters(z);
        for (unsigned at = 0; (p = peer_next(z, &at));)
                stream_pump(z, p);
        return 0;
}

/* Messages of followers */

static void on_reject(Zab *z, Peer *p, const ZabMessage *m) {
        if (m->index > ZXID_EPOCH_MAX) {
                peer_close(z, p, "a promise of an impossible epoch");
                return;
        }

        if (m->index > z->epoch && voter_in_force(z, p->sid, &p->disk_id)) {
                z->highest_epoch = MAX(z->highest_epoch, m->index);
                lead_step_down(z, 0, "a voter has promised a later epoch");
                elect_soon(z);
        }
}

static void on_ack_newleader(Zab *z, Peer *p, const ZabMessage *m) {
        Stream *s = &p->stream;

        if (!s->newleader_sent || m->index != s->mark.index) {
                peer_close(z, p, "an acknowledgement of what was not asked");
                return;
        }

        s->newleader_acked = true;
        s->listens = m->flag;
        acknowledge(p, m->index);
        z->moved_usec = z->now_usec;
        stream_on_progress(z, p, m->index);
}

static void on_progress(Zab *z, Peer *p, const ZabMessage *m) {
        Stream *s = &p->stream;

        z->moved_usec = s->moved_usec = z->now_usec;
        if (m->flag || s->state == STREAM_SNAP_INSTALLING)
                snap_on_progress(z, p, m);
        else if (s->state == STREAM_ENTRIES && m->index >= s->cursor)
                peer_close(z, p, "progress beyond what was sent");
        else if (s->state == STREAM_ENTRIES)
                stream_on_progress(z, p, m->index);
}

static void on_ack(Zab *z, Peer *p, const ZabMessage *m) {
        Stream *s = &p->stream;

        if (!s->newleader_acked || (s->was_fed ? m->index > z->last.index : m->index >= s->cursor)) {
                peer_close(z, p, "an acknowledgement of what was not sent");
                return;
        }

        acknowledge(p, m->index);
        stream_on_progress(z, p, m->index);
}

void lead_on_message(Zab *z, Peer *p, const ZabMessage *m) {
        if (!zab_leads(z) || p->stream.state == STREAM_NONE || m->epoch != z->epoch || m->session != p->stream.session)
                return;                 /* 2.6: of another session */

        p->heard_usec = z->now_usec;
        switch (m->type) {
        case ZAB_MESSAGE_REJECT:
                on_reject(z, p, m);
                break;
        case ZAB_MESSAGE_SYNC_REQUEST:
                z->moved_usec = z->now_usec;
                stream_on_sync_request(z, p, m);
                break;
        case ZAB_MESSAGE_ACK_NEWLEADER:
                on_ack_newleader(z, p, m);
                break;
        case ZAB_MESSAGE_PROGRESS:
                on_progress(z, p, m);
                break;
        case ZAB_MESSAGE_ACK:
                on_ack(z, p, m);
                break;
        case ZAB_MESSAGE_PONG:
                reads_on_pong(z, p, m);
                break;
        case ZAB_MESSAGE_FED:
                feed_on_fed(z, p, m);
                break;
        case ZAB_MESSAGE_READ_REQUEST:
                if (p->stream.newleader_acked)
                        (void) reads_add(z, p, m->index);
                break;
        default:
                break;
        }
}

/* Time */

/* The one that leadership is handed to has no session meanwhile; the hand-over has a deadline of its own. */
static uint64_t heard(const Zab *z, const Peer *p) {
        return p && !(z->transfer.told && z->transfer.sid == p->sid) ? p->heard_usec : z->now_usec;
}

/* 2.8: judged by progress, never by how long it takes: with slow disks an absolute limit elects for ever. */
static void close_stuck(Zab *z) {
        uint64_t limit = PROGRESS_TIMEOUTS * z->options.election_timeout_usec;
        Peer *p;

        for (unsigned at = 0; (p = peer_next(z, &at));) {
                const Stream *s = &p->stream;

                if (s->state > STREAM_HELLO && !s->newleader_acked && !s->reading && z->now_usec - s->moved_usec > limit)
                        peer_close(z, p, "no progress in its synchronisation");
        }
}

void lead_on_tick(Zab *z) {
        uint64_t window = z->options.election_timeout_usec;

        if (z->now_usec < z->heartbeat_at_usec)
                return;

        z->heartbeat_at_usec = z->now_usec + z->options.heartbeat_usec;
        z->commit_before = z->commit_lately;
        z->commit_lately = z->commit;
        if (quorum_in_force(z, heard) + window < z->now_usec) {
                lead_step_down(z, 0, "no quorum was heard within the election timeout");
                return;
        }

        if (z->role == ZAB_ROLE_LEADER_SYNC && z->now_usec - z->moved_usec > PROGRESS_TIMEOUTS * window) {
                lead_step_down(z, 0, "no progress towards a quorum");
                return;
        }

        close_stuck(z);
        reads_start_round(z);
        transfer_on_tick(z);
}
