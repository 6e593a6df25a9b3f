/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Singleton setup
 */

#include "dbus/ctl/singleton-setup.h"

#include <stdio.h>
#include <string.h>

#include "agent/base/singleton-name.h"
#include "dbus/ctl/config-file.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/singleton-file.h"
#include "dbus/ctl/singleton-stop.h"
#include "dbus/ctl/singleton-taken.h"

#define STOP_MORE_USEC (10 * UINT64_C(1000000))

typedef struct FileChange {
        char *path;
        char *before;                   /* NULL: there was none */
        bool drop_in;                   /* its directory goes with it */
} FileChange;

typedef struct Setup {
        const Options *options;
        SingletonHost host;
        SingletonSettings settings;
        char *settings_before;          /* the text; NULL: there was no file */
        uint64_t stage_msec;            /* --stop-timeout; 0: what the units have */
        uint64_t stop_usec;             /* the longest that a stop takes */
        char *file_state;               /* of the unit, before it was a singleton */
        bool was_one;                   /* a singleton: its settings are changed */
        GPtrArray *changes;             /* FileChange */
        GPtrArray *relinked;            /* names of units */
        GPtrArray *linked;              /* names of candidates that were not enabled before */
        GPtrArray *stood;               /* names of units whose candidates were not active before */
        GPtrArray *ran;                 /* names of units that ran and did not lead: they are stopped */
} Setup;

static void file_change_free(void *p) {
        FileChange *change = p;

        g_free(change->path);
        g_free(change->before);
        g_free(change);
}

static void setup_clear(Setup *s) {
        singleton_host_done(&s->host);
        singleton_settings_done(&s->settings);
        g_free(s->settings_before);
        g_free(s->file_state);
        g_ptr_array_unref(s->changes);
        g_ptr_array_unref(s->relinked);
        g_ptr_array_unref(s->linked);
        g_ptr_array_unref(s->stood);
        g_ptr_array_unref(s->ran);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Setup, setup_clear)

/*
 * What there is
 */

static ExitStatus refuse(char *why) {
        g_autofree char *text = why;

        if (!text)
                return EXIT_STATUS_OK;
        print_error("%s", text);
        return EXIT_STATUS_USAGE;
}

static ExitStatus check_units(Setup *s) {
        g_autofree char *leader = singleton_leader_unit(s->host.facts.id);
        g_auto(UnitFacts) facts = {};

        ExitStatus e = refuse(unit_refuse_template(s->host.unit));
        if (e == EXIT_STATUS_OK)
                e = refuse(unit_refuse_singleton(&s->host.facts));
        for (unsigned i = 0; e == EXIT_STATUS_OK && i < s->host.triggered->len; i++)
                e = refuse(unit_refuse_triggered(g_ptr_array_index(s->host.triggered, i)));
        if (e == EXIT_STATUS_OK)
                e = systemd_read_unit(&s->host.systemd, leader, &facts);
        if (e != EXIT_STATUS_OK || g_strcmp0(facts.load_state, "loaded") == 0)
                return e;

        print_error("%s cannot be loaded: are convene's units installed?", leader);
        return EXIT_STATUS_FAILURE;
}

/* *ret_text: its drop-in, NULL if there is none.  A service cannot follow two. */
static ExitStatus read_drop_in(Setup *s, const char *unit, char **ret_text) {
        g_autofree char *path = singleton_drop_in_path(unit), *leader = NULL;

        ExitStatus e = config_file_read(path, ret_text);
        if (e != EXIT_STATUS_OK)
                return e;
        leader = singleton_drop_in_leader(*ret_text);
        if (!leader || g_str_equal(leader, s->host.unit))
                return EXIT_STATUS_OK;
        print_error("%s runs where %s leads, which is a singleton already; disable that first", unit, leader);
        return EXIT_STATUS_CONFLICT;
}

static ExitStatus find_file_state(Setup *s) {
        g_autofree char *text = NULL;

        ExitStatus e = read_drop_in(s, s->host.unit, &text);
        for (unsigned i = 0; e == EXIT_STATUS_OK && i < s->host.triggered->len; i++) {
                g_autofree char *other = NULL;

                e = read_drop_in(s, ((const UnitFacts *) g_ptr_array_index(s->host.triggered, i))->id, &other);
        }
        if (e != EXIT_STATUS_OK)
                return e;
        s->file_state = singleton_drop_in_file_state(text);
        if (s->stage_msec == 0)
                s->stage_msec = singleton_drop_in_stop_timeout_msec(text);
        s->was_one = s->file_state;
        if (s->was_one)
                return EXIT_STATUS_OK;

        e = systemd_read_file_state(&s->host.systemd, s->host.unit, &s->file_state);
        if (e != EXIT_STATUS_OK || !g_str_has_prefix(s->file_state, "linked"))
                return e;
        print_error("%s is a link to a file elsewhere, which disabling it would remove; copy the file to /etc/systemd/system", s->host.unit);
        return EXIT_STATUS_CONFLICT;
}

/*
 * Whether it can stop in time
 */

static ExitStatus check_stop(Setup *s) {
        g_autofree char *how = NULL;

        ExitStatus e = singleton_stop_usec(&s->host, s->stage_msec, &s->stop_usec, &how);
        if (e != EXIT_STATUS_OK)
                return e;
        s->settings.stop_timeout_msec = s->stop_usec / 1000 + (s->stop_usec % 1000 > 0);
        return singleton_stop_check(s->settings.session_timeout_msec ?: SESSION_TIMEOUT_DEFAULT_MSEC, s->stop_usec, how);
}

static ExitStatus merge_settings(Setup *s) {
        g_autofree char *path = singleton_settings_path(s->host.unit), *why = NULL;

        ExitStatus e = config_file_read(path, &s->settings_before);
        if (e != EXIT_STATUS_OK)
                return e;
        singleton_settings_parse(s->settings_before, &s->settings);
        g_free(s->settings.unit);
        s->settings.unit = g_strdup(s->host.unit);
        if (singleton_settings_take(&s->settings, s->options, &why))
                return EXIT_STATUS_OK;
        print_error("%s", why);
        return EXIT_STATUS_USAGE;
}

/*
 * Files
 */

/* Takes both. */
static ExitStatus change_file(Setup *s, bool drop_in, char *path, char *text) {
        g_autofree FileChange *change = g_new0(FileChange, 1);
        g_autofree char *own_text = text;

        change->path = path;
        change->drop_in = drop_in;
        ExitStatus e = config_file_read(path, &change->before);
        if (e == EXIT_STATUS_OK)
                e = config_file_write(path, own_text);
        g_ptr_array_add(s->changes, g_steal_pointer(&change));
        return e;
}

static ExitStatus write_files(Setup *s) {
        SingletonDropIn d = {
                .unit = s->host.unit, .leader = s->host.unit, .file_state = s->file_state, .stage_msec = s->stage_msec,
                .stop_usec = s->host.facts.timeout_stop_usec, .abort_usec = s->host.facts.timeout_abort_usec,
        };

        ExitStatus e = change_file(s, false, singleton_settings_path(s->host.unit),
                                   singleton_settings_format(&s->settings, s->settings_before));
        if (e == EXIT_STATUS_OK)
                e = change_file(s, true, singleton_drop_in_path(s->host.unit), singleton_drop_in_format(&d));
        for (unsigned i = 0; e == EXIT_STATUS_OK && i < s->host.triggered->len; i++) {
                const UnitFacts *t = g_ptr_array_index(s->host.triggered, i);

                d = (SingletonDropIn) {
                        .unit = t->id, .leader = s->host.unit, .stage_msec = s->stage_msec,
                        .stop_usec = t->timeout_stop_usec, .abort_usec = t->timeout_abort_usec,
                };
                e = change_file(s, true, singleton_drop_in_path(t->id), singleton_drop_in_format(&d));
        }
        return e;
}

/* While the drop-ins bind what runs: it ends with the leader unit. */
static void undo_candidates(Setup *s) {
        uint64_t usec = s->stop_usec + STOP_MORE_USEC;

        for (unsigned i = 0; i < s->stood->len; i++) {
                const char *unit = g_ptr_array_index(s->stood, i);
                g_autofree char *candidate = singleton_candidate_unit(unit), *leader = singleton_leader_unit(unit);

                (void) systemd_stop(&s->host.systemd, candidate, usec);
                (void) systemd_stop(&s->host.systemd, leader, usec);
        }
        for (unsigned i = 0; i < s->linked->len; i++)
                (void) systemd_disable(&s->host.systemd, g_ptr_array_index(s->linked, i), false);
}

static void undo_files(Setup *s) {
        for (unsigned i = s->changes->len; i-- > 0;) {
                const FileChange *change = g_ptr_array_index(s->changes, i);

                if (change->before)
                        (void) config_file_write(change->path, change->before);
                else
                        (void) (change->drop_in ? singleton_remove_drop_in(change->path) : config_file_remove(change->path));
        }
}

static void undo(Setup *s) {
        undo_candidates(s);
        undo_files(s);
        for (unsigned i = 0; i < s->relinked->len; i++) {
                const char *unit = g_ptr_array_index(s->relinked, i);

                (void) systemd_disable(&s->host.systemd, unit, false);
                if (s->was_one || g_str_has_prefix(s->file_state, "enabled"))
                        (void) systemd_enable(&s->host.systemd, unit, !s->was_one && g_str_equal(s->file_state, "enabled-runtime"));
        }
        if (s->changes->len > 0)
                (void) systemd_reload(&s->host.systemd);
        for (unsigned i = 0; i < s->ran->len; i++)
                (void) systemd_start(&s->host.systemd, g_ptr_array_index(s->ran, i));
        print_error("%s: nothing was changed%s", s->host.unit, s->ran->len > 0 ? ", but what ran was stopped and started again" : "");
}

/* Other drop-ins may come after ours and say something else. */
static ExitStatus verify(Setup *s) {
        g_autofree char *leader = singleton_leader_unit(s->host.facts.id);
        uint64_t promised = s->stop_usec;

        ExitStatus e = singleton_host_refresh(&s->host);
        if (e != EXIT_STATUS_OK)
                return e;
        if (!s->host.facts.binds_to || !g_strv_contains((const char *const *) s->host.facts.binds_to, leader)) {
                print_error("%s does not have BindsTo=%s although its drop-in says so; see systemctl cat %s", s->host.facts.id, leader, s->host.unit);
                return EXIT_STATUS_CONFLICT;
        }
        uint64_t stage = s->stage_msec;
        s->stage_msec = 0;
        e = check_stop(s);
        s->stage_msec = stage;
        if (e != EXIT_STATUS_OK || s->stop_usec <= promised)
                return e;
        print_error("%s still has a longer time to stop than its drop-in says: another drop-in sets it; see systemctl cat %s",
                    s->host.facts.id, s->host.unit);
        return EXIT_STATUS_CONFLICT;
}

/*
 * Links, and what runs
 */

/* Without leading it may not go on, and a run that began before has no token. */
static ExitStatus find_what_ran(Setup *s) {
        g_auto(GStrv) units = NULL;

        ExitStatus e = singleton_host_list_units(&s->host, &units);
        for (char **u = units; e == EXIT_STATUS_OK && *u; u++) {
                g_autofree char *leader = singleton_leader_unit(*u);
                g_auto(UnitFacts) leads = {}, facts = {};

                e = systemd_read_unit(&s->host.systemd, leader, &leads);
                if (e == EXIT_STATUS_OK)
                        e = systemd_read_unit(&s->host.systemd, *u, &facts);
                if (e != EXIT_STATUS_OK || unit_is_up(&leads))
                        continue;
                if (unit_is_up(&facts))
                        g_ptr_array_add(s->ran, g_strdup(*u));
                for (unsigned i = 0; i < s->host.triggered->len; i++) {
                        const UnitFacts *t = g_ptr_array_index(s->host.triggered, i);

                        if (unit_is_up(t))
                                g_ptr_array_add(s->ran, g_strdup(t->id));
                }
        }
        return e;
}

/* systemd does so itself once it sees what they are bound to; this waits until it has. */
static ExitStatus stop_what_ran(Setup *s) {
        ExitStatus e = EXIT_STATUS_OK;

        for (unsigned i = 0; e == EXIT_STATUS_OK && i < s->ran->len; i++)
                e = systemd_stop(&s->host.systemd, g_ptr_array_index(s->ran, i), s->stop_usec + STOP_MORE_USEC);
        return e;
}

/* From what starts it at boot to what starts it where its host leads. */
static ExitStatus relink(Setup *s, const char *unit) {
        g_autofree char *candidate = singleton_candidate_unit(unit), *state = NULL;

        ExitStatus e = systemd_read_file_state(&s->host.systemd, candidate, &state);
        if (e != EXIT_STATUS_OK)
                return e;
        /* the drop-in has it enabled along with the unit */
        if (!g_str_has_prefix(state, "enabled"))
                g_ptr_array_add(s->linked, g_steal_pointer(&candidate));
        g_ptr_array_add(s->relinked, g_strdup(unit));
        if (!s->was_one && g_str_has_prefix(s->file_state, "enabled"))
                e = systemd_disable(&s->host.systemd, unit, g_str_equal(s->file_state, "enabled-runtime"));
        return e == EXIT_STATUS_OK ? systemd_enable(&s->host.systemd, unit, false) : e;
}

static ExitStatus start_candidate(Setup *s, const char *unit) {
        g_autofree char *candidate = singleton_candidate_unit(unit);
        g_auto(UnitFacts) facts = {};

        ExitStatus e = systemd_read_unit(&s->host.systemd, candidate, &facts);
        if (e != EXIT_STATUS_OK)
                return e;
        if (!unit_is_up(&facts))
                g_ptr_array_add(s->stood, g_strdup(unit));
        return systemd_start(&s->host.systemd, candidate);
}

/* Which instances of a template stand is the administrator's to say, but what ran goes on somewhere. */
static bool is_to_stand(const Setup *s, const char *unit) {
        return !unit_is_template(s->host.unit) || g_ptr_array_find_with_equal_func(s->ran, unit, g_str_equal, NULL);
}

static ExitStatus apply(Setup *s) {
        g_auto(GStrv) units = NULL;

        ExitStatus e = systemd_reload(&s->host.systemd);
        if (e == EXIT_STATUS_OK)
                e = verify(s);
        if (e == EXIT_STATUS_OK && !unit_is_template(s->host.unit))
                e = relink(s, s->host.unit);
        if (e == EXIT_STATUS_OK)
                e = systemd_reload(&s->host.systemd);
        if (e == EXIT_STATUS_OK)
                e = stop_what_ran(s);
        if (e == EXIT_STATUS_OK)
                e = singleton_host_reload_agent(&s->host);
        if (e == EXIT_STATUS_OK)
                e = singleton_host_list_units(&s->host, &units);
        for (char **u = units; e == EXIT_STATUS_OK && *u; u++)
                if (is_to_stand(s, *u))
                        e = start_candidate(s, *u);
        return e;
}

static void say_enabled(const Setup *s) {
        if (s->options->quiet)
                return;
        for (unsigned i = 0; i < s->changes->len; i++)
                puts(((const FileChange *) g_ptr_array_index(s->changes, i))->path);
        for (unsigned i = 0; i < s->ran->len; i++)
                printf("%s ran here and was stopped; it goes on where the election is won\n", (const char *) g_ptr_array_index(s->ran, i));
        if (unit_is_template(s->host.unit))
                printf("For each instance: systemctl enable INSTANCE, and systemctl start " SINGLETON_CANDIDATE_PREFIX "NAME@INSTANCE"
                       SINGLETON_CANDIDATE_SUFFIX "\n");
        if (s->host.facts.persistent)
                printf("%s has Persistent=yes: each host knows only when it was run there itself, so it may run once more after "
                       "another host takes over\n", s->host.unit);
}

ExitStatus singleton_enable(const Options *o, const char *unit) {
        g_auto(Setup) s = {
                .options = o,
                .changes = g_ptr_array_new_with_free_func(file_change_free),
                .relinked = g_ptr_array_new_with_free_func(g_free),
                .linked = g_ptr_array_new_with_free_func(g_free),
                .stood = g_ptr_array_new_with_free_func(g_free),
                .ran = g_ptr_array_new_with_free_func(g_free),
                .stage_msec = o->stop_timeout_msec,
        };

        ExitStatus e = singleton_host_open(&s.host, o, unit);
        if (e == EXIT_STATUS_OK)
                e = check_units(&s);
        if (e == EXIT_STATUS_OK)
                e = find_file_state(&s);
        if (e == EXIT_STATUS_OK)
                e = merge_settings(&s);
        if (e == EXIT_STATUS_OK)
                e = check_stop(&s);
        if (e == EXIT_STATUS_OK)
                e = find_what_ran(&s);
        if (e != EXIT_STATUS_OK)
                return e;

        e = write_files(&s);
        if (e == EXIT_STATUS_OK)
                e = apply(&s);
        if (e != EXIT_STATUS_OK) {
                undo(&s);
                return e;
        }
        say_enabled(&s);
        return unit_is_template(s.host.unit) ? EXIT_STATUS_OK : singleton_check_taken(o, s.host.unit);
}
