/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Tail
 */

#include "agent/zab/tail.h"

#include <assert.h>

#define ALLOCATED_MIN 64

static ZabEntry *slot(const Tail *t, size_t n) {
        return &t->ring[(t->head + n) & (t->allocated - 1)];
}

void tail_reset(Tail *t, uint64_t next) {
        for (size_t i = 0; i < t->count; i++)
                g_bytes_unref(slot(t, i)->payload);

        t->head = t->count = 0;
        t->first = next;
}

void tail_done(Tail *t) {
        tail_reset(t, 1);
        g_free(t->ring);
        *t = (Tail) { 0 };
}

static void grow(Tail *t) {
        size_t allocated = MAX(t->allocated * 2, ALLOCATED_MIN);
        ZabEntry *ring = g_new(ZabEntry, allocated);

        for (size_t i = 0; i < t->count; i++)
                ring[i] = *slot(t, i);

        g_free(t->ring);
        t->ring = ring;
        t->allocated = allocated;
        t->head = 0;
}

void tail_push(Tail *t, const ZabEntry *entry) {
        ZabEntry *e;

        assert(entry->index == t->first + t->count);

        if (t->count == t->allocated)
                grow(t);

        e = slot(t, t->count++);
        *e = *entry;
        g_bytes_ref(e->payload);
}

void tail_pop_first(Tail *t) {
        assert(t->count > 0);

        g_bytes_unref(t->ring[t->head].payload);
        t->head = (t->head + 1) & (t->allocated - 1);
        t->count--;
        t->first++;
}

void tail_truncate(Tail *t, uint64_t index) {
        assert(index + 1 >= t->first);

        while (t->count > 0 && t->first + t->count - 1 > index)
                g_bytes_unref(slot(t, --t->count)->payload);
}

const ZabEntry *tail_get(const Tail *t, uint64_t index) {
        return index >= t->first && index - t->first < t->count ? slot(t, index - t->first) : NULL;
}

size_t tail_entry_bytes(const ZabEntry *entry) {
        return sizeof(*entry) + g_bytes_get_size(entry->payload);
}
