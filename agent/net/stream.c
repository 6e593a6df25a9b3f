/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Stream
 */

#include "agent/net/stream.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>
#include <openssl/err.h>

#include "agent/net/bio.h"

#define HANDSHAKE_USEC_DEFAULT UINT64_C(5000000)
#define INPUT_MAX_DEFAULT (16 * 1024)
#define OUTPUT_MAX_DEFAULT (16 * 1024 * 1024)
#define HANDSHAKE_BYTES_MAX (16 * 1024) /* what a stranger may send; an honest handshake takes one of them */
#define READ_BYTES 16384                /* a TLS record */
#define READ_BYTES_PER_TURN (256 * 1024)
#define WRITE_BYTES_PER_TURN (1024 * 1024)
#define KEEPALIVE_IDLE_SEC 5            /* nothing was said for so long: is the other side's host still there? */
#define KEEPALIVE_INTERVAL_SEC 2
#define USER_TIMEOUT_MSEC 5000          /* data that nobody acknowledges for so long: the connection is dead */

typedef struct Buffer {
        uint8_t *data;
        size_t start, end, allocated;
} Buffer;

struct NetStream {
        sd_event *event;
        NetBio socket;
        SSL *ssl;
        NetStreamOptions options;
        NetStreamHandler handler;
        sd_event_source *io, *deadline;
        sd_event_source *flush;         /* something was written; calls no handler but closed() */
        sd_event_source *more;          /* something may wait inside TLS, which epoll knows nothing of */
        Buffer in, out;
        bool established, paused, failed, over_limit;
        bool wants_write;               /* waits for room in the socket */
        bool *freed;                    /* set when the stream is freed from inside a handler */
        NetStreamStatistics statistics;
};

static size_t buffer_size(const Buffer *b) {
        return b->end - b->start;
}

/* Room for `size` more bytes at the end. */
static uint8_t *buffer_reserve(Buffer *b, size_t size) {
        /* Only if that frees as much as it moves: a full queue that drains in drops is not moved for each of them. */
        if (b->end + size > b->allocated && b->start > 0 && b->start >= buffer_size(b)) {
                memmove(b->data, b->data + b->start, buffer_size(b));
                b->end -= b->start;
                b->start = 0;
        }
        if (b->end + size > b->allocated) {
                b->allocated = MAX(b->end + size, b->allocated * 2);
                b->data = g_realloc(b->data, b->allocated);
        }
        return b->data + b->end;
}

static void buffer_take(Buffer *b, size_t size) {
        assert(size <= buffer_size(b));

        b->start += size;
        if (b->start < b->end)
                return;

        b->start = b->end = 0;
        if (b->allocated > 1024 * 1024) {       /* one large frame is no reason to keep the room */
                g_clear_pointer(&b->data, g_free);
                b->allocated = 0;
        }
}

/* Tells the owner; true if the stream is still there. */
static bool fail(NetStream *s, const char *reason) {
        bool freed = false;

        if (s->failed)
                return true;

        s->failed = true;
        (void) sd_event_source_set_enabled(s->io, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(s->flush, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(s->more, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(s->deadline, SD_EVENT_OFF);
        s->freed = &freed;
        s->handler.closed(s->handler.userdata, reason);
        if (!freed)
                s->freed = NULL;
        return !freed;
}

static bool fail_tls(NetStream *s, int r) {
        int code = SSL_get_error(s->ssl, r), saved_errno = errno;
        unsigned long e = ERR_peek_error();
        char text[256] = "closed by the other side";

        if (code == SSL_ERROR_SYSCALL && e == 0 && saved_errno != 0)
                g_strlcpy(text, strerror(saved_errno), sizeof(text));
        else if (code != SSL_ERROR_ZERO_RETURN && e != 0)
                g_snprintf(text, sizeof(text), "TLS: %s", ERR_reason_error_string(e) ?: "error");
        ERR_clear_error();
        return fail(s, text);
}

/* What epoll should wait for.  With nothing to wait for the source is off: epoll would still report a connection that hung up,
 * again and again, while nobody looks. */
static void watch_socket(NetStream *s) {
        uint32_t events = (s->paused && s->established ? 0 : EPOLLIN) | (s->wants_write ? EPOLLOUT : 0);

        if (events != 0)
                (void) sd_event_source_set_io_events(s->io, events);
        (void) sd_event_source_set_enabled(s->io, events != 0 ? SD_EVENT_ON : SD_EVENT_OFF);
}

/* Returns 1 if it may go on, 0 if it has to wait, -1 if the stream is gone or failed. */
static int after_tls(NetStream *s, int r) {
        switch (SSL_get_error(s->ssl, r)) {
        case SSL_ERROR_WANT_READ:
                return 0;
        case SSL_ERROR_WANT_WRITE:
                s->wants_write = true;
                return 0;
        default:
                (void) fail_tls(s, r);
                return -1;
        }
}

static int handshake(NetStream *s) {
        uint8_t pin[NET_PIN_BYTES];
        bool freed = false, welcome;
        int r;

        ERR_clear_error();
        errno = 0;
        r = SSL_do_handshake(s->ssl);
        if (r != 1)
                return after_tls(s, r);

        if (!net_peer_pin(s->ssl, pin)) {
                (void) fail(s, "the other side showed no key");
                return -1;
        }

        s->freed = &freed;
        welcome = s->handler.verify(s->handler.userdata, pin);
        if (freed)
                return -1;
        s->freed = NULL;
        if (!welcome) {
                (void) fail(s, "the other side's key is not welcome");
                return -1;
        }

        s->established = true;
        s->socket.limited = false;
        (void) sd_event_source_set_enabled(s->deadline, SD_EVENT_OFF);
        return 1;
}

/* Hands over what is there; -1 if the stream is gone or failed. */
static int deliver(NetStream *s) {
        while (buffer_size(&s->in) > 0 && !s->paused) {
                bool freed = false;
                ssize_t taken;

                s->freed = &freed;
                taken = s->handler.bytes(s->handler.userdata, s->in.data + s->in.start, buffer_size(&s->in));
                if (freed)
                        return -1;
                s->freed = NULL;
                if (taken < 0) {
                        (void) fail(s, "it broke the protocol");
                        return -1;
                }
                if (taken == 0)
                        break;
                buffer_take(&s->in, (size_t) taken);
        }

        return 0;
}

static int receive(NetStream *s) {
        size_t turn = 0;

        while (!s->paused && turn < READ_BYTES_PER_TURN) {
                size_t room = s->options.input_max > buffer_size(&s->in) ? s->options.input_max - buffer_size(&s->in) : 0;
                int r;

                if (room == 0) {
                        (void) fail(s, "it sent more than is allowed before it was understood");
                        return -1;
                }
                ERR_clear_error();
                errno = 0;
                r = SSL_read(s->ssl, buffer_reserve(&s->in, MIN(room, READ_BYTES)), (int) MIN(room, READ_BYTES));
                if (r <= 0)
                        return after_tls(s, r);

                s->in.end += (size_t) r;
                turn += (size_t) r;
                s->statistics.bytes_in += (uint64_t) r;
                if (deliver(s) < 0)
                        return -1;
        }

        return 1;
}

/* A write that had to wait is repeated with the same bytes at its head: the queue only grows behind them. */
static int transmit(NetStream *s) {
        size_t turn = 0;

        while (buffer_size(&s->out) > 0) {
                int r;

                if (turn >= WRITE_BYTES_PER_TURN) {
                        s->wants_write = true;          /* the rest in its turn */
                        return 0;
                }
                ERR_clear_error();
                errno = 0;
                r = SSL_write(s->ssl, s->out.data + s->out.start, (int) MIN(buffer_size(&s->out), 1 << 20));
                if (r <= 0)
                        return after_tls(s, r);

                buffer_take(&s->out, (size_t) r);
                turn += (size_t) r;
                s->statistics.bytes_out += (uint64_t) r;
        }

        return 1;
}

/* The stream may be gone after it. */
static bool fail_over_limit(NetStream *s) {
        if (!s->over_limit)
                return false;

        (void) fail(s, "it does not read what it is sent");
        return true;
}

/* One turn: handshake, then what goes out, then what comes in. */
static void turn(NetStream *s) {
        int r = 1;

        if (s->failed || fail_over_limit(s))
                return;

        s->wants_write = false;
        if (!s->established)
                r = handshake(s);
        if (r > 0)
                r = transmit(s);
        if (r < 0)
                return;
        if (s->established) {
                if (deliver(s) < 0)
                        return;
                r = receive(s);
                if (r < 0)
                        return;
                if (!s->paused && r > 0)
                        (void) sd_event_source_set_enabled(s->more, SD_EVENT_ONESHOT);
        }
        watch_socket(s);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        turn(userdata);
        return 0;
}

static int on_more(sd_event_source *source, uint64_t usec, void *userdata) {
        turn(userdata);
        return 0;
}

static int on_flush(sd_event_source *source, void *userdata) {
        NetStream *s = userdata;

        if (s->failed || fail_over_limit(s) || !s->established)
                return 0;
        if (transmit(s) >= 0)
                watch_socket(s);
        return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) fail(userdata, "it took too long over the handshake");
        return 0;
}

static void set_socket_options(int fd) {
        int one = 1, user_timeout = USER_TIMEOUT_MSEC, idle = KEEPALIVE_IDLE_SEC, interval = KEEPALIVE_INTERVAL_SEC;

        /* Best effort: a socket pair in a test has none of them. */
        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        (void) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof(user_timeout));
        (void) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
        (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
        (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
}

/* A defer source that is on comes before all others of its priority, whenever they became ready.  So only what is done once and
 * leads to no more of the same may be one; a timer that is always over waits for its turn like everybody. */
static bool add_sources(NetStream *s) {
        return sd_event_add_io(s->event, &s->io, s->socket.fd, EPOLLIN | EPOLLOUT, on_io, s) >= 0 &&
                sd_event_add_defer(s->event, &s->flush, on_flush, s) >= 0 &&
                sd_event_source_set_enabled(s->flush, SD_EVENT_OFF) >= 0 &&
                sd_event_add_time(s->event, &s->more, CLOCK_MONOTONIC, 0, 1, on_more, s) >= 0 &&
                sd_event_source_set_enabled(s->more, SD_EVENT_OFF) >= 0 &&
                sd_event_add_time_relative(s->event, &s->deadline, CLOCK_BOOTTIME, s->options.handshake_usec, 100000,
                                           on_deadline, s) >= 0;
}

NetStream *net_stream_new(sd_event *event, int fd, const NetKey *key, const NetStreamOptions *options,
                          const NetStreamHandler *handler) {
        NetStream *s = g_new0(NetStream, 1);
        BIO *bio;

        s->event = sd_event_ref(event);
        s->socket = (NetBio) { .fd = fd, .limited = true, .left = HANDSHAKE_BYTES_MAX };
        s->options = *options;
        if (s->options.handshake_usec == 0)
                s->options.handshake_usec = HANDSHAKE_USEC_DEFAULT;
        if (s->options.input_max == 0)
                s->options.input_max = INPUT_MAX_DEFAULT;
        if (s->options.output_max == 0)
                s->options.output_max = OUTPUT_MAX_DEFAULT;
        s->handler = *handler;
        set_socket_options(fd);
        s->ssl = SSL_new(net_key_context(key));
        bio = net_bio_new(&s->socket);
        if (!s->ssl || !bio) {
                BIO_free(bio);
                return net_stream_free(s);
        }
        SSL_set_bio(s->ssl, bio, bio);
        if (!add_sources(s))
                return net_stream_free(s);

        if (options->server)
                SSL_set_accept_state(s->ssl);
        else
                SSL_set_connect_state(s->ssl);
        return s;
}

static void say_goodbye(NetStream *s) {
        int r = 1;

        ERR_clear_error();
        while (r > 0 && buffer_size(&s->out) > 0) {
                r = SSL_write(s->ssl, s->out.data + s->out.start, (int) MIN(buffer_size(&s->out), 1 << 20));
                if (r > 0)
                        buffer_take(&s->out, (size_t) r);
        }
        if (r > 0)
                (void) SSL_shutdown(s->ssl);
        ERR_clear_error();
}

NetStream *net_stream_free(NetStream *s) {
        if (!s)
                return NULL;

        if (s->freed)
                *s->freed = true;
        if (s->established && !s->failed)
                say_goodbye(s);
        sd_event_source_disable_unref(s->io);
        sd_event_source_disable_unref(s->flush);
        sd_event_source_disable_unref(s->more);
        sd_event_source_disable_unref(s->deadline);
        SSL_free(s->ssl);
        close(s->socket.fd);
        sd_event_unref(s->event);
        g_free(s->in.data);
        g_free(s->out.data);
        g_free(s);
        return NULL;
}

void net_stream_set_input_max(NetStream *s, size_t input_max) {
        s->options.input_max = input_max;
}

bool net_stream_write(NetStream *s, const void *data, size_t size) {
        if (s->failed)
                return false;
        if (size == 0)
                return true;

        (void) sd_event_source_set_enabled(s->flush, SD_EVENT_ONESHOT);
        if (buffer_size(&s->out) + size > s->options.output_max) {
                s->over_limit = true;
                return false;
        }

        memcpy(buffer_reserve(&s->out, size), data, size);
        s->out.end += size;
        return true;
}

size_t net_stream_queued(const NetStream *s) {
        return buffer_size(&s->out);
}

void net_stream_pause(NetStream *s, bool paused) {
        if (s->paused == paused || s->failed)
                return;

        s->paused = paused;
        if (!paused)
                (void) sd_event_source_set_enabled(s->more, SD_EVENT_ONESHOT);
        watch_socket(s);
}

void net_stream_get_statistics(const NetStream *s, NetStreamStatistics *ret) {
        *ret = s->statistics;
}
