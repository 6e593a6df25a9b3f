/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Recipe judge
 */

#include "tests/sim/recipe-judge.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct Item {
        char *path;
        bool put, acked, maybe_acked;
        Zxid token;                     /* of the last claim that somebody was told of */
} Item;

static void item_free(gpointer p) {
        Item *i = p;

        g_free(i->path);
        g_free(i);
}

RecipeJudge *recipe_judge_new(void) {
        RecipeJudge *j = g_new0(RecipeJudge, 1);

        j->items = g_hash_table_new(g_str_hash, g_str_equal);
        j->item_list = g_ptr_array_new_with_free_func(item_free);
        j->counted = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
        return j;
}

RecipeJudge *recipe_judge_free(RecipeJudge *j) {
        g_hash_table_unref(j->items);
        g_ptr_array_unref(j->item_list);
        g_hash_table_unref(j->counted);
        g_free(j);
        return NULL;
}

static const char *fail(RecipeJudge *j, const char *format, ...) __attribute__((format(printf, 2, 3)));
static const char *fail(RecipeJudge *j, const char *format, ...) {
        va_list args;

        va_start(args, format);
        (void) vsnprintf(j->why, sizeof(j->why), format, args);
        va_end(args);
        return j->why;
}

/*
 * Who holds
 */

static const char *judge_pair(RecipeJudge *j, const Belief *a, const Belief *b) {
        if (a->resource != b->resource || (a->shared && b->shared))
                return NULL;
        return fail(j, "M1: callers %u and %u both hold resource %u", a->caller, b->caller, a->resource);
}

const char *recipe_judge_holders(RecipeJudge *j, const Belief *all, unsigned count) {
        for (unsigned i = 0; i < count; i++) {
                unsigned sharing = 0;

                for (unsigned k = 0; k < count; k++) {
                        const char *why = k > i ? judge_pair(j, all + i, all + k) : NULL;

                        if (why)
                                return why;
                        sharing += all[k].resource == all[i].resource;
                }
                if (all[i].limit > 0 && sharing > all[i].limit)
                        return fail(j, "M1: %u hold resource %u, which %u may", sharing, all[i].resource, all[i].limit);
        }
        return NULL;
}

const char *recipe_judge_token(RecipeJudge *j, unsigned resource, Zxid token) {
        Zxid before = j->tokens[resource];

        if (token <= before)
                return fail(j, "M2: resource %u is granted with the token " ZXID_FORMAT ", after " ZXID_FORMAT, resource, token, before);
        j->tokens[resource] = token;
        return NULL;
}

const char *recipe_judge_order(RecipeJudge *j, unsigned resource, unsigned earlier, unsigned limit) {
        return earlier >= limit ? fail(j, "M3: resource %u is granted out of turn: %u came earlier", resource, earlier) : NULL;
}

const char *recipe_judge_priority(RecipeJudge *j, unsigned resource, unsigned outranking) {
        return outranking > 0 ? fail(j, "M9: resource %u is led while %u wait who are more important", resource, outranking) : NULL;
}

/*
 * Queue
 */

static Item *need_item(RecipeJudge *j, const char *path) {
        Item *i = g_hash_table_lookup(j->items, path);

        if (i)
                return i;
        i = g_new0(Item, 1);
        i->path = g_strdup(path);
        g_ptr_array_add(j->item_list, i);
        g_hash_table_insert(j->items, i->path, i);
        return i;
}

void recipe_judge_put(RecipeJudge *j, const char *item) {
        need_item(j, item)->put = true;
}

const char *recipe_judge_claimed(RecipeJudge *j, const char *item, Zxid token) {
        Item *i = need_item(j, item);

        if (i->acked)
                return fail(j, "M5: %s is taken, but it was done", item);
        if (token <= i->token)
                return fail(j, "M5: %s is taken with the token " ZXID_FORMAT ", after " ZXID_FORMAT, item, token, i->token);
        i->token = token;
        return NULL;
}

const char *recipe_judge_acked(RecipeJudge *j, const char *item, Zxid token) {
        Item *i = need_item(j, item);

        if (i->acked)
                return fail(j, "M5: %s is done twice", item);
        i->acked = true;
        if (i->token != token)
                return fail(j, "M5: %s is done by who claimed it with " ZXID_FORMAT ", but it was taken again with " ZXID_FORMAT,
                            item, token, i->token);
        return NULL;
}

void recipe_judge_maybe_acked(RecipeJudge *j, const char *item) {
        need_item(j, item)->maybe_acked = true;
}

const char *recipe_judge_left(RecipeJudge *j, bool (*is_there)(void *userdata, const char *item), void *userdata) {
        for (guint k = 0; k < j->item_list->len; k++) {
                const Item *i = j->item_list->pdata[k];
                bool there = is_there(userdata, i->path);

                if (i->acked && there)
                        return fail(j, "M5: %s is done and there still", i->path);
                if (i->put && !i->acked && !i->maybe_acked && !there)
                        return fail(j, "M5: %s is lost", i->path);
        }
        return NULL;
}

/*
 * The rest
 */

void recipe_judge_enters(RecipeJudge *j, unsigned barrier) {
        j->entrants[barrier]++;
}

const char *recipe_judge_passed(RecipeJudge *j, unsigned barrier, unsigned wanted) {
        return j->entrants[barrier] < wanted ? fail(j, "M6: barrier %u lets somebody through with %u of %u", barrier,
                                                    j->entrants[barrier], wanted) : NULL;
}

const char *recipe_judge_counted(RecipeJudge *j, int64_t value) {
        j->added++;
        if (!g_hash_table_add(j->counted, g_memdup2(&value, sizeof(value))))
                return fail(j, "M7: two additions make the counter %" PRId64, value);
        return NULL;
}

void recipe_judge_maybe_counted(RecipeJudge *j) {
        j->maybe_added++;
}

const char *recipe_judge_count(RecipeJudge *j, int64_t value) {
        if (value >= (int64_t) j->added && value <= (int64_t) (j->added + j->maybe_added))
                return NULL;
        return fail(j, "M7: the counter is %" PRId64 " after %" PRIu64 " additions and perhaps %" PRIu64 " more", value, j->added,
                    j->maybe_added);
}

const char *recipe_judge_shares(RecipeJudge *j, GPtrArray *const *parts, unsigned parts_count, unsigned items_count) {
        g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
        unsigned least = items_count, most = 0;

        for (unsigned p = 0; p < parts_count; p++) {
                least = MIN(least, parts[p]->len);
                most = MAX(most, parts[p]->len);
                for (guint i = 0; i < parts[p]->len; i++)
                        if (!g_hash_table_add(seen, parts[p]->pdata[i]))
                                return fail(j, "M8: two members have %s", (const char *) parts[p]->pdata[i]);
        }
        if (g_hash_table_size(seen) != items_count)
                return fail(j, "M8: %u of %u items are somebody's", g_hash_table_size(seen), items_count);
        return most > least + 1 ? fail(j, "M8: one member has %u items, another %u", most, least) : NULL;
}
