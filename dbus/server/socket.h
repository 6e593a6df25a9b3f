/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Socket
 *
 * The local socket: each connection is a peer-to-peer sd_bus with us as its server.  It answers what a client of a broker says
 * first (Hello, AddMatch), so that `busctl --address=unix:path=...` and other bus clients work.
 *
 * Bounds: connections (per uid and in all); what one connection may leave unread (then it is no longer read from, and at last closed);
 * what it may send of one message.
 */

#include "dbus/server/channel.h"

/* What sd_bus_send() said, and about how many bytes it was given. */
void connection_sent(Connection *n, int result, uint64_t bytes);
/* It is about to be closed: nothing is sent any more. */
bool connection_is_doomed(const Connection *n);
/* Closes it from the event loop. */
void connection_doom(Connection *n);
/* Calls of its caller wait no longer: read on. */
void connection_resume(Connection *n);
/* Emits a change signal to every connection that wants signals. */
void sockets_emit_changed(Server *s, const char *interface, char **properties);
void sockets_close_all(Server *s);
