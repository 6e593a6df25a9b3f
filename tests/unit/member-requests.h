/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Member requests
 *
 * What tests of several members ask of them, and look at.
 */

#include <string.h>

#include "tests/unit/member-network.h"

static const AclEntry open_acl[] = { { PERMISSION_ALL, { "world", "anyone" } } };
static const Identity super[] = { { "super", "" } };

#define SUPER ((Identities) { super, 1 })

static inline Request make(const char *path, const char *data) {
        return (Request) { .op = REQUEST_CREATE, .path = path, .data = (const uint8_t *) data, .data_size = strlen(data),
                           .acl = { open_acl, 1 } };
}

static inline Request make_sequential(const char *path) {
        Request r = make(path, "");

        r.mode = CREATE_PERSISTENT_SEQUENTIAL;
        return r;
}

static inline Request set(const char *path, const char *data) {
        return (Request) { .op = REQUEST_SET_DATA, .path = path, .data = (const uint8_t *) data,
                           .data_size = strlen(data), .version = VERSION_ANY };
}

static inline Request get(const char *path) {
        return (Request) { .op = REQUEST_GET_DATA, .path = path };
}

static inline Request list(const char *path) {
        return (Request) { .op = REQUEST_GET_CHILDREN, .path = path };
}

static inline Zxid zxid_of(Host *h) {
        return tree_zxid(member_get_tree(h->member));
}

static inline bool has(Host *h, const char *path) {
        return tree_lookup(member_get_tree(h->member), path, NULL, NULL);
}

/* Opened through `h`, which answers for it if `kept`. */
static inline uint64_t open_session(Network *n, Host *h, uint32_t timeout_msec, bool kept) {
        SessionInfo info = { 0 };
        uint64_t session;

        host_submit(h, 90, (Request) { .op = REQUEST_OPEN_SESSION, .timeout_msec = timeout_msec, .member = h->sid,
                                       .owner = "test", .identities = SUPER }, 0, 0);
        network_pump(n);
        session = zxid_of(h);
        host_expect(h, "90:Ok ");
        g_assert_true(tree_get_session(member_get_tree(h->member), session, &info));
        g_assert_cmpuint(info.member, ==, h->sid);
        if (kept)
                member_keep_session(h->member, session, true);
        return session;
}
