/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Net: streams and keys
 */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>
#include <openssl/err.h>

#include "agent/base/prng.h"
#include "agent/net/address.h"
#include "agent/net/socket.h"
#include "agent/net/stream.h"
#include "tests/unit/run-until.h"

typedef struct Side {
        NetStream *stream;
        uint8_t welcome[NET_PIN_BYTES], seen[NET_PIN_BYTES];
        GByteArray *received;
        char *closed;
        unsigned verified, calls;
        size_t at_least;                /* takes nothing before there is so much */
        enum { NEVER, IN_VERIFY, IN_BYTES, IN_CLOSED } frees;
        bool breaks, echoes, pauses;
} Side;

static sd_event *event;
static NetKey *key_a, *key_b, *key_c;

static bool on_verify(void *userdata, const uint8_t pin[static NET_PIN_BYTES]) {
        Side *s = userdata;

        s->verified++;
        memcpy(s->seen, pin, NET_PIN_BYTES);
        if (s->frees == IN_VERIFY)
                s->stream = net_stream_free(s->stream);
        return memcmp(pin, s->welcome, NET_PIN_BYTES) == 0;
}

static ssize_t on_bytes(void *userdata, const uint8_t *data, size_t size) {
        Side *s = userdata;

        s->calls++;
        if (size < s->at_least)
                return 0;
        g_byte_array_append(s->received, data, (guint) size);
        if (s->echoes)
                g_assert_true(net_stream_write(s->stream, data, size));
        if (s->frees == IN_BYTES)
                s->stream = net_stream_free(s->stream);
        if (s->pauses)
                net_stream_pause(s->stream, true);
        return s->breaks ? -1 : (ssize_t) size;
}

static void on_closed(void *userdata, const char *reason) {
        Side *s = userdata;

        g_assert_null(s->closed);
        s->closed = g_strdup(reason);
        if (s->frees == IN_CLOSED)
                s->stream = net_stream_free(s->stream);
}

static void side_begin(Side *s, int fd, const NetKey *key, const NetKey *welcome, NetStreamOptions options) {
        const NetStreamHandler handler = { on_verify, on_bytes, on_closed, s };

        s->received = g_byte_array_new();
        memcpy(s->welcome, net_key_pin(welcome), NET_PIN_BYTES);
        s->stream = net_stream_new(event, fd, key, &options, &handler);
        g_assert_nonnull(s->stream);
}

static void side_done(Side *s) {
        s->stream = net_stream_free(s->stream);
        g_byte_array_unref(s->received);
        g_free(s->closed);
}

/* A connection over loopback. */
static void connect_fds(int *ret_server, int *ret_client) {
        NetAddress any, bound, from;
        int listening, r;

        g_assert_true(net_address_parse("127.0.0.1:0", &any));
        g_assert_cmpint(net_listen(&any, &listening, &bound), ==, 0);
        g_assert_cmpint(net_dial(&bound, ret_client), ==, 0);
        do
                r = net_accept(listening, ret_server, &from);
        while (r == -EAGAIN);
        g_assert_cmpint(r, ==, 0);
        g_assert_true(net_address_same_host(&from, &bound));
        close(listening);
}

/* `a` accepts with key_a, `b` dials with key_b. */
static void connect_sides(Side *a, Side *b, NetStreamOptions options) {
        NetStreamOptions server = options;
        int fd_a, fd_b;

        connect_fds(&fd_a, &fd_b);
        server.server = true;
        side_begin(a, fd_a, key_a, key_b, server);
        side_begin(b, fd_b, key_b, key_a, options);
}

static void write_text(Side *s, const char *text) {
        g_assert_true(net_stream_write(s->stream, text, strlen(text)));
}

static bool received(const Side *s, const char *text) {
        return s->received->len == strlen(text) && memcmp(s->received->data, text, s->received->len) == 0;
}

static void test_talk(void) {
        Side a = { 0 }, b = { 0 };
        NetStreamStatistics s;

        connect_sides(&a, &b, (NetStreamOptions) { 0 });
        write_text(&a, "from the server, ");           /* before the handshake: it waits */
        write_text(&b, "from the client");
        run_until(event, a.received->len > 0 && b.received->len > 0);
        g_assert_cmpmem(a.seen, NET_PIN_BYTES, net_key_pin(key_b), NET_PIN_BYTES);
        g_assert_cmpmem(b.seen, NET_PIN_BYTES, net_key_pin(key_a), NET_PIN_BYTES);
        write_text(&a, "and ");
        write_text(&a, "again");
        run_until(event, received(&b, "from the server, and again"));
        g_assert_true(received(&a, "from the client"));
        net_stream_get_statistics(a.stream, &s);
        g_assert_cmpuint(s.bytes_in, ==, 15);
        g_assert_cmpuint(s.bytes_out, ==, 26);

        b.stream = net_stream_free(b.stream);
        run_until(event, a.closed);
        g_assert_cmpstr(a.closed, ==, "closed by the other side");
        side_done(&a);
        side_done(&b);
}

/* What was written is sent before it closes, as much as goes at once. */
static void test_last_words(void) {
        Side a = { 0 }, b = { 0 };
        g_autofree char *words = g_strnfill(40000, 'w');

        connect_sides(&a, &b, (NetStreamOptions) { 0 });
        run_until(event, a.verified && b.verified);
        write_text(&a, words);
        a.stream = net_stream_free(a.stream);
        run_until(event, b.closed);
        g_assert_true(received(&b, words));
        side_done(&a);
        side_done(&b);
}

/* The other's key is not the one wanted: nothing it says is looked at. */
static void test_wrong_pin(void) {
        Side a = { 0 }, b = { 0 };

        connect_sides(&a, &b, (NetStreamOptions) { 0 });
        memcpy(a.welcome, net_key_pin(key_c), NET_PIN_BYTES);
        write_text(&b, "let me in");
        run_until(event, a.closed);
        g_assert_false(net_stream_write(a.stream, "x", 1));
        a.stream = net_stream_free(a.stream);
        run_until(event, b.closed);
        g_assert_cmpuint(a.calls, ==, 0);
        g_assert_cmpuint(b.calls, ==, 0);
        g_assert_nonnull(strstr(a.closed, "not welcome"));
        side_done(&a);
        side_done(&b);
}

static void test_wrong_server(void) {
        Side a = { 0 }, b = { 0 };

        connect_sides(&a, &b, (NetStreamOptions) { 0 });
        memcpy(b.welcome, net_key_pin(key_c), NET_PIN_BYTES);
        write_text(&a, "it is me");
        write_text(&b, "a secret");
        b.frees = IN_CLOSED;
        run_until(event, a.closed && b.closed);
        g_assert_cmpuint(a.calls, ==, 0);
        g_assert_cmpuint(b.calls, ==, 0);
        side_done(&a);
        side_done(&b);
}

/* OpenSSL as anybody may set it up, against a stream. */
typedef struct Raw {
        int fd;
        SSL_CTX *context;
        SSL *ssl;
        bool connected;
        int error;                      /* of SSL, once it failed */
        unsigned read;
} Raw;

static void raw_begin(Raw *r, int fd) {
        r->fd = fd;
        r->context = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_verify(r->context, SSL_VERIFY_NONE, NULL);
        r->ssl = SSL_new(r->context);
        SSL_set_fd(r->ssl, fd);
        SSL_set_connect_state(r->ssl);
}

/* One try; true when it is over, well or not. */
static bool raw_step(Raw *r) {
        uint8_t byte;
        int n;

        if (r->error)
                return true;
        ERR_clear_error();
        n = r->connected ? SSL_read(r->ssl, &byte, 1) : SSL_connect(r->ssl);
        if (n == 1) {
                r->read += r->connected;
                r->connected = true;
                return false;
        }
        n = SSL_get_error(r->ssl, n);
        if (n != SSL_ERROR_WANT_READ && n != SSL_ERROR_WANT_WRITE)
                r->error = n;
        return r->error != 0;
}

static void raw_done(Raw *r) {
        SSL_free(r->ssl);
        SSL_CTX_free(r->context);
        close(r->fd);
        ERR_clear_error();
}

static void raw_against(Side *a, Raw *raw, NetStreamOptions options) {
        int fd_a, fd;

        signal(SIGPIPE, SIG_IGN);       /* the raw client's own affair */
        connect_fds(&fd_a, &fd);
        options.server = true;
        side_begin(a, fd_a, key_a, key_b, options);
        raw_begin(raw, fd);
}

static void test_no_certificate(void) {
        Side a = { 0 };
        Raw raw = { 0 };

        raw_against(&a, &raw, (NetStreamOptions) { 0 });
        run_until(event, (raw_step(&raw), a.closed));
        g_assert_cmpuint(a.verified, ==, 0);
        g_assert_cmpuint(a.calls, ==, 0);
        g_assert_true(g_str_has_prefix(a.closed, "TLS: "));
        side_done(&a);
        raw_done(&raw);
}

static void test_old_tls(void) {
        Side a = { 0 };
        Raw raw = { 0 };

        raw_against(&a, &raw, (NetStreamOptions) { 0 });
        SSL_set_max_proto_version(raw.ssl, TLS1_2_VERSION);
        run_until(event, (raw_step(&raw), a.closed && raw.error));
        g_assert_cmpuint(a.verified, ==, 0);
        g_assert_nonnull(strstr(a.closed, "protocol"));
        side_done(&a);
        raw_done(&raw);
}

static unsigned tickets;

static int on_ticket(SSL *ssl, SSL_SESSION *session) {
        tickets++;
        return 0;
}

/* A welcome key, and a client that would like to come back without showing it. */
static void test_no_resumption(void) {
        g_autofree char *path = g_strdup_printf("%s/test-net-%d.pem", g_get_tmp_dir(), getpid());
        SSL_SESSION *session;
        Side a = { 0 };
        Raw raw = { 0 };

        raw_against(&a, &raw, (NetStreamOptions) { 0 });
        SSL_CTX_set_session_cache_mode(raw.context, SSL_SESS_CACHE_CLIENT);
        SSL_CTX_sess_set_new_cb(raw.context, on_ticket);
        g_assert_cmpint(net_key_save(key_b, path), ==, 0);
        g_assert_true(SSL_use_PrivateKey_file(raw.ssl, path, SSL_FILETYPE_PEM));
        g_assert_true(SSL_use_certificate(raw.ssl, SSL_CTX_get0_certificate(net_key_context(key_b))));
        g_unlink(path);
        run_until(event, (raw_step(&raw), a.verified));

        /* something after the handshake, where tickets would come first */
        write_text(&a, "x");
        run_until(event, (raw_step(&raw), raw.read == 1));
        g_assert_cmpuint(tickets, ==, 0);
        session = SSL_get1_session(raw.ssl);
        g_assert_false(SSL_SESSION_is_resumable(session));
        g_assert_cmpuint(SSL_SESSION_get_max_early_data(session), ==, 0);
        g_assert_cmpint(SSL_write_early_data(raw.ssl, "x", 1, &(size_t) { 0 }), ==, 0);
        SSL_SESSION_free(session);
        side_done(&a);
        raw_done(&raw);
}

static void test_garbage(void) {
        static const char *const garbage[] = { "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\xff\xff\x01", "\x16\x03\x03\x40\x01" };
        Prng prng = { 7 };

        for (unsigned i = 0; i < 20; i++) {
                uint8_t noise[64 * 1024];
                Side a = { 0 };
                int fd_a, fd;
                ssize_t n;

                connect_fds(&fd_a, &fd);
                side_begin(&a, fd_a, key_a, key_b, (NetStreamOptions) { .server = true });
                for (unsigned k = 0; k < sizeof(noise); k++)
                        noise[k] = (uint8_t) prng_next(&prng);
                if (i < G_N_ELEMENTS(garbage))
                        memcpy(noise, garbage[i], strlen(garbage[i]));
                else if (i % 2) {       /* a large record of handshake, promised larger still */
                        static const uint8_t head[] = { 22, 3, 1, 0x40, 0, 1, 1, 0, 0, 3, 3 };

                        memcpy(noise, head, sizeof(head));
                }
                n = send(fd, noise, sizeof(noise), MSG_NOSIGNAL | MSG_DONTWAIT);
                g_assert_cmpint(n, >, 0);
                run_until(event, a.closed);
                g_assert_cmpuint(a.verified, ==, 0);
                g_assert_cmpuint(a.calls, ==, 0);
                close(fd);
                side_done(&a);
        }
}

static uint64_t event_usec(void) {
        uint64_t now;

        g_assert_cmpint(sd_event_now(event, CLOCK_BOOTTIME, &now), >=, 0);
        return now;
}

/* It says a bit now and then, and takes seconds to come to the end of its first record: what it says does not give it more time. */
static void test_slow_loris(void) {
        static const uint8_t hello[5 + 512] = { 22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3 };
        uint64_t begin = event_usec(), last = begin;
        Side a = { 0 };
        unsigned sent = 0;
        int fd_a, fd;

        connect_fds(&fd_a, &fd);
        side_begin(&a, fd_a, key_a, key_b, (NetStreamOptions) { .server = true, .handshake_usec = 200000 });
        while (!a.closed) {
                if (event_usec() - last >= 15000) {
                        g_assert_cmpuint(sent, <, sizeof(hello));
                        g_assert_cmpint(send(fd, hello + sent, 1, MSG_NOSIGNAL), ==, 1);
                        last = event_usec();
                        sent++;
                }
                g_assert_cmpint(sd_event_run(event, 5000), >=, 0);
        }
        g_assert_nonnull(strstr(a.closed, "too long"));
        g_assert_cmpuint(event_usec() - begin, >=, 200000);
        g_assert_cmpuint(sent, >, 0);
        close(fd);
        side_done(&a);
}

static void test_refused_by_nobody(void) {
        NetAddress any, bound;
        Side b = { 0 };
        int listening, fd;

        g_assert_true(net_address_parse("127.0.0.1:0", &any));
        g_assert_cmpint(net_listen(&any, &listening, &bound), ==, 0);
        close(listening);
        if (net_dial(&bound, &fd) < 0)
                return;                 /* said at once: as good */
        side_begin(&b, fd, key_b, key_a, (NetStreamOptions) { 0 });
        run_until(event, b.closed);
        g_assert_cmpstr(b.closed, ==, g_strerror(ECONNREFUSED));
        side_done(&b);
}

static void test_output_max(void) {
        g_autofree uint8_t *data = g_malloc0(65536);
        Side a = { 0 }, b = { 0 };
        bool fits = true;

        connect_sides(&a, &b, (NetStreamOptions) { .output_max = 1024 * 1024 });
        b.pauses = true;
        run_until(event, a.verified && b.verified);
        for (unsigned i = 0; i < 4096 && fits; i++) {
                fits = net_stream_write(a.stream, data, 65536);
                g_assert_cmpuint(net_stream_queued(a.stream), <=, 1024 * 1024);
                if (fits && i % 8 == 0)
                        g_assert_cmpint(sd_event_run(event, 0), >=, 0);
        }
        g_assert_false(fits);
        g_assert_null(a.closed);        /* from the loop, not from inside */
        run_until(event, a.closed);
        g_assert_nonnull(strstr(a.closed, "does not read"));
        side_done(&a);
        side_done(&b);
}

static void test_input_max(void) {
        g_autofree uint8_t *data = g_malloc0(16385);
        Side a = { 0 }, b = { 0 };

        a.at_least = 16384;
        connect_sides(&a, &b, (NetStreamOptions) { 0 });
        g_assert_true(net_stream_write(b.stream, data, 16384));
        run_until(event, a.received->len == 16384);            /* exactly as much as fits */

        a.at_least = 16385;
        g_assert_true(net_stream_write(b.stream, data, 16385));
        run_until(event, a.closed);
        g_assert_cmpuint(a.received->len, ==, 16384);
        side_done(&a);
        side_done(&b);
}

static void test_input_max_grows(void) {
        g_autofree uint8_t *data = g_malloc0(1000000);
        Side a = { 0 }, b = { 0 };

        a.at_least = 1000000;
        connect_sides(&a, &b, (NetStreamOptions) { 0 });
        net_stream_set_input_max(a.stream, 1000000);
        g_assert_true(net_stream_write(b.stream, data, 1000000));
        run_until(event, a.received->len == 1000000);
        side_done(&a);
        side_done(&b);
}

static void test_pause(void) {
        Side a = { 0 }, b = { 0 };
        g_autofree uint8_t *data = g_malloc0(300000);
        unsigned calls;

        a.pauses = true;
        connect_sides(&a, &b, (NetStreamOptions) { 0 });
        g_assert_true(net_stream_write(b.stream, data, 300000));
        run_until(event, a.calls == 1);
        while (a.received->len < 300000) {
                calls = a.calls;
                for (unsigned i = 0; i < 5; i++)
                        g_assert_cmpint(sd_event_run(event, 0), >=, 0);
                g_assert_cmpuint(a.calls, ==, calls);
                net_stream_pause(a.stream, false);              /* what TLS has in hand comes without the socket */
                run_until(event, a.calls == calls + 1);
        }
        g_assert_cmpuint(a.received->len, ==, 300000);

        /* paused, it still writes */
        write_text(&a, "thanks");
        run_until(event, received(&b, "thanks"));
        side_done(&a);
        side_done(&b);
}

/* Whom nobody reads from may hang up without keeping the loop busy. */
static void test_paused_hang_up(void) {
        Side a = { 0 }, b = { 0 };
        unsigned busy = 0;

        a.pauses = true;
        connect_sides(&a, &b, (NetStreamOptions) { 0 });
        write_text(&b, "bye");
        run_until(event, a.calls == 1);
        b.stream = net_stream_free(b.stream);
        for (unsigned i = 0; i < 100; i++)
                busy += sd_event_run(event, 1000) > 0;
        g_assert_cmpuint(busy, <, 20);
        net_stream_pause(a.stream, false);
        run_until(event, a.closed);
        side_done(&a);
        side_done(&b);
}

static void fill(uint8_t *data, size_t size, uint64_t seed) {
        Prng prng = { seed };

        for (size_t i = 0; i + 8 <= size; i += 8) {
                uint64_t n = prng_next(&prng);

                memcpy(data + i, &n, 8);
        }
}

static void test_large_both_ways(void) {
        const size_t size = 8 * 1024 * 1024;
        g_autofree uint8_t *to_a = g_malloc(size), *to_b = g_malloc(size);
        Side a = { 0 }, b = { 0 };

        fill(to_a, size, 1);
        fill(to_b, size, 2);
        connect_sides(&a, &b, (NetStreamOptions) { 0 });
        for (size_t i = 0; i < size; i += 65536) {
                g_assert_true(net_stream_write(a.stream, to_b + i, 65536));
                g_assert_true(net_stream_write(b.stream, to_a + i, 65536));
        }
        run_until(event, a.received->len == size && b.received->len == size);
        g_assert_cmpmem(a.received->data, size, to_a, size);
        g_assert_cmpmem(b.received->data, size, to_b, size);
        side_done(&a);
        side_done(&b);
}

/* One that floods does not keep another from its turn. */
static void test_fair(void) {
        const size_t size = 12 * 1024 * 1024;
        g_autofree uint8_t *data = g_malloc0(size);
        Side a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };

        connect_sides(&a, &b, (NetStreamOptions) { 0 });
        connect_sides(&c, &d, (NetStreamOptions) { 0 });
        run_until(event, a.verified && b.verified && c.verified && d.verified);
        g_assert_true(net_stream_write(b.stream, data, size));
        write_text(&d, "me, too");
        run_until(event, received(&c, "me, too"));
        g_assert_cmpuint(a.received->len, <, size / 2);
        side_done(&a);
        side_done(&b);
        side_done(&c);
        side_done(&d);
}

static void test_write_inside(void) {
        Side a = { 0 }, b = { 0 };
        g_autofree char *text = g_strnfill(200000, 'e');

        a.echoes = true;
        connect_sides(&a, &b, (NetStreamOptions) { 0 });
        write_text(&b, text);
        run_until(event, received(&b, text));
        side_done(&a);
        side_done(&b);
}

static void test_free_inside(void) {
        for (unsigned where = IN_VERIFY; where <= IN_CLOSED; where++) {
                Side a = { 0 }, b = { 0 };

                a.frees = where;
                a.breaks = where == IN_CLOSED;
                connect_sides(&a, &b, (NetStreamOptions) { 0 });
                write_text(&b, "hello");
                run_until(event, !a.stream && b.closed);
                g_assert_true((a.closed != NULL) == (where == IN_CLOSED));
                if (where == IN_CLOSED)
                        g_assert_nonnull(strstr(a.closed, "broke"));
                side_done(&a);
                side_done(&b);
        }
}

/* The other end is gone; writing there is an error like any other. */
static void test_write_to_nobody(void) {
        Side a = { 0 };
        int fd_a, fd;

        signal(SIGPIPE, SIG_DFL);
        connect_fds(&fd_a, &fd);
        side_begin(&a, fd_a, key_a, key_b, (NetStreamOptions) { 0 });   /* a client: it speaks first */
        close(fd);
        run_until(event, a.closed);
        side_done(&a);
}

static void test_key_file(void) {
        g_autofree char *dir = g_dir_make_tmp("test-net-XXXXXX", NULL), *path = g_build_filename(dir, "key", NULL);
        g_autofree char *text = NULL;
        NetKey *loaded = NULL;
        struct stat st;
        gsize size;

        g_assert_cmpint(net_key_load(path, &loaded), ==, -ENOENT);
        g_assert_cmpint(net_key_save(key_a, path), ==, 0);
        g_assert_cmpint(stat(path, &st), ==, 0);
        g_assert_cmpuint(st.st_mode & 07777, ==, 0600);
        g_assert_cmpint(net_key_save(key_b, path), ==, -EEXIST);
        g_assert_cmpint(net_key_load(path, &loaded), ==, 0);
        g_assert_cmpmem(net_key_pin(loaded), NET_PIN_BYTES, net_key_pin(key_a), NET_PIN_BYTES);
        loaded = net_key_unref(loaded);

        g_assert_cmpint(chmod(path, 0640), ==, 0);
        g_assert_cmpint(net_key_load(path, &loaded), ==, -EPERM);
        g_assert_cmpint(chmod(path, 0600), ==, 0);
        g_assert_true(g_file_get_contents(path, &text, &size, NULL));
        g_assert_true(g_file_set_contents(path, text, (gssize) size / 2, NULL));
        g_assert_cmpint(chmod(path, 0600), ==, 0);
        g_assert_cmpint(net_key_load(path, &loaded), ==, -EBADMSG);
        g_assert_null(loaded);
        g_unlink(path);
        g_assert_cmpint(symlink("/dev/null", path), ==, 0);
        g_assert_cmpint(net_key_load(path, &loaded), <, 0);
        g_unlink(path);
        g_rmdir(dir);
        g_assert_cmpint(memcmp(net_key_pin(key_a), net_key_pin(key_b), NET_PIN_BYTES), !=, 0);
}

/* Whatever ends the process meanwhile: there is a whole key afterwards, or none, and the next start makes one. */
static void test_key_file_torn(void) {
        g_autofree char *dir = g_dir_make_tmp("test-net-XXXXXX", NULL), *path = g_build_filename(dir, "key", NULL);
        NetKey *loaded = NULL;
        int status;
        pid_t pid;

        pid = fork();
        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                const struct rlimit none = { 10, 10 }, no_core = { 0, 0 };

                signal(SIGXFSZ, SIG_DFL);
                (void) setrlimit(RLIMIT_CORE, &no_core);
                (void) setrlimit(RLIMIT_FSIZE, &none);
                (void) net_key_save(key_a, path);
                _exit(0);
        }
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
        g_assert_cmpint(net_key_load(path, &loaded), ==, -ENOENT);
        g_assert_cmpint(net_key_save(key_a, path), ==, 0);
        g_assert_cmpint(net_key_load(path, &loaded), ==, 0);
        net_key_unref(loaded);
        g_assert_cmpint(net_key_save(key_b, path), ==, -EEXIST);
        g_unlink(path);
        g_assert_cmpint(g_rmdir(dir), ==, 0);           /* nothing is left of it */
}

/* Whose key is of another kind is none of ours, and its handshakes cost more than ours. */
static void test_other_algorithms(void) {
        for (unsigned i = 0; i < 2; i++) {
                EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) 2048);
                X509 *x = X509_new();
                Side a = { 0 };
                Raw raw = { 0 };

                raw_against(&a, &raw, (NetStreamOptions) { 0 });
                if (i == 0) {
                        g_assert_true(X509_set_pubkey(x, pkey) &&
                                      ASN1_TIME_set_string_X509(X509_getm_notBefore(x), "19700101000000Z") &&
                                      ASN1_TIME_set_string_X509(X509_getm_notAfter(x), "99991231235959Z"));
                        g_assert_cmpint(X509_sign(x, pkey, EVP_sha256()), >, 0);
                        g_assert_true(SSL_use_certificate(raw.ssl, x) && SSL_use_PrivateKey(raw.ssl, pkey));
                } else
                        g_assert_true(SSL_set1_groups_list(raw.ssl, "P-521"));
                run_until(event, (raw_step(&raw), a.closed));
                g_assert_cmpuint(a.verified, ==, 0);
                g_assert_true(g_str_has_prefix(a.closed, "TLS: "));
                side_done(&a);
                raw_done(&raw);
                X509_free(x);
                EVP_PKEY_free(pkey);
        }
}

/* An idle connection to a host without power is found dead in seconds, not in hours. */
static void test_keepalive(void) {
        static const struct { int level, name, most; } options[] = {
                { SOL_SOCKET, SO_KEEPALIVE, 1 }, { IPPROTO_TCP, TCP_KEEPIDLE, 5 }, { IPPROTO_TCP, TCP_KEEPINTVL, 2 },
                { IPPROTO_TCP, TCP_USER_TIMEOUT, 5000 },
        };
        Side a = { 0 };
        int fd_a, fd;

        connect_fds(&fd_a, &fd);
        side_begin(&a, fd_a, key_a, key_b, (NetStreamOptions) { .server = true });
        for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
                socklen_t size = sizeof(int);
                int value = 0;

                g_assert_cmpint(getsockopt(fd_a, options[i].level, options[i].name, &value, &size), ==, 0);
                g_assert_cmpint(value, >, 0);
                g_assert_cmpint(value, <=, options[i].most);
        }
        close(fd);
        side_done(&a);
}

static void test_address(void) {
        static const char *const good[] = { "192.0.2.1:2890", "[2001:db8::1]:2890", "127.0.0.1:0", "[::]:65535" };
        static const char *const bad[] = { "", ":", ":1", "192.0.2.1", "192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:-1", "a:1",
                                           "192.0.2.1:1x", "::1:1", "[::1]", "[::1:1", "[]:1", "[192.0.2.1]:1", "192.0.2:1",
                                           "192.0.2.1 :1", "localhost:1" };
        NetAddress a, b;

        for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
                g_autofree char *again = NULL;

                g_assert_true(net_address_parse(good[i], &a));
                again = net_address_to_string(&a);
                g_assert_cmpstr(again, ==, good[i]);
        }
        for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
                g_assert_false(net_address_parse(bad[i], &a));

        g_assert_true(net_address_parse("192.0.2.1:1", &a) && net_address_parse("192.0.2.1:2", &b));
        g_assert_true(net_address_same_host(&a, &b));
        g_assert_true(net_address_parse("192.0.2.2:1", &b));
        g_assert_false(net_address_same_host(&a, &b));
        g_assert_true(net_address_parse("[::1]:1", &b));
        g_assert_false(net_address_same_host(&a, &b));
}

int main(int argc, char *argv[]) {
        int r;

        g_test_init(&argc, &argv, NULL);
        g_assert_cmpint(sd_event_new(&event), >=, 0);
        key_a = net_key_new();
        key_b = net_key_new();
        key_c = net_key_new();
        g_assert_true(key_a && key_b && key_c);

        g_test_add_func("/net/key-file-torn", test_key_file_torn);
        g_test_add_func("/net/other-algorithms", test_other_algorithms);
        g_test_add_func("/net/keepalive", test_keepalive);
        g_test_add_func("/net/address", test_address);
        g_test_add_func("/net/key/file", test_key_file);
        g_test_add_func("/net/stream/talk", test_talk);
        g_test_add_func("/net/stream/last-words", test_last_words);
        g_test_add_func("/net/stream/wrong-pin", test_wrong_pin);
        g_test_add_func("/net/stream/wrong-server", test_wrong_server);
        g_test_add_func("/net/stream/no-certificate", test_no_certificate);
        g_test_add_func("/net/stream/old-tls", test_old_tls);
        g_test_add_func("/net/stream/no-resumption", test_no_resumption);
        g_test_add_func("/net/stream/garbage", test_garbage);
        g_test_add_func("/net/stream/slow-loris", test_slow_loris);
        g_test_add_func("/net/stream/refused", test_refused_by_nobody);
        g_test_add_func("/net/stream/output-max", test_output_max);
        g_test_add_func("/net/stream/input-max", test_input_max);
        g_test_add_func("/net/stream/input-max-grows", test_input_max_grows);
        g_test_add_func("/net/stream/pause", test_pause);
        g_test_add_func("/net/stream/paused-hang-up", test_paused_hang_up);
        g_test_add_func("/net/stream/large", test_large_both_ways);
        g_test_add_func("/net/stream/fair", test_fair);
        g_test_add_func("/net/stream/write-inside", test_write_inside);
        g_test_add_func("/net/stream/free-inside", test_free_inside);
        g_test_add_func("/net/stream/write-to-nobody", test_write_to_nobody);
        r = g_test_run();

        net_key_unref(key_a);
        net_key_unref(key_b);
        net_key_unref(key_c);
        sd_event_unref(event);
        return r;
}
