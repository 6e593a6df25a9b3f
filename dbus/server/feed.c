/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Feed
 */

#include "dbus/server/feed.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>

#include "agent/base/limits.h"

#define FRAME_BYTES_MAX (2 * LIMIT_REQUEST_BYTES)       /* the largest request, with room for how D-Bus writes it */
#define PIECE_BYTES (64 * 1024)
#define PROTOCOL_VERSION 1
#define TYPE_MAX 4                      /* method call, return, error, signal */

int feed_open(Feed *f, int *ret_fd) {
        int ends[2], room;

        if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        /* A user with many pipes gets small ones. */
        room = fcntl(ends[1], F_GETPIPE_SZ);
        if (room <= 0) {
                int r = -errno;

                close(ends[0]);
                close(ends[1]);
                return r;
        }
        *f = (Feed) { .fd = ends[1], .piece_bytes = MIN(PIECE_BYTES, (size_t) room) };
        *ret_fd = ends[0];
        return 0;
}

void feed_done(Feed *f) {
        if (f->fd >= 0)
                close(f->fd);
        *f = FEED_INIT;
}

/* A message's size from its header; 0 if that is none. */
static uint64_t frame_size(const uint8_t *header) {
        uint32_t body, serial, fields;

        if (header[1] == 0 || header[1] > TYPE_MAX || header[3] != PROTOCOL_VERSION)
                return 0;
        memcpy(&body, header + 4, 4);
        memcpy(&serial, header + 8, 4);
        memcpy(&fields, header + 12, 4);
        if (header[0] == 'l') {
                body = le32toh(body);
                fields = le32toh(fields);
        } else if (header[0] == 'B') {
                body = be32toh(body);
                fields = be32toh(fields);
        } else
                return 0;
        if (serial == 0)
                return 0;
        return FRAME_HEADER_BYTES + (((uint64_t) fields + 7) & ~UINT64_C(7)) + body;
}

/* Walks over what comes; where a message begins follows from the sizes of those before. */
static int feed_count(Feed *f, const uint8_t *at, size_t size) {
        while (size > 0) {
                size_t n;

                if (f->rest > 0) {
                        n = MIN(f->rest, size);
                        f->rest -= n;
                } else {
                        uint64_t frame;

                        n = MIN(FRAME_HEADER_BYTES - f->header_size, size);
                        memcpy(f->header + f->header_size, at, n);
                        f->header_size += (unsigned) n;
                        if (f->header_size < FRAME_HEADER_BYTES)
                                return 0;
                        frame = frame_size(f->header);
                        if (frame == 0)
                                return -EBADMSG;
                        if (frame > FRAME_BYTES_MAX)
                                return -EMSGSIZE;
                        f->header_size = 0;
                        f->rest = frame - FRAME_HEADER_BYTES;
                }
                if (f->rest == 0)
                        f->messages++;
                at += n;
                size -= n;
        }
        return 0;
}

int feed_fill(Feed *f, int peer) {
        static uint8_t piece[PIECE_BYTES];      /* of the loop's thread, and of no use afterwards */
        ssize_t size;
        int r;

        assert(feed_is_empty(f));
        assert(f->messages == 0);

        /* There is no room for control data: the kernel closes descriptors that came along. */
        size = recv(peer, piece, f->piece_bytes, MSG_DONTWAIT);
        if (size < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (size == 0)
                return -ECONNRESET;

        r = feed_count(f, piece, (size_t) size);
        if (r < 0)
                return r;
        if (write(f->fd, piece, (size_t) size) != size)
                return -EIO;
        f->pending = true;
        return 1;
}

void feed_take(Feed *f, uint64_t messages) {
        f->messages -= (unsigned) MIN(f->messages, messages);
        /* Not in the middle of a message: then sd-bus is to take what there is of it. */
        if (f->messages == 0 && f->rest == 0 && f->header_size == 0)
                f->pending = false;
}

int feed_drained(Feed *f) {
        f->pending = false;
        return f->messages > 0 ? -EBADMSG : 0;
}
