/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Statistics
 *
 * What the seeds of one process came to; plain numbers, so that the sums of several processes are sums of words.
 */

#include <stdint.h>

#include "agent/member/message.h"
#include "agent/zab/zab.h"
#include "tests/sim/params.h"
#include "tests/sim/vstore.h"

typedef struct Statistics {
        uint64_t seeds, events, messages, usec;
        uint64_t entries, writes, writes_failed, writes_refused, writes_unknown, reads, linear_reads, watch_events;
        uint64_t sessions, expirations, moves;
        uint64_t elections, leaders, crashes, crashes_all, pauses, breaks, partitions;
        uint64_t snaps, truncs, checkpoints, reconfigurations, transfers, wipes, rots, damaged, torn, replaced;
        uint64_t black_boxes, black_box_operations;
        uint64_t fed, alive, left_behind;       /* messages with entries for observers of a parent; parts of large frames; MOMENT_AHEAD */
        uint64_t recipe_grants, recipe_losses, recipe_acks, recipe_leases, recipe_added, recipe_asides;
        uint64_t faults[_FAULT_MAX], moments[_MOMENT_MAX];
        uint64_t persist[_PERSIST_MAX][_PERSIST_PHASE_MAX];
        uint64_t received[_ZAB_ROLE_MAX][_MEMBER_MESSAGE_MAX];
} Statistics;

void statistics_add(Statistics *to, const Statistics *from);
/* What never happened, though over so many seeds it should have; NULL: nothing. */
const char *statistics_gap(const Statistics *s);
/* Seconds that have passed, and that processors have spent. */
void statistics_print(const Statistics *s, double seconds, double processor);
