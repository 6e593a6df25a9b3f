/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Candidacy
 *
 * When one who could lead should not: after its unit has failed there, while one who is to go first waits, and while leadership
 * is handed over to another host.  All are manners, and nobody's safety rests on them: the others lead only once this one has left
 * its place in the queue.
 */

#include <stdbool.h>
#include <stdint.h>

typedef struct StandBack {
        unsigned failures;              /* in a row */
} StandBack;

/* The unit has failed after it had run for so long (0: it did not start): how long to stand back.  Doubles each time from `first` up to
 * `max`; whoever has run for `max` is taken to have run well, and begins anew. */
uint64_t stand_back_msec(StandBack *b, uint64_t ran_msec, uint64_t first_msec, uint64_t max_msec);

/* Whether the host at `place` of a queue, whose first `copies` lead, should go to its end because one of those who only wait is to
 * go before it.  `preferred`: the hosts that go first, in their order, or NULL. */
bool candidacy_yields(const char *const *queue, unsigned queue_count, unsigned place, unsigned copies, const char *const *preferred);

/* Leadership is to go from one host to another. */
typedef struct CandidacyOrder {
        const char *from;
        const char *to;                 /* "": any other */
} CandidacyOrder;

/* What a contender of this host does about it: one that leads resigns; one whose turn has come goes to the end of the queue (`to_stands`:
 * who is to lead is in the queue), or leads whoever else there is. */
bool candidacy_resigns(const CandidacyOrder *o, const char *host);
bool candidacy_is_passed_over(const CandidacyOrder *o, const char *host, bool to_stands);
bool candidacy_is_chosen(const CandidacyOrder *o, const char *host);

typedef struct Candidate {
        const char *host;
        uint32_t priority;              /* more goes first */
} Candidate;

/* All of that where each contender says how important it is: whether the one at `place`, whose turn has come, should go to the end of the
 * queue.  `o`: the order under way, or NULL; one that nobody is left to follow is none.  There always is one in the queue that stays: all who
 * look at the same queue, one after the other, come to an end. */
bool candidacy_stands_aside(const Candidate *queue, unsigned count, unsigned place, const CandidacyOrder *o);
