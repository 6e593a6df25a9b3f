/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Recovery
 *
 * When a majority of the voters is lost for good: out of what this member has, a store of a new ensemble with this member
 * alone in it.  It is written beside the present one, which stays as it is; whoever asked puts it into its place.
 *
 * The new ensemble has another id, this member another disk and another key, and the epoch jumps: whoever comes back from the old
 * one is a stranger, whatever it knows, and fencing tokens go on growing, also over those that were given out and are
 * lost.  Everything that is durable here is kept, whether it is known to be committed or not: it may have been acknowledged.
 */

#include "agent/main/conf.h"

/* The file in the new store that says what became of the old ensemble, until the agent has put it into the journal. */
#define RECOVERY_RECORD "recovered"

/* Reads the store in conf->data and writes the one in `directory`, which must be empty or missing; prints what it did.  Returns an
 * exit status. */
int recovery_run(const Conf *conf, const char *host, const char *directory);

/* What was done to this store while no agent ran belongs into the journal, once. */
void recovery_tell(const char *data);
