/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * status, member
 */

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "dbus/ctl/agent-status.h"
#include "dbus/ctl/command.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/statistics.h"

#define WIDTH 9

static uint64_t now_usec(clockid_t clock) {
        struct timespec ts = {};

        clock_gettime(clock, &ts);
        return ts.tv_sec * UINT64_C(1000000) + ts.tv_nsec / 1000;
}

static uint64_t since_usec(const AgentStatus *s) {
        uint64_t now = now_usec(CLOCK_BOOTTIME);

        return now > s->role_since_usec ? now - s->role_since_usec : 0;
}

static Colour health(const AgentStatus *s) {
        if (!s->serving)
                return COLOUR_RED;
        return s->problems[0] ? COLOUR_YELLOW : COLOUR_GREEN;
}

static char *join_members(const AgentStatus *s) {
        GString *text = g_string_new(NULL);

        for (unsigned i = 0; i < s->members->len; i++) {
                const MemberFacts *m = g_ptr_array_index(s->members, i);

                g_string_append_printf(text, "%s%s%s%s", i > 0 ? ", " : "", m->name,
                                       m->sid == s->leader ? " (leader)" : "",
                                       g_str_equal(m->role, "observer") ? " (observer)" : "");
        }
        return g_string_free(text, FALSE);
}

static void print_count(const Statistics *numbers, const char *label, const char *name, const char *sizes) {
        uint64_t value, bytes;

        if (!statistics_find(numbers, name, &value))
                return;
        if (sizes && statistics_find(numbers, sizes, &bytes)) {
                g_autofree char *size = format_size(bytes);
                print_field(WIDTH, label, "%" PRIu64 " (%s of data)", value, size);
        } else {
                print_field(WIDTH, label, "%" PRIu64, value);
        }
}

static void print_status(const Ctl *c, const AgentStatus *s, const Statistics *numbers) {
        g_autofree char *name = agent_status_member_name(s, s->member);
        g_autofree char *leader = agent_status_member_name(s, s->leader);
        g_autofree char *members = join_members(s);
        g_autofree char *since = format_time_msec((now_usec(CLOCK_REALTIME) - since_usec(s)) / 1000);
        g_autofree char *ago = format_ago(since_usec(s));
        g_autofree char *title = format_line(name);

        printf("%s%s%s %s - %s of an ensemble of %u\n", colour_on(health(s)), glyph("●", "*"), colour_off(), title,
               s->role, s->members->len);
        print_field(WIDTH, "Agent", "convene %s on %s, at %s", s->version, s->host, c->where);
        printf("%*s: %s%s%s since %s; %s\n", WIDTH, "Role", colour_on(health(s)), s->role, colour_off(), since, ago);
        print_field(WIDTH, "Serving", "%s",
                    !s->serving ? "no: updates are refused until there is a leader"
                    : s->space_available ? "yes" : "reads only: the disk is full");
        print_field(WIDTH, "Epoch", "%" PRIu32, s->epoch);
        print_field(WIDTH, "Zxid", ZXID_FORMAT, s->zxid);
        print_field(WIDTH, "Log", "last %" PRIu64 ", committed %" PRIu64 ", durable here %" PRIu64, s->last,
                    s->committed, s->durable);
        print_field(WIDTH, "Leader", "%s", leader);
        print_field(WIDTH, "Members", "%s", members);
        print_field(WIDTH, "Ensemble", "%s", s->cluster_id);
        print_count(numbers, "Znodes", "znodes_now", "data_bytes");
        print_count(numbers, "Sessions", "sessions_now", NULL);
        for (char **p = s->problems; *p; p++) {
                g_autofree char *problem = format_line(*p);
                printf("%*s: %s%s%s\n", WIDTH, "Problem", colour_on(COLOUR_YELLOW), problem, colour_off());
        }
}

static JsonObject *status_to_json(const AgentStatus *s, const Statistics *numbers) {
        g_autofree char *name = agent_status_member_name(s, s->member);
        JsonObject *o = json_object_new_object();
        JsonObject *members = json_object_new_array(), *problems = json_object_new_array();
        uint64_t value;

        for (unsigned i = 0; i < s->members->len; i++)
                json_object_array_add(members, member_to_json(s, g_ptr_array_index(s->members, i)));
        for (char **p = s->problems; *p; p++)
                json_object_array_add(problems, json_object_new_string(*p));

        json_add_string(o, "version", s->version);
        json_add_string(o, "host", s->host);
        json_add_u64(o, "member", s->member);
        json_add_string(o, "name", name);
        json_add_string(o, "role", s->role);
        json_add_u64(o, "role_since_ms", (now_usec(CLOCK_REALTIME) - since_usec(s)) / 1000);
        json_add_bool(o, "serving", s->serving);
        json_add_bool(o, "space_available", s->space_available);
        json_add_u64(o, "epoch", s->epoch);
        json_add_zxid(o, "zxid", s->zxid);
        json_add_u64(o, "last_index", s->last);
        json_add_u64(o, "committed_index", s->committed);
        json_add_u64(o, "applied_index", s->applied);
        json_add_u64(o, "durable_index", s->durable);
        json_add_u64(o, "leader", s->leader);
        json_add_string(o, "cluster_id", s->cluster_id);
        if (statistics_find(numbers, "znodes_now", &value))
                json_add_u64(o, "znodes", value);
        if (statistics_find(numbers, "sessions_now", &value))
                json_add_u64(o, "sessions", value);
        json_add(o, "members", members);
        json_add(o, "problems", problems);
        return o;
}

ExitStatus cmd_status(Ctl *c, char **arguments, unsigned count) {
        g_auto(AgentStatus) status = {};
        g_autoptr(Statistics) numbers = NULL;

        ExitStatus e = agent_status_read(c, &status);
        if (e == EXIT_STATUS_OK)
                e = statistics_read(c, &numbers);
        if (e != EXIT_STATUS_OK)
                return e;

        if (c->options->json) {
                g_autoptr(JsonObject) o = status_to_json(&status, numbers);
                json_print(o);
        } else if (!c->options->quiet) {
                print_status(c, &status, numbers);
        }
        return status.serving ? EXIT_STATUS_OK : EXIT_STATUS_UNREACHABLE;
}

ExitStatus cmd_member_list(Ctl *c, char **arguments, unsigned count) {
        g_auto(AgentStatus) status = {};
        g_autoptr(JsonObject) array = json_object_new_array();
        g_autoptr(Table) table = table_new(">SID", "NAME", "ROLE", "ADDRESS", "DISK", NULL);

        ExitStatus e = agent_status_read(c, &status);
        if (e != EXIT_STATUS_OK)
                return e;

        for (unsigned i = 0; i < status.members->len; i++) {
                const MemberFacts *m = g_ptr_array_index(status.members, i);
                bool leads = m->sid == status.leader;

                json_object_array_add(array, member_to_json(&status, m));
                table_add_format(table, "%" PRIu32, m->sid);
                table_add_coloured(table, m->sid == status.member ? COLOUR_BOLD : COLOUR_NONE, m->name);
                table_add_coloured(table, leads ? COLOUR_GREEN : COLOUR_NONE, leads ? "leader" : m->role);
                table_add(table, *m->address ? m->address : "-");
                table_add(table, *m->disk_id ? m->disk_id : "-");
        }

        if (c->options->json)
                json_print(array);
        else if (!c->options->quiet)
                table_print(table);
        return EXIT_STATUS_OK;
}

static const MemberFacts *find_member(const AgentStatus *s, const char *name) {
        for (unsigned i = 0; i < s->members->len; i++) {
                const MemberFacts *m = g_ptr_array_index(s->members, i);

                if (g_str_equal(m->name, name))
                        return m;
        }

        return NULL;
}

ExitStatus cmd_member_show(Ctl *c, char **arguments, unsigned count) {
        g_auto(AgentStatus) status = {};
        g_autoptr(JsonObject) array = json_object_new_array();
        ExitStatus first = EXIT_STATUS_OK;

        ExitStatus e = agent_status_read(c, &status);
        if (e != EXIT_STATUS_OK)
                return e;

        for (unsigned i = 0; i < count; i++) {
                const MemberFacts *m = find_member(&status, arguments[i]);

                if (!m) {
                        print_error("%s: no such member; see \"convenectl member\"", arguments[i]);
                        first = EXIT_STATUS_NO_NODE;
                        continue;
                }
                if (c->options->json) {
                        json_object_array_add(array, member_to_json(&status, m));
                } else if (!c->options->quiet) {
                        print_field(WIDTH, "Member", "%s%s", m->name, m->sid == status.member ? " (this host)" : "");
                        print_field(WIDTH, "Sid", "%" PRIu32, m->sid);
                        print_field(WIDTH, "Role", "%s%s", m->role, m->sid == status.leader ? ", leader" : "");
                        print_field(WIDTH, "Address", "%s", *m->address ? m->address : "-");
                        print_field(WIDTH, "Disk", "%s", *m->disk_id ? m->disk_id : "-");
                        if (i + 1 < count)
                                putchar('\n');
                }
        }

        if (c->options->json)
                json_print(array);
        return first;
}
