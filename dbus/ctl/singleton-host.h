/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Singleton host
 *
 * The units of a singleton on this host, as systemd has them loaded.
 */

#include "dbus/ctl/systemd.h"

typedef struct SingletonHost {
        Systemd systemd;
        char *unit;                     /* canonical; may be a template */
        UnitFacts facts;                /* of the unit, or of an instance of the template */
        GPtrArray *triggered;           /* UnitFacts of what a timer or socket starts */
} SingletonHost;

/* Needs root. */
ExitStatus singleton_host_open(SingletonHost *h, const Options *o, const char *unit);
void singleton_host_done(SingletonHost *h);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SingletonHost, singleton_host_done)

/* Reads the facts anew. */
ExitStatus singleton_host_refresh(SingletonHost *h);
/* The unit itself, or the instances of a template that systemd knows: those that run, and those that something wants. */
ExitStatus singleton_host_list_units(SingletonHost *h, char ***ret);
/* "systemctl try-reload-or-restart" of the agent, waited for. */
ExitStatus singleton_host_reload_agent(SingletonHost *h);

/* "convene-leader@web.service", "convene-candidate@web.target" for web.service; owned by the caller. */
char *singleton_leader_unit(const char *unit);
char *singleton_candidate_unit(const char *unit);

/* The file, and its directory if nothing else is in that. */
ExitStatus singleton_remove_drop_in(const char *path);
