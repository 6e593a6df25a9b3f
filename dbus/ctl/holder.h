/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Holder
 *
 * Who has a lock or leads, as the agent tells it.
 */

#include <stdint.h>

#include "dbus/ctl/connection.h"
#include "dbus/ctl/json.h"

#define HOLDER_SIGNATURE "(ssssuutxtus)"

/* Strings belong to the message. */
typedef struct Holder {
        const char *name, *kind, *host, *unit, *path;
        uint32_t uid, pid, waiters;
        uint64_t session, token;
        int64_t since_msec;
} Holder;

/* Positive: there was one; 0: they are at an end. */
int holder_read(sd_bus_message *m, Holder *ret);
JsonObject *holder_to_json(const Holder *h);
