/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Counter
 *
 * A number in a znode, as Curator's DistributedAtomicLong keeps it: 64 bits, signed, the most significant byte first.  A znode
 * that is not there or has no data counts as 0.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/member/member.h"

#define COUNTER_BYTES 8

/* False for data that is no counter's. */
bool counter_parse(const uint8_t *data, size_t size, int64_t *ret);
void counter_format(int64_t value, uint8_t ret[static COUNTER_BYTES]);
/* False if the sum is beyond what a counter can say. */
bool counter_add(int64_t value, int64_t delta, int64_t *ret);

/* What makes it `bytes` if it still is what was read with `seen` (czxid 0: there was none); all borrowed. */
Request counter_request(const char *path, const Stat *seen, const uint8_t bytes[static COUNTER_BYTES]);
