/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What no honest client does, on the local socket: the agent stays up, the one who does it loses his connection or gets
 * an error, the others notice nothing.
 */

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "tests/bus/harness.h"

static void assert_serves(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);

        sd_bus_message_unref(call(bus, TREE, "Get", "sa{sv}", "/", 0));
        g_assert_true(agent_is_running(shared));
}

/* Reads until the other side closes. */
static void wait_closed(int fd) {
        struct timeval wait = { .tv_sec = 30 };
        char buffer[4096];
        ssize_t n;

        g_assert_cmpint(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), ==, 0);
        do
                n = read(fd, buffer, sizeof(buffer));
        while (n > 0);
        g_assert_true(n == 0 || errno == ECONNRESET);
        close(fd);
}

static void put_u32(GByteArray *a, uint32_t v) {
        g_byte_array_append(a, (const uint8_t *) &v, 4);
}

static void pad(GByteArray *a, unsigned to) {
        while (a->len % to != 0)
                g_byte_array_append(a, (const uint8_t *) "", 1);
}

static void put_field(GByteArray *a, uint8_t code, const char *type, const char *text) {
        uint8_t head[4] = { code, 1, (uint8_t) type[0], 0 };

        pad(a, 8);
        g_byte_array_append(a, head, 4);
        if (type[0] == 'g') {
                uint8_t n = (uint8_t) strlen(text);

                g_byte_array_append(a, &n, 1);
        } else
                put_u32(a, (uint32_t) strlen(text));
        g_byte_array_append(a, (const uint8_t *) text, strlen(text) + 1);
}

/* A method call's bytes: header with path, interface, member, and a signature if there is a body. */
static GByteArray *message(uint32_t cookie, const char *interface, const char *member, const char *signature, uint32_t body_size) {
        GByteArray *a = g_byte_array_new();
        uint32_t fields;

        g_byte_array_append(a, (const uint8_t *) "l\1\0\1", 4);
        put_u32(a, body_size);
        put_u32(a, cookie);
        put_u32(a, 0);
        put_field(a, 1, "o", "/org/convene1");
        put_field(a, 2, "s", interface);
        put_field(a, 3, "s", member);
        if (signature)
                put_field(a, 8, "g", signature);
        fields = a->len - 16;
        memcpy(a->data + 12, &fields, 4);
        pad(a, 8);
        return a;
}

static bool send_all(int fd, const void *data, size_t size) {
        while (size > 0) {
                ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

                if (n < 0)
                        return false;
                data = (const uint8_t *) data + n;
                size -= n;
        }
        return true;
}

static void read_all(int fd, void *data, size_t size) {
        while (size > 0) {
                ssize_t n = read(fd, data, size);

                g_assert_cmpint(n, >, 0);
                data = (uint8_t *) data + n;
                size -= n;
        }
}

/* The answer that comes next; signals before it are skipped.  Returns the message's type. */
static uint8_t read_answer(int fd, uint32_t *ret_body_size) {
        for (;;) {
                uint32_t head[4];
                g_autofree uint8_t *rest = NULL;
                uint8_t type;

                read_all(fd, head, sizeof(head));
                type = ((uint8_t *) head)[1];
                rest = g_malloc(((head[3] + 7) & ~7u) + head[1]);
                read_all(fd, rest, ((head[3] + 7) & ~7u) + head[1]);
                *ret_body_size = head[1];
                if (type != 4)
                        return type;
        }
}

static void test_garbage(void) {
        int fd = raw_new(shared);
        uint8_t noise[4096];

        for (size_t i = 0; i < sizeof(noise); i++)
                noise[i] = (uint8_t) g_test_rand_int();
        noise[0] = 'x';
        (void) send_all(fd, noise, sizeof(noise));
        wait_closed(fd);
        assert_serves();
}

static int raw_connect(Agent *a) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        g_strlcpy(sa.sun_path, a->socket, sizeof(sa.sun_path));
        g_assert_cmpint(connect(fd, (struct sockaddr *) &sa, sizeof(sa)), ==, 0);
        return fd;
}

static void test_no_authentication(void) {
        int fd = raw_connect(shared);

        g_assert_true(send_all(fd, "\0AUTH ANONYMOUS\r\nBEGIN\r\n", 25));
        wait_closed(fd);
        assert_serves();
}

static void test_somebody_elses_uid(void) {
        const char *auth = geteuid() == 12345 ? "AUTH EXTERNAL 3132333436\r\n" : "AUTH EXTERNAL 3132333435\r\n";
        int fd = raw_connect(shared);
        char answer[256] = "";

        g_assert_true(send_all(fd, "", 1));
        g_assert_true(send_all(fd, auth, strlen(auth)));
        g_assert_cmpint(read(fd, answer, sizeof(answer) - 1), >, 0);
        g_assert_true(g_str_has_prefix(answer, "REJECTED"));
        close(fd);
        assert_serves();
}

/* Conversations that end before they begin. */
static void test_handshakes(void) {
        static const char *const wrong[] = {
                "xAUTH EXTERNAL\r\n",
                "\0BEGIN\r\n",
                "\0AUTH EXTERNAL\r\nBEGIN\r\n",
                "\0AUTH EXTERNAL\n",
        };
        static const size_t sizes[] = { 16, 8, 23, 15 };
        g_autofree char *endless = g_strnfill(100000, 'A');
        int fd;

        for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
                fd = raw_connect(shared);
                g_assert_true(send_all(fd, wrong[i], sizes[i]));
                wait_closed(fd);
        }
        fd = raw_connect(shared);
        (void) send_all(fd, "", 1);
        (void) send_all(fd, endless, 100000);
        wait_closed(fd);
        fd = raw_connect(shared);
        (void) send_all(fd, "", 1);
        for (unsigned i = 0; i < 100; i++)
                (void) send_all(fd, "NOISE\r\n", 7);
        wait_closed(fd);
        assert_serves();
}

/* An honest conversation, a byte at a time. */
static void test_dribble(void) {
        g_autoptr(GByteArray) m = message(1, TREE, "WhoAmI", "a{sv}", 8), all = g_byte_array_new();
        int fd = raw_connect(shared);
        uint32_t size;
        char c, line[256] = "";

        g_byte_array_append(m, (const uint8_t *) "\0\0\0\0\0\0\0\0", 8);
        g_byte_array_append(all, (const uint8_t *) "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n", 29);
        g_byte_array_append(all, m->data, m->len);
        for (guint i = 0; i < all->len; i++)
                g_assert_true(send_all(fd, all->data + i, 1));
        for (unsigned lines = 0, n = 0; lines < 2;) {   /* DATA, OK */
                read_all(fd, &c, 1);
                line[n++ % (sizeof(line) - 1)] = c;
                lines += c == '\n';
        }
        g_assert_nonnull(strstr(line, "OK "));
        g_assert_cmpint(read_answer(fd, &size), ==, 2);
        close(fd);
}

/* 128 MiB announced, and sent for as long as anybody takes it. */
static void test_huge_message(void) {
        int fd = raw_new(shared);
        g_autoptr(GByteArray) head = message(1, TREE, "Get", "ay", 120 * 1024 * 1024);
        g_autofree uint8_t *block = g_malloc0(65536);
        uint64_t before = agent_statistic(shared, "socket_connections_cut");
        size_t sent = 0;

        g_assert_true(send_all(fd, head->data, head->len));
        while (sent < 100 * 1024 * 1024 && send_all(fd, block, 65536))
                sent += 65536;
        g_assert_cmpuint(sent, <, 1024 * 1024); /* what the socket's buffer takes */
        wait_closed(fd);
        g_assert_cmpuint(agent_statistic(shared, "socket_connections_cut"), ==, before + 1);
        assert_serves();
}

/* Until the other side has read what was sent, or has closed. */
static void wait_taken(int fd) {
        int unread = 1;

        while (unread > 0) {
                g_assert_cmpint(ioctl(fd, SIOCOUTQ, &unread), ==, 0);
                g_usleep(1000);
        }
}

/* Headers that are none, each before a message that is too large: nobody loses count. */
static void test_malformed_then_huge(void) {
        static const uint8_t headers[][16] = {
                { 'l', 1, 0, 1 },                               /* no serial */
                { 'l', 0, 0, 1, 0, 0, 0, 0, 1 },                /* no type */
                { 'l', 9, 0, 1, 0, 0, 0, 0, 1 },                /* a type there is not */
                { 'l', 1, 0, 2, 0, 0, 0, 0, 1 },                /* another version */
                { 'l', 1, 0, 1, 0, 0, 0, 0, 1 },                /* a call without path and member */
        };
        g_autoptr(GByteArray) good = message(1, TREE, "WhoAmI", "a{sv}", 8),
                              huge = message(2, TREE, "Get", "ay", 120 * 1024 * 1024);
        g_autofree uint8_t *block = g_malloc0(65536);

        g_byte_array_append(good, (const uint8_t *) "\0\0\0\0\0\0\0\0", 8);
        for (size_t i = 0; i < G_N_ELEMENTS(headers); i++) {
                uint64_t before = agent_statistic(shared, "socket_connections_cut");
                int fd = raw_new(shared);
                size_t sent = 0;
                uint32_t size;

                g_assert_true(send_all(fd, good->data, good->len));
                g_assert_cmpint(read_answer(fd, &size), ==, 2);
                g_assert_true(send_all(fd, headers[i], 16));
                wait_taken(fd);
                if (send_all(fd, huge->data, huge->len))
                        while (sent < 100 * 1024 * 1024 && send_all(fd, block, 65536))
                                sent += 65536;
                g_assert_cmpuint(sent, <, 1024 * 1024);
                wait_closed(fd);
                g_assert_cmpuint(agent_statistic(shared, "socket_connections_cut"), ==, before + 1);
        }
        assert_serves();
}

/* Nothing but malformed messages for as long as they are taken; honest calls in front of them are answered. */
static void test_malformed_stream(void) {
        g_autoptr(GByteArray) good = message(1, TREE, "WhoAmI", "a{sv}", 8), bad = message(2, TREE, "WhoAmI", NULL, 0),
                              all = g_byte_array_new();
        int fd = raw_new(shared);
        size_t sent = 0;
        uint32_t size;

        g_byte_array_append(good, (const uint8_t *) "\0\0\0\0\0\0\0\0", 8);
        bad->data[17] = 'x';                    /* the type of the first field: the header itself is in order */
        for (unsigned i = 0; i < 2; i++)
                g_byte_array_append(all, good->data, good->len);
        while (all->len < 1024 * 1024)
                g_byte_array_append(all, bad->data, bad->len);
        if (send_all(fd, all->data, all->len))
                while (sent < 100 * 1024 * 1024 && send_all(fd, all->data + 2 * good->len, all->len - 2 * good->len))
                        sent += all->len;
        g_assert_cmpuint(sent, <, 4 * 1024 * 1024);
        for (unsigned i = 0; i < 2; i++)
                g_assert_cmpint(read_answer(fd, &size), ==, 2);
        wait_closed(fd);
        assert_serves();
}

/* A large message that is allowed, in small pieces. */
static void test_slow_message(void) {
        g_autoptr(sd_bus) bus = peer_new_socket(shared);
        g_autofree uint8_t *zero = g_malloc0(700000);
        g_autoptr(GByteArray) m = NULL;
        int fd = raw_new(shared);
        uint32_t n;

        make_open(bus, "/slow");
        {
                g_autoptr(GByteArray) body = g_byte_array_new();

                put_u32(body, 5);
                g_byte_array_append(body, (const uint8_t *) "/slow", 6);
                pad(body, 4);
                put_u32(body, 700000);
                g_byte_array_append(body, zero, 700000);
                pad(body, 4);
                put_u32(body, UINT32_MAX);
                put_u32(body, 0);
                pad(body, 8);
                m = message(1, TREE, "Set", "sayia{sv}", body->len);
                g_byte_array_append(m, body->data, body->len);
        }
        for (guint at = 0; at < m->len; at += 999)
                g_assert_true(send_all(fd, m->data + at, MIN(999u, m->len - at)));
        g_assert_cmpint(read_answer(fd, &n), ==, 2);    /* a method return */
        g_assert_cmpuint(n, ==, 72);            /* the Stat */
        close(fd);
}

/* Calls without reading the answers. */
static void test_never_reads(void) {
        g_autoptr(sd_bus) bus = peer_new_socket(shared);
        g_autofree uint8_t *data = g_malloc0(1000000);
        g_autoptr(sd_bus_message) set = NULL;
        g_autoptr(GByteArray) body = g_byte_array_new(), call_bytes = NULL;
        struct timeval patience = { .tv_usec = 300000 };
        int fd = raw_new(shared);
        unsigned sent = 0;

        make_open(bus, "/unread");
        g_assert_cmpint(sd_bus_message_new_method_call(bus, &set, "org.convene1", "/org/convene1", TREE, "Set"), >=, 0);
        g_assert_cmpint(sd_bus_message_append(set, "s", "/unread"), >=, 0);
        g_assert_cmpint(sd_bus_message_append_array(set, 'y', data, 1000000), >=, 0);
        g_assert_cmpint(sd_bus_message_append(set, "ia{sv}", -1, 0), >=, 0);
        g_assert_cmpint(sd_bus_call(bus, set, 0, NULL, NULL), >=, 0);

        put_u32(body, 7);
        g_byte_array_append(body, (const uint8_t *) "/unread", 8);
        pad(body, 4);
        put_u32(body, 0);
        pad(body, 8);
        call_bytes = message(1, TREE, "Get", "sa{sv}", body->len);
        g_byte_array_append(call_bytes, body->data, body->len);
        /* It is not read from any more long before it could have cost much: then the socket's buffer fills up. */
        g_assert_cmpint(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)), ==, 0);
        while (sent < 100000 && send_all(fd, call_bytes->data, call_bytes->len))
                sent++;
        g_assert_cmpuint(sent, <, 100000);
        assert_serves();
        close(fd);
        assert_serves();
}

/* Watches without reading the events: these cannot wait, so the connection is closed. */
static void test_never_reads_events(void) {
        g_autoptr(sd_bus) bus = peer_new_socket(shared);
        g_autoptr(GByteArray) body = g_byte_array_new(), m = NULL;
        uint64_t before = agent_statistic(shared, "socket_connections_cut"), number = 1;
        g_autofree char *path = g_strnfill(900, 'x');
        int fd = raw_new(shared);
        uint32_t size;

        path[0] = '/';
        make_open(bus, path);
        g_byte_array_append(body, (const uint8_t *) &number, 8);
        put_u32(body, 900);
        g_byte_array_append(body, (const uint8_t *) path, 901);
        pad(body, 4);
        put_u32(body, 9);
        g_byte_array_append(body, (const uint8_t *) "recursive", 10);
        pad(body, 4);
        put_u32(body, 0);
        pad(body, 8);
        m = message(1, WATCHES, "Watch", "tssa{sv}", body->len);
        g_byte_array_append(m, body->data, body->len);
        g_assert_true(send_all(fd, m->data, m->len));
        g_assert_cmpint(read_answer(fd, &size), ==, 2);
        for (unsigned i = 0; i < 200 && agent_statistic(shared, "socket_connections_cut") == before; i++) {
                g_autoptr(Record) r = record_new(bus);

                for (unsigned k = 0; k < 100; k++)
                        call_later(bus, r, "set", TREE, "Set", "sayia{sv}", path, 0, -1, 0);
                while (r->replies < 100) {
                        if (sd_bus_process(bus, NULL) == 0)
                                g_assert_cmpint(sd_bus_wait(bus, UINT64_MAX), >=, 0);
                }
                g_ptr_array_ref(r->lines);      /* the filter stays with the connection */
                g_steal_pointer(&r);
        }
        g_assert_cmpuint(agent_statistic(shared, "socket_connections_cut"), ==, before + 1);
        wait_closed(fd);
        assert_serves();
}

/* Descriptors are refused by the kernel on the agent's behalf, or else closed; the call itself works. */
static void test_descriptors(void) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(64 * sizeof(int))];
        } control = { 0 };
        g_autoptr(GByteArray) m = message(1, TREE, "WhoAmI", "a{sv}", 8);
        struct iovec iov;
        struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
        int fd = raw_new(shared);
        uint32_t size;

        g_byte_array_append(m, (const uint8_t *) "\0\0\0\0\0\0\0\0", 8);
        iov = (struct iovec) { m->data, m->len };
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(64 * sizeof(int));
        for (unsigned i = 0; i < 64; i++)
                memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &(int) { 2 }, sizeof(int));
        if (sendmsg(fd, &h, MSG_NOSIGNAL) < 0)
                g_assert_cmpint(errno, ==, EPERM);
        else
                g_assert_cmpint(read_answer(fd, &size), ==, 2);
        close(fd);
        assert_serves();
}

static void test_wrong_types(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        sd_bus_error error = SD_BUS_ERROR_NULL;

        g_assert_cmpint(sd_bus_call_method(bus, "org.convene1", "/org/convene1", TREE, "Get", &error, NULL, "i", 5), <, 0);
        g_assert_cmpstr(error.name, ==, SD_BUS_ERROR_INVALID_ARGS);
        sd_bus_error_free(&error);
        g_assert_cmpint(sd_bus_call_method(bus, "org.convene1", "/org/convene1", TREE, "Frobnicate", &error, NULL, NULL), <, 0);
        g_assert_cmpstr(error.name, ==, SD_BUS_ERROR_UNKNOWN_METHOD);
        sd_bus_error_free(&error);
        g_assert_cmpint(sd_bus_call_method(bus, "org.convene1", "/org/convene1/session/0", "org.freedesktop.DBus.Properties",
                                           "GetAll", &error, NULL, "s", "org.convene1.Session"), <, 0);
        sd_bus_error_free(&error);
        assert_serves();
}

/* Every prefix of an honest conversation, cut off. */
static void test_cut_off(void) {
        g_autoptr(GByteArray) m = message(1, TREE, "WhoAmI", "a{sv}", 8);

        g_byte_array_append(m, (const uint8_t *) "\0\0\0\0\0\0\0\0", 8);
        for (guint n = 0; n <= m->len; n += 5) {
                int fd = raw_new(shared);

                g_assert_true(send_all(fd, m->data, n));
                close(fd);
        }
        assert_serves();
}

void add_hostile_tests(void) {
        g_test_add_func("/bus/hostile/wrong-types", test_wrong_types);
        if (dbus_daemon_path)
                return;                         /* the rest never passes a broker */
        g_test_add_func("/bus/hostile/garbage", test_garbage);
        g_test_add_func("/bus/hostile/no-authentication", test_no_authentication);
        g_test_add_func("/bus/hostile/somebody-elses-uid", test_somebody_elses_uid);
        g_test_add_func("/bus/hostile/handshakes", test_handshakes);
        g_test_add_func("/bus/hostile/dribble", test_dribble);
        g_test_add_func("/bus/hostile/huge-message", test_huge_message);
        g_test_add_func("/bus/hostile/malformed-then-huge", test_malformed_then_huge);
        g_test_add_func("/bus/hostile/malformed-stream", test_malformed_stream);
        g_test_add_func("/bus/hostile/slow-message", test_slow_message);
        g_test_add_func("/bus/hostile/never-reads", test_never_reads);
        g_test_add_func("/bus/hostile/never-reads-events", test_never_reads_events);
        g_test_add_func("/bus/hostile/descriptors", test_descriptors);
        g_test_add_func("/bus/hostile/cut-off", test_cut_off);
}
