/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Feed
 *
 * What: the entries of an observer come from a follower, its parent, so that what the leader has to send does not grow with
 *     the number of observers.
 *
 * The observer's session stays with the leader, whom it can reach as every member can every other.  PINGs, what is promised by them,
 * reads, acknowledgements, forwarded requests and the sessions of its host go between these two as ever; a feed is nothing but
 * another way for committed entries to come.  So it can be begun, lost and begun elsewhere at any time: nothing that anybody was told
 * depends on it, no promise passes through a third, and a parent that has lost its leader makes nobody believe anything.
 *
 * Who is whose parent is the observer's choice: among the voters it is connected to but the leader, by its number and the epoch, the
 * next one after a failure, each time after a longer wait.  It asks once it is up to date, takes what comes from either side
 * while both send, tells the leader to stop when the parent has begun, and to go on from what it has when the parent
 * is gone, says so, or has fallen behind what the leader's PINGs say is committed.
 *
 * Rules it keeps: a parent follows the leader of the same epoch and feeds what is committed, nothing else; by the chain every
 *     entry continues what the observer has, so its log stays the leader's (P13) and ACK means what it always does; parents are
 *     voters and their children are none, so there are no chains of them; whoever may be counted (a voter of any configuration in
 *     force) is fed by the leader, for it has to have entries before they are committed.
 * Source: protocol 2.13 (learners), DESIGN 4.
 */

#include "agent/zab/zab-internal.h"

#define STALL_SHARE 2                   /* half an election time-out: going back to the leader costs next to nothing */
#define DOUBLED_MAX 7                   /* the wait for the next parent doubles this often at most: 128 heartbeats */

/* Of the committed configuration, and about to be no more than that. */
static bool is_observer(const Zab *z, uint32_t sid, const Id128 *disk_id) {
        const ZabConfigMember *m = z->config ? zab_config_find(z->config, sid) : NULL;

        return m && id128_equal(&m->disk_id, disk_id) && !voter_in_force(z, sid, disk_id);
}

/* The observer's side. */

static void end(Zab *z, bool tell_leader, const char *reason) {
        Feed *f = &z->follow.feed;
        Peer *parent = peer_by_conn(z, f->conn);

        if (parent)
                peer_send(z, parent, &(ZabMessage) {
                        .type = ZAB_MESSAGE_FEED_END,
                        .epoch = z->follow.epoch,
                        .session = f->session,
                        .text = reason,
                });
        if (f->begun && tell_leader)
                follow_send(z, &(ZabMessage) { .type = ZAB_MESSAGE_FED, .index = MIN(z->durable, z->follow.matched) });
        *f = (Feed) { .failures = f->failures, .at_usec = f->at_usec };
}

static void lose(Zab *z, const char *reason) {
        Feed *f = &z->follow.feed;

        f->failures++;
        f->at_usec = z->now_usec + (z->options.heartbeat_usec << MIN(f->failures, DOUBLED_MAX));
        end(z, true, reason);
}

void feed_leave(Zab *z, const char *reason) {
        if (z->follow.feed.conn != 0)
                end(z, false, reason);
}

static bool may_be_parent(const Zab *z, const Peer *p) {
        return p->sid != z->follow.sid && zab_config_has_voter(z->config, p->sid, &p->disk_id);
}

static Peer *choose_parent(const Zab *z) {
        unsigned count = 0, nth;
        Peer *p;

        for (unsigned at = 0; (p = peer_next(z, &at));)
                count += may_be_parent(z, p);
        if (count == 0)
                return NULL;

        nth = (z->options.sid + z->follow.epoch + z->follow.feed.failures) % count;
        for (unsigned at = 0; (p = peer_next(z, &at));)
                if (may_be_parent(z, p) && nth-- == 0)
                        break;

        return p;
}

static void ask(Zab *z) {
        Feed *f = &z->follow.feed;
        Peer *p = choose_parent(z);

        if (!p)
                return;

        f->conn = p->conn;
        f->sid = p->sid;
        f->session = ++z->feeds;
        f->moved_usec = z->now_usec;
        peer_send(z, p, &(ZabMessage) {
                .type = ZAB_MESSAGE_FEED_REQUEST,
                .epoch = z->follow.epoch,
                .session = f->session,
                .position = z->last,
        });
}

static bool may_be_fed(const Zab *z) {
        return z->role == ZAB_ROLE_FOLLOWER && !z->follow.listens && is_observer(z, z->options.sid, &z->options.disk_id);
}

/* The leader's PINGs are the clock of all this, and tell how far the parent should be. */
void feed_on_ping(Zab *z, uint64_t commit) {
        Feed *f = &z->follow.feed;

        if (!may_be_fed(z)) {
                if (f->conn != 0)
                        end(z, true, "a voter is fed by its leader");
        } else if (f->conn == 0) {
                if (z->now_usec >= f->at_usec)
                        ask(z);
        } else if (f->begun && (z->last.index >= commit || z->durable < z->last.index))
                f->moved_usec = z->now_usec;            /* or it is this disk that all wait for */
        else if (z->now_usec - f->moved_usec > z->options.election_timeout_usec / STALL_SHARE && !ZAB_BREAK(FEED_FORGOTTEN))
                lose(z, "what is committed does not come");
}

void feed_on_alive(Zab *z, const Peer *p) {
        if (zab_follows(z) && z->follow.feed.conn == p->conn)
                z->follow.feed.moved_usec = z->now_usec;
}

void feed_on_gone(Zab *z, uint64_t conn) {
        if (zab_follows(z) && z->follow.feed.conn == conn && !ZAB_BREAK(FEED_FORGOTTEN))
                lose(z, "the connection is gone");
}

/* An empty one answers the request. */
static void on_entries(Zab *z, const ZabMessage *m) {
        Feed *f = &z->follow.feed;

        if (m->entries_count > 0 && !follow_take(z, m)) {
                lose(z, "entries that do not continue the log");
                return;
        }

        if (m->entries_count > 0)
                f->moved_usec = z->now_usec;
        if (!f->begun) {
                f->begun = true;
                follow_send(z, &(ZabMessage) { .type = ZAB_MESSAGE_FED, .flag = true, .index = f->sid });
        }
}

/* For the parent's flow control alone. */
void feed_report(Zab *z, uint64_t durable) {
        Feed *f = &z->follow.feed;
        Peer *p = f->begun && durable > f->reported ? peer_by_conn(z, f->conn) : NULL;

        if (!p)
                return;

        f->reported = durable;
        peer_send(z, p, &(ZabMessage) {
                .type = ZAB_MESSAGE_FEED_ACK,
                .epoch = z->follow.epoch,
                .session = f->session,
                .index = durable,
        });
}

static bool is_from_parent(const Zab *z, const Peer *p, const ZabMessage *m) {
        const Feed *f = &z->follow.feed;

        return z->role == ZAB_ROLE_FOLLOWER && f->conn == p->conn && f->session == m->session && z->follow.epoch == m->epoch;
}

/* The parent's side. */

/* NULL: nothing speaks against it.  What lies beyond this member's log the chain of what follows will tell. */
static const char *find_objection(const Zab *z, const Peer *p, const ZabMessage *m) {
        uint64_t index = m->position.index;

        if (z->role != ZAB_ROLE_FOLLOWER || z->follow.epoch != m->epoch || z->follow.listens)
                return "not up to date in that epoch";
        if (!voter_in_force(z, z->options.sid, &z->options.disk_id) || !is_observer(z, p->sid, &p->disk_id))
                return "voters feed observers, and no others";
        if (index == UINT64_MAX || index < epochs_base(&z->epochs) ||
            (index <= z->last.index && epochs_zxid_at(&z->epochs, index) != m->position.zxid))
                return "the log here does not continue that one";

        return NULL;
}

static void send_end(Zab *z, Peer *p, uint32_t epoch, uint64_t session, const char *reason) {
        peer_send(z, p, &(ZabMessage) { .type = ZAB_MESSAGE_FEED_END, .epoch = epoch, .session = session, .text = reason });
}

static void on_request(Zab *z, Peer *p, const ZabMessage *m) {
        const char *objection = find_objection(z, p, m);
        Stream *s = &p->stream;

        if (objection) {
                send_end(z, p, m->epoch, m->session, objection);
                return;
        }

        stream_done(z, p);
        s->feeds = true;
        s->session = m->session;
        stream_send(z, p, &(ZabMessage) { .type = ZAB_MESSAGE_FEED, .commit = z->commit });
        stream_begin_entries(z, p, m->position.index + 1);
}

void feed_end(Zab *z, Peer *p, const char *reason) {
        send_end(z, p, z->epoch, p->stream.session, reason);
        stream_done(z, p);
}

void feed_end_all(Zab *z, const char *reason) {
        Peer *p;

        for (unsigned at = 0; (p = peer_next(z, &at));)
                if (p->stream.feeds)
                        feed_end(z, p, reason);
}

/* It may be ahead of what it is sent here: until the leader has heard that it is fed, both send. */
static void on_ack(Zab *z, Peer *p, const ZabMessage *m) {
        stream_on_progress(z, p, m->index);
}

void feed_advance(Zab *z) {
        Peer *p;

        if (z->role != ZAB_ROLE_FOLLOWER || z->commit == z->commit_fed)
                return;

        z->commit_fed = z->commit;
        for (unsigned at = 0; (p = peer_next(z, &at));)
                if (p->stream.feeds)
                        stream_pump(z, p);
}

void feed_on_message(Zab *z, Peer *p, const ZabMessage *m) {
        bool child = p->stream.feeds && p->stream.session == m->session && z->epoch == m->epoch;

        if (m->type == ZAB_MESSAGE_FEED_REQUEST)
                on_request(z, p, m);
        else if (m->type == ZAB_MESSAGE_FEED && is_from_parent(z, p, m))
                on_entries(z, m);
        else if (m->type == ZAB_MESSAGE_FEED_ACK && child)
                on_ack(z, p, m);
        else if (m->type == ZAB_MESSAGE_FEED_END && child)
                stream_done(z, p);
        else if (m->type == ZAB_MESSAGE_FEED_END && is_from_parent(z, p, m) && !ZAB_BREAK(FEED_FORGOTTEN))
                lose(z, "the parent feeds no more");
}

/* The leader's side. */

static void take_back(Zab *z, Peer *p, uint64_t index) {
        p->stream.parent = 0;
        if (!epochs_has(&z->epochs, index))
                peer_close(z, p, "the log no longer holds what this follower needs");
        else
                stream_begin_entries(z, p, index + 1);
}

void feed_on_fed(Zab *z, Peer *p, const ZabMessage *m) {
        Stream *s = &p->stream;

        if (!m->flag) {
                if (s->parent != 0)
                        take_back(z, p, m->index);
        } else if (s->uptodate_sent && s->state == STREAM_ENTRIES && m->index >= 1 && m->index <= ZAB_CONFIG_MEMBERS_MAX &&
                   is_observer(z, p->sid, &p->disk_id)) {
                s->parent = (uint32_t) m->index;
                s->was_fed = true;
        }
}

/* Whoever is to be a voter has to have the entries that make it one before they are committed. */
void feed_take_back_voters(Zab *z) {
        Peer *p;

        for (unsigned at = 0; (p = peer_next(z, &at));)
                if (p->stream.parent != 0 && voter_in_force(z, p->sid, &p->disk_id))
                        take_back(z, p, p->stream.acked);
}
