/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Presence: the text of one file
 *
 * Everything that can be wrong is found here, when the file is read, and not when the unit starts; only what depends on the
 * unit's name is left for presence_expand().
 */

#include "agent/host/presence.h"

#include <assert.h>
#include <fnmatch.h>
#include <string.h>

#include "agent/base/limits.h"
#include "agent/host/conf-files.h"
#include "agent/host/presence-specifier.h"
#include "agent/host/timespan.h"

#define GROUP "Presence"

typedef struct Setting {
        const char *key;
        /* NULL, or why the value is no good (a literal or a string kept in *keep). */
        const char *(*take)(Presence *p, const char *value, char **keep);
        bool escapes;                   /* \n and so on are GKeyFile's; elsewhere "\" belongs to the unit name */
} Setting;

/* The unit types that have runs. */
static const char *const unit_types[] = { "automount", "device", "mount", "path", "scope", "service", "slice", "socket",
                                          "swap", "target", "timer", NULL };

static const char *unit_pattern_check(const char *pattern) {
        const char *dot = strrchr(pattern, '.'), *type = dot ? dot + 1 : pattern;

        if (strlen(pattern) > 255)
                return "is longer than 255 characters";
        for (const char *c = pattern; *c != '\0'; c++)
                if (!g_ascii_isalnum(*c) && !strchr(":-_.\\@*?[]!^", *c))
                        return "is not a unit name or glob";
        if (!strpbrk(type, "*?[") && (!dot || !g_strv_contains(unit_types, type)))
                return "does not end in a unit type such as \".service\"";
        if (dot && dot > pattern && dot[-1] == '@')
                return "is a template; its instances run: write \"NAME@*.service\"";
        return NULL;
}

static const char *take_unit(Presence *p, const char *value, char **keep) {
        p->units = conf_split_words(value);
        if (!p->units[0])
                return "names no unit";
        for (char **u = p->units; *u; u++) {
                const char *why = unit_pattern_check(*u);

                if (why)
                        return *keep = g_strdup_printf("\"%s\" %s", *u, why);
        }
        return NULL;
}

static const char *take_path(Presence *p, const char *value, char **keep) {
        if (value[0] != '/')
                return "does not begin with \"/\"";
        p->path = g_strdup(value);
        return specifiers_check(value, keep);
}

static const char *take_data(Presence *p, const char *value, char **keep) {
        p->data = g_strdup(value);
        return specifiers_check(value, keep);
}

static const char *take_timeout(Presence *p, const char *value, char **keep) {
        uint64_t msec = 0;
        const char *why = *value != '\0' ? timespan_parse(value, &msec) : NULL;

        if (why)
                return why;
        if (msec < LIMIT_SESSION_TIMEOUT_MIN_MSEC)
                return "is less than a second";
        p->timeout_msec = (uint32_t) msec;
        return NULL;
}

static const char *take_create_parents(Presence *p, const char *value, char **keep) {
        static const char *const yes[] = { "yes", "true", "on", "1", NULL }, *const no[] = { "no", "false", "off", "0", NULL };

        p->create_parents = g_strv_contains(yes, value);
        return p->create_parents || g_strv_contains(no, value) ? NULL : "is neither \"yes\" nor \"no\"";
}

/* SCHEME:ID:PERMISSIONS; the id may have colons of its own. */
static bool acl_entry_parse(const char *word, PresenceAcl *ret) {
        static const char letters[] = "rwcda";                  /* in the order of the bits */
        const char *first = strchr(word, ':'), *last = strrchr(word, ':');
        uint32_t permissions = 0;

        if (!first || first == last || first == word || last[1] == '\0')
                return false;
        for (const char *c = last + 1; *c != '\0'; c++) {
                const char *letter = strchr(letters, *c);

                if (!letter)
                        return false;
                permissions |= UINT32_C(1) << (letter - letters);
        }
        ret->permissions = permissions;
        ret->scheme = g_strndup(word, first - word);
        ret->id = g_strndup(first + 1, last - first - 1);
        return true;
}

static const char *take_acl(Presence *p, const char *value, char **keep) {
        g_auto(GStrv) words = conf_split_words(value);
        unsigned count = g_strv_length(words);

        if (count > LIMIT_ACL_ENTRIES)
                return "has more than " G_STRINGIFY(LIMIT_ACL_ENTRIES) " entries";
        p->acl = g_new0(PresenceAcl, count);
        for (unsigned i = 0; i < count; i++) {
                PresenceAcl *entry = &p->acl[p->acl_count++];
                const char *why;

                if (!acl_entry_parse(words[i], entry))
                        return *keep = g_strdup_printf("\"%s\" is not SCHEME:ID:PERMISSIONS with letters of \"rwcda\"",
                                                       words[i]);
                why = specifiers_check(entry->id, keep);
                if (why)
                        return why;
        }
        return NULL;
}

static const Setting settings[] = {
        { "Unit", take_unit, false },
        { "Path", take_path, false },
        { "Data", take_data, true },
        { "Timeout", take_timeout, false },
        { "CreateParents", take_create_parents, false },
        { "Acl", take_acl, false },
};

/* One key of the file: NULL, or why its value is no good. */
static const char *setting_take(const Setting *setting, Presence *p, GKeyFile *k, const char *value, char **keep) {
        g_autofree char *plain = NULL;
        g_autoptr(GError) e = NULL;

        if (!setting->escapes)
                return setting->take(p, value, keep);
        plain = g_key_file_get_string(k, GROUP, setting->key, &e);
        return e ? "has an unknown escape sequence after \"\\\"" : setting->take(p, plain, keep);
}

static const char *presence_take(void *userdata, GKeyFile *k, const char *key, const char *value, char **keep) {
        for (size_t i = 0; i < G_N_ELEMENTS(settings); i++)
                if (g_str_equal(settings[i].key, key))
                        return setting_take(&settings[i], userdata, k, value, keep);
        return "is not a key of [" GROUP "]";
}

Presence *presence_parse(const char *file, const char *text, size_t size, char **ret_error) {
        g_autoptr(Presence) p = NULL;
        g_autoptr(GKeyFile) k = NULL;

        assert(file);
        assert(ret_error);

        k = conf_text_parse(file, text, size, ret_error);
        if (!k)
                return NULL;
        p = g_new0(Presence, 1);
        p->file = g_strdup(file);
        p->timeout_msec = PRESENCE_TIMEOUT_DEFAULT_MSEC;
        p->create_parents = true;
        *ret_error = conf_take_all(file, k, GROUP, presence_take, p);
        if (!*ret_error && (!p->units || !p->path))
                *ret_error = g_strdup_printf("%s: [" GROUP "] lacks %s=", file, p->units ? "Path" : "Unit");
        if (*ret_error)
                return NULL;
        if (!p->data)
                p->data = g_strdup("");
        return g_steal_pointer(&p);
}

static void acl_free(PresenceAcl *acl, uint32_t count) {
        for (uint32_t i = 0; i < count; i++) {
                g_free(acl[i].scheme);
                g_free(acl[i].id);
        }
        g_free(acl);
}

Presence *presence_free(Presence *p) {
        if (!p)
                return NULL;
        acl_free(p->acl, p->acl_count);
        g_strfreev(p->units);
        g_free(p->path);
        g_free(p->data);
        g_free(p->file);
        g_free(p);
        return NULL;
}

void presence_znode_done(PresenceZnode *z) {
        acl_free(z->acl, z->acl_count);
        g_free(z->path);
        g_free(z->data);
        *z = (PresenceZnode) { 0 };
}

bool presence_matches(const Presence *p, const char *unit) {
        for (char **u = p->units; *u; u++)
                if (fnmatch(*u, unit, FNM_NOESCAPE) == 0)
                        return true;
        return false;
}

/* The shape of a znode's path.  (The tree itself is stricter about rare characters.) */
static const char *path_check(const char *path) {
        g_auto(GStrv) parts = NULL;

        if (!g_utf8_validate(path, -1, NULL))
                return "is not UTF-8";
        if (strlen(path) > LIMIT_PATH_BYTES)
                return "is longer than " G_STRINGIFY(LIMIT_PATH_BYTES) " bytes";
        for (const char *c = path; *c != '\0'; c = g_utf8_next_char(c))
                if (g_unichar_iscntrl(g_utf8_get_char(c)))
                        return "has a control character";
        parts = g_strsplit(path, "/", -1);
        if (g_strv_length(parts) - 1 > LIMIT_PATH_DEPTH)
                return "has more than " G_STRINGIFY(LIMIT_PATH_DEPTH) " components";
        for (char **part = parts + 1; *part; part++)
                if (**part == '\0' || g_str_equal(*part, ".") || g_str_equal(*part, ".."))
                        return "has a component that is empty, \".\" or \"..\"";
        return NULL;
}

static const char *znode_expand(const Presence *p, const char *unit, const PresenceHost *host, PresenceZnode *z,
                                const char **ret_key) {
        const char *why;

        *ret_key = "Path";
        why = specifiers_expand(p->path, unit, host, &z->path);
        if (!why)
                why = path_check(z->path);
        if (why)
                return why;

        *ret_key = "Data";
        why = specifiers_expand(p->data, unit, host, &z->data);
        if (why)
                return why;
        if (strlen(z->data) > LIMIT_DATA_BYTES)
                return "is longer than a znode's data may be";

        *ret_key = "Acl";
        z->acl = g_new0(PresenceAcl, p->acl_count);
        for (uint32_t i = 0; i < p->acl_count; i++) {
                PresenceAcl *to = &z->acl[z->acl_count++];

                to->permissions = p->acl[i].permissions;
                to->scheme = g_strdup(p->acl[i].scheme);
                why = specifiers_expand(p->acl[i].id, unit, host, &to->id);
                if (why)
                        return why;
        }
        return NULL;
}

bool presence_expand(const Presence *p, const char *unit, const PresenceHost *host, PresenceZnode *ret,
                     char **ret_error) {
        g_auto(PresenceZnode) z = { 0 };
        const char *why, *key = NULL;

        why = znode_expand(p, unit, host, &z, &key);
        if (why) {
                *ret_error = g_strdup_printf("%s: %s=: what it gives for %s %s", p->file, key, unit, why);
                return false;
        }
        *ret = z;
        z = (PresenceZnode) { 0 };
        return true;
}
