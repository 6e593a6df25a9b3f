/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Connection
 */

#include "dbus/server/connection.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/base/limits.h"
#include "dbus/server/caller.h"
#include "dbus/server/server-private.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define MESSAGES_PER_TURN 64            /* of one connection, so that the others get theirs, */
#define TURN_USEC 2000                  /* and for no longer than this */
#define HANDSHAKE_USEC (UINT64_C(30) * 1000 * 1000)
#define STALL_USEC (UINT64_C(30) * 1000 * 1000) /* too much unread for so long: closed */
#define OUTPUT_PAUSE_BYTES (LIMIT_OUTPUT_BYTES / 4)
#define UNKNOWN_MESSAGE_BYTES (32 * 1024)       /* sd-bus's own answers: introspection, properties */

void connection_doom(Connection *n) {
        if (n->doomed)
                return;
        n->doomed = true;
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

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Connection *n = userdata;

        n->messages++;
        return 0;
}

/* One step of sd-bus: it writes, or takes some or all of a message from the feed and has it answered. */
static int connection_turn(Connection *n) {
        uint64_t before = n->messages;
        int r;

        r = sd_bus_process(n->channel.bus, NULL);
        if (r < 0)
                return r;
        feed_take(&n->feed, n->messages - before);
        output_update(n, 0);
        return r == 0 ? feed_drained(&n->feed) : 0;
}

static void connection_fail(Connection *n, int error) {
        if (error == -EMSGSIZE || error == -EBADMSG)
                connection_cut(n);
        else
                connection_doom(n);
}

static void connection_process(Connection *n) {
        int64_t end_usec = g_get_monotonic_time() + TURN_USEC;
        unsigned turns = 0;
        int r;

        while (connection_may_read(n)) {
                if (turns++ == MESSAGES_PER_TURN || g_get_monotonic_time() >= end_usec) {
                        deferred_schedule(&n->channel.server->later, &n->more);
                        return;
                }
                if (feed_is_empty(&n->feed)) {
                        r = feed_fill(&n->feed, n->fd);
                        if (r == 0)
                                return;
                } else
                        r = connection_turn(n);
                if (r < 0)
                        connection_fail(n, r);
        }
}

/* Writes what waits.  Should there be no room for any of it, sd-bus reads instead, which is of the feed. */
static void connection_flush(Connection *n) {
        uint64_t before = n->unread.length;
        int r;

        r = connection_turn(n);
        if (r < 0)
                connection_fail(n, r);
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
        }
        feed_done(&n->feed);
        close(n->fd);
        if (n->pidfd >= 0)
                close(n->pidfd);
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
static int bus_shake_hands(sd_bus *bus, int fd, bool fds) {
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

/* `fds`, for input and output, become the bus's. */
static int bus_start(const Connection *n, const int *fds, int peer, sd_bus **ret) {
        sd_bus *bus = NULL;
        int r;

        r = sd_bus_new(&bus);
        if (r < 0 || (r = sd_bus_set_fd(bus, fds[0], fds[1])) < 0) {
                sd_bus_unref(bus);
                close(fds[0]);
                close(fds[1]);
                return r;
        }
        r = sd_bus_set_server(bus, true, n->handshake.server);
        if (r >= 0)
                r = sd_bus_negotiate_fds(bus, n->handshake.fds);
        if (r >= 0)
                r = bus_shake_hands(bus, peer, n->handshake.fds);
        if (r < 0) {
                sd_bus_close_unref(bus);
                return r;
        }
        *ret = bus;
        return 0;
}

/* Gives sd-bus a pair of sockets to shake hands on; then its input becomes the feed, and its output the peer's socket. */
static int bus_new(Connection *n, sd_bus **ret) {
        int pair[2], fds[2], feed, r;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -errno;
        fds[0] = pair[0];
        fds[1] = fcntl(pair[0], F_DUPFD_CLOEXEC, 0);
        if (fds[1] < 0) {
                r = -errno;
                close(pair[0]);
                close(pair[1]);
                return r;
        }
        r = bus_start(n, fds, pair[1], ret);
        close(pair[1]);
        if (r < 0)
                return r;

        r = feed_open(&n->feed, &feed);
        if (r >= 0) {
                if (dup3(feed, fds[0], O_CLOEXEC) < 0 || dup3(n->fd, fds[1], O_CLOEXEC) < 0)
                        r = -errno;
                close(feed);
        }
        if (r < 0)
                sd_bus_close_unref(*ret);
        return r;
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

/* From here on the peer speaks to sd-bus. */
static int connection_begin(Connection *n) {
        sd_bus *bus = NULL;
        int r;

        r = bus_new(n, &bus);
        if (r < 0)
                return r;
        channel_init(&n->channel, n->channel.server, bus, n);
        sd_bus_unref(bus);
        n->channel.caller = caller_new(&n->channel, NULL);
        caller_set_credentials(n->channel.caller, n->account->uid, n->pid, n->pidfd);
        n->pidfd = -1;
        timer_stop(n);
        return publish(n);
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

/* A descriptor of the process that connected.  Kernels before 6.5 do not say; then it is made from the pid at once, so that only a
 * pid that changed hands since it connected, a moment ago, is mistaken. */
static int peer_pidfd(int fd, pid_t pid) {
        socklen_t size = sizeof(int);
        int pidfd;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) < 0)
                pidfd = pid > 0 ? (int) syscall(SYS_pidfd_open, pid, 0) : -1;
        return pidfd;
}

void connection_new(Server *s, int fd, const struct ucred *peer) {
        Connection *n = g_new0(Connection, 1);

        n->channel.server = s;
        n->channel.connection = n;
        n->account = account_get(s, peer->uid);
        n->account->connections++;
        n->pid = peer->pid;
        n->pidfd = peer_pidfd(fd, peer->pid);
        n->fd = fd;
        n->feed = FEED_INIT;
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
