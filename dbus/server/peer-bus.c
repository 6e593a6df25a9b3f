/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.freedesktop.DBus on the local socket
 *
 * There is no broker, but a client made for one says Hello, asks who owns a name and adds matches before it does
 * anything else.  It gets the answers it needs, and every signal that concerns it.
 */

#include "dbus/server/connection.h"
#include "dbus/server/server-private.h"

#define NAME "org.convene1"

static int method_hello(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Connection *n = userdata;
        char name[32];

        n->hello = true;
        g_snprintf(name, sizeof(name), ":1.%" PRIu64, n->number);
        return sd_bus_reply_method_return(m, "s", name);
}

/* There is nothing to choose from: a connection gets the signals meant for it. */
static int method_match(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Connection *n = userdata;

        n->matched = true;
        return sd_bus_reply_method_return(m, NULL);
}

static int method_get_id(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Connection *n = userdata;
        char id[SD_ID128_STRING_MAX];

        return sd_bus_reply_method_return(m, "s", sd_id128_to_string(n->channel.server->socket_id, id));
}

static int method_name_has_owner(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *name;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;
        return sd_bus_reply_method_return(m, "b", g_str_equal(name, NAME));
}

static int method_get_name_owner(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *name;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;
        if (!g_str_equal(name, NAME))
                return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_NAME_HAS_NO_OWNER, "Only " NAME " is here");
        return sd_bus_reply_method_return(m, "s", NAME);
}

const sd_bus_vtable peer_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Hello", NULL, "s", method_hello, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("GetId", NULL, "s", method_get_id, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("AddMatch", "s", NULL, method_match, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("RemoveMatch", "s", NULL, method_match, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("NameHasOwner", "s", "b", method_name_has_owner, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("GetNameOwner", "s", "s", method_get_name_owner, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
