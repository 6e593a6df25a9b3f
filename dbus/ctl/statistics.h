/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Statistics
 *
 * The agent's counters and gauges by name, sorted.
 */

#include "dbus/ctl/connection.h"

typedef struct Statistic {
        char *name;
        uint64_t value;
} Statistic;

typedef GArray Statistics;              /* Statistic */

ExitStatus statistics_read(Ctl *c, Statistics **ret);
bool statistics_find(const Statistics *s, const char *name, uint64_t *ret);

static inline void statistics_unref(Statistics *s) {
        g_array_unref(s);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Statistics, statistics_unref)
