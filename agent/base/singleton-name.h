/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Singleton name
 *
 * A singleton is an election, named like its unit: "myapp" for myapp.service, the whole name for another type ("backup.timer").
 * It is the instance of convene-candidate@.target and convene-leader@.service, a component of a path in the tree, and the name of a
 * file: so its grammar is strict, and whatever else comes, from whichever side, is refused and never expanded.
 */

#include <stdbool.h>

#define SINGLETON_NAME_MAX 224          /* "convene-candidate@NAME.target" is a unit name then, and "NAME.token" a file's */

#define SINGLETON_CANDIDATE_PREFIX "convene-candidate@"
#define SINGLETON_CANDIDATE_SUFFIX ".target"
#define SINGLETON_LEADER_PREFIX "convene-leader@"
#define SINGLETON_LEADER_SUFFIX ".service"

/* Letters, digits and :-_.@\ ; neither dot nor hyphen at the beginning, no template ("myapp@"), and not the name of a file that belongs to another
 * singleton ("NAME.env", "NAME.token" of convene-guard --export). */
bool singleton_name_is_valid(const char *name);

/* The name for a unit, NULL if it can have none; owned by the caller. */
char *singleton_name_of_unit(const char *unit);

/* "myapp.service" for "myapp", "backup.timer" for itself; owned by the caller. */
char *singleton_name_to_unit(const char *name);

/* "myapp@.service" for "myapp@blue.service"; NULL: it is no instance; owned by the caller. */
char *singleton_template_of_unit(const char *unit);

/* The name in "convene-candidate@NAME.target"; NULL: it is no such unit, or no name; owned by the caller. */
char *singleton_name_of_candidate(const char *unit);
