/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Presence files
 */

#include "dbus/ctl/presence-file.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dbus/ctl/output.h"

#define GROUP "Presence"

/* first wins */
static const char *const directories[] = {
        "/etc/convene/presence.d",
        "/run/convene/presence.d",
        "/usr/lib/convene/presence.d",
};

static void presence_file_free(void *p) {
        PresenceFile *f = p;

        g_free(f->name);
        g_free(f->path);
        g_free(f->text);
        g_strfreev(f->units);
        g_free(f);
}

static char **read_units(const char *text) {
        g_autoptr(GKeyFile) keys = g_key_file_new();
        g_autoptr(GPtrArray) units = g_ptr_array_new();
        g_autofree char *value = NULL;

        if (g_key_file_load_from_data(keys, text, -1, G_KEY_FILE_NONE, NULL))
                value = g_key_file_get_value(keys, GROUP, "Unit", NULL);

        g_auto(GStrv) words = g_strsplit_set(value ?: "", " \t", -1);
        for (char **w = words; *w; w++)
                if (**w)
                        g_ptr_array_add(units, g_strdup(*w));
        g_ptr_array_add(units, NULL);
        return (char **) g_ptr_array_steal(units, NULL);
}

static ExitStatus read_file(const char *directory, const char *name, GPtrArray *files) {
        PresenceFile *f = g_new0(PresenceFile, 1);
        g_autoptr(GError) error = NULL;

        f->name = g_strdup(name);
        f->path = g_build_filename(directory, name, NULL);
        g_ptr_array_add(files, f);
        if (!g_file_get_contents(f->path, &f->text, NULL, &error)) {
                print_error("%s", error->message);
                return g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_ACCES) ? EXIT_STATUS_ACCESS
                                                                                : EXIT_STATUS_FAILURE;
        }
        f->units = read_units(f->text);
        return EXIT_STATUS_OK;
}

static bool is_listed(const GPtrArray *files, const char *name) {
        for (unsigned i = 0; i < files->len; i++) {
                const PresenceFile *f = g_ptr_array_index(files, i);

                if (g_str_equal(f->name, name))
                        return true;
        }

        return false;
}

static int compare_files(const void *a, const void *b) {
        const PresenceFile *const *x = a, *const *y = b;

        return strcmp((*x)->name, (*y)->name);
}

ExitStatus presence_files_read(const char *root, GPtrArray **ret) {
        g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func(presence_file_free);

        for (size_t i = 0; i < G_N_ELEMENTS(directories); i++) {
                g_autofree char *directory = g_build_filename(root ?: "/", directories[i], NULL);
                g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
                const char *name;

                while (dir && (name = g_dir_read_name(dir))) {
                        if (!g_str_has_suffix(name, ".conf") || name[0] == '.' || is_listed(files, name))
                                continue;
                        ExitStatus e = read_file(directory, name, files);
                        if (e != EXIT_STATUS_OK)
                                return e;
                }
        }

        for (unsigned i = files->len; i-- > 0;) {
                const PresenceFile *f = g_ptr_array_index(files, i);

                if (!*f->text)
                        g_ptr_array_remove_index(files, i);
        }
        g_ptr_array_sort(files, compare_files);
        *ret = g_steal_pointer(&files);
        return EXIT_STATUS_OK;
}

bool presence_file_is_of(const PresenceFile *f, const char *unit) {
        for (char **u = f->units; *u; u++)
                if (g_str_equal(*u, unit) || fnmatch(*u, unit, FNM_NOESCAPE) == 0)
                        return true;

        return false;
}

char *presence_file_format(const char *unit, const Options *o) {
        g_autoptr(GKeyFile) keys = g_key_file_new();

        /* Only Data= knows escapes; elsewhere a backslash belongs to the name of a unit. */
        g_key_file_set_value(keys, GROUP, "Unit", unit);
        g_key_file_set_value(keys, GROUP, "Path", o->path);
        if (o->data)
                g_key_file_set_string(keys, GROUP, "Data", o->data);
        if (o->session_timeout_msec > 0) {
                g_autofree char *timeout = format_exact_msec(o->session_timeout_msec);
                g_key_file_set_value(keys, GROUP, "Timeout", timeout);
        }
        if (o->acl->len > 0) {
                g_autoptr(GString) acl = g_string_new(NULL);

                for (unsigned i = 0; i < o->acl->len; i++) {
                        g_autofree char *entry = acl_item_format(g_ptr_array_index(o->acl, i));
                        g_string_append_printf(acl, "%s%s", i > 0 ? " " : "", entry);
                }
                g_key_file_set_value(keys, GROUP, "Acl", acl->str);
        }

        g_autofree char *text = g_key_file_to_data(keys, NULL, NULL);
        return g_strconcat("# Written by \"convenectl presence enable\"; see convene.presence(5).\n", text, NULL);
}

char *presence_file_path(const char *root, const char *unit) {
        const char *dot = strrchr(unit, '.');

        if (!dot || dot == unit || !dot[1] || strlen(unit) > 240 || unit[0] == '.')
                return NULL;
        for (const char *p = unit; *p; p++)
                if (!g_ascii_isalnum(*p) && !strchr(":-_.\\@*?[]!^", *p))
                        return NULL;

        g_autofree char *name = g_strconcat(unit, ".conf", NULL);
        return g_build_filename(root ?: "/", directories[0], name, NULL);
}
