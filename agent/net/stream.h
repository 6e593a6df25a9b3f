/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Stream
 *
 * One TLS connection on the event loop.  Nothing blocks.  What is written in one turn of the loop leaves in one piece; what
 * comes in is handed over as it comes, and kept while the taker wants more.  Until the other side has shown a welcome
 * key, no byte of it is handed to anybody.
 *
 * Limits: bytes kept unread (input_max, which may grow with trust), bytes not yet sent (output_max), time for the
 * handshake.
 */

#include <stddef.h>

#include <systemd/sd-event.h>

#include "agent/net/key.h"

typedef struct NetStream NetStream;

/* The stream may be freed from inside each of them. */
typedef struct NetStreamHandler {
        /* The handshake is done; false: this key is not welcome, and closed() follows. */
        bool (*verify)(void *userdata, const uint8_t pin[static NET_PIN_BYTES]);
        /* Returns how many of the bytes it has taken (what is left comes again, with more behind it), or -1: closed() follows. */
        ssize_t (*bytes)(void *userdata, const uint8_t *data, size_t size);
        /* It is over, by the other side or an error; `reason` is a phrase for the journal.  Not called for net_stream_free(). */
        void (*closed)(void *userdata, const char *reason);
        void *userdata;
} NetStreamHandler;

typedef struct NetStreamOptions {
        bool server;                    /* it was accepted, not dialled */
        uint64_t handshake_usec;        /* 0: 5 s */
        size_t input_max;               /* 0: 16 KiB */
        size_t output_max;              /* 0: 16 MiB */
} NetStreamOptions;

/* Takes `fd`, a non-blocking socket that is connected or on its way.  NULL only if the event loop refuses, with fd closed. */
NetStream *net_stream_new(sd_event *event, int fd, const NetKey *key, const NetStreamOptions *options,
                          const NetStreamHandler *handler);
NetStream *net_stream_free(NetStream *s);       /* closes; what could be sent at once is sent; NULL allowed */

void net_stream_set_input_max(NetStream *s, size_t input_max);

/* Appends to what is to be sent; false, and closed() is called from the loop, if that goes beyond output_max. */
bool net_stream_write(NetStream *s, const void *data, size_t size);
size_t net_stream_queued(const NetStream *s);

/* No bytes() until resumed: the taker has had enough for this turn. */
void net_stream_pause(NetStream *s, bool paused);

typedef struct NetStreamStatistics {
        uint64_t bytes_in, bytes_out;
} NetStreamStatistics;

void net_stream_get_statistics(const NetStream *s, NetStreamStatistics *ret);
