/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Singleton removal
 *
 * "singleton disable": what "enable" changed, the other way round.  What runs here is stopped, since it may run elsewhere next.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dbus/ctl/config-file.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/singleton-file.h"
#include "dbus/ctl/singleton-setup.h"
#include "dbus/ctl/singleton-stop.h"

#define STOP_MORE_USEC (10 * UINT64_C(1000000))

static ExitStatus stop(SingletonHost *h, const char *unit) {
        g_autofree char *leader = singleton_leader_unit(unit), *candidate = singleton_candidate_unit(unit), *how = NULL;
        uint64_t usec;

        ExitStatus e = singleton_stop_usec(h, 0, &usec, &how);
        if (e != EXIT_STATUS_OK)
                return e;
        usec = MIN(usec, UINT64_MAX - STOP_MORE_USEC) + STOP_MORE_USEC;
        /* In this order the agent does not take the host for one that could lead again. */
        e = systemd_stop(&h->systemd, candidate, usec);
        if (e == EXIT_STATUS_OK)
                e = systemd_stop(&h->systemd, unit, usec);
        for (unsigned i = 0; e == EXIT_STATUS_OK && i < h->triggered->len; i++)
                e = systemd_stop(&h->systemd, ((const UnitFacts *) g_ptr_array_index(h->triggered, i))->id, usec);
        if (e == EXIT_STATUS_OK)
                e = systemd_stop(&h->systemd, leader, usec);
        return e;
}

static ExitStatus remove_files(SingletonHost *h, bool quiet) {
        g_autofree char *settings = singleton_settings_path(h->unit), *own = singleton_drop_in_path(h->unit);
        ExitStatus e = EXIT_STATUS_OK;

        for (unsigned i = 0; e == EXIT_STATUS_OK && i < h->triggered->len; i++) {
                g_autofree char *path = singleton_drop_in_path(((const UnitFacts *) g_ptr_array_index(h->triggered, i))->id);

                e = singleton_remove_drop_in(path);
                if (e == EXIT_STATUS_OK && !quiet)
                        puts(path);
        }
        if (e == EXIT_STATUS_OK)
                e = config_file_remove(settings);
        if (e == EXIT_STATUS_OK)
                e = singleton_remove_drop_in(own);      /* last: it knows how the unit was */
        if (e == EXIT_STATUS_OK && !quiet)
                printf("%s\n%s\n", settings, own);
        return e;
}

/* Where a template has been one, its instances that were to start go on being so. */
static ExitStatus relink(SingletonHost *h, const char *unit, const char *before) {
        g_autofree char *state = NULL;

        ExitStatus e = systemd_read_file_state(&h->systemd, unit, &state);
        if (e != EXIT_STATUS_OK)
                return e;
        if (unit_is_template(h->unit))
                before = state;
        e = systemd_disable(&h->systemd, unit, false);
        if (e == EXIT_STATUS_OK && g_str_has_prefix(before, "enabled"))
                e = systemd_enable(&h->systemd, unit, g_str_equal(before, "enabled-runtime"));
        return e;
}

/* Links to what is wanted along with the unit are removed while the drop-in still names it. */
static ExitStatus unlink_units(SingletonHost *h, char **units) {
        ExitStatus e = EXIT_STATUS_OK;

        for (char **u = units; e == EXIT_STATUS_OK && *u; u++) {
                g_autofree char *candidate = singleton_candidate_unit(*u);

                e = stop(h, *u);
                if (e == EXIT_STATUS_OK)
                        e = systemd_disable(&h->systemd, candidate, false);
        }
        return e;
}

ExitStatus singleton_disable(const Options *o, const char *unit) {
        g_auto(SingletonHost) h = {};
        g_autofree char *path = NULL, *text = NULL, *before = NULL;
        g_auto(GStrv) units = NULL;

        ExitStatus e = singleton_host_open(&h, o, unit);
        if (e != EXIT_STATUS_OK)
                return e;
        path = singleton_drop_in_path(h.unit);
        e = config_file_read(path, &text);
        if (e != EXIT_STATUS_OK)
                return e;
        if (!text) {
                print_error("%s is no singleton on this host: there is no %s", h.unit, path);
                return EXIT_STATUS_NO_NODE;
        }

        before = singleton_drop_in_file_state(text) ?: g_strdup("disabled");
        e = singleton_host_list_units(&h, &units);
        if (e == EXIT_STATUS_OK)
                e = unlink_units(&h, units);
        if (e == EXIT_STATUS_OK)
                e = remove_files(&h, o->quiet);
        if (e == EXIT_STATUS_OK)
                e = systemd_reload(&h.systemd);
        for (char **u = units; e == EXIT_STATUS_OK && *u; u++)
                e = relink(&h, *u, before);
        if (e == EXIT_STATUS_OK)
                e = systemd_reload(&h.systemd);
        if (e == EXIT_STATUS_OK)
                e = singleton_host_reload_agent(&h);
        if (e == EXIT_STATUS_OK && !o->quiet)
                printf("%s does not run on this host now; to run it here beside those of other hosts: systemctl start %s\n", h.unit, h.unit);
        return e;
}
