/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Forward
 *
 * Updates from the moment they have a number until their fate is known (DESIGN 2.5).  As leader this member proposes
 * them itself, as follower it sends them to the leader, always in the order of their numbers.  Rules it keeps:
 *
 *     Entries of this member appear in the order of its numbers, because connections are FIFO and leaders propose in
 *     the order of arrival.  So the entry of one says of all before it that they were refused, should the refusal be lost.
 *     When a new leader is established and everything that earlier ones can have left is applied, what was not seen can
 *     never appear: it is sent again, in order, the same bytes.
 *     What a follower forwards is looked at before it is proposed: a host speaks for itself alone (reliability 5.1, 5.2).
 */

#include <assert.h>
#include <string.h>

#include "agent/base/limits.h"
#include "agent/member/member-internal.h"

/* What a follower has under way with its leader.  A change of leader sends all of it again at once, and the connection's queue, which is
 * bounded, has to hold it. */
#define FLIGHT_BYTES_MAX (4 * 1024 * 1024)

/* Held back for all followers together while leadership is being handed over; a follower that sends more is cut off. */
#define HELD_BYTES_MAX (64 * 1024 * 1024)

/* What a follower forwarded and zab does not take at this moment. */
typedef struct Held {
        ZabSession from;
        GBytes *payload;
} Held;

/*
 * The sender's side
 */

static bool dispatch(Member *m, Pending *p) {
        p->given = true;
        if (m->term.leads)
                return member_propose(m, p->payload) >= 0;

        p->in_flight = true;
        m->flight_bytes += g_bytes_get_size(p->payload);
        member_send(m, &m->term.session, (MemberMessage) {
                .type = MEMBER_MESSAGE_FORWARD,
                .number = p->number,
                .payload = p->payload,
        });
        return true;
}

/* Gives the leader of this term what it was not given yet; the rest follows as the fate of what is under way becomes known. */
void forward_flush(Member *m) {
        while (m->undispatched && member_is_serving(m) && !m->retry && m->flight_bytes < FLIGHT_BYTES_MAX) {
                if (!dispatch(m, m->undispatched->data)) {
                        m->retry = true;
                        return;
                }
                m->undispatched = m->undispatched->next;
        }
}

void forward_send(Pending *p, GBytes *payload, const Request *r) {
        Member *m = p->client->member;

        if (p->payload)
                g_bytes_unref(p->payload);
        p->payload = g_bytes_ref(payload);
        p->number = r->number;
        p->session = r->session;
        p->cxid = r->cxid;
        p->sent_usec = m->now_usec;
        g_queue_push_tail_link(&m->sent, &p->link);
        if (!m->undispatched)
                m->undispatched = &p->link;
        forward_flush(m);
}

static void land(Member *m, Pending *p) {
        if (p->in_flight)
                m->flight_bytes -= g_bytes_get_size(p->payload);
        p->in_flight = false;
}

static void unlink_sent(Member *m, Pending *p) {
        land(m, p);
        if (m->undispatched == &p->link)
                m->undispatched = p->link.next;
        g_queue_unlink(&m->sent, &p->link);
}

/* Its fate is known and it has no result. */
static void conclude(Member *m, Pending *p, ConveneStatus status) {
        unlink_sent(m, p);
        if (p->client)
                client_refuse(p, status);
        else
                pending_free(p);
}

void forward_forget(Pending *p) {
        p->client = NULL;
}

void forward_on_term(Member *m) {
        Held *h;

        m->undispatched = NULL;                 /* nothing goes out before this term has settled */
        for (GList *i = m->sent.head; i; i = i->next)
                land(m, i->data);
        while ((h = g_queue_pop_head(&m->held))) {
                g_bytes_unref(h->payload);
                g_free(h);
        }
        m->held_bytes = 0;
}

/* Whether the snapshot may hold the effect of `p`, which no entry shows any more.  A session's last number tells; a failed
 * update does not move it, but has no effect either. */
static bool fate_is_lost(const Member *m, const Pending *p) {
        return p->uncertain && (p->session == 0 || tree_session_cxid(m->tree, p->session) >= p->cxid ||
                                !tree_get_session(m->tree, p->session, &(SessionInfo) { 0 }));
}

void forward_on_settled(Member *m) {
        for (GList *i = m->sent.head, *next; i; i = next) {
                Pending *p = i->data;

                next = i->next;
                if (fate_is_lost(m, p))
                        conclude(m, p, CONVENE_FATE_UNKNOWN);
                else
                        p->uncertain = false;
        }
        m->undispatched = m->sent.head;
}

void forward_on_snapshot(Member *m) {
        for (GList *i = m->sent.head; i; i = i->next)
                ((Pending *) i->data)->uncertain = true;
}

void forward_on_applied(Member *m, const Request *r, const Result *result) {
        bool ours = r->origin == m->options.zab.sid && r->number - m->first_number < m->next_number - m->first_number;
        uint64_t sent_usec = 0;
        Pending *p = NULL;

        /* Of this run of the agent: an earlier one began with another number. */
        while (ours && (p = g_queue_peek_head(&m->sent)) && p->number < r->number) {
                conclude(m, p, fate_is_lost(m, p) ? CONVENE_FATE_UNKNOWN : CONVENE_NOT_READY);
                p = NULL;
        }
        if (p && p->number == r->number) {
                sent_usec = p->sent_usec;
                unlink_sent(m, p);
        } else
                p = NULL;

        sessions_on_applied(m, r, result, sent_usec);
        if (p)
                client_answer_update(p, result);
}

void forward_on_refused(Member *m, uint64_t number, ConveneStatus status) {
        for (GList *i = m->sent.head; i; i = i->next) {
                Pending *p = i->data;

                if (p->number > number)
                        return;
                if (p->number == number) {
                        conclude(m, p, status == CONVENE_OK ? CONVENE_SYSTEM_ERROR : status);
                        return;
                }
        }
}

/*
 * The leader's side
 */

static const ZabConfigMember *find_member(const Member *m, uint32_t sid) {
        const ZabConfig *committed = zab_config(m->zab), *pending = zab_pending_config(m->zab);
        const ZabConfigMember *found = committed ? zab_config_find(committed, sid) : NULL;

        return found || !pending ? found : zab_config_find(pending, sid);
}

/* The host that alone can know whether this identity is true; NULL if any can. */
static const char *identity_host(Identity who) {
        if (strcmp(who.scheme, "host") == 0)
                return who.id;
        if (strcmp(who.scheme, "unix") == 0 || strcmp(who.scheme, "unit") == 0) {
                const char *at = strrchr(who.id, '@');

                return at ? at + 1 : "";
        }

        return NULL;
}

/* What anybody is, or may say to be. */
static bool is_common(Identity who) {
        return strcmp(who.scheme, "world") == 0 || strcmp(who.scheme, "ip") == 0;
}

/* A voter's root is trusted with the whole tree anyway, an observer's with its own host: not with "super", nor with those of users of all
 * hosts, whose names, and hashes of passwords, it reads in the ACLs that it replicates. */
static bool may_vouch(const ZabConfigMember *sender, Identities i) {
        for (uint32_t n = 0; n < i.count; n++) {
                const char *host = identity_host(i.items[n]);

                if (host ? strcmp(host, sender->name) != 0 : sender->role != ZAB_MEMBER_VOTER && !is_common(i.items[n]))
                        return false;
        }

        return true;
}

/* Sessions of other members are none of an observer's business, unless it proves the secret (ATTACH). */
static bool may_target(const Member *m, const ZabConfigMember *sender, uint64_t target) {
        SessionInfo info;

        return sender->role == ZAB_MEMBER_VOTER || !tree_get_session(m->tree, target, &info) ||
               info.member == sender->sid;
}

/* Why no member would forward this; NULL if one may. */
static const char *find_malformed(const Request *r, uint32_t sid, uint64_t number) {
        if (!request_op_is_update(r->op) || r->op == REQUEST_REAP || (r->op == REQUEST_CLOSE_SESSION && r->expired))
                return "forwarded what is not for members to ask";
        if (r->origin != sid || r->number != number)
                return "forwarded a request in another's name";
        if ((r->op == REQUEST_OPEN_SESSION || r->op == REQUEST_ATTACH_SESSION) && r->member != sid)
                return "forwarded a session for another member to answer for";

        return NULL;
}

static ConveneStatus judge(const Member *m, const Request *r, uint32_t sid) {
        const ZabConfigMember *sender = find_member(m, sid);
        ConveneStatus status = request_validate(r);

        if (status != CONVENE_OK)
                return status;
        if (!sender)
                return CONVENE_AUTH_FAILED;

        switch (r->op) {

        case REQUEST_OPEN_SESSION:
                return may_vouch(sender, r->identities) ? CONVENE_OK : CONVENE_AUTH_FAILED;

        case REQUEST_AUTH_SESSION:
                return may_vouch(sender, r->identities) && may_target(m, sender, r->target) ? CONVENE_OK :
                        CONVENE_AUTH_FAILED;

        case REQUEST_CLOSE_SESSION:
                return may_target(m, sender, r->target) ? CONVENE_OK : CONVENE_NO_AUTH;

        case REQUEST_ATTACH_SESSION:
                return CONVENE_OK;

        default:
                return may_vouch(sender, r->caller) ? CONVENE_OK : CONVENE_AUTH_FAILED;
        }
}

static void hold(Member *m, const ZabSession *from, GBytes *payload) {
        Held *h;

        if (m->held_bytes + g_bytes_get_size(payload) > HELD_BYTES_MAX) {
                m->driver.close(m->driver.userdata, from->conn, "forwarded more than can be held back");
                return;
        }

        h = g_new(Held, 1);
        *h = (Held) { *from, g_bytes_ref(payload) };
        m->held_bytes += g_bytes_get_size(payload);
        g_queue_push_tail(&m->held, h);
        m->retry = true;
}

/* In the order of arrival, as far as zab takes them; what came in a session that is over was given up by its sender. */
static void propose_held(Member *m) {
        Held *h;

        while ((h = g_queue_peek_head(&m->held))) {
                if (zab_session_member(m->zab, &h->from) != 0 && member_propose(m, h->payload) < 0)
                        return;

                g_queue_pop_head(&m->held);
                m->held_bytes -= g_bytes_get_size(h->payload);
                g_bytes_unref(h->payload);
                g_free(h);
        }
}

void forward_on_message(Member *m, uint64_t conn, uint32_t sid, const ZabSession *from, const MemberMessage *message) {
        ConveneStatus status;
        const char *malformed;
        DecodedRequest d;
        gsize size;
        const uint8_t *data = message->payload ? g_bytes_get_data(message->payload, &size) : NULL;

        if (!data || !request_decode(data, size, &d)) {
                m->driver.close(m->driver.userdata, conn, "forwarded what is no request");
                return;
        }

        malformed = find_malformed(&d.request, sid, message->number);
        status = malformed ? CONVENE_OK : judge(m, &d.request, sid);
        request_decoded_done(&d);
        if (malformed) {
                m->driver.close(m->driver.userdata, conn, malformed);
                return;
        }

        if (status == CONVENE_OK && !m->space_available)
                status = CONVENE_NO_SPACE;
        if (status != CONVENE_OK) {
                member_send(m, from, (MemberMessage) {
                        .type = MEMBER_MESSAGE_REFUSED,
                        .number = message->number,
                        .status = status,
                });
                return;
        }

        propose_held(m);
        if (!g_queue_is_empty(&m->held) || member_propose(m, message->payload) < 0)
                hold(m, from, message->payload);
}

void forward_on_tick(Member *m) {
        propose_held(m);
        if (!g_queue_is_empty(&m->held))
                m->retry = true;
}

/* A caller does not wait for ever for a quorum.  What no leader was given has no effect; of the rest nobody on this side of a cut can
 * know. */
void forward_time_out(Member *m) {
        for (GList *i = m->sent.head, *next; i; i = next) {
                Pending *p = i->data;

                next = i->next;
                if (p->client && m->now_usec >= p->deadline_usec)
                        conclude(m, p, p->given ? CONVENE_FATE_UNKNOWN : CONVENE_NOT_READY);
        }
}

void forward_done(Member *m) {
        Pending *p;

        forward_on_term(m);
        while ((p = g_queue_peek_head(&m->sent))) {
                unlink_sent(m, p);
                pending_free(p);
        }
}
