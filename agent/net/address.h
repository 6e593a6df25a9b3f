/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Address
 *
 * "192.0.2.1:2890" or "[2001:db8::1]:2890".  Literals only: no name service stands between members (reliability, fault 47).
 */

#include <stdbool.h>
#include <sys/socket.h>

typedef struct NetAddress {
        struct sockaddr_storage sockaddr;
        socklen_t size;
} NetAddress;

/* False for anything but a literal with a port (0 is one: the kernel chooses). */
bool net_address_parse(const char *text, NetAddress *ret);

/* 0.0.0.0 or [::]: every address of this host, and so none that another host could be told. */
bool net_address_is_any(const NetAddress *a);
unsigned net_address_port(const NetAddress *a);

/* Owned by the caller. */
char *net_address_to_string(const NetAddress *a);

/* The same host, whatever the port. */
bool net_address_same_host(const NetAddress *a, const NetAddress *b);
