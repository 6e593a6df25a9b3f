/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Singleton name
 */

#include "agent/base/singleton-name.h"

#include <string.h>

#include <glib.h>

#define SERVICE ".service"

static const char *const other_types[] = { ".automount", ".device", ".mount", ".path", ".scope", ".slice", ".socket", ".swap",
                                           ".target", ".timer" };

static bool has_type(const char *name) {
        for (size_t i = 0; i < G_N_ELEMENTS(other_types); i++)
                if (g_str_has_suffix(name, other_types[i]) && strlen(name) > strlen(other_types[i]))
                        return true;
        return false;
}

/* "myapp@" and "myapp@.timer": of an instance without a name. */
static bool is_template(const char *name) {
        const char *at = strchr(name, '@');

        return at && (at == name || at[1] == '\0' || (at[1] == '.' && has_type(at)));
}

bool singleton_name_is_valid(const char *name) {
        size_t size = strlen(name);

        if (size == 0 || size > SINGLETON_NAME_MAX || strchr(".-", name[0]) || is_template(name))
                return false;
        for (const char *c = name; *c != '\0'; c++)
                if (!g_ascii_isalnum(*c) && !strchr(":-_.@\\", *c))
                        return false;
        return !g_str_has_suffix(name, ".env") && !g_str_has_suffix(name, ".token") && !g_str_has_suffix(name, SERVICE);
}

char *singleton_name_of_unit(const char *unit) {
        g_autofree char *name = NULL;

        if (g_str_has_suffix(unit, SERVICE)) {
                name = g_strndup(unit, strlen(unit) - strlen(SERVICE));
                if (has_type(name))             /* "backup.timer.service": the name would be another unit's */
                        return NULL;
        } else if (has_type(unit))
                name = g_strdup(unit);
        return name && singleton_name_is_valid(name) ? g_steal_pointer(&name) : NULL;
}

char *singleton_name_to_unit(const char *name) {
        return has_type(name) ? g_strdup(name) : g_strdup_printf("%s" SERVICE, name);
}

char *singleton_template_of_unit(const char *unit) {
        const char *at = strchr(unit, '@'), *dot = strrchr(unit, '.');

        if (!at || !dot || dot <= at + 1)
                return NULL;
        return g_strdup_printf("%.*s@%s", (int) (at - unit), unit, dot);
}

char *singleton_name_of_candidate(const char *unit) {
        size_t prefix = strlen(SINGLETON_CANDIDATE_PREFIX), suffix = strlen(SINGLETON_CANDIDATE_SUFFIX), size = strlen(unit);
        g_autofree char *name = NULL;

        if (size <= prefix + suffix || !g_str_has_prefix(unit, SINGLETON_CANDIDATE_PREFIX) ||
            !g_str_has_suffix(unit, SINGLETON_CANDIDATE_SUFFIX))
                return NULL;
        name = g_strndup(unit + prefix, size - prefix - suffix);
        return singleton_name_is_valid(name) ? g_steal_pointer(&name) : NULL;
}
