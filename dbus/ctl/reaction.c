/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reaction
 */

#include "dbus/ctl/reaction.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "dbus/ctl/output.h"
#include "dbus/ctl/recipe.h"

bool reaction_is_clear(const Ctl *c, bool needed) {
        const Options *o = c->options;
        unsigned given = (o->reload != NULL) + (o->restart != NULL) + (o->command != NULL);

        if (given == 1 || (given == 0 && !needed))
                return !o->command || need_command(c);
        print_error("%s: --reload=UNIT, --restart=UNIT or a command behind \"--\"",
                    given == 0 ? "what is to be done then?  Say one of" : "only one of these can be done");
        return false;
}

static void spawn(char **command, const char *path) {
        g_auto(GStrv) environment = g_environ_setenv(g_get_environ(), "CONVENE_PATH", path, true);
        g_autoptr(GError) error = NULL;
        int status;

        if (!g_spawn_sync(NULL, command, environment, G_SPAWN_SEARCH_PATH | G_SPAWN_CHILD_INHERITS_STDIN, NULL, NULL, NULL, NULL,
                          &status, &error) ||
            !g_spawn_check_wait_status(status, &error))
                print_error("%s: %s", command[0], error->message);
}

void reaction_run(const Ctl *c, const char *path) {
        const Options *o = c->options;
        const char *verb = o->reload ? "try-reload-or-restart" : "try-restart";
        const char *unit = o->reload ?: o->restart;
        char *systemctl[] = { (char *) "systemctl", (char *) "--no-block", (char *) verb, (char *) "--", (char *) unit, NULL };

        if (unit)
                spawn(systemctl, path);
        else if (o->command)
                spawn(o->command, path);
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
