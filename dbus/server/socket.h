/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Socket
 *
 * The local socket's listeners, and all its connections together.  Bounded here: connections, per uid and in all; in
 * connection.c: what one connection may leave unread, and the size of a message.
 */

#include "dbus/server/channel.h"

/* Emits a change signal to every connection that wants signals. */
void sockets_emit_changed(Server *s, const char *path, const char *interface, char **properties);
void sockets_close_all(Server *s);
