/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Fuzz: declarations of presence, and what their specifiers become
 *
 * Input: the name of a unit, a newline, the text of the file.
 */

#include <string.h>

#include "agent/base/limits.h"
#include "agent/host/presence.h"
#include "agent/tree/request.h"
#include "tests/fuzz/fuzz.h"

#define FILE_NAME "/d/x.conf"

uint64_t fuzz_accepted;

static const PresenceHost host = { (char *) "web1.example.org", (char *) "0123456789abcdef0123456789abcdef",
                                   (char *) "fedcba9876543210fedcba9876543210", (char *) "6.1.0" };

static void check_sentence(const char *error) {
        fuzz_check(error && g_str_has_prefix(error, FILE_NAME ": ") && g_utf8_validate(error, -1, NULL));
}

static void check_limits(const Presence *p) {
        fuzz_check(p->units && p->units[0]);
        for (char **u = p->units; *u; u++)
                fuzz_check(**u != '\0' && strlen(*u) <= 255 && !strpbrk(*u, " \t"));
        fuzz_check(p->path && p->path[0] == '/' && p->data);
        fuzz_check(p->timeout_msec >= LIMIT_SESSION_TIMEOUT_MIN_MSEC && p->timeout_msec <= LIMIT_SESSION_TIMEOUT_MAX_MSEC);
        fuzz_check(p->acl_count <= LIMIT_ACL_ENTRIES);
        for (uint32_t i = 0; i < p->acl_count; i++)
                fuzz_check(p->acl[i].permissions >= 1 && p->acl[i].permissions <= 31 && p->acl[i].scheme[0] != '\0');
}

static char *acl_text(const Presence *p) {
        GString *s = g_string_new(NULL);

        for (uint32_t i = 0; i < p->acl_count; i++) {
                const PresenceAcl *a = &p->acl[i];

                g_string_append_printf(s, " %s:%s:", a->scheme, a->id);
                for (unsigned bit = 0; bit < 5; bit++)
                        if (a->permissions & 1u << bit)
                                g_string_append_c(s, "rwcda"[bit]);
        }
        return g_string_free(s, FALSE);
}

/* Written down again, it says the same. */
static void check_again(const Presence *p) {
        g_autoptr(GKeyFile) k = g_key_file_new();
        g_autofree char *units = g_strjoinv("\t", p->units), *acl = acl_text(p), *text = NULL, *acl_again = NULL;
        g_autofree char *units_again = NULL, *error = NULL, *timeout = g_strdup_printf("%ums", p->timeout_msec);
        g_autoptr(Presence) again = NULL;
        gsize size;

        g_key_file_set_value(k, "Presence", "Acl", acl);
        g_key_file_set_value(k, "Presence", "Unit", units);
        g_key_file_set_value(k, "Presence", "Path", p->path);
        g_key_file_set_string(k, "Presence", "Data", p->data);
        g_key_file_set_value(k, "Presence", "Timeout", timeout);
        g_key_file_set_value(k, "Presence", "CreateParents", p->create_parents ? "on" : "off");
        text = g_key_file_to_data(k, &size, NULL);

        again = presence_parse(FILE_NAME, text, size, &error);
        fuzz_check(again && !error);
        acl_again = acl_text(again);
        units_again = g_strjoinv("\t", again->units);
        fuzz_check(g_str_equal(units, units_again) && g_str_equal(acl, acl_again));
        fuzz_check(g_str_equal(p->path, again->path) && g_str_equal(p->data, again->data));
        fuzz_check(p->timeout_msec == again->timeout_msec && p->create_parents == again->create_parents);
}

static void check_expand(const Presence *p, const char *unit) {
        g_auto(PresenceZnode) z = { 0 };
        g_autofree char *error = NULL;
        bool ascii = true;

        (void) presence_matches(p, unit);
        if (!presence_expand(p, unit, &host, &z, &error)) {
                check_sentence(error);
                fuzz_check(!z.path && !z.acl);
                return;
        }

        for (const char *c = z.path; *c != '\0'; c++)
                ascii = ascii && (*c & 0x80) == 0;
        fuzz_check(strlen(z.path) <= LIMIT_PATH_BYTES && g_utf8_validate(z.path, -1, NULL));
        fuzz_check(!ascii || path_validate(z.path, false) == CONVENE_OK);       /* the tree takes it */
        fuzz_check(strlen(z.data) <= LIMIT_DATA_BYTES && z.acl_count == p->acl_count);
        for (uint32_t i = 0; i < z.acl_count; i++)
                fuzz_check(z.acl[i].permissions == p->acl[i].permissions && z.acl[i].id);
}

/* GLib warns about itself: a value with two bad escapes makes GKeyFile set its error twice. */
static void say_nothing(const char *domain, GLogLevelFlags level, const char *message, void *userdata) {
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static guint handler;
        const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
        g_autofree char *unit = NULL, *error = NULL;
        g_autoptr(Presence) p = NULL;

        if (!newline)
                return 0;

        /* Its names come over the bus, which has only valid strings. */
        unit = g_strndup((const char *) data, newline - data);
        if (!g_utf8_validate(unit, -1, NULL))
                return 0;

        if (handler == 0)
                handler = g_log_set_handler("GLib", G_LOG_LEVEL_WARNING, say_nothing, NULL);
        p = presence_parse(FILE_NAME, (const char *) newline + 1, size - (newline + 1 - data), &error);
        if (!p) {
                if (error)
                        check_sentence(error);
                return 0;
        }

        fuzz_check(!error);
        fuzz_accepted++;
        check_limits(p);
        check_again(p);
        check_expand(p, unit);
        return 0;
}
