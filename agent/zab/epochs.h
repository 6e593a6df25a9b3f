/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Epochs
 *
 * Which zxid stands at which index of the log, without the entries: counters inside an epoch are consecutive from 1, so
 * it is enough to know where each epoch begins.  From the base, after which the log is complete, to its last entry.
 * Source: protocol 2.8 (epoch_ends: the exact common point of two logs in one message).
 */

#include <stdbool.h>

#include "agent/zab/message.h"
#include "agent/zab/zab.h"

typedef struct EpochRun {
        uint64_t index;                 /* at this index stands this zxid, and consecutive ones after it */
        Zxid zxid;
} EpochRun;

typedef struct Epochs {
        GArray *runs;                   /* EpochRun, ascending; the first is the base */
        uint64_t last;
} Epochs;

void epochs_init(Epochs *e);
void epochs_done(Epochs *e);

/* Nothing but a base. */
void epochs_reset(Epochs *e, uint64_t base_index, Zxid base_zxid);

/* True if an entry with this zxid may follow: the next counter, or the first one of a later epoch. */
bool epochs_continues(Zxid last, Zxid zxid);
void epochs_append(Epochs *e, Zxid zxid);

/* `index` must lie in the table in all of these. */
void epochs_truncate(Epochs *e, uint64_t index);
void epochs_drop(Epochs *e, uint64_t index);
Zxid epochs_zxid_at(const Epochs *e, uint64_t index);

static inline bool epochs_has(const Epochs *e, uint64_t index) {
        return index >= g_array_index(e->runs, EpochRun, 0).index && index <= e->last;
}

static inline uint64_t epochs_base(const Epochs *e) {
        return g_array_index(e->runs, EpochRun, 0).index;
}

/* Moves the base back: these epochs begin between it and the present base.  False, and nothing changes, if they do not
 * lead up to it. */
bool epochs_extend_back(Epochs *e, uint64_t base_index, Zxid base_zxid, const ZabEpochStart *epochs, unsigned epochs_count);

/* The last counter of each epoch, ascending, the newest if there are more than `max`.  Returns how many. */
unsigned epochs_ends(const Epochs *e, ZabEpochEnd *ret, unsigned max);

/* The greatest index that both logs have, the other one described by its request; false if there is none. */
bool epochs_common(const Epochs *e, const ZabSyncRequest *other, uint64_t *ret);
