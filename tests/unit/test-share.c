/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Recipe: items shared among members
 */

#include <string.h>

#include <glib.h>

#include "agent/base/prng.h"
#include "agent/recipe/share.h"

#define ITEMS 100
#define MEMBERS 10

typedef char Name[8];

static void shuffle(const char **names, unsigned count, Prng *prng) {
        for (unsigned i = count; i > 1; i--) {
                unsigned k = (unsigned) prng_below(prng, i);
                const char *name = names[i - 1];

                names[i - 1] = names[k];
                names[k] = name;
        }
}

/* Everybody asks for itself, and names the others and the items as they come.  owner[i]: the member whose item i is. */
static void share_out(const Name *members, unsigned members_count, unsigned items_count, Prng *prng, unsigned *owner) {
        unsigned least = UINT_MAX, most = 0;

        for (unsigned i = 0; i < items_count; i++)
                owner[i] = UINT_MAX;
        for (unsigned m = 0; m < members_count; m++) {
                const char *who[MEMBERS], *what[ITEMS + 1];
                Name items[ITEMS];
                g_autoptr(GPtrArray) mine = NULL;
                unsigned self = 0;

                for (unsigned i = 0; i < members_count; i++)
                        who[i] = members[i];
                for (unsigned i = 0; i < items_count; i++) {
                        g_snprintf(items[i], sizeof(items[i]), "row%u", i);
                        what[i] = items[i];
                }
                what[items_count] = items_count > 0 ? items[0] : "";    /* once more */
                shuffle(who, members_count, prng);
                shuffle(what, items_count, prng);
                while (strcmp(who[self], members[m]) != 0)
                        self++;
                mine = share_of(who, members_count, self, what, items_count + (items_count > 0));
                g_assert_nonnull(mine);
                for (guint i = 0; i < mine->len; i++) {
                        unsigned item = (unsigned) g_ascii_strtoull((const char *) mine->pdata[i] + 3, NULL, 10);

                        g_assert_cmpuint(owner[item], ==, UINT_MAX);    /* nobody else's */
                        owner[item] = m;
                        if (i > 0)
                                g_assert_cmpstr(mine->pdata[i - 1], <, mine->pdata[i]);
                }
                least = MIN(least, mine->len);
                most = MAX(most, mine->len);
        }
        for (unsigned i = 0; i < items_count; i++)
                g_assert_cmpuint(owner[i], !=, UINT_MAX);
        g_assert_cmpuint(most - least, <=, 1);
}

static void name_members(Name *members, uint64_t seed) {
        Prng prng = { seed };

        for (unsigned i = 0; i < MEMBERS; i++)
                g_snprintf(members[i], sizeof(Name), "m%05u", (unsigned) prng_below(&prng, 10000) * 10 + i);
}

static void test_partition(void) {
        Prng prng = { 1 };

        for (uint64_t seed = 1; seed <= 20; seed++) {
                Name members[MEMBERS];
                unsigned owner[ITEMS];

                name_members(members, seed);
                for (unsigned n = 1; n <= MEMBERS; n++)
                        for (unsigned items = 0; items <= ITEMS; items += 1 + (unsigned) prng_below(&prng, 15))
                                share_out(members, n, items, &prng, owner);
                share_out(members, MEMBERS, ITEMS, &prng, owner);
        }
}

/* When one of ten leaves, its tenth must go to others, and little else does: with a plain division nearly all would. */
static void test_few_change_hands(void) {
        Prng prng = { 1 };
        unsigned moved = 0;

        for (uint64_t seed = 1; seed <= 50; seed++) {
                Name members[MEMBERS];
                unsigned before[ITEMS], after[ITEMS];

                name_members(members, seed);
                share_out(members, MEMBERS, ITEMS, &prng, before);
                share_out(members, MEMBERS - 1, ITEMS, &prng, after);
                for (unsigned i = 0; i < ITEMS; i++)
                        if (before[i] != MEMBERS - 1)
                                moved += before[i] != after[i];
        }
        g_test_message("%u of %u moved without need", moved, 50 * 90);
        g_assert_cmpuint(moved, <, 50 * 90 / 4);
}

static void test_too_much(void) {
        g_autofree const char **members = g_new(const char *, 1000), **items = g_new(const char *, 1000);
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free), mine = NULL;

        for (unsigned i = 0; i < 1000; i++) {
                members[i] = items[i] = g_strdup_printf("%u", i);
                g_ptr_array_add(names, (char *) items[i]);
        }
        g_assert_null(share_of(members, 1000, 0, items, 1000));
        mine = share_of(members, 250, 249, items, 1000);
        g_assert_cmpuint(mine->len, ==, 4);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/share/partition", test_partition);
        g_test_add_func("/share/few-change-hands", test_few_change_hands);
        g_test_add_func("/share/too-much", test_too_much);
        return g_test_run();
}
