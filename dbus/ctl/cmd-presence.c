/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * presence
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dbus/ctl/command.h"
#include "dbus/ctl/config-file.h"
#include "dbus/ctl/json.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/presence-file.h"

ExitStatus cmd_presence_list(Ctl *c, char **arguments, unsigned count) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(JsonObject) array = json_object_new_array();
        g_autoptr(Table) table = table_new("UNIT", "PATH", "SESSION", "STATE", NULL);
        const char *unit, *invocation, *path, *error;
        uint64_t session;

        call_begin(&call, "Agent", "ListPresences");
        ExitStatus e = call_send(&call, NULL, &reply);
        if (e != EXIT_STATUS_OK)
                return e;

        int r = sd_bus_message_enter_container(reply, 'a', "(sssts)");
        if (r < 0)
                return bad_reply(r);
        while ((r = sd_bus_message_read(reply, "(sssts)", &unit, &invocation, &path, &session, &error)) > 0) {
                JsonObject *o = json_object_new_object();
                Colour colour = *error ? COLOUR_RED : session != 0 ? COLOUR_GREEN : COLOUR_YELLOW;

                json_add_string(o, "unit", unit);
                json_add_string(o, "invocation", invocation);
                json_add_string(o, "path", path);
                json_add_session(o, "session", session);
                json_add_string(o, "error", error);
                json_object_array_add(array, o);
                table_add(table, unit);
                table_add(table, path);
                if (session != 0)
                        table_add_format(table, "%016" PRIx64, session);
                else
                        table_add(table, "-");
                table_add_coloured(table, colour, *error ? error : session != 0 ? "present" : "waiting");
        }
        if (r < 0)
                return bad_reply(r);

        if (c->options->json)
                json_print(array);
        else if (!c->options->quiet)
                table_print(table);
        return EXIT_STATUS_OK;
}

static bool is_wanted(const PresenceFile *f, char **units, unsigned count) {
        for (unsigned i = 0; i < count; i++)
                if (presence_file_is_of(f, units[i]))
                        return true;

        return count == 0;
}

static JsonObject *file_to_json(const PresenceFile *f) {
        JsonObject *o = json_object_new_object(), *units = json_object_new_array();

        for (char **u = f->units; *u; u++)
                json_object_array_add(units, json_object_new_string(*u));
        json_add_string(o, "file", f->path);
        json_add(o, "units", units);
        json_add_data(o, "text", f->text, strlen(f->text));
        return o;
}

ExitStatus cmd_presence_show(Ctl *c, char **arguments, unsigned count) {
        g_autoptr(GPtrArray) files = NULL;
        g_autoptr(JsonObject) array = json_object_new_array();
        unsigned shown = 0;

        ExitStatus e = presence_files_read(c->options->root, &files);
        if (e != EXIT_STATUS_OK)
                return e;

        for (unsigned i = 0; i < files->len; i++) {
                const PresenceFile *f = g_ptr_array_index(files, i);

                if (!is_wanted(f, arguments, count))
                        continue;
                if (c->options->json) {
                        json_object_array_add(array, file_to_json(f));
                } else if (!c->options->quiet) {
                        g_autofree char *text = format_data((const uint8_t *) f->text, strlen(f->text), 0);
                        printf("%s%s# %s%s\n%s%s", shown > 0 ? "\n" : "", colour_on(COLOUR_BLUE), f->path, colour_off(),
                               text, g_str_has_suffix(text, "\n") ? "" : "\n");
                }
                shown++;
        }

        if (c->options->json)
                json_print(array);
        if (count > 0 && shown == 0) {
                print_error("no presence is declared for %s", arguments[0]);
                return EXIT_STATUS_NO_NODE;
        }
        return EXIT_STATUS_OK;
}

static ExitStatus reload(Ctl *c) {
        char *argv[] = { (char *) "systemctl", (char *) "try-reload-or-restart", (char *) "convened.service", NULL };
        g_autoptr(GError) error = NULL;
        int status;

        if (c->options->root || c->options->no_reload)
                return EXIT_STATUS_OK;

        if (!g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_CHILD_INHERITS_STDIN, NULL, NULL, NULL, NULL,
                          &status, &error) ||
            !g_spawn_check_wait_status(status, &error)) {
                print_error("the file is in place, but the agent could not be told: %s", error->message);
                return EXIT_STATUS_FAILURE;
        }
        return EXIT_STATUS_OK;
}

static ExitStatus bad_unit(const char *unit) {
        print_error("\"%s\" is not the name of a unit, such as nginx.service, nor a pattern of names", unit);
        return EXIT_STATUS_USAGE;
}

ExitStatus cmd_presence_enable(Ctl *c, char **arguments, unsigned count) {
        const Options *o = c->options;
        g_autofree char *path = presence_file_path(o->root, arguments[0]);

        if (!path)
                return bad_unit(arguments[0]);
        if (!o->path || o->path[0] != '/') {
                print_error("presence enable needs --path=PATH, absolute, such as --path=/services/%%N/%%H");
                return EXIT_STATUS_USAGE;
        }
        if (strpbrk(o->path, "\n\r")) {
                print_error("--path: a path has no line breaks");
                return EXIT_STATUS_USAGE;
        }

        g_autofree char *text = presence_file_format(arguments[0], o);
        ExitStatus e = config_file_write(path, text);
        if (e != EXIT_STATUS_OK)
                return e;

        if (!o->quiet)
                puts(path);
        return reload(c);
}

ExitStatus cmd_presence_disable(Ctl *c, char **arguments, unsigned count) {
        ExitStatus first = EXIT_STATUS_OK;
        unsigned removed = 0;

        for (unsigned i = 0; i < count; i++) {
                g_autofree char *path = presence_file_path(c->options->root, arguments[i]);
                ExitStatus e = EXIT_STATUS_OK;

                if (!path) {
                        e = bad_unit(arguments[i]);
                } else if (unlink(path) >= 0) {
                        removed++;
                        if (!c->options->quiet)
                                puts(path);
                } else if (errno == ENOENT) {
                        print_error("%s: no such presence; \"convenectl presence show\" shows what other files declare",
                                    arguments[i]);
                        e = EXIT_STATUS_NO_NODE;
                } else {
                        e = config_file_failed("remove", path, errno);
                }
                if (e != EXIT_STATUS_OK && first == EXIT_STATUS_OK)
                        first = e;
        }

        ExitStatus e = removed > 0 ? reload(c) : EXIT_STATUS_OK;
        return first != EXIT_STATUS_OK ? first : e;
}
