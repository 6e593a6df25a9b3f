/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Join token
 *
 * "cvn1." and bytes in base64 as URLs have it, the last four of which are a checksum of those before.
 */

#include "dbus/ctl/join-token.h"

#include <string.h>

#include <glib.h>

#include "agent/base/hash.h"
#include "agent/base/reader.h"

#define PREFIX "cvn1."
#define CHECKSUM_BYTES 4

bool join_token_is_intact(const char *token, const char **ret_why) {
        g_autofree uint8_t *data = NULL;
        g_autofree char *text = NULL;
        size_t length, size;
        Reader r;

        *ret_why = "no token; \"convenectl member token\" on a member prints one";
        if (!g_str_has_prefix(token, PREFIX))
                return false;

        *ret_why = "mistyped or cut short";
        token += strlen(PREFIX);
        length = strlen(token);
        if (length < 8 || strspn(token, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != length)
                return false;

        text = g_strconcat(token, "===", NULL);
        text[length + 3 - (length + 3) % 4] = '\0';
        g_strdelimit(text, "-", '+');
        g_strdelimit(text, "_", '/');
        data = g_base64_decode(text, &size);
        if (size <= CHECKSUM_BYTES)
                return false;

        r = READER_INIT(data + size - CHECKSUM_BYTES, CHECKSUM_BYTES);
        return reader_u32(&r) == (uint32_t) hash128(data, size - CHECKSUM_BYTES, 0).low;
}
