/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Share
 */

#include "agent/recipe/share.h"

#include <assert.h>
#include <string.h>

#include "agent/base/hash.h"

static gint compare(gconstpointer a, gconstpointer b) {
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* In byte order, each once. */
static GPtrArray *in_order(const char *const *names, unsigned count) {
        g_autoptr(GPtrArray) sorted = g_ptr_array_sized_new(count);
        GPtrArray *once = g_ptr_array_sized_new(count);

        for (unsigned i = 0; i < count; i++)
                g_ptr_array_add(sorted, (char *) names[i]);
        g_ptr_array_sort(sorted, compare);
        for (guint i = 0; i < sorted->len; i++)
                if (i == 0 || strcmp(sorted->pdata[i - 1], sorted->pdata[i]) != 0)
                        g_ptr_array_add(once, sorted->pdata[i]);
        return once;
}

typedef struct Load {
        uint64_t seed;                  /* of its preferences */
        unsigned items;
} Load;

/* Who likes this item best of those that have room; `may_exceed`: somebody must have one above the even number. */
static unsigned choose(const Load *loads, unsigned count, unsigned even, bool may_exceed, const char *item) {
        size_t size = strlen(item);
        unsigned best = count;
        uint64_t best_liking = 0;

        for (unsigned i = 0; i < count; i++) {
                uint64_t liking;

                if (loads[i].items > even || (loads[i].items == even && !may_exceed))
                        continue;
                liking = hash128(item, size, loads[i].seed).low;
                if (best == count || liking > best_liking) {
                        best = i;
                        best_liking = liking;
                }
        }
        assert(best < count);
        return best;
}

GPtrArray *share_of(const char *const *members, unsigned members_count, unsigned self, const char *const *items,
                    unsigned items_count) {
        g_autoptr(GPtrArray) who = in_order(members, members_count), what = in_order(items, items_count);
        g_autofree Load *loads = g_new0(Load, MAX(who->len, 1));
        unsigned even, exceeding;
        GPtrArray *mine;

        assert(self < members_count);

        if ((uint64_t) who->len * what->len > SHARE_STEPS_MAX)
                return NULL;
        for (guint i = 0; i < who->len; i++)
                loads[i].seed = hash128(who->pdata[i], strlen(who->pdata[i]), 0).low;
        even = what->len / who->len;
        exceeding = what->len % who->len;
        mine = g_ptr_array_new();
        for (guint i = 0; i < what->len; i++) {
                unsigned k = choose(loads, who->len, even, exceeding > 0, what->pdata[i]);

                exceeding -= loads[k].items == even;
                loads[k].items++;
                if (strcmp(who->pdata[k], members[self]) == 0)
                        g_ptr_array_add(mine, what->pdata[i]);
        }
        return mine;
}
