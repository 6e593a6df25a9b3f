/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * lock, semaphore, elect
 */

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "dbus/ctl/clock.h"
#include "dbus/ctl/command.h"
#include "dbus/ctl/guard.h"
#include "dbus/ctl/holder.h"
#include "dbus/ctl/json.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/recipe.h"
#include "dbus/ctl/text.h"

#define TURN_BYTES 2048                 /* a token and a path */

static void append_options(Call *call, const Options *o) {
        call_open_options(call);
        if (o->shared)
                call_option(call, "shared", "b", true);
        if (!o->try_only)
                call_option(call, "pending", "b", true);
        if (o->priority > 0)
                call_option(call, "priority", "u", (uint32_t) MIN(o->priority, UINT32_MAX));
        if (o->slots > 0)
                call_option(call, "slots", "u", (uint32_t) MIN(o->slots, UINT32_MAX));
        append_grant_options(call);
}

/* What the descriptor has said: nothing, or that the place in the line, and the token with it, is another than the answer told. */
static ExitStatus take_turn(Granted *granted, const char *line) {
        const char *path = strchr(line, '/');

        if (line[0] == '\n')
                return EXIT_STATUS_OK;
        if (!path || !strchr(path, '\n') || sscanf(line, "%" SCNu64 " ", &granted->token) != 1)
                return bad_reply(-EBADMSG);
        g_free(granted->path);
        granted->path = g_strndup(path, strcspn(path, "\n"));
        return EXIT_STATUS_OK;
}

/* With the place in the line comes the descriptor, which tells when it holds.  The agent may be restarted meanwhile. */
static ExitStatus await_turn(Granted *granted, const char *name, uint64_t until_usec) {
        struct pollfd p = { .fd = granted->fd, .events = POLLIN };
        char line[TURN_BYTES + 1];

        for (;;) {
                uint64_t left = until_usec != UINT64_MAX ? boottime_left_msec(until_usec) : INT_MAX;
                int k = poll(&p, 1, until_usec == UINT64_MAX ? -1 : (int) MIN(left + 1, INT_MAX));
                ssize_t n = recv(granted->fd, line, TURN_BYTES, MSG_DONTWAIT);

                if (n > 0) {                    /* sent in one piece */
                        line[n] = '\0';
                        return take_turn(granted, line);
                }
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

ExitStatus cmd_semaphore(Ctl *c, char **arguments, unsigned count) {
        if (c->options->slots == 0) {
                print_error("how many may have it at a time?  --slots=N, the same for everybody");
                return EXIT_STATUS_USAGE;
        }
        return obtain_and_run(c, "Lock", arguments[0]);
}

ExitStatus cmd_elect(Ctl *c, char **arguments, unsigned count) {
        return obtain_and_run(c, "Campaign", arguments[0]);
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
        return print_rows(&call, NULL, HOLDER_SIGNATURE, read_holder, table);
}
