/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reads
 *
 * What: PING rounds, and what a quorum's answer to one proves: that this was still the leader when it began.  Observers hear the
 *     heartbeats alone, so that a read costs no more with many of them.
 * Rules it keeps: a read is answered only after a round that began after it came, counted by position (P27 to P29): no
 *     lease; a follower's time is echoed only after a round that began after it was received has been confirmed by a
 *     quorum, so a deposed leader never prolongs a promise (DESIGN 2.8), and only together with everything that was
 *     proposed before the round, so nobody holds a promise whose end is an entry that stands in the log already; no read
 *     is answered before the committed configuration is settled: a quorum of it has a META that knows it committed.  So who
 *     has read knows that the members that it left out may go for good: the others need none of their votes any more,
 *     whatever restarts (2.13.6).
 * Source: protocol 2.10.
 */

#include "agent/zab/zab-internal.h"

#include <errno.h>

void reads_reset(Zab *z) {
        g_array_set_size(z->reads, 0);
        z->round = z->round_confirmed = 0;
        z->tracked.active = z->own.active = false;
        z->confirmed_usec = 0;
        z->settle_round = 1;
}

/* The next PING is the first that tells of it. */
void reads_unsettle(Zab *z) {
        z->settle_round = z->round + 1;
}

static void ping(Zab *z, Peer *p) {
        ZabMessage m = {
                .type = ZAB_MESSAGE_PING,
                .index = z->round,
                .commit = z->commit,
                .time_usec = p->stream.time_confirmed,
        };

        if (p->stream.state == STREAM_NONE)
                return;

        p->stream.commit_sent = MAX(p->stream.commit_sent, z->commit);
        stream_send(z, p, &m);
}

/* One round at a time is followed for the followers' clocks; heartbeats are further apart than answers take. */
static void track(Zab *z) {
        Peer *p;

        if (z->tracked.active)
                return;

        z->tracked.active = true;
        z->tracked.round = z->round;
        z->tracked.usec = z->now_usec;
        z->tracked.index = z->last.index;
        for (unsigned at = 0; (p = peer_next(z, &at));)
                p->stream.time_pending = p->stream.time_heard;
}

void reads_confirm(Zab *z) {
        Peer *p;

        if (z->tracked.active && z->round_confirmed >= z->tracked.round && z->commit >= z->tracked.index) {
                if (!z->own.active)
                        z->own = z->tracked;
                z->tracked.active = false;
                for (unsigned at = 0; (p = peer_next(z, &at));)
                        p->stream.time_confirmed = p->stream.time_pending;
        }

        if (z->own.active && z->applied.index >= z->own.index) {
                z->confirmed_usec = z->own.usec;
                z->own.active = false;
        }

        if (quorum_alone(z))
                track(z);               /* there are no heartbeats */
}

static void answer(Zab *z, const Read *r) {
        if (!r->peer)
                z->effects.read_ready(z->effects.userdata, r->id, r->index);
        else if (r->peer->conn != 0 && r->peer->stream.session == r->session)
                stream_send(z, r->peer, &(ZabMessage) {
                        .type = ZAB_MESSAGE_READ_OK,
                        .index = r->id,
                        .commit = r->index,
                });
}

static uint64_t answered(const Zab *z, const Peer *p) {
        return p ? p->stream.round : z->round;
}

/* Those that waited for the next round wait for this one.  Who is not asked with it is asked with the next heartbeat. */
static void start_round(Zab *z, bool all) {
        Peer *p;

        z->round++;
        for (guint i = z->reads->len; i-- > 0 && g_array_index(z->reads, Read, i).round == 0;)
                g_array_index(z->reads, Read, i).round = z->round;
        track(z);
        for (unsigned at = 0; (p = peer_next(z, &at));)
                if (all || voter_in_force(z, p->sid, &p->disk_id))
                        ping(z, p);
        reads_check(z);
}

void reads_start_round(Zab *z) {
        start_round(z, true);
}

static uint64_t settled(const Zab *z, const Peer *p) {
        return p ? p->stream.settled_round : meta_has_floor(z) || ZAB_BREAK(SETTLED_EARLY) ? z->round : 0;
}

static void check_settled(Zab *z) {
        if (z->settle_round != 0 && z->config && quorum_of(z, z->config, settled) >= z->settle_round)
                z->settle_round = 0;
}

void reads_check(Zab *z) {
        uint64_t confirmed = quorum_in_force(z, answered);
        guint n = 0;

        if (confirmed > z->round_confirmed) {
                z->round_confirmed = confirmed;
                reads_confirm(z);
        }

        check_settled(z);
        for (; n < z->reads->len && z->settle_round == 0; n++) {
                const Read *r = &g_array_index(z->reads, Read, n);

                if (r->round == 0 || r->round > z->round_confirmed)
                        break;
                answer(z, r);
        }

        if (n > 0)
                g_array_remove_range(z->reads, 0, n);
        if (z->reads->len > 0 && g_array_index(z->reads, Read, z->reads->len - 1).round == 0 && z->round_confirmed == z->round)
                start_round(z, false);
}

/* P27: only of a leader whose epoch is a quorum's.  Several reads share a round. */
int reads_add(Zab *z, Peer *p, uint64_t id) {
        Read r = { .id = id, .index = z->commit, .peer = p };

        if (z->role != ZAB_ROLE_LEADER)
                return -EAGAIN;

        if (p)
                r.session = p->stream.session;
        if (ZAB_BREAK(READ_APPLIED))
                r.index = z->applied.index;
        if (ZAB_BREAK(READ_LEASE)) {
                answer(z, &r);
                return 0;
        }

        if (ZAB_BREAK(READ_OLD_ROUND) && z->round_confirmed != z->round)
                r.round = z->round;
        g_array_append_val(z->reads, r);
        if (z->round_confirmed == z->round)
                start_round(z, false);
        return 0;
}

void reads_on_pong(Zab *z, Peer *p, const ZabMessage *m) {
        if (m->index > z->round) {
                peer_close(z, p, "an answer to a ping that was not sent");
                return;
        }

        p->stream.round = MAX(p->stream.round, m->index);
        if (m->flag)
                p->stream.settled_round = MAX(p->stream.settled_round, m->index);
        p->stream.time_heard = MAX(p->stream.time_heard, m->time_usec);
        if (ZAB_BREAK(ECHO_UNCONFIRMED))
                p->stream.time_confirmed = p->stream.time_heard;
        reads_check(z);
}
