/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Stop margin
 *
 * What must fit into the promise of a session for a singleton never to run twice: when the promise is renewed no more, the unit has to be
 * told so early that it has stopped before the promise ends.
 *
 *     |---------------------- SessionTimeout ----------------------|
 *     |- two heartbeats -|- it runs -|- margin -|- StopTimeout -|1%|
 *
 * The promise counts from when the last heartbeat that was answered had been sent, which is up to two heartbeats ago when it is
 * renewed.  One hundredth is for clocks that do not run alike; the margin is for the guard, systemd and the processor.
 */

#include <stdint.h>

#define STOP_MARGIN_MSEC 300
#define STOP_MARGIN_DRIFT_PERCENT 1
#define STOP_MARGIN_HEARTBEATS 2
#define HEARTBEATS_PER_ELECTION 10      /* a member is heard this often in an ElectionTimeout= */
#define HEARTBEAT_DEFAULT_MSEC 80       /* with the default of ElectionTimeout= */

/* The shortest SessionTimeout= that will do, in milliseconds. */
uint64_t stop_margin_session_msec(uint64_t stop_msec, uint64_t heartbeat_msec);

/* NULL: it fits; otherwise a sentence with the arithmetic and what to do, without a full stop; owned by the caller. */
char *stop_margin_refusal(uint64_t session_msec, uint64_t stop_msec, uint64_t heartbeat_msec);
