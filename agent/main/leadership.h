/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Leadership
 *
 * The files by which a host says to its own units that it leads an election (agent/base/leader-file.h): /run/convene/leader/NAME.
 * They outlive the agent.  Here is also where it notes what must not be forgotten over a restart, in files
 * named like a singleton: that it is held, or was stopped.
 */

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

typedef struct Leadership Leadership;

/* Writes the file.  NULL and a negative errno in *ret_error if that fails; nothing is left then. */
Leadership *leadership_begin(const char *directory, const char *name, uint64_t token, uint64_t deadline_usec, int *ret_error);
/* That of an agent before this one; NULL: there is none of that name, or it is no good. */
Leadership *leadership_adopt(const char *directory, const char *name);
void leadership_renew(Leadership *l, uint64_t deadline_usec);
uint64_t leadership_deadline_usec(const Leadership *l);
uint64_t leadership_token(const Leadership *l);
/* The deadline is over, the file goes; returns NULL. */
Leadership *leadership_end(Leadership *l);
/* Forgets it; the file stays. */
Leadership *leadership_free(Leadership *l);

/* What there is of such a name, good or not, is removed. */
void leadership_remove(const char *directory, const char *name);
/* The names of which there are files; others that lie there are removed.  Owned by the caller. */
GPtrArray *leaderships_find(const char *directory);

/* Notes: a file of at most a line; made with its directory.  Returns 0 or a negative errno. */
int note_set(const char *directory, const char *name, const char *text);
void note_clear(const char *directory, const char *name);
char *note_get(const char *directory, const char *name);        /* NULL: there is none; owned by the caller */
