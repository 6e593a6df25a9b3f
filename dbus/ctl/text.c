/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Text
 */

#include "dbus/ctl/text.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool parse_base(const char *s, int base, uint64_t *ret) {
        char *end = NULL;

        /* strtoull takes signs, white space and prefixes, which are no part of a number here */
        if (s[strspn(s, "0123456789abcdefABCDEF")] || !*s)
                return false;
        errno = 0;
        unsigned long long v = strtoull(s, &end, base);
        if (errno != 0 || end == s || *end)
                return false;

        *ret = v;
        return true;
}

bool parse_u64(const char *s, uint64_t *ret) {
        return parse_base(s, 10, ret);
}

bool parse_version(const char *s, int32_t *ret) {
        uint64_t v;

        if (g_str_equal(s, "-1")) {
                *ret = -1;
                return true;
        }
        if (!parse_u64(s, &v) || v > INT32_MAX)
                return false;

        *ret = v;
        return true;
}

bool parse_zxid(const char *s, Zxid *ret) {
        const char *colon = strchr(s, ':');

        if (g_str_has_prefix(s, "0x"))
                return parse_base(s + 2, 16, ret);
        if (!colon)
                return parse_u64(s, ret);

        g_autofree char *epoch = g_strndup(s, colon - s);
        uint64_t e, c;
        if (!parse_u64(epoch, &e) || !parse_u64(colon + 1, &c) || e > ZXID_EPOCH_MAX || c > UINT32_MAX)
                return false;

        *ret = zxid_make(e, c);
        return true;
}

bool parse_session_id(const char *s, uint64_t *ret) {
        if (g_str_has_prefix(s, "0x"))
                s += 2;
        return strlen(s) <= 16 && parse_base(s, 16, ret) && *ret != 0;
}

static const struct {
        const char *name;
        uint64_t msec;
} units[] = {           /* longest span first, as they are printed */
        { "d", 24 * 60 * 60 * 1000 },
        { "h", 60 * 60 * 1000 },
        { "min", 60 * 1000 },
        { "s", 1000 },
        { "ms", 1 },
};

static bool parse_unit(const char *s, size_t length, uint64_t *ret) {
        if (length == 0) {
                *ret = 1000;
                return true;
        }

        for (size_t i = 0; i < G_N_ELEMENTS(units); i++)
                if (strlen(units[i].name) == length && strncmp(units[i].name, s, length) == 0) {
                        *ret = units[i].msec;
                        return true;
                }

        return false;
}

bool parse_timespan_msec(const char *s, uint64_t *ret) {
        uint64_t sum = 0;

        s += strspn(s, " ");
        if (!*s)
                return false;

        while (*s) {
                size_t digits = strspn(s, "0123456789");
                g_autofree char *number = g_strndup(s, digits);
                uint64_t value, unit, part;

                if (!parse_u64(number, &value))
                        return false;
                s += digits;
                s += strspn(s, " ");
                size_t letters = strcspn(s, " 0123456789");
                if (!parse_unit(s, letters, &unit))
                        return false;
                s += letters;
                s += strspn(s, " ");
                if (!g_uint64_checked_mul(&part, value, unit) || !g_uint64_checked_add(&sum, sum, part))
                        return false;
        }

        *ret = sum;
        return true;
}

bool parse_size(const char *s, uint64_t *ret) {
        static const char suffixes[] = "KMGT";
        size_t length = strlen(s);
        unsigned shift = 0;

        if (length == 0)
                return false;

        const char *suffix = strchr(suffixes, s[length - 1]);
        if (suffix) {
                shift = 10 * (suffix - suffixes + 1);
                length--;
        }

        g_autofree char *number = g_strndup(s, length);
        uint64_t v;
        if (!parse_u64(number, &v) || v > UINT64_MAX >> shift)
                return false;

        *ret = v << shift;
        return true;
}

static const struct {
        char letter;
        uint32_t permission;
} letters_table[] = {           /* Permission of agent/tree/acl.h */
        { 'c', 4 },
        { 'd', 8 },
        { 'r', 1 },
        { 'w', 2 },
        { 'a', 16 },
};

static bool parse_permissions(const char *s, uint32_t *ret) {
        uint32_t permissions = 0;

        if (g_str_equal(s, "all"))
                s = "cdrwa";

        for (; *s; s++) {
                size_t i;

                for (i = 0; i < G_N_ELEMENTS(letters_table); i++)
                        if (letters_table[i].letter == *s)
                                break;
                if (i == G_N_ELEMENTS(letters_table))
                        return false;
                permissions |= letters_table[i].permission;
        }

        *ret = permissions;
        return permissions != 0;
}

void acl_item_free(AclItem *item) {
        if (!item)
                return;
        g_free(item->scheme);
        g_free(item->id);
        g_free(item);
}

AclItem *acl_item_parse(const char *s, const char **ret_error) {
        const char *first = strchr(s, ':'), *last = strrchr(s, ':');
        uint32_t permissions;

        if (!g_utf8_validate(s, -1, NULL)) {
                *ret_error = "is not valid UTF-8";
                return NULL;
        }
        if (!first || first == last || first == s) {
                *ret_error = "is not of the form SCHEME:ID:PERMS";
                return NULL;
        }
        if (!parse_permissions(last + 1, &permissions)) {
                *ret_error = "has no permissions at its end (letters of \"cdrwa\", or \"all\")";
                return NULL;
        }

        AclItem *item = g_new(AclItem, 1);
        *item = (AclItem) {
                .permissions = permissions,
                .scheme = g_strndup(s, first - s),
                .id = g_strndup(first + 1, last - first - 1),
        };
        return item;
}

char *permissions_format(uint32_t permissions) {
        GString *s = g_string_new(NULL);

        for (size_t i = 0; i < G_N_ELEMENTS(letters_table); i++)
                if (permissions & letters_table[i].permission)
                        g_string_append_c(s, letters_table[i].letter);

        return g_string_free(s, FALSE);
}

char *acl_item_format(const AclItem *item) {
        g_autofree char *permissions = permissions_format(item->permissions);

        return g_strdup_printf("%s:%s:%s", item->scheme, item->id, permissions);
}

char *format_timespan_msec(uint64_t msec) {
        GString *s = g_string_new(NULL);
        unsigned parts = 0;

        for (size_t i = 0; i < G_N_ELEMENTS(units) && parts < 2; i++) {
                uint64_t n = msec / units[i].msec;

                if (n == 0) {
                        /* "1d 5s" would claim more than it says: the second part is the next unit or none */
                        if (parts > 0)
                                break;
                        continue;
                }
                g_string_append_printf(s, "%s%" G_GUINT64_FORMAT "%s", parts > 0 ? " " : "", n, units[i].name);
                msec -= n * units[i].msec;
                parts++;
        }

        if (parts == 0)
                g_string_append(s, "0");
        return g_string_free(s, FALSE);
}

char *format_exact_msec(uint64_t msec) {
        return msec % 1000 == 0 ? g_strdup_printf("%" PRIu64 "s", msec / 1000) : g_strdup_printf("%" PRIu64 "ms", msec);
}

char *format_size(uint64_t bytes) {
        static const char suffixes[] = "BKMGTPE";
        uint64_t whole = bytes, rest = 0;
        unsigned i = 0;

        for (; whole >= 1024; i++) {
                rest = whole % 1024;
                whole /= 1024;
        }

        unsigned tenth = rest * 10 / 1024;
        if (whole < 100 && tenth > 0)
                return g_strdup_printf("%" G_GUINT64_FORMAT ".%u%c", whole, tenth, suffixes[i]);
        return g_strdup_printf("%" G_GUINT64_FORMAT "%c", whole, suffixes[i]);
}

char *format_time_msec(int64_t msec) {
        /* the fixed znodes of a new tree were made by nobody at no time */
        g_autoptr(GDateTime) utc = msec > 0 ? g_date_time_new_from_unix_utc(msec / 1000) : NULL;
        if (!utc)
                return g_strdup("-");

        g_autoptr(GDateTime) local = g_date_time_to_local(utc);
        g_autofree char *second = g_date_time_format(local, "%F %T");
        return g_strdup_printf("%s.%03u", second, (unsigned) (msec % 1000));
}

char *format_ago(uint64_t usec) {
        g_autofree char *span = format_timespan_msec(usec / 1000);

        return g_strdup_printf("%s ago", span);
}

static bool is_printable(const uint8_t *data, size_t size) {
        if (!g_utf8_validate((const char *) data, size, NULL))
                return false;

        for (const char *p = (const char *) data, *end = p + size; p < end; p = g_utf8_next_char(p)) {
                gunichar c = g_utf8_get_char(p);
                GUnicodeType type = g_unichar_type(c);

                if (c == '\n' || c == '\t')
                        continue;
                if (type == G_UNICODE_CONTROL || type == G_UNICODE_FORMAT || type == G_UNICODE_SURROGATE)
                        return false;
        }

        return true;
}

char *format_data(const uint8_t *data, size_t size, size_t bytes_max) {
        bool cut = bytes_max > 0 && size > bytes_max;

        if (is_printable(data, size)) {
                if (cut) {
                        size = bytes_max;
                        while (size > 0 && (data[size] & 0xc0) == 0x80)
                                size--;
                }
                return g_strdup_printf("%.*s%s", (int) size, (const char *) data, cut ? "..." : "");
        }

        GString *s = g_string_new(NULL);
        for (size_t i = 0; i < (cut ? bytes_max : size); i++)
                if (data[i] == '\\')
                        g_string_append(s, "\\\\");
                else if (data[i] == '\n')
                        g_string_append(s, "\\n");
                else if (g_ascii_isprint(data[i]))
                        g_string_append_c(s, data[i]);
                else
                        g_string_append_printf(s, "\\x%02x", data[i]);
        if (cut)
                g_string_append(s, "...");
        return g_string_free(s, FALSE);
}

char *format_line(const char *text) {
        GString *s = g_string_new(NULL);
        g_autofree char *valid = g_utf8_make_valid(text, -1);

        for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
                gunichar c = g_utf8_get_char(p);

                if (g_unichar_type(c) == G_UNICODE_CONTROL)
                        g_string_append_printf(s, "\\x%02x", c);
                else
                        g_string_append_unichar(s, c);
        }

        return g_string_free(s, FALSE);
}

char *path_parent(const char *path) {
        const char *slash = strrchr(path, '/');

        assert(slash);
        return slash == path ? g_strdup("/") : g_strndup(path, slash - path);
}

const char *path_name(const char *path) {
        const char *slash = strrchr(path, '/');

        assert(slash);
        return slash + 1;
}
