/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * queue
 */

#include <inttypes.h>
#include <stdio.h>

#include "dbus/ctl/command.h"
#include "dbus/ctl/input.h"
#include "dbus/ctl/json.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/recipe.h"
#include "dbus/ctl/text.h"

#define ITEM_SIGNATURE "(sxuussu)"

ExitStatus cmd_queue_put(Ctl *c, char **arguments, unsigned count) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(GBytes) data = NULL;
        const char *item;
        const void *bytes;
        size_t size = 0;

        ExitStatus e = input_take_data(arguments[1], &data);
        if (e != EXIT_STATUS_OK)
                return e;
        bytes = data ? g_bytes_get_data(data, &size) : NULL;
        call_begin_update(&call, "Queues", "Put");
        call_append(&call, "s", arguments[0]);
        call_append_bytes(&call, bytes, size);
        call_open(&call, 'a', "{sv}");
        if (c->options->acl->len > 0)
                call_option_acl(&call, "acl", c->options->acl);
        call_close(&call);
        e = call_send(&call, arguments[0], &reply);
        if (e != EXIT_STATUS_OK)
                return e;
        int r = sd_bus_message_read(reply, "s", &item);
        if (r < 0)
                return bad_reply(r);

        if (c->options->json) {
                g_autoptr(JsonObject) o = json_object_new_object();
                json_add_string(o, "item", item);
                json_print(o);
        } else if (!c->options->quiet)
                printf("%s\n", item);
        return EXIT_STATUS_OK;
}

static ExitStatus ack(Ctl *c, const char *item, uint64_t token) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;

        call_begin_update(&call, "Queues", "Ack");
        call_append(&call, "sta{sv}", item, token, 0);
        return call_send(&call, item, &reply);
}

ExitStatus cmd_queue_ack(Ctl *c, char **arguments, unsigned count) {
        uint64_t token;

        if (!parse_u64(arguments[1], &token) || token == 0) {
                print_error("%s is no token: a number above 0", arguments[1]);
                return EXIT_STATUS_USAGE;
        }
        return ack(c, arguments[0], token);
}

static ExitStatus take(Ctl *c, const char *name, Granted *ret) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        const Options *o = c->options;
        const void *data;
        size_t size;

        call_begin(&call, "Queues", "Take");
        call_append(&call, "s", name);
        call_open(&call, 'a', "{sv}");
        append_patience(&call);
        if (o->ordered)
                call_option(&call, "ordered", "b", true);
        if (o->tries > 0)
                call_option(&call, "tries", "u", (uint32_t) MIN(o->tries, UINT32_MAX));
        if (o->session_timeout_msec > 0)
                call_option(&call, "session-timeout", "u", (uint32_t) MIN(o->session_timeout_msec, UINT32_MAX));
        call_close(&call);
        ExitStatus e = granted_receive(&call, name, ret, &reply);
        if (e != EXIT_STATUS_OK)
                return e;
        int r = sd_bus_message_read_array(reply, 'y', &data, &size);
        if (r < 0)
                return bad_reply(r);
        ret->input = g_bytes_new(data, size);
        return EXIT_STATUS_OK;
}

/* Success is said to the agent before the claim goes; otherwise the item is there to be taken again. */
ExitStatus cmd_queue_take(Ctl *c, char **arguments, unsigned count) {
        g_auto(Granted) granted = { .fd = -1 };

        if (!need_command(c))
                return EXIT_STATUS_USAGE;
        ExitStatus e = take(c, arguments[0], &granted);
        if (e != EXIT_STATUS_OK)
                return e;
        ctl_disconnect(c);
        int status = guard_and_keep(&granted, c->options->command);
        return status != 0 ? (ExitStatus) status : ack(c, granted.path, granted.token);
}

/*
 * list
 */

/* Strings belong to the message. */
typedef struct Item {
        const char *path, *host, *unit;
        int64_t since_msec;
        uint32_t bytes, attempts, pid;
} Item;

static JsonObject *item_to_json(const Item *i) {
        JsonObject *o = json_object_new_object();

        json_add_string(o, "item", i->path);
        json_add_i64(o, "since_ms", i->since_msec);
        json_add_u64(o, "bytes", i->bytes);
        json_add_u64(o, "attempts", i->attempts);
        json_add(o, "host", *i->host ? json_object_new_string(i->host) : NULL);
        json_add(o, "unit", *i->unit ? json_object_new_string(i->unit) : NULL);
        json_add(o, "pid", i->pid > 0 ? json_object_new_int64(i->pid) : NULL);
        return o;
}

static void add_item(Table *t, const Item *i) {
        g_autofree char *since = format_time_msec(i->since_msec), *size = format_size(i->bytes);

        table_add_coloured(t, COLOUR_BOLD, path_name(i->path));
        table_add(t, since);
        table_add(t, size);
        table_add_format(t, "%" PRIu32, i->attempts);
        table_add(t, *i->host ? i->host : "-");
        table_add(t, *i->unit ? i->unit : "-");
}

static int read_item(sd_bus_message *reply, JsonObject *array, Table *table) {
        Item i;
        int r = sd_bus_message_read(reply, ITEM_SIGNATURE, &i.path, &i.since_msec, &i.bytes, &i.attempts, &i.host, &i.unit,
                                    &i.pid);

        if (r > 0 && array)
                json_object_array_add(array, item_to_json(&i));
        else if (r > 0)
                add_item(table, &i);
        return r;
}

ExitStatus cmd_queue_list(Ctl *c, char **arguments, unsigned count) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(Table) table = table_new("ITEM", "SINCE", ">SIZE", ">ATTEMPTS", "HOST", "UNIT", NULL);

        call_begin(&call, "Queues", "Items");
        call_append(&call, "sa{sv}", arguments[0], 0);
        return print_rows(&call, arguments[0], ITEM_SIGNATURE, read_item, table);
}
