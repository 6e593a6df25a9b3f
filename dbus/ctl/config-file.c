/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Config file
 */

#include "dbus/ctl/config-file.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>

#include "dbus/ctl/output.h"

ExitStatus config_file_failed(const char *what, const char *path, int error) {
        print_error("cannot %s %s: %s", what, path, g_strerror(error));
        return error == EACCES || error == EPERM ? EXIT_STATUS_ACCESS : EXIT_STATUS_FAILURE;
}

static ExitStatus print_file_error(const GError *error) {
        print_error("%s", error->message);
        return g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_ACCES) ? EXIT_STATUS_ACCESS : EXIT_STATUS_FAILURE;
}

static bool write_file(const char *directory, const char *path, const char *text, GError **error) {
        if (g_mkdir_with_parents(directory, 0755) < 0) {
                g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "cannot make %s: %s", directory, g_strerror(errno));
                return false;
        }
        return g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0644, error);
}

ExitStatus config_file_write(const char *path, const char *text) {
        g_autofree char *directory = g_path_get_dirname(path);
        g_autoptr(GError) error = NULL;

        /* the agent, which is another user, is to read them whatever the umask of the shell is */
        mode_t before = umask(0022);
        bool ok = write_file(directory, path, text, &error);
        umask(before);
        return ok ? EXIT_STATUS_OK : print_file_error(error);
}

ExitStatus config_file_read(const char *path, char **ret_text) {
        g_autoptr(GError) error = NULL;

        *ret_text = NULL;
        if (g_file_get_contents(path, ret_text, NULL, &error) || g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
                return EXIT_STATUS_OK;
        return print_file_error(error);
}

ExitStatus config_file_remove(const char *path) {
        if (unlink(path) < 0 && errno != ENOENT)
                return config_file_failed("remove", path, errno);
        return EXIT_STATUS_OK;
}
