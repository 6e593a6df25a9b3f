/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Handshake
 */

#include "dbus/server/handshake.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>

#include <glib.h>

#define LINES_MAX 16

static int answer(Handshake *h, const char *text) {
        size_t size = strlen(text);
        ssize_t n = send(h->fd, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);

        /* A peer that does not read the few bytes there are so far will not get any further. */
        return n == (ssize_t) size ? 0 : -EPROTO;
}

static int reject(Handshake *h) {
        h->state = HANDSHAKE_AUTH;
        return answer(h, "REJECTED EXTERNAL\r\n");
}

/* The uid in decimal, each digit in hexadecimal ("30" is 0); empty: as whoever connected. */
static int judge(Handshake *h, const char *hex) {
        char wanted[32], id[SD_ID128_STRING_MAX], line[64];
        char *at = wanted;

        if (*hex != '\0') {
                g_autofree char *uid = g_strdup_printf("%" PRIu32, (uint32_t) h->uid);

                for (const char *digit = uid; *digit != '\0'; digit++, at += 2)
                        g_snprintf(at, 3, "%02x", *digit);
                if (g_ascii_strcasecmp(hex, wanted) != 0)
                        return reject(h);
        }
        h->state = HANDSHAKE_BEGIN;
        g_snprintf(line, sizeof(line), "OK %s\r\n", sd_id128_to_string(h->server, id));
        return answer(h, line);
}

static const char *after(const char *line, const char *word) {
        size_t n = strlen(word);

        if (strncmp(line, word, n) != 0 || (line[n] != '\0' && line[n] != ' '))
                return NULL;
        return line[n] == ' ' ? line + n + 1 : line + n;
}

static int take_line(Handshake *h) {
        const char *rest;

        if ((rest = after(h->line, "AUTH")) && h->state == HANDSHAKE_AUTH) {
                rest = after(rest, "EXTERNAL");
                if (!rest)
                        return reject(h);
                if (*rest != '\0')
                        return judge(h, rest);
                h->state = HANDSHAKE_DATA;
                return answer(h, "DATA\r\n");
        }
        if ((rest = after(h->line, "DATA")) && h->state == HANDSHAKE_DATA)
                return judge(h, rest);
        if (g_str_equal(h->line, "NEGOTIATE_UNIX_FD") && h->state == HANDSHAKE_BEGIN) {
                h->fds = true;
                return answer(h, "AGREE_UNIX_FD\r\n");
        }
        if (g_str_equal(h->line, "BEGIN")) {
                if (h->state != HANDSHAKE_BEGIN)
                        return -EPERM;
                h->state = HANDSHAKE_DONE;
                return 0;
        }
        if (g_str_equal(h->line, "CANCEL") || after(h->line, "ERROR"))
                return reject(h);
        return answer(h, "ERROR\r\n");
}

/* Reads up to the end of the line, or what there is of it.  1: something was read; 0: nothing is there. */
static int read_some(Handshake *h) {
        char *to = h->line + h->line_size;
        size_t room = sizeof(h->line) - h->line_size;
        const char *end;
        ssize_t n;

        n = recv(h->fd, to, room, MSG_PEEK | MSG_DONTWAIT);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n == 0)
                return -ECONNRESET;
        end = h->state == HANDSHAKE_NUL ? to : memchr(to, '\n', n);
        if (end)
                n = end + 1 - to;
        if (recv(h->fd, to, n, MSG_DONTWAIT) != n)
                return -EIO;
        h->line_size += (unsigned) n;
        return 1;
}

int handshake_step(Handshake *h) {
        int r;

        while (h->state != HANDSHAKE_DONE) {
                r = read_some(h);
                if (r <= 0)
                        return r;

                if (h->state == HANDSHAKE_NUL) {
                        if (h->line[0] != '\0')
                                return -EPROTO;
                        h->state = HANDSHAKE_AUTH;
                        h->line_size = 0;
                        continue;
                }
                if (h->line[h->line_size - 1] != '\n') {
                        if (h->line_size == sizeof(h->line))
                                return -EPROTO;
                        continue;
                }
                if (h->line_size < 2 || h->line[h->line_size - 2] != '\r' || ++h->lines_count > LINES_MAX)
                        return -EPROTO;
                if (memchr(h->line, '\0', h->line_size))
                        return -EPROTO;
                h->line[h->line_size - 2] = '\0';
                h->line_size = 0;
                r = take_line(h);
                if (r < 0)
                        return r;
        }
        return 1;
}
