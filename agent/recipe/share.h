/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Share
 *
 * A set of items partitioned among the members of a group: a function of the two sets alone, so that everybody who sees the same
 * members comes to the same answer, in whatever order they were named.  All have the same number of items, within one; and each
 * member prefers items by a hash of its own, so that few change hands when somebody comes or goes.
 */

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#define SHARE_STEPS_MAX 250000          /* items times members: what one computation may take */

/* Of `items` (each counts once) those of `members[self]`, in byte order; names are borrowed.  NULL: it would take too long. */
GPtrArray *share_of(const char *const *members, unsigned members_count, unsigned self, const char *const *items,
                    unsigned items_count);
