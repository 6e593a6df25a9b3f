/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Socket
 *
 * The connections are driven here and not by sd_bus_attach_event(): reading must be able to pause, and
 * thousands of connections must not cost a callback each per turn of the event loop.
 */

#include "dbus/server/socket.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/base/limits.h"
#include "dbus/server/caller.h"
#include "dbus/server/server-private.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define MESSAGES_PER_TURN 64            /* of one connection, so that the others get theirs */
#define ACCEPTS_PER_TURN 16
#define ACCEPT_PAUSE_USEC (UINT64_C(1000) * 1000)       /* after running out of descriptors */
#define AUTH_USEC (UINT64_C(30) * 1000 * 1000)
#define STALL_USEC (UINT64_C(30) * 1000 * 1000) /* unread for so long: closed */
#define OUTPUT_PAUSE_BYTES (LIMIT_OUTPUT_BYTES / 4)
#define MESSAGE_BYTES_MAX (2 * LIMIT_REQUEST_BYTES)     /* of one that is not complete yet */
#define KERNEL_BYTES (256 * 1024)       /* in the kernel's buffer */
#define UNKNOWN_MESSAGE_BYTES (32 * 1024)       /* sd-bus's own answers: introspection, properties */
#define PEEK_BASE INT32_MAX

typedef struct Listener {
        Server *server;
        int fd;
        sd_event_source *io, *again;
        GList link;
} Listener;

struct Connection {
        Channel channel;
        int fd;                         /* sd-bus's */
        uint64_t number;
        sd_event_source *io, *timer;
        GList link;
        uint32_t events;                /* what `io` waits for */
        bool authenticated, hello, matched, doomed;
        bool paused;                    /* too much is unread */

        GQueue unread;                  /* sizes of the messages in sd-bus's write queue, oldest first */
        uint64_t unread_bytes;
        uint64_t messages;              /* complete ones, ever */
        bool counting;                  /* the kernel counts what is read of a message that is not complete */
        Deferred more, close;
};

bool connection_is_doomed(const Connection *n) {
        return n->doomed;
}

void connection_doom(Connection *n) {
        if (n->doomed)
                return;
        n->doomed = true;
        /* At once: sd-bus may have closed the descriptor, and the next one accepted may get its number. */
        n->io = sd_event_source_disable_unref(n->io);
        deferred_schedule(&n->channel.server->later, &n->close);
}

static void connection_cut(Connection *n) {
        if (!n->doomed)
                n->channel.server->counters.connections_cut++;
        connection_doom(n);
}

static void connection_free(Connection *n) {
        Server *s = n->channel.server;
        Account *a = account_ref(n->channel.caller->account);

        n->doomed = true;
        deferred_cancel(&s->later, &n->more);
        deferred_cancel(&s->later, &n->close);
        n->channel.caller = caller_free(n->channel.caller);
        sd_event_source_disable_unref(n->io);
        sd_event_source_disable_unref(n->timer);
        sd_bus_close(n->channel.bus);
        channel_done(&n->channel);
        g_queue_clear(&n->unread);
        g_queue_unlink(&s->connections, &n->link);
        a->connections--;
        account_unref(a);
        g_free(n);
}

static void connection_on_close(void *userdata) {
        connection_free(userdata);
}

/*
 * Output
 */

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        connection_cut(userdata);
        return 0;
}

static void timer_start(Connection *n, uint64_t usec) {
        (void) sd_event_source_set_time_relative(n->timer, usec);
        (void) sd_event_source_set_enabled(n->timer, SD_EVENT_ONESHOT);
}

/* sd-bus counts the messages in its queue; which these are, and so their bytes, follows from the order. */
static void output_update(Connection *n, uint64_t last_bytes) {
        uint64_t queued = 0;

        (void) sd_bus_get_n_queued_write(n->channel.bus, &queued);
        if (queued == 0 && n->unread.length == 0)
                return;

        while (n->unread.length + (last_bytes > 0) < queued) {
                g_queue_push_tail(&n->unread, GSIZE_TO_POINTER(UNKNOWN_MESSAGE_BYTES));
                n->unread_bytes += UNKNOWN_MESSAGE_BYTES;
        }
        if (last_bytes > 0 && queued > 0) {
                g_queue_push_tail(&n->unread, GSIZE_TO_POINTER(last_bytes));
                n->unread_bytes += last_bytes;
        }
        while (n->unread.length > queued)
                n->unread_bytes -= GPOINTER_TO_SIZE(g_queue_pop_head(&n->unread));

        if (n->unread_bytes > LIMIT_OUTPUT_BYTES && n->unread.length > 1)
                connection_cut(n);
        else if (n->unread_bytes > OUTPUT_PAUSE_BYTES) {
                if (!n->paused)
                        timer_start(n, STALL_USEC);
                n->paused = true;
        } else if (n->paused) {
                n->paused = false;
                (void) sd_event_source_set_enabled(n->timer, SD_EVENT_OFF);
                deferred_schedule(&n->channel.server->later, &n->more);
        }
}

static void events_update(Connection *n) {
        uint32_t events = 0;
        int wanted;

        if (n->doomed)
                return;
        wanted = sd_bus_get_events(n->channel.bus);
        if (wanted > 0)
                events = (wanted & POLLIN ? EPOLLIN : 0) | (wanted & POLLOUT ? EPOLLOUT : 0);
        if (n->paused || caller_is_held(n->channel.caller))
                events &= ~EPOLLIN;
        if (events == n->events)
                return;

        n->events = events;
        /* A hang-up is told even to who waits for nothing, again and again. */
        if (events != 0)
                (void) sd_event_source_set_io_events(n->io, events);
        (void) sd_event_source_set_enabled(n->io, events != 0 ? SD_EVENT_ON : SD_EVENT_OFF);
}

void connection_sent(Connection *n, int result, uint64_t bytes) {
        if (result < 0) {
                connection_cut(n);
                return;
        }
        output_update(n, bytes);
        if (n->unread.length > 0)
                events_update(n);
}

/*
 * Input
 */

/*
 * sd-bus takes messages of up to 128 MiB and keeps what has come of one.  The kernel can count what was read: a peek offset goes
 * down with it.  Nothing of this is done while messages do complete.
 */
static void input_check(Connection *n, bool completed) {
        int offset = PEEK_BASE;
        socklen_t size = sizeof(offset);

        if (completed) {
                n->counting = false;
                return;
        }
        if (n->counting) {
                if (getsockopt(n->fd, SOL_SOCKET, SO_PEEK_OFF, &offset, &size) >= 0 &&
                    PEEK_BASE - offset > MESSAGE_BYTES_MAX)
                        connection_cut(n);
                return;
        }
        if (setsockopt(n->fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset)) >= 0)
                n->counting = true;
}

static bool connection_may_read(const Connection *n) {
        return !n->doomed && !n->paused && !caller_is_held(n->channel.caller);
}

static void connection_process(Connection *n) {
        uint64_t messages = n->messages;
        unsigned turns = 0;
        int r = 1;

        while (r > 0 && connection_may_read(n) && turns++ < MESSAGES_PER_TURN) {
                r = sd_bus_process(n->channel.bus, NULL);
                if (r < 0) {
                        connection_doom(n);
                        return;
                }
                output_update(n, 0);
        }
        if (n->doomed)
                return;

        if (r > 0 && connection_may_read(n))
                deferred_schedule(&n->channel.server->later, &n->more);
        input_check(n, n->messages != messages);
        if (!n->authenticated && sd_bus_is_ready(n->channel.bus) > 0) {
                n->authenticated = true;
                if (!n->paused)
                        (void) sd_event_source_set_enabled(n->timer, SD_EVENT_OFF);
        }
        events_update(n);
}

static int connection_on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Connection *n = userdata;
        int r;

        if (n->doomed)
                return 0;
        if (connection_may_read(n)) {
                connection_process(n);
                return 0;
        }

        if (events & (EPOLLHUP | EPOLLERR)) {
                connection_doom(n);             /* it will never read what waits for it */
                return 0;
        }
        if (!(events & EPOLLOUT))
                return 0;
        /* Writes; only where that brings no message to its end does it also read, one message at most. */
        r = sd_bus_process(n->channel.bus, NULL);
        if (r < 0)
                connection_doom(n);
        else {
                uint64_t before = n->unread.length;

                output_update(n, 0);
                if (n->paused && n->unread.length < before)
                        timer_start(n, STALL_USEC);
                events_update(n);
        }
        return 0;
}

static void connection_on_more(void *userdata) {
        Connection *n = userdata;

        if (!n->doomed)
                connection_process(n);
}

void connection_resume(Connection *n) {
        if (!n->doomed)
                deferred_schedule(&n->channel.server->later, &n->more);
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Connection *n = userdata;

        n->messages++;
        return 0;
}

/*
 * What a client of a broker says first
 */

static int method_hello(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Connection *n = userdata;
        char name[32];

        n->hello = true;
        g_snprintf(name, sizeof(name), ":1.%" PRIu64, n->number);
        return sd_bus_reply_method_return(m, "s", name);
}

/* There is nothing to choose from: a connection gets the signals meant for it. */
static int method_match(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Connection *n = userdata;

        n->matched = true;
        return sd_bus_reply_method_return(m, NULL);
}

static int method_get_id(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Connection *n = userdata;
        char id[SD_ID128_STRING_MAX];

        return sd_bus_reply_method_return(m, "s", sd_id128_to_string(n->channel.server->socket_id, id));
}

static int method_name_has_owner(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *name;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;
        return sd_bus_reply_method_return(m, "b", g_str_equal(name, "org.convene1"));
}

static int method_get_name_owner(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *name;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;
        if (!g_str_equal(name, "org.convene1"))
                return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_NAME_HAS_NO_OWNER, "only org.convene1 is here");
        return sd_bus_reply_method_return(m, "s", "org.convene1");
}

static const sd_bus_vtable broker_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Hello", NULL, "s", method_hello, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("GetId", NULL, "s", method_get_id, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("AddMatch", "s", NULL, method_match, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("RemoveMatch", "s", NULL, method_match, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("NameHasOwner", "s", "b", method_name_has_owner, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("GetNameOwner", "s", "s", method_get_name_owner, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

/*
 * Life
 */

static int connection_start_bus(Connection *n, sd_bus *bus) {
        Server *s = n->channel.server;
        const int output_bytes = KERNEL_BYTES;
        sd_bus_slot *slot;
        int r;

        r = sd_bus_set_fd(bus, n->fd, n->fd);
        if (r < 0)
                return r;
        if ((r = sd_bus_set_server(bus, true, s->socket_id)) < 0 || (r = sd_bus_set_anonymous(bus, false)) < 0 ||
            (r = sd_bus_negotiate_fds(bus, true)) < 0)
                return r;
        r = sd_bus_add_filter(bus, &slot, on_message, n);
        if (r < 0)
                return r;
        g_ptr_array_add(n->channel.slots, slot);
        r = sd_bus_add_object_vtable(bus, &slot, "/org/freedesktop/DBus", "org.freedesktop.DBus", broker_vtable, n);
        if (r < 0)
                return r;
        g_ptr_array_add(n->channel.slots, slot);
        r = channel_publish(&n->channel);
        if (r < 0)
                return r;
        r = sd_bus_start(bus);
        if (r < 0)
                return r;
        /* sd-bus has made it as large as it may, and what is in it counts as sent. */
        (void) setsockopt(n->fd, SOL_SOCKET, SO_SNDBUF, &output_bytes, sizeof(output_bytes));
        return 0;
}

static int connection_start(Connection *n) {
        Server *s = n->channel.server;
        int r;

        r = sd_event_add_io(s->event, &n->io, n->fd, EPOLLIN, connection_on_io, n);
        if (r < 0)
                return r;
        n->events = EPOLLIN;
        r = sd_event_add_time_relative(s->event, &n->timer, CLOCK_BOOTTIME, AUTH_USEC, 0, on_timer, n);
        if (r < 0)
                return r;
        r = connection_start_bus(n, n->channel.bus);
        if (r < 0)
                return r;
        events_update(n);                       /* it has begun to talk */
        return 0;
}

/* Takes the descriptor. */
static void connection_new(Server *s, int fd, const struct ucred *peer) {
        Connection *n = g_new0(Connection, 1);
        sd_bus *bus = NULL;
        int pidfd = -1;
        socklen_t size = sizeof(pidfd);
        int r;

        r = sd_bus_new(&bus);
        assert(r >= 0);                         /* only memory can lack */
        n->fd = fd;
        n->number = ++s->next_connection;
        n->link.data = n;
        g_queue_init(&n->unread);
        deferred_init(&n->more, connection_on_more, n);
        deferred_init(&n->close, connection_on_close, n);
        channel_init(&n->channel, s, bus, n);
        sd_bus_unref(bus);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) < 0)
                pidfd = -1;
        n->channel.caller = caller_new(&n->channel, NULL);
        caller_set_credentials(n->channel.caller, peer->uid, peer->pid, pidfd);
        n->channel.caller->account->connections++;
        g_queue_push_tail_link(&s->connections, &n->link);
        s->counters.connections_opened++;

        r = connection_start(n);
        if (r < 0) {
                if (sd_bus_get_fd(n->channel.bus) < 0)
                        close(fd);
                connection_free(n);
        }
}

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

static int listener_on_io(sd_event_source *source, int listening, uint32_t events, void *userdata) {
        Listener *l = userdata;

        for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
                struct ucred peer;
                socklen_t size = sizeof(peer);
                int no = 0, fd;

                fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd < 0) {
                        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                                (void) sd_event_source_set_enabled(l->io, SD_EVENT_OFF);
                                (void) sd_event_source_set_time_relative(l->again, ACCEPT_PAUSE_USEC);
                                (void) sd_event_source_set_enabled(l->again, SD_EVENT_ONESHOT);
                        }
                        return 0;
                }
                if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || !peer_is_admitted(l->server, &peer)) {
                        l->server->counters.connections_refused++;
                        close(fd);
                        continue;
                }
                /* No method takes a descriptor.  Kernels that do not know how to refuse them: see call_settle(). */
                (void) setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no));
                connection_new(l->server, fd, &peer);
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

int server_listen(Server *s, int fd) {
        Listener *l = g_new0(Listener, 1);
        int r;

        l->server = s;
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

void sockets_emit_changed(Server *s, const char *interface, char **properties) {
        for (GList *i = s->connections.head; i; i = i->next) {
                Connection *n = i->data;

                if (n->doomed || !n->authenticated || (n->hello && !n->matched))
                        continue;
                (void) sd_bus_emit_properties_changed_strv(n->channel.bus, OBJECT_PATH, interface, properties);
                output_update(n, 0);
                if (n->unread.length > 0)
                        events_update(n);
        }
}

void sockets_close_all(Server *s) {
        while (s->connections.length > 0)
                connection_free(g_queue_peek_head(&s->connections));
        while (s->listeners.length > 0)
                listener_free(g_queue_peek_head(&s->listeners));
}
