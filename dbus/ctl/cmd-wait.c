/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * wait
 */

#include <string.h>

#include "dbus/ctl/command.h"
#include "dbus/ctl/lookout.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/reaction.h"
#include "dbus/ctl/recipe.h"
#include "dbus/ctl/stat.h"

typedef struct Wait {
        Ctl *ctl;
        Lookout *lookout;
        const char *path;               /* NULL: for the quorum only */
} Wait;

/* What a look has found. */
typedef struct Found {
        bool exists;
        ZnodeStat stat;
        bool equal;                     /* the data is that of --value */
} Found;

static bool is_what_is_waited_for(const Wait *w, const Found *f) {
        const Options *o = w->ctl->options;

        if (!w->path)
                return true;
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

static ExitStatus give_up(void *userdata) {
        Wait *w = userdata;
        const Options *o = w->ctl->options;
        g_autofree char *patience = format_timespan_msec(o->timeout_msec);
        const char *what = !w->path ? "the agent did not come to serve" : o->gone ? "was not deleted" :
                           o->value || o->children > 0 ? "did not become what is waited for" : "was not made";

        print_error("%s%s%s within %s (TimedOut)", w->path ?: "", w->path ? ": " : "", what, patience);
        return EXIT_STATUS_NOT_GRANTED;
}

static ExitStatus read_znode(Wait *w, Found *ret) {
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
        if (e != EXIT_STATUS_OK || status == CONVENE_NO_NODE)
                return e;
        if (status == CONVENE_NOT_READY)
                return EXIT_STATUS_UNREACHABLE;
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

static ExitStatus look(void *userdata) {
        Wait *w = userdata;
        Found found = {};

        ExitStatus e = w->path ? read_znode(w, &found) : EXIT_STATUS_OK;
        if (e != EXIT_STATUS_OK || !is_what_is_waited_for(w, &found))
                return e;
        print_found(w, &found);
        lookout_end(w->lookout, EXIT_STATUS_OK);
        return EXIT_STATUS_OK;
}

static ExitStatus check_arguments(const Ctl *c, unsigned count) {
        const Options *o = c->options;
        bool about_znode = o->gone || o->value || o->children > 0;

        if (o->quorum ? count > 0 || about_znode : count == 0) {
                print_error("wait for what?  Either a PATH, or --quorum by itself");
                return EXIT_STATUS_USAGE;
        }
        if (o->gone && (o->value || o->children > 0)) {
                print_error("--gone goes with neither --value nor --children");
                return EXIT_STATUS_USAGE;
        }
        return o->command && !need_command(c) ? EXIT_STATUS_USAGE : EXIT_STATUS_OK;
}

ExitStatus cmd_wait(Ctl *c, char **arguments, unsigned count) {
        Wait w = { .ctl = c, .path = count > 0 ? arguments[0] : NULL };
        LookoutHandler handler = { .path = w.path, .look = look, .timed_out = give_up, .userdata = &w };

        ExitStatus e = check_arguments(c, count);
        if (e == EXIT_STATUS_OK)
                e = lookout_new(c, &handler, &w.lookout);
        if (e != EXIT_STATUS_OK)
                return e;
        e = lookout_run(w.lookout);
        lookout_free(w.lookout);
        if (e != EXIT_STATUS_OK || !c->options->command)
                return e;
        return reaction_become(c);
}
