/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Config file
 *
 * A file of the host's configuration, written and removed as a whole.  Errors are told.
 */

#include "dbus/ctl/exit-status.h"

/* `error`: an errno. */
ExitStatus config_file_failed(const char *what, const char *path, int error);

/* Complete and durable, or not at all; missing directories are made.  For everybody to read. */
ExitStatus config_file_write(const char *path, const char *text);

/* *ret_text is NULL where there is no such file; owned by the caller. */
ExitStatus config_file_read(const char *path, char **ret_text);

/* A file that is not there is no error. */
ExitStatus config_file_remove(const char *path);
