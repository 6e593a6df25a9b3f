/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Conf
 *
 * One table of keys; reading, range checks and defaults follow from it.
 */

#include "agent/main/conf.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "agent/base/limits.h"
#include "agent/net/address.h"

typedef enum KeyType {
        KEY_STRING,
        KEY_NAME,                       /* of a host: it is part of identities, owners and the configuration */
        KEY_ADDRESS,                    /* a literal and a port */
        KEY_BOOL,                       /* yes, no; uint32_t */
        KEY_SIZE,                       /* bytes: 64M, 1G; uint64_t */
        KEY_TIME,                       /* milliseconds: 10s, 500ms, 1min, 1h, plain seconds; uint32_t */
        KEY_COUNT,                      /* uint32_t */
        KEY_COUNT64,
} KeyType;

typedef struct Key {
        const char *group, *name;
        KeyType type;
        size_t offset;
        uint64_t minimum, maximum, fallback;
} Key;

#define AT(field) offsetof(Conf, field)
#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

static const Key keys[] = {
        { "Agent", "Name", KEY_NAME, AT(name), 0, 0, 0 },
        { "Agent", "Data", KEY_STRING, AT(data), 0, 0, 0 },
        { "Ensemble", "Listen", KEY_ADDRESS, AT(listen), 0, 0, 0 },
        { "Ensemble", "Advertise", KEY_ADDRESS, AT(advertise), 0, 0, 0 },
        { "Ensemble", "Found", KEY_BOOL, AT(found), 0, 1, CONF_FOUND_UNSET },
        { "Ensemble", "ElectionTimeout", KEY_TIME, AT(election_timeout_msec), 100, 60000, 800 },
        { "Store", "SegmentSize", KEY_SIZE, AT(segment_bytes), 8 * MIB, 4 * GIB, 64 * MIB },
        { "Store", "KeepLog", KEY_SIZE, AT(keep_log_bytes), 1, 1024 * GIB, 64 * MIB },
        { "Store", "CheckpointChanges", KEY_COUNT64, AT(checkpoint_changes), 1000, UINT64_C(100000000), 50000 },
        { "Store", "CheckpointLog", KEY_SIZE, AT(checkpoint_log_bytes), 8 * MIB, 1024 * GIB, 256 * MIB },
        { "Session", "TimeoutMin", KEY_TIME, AT(timeout_min_msec), LIMIT_SESSION_TIMEOUT_MIN_MSEC,
          LIMIT_SESSION_TIMEOUT_MAX_MSEC, 1000 },
        { "Session", "TimeoutMax", KEY_TIME, AT(timeout_max_msec), LIMIT_SESSION_TIMEOUT_MIN_MSEC,
          LIMIT_SESSION_TIMEOUT_MAX_MSEC, 3600000 },
        { "Session", "TimeoutDefault", KEY_TIME, AT(timeout_default_msec), LIMIT_SESSION_TIMEOUT_MIN_MSEC,
          LIMIT_SESSION_TIMEOUT_MAX_MSEC, 10000 },
        { "Limits", "Sessions", KEY_COUNT, AT(limits.sessions), 1, LIMIT_SESSIONS_TOTAL, LIMIT_UID_SESSIONS },
        { "Limits", "Ephemerals", KEY_COUNT, AT(limits.ephemerals), 1, 10000000, LIMIT_UID_EPHEMERALS },
        { "Limits", "Watches", KEY_COUNT, AT(limits.watches), 1, 10000000, LIMIT_UID_WATCHES },
        { "Limits", "Calls", KEY_COUNT, AT(limits.calls), 1, 1000000, LIMIT_UID_CALLS },
        { "Limits", "Bytes", KEY_SIZE, AT(limits.bytes), 4 * MIB, 16 * GIB, LIMIT_UID_BYTES },
        { "Limits", "Connections", KEY_COUNT, AT(limits.connections), 1, LIMIT_CONNECTIONS, LIMIT_UID_CONNECTIONS },
        { "Tree", "ReapInterval", KEY_TIME, AT(reap_interval_msec), 100, 86400000, 60000 },
        { "Tree", "ReapMax", KEY_COUNT, AT(reap_max), 1, 1000000, 10000 },
};

/* A number with one of the suffixes; false on overflow or anything else. */
static bool parse_scaled(const char *text, const char *const *suffixes, const uint64_t *scales, uint64_t *ret) {
        char *end;
        uint64_t n;

        if (!g_ascii_isdigit(text[0]))
                return false;

        errno = 0;
        n = g_ascii_strtoull(text, &end, 10);
        if (errno != 0)
                return false;
        end += strspn(end, " ");

        for (size_t i = 0; suffixes[i]; i++)
                if (g_str_equal(end, suffixes[i]))
                        return !__builtin_mul_overflow(n, scales[i], ret);

        return false;
}

static bool parse_number(KeyType type, const char *text, uint64_t *ret) {
        static const char *const none[] = { "", NULL };
        static const char *const sizes[] = { "", "B", "K", "M", "G", "T", NULL };
        static const uint64_t size_scales[] = { 1, 1, KIB, MIB, GIB, 1024 * GIB };
        static const char *const times[] = { "", "ms", "s", "min", "h", "d", NULL };
        static const uint64_t time_scales[] = { 1000, 1, 1000, 60000, 3600000, 86400000 };

        switch (type) {
        case KEY_BOOL:
                *ret = g_str_equal(text, "yes") || g_str_equal(text, "true") || g_str_equal(text, "1");
                return *ret || g_str_equal(text, "no") || g_str_equal(text, "false") || g_str_equal(text, "0");
        case KEY_SIZE:
                return parse_scaled(text, sizes, size_scales, ret);
        case KEY_TIME:
                return parse_scaled(text, times, time_scales, ret);
        default:
                return parse_scaled(text, none, (const uint64_t[]) { 1 }, ret);
        }
}

static void store_number(Conf *c, const Key *k, uint64_t value) {
        void *at = (uint8_t *) c + k->offset;

        if (k->type == KEY_TIME || k->type == KEY_COUNT || k->type == KEY_BOOL)
                *(uint32_t *) at = value;
        else
                *(uint64_t *) at = value;
}

bool conf_host_name_is_valid(const char *name) {
        size_t size = strlen(name);

        return size >= 1 && size <= CONF_HOST_NAME_BYTES &&
                strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == size;
}

static bool set_key(Conf *c, const char *file, const Key *k, const char *value, char **ret_error) {
        NetAddress address;
        uint64_t number;

        if (k->type == KEY_NAME && value[0] != 0 && !conf_host_name_is_valid(value)) {
                *ret_error = g_strdup_printf("%s: [%s] %s=%s: not a host name: 1 to %d letters, digits, '.', '_' and '-'", file,
                                             k->group, k->name, value, CONF_HOST_NAME_BYTES);
                return false;
        }
        if (k->type == KEY_ADDRESS && value[0] != 0 && !net_address_parse(value, &address)) {
                *ret_error = g_strdup_printf("%s: [%s] %s=%s: not an address and a port such as 192.0.2.1:2890 or [2001:db8::1]:2890; "
                                             "names are not looked up", file, k->group, k->name, value);
                return false;
        }
        if (k->type == KEY_STRING || k->type == KEY_NAME || k->type == KEY_ADDRESS) {
                char **at = (char **) ((uint8_t *) c + k->offset);

                if (value[0] == 0) {
                        *ret_error = g_strdup_printf("%s: [%s] %s= is empty; remove the line or give a value", file,
                                                     k->group, k->name);
                        return false;
                }
                g_free(*at);
                *at = g_strdup(value);
                return true;
        }

        if (!parse_number(k->type, value, &number)) {
                *ret_error = g_strdup_printf("%s: [%s] %s=%s: not a %s", file, k->group, k->name, value,
                                             k->type == KEY_SIZE ? "size such as 64M" :
                                             k->type == KEY_TIME ? "time span such as 10s" :
                                             k->type == KEY_BOOL ? "yes or no" : "number");
                return false;
        }
        if (number < k->minimum || number > k->maximum) {
                *ret_error = g_strdup_printf("%s: [%s] %s=%s: must be between %" G_GUINT64_FORMAT " and %"
                                             G_GUINT64_FORMAT "%s", file, k->group, k->name, value, k->minimum,
                                             k->maximum, k->type == KEY_SIZE ? " bytes" :
                                             k->type == KEY_TIME ? " milliseconds" : "");
                return false;
        }

        store_number(c, k, number);
        return true;
}

static const Key *find_key(const char *group, const char *name) {
        for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
                if (g_str_equal(keys[i].group, group) && g_str_equal(keys[i].name, name))
                        return &keys[i];

        return NULL;
}

static bool read_group(Conf *c, const char *file, GKeyFile *kf, const char *group, char **ret_error) {
        g_auto(GStrv) names = g_key_file_get_keys(kf, group, NULL, NULL);

        for (char **n = names; *n; n++) {
                g_autoptr(GError) error = NULL;
                g_autofree char *value = g_key_file_get_string(kf, group, *n, &error);
                const Key *k = find_key(group, *n);

                if (g_str_has_prefix(*n, "X-"))
                        continue;
                if (!k) {
                        *ret_error = g_strdup_printf("%s: [%s] %s=%s: there is no such key; see convened.conf(5)",
                                                     file, group, *n, value ?: "");
                        return false;
                }
                if (error) {
                        *ret_error = g_strdup_printf("%s: [%s] %s=: the value is not UTF-8 or has a bad escape: %s", file,
                                                     group, *n, error->message);
                        return false;
                }
                if (!set_key(c, file, k, g_strstrip(value), ret_error))
                        return false;
        }

        return true;
}

static bool read_file(Conf *c, const char *file, bool may_miss, char **ret_error) {
        g_autoptr(GKeyFile) kf = g_key_file_new();
        g_autoptr(GError) error = NULL;
        g_auto(GStrv) groups = NULL;
        g_autofree char *text = NULL;
        gsize size;

        if (!g_file_get_contents(file, &text, &size, &error)) {
                if (may_miss && g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
                        return true;
                *ret_error = g_strdup(error->message);          /* names the file */
                return false;
        }
        if (!g_utf8_validate_len(text, size, NULL)) {
                *ret_error = g_strdup_printf("%s: is not UTF-8 text", file);
                return false;
        }
        if (size > 0 && !g_key_file_load_from_data(kf, text, size, G_KEY_FILE_NONE, &error)) {
                *ret_error = g_strdup_printf("%s: %s", file, error->message);
                return false;
        }

        groups = g_key_file_get_groups(kf, NULL);
        for (char **g = groups; *g; g++)
                if (!g_str_has_prefix(*g, "X-") && !read_group(c, file, kf, *g, ret_error))
                        return false;

        return true;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static bool read_drop_ins(Conf *c, char **ret_error) {
        static const char *const directories[] = { "/etc/convene/convened.conf.d", "/run/convene/convened.conf.d",
                                                   "/usr/lib/convene/convened.conf.d" };
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

        for (size_t i = 0; i < G_N_ELEMENTS(directories); i++) {
                g_autoptr(GDir) dir = g_dir_open(directories[i], 0, NULL);
                const char *name;

                while (dir && (name = g_dir_read_name(dir)))
                        if (g_str_has_suffix(name, ".conf") &&
                            !g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL))
                                g_ptr_array_add(names, g_strdup(name));
        }

        g_ptr_array_sort(names, compare_names);
        for (guint n = 0; n < names->len; n++)
                for (size_t i = 0; i < G_N_ELEMENTS(directories); i++) {
                        g_autofree char *file = g_build_filename(directories[i], names->pdata[n], NULL);

                        if (!g_file_test(file, G_FILE_TEST_EXISTS))
                                continue;
                        if (!read_file(c, file, false, ret_error))
                                return false;
                        break;          /* it hides those of the same name */
                }

        return true;
}

bool conf_check_addresses(const Conf *c, char **ret_error) {
        NetAddress a;

        if (c->listen && !net_address_parse(c->listen, &a)) {
                *ret_error = g_strdup_printf("\"%s\" is not an address and a port such as 192.0.2.1:2890 or [2001:db8::1]:2890; names "
                                             "are not looked up", c->listen);
                return false;
        }
        if (c->listen && !c->advertise && (net_address_is_any(&a) || net_address_port(&a) == 0)) {
                *ret_error = g_strdup_printf("[Ensemble] Listen=%s: other members cannot be told that they find this one at %s; give an "
                                             "address of this host, or say with Advertise= at which one they reach it", c->listen,
                                             net_address_is_any(&a) ? "every address" : "whatever port is free");
                return false;
        }
        if (c->advertise && net_address_parse(c->advertise, &a) && (net_address_is_any(&a) || net_address_port(&a) == 0)) {
                *ret_error = g_strdup_printf("[Ensemble] Advertise=%s: no other host can connect to that; give the address and port at "
                                             "which they reach this one", c->advertise);
                return false;
        }

        return true;
}

bool conf_may_found(const Conf *c) {
        return c->found == CONF_FOUND_UNSET ? !c->listen && !c->advertise : c->found;
}

static bool check_relations(const Conf *c, char **ret_error) {
        if (c->timeout_min_msec > c->timeout_default_msec || c->timeout_default_msec > c->timeout_max_msec) {
                *ret_error = g_strdup_printf("[Session] TimeoutMin= (%u ms), TimeoutDefault= (%u ms) and TimeoutMax= "
                                             "(%u ms) must not decrease in this order", c->timeout_min_msec,
                                             c->timeout_default_msec, c->timeout_max_msec);
                return false;
        }

        return conf_check_addresses(c, ret_error);
}

static char *value_to_string(const Conf *c, const Key *k) {
        const uint8_t *at = (const uint8_t *) c + k->offset;

        switch (k->type) {
        case KEY_STRING:
        case KEY_NAME:
        case KEY_ADDRESS:
                return g_strdup(*(char *const *) at);
        case KEY_BOOL:
                return *(const uint32_t *) at > 1 ? NULL : g_strdup(*(const uint32_t *) at ? "yes" : "no");
        case KEY_TIME:
                return g_strdup_printf("%" G_GUINT32_FORMAT "ms", *(const uint32_t *) at);
        case KEY_COUNT:
                return g_strdup_printf("%" G_GUINT32_FORMAT, *(const uint32_t *) at);
        default:
                return g_strdup_printf("%" G_GUINT64_FORMAT, *(const uint64_t *) at);
        }
}

char *conf_to_string(const Conf *c) {
        g_autoptr(GKeyFile) kf = g_key_file_new();

        for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
                g_autofree char *value = value_to_string(c, &keys[i]);

                if (value)
                        g_key_file_set_string(kf, keys[i].group, keys[i].name, value);
        }
        return g_key_file_to_data(kf, NULL, NULL);
}

bool conf_load(const char *file, Conf *ret, char **ret_error) {
        g_auto(Conf) c = { 0 };

        for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
                if (keys[i].type != KEY_STRING && keys[i].type != KEY_NAME && keys[i].type != KEY_ADDRESS)
                        store_number(&c, &keys[i], keys[i].fallback);
        c.data = g_strdup("/var/lib/convene");

        if (!read_file(&c, file ?: CONF_FILE, !file, ret_error) || (!file && !read_drop_ins(&c, ret_error)) ||
            !check_relations(&c, ret_error))
                return false;

        *ret = c;
        c = (Conf) { 0 };
        return true;
}

void conf_done(Conf *c) {
        g_free(c->name);
        g_free(c->data);
        g_free(c->listen);
        g_free(c->advertise);
        *c = (Conf) { 0 };
}
