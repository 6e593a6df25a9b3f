/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Singletons
 *
 * Units that run on one host of many (convene.singleton(5)).  For each convene-candidate@NAME.target that is active here, this host stands
 * in the election NAME.  When it leads, the agent writes the leader file and starts convene-leader@NAME.service, which the unit is
 * bound to; as long as it leads it renews the deadline in that file.  When it leads no more, or the unit has ended, it resigns once
 * everything has stopped.
 */

#include "agent/host/singleton-file.h"
#include "agent/host/units.h"
#include "agent/member/member.h"
#include "dbus/server/server.h"

typedef struct Singletons Singletons;

typedef struct SingletonsOptions {
        const char *const *directories; /* of the settings; NULL: the usual ones */
        const char *runtime;            /* the agent's runtime directory; copied */
        const char *data;               /* where holds are noted; copied */
        const char *host;               /* this host's name; copied */
        uint32_t heartbeat_msec;        /* how often a promise is renewed */
} SingletonsOptions;

Singletons *singletons_new(sd_event *event, Member *member, Units *units, Server *server, const SingletonsOptions *options);
/* What runs goes on running: for the next agent to find. */
Singletons *singletons_free(Singletons *s);

/* Once, when the member has begun to serve and the owners were found again: what an agent before this one had, and the settings. */
void singletons_begin(Singletons *s);
/* Reads the settings again.  Mistakes go to the journal and to singletons_problems(). */
void singletons_load(Singletons *s);
/* Does this host stand in any election, or run what is left of one? */
bool singletons_any(Singletons *s);
unsigned singletons_running(Singletons *s);     /* how many of them are started, up or not stopped yet */
/* Stops every singleton that runs here and resigns; `done` is called once, perhaps before this returns.  Once nothing runs here, it waits
 * some seconds at most for the ensemble to confirm that.  `why`: lives until then and on; who asks last is told. */
void singletons_stop(Singletons *s, const char *why, void (*done)(void *userdata), void *userdata);
void singletons_resume(Singletons *s);          /* this host stands again; nobody is told any more */

/* For server.h. */
void singletons_foreach(Singletons *s, void (*each)(void *sink, const ServerSingleton *one), void *sink);
/* This host stays out until let go.  CONVENE_OK, _BAD_ARGUMENTS: no name; _SYSTEM_ERROR: cannot be noted. */
ConveneStatus singletons_hold(Singletons *s, const char *name, bool hold);

/* Sentences about bad files (owned by `s`). */
const GPtrArray *singletons_problems(const Singletons *s);
