/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Unit facts
 *
 * What matters of a unit that is to run on one host at a time: whether it may at all, and how long a stop of it can take.
 * Nothing here talks to anybody.
 */

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "agent/base/limits.h"

/* As systemd has it loaded; properties that its type has not are NULL, false or 0. */
typedef struct UnitFacts {
        char *id;                       /* "web.service", whatever it was asked for as */
        char *load_state, *load_error;
        char *active_state;
        char *fragment;                 /* path of the unit file */
        char *type, *kill_mode;
        char *stop_failure_mode;        /* TimeoutStopFailureMode= */
        bool remain_after_exit, send_sigkill, accept, persistent, transient;
        uint64_t timeout_stop_usec, timeout_abort_usec;         /* UINT64_MAX: for ever */
        unsigned stop_commands, stop_post_commands;
        char **triggers, **binds_to, **before;
        char **required_by, **bound_by, **consists_of, **stop_propagates_to;    /* what is stopped with it */
} UnitFacts;

void unit_facts_done(UnitFacts *u);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(UnitFacts, unit_facts_done)

/* "service" of "web.service"; "" if there is none. */
const char *unit_type(const char *unit);
bool unit_is_template(const char *unit);                /* "web@.service" */
/* The unit of this name: without a type a service is meant.  NULL if it is no name of a unit. */
char *unit_from_argument(const char *argument);
/* What settings, and the election, are called: "web" of "web.service", "backup.timer" of "backup.timer". */
char *unit_stem(const char *unit);

bool unit_is_up(const UnitFacts *u);                    /* runs, or has not ended yet */

/* Why this cannot be a singleton, or the service that one triggers: a sentence that says what to do.  NULL: it can. */
char *unit_refuse_singleton(const UnitFacts *u);
char *unit_refuse_triggered(const UnitFacts *u);
/* The same of a template, by its name. */
char *unit_refuse_template(const char *unit);

/*
 * The longest that a stop of it can take, if each of its stages takes all the time that systemd gives it; `timeout_usec` is that
 * of a stage (0: as configured).  UINT64_MAX: for ever.  *ret_how says how it is made up.
 */
uint64_t unit_stop_usec(const UnitFacts *u, uint64_t timeout_usec, char **ret_how);
