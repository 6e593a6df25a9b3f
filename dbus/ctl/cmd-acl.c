/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * acl, whoami
 */

#include <stdio.h>

#include "dbus/ctl/command.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/stat.h"

static int read_acl(sd_bus_message *m, GPtrArray *acl) {
        const char *scheme, *id;
        uint32_t permissions;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "(uss)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(m, "(uss)", &permissions, &scheme, &id)) > 0) {
                AclItem *item = g_new(AclItem, 1);

                *item = (AclItem) {
                        .permissions = permissions,
                        .scheme = g_strdup(scheme),
                        .id = g_strdup(id),
                };
                g_ptr_array_add(acl, item);
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static void print_acl(const Options *o, const char *path, const GPtrArray *acl, const ZnodeStat *stat) {
        g_autoptr(JsonObject) object = json_object_new_object();
        JsonObject *array = json_object_new_array();

        for (unsigned i = 0; i < acl->len; i++) {
                const AclItem *item = g_ptr_array_index(acl, i);
                g_autofree char *permissions = permissions_format(item->permissions);
                g_autofree char *text = acl_item_format(item);
                JsonObject *entry = json_object_new_object();

                json_add_string(entry, "scheme", item->scheme);
                json_add_string(entry, "id", item->id);
                json_add_string(entry, "permissions", permissions);
                json_object_array_add(array, entry);
                if (!o->json && !o->quiet) {
                        g_autofree char *line = format_line(text);
                        puts(line);
                }
        }

        json_add_string(object, "path", path);
        json_add(object, "acl", array);
        json_add(object, "stat", stat_to_json(stat));
        if (o->json)
                json_print(object);
}

static ExitStatus acl_show(Ctl *c, const char *path) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(GPtrArray) acl = g_ptr_array_new_with_free_func((GDestroyNotify) acl_item_free);
        ZnodeStat stat;

        call_begin(&call, "Tree", "GetAcl");
        call_append(&call, "s", path);
        call_open_options(&call);
        if (c->options->linearizable)
                call_option(&call, "linearizable", "b", true);
        ExitStatus e = call_send(&call, path, &reply);
        if (e != EXIT_STATUS_OK)
                return e;

        int r = read_acl(reply, acl);
        if (r >= 0)
                r = stat_read(reply, &stat);
        if (r < 0)
                return bad_reply(r);

        print_acl(c->options, path, acl, &stat);
        return EXIT_STATUS_OK;
}

static ExitStatus acl_set(Ctl *c, const char *path, char **entries, unsigned count) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(GPtrArray) acl = g_ptr_array_new_with_free_func((GDestroyNotify) acl_item_free);
        ZnodeStat stat;

        for (unsigned i = 0; i < count; i++) {
                const char *why;
                AclItem *item = acl_item_parse(entries[i], &why);

                if (!item) {
                        print_error("ACL entry \"%s\" %s", entries[i], why);
                        return EXIT_STATUS_USAGE;
                }
                g_ptr_array_add(acl, item);
        }

        call_begin_update(&call, "Tree", "SetAcl");
        call_append(&call, "s", path);
        call_append_acl(&call, acl);
        call_append(&call, "i", c->options->if_version);
        call_open_options(&call);
        ExitStatus e = call_send(&call, path, &reply);
        if (e != EXIT_STATUS_OK)
                return e;

        int r = stat_read(reply, &stat);
        if (r < 0)
                return bad_reply(r);
        if (c->options->json)
                print_acl(c->options, path, acl, &stat);
        return EXIT_STATUS_OK;
}

ExitStatus cmd_acl(Ctl *c, char **arguments, unsigned count) {
        if (count > 1)
                return acl_set(c, arguments[0], arguments + 1, count - 1);

        if (c->options->given & OPTION_BIT(OPTION_IF_VERSION)) {
                print_error("--if-version needs the entries of a new ACL");
                return EXIT_STATUS_USAGE;
        }
        return acl_show(c, arguments[0]);
}

ExitStatus cmd_whoami(Ctl *c, char **arguments, unsigned count) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(JsonObject) array = json_object_new_array();
        g_autoptr(Table) table = table_new("SCHEME", "ID", NULL);
        const char *scheme, *id;

        call_begin(&call, "Tree", "WhoAmI");
        call_open_options(&call);
        ExitStatus e = call_send(&call, NULL, &reply);
        if (e != EXIT_STATUS_OK)
                return e;

        int r = sd_bus_message_enter_container(reply, 'a', "(ss)");
        if (r < 0)
                return bad_reply(r);
        while ((r = sd_bus_message_read(reply, "(ss)", &scheme, &id)) > 0) {
                JsonObject *o = json_object_new_object();

                json_add_string(o, "scheme", scheme);
                json_add_string(o, "id", id);
                json_object_array_add(array, o);
                table_add(table, scheme);
                table_add(table, id);
        }
        if (r < 0)
                return bad_reply(r);

        if (c->options->json)
                json_print(array);
        else if (!c->options->quiet)
                table_print(table);
        return EXIT_STATUS_OK;
}
