/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Agent status
 */

#include "dbus/ctl/agent-status.h"

#include <errno.h>
#include <string.h>

static void member_facts_free(void *p) {
        MemberFacts *m = p;

        g_free(m->name);
        g_free(m->role);
        g_free(m->address);
        g_free(m->disk_id);
        g_free(m->error);
        g_free(m);
}

void agent_status_done(AgentStatus *s) {
        g_free(s->version);
        g_free(s->host);
        g_strfreev(s->problems);
        g_free(s->role);
        g_free(s->cluster_id);
        g_free(s->trouble);
        g_clear_pointer(&s->members, g_ptr_array_unref);
        *s = (AgentStatus) {};
}

static int take_string(sd_bus_message *m, char **field) {
        const char *text;

        int r = sd_bus_message_read(m, "v", "s", &text);
        if (r < 0)
                return r;
        g_free(*field);
        *field = g_strdup(text);
        return r;
}

static int take_bool(sd_bus_message *m, bool *field) {
        int value;

        int r = sd_bus_message_read(m, "v", "b", &value);
        if (r >= 0)
                *field = value;
        return r;
}

static int take_problems(sd_bus_message *m, AgentStatus *s) {
        g_autoptr(GPtrArray) texts = g_ptr_array_new();
        const char *text;
        int r;

        r = sd_bus_message_enter_container(m, 'v', "as");
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "s");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(m, "s", &text)) > 0)
                g_ptr_array_add(texts, g_strdup(text));
        g_ptr_array_add(texts, NULL);
        g_strfreev(s->problems);
        s->problems = (char **) g_ptr_array_free(g_steal_pointer(&texts), FALSE);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int take_members(sd_bus_message *m, AgentStatus *s) {
        const char *name, *role, *address, *disk_id;
        uint32_t sid;
        int r;

        g_clear_pointer(&s->members, g_ptr_array_unref);
        s->members = g_ptr_array_new_with_free_func(member_facts_free);

        r = sd_bus_message_enter_container(m, 'v', "a(ussss)");
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "(ussss)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(m, "(ussss)", &sid, &name, &role, &address, &disk_id)) > 0) {
                MemberFacts *facts = g_new(MemberFacts, 1);

                *facts = (MemberFacts) {
                        .sid = sid,
                        .name = g_strdup(name),
                        .role = g_strdup(role),
                        .address = g_strdup(address),
                        .disk_id = g_strdup(disk_id),
                };
                g_ptr_array_add(s->members, facts);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int take_property(AgentStatus *s, sd_bus_message *m, const char *name) {
        if (g_str_equal(name, "Version"))
                return take_string(m, &s->version);
        if (g_str_equal(name, "Host"))
                return take_string(m, &s->host);
        if (g_str_equal(name, "SpaceAvailable"))
                return take_bool(m, &s->space_available);
        if (g_str_equal(name, "Problems"))
                return take_problems(m, s);
        if (g_str_equal(name, "Role"))
                return take_string(m, &s->role);
        if (g_str_equal(name, "ClusterId"))
                return take_string(m, &s->cluster_id);
        if (g_str_equal(name, "Epoch"))
                return sd_bus_message_read(m, "v", "u", &s->epoch);
        if (g_str_equal(name, "Zxid"))
                return sd_bus_message_read(m, "v", "t", &s->zxid);
        if (g_str_equal(name, "Leader"))
                return sd_bus_message_read(m, "v", "u", &s->leader);
        if (g_str_equal(name, "Parent"))
                return sd_bus_message_read(m, "v", "u", &s->parent);
        if (g_str_equal(name, "Member"))
                return sd_bus_message_read(m, "v", "u", &s->member);
        if (g_str_equal(name, "Serving"))
                return take_bool(m, &s->serving);
        if (g_str_equal(name, "RoleSince"))
                return sd_bus_message_read(m, "v", "t", &s->role_since_usec);
        if (g_str_equal(name, "Members"))
                return take_members(m, s);
        if (g_str_equal(name, "Positions"))
                return sd_bus_message_read(m, "v", "(tttt)", &s->last, &s->committed, &s->applied, &s->durable);
        if (g_str_equal(name, "Trouble"))
                return take_string(m, &s->trouble);
        return sd_bus_message_skip(m, "v");     /* of a later version */
}

int agent_status_take(AgentStatus *s, sd_bus_message *m) {
        const char *name;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read(m, "s", &name);
                if (r >= 0)
                        r = take_property(s, m, name);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

ExitStatus agent_status_read(Ctl *c, AgentStatus *s) {
        static const char *const interfaces[] = { AGENT_NAME ".Agent", AGENT_NAME ".Ensemble" };

        for (size_t i = 0; i < G_N_ELEMENTS(interfaces); i++) {
                g_auto(Call) call = CALL_INIT(c);
                g_autoptr(sd_bus_message) reply = NULL;

                call_begin_at(&call, AGENT_PATH, "org.freedesktop.DBus.Properties", "GetAll");
                call_append(&call, "s", interfaces[i]);
                ExitStatus e = call_send(&call, NULL, &reply);
                if (e != EXIT_STATUS_OK)
                        return e;
                int r = agent_status_take(s, reply);
                if (r < 0)
                        return bad_reply(r);
        }

        /* what the documented properties promise is there from here on */
        if (!s->version || !s->host || !s->problems || !s->role || !s->cluster_id || !s->members ||
            !s->trouble)
                return bad_reply(-ENODATA);
        return EXIT_STATUS_OK;
}

char *agent_status_member_name(const AgentStatus *s, uint32_t sid) {
        for (unsigned i = 0; s->members && i < s->members->len; i++) {
                const MemberFacts *m = g_ptr_array_index(s->members, i);

                if (m->sid == sid)
                        return g_strdup(m->name);
        }

        return sid == 0 ? g_strdup("-") : g_strdup_printf("%" PRIu32, sid);
}
