/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Promise
 *
 * Up to when what is held is ours, without another word of the agent.  An agent that is there hangs the descriptor up in time.  One
 * that is stopped or hangs does not, and the ensemble gives what is held to another all the same: so the agent is asked now and then
 * for the deadline of the session (org.convene1.Sessions), and, should it not answer, what is held is given up while a part of the
 * grace is left.
 */

#include <stdint.h>

#include <systemd/sd-event.h>

typedef struct Promise Promise;

/*
 * `address`: where the agent is.  `path`: the znode that stands for what is held, and whose session counts; one that has none is
 * not watched over.  `grace_msec`: as the agent told with the grant.  ended() is called once, from the event loop, when
 * five eighths of the grace are left until the deadline.  Never fails: until the agent has answered once it knows no deadline.
 */
Promise *promise_new(sd_event *event, const char *address, const char *path, uint32_t grace_msec, void (*ended)(void *userdata),
                     void *userdata);
Promise *promise_free(Promise *p);
