/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * LogIndex
 *
 * Where in the log's files an entry is: what the writer thread lets others know of its log.  Marks every so many
 * bytes, so that nobody reads a segment from its beginning twice.
 *
 * A reader asks for a place, reads without the lock, and asks again whether the log is still as it was: when segments
 * were removed or cut meanwhile, what was read means nothing and is read anew.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/zab/entry.h"

#define LOG_MARK_BYTES (64 * 1024)

/* The record at `offset` follows `before`; offset 0: the segment's first, whatever its header says. */
typedef struct LogMark {
        ZabPosition before;
        uint64_t offset;
} LogMark;

typedef struct LogPlace {
        uint64_t serial;                /* of the segment: a name may come again */
        uint64_t first_index, last_index;       /* its entries that are durable */
        LogMark mark;
        uint64_t changes;
} LogPlace;

typedef struct LogIndex {
        GMutex lock;                    /* guards what follows */
        GArray *segments;               /* IndexedSegment, ascending */
        uint64_t base;                  /* entries up to this one are not offered */
        uint64_t durable;
        uint64_t serials, changes;
        uint64_t held;                  /* entries after this one must stay; UINT64_MAX: none must */
} LogIndex;

void log_index_init(LogIndex *i);
void log_index_done(LogIndex *i);

/* The writer's. */
void log_index_begin(LogIndex *i, uint64_t base);       /* an empty one */
void log_index_add(LogIndex *i, uint64_t first_index);
/* Segments that end at `base` or before, and before what is held; returns up to where. */
uint64_t log_index_drop(LogIndex *i, uint64_t base);
void log_index_cut(LogIndex *i, uint64_t index);        /* what comes after */
void log_index_set_durable(LogIndex *i, uint64_t index);
/* In segment number `segment`, and in the newest one. */
void log_index_mark(LogIndex *i, unsigned segment, const LogMark *mark);
void log_index_mark_newest(LogIndex *i, const LogMark *mark);

/* Anybody's.  False: the log does not reach back to it, or not yet up to it. */
bool log_index_find(LogIndex *i, uint64_t index, LogPlace *ret);
bool log_index_is_unchanged(LogIndex *i, const LogPlace *place);
/* A mark found on the way through `place`. */
void log_index_learn(LogIndex *i, const LogPlace *place, const LogMark *mark);
/* Entries after `held` must stay from now on (UINT64_MAX: none must).  False, and nothing changes, if some after `index`
 * are gone. */
bool log_index_hold(LogIndex *i, uint64_t held, uint64_t index);
