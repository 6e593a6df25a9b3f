/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Units
 *
 * What the agent learns from systemd: which unit a process belongs to, which run of it (InvocationID), and when
 * that run ends.  One subscription and one match serve every unit (systemd-experiments 2).
 *
 * A run has ended when the unit's InvocationID is another one, or its ActiveState is inactive or failed, or it waits
 * to be restarted (which systemd shows as "activating", with the old InvocationID).  UnitRemoved is no end
 * (daemon-reload sends it for running units).
 *
 * Everything is asked of systemd over the bus.  The agent's own sandbox (ProtectProc=invisible) hides other users' processes, so
 * sd_peer_get_unit(), sd_pid_get_unit() and sd-bus credentials that look into /proc (SD_BUS_CREDS_AUGMENT) find
 * nothing in it.  A client of the local socket is known by SO_PEERCRED (uid, pid); units_lookup_pid() makes a unit of the pid. Ask
 * when the client connects or first calls: a pid is sure to be its own only while it lives.
 */

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <systemd/sd-id128.h>

typedef struct Units Units;
typedef struct UnitRun UnitRun;         /* one watched run */
typedef struct UnitLookup UnitLookup;   /* one question under way */
typedef struct UnitJob UnitJob;         /* one start or stop under way */

typedef struct UnitFacts {
        const char *unit;               /* "nginx.service" */
        sd_id128_t invocation;          /* null: a unit that no job started (init.scope); it has no runs to watch */
        const char *active_state;       /* "active", "activating", ... */
        char **bound_by;                /* units with BindsTo= on it; NULL: there are none, or it was no lookup that was answered */
} UnitFacts;

/* `bus`: the system bus, or NULL where there is none (./dev run): every lookup then ends with -ENOENT.  The bus may
 * also be lost and come back: units_set_bus(); runs are then asked for again one by one (GetUnitByInvocationID), so
 * that nothing that ended meanwhile is missed. */
Units *units_new(sd_event *event);
Units *units_free(Units *u);             /* every watched run must have been freed */
void units_set_bus(Units *u, sd_bus *bus);
bool units_available(const Units *u);

/* Asynchronous questions; `done` is called once, later, with error 0 or negative errno (-ENOENT: no such unit or
 * process, or no systemd; -ESRCH: the run is over; any other: systemd could not be asked, which says nothing about the unit).
 * unit_lookup_cancel() before that and it is never called.  A pid of a user's own service manager gives
 * "user@UID.service". */
typedef void (*UnitLookupDone)(void *userdata, int error, const UnitFacts *facts);
UnitLookup *units_lookup_pid(Units *u, pid_t pid, UnitLookupDone done, void *userdata);
UnitLookup *units_lookup_name(Units *u, const char *unit, UnitLookupDone done, void *userdata);
UnitLookup *units_lookup_invocation(Units *u, sd_id128_t invocation, UnitLookupDone done, void *userdata);
UnitLookup *unit_lookup_cancel(UnitLookup *l);

/* Watches one run; `ended` is called at most once, from the event loop, also if it was over before this call.  Without a bus
 * it waits for one.  The callback may free this run and others. */
UnitRun *units_watch_run(Units *u, const char *unit, sd_id128_t invocation,
                         void (*ended)(void *userdata, const char *why), void *userdata);
UnitRun *unit_run_free(UnitRun *r);

/* Every run of a unit that becomes active (or is found active on (re)connection) and whose name `wanted` accepts, once.  One
 * listener for each userdata; setting it, also the same one again, tells what is active now; NULL, NULL: it listens no more. */
void units_set_started(Units *u, bool (*wanted)(void *userdata, const char *unit),
                       void (*started)(void *userdata, const UnitFacts *facts), void *userdata);

/* Tells of each job that is queued for a unit, whoever asked for it; `job`: for units_ask_type_of().  One listener; NULL: none. */
void units_set_queued(Units *u, void (*queued)(void *userdata, const char *unit, const char *job), void *userdata);

/* Jobs: starts or stops a unit, as `systemctl` does, and waits for the outcome.  `done` is called once, later: error 0 and the job's result
 * ("done", "failed", "timeout", "canceled", ...), or a negative errno and NULL if systemd could not be asked, refused, or has not answered
 * for a minute; the job may go on then.  What has become of the unit is for a lookup to say.  Cancelled, it goes on unheard. */
typedef void (*UnitJobDone)(void *userdata, int error, const char *result);
UnitJob *units_start(Units *u, const char *unit, UnitJobDone done, void *userdata);
UnitJob *units_stop(Units *u, const char *unit, UnitJobDone done, void *userdata);
UnitJob *unit_job_cancel(UnitJob *j);

/* "start", "restart", "stop", ...: the type of the job that is under way for a unit, "" if none is.  `done` is called once, later, as for
 * a job; unit_job_cancel() before that and it is never called. */
UnitJob *units_ask_job_type(Units *u, const char *unit, UnitJobDone done, void *userdata);
/* The same of a job that units_set_queued() has told of; "": it is over. */
UnitJob *units_ask_type_of(Units *u, const char *job, UnitJobDone done, void *userdata);

/* How long systemd waits for a service or socket to stop before it kills it (TimeoutStopSec=, of sockets TimeoutSec=): microseconds in decimal,
 * "" for a unit of another type or none.  The unit is loaded for that.  `done` is called once, later, as for a job. */
UnitJob *units_ask_stop_timeout(Units *u, const char *unit, UnitJobDone done, void *userdata);
