/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Singleton stop
 */

#include "dbus/ctl/singleton-stop.h"

#include "agent/base/stop-margin.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/service.h"

#define DEPENDENTS_MAX 64               /* more than anybody has */

typedef struct Sum {
        SingletonHost *host;
        GHashTable *seen;               /* names of units */
        uint64_t usec;
        GString *how;
} Sum;

static void add_unit(Sum *sum, const UnitFacts *u, uint64_t stage_msec) {
        g_autofree char *how = NULL;
        uint64_t usec = unit_stop_usec(u, stage_msec * 1000, &how);

        sum->usec = sum->usec > UINT64_MAX - usec ? UINT64_MAX : sum->usec + usec;
        if (usec > 0 || sum->how->len == 0)
                g_string_append_printf(sum->how, "%s%s (%s)", sum->how->len > 0 ? " after " : "", u->id, how);
}

static ExitStatus add_dependents(Sum *sum, const UnitFacts *u);

/* What is stopped along with the unit and was started after it is stopped before it, and may take its time. */
static ExitStatus add_those(Sum *sum, const UnitFacts *u, char **dependents) {
        for (char **d = dependents; d && *d; d++) {
                g_auto(UnitFacts) facts = {};

                if (!u->before || !g_strv_contains((const char *const *) u->before, *d) || !g_hash_table_add(sum->seen, g_strdup(*d)))
                        continue;
                if (g_hash_table_size(sum->seen) > DEPENDENTS_MAX) {
                        print_error("%s: more than %d units are stopped along with it; that takes longer than anybody can say", u->id,
                                    DEPENDENTS_MAX);
                        return EXIT_STATUS_LIMIT;
                }
                ExitStatus e = systemd_read_unit(&sum->host->systemd, *d, &facts);
                if (e != EXIT_STATUS_OK)
                        return e;
                add_unit(sum, &facts, 0);
                e = add_dependents(sum, &facts);
                if (e != EXIT_STATUS_OK)
                        return e;
        }
        return EXIT_STATUS_OK;
}

static ExitStatus add_dependents(Sum *sum, const UnitFacts *u) {
        char **const lists[] = { u->required_by, u->bound_by, u->consists_of, u->stop_propagates_to };
        ExitStatus e = EXIT_STATUS_OK;

        for (size_t i = 0; e == EXIT_STATUS_OK && i < G_N_ELEMENTS(lists); i++)
                e = add_those(sum, u, lists[i]);
        return e;
}

/* How much faster they would stop at the same time is not worth to know: each is waited for. */
static ExitStatus measure(SingletonHost *h, const UnitFacts *u, uint64_t stage_msec, uint64_t *ret_usec, char **ret_how) {
        g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        g_autoptr(GString) how = g_string_new(NULL);
        Sum sum = { .host = h, .seen = seen, .how = how };

        g_hash_table_add(seen, g_strdup(u->id));
        add_unit(&sum, u, stage_msec);
        ExitStatus e = add_dependents(&sum, u);
        *ret_usec = sum.usec;
        *ret_how = g_strdup(how->str);
        return e;
}

/* The unit and what it triggers are stopped at the same time: the slowest counts. */
ExitStatus singleton_stop_usec(SingletonHost *h, uint64_t stage_msec, uint64_t *ret_usec, char **ret_how) {
        g_autofree char *how = NULL;
        uint64_t longest;

        ExitStatus e = measure(h, &h->facts, stage_msec, &longest, &how);
        for (unsigned i = 0; e == EXIT_STATUS_OK && i < h->triggered->len; i++) {
                g_autofree char *other = NULL;
                uint64_t usec;

                e = measure(h, g_ptr_array_index(h->triggered, i), stage_msec, &usec, &other);
                if (e != EXIT_STATUS_OK || usec <= longest)
                        continue;
                longest = usec;
                g_free(how);
                how = g_steal_pointer(&other);
        }
        if (e != EXIT_STATUS_OK)
                return e;

        *ret_usec = longest;
        *ret_how = g_steal_pointer(&how);
        return EXIT_STATUS_OK;
}

static ExitStatus heartbeat_msec(uint64_t *ret) {
        g_autoptr(GKeyFile) keys = NULL;
        uint64_t msec;

        ExitStatus e = service_read_configuration(&keys);
        if (e != EXIT_STATUS_OK)
                return e;
        g_autofree char *value = g_key_file_get_value(keys, "Ensemble", "ElectionTimeout", NULL);
        *ret = value && parse_timespan_msec(value, &msec) ? msec / HEARTBEATS_PER_ELECTION : HEARTBEAT_DEFAULT_MSEC;
        return EXIT_STATUS_OK;
}

ExitStatus singleton_stop_check(uint64_t session_msec, uint64_t stop_usec, const char *how) {
        uint64_t heartbeat;

        if (stop_usec == UINT64_MAX) {
                print_error("%s: a stop of it may take for ever: give it a limit with --stop-timeout=", how);
                return EXIT_STATUS_USAGE;
        }
        ExitStatus e = heartbeat_msec(&heartbeat);
        if (e != EXIT_STATUS_OK)
                return e;

        g_autofree char *why = stop_margin_refusal(session_msec, (stop_usec + 999) / 1000, heartbeat);
        if (!why)
                return EXIT_STATUS_OK;
        print_error("%s: %s.  Use --stop-timeout= for less time in each stage, or --session-timeout= for a longer session, after which "
                    "another host takes over", how, why);
        return EXIT_STATUS_USAGE;
}
