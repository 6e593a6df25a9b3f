/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Service
 */

#include "dbus/ctl/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dbus/ctl/output.h"

#define UNIT "convened.service"

/* Runs it with nothing on standard input.  False with a sentence if it cannot be run or fails; *ret_output is what it printed. */
static bool run(char **argv, char **ret_output, char **ret_error) {
        g_autofree char *output = NULL, *complaint = NULL;
        g_autoptr(GError) error = NULL;
        int status;

        if (!g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, &complaint, &status, &error)) {
                *ret_error = g_strdup(error->message);
                return false;
        }
        if (!g_spawn_check_wait_status(status, &error)) {
                *ret_error = g_strdup(*g_strstrip(complaint) ? complaint : error->message);
                return false;
        }

        if (ret_output)
                *ret_output = g_steal_pointer(&output);
        return true;
}

bool service_exists(void) {
        char *argv[] = { (char *) "systemctl", (char *) "show", (char *) "--property=LoadState", (char *) UNIT, NULL };
        g_autofree char *output = NULL, *error = NULL;

        return run(argv, &output, &error) && g_str_equal(g_strstrip(output), "LoadState=loaded");
}

void service_state_done(ServiceState *s) {
        g_free(s->active);
        g_free(s->text);
        *s = (ServiceState) {};
}

static const char *value_of(char **lines, const char *name) {
        size_t size = strlen(name);

        for (char **l = lines; *l; l++)
                if (g_str_has_prefix(*l, name) && (*l)[size] == '=')
                        return *l + size + 1;

        return "";
}

ExitStatus service_read(ServiceState *ret) {
        char *argv[] = { (char *) "systemctl", (char *) "show", (char *) "--property=ActiveState,StatusText,ExecMainStatus",
                         (char *) UNIT, NULL };
        g_autofree char *output = NULL, *error = NULL;
        g_auto(GStrv) lines = NULL;

        if (!run(argv, &output, &error)) {
                print_error("systemctl show " UNIT ": %s", error);
                return EXIT_STATUS_FAILURE;
        }

        lines = g_strsplit(output, "\n", -1);
        service_state_done(ret);
        *ret = (ServiceState) {
                .active = g_strdup(value_of(lines, "ActiveState")),
                .text = g_strdup(value_of(lines, "StatusText")),
                .exit_status = atoi(value_of(lines, "ExecMainStatus")),
        };
        return EXIT_STATUS_OK;
}

bool service_is_up(const ServiceState *s) {
        return g_str_equal(s->active, "active") || g_str_equal(s->active, "activating") || g_str_equal(s->active, "reloading");
}

ExitStatus service_do(const char *verb, ...) {
        g_autoptr(GPtrArray) argv = g_ptr_array_new();
        g_autofree char *error = NULL, *words = NULL;
        va_list ap;

        g_ptr_array_add(argv, (char *) "systemctl");
        va_start(ap, verb);
        for (const char *word = verb; word; word = va_arg(ap, const char *))
                g_ptr_array_add(argv, (char *) word);
        va_end(ap);
        g_ptr_array_add(argv, NULL);

        if (run((char **) argv->pdata, NULL, &error))
                return EXIT_STATUS_OK;

        words = g_strjoinv(" ", (char **) argv->pdata);
        print_error("%s: %s", words, error);
        return EXIT_STATUS_FAILURE;
}

/* Beside this one, wherever the tree was installed. */
char *service_program(void) {
        g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
        g_autofree char *directory = self ? g_path_get_dirname(self) : NULL;
        g_autofree char *beside = directory ? g_build_filename(directory, "../lib/convene/convened", NULL) : NULL;
        g_autofree char *plain = beside ? g_canonicalize_filename(beside, "/") : NULL;

        return plain && access(plain, X_OK) >= 0 ? g_steal_pointer(&plain) : g_strdup(CONVENED_PROGRAM);
}

ExitStatus service_read_configuration(GKeyFile **ret) {
        g_autofree char *program = service_program(), *output = NULL, *error = NULL;
        char *argv[] = { program, (char *) "--print-config", NULL };
        g_autoptr(GKeyFile) keys = g_key_file_new();

        if (!run(argv, &output, &error)) {
                print_error("%s", g_str_has_prefix(error, "convened: ") ? error + strlen("convened: ") : error);
                return EXIT_STATUS_FAILURE;
        }
        if (!g_key_file_load_from_data(keys, output, -1, G_KEY_FILE_NONE, NULL)) {
                print_error("%s --print-config printed no configuration; are convenectl and convened of one version?", program);
                return EXIT_STATUS_FAILURE;
        }

        *ret = g_steal_pointer(&keys);
        return EXIT_STATUS_OK;
}
