/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Handshake
 *
 * The lines before the first message on the local socket (D-Bus specification, "Authentication protocol"): EXTERNAL only,
 * and only as the user that the kernel says connected.  Not a byte behind BEGIN is read, so that whoever reads on
 * stands at the beginning of a message; and what never gets so far has cost next to nothing.
 */

#include <stdbool.h>

#include <sys/types.h>
#include <systemd/sd-id128.h>

#define HANDSHAKE_LINE_BYTES 256

typedef enum HandshakeState {
        HANDSHAKE_NUL,                  /* the byte that comes first */
        HANDSHAKE_AUTH,
        HANDSHAKE_DATA,                 /* who it says it is */
        HANDSHAKE_BEGIN,                /* accepted */
        HANDSHAKE_DONE,
} HandshakeState;

typedef struct Handshake {
        int fd;                         /* borrowed, non-blocking */
        uid_t uid;                      /* the peer's */
        sd_id128_t server;
        HandshakeState state;
        bool fds;                       /* the peer wants to pass descriptors */
        unsigned lines_count, line_size;
        char line[HANDSHAKE_LINE_BYTES];
} Handshake;

/* Goes on as far as there is input.  1: BEGIN was read; 0: more must come; negative errno: hang up. */
int handshake_step(Handshake *h);
