/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Presences
 *
 * Makes declared presence (convene.presence(5)) true: for each run of a declared unit a session bound to that run, and in it the
 * ephemeral znodes declared.  When the run ends the session does, and the znodes with it.
 */

#include "agent/host/presence.h"
#include "agent/host/units.h"
#include "agent/member/member.h"
#include "dbus/server/server.h"

typedef struct Presences Presences;

typedef struct PresencesOptions {
        const char *const *directories; /* of the declarations; NULL: PRESENCE_DIRECTORIES */
        uint64_t retry_usec;            /* after a failure; 0: 10 s */
} PresencesOptions;

Presences *presences_new(sd_event *event, Member *member, Units *units, Server *server, const PresencesOptions *options);
Presences *presences_free(Presences *p);

/* Reads the declarations (again) and applies them to the units that run: new ones appear, undeclared ones are removed.  Mistakes go to
 * the journal and to presences_problems().  Call only while the member serves. */
void presences_load(Presences *p);

/* For server.h: what there is. */
void presences_foreach(Presences *p,
                       void (*each)(void *sink, const char *unit, const char *invocation, const char *path,
                                    uint64_t session, const char *error),
                       void *sink);

/* Sentences about bad files (owned by `p`). */
const GPtrArray *presences_problems(const Presences *p);

void presences_on_session_ended(Presences *p, uint64_t session);
