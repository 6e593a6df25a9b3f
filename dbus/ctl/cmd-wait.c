/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * wait
 *
 * One watch that lasts, and a look whenever it or the agent tells of a change: what was missed while the agent was away, or
 * did not serve, the next look shows.  So nothing has to be remembered, and nothing is asked for again and again.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dbus/ctl/agent-status.h"
#include "dbus/ctl/command.h"
#include "dbus/ctl/link.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/recipe.h"
#include "dbus/ctl/stat.h"

#define WATCH_NUMBER UINT64_C(1)

typedef struct Wait {
        Ctl *ctl;
        Link *link;
        const char *path;               /* NULL: for the quorum only */
        sd_event_source *deadline;
        uint64_t end_usec;              /* CLOCK_MONOTONIC; UINT64_MAX: never */
        bool watching;                  /* on this connection */
        bool idle;                      /* the agent does not serve: it will tell when it does */
} Wait;

/* What a look has found. */
typedef struct Found {
        bool exists;
        ZnodeStat stat;
        bool equal;                     /* the data is that of --value */
} Found;

static bool is_what_is_waited_for(const Wait *w, const Found *f) {
        const Options *o = w->ctl->options;

        if (o->gone)
                return !f->exists;
        return f->exists && (!o->value || f->equal) && (o->children == 0 || f->stat.children >= (int64_t) o->children);
}

static void print_found(const Wait *w, const Found *f) {
        g_autoptr(JsonObject) o = json_object_new_object();

        if (!w->ctl->options->json)
                return;
        if (w->path) {
                json_add_string(o, "path", w->path);
                json_add(o, "stat", f->exists ? stat_to_json(&f->stat) : NULL);
        } else {
                json_add_bool(o, "serving", true);
        }
        json_print(o);
}

static ExitStatus give_up(Wait *w) {
        const Options *o = w->ctl->options;
        g_autofree char *patience = format_timespan_msec(o->timeout_msec);
        const char *what = !w->path ? "the agent did not come to serve" : o->gone ? "was not deleted" :
                           o->value || o->children > 0 ? "did not become what is waited for" : "was not made";

        print_error("%s%s%s within %s (TimedOut)", w->path ?: "", w->path ? ": " : "", what, patience);
        return EXIT_STATUS_NOT_GRANTED;
}

static int on_deadline(sd_event_source *s, uint64_t usec, void *userdata) {
        Wait *w = userdata;

        link_end(w->link, give_up(w));
        return 0;
}

/* No call takes longer than is left, and none less than a moment. */
static void limit_calls(Wait *w) {
        uint64_t now = (uint64_t) g_get_monotonic_time();

        if (w->ctl->bus && w->end_usec != UINT64_MAX)
                (void) sd_bus_set_method_call_timeout(w->ctl->bus, w->end_usec > now ? w->end_usec - now : 1);
}

/* *ret_early: the agent does not serve. */
static ExitStatus watch(Wait *w, bool *ret_early) {
        g_auto(Call) call = CALL_INIT(w->ctl);
        g_autoptr(sd_bus_message) reply = NULL;
        ConveneStatus status;

        call_begin(&call, "Watches", "Watch");
        call_append(&call, "tss", WATCH_NUMBER, w->path, "persistent");
        call_open_options(&call);
        ExitStatus e = call_try(&call, w->path, &reply, &status);
        if (e != EXIT_STATUS_OK)
                return e;
        *ret_early = status == CONVENE_NOT_READY;
        if (status == CONVENE_OK)
                w->watching = true;
        if (status == CONVENE_OK || *ret_early)
                return EXIT_STATUS_OK;

        print_error("%s: %s (%s)", w->path, convene_status_describe(status), convene_status_to_string(status));
        return exit_status_from_status(status);
}

static ExitStatus read_znode(Wait *w, Found *ret, bool *ret_early) {
        const Options *o = w->ctl->options;
        g_auto(Call) call = CALL_INIT(w->ctl);
        g_autoptr(sd_bus_message) reply = NULL;
        ConveneStatus status;
        const void *data;
        size_t size;

        call_begin(&call, "Tree", "Get");
        call_append(&call, "s", w->path);
        call_open_options(&call);
        if (o->linearizable)
                call_option(&call, "linearizable", "b", true);
        ExitStatus e = call_try(&call, w->path, &reply, &status);
        if (e != EXIT_STATUS_OK)
                return e;
        *ret_early = status == CONVENE_NOT_READY;
        if (*ret_early || status == CONVENE_NO_NODE)
                return EXIT_STATUS_OK;
        if (status != CONVENE_OK) {
                print_error("%s: %s (%s)", w->path, convene_status_describe(status), convene_status_to_string(status));
                return exit_status_from_status(status);
        }

        int r = sd_bus_message_read_array(reply, 'y', &data, &size);
        if (r >= 0)
                r = stat_read(reply, &ret->stat);
        if (r < 0)
                return bad_reply(r);
        ret->exists = true;
        ret->equal = o->value && size == strlen(o->value) && memcmp(data, o->value, size) == 0;
        return EXIT_STATUS_OK;
}

static ExitStatus look_at_znode(Wait *w) {
        bool early = false;
        Found found = {};

        ExitStatus e = w->watching ? EXIT_STATUS_OK : watch(w, &early);
        if (e == EXIT_STATUS_OK && !early)
                e = read_znode(w, &found, &early);
        if (early)                      /* it has ceased to serve since it said that it does */
                link_retry(w->link);
        if (e != EXIT_STATUS_OK || early || !is_what_is_waited_for(w, &found))
                return e;
        print_found(w, &found);
        link_end(w->link, EXIT_STATUS_OK);
        return EXIT_STATUS_OK;
}

static ExitStatus look(Wait *w) {
        g_auto(AgentStatus) status = {};

        limit_calls(w);
        ExitStatus e = agent_status_read(w->ctl, &status);
        if (e != EXIT_STATUS_OK)
                return e;
        if (!status.serving) {
                if (!w->idle && !w->ctl->options->quiet)
                        print_error("the agent does not serve yet%s%s; waiting for it", *status.trouble ? ": " : "",
                                    status.trouble);
                w->idle = true;
                return EXIT_STATUS_OK;
        }
        w->idle = false;
        if (w->path)
                return look_at_znode(w);

        print_found(w, NULL);
        link_end(w->link, EXIT_STATUS_OK);
        return EXIT_STATUS_OK;
}

static ExitStatus on_established(void *userdata, bool again) {
        Wait *w = userdata;

        w->watching = false;
        return look(w);
}

static ExitStatus on_signal(void *userdata, const char *interface, sd_bus_message *m) {
        Wait *w = userdata;

        if (!g_str_equal(interface, "Watches") && !(w->idle && g_str_equal(interface, "Properties")))
                return EXIT_STATUS_OK;
        w->ctl->hush = true;
        ExitStatus e = look(w);
        w->ctl->hush = false;
        if (e != EXIT_STATUS_UNREACHABLE)
                return e;
        link_retry(w->link);
        return EXIT_STATUS_OK;
}

static ExitStatus set_deadline(Wait *w) {
        const Options *o = w->ctl->options;

        w->end_usec = UINT64_MAX;
        if (!(o->given & OPTION_BIT(OPTION_TIMEOUT)))
                return EXIT_STATUS_OK;
        w->end_usec = (uint64_t) g_get_monotonic_time() + o->timeout_msec * 1000;
        int r = sd_event_add_time(link_get_event(w->link), &w->deadline, CLOCK_MONOTONIC, w->end_usec, 1, on_deadline, w);
        if (r < 0) {
                print_error("cannot set up the event loop: %s", g_strerror(-r));
                return EXIT_STATUS_FAILURE;
        }
        return EXIT_STATUS_OK;
}

static ExitStatus check_arguments(const Options *o, unsigned count) {
        bool about_znode = o->gone || o->value || o->children > 0;

        if (o->quorum ? count > 0 || about_znode : count == 0) {
                print_error("wait for what?  Either a PATH, or --quorum by itself");
                return EXIT_STATUS_USAGE;
        }
        if (o->gone && (o->value || o->children > 0)) {
                print_error("--gone goes with neither --value nor --children");
                return EXIT_STATUS_USAGE;
        }
        return EXIT_STATUS_OK;
}

/* Nothing is held any more, so it takes our place. */
static int become(char **command) {
        execvp(command[0], command);
        int error = errno;
        print_error("cannot run %s: %s", command[0], g_strerror(error));
        return error == ENOENT ? 127 : 126;
}

ExitStatus cmd_wait(Ctl *c, char **arguments, unsigned count) {
        Wait w = { .ctl = c, .path = count > 0 ? arguments[0] : NULL };
        LinkHandler handler = {
                .established = on_established,
                .signal = on_signal,
                .userdata = &w,
                .patient = true,
        };

        ExitStatus e = check_arguments(c->options, count);
        if (e == EXIT_STATUS_OK && c->options->command && !need_command(c))
                e = EXIT_STATUS_USAGE;
        if (e != EXIT_STATUS_OK)
                return e;
        e = link_new(c, &handler, LINK_PATIENCE_MAX, &w.link);
        if (e != EXIT_STATUS_OK)
                return e;
        e = set_deadline(&w);
        if (e == EXIT_STATUS_OK)
                e = link_run(w.link);
        sd_event_source_disable_unref(w.deadline);
        link_free(w.link);
        if (e != EXIT_STATUS_OK || !c->options->command)
                return e;
        ctl_disconnect(c);
        fflush(stdout);
        return become(c->options->command);
}
