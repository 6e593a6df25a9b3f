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

/* Does it, if there is one, and waits for it to end.  The command finds `path` in $CONVENE_PATH.  That it fails is told, and nothing
 * more: the next change may mend it. */
void reaction_run(const Ctl *c, const char *path);

/* The command takes our place: nothing of ours is needed any more.  Returns only if it cannot: 126 or 127. */
int reaction_become(Ctl *c);
