/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Presence files
 *
 * convene.presence(5) as files: which there are, which of them count, and the one that "presence enable" writes.
 */

#include "dbus/ctl/connection.h"

typedef struct PresenceFile {
        char *name;                     /* "nginx.service.conf" */
        char *path;
        char *text;
        char **units;                   /* of Unit=; empty if there is none */
} PresenceFile;

/* All files that count, by name: one in an earlier directory hides those of the same name in later ones, and an empty
 * one (or a link to /dev/null) does only that.  `root` may be NULL. */
ExitStatus presence_files_read(const char *root, GPtrArray **ret);
bool presence_file_is_of(const PresenceFile *f, const char *unit);

/* The text "presence enable" writes; values as they were given, specifiers and all. */
char *presence_file_format(const char *unit, const Options *o);

/* Where it writes it.  NULL if `unit` is no name or pattern of units. */
char *presence_file_path(const char *root, const char *unit);
