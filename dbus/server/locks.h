/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * org.convene1.Locks, what its files share.
 */

#include "dbus/server/grant.h"

/* One who holds, as ListLocks tells it. */
#define HOLDER_SIGNATURE "(ssssuutxtus)"

/* Appends all who hold what queues up at that path, and adds up how many wait; `m` NULL: only that. */
int locks_append_holders(Server *s, sd_bus_message *m, const char *name, const char *path, uint32_t *waiters);

int method_list_locks(Caller *c, sd_bus_message *m);
int method_leader(Caller *c, sd_bus_message *m);
int method_verify(Caller *c, sd_bus_message *m);
