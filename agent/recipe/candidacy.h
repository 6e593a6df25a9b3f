/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Candidacy
 *
 * When a host that could lead should not: after its unit has failed there, and while a host that is to go first waits.  Both
 * are manners, and nobody's safety rests on them: the others lead only once this one has left the queue.
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
