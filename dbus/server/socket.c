/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Socket
 */

#include "dbus/server/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/base/limits.h"
#include "dbus/server/connection.h"
#include "dbus/server/server-private.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

#define ACCEPTS_PER_TURN 16
#define ACCEPT_PAUSE_USEC (UINT64_C(1000) * 1000)       /* after running out of descriptors, or while it is closed */

typedef struct Listener {
        Server *server;
        const SocketKind *kind;
        int fd;
        sd_event_source *io, *again;
        GList link;
} Listener;

static bool peer_is_admitted(Server *s, const struct ucred *peer) {
        Account *a;
        bool room;

        if (s->connections.length >= LIMIT_CONNECTIONS)
                return false;
        a = account_get(s, peer->uid);
        room = account_has_room(a, ACCOUNT_CONNECTIONS);
        if (!room)
                g_free(account_limit_text(a, ACCOUNT_CONNECTIONS));     /* there is no message to put it in */
        account_unref(a);
        return room;
}

static int listener_on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        Listener *l = userdata;

        return sd_event_source_set_enabled(l->io, SD_EVENT_ON);
}

static void connection_accepted(Server *s, int fd, const struct ucred *peer) {
        int no = 0;

        if (!peer_is_admitted(s, peer)) {
                s->counters.connections_refused++;
                close(fd);
                return;
        }
        /* No method takes a descriptor.  Kernels that do not know how to refuse them: see feed_fill(). */
        (void) setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no));
        connection_new(s, fd, peer);
}

static void listener_pause(Listener *l) {
        (void) sd_event_source_set_enabled(l->io, SD_EVENT_OFF);
        (void) sd_event_source_set_time_relative(l->again, ACCEPT_PAUSE_USEC);
        (void) sd_event_source_set_enabled(l->again, SD_EVENT_ONESHOT);
}

static int listener_on_io(sd_event_source *source, int listening, uint32_t events, void *userdata) {
        Listener *l = userdata;

        for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
                struct ucred peer;
                socklen_t size = sizeof(peer);
                int fd;

                if (l->kind->is_open && !l->kind->is_open(l->server)) {
                        listener_pause(l);
                        return 0;
                }
                fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd < 0) {
                        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
                                listener_pause(l);
                        return 0;
                }
                if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
                        l->server->counters.connections_refused++;
                        close(fd);
                        continue;
                }
                l->kind->accepted(l->server, fd, &peer);
        }
        return 0;
}

static void listener_free(Listener *l) {
        sd_event_source_disable_unref(l->io);
        sd_event_source_disable_unref(l->again);
        close(l->fd);
        g_queue_unlink(&l->server->listeners, &l->link);
        g_free(l);
}

int socket_listen(Server *s, int fd, const SocketKind *kind) {
        Listener *l = g_new0(Listener, 1);
        int r;

        l->server = s;
        l->kind = kind;
        l->fd = fd;
        l->link.data = l;
        g_queue_push_tail_link(&s->listeners, &l->link);
        r = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0 ? -errno : 0;
        if (r >= 0)
                r = sd_event_add_io(s->event, &l->io, fd, EPOLLIN, listener_on_io, l);
        if (r >= 0)
                r = sd_event_add_time_relative(s->event, &l->again, CLOCK_BOOTTIME, 0, 0, listener_on_again, l);
        if (r >= 0)
                r = sd_event_source_set_enabled(l->again, SD_EVENT_OFF);
        if (r < 0)
                listener_free(l);
        return r;
}

int server_listen(Server *s, int fd) {
        static const SocketKind kind = { .accepted = connection_accepted };

        return socket_listen(s, fd, &kind);
}

void sockets_emit_changed(Server *s, const char *path, const char *interface, char **properties) {
        for (GList *i = s->connections.head; i; i = i->next) {
                Connection *n = i->data;

                /* Whoever has not spoken yet waits for the answer to Hello and takes nothing else. */
                if (n->doomed || !n->channel.bus || n->messages == 0 || (n->hello && !n->matched))
                        continue;
                connection_sent(n, sd_bus_emit_properties_changed_strv(n->channel.bus, path, interface, properties), 0);
        }
}

void sockets_close_all(Server *s) {
        while (s->connections.length > 0)
                connection_free(g_queue_peek_head(&s->connections));
        while (s->listeners.length > 0)
                listener_free(g_queue_peek_head(&s->listeners));
}
