/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Fuzz: the address of who asks for a credential
 *
 * Input: the address without its family.  Anybody who may connect chooses it; what is accepted becomes a path of the tree, and is what a unit
 * may read.
 */

#include <string.h>

#include <glib.h>

#include "agent/base/limits.h"
#include "agent/tree/request.h"
#include "dbus/server/credential.h"
#include "tests/fuzz/fuzz.h"

uint64_t fuzz_accepted;

/* One component of a path, and printable. */
static void check_name(const char *name) {
        fuzz_check(*name != '\0' && strlen(name) <= 255 && !g_str_equal(name, ".") && !g_str_equal(name, ".."));
        for (; *name != '\0'; name++)
                fuzz_check(*name > ' ' && *name < 0x7f && *name != '/');
}

/* What is looked for lies two levels below the root of credentials, and ends with the name that was asked for. */
static void check_path(const char *path, const char *name) {
        g_auto(GStrv) parts = g_strsplit(path, "/", -1);

        fuzz_check(path_validate(path, false) == CONVENE_OK);
        fuzz_check(g_strv_length(parts) == 5 && *parts[0] == '\0');
        fuzz_check(g_str_equal(parts[1], "convene") && g_str_equal(parts[2], "credentials") && g_str_equal(parts[4], name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autofree char *unit = NULL, *name = NULL, *again = NULL, *address = NULL;
        unsigned n = 0;

        if (!credential_parse_address((const char *) data, size, &unit, &name)) {
                fuzz_check(!unit && !name);
                return 0;
        }

        fuzz_accepted++;
        check_name(unit);
        check_name(name);
        again = g_strdup_printf("/unit/%s/%s", unit, name);
        address = g_strndup((const char *) data + 1, size - 1);
        fuzz_check(data[0] == 0 && strlen(address) == size - 1 && g_str_has_suffix(address, again));
        fuzz_check(strlen(address) > strlen(again) && !memchr(address, '/', strlen(address) - strlen(again)));

        for (char *path; (path = credential_path(unit, name, n)); n++) {
                check_path(path, name);
                g_free(path);
        }
        fuzz_check(n == 1 || n == 2);
        return 0;
}
