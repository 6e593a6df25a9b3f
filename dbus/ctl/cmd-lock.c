/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * lock, elect, leader
 */

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "dbus/ctl/clock.h"
#include "dbus/ctl/command.h"
#include "dbus/ctl/guard.h"
#include "dbus/ctl/json.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/recipe.h"
#include "dbus/ctl/text.h"

#define ROW_SIGNATURE "(ssssuutxtus)"

static void append_options(Call *call, const Options *o) {
        call_open_options(call);
        if (o->shared)
                call_option(call, "shared", "b", true);
        if (!o->try_only)
                call_option(call, "pending", "b", true);
        if (o->slots > 0)
                call_option(call, "slots", "u", (uint32_t) MIN(o->slots, UINT32_MAX));
        append_grant_options(call);
}

/* With the place in the line comes the descriptor, which tells when it holds.  The agent may be restarted meanwhile. */
static ExitStatus await_turn(const Granted *granted, const char *name, uint64_t until_usec) {
        struct pollfd p = { .fd = granted->fd, .events = POLLIN };
        char c;

        for (;;) {
                uint64_t left = until_usec != UINT64_MAX ? boottime_left_msec(until_usec) : INT_MAX;
                int k = poll(&p, 1, until_usec == UINT64_MAX ? -1 : (int) MIN(left + 1, INT_MAX));
                ssize_t n = recv(granted->fd, &c, 1, MSG_DONTWAIT);

                if (n > 0)
                        return EXIT_STATUS_OK;
                if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
                        print_error("%s: the place in the line is lost; ask again (NotHeld)", name);
                        return EXIT_STATUS_SESSION;
                }
                if (k == 0 && left == 0) {
                        print_error("%s: others had it for too long (TimedOut)", name);
                        return EXIT_STATUS_NOT_GRANTED;
                }
        }
}

static ExitStatus obtain(Ctl *c, const char *method, const char *name, Granted *ret) {
        bool limited = c->options->given & OPTION_BIT(OPTION_TIMEOUT);
        uint64_t until = limited ? now_usec(CLOCK_BOOTTIME) + c->options->timeout_msec * 1000 : UINT64_MAX;
        g_auto(Call) call = CALL_INIT(c);

        call_begin(&call, "Locks", method);
        call_append(&call, "s", name);
        append_options(&call, c->options);
        ExitStatus e = granted_receive(&call, name, ret, NULL);
        ctl_disconnect(c);                      /* the descriptor is all that is needed from here on */
        return e != EXIT_STATUS_OK || c->options->try_only ? e : await_turn(ret, name, until);
}

static ExitStatus obtain_and_run(Ctl *c, const char *method, const char *name) {
        const Options *o = c->options;
        g_auto(Granted) granted = { .fd = -1 };

        if (!need_command(c))
                return EXIT_STATUS_USAGE;
        if (o->shared && o->slots > 0) {
                print_error("--shared and --slots exclude each other");
                return EXIT_STATUS_USAGE;
        }
        ExitStatus e = obtain(c, method, name, &granted);
        if (e != EXIT_STATUS_OK)
                return e;
        return guard(&granted, o->command);
}

ExitStatus cmd_lock(Ctl *c, char **arguments, unsigned count) {
        return obtain_and_run(c, "Lock", arguments[0]);
}

ExitStatus cmd_elect(Ctl *c, char **arguments, unsigned count) {
        return obtain_and_run(c, "Campaign", arguments[0]);
}

/* Who holds; strings belong to the message. */
typedef struct Holder {
        const char *name, *kind, *host, *unit, *path;
        uint32_t uid, pid, waiters;
        uint64_t session, token;
        int64_t since_msec;
} Holder;

static int holder_read(sd_bus_message *m, Holder *ret) {
        return sd_bus_message_read(m, ROW_SIGNATURE, &ret->name, &ret->kind, &ret->host, &ret->unit, &ret->uid, &ret->pid,
                                   &ret->session, &ret->since_msec, &ret->token, &ret->waiters, &ret->path);
}

static JsonObject *holder_to_json(const Holder *h) {
        JsonObject *o = json_object_new_object();

        json_add_string(o, "name", h->name);
        json_add_string(o, "kind", h->kind);
        json_add_string(o, "host", h->host);
        json_add(o, "unit", *h->unit ? json_object_new_string(h->unit) : NULL);
        json_add(o, "uid", h->uid != UINT32_MAX ? json_object_new_int64(h->uid) : NULL);
        json_add(o, "pid", h->pid > 0 ? json_object_new_int64(h->pid) : NULL);
        json_add_session(o, "session", h->session);
        json_add_i64(o, "since_ms", h->since_msec);
        json_add_u64(o, "token", h->token);
        json_add_u64(o, "waiters", h->waiters);
        json_add_string(o, "path", h->path);
        return o;
}

static char *holder_describe(const Holder *h) {
        if (*h->unit)
                return g_strdup(h->unit);
        return h->pid > 0 ? g_strdup_printf("pid %" PRIu32, h->pid) : g_strdup("-");
}

static void add_holder(Table *t, const Holder *h) {
        g_autofree char *who = holder_describe(h), *since = format_time_msec(h->since_msec);

        table_add_coloured(t, COLOUR_BOLD, h->name);
        table_add(t, h->kind);
        table_add(t, *h->host ? h->host : "-");
        table_add(t, who);
        table_add(t, since);
        table_add_format(t, "%" PRIu64, h->token);
        table_add_format(t, "%" PRIu32, h->waiters);
}

static void append_read_options(Call *call) {
        call_open(call, 'a', "{sv}");
        if (call->ctl->options->linearizable)
                call_option(call, "linearizable", "b", true);
        call_close(call);
}

static int read_holder(sd_bus_message *reply, JsonObject *array, Table *table) {
        Holder h;
        int r = holder_read(reply, &h);

        if (r > 0 && array)
                json_object_array_add(array, holder_to_json(&h));
        else if (r > 0)
                add_holder(table, &h);
        return r;
}

ExitStatus cmd_lock_list(Ctl *c, char **arguments, unsigned count) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(Table) table = table_new("NAME", "KIND", "HOST", "HELD BY", "SINCE", ">TOKEN", ">WAITING", NULL);

        call_begin(&call, "Locks", "ListLocks");
        append_read_options(&call);
        return print_rows(&call, NULL, ROW_SIGNATURE, read_holder, table);
}

#define WIDTH 8
#define DATA_SHOWN_MAX 1000

static void print_leader(const Holder *h, const uint8_t *data, size_t size) {
        g_autofree char *since = format_time_msec(h->since_msec);

        print_field(WIDTH, "Leader", "%s", *h->host ? h->host : "(unknown host)");
        if (*h->unit)
                print_field(WIDTH, "Unit", "%s", h->unit);
        if (h->pid > 0)
                print_field(WIDTH, "Process", "%" PRIu32 " of uid %" PRIu32, h->pid, h->uid);
        print_field(WIDTH, "Since", "%s", since);
        print_field(WIDTH, "Token", "%" PRIu64, h->token);
        print_field(WIDTH, "Waiting", "%" PRIu32, h->waiters);
        if (size > 0) {
                g_autofree char *shown = format_data(data, size, DATA_SHOWN_MAX);
                print_field(WIDTH, "Data", "%s", shown);
        }
}

ExitStatus cmd_leader(Ctl *c, char **arguments, unsigned count) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        const void *data;
        size_t size;
        Holder h;

        call_begin(&call, "Locks", "Leader");
        call_append(&call, "s", arguments[0]);
        append_read_options(&call);
        ExitStatus e = call_send(&call, arguments[0], &reply);
        if (e != EXIT_STATUS_OK)
                return e;

        int r = holder_read(reply, &h);
        if (r >= 0)
                r = sd_bus_message_read_array(reply, 'y', &data, &size);
        if (r < 0)
                return bad_reply(r);

        if (c->options->json) {
                g_autoptr(JsonObject) o = holder_to_json(&h);
                json_add_data(o, "data", data, size);
                json_print(o);
        } else if (!c->options->quiet)
                print_leader(&h, data, size);
        return EXIT_STATUS_OK;
}
