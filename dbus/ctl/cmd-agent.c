/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * statistics, sync, ping, checkpoint
 */

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "dbus/ctl/agent-status.h"
#include "dbus/ctl/command.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/statistics.h"

static bool is_wanted(const char *name, char **patterns, unsigned count) {
        for (unsigned i = 0; i < count; i++)
                if (fnmatch(patterns[i], name, 0) == 0)
                        return true;

        return count == 0;
}

/* For people; JSON has the bare number. */
static char *describe_value(const Statistic *s) {
        if (strstr(s->name, "_bytes") && s->value >= 1024) {
                g_autofree char *size = format_size(s->value);
                return g_strdup_printf("%" PRIu64 "  %s", s->value, size);
        }
        if (strstr(s->name, "_usec") && s->value >= 1000) {
                g_autofree char *span = format_timespan_msec(s->value / 1000);
                return g_strdup_printf("%" PRIu64 "  %s", s->value, span);
        }
        return g_strdup_printf("%" PRIu64, s->value);
}

ExitStatus cmd_statistics(Ctl *c, char **arguments, unsigned count) {
        g_autoptr(Statistics) list = NULL;
        g_autoptr(JsonObject) object = json_object_new_object();
        g_autoptr(Table) table = table_new("NAME", "VALUE", NULL);

        ExitStatus e = statistics_read(c, &list);
        if (e != EXIT_STATUS_OK)
                return e;

        for (unsigned i = 0; i < list->len; i++) {
                const Statistic *s = &g_array_index(list, Statistic, i);
                g_autofree char *value = describe_value(s);

                if (!is_wanted(s->name, arguments, count))
                        continue;
                json_add_u64(object, s->name, s->value);
                table_add(table, s->name);
                table_add(table, value);
        }

        if (c->options->json)
                json_print(object);
        else if (!c->options->quiet)
                table_print(table);
        return EXIT_STATUS_OK;
}

static ExitStatus print_zxid(const Options *o, uint64_t zxid) {
        if (o->json) {
                g_autoptr(JsonObject) object = json_object_new_object();

                json_add_zxid(object, "zxid", zxid);
                json_print(object);
        } else if (!o->quiet) {
                printf(ZXID_FORMAT "\n", zxid);
        }
        return EXIT_STATUS_OK;
}

static ExitStatus call_sync(Ctl *c, uint64_t *ret_zxid) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;

        call_begin(&call, "Tree", "Sync");
        call_open_options(&call);
        ExitStatus e = call_send(&call, NULL, &reply);
        if (e != EXIT_STATUS_OK)
                return e;

        int r = sd_bus_message_read(reply, "t", ret_zxid);
        return r < 0 ? bad_reply(r) : EXIT_STATUS_OK;
}

ExitStatus cmd_sync(Ctl *c, char **arguments, unsigned count) {
        uint64_t zxid;

        ExitStatus e = call_sync(c, &zxid);
        return e != EXIT_STATUS_OK ? e : print_zxid(c->options, zxid);
}

ExitStatus cmd_checkpoint(Ctl *c, char **arguments, unsigned count) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        uint64_t zxid;

        call_begin(&call, "Agent", "Checkpoint");
        ExitStatus e = call_send(&call, NULL, &reply);
        if (e != EXIT_STATUS_OK)
                return e;

        int r = sd_bus_message_read(reply, "t", &zxid);
        return r < 0 ? bad_reply(r) : print_zxid(c->options, zxid);
}

/* The first includes connecting.  A Sync goes all the way to the ensemble and back; Serving says whether updates would
 * be taken. */
static ExitStatus ping_once(Ctl *c) {
        g_auto(AgentStatus) status = {};
        int64_t begin = g_get_monotonic_time();
        uint64_t zxid;

        ExitStatus e = call_sync(c, &zxid);
        double msec = (g_get_monotonic_time() - begin) / 1000.0;
        if (e == EXIT_STATUS_OK)
                e = agent_status_read(c, &status);
        if (e != EXIT_STATUS_OK)
                return e;

        if (c->options->json) {
                g_autoptr(JsonObject) o = json_object_new_object();

                json_add_string(o, "host", status.host);
                json_add_string(o, "role", status.role);
                json_add_bool(o, "serving", status.serving);
                json_add_zxid(o, "zxid", zxid);
                json_add(o, "time_ms", json_object_new_double(msec));
                json_print_line(o);
        } else if (!c->options->quiet) {
                printf("%s: %s, %s, zxid " ZXID_FORMAT ", %.2f ms\n", status.host, status.role,
                       status.serving ? "serving" : "not serving", zxid, msec);
                fflush(stdout);
        }
        return status.serving ? EXIT_STATUS_OK : EXIT_STATUS_UNREACHABLE;
}

ExitStatus cmd_ping(Ctl *c, char **arguments, unsigned count) {
        uint64_t rounds = MAX(c->options->count, 1);
        ExitStatus e = EXIT_STATUS_OK;

        for (uint64_t i = 0; i < rounds && e == EXIT_STATUS_OK; i++) {
                if (i > 0)
                        g_usleep(G_USEC_PER_SEC);
                e = ping_once(c);
        }
        return e;
}
