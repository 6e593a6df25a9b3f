/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * get, set, create, delete
 */

#include <stdio.h>
#include <string.h>

#include "dbus/ctl/command.h"
#include "dbus/ctl/hold.h"
#include "dbus/ctl/input.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/stat.h"

static void print_data(const uint8_t *data, size_t size) {
        if (!output_is_terminal()) {
                fwrite(data, 1, size, stdout);
                return;
        }

        g_autofree char *text = format_data(data, size, 0);
        fputs(text, stdout);
        if (size > 0 && !g_str_has_suffix(text, "\n"))
                putchar('\n');
}

ExitStatus cmd_get(Ctl *c, char **arguments, unsigned count) {
        const char *path = arguments[0];
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        const void *data;
        size_t size;
        ZnodeStat stat;

        call_begin(&call, "Tree", "Get");
        call_append(&call, "s", path);
        call_open_options(&call);
        if (c->options->linearizable)
                call_option(&call, "linearizable", "b", true);
        ExitStatus e = call_send(&call, path, &reply);
        if (e != EXIT_STATUS_OK)
                return e;

        int r = sd_bus_message_read_array(reply, 'y', &data, &size);
        if (r < 0)
                return bad_reply(r);
        r = stat_read(reply, &stat);
        if (r < 0)
                return bad_reply(r);

        if (!c->options->json) {
                if (!c->options->quiet)
                        print_data(data, size);
                return EXIT_STATUS_OK;
        }

        g_autoptr(JsonObject) o = json_object_new_object();
        json_add_string(o, "path", path);
        json_add_data(o, "data", data, size);
        json_add(o, "stat", stat_to_json(&stat));
        json_print(o);
        return EXIT_STATUS_OK;
}

ExitStatus cmd_set(Ctl *c, char **arguments, unsigned count) {
        const Options *o = c->options;
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(GBytes) data = NULL;
        ZnodeStat stat;
        size_t size;

        if (o->null_value != (count == 1)) {
                print_error("set needs either data (\"-\" for standard input) or --null");
                return EXIT_STATUS_USAGE;
        }
        ExitStatus e = input_take_data(arguments[1], &data);
        if (e != EXIT_STATUS_OK)
                return e;

        const void *bytes = g_bytes_get_data(data, &size);
        call_begin_update(&call, "Tree", "Set");
        call_append(&call, "s", arguments[0]);
        call_append_bytes(&call, bytes, size);
        call_append(&call, "i", o->if_version);
        call_open_options(&call);
        if (o->if_czxid != 0)
                call_option(&call, "czxid", "t", o->if_czxid);
        if (o->null_value)
                call_option(&call, "null", "b", true);
        e = call_send(&call, arguments[0], &reply);
        if (e != EXIT_STATUS_OK)
                return e;

        int r = stat_read(reply, &stat);
        if (r < 0)
                return bad_reply(r);
        if (o->json) {
                g_autoptr(JsonObject) object = json_object_new_object();

                json_add_string(object, "path", arguments[0]);
                json_add(object, "stat", stat_to_json(&stat));
                json_print(object);
        }
        return EXIT_STATUS_OK;
}

/* The mode's name on the bus, or NULL with a word to the user. */
static const char *create_mode(const Options *o) {
        bool ephemeral = o->ephemeral || o->unit;

        if (ephemeral + o->container + (o->ttl_msec > 0) > 1 || (o->container && o->sequential)) {
                print_error("an ephemeral (--ephemeral, --unit), a --container and a --ttl znode exclude each other, "
                            "and a container cannot be --sequential");
                return NULL;
        }

        if (ephemeral)
                return o->sequential ? "ephemeral-sequential" : "ephemeral";
        if (o->ttl_msec > 0)
                return o->sequential ? "ttl-sequential" : "ttl";
        if (o->container)
                return "container";
        return o->sequential ? "persistent-sequential" : "persistent";
}

static ExitStatus check_create(const Options *o, unsigned count) {
        if (o->null_value && count == 2) {
                print_error("data and --null exclude each other");
                return EXIT_STATUS_USAGE;
        }
        if (o->session_timeout_msec > 0 && !o->ephemeral && !o->unit) {
                print_error("--session-timeout needs --ephemeral or --unit");
                return EXIT_STATUS_USAGE;
        }
        if (o->session_timeout_msec > UINT32_MAX) {
                print_error("--session-timeout: too long");
                return EXIT_STATUS_USAGE;
        }
        if (o->command && o->unit) {
                print_error("--unit and a command to run exclude each other");
                return EXIT_STATUS_USAGE;
        }
        if (o->ephemeral && !o->unit && o->command && !o->command[0]) {
                print_error("no command after \"--\"");
                return EXIT_STATUS_USAGE;
        }
        return EXIT_STATUS_OK;
}

static void print_created(const Options *o, const char *path, const ZnodeStat *stat) {
        if (o->json) {
                g_autoptr(JsonObject) object = json_object_new_object();

                json_add_string(object, "path", path);
                json_add(object, "stat", stat_to_json(stat));
                json_print(object);
        } else if (!o->quiet) {
                puts(path);
        }

        /* what is held is announced when it begins, not when it ends */
        fflush(stdout);
}

static ExitStatus create_znode(Ctl *c, const char *path, GBytes *data, const char *mode, uint64_t session,
                               char **ret_created) {
        const Options *o = c->options;
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        const char *created;
        ZnodeStat stat;
        size_t size;
        const void *bytes = g_bytes_get_data(data, &size);

        call_begin_update(&call, "Tree", "Create");
        call_append(&call, "s", path);
        call_append_bytes(&call, bytes, size);
        call_append(&call, "s", mode);
        call_open_options(&call);
        if (o->acl->len > 0)
                call_option_acl(&call, "acl", o->acl);
        if (o->ttl_msec > 0)
                call_option(&call, "ttl", "t", o->ttl_msec);
        if (o->null_value)
                call_option(&call, "null", "b", true);
        if (o->parents)
                call_option(&call, "parents", "b", true);
        if (session != 0)
                call_option(&call, "session", "t", session);
        ExitStatus e = call_send(&call, path, &reply);
        if (e != EXIT_STATUS_OK)
                return e;

        int r = sd_bus_message_read(reply, "s", &created);
        if (r < 0)
                return bad_reply(r);
        r = stat_read(reply, &stat);
        if (r < 0)
                return bad_reply(r);

        print_created(o, created, &stat);
        *ret_created = g_strdup(created);
        return EXIT_STATUS_OK;
}

static ExitStatus create_for_unit(Ctl *c, const char *path, GBytes *data, const char *mode) {
        const Options *o = c->options;
        g_autofree char *created = NULL;
        HeldSession session;

        ExitStatus e = held_session_open(c, "unit", o->unit, o->session_timeout_msec, &session);
        if (e != EXIT_STATUS_OK)
                return e;

        e = create_znode(c, path, data, mode, session.id, &created);
        if (e != EXIT_STATUS_OK)
                held_session_close(c, &session);        /* nothing is left of it that nobody asked for */
        held_session_done(&session);
        return e;
}

static ExitStatus create_and_hold(Ctl *c, const char *path, GBytes *data, const char *mode) {
        const Options *o = c->options;
        g_autofree char *created = NULL;
        HeldSession session;

        ExitStatus e = held_session_open(c, "connection", NULL, o->session_timeout_msec, &session);
        if (e != EXIT_STATUS_OK)
                return e;

        /* from here on signals end the session, not the process */
        hold_block_signals(NULL);
        int status;
        e = create_znode(c, path, data, mode, session.id, &created);
        if (e == EXIT_STATUS_OK)
                status = hold(c, &session, created, o->command);
        else
                status = e;
        held_session_close(c, &session);
        held_session_done(&session);
        return status;
}

ExitStatus cmd_create(Ctl *c, char **arguments, unsigned count) {
        const Options *o = c->options;
        g_autoptr(GBytes) data = NULL;
        g_autofree char *created = NULL;
        const char *mode = create_mode(o);

        if (!mode)
                return EXIT_STATUS_USAGE;
        ExitStatus e = check_create(o, count);
        if (e != EXIT_STATUS_OK)
                return e;
        e = input_take_data(count > 1 ? arguments[1] : NULL, &data);
        if (e != EXIT_STATUS_OK)
                return e;

        if (o->unit)
                return create_for_unit(c, arguments[0], data, mode);
        if (o->ephemeral)
                return create_and_hold(c, arguments[0], data, mode);
        return create_znode(c, arguments[0], data, mode, 0, &created);
}

static ExitStatus delete_one(Ctl *c, const char *path) {
        const Options *o = c->options;
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;

        call_begin_update(&call, "Tree", "Delete");
        call_append(&call, "si", path, o->if_version);
        call_open_options(&call);
        if (o->if_czxid != 0)
                call_option(&call, "czxid", "t", o->if_czxid);
        return call_send(&call, path, &reply);
}

static ExitStatus delete_recursive(Ctl *c, const char *path, uint64_t *ret_count) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;

        call_begin_update(&call, "Tree", "DeleteRecursive");
        call_append(&call, "s", path);
        call_open_options(&call);
        ExitStatus e = call_send(&call, path, &reply);
        if (e != EXIT_STATUS_OK)
                return e;

        int r = sd_bus_message_read(reply, "t", ret_count);
        return r < 0 ? bad_reply(r) : EXIT_STATUS_OK;
}

ExitStatus cmd_delete(Ctl *c, char **arguments, unsigned count) {
        const Options *o = c->options;
        g_autoptr(JsonObject) array = json_object_new_array();
        ExitStatus first = EXIT_STATUS_OK;

        if (o->recursive && (o->given & (OPTION_BIT(OPTION_IF_VERSION) | OPTION_BIT(OPTION_IF_CZXID)))) {
                print_error("--recursive cannot be conditional (--if-version, --if-czxid)");
                return EXIT_STATUS_USAGE;
        }

        /* each on its own, as rm does; "convenectl multi" is there for all or nothing */
        for (unsigned i = 0; i < count; i++) {
                uint64_t deleted = 1;
                ExitStatus e = o->recursive ? delete_recursive(c, arguments[i], &deleted)
                                            : delete_one(c, arguments[i]);

                if (e != EXIT_STATUS_OK) {
                        first = first == EXIT_STATUS_OK ? e : first;
                        continue;
                }
                JsonObject *object = json_object_new_object();
                json_add_string(object, "path", arguments[i]);
                json_add_u64(object, "znodes", deleted);
                json_object_array_add(array, object);
        }

        if (o->json)
                json_print(array);
        return first;
}
