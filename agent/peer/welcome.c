/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Welcome
 *
 * What a hello must say so that its sender may come in, and what becomes of the second connection of one disk: a
 * process that was started again, or a copy of the machine.
 */

#include <string.h>
#include <syslog.h>

#include "agent/peer/mesh-internal.h"

#define DISPLACED_USEC UINT64_C(10000000)       /* for so long it is no coincidence if it comes back */

static bool same_id(const Id128 *a, const Id128 *b) {
        return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* Names what does not fit, and returns false. */
static bool check_ensemble(Link *link, const FrameHello *h) {
        const PeerMesh *m = link->mesh;

        if (!same_id(&h->cluster_id, &m->options.cluster_id)) {
                g_autofree char *theirs = id_to_string(&h->cluster_id), *ours = id_to_string(&m->options.cluster_id);

                link_refuse(link, "member %u (%s) is of the ensemble %s, member %u (%s) of %s", h->sid, h->name, theirs,
                            m->options.sid, m->name, ours);
                return false;
        }
        if (h->version_max < m->options.version_min || h->version_min > m->options.version_max) {
                link_refuse(link, "member %u (%s) speaks protocol versions %u to %u, member %u (%s) %u to %u", h->sid, h->name,
                            h->version_min, h->version_max, m->options.sid, m->name, m->options.version_min,
                            m->options.version_max);
                return false;
        }
        if (h->feature_level < m->required) {
                link_refuse(link, "the ensemble is at feature level %u, member %u (%s) can do no more than %u: "
                            "install a newer version there", m->required, h->sid, h->name, h->feature_level);
                return false;
        }
        if (h->config_version != 0 && h->config_version == m->config_version &&
            !hash128_equal(h->config_digest, m->config_digest)) {
                link_refuse(link, "member %u (%s) has another configuration %" G_GINT64_MODIFIER "x (%016" G_GINT64_MODIFIER "x) "
                            "than member %u (%s) (%016" G_GINT64_MODIFIER "x)", h->sid, h->name, h->config_version,
                            h->config_digest.high, m->options.sid, m->name, m->config_digest.high);
                return false;
        }
        return true;
}

/* The three that make a member: sid, disk and key. */
static const PeerDirectoryEntry *check_member(Link *link, const FrameHello *h) {
        const PeerDirectory *d = link->mesh->directory;
        const PeerDirectoryEntry *e = peer_directory_match(d, h->sid, &h->disk_id, link->pin);
        const PeerDirectoryEntry *of_key = peer_directory_find_pin(d, link->pin);

        if (!e) {
                g_autofree char *claimed = id_to_string(&h->disk_id), *pin = pin_to_string(link->pin);
                g_autofree char *disk = of_key ? id_to_string(&of_key->disk_id) : NULL;

                if (of_key)
                        link_refuse(link, "it says it is member %u with disk %s, but key %s is that of member %u (%s) with disk %s",
                                    h->sid, claimed, pin, of_key->sid, of_key->name, disk);
                else
                        link_refuse(link, "it says it is member %u with disk %s, but key %s is nobody's", h->sid, claimed, pin);
                return NULL;
        }
        if (link->server ? h->sid == link->mesh->options.sid : h->sid != link->sid) {
                link_refuse(link, link->server ? "member %u dialled itself as member %u"
                                               : "member %u answered at the address of member %u",
                            h->sid, link->server ? link->mesh->options.sid : link->sid);
                return NULL;
        }
        return e;
}

/* Now or later: has the earlier one given a sign of life by then? */
static void watch_earlier(Peer *p) {
        NetStreamStatistics s;

        net_stream_get_statistics(p->link->stream, &s);
        p->held_bytes = s.bytes_in;
        link_set_timer(p->held, p->mesh->options.hold_usec);
}

/* From here on it counts; it is up when the dialler agrees. */
static void accept_link(Link *link) {
        Peer *p = link->peer;

        if (p->held == link)
                p->held = NULL;
        p->link = link;
        if (p->attempt)
                link_close(p->attempt, true, "the other side's own attempt was first");
        if (p->held)
                watch_earlier(p);
        link->state = LINK_AGREE;
        link_set_timer(link, link->mesh->options.hello_usec);
        link_send_hello(link);
}

/* The same disk at two places at once, and nobody can tell which of them is right. */
static void refuse_both(Link *link) {
        g_autofree char *old_address = NULL, *new_address = link_place(link);
        g_autofree char *disk = id_to_string(&link->disk_id);
        PeerMesh *m = link->mesh;
        Peer *p = link->peer;

        if (p->link) {
                old_address = link_place(p->link);
                link_close(p->link, false, "its disk is in use twice");
        }
        if (p->held && p->held != link)
                link_close(p->held, false, "its disk is in use twice");
        link_close(link, false, "its disk is in use twice");
        peer_ban(p, m->options.clone_ban_usec);
        mesh_alarm(m, LOG_CRIT, "Member %u (%s) runs twice with the same disk %s, at %s and at %s: a copy of a machine? "
                   "Both are kept out for %.1f s; wipe the copy", p->sid, p->name, disk, new_address,
                   old_address ?: "another place", (double) m->options.clone_ban_usec / 1e6);
}

static void replace(Link *link, const char *reason) {
        Peer *p = link->peer;

        link_close(p->link, false, "%s", reason);
        accept_link(link);
}

/* While another one of the same disk is still there: it waits, silent, for a sign of life of the earlier one. */
static void hold(Link *link) {
        Peer *p = link->peer;

        if (p->displaced_usec != 0 && same_id(&p->displaced, &link->incarnation) &&
            mesh_now(link->mesh) - p->displaced_usec < DISPLACED_USEC) {
                refuse_both(link);
                return;
        }
        if (p->held) {
                if (!same_id(&p->held->incarnation, &link->incarnation)) {
                        refuse_both(link);
                        return;
                }
                link_close(p->held, false, "replaced by a newer connection");
        }

        p->held = link;
        link->state = LINK_HELD;
        watch_earlier(p);
}

void welcome_on_hold_over(Link *link) {
        Peer *p = link->peer;
        NetStreamStatistics s;

        if (!p->link) {
                accept_link(link);
                return;
        }

        net_stream_get_statistics(p->link->stream, &s);
        if (s.bytes_in != p->held_bytes) {
                refuse_both(link);
                return;
        }
        p->displaced = p->link->incarnation;
        p->displaced_usec = mesh_now(link->mesh);
        replace(link, "replaced by a newer run of the same member");
}

/* Both have dialled.  The higher one's attempt wins, if it is known by now that it has reached the other: then that one may have
 * accepted it already.  Elsewise it hangs at an address that is wrong, perhaps. */
static bool crosses(const Link *link) {
        const Peer *p = link->peer;

        if (p->sid > link->mesh->options.sid)
                return false;
        if (p->link)
                return !p->link->server && same_id(&p->link->incarnation, &link->incarnation);
        return p->attempt && p->attempt->state != LINK_HANDSHAKE;
}

static void admit(Link *link, const PeerDirectoryEntry *e) {
        Peer *p = link->peer;

        if (crosses(link))
                link_close(link, true, "this side's own attempt was first");
        else if (!p->link)
                accept_link(link);
        else if (!same_id(&p->link->disk_id, &link->disk_id)) {
                if (e->pending)
                        replace(link, "replaced by the member's new disk");
                else
                        link_refuse(link, "member %u (%s) is here with another disk", p->sid, p->name);
        } else if (same_id(&p->link->incarnation, &link->incarnation))
                replace(link, "replaced by a newer connection");
        else
                hold(link);
}

void welcome_on_hello(Link *link, const uint8_t *body, size_t size) {
        const PeerDirectoryEntry *e;
        FrameHello h;

        if (!frame_decode_hello(body, size, &h)) {
                link_malformed(link, "a malformed hello");
                return;
        }
        if (!check_ensemble(link, &h))
                return;
        e = check_member(link, &h);
        if (!e)
                return;

        link->peer = link->mesh->peers[h.sid];
        link->sid = h.sid;
        link->disk_id = h.disk_id;
        link->incarnation = h.incarnation;
        if (link->server) {
                admit(link, e);
                return;
        }

        /* The empty hello: agreed. */
        memset(writer_reserve(&link->mesh->scratch, FRAME_HEADER_BYTES), 0, FRAME_HEADER_BYTES);
        (void) link_write(link);
        link_up(link);
}

void welcome_on_agreement(Link *link) {
        link_up(link);
}
