/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Ensemble
 */

#include "dbus/ctl/ensemble.h"
#include "dbus/ctl/clock.h"


const MemberFacts *ensemble_find(const AgentStatus *s, const char *name) {
        for (unsigned i = 0; i < s->members->len; i++) {
                const MemberFacts *m = g_ptr_array_index(s->members, i);

                if (g_str_equal(m->name, name))
                        return m;
        }

        return NULL;
}

static MemberFacts *find_sid(const AgentStatus *s, uint32_t sid) {
        for (unsigned i = 0; i < s->members->len; i++) {
                MemberFacts *m = g_ptr_array_index(s->members, i);

                if (m->sid == sid)
                        return m;
        }

        return NULL;
}

static int take_members(AgentStatus *s, sd_bus_message *reply) {
        const char *name, *role, *address, *error;
        int connected, known, synced, r;
        uint64_t acked, heard_usec;
        uint32_t sid;

        r = sd_bus_message_enter_container(reply, 'a', "(usssbbbtts)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(reply, "(usssbbbtts)", &sid, &name, &role, &address, &connected, &known, &synced, &acked,
                                        &heard_usec, &error)) > 0) {
                MemberFacts *m = find_sid(s, sid);

                if (!m)                 /* it came between the two calls */
                        continue;
                m->connected = connected;
                m->known = known;
                m->synced = synced;
                m->acked = acked;
                m->heard_usec = heard_usec;
                g_free(m->error);
                m->error = *error ? g_strdup(error) : NULL;
        }
        return r < 0 ? r : sd_bus_message_exit_container(reply);
}

ExitStatus ensemble_read(Ctl *c, AgentStatus *s) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;

        ExitStatus e = agent_status_read(c, s);
        if (e != EXIT_STATUS_OK)
                return e;
        call_begin(&call, "Ensemble", "ListMembers");
        e = call_send(&call, NULL, &reply);
        if (e != EXIT_STATUS_OK)
                return e;

        int r = take_members(s, reply);
        return r < 0 ? bad_reply(r) : EXIT_STATUS_OK;
}

bool member_is_voter(const MemberFacts *m) {
        return g_str_equal(m->role, "voter");
}

bool member_lag(const AgentStatus *s, const MemberFacts *m, uint64_t *ret) {
        if (m->sid == s->member)
                *ret = s->committed > s->applied ? s->committed - s->applied : 0;
        else if (m->known && m->connected)
                *ret = s->last > m->acked ? s->last - m->acked : 0;
        else
                return false;

        return true;
}

bool member_heard_msec(const AgentStatus *s, const MemberFacts *m, uint64_t *ret) {
        uint64_t now = now_usec(CLOCK_BOOTTIME);

        if (m->sid == s->member || !m->known || m->heard_usec == 0)
                return false;

        *ret = now > m->heard_usec ? (now - m->heard_usec) / 1000 : 0;
        return true;
}

char *member_describe_state(const AgentStatus *s, const MemberFacts *m) {
        if (m->sid == s->member)
                return g_strdup(s->serving ? "this member" : "this member, not serving");
        if (m->connected)
                return g_strdup(!m->known ? "connected" : m->synced ? "up to date" : "is being brought up to date");
        return g_strdup_printf("not connected%s%s", m->error ? ": " : "", m->error ?: "");
}

JsonObject *member_to_json(const AgentStatus *s, const MemberFacts *m) {
        bool self = m->sid == s->member, known = self || (m->known && m->connected);
        JsonObject *o = json_object_new_object();
        uint64_t lag, heard_msec;

        json_add_u64(o, "sid", m->sid);
        json_add_string(o, "name", m->name);
        json_add_string(o, "role", m->role);
        json_add_string(o, "address", m->address);
        json_add_string(o, "disk_id", m->disk_id);
        json_add_bool(o, "leader", m->sid == s->leader);
        json_add_bool(o, "this", self);
        json_add_bool(o, "connected", self || m->connected);
        json_add(o, "synced", known ? json_object_new_boolean(self ? s->serving : m->synced) : NULL);
        json_add(o, "lag_entries", member_lag(s, m, &lag) ? json_object_new_uint64(lag) : NULL);
        json_add(o, "heard_ms", member_heard_msec(s, m, &heard_msec) ? json_object_new_uint64(heard_msec) : NULL);
        json_add(o, "error", m->error ? json_object_new_string(m->error) : NULL);
        return o;
}

Quorum ensemble_quorum(const AgentStatus *s) {
        Quorum q = {};

        for (unsigned i = 0; i < s->members->len; i++) {
                const MemberFacts *m = g_ptr_array_index(s->members, i);

                if (!member_is_voter(m)) {
                        q.observers++;
                        continue;
                }
                q.voters++;
                if (m->sid == s->member || (m->connected && (!m->known || m->synced)))
                        q.up++;
        }

        q.needed = q.voters / 2 + 1;
        q.may_fail = q.up > q.needed ? q.up - q.needed : 0;
        return q;
}

static void say(GPtrArray *texts, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void say(GPtrArray *texts, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        g_ptr_array_add(texts, g_strdup_vprintf(format, ap));
        va_end(ap);
}

GPtrArray *ensemble_problems(const AgentStatus *s) {
        GPtrArray *texts = g_ptr_array_new_with_free_func(g_free);
        Quorum q = ensemble_quorum(s);

        /* who has no part in it any more is connected to nobody, and that is no fault of theirs */
        if (s->members->len > 0 && !find_sid(s, s->member)) {
                say(texts, "this member was removed from the ensemble: to join anew, \"convenectl join --discard\" with a new token");
                return texts;
        }

        for (unsigned i = 0; i < s->members->len; i++) {
                const MemberFacts *m = g_ptr_array_index(s->members, i);

                if (m->sid == s->member || m->connected)
                        continue;
                g_autofree char *remove = q.up < q.needed ? NULL :
                        g_strdup_printf("; if it is not to come back: convenectl member remove %s", m->name);
                say(texts, "%s is not connected%s%s%s: look there (systemctl status convened)%s", m->name, m->error ? " (" : "",
                    m->error ?: "", m->error ? ")" : "", remove ?: "");
        }

        if (q.voters > 1 && q.up < q.needed)
                say(texts, "%u of %u voters are here and %u are needed: bring one back", q.up, q.voters, q.needed);
        else if (q.voters == 2)
                say(texts, "two voters do not survive the loss of either: make a third (convenectl member promote)");
        else if (q.voters > 1 && q.may_fail == 0)
                say(texts, "if one more voter is lost, updates stop");
        return texts;
}
