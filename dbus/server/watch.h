/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Watch
 *
 * A caller's account is charged for each of its watches, one unit per (number, path, kind).  The member has them, and
 * tells how many they are.
 */

#include "dbus/server/caller.h"

void watch_forget_caller(Caller *c);

/* Front of the member: so many more watches, or fewer; charges without looking at the limit. */
void watch_on_count(void *userdata, int change);
/* Front of the member: the signal to the caller. */
void watch_on_event(void *userdata, uint64_t watch, WatchEventType type, const char *path, Zxid zxid, bool spent);
/* Front of the member: the same, with "lost" for a type. */
void watch_on_lost(void *userdata, uint64_t watch, const char *path, Zxid zxid);
