/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Holder
 *
 * Who is behind an ephemeral znode, as far as its session tells.
 */

#include "agent/host/owner.h"
#include "agent/member/member.h"
#include "dbus/server/server.h"

typedef struct Holder {
        Stat stat;                      /* of the znode */
        SessionInfo session;            /* strings belong to the tree */
        bool has_session;
        OwnerText owner;
        bool has_owner;
} Holder;

/* False if there is no such znode. */
bool holder_read(Server *s, const char *path, Holder *ret);

/* The name of its host and its unit; "" where they are not known.  They live as long as the holder and the tree. */
const char *holder_host(Server *s, const Holder *h);
const char *holder_unit(const Holder *h);

static inline uint32_t holder_uid(const Holder *h) {
        return h->has_owner ? (uint32_t) h->owner.uid : UINT32_MAX;
}

static inline uint32_t holder_pid(const Holder *h) {
        return h->has_owner ? (uint32_t) h->owner.pid : 0;
}
