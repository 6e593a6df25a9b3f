/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Peer
 *
 * One other member: when it is dialled again, when it is kept out, and its figures.
 */

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "agent/net/socket.h"
#include "agent/peer/mesh-internal.h"

#define BACKOFF_USEC_MIN UINT64_C(20000)
#define BACKOFF_DOUBLINGS_MAX 6                 /* to 1.28 s, cut to 1 s */
#define BACKOFF_USEC_MAX UINT64_C(1000000)
#define HASTY_USEC UINT64_C(10000)
#define HASTY_MAX 16                            /* so many times at once, then as after a failure */
#define STEADY_USEC UINT64_C(1000000)           /* a connection that held so long was a good one */
#define MALFORMED_DOUBLINGS_MAX 6               /* to 64 times, cut to 60 */
#define MALFORMED_FORGOTTEN_USEC UINT64_C(600000000)

static int on_redial(sd_event_source *source, uint64_t usec, void *userdata);

Peer *peer_new(PeerMesh *m, uint32_t sid) {
        Peer *p = g_new0(Peer, 1);

        p->mesh = m;
        p->sid = sid;
        p->since_usec = mesh_now(m);
        if (sd_event_add_time_relative(m->event, &p->redial, CLOCK_BOOTTIME, 0, 1000, on_redial, p) < 0 ||
            sd_event_source_set_enabled(p->redial, SD_EVENT_OFF) < 0)
                mesh_alarm(m, LOG_ERR, "member %u cannot be dialled: no timer", sid);
        return p;
}

Peer *peer_free(Peer *p) {
        if (!p)
                return NULL;

        assert(!p->link && !p->attempt && !p->held);

        sd_event_source_disable_unref(p->redial);
        g_free(p->name);
        g_free(p->addresses);
        g_free(p->address);
        g_free(p->error);
        g_free(p);
        return NULL;
}

static char *addresses_of(const Peer *p) {
        const GArray *entries = p->mesh->directory->entries;
        g_autoptr(GString) s = g_string_new(NULL);

        for (unsigned i = 0; i < entries->len; i++) {
                const PeerDirectoryEntry *e = &g_array_index(entries, PeerDirectoryEntry, i);

                if (e->sid == p->sid)
                        g_string_append_printf(s, "%s ", e->address_text);
        }
        return g_string_free(g_steal_pointer(&s), FALSE);
}

void peer_update(Peer *p) {
        const PeerDirectoryEntry *e = peer_directory_find_sid(p->mesh->directory, p->sid);
        g_autofree char *addresses = addresses_of(p);

        g_free(p->name);
        p->name = g_strdup(e->name);
        if (g_strcmp0(addresses, p->addresses) == 0)
                return;

        g_free(p->addresses);
        p->addresses = g_steal_pointer(&addresses);
        p->failures = 0;
        peer_dial_soon(p, 0);
}

bool peer_is_banned(const Peer *p) {
        return p->banned_until_usec > mesh_now(p->mesh);
}

/* Each waits to be dialled by those above it; but they may know an address that is not its any more. */
static bool waits_to_be_dialled(const Peer *p) {
        return p->sid > p->mesh->options.sid;
}

void peer_dial_soon(Peer *p, uint64_t delay_usec) {
        uint64_t now = mesh_now(p->mesh);

        if (p->link || p->attempt || !p->redial)
                return;

        if (waits_to_be_dialled(p) && now - p->since_usec < p->mesh->options.patience_usec)
                delay_usec = MAX(delay_usec, p->since_usec + p->mesh->options.patience_usec - now);

        if (p->banned_until_usec > now)
                delay_usec = MAX(delay_usec, p->banned_until_usec - now);
        if (sd_event_source_set_time(p->redial, now + delay_usec) >= 0)
                (void) sd_event_source_set_enabled(p->redial, SD_EVENT_ONESHOT);
}

static void note_error(Peer *p, const char *text) {
        g_free(p->error);
        p->error = g_strdup(text);
        p->error_usec = mesh_now(p->mesh);
}

/* From half to all of it, so that members that lost the same one do not come back in step. */
static uint64_t with_jitter(Peer *p, uint64_t usec) {
        return usec - prng_below(&p->mesh->prng, usec / 2 + 1);
}

static void dial_after_failure(Peer *p) {
        uint64_t usec = MIN(BACKOFF_USEC_MIN << MIN(p->failures, BACKOFF_DOUBLINGS_MAX), BACKOFF_USEC_MAX);

        p->failures++;
        if (waits_to_be_dialled(p))
                usec = p->mesh->options.patience_usec;
        peer_dial_soon(p, with_jitter(p, usec));
}

static int on_redial(sd_event_source *source, uint64_t usec, void *userdata) {
        Peer *p = userdata;
        const PeerDirectoryEntry *e = peer_directory_address(p->mesh->directory, p->sid, p->tries);
        int fd, r;

        if (p->link || p->attempt)
                return 0;
        if (!e) {                       /* a change of the directory makes it be dialled */
                if (!waits_to_be_dialled(p))
                        note_error(p, "it has no address, or one that is not a literal");
                return 0;
        }

        p->tries++;
        r = net_dial(&e->address, &fd);
        if (r >= 0) {
                p->attempt = link_new_dialled(p, fd, &e->address);
                r = p->attempt ? 0 : -ENOMEM;
        }
        if (r < 0) {
                note_error(p, g_strerror(-r));
                dial_after_failure(p);
        }
        return 0;
}

void peer_on_up(Peer *p, Link *link) {
        if (p->attempt == link)
                p->attempt = NULL;
        p->link = link;
        p->connections++;
        p->failures = MIN(p->failures, 1);
        p->since_usec = link->up_usec = mesh_now(p->mesh);
        g_free(p->address);
        p->address = net_address_to_string(&link->address);
}

static void add_figures(Peer *p, const Link *link) {
        NetStreamStatistics s = { 0 };

        if (link->stream)
                net_stream_get_statistics(link->stream, &s);
        p->bytes_in += s.bytes_in;
        p->bytes_out += s.bytes_out;
        p->frames_in += link->frames_in;
        p->frames_out += link->frames_out;
}

void peer_on_closed(Peer *p, const Link *link, bool meant) {
        uint64_t now = mesh_now(p->mesh);

        add_figures(p, link);
        note_error(p, link->reason);
        if (p->link == link) {
                p->link = NULL;
                if (p->held)            /* nothing is left to wait for */
                        link_set_timer(p->held, 0);
        }
        if (p->attempt == link)
                p->attempt = NULL;
        if (p->held == link)
                p->held = NULL;

        if (link->up) {
                p->since_usec = now;
                if (now - link->up_usec >= STEADY_USEC)
                        p->failures = p->hasty = 0;
        }
        if (meant && p->hasty < HASTY_MAX) {
                p->hasty++;
                peer_dial_soon(p, HASTY_USEC + prng_below(&p->mesh->prng, HASTY_USEC));
        } else
                dial_after_failure(p);
}

void peer_ban(Peer *p, uint64_t usec) {
        p->banned_until_usec = MAX(p->banned_until_usec, mesh_now(p->mesh) + usec);
        peer_dial_soon(p, usec);
}

void peer_punish(Peer *p) {
        uint64_t now = mesh_now(p->mesh), unit = p->mesh->options.malformed_ban_usec;

        if (p->malformed == 0 || now - p->malformed_usec > MALFORMED_FORGOTTEN_USEC)
                p->ban_exponent = 0;
        else if (p->ban_exponent < MALFORMED_DOUBLINGS_MAX)
                p->ban_exponent++;
        p->malformed++;
        p->malformed_usec = now;
        peer_ban(p, MIN(unit << p->ban_exponent, 60 * unit));
}

bool peer_mesh_get_status(const PeerMesh *m, uint32_t sid, PeerStatus *ret) {
        const Peer *p = sid <= ZAB_CONFIG_MEMBERS_MAX ? m->peers[sid] : NULL;
        PeerStatus s;

        if (!p)
                return false;

        s = (PeerStatus) {
                .sid = p->sid, .name = p->name, .since_usec = p->since_usec, .connections = p->connections,
                .bytes_in = p->bytes_in, .bytes_out = p->bytes_out, .frames_in = p->frames_in, .frames_out = p->frames_out,
                .malformed = p->malformed, .error = p->error, .error_usec = p->error_usec,
                .banned_until_usec = peer_is_banned(p) ? p->banned_until_usec : 0,
        };
        if (p->link && p->link->up) {
                NetStreamStatistics t;

                net_stream_get_statistics(p->link->stream, &t);
                s.connected = true;
                s.address = p->address;
                s.bytes_in += t.bytes_in;
                s.bytes_out += t.bytes_out;
                s.frames_in += p->link->frames_in;
                s.frames_out += p->link->frames_out;
                s.queued_bytes = net_stream_queued(p->link->stream);
        }
        *ret = s;
        return true;
}
