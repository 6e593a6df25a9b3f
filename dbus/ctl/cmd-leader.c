/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * leader
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dbus/ctl/command.h"
#include "dbus/ctl/holder.h"
#include "dbus/ctl/lookout.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/recipe.h"
#include "dbus/ctl/text.h"

#define ELECTIONS "/convene/elections/"
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

/* What belongs to `reply`. */
typedef struct Leader {
        sd_bus_message *reply;
        bool exists;
        Holder holder;
        const void *data;
        size_t size;
} Leader;

static void leader_done(Leader *l) {
        sd_bus_message_unref(l->reply);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Leader, leader_done)

/* That nobody leads is no failure where `ret_status` takes it. */
static ExitStatus read_leader(Ctl *c, const char *name, Leader *ret, ConveneStatus *ret_status) {
        g_auto(Call) call = CALL_INIT(c);

        call_begin(&call, "Locks", "Leader");
        call_append(&call, "s", name);
        append_read_options(&call);
        ExitStatus e = ret_status ? call_try(&call, name, &ret->reply, ret_status) : call_send(&call, name, &ret->reply);
        if (e != EXIT_STATUS_OK || (ret_status && *ret_status != CONVENE_OK))
                return e;

        int r = holder_read(ret->reply, &ret->holder);
        if (r >= 0)
                r = sd_bus_message_read_array(ret->reply, 'y', &ret->data, &ret->size);
        ret->exists = r >= 0;
        return r < 0 ? bad_reply(r) : EXIT_STATUS_OK;
}

static JsonObject *leader_to_json(const Leader *l) {
        JsonObject *o = holder_to_json(&l->holder);

        json_add_data(o, "data", l->data, l->size);
        return o;
}

ExitStatus cmd_leader(Ctl *c, char **arguments, unsigned count) {
        g_auto(Leader) leader = {};

        ExitStatus e = read_leader(c, arguments[0], &leader, NULL);
        if (e != EXIT_STATUS_OK)
                return e;
        if (c->options->json) {
                g_autoptr(JsonObject) o = leader_to_json(&leader);
                json_print(o);
        } else if (!c->options->quiet)
                print_leader(&leader.holder, leader.data, leader.size);
        return EXIT_STATUS_OK;
}

/*
 * watch
 */

typedef struct Watching {
        Ctl *ctl;
        Lookout *lookout;
        const char *name;
        char *last;                     /* what was printed last, as a line for people */
        uint64_t printed;
} Watching;

static char *describe(const Leader *l) {
        if (!l->exists)
                return g_strdup("nobody");
        g_autofree char *data = format_data(l->data, l->size, DATA_SHOWN_MAX);
        return g_strdup_printf("%s%s%s  %" PRIu64 "%s%s", colour_on(COLOUR_BOLD),
                               *l->holder.host ? l->holder.host : "(unknown host)", colour_off(), l->holder.token,
                               l->size > 0 ? "  " : "", l->size > 0 ? data : "");
}

static ExitStatus look(void *userdata) {
        Watching *w = userdata;
        ConveneStatus status = CONVENE_OK;
        g_auto(Leader) leader = {};

        ExitStatus e = read_leader(w->ctl, w->name, &leader, &status);
        if (e != EXIT_STATUS_OK)
                return e;
        if (status == CONVENE_NOT_READY)
                return EXIT_STATUS_UNREACHABLE;
        if (status != CONVENE_OK && status != CONVENE_NOT_HELD) {
                print_error("%s: %s (%s)", w->name, convene_status_describe(status), convene_status_to_string(status));
                return exit_status_from_status(status);
        }

        g_autofree char *line = describe(&leader);
        if (g_strcmp0(line, w->last) == 0)
                return EXIT_STATUS_OK;          /* somebody has come to wait, or has gone */
        if (w->ctl->options->json) {
                g_autoptr(JsonObject) o = leader.exists ? leader_to_json(&leader) : NULL;
                json_print_line(o);
        } else {
                printf("%s\n", line);
                fflush(stdout);
        }
        g_free(w->last);
        w->last = g_steal_pointer(&line);
        w->printed++;
        if (w->printed == w->ctl->options->count)
                lookout_end(w->lookout, EXIT_STATUS_OK);
        return EXIT_STATUS_OK;
}

static ExitStatus give_up(void *userdata) {
        return EXIT_STATUS_NOT_GRANTED;
}

ExitStatus cmd_leader_watch(Ctl *c, char **arguments, unsigned count) {
        g_autofree char *path = arguments[0][0] == '/' ? g_strdup(arguments[0]) : g_strconcat(ELECTIONS, arguments[0], NULL);
        Watching w = { .ctl = c, .name = arguments[0] };
        LookoutHandler handler = { .path = path, .recursive = true, .look = look, .timed_out = give_up, .userdata = &w };

        ExitStatus e = lookout_new(c, &handler, &w.lookout);
        if (e != EXIT_STATUS_OK)
                return e;
        e = lookout_run(w.lookout);
        lookout_free(w.lookout);
        g_free(w.last);
        return e;
}

ExitStatus cmd_leader_move(Ctl *c, char **arguments, unsigned count) {
        return hand_over(c, "Locks", "HandOver", arguments[0], count > 1 ? arguments[1] : "", arguments[0]);
}
