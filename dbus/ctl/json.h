/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * JSON
 *
 * The shapes convenectl(1) documents: zxids as "0x..." and session ids as 16 hexadecimal digits (both are beyond what
 * every JSON reader keeps exact as a number), bytes as KEY if they are UTF-8 and as KEY_base64 if not.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>
#include <json-c/json.h>

#include "agent/base/zxid.h"

typedef struct json_object JsonObject;

static inline void json_object_release(JsonObject *o) {
        json_object_put(o);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JsonObject, json_object_release)

void json_add(JsonObject *o, const char *key, JsonObject *value);       /* takes the reference */
void json_add_string(JsonObject *o, const char *key, const char *value);
void json_add_u64(JsonObject *o, const char *key, uint64_t value);
void json_add_i64(JsonObject *o, const char *key, int64_t value);
void json_add_bool(JsonObject *o, const char *key, bool value);
void json_add_zxid(JsonObject *o, const char *key, Zxid value);
void json_add_session(JsonObject *o, const char *key, uint64_t value);  /* null for 0 */
void json_add_data(JsonObject *o, const char *key, const void *data, size_t size);

void json_print(JsonObject *o);         /* a document: indented on a terminal, one line elsewhere */
void json_print_line(JsonObject *o);    /* one of many: always one line, flushed */

/* Parses exactly one strict JSON document; NULL with *ret_error (owned) if it is none. */
JsonObject *json_parse(const char *text, size_t size, char **ret_error);

/* The reverse of json_add_data(): the bytes of KEY or KEY_base64 in `o`, freshly allocated, NULL with size 0 if neither
 * is there.  False if the member has another type, is no base64, or both are given. */
bool json_get_data(JsonObject *o, const char *key, uint8_t **ret_data, size_t *ret_size);
