/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Lookout
 *
 * One watch that lasts, and a look whenever the agent tells of a change, or is there again.  What was missed while it was away, or
 * did not serve, the next look shows; so nothing has to be remembered, and nothing is asked for again and again.
 */

#include "dbus/ctl/link.h"

typedef struct Lookout Lookout;

typedef struct LookoutHandler {
        const char *path;               /* NULL: only whether the agent serves is of interest */
        bool recursive;
        uint64_t settle_usec;           /* how long a look waits for more changes */
        /* The agent serves, and tells of what changes from here on.  EXIT_STATUS_UNREACHABLE: again in a moment; any other
         * failure ends the whole. */
        ExitStatus (*look)(void *userdata);
        /* --timeout was given and is over; NULL: it is no limit to the whole. */
        ExitStatus (*timed_out)(void *userdata);
        void *userdata;
} LookoutHandler;

ExitStatus lookout_new(Ctl *c, const LookoutHandler *handler, Lookout **ret);
Lookout *lookout_free(Lookout *l);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Lookout, lookout_free)

sd_event *lookout_get_event(Lookout *l);

/* Looks until lookout_end() or a failure. */
ExitStatus lookout_run(Lookout *l);
void lookout_end(Lookout *l, ExitStatus e);

/* Within a look: whether nothing has changed since it began.  If something has, there will be another look. */
bool lookout_is_settled(Lookout *l);
