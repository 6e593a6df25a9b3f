/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The agent's name on the bus.
 */

#include <signal.h>

#include "tests/bus/harness.h"

static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *name, *before, *now;

        g_assert_cmpint(sd_bus_message_read(m, "sss", &name, &before, &now), >=, 0);
        *(bool *) userdata = now[0] != '\0';
        return 0;
}

/* Somebody else has it when the agent starts: the socket serves, and so does the bus once the name is free. */
static void test_name_is_awaited(void) {
        Agent *a = agent_new(NULL);
        {
                g_autoptr(sd_bus) other = peer_new(a), bus = peer_new(a), local = NULL;
                bool owned = true;

                agent_stop(a, SIGTERM);
                g_assert_cmpint(sd_bus_request_name(other, "org.convene1", 0), >=, 0);
                agent_start(a);
                local = peer_new_socket(a);
                sd_bus_message_unref(call(local, TREE, "Get", "sa{sv}", "/", 0));
                g_assert_cmpint(sd_bus_add_match(bus, NULL, "type='signal',sender='org.freedesktop.DBus',"
                                                 "member='NameOwnerChanged',arg0='org.convene1'", on_owner, &owned), >=, 0);
                g_assert_cmpint(sd_bus_release_name(other, "org.convene1"), >=, 0);
                for (unsigned changes = 0; changes < 2 || !owned;) {
                        bool before = owned;
                        int r = sd_bus_process(bus, NULL);

                        g_assert_cmpint(r, >=, 0);
                        changes += owned != before;
                        if (r == 0)
                                g_assert_cmpint(sd_bus_wait(bus, UINT64_C(20) * 1000 * 1000), >, 0);
                }
                sd_bus_message_unref(call(bus, TREE, "Get", "sa{sv}", "/", 0));
        }
        agent_free(a);
}

void add_broker_tests(void) {
        if (!dbus_daemon_path)
                return;
        g_test_add_func("/bus/broker/name-is-awaited", test_name_is_awaited);
}
