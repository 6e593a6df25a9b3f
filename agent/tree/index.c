/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Index
 */

#include "agent/tree/index.h"

#include <assert.h>
#include <string.h>

#include <glib.h>

#define CHUNK_ITEMS 254U                /* 2 KiB with the allocator's header */
#define CHUNK_MERGE (CHUNK_ITEMS / 2)

typedef struct IndexChunk {
        uint32_t count;
        void *items[CHUNK_ITEMS];
} IndexChunk;

struct IndexSlot {
        uint64_t floor;                 /* at most the first item's id, above the previous chunk's last */
        IndexChunk *chunk;
};

static uint64_t id_of(const void *object) {
        return *(const uint64_t *) object;
}

void index_done(Index *ix, void (*destroy)(void *object, void *userdata), void *userdata) {
        for (size_t s = 0; s < ix->slots_count; s++) {
                IndexChunk *c = ix->slots[s].chunk;

                for (uint32_t i = 0; i < c->count; i++)
                        destroy(c->items[i], userdata);
                g_free(c);
        }
        g_free(ix->slots);
        *ix = (Index) { 0 };
}

/* The slot whose chunk holds `id` if any does: the last with a floor not above it, or the first of all. */
static size_t slot_for(const Index *ix, uint64_t id) {
        size_t low = 0, high = ix->slots_count;

        while (high - low > 1) {
                size_t middle = low + (high - low) / 2;

                if (ix->slots[middle].floor <= id)
                        low = middle;
                else
                        high = middle;
        }

        return low;
}

/* The position of the first item with an id not below `id`.  Ids mostly follow each other without holes, so the
 * distance to the first and the last item narrows the search before any other item is looked at. */
static uint32_t position_of(const IndexChunk *c, uint64_t id) {
        uint64_t first = id_of(c->items[0]), last = id_of(c->items[c->count - 1]);
        uint32_t low = 0, high = c->count;

        if (id <= first)
                return 0;
        if (id > last)
                return c->count;

        if (id - first < high)
                high = id - first;
        if (last - id < c->count - 1)
                low = c->count - 1 - (last - id);

        while (low < high) {
                uint32_t middle = low + (high - low) / 2;

                if (id_of(c->items[middle]) < id)
                        low = middle + 1;
                else
                        high = middle;
        }

        return low;
}

void *index_find(const Index *ix, uint64_t id) {
        const IndexChunk *c;
        uint32_t i;

        if (ix->slots_count == 0)
                return NULL;

        c = ix->slots[slot_for(ix, id)].chunk;
        i = position_of(c, id);
        return i < c->count && id_of(c->items[i]) == id ? c->items[i] : NULL;
}

void *index_after(const Index *ix, uint64_t id) {
        const IndexChunk *c;
        size_t s;
        uint32_t i;

        if (ix->slots_count == 0 || id == UINT64_MAX)
                return NULL;

        s = slot_for(ix, id);
        c = ix->slots[s].chunk;
        i = position_of(c, id + 1);
        if (i < c->count)
                return c->items[i];

        return s + 1 < ix->slots_count ? ix->slots[s + 1].chunk->items[0] : NULL;
}

void *index_first(const Index *ix) {
        return ix->slots_count > 0 ? ix->slots[0].chunk->items[0] : NULL;
}

static IndexChunk *slot_insert(Index *ix, size_t at, uint64_t floor) {
        IndexChunk *c = g_new(IndexChunk, 1);

        if (ix->slots_count == ix->slots_allocated) {
                ix->slots_allocated = MAX(ix->slots_allocated * 2, 8U);
                ix->slots = g_renew(IndexSlot, ix->slots, ix->slots_allocated);
        }

        memmove(ix->slots + at + 1, ix->slots + at, (ix->slots_count - at) * sizeof(IndexSlot));
        ix->slots_count++;
        c->count = 0;
        ix->slots[at] = (IndexSlot) { .floor = floor, .chunk = c };
        return c;
}

static void slot_remove(Index *ix, size_t at) {
        g_free(ix->slots[at].chunk);
        ix->slots_count--;
        memmove(ix->slots + at, ix->slots + at + 1, (ix->slots_count - at) * sizeof(IndexSlot));
}

static void chunk_insert(IndexChunk *c, uint32_t at, void *object) {
        memmove(c->items + at + 1, c->items + at, (c->count - at) * sizeof(void *));
        c->items[at] = object;
        c->count++;
}

void index_insert(Index *ix, void *object) {
        uint64_t id = id_of(object);
        IndexChunk *c, *upper;
        size_t s = 0;
        uint32_t i = 0;

        ix->count++;
        if (ix->slots_count == 0) {
                chunk_insert(slot_insert(ix, 0, id), 0, object);
                return;
        }

        s = slot_for(ix, id);
        c = ix->slots[s].chunk;
        i = position_of(c, id);
        assert(i == c->count || id_of(c->items[i]) != id);
        ix->slots[s].floor = MIN(ix->slots[s].floor, id);

        if (c->count < CHUNK_ITEMS) {
                chunk_insert(c, i, object);
                return;
        }
        if (i == c->count && s + 1 == ix->slots_count) {        /* growing at the end leaves full chunks */
                chunk_insert(slot_insert(ix, s + 1, id), 0, object);
                return;
        }

        upper = slot_insert(ix, s + 1, id_of(c->items[CHUNK_MERGE]));
        upper->count = c->count - CHUNK_MERGE;
        memcpy(upper->items, c->items + CHUNK_MERGE, upper->count * sizeof(void *));
        c->count = CHUNK_MERGE;
        if (i <= CHUNK_MERGE)
                chunk_insert(c, i, object);
        else
                chunk_insert(upper, i - CHUNK_MERGE, object);
}

void index_remove(Index *ix, void *object) {
        size_t s;
        IndexChunk *c, *next;
        uint32_t i;

        assert(ix->slots_count > 0);
        s = slot_for(ix, id_of(object));
        c = ix->slots[s].chunk;
        i = position_of(c, id_of(object));
        assert(i < c->count && c->items[i] == object);

        c->count--;
        memmove(c->items + i, c->items + i + 1, (c->count - i) * sizeof(void *));
        ix->count--;
        if (c->count == 0) {
                slot_remove(ix, s);
                return;
        }

        if (s + 1 == ix->slots_count)
                return;
        next = ix->slots[s + 1].chunk;
        if (c->count + next->count <= CHUNK_MERGE) {
                memcpy(c->items + c->count, next->items, next->count * sizeof(void *));
                c->count += next->count;
                slot_remove(ix, s + 1);
        }
}

void index_check(const Index *ix) {
        uint64_t count = 0, last = 0;

        for (size_t s = 0; s < ix->slots_count; s++) {
                const IndexChunk *c = ix->slots[s].chunk;

                assert(c->count > 0 && c->count <= CHUNK_ITEMS);
                assert(ix->slots[s].floor <= id_of(c->items[0]));
                assert(s == 0 || ix->slots[s].floor > last);
                for (uint32_t i = 0; i < c->count; i++) {
                        assert(count == 0 || id_of(c->items[i]) > last);
                        last = id_of(c->items[i]);
                        count++;
                }
        }

        assert(count == ix->count);
}
