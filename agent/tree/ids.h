/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Ids
 *
 * A list of ids that only grows at its end.  It is made of chunks, so that growing never moves a million of
 * them at once.
 */

#include <stdbool.h>
#include <stdint.h>

typedef struct IdsChunk IdsChunk;

typedef struct Ids {
        IdsChunk *first, *last;
        uint64_t count;
} Ids;

/* A position in one; all zero is the beginning. */
typedef struct IdsCursor {
        const IdsChunk *chunk;
        uint32_t taken;                 /* of it */
        bool begun;
} IdsCursor;

void ids_done(Ids *ids);                /* leaves it empty */
void ids_append(Ids *ids, uint64_t id);
void ids_append_all(Ids *ids, Ids *more);       /* leaves `more` empty */
bool ids_next(const Ids *ids, IdsCursor *c, uint64_t *ret);     /* false at the end */
