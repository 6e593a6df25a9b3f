/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Singleton stop
 *
 * How long it may take until nothing of a singleton runs on this host any more.
 */

#include "dbus/ctl/singleton-host.h"

/* `stage_msec`: what each stage of the singleton's own units is to be given; 0: what it is.  UINT64_MAX: it may take for ever.
 * *ret_how says how it is made up, and is owned by the caller. */
ExitStatus singleton_stop_usec(SingletonHost *h, uint64_t stage_msec, uint64_t *ret_usec, char **ret_how);

/* Refuses, with the arithmetic, what does not fit into the promise of a session. */
ExitStatus singleton_stop_check(uint64_t session_msec, uint64_t stop_usec, const char *how);
