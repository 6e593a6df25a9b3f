/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Digest
 *
 * Whether the trees are the same.  Every member knows the digest of its tree at the last indexes that are multiples of
 * DIGEST_EVERY; the leader tells its followers one of these with its heartbeat, or that of a tree at rest, and each says what it
 * has there.  The same index is the same history, so another digest there is a fault: memory, a disk, or this program.
 *
 * Who is wrong is for the majority of the voters to say, and that may be the leader.  Where there is no majority its word counts,
 * but not again and again: a member that differs serves nothing anyhow.
 */

#include "agent/member/member-internal.h"

#define DIGEST_EVERY 64
#define POLL_USEC 1000000               /* for those who are behind; then it is decided without them */
#define WORDS_MAX 2                     /* of the leader alone against one member, in one term */

static const DigestMark *latest(const Member *m) {
        return m->marks_count > 0 ? &m->marks[(m->marks_count - 1) % DIGEST_MARKS] : NULL;
}

static void mark(Member *m) {
        m->marks[m->marks_count++ % DIGEST_MARKS] = (DigestMark) { m->applied_index, tree_digest(m->tree) };
}

/* Said when nobody is inside zab. */
static void compare(Member *m, const DigestMark *leaders, Hash128 own) {
        m->differs = !hash128_equal(leaders->digest, own);
        m->own_digest = (DigestMark) { leaders->index, own };
}

void digest_on_applied(Member *m) {
        if (m->applied_index % DIGEST_EVERY == 0)
                mark(m);

        for (unsigned i = 0; i < DIGEST_AWAITED; i++)
                if (m->awaited[i].index == m->applied_index) {
                        compare(m, &m->awaited[i], tree_digest(m->tree));
                        m->awaited[i].index = 0;
                }
}

static void wait_for(Member *m, const MemberMessage *message) {
        DigestMark *oldest = &m->awaited[0];

        for (unsigned i = 1; i < DIGEST_AWAITED; i++)
                if (m->awaited[i].index < oldest->index)
                        oldest = &m->awaited[i];

        *oldest = (DigestMark) { message->index, message->digest };
}

void digest_on_message(Member *m, const MemberMessage *message) {
        DigestMark leaders = { message->index, message->digest };

        if (message->index == 0)
                return;
        if (message->index > m->applied_index) {
                wait_for(m, message);
                return;
        }
        if (message->index == m->applied_index) {
                compare(m, &leaders, tree_digest(m->tree));
                return;
        }

        for (unsigned i = 0; i < DIGEST_MARKS; i++)
                if (m->marks[i].index == message->index)
                        compare(m, &leaders, m->marks[i].digest);
}

/*
 * The leader
 */

/* Who has just come has not heard it, even if it is not new. */
static void tell(Member *m, const ZabPeerState *peer) {
        DigestTold *told = &m->told[peer->sid];

        if (told->session == peer->session && told->index >= m->poll.index)
                return;

        *told = (DigestTold) { .session = peer->session, .index = m->poll.index, .words = told->words };
        member_send(m, &(ZabSession) { peer->conn, peer->session, m->term.epoch }, (MemberMessage) {
                .type = MEMBER_MESSAGE_DIGEST,
                .index = m->poll.index,
                .digest = m->poll.digest,
        });
}

static bool is_asked(const Member *m, const ZabConfigMember *c, ZabPeerState *ret) {
        return c->sid != m->options.zab.sid && zab_peer(m->zab, c->sid, ret) && ret->connected && ret->synced;
}

static bool has_said(const Member *m, uint32_t sid, Hash128 digest) {
        const DigestTold *told = &m->told[sid];

        if (sid == m->options.zab.sid)
                return hash128_equal(m->poll.digest, digest);
        return told->said_index == m->poll.index && hash128_equal(told->said, digest);
}

static bool majority_has(const Member *m, const ZabConfig *c, Hash128 digest) {
        unsigned count = 0;

        for (unsigned i = 0; i < c->members_count; i++)
                count += c->members[i].role == ZAB_MEMBER_VOTER && has_said(m, c->members[i].sid, digest);
        return count > zab_config_voters(c) / 2;
}

/* Everybody who is asked has said something, or has had the time to. */
static bool is_complete(const Member *m, const ZabConfig *c) {
        ZabPeerState peer;

        if (m->now_usec - m->polled_usec > POLL_USEC)
                return true;
        for (unsigned i = 0; i < c->members_count; i++)
                if (is_asked(m, &c->members[i], &peer) && m->told[peer.sid].said_index != m->poll.index)
                        return false;
        return true;
}

static void judge(Member *m, const ZabConfig *c, const ZabPeerState *peer) {
        DigestTold *told = &m->told[peer->sid];
        bool ours = majority_has(m, c, m->poll.digest);

        if (told->said_index != m->poll.index || told->judged_index == m->poll.index || has_said(m, peer->sid, m->poll.digest))
                return;
        if (majority_has(m, c, told->said)) {
                m->diverged_index = m->poll.index;
                return;
        }
        if (!ours && (!is_complete(m, c) || told->words == WORDS_MAX))
                return;

        told->judged_index = m->poll.index;
        told->words += !ours;
        member_send(m, &(ZabSession) { peer->conn, peer->session, m->term.epoch }, (MemberMessage) {
                .type = MEMBER_MESSAGE_DIVERGED,
                .index = m->poll.index,
        });
}

static void judge_all(Member *m) {
        const ZabConfig *c = zab_config(m->zab);
        ZabPeerState peer;

        for (unsigned i = 0; m->poll.index > 0 && c && i < c->members_count; i++)
                if (is_asked(m, &c->members[i], &peer))
                        judge(m, c, &peer);
}

void digest_on_report(Member *m, uint32_t sid, const MemberMessage *message) {
        DigestTold *told = &m->told[sid];

        if (message->index == 0 || message->index != m->poll.index)
                return;

        told->said_index = message->index;
        told->said = message->digest;
        judge_all(m);
}

/* One at a time, so that those who are a little behind are not passed over under load for ever. */
static void poll_followers(Member *m, const ZabConfig *c) {
        const DigestMark *d = latest(m);
        ZabPeerState peer;

        if (!d || !c)
                return;
        if (d->index > m->poll.index && (m->poll.index == 0 || is_complete(m, c))) {
                m->poll = *d;
                m->polled_usec = m->now_usec;
        }
        for (unsigned i = 0; i < c->members_count; i++)
                if (is_asked(m, &c->members[i], &peer))
                        tell(m, &peer);
}

void digest_on_tick(Member *m) {
        const DigestMark *d = latest(m);

        if (m->idle_index == m->applied_index && m->applied_index > 0 && (!d || d->index != m->applied_index))
                mark(m);
        m->idle_index = m->applied_index;

        if (!m->term.leads)
                return;

        judge_all(m);
        poll_followers(m, zab_config(m->zab));
}

void digest_on_term(Member *m) {
        for (unsigned i = 0; i < DIGEST_AWAITED; i++)
                m->awaited[i].index = 0;
        for (unsigned sid = 0; sid <= ZAB_CONFIG_MEMBERS_MAX; sid++)
                m->told[sid] = (DigestTold) { 0 };
        m->poll.index = m->own_digest.index = 0;
        m->differs = false;
}

/* The marks were of the tree before. */
void digest_on_snapshot(Member *m) {
        for (unsigned i = 0; i < DIGEST_MARKS; i++)
                m->marks[i].index = 0;
        m->marks_count = 0;
        m->diverged_index = 0;
        digest_on_term(m);
}

/* The leader's verdict. */
void digest_on_verdict(Member *m, const MemberMessage *message) {
        m->diverged_index = MAX(message->index, 1);
}

void digest_act(Member *m) {
        uint64_t index = m->diverged_index;

        if (m->own_digest.index != 0 && m->term.follows)
                member_send(m, &m->term.session, (MemberMessage) {
                        .type = MEMBER_MESSAGE_DIGEST_IS,
                        .index = m->own_digest.index,
                        .digest = m->own_digest.digest,
                });
        m->own_digest.index = 0;
        if (index == 0)
                return;

        m->diverged_index = 0;
        if (!m->term.follows && !m->term.leads)
                return;
        m->driver.diverged(m->driver.userdata, index);
        (void) member_step(m, (ZabInput) { .type = ZAB_INPUT_DIVERGED, .index = index }, NULL);
}
