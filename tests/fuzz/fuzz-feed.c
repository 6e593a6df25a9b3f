/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Fuzz: what a peer of the local socket sends, before sd-bus sees it
 *
 *     u8 how the stream is cut into pieces, and which of them bring a descriptor along; then the stream
 *
 * However the bytes arrive, the same messages are counted, the same bytes come out, and the same streams are refused.
 */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>

#include "agent/base/limits.h"
#include "agent/base/prng.h"
#include "dbus/server/feed.h"
#include "tests/fuzz/fuzz.h"

#define STREAM_BYTES_MAX 4096
#define MESSAGE_BYTES_MAX (2 * LIMIT_REQUEST_BYTES)

uint64_t fuzz_accepted;

typedef struct Outcome {
        int error;
        unsigned messages;
} Outcome;

static uint32_t number(const uint8_t *at, bool little) {
        return little ? at[0] | (uint32_t) at[1] << 8 | (uint32_t) at[2] << 16 | (uint32_t) at[3] << 24
                      : at[3] | (uint32_t) at[2] << 8 | (uint32_t) at[1] << 16 | (uint32_t) at[0] << 24;
}

/* What must come of it, from the D-Bus specification. */
static Outcome judge(const uint8_t *stream, size_t size) {
        Outcome o = { 0 };

        for (uint64_t at = 0; at + FRAME_HEADER_BYTES <= size;) {
                const uint8_t *h = stream + at;
                bool little = h[0] == 'l';
                uint64_t fields, all;

                if ((!little && h[0] != 'B') || h[1] < 1 || h[1] > 4 || h[3] != 1 || number(h + 8, little) == 0) {
                        o.error = -EBADMSG;
                        break;
                }
                fields = number(h + 12, little);
                all = FRAME_HEADER_BYTES + (fields + 7) / 8 * 8 + number(h + 4, little);
                if (all > MESSAGE_BYTES_MAX) {
                        o.error = -EMSGSIZE;
                        break;
                }
                at += all;
                o.messages += at <= size;
        }
        return o;
}

static void send_piece(int fd, const uint8_t *bytes, size_t size, bool with_fd) {
        union {
                struct cmsghdr header;
                uint8_t space[CMSG_SPACE(sizeof(int))];
        } control = { .header = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) } };
        struct iovec iov = { (void *) bytes, size };
        struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (with_fd) {
                memcpy(CMSG_DATA(&control.header), &(int) { STDERR_FILENO }, sizeof(int));
                h.msg_control = &control;
                h.msg_controllen = sizeof control;
        }
        fuzz_check(sendmsg(fd, &h, MSG_DONTWAIT) == (ssize_t) size);
}

/* In place of sd-bus: everything that is there. */
static void drain(int fd, GByteArray *out) {
        uint8_t buffer[STREAM_BYTES_MAX];
        ssize_t n;

        while ((n = read(fd, buffer, sizeof buffer)) > 0)
                g_byte_array_append(out, buffer, (guint) n);
        fuzz_check(n < 0 && errno == EAGAIN);
}

/* Takes the messages one by one, as they are given out. */
static int feed_all(Feed *f, int peer, int end, GByteArray *out, unsigned *messages) {
        int r;

        while ((r = feed_fill(f, peer)) == 1) {
                fuzz_check(!feed_is_empty(f));
                drain(end, out);
                for (; f->messages > 0; (*messages)++)
                        feed_take(f, 1);
                if (!feed_is_empty(f))
                        fuzz_check(feed_drained(f) == 0);
                fuzz_check(feed_is_empty(f));
        }
        return r;
}

/* `split` 0: in one piece; otherwise in pieces that follow from it. */
static void feed(unsigned split, const uint8_t *stream, size_t size, const Outcome *expected) {
        g_autoptr(GByteArray) out = g_byte_array_new();
        Prng prng = { split };
        unsigned messages = 0;
        Feed f = FEED_INIT;
        size_t sent = 0;
        int pair[2], end, r = 0;

        fuzz_check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
        fuzz_check(feed_open(&f, &end) == 0);
        while (r == 0 && sent < size) {
                size_t n = split == 0 ? size : 1 + prng_below(&prng, 1 + prng_below(&prng, 100));

                n = MIN(n, size - sent);
                send_piece(pair[1], stream + sent, n, split > 0 && prng_below(&prng, 4) == 0);
                sent += n;
                if (prng_below(&prng, 3) > 0 || sent == size)           /* it may see several pieces at once */
                        r = feed_all(&f, pair[0], end, out, &messages);
        }

        fuzz_check(r == expected->error);
        fuzz_check(out->len <= size && memcmp(out->data ? out->data : stream, stream, out->len) == 0);
        if (r == 0) {
                fuzz_check(out->len == size && messages == expected->messages);
                close(pair[1]);
                fuzz_check(feed_fill(&f, pair[0]) < 0);
        } else {
                fuzz_check(messages <= expected->messages);
                close(pair[1]);
        }
        close(pair[0]);
        close(end);
        feed_done(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Outcome expected;

        if (size < 1 || size > STREAM_BYTES_MAX)
                return 0;

        expected = judge(data + 1, size - 1);
        feed(0, data + 1, size - 1, &expected);
        feed(1 + data[0], data + 1, size - 1, &expected);
        fuzz_accepted += expected.error == 0 && expected.messages > 0;
        return 0;
}
