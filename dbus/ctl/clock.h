/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Clock
 */

#include <stdint.h>
#include <time.h>

/* Microseconds; CLOCK_BOOTTIME is what the agent counts with, CLOCK_REALTIME is for people. */
uint64_t now_usec(clockid_t clock);
