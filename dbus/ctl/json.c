/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * JSON
 */

#include "dbus/ctl/json.h"

#include <stdio.h>
#include <string.h>

#include "dbus/ctl/output.h"

#define NESTING_MAX 16

void json_add(JsonObject *o, const char *key, JsonObject *value) {
        json_object_object_add(o, key, value);
}

void json_add_string(JsonObject *o, const char *key, const char *value) {
        json_add(o, key, json_object_new_string(value));
}

void json_add_u64(JsonObject *o, const char *key, uint64_t value) {
        json_add(o, key, json_object_new_uint64(value));
}

void json_add_i64(JsonObject *o, const char *key, int64_t value) {
        json_add(o, key, json_object_new_int64(value));
}

void json_add_bool(JsonObject *o, const char *key, bool value) {
        json_add(o, key, json_object_new_boolean(value));
}

void json_add_zxid(JsonObject *o, const char *key, Zxid value) {
        g_autofree char *text = g_strdup_printf(ZXID_FORMAT, value);

        json_add_string(o, key, text);
}

void json_add_session(JsonObject *o, const char *key, uint64_t value) {
        g_autofree char *text = g_strdup_printf("%016" PRIx64, value);

        if (value != 0)
                json_add_string(o, key, text);
        else
                json_add(o, key, NULL);
}

void json_add_data(JsonObject *o, const char *key, const void *data, size_t size) {
        /* with a length, g_utf8_validate() refuses NUL too: such bytes are no text for most readers */
        if (size == 0 || g_utf8_validate(data, size, NULL)) {
                json_add(o, key, json_object_new_string_len(size > 0 ? data : "", size));
                return;
        }

        g_autofree char *base64 = g_base64_encode(data, size);
        g_autofree char *name = g_strconcat(key, "_base64", NULL);
        json_add_string(o, name, base64);
}

static void print(JsonObject *o, bool indented) {
        int flags = JSON_C_TO_STRING_NOSLASHESCAPE;

        if (indented)
                flags |= JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED;
        puts(json_object_to_json_string_ext(o, flags));
}

void json_print(JsonObject *o) {
        print(o, output_is_terminal());
}

void json_print_line(JsonObject *o) {
        print(o, false);
        fflush(stdout);
}

JsonObject *json_parse(const char *text, size_t size, char **ret_error) {
        const char *invalid;

        if (size > INT32_MAX) {
                *ret_error = g_strdup("the input is too large");
                return NULL;
        }
        /* json-c's own check takes forms that are longer than need be for characters. */
        if (!g_utf8_validate(text, (gssize) size, &invalid)) {
                *ret_error = g_strdup_printf("no valid JSON at byte %td: not UTF-8", invalid - text);
                return NULL;
        }

        struct json_tokener *tokener = json_tokener_new_ex(NESTING_MAX);

        /* strict: nothing but white space may follow */
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
        JsonObject *o = json_tokener_parse_ex(tokener, text, size);
        enum json_tokener_error error = json_tokener_get_error(tokener);
        size_t end = json_tokener_get_parse_end(tokener);
        json_tokener_free(tokener);

        if (error != json_tokener_success || !o) {
                *ret_error = g_strdup_printf("no valid JSON at byte %zu: %s", end,
                                             error == json_tokener_success ? "null" : json_tokener_error_desc(error));
                json_object_put(o);
                return NULL;
        }
        return o;
}

bool json_get_data(JsonObject *o, const char *key, uint8_t **ret_data, size_t *ret_size) {
        g_autofree char *name = g_strconcat(key, "_base64", NULL);
        JsonObject *plain = NULL, *encoded = NULL;

        bool has_plain = json_object_object_get_ex(o, key, &plain);
        bool has_encoded = json_object_object_get_ex(o, name, &encoded);
        if (has_plain && has_encoded)
                return false;

        if (has_plain) {
                if (!json_object_is_type(plain, json_type_string))
                        return false;
                *ret_size = json_object_get_string_len(plain);
                *ret_data = g_memdup2(json_object_get_string(plain), *ret_size);
                return true;
        }
        if (has_encoded) {
                if (!json_object_is_type(encoded, json_type_string))
                        return false;
                const char *text = json_object_get_string(encoded);
                g_autofree uint8_t *data = g_base64_decode(text, ret_size);
                /* GLib skips what is no base64; say so instead of storing something else */
                g_autofree char *again = g_base64_encode(data, *ret_size);
                if (!g_str_equal(again, text))
                        return false;
                *ret_data = g_steal_pointer(&data);
                return true;
        }

        *ret_data = NULL;
        *ret_size = 0;
        return true;
}
