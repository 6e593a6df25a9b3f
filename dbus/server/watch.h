/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Watch
 *
 * The watches of a caller as its account is charged for them: one unit per (number, path, kind).  The member knows
 * what they watch; this only counts.
 */

#include "dbus/server/caller.h"

/* Notes that a watch was registered; adding what is there changes nothing.  Charges without looking at the limit. */
void watch_note_added(Caller *c, uint64_t number, const char *path, WatchKind kind);
/* The kinds in the mask are gone; path NULL: the whole number. */
void watch_note_removed(Caller *c, uint64_t number, const char *path, unsigned kinds);
void watch_forget_caller(Caller *c);

/* Front of the member: the signal to the caller. */
void watch_on_event(void *userdata, uint64_t watch, WatchEventType type, const char *path, Zxid zxid, bool spent);
