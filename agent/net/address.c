/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Address
 */

#include "agent/net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include <glib.h>

static bool parse_port(const char *text, in_port_t *ret) {
        guint64 port;

        if (!g_ascii_string_to_unsigned(text, 10, 0, 65535, &port, NULL))
                return false;

        *ret = htons((uint16_t) port);
        return true;
}

bool net_address_parse(const char *text, NetAddress *ret) {
        const char *colon = strrchr(text, ':');
        g_autofree char *host = NULL;
        NetAddress a = { 0 };

        if (!colon || colon == text)
                return false;

        if (text[0] == '[' && colon[-1] == ']') {
                struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) &a.sockaddr;

                host = g_strndup(text + 1, colon - text - 2);
                in6->sin6_family = AF_INET6;
                a.size = sizeof(*in6);
                if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1 || !parse_port(colon + 1, &in6->sin6_port))
                        return false;
        } else {
                struct sockaddr_in *in = (struct sockaddr_in *) &a.sockaddr;

                host = g_strndup(text, colon - text);
                in->sin_family = AF_INET;
                a.size = sizeof(*in);
                if (inet_pton(AF_INET, host, &in->sin_addr) != 1 || !parse_port(colon + 1, &in->sin_port))
                        return false;
        }

        *ret = a;
        return true;
}

bool net_address_is_any(const NetAddress *a) {
        if (a->sockaddr.ss_family == AF_INET6)
                return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *) &a->sockaddr)->sin6_addr);
        return ((const struct sockaddr_in *) &a->sockaddr)->sin_addr.s_addr == htonl(INADDR_ANY);
}

unsigned net_address_port(const NetAddress *a) {
        if (a->sockaddr.ss_family == AF_INET6)
                return ntohs(((const struct sockaddr_in6 *) &a->sockaddr)->sin6_port);
        return ntohs(((const struct sockaddr_in *) &a->sockaddr)->sin_port);
}

char *net_address_to_string(const NetAddress *a) {
        char host[INET6_ADDRSTRLEN] = "?";

        if (a->sockaddr.ss_family == AF_INET6) {
                const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) &a->sockaddr;

                (void) inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
                return g_strdup_printf("[%s]:%u", host, ntohs(in6->sin6_port));
        }
        if (a->sockaddr.ss_family == AF_INET) {
                const struct sockaddr_in *in = (const struct sockaddr_in *) &a->sockaddr;

                (void) inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
                return g_strdup_printf("%s:%u", host, ntohs(in->sin_port));
        }
        return g_strdup("unknown:0");
}

bool net_address_same_host(const NetAddress *a, const NetAddress *b) {
        if (a->sockaddr.ss_family != b->sockaddr.ss_family)
                return false;
        if (a->sockaddr.ss_family == AF_INET6)
                return memcmp(&((const struct sockaddr_in6 *) &a->sockaddr)->sin6_addr,
                              &((const struct sockaddr_in6 *) &b->sockaddr)->sin6_addr, sizeof(struct in6_addr)) == 0;
        return ((const struct sockaddr_in *) &a->sockaddr)->sin_addr.s_addr ==
               ((const struct sockaddr_in *) &b->sockaddr)->sin_addr.s_addr;
}
