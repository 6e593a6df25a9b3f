/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Candidacy
 */

#include "agent/recipe/candidacy.h"

#include <string.h>

uint64_t stand_back_msec(StandBack *b, uint64_t ran_msec, uint64_t first_msec, uint64_t max_msec) {
        uint64_t msec = first_msec;

        if (ran_msec >= max_msec)
                b->failures = 0;
        for (unsigned i = 0; i < b->failures && msec < max_msec; i++)
                msec *= 2;
        b->failures++;
        return msec < max_msec ? msec : max_msec;
}

/* The lower the sooner; whoever is not listed comes after all who are. */
static unsigned rank(const char *host, const char *const *preferred) {
        unsigned i = 0;

        while (preferred[i] && strcmp(preferred[i], host) != 0)
                i++;
        return i;
}

bool candidacy_yields(const char *const *queue, unsigned queue_count, unsigned place, unsigned copies, const char *const *preferred) {
        if (!preferred || place >= queue_count)
                return false;
        for (unsigned i = copies; i < queue_count; i++)
                if (i != place && rank(queue[i], preferred) < rank(queue[place], preferred))
                        return true;
        return false;
}
