/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Ids
 */

#include "agent/tree/ids.h"

#include <glib.h>

#define CHUNK_IDS 510U                  /* 4 KiB with what is around them */

struct IdsChunk {
        IdsChunk *next;
        uint32_t count;
        uint64_t items[CHUNK_IDS];
};

void ids_done(Ids *ids) {
        for (IdsChunk *c = ids->first, *next; c; c = next) {
                next = c->next;
                g_free(c);
        }
        *ids = (Ids) { 0 };
}

void ids_append(Ids *ids, uint64_t id) {
        IdsChunk *c = ids->last;

        if (!c || c->count == CHUNK_IDS) {
                c = g_new(IdsChunk, 1);
                c->next = NULL;
                c->count = 0;
                if (ids->last)
                        ids->last->next = c;
                else
                        ids->first = c;
                ids->last = c;
        }

        c->items[c->count++] = id;
        ids->count++;
}

void ids_append_all(Ids *ids, Ids *more) {
        if (!more->first)
                return;

        if (ids->last)
                ids->last->next = more->first;
        else
                ids->first = more->first;
        ids->last = more->last;
        ids->count += more->count;
        *more = (Ids) { 0 };
}

bool ids_next(const Ids *ids, IdsCursor *c, uint64_t *ret) {
        if (!c->begun)
                *c = (IdsCursor) { .chunk = ids->first, .begun = true };
        if (c->chunk && c->taken == c->chunk->count) {
                c->chunk = c->chunk->next;
                c->taken = 0;
        }
        if (!c->chunk)
                return false;

        *ret = c->chunk->items[c->taken++];
        return true;
}
