/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Snapshot
 *
 * What: SNAP, for a follower whose log has no common point with the leader's: the leader's newest checkpoint in chunks, pulled
 *     by one side as the other takes them in.
 * Rules it keeps: a checkpoint holds nothing uncommitted (2.0.3); it is built beside the present state and becomes it in
 *     one durable step that drops the old log, too; positions move only after that (2.8, P8).
 * Source: protocol 2.8.
 */

#include "agent/zab/zab-internal.h"

#include <assert.h>

/* The receiving side. */

void snap_leave(Zab *z) {
        if (z->snap != SNAP_RECEIVING && z->snap != SNAP_COMPLETE)
                return;

        z->snap = SNAP_NONE;
        g_clear_pointer(&z->snap_config, zab_config_unref);
        z->effects.snap_abort(z->effects.userdata);
}

static void on_begin(Zab *z, Peer *p, const ZabMessage *m) {
        g_autoptr(ZabConfig) c = NULL;

        if (z->role != ZAB_ROLE_FOLLOWER_SYNC || z->follow.newleader || z->snap != SNAP_NONE || m->position.index == 0 ||
            !m->config || !(c = zab_checkpoint_config_decode(m->config))) {
                peer_close(z, p, "a snapshot out of place");
                return;
        }

        /* I13.  Only one whose own state is known to be wrong may go back. */
        if (m->position.index < z->applied.index && !z->snap_only) {
                stop(z, "the leader's snapshot is older than what is applied here");
                return;
        }

        z->snap = SNAP_RECEIVING;
        z->snap_position = m->position;
        z->snap_config = g_steal_pointer(&c);
        z->snap_chunks = z->snap_reported = 0;
        z->effects.snap_begin(z->effects.userdata, &m->position, m->config);
}

/* The leader sends a few chunks more than it has heard of.  Where the disk is slower than the network they would pile up here. */
static void report(Zab *z) {
        if (z->effects.snap_is_behind && z->effects.snap_is_behind(z->effects.userdata))
                return;

        z->snap_reported = z->snap_chunks;
        follow_send(z, &(ZabMessage) { .type = ZAB_MESSAGE_PROGRESS, .flag = true, .index = z->snap_reported });
}

void snap_on_ping(Zab *z) {
        if (z->snap == SNAP_RECEIVING && z->snap_reported < z->snap_chunks)
                report(z);
}

void snap_on_message(Zab *z, Peer *p, const ZabMessage *m) {
        if (m->type == ZAB_MESSAGE_SNAP_BEGIN) {
                on_begin(z, p, m);
                return;
        }

        if (z->snap != SNAP_RECEIVING || m->index != z->snap_chunks) {
                peer_close(z, p, "a snapshot out of order");
                return;
        }

        if (m->type == ZAB_MESSAGE_SNAP_CHUNK) {
                if (!m->bytes || !z->effects.snap_chunk(z->effects.userdata, m->bytes)) {
                        peer_close(z, p, "a malformed snapshot");
                        return;
                }
                z->snap_chunks++;
                report(z);
        } else if (z->effects.snap_end(z->effects.userdata, m->digest))
                z->snap = SNAP_COMPLETE;
        else
                peer_close(z, p, "a snapshot that is not what its digest says");
}

/* The installation is a META write, so it waits for its turn, and the promises in it are the newest. */
void snap_advance(Zab *z) {
        if (z->snap != SNAP_COMPLETE || !meta_is_idle(z))
                return;

        z->snap = SNAP_INSTALLING;
        marks_clear(&z->appends);
        z->barrier = BARRIER_INSTALL;
        z->barrier_io_seq = meta_install_begin(z);
        z->barrier_index = z->snap_position.index;
        z->effects.snap_install(z->effects.userdata, z->barrier_io_seq, &z->meta_writing);
}

/* Whatever has become of the session: the disk has the snapshot and nothing else. */
void snap_on_installed(Zab *z) {
        assert(z->snap == SNAP_INSTALLING);

        z->snap = SNAP_NONE;
        z->snap_only = false;
        log_reset(z, &z->snap_position, z->snap_config);
        g_clear_pointer(&z->snap_config, zab_config_unref);
        z->effects.snap_switch(z->effects.userdata);
        if (z->role == ZAB_ROLE_FOLLOWER_SYNC) {
                z->follow.matched = z->snap_position.index;
                z->follow.progress_sent = 0;            /* the leader waits for this one */
        }
}

/* The sending side. */

void snap_open(Zab *z, Peer *p) {
        Stream *s = &p->stream;

        stream_release(z, p);
        s->state = STREAM_SNAP_OPENING;
        s->request = ++z->requests;
        s->reading = true;
        s->chunks_sent = s->chunks_taken = 0;
        z->effects.open_snapshot(z->effects.userdata, s->request);
}

/* Chunks are read one after the other, a few ahead of what the follower has taken in. */
static void read_on(Zab *z, Peer *p) {
        Stream *s = &p->stream;

        if (s->state != STREAM_SNAP || s->reading || s->chunks_sent - s->chunks_taken >= CHUNKS_IN_FLIGHT)
                return;

        s->reading = true;
        z->effects.read_snapshot(z->effects.userdata, s->request);
}

void snap_on_opened(Zab *z, Peer *p, const ZabInput *in) {
        Stream *s = &p->stream;
        ZabMessage m = { .type = ZAB_MESSAGE_SNAP_BEGIN, .position = in->position, .config = in->config };

        if (s->state != STREAM_SNAP_OPENING)
                return;

        s->reading = false;
        if (in->position.index == 0 || !in->config) {
                peer_close(z, p, "there is no checkpoint to send yet");
                return;
        }

        /* 2.8: never a state with uncommitted entries; and what follows it must be here, or on the way. */
        if (in->position.index > z->applied.index || !epochs_has(&z->epochs, in->position.index) ||
            epochs_zxid_at(&z->epochs, in->position.index) != in->position.zxid || in->position.index + 1 < s->cursor) {
                peer_close(z, p, "the newest checkpoint does not reach where the log goes on");
                return;
        }

        if (in->position.index > s->mark.index)
                s->mark = z->last;      /* made since: NEWLEADER cannot stand behind less than what is sent */
        s->state = STREAM_SNAP;
        s->snapshot = in->position;
        s->moved_usec = z->now_usec;
        stream_send(z, p, &m);
        read_on(z, p);
}

void snap_on_chunk(Zab *z, Peer *p, const ZabInput *in) {
        Stream *s = &p->stream;
        ZabMessage m = { .type = ZAB_MESSAGE_SNAP_CHUNK, .index = s->chunks_sent, .bytes = in->payload };

        if (s->state != STREAM_SNAP || !s->reading)
                return;

        s->reading = false;
        s->moved_usec = z->now_usec;
        if (in->payload) {
                s->chunks_sent++;
                stream_send(z, p, &m);
                read_on(z, p);
                return;
        }

        m.type = ZAB_MESSAGE_SNAP_END;
        m.digest = in->digest;
        stream_send(z, p, &m);
        s->state = STREAM_SNAP_INSTALLING;
        s->held = s->request;
        s->request = 0;
}

/* PROGRESS with `flag` counts chunks; without it, it says that the snapshot is installed. */
void snap_on_progress(Zab *z, Peer *p, const ZabMessage *m) {
        Stream *s = &p->stream;

        if (m->flag) {
                if (m->index > s->chunks_sent) {
                        peer_close(z, p, "more chunks taken than were sent");
                        return;
                }
                s->chunks_taken = MAX(s->chunks_taken, m->index);
                s->moved_usec = z->now_usec;
                read_on(z, p);
        } else if (s->state == STREAM_SNAP_INSTALLING && m->index == s->snapshot.index)
                stream_begin_entries(z, p, s->snapshot.index + 1);
}
