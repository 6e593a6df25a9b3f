/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Link
 *
 * One connection.  Closing it takes it out of everything at once; the rest, telling the listener and freeing it, is left to the
 * loop, so that it may be closed from anywhere.
 */

#include <assert.h>
#include <stdarg.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "agent/peer/mesh-internal.h"

#define TURN_FRAMES_MAX 256
#define TURN_BYTES_MAX (1024 * 1024)

static bool on_verify(void *userdata, const uint8_t pin[static NET_PIN_BYTES]);
static ssize_t on_bytes(void *userdata, const uint8_t *data, size_t size);
static void on_closed(void *userdata, const char *reason);

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Link *link = userdata;

        switch (link->state) {
        case LINK_HELD:
                welcome_on_hold_over(link);
                break;
        case LINK_HELLO:
        case LINK_AGREE:
        case LINK_STRANGER:
                link_close(link, false, "it did not say in time who it is");
                break;
        case LINK_ASKED:
                stranger_on_timeout(link);
                break;
        case LINK_ANSWERED:
                link_close(link, false, "it did not go in time");
                break;
        default:
                break;
        }
        return 0;
}

static void on_evict(void *userdata) {
        link_close(userdata, false, "there are too many that do not say who they are");
}

static int on_resume(sd_event_source *source, void *userdata) {
        Link *link = userdata;

        net_stream_pause(link->stream, false);
        return 0;
}

static Link *link_new(PeerMesh *m, int fd, bool server, const NetAddress *address) {
        const NetStreamOptions options = { .server = server, .output_max = m->options.output_max };
        Link *link = g_new0(Link, 1);
        const NetStreamHandler handler = { on_verify, on_bytes, on_closed, link };

        link->mesh = m;
        link->server = server;
        link->conn = ++m->last_conn;
        link->address = *address;
        link->stream = net_stream_new(m->event, fd, m->key, &options, &handler);
        if (!link->stream ||
            sd_event_add_time_relative(m->event, &link->timer, CLOCK_BOOTTIME, 0, 1000, on_timer, link) < 0 ||
            sd_event_source_set_enabled(link->timer, SD_EVENT_OFF) < 0 ||
            sd_event_add_defer(m->event, &link->resume, on_resume, link) < 0 ||
            sd_event_source_set_enabled(link->resume, SD_EVENT_OFF) < 0) {
                link_free(link);
                return NULL;
        }

        (void) g_hash_table_insert(m->links, &link->conn, link);
        return link;
}

Link *link_new_dialled(Peer *p, int fd, const NetAddress *address) {
        Link *link = link_new(p->mesh, fd, false, address);

        if (link) {
                link->peer = p;
                link->sid = p->sid;
        }
        return link;
}

Link *link_new_accepted(PeerMesh *m, int fd, const NetAddress *from, NetAdmission *admission) {
        Link *link = link_new(m, fd, true, from);

        if (link) {
                link->admission = admission;
                net_admission_set_evict(admission, on_evict, link);
        } else
                net_admission_free(admission);
        return link;
}

static void link_stop(Link *link) {
        link->stream = net_stream_free(link->stream);
        link->admission = net_admission_free(link->admission);
        link->timer = sd_event_source_disable_unref(link->timer);
        link->resume = sd_event_source_disable_unref(link->resume);
}

void link_free(Link *link) {
        link_stop(link);
        g_free(link->join);
        g_free(link->reason);
        g_free(link);
}

static void close_for(Link *link, bool meant, const char *reason) {
        PeerMesh *m = link->mesh;

        if (link->state == LINK_CLOSED)
                return;

        link->state = LINK_CLOSED;
        link->reason = g_strdup(reason);
        text_clean(link->reason);
        if (link->peer)
                peer_on_closed(link->peer, link, meant);
        link->peer = NULL;
        link_stop(link);
        (void) g_hash_table_remove(m->links, &link->conn);
        g_queue_push_tail(&m->closed, link);
        (void) sd_event_source_set_enabled(m->work, SD_EVENT_ONESHOT);
}

void link_close(Link *link, bool meant, const char *format, ...) {
        g_autofree char *reason = NULL;
        va_list ap;

        va_start(ap, format);
        reason = g_strdup_vprintf(format, ap);
        va_end(ap);
        close_for(link, meant, reason);
}

/* The port of one that has dialled says nothing, and would make every complaint a new one. */
char *link_place(const Link *link) {
        char *address = net_address_to_string(&link->address);

        if (link->server)
                *strrchr(address, ':') = '\0';
        return address;
}

void link_refuse(Link *link, const char *format, ...) {
        PeerMessage leave = { .is_zab = true, .zab = { .type = ZAB_MESSAGE_LEAVE } };
        g_autofree char *reason = NULL, *address = link_place(link);
        va_list ap;

        va_start(ap, format);
        reason = g_strdup_vprintf(format, ap);
        va_end(ap);

        leave.zab.text = reason;
        frame_encode(&link->mesh->scratch, &leave);
        (void) link_write(link);
        mesh_alarm(link->mesh, LOG_ERR, "Connection with %s refused: %s", address, reason);
        close_for(link, false, reason);
}

void link_malformed(Link *link, const char *what) {
        g_autofree char *address = link_place(link);
        PeerMesh *m = link->mesh;
        Peer *p = link->peer;

        if (link->state == LINK_CLOSED)
                return;

        link_close(link, false, "it sent %s", what);
        if (!p)
                return;

        peer_punish(p);
        mesh_alarm(m, LOG_ERR, "Member %u (%s) at %s sent %s: connection closed, and it is kept out for %.1f s", p->sid, p->name,
                   address, what, (double) (p->banned_until_usec - mesh_now(m)) / 1e6);
}

void link_set_timer(Link *link, uint64_t usec) {
        if (sd_event_source_set_time_relative(link->timer, usec) >= 0)
                (void) sd_event_source_set_enabled(link->timer, SD_EVENT_ONESHOT);
}

bool link_write(Link *link) {
        Writer *w = &link->mesh->scratch;
        bool written = link->stream && net_stream_write(link->stream, w->data, w->size);

        writer_clear(w);
        return written;
}

void link_send_hello(Link *link) {
        const PeerMesh *m = link->mesh;
        const FrameHello hello = {
                .version_min = m->options.version_min, .version_max = m->options.version_max,
                .feature_level = m->options.feature_level,
                .cluster_id = m->options.cluster_id, .disk_id = m->options.disk_id, .incarnation = m->incarnation,
                .sid = m->options.sid, .config_version = m->config_version, .config_digest = m->config_digest,
                .name = m->name,
        };

        frame_encode_hello(&link->mesh->scratch, &hello);
        (void) link_write(link);
}

void link_up(Link *link) {
        PeerMesh *m = link->mesh;

        link->state = LINK_UP;
        (void) sd_event_source_set_enabled(link->timer, SD_EVENT_OFF);
        link->admission = net_admission_free(link->admission);
        net_stream_set_input_max(link->stream, FRAME_HEADER_BYTES + FRAME_BODY_BYTES_MAX);
        peer_on_up(link->peer, link);

        /* The listener hears of the end of the earlier one first; that may be the end of this one, too. */
        mesh_bury(m, link->sid, link);
        if (link->state != LINK_UP)
                return;
        link->up = true;
        m->listener.up(m->listener.userdata, link->conn, link->sid, &link->disk_id);
}

/* The key that was dialled for must be that member's; who accepted sees whose it is. */
static bool verify_dialled(Link *link) {
        const PeerDirectoryEntry *e = peer_directory_find_pin(link->mesh->directory, link->pin);
        const GArray *entries = link->mesh->directory->entries;
        g_autofree char *address = NULL, *pin = NULL;

        for (unsigned i = 0; i < entries->len; i++) {
                const PeerDirectoryEntry *of = &g_array_index(entries, PeerDirectoryEntry, i);

                if (of->sid == link->sid && memcmp(of->pin, link->pin, NET_PIN_BYTES) == 0)
                        return true;
        }

        address = link_place(link);
        pin = pin_to_string(link->pin);
        if (e)
                mesh_alarm(link->mesh, LOG_ERR, "At %s, the address of member %u (%s), is the key of member %u (%s): refused",
                           address, link->sid, link->peer->name, e->sid, e->name);
        else
                mesh_alarm(link->mesh, LOG_ERR, "At %s, the address of member %u (%s), is a key %s that is not its own: refused",
                           address, link->sid, link->peer->name, pin);
        return false;
}

static bool verify_accepted(Link *link) {
        const PeerDirectoryEntry *e = peer_directory_find_pin(link->mesh->directory, link->pin);
        PeerMesh *m = link->mesh;
        g_autofree char *address = NULL, *pin = NULL;

        if (e && e->sid != m->options.sid) {
                link->peer = m->peers[e->sid];
                return !peer_is_banned(link->peer);
        }

        m->statistics.strangers++;
        if (!e && m->listener.join)
                return true;

        address = link_place(link);
        pin = pin_to_string(link->pin);
        mesh_alarm_stranger(m, "A connection from %s shows %s %s: refused", address,
                            e ? "this member's own key" : "a key of no member", pin);
        return false;
}

static bool on_verify(void *userdata, const uint8_t pin[static NET_PIN_BYTES]) {
        Link *link = userdata;

        memcpy(link->pin, pin, sizeof(link->pin));
        if (!(link->server ? verify_accepted(link) : verify_dialled(link)))
                return false;

        link_set_timer(link, link->mesh->options.hello_usec);
        if (!link->peer) {
                link->state = LINK_STRANGER;
                return true;
        }
        link->state = LINK_HELLO;
        if (link->server)
                net_admission_stays(link->admission);
        else
                link_send_hello(link);
        return true;
}

static void on_closed(void *userdata, const char *reason) {
        Link *link = userdata;

        if (link->server && link->state == LINK_HANDSHAKE && link->peer)
                reason = "it is kept out for now";
        close_for(link, link->left, reason);
}

/* Before it is up: a hello, or the other side's objection. */
static void on_early_frame(Link *link, uint8_t type, const uint8_t *data, size_t size) {
        g_autoptr(GBytes) body = NULL;
        g_autofree char *address = NULL;
        FrameMessage m;

        if (type == FRAME_TYPE_HELLO && link->state == LINK_HELLO) {
                welcome_on_hello(link, data, size);
                return;
        }
        if (type == FRAME_TYPE_HELLO && link->state == LINK_AGREE && size == 0) {
                welcome_on_agreement(link);
                return;
        }
        body = g_bytes_new(data, size);
        if (type != ZAB_MESSAGE_LEAVE || !frame_decode(type, body, &m)) {
                link_malformed(link, "something else before it was introduced");
                return;
        }

        address = link_place(link);
        mesh_alarm(link->mesh, LOG_ERR, "Member %u (%s) at %s refused the connection: %s", link->peer->sid, link->peer->name,
                   address, m.message.zab.text);
        link_close(link, false, "it refused: %s", m.message.zab.text);
        frame_message_done(&m);
}

static void on_frame(Link *link, uint8_t type, const uint8_t *data, size_t size) {
        g_autoptr(GBytes) body = g_bytes_new(data, size);
        PeerMesh *mesh = link->mesh;
        FrameMessage m;

        if (type == FRAME_TYPE_HELLO || !frame_decode(type, body, &m)) {
                link_malformed(link, "a malformed frame");
                return;
        }

        link->frames_in++;
        link->left = type == ZAB_MESSAGE_LEAVE;
        mesh->listener.message(mesh->listener.userdata, link->conn, link->sid, &m.message);
        frame_message_done(&m);
}

/* Others want their turn of the loop, too. */
static bool turn_is_over(Link *link) {
        uint64_t turn = 0;

        (void) sd_event_get_iteration(link->mesh->event, &turn);
        if (turn != link->turn) {
                link->turn = turn;
                link->turn_frames = link->turn_bytes = 0;
        }
        if (link->turn_frames < TURN_FRAMES_MAX && link->turn_bytes < TURN_BYTES_MAX)
                return false;

        net_stream_pause(link->stream, true);
        (void) sd_event_source_set_enabled(link->resume, SD_EVENT_ONESHOT);
        return true;
}

/* A heartbeat may wait behind a frame that takes its time: what has come of that is a sign of life, too. */
static void tell_alive(Link *link) {
        PeerMesh *m = link->mesh;
        uint64_t now = mesh_now(m);

        if (!link->up || !m->listener.alive || now - link->alive_usec < m->options.alive_usec)
                return;

        link->alive_usec = now;
        m->listener.alive(m->listener.userdata, link->conn, link->sid);
}

static bool may_come_now(const Link *link, uint8_t type, uint32_t size) {
        return link->state == LINK_UP || size <= FRAME_HELLO_BYTES_MAX;
}

/* A member asks to join: one that was taken up, and was interrupted before it had noted that. */
static bool asks_again(const Link *link, const uint8_t *data, size_t size) {
        uint32_t body;
        uint8_t type;

        return link->server && link->state == LINK_HELLO && link->mesh->listener.join && size >= FRAME_HEADER_BYTES &&
                join_decode_header(data, false, &body, &type);
}

static ssize_t on_bytes(void *userdata, const uint8_t *data, size_t size) {
        Link *link = userdata;
        size_t taken = 0;

        if (asks_again(link, data, size)) {
                link->peer = NULL;
                link->state = LINK_STRANGER;
        }
        if (link->state == LINK_STRANGER || link->state == LINK_ASKED || link->state == LINK_ANSWERED)
                return stranger_on_bytes(link, data, size);

        while (size - taken >= FRAME_HEADER_BYTES && !turn_is_over(link)) {
                const uint8_t *frame = data + taken;
                uint32_t frame_size;
                uint8_t type;

                if (!frame_decode_header(frame, &frame_size, &type) || !may_come_now(link, type, frame_size)) {
                        link_malformed(link, "a frame with an impossible header");
                        break;
                }
                if (size - taken - FRAME_HEADER_BYTES < frame_size) {
                        tell_alive(link);       /* may close it */
                        break;
                }

                taken += FRAME_HEADER_BYTES + frame_size;
                link->turn_frames++;
                link->turn_bytes += FRAME_HEADER_BYTES + frame_size;
                if (link->state == LINK_UP)
                        on_frame(link, type, frame + FRAME_HEADER_BYTES, frame_size);
                else
                        on_early_frame(link, type, frame + FRAME_HEADER_BYTES, frame_size);
                if (link->state == LINK_CLOSED)         /* the bytes are gone with the stream */
                        break;
        }
        return (ssize_t) taken;
}
