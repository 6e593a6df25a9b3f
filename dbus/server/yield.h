/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Yield
 *
 * This host is about to sleep or to shut down: what somebody here holds and keeps others out with goes to them; see server.h.
 */

#include "dbus/server/server.h"

void yield_init(Server *s);
void yield_done(Server *s);
void yield_look(Server *s);             /* a grant has gone */
