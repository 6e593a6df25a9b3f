/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Digest
 *
 * Whether the trees are the same.  Every member knows the digest of its tree at the last indexes that are multiples of
 * DIGEST_EVERY; the leader tells its followers one of these with its heartbeat, or that of a tree at rest.  The same index
 * is the same history, so another digest there is a fault: memory, a disk, or this program.
 */

#include "agent/member/member-internal.h"

#define DIGEST_EVERY 64

static const DigestMark *latest(const Member *m) {
        return m->marks_count > 0 ? &m->marks[(m->marks_count - 1) % DIGEST_MARKS] : NULL;
}

static void mark(Member *m) {
        m->marks[m->marks_count++ % DIGEST_MARKS] = (DigestMark) { m->applied_index, tree_digest(m->tree) };
}

static void compare(Member *m, const DigestMark *leaders, Hash128 own) {
        if (!hash128_equal(leaders->digest, own))
                m->diverged_index = leaders->index;     /* zab is told when nobody is inside it */
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

/* Who has just come has not heard it, even if it is not new. */
static void tell(Member *m, uint32_t sid, const DigestMark *d) {
        DigestTold *told = &m->told[sid];
        ZabPeerState peer;

        if (!zab_peer(m->zab, sid, &peer) || !peer.connected || !peer.synced ||
            (told->session == peer.session && told->index >= d->index))
                return;

        *told = (DigestTold) { peer.session, d->index };
        member_send(m, &(ZabSession) { peer.conn, peer.session, m->term.epoch }, (MemberMessage) {
                .type = MEMBER_MESSAGE_DIGEST,
                .index = d->index,
                .digest = d->digest,
        });
}

void digest_on_tick(Member *m) {
        const ZabConfig *c = zab_config(m->zab);
        const DigestMark *d = latest(m);

        if (m->idle_index == m->applied_index && m->applied_index > 0 && (!d || d->index != m->applied_index))
                mark(m);
        m->idle_index = m->applied_index;

        d = latest(m);
        for (unsigned i = 0; m->term.leads && d && c && i < c->members_count; i++)
                if (c->members[i].sid != m->options.zab.sid)
                        tell(m, c->members[i].sid, d);
}

void digest_on_term(Member *m) {
        for (unsigned i = 0; i < DIGEST_AWAITED; i++)
                m->awaited[i].index = 0;
        for (unsigned sid = 0; sid <= ZAB_CONFIG_MEMBERS_MAX; sid++)
                m->told[sid] = (DigestTold) { 0 };
}

/* The marks were of the tree before. */
void digest_on_snapshot(Member *m) {
        for (unsigned i = 0; i < DIGEST_MARKS; i++)
                m->marks[i].index = 0;
        m->marks_count = 0;
        m->diverged_index = 0;
        digest_on_term(m);
}

void digest_act(Member *m) {
        uint64_t index = m->diverged_index;

        if (index == 0)
                return;

        m->diverged_index = 0;
        if (!m->term.follows)
                return;
        m->driver.diverged(m->driver.userdata, index);
        (void) member_step(m, (ZabInput) { .type = ZAB_INPUT_DIVERGED, .index = index }, NULL);
}
