/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Descendants
 *
 * A command, and whatever it has started itself: so that nothing of it goes on with what has been lost.
 */

#include <stdint.h>
#include <sys/types.h>

/*
 * Before the command is started: processes whose parent has ended stay below us (prctl(2), PR_SET_CHILD_SUBREAPER) instead of
 * going to the manager's.  Negative errno.
 */
int descendants_keep(void);

/* Sends it to the command and to all below us; what cannot be seen (no /proc) is left alone. */
void descendants_signal(pid_t command, int signo);

/*
 * Waits until no child is left, none of those that have come to us as orphans either; what is left at this instant of
 * CLOCK_BOOTTIME, in microseconds, is killed.  SIGCHLD must be blocked.  `command` may have been waited for already.
 */
void descendants_end(pid_t command, uint64_t kill_at_usec);
