/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Fuzz: the JSON of "convenectl multi"
 *
 * Input: the text.
 */

#include <string.h>

#include "agent/base/limits.h"
#include "dbus/ctl/json.h"
#include "dbus/ctl/multi.h"
#include "dbus/ctl/text.h"
#include "tests/fuzz/fuzz.h"

uint64_t fuzz_accepted;

static void check_operation(const Multi *m, const MultiOperation *o) {
        static const char *const updates[] = { "create", "set", "delete", "check", NULL };
        static const char *const reads[] = { "get", "children", NULL };

        fuzz_check(g_strv_contains(m->reads ? reads : updates, o->kind));
        fuzz_check(o->path && g_utf8_validate(o->path, -1, NULL));
        fuzz_check(!o->mode || g_utf8_validate(o->mode, -1, NULL));
        fuzz_check(o->version >= -1 && o->ttl_msec < INT64_MAX);
        fuzz_check(!(o->data && o->null_value));
        fuzz_check(!g_str_equal(o->kind, "set") || o->data || o->null_value);
        if (!g_str_equal(o->kind, "create"))
                fuzz_check(!o->acl && !o->mode && o->ttl_msec == 0);
        if (m->reads)
                fuzz_check(!o->data && !o->null_value && o->version == -1 && o->czxid == 0);
        for (unsigned i = 0; o->acl && i < o->acl->len; i++) {
                const AclItem *a = g_ptr_array_index(o->acl, i);

                fuzz_check(a->permissions >= 1 && a->permissions <= 31);
                fuzz_check(g_utf8_validate(a->scheme, -1, NULL) && g_utf8_validate(a->id, -1, NULL));
        }
}

static JsonObject *write_acl(const GPtrArray *acl) {
        JsonObject *array = json_object_new_array();

        for (unsigned i = 0; i < acl->len; i++) {
                g_autofree char *item = acl_item_format(g_ptr_array_index(acl, i));

                json_object_array_add(array, json_object_new_string(item));
        }
        return array;
}

static JsonObject *write_operation(const MultiOperation *o) {
        JsonObject *j = json_object_new_object();
        gsize size;
        const void *data = o->data ? g_bytes_get_data(o->data, &size) : NULL;

        json_add_string(j, "op", o->kind);
        json_add_string(j, "path", o->path);
        if (o->mode)
                json_add_string(j, "mode", o->mode);
        if (o->data)
                json_add_data(j, "data", data, size);
        if (o->null_value)
                json_add_bool(j, "null", true);
        if (o->acl)
                json_add(j, "acl", write_acl(o->acl));
        if (o->ttl_msec > 0)
                json_add_u64(j, "ttl_ms", o->ttl_msec);
        if (o->version != -1)
                json_add_i64(j, "version", o->version);
        if (o->czxid != 0)
                json_add_zxid(j, "czxid", o->czxid);
        return j;
}

static char *write_down(const Multi *m) {
        g_autoptr(JsonObject) array = json_object_new_array();

        for (unsigned i = 0; i < m->operations->len; i++)
                json_object_array_add(array, write_operation(g_ptr_array_index(m->operations, i)));
        return g_strdup(json_object_to_json_string(array));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autofree char *error = NULL, *text = NULL, *text_again = NULL;
        g_autoptr(Multi) m = multi_parse((const char *) data, size, &error), again = NULL;

        if (!m) {
                fuzz_check(error && g_utf8_validate(error, -1, NULL));
                return 0;
        }

        fuzz_check(!error && m->operations->len <= LIMIT_MULTI_OPERATIONS);
        for (unsigned i = 0; i < m->operations->len; i++)
                check_operation(m, g_ptr_array_index(m->operations, i));
        fuzz_accepted += m->operations->len > 0;

        /* What an operation says survives being written down again. */
        text = write_down(m);
        again = multi_parse(text, strlen(text), &error);
        fuzz_check(again && again->reads == m->reads);
        text_again = write_down(again);
        fuzz_check(g_str_equal(text, text_again));
        return 0;
}
