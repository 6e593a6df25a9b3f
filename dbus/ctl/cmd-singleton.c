/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * singleton
 */

#include <inttypes.h>
#include <stdio.h>

#include "agent/base/singleton-name.h"
#include "dbus/ctl/command.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/recipe.h"
#include "dbus/ctl/singleton-list.h"
#include "dbus/ctl/singleton-setup.h"
#include "dbus/ctl/unit-facts.h"

static ExitStatus bad_unit(const char *argument) {
        print_error("\"%s\" is not the name of a unit, such as nginx.service", argument);
        return EXIT_STATUS_USAGE;
}

/* The first failure is the exit status; the others are tried, too. */
typedef ExitStatus (*OnUnit)(Ctl *c, const char *unit);

static ExitStatus for_each(Ctl *c, char **arguments, unsigned count, OnUnit each) {
        ExitStatus first = EXIT_STATUS_OK;

        for (unsigned i = 0; i < count; i++) {
                g_autofree char *unit = unit_from_argument(arguments[i]);
                ExitStatus e = unit ? each(c, unit) : bad_unit(arguments[i]);

                if (first == EXIT_STATUS_OK)
                        first = e;
        }
        return first;
}

/*
 * What is
 */

static Colour state_colour(const char *state) {
        if (g_str_equal(state, "leading"))
                return COLOUR_GREEN;
        if (g_str_equal(state, "refused") || g_str_equal(state, "standing-back"))
                return COLOUR_RED;
        return g_str_equal(state, "standing-by") ? COLOUR_NONE : COLOUR_YELLOW;
}

/* What is left of the time after which it stands again belongs to why it does not. */
static char *explain(const SingletonFacts *s) {
        if (s->until_usec == 0)
                return g_strdup(s->text ?: "-");

        g_autofree char *left = format_timespan_msec(boottime_left_msec(s->until_usec));
        return g_strdup_printf("%s%sstands again in %s", s->text ?: "", s->text ? "; " : "", left);
}

static void add_row(Table *table, const SingletonFacts *s) {
        g_autofree char *leaders = singleton_facts_leaders(s), *why = explain(s);

        table_add_coloured(table, COLOUR_BOLD, s->unit ?: s->name);
        table_add_coloured(table, state_colour(s->state), s->state);
        table_add(table, leaders);
        if (s->token > 0)
                table_add_format(table, "%" PRIu64, s->token);
        else
                table_add(table, "-");
        table_add(table, why);
}

static bool is_wanted(const SingletonFacts *s, char **units, unsigned count) {
        for (unsigned i = 0; i < count; i++) {
                g_autofree char *unit = unit_from_argument(units[i]);

                if (g_strcmp0(unit, s->unit) == 0 || g_str_equal(units[i], s->name))
                        return true;
        }
        return count == 0;
}

ExitStatus cmd_singleton_status(Ctl *c, char **arguments, unsigned count) {
        g_autoptr(GPtrArray) list = NULL;
        g_autoptr(JsonObject) array = json_object_new_array();
        g_autoptr(Table) table = table_new("UNIT", "THIS HOST", "RUNS ON", ">TOKEN", "WHY", NULL);
        unsigned shown = 0;

        ExitStatus e = singleton_list_read(c, &list);
        if (e != EXIT_STATUS_OK)
                return e;
        for (unsigned i = 0; i < list->len; i++) {
                const SingletonFacts *s = g_ptr_array_index(list, i);

                if (!is_wanted(s, arguments, count))
                        continue;
                json_object_array_add(array, singleton_facts_to_json(s));
                add_row(table, s);
                shown++;
        }

        if (c->options->json)
                json_print(array);
        else if (!c->options->quiet && (shown > 0 || count == 0))
                table_print(table);
        if (count > 0 && shown == 0) {
                print_error("%s is no singleton on this host; \"convenectl singleton enable\" makes it one", arguments[0]);
                return EXIT_STATUS_NO_NODE;
        }
        return EXIT_STATUS_OK;
}

/*
 * Who leads
 */

/* *ret_name: of its election; owned by the caller. */
static ExitStatus name_of(const char *unit, char **ret_name) {
        *ret_name = singleton_name_of_unit(unit);
        return *ret_name ? EXIT_STATUS_OK : bad_unit(unit);
}

static ExitStatus hold(Ctl *c, const char *unit, bool on) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        g_autofree char *name = NULL;

        ExitStatus e = name_of(unit, &name);
        if (e != EXIT_STATUS_OK)
                return e;
        call_begin(&call, "Singletons", "Hold");
        call_append(&call, "sba{sv}", name, on, 0);
        return call_send(&call, unit, &reply);
}

static ExitStatus hold_unit(Ctl *c, const char *unit) {
        return hold(c, unit, true);
}

static ExitStatus release_unit(Ctl *c, const char *unit) {
        return hold(c, unit, false);
}

ExitStatus cmd_singleton_hold(Ctl *c, char **arguments, unsigned count) {
        return for_each(c, arguments, count, hold_unit);
}

ExitStatus cmd_singleton_release(Ctl *c, char **arguments, unsigned count) {
        return for_each(c, arguments, count, release_unit);
}

ExitStatus cmd_singleton_move(Ctl *c, char **arguments, unsigned count) {
        g_autofree char *unit = unit_from_argument(arguments[0]), *name = NULL;

        ExitStatus e = unit ? name_of(unit, &name) : bad_unit(arguments[0]);
        if (e != EXIT_STATUS_OK)
                return e;
        return hand_over(c, "Singletons", "Move", name, count > 1 ? arguments[1] : "", unit);
}

/*
 * Which units
 */

ExitStatus cmd_singleton_enable(Ctl *c, char **arguments, unsigned count) {
        g_autofree char *unit = unit_from_argument(arguments[0]);

        return unit ? singleton_enable(c->options, unit) : bad_unit(arguments[0]);
}

static ExitStatus disable_unit(Ctl *c, const char *unit) {
        return singleton_disable(c->options, unit);
}

ExitStatus cmd_singleton_disable(Ctl *c, char **arguments, unsigned count) {
        return for_each(c, arguments, count, disable_unit);
}
