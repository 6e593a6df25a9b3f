/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Service
 *
 * The agent as a unit of this host, for the commands that set it up: what systemctl says of it and makes of it, and what
 * its own program says of its configuration.
 */

#include <stdbool.h>

#include <glib.h>

#include "dbus/ctl/exit-status.h"

/* Whether systemd runs here and knows the unit. */
bool service_exists(void);

typedef struct ServiceState {
        char *active;                   /* "active", "activating", "failed", ... */
        char *text;                     /* the agent's status line; "": none */
        int exit_status;                /* of the last run */
} ServiceState;

void service_state_done(ServiceState *s);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ServiceState, service_state_done)

/* *ret must be {} or read before. */
ExitStatus service_read(ServiceState *ret);
bool service_is_up(const ServiceState *s);      /* runs, or is about to */

/* "systemctl VERB..."; NULL ends the words. */
ExitStatus service_do(const char *verb, ...) G_GNUC_NULL_TERMINATED;

/* The agent's program, of the same installation as this one.  Owned by the caller. */
char *service_program(void);

/* The configuration in force, as convened.conf(5) has it, the name and the directory of the store included. */
ExitStatus service_read_configuration(GKeyFile **ret);
