/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Listener
 */

#include "agent/net/listener.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <glib.h>

#include "agent/net/socket.h"

#define ACCEPTS_PER_TURN 16

/* Who is inside and not yet known.  Lives as long as anybody of them does. */
typedef struct Lobby {
        unsigned refs;
        GPtrArray *admissions;          /* borrowed */
        unsigned strangers;             /* those of them whose host does not belong here */
} Lobby;

struct NetAdmission {
        Lobby *lobby;
        NetAddress from;
        bool stranger;
        void (*evict)(void *userdata);  /* NULL: it stays */
        void *userdata;
};

struct NetListener {
        sd_event *event;
        int fd;
        NetAddress address;
        NetListenerOptions options;
        NetListenerHandler handler;
        sd_event_source *io, *rest;
        Lobby *lobby;
        NetListenerStatistics statistics;
};

static void lobby_unref(Lobby *b) {
        if (--b->refs > 0)
                return;

        g_ptr_array_unref(b->admissions);
        g_free(b);
}

NetAdmission *net_admission_free(NetAdmission *a) {
        if (!a)
                return NULL;

        (void) g_ptr_array_remove(a->lobby->admissions, a);     /* they are in the order of their coming */
        if (a->stranger)
                a->lobby->strangers--;
        lobby_unref(a->lobby);
        g_free(a);
        return NULL;
}

void net_admission_set_evict(NetAdmission *a, void (*evict)(void *userdata), void *userdata) {
        a->evict = evict;
        a->userdata = userdata;
}

void net_admission_stays(NetAdmission *a) {
        a->evict = NULL;
}

static unsigned lobby_of_host(const Lobby *b, const NetAddress *from) {
        unsigned n = 0;

        for (unsigned i = 0; i < b->admissions->len; i++) {
                const NetAdmission *a = b->admissions->pdata[i];

                n += net_address_same_host(&a->from, from);
        }
        return n;
}

static bool lobby_is_full(const NetListener *l, bool stranger) {
        return stranger && l->lobby->strangers >= l->options.pending_max;
}

static bool host_is_full(const NetListener *l, const NetAddress *from) {
        return lobby_of_host(l->lobby, from) >= l->options.pending_of_host_max;
}

/* The oldest whose going makes room for this one goes. */
static void make_room(NetListener *l, const NetAddress *from) {
        bool of_host = host_is_full(l, from);

        for (unsigned i = 0; i < l->lobby->admissions->len; i++) {
                NetAdmission *a = l->lobby->admissions->pdata[i];

                if (!a->evict || (of_host ? !net_address_same_host(&a->from, from) : !a->stranger))
                        continue;

                l->statistics.refused++;
                if (l->handler.crowded)
                        l->handler.crowded(l->handler.userdata, from);
                a->evict(a->userdata);
                return;
        }
}

/* NULL if there is no room. */
static NetAdmission *admit(NetListener *l, const NetAddress *from) {
        bool stranger = !l->handler.known || !l->handler.known(l->handler.userdata, from);
        Lobby *b = l->lobby;
        NetAdmission *a;

        if (lobby_is_full(l, stranger) || host_is_full(l, from))
                make_room(l, from);
        if (lobby_is_full(l, stranger) || host_is_full(l, from))
                return NULL;

        a = g_new(NetAdmission, 1);
        *a = (NetAdmission) { .lobby = b, .from = *from, .stranger = stranger };
        b->refs++;
        b->strangers += stranger;
        g_ptr_array_add(b->admissions, a);
        return a;
}

static int on_rested(sd_event_source *source, uint64_t usec, void *userdata) {
        NetListener *l = userdata;

        (void) sd_event_source_set_enabled(l->io, SD_EVENT_ON);
        return 0;
}

static void rest(NetListener *l) {
        l->statistics.rests++;
        if (sd_event_source_set_time_relative(l->rest, l->options.rest_usec) >= 0 &&
            sd_event_source_set_enabled(l->rest, SD_EVENT_ONESHOT) >= 0)
                (void) sd_event_source_set_enabled(l->io, SD_EVENT_OFF);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        NetListener *l = userdata;

        for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
                NetAdmission *a;
                NetAddress from;
                int connection, r;

                r = net_accept(l->fd, &connection, &from);
                if (r == -EAGAIN)
                        break;
                if (r == -EINTR || r == -ECONNABORTED)
                        continue;
                if (r < 0) {
                        rest(l);
                        break;
                }

                a = admit(l, &from);
                if (!a) {
                        l->statistics.refused++;
                        close(connection);
                        continue;
                }
                l->statistics.accepted++;
                l->handler.accepted(l->handler.userdata, connection, &from, a);
        }
        return 0;
}

int net_listener_new(sd_event *event, const NetAddress *address, const NetListenerOptions *options,
                     const NetListenerHandler *handler, NetListener **ret) {
        NetListener *l = g_new0(NetListener, 1);
        int r;

        l->event = sd_event_ref(event);
        l->handler = *handler;
        l->options = *options;
        if (l->options.pending_max == 0)
                l->options.pending_max = 256;
        if (l->options.pending_of_host_max == 0)
                l->options.pending_of_host_max = 64;
        if (l->options.rest_usec == 0)
                l->options.rest_usec = 100000;
        l->lobby = g_new0(Lobby, 1);
        l->lobby->refs = 1;
        l->lobby->admissions = g_ptr_array_new();

        r = net_listen(address, &l->fd, &l->address);
        if (r < 0) {
                l->fd = -1;
                net_listener_free(l);
                return r;
        }
        r = sd_event_add_io(event, &l->io, l->fd, EPOLLIN, on_io, l);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &l->rest, CLOCK_MONOTONIC, l->options.rest_usec, 10000, on_rested, l);
        if (r >= 0)
                r = sd_event_source_set_enabled(l->rest, SD_EVENT_OFF);
        if (r < 0) {
                net_listener_free(l);
                return r;
        }

        *ret = l;
        return 0;
}

NetListener *net_listener_free(NetListener *l) {
        if (!l)
                return NULL;

        sd_event_source_disable_unref(l->io);
        sd_event_source_disable_unref(l->rest);
        if (l->fd >= 0)
                close(l->fd);
        lobby_unref(l->lobby);
        sd_event_unref(l->event);
        g_free(l);
        return NULL;
}

const NetAddress *net_listener_address(const NetListener *l) {
        return &l->address;
}

void net_listener_get_statistics(const NetListener *l, NetListenerStatistics *ret) {
        *ret = l->statistics;
        ret->pending = l->lobby->admissions->len;
}
