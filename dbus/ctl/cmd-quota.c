/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * quota
 *
 * A quota is two znodes below /zookeeper/quota, as in ZooKeeper: the limits, which an administrator writes, and the
 * usage, which the tree keeps.
 */

#include <stdio.h>
#include <string.h>

#include "dbus/ctl/command.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/quota-text.h"
#include "dbus/ctl/stat.h"

#define LIMITS "/zookeeper_limits"
#define STATS "/zookeeper_stats"

/* Only administrators may write below /zookeeper: there is nothing to gain from asking without. */
static void open_super_options(Call *call) {
        call_open_options(call);
        if (!call->ctl->options->super)
                call_option(call, "super", "b", true);
}

static ExitStatus read_quota(Ctl *c, const char *directory, const char *name, ConveneStatus *ret_status, Quota *ret) {
        g_autofree char *path = g_strconcat(directory, name, NULL);
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        const void *data;
        size_t size;

        call_begin(&call, "Tree", "Get");
        call_append(&call, "s", path);
        call_open_options(&call);
        ExitStatus e = call_try(&call, path, &reply, ret_status);
        if (e != EXIT_STATUS_OK || *ret_status != CONVENE_OK)
                return e;

        int r = sd_bus_message_read_array(reply, 'y', &data, &size);
        if (r < 0)
                return bad_reply(r);
        if (!quota_parse(data, size, ret)) {
                print_error("%s: holds no quota", path);
                return EXIT_STATUS_FAILURE;
        }
        return EXIT_STATUS_OK;
}

static ExitStatus print_status(const char *path, ConveneStatus status) {
        print_error("%s: %s (%s)", path, convene_status_describe(status), convene_status_to_string(status));
        return exit_status_from_status(status);
}

static ExitStatus no_quota(const char *path) {
        print_error("%s: has no quota of its own (NoNode)", path);
        return EXIT_STATUS_NO_NODE;
}

static void add_row(Table *t, const char *name, int64_t used, int64_t soft, int64_t hard) {
        const int64_t cells[] = { used, soft, hard };

        table_add(t, name);
        for (size_t i = 0; i < G_N_ELEMENTS(cells); i++)
                if (cells[i] < 0)
                        table_add(t, "-");
                else
                        table_add_format(t, "%" PRId64, cells[i]);
}

static void add_member(JsonObject *o, const char *name, int64_t value) {
        json_add(o, name, value < 0 ? NULL : json_object_new_int64(value));
}

static void print_quota(const Options *o, const char *path, const Quota *limits, const Quota *used) {
        if (o->json) {
                g_autoptr(JsonObject) object = json_object_new_object();

                json_add_string(object, "path", path);
                add_member(object, "count", limits->count);
                add_member(object, "bytes", limits->bytes);
                add_member(object, "hard_count", limits->hard_count);
                add_member(object, "hard_bytes", limits->hard_bytes);
                add_member(object, "used_count", used->count);
                add_member(object, "used_bytes", used->bytes);
                json_print(object);
        } else if (!o->quiet) {
                g_autoptr(Table) t = table_new("QUOTA", ">USED", ">LIMIT", ">HARD LIMIT", NULL);

                add_row(t, "znodes", used->count, limits->count, limits->hard_count);
                add_row(t, "bytes", used->bytes, limits->bytes, limits->hard_bytes);
                table_print(t);
        }
}

static ExitStatus quota_show(Ctl *c, const char *path) {
        g_autofree char *directory = quota_directory(path);
        Quota limits = QUOTA_NONE, used = QUOTA_NONE;
        ConveneStatus status;

        ExitStatus e = read_quota(c, directory, LIMITS, &status, &limits);
        if (e != EXIT_STATUS_OK)
                return e;
        if (status == CONVENE_NO_NODE)
                return no_quota(path);
        if (status == CONVENE_OK)
                e = read_quota(c, directory, STATS, &status, &used);
        if (e != EXIT_STATUS_OK)
                return e;
        if (status != CONVENE_OK && status != CONVENE_NO_NODE)
                return print_status(path, status);

        print_quota(c->options, path, &limits, &used);
        return EXIT_STATUS_OK;
}

static ExitStatus quota_create(Ctl *c, const char *path, const char *text, ConveneStatus *ret_status) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;

        call_begin_update(&call, "Tree", "Create");
        call_append(&call, "s", path);
        call_append_bytes(&call, text, strlen(text));
        call_append(&call, "s", "persistent");
        open_super_options(&call);
        call_option(&call, "parents", "b", true);
        return call_try(&call, path, &reply, ret_status);
}

static ExitStatus quota_set(Ctl *c, const char *path, char **assignments, unsigned count) {
        g_autofree char *directory = quota_directory(path);
        g_autofree char *limits = g_strconcat(directory, LIMITS, NULL);
        g_autofree char *stats = g_strconcat(directory, STATS, NULL);
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        ConveneStatus status;
        Quota q = QUOTA_NONE;

        for (unsigned i = 0; i < count; i++)
                if (!quota_take(&q, assignments[i])) {
                        print_error("\"%s\" is no quota: count=N, bytes=SIZE, hard-count=N, hard-bytes=SIZE, or none",
                                    assignments[i]);
                        return EXIT_STATUS_USAGE;
                }

        g_autofree char *text = quota_format(&q);
        call_begin_update(&call, "Tree", "Set");
        call_append(&call, "s", limits);
        call_append_bytes(&call, text, strlen(text));
        call_append(&call, "i", -1);
        open_super_options(&call);
        ExitStatus e = call_try(&call, limits, &reply, &status);
        if (e == EXIT_STATUS_OK && status == CONVENE_NO_NODE)
                e = quota_create(c, limits, text, &status);
        if (e != EXIT_STATUS_OK)
                return e;
        if (status != CONVENE_OK)
                return print_status(limits, status);

        /* the tree writes the usage into it for as long as it is there */
        e = quota_create(c, stats, "", &status);
        if (e == EXIT_STATUS_OK && status != CONVENE_OK && status != CONVENE_NODE_EXISTS)
                return print_status(stats, status);
        return e;
}

static ExitStatus try_delete(Ctl *c, const char *path, ConveneStatus *ret_status) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;

        call_begin_update(&call, "Tree", "Delete");
        call_append(&call, "si", path, -1);
        open_super_options(&call);
        return call_try(&call, path, &reply, ret_status);
}

static ExitStatus quota_remove(Ctl *c, const char *path) {
        g_autofree char *directory = quota_directory(path);
        g_autofree char *limits = g_strconcat(directory, LIMITS, NULL);
        g_autofree char *stats = g_strconcat(directory, STATS, NULL);
        ConveneStatus status;

        ExitStatus e = try_delete(c, limits, &status);
        if (e != EXIT_STATUS_OK)
                return e;
        if (status == CONVENE_NO_NODE)
                return no_quota(path);
        if (status != CONVENE_OK)
                return print_status(limits, status);

        /* the rest is in nobody's way if it stays: a directory may hold the quotas of others */
        e = try_delete(c, stats, &status);
        while (e == EXIT_STATUS_OK && !g_str_equal(directory, "/zookeeper/quota")) {
                g_autofree char *parent = path_parent(directory);

                e = try_delete(c, directory, &status);
                if (e != EXIT_STATUS_OK || status != CONVENE_OK)
                        break;
                g_free(directory);
                directory = g_steal_pointer(&parent);
        }
        return e;
}

ExitStatus cmd_quota(Ctl *c, char **arguments, unsigned count) {
        const char *path = arguments[0];

        if (path[0] != '/')
                return print_status(path, CONVENE_BAD_ARGUMENTS);
        if (g_str_equal(path, "/") || g_str_equal(path, "/zookeeper") || g_str_has_prefix(path, "/zookeeper/")) {
                print_error("%s: cannot have a quota: it holds the quotas themselves (BadArguments)", path);
                return EXIT_STATUS_USAGE;
        }

        if (count == 1)
                return quota_show(c, path);
        if (count == 2 && g_str_equal(arguments[1], "none"))
                return quota_remove(c, path);
        return quota_set(c, path, arguments + 1, count - 1);
}
