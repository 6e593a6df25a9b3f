/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * BIO
 *
 * How TLS reaches the socket.  Unlike OpenSSL's own: writing to a connection that is gone raises no signal, and a
 * stranger can make the library take in only so many bytes before the handshake is done.
 */

#include <stdbool.h>
#include <stddef.h>

#include <openssl/bio.h>

typedef struct NetBio {
        int fd;
        bool limited;                   /* the handshake is not done: only `left` more bytes are read */
        size_t left;
} NetBio;

/* NULL only without memory.  `state` outlives it and stays the caller's. */
BIO *net_bio_new(NetBio *state);
