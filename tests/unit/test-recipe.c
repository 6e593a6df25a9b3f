/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Recipe: names, their order, and who holds
 *
 * The twin of the lineup is a list in the order of creation, asked by loops.
 */

#include <inttypes.h>
#include <string.h>

#include <glib.h>

#include "agent/base/prng.h"
#include "agent/recipe/lineup.h"

/*
 * Names
 */

typedef struct NameCase {
        const char *name;
        int role;                       /* -1: no contender */
        int32_t sequence;
} NameCase;

#define UUID "0f8fad5b-d9cb-469f-a165-70867728950e"

static const NameCase names[] = {
        { "_c_" UUID "-lock-0000000007", CONTENDER_MUTEX, 7 },
        { "lock-0000000007", CONTENDER_MUTEX, 7 },
        { "_c_" UUID "-__WRIT__0000000000", CONTENDER_WRITER, 0 },
        { "_c_" UUID "-__READ__2147483647", CONTENDER_READER, INT32_MAX },
        { "_c_" UUID "-lease-0000000001", CONTENDER_LEASE, 1 },
        { "_c_" UUID "-latch-0000000001", CONTENDER_LATCH, 1 },
        { "0f8fad5bd9cb469fa16570867728950e__lock__0000000012", CONTENDER_MUTEX, 12 },
        { "0f8fad5bd9cb469fa16570867728950e__rlock__0000000012", CONTENDER_READER, 12 },

        /* "%010d" of what is below 0 */
        { "lock--000000001", CONTENDER_MUTEX, -1 },
        { "lock--999999999", CONTENDER_MUTEX, -999999999 },
        { "lock--1000000000", CONTENDER_MUTEX, -1000000000 },
        { "lock--2147483648", CONTENDER_MUTEX, INT32_MIN },
        { "x__READ__-2147483648", CONTENDER_READER, INT32_MIN },
        { "x__WRIT__-000000003", CONTENDER_WRITER, -3 },

        { "", -1, 0 },
        { "-", -1, 0 },
        { "0000000007", -1, 0 },
        { "-0000000007", -1, 0 },
        { "lock-", -1, 0 },
        { "lock-7", -1, 0 },
        { "lock-000000007", -1, 0 },
        { "lock-00000000007", -1, 0 },
        { "lock-0000000007x", -1, 0 },
        { "lock- 000000007", -1, 0 },
        { "lock-+000000007", -1, 0 },
        { "lock-2147483648", -1, 0 },
        { "lock-9999999999", -1, 0 },
        { "lock--000000000", -1, 0 },
        { "lock--0000000001", -1, 0 },
        { "lock--2147483649", -1, 0 },
        { "lock---000000001", -1, 0 },
        { "Lock-0000000007", -1, 0 },
        { "lok-0000000007", -1, 0 },
        { "__READ_0000000007", -1, 0 },
        { "_rlock__0000000007", -1, 0 },
        { "leases", -1, 0 },
        { "-2147483648", -1, 0 },
        { "\xff\xfe", -1, 0 },
};

static void test_names(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
                ContenderName parsed;
                bool is = contender_parse(names[i].name, &parsed);

                g_assert_cmpint(is, ==, names[i].role >= 0);
                if (!is)
                        continue;
                g_assert_cmpint(parsed.role, ==, names[i].role);
                g_assert_cmpint(parsed.sequence, ==, names[i].sequence);
        }
}

static void test_prefix(void) {
        static const uint8_t id[16] = { 0x0f, 0x8f, 0xad, 0x5b, 0xd9, 0xcb, 0x46, 0x9f,
                                        0xa1, 0x65, 0x70, 0x86, 0x77, 0x28, 0x95, 0x0e };
        static const char *const wanted[_CONTENDER_ROLE_MAX] = { "-lock-", "-__WRIT__", "-__READ__", "-lease-", "-latch-" };

        for (int role = 0; role < _CONTENDER_ROLE_MAX; role++) {
                g_autofree char *prefix = g_strconcat("_c_" UUID, wanted[role], NULL);
                g_autofree char *whole = g_strconcat(prefix, "0000000042", NULL);
                char made[CONTENDER_PREFIX_BYTES];
                ContenderName parsed;

                contender_prefix(role, id, made);
                g_assert_cmpstr(made, ==, prefix);
                g_assert_true(contender_parse(whole, &parsed));
                g_assert_cmpint(parsed.role, ==, role);
                g_assert_cmpint(parsed.sequence, ==, 42);
        }
}

/* Whatever a name is made of: no crash, and what is taken is written as the counter writes it. */
static void test_hostile_names(void) {
        static const char *const parts[] = { "lock-", "lease-", "__READ__", "__rlock__", "-", "_", "0", "9", "0000000001", "2147483648",
                                             "999999999", "\xc3\xa4", "." };
        Prng prng = { 1 };
        unsigned taken = 0;

        for (unsigned i = 0; i < 200000; i++) {
                g_autoptr(GString) name = g_string_new(NULL);
                g_autofree char *number = NULL;
                ContenderName parsed;

                for (uint64_t n = prng_below(&prng, 6); n > 0; n--)
                        g_string_append(name, parts[prng_below(&prng, G_N_ELEMENTS(parts))]);
                if (!contender_parse(name->str, &parsed))
                        continue;
                taken++;
                number = g_strdup_printf("%010" PRId32, parsed.sequence);
                g_assert_true(g_str_has_suffix(name->str, number));
        }
        g_assert_cmpuint(taken, >, 1000);
}

/*
 * The lineup and its twin
 */

#define SIZE_MAX_TWIN 40

typedef struct Twin {
        GPtrArray *names;               /* in the order of creation */
        GArray *roles;                  /* ContenderRole */
        uint32_t next;
} Twin;

static void twin_create(Twin *t, Prng *prng) {
        static const char *const words[] = { "lock-", "__WRIT__", "__READ__", "lease-", "latch-" };
        ContenderRole role = prng_below(prng, _CONTENDER_ROLE_MAX);

        g_ptr_array_add(t->names, g_strdup_printf("_c_%08x-%s%010" PRId32, (unsigned) prng_below(prng, 1 << 30), words[role],
                                                  (int32_t) t->next));
        g_array_append_val(t->roles, role);
        /* Others use the parent's numbers, too. */
        t->next += 1 + (uint32_t) prng_below(prng, 3);
}

static void twin_remove(Twin *t, unsigned i) {
        g_ptr_array_remove_index(t->names, i);
        g_array_remove_index(t->roles, i);
}

static bool twin_holds(const Twin *t, unsigned me, uint32_t slots, unsigned *ret_behind) {
        ContenderRole role = g_array_index(t->roles, ContenderRole, me);
        unsigned in_the_way = 0;

        for (unsigned i = 0; i < me; i++) {
                if (role == CONTENDER_READER && g_array_index(t->roles, ContenderRole, i) == CONTENDER_READER)
                        continue;
                in_the_way++;
                *ret_behind = i;
        }
        return in_the_way < (role == CONTENDER_LEASE ? slots : 1);
}

static Lineup *shuffled(const Twin *t, Prng *prng) {
        static const char *const junk[] = { "leases", "lock-1", "locks", "__READ__", "0000000000", "x--1" };
        g_autoptr(GPtrArray) all = g_ptr_array_new();

        for (unsigned i = 0; i < t->names->len; i++)
                g_ptr_array_add(all, t->names->pdata[i]);
        for (size_t i = 0; i < G_N_ELEMENTS(junk); i++)
                g_ptr_array_add(all, (char *) junk[i]);
        for (unsigned i = all->len - 1; i > 0; i--) {
                unsigned j = (unsigned) prng_below(prng, i + 1);
                gpointer p = all->pdata[i];

                all->pdata[i] = all->pdata[j];
                all->pdata[j] = p;
        }
        return lineup_new((const char *const *) all->pdata, all->len);
}

static void compare(const Twin *t, Prng *prng) {
        g_autoptr(Lineup) l = shuffled(t, prng);
        uint32_t slots = 1 + (uint32_t) prng_below(prng, 4);

        g_assert_cmpuint(lineup_length(l), ==, t->names->len);
        for (unsigned i = 0; i < t->names->len; i++) {
                unsigned place, behind = UINT_MAX, wanted = UINT_MAX;
                bool holds;

                g_assert_true(lineup_find(l, t->names->pdata[i], &place));
                g_assert_cmpuint(place, ==, i);
                g_assert_cmpstr(lineup_at(l, i)->name, ==, t->names->pdata[i]);
                holds = lineup_holds(l, i, slots, &behind);
                g_assert_cmpint(holds, ==, twin_holds(t, i, slots, &wanted));
                if (!holds)
                        g_assert_cmpuint(behind, ==, wanted);
        }
        g_assert_false(lineup_find(l, "leases", &(unsigned) { 0 }));
}

static void run_twin(uint64_t seed, uint32_t start) {
        g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GArray) roles = g_array_new(FALSE, FALSE, sizeof(ContenderRole));
        Twin t = { all, roles, start };
        Prng prng = { seed };

        for (unsigned step = 0; step < 400; step++) {
                if (all->len == 0 || (all->len < SIZE_MAX_TWIN && prng_below(&prng, 2) == 0))
                        twin_create(&t, &prng);
                else
                        twin_remove(&t, (unsigned) prng_below(&prng, all->len));
                compare(&t, &prng);
        }
}

static void test_twin(void) {
        for (uint64_t seed = 1; seed <= 20; seed++) {
                run_twin(seed, 0);
                run_twin(seed, (uint32_t) INT32_MAX - 100);     /* runs over to below 0 */
                run_twin(seed, (uint32_t) -100);                /* and on from there to 0 */
        }
}

/* One who holds goes on holding whoever comes, and is followed by the next, until all have held. */
static void test_everybody_in_turn(void) {
        static const char *const queue[] = {
                "a__READ__2147483646", "b__READ__2147483647", "c-lock--2147483648", "d__READ__-2147483647", "e__WRIT__-2147483646",
        };
        static const unsigned holders[] = { 2, 1, 1, 1, 1 };    /* with the first so many gone */

        for (unsigned gone = 0; gone < G_N_ELEMENTS(queue); gone++) {
                g_autoptr(Lineup) l = lineup_new(queue + gone, G_N_ELEMENTS(queue) - gone);
                unsigned n = 0;

                for (unsigned i = 0; i < lineup_length(l); i++) {
                        g_assert_cmpstr(lineup_at(l, i)->name, ==, queue[gone + i]);
                        n += lineup_holds(l, i, 1, NULL);
                }
                g_assert_cmpuint(n, ==, holders[gone]);
                g_assert_true(lineup_holds(l, 0, 1, NULL));
        }
}

/* Names made by hand: the same number twice, and all around the circle. */
static void test_hostile_order(void) {
        static const char *const a[] = { "z-lock-0000000001", "a-lock-0000000001", "b-lock-0000000002" };
        static const char *const b[] = { "b-lock-0000000002", "z-lock-0000000001", "a-lock-0000000001" };
        static const char *const around[] = { "lock-0000000000", "lock-1073741824", "lock--2147483648", "lock--1073741824" };
        g_autoptr(Lineup) first = lineup_new(a, 3), second = lineup_new(b, 3), third = lineup_new(around, 4),
                          none = lineup_new(NULL, 0);

        for (unsigned i = 0; i < 3; i++)
                g_assert_cmpstr(lineup_at(first, i)->name, ==, lineup_at(second, i)->name);
        g_assert_cmpuint(lineup_length(third), ==, 4);
        g_assert_true(lineup_holds(third, 0, 1, NULL));
        g_assert_cmpuint(lineup_length(none), ==, 0);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/recipe/names", test_names);
        g_test_add_func("/recipe/prefix", test_prefix);
        g_test_add_func("/recipe/hostile-names", test_hostile_names);
        g_test_add_func("/recipe/twin", test_twin);
        g_test_add_func("/recipe/everybody-in-turn", test_everybody_in_turn);
        g_test_add_func("/recipe/hostile-order", test_hostile_order);
        return g_test_run();
}
