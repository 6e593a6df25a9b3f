/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Contender
 *
 * Who waits for a lock, a slot or leadership is a child of one znode, and its name says what it wants and which place it has
 * in the queue: a word and the parent's sequence number.  The names are those of Curator's recipes, so that its clients and
 * ours queue up with each other; kazoo's are understood, too.
 *
 *     mutex              _c_UUID-lock-0000000007         kazoo: UUID__lock__0000000007
 *     writer             _c_UUID-__WRIT__0000000007
 *     reader             _c_UUID-__READ__0000000007      kazoo: UUID__rlock__0000000007
 *     semaphore          _c_UUID-lease-0000000007        (below PATH/leases)
 *     election           _c_UUID-latch-0000000007
 *
 * A name is what anybody with the right to create one has made of it: whatever is not of this form is no contender.
 */

#include <stdbool.h>
#include <stdint.h>

typedef enum ContenderRole {
        CONTENDER_MUTEX,
        CONTENDER_WRITER,
        CONTENDER_READER,
        CONTENDER_LEASE,                /* one slot of a semaphore */
        CONTENDER_LATCH,                /* a candidate */
        _CONTENDER_ROLE_MAX,
} ContenderRole;

typedef struct ContenderName {
        ContenderRole role;
        int32_t sequence;               /* negative once ZooKeeper's counter has run over */
} ContenderName;

/* Shares with its like; everybody else is alone. */
static inline bool contender_role_is_shared(ContenderRole role) {
        return role == CONTENDER_READER;
}

#define CONTENDER_UUID_TEXT 36          /* 8-4-4-4-12 hexadecimal digits */
#define CONTENDER_PREFIX_BYTES 64

/* False for a name that is no contender's. */
bool contender_parse(const char *name, ContenderName *ret);

/* What to create, sequentially: the name without its number.  `id` is random, and tells this contender from every other. */
void contender_prefix(ContenderRole role, const uint8_t id[static 16], char ret[static CONTENDER_PREFIX_BYTES]);

/* "mutex", "writer", "reader", "semaphore", "election". */
const char *contender_role_to_string(ContenderRole role);
