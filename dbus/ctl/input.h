/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Input
 *
 * Bytes from the command line, standard input or a file, never more than is of use.
 */

#include <glib.h>

#include "dbus/ctl/exit-status.h"

/* "-" is standard input; anything else the bytes themselves.  NULL: no bytes. */
ExitStatus input_take_data(const char *argument, GBytes **ret);

/* "-" or NULL is standard input; anything else a file's name. */
ExitStatus input_read_file(const char *name, size_t bytes_max, GBytes **ret);
