/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Stream
 *
 * What: what a leader sends to one follower, as one cursor: the common point is fixed once, with the mark; from there on
 *     entries follow in order, old ones from memory or the log, new ones as they are proposed, and NEWLEADER where the cursor
 *     passes the mark.  And what a follower sends to an observer that it is the parent of: entries, as they are committed.
 * Rules it keeps: the mark and the stream are fixed in the same step, so nothing proposed later is missed or comes before
 *     its place (P4, P5); what is sent and not yet durable there is bounded, so a slow follower costs others nothing.
 * Not here: who is fed by whom: feed.
 * Source: protocol 2.6, 2.8.
 */

#include "agent/zab/zab-internal.h"

#include <assert.h>

/* 2.11: a follower that installs a snapshot takes its time, and then needs the log from there on. */
void stream_release(Zab *z, Peer *p) {
        if (p->stream.held != 0)
                z->effects.close_snapshot(z->effects.userdata, p->stream.held);
        p->stream.held = 0;
}

/* The session is over; nothing is read for it any more. */
void stream_done(Zab *z, Peer *p) {
        Stream *s = &p->stream;
        Marks flight = s->flight;

        if (s->request != 0 && s->state != STREAM_ENTRIES)
                z->effects.close_snapshot(z->effects.userdata, s->request);
        stream_release(z, p);
        marks_clear(&flight);
        *s = (Stream) { .flight = flight };
}

void stream_send(Zab *z, Peer *p, ZabMessage *m) {
        m->epoch = z->epoch;
        m->session = p->stream.session;
        peer_send(z, p, m);
}

Peer *stream_by_request(const Zab *z, uint64_t request) {
        Peer *p;

        for (unsigned at = 0; request != 0 && (p = peer_next(z, &at));)
                if (p->stream.request == request && p->stream.reading)
                        return p;

        return NULL;
}

/* 2.6: opens the session.  It may be said again until it is answered; the session stays the same. */
void stream_hello(Zab *z, Peer *p) {
        g_autoptr(GBytes) config = config_to_bytes(z->config), pending = config_to_bytes(zab_pending_config(z));
        ZabMessage m = {
                .type = ZAB_MESSAGE_LEADER_HELLO,
                .hello = { .established = z->role == ZAB_ROLE_LEADER, .config = config, .pending_config = pending },
        };

        if (p->stream.state == STREAM_NONE) {
                p->stream.state = STREAM_HELLO;
                p->stream.session = ++z->sessions;
        }
        stream_send(z, p, &m);
}

void stream_begin_entries(Zab *z, Peer *p, uint64_t cursor) {
        Stream *s = &p->stream;

        s->state = STREAM_ENTRIES;
        s->cursor = cursor;
        s->progress = cursor - 1;
        s->moved_usec = z->now_usec;
        marks_clear(&s->flight);
        s->in_flight = 0;
        s->request = 0;
        s->reading = false;
        stream_pump(z, p);
}

static void send_trunc(Zab *z, Peer *p, uint64_t index) {
        ZabMessage m = { .type = ZAB_MESSAGE_TRUNC };

        (void) log_position(z, index, &m.position);     /* without a chain, if the entry is no longer in memory */
        stream_send(z, p, &m);
}

void stream_on_sync_request(Zab *z, Peer *p, const ZabMessage *m) {
        Stream *s = &p->stream;
        uint64_t k;

        if (s->state != STREAM_HELLO || m->sync.ends_count > ZAB_MESSAGE_EPOCHS_MAX || m->sync.base_index > m->sync.last.index) {
                peer_close(z, p, "a request to synchronise out of place");
                return;
        }

        lead_witness(z, p, m->sync.last.index);
        s->mark = z->last;
        if (m->sync.snap_only || !epochs_common(&z->epochs, &m->sync, &k)) {
                snap_open(z, p);
                return;
        }

        if (m->sync.last.index > k)
                send_trunc(z, p, k);
        stream_begin_entries(z, p, k + 1);
}

static void send_newleader(Zab *z, Peer *p) {
        g_autoptr(GBytes) config = config_to_bytes(z->config);
        ZabMessage m = {
                .type = ZAB_MESSAGE_NEWLEADER,
                .position = p->stream.mark,
                .config = config,       /* a DIFF from genesis teaches it nothing about what is committed (2.15 e) */
        };

        p->stream.newleader_sent = true;
        stream_send(z, p, &m);
        stream_release(z, p);
}

static void send_entries(Zab *z, Peer *p, const ZabEntry *entries, unsigned count) {
        Stream *s = &p->stream;
        ZabMessage m = {
                .type = s->feeds ? ZAB_MESSAGE_FEED : ZAB_MESSAGE_ENTRIES,
                .entries = entries,
                .entries_count = count,
                .commit = s->feeds && ZAB_BREAK(FEED_UNCOMMITTED) ? z->last.index : z->commit,
        };
        uint64_t bytes = 0;

        assert(entries[0].index == s->cursor);

        for (unsigned i = 0; i < count; i++)
                bytes += tail_entry_bytes(&entries[i]);

        s->cursor += count;
        s->commit_sent = z->commit;
        if (s->cursor - 1 > s->progress) {      /* else it has them from elsewhere (feed.c), and will not acknowledge them again */
                s->in_flight += bytes;
                marks_push(&s->flight, s->cursor - 1, bytes);
        }
        stream_send(z, p, &m);
}

/* How far a batch may go: NEWLEADER comes right behind the mark.  Children get what is committed (2.13). */
static uint64_t batch_end(const Zab *z, const Stream *s) {
        if (s->feeds && !ZAB_BREAK(FEED_UNCOMMITTED))
                return z->commit;

        return s->feeds || s->newleader_sent ? z->last.index : s->mark.index;
}

static bool send_from_tail(Zab *z, Peer *p) {
        uint64_t at = p->stream.cursor, end = batch_end(z, &p->stream), bytes = 0;
        const ZabEntry *e;

        g_array_set_size(z->scratch, 0);
        for (; at <= end && z->scratch->len < ZAB_MESSAGE_ENTRIES_MAX && (e = tail_get(&z->tail, at)); at++) {
                bytes += tail_entry_bytes(e);
                if (bytes > BATCH_BYTES && z->scratch->len > 0)
                        break;
                g_array_append_vals(z->scratch, e, 1);
        }

        if (z->scratch->len == 0)
                return false;

        send_entries(z, p, (const ZabEntry *) z->scratch->data, z->scratch->len);
        return true;
}

static void read_from_log(Zab *z, Peer *p) {
        Stream *s = &p->stream;
        uint64_t to = MIN(batch_end(z, s), z->tail.first - 1);

        s->request = ++z->requests;
        s->reading = true;
        z->effects.read_log(z->effects.userdata, s->request, s->cursor, to, BATCH_BYTES);
}

void stream_pump(Zab *z, Peer *p) {
        Stream *s = &p->stream;

        while (s->state == STREAM_ENTRIES && !s->reading && s->parent == 0) {
                if (!s->newleader_sent && !s->feeds && s->cursor > s->mark.index)
                        send_newleader(z, p);
                if (s->cursor > batch_end(z, s) || s->in_flight >= z->options.window_bytes)
                        return;
                if (!send_from_tail(z, p))
                        read_from_log(z, p);
        }
}

/* What was read is not taken on trust: it has to be what this log says stands there (P13). */
static unsigned usable(const Zab *z, const Stream *s, const ZabInput *in) {
        unsigned n = 0;

        while (n < in->entries_count && in->entries[n].index == s->cursor + n && in->entries[n].index <= batch_end(z, s) &&
               in->entries[n].payload && in->entries[n].zxid == epochs_zxid_at(&z->epochs, s->cursor + n))
                n++;

        return n;
}

void stream_on_log_read(Zab *z, Peer *p, const ZabInput *in) {
        Stream *s = &p->stream;
        unsigned count = epochs_has(&z->epochs, s->cursor) ? usable(z, s, in) : 0;

        if (s->state != STREAM_ENTRIES)
                return;

        s->reading = false;
        s->request = 0;
        if (s->parent != 0)
                return;                 /* it came too late */
        if (count == 0) {
                if (s->feeds)
                        feed_end(z, p, "the log here no longer holds what comes next");
                else if (s->newleader_sent)
                        peer_close(z, p, "the log no longer holds what this follower needs");
                else
                        snap_open(z, p);
                return;
        }

        s->moved_usec = z->now_usec;
        for (unsigned at = 0; at < count;) {
                uint64_t bytes = 0;
                unsigned n = 0;

                for (; at + n < count && n < ZAB_MESSAGE_ENTRIES_MAX && (n == 0 || bytes < BATCH_BYTES); n++)
                        bytes += tail_entry_bytes(&in->entries[at + n]);
                send_entries(z, p, &in->entries[at], n);
                at += n;
        }
        stream_pump(z, p);
}

void stream_on_progress(Zab *z, Peer *p, uint64_t index) {
        Stream *s = &p->stream;
        const Mark *m;

        if (index <= s->progress)
                return;

        s->progress = index;
        s->moved_usec = z->now_usec;
        while ((m = marks_first(&s->flight)) && m->at <= index) {
                s->in_flight -= m->value;
                marks_pop(&s->flight);
        }
        stream_pump(z, p);
}
