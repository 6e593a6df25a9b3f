/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Marks
 */

#include "agent/zab/marks.h"

#include <assert.h>

#include <glib.h>

#define ALLOCATED_MIN 16

void marks_done(Marks *m) {
        g_free(m->ring);
        *m = (Marks) { 0 };
}

void marks_clear(Marks *m) {
        m->head = m->count = 0;
}

static void grow(Marks *m) {
        size_t allocated = MAX(m->allocated * 2, ALLOCATED_MIN);
        Mark *ring = g_new(Mark, allocated);

        for (size_t i = 0; i < m->count; i++)
                ring[i] = m->ring[(m->head + i) & (m->allocated - 1)];

        g_free(m->ring);
        m->ring = ring;
        m->allocated = allocated;
        m->head = 0;
}

void marks_push(Marks *m, uint64_t at, uint64_t value) {
        if (m->count == m->allocated)
                grow(m);

        assert(m->count == 0 || m->ring[(m->head + m->count - 1) & (m->allocated - 1)].at < at);

        m->ring[(m->head + m->count++) & (m->allocated - 1)] = (Mark) { at, value };
}

const Mark *marks_first(const Marks *m) {
        return m->count > 0 ? &m->ring[m->head] : NULL;
}

void marks_pop(Marks *m) {
        assert(m->count > 0);

        m->head = (m->head + 1) & (m->allocated - 1);
        m->count--;
}
