/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Feed
 *
 * What a peer of the local socket sends, on its way to sd-bus.  sd-bus takes messages of up to 128 MiB, reads on for as long as
 * something comes, and drops what is malformed without telling anybody.  So it never reads from a peer: it reads from a
 * pipe that holds one bounded piece at a time, whose messages were measured and counted before; and the descriptors that
 * a peer may send along get nowhere.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER_BYTES 16

typedef struct Feed {
        int fd;                         /* the pipe's end to write to; -1: none */
        size_t piece_bytes;             /* what the pipe takes */
        uint8_t header[FRAME_HEADER_BYTES];     /* of the message that comes, as far as it is there */
        unsigned header_size;
        uint64_t rest;                  /* bytes of the message whose header is complete that are still to come */
        unsigned messages;              /* complete ones that sd-bus has not given out */
        bool pending;                   /* there may be bytes that sd-bus has not read */
} Feed;

#define FEED_INIT ((Feed) { .fd = -1 })

/* Makes the pipe; the end to read from is the caller's. */
int feed_open(Feed *f, int *ret_fd);
void feed_done(Feed *f);

/* All that was put in has been given out: more may be put in. */
static inline bool feed_is_empty(const Feed *f) {
        return !f->pending;
}

/* Puts in the next piece of what the peer has sent.  1: there is something now; 0: the peer's socket has nothing; negative errno: hang
 * up (-EMSGSIZE, -EBADMSG: because of what was sent). */
int feed_fill(Feed *f, int peer);
/* sd-bus has given out so many messages. */
void feed_take(Feed *f, uint64_t messages);
/* sd-bus finds nothing more to read.  -EBADMSG if it has given out less than what was put in: the rest was malformed. */
int feed_drained(Feed *f);
