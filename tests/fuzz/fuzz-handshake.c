/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Fuzz: the lines before the first message on the local socket
 *
 *     u8 who connects  u8 how the stream is cut into pieces, then the stream
 *
 * However the bytes arrive, the outcome, the answers and the place where reading stops are the same.
 */

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>

#include "agent/base/prng.h"
#include "dbus/server/handshake.h"
#include "tests/fuzz/fuzz.h"

#define STREAM_BYTES_MAX 4500           /* more than it ever reads */

uint64_t fuzz_accepted;

typedef struct Outcome {
        int result;
        HandshakeState state;
        bool fds;
        size_t taken;                   /* bytes of the stream */
        GString *answers;
} Outcome;

static const sd_id128_t server_id = { { 0xab, 0xcd, 1, 2, 3 } };

static void set_up(Handshake *h, int pair[2], uid_t uid) {
        fuzz_check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
        *h = (Handshake) { .fd = pair[0], .uid = uid, .server = server_id };
}

static void collect(Outcome *o, int fd) {
        char buffer[512];
        ssize_t n;

        while ((n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT)) > 0)
                g_string_append_len(o->answers, buffer, n);
}

/* `split` 0: in one piece; 1: byte by byte; otherwise in pieces that follow from it. */
static Outcome feed(uid_t uid, unsigned split, const uint8_t *stream, size_t size) {
        Outcome o = { .answers = g_string_new(NULL) };
        Prng prng = { split };
        size_t sent = 0;
        int pair[2], left;
        Handshake h;

        set_up(&h, pair, uid);
        while (o.result == 0 && sent < size) {
                size_t n = split == 0 ? size : split == 1 ? 1 : 1 + prng_below(&prng, 1 + prng_below(&prng, 64));

                n = MIN(n, size - sent);
                fuzz_check(send(pair[1], stream + sent, n, 0) == (ssize_t) n);
                sent += n;
                o.result = handshake_step(&h);
                fuzz_check(o.result <= 1);
                fuzz_check((o.result == 1) == (h.state == HANDSHAKE_DONE));
        }
        collect(&o, pair[1]);
        o.state = h.state;
        o.fds = h.fds;
        fuzz_check(ioctl(pair[0], FIONREAD, &left) == 0 && left >= 0);
        o.taken = sent - (size_t) left;

        /* Whoever leaves in the middle is noticed. */
        if (o.result == 0) {
                fuzz_check(left == 0);
                close(pair[1]);
                fuzz_check(handshake_step(&h) < 0);
        } else
                close(pair[1]);
        close(pair[0]);
        return o;
}

static bool names_user(const char *line, uid_t uid) {
        g_autofree char *number = g_strdup_printf("%" G_GUINT32_FORMAT, (guint32) uid);
        g_autoptr(GString) hex = g_string_new(NULL);
        const char *word = g_str_has_prefix(line, "AUTH EXTERNAL ") ? line + strlen("AUTH EXTERNAL ")
                           : g_str_has_prefix(line, "DATA ") ? line + strlen("DATA ") : "";

        for (const char *c = number; *c != '\0'; c++)
                g_string_append_printf(hex, "%02X", *c);
        return g_str_equal(line, "DATA") || g_str_equal(line, "DATA ") || g_ascii_strcasecmp(word, hex->str) == 0;
}

/* The line that was answered with OK says nothing else than who the kernel says it is, and BEGIN is the last. */
static void check_accepted(const Outcome *o, uid_t uid, const uint8_t *stream) {
        g_autofree char *text = g_strndup((const char *) stream + 1, o->taken - 1);
        g_auto(GStrv) lines = g_strsplit(text, "\r\n", -1), answers = g_strsplit(o->answers->str, "\r\n", -1);
        unsigned last = g_strv_length(lines) - 2;
        bool ok = false, fds = false;

        fuzz_check(stream[0] == '\0');
        fuzz_check(strlen(text) == o->taken - 1);               /* no NUL in an accepted one */
        fuzz_check(g_str_equal(lines[last], "BEGIN") && lines[last + 1][0] == '\0');
        fuzz_check(g_strv_length(answers) == last + 1);         /* one each, but for BEGIN */
        for (unsigned i = 0; i < last; i++) {
                if (g_str_has_prefix(answers[i], "OK ")) {
                        fuzz_check(names_user(lines[i], uid));
                        ok = true;
                } else if (g_str_equal(answers[i], "REJECTED EXTERNAL"))
                        ok = false;
                else if (g_str_equal(answers[i], "AGREE_UNIX_FD")) {
                        fuzz_check(ok);
                        fds = true;
                } else
                        fuzz_check(g_str_equal(answers[i], "ERROR") || (!ok && g_str_equal(answers[i], "DATA")));
        }
        fuzz_check(ok && fds == o->fds);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const uid_t users[] = { 0, 5, 1000, 65534, (uid_t) -2 };
        Outcome whole, pieces;
        uid_t uid;

        if (size < 2 || size > STREAM_BYTES_MAX)
                return 0;

        uid = users[data[0] % G_N_ELEMENTS(users)];
        whole = feed(uid, 0, data + 2, size - 2);
        pieces = feed(uid, 1 + data[1], data + 2, size - 2);
        fuzz_check(pieces.result == whole.result && pieces.state == whole.state && pieces.fds == whole.fds);
        fuzz_check(pieces.taken == whole.taken);
        fuzz_check(g_string_equal(pieces.answers, whole.answers));
        if (whole.result == 1) {
                fuzz_accepted++;
                check_accepted(&whole, uid, data + 2);
        }
        g_string_free(whole.answers, TRUE);
        g_string_free(pieces.answers, TRUE);
        return 0;
}
