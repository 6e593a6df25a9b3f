/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A StoreIo that counts what it is asked for, ends the process at a chosen call, and knows what the disk would have
 * if the power went just then: writes that no fdatasync followed are kept or lost sector by sector, names that no
 * fsync of the directory followed are lost from some point on.
 */

#include "agent/store/io.h"

typedef enum PowerMoment {
        POWER_BEFORE,                   /* the call has no effect */
        POWER_HALF,                     /* a write has half of it */
        POWER_AFTER,
} PowerMoment;

typedef struct PowerOptions {
        const char *directory;
        const char *journal;            /* what is unsynced survives a kill here, for the next process; or NULL */
        uint64_t seed;
        unsigned crash_at;              /* the crash_at-th call; 0: never */
        PowerMoment moment;
        bool loses_power;               /* else only the process is killed: the page cache stays */
} PowerOptions;

#define POWER_EXIT_STATUS 42

/* One per process; the table is filled in. */
void power_init(const PowerOptions *options, StoreIo *ret_io);
