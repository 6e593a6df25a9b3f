/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * sessions
 */

#include <stdio.h>
#include <string.h>

#include "dbus/ctl/agent-status.h"
#include "dbus/ctl/command.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/session-list.h"

static void add_session(Table *t, const AgentStatus *status, const SessionFacts *s) {
        g_autofree char *member = agent_status_member_name(status, s->member);
        g_autofree char *timeout = format_timespan_msec(s->timeout_msec);
        g_autofree char *created = format_time_msec(s->created_msec);

        table_add_format(t, "%016" PRIx64, s->id);
        table_add(t, member);
        table_add(t, s->owner_kind);
        table_add_format(t, "%" PRIu32, s->ephemerals);
        table_add(t, timeout);
        table_add(t, created);
        table_add_coloured(t, COLOUR_BOLD, s->owner);
}

ExitStatus cmd_sessions_list(Ctl *c, char **arguments, unsigned count) {
        g_auto(AgentStatus) status = {};
        g_autoptr(GPtrArray) list = NULL;
        g_autoptr(JsonObject) array = json_object_new_array();
        g_autoptr(Table) table =
                table_new("ID", "MEMBER", "BOUND TO", ">EPHEMERALS", ">TIMEOUT", "SINCE", "OWNER", NULL);

        ExitStatus e = agent_status_read(c, &status);
        if (e == EXIT_STATUS_OK)
                e = session_list_read(c, &list);
        if (e != EXIT_STATUS_OK)
                return e;

        for (unsigned i = 0; i < list->len; i++) {
                const SessionFacts *s = g_ptr_array_index(list, i);

                if (c->options->json)
                        json_object_array_add(array, session_facts_to_json(s));
                else
                        add_session(table, &status, s);
        }

        if (c->options->json)
                json_print(array);
        else if (!c->options->quiet)
                table_print(table);
        return EXIT_STATUS_OK;
}

static ExitStatus take_id(const char *text, uint64_t *ret) {
        if (parse_session_id(text, ret))
                return EXIT_STATUS_OK;

        print_error("\"%s\" is no session id: up to 16 hexadecimal digits, see \"convenectl sessions\"", text);
        return EXIT_STATUS_USAGE;
}

/* The one property that the list does not tell. */
static ExitStatus read_identities(Ctl *c, uint64_t id, GPtrArray *texts) {
        g_autofree char *path = g_strdup_printf(AGENT_PATH "/session/%016" PRIx64, id);
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        const char *scheme, *name;

        call_begin_at(&call, path, "org.freedesktop.DBus.Properties", "Get");
        call_append(&call, "ss", AGENT_NAME ".Session", "Identities");
        ExitStatus e = call_send(&call, NULL, &reply);
        if (e != EXIT_STATUS_OK)
                return e;

        int r = sd_bus_message_enter_container(reply, 'v', "a(ss)");
        if (r >= 0)
                r = sd_bus_message_enter_container(reply, 'a', "(ss)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(ss)", &scheme, &name)) > 0)
                g_ptr_array_add(texts, g_strdup_printf("%s:%s", scheme, name));
        return r < 0 ? bad_reply(r) : EXIT_STATUS_OK;
}

#define WIDTH 10

static void print_session(const AgentStatus *status, const SessionFacts *s, const GPtrArray *identities) {
        g_autofree char *member = agent_status_member_name(status, s->member);
        g_autofree char *timeout = format_timespan_msec(s->timeout_msec);
        g_autofree char *created = format_time_msec(s->created_msec);

        print_field(WIDTH, "Session", "%016" PRIx64, s->id);
        print_field(WIDTH, "Bound to", "%s", s->owner_kind);
        print_field(WIDTH, "Owner", "%s", s->owner);
        print_field(WIDTH, "Member", "%s", member);
        print_field(WIDTH, "Since", "%s", created);
        print_field(WIDTH, "Timeout", "%s", timeout);
        print_field(WIDTH, "Ephemerals", "%" PRIu32, s->ephemerals);
        for (unsigned i = 0; i < identities->len; i++)
                print_field(WIDTH, "Identity", "%s", (const char *) g_ptr_array_index(identities, i));
}

static ExitStatus show_one(Ctl *c, const AgentStatus *status, const GPtrArray *list, const char *text,
                           JsonObject *array) {
        g_autoptr(GPtrArray) identities = g_ptr_array_new_with_free_func(g_free);
        uint64_t id;

        ExitStatus e = take_id(text, &id);
        if (e != EXIT_STATUS_OK)
                return e;
        const SessionFacts *s = session_list_find(list, id);
        if (!s) {
                print_error("%016" PRIx64 ": no such session", id);
                return EXIT_STATUS_NO_NODE;
        }
        e = read_identities(c, id, identities);
        if (e != EXIT_STATUS_OK)
                return e;

        if (c->options->json) {
                JsonObject *o = session_facts_to_json(s);
                JsonObject *names = json_object_new_array();

                for (unsigned i = 0; i < identities->len; i++)
                        json_object_array_add(names, json_object_new_string(g_ptr_array_index(identities, i)));
                json_add(o, "identities", names);
                json_object_array_add(array, o);
        } else if (!c->options->quiet) {
                print_session(status, s, identities);
        }
        return EXIT_STATUS_OK;
}

ExitStatus cmd_sessions_show(Ctl *c, char **arguments, unsigned count) {
        g_auto(AgentStatus) status = {};
        g_autoptr(GPtrArray) list = NULL;
        g_autoptr(JsonObject) array = json_object_new_array();
        ExitStatus first = EXIT_STATUS_OK;

        ExitStatus e = agent_status_read(c, &status);
        if (e == EXIT_STATUS_OK)
                e = session_list_read(c, &list);
        if (e != EXIT_STATUS_OK)
                return e;

        for (unsigned i = 0; i < count; i++) {
                e = show_one(c, &status, list, arguments[i], array);
                if (e != EXIT_STATUS_OK)
                        first = first == EXIT_STATUS_OK ? e : first;
                else if (!c->options->json && !c->options->quiet && i + 1 < count)
                        putchar('\n');
        }
        if (c->options->json)
                json_print(array);
        return first;
}

ExitStatus cmd_sessions_close(Ctl *c, char **arguments, unsigned count) {
        ExitStatus first = EXIT_STATUS_OK;

        for (unsigned i = 0; i < count; i++) {
                g_auto(Call) call = CALL_INIT(c);
                g_autoptr(sd_bus_message) reply = NULL;
                uint64_t id;

                ExitStatus e = take_id(arguments[i], &id);
                if (e == EXIT_STATUS_OK) {
                        call_begin_update(&call, "Sessions", "Close");
                        call_append(&call, "ta{sv}", id, 0);
                        e = call_send(&call, arguments[i], &reply);
                }
                if (e != EXIT_STATUS_OK && first == EXIT_STATUS_OK)
                        first = e;
        }

        return first;
}
