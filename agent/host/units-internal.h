/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Units, inside
 *
 * Shared by units.c (the subscription, watched runs, started units) and units-lookup.c (questions).  Nobody else
 * includes this.
 */

#include "agent/host/units.h"

#include <glib.h>

#define SYSTEMD_NAME "org.freedesktop.systemd1"
#define SYSTEMD_OBJECT "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER "org.freedesktop.systemd1.Manager"
#define SYSTEMD_UNIT "org.freedesktop.systemd1.Unit"
#define SYSTEMD_UNIT_PREFIX "/org/freedesktop/systemd1/unit"

/* What a message tells of a unit; strings point into the message, absent ones are NULL. */
typedef struct UnitState {
        const char *id, *active, *sub;
        sd_id128_t invocation;
        bool has_invocation;
} UnitState;

struct Units {
        sd_event *event;
        sd_bus *bus;                    /* NULL: no systemd to ask */
        char *owner;                    /* systemd's unique name there; NULL: not there, or not known yet */
        sd_bus_slot *owner_slot, *changed_slot, *new_slot, *reloading_slot, *queued_slot;
        sd_bus_slot *find_slot, *subscribe_slot, *scan_slot;    /* calls under way */
        sd_event_source *retry;         /* armed when a question failed without an answer */
        bool scan_again;                /* something may have started since the scan under way was sent */

        GHashTable *runs;               /* unit name -> UnitRun, the first of its list */
        UnitLookup *lookups;
        UnitJob *jobs;

        GPtrArray *listeners;           /* UnitListener */
        void (*queued)(void *userdata, const char *unit, const char *job);
        void *queued_userdata;
};

/* Who wants to know of runs that begin. */
typedef struct UnitListener {
        bool (*wanted)(void *userdata, const char *unit);
        void (*started)(void *userdata, const UnitFacts *facts);
        void *userdata;
        GHashTable *announced;          /* unit name -> sd_id128_t: the run last told to it */
} UnitListener;

/* Reads a{sv} of org.freedesktop.systemd1.Unit at the message's position. */
int unit_state_read(sd_bus_message *m, UnitState *ret);

/* Processes of a run that is over: gone, or waiting for the next run. */
bool unit_state_is_over(const UnitState *s);

/* The match for units_set_queued(), where it is wanted and not there. */
int units_match_queued(Units *u);

/* A question by object path; as those of units.h otherwise. */
UnitLookup *units_lookup_path(Units *u, const char *path, UnitLookupDone done, void *userdata);

/* Ends every question under way with `error`, later. */
void units_fail_lookups(Units *u, int error);

/* Told by systemd, and not by somebody who would like to be taken for it. */
bool units_believes(const Units *u, sd_bus_message *m);

/* Ends every job under way with -ENOTCONN, later. */
void units_fail_jobs(Units *u);

/* A call to systemd that activates nothing; -ENOENT without a bus. */
int units_message_new(Units *u, const char *path, const char *interface, const char *member, sd_bus_message **ret);

/* Sends it unless `appended`, what adding its arguments returned, is an error; drops the reference either way. */
int units_message_send(Units *u, sd_bus_message *m, int appended, sd_bus_slot **ret_slot,
                       sd_bus_message_handler_t callback, void *userdata);
