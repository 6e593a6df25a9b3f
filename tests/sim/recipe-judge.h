/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Recipe judge
 *
 * What locks, semaphores, elections, leases, barriers, queues, counters and shares promise, judged from what callers were told and
 * when: it knows true time and nothing of the rules in agent/recipe.  Each function returns NULL, or what does not hold (the text is the
 * judge's, until the next).
 *
 *     M1 holders        M2 tokens grow      M3 in order         M4 no wake-up is lost (recipes.c)
 *     M5 queue          M6 barrier          M7 counter          M8 share             M9 priority
 */

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "agent/base/zxid.h"

#define RECIPE_RESOURCES_MAX 8
#define RECIPE_BARRIERS 12

/* Somebody who goes by a grant at this instant. */
typedef struct Belief {
        unsigned caller, resource;
        bool shared;                    /* with others who share; a slot of a semaphore shares, too */
        unsigned limit;                 /* of all who share, so many; 0: any number */
} Belief;

typedef struct RecipeJudge {
        Zxid tokens[RECIPE_RESOURCES_MAX];      /* the greatest ever granted to somebody alone */
        GHashTable *items;              /* path -> Item: what was put and claimed; lookup only */
        GPtrArray *item_list;           /* Item, in order of first sight; owns */
        GHashTable *counted;            /* values of the counter that were answered */
        uint64_t added, maybe_added;
        unsigned entrants[RECIPE_BARRIERS];     /* asked to be made, ever */
        char why[256];
} RecipeJudge;

RecipeJudge *recipe_judge_new(void);
RecipeJudge *recipe_judge_free(RecipeJudge *j);

const char *recipe_judge_holders(RecipeJudge *j, const Belief *all, unsigned count);
/* Somebody is granted it alone, anew. */
const char *recipe_judge_token(RecipeJudge *j, unsigned resource, Zxid token);
/* Granted, while so many who came earlier and exclude it wait or hold; `limit`: of whom one fewer may. */
const char *recipe_judge_order(RecipeJudge *j, unsigned resource, unsigned earlier, unsigned limit);

/* Somebody leads now, while so many who are more important wait. */
const char *recipe_judge_priority(RecipeJudge *j, unsigned resource, unsigned outranking);

void recipe_judge_put(RecipeJudge *j, const char *item);
const char *recipe_judge_claimed(RecipeJudge *j, const char *item, Zxid token);
/* Acknowledged to who had claimed it with this token. */
const char *recipe_judge_acked(RecipeJudge *j, const char *item, Zxid token);
void recipe_judge_maybe_acked(RecipeJudge *j, const char *item);
/* At the end: what was put and is neither acknowledged nor there is lost; what is acknowledged is not there. */
const char *recipe_judge_left(RecipeJudge *j, bool (*is_there)(void *userdata, const char *item), void *userdata);

void recipe_judge_enters(RecipeJudge *j, unsigned barrier);
const char *recipe_judge_passed(RecipeJudge *j, unsigned barrier, unsigned wanted);

const char *recipe_judge_counted(RecipeJudge *j, int64_t value);
void recipe_judge_maybe_counted(RecipeJudge *j);
const char *recipe_judge_count(RecipeJudge *j, int64_t value);

/* The parts of all members, one after another: each item once. */
const char *recipe_judge_shares(RecipeJudge *j, GPtrArray *const *parts, unsigned parts_count, unsigned items_count);
