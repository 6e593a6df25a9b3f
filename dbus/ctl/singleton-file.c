/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Singleton files
 */

#include "dbus/ctl/singleton-file.h"

#include <inttypes.h>
#include <string.h>

#include "dbus/ctl/text.h"
#include "dbus/ctl/unit-facts.h"

#define SETTINGS_DIRECTORY "/etc/convene/singleton.d"
#define UNIT_DIRECTORY "/etc/systemd/system"
#define DROP_IN "50-convene-singleton.conf"
#define HEAD "# Written by \"convenectl singleton enable\"; see convene.singleton(5).\n"
#define GROUP "Singleton"
#define OWN_GROUP "X-Convene"           /* systemd passes over sections of this form */
#define HOSTS_MAX 64

void singleton_settings_done(SingletonSettings *s) {
        g_free(s->unit);
        g_free(s->preferred_hosts);
        *s = (SingletonSettings) {};
}

char *singleton_settings_path(const char *unit) {
        g_autofree char *name = unit_stem(unit);

        return g_strconcat(SETTINGS_DIRECTORY "/", name, ".conf", NULL);
}

char *singleton_drop_in_path(const char *unit) {
        return g_strconcat(UNIT_DIRECTORY "/", unit, ".d/" DROP_IN, NULL);
}

/*
 * Settings
 */

static uint64_t get_msec(GKeyFile *keys, const char *group, const char *key) {
        g_autofree char *value = g_key_file_get_value(keys, group, key, NULL);
        uint64_t msec;

        return value && parse_timespan_msec(value, &msec) ? msec : 0;
}

void singleton_settings_parse(const char *text, SingletonSettings *ret) {
        g_autoptr(GKeyFile) keys = g_key_file_new();

        *ret = (SingletonSettings) {};
        if (!text || !g_key_file_load_from_data(keys, text, -1, G_KEY_FILE_NONE, NULL))
                return;

        g_autofree char *copies = g_key_file_get_value(keys, GROUP, "Copies", NULL);
        if (!copies || !parse_u64(copies, &ret->copies))
                ret->copies = 0;
        ret->unit = g_key_file_get_value(keys, GROUP, "Unit", NULL);
        ret->preferred_hosts = g_key_file_get_value(keys, GROUP, "PreferredHosts", NULL);
        ret->session_timeout_msec = get_msec(keys, GROUP, "SessionTimeout");
        ret->stop_timeout_msec = get_msec(keys, GROUP, "StopTimeout");
        ret->stand_back_msec = get_msec(keys, GROUP, "StandBack");
}

/* NULL: not given. */
static void set_value(GKeyFile *keys, const char *key, const char *value) {
        if (value)
                g_key_file_set_value(keys, GROUP, key, value);
        else
                (void) g_key_file_remove_key(keys, GROUP, key, NULL);
}

static void set_msec(GKeyFile *keys, const char *key, uint64_t msec) {
        g_autofree char *text = msec > 0 ? format_exact_msec(msec) : NULL;

        set_value(keys, key, text);
}

char *singleton_settings_format(const SingletonSettings *s, const char *before) {
        g_autoptr(GKeyFile) keys = g_key_file_new();
        bool had = before && g_key_file_load_from_data(keys, before, -1, G_KEY_FILE_KEEP_COMMENTS, NULL);

        set_value(keys, "Unit", s->unit);
        set_msec(keys, "SessionTimeout", s->session_timeout_msec);
        /* A timer stops in no time at all, which is not the same as not to say so. */
        g_autofree char *stop = format_exact_msec(s->stop_timeout_msec);
        set_value(keys, "StopTimeout", stop);
        g_autofree char *copies = s->copies > 0 ? g_strdup_printf("%" PRIu64, s->copies) : NULL;
        set_value(keys, "Copies", copies);
        set_value(keys, "PreferredHosts", s->preferred_hosts);
        set_msec(keys, "StandBack", s->stand_back_msec);

        g_autofree char *text = g_key_file_to_data(keys, NULL, NULL);
        return g_strconcat(had ? "" : HEAD "\n", text, NULL);
}

/* "h1,h2" and "h1 h2" alike: the option may be repeated, and is a list each time. */
static char *join_hosts(const GPtrArray *lists, char **ret_error) {
        g_autoptr(GString) all = g_string_new(NULL);
        unsigned count = 0;

        for (unsigned i = 0; i < lists->len; i++) {
                g_auto(GStrv) hosts = g_strsplit_set(g_ptr_array_index(lists, i), ", ", -1);

                for (char **h = hosts; *h; h++) {
                        if (!**h)
                                continue;
                        for (const char *c = *h; *c; c++)
                                if (!g_ascii_isalnum(*c) && !strchr("-._", *c)) {
                                        *ret_error = g_strdup_printf("--prefer: \"%s\" is not the name of a member", *h);
                                        return NULL;
                                }
                        g_string_append_printf(all, "%s%s", all->len > 0 ? " " : "", *h);
                        count++;
                }
        }
        if (count > HOSTS_MAX) {
                *ret_error = g_strdup_printf("--prefer: %u hosts are more than %u", count, HOSTS_MAX);
                return NULL;
        }
        return g_strdup(all->str);
}

bool singleton_settings_take(SingletonSettings *s, const Options *o, char **ret_error) {
        if (o->prefer->len > 0) {
                g_autofree char *hosts = join_hosts(o->prefer, ret_error);

                if (!hosts)
                        return false;
                g_free(s->preferred_hosts);
                s->preferred_hosts = *hosts ? g_steal_pointer(&hosts) : NULL;
        }
        if (o->session_timeout_msec > 0)
                s->session_timeout_msec = o->session_timeout_msec;
        if (o->stand_back_msec > 0)
                s->stand_back_msec = o->stand_back_msec;
        if (o->copies > 0)
                s->copies = o->copies;
        return true;
}

/*
 * Drop-ins
 *
 * Names need no escaping: what a unit may be called means the same everywhere below.
 */

static void add_install(GString *text, const char *name) {
        g_string_append_printf(text,
                               "\n[Install]\n"
                               "# Not with a target: only where this host leads, and it stands for that from boot on.\n"
                               "WantedBy=\nRequiredBy=\n"
                               "WantedBy=convene-leader@%s.service\n"
                               "Also=convene-candidate@%s.target\n", name, name);
}

/* A value as long, or a little less: a later one of the unit's own, or of all units, may not make a stop longer than was promised. */
static void add_timeout(GString *text, const char *key, uint64_t usec) {
        g_autofree char *value = usec == UINT64_MAX ? g_strdup("infinity") : format_exact_msec(MAX(usec / 1000, 1));

        if (usec > 0)
                g_string_append_printf(text, "%s=%s\n", key, value);
}

static void add_timeouts(GString *text, const SingletonDropIn *d) {
        uint64_t stage_usec = d->stage_msec * 1000;

        if (g_str_equal(unit_type(d->unit), "service")) {
                add_timeout(text, "TimeoutStopSec", stage_usec ?: d->stop_usec);
                add_timeout(text, "TimeoutAbortSec", stage_usec ?: d->abort_usec);
        } else if (g_str_equal(unit_type(d->unit), "socket") && (stage_usec > 0 || d->stop_usec > 0)) {
                g_string_append(text, "\n[Socket]\n");
                add_timeout(text, "TimeoutSec", stage_usec ?: d->stop_usec);
        }
}

char *singleton_drop_in_format(const SingletonDropIn *d) {
        bool own = g_str_equal(d->unit, d->leader), service = g_str_equal(unit_type(d->unit), "service");
        g_autoptr(GString) text = g_string_new(HEAD);
        g_autofree char *other = unit_stem(d->leader), *stage = format_exact_msec(d->stage_msec);
        /* a template's drop-in is of each instance */
        const char *name = !own ? other : service ? "%N" : "%n";

        g_string_append_printf(text,
                               "[Unit]\n"
                               "BindsTo=convene-leader@%s.service\n"
                               "After=convene-leader@%s.service\n"
                               "ConditionPathExists=/run/convene/leader/%s\n", name, name, name);
        if (own)
                g_string_append_printf(text, "Wants=convene-candidate@%s.target\n", name);
        if (service)
                g_string_append_printf(text,
                                       "\n[Service]\n"
                                       "EnvironmentFile=/run/convene-leader/%s.env\n"
                                       "LoadCredential=convene.token:/run/convene-leader/%s.token\n", name, name);
        add_timeouts(text, d);
        if (own)
                add_install(text, name);
        g_string_append_printf(text, "\n[" OWN_GROUP "]\nSingleton=%s\n", d->leader);
        if (d->file_state)
                g_string_append_printf(text, "FileState=%s\n", d->file_state);
        if (d->stage_msec > 0)
                g_string_append_printf(text, "StageTimeout=%s\n", stage);
        return g_string_free(g_steal_pointer(&text), FALSE);
}

static GKeyFile *load(const char *text) {
        g_autoptr(GKeyFile) keys = g_key_file_new();

        return text && g_key_file_load_from_data(keys, text, -1, G_KEY_FILE_NONE, NULL) ? g_steal_pointer(&keys) : NULL;
}

char *singleton_drop_in_file_state(const char *text) {
        g_autoptr(GKeyFile) keys = load(text);

        return keys ? g_key_file_get_value(keys, OWN_GROUP, "FileState", NULL) : NULL;
}

char *singleton_drop_in_leader(const char *text) {
        g_autoptr(GKeyFile) keys = load(text);

        return keys ? g_key_file_get_value(keys, OWN_GROUP, "Singleton", NULL) : NULL;
}

uint64_t singleton_drop_in_stop_timeout_msec(const char *text) {
        g_autoptr(GKeyFile) keys = load(text);

        return keys ? get_msec(keys, OWN_GROUP, "StageTimeout") : 0;
}
