/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Guard
 *
 * Runs a command while a grant is held: a descriptor of the agent's that hangs up when it is lost.  An agent that is stopped or hangs
 * cannot do that: see promise.h.
 */

#include "dbus/ctl/connection.h"

typedef struct Granted {
        int fd;                         /* -1: none */
        uint64_t token;
        char *path;
        char *address;                  /* of the agent that granted it */
        uint32_t grace_msec;            /* so long after the descriptor hangs up nobody else has it */
        GBytes *input;                  /* what the command reads; NULL: what we do */
} Granted;

void granted_done(Granted *g);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Granted, granted_done)

/*
 * Returns the command's exit status, or 128 and the number of the signal that killed it, or 126 or 127 if it could not
 * be run.  When the grant is lost it and all that it has started get SIGTERM, then, while half of the grace is left, SIGKILL;
 * EXIT_STATUS_SESSION is returned once they have ended.  Signals are passed on to it.  It finds the token in $CONVENE_TOKEN and the path in
 * $CONVENE_PATH, and inherits the descriptor: should we be killed, it gets SIGTERM, and the grant lasts until it has ended
 * as well.
 */
int guard(Granted *g, char **command);

/* The descriptor is still open then: whoever has more to say about what was granted closes it himself. */
int guard_and_keep(Granted *g, char **command);
