/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reaction
 */

#include "dbus/ctl/reaction.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "dbus/ctl/output.h"
#include "dbus/ctl/recipe.h"

#define RETRY_MAX_SEC UINT64_C(300)

bool reaction_is_clear(const Ctl *c, bool needed) {
        const Options *o = c->options;
        unsigned given = (o->reload != NULL) + (o->restart != NULL) + (o->command != NULL);

        if (given == 1 || (given == 0 && !needed))
                return !o->command || need_command(c);
        print_error("%s: --reload=UNIT, --restart=UNIT or a command behind \"--\"",
                    given == 0 ? "what is to be done then?  Say one of" : "only one of these can be done");
        return false;
}

static bool spawn(char **command, const char *path, char **ret_why) {
        g_auto(GStrv) environment = g_environ_setenv(g_get_environ(), "CONVENE_PATH", path, true);
        g_autoptr(GError) error = NULL;
        int status;

        if (g_spawn_sync(NULL, command, environment, G_SPAWN_SEARCH_PATH | G_SPAWN_CHILD_INHERITS_STDIN, NULL, NULL, NULL, NULL,
                         &status, &error) &&
            g_spawn_check_wait_status(status, &error))
                return true;
        *ret_why = g_strdup(error->message);
        return false;
}

static void try_later(Reaction *r, const char *what, const char *why) {
        uint64_t seconds = MIN(UINT64_C(1) << MIN(r->failures, 30), RETRY_MAX_SEC);

        r->failures++;
        print_error("%s: %s; trying again in %" PRIu64 " s", what, why, seconds);
        (void) sd_event_source_set_time_relative(r->again, seconds * G_USEC_PER_SEC);
        (void) sd_event_source_set_enabled(r->again, SD_EVENT_ONESHOT);
}

/* systemctl ends when the unit has read its configuration, or has failed to. */
static bool attempt(Reaction *r) {
        const Options *o = r->ctl->options;
        const char *verb = o->reload ? "try-reload-or-restart" : "try-restart", *unit = o->reload ?: o->restart;
        char *systemctl[] = { (char *) "systemctl", (char *) verb, (char *) "--", (char *) unit, NULL };
        g_autofree char *what = unit ? g_strdup_printf("systemctl %s %s", verb, unit) : g_strdup(o->command ? o->command[0] : ""), *why = NULL;

        if (!unit && !o->command)
                return true;
        if (!spawn(unit ? systemctl : o->command, r->path, &why)) {
                if (r->last)
                        print_error("%s: %s", what, why);
                else
                        try_later(r, what, why);
                return false;
        }
        if (r->failures > 0 && !o->quiet)
                print_error("%s: done, after it had failed %u times", what, r->failures);
        r->failures = 0;
        return true;
}

static int on_again(sd_event_source *s, uint64_t usec, void *userdata) {
        (void) attempt(userdata);
        return 0;
}

ExitStatus reaction_init(Reaction *r, Ctl *c, sd_event *event, const char *path) {
        *r = (Reaction) { .ctl = c, .path = path };
        int k = sd_event_add_time_relative(event, &r->again, CLOCK_MONOTONIC, 0, 1, on_again, r);
        if (k >= 0)
                k = sd_event_source_set_enabled(r->again, SD_EVENT_OFF);
        if (k < 0) {
                print_error("cannot set up the event loop: %s", g_strerror(-k));
                return EXIT_STATUS_FAILURE;
        }
        return EXIT_STATUS_OK;
}

void reaction_done(Reaction *r) {
        r->again = sd_event_source_disable_unref(r->again);
}

ExitStatus reaction_run(Reaction *r, bool last) {
        (void) sd_event_source_set_enabled(r->again, SD_EVENT_OFF);
        r->failures = 0;
        r->last = last;
        return attempt(r) ? EXIT_STATUS_OK : EXIT_STATUS_FAILURE;
}

int reaction_become(Ctl *c) {
        char **command = c->options->command;

        ctl_disconnect(c);
        fflush(stdout);
        execvp(command[0], command);
        int error = errno;
        print_error("cannot run %s: %s", command[0], g_strerror(error));
        return error == ENOENT ? 127 : 126;
}
