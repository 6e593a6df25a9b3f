/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Singleton setup
 *
 * What "singleton enable" and "disable" change on a host, step by step: drop-ins, settings, links, and what runs.  A step that fails
 * takes the ones before it back.
 */

#include "dbus/ctl/connection.h"

/* `unit`: canonical or not, a template included. */
ExitStatus singleton_enable(const Options *o, const char *unit);
ExitStatus singleton_disable(const Options *o, const char *unit);
