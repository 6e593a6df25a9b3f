/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Specifiers
 *
 * A unit's name is PREFIX.TYPE or PREFIX@INSTANCE.TYPE.  Capital letters undo systemd's escaping, which writes "/" as "-" and
 * other bytes as "\xHH".
 */

#include "agent/host/presence-specifier.h"

#include <assert.h>
#include <string.h>

static const char letters[] = "nNpPiIjJHlmbv%";

const char *specifiers_check(const char *template, char **keep) {
        for (const char *c = strchr(template, '%'); c; c = strchr(c + 2, '%')) {
                if (c[1] == '\0')
                        return "ends in a single \"%\" (write \"%%\" for the character)";
                if (!strchr(letters, c[1]))
                        return *keep = g_strdup_printf("has the unknown specifier \"%%%.*s\"",
                                                       (int) (g_utf8_next_char(c + 1) - c - 1), c + 1);
        }
        return NULL;
}

/* Appends `size` bytes of an escaped name in plain. */
static bool append_unescaped(GString *s, const char *escaped, size_t size) {
        for (size_t i = 0; i < size; i++) {
                int high, low;

                if (escaped[i] == '-')
                        g_string_append_c(s, '/');
                else if (escaped[i] != '\\')
                        g_string_append_c(s, escaped[i]);
                else {
                        if (size - i < 4 || escaped[i + 1] != 'x')
                                return false;
                        high = g_ascii_xdigit_value(escaped[i + 2]);
                        low = g_ascii_xdigit_value(escaped[i + 3]);
                        if (high < 0 || low < 0 || (high == 0 && low == 0))
                                return false;
                        g_string_append_c(s, (char) (high << 4 | low));
                        i += 3;
                }
        }
        return true;
}

/* The part of the unit's name that the specifier stands for. */
static const char *unit_part(char specifier, const char *unit, size_t *ret_size) {
        const char *dot = strrchr(unit, '.'), *end = dot ? dot : unit + strlen(unit), *at, *prefix_end, *from = unit;

        at = memchr(unit, '@', end - unit);
        prefix_end = at ? at : end;
        switch (specifier) {
        case 'N':
                break;
        case 'p': case 'P':
                end = prefix_end;
                break;
        case 'i': case 'I':
                from = at ? at + 1 : end;
                break;
        default:                        /* j, J: behind the last dash of the prefix */
                for (const char *c = unit; c < prefix_end; c++)
                        if (*c == '-')
                                from = c + 1;
                end = prefix_end;
        }
        *ret_size = end - from;
        return from;
}

static bool append_specifier(GString *s, char specifier, const char *unit, const PresenceHost *host) {
        const char *part;
        size_t size;

        switch (specifier) {
        case '%':
                g_string_append_c(s, '%');
                return true;
        case 'n':
                g_string_append(s, unit);
                return true;
        case 'H':
                g_string_append(s, host->name);
                return true;
        case 'l':
                g_string_append_len(s, host->name, strcspn(host->name, "."));
                return true;
        case 'm':
                g_string_append(s, host->machine_id);
                return true;
        case 'b':
                g_string_append(s, host->boot_id);
                return true;
        case 'v':
                g_string_append(s, host->kernel);
                return true;
        default:
                part = unit_part(specifier, unit, &size);
                if (strchr("PIJ", specifier))
                        return append_unescaped(s, part, size);
                g_string_append_len(s, part, size);
                return true;
        }
}

const char *specifiers_expand(const char *template, const char *unit, const PresenceHost *host, char **ret) {
        GString *s = g_string_new(NULL);

        for (const char *c = template; *c != '\0'; c++) {
                if (*c != '%') {
                        g_string_append_c(s, *c);
                        continue;
                }
                c++;
                assert(*c != '\0' && strchr(letters, *c));
                if (!append_specifier(s, *c, unit, host)) {
                        g_string_free(s, TRUE);
                        return "cannot be told: the unit's name is not validly escaped";
                }
        }
        *ret = g_string_free(s, FALSE);
        return NULL;
}
