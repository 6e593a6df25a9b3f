/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Link
 *
 * A connection that is kept: signals arrive as they come, and when the agent goes away (its socket closes, or its name
 * loses its owner on the bus) the link asks for it again, for as long as it is told to.
 */

#include <systemd/sd-event.h>

#include "dbus/ctl/connection.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(sd_event, sd_event_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(sd_event_source, sd_event_source_disable_unref)

typedef struct Link Link;

typedef struct LinkHandler {
        /* The agent is there: for the first time, or again after it was lost.  What it was asked for must be asked for
         * anew.  EXIT_STATUS_UNREACHABLE has the link try again; any other failure ends the loop with it. */
        ExitStatus (*established)(void *userdata, bool again);
        /* A signal of one of the agent's interfaces ("Watches"), in order. */
        ExitStatus (*signal)(void *userdata, const char *interface, sd_bus_message *m);
        void *userdata;
        bool patient;                   /* waits as well for an agent that has not been there yet */
} LinkHandler;

#define LINK_PATIENCE_MAX (UINT64_MAX / 4000)   /* for ever */

/* `patience_msec`: how long to try again for.  Connects at once; established() is called from link_run(). */
ExitStatus link_new(Ctl *c, const LinkHandler *handler, uint64_t patience_msec, Link **ret);
Link *link_free(Link *l);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Link, link_free)

sd_event *link_get_event(Link *l);

/* Has established() called again in a moment: the agent is there, and could not answer. */
void link_retry(Link *l);
/* Has link_run() return `e`. */
void link_end(Link *l, ExitStatus e);
ExitStatus link_run(Link *l);
