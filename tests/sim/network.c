/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Network: connections between hosts.
 *
 * What TCP gives and no more: within one direction of one connection frames arrive in order or the connection breaks; the
 * two ends hear of the break each in its own time, and one may have a new connection before the other has noticed.
 * A direction that is blocked delays its frames; when that lasts, the connection breaks.  A large frame may be long under way:
 * others wait behind it, and the end that it goes to hears that something comes.
 */

#include <assert.h>

#include "agent/wire/frame.h"
#include "tests/sim/judge.h"

typedef enum EndState {
        END_PENDING,                    /* the handshake is under way */
        END_UP,
        END_DOWN,                       /* has noticed, or was replaced */
} EndState;

typedef struct Frame {
        uint64_t at_usec;
        bool bulk;                      /* its bytes come one by one */
        uint8_t type;
        GBytes *body;
} Frame;

typedef struct End {
        uint32_t sid, run;
        EndState state;
        GQueue frames;                  /* Frame, on their way to this end */
        uint64_t last_usec;             /* of the last of them */
        bool scheduled;                 /* its next EVENT_DELIVER */
        bool down_due;                  /* its EVENT_DOWN */
} End;

struct Connection {
        uint64_t number;                /* from 1 */
        End ends[2];                    /* of the lower sid, of the higher */
        bool broken;                    /* nothing is taken any more */
};

#define DIAL_USEC_MIN 2000
#define DIAL_USEC_MAX 250000
#define BULK_BYTES 500                  /* so large are large frames, where requests have some sixty bytes */
#define BULK_ELECTIONS 3                /* and take so many election time-outs at most */

static uint64_t end_id(const Connection *c, unsigned side) {
        return c->number * 2 + side;
}

static Connection *find(World *w, uint64_t end) {
        return end / 2 > 0 && end / 2 <= w->connections->len ? w->connections->pdata[end / 2 - 1] : NULL;
}

uint32_t network_peer(World *w, uint64_t conn) {
        Connection *c = find(w, conn);

        return c ? c->ends[1 - conn % 2].sid : 0;
}

static uint64_t pair_id(uint32_t a, uint32_t b) {
        return MIN(a, b) * 16 + MAX(a, b);
}

static Connection **pair(World *w, uint32_t a, uint32_t b) {
        return &w->pairs[MIN(a, b)][MAX(a, b)];
}

static void frame_free(gpointer p) {
        Frame *f = p;

        g_bytes_unref(f->body);
        g_free(f);
}

static void dial_later(World *w, uint32_t a, uint32_t b) {
        bool *dialling = &w->dialling[MIN(a, b)][MAX(a, b)];

        if (*dialling)
                return;
        *dialling = true;
        agenda_add(&w->agenda, w->now_usec + prng_between(&w->prng, DIAL_USEC_MIN, DIAL_USEC_MAX), EVENT_DIAL, 0,
                   pair_id(a, b));
}

static void connection_free(World *w, Connection *c) {
        for (unsigned i = 0; i < 2; i++)
                g_queue_clear_full(&c->ends[i].frames, frame_free);
        w->connections->pdata[c->number - 1] = NULL;
        g_free(c);
}

void network_init(World *w) {
        w->connections = g_ptr_array_new();
        for (uint32_t a = 1; a <= w->params.hosts; a++)
                for (uint32_t b = a + 1; b <= w->params.hosts; b++)
                        dial_later(w, a, b);
}

void network_done(World *w) {
        for (guint i = 0; i < w->connections->len; i++)
                if (w->connections->pdata[i])
                        connection_free(w, w->connections->pdata[i]);
        g_ptr_array_unref(w->connections);
}

/*
 * Who may be connected: the end that knows the newer configuration decides; one that knows none takes everybody.
 */

static bool is_known(const ZabConfig *config, const ZabConfig *pending, uint32_t sid) {
        return zab_config_find(config, sid) || (pending && zab_config_find(pending, sid));
}

static bool is_permitted(const Host *a, const Host *b) {
        MemberStatus sa, sb;

        member_get_status(a->member, &sa);
        member_get_status(b->member, &sb);
        if (!sa.config && !sb.config)
                return true;
        if (!sb.config || (sa.config && sa.config->version >= sb.config->version))
                return is_known(sa.config, sa.pending_config, b->sid);
        return is_known(sb.config, sb.pending_config, a->sid);
}

void network_check_permissions(World *w, Host *h) {
        /* Not at once: the members of both ends are asked, and one of them is at work. */
        for (uint32_t sid = 1; sid <= w->params.hosts; sid++)
                if (sid != h->sid && *pair(w, h->sid, sid))
                        agenda_add(&w->agenda, w->now_usec + 1, EVENT_PERMIT, 0, pair_id(h->sid, sid));
}

/*
 * Breaking
 */

static void notice(World *w, Connection *c, unsigned side, uint64_t delay_usec) {
        if (c->ends[side].state == END_DOWN || c->ends[side].down_due)
                return;
        c->ends[side].down_due = true;
        agenda_add(&w->agenda, w->now_usec + delay_usec, EVENT_DOWN, 0, end_id(c, side));
}

static void forget(World *w, Connection *c) {
        Connection **p = pair(w, c->ends[0].sid, c->ends[1].sid);

        if (c->ends[0].state == END_DOWN && c->ends[1].state == END_DOWN) {
                if (*p == c) {
                        *p = NULL;
                        dial_later(w, c->ends[0].sid, c->ends[1].sid);
                }
                connection_free(w, c);
        } else if (*p == c && (c->ends[0].state == END_DOWN || c->ends[1].state == END_DOWN)) {
                /* One of them knows: it dials, perhaps before the other has noticed. */
                *p = NULL;
                dial_later(w, c->ends[0].sid, c->ends[1].sid);
        }
}

/* Some of what is on its way still arrives, if its end does not hear of the break before. */
static void lose_frames(World *w, End *e) {
        uint64_t kept = e->frames.length > 0 ? prng_below(&w->prng, e->frames.length + 1) : 0;

        while (e->frames.length > kept)
                frame_free(g_queue_pop_tail(&e->frames));
}

static void break_connection(World *w, Connection *c, uint64_t delay0, uint64_t delay1) {
        c->broken = true;
        for (unsigned i = 0; i < 2; i++)
                lose_frames(w, &c->ends[i]);
        notice(w, c, 0, delay0);
        notice(w, c, 1, delay1);
}

static uint64_t notice_delay(World *w) {
        return prng_chance(&w->prng, 700) ? prng_below(&w->prng, 3000) : prng_below(&w->prng, w->params.election_usec * 3);
}

void network_break_pair(World *w, uint32_t a, uint32_t b) {
        Connection *c = *pair(w, a, b);

        if (!c || c->broken)
                return;
        TRACE(w, "connection %" PRIu64 " (h%u h%u) breaks", c->number, a, b);
        w->statistics->breaks++;
        break_connection(w, c, notice_delay(w), notice_delay(w));
}

void network_close(Host *h, uint64_t conn) {
        World *w = h->world;
        Connection *c = find(w, conn);
        unsigned side = conn % 2;
        End *other;

        if (!c || c->ends[side].state == END_DOWN)
                return;
        c->broken = true;
        notice(w, c, side, 0);
        /* What was sent before arrives before the end does. */
        other = &c->ends[1 - side];
        notice(w, c, 1 - side,
               MAX(other->last_usec, w->now_usec) - w->now_usec + 1 + world_draw(w, &w->params.wire_usec));
}

void network_host_crashed(Host *h, bool power) {
        World *w = h->world;

        for (guint i = 0; i < w->connections->len; i++) {
                Connection *c = w->connections->pdata[i];
                unsigned side;

                if (!c || (c->ends[0].sid != h->sid && c->ends[1].sid != h->sid))
                        continue;
                side = c->ends[1].sid == h->sid;
                c->broken = true;
                c->ends[side].state = END_DOWN;
                lose_frames(w, &c->ends[1 - side]);
                notice(w, c, 1 - side, power ? prng_below(&w->prng, w->params.election_usec * 3) :
                                               world_draw(w, &w->params.wire_usec));
                forget(w, c);
        }
}

/*
 * Blocking
 */

void network_block(World *w, uint32_t from, uint32_t to) {
        Connection *c = *pair(w, from, to);

        if (w->blocked[from][to]++ > 0 || !c || c->broken)
                return;
        /* TCP gives up some time, if it has anything to send; so may they all. */
        if (prng_chance(&w->prng, 600))
                break_connection(w, c, prng_below(&w->prng, w->params.election_usec * 4),
                                 prng_below(&w->prng, w->params.election_usec * 4));
}

static void schedule(World *w, Connection *c, unsigned side) {
        End *to = &c->ends[side];
        const Frame *f = g_queue_peek_head(&to->frames);
        uint64_t at;

        if (!f || to->scheduled || to->state != END_UP || w->blocked[c->ends[1 - side].sid][to->sid] > 0)
                return;
        to->scheduled = true;
        at = f->bulk ? MIN(f->at_usec, w->now_usec + w->params.heartbeat_usec) : f->at_usec;
        agenda_add(&w->agenda, MAX(at, w->now_usec), EVENT_DELIVER, 0, end_id(c, side));
}

void network_unblock(World *w, uint32_t from, uint32_t to) {
        assert(w->blocked[from][to] > 0);

        if (--w->blocked[from][to] > 0)
                return;
        for (guint i = 0; i < w->connections->len; i++) {
                Connection *c = w->connections->pdata[i];

                if (c && c->ends[0].sid == MIN(from, to) && c->ends[1].sid == MAX(from, to))
                        schedule(w, c, to > from);
        }
}

/*
 * Living
 */

void network_on_permit(World *w, uint64_t pair_number) {
        uint32_t a = (uint32_t) (pair_number / 16), b = (uint32_t) (pair_number % 16);
        Connection *c = *pair(w, a, b);

        if (c && !c->broken && w->hosts[a].state == HOST_UP && w->hosts[b].state == HOST_UP &&
            !is_permitted(&w->hosts[a], &w->hosts[b]))
                network_break_pair(w, a, b);
}

static bool can_connect(World *w, const Host *a, const Host *b) {
        return a->state == HOST_UP && b->state == HOST_UP && !host_is_paused(a) && !host_is_paused(b) &&
               w->blocked[a->sid][b->sid] == 0 && w->blocked[b->sid][a->sid] == 0 && is_permitted(a, b);
}

void network_on_dial(World *w, uint64_t pair_number) {
        uint32_t sids[2] = { (uint32_t) (pair_number / 16), (uint32_t) (pair_number % 16) };
        Connection *c = w->pairs[sids[0]][sids[1]];

        w->dialling[sids[0]][sids[1]] = false;
        if (c)
                return;
        if (!can_connect(w, &w->hosts[sids[0]], &w->hosts[sids[1]])) {
                dial_later(w, sids[0], sids[1]);
                return;
        }
        c = g_new0(Connection, 1);
        g_ptr_array_add(w->connections, c);
        c->number = w->connections->len;
        w->pairs[sids[0]][sids[1]] = c;
        for (unsigned i = 0; i < 2; i++) {
                c->ends[i].sid = sids[i];
                c->ends[i].run = w->hosts[sids[i]].run;
                g_queue_init(&c->ends[i].frames);
                agenda_add(&w->agenda, w->now_usec + 2 * world_draw(w, &w->params.wire_usec), EVENT_UP, 0,
                           end_id(c, i));
        }
}

/* Older connections of the pair, which this end has not seen end. */
static void replace_older(World *w, const Connection *new, unsigned side) {
        for (guint i = 0; i + 1 < new->number; i++) {
                Connection *c = w->connections->pdata[i];

                if (!c || c->ends[0].sid != new->ends[0].sid || c->ends[1].sid != new->ends[1].sid ||
                    c->ends[side].state == END_DOWN)
                        continue;
                c->ends[side].state = END_DOWN;
                g_queue_clear_full(&c->ends[side].frames, frame_free);
                forget(w, c);
        }
}

void network_on_up(World *w, uint64_t end) {
        Connection *c = find(w, end);
        unsigned side = end % 2;
        Host *h, *peer;

        if (!c || c->ends[side].state != END_PENDING)
                return;
        h = &w->hosts[c->ends[side].sid];
        peer = &w->hosts[c->ends[1 - side].sid];
        if (host_is_paused(h)) {
                agenda_add(&w->agenda, h->resume_usec, EVENT_UP, 0, end);
                return;
        }
        if (c->broken)
                return;                 /* its EVENT_DOWN is on the way */
        c->ends[side].state = END_UP;
        replace_older(w, c, side);
        TRACE(w, "h%u is connected to h%u (%" PRIu64 ")", h->sid, peer->sid, end);
        member_on_peer_up(h->member, end, peer->sid, &peer->disk_id);
        host_after_input(h);
        schedule(w, c, side);
}

void network_on_down(World *w, uint64_t end) {
        Connection *c = find(w, end);
        unsigned side = end % 2;
        EndState before;
        Host *h;

        if (!c || c->ends[side].state == END_DOWN)
                return;
        h = &w->hosts[c->ends[side].sid];
        if (host_is_paused(h)) {
                agenda_add(&w->agenda, h->resume_usec, EVENT_DOWN, 0, end);
                return;
        }
        before = c->ends[side].state;
        c->broken = true;
        c->ends[side].state = END_DOWN;
        g_queue_clear_full(&c->ends[side].frames, frame_free);
        notice(w, c, 1 - side, world_draw(w, &w->params.wire_usec));
        if (before == END_UP) {
                TRACE(w, "h%u is disconnected from h%u (%" PRIu64 ")", h->sid, c->ends[1 - side].sid, end);
                member_on_peer_down(h->member, end, c->ends[1 - side].sid);
                host_after_input(h);
        }
        forget(w, c);
}

void network_send(Host *h, uint64_t conn, const PeerMessage *message) {
        World *w = h->world;
        Connection *c = find(w, conn);
        unsigned side = conn % 2;
        uint32_t size;
        End *to;
        Frame *f;

        if (!c || c->broken || c->ends[side].state != END_UP)
                return;
        to = &c->ends[1 - side];
        f = g_new(Frame, 1);
        frame_encode(&w->writer, message);
        if (!frame_decode_header(w->writer.data, &size, &f->type) || size + FRAME_HEADER_BYTES != w->writer.size) {
                world_fail(w, "wire", "h%u: frame_encode() made a frame that begins like none", h->sid);
                writer_clear(&w->writer);
                g_free(f);
                return;
        }
        f->body = g_bytes_new(w->writer.data + FRAME_HEADER_BYTES, size);
        writer_clear(&w->writer);
        /* One at a time: a wire may be slow, but not slower than what is sent on it all the time. */
        f->bulk = w->phase == 1 && size >= BULK_BYTES && to->last_usec <= w->now_usec + w->params.election_usec &&
                prng_chance(&w->prng, w->params.bulk_share);
        f->at_usec = to->last_usec = MAX(to->last_usec, w->now_usec + world_draw(w, &w->params.wire_usec)) +
                (f->bulk ? prng_below(&w->prng, BULK_ELECTIONS * w->params.election_usec) : 0);
        g_queue_push_tail(&to->frames, f);
        schedule(w, c, 1 - side);
}

static void trace_message(World *w, const Host *h, uint32_t from, const PeerMessage *m) {
        if (m->is_zab)
                TRACE(w, "h%u < h%u %s epoch %u session %" PRIu64 " index %" PRIu64 " commit %" PRIu64 "%s", h->sid, from,
                      zab_message_type_to_string(m->zab.type), m->zab.epoch, m->zab.session, m->zab.index, m->zab.commit,
                      m->zab.vote.granted ? " granted" : "");
        else
                TRACE(w, "h%u < h%u %s epoch %u session %" PRIu64 " number %" PRIu64 " %s", h->sid, from,
                      member_message_type_to_string(m->member.type), m->member.epoch, m->member.session,
                      m->member.number, m->member.type == MEMBER_MESSAGE_REFUSED ?
                      convene_status_to_string(m->member.status) : "");
}

/* A part of a frame. */
static void come_on(Host *h, Connection *c, unsigned side) {
        World *w = h->world;
        uint64_t end = end_id(c, side);

        TRACE(w, "h%u < h%u a part of a frame", h->sid, c->ends[1 - side].sid);
        w->statistics->alive++;
        member_on_alive(h->member, end, c->ends[1 - side].sid);
        host_after_input(h);
        if (find(w, end))
                schedule(w, find(w, end), side);
}

void network_on_deliver(World *w, uint64_t end) {
        Connection *c = find(w, end);
        unsigned side = end % 2;
        FrameMessage m;
        MemberStatus s;
        Frame *f;
        Host *h;

        if (!c)
                return;
        c->ends[side].scheduled = false;
        if (c->ends[side].state != END_UP || w->blocked[c->ends[1 - side].sid][c->ends[side].sid] > 0)
                return;
        h = &w->hosts[c->ends[side].sid];
        if (host_is_paused(h)) {
                c->ends[side].scheduled = true;
                agenda_add(&w->agenda, h->resume_usec, EVENT_DELIVER, 0, end);
                return;
        }
        f = g_queue_pop_head(&c->ends[side].frames);
        if (!f)
                return;
        if (f->bulk && w->now_usec < f->at_usec) {
                g_queue_push_head(&c->ends[side].frames, f);
                come_on(h, c, side);
                return;
        }
        if (!frame_decode(f->type, f->body, &m)) {
                world_fail(w, "wire", "h%u cannot decode a frame of type %u", h->sid, f->type);
                frame_free(f);
                return;
        }
        member_get_status(h->member, &s);
        w->statistics->messages++;
        w->statistics->received[s.role][f->type]++;
        world_hash(w, (uint64_t) f->type << 56 ^ end ^ XXH3_64bits(g_bytes_get_data(f->body, NULL), g_bytes_get_size(f->body)));
        trace_message(w, h, c->ends[1 - side].sid, &m.message);
        judge_on_received(h, c->ends[1 - side].sid, &m.message);
        member_on_message(h->member, end, c->ends[1 - side].sid, &m.message);
        frame_message_done(&m);
        frame_free(f);
        host_after_input(h);
        /* The member may have crashed nothing, but closed this very connection. */
        if (find(w, end))
                schedule(w, find(w, end), side);
}
