/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Socket
 *
 * The local socket's listeners, and all its connections together.  Bounded here: connections, per uid and in all; in
 * connection.c: what one connection may leave unread, and the size of a message.
 */

#include "dbus/server/channel.h"

struct ucred;

/* What a listening socket is for. */
typedef struct SocketKind {
        bool (*is_open)(const Server *s);       /* whoever comes otherwise waits in its queue; NULL: always */
        void (*accepted)(Server *s, int fd, const struct ucred *peer);         /* takes the descriptor */
} SocketKind;

/* Takes the descriptor. */
int socket_listen(Server *s, int fd, const SocketKind *kind);

/* Emits a change signal to every connection that wants signals. */
void sockets_emit_changed(Server *s, const char *path, const char *interface, char **properties);
void sockets_close_all(Server *s);
