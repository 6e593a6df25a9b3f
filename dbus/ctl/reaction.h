/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Reaction
 *
 * What is done when something in the tree has changed: --reload=UNIT, --restart=UNIT or a command behind "--".
 */

#include "dbus/ctl/connection.h"

/* False, with a sentence, if more than one is given, or, where one is `needed`, none. */
bool reaction_is_clear(const Ctl *c, bool needed);

typedef struct Reaction {
        Ctl *ctl;
        const char *path;               /* not owned */
        sd_event_source *again;
        unsigned failures;              /* in a row, of the last change */
        bool last;
} Reaction;

ExitStatus reaction_init(Reaction *r, Ctl *c, sd_event *event, const char *path);
void reaction_done(Reaction *r);

/* Does it, if there is one, and waits for it to end.  The command finds `path` in $CONVENE_PATH.  That it fails is told, and it is tried again,
 * after a second, two, four and so on up to five minutes, until it succeeds or there is another change.  EXIT_STATUS_FAILURE: it has failed;
 * if this is the `last` change that is waited for, it is not tried again. */
ExitStatus reaction_run(Reaction *r, bool last);

/* The command takes our place: nothing of ours is needed any more.  Returns only if it cannot: 126 or 127. */
int reaction_become(Ctl *c);
