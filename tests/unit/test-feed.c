/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a peer of the local socket sends, before sd-bus sees it.
 */

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>

#include "dbus/server/feed.h"

typedef struct Fixture {
        Feed feed;
        int peer[2];                    /* we are [0], the one who sends has [1] */
        int out;                        /* what sd-bus reads from */
} Fixture;

static void setup(Fixture *f, gconstpointer data) {
        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, f->peer), ==, 0);
        g_assert_cmpint(feed_open(&f->feed, &f->out), ==, 0);
}

static void teardown(Fixture *f, gconstpointer data) {
        feed_done(&f->feed);
        close(f->out);
        close(f->peer[0]);
        if (f->peer[1] >= 0)
                close(f->peer[1]);
}

/* A header for that many bytes behind it, in the byte order asked for. */
static void put(GByteArray *a, char order, uint32_t serial, uint32_t fields, uint32_t body) {
        uint8_t bytes[16] = { (uint8_t) order, 1, 0, 1 };
        uint32_t words[3] = { body, serial, fields };

        for (unsigned i = 0; i < 3; i++) {
                words[i] = order == 'l' ? GUINT32_TO_LE(words[i]) : GUINT32_TO_BE(words[i]);
                memcpy(bytes + 4 + 4 * i, &words[i], 4);
        }
        g_byte_array_append(a, bytes, sizeof(bytes));
        g_byte_array_set_size(a, a->len + ((fields + 7) & ~7u) + body);
}

static void send_all(Fixture *f, const uint8_t *data, size_t size) {
        g_assert_cmpint(send(f->peer[1], data, size, 0), ==, size);
}

static size_t drain(Fixture *f) {
        uint8_t buffer[4096];
        size_t total = 0;
        ssize_t n;

        while ((n = read(f->out, buffer, sizeof(buffer))) > 0)
                total += (size_t) n;
        g_assert_true(n < 0 && errno == EAGAIN);
        return total;
}

/* Messages of every size, cut at every place: each is counted when it is whole, and nothing is lost. */
static void test_count(Fixture *f, gconstpointer data) {
        g_autoptr(GByteArray) all = g_byte_array_new();
        unsigned wanted = 0;

        for (uint32_t n = 0; n < 40; n++, wanted++)
                put(all, n % 2 ? 'l' : 'B', n + 1, n, 3 * n);
        for (guint piece = 1; piece < 70; piece++) {
                size_t passed = 0;
                unsigned messages = 0;

                for (guint at = 0; at < all->len; at += piece) {
                        send_all(f, all->data + at, MIN(piece, all->len - at));
                        g_assert_cmpint(feed_fill(&f->feed, f->peer[0]), ==, 1);
                        messages += f->feed.messages;
                        passed += drain(f);
                        feed_take(&f->feed, f->feed.messages);
                        g_assert_cmpint(feed_drained(&f->feed), ==, 0);
                        g_assert_true(feed_is_empty(&f->feed));
                }
                g_assert_cmpuint(messages, ==, wanted);
                g_assert_cmpuint(passed, ==, all->len);
        }
        g_assert_cmpint(feed_fill(&f->feed, f->peer[0]), ==, 0);
}

/* More than a pipe holds is waiting: it comes by bounded pieces. */
static void test_bounded(Fixture *f, gconstpointer data) {
        g_autoptr(GByteArray) all = g_byte_array_new();
        size_t passed = 0;
        int r, size = 1 << 20;

        put(all, 'l', 1, 0, 100000);
        (void) setsockopt(f->peer[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        send_all(f, all->data, all->len);
        while ((r = feed_fill(&f->feed, f->peer[0])) > 0) {
                size_t n = drain(f);

                g_assert_cmpuint(n, <=, 65536);
                passed += n;
                feed_take(&f->feed, f->feed.messages);
                g_assert_cmpint(feed_drained(&f->feed), ==, 0);
        }
        g_assert_cmpint(r, ==, 0);
        g_assert_cmpuint(passed, ==, all->len);
}

static void assert_refused(Fixture *f, const GByteArray *a, int error) {
        Fixture other;

        setup(&other, NULL);
        send_all(&other, a->data, a->len);
        g_assert_cmpint(feed_fill(&other.feed, other.peer[0]), ==, error);
        g_assert_cmpuint(drain(&other), ==, 0);         /* nothing of that piece gets through */
        teardown(&other, NULL);
}

static void test_refused(Fixture *f, gconstpointer data) {
        static const struct {
                unsigned at;
                uint8_t value;
        } wrong[] = { { 0, 'x' }, { 1, 0 }, { 1, 5 }, { 3, 0 }, { 3, 2 } };
        g_autoptr(GByteArray) a = g_byte_array_new();

        put(a, 'l', 0, 0, 0);
        assert_refused(f, a, -EBADMSG);
        for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
                g_byte_array_set_size(a, 0);
                put(a, 'l', 1, 8, 8);
                put(a, 'l', 2, 0, 0);
                a->data[32 + wrong[i].at] = wrong[i].value;
                assert_refused(f, a, -EBADMSG);
        }
        for (unsigned i = 0; i < 2; i++) {
                uint32_t huge = i == 0 ? UINT32_MAX : GUINT32_TO_LE(5 * 1024 * 1024);

                g_byte_array_set_size(a, 0);
                put(a, 'l', 1, 0, 0);
                memcpy(a->data + 4, &huge, 4);
                assert_refused(f, a, -EMSGSIZE);
                memcpy(a->data + 12, &huge, 4);
                memset(a->data + 4, 0, 4);
                assert_refused(f, a, -EMSGSIZE);
        }
}

/* What sd-bus drops without a word is missed. */
static void test_missed(Fixture *f, gconstpointer data) {
        g_autoptr(GByteArray) a = g_byte_array_new();

        for (uint32_t i = 1; i <= 3; i++)
                put(a, 'l', i, 0, 0);
        send_all(f, a->data, a->len);
        g_assert_cmpint(feed_fill(&f->feed, f->peer[0]), ==, 1);
        (void) drain(f);
        feed_take(&f->feed, 2);
        g_assert_false(feed_is_empty(&f->feed));
        g_assert_cmpint(feed_drained(&f->feed), ==, -EBADMSG);
}

static unsigned open_descriptors(void) {
        DIR *d = opendir("/proc/self/fd");
        unsigned n = 0;

        g_assert_nonnull(d);
        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

static void test_descriptors(Fixture *f, gconstpointer data) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(100 * sizeof(int))];
        } control = { .header = { CMSG_LEN(100 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
        g_autoptr(GByteArray) a = g_byte_array_new();
        struct iovec iov;
        struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
        unsigned before = open_descriptors();

        put(a, 'l', 1, 0, 8);
        iov = (struct iovec) { a->data, a->len };
        for (unsigned i = 0; i < 100; i++)
                memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &f->out, sizeof(int));
        g_assert_cmpint(sendmsg(f->peer[1], &h, 0), ==, a->len);
        g_assert_cmpint(feed_fill(&f->feed, f->peer[0]), ==, 1);
        g_assert_cmpuint(drain(f), ==, a->len);
        g_assert_cmpuint(open_descriptors(), ==, before);
}

static void test_hang_up(Fixture *f, gconstpointer data) {
        close(f->peer[1]);
        f->peer[1] = -1;
        g_assert_cmpint(feed_fill(&f->feed, f->peer[0]), ==, -ECONNRESET);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add("/feed/count", Fixture, NULL, setup, test_count, teardown);
        g_test_add("/feed/bounded", Fixture, NULL, setup, test_bounded, teardown);
        g_test_add("/feed/refused", Fixture, NULL, setup, test_refused, teardown);
        g_test_add("/feed/missed", Fixture, NULL, setup, test_missed, teardown);
        g_test_add("/feed/descriptors", Fixture, NULL, setup, test_descriptors, teardown);
        g_test_add("/feed/hang-up", Fixture, NULL, setup, test_hang_up, teardown);
        return g_test_run();
}
