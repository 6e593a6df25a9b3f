/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A service manager for convenectl, without processes
 *
 * usage: unit-manager ADDRESS DIRECTORY
 *
 * DIRECTORY/units has a section for each unit with its properties, "Name=TYPE VALUE"; TYPE "commands" is a number of them.  A drop-in
 * below DIRECTORY/etc/systemd/system counts once Reload was called.  Calls are written to DIRECTORY/calls, one a line; one that is
 * in DIRECTORY/fail is refused.  DIRECTORY/override, "UNIT KEY VALUE", is a drop-in behind those.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>
#include <systemd/sd-bus.h>

#define NAME "org.freedesktop.systemd1"
#define UNITS "/org/freedesktop/systemd1/unit"
#define JOB "/org/freedesktop/systemd1/job/%u"
#define COMMAND "sasbttttuii"

static const char *directory;
static GKeyFile *units;                 /* as the file has it, and what was done to them since */
static GKeyFile *drop_ins;              /* unit -> BindsTo=, TimeoutStopSec= */
static unsigned jobs;
static char *subscriber;               /* the last one */

static char *in_directory(const char *file) {
        return g_build_filename(directory, file, NULL);
}

/* `of`: the unit itself, or its template. */
static void read_drop_in(const char *unit, const char *of) {
        g_autofree char *path = g_strdup_printf("%s/etc/systemd/system/%s.d/50-convene-singleton.conf", directory, of);
        g_autofree char *stem = g_str_has_suffix(unit, ".service") ? g_strndup(unit, strlen(unit) - 8) : g_strdup(unit), *text = NULL;
        g_auto(GStrv) lines = NULL;

        if (!g_file_get_contents(path, &text, NULL, NULL))
                return;
        lines = g_strsplit(text, "\n", -1);
        for (char **l = lines; *l; l++) {
                g_autoptr(GString) line = g_string_new(*l);
                char *equals;

                g_string_replace(line, "%N", stem, 0);
                g_string_replace(line, "%n", unit, 0);
                if (!g_str_has_prefix(line->str, "#") && (equals = strchr(line->str, '='))) {
                        *equals = '\0';
                        g_key_file_set_value(drop_ins, unit, line->str, equals + 1);
                }
        }
}

static void read_drop_ins(void) {
        g_autofree char *override = in_directory("override"), *text = NULL;
        g_auto(GStrv) all = g_key_file_get_groups(units, NULL), words = NULL;

        for (char **u = all; *u; u++) {
                const char *at = strchr(*u, '@');
                g_autofree char *of = at ? g_strdup_printf("%.*s@%s", (int) (at - *u), *u, strrchr(*u, '.')) : g_strdup(*u);

                g_key_file_remove_group(drop_ins, *u, NULL);
                read_drop_in(*u, of);
                if (at)
                        read_drop_in(*u, *u);
        }
        if (!g_file_get_contents(override, &text, NULL, NULL))
                return;
        words = g_strsplit(g_strstrip(text), " ", 3);
        g_key_file_set_value(drop_ins, words[0], words[1], words[2]);
}

static char *unit_value(const char *unit, const char *key) {
        return g_key_file_get_value(units, unit, key, NULL);
}

static void append_typed(sd_bus_message *m, const char *type, const char *value) {
        g_auto(GStrv) words = g_strsplit(value, " ", -1);
        int r = 0;

        if (g_str_equal(type, "commands")) {
                r = sd_bus_message_open_container(m, 'v', "a(" COMMAND ")");
                g_assert_true(r >= 0 && sd_bus_message_open_container(m, 'a', "(" COMMAND ")") >= 0);
                for (int i = 0; i < atoi(value); i++)
                        r = sd_bus_message_append(m, "(" COMMAND ")", "/bin/true", 1, "true", 0, 0, 0, 0, 0, 0, 0, 0);
                g_assert_true(r >= 0 && sd_bus_message_close_container(m) >= 0);
        } else {
                r = sd_bus_message_open_container(m, 'v', type);
                g_assert_true(r >= 0);
                if (g_str_equal(type, "as"))
                        r = sd_bus_message_append_strv(m, words);
                else if (g_str_equal(type, "t"))
                        r = sd_bus_message_append(m, "t", g_ascii_strtoull(value, NULL, 10));
                else if (g_str_equal(type, "b"))
                        r = sd_bus_message_append(m, "b", g_str_equal(value, "yes"));
                else
                        r = sd_bus_message_append(m, type, value);
        }
        g_assert_true(r >= 0);
        r = sd_bus_message_close_container(m);
        g_assert_true(r >= 0);
}

static void append_property(sd_bus_message *m, const char *name, const char *type, const char *value) {
        int r = sd_bus_message_open_container(m, 'e', "sv");
        g_assert_true(r >= 0 && sd_bus_message_append(m, "s", name) >= 0);
        append_typed(m, type, value);
        r = sd_bus_message_close_container(m);
        g_assert_true(r >= 0);
}

static int return_properties(sd_bus_message *call, const char *unit) {
        g_auto(GStrv) keys = g_key_file_get_keys(units, unit, NULL, NULL);
        g_autofree char *binds = g_key_file_get_value(drop_ins, unit, "BindsTo", NULL);
        g_autofree char *timeout = g_key_file_get_value(drop_ins, unit, "TimeoutStopSec", NULL);
        sd_bus_message *reply;
        int r = sd_bus_message_new_method_return(call, &reply);

        g_assert_true(r >= 0 && sd_bus_message_open_container(reply, 'a', "{sv}") >= 0);
        append_property(reply, "Id", "s", unit);
        if (!keys)
                append_property(reply, "LoadState", "s", "not-found");
        for (char **k = keys; keys && *k; k++) {
                g_autofree char *value = unit_value(unit, *k);
                g_auto(GStrv) halves = g_strsplit(value, " ", 2);

                if (timeout && g_str_equal(*k, "TimeoutStopUSec")) {
                        double factor = g_str_has_suffix(timeout, "ms") ? 1e3 : 1e6;
                        g_autofree char *usec = g_strdup_printf("%.0f", g_ascii_strtod(timeout, NULL) * factor);

                        append_property(reply, *k, "t", usec);
                } else if (!g_str_equal(*k, "FileState"))
                        append_property(reply, *k, halves[0], halves[1] ?: "");
        }
        if (binds)
                append_property(reply, "BindsTo", "as", binds);
        r = sd_bus_message_close_container(reply);
        g_assert_true(r >= 0 && sd_bus_send(NULL, reply, NULL) >= 0);
        sd_bus_message_unref(reply);
        return 1;
}

static void note(const char *text) {
        g_autofree char *path = in_directory("calls");
        FILE *f = fopen(path, "ae");

        g_assert_true(f);
        fprintf(f, "%s\n", text);
        fclose(f);
}

static bool fails(const char *text) {
        g_autofree char *path = in_directory("fail"), *wanted = NULL;

        return g_file_get_contents(path, &wanted, NULL, NULL) && g_str_equal(g_strstrip(wanted), text);
}

static void set_typed(const char *unit, const char *key, const char *value) {
        g_autofree char *text = g_strconcat("s ", value, NULL);

        g_key_file_set_value(units, unit, key, text);
}

static int run_job(sd_bus_message *call, const char *member, const char *unit) {
        g_autofree char *path = g_strdup_printf(JOB, ++jobs), *broken = unit_value(unit, "JobResult");
        int r;

        if (g_str_equal(member, "StopUnit") && !g_key_file_has_group(units, unit))
                return sd_bus_reply_method_errorf(call, NAME ".NoSuchUnit", "Unit %s not loaded.", unit);
        if (!g_str_equal(member, "ReloadOrTryRestartUnit"))
                set_typed(unit, "ActiveState", g_str_equal(member, "StartUnit") ? "active" : "inactive");
        r = sd_bus_emit_signal(sd_bus_message_get_bus(call), "/org/freedesktop/systemd1", NAME ".Manager", "JobRemoved", "uoss", jobs,
                               path, unit, broken ?: "done");
        return r < 0 ? r : sd_bus_reply_method_return(call, "o", path);
}

static int change_links(sd_bus_message *call, const char *member, const char *unit, int runtime) {
        bool enable = g_str_equal(member, "EnableUnitFiles");

        g_key_file_set_value(units, unit, "FileState", !enable ? "disabled" : runtime ? "enabled-runtime" : "enabled");
        return enable ? sd_bus_reply_method_return(call, "ba(sss)", true, 0) : sd_bus_reply_method_return(call, "a(sss)", 0);
}

static int list_units(sd_bus_message *call, const char *pattern) {
        g_auto(GStrv) all = g_key_file_get_groups(units, NULL);
        g_autoptr(GPatternSpec) spec = g_pattern_spec_new(pattern);
        sd_bus_message *reply;
        int r = sd_bus_message_new_method_return(call, &reply);

        g_assert_true(r >= 0 && sd_bus_message_open_container(reply, 'a', "(ssssssouso)") >= 0);
        for (char **u = all; *u; u++)
                if (g_pattern_spec_match_string(spec, *u))
                        r = sd_bus_message_append(reply, "(ssssssouso)", *u, "", "loaded", "active", "running", "", "/", 0, "", "/");
        g_assert_true(r >= 0 && sd_bus_message_close_container(reply) >= 0 && sd_bus_send(NULL, reply, NULL) >= 0);
        sd_bus_message_unref(reply);
        return 1;
}

/* The one unit that a call is about, if it is about one; *ret_flag: its first boolean. */
static const char *read_unit(sd_bus_message *m, int *ret_flag) {
        const char *unit = NULL, *signature = sd_bus_message_get_signature(m, true);
        int r = 0;

        if (signature[0] == 's') {
                r = sd_bus_message_read(m, "s", &unit);
        } else if (g_str_has_prefix(signature, "asas")) {
                r = sd_bus_message_skip(m, "as");
                g_assert_true(r >= 0 && sd_bus_message_enter_container(m, 'a', "s") >= 0);
                r = sd_bus_message_read(m, "s", &unit);
        } else if (g_str_has_prefix(signature, "as")) {
                r = sd_bus_message_enter_container(m, 'a', "s");
                g_assert_true(r >= 0 && sd_bus_message_read(m, "s", &unit) > 0);
                r = sd_bus_message_exit_container(m);
                g_assert_true(r >= 0);
                r = sd_bus_message_read(m, "b", ret_flag);
        }
        g_assert_true(r >= 0);
        return unit ?: "";
}

static int on_call(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *member = sd_bus_message_get_member(m), *path = sd_bus_message_get_path(m);
        g_autofree char *object = NULL, *text = NULL, *state = NULL;
        int flag = 0;

        if (!sd_bus_message_is_method_call(m, NULL, NULL))
                return 0;
        if (g_str_equal(member, "GetAll") && sd_bus_path_decode(path, UNITS, &object) > 0)
                return return_properties(m, object);

        const char *unit = read_unit(m, &flag);
        if (g_str_equal(member, "LoadUnit")) {
                if (sd_bus_path_encode(UNITS, unit, &object) < 0)
                        return -EINVAL;
                return sd_bus_reply_method_return(m, "o", object);
        }
        if (g_str_equal(member, "Subscribe")) {
                g_autofree char *last = subscriber;

                subscriber = g_strdup(sd_bus_message_get_sender(m));
                return g_strcmp0(last, subscriber) == 0 ? sd_bus_reply_method_errorf(m, NAME ".AlreadySubscribed", "You are.")
                                                        : sd_bus_reply_method_return(m, NULL);
        }
        if (g_str_equal(member, "GetUnitFileState")) {
                state = unit_value(unit, "FileState");
                return sd_bus_reply_method_return(m, "s", state ?: "static");
        }
        if (g_str_equal(member, "ListUnitsByPatterns"))
                return list_units(m, unit);

        text = g_strdup_printf("%s%s%s%s", member, *unit ? " " : "", unit, flag ? " runtime" : "");
        note(text);
        if (fails(text))
                return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_FAILED, "%s was told to fail", text);
        if (g_str_equal(member, "Reload")) {
                read_drop_ins();
                return sd_bus_reply_method_return(m, NULL);
        }
        if (g_str_has_suffix(member, "UnitFiles"))
                return change_links(m, member, unit, flag);
        return run_job(m, member, unit);
}

int main(int argc, char *argv[]) {
        g_autofree char *file = NULL;
        sd_bus *bus;
        int r;

        g_assert_true(argc == 3);
        directory = argv[2];
        file = in_directory("units");
        units = g_key_file_new();
        drop_ins = g_key_file_new();
        bool read = g_key_file_load_from_file(units, file, G_KEY_FILE_NONE, NULL);
        g_assert_true(read);
        read_drop_ins();

        r = sd_bus_new(&bus);
        g_assert_true(r >= 0 && sd_bus_set_address(bus, argv[1]) >= 0);
        r = sd_bus_set_bus_client(bus, true);
        g_assert_true(r >= 0 && sd_bus_start(bus) >= 0);
        r = sd_bus_add_filter(bus, NULL, on_call, NULL);
        g_assert_true(r >= 0 && sd_bus_request_name(bus, NAME, 0) >= 0);
        puts("ready");
        fflush(stdout);
        while ((r = sd_bus_process(bus, NULL)) >= 0)
                if (r == 0 && sd_bus_wait(bus, UINT64_MAX) < 0)
                        return 1;
        return 0;
}
