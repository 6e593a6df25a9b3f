/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Singleton taken
 *
 * Whether this host's agent goes by the settings that were written for a unit.
 */

#include "dbus/ctl/connection.h"

/* Waits some seconds for it, and says so on standard error (EXIT_STATUS_CONFLICT) if it does not.  An agent that is not there is none that
 * refuses. */
ExitStatus singleton_check_taken(const Options *options, const char *unit);
