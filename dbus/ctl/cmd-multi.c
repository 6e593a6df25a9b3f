/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * multi
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/limits.h"
#include "dbus/ctl/command.h"
#include "dbus/ctl/input.h"
#include "dbus/ctl/multi.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/stat.h"

/* Escapes and base64 make text larger than what it stands for. */
#define INPUT_BYTES_MAX (4 * LIMIT_REQUEST_BYTES)

typedef struct MultiResult {
        char *error;                    /* "Ok" or an error's name */
        char *created;
        GBytes *data;
        GStrv names;
        ZnodeStat stat;
        bool has_stat;
} MultiResult;

static void result_clear(void *p) {
        MultiResult *r = p;

        g_free(r->error);
        g_free(r->created);
        g_clear_pointer(&r->data, g_bytes_unref);
        g_strfreev(r->names);
}

static void append_operation(Call *call, const MultiOperation *o) {
        size_t size;
        const void *data = o->data ? g_bytes_get_data(o->data, &size) : NULL;

        call_open(call, 'r', "ssa{sv}");
        call_append(call, "ss", o->kind, o->path);
        call_open(call, 'a', "{sv}");
        if (o->data)
                call_option_bytes(call, "data", data, size);
        if (o->null_value)
                call_option(call, "null", "b", true);
        if (o->mode)
                call_option(call, "mode", "s", o->mode);
        if (o->acl)
                call_option_acl(call, "acl", o->acl);
        if (o->ttl_msec > 0)
                call_option(call, "ttl", "t", o->ttl_msec);
        if (o->version >= 0)
                call_option(call, "version", "i", o->version);
        if (o->czxid != 0)
                call_option(call, "czxid", "t", o->czxid);
        call_close(call);
        call_close(call);
}

static void append_operations(Call *call, const Multi *m) {
        call_open(call, 'a', m->reads ? "(ss)" : "(ssa{sv})");
        for (unsigned i = 0; i < m->operations->len; i++) {
                const MultiOperation *o = g_ptr_array_index(m->operations, i);

                if (m->reads)
                        call_append(call, "(ss)", o->kind, o->path);
                else
                        append_operation(call, o);
        }
        call_close(call);
        call_open_options(call);
        if (m->reads && call->ctl->options->linearizable)
                call_option(call, "linearizable", "b", true);
}

static int read_value(sd_bus_message *m, const char *name, MultiResult *result) {
        const void *data;
        const char *s;
        size_t size;
        int r;

        if (g_str_equal(name, "created")) {
                r = sd_bus_message_read(m, "v", "s", &s);
                if (r >= 0)
                        result->created = g_strdup(s);
                return r;
        }
        if (g_str_equal(name, "stat")) {
                r = sd_bus_message_enter_container(m, 'v', STAT_SIGNATURE);
                if (r >= 0)
                        r = stat_read(m, &result->stat);
                result->has_stat = r >= 0;
                return r < 0 ? r : sd_bus_message_exit_container(m);
        }
        if (g_str_equal(name, "data")) {
                r = sd_bus_message_enter_container(m, 'v', "ay");
                if (r >= 0)
                        r = sd_bus_message_read_array(m, 'y', &data, &size);
                if (r >= 0)
                        result->data = g_bytes_new(data, size);
                return r < 0 ? r : sd_bus_message_exit_container(m);
        }
        if (g_str_equal(name, "names")) {
                g_autoptr(GPtrArray) names = g_ptr_array_new();

                r = sd_bus_message_enter_container(m, 'v', "as");
                if (r >= 0)
                        r = sd_bus_message_enter_container(m, 'a', "s");
                while (r >= 0 && (r = sd_bus_message_read(m, "s", &s)) > 0)
                        g_ptr_array_add(names, g_strdup(s));
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                g_ptr_array_add(names, NULL);
                result->names = (GStrv) g_ptr_array_free(g_steal_pointer(&names), FALSE);
                return r < 0 ? r : sd_bus_message_exit_container(m);
        }
        return sd_bus_message_skip(m, "v");     /* of a later version */
}

static int read_result(sd_bus_message *m, MultiResult *result) {
        const char *error, *name;
        int r;

        r = sd_bus_message_enter_container(m, 'r', "sa{sv}");
        if (r <= 0)
                return r;
        r = sd_bus_message_read(m, "s", &error);
        if (r < 0)
                return r;
        result->error = g_strdup(error);
        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read(m, "s", &name);
                if (r >= 0)
                        r = read_value(m, name, result);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(m);
        return r < 0 ? r : 1;
}

static int read_results(sd_bus_message *m, GArray *results) {
        int r = sd_bus_message_enter_container(m, 'a', "(sa{sv})");

        while (r >= 0) {
                MultiResult result = {};

                r = read_result(m, &result);
                if (r <= 0) {
                        result_clear(&result);
                        break;
                }
                g_array_append_val(results, result);
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static JsonObject *result_to_json(const MultiResult *r) {
        JsonObject *o = json_object_new_object();
        size_t size;

        json_add_string(o, "error", r->error);
        if (r->created)
                json_add_string(o, "created", r->created);
        if (r->data) {
                const void *data = g_bytes_get_data(r->data, &size);
                json_add_data(o, "data", data, size);
        }
        if (r->names) {
                JsonObject *names = json_object_new_array();

                for (char **name = r->names; *name; name++)
                        json_object_array_add(names, json_object_new_string(*name));
                json_add(o, "names", names);
        }
        if (r->has_stat)
                json_add(o, "stat", stat_to_json(&r->stat));
        return o;
}

#define DATA_SHOWN_BYTES 60

static void print_table(const Multi *m, const GArray *results) {
        g_autoptr(Table) t = table_new("OPERATION", "PATH", "RESULT", "VALUE", NULL);

        for (unsigned i = 0; i < results->len; i++) {
                const MultiOperation *o = g_ptr_array_index(m->operations, i);
                const MultiResult *r = &g_array_index(results, MultiResult, i);
                g_autofree char *value = NULL;
                size_t size;

                if (r->data) {
                        const void *data = g_bytes_get_data(r->data, &size);
                        value = format_data(data, size, DATA_SHOWN_BYTES);
                } else if (r->names) {
                        value = g_strjoinv(" ", r->names);
                } else if (r->has_stat && !r->created) {
                        value = g_strdup_printf("version %d", r->stat.version);
                }

                table_add(t, o->kind);
                table_add(t, r->created ?: o->path);
                table_add_coloured(t, g_str_equal(r->error, "Ok") ? COLOUR_GREEN : COLOUR_RED, r->error);
                table_add(t, value ?: "");
        }
        table_print(t);
}

/* The first result that says why nothing was done, or, among reads, that failed. */
static ExitStatus judge(const Multi *m, const GArray *results) {
        for (unsigned i = 0; i < results->len; i++) {
                const MultiOperation *o = g_ptr_array_index(m->operations, i);
                const char *error = g_array_index(results, MultiResult, i).error;

                if (g_str_equal(error, "Ok"))
                        continue;
                ConveneStatus status = convene_status_from_string(error);
                print_error("operation %u: %s: %s (%s)", i, o->path, convene_status_describe(status), error);
                return exit_status_from_status(status);
        }

        return EXIT_STATUS_OK;
}

ExitStatus cmd_multi(Ctl *c, char **arguments, unsigned count) {
        const Options *o = c->options;
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(GBytes) input = NULL;
        g_autofree char *error = NULL;
        g_autoptr(GArray) results = g_array_new(FALSE, TRUE, sizeof(MultiResult));
        int committed = true, r;
        uint64_t zxid;
        size_t size;

        g_array_set_clear_func(results, result_clear);
        ExitStatus e = input_read_file(arguments[0], INPUT_BYTES_MAX, &input);
        if (e != EXIT_STATUS_OK)
                return e;
        const char *text = g_bytes_get_data(input, &size);
        g_autoptr(Multi) m = multi_parse(text ?: "", size, &error);
        if (!m) {
                print_error("%s", error);
                return EXIT_STATUS_USAGE;
        }

        if (m->reads)
                call_begin(&call, "Tree", "MultiRead");
        else
                call_begin_update(&call, "Tree", "Multi");
        append_operations(&call, m);
        e = call_send(&call, NULL, &reply);
        if (e != EXIT_STATUS_OK)
                return e;

        r = m->reads ? 0 : sd_bus_message_read(reply, "b", &committed);
        if (r >= 0)
                r = read_results(reply, results);
        if (r >= 0)
                r = sd_bus_message_read(reply, "t", &zxid);
        if (r < 0 || results->len != m->operations->len)
                return bad_reply(r < 0 ? r : -EBADMSG);

        if (o->json) {
                g_autoptr(JsonObject) object = json_object_new_object();
                JsonObject *array = json_object_new_array();

                for (unsigned i = 0; i < results->len; i++)
                        json_object_array_add(array, result_to_json(&g_array_index(results, MultiResult, i)));
                if (!m->reads)
                        json_add_bool(object, "committed", committed);
                json_add_zxid(object, "zxid", zxid);
                json_add(object, "results", array);
                json_print(object);
        } else if (!o->quiet) {
                print_table(m, results);
        }
        return judge(m, results);
}
