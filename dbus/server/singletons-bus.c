/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Singletons
 */

#include "agent/base/singleton-name.h"
#include "dbus/server/call.h"
#include "dbus/server/error.h"
#include "dbus/server/handover.h"
#include "dbus/server/server-private.h"

#define ROW_BYTES 512

typedef struct Listing {
        sd_bus_message *reply;
        uint64_t rows;
        int r;                          /* negative: it does not fit */
} Listing;

static void append_entry(Listing *l, const char *key, const char *type, const void *value) {
        if (l->r >= 0)
                l->r = sd_bus_message_open_container(l->reply, 'e', "sv");
        if (l->r >= 0)
                l->r = sd_bus_message_append(l->reply, "s", key);
        if (l->r >= 0)
                l->r = sd_bus_message_open_container(l->reply, 'v', type);
        if (l->r >= 0)
                l->r = type[0] == 'a' ? sd_bus_message_append_strv(l->reply, (char **) value)
                                      : sd_bus_message_append_basic(l->reply, type[0], value);
        if (l->r >= 0)
                l->r = sd_bus_message_close_container(l->reply);
        if (l->r >= 0)
                l->r = sd_bus_message_close_container(l->reply);
}

static void append_number(Listing *l, const char *key, uint64_t value) {
        if (value != 0)
                append_entry(l, key, "t", &value);
}

static void append_row(void *sink, const ServerSingleton *one) {
        Listing *l = sink;

        if (l->r >= 0)
                l->r = sd_bus_message_open_container(l->reply, 'a', "{sv}");
        append_entry(l, "name", "s", one->name);
        append_entry(l, "unit", "s", one->unit);
        append_entry(l, "state", "s", one->state);
        if (one->text)
                append_entry(l, "text", "s", one->text);
        append_entry(l, "copies", "u", &one->copies);
        append_entry(l, "hosts", "as", one->hosts);
        if (one->hosts[0])
                append_entry(l, "host", "s", one->hosts[0]);
        append_number(l, "token", one->token);
        append_number(l, "deadline", one->deadline_usec);
        append_number(l, "until", one->until_usec);
        if (l->r >= 0)
                l->r = sd_bus_message_close_container(l->reply);
        l->rows++;
}

static int method_list_singletons(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        g_autoptr(sd_bus_message) reply = NULL;
        Server *s = c->server;
        Listing l = { 0 };
        int k;

        k = call_read_options(c, m, 0, &o);
        if (k <= 0)
                return k;
        l.r = sd_bus_message_new_method_return(m, &reply);
        if (l.r < 0)
                return l.r;
        l.reply = reply;
        l.r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        if (s->agent.singletons)
                s->agent.singletons(s->agent.userdata, append_row, &l);
        if (l.r >= 0)
                l.r = sd_bus_message_close_container(reply);
        if (l.r < 0)
                return l.r;
        (void) channel_send(c->channel, reply, l.rows * ROW_BYTES);
        return METHOD_DONE;
}

static int refuse_name(Caller *c, sd_bus_message *m, const char *name) {
        reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS, "'%s' is no name of a singleton: it is named like its unit without \".service\"",
                      name);
        return METHOD_DONE;
}

static int method_hold(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        g_autoptr(sd_bus_message) reply = NULL;
        Server *s = c->server;
        ConveneStatus status;
        const char *name;
        int k, hold;

        k = caller_authorize(c, m, ACTION_ADMIN);
        if (k <= 0)
                return k;
        k = sd_bus_message_read(m, "sb", &name, &hold);
        if (k < 0)
                return k;
        k = call_read_options(c, m, 0, &o);
        if (k <= 0)
                return k;
        status = s->agent.hold ? s->agent.hold(s->agent.userdata, name, hold) : CONVENE_UNIMPLEMENTED;
        if (status == CONVENE_BAD_ARGUMENTS)
                return refuse_name(c, m, name);
        if (status != CONVENE_OK)
                reply_error(c->channel, m, status, NULL);
        else {
                k = sd_bus_message_new_method_return(m, &reply);
                if (k < 0)
                        return k;
                (void) channel_send(c->channel, reply, 0);
        }
        return METHOD_DONE;
}

static int method_move(Caller *c, sd_bus_message *m) {
        Request nothing = { .op = REQUEST_SYNC, .path = "/" };
        g_auto(Options) o = OPTIONS_INIT;
        const char *name, *host;
        Call *call;
        int k;

        k = caller_authorize(c, m, ACTION_ADMIN);
        if (k <= 0)
                return k;
        k = sd_bus_message_read(m, "ss", &name, &host);
        if (k < 0)
                return k;
        k = call_read_options(c, m, OPTION_PATIENCE, &o);
        if (k <= 0)
                return k;
        if (!singleton_name_is_valid(name))
                return refuse_name(c, m, name);
        call = call_new_detached(c->server, c, m, &nothing, NULL);
        if (call)
                hand_over_start(call, name, host, &o);
        return METHOD_DONE;
}

DEFINE_METHOD(method_list_singletons)
DEFINE_METHOD(method_move)
DEFINE_METHOD(method_hold)

const sd_bus_vtable singletons_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("List",
                                SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("aa{sv}", singletons),
                                bus_method_list_singletons, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Move",
                                SD_BUS_ARGS("s", name, "s", host, "a{sv}", options),
                                SD_BUS_RESULT("s", leader),
                                bus_method_move, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Hold",
                                SD_BUS_ARGS("s", name, "b", hold, "a{sv}", options),
                                SD_BUS_NO_RESULT,
                                bus_method_hold, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
