/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Lineup
 */

#include "agent/recipe/lineup.h"

#include <assert.h>
#include <string.h>

#include "agent/recipe/break.h"

struct Lineup {
        GArray *entries;                /* LineupEntry, in order */
        GHashTable *places;             /* name, borrowed -> 1 + place */
};

static uint32_t circle(const LineupEntry *e) {
        return (uint32_t) e->parsed.sequence;
}

static gint compare(gconstpointer a, gconstpointer b) {
        const LineupEntry *x = a, *y = b;

        if (circle(x) != circle(y) && !RECIPE_BREAK(SEQUENCE_AS_TEXT))
                return circle(x) < circle(y) ? -1 : 1;
        return strcmp(x->name, y->name);        /* one parent gives a number once, but names can be made by hand */
}

/* The place of the first after the widest gap. */
static unsigned find_begin(const GArray *entries) {
        uint32_t widest = 0;
        unsigned begin = 0;

        if (RECIPE_BREAK(SEQUENCE_AS_TEXT))
                return 0;
        for (unsigned i = 0; i < entries->len; i++) {
                const LineupEntry *e = &g_array_index(entries, LineupEntry, i);
                const LineupEntry *before = &g_array_index(entries, LineupEntry, i > 0 ? i - 1 : entries->len - 1);
                uint32_t gap = circle(e) - circle(before);

                if (gap > widest) {
                        widest = gap;
                        begin = i;
                }
        }
        return begin;
}

static void put_in_order(Lineup *l, const GArray *sorted) {
        unsigned begin = find_begin(sorted), exclusive_before = 0;

        for (unsigned i = 0; i < sorted->len; i++) {
                LineupEntry e = g_array_index(sorted, LineupEntry, (begin + i) % sorted->len);

                e.exclusive_before = exclusive_before;
                if (!contender_role_is_shared(e.parsed.role))
                        exclusive_before = i + 1;
                g_array_append_val(l->entries, e);
                g_hash_table_insert(l->places, e.name, GUINT_TO_POINTER(i + 1));
        }
}

Lineup *lineup_new(const char *const *names, unsigned names_count) {
        g_autoptr(GArray) sorted = g_array_new(FALSE, FALSE, sizeof(LineupEntry));
        Lineup *l = g_new0(Lineup, 1);

        l->entries = g_array_new(FALSE, FALSE, sizeof(LineupEntry));
        l->places = g_hash_table_new(g_str_hash, g_str_equal);
        for (unsigned i = 0; i < names_count; i++) {
                LineupEntry e = { 0 };

                if (!contender_parse(names[i], &e.parsed))
                        continue;
                e.name = g_strdup(names[i]);
                g_array_append_val(sorted, e);
        }
        g_array_sort(sorted, compare);
        put_in_order(l, sorted);
        return l;
}

Lineup *lineup_free(Lineup *l) {
        if (!l)
                return NULL;

        g_hash_table_unref(l->places);
        for (unsigned i = 0; i < l->entries->len; i++)
                g_free(g_array_index(l->entries, LineupEntry, i).name);
        g_array_unref(l->entries);
        g_free(l);
        return NULL;
}

unsigned lineup_length(const Lineup *l) {
        return l->entries->len;
}

const LineupEntry *lineup_at(const Lineup *l, unsigned place) {
        assert(place < l->entries->len);

        return &g_array_index(l->entries, LineupEntry, place);
}

bool lineup_find(const Lineup *l, const char *name, unsigned *ret_place) {
        unsigned found = GPOINTER_TO_UINT(g_hash_table_lookup(l->places, name));

        if (found == 0)
                return false;
        *ret_place = found - 1;
        return true;
}

bool lineup_holds(const Lineup *l, unsigned place, uint32_t slots, unsigned *ret_behind) {
        const LineupEntry *e = lineup_at(l, place);
        unsigned behind;

        assert(slots > 0);

        if (e->parsed.role == CONTENDER_LEASE) {
                if (place < slots + RECIPE_BREAK(SLOT_TOO_MANY))
                        return true;
                behind = place - 1;
        } else if (contender_role_is_shared(e->parsed.role)) {
                if (e->exclusive_before == 0 || (RECIPE_BREAK(READER_LOOKS_AT_ONE) && e->exclusive_before != place))
                        return true;
                behind = e->exclusive_before - 1;
        } else {
                if (place == 0)
                        return true;
                behind = place - 1;
        }
        if (ret_behind)
                *ret_behind = behind;
        return false;
}

LineupStanding lineup_stand(const Lineup *l, const char *name, uint32_t slots) {
        unsigned place;

        if (!lineup_find(l, name, &place))
                return STANDING_GONE;
        return lineup_holds(l, place, slots, NULL) ? STANDING_HOLDS : STANDING_WAITS;
}

bool lineup_wakes(WatchEventType type) {
        return type == (RECIPE_BREAK(WAKES_ON_ARRIVAL) ? WATCH_EVENT_CREATED : WATCH_EVENT_DELETED);
}
