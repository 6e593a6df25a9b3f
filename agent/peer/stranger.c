/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Stranger
 *
 * Somebody whose key belongs to no member: one JOIN, one answer.
 */

#include <assert.h>
#include <string.h>
#include <syslog.h>

#include "agent/peer/mesh-internal.h"
#include "agent/peer/token.h"

#define GOODBYE_USEC UINT64_C(5000000)

static void refuse(Link *link, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* It stays until it has read that, and goes by itself. */
static void answer(Link *link, const JoinAnswer *a) {
        link->state = LINK_ANSWERED;
        link_set_timer(link, GOODBYE_USEC);
        join_encode_answer(&link->mesh->scratch, a);
        (void) link_write(link);
}

static void refuse(Link *link, const char *format, ...) {
        g_autofree char *text = NULL;
        va_list ap;

        va_start(ap, format);
        text = g_strdup_vprintf(format, ap);
        va_end(ap);
        answer(link, &(const JoinAnswer) { .text = text });
}

/* It may be a member that this one has not heard of, or one that was removed.  Who says hello as members do is told. */
static void on_no_join(Link *link, const uint8_t *header) {
        g_autofree char *address = link_place(link), *pin = pin_to_string(link->pin);
        uint32_t body;
        uint8_t type;

        mesh_alarm_stranger(link->mesh, "A connection from %s shows a key of no member %s: refused", address, pin);
        if (frame_decode_header(header, &body, &type) && type == FRAME_TYPE_HELLO) {
                g_autofree char *text = g_strdup_printf("key %s is of no member of this ensemble: this host was removed from it, or "
                                                        "its key was replaced; with a token it can join anew", pin);
                const PeerMessage leave = { .is_zab = true, .zab = { .type = ZAB_MESSAGE_LEAVE, .text = text } };

                frame_encode(&link->mesh->scratch, &leave);
                (void) link_write(link);
        }
        link_close(link, false, "its key is of no member, and it does not ask to join");
}

static void on_join(Link *link, JoinRequest *r) {
        g_autofree char *from = net_address_to_string(&link->address);
        PeerMesh *m = link->mesh;
        PeerJoinRequest request = { .name = r->name, .address = r->address, .disk_id = r->disk_id, .from = from };

        m->statistics.joins++;
        memcpy(request.pin, link->pin, sizeof(request.pin));
        peer_secret_hash(r->secret, request.secret_hash);
        explicit_bzero(r->secret, sizeof(r->secret));
        if (memcmp(&r->cluster_id, &m->options.cluster_id, sizeof(r->cluster_id)) != 0) {
                g_autofree char *theirs = id_to_string(&r->cluster_id), *ours = id_to_string(&m->options.cluster_id);

                refuse(link, "the token is of the ensemble %s, this is %s", theirs, ours);
                return;
        }
        if (r->version_max < m->options.version_min || r->version_min > m->options.version_max) {
                refuse(link, "this host speaks protocol versions %u to %u, the ensemble %u to %u", r->version_min, r->version_max,
                       m->options.version_min, m->options.version_max);
                return;
        }
        if (r->feature_level < m->required) {
                refuse(link, "the ensemble is at feature level %u, this host can do no more than %u: install a newer version here",
                       m->required, r->feature_level);
                return;
        }

        net_admission_stays(link->admission);
        link->join = g_new(PeerJoin, 1);
        link->join->link = link;
        link->state = LINK_ASKED;
        link_set_timer(link, m->options.join_usec);
        m->listener.join(m->listener.userdata, link->join, &request);
}

static void answer_join(PeerJoin *join, const JoinAnswer *a) {
        Link *link = join->link;

        assert(link->join == join);

        g_clear_pointer(&link->join, g_free);
        if (link->state != LINK_CLOSED)
                answer(link, a);
}

void peer_join_answer(PeerJoin *join, uint32_t sid, GBytes *config, const char *text) {
        JoinAnswer a = { .sid = sid, .text = text ?: "refused" };

        assert(sid == 0 || config);

        if (sid != 0)
                a.config = g_bytes_get_data(config, &a.config_size);
        answer_join(join, &a);
}

void peer_join_put_off(PeerJoin *join, const char *text) {
        answer_join(join, &(const JoinAnswer) { .put_off = true, .text = text });
}

void stranger_on_timeout(Link *link) {
        g_autofree PeerJoin *join = g_steal_pointer(&link->join);
        PeerMesh *m = link->mesh;

        answer(link, &(const JoinAnswer) { .put_off = true, .text = "nobody decided in time; try again" });
        if (m->listener.join_cancelled)
                m->listener.join_cancelled(m->listener.userdata, join);
}

ssize_t stranger_on_bytes(Link *link, const uint8_t *data, size_t size) {
        JoinRequest r;
        uint32_t body;
        uint8_t type;

        if (link->state != LINK_STRANGER) {
                link_close(link, false, "it sent more than it was asked for");
                return 0;
        }
        if (size < FRAME_HEADER_BYTES)
                return 0;
        if (!join_decode_header(data, false, &body, &type)) {
                on_no_join(link, data);
                return 0;
        }
        if (size - FRAME_HEADER_BYTES < body)
                return 0;
        if (size - FRAME_HEADER_BYTES > body || !join_decode_request(data + FRAME_HEADER_BYTES, body, &r)) {
                link_close(link, false, "its request to join is malformed");
                return 0;
        }

        on_join(link, &r);
        return (ssize_t) size;
}
