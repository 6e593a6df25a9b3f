/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Singleton taken
 *
 * A reload is over for systemd when the agent has been told; that it has read its files is seen a moment later.
 */

#include "dbus/ctl/singleton-taken.h"

#include <stdio.h>

#include "dbus/ctl/output.h"
#include "dbus/ctl/singleton-list.h"

#define PATIENCE_USEC (3 * G_USEC_PER_SEC)
#define LOOK_AGAIN_USEC (G_USEC_PER_SEC / 50)
#define CALL_MSEC 2000

/* *ret_why: owned by the caller; NULL: the agent does not know the unit. */
static ExitStatus look(const Options *o, const char *unit, bool *ret_taken, char **ret_why) {
        Ctl quick = { .options = o, .hush = true, .no_auto_start = true };
        g_autoptr(GPtrArray) list = NULL;

        ExitStatus e = singleton_list_read(&quick, &list);
        ctl_done(&quick);
        if (e != EXIT_STATUS_OK)
                return e;

        const SingletonFacts *s = singleton_list_find(list, unit);
        *ret_taken = s && !g_str_equal(s->state, "refused");
        g_free(*ret_why);
        *ret_why = s && !*ret_taken ? g_strdup(s->text) : NULL;
        return EXIT_STATUS_OK;
}

ExitStatus singleton_check_taken(const Options *options, const char *unit) {
        int64_t end = g_get_monotonic_time() + PATIENCE_USEC;
        g_autofree char *why = NULL;
        Options o = *options;
        bool taken = false;

        o.timeout_msec = MIN(o.timeout_msec, CALL_MSEC);
        for (;;) {
                ExitStatus e = look(&o, unit, &taken, &why);

                if (e == EXIT_STATUS_UNREACHABLE && !options->quiet)
                        printf("convened does not answer here; %s stands in no election before it does\n", unit);
                if (e != EXIT_STATUS_OK)
                        return e == EXIT_STATUS_UNREACHABLE ? EXIT_STATUS_OK : e;
                if (taken)
                        return EXIT_STATUS_OK;
                if (g_get_monotonic_time() >= end)
                        break;
                g_usleep(LOOK_AGAIN_USEC);
        }
        print_error("%s is enabled, but the agent does not stand for it: %s", unit, why ?: "it has not taken the settings; see journalctl -u convened");
        return EXIT_STATUS_CONFLICT;
}
