/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Bus script
 */

#include "tests/unit/bus-script.h"

#include <stdarg.h>
#include <sys/socket.h>

#define WAIT_USEC (UINT64_C(30) * 1000 * 1000)

static int on_call(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Script *s = userdata;
        uint8_t type;

        g_assert_cmpint(sd_bus_message_get_type(m, &type), >=, 0);
        if (type != SD_BUS_MESSAGE_METHOD_CALL)
                return 0;
        if (sd_bus_message_is_method_call(m, BROKER, "Hello") > 0)
                return sd_bus_reply_method_return(m, "s", ":1.42");
        if (sd_bus_message_is_method_call(m, BROKER, "AddMatch") > 0) {
                const char *match;

                g_assert_cmpint(sd_bus_message_read(m, "s", &match), >, 0);
                g_ptr_array_add(s->matches, g_strdup(match));
                return sd_bus_reply_method_return(m, NULL);
        }
        if (sd_bus_message_is_method_call(m, BROKER, "RemoveMatch") > 0)
                return sd_bus_reply_method_return(m, NULL);
        g_queue_push_tail(&s->calls, sd_bus_message_ref(m));
        return 1;
}

static void start(sd_bus *bus, int fd, Script *s) {
        g_assert_cmpint(sd_bus_set_fd(bus, fd, fd), >=, 0);
        g_assert_cmpint(sd_bus_start(bus), >=, 0);
        g_assert_cmpint(sd_bus_attach_event(bus, s->event, 0), >=, 0);
}

Script *script_new(sd_event *event) {
        Script *s = g_new0(Script, 1);
        int pair[2];

        s->event = sd_event_ref(event);
        s->matches = g_ptr_array_new_with_free_func(g_free);
        g_queue_init(&s->calls);
        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), ==, 0);

        g_assert_cmpint(sd_bus_new(&s->broker), >=, 0);
        g_assert_cmpint(sd_bus_set_server(s->broker, true, (sd_id128_t) { { 1, 2, 3 } }), >=, 0);
        start(s->broker, pair[0], s);
        g_assert_cmpint(sd_bus_add_filter(s->broker, NULL, on_call, s), >=, 0);

        g_assert_cmpint(sd_bus_new(&s->client), >=, 0);
        g_assert_cmpint(sd_bus_set_bus_client(s->client, true), >=, 0);
        start(s->client, pair[1], s);

        while (sd_bus_is_ready(s->client) == 0)
                g_assert_cmpint(sd_event_run(s->event, WAIT_USEC), >, 0);
        g_assert_cmpint(sd_bus_is_ready(s->client), >, 0);
        return s;
}

Script *script_free(Script *s) {
        sd_bus_message *m;

        if (!s)
                return NULL;
        while ((m = g_queue_pop_head(&s->calls)))
                sd_bus_message_unref(m);
        sd_bus_close_unref(s->client);
        sd_bus_close_unref(s->broker);
        g_ptr_array_unref(s->matches);
        sd_event_unref(s->event);
        g_free(s);
        return NULL;
}

void script_hang_up(Script *s) {
        sd_bus_close(s->broker);
}

void script_settle(Script *s) {
        int r;

        do {
                r = sd_event_run(s->event, 0);
                g_assert_cmpint(r, >=, 0);
        } while (r > 0);
}

sd_bus_message *script_expect(Script *s, const char *path, const char *member) {
        sd_bus_message *m;

        while (g_queue_is_empty(&s->calls))
                g_assert_cmpint(sd_event_run(s->event, WAIT_USEC), >, 0);
        m = g_queue_pop_head(&s->calls);
        g_assert_cmpstr(sd_bus_message_get_member(m), ==, member);
        g_assert_cmpstr(sd_bus_message_get_path(m), ==, path);
        return m;
}

void script_expect_nothing(Script *s) {
        script_settle(s);
        if (!g_queue_is_empty(&s->calls))
                g_error("a call of %s that nobody expects", sd_bus_message_get_member(g_queue_peek_head(&s->calls)));
}

static void append(sd_bus_message *m, const char *types, va_list arguments) {
        if (types)
                g_assert_cmpint(sd_bus_message_appendv(m, types, arguments), >=, 0);
}

void script_send(Script *s, sd_bus_message *m) {
        g_assert_cmpint(sd_bus_send(s->broker, m, NULL), >=, 0);
        sd_bus_message_unref(m);
}

void script_return(Script *s, sd_bus_message *call, const char *types, ...) {
        sd_bus_message *m;
        va_list arguments;

        g_assert_cmpint(sd_bus_message_new_method_return(call, &m), >=, 0);
        va_start(arguments, types);
        append(m, types, arguments);
        va_end(arguments);
        script_send(s, m);
        sd_bus_message_unref(call);
}

void script_fail(Script *s, sd_bus_message *call, const char *error) {
        g_assert_cmpint(sd_bus_reply_method_errorf(call, error, "as the script says"), >=, 0);
        sd_bus_message_unref(call);
}

sd_bus_message *script_new_signal(Script *s, const char *sender, const char *path, const char *interface,
                                  const char *member) {
        sd_bus_message *m;

        g_assert_cmpint(sd_bus_message_new_signal(s->broker, &m, path, interface, member), >=, 0);
        g_assert_cmpint(sd_bus_message_set_sender(m, sender), >=, 0);
        return m;
}

void script_signal(Script *s, const char *sender, const char *path, const char *interface, const char *member,
                   const char *types, ...) {
        sd_bus_message *m = script_new_signal(s, sender, path, interface, member);
        va_list arguments;

        va_start(arguments, types);
        append(m, types, arguments);
        va_end(arguments);
        script_send(s, m);
}

void script_owner_changed(Script *s, const char *name, const char *old, const char *new) {
        script_signal(s, BROKER, "/org/freedesktop/DBus", BROKER, "NameOwnerChanged", "sss", name, old, new);
}
