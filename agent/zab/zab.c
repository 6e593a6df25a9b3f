/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Zab
 *
 * What: birth and death, one input after the other to those it concerns, and then everybody a look at the new state.
 * Rules it keeps: messages of a connection that is not the present one of its peer are ignored (2.6); once stopped,
 *     nothing leaves (2.5).
 * Not here: the protocol: elect, follow, lead, stream, feed, snapshot, reads, reconfigure, transfer.
 * Source: protocol 2.4 to 2.6.
 */

#include "agent/zab/zab-internal.h"

#include <assert.h>
#include <errno.h>

#include "agent/base/reader.h"

#ifdef CONVENE_BREAK
unsigned zab_break;
#endif

#define ELECTION_TIMEOUT_USEC UINT64_C(800000)
#define TAIL_BYTES (UINT64_C(16) * 1024 * 1024)
#define WINDOW_BYTES (UINT64_C(8) * 1024 * 1024)

static const char *const role_names[_ZAB_ROLE_MAX] = {
        [ZAB_ROLE_STOPPED] = "stopped",
        [ZAB_ROLE_LOOKING] = "looking",
        [ZAB_ROLE_PRECANDIDATE] = "looking",
        [ZAB_ROLE_CANDIDATE] = "looking",
        [ZAB_ROLE_LEADER_SYNC] = "looking",
        [ZAB_ROLE_LEADER] = "leader",
        [ZAB_ROLE_FOLLOWER_HELLO] = "looking",
        [ZAB_ROLE_FOLLOWER_SYNC] = "looking",
        [ZAB_ROLE_FOLLOWER] = "follower",
};

const char *zab_role_to_string(ZabRole role) {
        assert(role >= 0 && role < _ZAB_ROLE_MAX);
        return role_names[role];
}

static const char *const message_names[_ZAB_MESSAGE_MAX] = {
        [ZAB_MESSAGE_PREVOTE_REQUEST] = "prevote-request",
        [ZAB_MESSAGE_PREVOTE_RESPONSE] = "prevote-response",
        [ZAB_MESSAGE_VOTE_REQUEST] = "vote-request",
        [ZAB_MESSAGE_VOTE_RESPONSE] = "vote-response",
        [ZAB_MESSAGE_LEADER_HELLO] = "leader-hello",
        [ZAB_MESSAGE_REJECT] = "reject",
        [ZAB_MESSAGE_SYNC_REQUEST] = "sync-request",
        [ZAB_MESSAGE_TRUNC] = "trunc",
        [ZAB_MESSAGE_SNAP_BEGIN] = "snap-begin",
        [ZAB_MESSAGE_SNAP_CHUNK] = "snap-chunk",
        [ZAB_MESSAGE_SNAP_END] = "snap-end",
        [ZAB_MESSAGE_ENTRIES] = "entries",
        [ZAB_MESSAGE_NEWLEADER] = "newleader",
        [ZAB_MESSAGE_ACK_NEWLEADER] = "ack-newleader",
        [ZAB_MESSAGE_UPTODATE] = "uptodate",
        [ZAB_MESSAGE_PROGRESS] = "progress",
        [ZAB_MESSAGE_ACK] = "ack",
        [ZAB_MESSAGE_COMMIT] = "commit",
        [ZAB_MESSAGE_PING] = "ping",
        [ZAB_MESSAGE_PONG] = "pong",
        [ZAB_MESSAGE_READ_REQUEST] = "read-request",
        [ZAB_MESSAGE_READ_OK] = "read-ok",
        [ZAB_MESSAGE_TIMEOUT_NOW] = "timeout-now",
        [ZAB_MESSAGE_LEAVE] = "leave",
        [ZAB_MESSAGE_FEED_REQUEST] = "feed-request",
        [ZAB_MESSAGE_FEED] = "feed",
        [ZAB_MESSAGE_FEED_ACK] = "feed-ack",
        [ZAB_MESSAGE_FEED_END] = "feed-end",
        [ZAB_MESSAGE_FED] = "fed",
};

const char *zab_message_type_to_string(ZabMessageType type) {
        return type > 0 && type < _ZAB_MESSAGE_MAX ? message_names[type] : "unknown";
}

Zab *zab_new(const ZabOptions *options, const ZabEffects *effects) {
        Zab *z = g_new0(Zab, 1);

        assert(options->sid >= 1 && options->sid <= ZAB_CONFIG_MEMBERS_MAX);

        z->options = *options;
        z->options.name = g_strdup(options->name);
        z->options.genesis = options->genesis ? g_bytes_ref(options->genesis) : NULL;
        z->options.election_timeout_usec = options->election_timeout_usec ?: ELECTION_TIMEOUT_USEC;
        z->options.heartbeat_usec = options->heartbeat_usec ?: MAX(z->options.election_timeout_usec / 10, 1);
        z->options.tail_bytes = options->tail_bytes ?: TAIL_BYTES;
        z->options.window_bytes = options->window_bytes ?: WINDOW_BYTES;
        z->effects = *effects;
        z->prng.state = options->prng_seed;
        epochs_init(&z->epochs);
        tail_reset(&z->tail, 1);
        z->pending_configs = g_array_new(FALSE, FALSE, sizeof(PendingConfig));
        z->retired = g_array_new(FALSE, FALSE, sizeof(Id128));
        z->follow.reads = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        z->reads = g_array_new(FALSE, FALSE, sizeof(Read));
        z->scratch = g_array_new(FALSE, FALSE, sizeof(ZabEntry));
        return z;
}

Zab *zab_free(Zab *z) {
        if (!z)
                return NULL;

        for (unsigned sid = 1; sid <= ZAB_CONFIG_MEMBERS_MAX; sid++)
                if (z->peers[sid]) {
                        marks_done(&z->peers[sid]->stream.flight);
                        g_free(z->peers[sid]);
                }
        for (guint i = 0; i < z->pending_configs->len; i++)
                zab_config_unref(g_array_index(z->pending_configs, PendingConfig, i).config);
        g_array_unref(z->pending_configs);
        g_array_unref(z->retired);
        zab_config_unref(z->config);
        zab_config_unref(z->applied_config);
        zab_config_unref(z->snap_config);
        g_array_unref(z->follow.reads);
        g_array_unref(z->reads);
        g_array_unref(z->scratch);
        tail_done(&z->tail);
        epochs_done(&z->epochs);
        marks_done(&z->appends);
        g_clear_pointer(&z->options.genesis, g_bytes_unref);
        g_free((char *) z->options.name);
        g_free(z);
        return NULL;
}

void set_role(Zab *z, ZabRole role, const char *reason) {
        if (z->role == role)
                return;

        z->role = role;
        z->effects.role_changed(z->effects.userdata, role, z->epoch, reason);
}

void stop(Zab *z, const char *reason) {
        Peer *p;

        if (zab_leads(z))
                lead_step_down(z, 0, reason);
        else if (zab_follows(z))
                follow_leave(z, true, reason);

        for (unsigned at = 0; (p = peer_next(z, &at));)
                peer_close(z, p, reason);
        z->vote.epoch = 0;
        set_role(z, ZAB_ROLE_STOPPED, reason);
}

void peer_send(Zab *z, Peer *p, const ZabMessage *m) {
        if (p->conn != 0)
                z->effects.send(z->effects.userdata, p->conn, m);
}

/* Nothing that still arrives on it belongs to anybody. */
static uint64_t peer_forget(Zab *z, Peer *p) {
        uint64_t conn = p->conn;

        if (conn != 0) {
                stream_done(z, p);
                p->conn = 0;
                z->peers_count--;
                feed_on_gone(z, conn);
        }

        return conn;
}

void peer_close(Zab *z, Peer *p, const char *reason) {
        uint64_t conn = peer_forget(z, p);

        if (conn == 0)
                return;

        z->effects.close(z->effects.userdata, conn, reason);
        if (zab_follows(z) && z->follow.conn == conn) {
                follow_leave(z, false, reason);
                set_role(z, ZAB_ROLE_LOOKING, reason);
                elect_restart_timer(z);
        }
}

Peer *peer_next(const Zab *z, unsigned *at) {
        while (*at < z->peers_top) {
                Peer *p = z->peers[++*at];

                if (p && p->conn != 0)
                        return p;
        }

        return NULL;
}

Peer *peer_by_conn(const Zab *z, uint64_t conn) {
        Peer *p;

        for (unsigned at = 0; conn != 0 && (p = peer_next(z, &at));)
                if (p->conn == conn)
                        return p;

        return NULL;
}

static void on_peer_gone(Zab *z, Peer *p) {
        uint64_t conn = peer_forget(z, p);

        if (!zab_follows(z) || z->follow.conn != conn)
                return;

        /* A leader that cannot be reached is no leader: waiting for a timeout would only cost time. */
        follow_leave(z, false, "the connection to the leader is gone");
        set_role(z, ZAB_ROLE_LOOKING, "the connection to the leader is gone");
        elect_soon(z);
}

static void on_peer_up(Zab *z, const ZabInput *in) {
        Peer *p;

        assert(in->sid >= 1 && in->sid <= ZAB_CONFIG_MEMBERS_MAX && in->sid != z->options.sid && in->conn != 0);

        p = z->peers[in->sid];
        if (!p) {
                p = z->peers[in->sid] = g_new0(Peer, 1);
                p->sid = in->sid;
                z->peers_top = MAX(z->peers_top, in->sid);
        }

        if (p->conn != 0)
                on_peer_gone(z, p);
        if (!id128_equal(&p->disk_id, &in->disk_id)) {
                p->granted = false;                     /* 2.0.5: another voter */
                p->witnessed = 0;
        }
        p->disk_id = in->disk_id;
        p->conn = in->conn;
        z->peers_count++;
        if (zab_leads(z))
                lead_on_peer_up(z, p);
        else
                elect_on_peer_up(z, p);
}

static void on_message(Zab *z, Peer *p, const ZabMessage *m) {
        switch (m->type) {
        case ZAB_MESSAGE_PREVOTE_REQUEST:
        case ZAB_MESSAGE_PREVOTE_RESPONSE:
        case ZAB_MESSAGE_VOTE_REQUEST:
        case ZAB_MESSAGE_VOTE_RESPONSE:
                elect_on_message(z, p, m);
                break;
        case ZAB_MESSAGE_LEADER_HELLO:
                follow_on_hello(z, p, m);
                break;
        case ZAB_MESSAGE_REJECT:
        case ZAB_MESSAGE_SYNC_REQUEST:
        case ZAB_MESSAGE_ACK_NEWLEADER:
        case ZAB_MESSAGE_PROGRESS:
        case ZAB_MESSAGE_ACK:
        case ZAB_MESSAGE_PONG:
        case ZAB_MESSAGE_READ_REQUEST:
        case ZAB_MESSAGE_FED:
                lead_on_message(z, p, m);
                break;
        case ZAB_MESSAGE_FEED_REQUEST:
        case ZAB_MESSAGE_FEED:
        case ZAB_MESSAGE_FEED_ACK:
        case ZAB_MESSAGE_FEED_END:
                feed_on_message(z, p, m);
                break;
        case ZAB_MESSAGE_TRUNC:
        case ZAB_MESSAGE_SNAP_BEGIN:
        case ZAB_MESSAGE_SNAP_CHUNK:
        case ZAB_MESSAGE_SNAP_END:
        case ZAB_MESSAGE_ENTRIES:
        case ZAB_MESSAGE_NEWLEADER:
        case ZAB_MESSAGE_UPTODATE:
        case ZAB_MESSAGE_COMMIT:
        case ZAB_MESSAGE_PING:
        case ZAB_MESSAGE_READ_OK:
        case ZAB_MESSAGE_TIMEOUT_NOW:
                follow_on_message(z, p, m);
                break;
        case ZAB_MESSAGE_LEAVE:
                on_peer_gone(z, p);     /* its connection will be down in a moment */
                break;
        default:
                peer_close(z, p, "a message of an unknown type");
                break;
        }
}

static void on_alive(Zab *z, Peer *p) {
        feed_on_alive(z, p);
        if (zab_follows(z) && z->follow.conn == p->conn)
                follow_on_alive(z);
        else if (zab_leads(z) && p->stream.state != STREAM_NONE)
                p->heard_usec = z->now_usec;
}

static void on_tick(Zab *z) {
        if (zab_leads(z))
                lead_on_tick(z);
        else
                elect_on_tick(z);
}

static void on_durable(Zab *z, uint64_t io_seq) {
        if (log_on_durable(z, io_seq)) {
                meta_on_durable(z, z->barrier_io_seq);  /* the switch is a META write, too (2.8) */
                snap_on_installed(z);
        }
}

static void on_answer(Zab *z, const ZabInput *in) {
        Peer *p = stream_by_request(z, in->read_id);

        if (!p)
                return;                 /* its session is over */

        if (in->type == ZAB_INPUT_LOG_READ)
                stream_on_log_read(z, p, in);
        else if (in->type == ZAB_INPUT_SNAPSHOT_OPENED)
                snap_on_opened(z, p, in);
        else
                snap_on_chunk(z, p, in);
}

static int dispatch(Zab *z, const ZabInput *in, Zxid *ret_zxid) {
        Peer *p;

        switch (in->type) {
        case ZAB_INPUT_TICK:
                on_tick(z);
                break;
        case ZAB_INPUT_LOG_DURABLE:
                on_durable(z, in->io_seq);
                break;
        case ZAB_INPUT_META_DURABLE:
                meta_on_durable(z, in->io_seq);
                break;
        case ZAB_INPUT_PROPOSE:
                return lead_propose(z, in->entry_type, in->time_msec, in->payload, ret_zxid);
        case ZAB_INPUT_READ_INDEX:
                return zab_follows(z) ? follow_read(z, in->read_id) : reads_add(z, NULL, in->read_id);
        case ZAB_INPUT_CHECKPOINTED:
                log_on_checkpointed(z, in->index);
                break;
        case ZAB_INPUT_LOG_DROPPED:
                log_on_dropped(z, in->index);
                break;
        case ZAB_INPUT_PEER_UP:
                on_peer_up(z, in);
                break;
        case ZAB_INPUT_PEER_DOWN:
                if ((p = peer_by_conn(z, in->conn)))
                        on_peer_gone(z, p);
                break;
        case ZAB_INPUT_MESSAGE:
                if ((p = peer_by_conn(z, in->conn)))
                        on_message(z, p, in->message);
                break;
        case ZAB_INPUT_ALIVE:
                if ((p = peer_by_conn(z, in->conn)))
                        on_alive(z, p);
                break;
        case ZAB_INPUT_LOG_READ:
        case ZAB_INPUT_SNAPSHOT_OPENED:
        case ZAB_INPUT_SNAPSHOT_CHUNK:
                on_answer(z, in);
                break;
        case ZAB_INPUT_RECONFIGURE:
                return reconfigure(z, in, ret_zxid);
        case ZAB_INPUT_TRANSFER:
                return transfer_request(z, in->sid);
        case ZAB_INPUT_DIVERGED:
                follow_on_diverged(z);
                break;
        }

        return 0;
}

/* In the order in which one makes the next possible. */
static void advance(Zab *z) {
        if (z->role == ZAB_ROLE_STOPPED)
                return;

        meta_sync(z);
        elect_advance(z);
        snap_advance(z);
        follow_advance(z);
        lead_advance(z);
        feed_advance(z);
        log_apply(z);
        if (z->role == ZAB_ROLE_LEADER)
                reads_confirm(z);
        follow_confirm(z);
        transfer_advance(z);
        meta_sync(z);                   /* what the others found out is to be written, too */

        zab_invariant(z->applied.index <= z->durable && z->durable <= z->last.index);
        zab_invariant(z->applied.index <= z->commit && z->commit <= z->last.index);             /* I9 */
        zab_invariant(epochs_base(&z->epochs) <= z->applied.index && z->epochs.last == z->last.index);
        zab_invariant(z->meta_durable.current_epoch <= z->meta_durable.accepted_epoch);
}

int zab_step(Zab *z, const ZabInput *input, Zxid *ret_zxid) {
        Zxid zxid = 0;
        int r;

        z->now_usec = MAX(z->now_usec, input->now_usec);
        if (z->role == ZAB_ROLE_STOPPED)
                return input->type == ZAB_INPUT_PROPOSE || input->type == ZAB_INPUT_READ_INDEX ||
                        input->type == ZAB_INPUT_RECONFIGURE || input->type == ZAB_INPUT_TRANSFER ? -EAGAIN : 0;

        r = dispatch(z, input, &zxid);
        if (r >= 0 && ret_zxid)
                *ret_zxid = zxid;
        advance(z);
        return r;
}

/* 2.0.6: the genesis configuration is entry 1, with epoch 0 and counter 1, and the same at each founder. */
static void found_ensemble(Zab *z) {
        ZabConfigMember self = {
                .sid = z->options.sid,
                .disk_id = z->options.disk_id,
                .role = ZAB_MEMBER_VOTER,
                .name = z->options.name ?: "",
                .address = "",
        };
        g_autoptr(GBytes) config = z->options.genesis ? g_bytes_ref(z->options.genesis) : zab_config_encode(&self, 1);

        log_propose(z, ZAB_ENTRY_CONFIG, 0, config, zxid_make(0, 1));
}

void zab_start(Zab *z, const ZabMeta *meta, uint64_t now_usec) {
        assert(z->role == ZAB_ROLE_STOPPED);
        assert(meta->current_epoch <= meta->accepted_epoch);

        z->meta = z->meta_durable = *meta;
        z->now_usec = now_usec;
        z->epoch = meta->current_epoch;

        log_commit(z, MIN(meta->commit_floor, z->last.index));

        /* 2.12: what a damaged member's checkpoint holds is not to be trusted either. */
        z->snap_only = meta->membership == ZAB_MEMBERSHIP_DAMAGED && z->applied.index > 0;
        elect_restart_timer(z);
        set_role(z, ZAB_ROLE_LOOKING, "started");
        z->effects.config_changed(z->effects.userdata);         /* what commit_floor says of it was not told yet */
        if (meta->membership == ZAB_MEMBERSHIP_MEMBER && z->last.index == 0 && !z->config)
                found_ensemble(z);

        /* Waiting for others only makes sense where there are others. */
        if (quorum_alone(z))
                elect_campaign(z, 0, "the only voter");
        advance(z);
}

uint64_t zab_timeout_usec(const Zab *z) {
        if (z->role == ZAB_ROLE_STOPPED)
                return UINT64_MAX;
        if (z->applied.index < MIN(z->commit, z->durable))
                return z->now_usec;
        if (!zab_leads(z))
                return z->election_at_usec;

        /* With nobody there, and nobody needed, there is nothing to do. */
        return z->peers_count == 0 && quorum_alone(z) ? UINT64_MAX : z->heartbeat_at_usec;
}

GBytes *zab_checkpoint_config(const Zab *z) {
        return config_to_bytes(z->applied_config);
}

ZabConfig *zab_checkpoint_config_decode(GBytes *bytes) {
        g_autoptr(GBytes) config = NULL;
        Zxid version;
        Reader r;

        if (g_bytes_get_size(bytes) < sizeof(version))
                return NULL;

        r = READER_INIT(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
        version = reader_u64(&r);
        config = g_bytes_new_from_bytes(bytes, sizeof(version), reader_left(&r));
        return zab_config_decode(config, version);
}

ZabRole zab_role(const Zab *z) {
        return z->role;
}

uint32_t zab_epoch(const Zab *z) {
        return z->epoch;
}

uint32_t zab_leader(const Zab *z) {
        return z->role == ZAB_ROLE_LEADER ? z->options.sid : zab_follows(z) ? z->follow.sid : 0;
}

uint32_t zab_parent(const Zab *z) {
        return z->role == ZAB_ROLE_FOLLOWER && z->follow.feed.begun ? z->follow.feed.sid : 0;
}

bool zab_is_voter(const Zab *z) {
        return voter_in_force(z, z->options.sid, &z->options.disk_id);
}

const ZabMeta *zab_meta(const Zab *z) {
        return &z->meta_durable;
}

const ZabPosition *zab_last(const Zab *z) {
        return &z->last;
}

const ZabPosition *zab_applied(const Zab *z) {
        return &z->applied;
}

uint64_t zab_base(const Zab *z) {
        return epochs_base(&z->epochs);
}

uint64_t zab_commit(const Zab *z) {
        return z->commit;
}

uint64_t zab_durable(const Zab *z) {
        return z->durable;
}

const ZabConfig *zab_config(const Zab *z) {
        return z->config;
}

const ZabConfig *zab_pending_config(const Zab *z) {
        guint n = z->pending_configs->len;

        return n > 0 ? g_array_index(z->pending_configs, PendingConfig, n - 1).config : NULL;
}

uint64_t zab_established(const Zab *z) {
        return z->role == ZAB_ROLE_LEADER ? z->z0 : z->role == ZAB_ROLE_FOLLOWER ? z->follow.mark : UINT64_MAX;
}

uint64_t zab_confirmed_usec(const Zab *z) {
        if (z->role == ZAB_ROLE_LEADER)
                return quorum_alone(z) && z->applied.index == z->last.index ? z->now_usec : z->confirmed_usec;

        return z->role == ZAB_ROLE_FOLLOWER ? z->follow.confirmed_usec : 0;
}

ZabSession zab_session(const Zab *z) {
        if (z->role != ZAB_ROLE_FOLLOWER)
                return (ZabSession) { 0 };

        return (ZabSession) { z->follow.conn, z->follow.session, z->follow.epoch };
}

uint32_t zab_session_member(const Zab *z, const ZabSession *s) {
        const Peer *p = zab_leads(z) && s->epoch == z->epoch ? peer_by_conn(z, s->conn) : NULL;

        return p && p->stream.newleader_acked && p->stream.session == s->session ? p->sid : 0;
}

bool zab_peer(const Zab *z, uint32_t sid, ZabPeerState *ret) {
        const Peer *p = sid >= 1 && sid <= ZAB_CONFIG_MEMBERS_MAX ? z->peers[sid] : NULL;

        if (!p || !zab_leads(z))
                return false;

        *ret = (ZabPeerState) {
                .sid = sid,
                .connected = p->conn != 0,
                .synced = p->stream.newleader_acked,
                .conn = p->conn,
                .session = p->stream.session,
                .acked = p->stream.acked,
                .parent = p->stream.parent,
                .heard_usec = p->heard_usec,
        };
        return true;
}
