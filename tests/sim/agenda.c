/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Agenda
 */

#include "tests/sim/agenda.h"

#include <glib.h>

static bool is_before(const Event *a, const Event *b) {
        return a->at_usec != b->at_usec ? a->at_usec < b->at_usec : a->order < b->order;
}

void agenda_done(Agenda *a) {
        g_free(a->heap);
        *a = (Agenda) { 0 };
}

void agenda_add(Agenda *a, uint64_t at_usec, EventType type, uint32_t host, uint64_t number) {
        Event e = { .at_usec = at_usec, .order = a->order++, .type = type, .host = host, .number = number };
        size_t i = a->count++;

        if (a->count > a->allocated) {
                a->allocated = MAX(a->allocated * 2, 256);
                a->heap = g_renew(Event, a->heap, a->allocated);
        }
        while (i > 0 && is_before(&e, &a->heap[(i - 1) / 2])) {
                a->heap[i] = a->heap[(i - 1) / 2];
                i = (i - 1) / 2;
        }
        a->heap[i] = e;
}

bool agenda_take(Agenda *a, Event *ret) {
        Event last;
        size_t i = 0;

        if (a->count == 0)
                return false;

        *ret = a->heap[0];
        last = a->heap[--a->count];
        for (;;) {
                size_t child = 2 * i + 1;

                if (child >= a->count)
                        break;
                if (child + 1 < a->count && is_before(&a->heap[child + 1], &a->heap[child]))
                        child++;
                if (!is_before(&a->heap[child], &last))
                        break;
                a->heap[i] = a->heap[child];
                i = child;
        }
        a->heap[i] = last;
        return true;
}
