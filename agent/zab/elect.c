/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Elect
 *
 * What: pre-vote, vote, and the answers to both.
 * Rules it keeps: an epoch is promised once, durably, before anybody hears of it (2.7, 2.14); the comparison is (current
 *     epoch, last logged zxid), never the zxid alone (2.0.1); whoever hears its leader refuses others (2.7).
 * Not here: what a leader does: lead.
 * Source: protocol 2.7, 2.14.
 */

#include "agent/zab/zab-internal.h"

#include <assert.h>

#define FAILURES_MAX 3                  /* the wait for votes doubles this often at most */
#define EPOCH_JUMP_MAX (UINT32_C(1) << 20)      /* elections do not lead so far away from what a member has seen, and epochs run out */

/* [T_min, 2 T_min] (2.7) */
void elect_restart_timer(Zab *z) {
        uint64_t t = z->options.election_timeout_usec;

        z->election_at_usec = z->now_usec + t + prng_below(&z->prng, t);
}

/* The leader is known to be gone: there is nothing to wait for but other candidates. */
void elect_soon(Zab *z) {
        z->election_at_usec = z->now_usec + prng_below(&z->prng, z->options.election_timeout_usec / 10 + 1);
}

static bool may_campaign(const Zab *z) {
        return z->meta.membership == ZAB_MEMBERSHIP_MEMBER && z->meta_durable.membership == ZAB_MEMBERSHIP_MEMBER &&
                z->snap != SNAP_INSTALLING && voter_in_force(z, z->options.sid, &z->options.disk_id);
}

static void fill_vote(const Zab *z, ZabVote *v) {
        *v = (ZabVote) {
                .accepted_epoch = z->meta.accepted_epoch,
                .current_epoch = z->meta_durable.current_epoch,
                .last = ZAB_BREAK(ELECT_APPLIED) ? z->applied : z->last,
                .commit_index = z->commit,
                .commit_zxid = epochs_zxid_at(&z->epochs, z->commit),
        };
}

static void ask(Zab *z, Peer *p) {
        ZabMessage m = {
                .type = z->role == ZAB_ROLE_PRECANDIDATE ? ZAB_MESSAGE_PREVOTE_REQUEST : ZAB_MESSAGE_VOTE_REQUEST,
                .epoch = z->campaign_epoch,
        };

        if (!voter_in_force(z, p->sid, &p->disk_id) && !ZAB_BREAK(WIPED_VOTES))
                return;

        fill_vote(z, &m.vote);
        m.vote.transfer_epoch = z->transfer_epoch;
        peer_send(z, p, &m);
}

static void ask_all(Zab *z) {
        Peer *p;

        for (unsigned at = 0; (p = peer_next(z, &at));)
                ask(z, p);
}

static void forget_grants(Zab *z) {
        for (unsigned sid = 1; sid <= ZAB_CONFIG_MEMBERS_MAX; sid++)
                if (z->peers[sid])
                        z->peers[sid]->granted = false;
}

static uint64_t granted(const Zab *z, const Peer *p) {
        return !p || p->granted;
}

static void become_candidate(Zab *z) {
        assert(z->campaign_epoch > z->meta.accepted_epoch);

        z->epoch = z->campaign_epoch;
        z->meta.accepted_epoch = z->epoch;
        z->votes_asked = false;
        forget_grants(z);
        set_role(z, ZAB_ROLE_CANDIDATE, "a quorum would vote for this member");
        meta_sync(z);
}

/* 2.7: a quorum of every configuration in force. */
static void count(Zab *z) {
        if (z->role == ZAB_ROLE_PRECANDIDATE && quorum_in_force(z, granted) == 1)
                become_candidate(z);

        /* 2.14: VOTE_REQ(e) and our own vote need accepted_epoch = e durable. */
        if (z->role != ZAB_ROLE_CANDIDATE ||
            (z->meta_durable.accepted_epoch < z->epoch && !ZAB_BREAK(CANDIDATE_EARLY)))
                return;

        if (!z->votes_asked) {
                z->votes_asked = true;
                elect_restart_timer(z);
                z->election_at_usec += z->options.election_timeout_usec * ((UINT64_C(1) << z->failures) - 1);
                ask_all(z);
        }

        if (quorum_in_force(z, granted) == 1)
                lead_begin(z);
}

void elect_campaign(Zab *z, uint32_t transfer_epoch, const char *reason) {
        elect_restart_timer(z);
        z->vote.epoch = 0;
        if (!may_campaign(z)) {
                set_role(z, ZAB_ROLE_LOOKING, reason);
                return;
        }

        z->campaign_epoch = MAX(z->meta.accepted_epoch, z->highest_epoch) + 1;
        z->transfer_epoch = transfer_epoch;
        if (z->campaign_epoch > ZXID_EPOCH_MAX) {
                stop(z, "the last epoch is used up");
                return;
        }

        /* Nothing is promised before a quorum would vote for us: epochs do not inflate (2.0.1). */
        forget_grants(z);
        set_role(z, ZAB_ROLE_PRECANDIDATE, reason);
        ask_all(z);
        count(z);
}

void elect_on_tick(Zab *z) {
        if (z->now_usec < z->election_at_usec)
                return;

        switch (z->role) {
        case ZAB_ROLE_FOLLOWER_HELLO:
        case ZAB_ROLE_FOLLOWER_SYNC:
        case ZAB_ROLE_FOLLOWER:
                follow_leave(z, true, "nothing heard from the leader");
                elect_campaign(z, 0, "nothing heard from the leader within the election timeout");
                break;
        case ZAB_ROLE_CANDIDATE:
                if (!z->votes_asked) {  /* our own disk is slow; another epoch would not be faster */
                        elect_restart_timer(z);
                        break;
                }
                z->failures = MIN(z->failures + 1, FAILURES_MAX);
                elect_campaign(z, 0, "no quorum of votes within the election timeout");
                break;
        case ZAB_ROLE_LOOKING:
        case ZAB_ROLE_PRECANDIDATE:
                elect_campaign(z, 0, "no leader within the election timeout");
                break;
        case ZAB_ROLE_STOPPED:
        case ZAB_ROLE_LEADER_SYNC:
        case ZAB_ROLE_LEADER:
        case _ZAB_ROLE_MAX:
                break;
        }
}

void elect_on_peer_up(Zab *z, Peer *p) {
        if (z->role == ZAB_ROLE_PRECANDIDATE || (z->role == ZAB_ROLE_CANDIDATE && z->votes_asked))
                ask(z, p);
}

/* 2.7: what others know to be committed.  Without it the survivors of a removal may wait for the removed for ever. */
static void gossip(Zab *z, const ZabVote *v) {
        if (ZAB_BREAK(NO_GOSSIP))
                return;

        if (v->commit_index > z->commit && epochs_has(&z->epochs, v->commit_index) &&
            epochs_zxid_at(&z->epochs, v->commit_index) == v->commit_zxid)
                log_commit(z, v->commit_index);
}

/* The last entry logged, never the last applied (P9). */
static bool up_to_date(const Zab *z, const ZabVote *v) {
        if (v->current_epoch != z->meta_durable.current_epoch && !ZAB_BREAK(VOTE_ZXID_ONLY))
                return v->current_epoch > z->meta_durable.current_epoch;

        return v->last.zxid >= (ZAB_BREAK(ELECT_APPLIED) ? z->applied.zxid : z->last.zxid);
}

static bool leader_alive(const Zab *z) {
        return zab_leads(z) ||
                (zab_follows(z) && z->now_usec - z->follow.heard_usec < z->options.election_timeout_usec);
}

/* Leadership is being handed to the candidate by the very leader it would be refused for. */
static bool is_transfer(const Zab *z, const Peer *p, const ZabVote *v) {
        if (v->transfer_epoch == 0)
                return false;

        if (zab_leads(z))
                return v->transfer_epoch == z->epoch && z->transfer.told && z->transfer.sid == p->sid;

        return zab_follows(z) && v->transfer_epoch == z->follow.epoch && voter_in_force(z, p->sid, &p->disk_id);
}

/* 2.12: blank, joining and damaged members have no vote. */
static bool is_member(const Zab *z) {
        return (z->meta.membership == ZAB_MEMBERSHIP_MEMBER && z->meta_durable.membership == ZAB_MEMBERSHIP_MEMBER) ||
                ZAB_BREAK(WIPED_VOTES);
}

static bool may_grant(const Zab *z, const Peer *p, const ZabMessage *m) {
        return is_member(z) && m->epoch > z->meta.accepted_epoch && up_to_date(z, &m->vote) &&
                (!leader_alive(z) || is_transfer(z, p, &m->vote));
}

static void answer(Zab *z, Peer *p, ZabMessageType type, uint32_t epoch, bool grant) {
        ZabMessage m = { .type = type, .epoch = epoch };

        fill_vote(z, &m.vote);
        m.vote.granted = grant;
        peer_send(z, p, &m);
}

static void on_prevote_request(Zab *z, Peer *p, const ZabMessage *m) {
        answer(z, p, ZAB_MESSAGE_PREVOTE_RESPONSE, m->epoch, may_grant(z, p, m));

        /* 2.7: it seems not to know that there is a leader, or refused this one before it was established. */
        if (zab_leads(z) && p->conn != 0 && p->stream.state == STREAM_HELLO)
                stream_hello(z, p);
}

/* 2.7: the promise ends the session at once (P24), and is answered once it is durable, on the same connection (P23). */
static void on_vote_request(Zab *z, Peer *p, const ZabMessage *m) {
        if (!may_grant(z, p, m)) {
                answer(z, p, ZAB_MESSAGE_VOTE_RESPONSE, m->epoch, false);
                return;
        }

        if (zab_leads(z))
                lead_step_down(z, p->conn, "leadership was handed over");
        else if (zab_follows(z) && !ZAB_BREAK(ACK_AFTER_PROMISE))
                follow_leave(z, true, "this member votes for another leader");

        if (!zab_follows(z) || !ZAB_BREAK(ACK_AFTER_PROMISE))
                set_role(z, ZAB_ROLE_LOOKING, "this member votes for another leader");
        elect_restart_timer(z);
        z->meta.accepted_epoch = m->epoch;
        z->vote.epoch = m->epoch;
        z->vote.sid = p->sid;
        z->vote.conn = p->conn;
        meta_sync(z);
}

static void send_vote(Zab *z) {
        Peer *p = z->peers[z->vote.sid];
        uint32_t epoch = z->vote.epoch;

        if (epoch == 0 || (z->meta_durable.accepted_epoch < epoch && !ZAB_BREAK(VOTE_EARLY)))
                return;

        z->vote.epoch = 0;
        if (z->meta.accepted_epoch != epoch || p->conn == 0 || p->conn != z->vote.conn)
                return;                 /* another was promised since, or it has gone: no answer is a refusal */

        elect_restart_timer(z);
        answer(z, p, ZAB_MESSAGE_VOTE_RESPONSE, epoch, true);
}

static void on_response(Zab *z, Peer *p, const ZabMessage *m) {
        bool pre = m->type == ZAB_MESSAGE_PREVOTE_RESPONSE;

        if (!voter_in_force(z, p->sid, &p->disk_id))
                return;                 /* its answer counts for nothing, and nor does what it says it has promised */

        z->highest_epoch = MAX(z->highest_epoch, m->vote.accepted_epoch);
        if (z->role != (pre ? ZAB_ROLE_PRECANDIDATE : ZAB_ROLE_CANDIDATE) || m->epoch != z->campaign_epoch)
                return;

        if (m->vote.granted) {
                p->granted = true;
                count(z);
        } else if (!pre && m->vote.accepted_epoch > z->epoch) {
                set_role(z, ZAB_ROLE_LOOKING, "a voter has promised a later epoch");
                elect_restart_timer(z);
        }
}

/* Whoever joins may be any number of epochs behind. */
bool elect_leaps(const Zab *z, uint32_t epoch) {
        uint32_t seen = MAX(MAX(z->meta.accepted_epoch, z->highest_epoch), z->epoch);

        return seen > 0 && epoch > seen && epoch - seen > EPOCH_JUMP_MAX;
}

void elect_on_message(Zab *z, Peer *p, const ZabMessage *m) {
        if (m->epoch > ZXID_EPOCH_MAX || m->vote.accepted_epoch > ZXID_EPOCH_MAX || elect_leaps(z, m->epoch) ||
            elect_leaps(z, m->vote.accepted_epoch)) {
                peer_close(z, p, "an election message with an impossible epoch");
                return;
        }

        /* A candidate may be a voter by a configuration that is not known here.  All else is for voters to say. */
        if (voter_in_force(z, p->sid, &p->disk_id))
                gossip(z, &m->vote);
        switch (m->type) {
        case ZAB_MESSAGE_PREVOTE_REQUEST:
                on_prevote_request(z, p, m);
                break;
        case ZAB_MESSAGE_VOTE_REQUEST:
                on_vote_request(z, p, m);
                break;
        default:
                on_response(z, p, m);
                break;
        }
}

void elect_advance(Zab *z) {
        send_vote(z);
        count(z);
}
