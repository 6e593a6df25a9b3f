/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Multi
 */

#include "dbus/ctl/multi.h"

#include <string.h>

#include "agent/base/limits.h"
#include "dbus/ctl/json.h"
#include "dbus/ctl/text.h"

static void operation_free(MultiOperation *o) {
        g_free(o->kind);
        g_free(o->path);
        g_free(o->mode);
        g_clear_pointer(&o->data, g_bytes_unref);
        g_clear_pointer(&o->acl, g_ptr_array_unref);
        g_free(o);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MultiOperation, operation_free)

void multi_free(Multi *m) {
        if (!m)
                return;
        g_ptr_array_unref(m->operations);
        g_free(m);
}

static const struct {
        const char *name;
        bool read;
        const char *members;            /* beside "op" and "path", each between spaces */
} kinds[] = {
        { "create", false, " data data_base64 null mode acl ttl_ms " },
        { "set", false, " data data_base64 null version czxid " },
        { "delete", false, " version czxid " },
        { "check", false, " version czxid " },
        { "get", true, " " },
        { "children", true, " " },
};

static char *take_string(JsonObject *value) {
        if (!json_object_is_type(value, json_type_string))
                return NULL;

        const char *s = json_object_get_string(value);
        /* a NUL inside would cut the text short without a word */
        return strlen(s) == (size_t) json_object_get_string_len(value) ? g_strdup(s) : NULL;
}

static bool take_acl(JsonObject *value, GPtrArray **ret, const char **ret_why) {
        g_autoptr(GPtrArray) acl = g_ptr_array_new_with_free_func((GDestroyNotify) acl_item_free);

        *ret_why = "is not an array of \"SCHEME:ID:PERMS\"";
        if (!json_object_is_type(value, json_type_array))
                return false;
        for (size_t i = 0; i < json_object_array_length(value); i++) {
                g_autofree char *s = take_string(json_object_array_get_idx(value, i));
                AclItem *item = s ? acl_item_parse(s, ret_why) : NULL;

                if (!item)
                        return false;
                g_ptr_array_add(acl, item);
        }

        g_clear_pointer(ret, g_ptr_array_unref);
        *ret = g_steal_pointer(&acl);
        return true;
}

static bool take_integer(JsonObject *value, int64_t min, int64_t max, int64_t *ret) {
        if (!json_object_is_type(value, json_type_int))
                return false;

        /* beyond int64 json-c gives the nearest, which is out of range of everything here */
        int64_t v = json_object_get_int64(value);
        if (v < min || v > max)
                return false;
        *ret = v;
        return true;
}

static bool take_czxid(JsonObject *value, Zxid *ret) {
        g_autofree char *s = NULL;
        int64_t v;

        if (take_integer(value, 1, INT64_MAX - 1, &v)) {
                *ret = v;
                return true;
        }
        s = take_string(value);
        return s && parse_zxid(s, ret) && *ret > 0;
}

static bool take_member(MultiOperation *o, const char *name, JsonObject *value, const char **ret_why) {
        int64_t v;

        if (g_str_equal(name, "path")) {
                *ret_why = "is not a string";
                g_free(o->path);
                o->path = take_string(value);
                return o->path;
        }
        if (g_str_equal(name, "mode")) {
                *ret_why = "is not a string";
                g_free(o->mode);
                o->mode = take_string(value);
                return o->mode;
        }
        if (g_str_equal(name, "acl"))
                return take_acl(value, &o->acl, ret_why);
        if (g_str_equal(name, "null")) {
                *ret_why = "is not true or false";
                o->null_value = json_object_get_boolean(value);
                return json_object_is_type(value, json_type_boolean);
        }
        if (g_str_equal(name, "version")) {
                *ret_why = "is not a version: a number from 0, or -1 for any";
                if (!take_integer(value, -1, INT32_MAX, &v))
                        return false;
                o->version = v;
                return true;
        }
        if (g_str_equal(name, "ttl_ms")) {
                *ret_why = "is not a number of milliseconds above 0";
                if (!take_integer(value, 1, INT64_MAX - 1, &v))
                        return false;
                o->ttl_msec = v;
                return true;
        }
        if (g_str_equal(name, "czxid")) {
                *ret_why = "is not a zxid, such as \"0x100000002\"";
                return take_czxid(value, &o->czxid);
        }
        return true;            /* "op" and data are taken by the caller */
}

static bool take_kind(JsonObject *object, MultiOperation *o, unsigned *ret_index, char **ret_error) {
        JsonObject *value = NULL;

        if (json_object_is_type(object, json_type_object) && json_object_object_get_ex(object, "op", &value))
                o->kind = take_string(value);
        for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
                if (g_strcmp0(kinds[i].name, o->kind) == 0) {
                        *ret_index = i;
                        return true;
                }

        *ret_error = g_strdup("\"op\" is not one of create, set, delete, check, get, children");
        return false;
}

static bool take_data(JsonObject *object, MultiOperation *o, char **ret_error) {
        uint8_t *data;
        size_t size;

        if (!json_get_data(object, "data", &data, &size)) {
                *ret_error = g_strdup("\"data\" is not a string or \"data_base64\" no base64, or both are given");
                return false;
        }
        if (json_object_object_get_ex(object, "data", NULL) || json_object_object_get_ex(object, "data_base64", NULL))
                o->data = g_bytes_new_take(data, size);
        if (o->data && o->null_value) {
                *ret_error = g_strdup("\"data\" and \"null\" exclude each other");
                return false;
        }
        if (g_str_equal(o->kind, "set") && !o->data && !o->null_value) {
                *ret_error = g_strdup("\"set\" needs \"data\", \"data_base64\" or \"null\"");
                return false;
        }
        return true;
}

static MultiOperation *operation_parse(JsonObject *object, bool *ret_read, char **ret_error) {
        g_autoptr(MultiOperation) o = g_new0(MultiOperation, 1);
        unsigned kind;

        o->version = -1;
        if (!take_kind(object, o, &kind, ret_error))
                return NULL;

        json_object_object_foreach(object, name, value) {
                g_autofree char *word = g_strconcat(" ", name, " ", NULL);
                bool common = g_str_equal(name, "op") || g_str_equal(name, "path");
                const char *why;

                if (!common && (strchr(name, ' ') || !strstr(kinds[kind].members, word))) {
                        *ret_error = g_strdup_printf("\"%s\" takes no \"%s\"", o->kind, name);
                        return NULL;
                }
                if (!take_member(o, name, value, &why)) {
                        *ret_error = g_strdup_printf("\"%s\" %s", name, why);
                        return NULL;
                }
        }

        if (!o->path) {
                *ret_error = g_strdup("\"path\" is missing");
                return NULL;
        }
        if (!take_data(object, o, ret_error))
                return NULL;

        *ret_read = kinds[kind].read;
        return g_steal_pointer(&o);
}

Multi *multi_parse(const char *text, size_t size, char **ret_error) {
        g_autoptr(Multi) m = g_new0(Multi, 1);
        g_autoptr(JsonObject) array = json_parse(text, size, ret_error);

        m->operations = g_ptr_array_new_with_free_func((GDestroyNotify) operation_free);
        if (!array)
                return NULL;
        if (!json_object_is_type(array, json_type_array)) {
                *ret_error = g_strdup("the JSON document is not an array of operations");
                return NULL;
        }
        if (json_object_array_length(array) > LIMIT_MULTI_OPERATIONS) {
                *ret_error = g_strdup_printf("more than %d operations", LIMIT_MULTI_OPERATIONS);
                return NULL;
        }

        for (size_t i = 0; i < json_object_array_length(array); i++) {
                g_autofree char *why = NULL;
                bool read;
                MultiOperation *o = operation_parse(json_object_array_get_idx(array, i), &read, &why);

                if (!o) {
                        *ret_error = g_strdup_printf("operation %zu: %s", i, why);
                        return NULL;
                }
                g_ptr_array_add(m->operations, o);
                if (i > 0 && read != m->reads) {
                        *ret_error = g_strdup_printf("operation %zu: reads and updates do not mix", i);
                        return NULL;
                }
                m->reads = read;
        }

        return g_steal_pointer(&m);
}
