/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Tenure
 */

#include "agent/recipe/tenure.h"

#include "agent/recipe/break.h"

#define USEC_PER_MSEC 1000

uint64_t tenure_grace_usec(uint32_t timeout_msec) {
        return (uint64_t) timeout_msec * USEC_PER_MSEC / TENURE_GRACE_DIVISOR;
}

uint64_t tenure_give_up_usec(Tenure *t, const TenureClock *c) {
        uint64_t grace = RECIPE_BREAK(NO_MARGIN) ? 0 : tenure_grace_usec(c->timeout_msec);

        if (c->deadline_usec != 0) {
                t->unknown_since_usec = 0;
                return c->deadline_usec > grace ? c->deadline_usec - grace : 1;
        }
        if (t->unknown_since_usec == 0)
                t->unknown_since_usec = c->now_usec;
        return t->unknown_since_usec + grace;
}

bool tenure_may_begin(Tenure *t, const TenureClock *c, uint64_t *ret_usec) {
        uint64_t at = tenure_give_up_usec(t, c);

        if (t->unknown_since_usec == 0 && c->now_usec < at) {
                *ret_usec = at;
                return true;
        }
        *ret_usec = c->now_usec + tenure_grace_usec(c->timeout_msec) / TENURE_GRACE_DIVISOR;
        return false;
}

uint64_t tenure_release_usec(const TenureClock *c) {
        return RECIPE_BREAK(RELEASES_AT_ONCE) ? c->now_usec : c->now_usec + tenure_grace_usec(c->timeout_msec);
}

Zxid tenure_token(const Result *created) {
        return RECIPE_BREAK(TOKEN_WITHOUT_EPOCH) ? (uint32_t) created->stat.czxid : created->stat.czxid;
}
