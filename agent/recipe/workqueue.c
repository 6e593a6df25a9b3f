/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Work queue
 */

#include "agent/recipe/workqueue.h"

#include <string.h>

#include <glib.h>

#include "agent/recipe/break.h"

#define DIGITS 10

bool workqueue_is_item(const char *name) {
        const char *digits = name + strlen(WORKQUEUE_PREFIX);

        if (!g_str_has_prefix(name, WORKQUEUE_PREFIX) || strlen(digits) != DIGITS)
                return false;
        for (unsigned i = 0; i < DIGITS; i++)
                if (!g_ascii_isdigit(digits[i]))
                        return false;
        return true;
}

/* cversion counts each child twice, but those that are there only once. */
uint32_t workqueue_attempts(int32_t cversion, int32_t children) {
        return ((uint32_t) cversion + (uint32_t) children) / 2;
}

WorkqueueVerdict workqueue_judge(const WorkqueueTaker *t, bool claimed, uint32_t attempts) {
        if (claimed)
                return t->ordered ? WORKQUEUE_WAIT : WORKQUEUE_NEXT;
        return t->tries_max > 0 && attempts >= t->tries_max ? WORKQUEUE_BURY : WORKQUEUE_TAKE;
}

WorkqueueVerdict workqueue_consider(const WorkqueueTaker *t, const Stat *item) {
        return workqueue_judge(t, item->children_count > 0, workqueue_attempts(item->cversion, item->children_count));
}

bool workqueue_is_claim_of(const Stat *claim, Zxid token) {
        return claim->czxid == token || RECIPE_BREAK(ACK_WITHOUT_CLAIM);
}

void workqueue_ack(const char *item, const char *claim, Zxid token, Request ret[static 2]) {
        ret[0] = (Request) {
                .op = REQUEST_DELETE,
                .path = claim,
                .version = VERSION_ANY,
                .czxid = RECIPE_BREAK(ACK_WITHOUT_CLAIM) ? 0 : token,
        };
        ret[1] = (Request) { .op = REQUEST_DELETE, .path = item, .version = VERSION_ANY };
}
