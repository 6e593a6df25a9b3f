/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Projection
 *
 * A directory with the files of one instant: a link to a hidden one beside it, ".NAME.DIGEST", which is made in full first.  Who
 * reads through the link sees all of one state or all of another.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>

#include "dbus/ctl/exit-status.h"

#define PROJECTION_FILES_MAX 10000
#define PROJECTION_BYTES_MAX (64 * 1024 * 1024)
#define PROJECTION_DEPTH_MAX 32

typedef struct Projection Projection;

/* `mode`: of files; directories may be entered by whoever may read them. */
Projection *projection_new(mode_t mode);
Projection *projection_free(Projection *p);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Projection, projection_free)

/*
 * Adds a file, or a directory, under a relative path; directories before what is in them.  EXIT_STATUS_CONFLICT, with a sentence, for
 * a path that is none for a file (empty, ".", "..", components that are too long, too deep), EXIT_STATUS_LIMIT beyond the limits above.
 */
ExitStatus projection_add_directory(Projection *p, const char *path);
ExitStatus projection_add_file(Projection *p, const char *path, const void *data, size_t size);

/*
 * Makes `directory` show exactly that, if it does not yet (*ret_changed).  The state before is kept beside it until the next change,
 * for those who still read it.  `directory` is absent or was made by this; the directory that it is in belongs to root or the caller, and
 * nobody else may write there.  Anything else is an error, with a sentence, and nothing has changed.
 */
ExitStatus projection_show(const Projection *p, const char *directory, bool *ret_changed);
