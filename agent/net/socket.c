/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Socket
 */

#include "agent/net/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 128

static int close_with(int fd, int error) {
        close(fd);
        return -error;
}

static int new_socket(const NetAddress *address) {
        int fd = socket(address->sockaddr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        return fd < 0 ? -errno : fd;
}

/* An address that comes with a lease or after a check for duplicates may be there only after this: then connections come in from
 * that moment on.  Best effort. */
static void allow_not_yet(int fd, const NetAddress *address) {
        int one = 1;

        if (address->sockaddr.ss_family == AF_INET6)
                (void) setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &one, sizeof(one));
        else
                (void) setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one));
}

int net_listen(const NetAddress *address, int *ret_fd, NetAddress *ret_address) {
        NetAddress bound = { .size = sizeof(bound.sockaddr) };
        int fd = new_socket(address), one = 1;

        if (fd < 0)
                return fd;

        allow_not_yet(fd, address);
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
            bind(fd, (const struct sockaddr *) &address->sockaddr, address->size) < 0 || listen(fd, BACKLOG) < 0 ||
            getsockname(fd, (struct sockaddr *) &bound.sockaddr, &bound.size) < 0)
                return close_with(fd, errno);

        *ret_fd = fd;
        *ret_address = bound;
        return 0;
}

bool net_is_here(const NetAddress *address) {
        NetAddress probe = *address;
        int fd = socket(address->sockaddr.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        bool here;

        if (fd < 0)
                return false;

        if (probe.sockaddr.ss_family == AF_INET6)
                ((struct sockaddr_in6 *) &probe.sockaddr)->sin6_port = 0;
        else
                ((struct sockaddr_in *) &probe.sockaddr)->sin_port = 0;
        here = bind(fd, (const struct sockaddr *) &probe.sockaddr, probe.size) == 0;
        close(fd);
        return here;
}

int net_dial(const NetAddress *address, int *ret_fd) {
        int fd = new_socket(address);

        if (fd < 0)
                return fd;

        if (connect(fd, (const struct sockaddr *) &address->sockaddr, address->size) < 0 && errno != EINPROGRESS)
                return close_with(fd, errno);

        *ret_fd = fd;
        return 0;
}

static void unmap(NetAddress *a) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) &a->sockaddr;
        struct sockaddr_in in = { .sin_family = AF_INET };

        if (a->sockaddr.ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
                return;

        memcpy(&in.sin_addr, in6->sin6_addr.s6_addr + 12, sizeof(in.sin_addr));
        in.sin_port = in6->sin6_port;
        memset(&a->sockaddr, 0, sizeof(a->sockaddr));
        memcpy(&a->sockaddr, &in, sizeof(in));
        a->size = sizeof(in);
}

int net_accept(int fd, int *ret_fd, NetAddress *ret_from) {
        NetAddress from = { .size = sizeof(from.sockaddr) };
        int connection = accept4(fd, (struct sockaddr *) &from.sockaddr, &from.size, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (connection < 0)
                return -errno;

        unmap(&from);
        *ret_fd = connection;
        *ret_from = from;
        return 0;
}
