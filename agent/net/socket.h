/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Socket
 *
 * TCP sockets, non-blocking and closed on exec.
 */

#include "agent/net/address.h"

/* Listens; 0 with the address that it got (a port of 0 is chosen by the kernel), or -errno.  Also at an address that this host does
 * not have yet: connections come in once it has. */
int net_listen(const NetAddress *address, int *ret_fd, NetAddress *ret_address);

/* Whether this host has the address at the moment; its port does not matter. */
bool net_is_here(const NetAddress *address);

/* A socket on its way to `address`; whether it arrives shows when it is used.  0 or -errno. */
int net_dial(const NetAddress *address, int *ret_fd);

/* The next connection, 0 or -errno.  IPv4 in IPv6's clothes is given as IPv4. */
int net_accept(int fd, int *ret_fd, NetAddress *ret_from);
