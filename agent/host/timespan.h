/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Time spans in the files of this folder: "10s", "1min 30s"; a plain number means seconds.
 */

#include <stdint.h>

#define TIMESPAN_MAX_MSEC (UINT64_C(24) * 60 * 60 * 1000)

/* NULL, or why this is none; at most a day. */
const char *timespan_parse(const char *text, uint64_t *ret_msec);
