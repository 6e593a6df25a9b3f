/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Hold
 *
 * A session that convenectl keeps while it runs, or while a command runs.  When the agent is restarted meanwhile,
 * the session is taken up again with its secret, within its time-out.
 */

#include <signal.h>

#include "dbus/ctl/connection.h"

typedef struct HeldSession {
        uint64_t id;
        GBytes *secret;
        uint32_t timeout_msec;
} HeldSession;

/* `owner` as Sessions.Open takes it; `unit` may be NULL; `timeout_msec` 0: the agent's default. */
ExitStatus held_session_open(Ctl *c, const char *owner, const char *unit, uint64_t timeout_msec, HeldSession *ret);
void held_session_close(Ctl *c, const HeldSession *s);  /* without a word if it is gone already */
void held_session_done(HeldSession *s);

/* SIGINT, SIGTERM, SIGHUP and SIGCHLD wait until hold() looks.  `ret_before` may be NULL: what to restore with sigprocmask(2). */
void hold_block_signals(sigset_t *ret_before);

/*
 * Holds until SIGINT, SIGTERM or SIGHUP (then returns EXIT_STATUS_OK), until the command has ended (then its exit
 * status, or 128 and the number of the signal that killed it, 126 or 127 if it could not be run), or until the session
 * is lost: then the command gets SIGTERM, and EXIT_STATUS_SESSION is returned once it has ended.  Signals are passed on
 * to the command.  `command` may be NULL.  It finds the path in $CONVENE_PATH and the session in $CONVENE_SESSION.
 */
int hold(Ctl *c, HeldSession *s, const char *path, char **command);
