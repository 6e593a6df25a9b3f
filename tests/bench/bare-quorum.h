/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * BareQuorum
 *
 * What an ensemble whose members share one disk cannot do without: as many threads as members, each with a file of its own,
 * all told at once to write a block, until most of them have it on disk.  No network, no protocol, no tree.
 */

#include <glib.h>

typedef struct BareQuorum BareQuorum;

/* Files bare-quorum-0 ... in `directory`, with room for so many writes. */
BareQuorum *bare_quorum_new(const char *directory, unsigned members, unsigned writes);
BareQuorum *bare_quorum_free(BareQuorum *q);

/* load_bare_write() in every thread; microseconds until a majority of them was done.  Returns when all are. */
double bare_quorum_write(BareQuorum *q);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(BareQuorum, bare_quorum_free)
