/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Singleton host
 */

#include "dbus/ctl/singleton-host.h"

#include <string.h>
#include <unistd.h>

#include "agent/base/singleton-name.h"
#include "dbus/ctl/config-file.h"
#include "dbus/ctl/output.h"

#define SAMPLE "sample"                 /* an instance through which a template is looked at */
#define AGENT_UNIT "convened.service"

char *singleton_leader_unit(const char *unit) {
        g_autofree char *stem = unit_stem(unit);

        return g_strconcat(SINGLETON_LEADER_PREFIX, stem, SINGLETON_LEADER_SUFFIX, NULL);
}

char *singleton_candidate_unit(const char *unit) {
        g_autofree char *stem = unit_stem(unit);

        return g_strconcat(SINGLETON_CANDIDATE_PREFIX, stem, SINGLETON_CANDIDATE_SUFFIX, NULL);
}

ExitStatus singleton_remove_drop_in(const char *path) {
        g_autofree char *directory = g_path_get_dirname(path);

        ExitStatus e = config_file_remove(path);
        if (e == EXIT_STATUS_OK)
                (void) rmdir(directory);
        return e;
}

static void facts_free(void *p) {
        unit_facts_done(p);
        g_free(p);
}

void singleton_host_done(SingletonHost *h) {
        systemd_done(&h->systemd);
        g_free(h->unit);
        unit_facts_done(&h->facts);
        g_clear_pointer(&h->triggered, g_ptr_array_unref);
}

/* Only an instance of a template can be loaded. */
static char *loadable(const char *unit) {
        const char *dot = strrchr(unit, '.');

        return unit_is_template(unit) ? g_strdup_printf("%.*s" SAMPLE "%s", (int) (dot - unit), unit, dot) : g_strdup(unit);
}

static ExitStatus read_units(SingletonHost *h, const char *unit) {
        g_autofree char *sample = loadable(unit);

        g_clear_pointer(&h->triggered, g_ptr_array_unref);
        h->triggered = g_ptr_array_new_with_free_func(facts_free);
        ExitStatus e = systemd_read_unit(&h->systemd, sample, &h->facts);
        for (char **t = h->facts.triggers; e == EXIT_STATUS_OK && t && *t; t++) {
                UnitFacts *facts = g_new0(UnitFacts, 1);

                g_ptr_array_add(h->triggered, facts);
                e = systemd_read_unit(&h->systemd, *t, facts);
        }
        return e;
}

ExitStatus singleton_host_open(SingletonHost *h, const Options *o, const char *unit) {
        if (geteuid() != 0) {
                print_error("this changes units of this host: only root may");
                return EXIT_STATUS_ACCESS;
        }

        ExitStatus e = systemd_connect(&h->systemd, o);
        if (e == EXIT_STATUS_OK)
                e = read_units(h, unit);
        if (e != EXIT_STATUS_OK)
                return e;

        /* an alias is the unit that it stands for */
        h->unit = g_strdup(unit_is_template(unit) ? unit : h->facts.id);
        g_autofree char *name = singleton_name_of_unit(h->facts.id);
        if (name)
                return EXIT_STATUS_OK;
        print_error("%s: the name of a singleton has at most %u letters, digits and :-_.\\@, and does not end like another file's", h->unit,
                    SINGLETON_NAME_MAX);
        return EXIT_STATUS_USAGE;
}

ExitStatus singleton_host_refresh(SingletonHost *h) {
        return read_units(h, h->unit);
}

ExitStatus singleton_host_list_units(SingletonHost *h, char ***ret) {
        const char *one[] = { h->unit, NULL };

        if (unit_is_template(h->unit))
                return systemd_list_instances(&h->systemd, h->unit, ret);
        *ret = g_strdupv((char **) one);
        return EXIT_STATUS_OK;
}

ExitStatus singleton_host_reload_agent(SingletonHost *h) {
        return systemd_reload_unit(&h->systemd, AGENT_UNIT, h->systemd.timeout_usec);
}
