/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Singleton list
 *
 * The singletons of this host as Singletons.List gives them.
 */

#include "dbus/ctl/connection.h"
#include "dbus/ctl/json.h"

typedef struct SingletonFacts {
        char *name, *unit, *state, *text, *host;        /* NULL: not said */
        char **hosts;                                   /* who stand, in their order */
        uint32_t copies;                                /* so many of those lead */
        uint64_t token;                                 /* 0: nobody leads */
        uint64_t deadline_usec, until_usec;             /* CLOCK_BOOTTIME; 0: not said */
} SingletonFacts;

/* Of all, in the agent's order. */
ExitStatus singleton_list_read(Ctl *c, GPtrArray **ret);
/* By the name of the unit.  NULL if there is none. */
const SingletonFacts *singleton_list_find(const GPtrArray *list, const char *unit);
JsonObject *singleton_facts_to_json(const SingletonFacts *s);
/* Where it runs: "h1", or "h1 h2" with two copies; "-" nowhere. */
char *singleton_facts_leaders(const SingletonFacts *s);
