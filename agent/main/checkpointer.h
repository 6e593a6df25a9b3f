/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Checkpointer
 *
 * Moves what changed from the tree to the store, a slice per turn of the event loop, so that no client waits for a
 * checkpoint.  Begins one by itself when enough has changed.
 */

#include <systemd/sd-event.h>

#include "agent/main/conf.h"
#include "agent/member/member.h"
#include "agent/store/store.h"

typedef struct Checkpointer Checkpointer;

Checkpointer *checkpointer_new(sd_event *event, Member *member, Store *store, const Conf *conf, bool full_first);
Checkpointer *checkpointer_free(Checkpointer *c);

/* After entries were applied: begins a checkpoint if it is time. */
void checkpointer_consider(Checkpointer *c);

/* There is none on disk yet. */
bool checkpointer_is_blank(const Checkpointer *c);

/* Begins one now, or joins the one under way.  `done` is called once, with 0 or negative errno. */
void checkpointer_request(Checkpointer *c, void (*done)(void *userdata, int error, Zxid zxid), void *userdata);

/* From the store's listener. */
void checkpointer_on_done(Checkpointer *c, int error);

/* Held: the one under way is given up, and none begins: the tree is about to be replaced by a snapshot. */
void checkpointer_hold(Checkpointer *c, bool held);

/* The snapshot is installed: it is the tree and the checkpoint on disk now, and what comes after it is counted anew. */
void checkpointer_on_snapshot(Checkpointer *c);

/* From the driver's append: bytes that went to the log. */
void checkpointer_count_log(Checkpointer *c, uint64_t bytes);

/* The longest single slice so far, microseconds. */
uint64_t checkpointer_slice_usec_max(const Checkpointer *c);
