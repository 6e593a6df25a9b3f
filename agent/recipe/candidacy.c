/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Candidacy
 */

#include "agent/recipe/candidacy.h"

#include <string.h>

#include <glib.h>

#include "agent/recipe/break.h"

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

bool candidacy_resigns(const CandidacyOrder *o, const char *host) {
        return strcmp(o->from, host) == 0;
}

bool candidacy_is_passed_over(const CandidacyOrder *o, const char *host, bool to_stands) {
        if (o->to[0] == '\0')
                return strcmp(o->from, host) == 0;
        return strcmp(o->to, host) != 0 && to_stands;
}

bool candidacy_is_chosen(const CandidacyOrder *o, const char *host) {
        return strcmp(o->to, host) == 0;
}

static bool stands(const Candidate *queue, unsigned count, const char *host) {
        for (unsigned i = 0; i < count; i++)
                if (strcmp(queue[i].host, host) == 0)
                        return true;
        return false;
}

static bool is_heeded(const CandidacyOrder *o, const Candidate *queue, unsigned count, bool to_stands) {
        for (unsigned i = 0; i < count; i++)
                if (!candidacy_is_passed_over(o, queue[i].host, to_stands))
                        return true;
        return false;
}

bool candidacy_stands_aside(const Candidate *queue, unsigned count, unsigned place, const CandidacyOrder *o) {
        bool to_stands = o && stands(queue, count, o->to);

        if (place >= count)
                return false;
        if (o && !is_heeded(o, queue, count, to_stands))
                o = NULL;
        if (o && candidacy_is_chosen(o, queue[place].host))
                return false;
        if (o && candidacy_is_passed_over(o, queue[place].host, to_stands))
                return true;
        for (unsigned i = 0; i < (RECIPE_BREAK(PRIORITY_OF_NEXT) ? MIN(count, place + 2) : count); i++)
                if (queue[i].priority > queue[place].priority && !(o && candidacy_is_passed_over(o, queue[i].host, to_stands)))
                        return true;
        return false;
}
