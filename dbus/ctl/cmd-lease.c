/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * lease, counter
 */

#include <inttypes.h>
#include <stdio.h>

#include "dbus/ctl/command.h"
#include "dbus/ctl/json.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/recipe.h"
#include "dbus/ctl/text.h"

/*
 * Leases
 */

/* Who has one; strings belong to the message. */
#define ROW_SIGNATURE "(ssttt)"

typedef struct Held {
        const char *name, *holder;
        uint64_t token, ttl_usec, until_usec;
} Held;

static JsonObject *held_to_json(const Held *h) {
        JsonObject *o = json_object_new_object();

        json_add_string(o, "name", h->name);
        json_add_string(o, "holder", h->holder);
        json_add_u64(o, "token", h->token);
        json_add_u64(o, "ttl_ms", h->ttl_usec / 1000);
        json_add_u64(o, "left_ms", boottime_left_msec(h->until_usec));
        return o;
}

static void append_holder(Call *call, uint64_t token) {
        const Options *o = call->ctl->options;

        call_open(call, 'a', "{sv}");
        if (o->holder)
                call_option(call, "holder", "s", o->holder);
        if (token > 0)
                call_option(call, "token", "t", token);
}

static ExitStatus acquire(Ctl *c, const char *name, uint64_t token) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        const Options *o = c->options;
        Held h = { .name = name, .holder = o->holder, .ttl_usec = o->ttl_msec * 1000 };

        call_begin_update(&call, "Leases", "Acquire");
        call_append(&call, "st", name, h.ttl_usec);
        append_holder(&call, token);
        append_patience(&call);
        if (o->acl->len > 0)
                call_option_acl(&call, "acl", o->acl);
        call_close(&call);
        ExitStatus e = call_send(&call, name, &reply);
        if (e != EXIT_STATUS_OK)
                return e;
        int r = sd_bus_message_read(reply, "tt", &h.token, &h.until_usec);
        if (r < 0)
                return bad_reply(r);

        if (o->json) {
                g_autoptr(JsonObject) object = json_object_new_object();
                json_add_string(object, "name", name);
                json_add_u64(object, "token", h.token);
                json_add_u64(object, "left_ms", boottime_left_msec(h.until_usec));
                json_print(object);
        } else if (!o->quiet)
                printf("%" PRIu64 "\n", h.token);
        return EXIT_STATUS_OK;
}

static ExitStatus read_token(const char *text, uint64_t *ret) {
        if (parse_u64(text, ret) && *ret > 0)
                return EXIT_STATUS_OK;
        print_error("%s is no token: a number above 0, as \"lease acquire\" prints it", text);
        return EXIT_STATUS_USAGE;
}

ExitStatus cmd_lease_acquire(Ctl *c, char **arguments, unsigned count) {
        if (c->options->ttl_msec == 0) {
                print_error("for how long?  Say it with --ttl=TIME");
                return EXIT_STATUS_USAGE;
        }
        return acquire(c, arguments[0], 0);
}

ExitStatus cmd_lease_renew(Ctl *c, char **arguments, unsigned count) {
        uint64_t token;
        ExitStatus e = read_token(arguments[1], &token);

        return e != EXIT_STATUS_OK ? e : acquire(c, arguments[0], token);
}

static ExitStatus give_away(Ctl *c, const char *method, const char *name, const char *to) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;

        call_begin_update(&call, "Leases", method);
        call_append(&call, "s", name);
        if (to)
                call_append(&call, "s", to);
        append_holder(&call, 0);
        call_close(&call);
        return call_send(&call, name, &reply);
}

ExitStatus cmd_lease_release(Ctl *c, char **arguments, unsigned count) {
        return give_away(c, "Release", arguments[0], NULL);
}

ExitStatus cmd_lease_transfer(Ctl *c, char **arguments, unsigned count) {
        return give_away(c, "Transfer", arguments[0], arguments[1]);
}

static void print_held(const Held *h) {
        g_autofree char *holder = format_line(h->holder);
        g_autofree char *ttl = format_timespan_msec(h->ttl_usec / 1000);
        g_autofree char *left = format_timespan_msec(boottime_left_msec(h->until_usec));

        print_field(6, "Holder", "%s", holder);
        print_field(6, "Token", "%" PRIu64, h->token);
        print_field(6, "For", "%s", ttl);
        print_field(6, "Left", "%s", left);
}

ExitStatus cmd_lease_show(Ctl *c, char **arguments, unsigned count) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        Held h = { .name = arguments[0] };

        call_begin(&call, "Leases", "Get");
        call_append(&call, "sa{sv}", h.name, 0);
        ExitStatus e = call_send(&call, h.name, &reply);
        if (e != EXIT_STATUS_OK)
                return e;
        int r = sd_bus_message_read(reply, "sttt", &h.holder, &h.token, &h.ttl_usec, &h.until_usec);
        if (r < 0)
                return bad_reply(r);

        if (c->options->json) {
                g_autoptr(JsonObject) o = held_to_json(&h);
                json_print(o);
        } else if (!c->options->quiet)
                print_held(&h);
        return EXIT_STATUS_OK;
}

static void add_held(Table *t, const Held *h) {
        g_autofree char *holder = format_line(h->holder);
        g_autofree char *ttl = format_timespan_msec(h->ttl_usec / 1000);
        g_autofree char *left = format_timespan_msec(boottime_left_msec(h->until_usec));

        table_add_coloured(t, COLOUR_BOLD, h->name);
        table_add(t, holder);
        table_add_format(t, "%" PRIu64, h->token);
        table_add(t, ttl);
        table_add(t, left);
}

static int read_held(sd_bus_message *reply, JsonObject *array, Table *table) {
        Held h;
        int r = sd_bus_message_read(reply, ROW_SIGNATURE, &h.name, &h.holder, &h.token, &h.ttl_usec, &h.until_usec);

        if (r > 0 && array)
                json_object_array_add(array, held_to_json(&h));
        else if (r > 0)
                add_held(table, &h);
        return r;
}

ExitStatus cmd_lease_list(Ctl *c, char **arguments, unsigned count) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(Table) table = table_new("NAME", "HOLDER", ">TOKEN", ">FOR", ">LEFT", NULL);

        call_begin(&call, "Leases", "List");
        call_append(&call, "a{sv}", 0);
        return print_rows(&call, NULL, ROW_SIGNATURE, read_held, table);
}

/*
 * Counters
 */

static ExitStatus read_number(const char *text, int64_t *ret) {
        if (g_ascii_string_to_signed(text, 10, INT64_MIN, INT64_MAX, ret, NULL))
                return EXIT_STATUS_OK;
        print_error("%s is no number of 64 bits", text);
        return EXIT_STATUS_USAGE;
}

static ExitStatus print_value(Ctl *c, const char *name, sd_bus_message *reply) {
        int64_t value;
        int r = sd_bus_message_read(reply, "x", &value);

        if (r < 0)
                return bad_reply(r);
        if (c->options->json) {
                g_autoptr(JsonObject) o = json_object_new_object();
                json_add_string(o, "name", name);
                json_add_i64(o, "value", value);
                json_print(o);
        } else if (!c->options->quiet)
                printf("%" PRId64 "\n", value);
        return EXIT_STATUS_OK;
}

ExitStatus cmd_counter_get(Ctl *c, char **arguments, unsigned count) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;

        call_begin(&call, "Counters", "Get");
        call_append(&call, "sa{sv}", arguments[0], 0);
        ExitStatus e = call_send(&call, arguments[0], &reply);
        return e != EXIT_STATUS_OK ? e : print_value(c, arguments[0], reply);
}

static void append_acl(Call *call) {
        if (call->ctl->options->acl->len > 0)
                call_option_acl(call, "acl", call->ctl->options->acl);
}

ExitStatus cmd_counter_add(Ctl *c, char **arguments, unsigned count) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        int64_t delta = 1;
        ExitStatus e = count > 1 ? read_number(arguments[1], &delta) : EXIT_STATUS_OK;

        if (e != EXIT_STATUS_OK)
                return e;
        call_begin_update(&call, "Counters", "Add");
        call_append(&call, "sx", arguments[0], delta);
        call_open(&call, 'a', "{sv}");
        append_acl(&call);
        call_close(&call);
        e = call_send(&call, arguments[0], &reply);
        return e != EXIT_STATUS_OK ? e : print_value(c, arguments[0], reply);
}

ExitStatus cmd_counter_set(Ctl *c, char **arguments, unsigned count) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        const Options *o = c->options;
        int64_t value, expect = 0;
        ExitStatus e = read_number(arguments[1], &value);

        if (e == EXIT_STATUS_OK && o->expect)
                e = read_number(o->expect, &expect);
        if (e != EXIT_STATUS_OK)
                return e;
        call_begin_update(&call, "Counters", "Set");
        call_append(&call, "sx", arguments[0], value);
        call_open(&call, 'a', "{sv}");
        if (o->expect)
                call_option(&call, "expect", "x", expect);
        append_acl(&call);
        call_close(&call);
        return call_send(&call, arguments[0], &reply);
}
