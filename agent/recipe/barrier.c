/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Barrier
 */

#include "agent/recipe/barrier.h"

#include <string.h>

#include "agent/recipe/break.h"

static bool is_ready(const char *name) {
        return strcmp(name, BARRIER_READY) == 0;
}

static bool is_full(const BarrierCount *b) {
        return b->full || b->present + RECIPE_BREAK(BARRIER_EARLY) >= b->wanted;
}

void barrier_look(BarrierCount *b, const char *const *names, unsigned names_count) {
        b->present = 0;
        b->known = true;
        for (unsigned i = 0; i < names_count; i++) {
                if (is_ready(names[i]))
                        b->full = true;
                else
                        b->present++;
        }
        b->full = is_full(b);
}

bool barrier_saw(BarrierCount *b, const char *name, bool gone) {
        bool before = b->full;

        if (!b->known)
                return false;           /* the look that is to come counts it */
        if (is_ready(name))
                b->full = b->full || !gone;
        else if (gone)
                b->present -= b->present > 0;
        else
                b->present++;
        b->full = is_full(b);
        return b->full && !before;
}

void barrier_lost(BarrierCount *b) {
        b->known = false;
}
