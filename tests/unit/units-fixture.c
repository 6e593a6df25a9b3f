/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Units fixture
 */

#include "tests/unit/units-fixture.h"

void set_up(Fixture *f, gconstpointer unused) {
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        f->script = script_new(f->event);
        f->units = units_new(f->event);
        f->log = g_string_new(NULL);
}

void tear_down(Fixture *f, gconstpointer unused) {
        units_free(f->units);
        script_free(f->script);
        g_string_free(f->log, TRUE);
        sd_event_unref(f->event);
}

void assert_log(Fixture *f, const char *wanted) {
        script_settle(f->script);
        g_assert_cmpstr(f->log->str, ==, wanted);
        g_string_truncate(f->log, 0);
}

/*
 * systemd's lines
 */

sd_bus_message *expect_manager(Fixture *f, const char *member) {
        sd_bus_message *m = script_expect(f->script, MANAGER, member);

        g_assert_cmpstr(sd_bus_message_get_destination(m), ==, SYSTEMD);
        g_assert_cmpint(sd_bus_message_get_auto_start(m), ==, 0);
        return m;
}

void expect_subscribe(Fixture *f) {
        script_return(f->script, expect_manager(f, "Subscribe"), NULL);
}

void expect_find_owner(Fixture *f, const char *owner) {
        sd_bus_message *m = script_expect(f->script, "/org/freedesktop/DBus", "GetNameOwner");

        if (owner)
                script_return(f->script, m, "s", owner);
        else
                script_fail(f->script, m, SD_BUS_ERROR_NAME_HAS_NO_OWNER);
}

static void append_properties(sd_bus_message *m, const char *id, const sd_id128_t *invocation, const char *active,
                              const char *sub) {
        g_assert_cmpint(sd_bus_message_open_container(m, 'a', "{sv}"), >=, 0);
        g_assert_cmpint(sd_bus_message_append(m, "{sv}", "CanStart", "b", true), >=, 0);
        if (id)
                g_assert_cmpint(sd_bus_message_append(m, "{sv}", "Id", "s", id), >=, 0);
        if (invocation) {
                g_assert_cmpint(sd_bus_message_open_container(m, 'e', "sv"), >=, 0);
                g_assert_cmpint(sd_bus_message_append(m, "s", "InvocationID"), >=, 0);
                g_assert_cmpint(sd_bus_message_open_container(m, 'v', "ay"), >=, 0);
                g_assert_cmpint(sd_bus_message_append_array(m, 'y', invocation,
                                                            sd_id128_is_null(*invocation) ? 0 : sizeof *invocation), >=, 0);
                g_assert_cmpint(sd_bus_message_close_container(m), >=, 0);
                g_assert_cmpint(sd_bus_message_close_container(m), >=, 0);
        }
        if (active)
                g_assert_cmpint(sd_bus_message_append(m, "{sv}", "ActiveState", "s", active), >=, 0);
        if (sub)
                g_assert_cmpint(sd_bus_message_append(m, "{sv}", "SubState", "s", sub), >=, 0);
        g_assert_cmpint(sd_bus_message_close_container(m), >=, 0);
}

/* The answer to GetAll of the unit's object. */
void expect_properties(Fixture *f, const char *id, sd_id128_t invocation, const char *active, const char *sub) {
        sd_bus_message *call = script_expect(f->script, UNIT_PATH, "GetAll"), *m;
        const char *interface;

        g_assert_cmpint(sd_bus_message_get_auto_start(call), ==, 0);
        g_assert_cmpint(sd_bus_message_read(call, "s", &interface), >, 0);
        g_assert_cmpstr(interface, ==, SYSTEMD ".Unit");
        g_assert_cmpint(sd_bus_message_new_method_return(call, &m), >=, 0);
        append_properties(m, id, &invocation, active, sub);
        script_send(f->script, m);
        sd_bus_message_unref(call);
}

sd_bus_message *expect_invocation(Fixture *f, sd_id128_t wanted) {
        sd_bus_message *m = expect_manager(f, "GetUnitByInvocationID");
        const void *id;
        size_t size;

        g_assert_cmpint(sd_bus_message_read_array(m, 'y', &id, &size), >, 0);
        g_assert_cmpmem(id, size, &wanted, sizeof wanted);
        return m;
}

void expect_running(Fixture *f, sd_id128_t run) {
        script_return(f->script, expect_invocation(f, run), "o", UNIT_PATH);
        expect_properties(f, UNIT, run, "active", "running");
}

void change_from(Fixture *f, const char *sender, const char *path, const sd_id128_t *invocation,
                        const char *active, const char *sub) {
        sd_bus_message *m = script_new_signal(f->script, sender, path, "org.freedesktop.DBus.Properties",
                                              "PropertiesChanged");

        g_assert_cmpint(sd_bus_message_append(m, "s", SYSTEMD ".Unit"), >=, 0);
        append_properties(m, NULL, invocation, active, sub);
        g_assert_cmpint(sd_bus_message_append(m, "as", 0), >=, 0);
        script_send(f->script, m);
}

void change(Fixture *f, sd_id128_t invocation, const char *active, const char *sub) {
        change_from(f, SYSTEMD_OWNER, UNIT_PATH, &invocation, active, sub);
}

void connect_bus(Fixture *f) {
        units_set_bus(f->units, f->script->client);
        expect_find_owner(f, SYSTEMD_OWNER);
        expect_subscribe(f);
}

void change_bus(Fixture *f) {
        units_set_bus(f->units, NULL);
        script_free(f->script);
        f->script = script_new(f->event);
}

void on_found(void *userdata, int error, const UnitFacts *facts) {
        Found *r = userdata;

        r->count++;
        r->error = error;
        g_assert_true((error == 0) == (facts != NULL));
        if (!facts)
                return;
        r->unit = g_strdup(facts->unit);
        r->active_state = g_strdup(facts->active_state);
        r->invocation = facts->invocation;
}

void assert_found(Fixture *f, Found *r, int error) {
        script_settle(f->script);
        g_assert_cmpuint(r->count, ==, 1);
        g_assert_cmpint(r->error, ==, error);
        g_free(r->unit);
        g_free(r->active_state);
        *r = (Found) { 0 };
}
