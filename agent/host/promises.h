/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Promises
 *
 * Until when the ensemble has promised to keep the sessions behind stored descriptors (fdstore.h), for the next agent: should it find no
 * quorum, it knows how long what those descriptors stand for may still be held.  A file of the agent's runtime directory, which outlives
 * the agent and not the boot, mapped, so that to renew a promise is to store a number.
 *
 *      0  magic            8 bytes "cnvprom1"
 *      8  zero             8 bytes
 *     16  record           session, 8 bytes (0: free), and deadline, 8 bytes: CLOCK_BOOTTIME in microseconds; in the byte order of this host
 *     32  record           ... PROMISES_MAX of them
 *
 * Who reads it takes it for what anybody may have made of it: a deadline is only believed within bounds.
 */

#include <stdint.h>

#define PROMISES_FILE "promises"
#define PROMISES_MAX 8192               /* what is beyond is not kept */

typedef struct Promises Promises;

/* Takes over what an earlier agent has left in the directory.  NULL with a negative errno in *ret_error: nothing can be kept there. */
Promises *promises_open(const char *directory, int *ret_error);
/* The file stays. */
Promises *promises_free(Promises *p);

/* `p` may be NULL in what follows: nothing is kept then. */
void promises_set(Promises *p, uint64_t session, uint64_t deadline_usec);
void promises_forget(Promises *p, uint64_t session);
/* All but those that `keep` wants. */
void promises_sift(Promises *p, int (*keep)(void *userdata, uint64_t session), void *userdata);

/* What was promised last; 0: nothing is known, or it is further away from `now_usec` than `timeout_msec` and no promise at all. */
uint64_t promises_get(const Promises *p, uint64_t session, uint64_t now_usec, uint64_t timeout_msec);
