/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * status
 */

#include <stdio.h>
#include <string.h>

#include "dbus/ctl/clock.h"
#include "dbus/ctl/command.h"
#include "dbus/ctl/ensemble.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/statistics.h"

#define WIDTH 9

static uint64_t since_usec(const AgentStatus *s) {
        uint64_t now = now_usec(CLOCK_BOOTTIME);

        return now > s->role_since_usec ? now - s->role_since_usec : 0;
}

/* What the agent says and what is concluded from the members, as one list. */
static GPtrArray *all_problems(const AgentStatus *s) {
        GPtrArray *texts = ensemble_problems(s);

        for (char **p = s->problems; *p; p++)
                g_ptr_array_insert(texts, p - s->problems, g_strdup(*p));
        return texts;
}

static Colour health(const AgentStatus *s, const GPtrArray *problems) {
        if (!s->serving)
                return COLOUR_RED;
        return problems->len > 0 ? COLOUR_YELLOW : COLOUR_GREEN;
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

static void print_problem(const char *label, Colour colour, const char *text) {
        g_autofree char *line = format_line(text);

        printf("%*s: %s%s%s\n", WIDTH, label, colour_on(colour), line, colour_off());
}

/* "● m2: voter, up to date, 3 entries behind, heard 40ms ago" */
static void print_member(const AgentStatus *s, const MemberFacts *m) {
        bool up = m->sid == s->member || m->connected;
        bool well = m->sid == s->member ? s->serving : m->connected && (!m->known || m->synced);
        g_autofree char *state = member_describe_state(s, m);
        g_autoptr(GString) text = g_string_new(NULL);
        uint64_t lag, msec;

        g_string_append_printf(text, "%s: %s%s, %s", m->name, m->role, m->sid == s->leader ? ", leads" : "", state);
        if (up && member_lag(s, m, &lag) && lag > 0)
                g_string_append_printf(text, ", %" PRIu64 " entries behind", lag);
        if (member_heard_msec(s, m, &msec)) {
                g_autofree char *ago = format_ago(msec * 1000);
                g_string_append_printf(text, ", heard %s", ago);
        }

        g_autofree char *line = format_line(text->str);
        printf("%*s  %s%s%s %s\n", WIDTH, "", colour_on(well ? COLOUR_GREEN : COLOUR_RED),
               up ? glyph("●", "*") : glyph("○", "o"), colour_off(), line);
}

static void print_members(const AgentStatus *s) {
        Quorum q = ensemble_quorum(s);
        g_autofree char *observers = q.observers == 0 ? NULL :
                g_strdup_printf(", %u observer%s", q.observers, q.observers == 1 ? "" : "s");

        if (q.voters == 0)
                print_field(WIDTH, "Members", "not known yet");
        else if (q.voters == 1)
                print_field(WIDTH, "Members", "1 voter%s", observers ?: "");
        else if (q.up < q.needed)
                print_field(WIDTH, "Members", "%u voters%s; only %u here, %u are needed", q.voters, observers ?: "", q.up,
                            q.needed);
        else
                print_field(WIDTH, "Members", "%u voters%s; %u may still fail", q.voters, observers ?: "", q.may_fail);
        for (unsigned i = 0; i < s->members->len; i++)
                print_member(s, g_ptr_array_index(s->members, i));
}

static const char *describe_serving(const AgentStatus *s) {
        if (!s->space_available && s->leader != 0)
                return "reads only: the disk is full";
        return s->serving ? "yes" : "no: neither updates nor reads";
}

static void print_role(const AgentStatus *s, Colour colour) {
        g_autofree char *since = format_time_msec((now_usec(CLOCK_REALTIME) - since_usec(s)) / 1000);
        g_autofree char *ago = format_ago(since_usec(s));
        g_autofree char *leader = agent_status_member_name(s, s->leader);
        g_autofree char *of = s->leader == 0 || s->leader == s->member ? NULL : format_line(leader);

        printf("%*s: %s%s%s%s%s since %s; %s\n", WIDTH, "Role", colour_on(colour), s->role, colour_off(), of ? " of " : "",
               of ?: "", since, ago);
}

static void print_leader(const AgentStatus *s) {
        g_autofree char *leader = agent_status_member_name(s, s->leader);
        g_autofree char *parent = agent_status_member_name(s, s->parent);

        if (s->parent != 0)
                print_field(WIDTH, "Leader", "%s, whose changes come by way of %s", leader, parent);
        else
                print_field(WIDTH, "Leader", "%s", leader);
}

static void print_status(const Ctl *c, const AgentStatus *s, const Statistics *numbers) {
        g_autofree char *name = agent_status_member_name(s, s->member);
        g_autofree char *title = format_line(name);
        g_autoptr(GPtrArray) problems = all_problems(s);
        Colour colour = health(s, problems);

        printf("%s%s%s %s - %s%s an ensemble of %u\n", colour_on(colour), glyph("●", "*"), colour_off(), title, s->role,
               s->leader != 0 ? " of" : ", in", s->members->len);
        print_field(WIDTH, "Agent", "convene %s on %s, at %s", s->version, s->host, c->where);
        print_role(s, colour);
        print_field(WIDTH, "Serving", "%s", describe_serving(s));
        if (*s->trouble)
                print_problem("Reason", COLOUR_RED, s->trouble);
        print_field(WIDTH, "Epoch", "%" PRIu32, s->epoch);
        print_field(WIDTH, "Zxid", ZXID_FORMAT, s->zxid);
        print_field(WIDTH, "Log", "last %" PRIu64 ", committed %" PRIu64 ", applied %" PRIu64 ", durable here %" PRIu64, s->last,
                    s->committed, s->applied, s->durable);
        print_leader(s);
        print_members(s);
        print_field(WIDTH, "Ensemble", "%s", s->cluster_id);
        print_count(numbers, "Znodes", "znodes_now", "data_bytes");
        print_count(numbers, "Sessions", "sessions_now", NULL);
        for (unsigned i = 0; i < problems->len; i++)
                print_problem("Problem", COLOUR_YELLOW, g_ptr_array_index(problems, i));
}

static void add_ensemble(JsonObject *o, const AgentStatus *s) {
        JsonObject *members = json_object_new_array(), *problems = json_object_new_array();
        g_autoptr(GPtrArray) texts = all_problems(s);
        Quorum q = ensemble_quorum(s);

        for (unsigned i = 0; i < s->members->len; i++)
                json_object_array_add(members, member_to_json(s, g_ptr_array_index(s->members, i)));
        for (unsigned i = 0; i < texts->len; i++)
                json_object_array_add(problems, json_object_new_string(g_ptr_array_index(texts, i)));

        json_add_u64(o, "voters", q.voters);
        json_add_u64(o, "voters_up", q.up);
        json_add_u64(o, "quorum", q.needed);
        json_add_u64(o, "may_fail", q.may_fail);
        json_add(o, "members", members);
        json_add(o, "trouble", *s->trouble ? json_object_new_string(s->trouble) : NULL);
        json_add(o, "problems", problems);
}

static JsonObject *status_to_json(const AgentStatus *s, const Statistics *numbers) {
        g_autofree char *name = agent_status_member_name(s, s->member);
        JsonObject *o = json_object_new_object();
        uint64_t value;

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
        json_add_u64(o, "parent", s->parent);
        json_add_string(o, "cluster_id", s->cluster_id);
        if (statistics_find(numbers, "znodes_now", &value))
                json_add_u64(o, "znodes", value);
        if (statistics_find(numbers, "sessions_now", &value))
                json_add_u64(o, "sessions", value);
        add_ensemble(o, s);
        return o;
}

ExitStatus cmd_status(Ctl *c, char **arguments, unsigned count) {
        g_auto(AgentStatus) status = {};
        g_autoptr(Statistics) numbers = NULL;

        ExitStatus e = ensemble_read(c, &status);
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
