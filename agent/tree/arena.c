/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Arena
 */

#include "agent/tree/arena.h"

#include <assert.h>
#include <string.h>

#include <glib.h>

#define ARENA_CHUNK_BYTES (64U * 1024U)
#define ARENA_ALIGNMENT 16U

struct ArenaChunk {
        ArenaChunk *next;
        size_t used, allocated;
        _Alignas(ARENA_ALIGNMENT) uint8_t bytes[];
};

void arena_done(Arena *a) {
        for (ArenaChunk *c = a->chunks, *next; c; c = next) {
                next = c->next;
                g_free(c);
        }
        a->chunks = NULL;
}

void arena_reset(Arena *a) {
        ArenaChunk *c = a->chunks;

        if (!c)
                return;

        if (c->next || c->allocated > ARENA_CHUNK_BYTES)        /* an unusual answer's memory goes back */
                arena_done(a);
        else
                c->used = 0;
}

void *arena_allocate(Arena *a, size_t size) {
        ArenaChunk *c = a->chunks;
        void *p;

        assert(size <= SIZE_MAX / 2);
        size = (size + ARENA_ALIGNMENT - 1) & ~(size_t) (ARENA_ALIGNMENT - 1);
        if (!c || c->allocated - c->used < size) {
                size_t allocated = MAX(size, (size_t) ARENA_CHUNK_BYTES);

                c = g_malloc(sizeof(ArenaChunk) + allocated);
                *c = (ArenaChunk) { .next = a->chunks, .allocated = allocated };
                a->chunks = c;
        }

        p = c->bytes + c->used;
        c->used += size;
        return p;
}

void *arena_allocate_array(Arena *a, size_t count, size_t size) {
        void *p;

        if (count == 0)
                return NULL;

        assert(size <= SIZE_MAX / 4 / count);
        p = arena_allocate(a, count * size);
        memset(p, 0, count * size);
        return p;
}

char *arena_copy_string(Arena *a, const char *s, size_t size) {
        char *p = arena_allocate(a, size + 1);

        memcpy(p, s, size);
        p[size] = '\0';
        return p;
}
