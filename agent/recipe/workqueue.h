/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Work queue
 *
 * Items are sequential children of the queue's znode, "item-0000000007", and their data is the work.  Who takes one makes its child
 * "claim", ephemeral, and who has done it deletes both at once; with a claim that ends otherwise the item is there to be taken again.
 * How often it was taken follows from how many children it has had.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/member/member.h"

#define WORKQUEUE_PREFIX "item-"
#define WORKQUEUE_CLAIM "claim"
#define WORKQUEUE_DEAD "dead"           /* the queue's child that is the queue of what was taken too often */

bool workqueue_is_item(const char *name);

/* By the znode's Stat. */
uint32_t workqueue_attempts(int32_t cversion, int32_t children);

typedef struct WorkqueueTaker {
        bool ordered;                   /* nothing before all that came earlier is done */
        uint32_t tries_max;             /* 0: no limit */
} WorkqueueTaker;

typedef enum WorkqueueVerdict {
        WORKQUEUE_TAKE,
        WORKQUEUE_BURY,                 /* it was taken too often: it goes to the dead, and then look again */
        WORKQUEUE_NEXT,                 /* go on to the next item */
        WORKQUEUE_WAIT,
} WorkqueueVerdict;

/* Of the items in their order, one after another. */
WorkqueueVerdict workqueue_judge(const WorkqueueTaker *t, bool claimed, uint32_t attempts);
/* The same, by the item's Stat. */
WorkqueueVerdict workqueue_consider(const WorkqueueTaker *t, const Stat *item);

/* Is this the claim, as it is now, of who has this token? */
bool workqueue_is_claim_of(const Stat *claim, Zxid token);
/* The operations of the multi by which who has the claim with this token has done the item; all borrowed. */
void workqueue_ack(const char *item, const char *claim, Zxid token, Request ret[static 2]);
