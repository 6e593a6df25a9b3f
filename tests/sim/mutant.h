/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Mutant
 *
 * The wrong orderings of agent/zab/break.h and wrong rules of agent/recipe/break.h, and what it takes to find them.
 */

#include <stdbool.h>

void mutant_set(unsigned number);

/* Every one, or, unless it is 0, `only` that one, until a seed fails; prints the table.  Returns the exit status: a failure if one
 * was not found within its bound. */
int mutant_run_all(unsigned jobs, bool rare, unsigned only);
