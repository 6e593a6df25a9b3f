/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Promised: what the ensemble promised, over a restart of the agent.
 */

#include "dbus/server/server.h"

/* A session has a descriptor: what it is promised is written down, now and from now on. */
void promised_note(Server *s, uint64_t session);
void promised_done(Server *s);

/* When what a stored descriptor stands for must be given up unless the ensemble is heard again: at the end of what an earlier agent was
 * promised, less the grace; where that is not known, when the grace has passed since this agent's start.  Greater than the grace. */
uint64_t promised_give_up_usec(const Server *s, uint64_t session, uint64_t grace_usec);
