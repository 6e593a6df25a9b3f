/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Replay of watches (W2, W3): what every watch of every connection had to see while it lived, in order, beside what its
 * client was told.
 */

#include "tests/sim/workload.h"
#include "tests/unit/twin.h"

typedef struct WatchReplay WatchReplay;

WatchReplay *watch_replay_new(World *w);
void watch_replay_free(WatchReplay *r);
/* The twin has just applied the entry of this zxid. */
void watch_replay_changes(WatchReplay *r, Twin *t, Zxid zxid);
void watch_replay_finish(WatchReplay *r);
