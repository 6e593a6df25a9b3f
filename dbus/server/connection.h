/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Connection
 *
 * One connection of the local socket: a handshake, then a peer-to-peer sd_bus with us as its server.
 *
 * The connections are driven here and not by sd_bus_attach_event(): what a message will take must be known before sd-bus reads
 * it, reading must be able to pause, and thousands of connections must not cost a callback each per turn of the event loop.
 */

#include <sys/socket.h>

#include "dbus/server/account.h"
#include "dbus/server/channel.h"
#include "dbus/server/deferred.h"
#include "dbus/server/feed.h"
#include "dbus/server/handshake.h"

struct Connection {
        Channel channel;                /* bus and caller: NULL until the handshake is done */
        Account *account;
        pid_t pid;
        int pidfd;                      /* -1: the kernel does not give one */
        int fd;                         /* sd-bus has a copy to write to */
        uint64_t number;
        Handshake handshake;
        sd_event_source *io, *timer;
        GList link;                     /* in Server.connections */
        uint32_t events;                /* what `io` waits for */
        bool hello, matched;            /* it behaves as on a broker; and wants signals there */
        bool doomed;                    /* about to be closed */

        /* input */
        Feed feed;
        uint64_t messages;              /* that sd-bus has given out */
        Deferred more, close;

        /* output */
        bool paused;                    /* too much is unread: nothing is read either */
        GQueue unread;                  /* sizes of the messages in sd-bus's write queue, oldest first */
        uint64_t unread_bytes;
};

/* Takes the descriptor. */
void connection_new(Server *s, int fd, const struct ucred *peer);
void connection_free(Connection *n);    /* not from inside one of its methods: connection_doom() */

/* Closes it from the event loop; until then nothing is sent any more. */
void connection_doom(Connection *n);
static inline bool connection_is_doomed(const Connection *n) {
        return n->doomed;
}

/* What sd_bus_send() said, and about how many bytes it was given; 0: whatever sd-bus itself has sent. */
void connection_sent(Connection *n, int result, uint64_t bytes);
/* Calls of its caller wait no longer: read on. */
void connection_resume(Connection *n);

/* peer-bus.c: what a client of a broker says first. */
extern const sd_bus_vtable peer_vtable[];
