/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Sightings
 *
 * When this agent first saw each lease's znode as it is now: from then on whoever does not hold it counts (agent/recipe/lease.h).
 */

#include "agent/base/zxid.h"
#include "dbus/server/server.h"

void sightings_init(Server *s);
void sightings_done(Server *s);

/* CLOCK_BOOTTIME, for the znode as changed last by `mzxid`: now, if it has not been seen so before. */
uint64_t sightings_get(Server *s, const char *path, Zxid mzxid);
