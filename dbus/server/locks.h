/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * org.convene1.Locks, what its files share.
 */

#include "dbus/server/grant.h"

int method_list_locks(Caller *c, sd_bus_message *m);
int method_leader(Caller *c, sd_bus_message *m);
int method_verify(Caller *c, sd_bus_message *m);
