/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Connection
 */

#include "dbus/server/connection.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "agent/base/limits.h"
#include "dbus/server/caller.h"
#include "dbus/server/server-private.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define MESSAGES_PER_TURN 64            /* of one connection, so that the others get theirs */
#define HANDSHAKE_USEC (UINT64_C(30) * 1000 * 1000)
#define STALL_USEC (UINT64_C(30) * 1000 * 1000) /* too much unread for so long: closed */
#define OUTPUT_PAUSE_BYTES (LIMIT_OUTPUT_BYTES / 4)
#define UNKNOWN_MESSAGE_BYTES (32 * 1024)       /* sd-bus's own answers: introspection, properties */
#define FRAME_BYTES_MAX (2 * LIMIT_REQUEST_BYTES)       /* the largest request, with room for how D-Bus writes it */
#define FRAME_HEADER_BYTES 16
#define PEEK_BYTES 2048

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

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        connection_cut(userdata);
        return 0;
}

static void timer_start(Connection *n, uint64_t usec) {
        (void) sd_event_source_set_time_relative(n->timer, usec);
        (void) sd_event_source_set_enabled(n->timer, SD_EVENT_ONESHOT);
}

static void timer_stop(Connection *n) {
        (void) sd_event_source_set_enabled(n->timer, SD_EVENT_OFF);
}

/* Edge-triggered: a connection that waits for others, or for more of a header, is not told again and again of what it knows. */
static void events_update(Connection *n) {
        uint32_t events = EPOLLET | EPOLLIN | (n->unread.length > 0 ? EPOLLOUT : 0);

        if (n->doomed || events == n->events)
                return;
        n->events = events;
        (void) sd_event_source_set_io_events(n->io, events);
}

/*
 * Output
 */

static void output_limit(Connection *n) {
        if (n->unread_bytes > LIMIT_OUTPUT_BYTES && n->unread.length > 1)
                connection_cut(n);
        else if (n->unread_bytes > OUTPUT_PAUSE_BYTES) {
                if (!n->paused)
                        timer_start(n, STALL_USEC);
                n->paused = true;
        } else if (n->paused) {
                n->paused = false;
                timer_stop(n);
                deferred_schedule(&n->channel.server->later, &n->more);
        }
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

        output_limit(n);
        events_update(n);
}

void connection_sent(Connection *n, int result, uint64_t bytes) {
        if (result < 0)
                connection_cut(n);
        else
                output_update(n, bytes);
}

/*
 * Input
 */

static bool connection_may_read(const Connection *n) {
        return !n->doomed && !n->paused && !caller_is_held(n->channel.caller);
}

/* A message's size from the beginning of its header; 0 if that is none. */
static uint64_t frame_size(const uint8_t *header) {
        uint32_t body, fields;

        memcpy(&body, header + 4, 4);
        memcpy(&fields, header + 12, 4);
        if (header[0] == 'l') {
                body = le32toh(body);
                fields = le32toh(fields);
        } else if (header[0] == 'B') {
                body = be32toh(body);
                fields = be32toh(fields);
        } else
                return 0;
        return FRAME_HEADER_BYTES + (((uint64_t) fields + 7) & ~UINT64_C(7)) + body;
}

/*
 * sd-bus takes messages of up to 128 MiB and reads on for as long as something comes.  It reads exactly one message, though, and
 * stands between two after each it has given out: there we look at what comes next, before it does.
 * 1: the next message may be read; 0: nothing of it is there, or not enough to tell; negative errno: hang up.
 */
static int frames_look(Connection *n) {
        uint8_t ahead[PEEK_BYTES];
        uint64_t at = 0;
        ssize_t size;

        if (n->frames > 0)
                return 1;
        size = recv(n->fd, ahead, sizeof(ahead), MSG_PEEK | MSG_DONTWAIT);
        if (size < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (size == 0)
                return -ECONNRESET;
        while (at + FRAME_HEADER_BYTES <= (uint64_t) size) {
                uint64_t frame = frame_size(ahead + at);

                if (frame == 0 || frame > FRAME_BYTES_MAX)
                        return -EMSGSIZE;
                n->frames++;
                at += frame;
        }
        return n->frames > 0;
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Connection *n = userdata;

        n->messages++;
        return 0;
}

/* One step of sd-bus: it writes, or reads some or all of a message and has it answered. */
static int connection_turn(Connection *n) {
        uint64_t before = n->messages;
        int r;

        r = sd_bus_process(n->channel.bus, NULL);
        n->frames -= MIN(n->frames, n->messages - before);
        if (r >= 0)
                output_update(n, 0);
        return r;
}

static void connection_process(Connection *n) {
        unsigned turns = 0;
        int r = 1;

        while (r > 0 && connection_may_read(n) && turns++ < MESSAGES_PER_TURN) {
                r = frames_look(n);
                if (r > 0)
                        r = connection_turn(n);
        }
        if (r == -EMSGSIZE)
                connection_cut(n);
        else if (r < 0)
                connection_doom(n);
        else if (r > 0 && connection_may_read(n))
                deferred_schedule(&n->channel.server->later, &n->more);
}

/* Writes what waits.  Should there be no room for any of it, sd-bus reads instead, so the next message is looked at before. */
static void connection_flush(Connection *n) {
        uint64_t before = n->unread.length;
        int r;

        r = frames_look(n);
        if (r == -EMSGSIZE) {
                connection_cut(n);
                return;
        }
        r = connection_turn(n);
        if (r < 0)
                connection_doom(n);
        else if (n->paused && n->unread.length < before)
                timer_start(n, STALL_USEC);
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

/*
 * Life
 */

void connection_free(Connection *n) {
        Server *s = n->channel.server;

        n->doomed = true;
        deferred_cancel(&s->later, &n->more);
        deferred_cancel(&s->later, &n->close);
        n->channel.caller = caller_free(n->channel.caller);
        sd_event_source_disable_unref(n->io);
        sd_event_source_disable_unref(n->timer);
        if (n->channel.bus) {
                sd_bus_close(n->channel.bus);
                channel_done(&n->channel);
        } else {
                close(n->fd);
                if (n->pidfd >= 0)
                        close(n->pidfd);
        }
        g_queue_clear(&n->unread);
        g_queue_unlink(&s->connections, &n->link);
        n->account->connections--;
        account_unref(n->account);
        g_free(n);
}

static void connection_on_close(void *userdata) {
        connection_free(userdata);
}

/* sd-bus insists on a handshake of its own: it has one with us. */
static int bus_start(sd_bus *bus, int fd, bool fds) {
        static const char with_fds[] = "\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n";
        static const char without[] = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
        const char *text = fds ? with_fds : without;
        ssize_t size = fds ? sizeof(with_fds) - 1 : sizeof(without) - 1;
        int r;

        if (write(fd, text, size) != size)
                return -EIO;
        r = sd_bus_start(bus);
        while (r >= 0 && sd_bus_is_ready(bus) == 0) {
                r = sd_bus_process(bus, NULL);
                if (r == 0)
                        return -EIO;            /* everything it may wait for is there */
        }
        return r;
}

/* Gives sd-bus a pair of sockets to shake hands on, and then puts the peer's in the place of its own. */
static int bus_new(const Connection *n, sd_bus **ret) {
        sd_bus *bus = NULL;
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -errno;
        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_fd(bus, pair[0], pair[0]);
        if (r < 0)
                close(pair[0]);
        if (r >= 0)
                r = sd_bus_set_server(bus, true, n->handshake.server);
        if (r >= 0)
                r = sd_bus_negotiate_fds(bus, n->handshake.fds);
        if (r >= 0)
                r = bus_start(bus, pair[1], n->handshake.fds);
        if (r >= 0 && dup3(n->fd, pair[0], O_CLOEXEC) < 0)
                r = -errno;
        close(pair[1]);
        if (r < 0) {
                sd_bus_close_unref(bus);
                return r;
        }
        *ret = bus;
        return pair[0];
}

static int publish(Connection *n) {
        sd_bus *bus = n->channel.bus;
        sd_bus_slot *slot;
        int r;

        r = sd_bus_add_filter(bus, &slot, on_message, n);
        if (r < 0)
                return r;
        g_ptr_array_add(n->channel.slots, slot);
        r = sd_bus_add_object_vtable(bus, &slot, "/org/freedesktop/DBus", "org.freedesktop.DBus", peer_vtable, n);
        if (r < 0)
                return r;
        g_ptr_array_add(n->channel.slots, slot);
        return channel_publish(&n->channel);
}

static int connection_on_io(sd_event_source *source, int fd, uint32_t events, void *userdata);

/* From here on the peer speaks to sd-bus. */
static int connection_begin(Connection *n) {
        Server *s = n->channel.server;
        sd_bus *bus = NULL;
        int r;

        r = bus_new(n, &bus);
        if (r < 0)
                return r;
        n->io = sd_event_source_disable_unref(n->io);
        close(n->fd);
        n->fd = r;
        channel_init(&n->channel, s, bus, n);
        sd_bus_unref(bus);
        n->channel.caller = caller_new(&n->channel, NULL);
        caller_set_credentials(n->channel.caller, n->account->uid, n->pid, n->pidfd);
        n->pidfd = -1;
        timer_stop(n);
        n->events = EPOLLET | EPOLLIN;
        r = sd_event_add_io(s->event, &n->io, n->fd, n->events, connection_on_io, n);
        return r < 0 ? r : publish(n);
}

static void connection_shake_hands(Connection *n) {
        int r;

        r = handshake_step(&n->handshake);
        if (r > 0)
                r = connection_begin(n);
        else if (r == 0)
                return;
        if (r < 0)
                connection_doom(n);
        else
                connection_resume(n);           /* the first messages may be there already */
}

static int connection_on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Connection *n = userdata;

        if (n->doomed)
                return 0;
        if (!n->channel.bus) {
                connection_shake_hands(n);
                return 0;
        }
        if (n->unread.length > 0 && (events & EPOLLOUT))
                connection_flush(n);
        if (connection_may_read(n))
                connection_process(n);
        else if (n->paused && (events & (EPOLLHUP | EPOLLERR)))
                connection_doom(n);             /* it will never read what waits for it */
        return 0;
}

static int connection_start(Connection *n) {
        Server *s = n->channel.server;
        int r;

        n->events = EPOLLET | EPOLLIN;
        r = sd_event_add_io(s->event, &n->io, n->fd, n->events, connection_on_io, n);
        if (r < 0)
                return r;
        return sd_event_add_time_relative(s->event, &n->timer, CLOCK_BOOTTIME, HANDSHAKE_USEC, 0, on_timer, n);
}

void connection_new(Server *s, int fd, const struct ucred *peer) {
        Connection *n = g_new0(Connection, 1);
        socklen_t size = sizeof(n->pidfd);

        n->channel.server = s;
        n->channel.connection = n;
        n->account = account_get(s, peer->uid);
        n->account->connections++;
        n->pid = peer->pid;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &n->pidfd, &size) < 0)
                n->pidfd = -1;
        n->fd = fd;
        n->number = ++s->next_connection;
        n->handshake = (Handshake) { .fd = fd, .uid = peer->uid, .server = s->socket_id };
        n->link.data = n;
        g_queue_init(&n->unread);
        deferred_init(&n->more, connection_on_more, n);
        deferred_init(&n->close, connection_on_close, n);
        g_queue_push_tail_link(&s->connections, &n->link);
        s->counters.connections_opened++;
        if (connection_start(n) < 0)
                connection_free(n);
}
