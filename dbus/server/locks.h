/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * org.convene1.Locks, what its files share.
 */

#include "dbus/server/grant.h"

/* Where the lock or election of that name queues up; NULL: it is no name. */
char *locks_path(const char *root, const char *name);
int locks_refuse_name(Caller *c, sd_bus_message *m);

int method_list_locks(Caller *c, sd_bus_message *m);
int method_leader(Caller *c, sd_bus_message *m);
int method_verify(Caller *c, sd_bus_message *m);
