/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Quota text
 */

#include "dbus/ctl/quota-text.h"

#include <string.h>

#include "dbus/ctl/text.h"

bool quota_take(Quota *q, const char *assignment) {
        const struct {
                const char *name;
                int64_t *field;
        } fields[] = {
                { "count=", &q->count },
                { "bytes=", &q->bytes },
                { "hard-count=", &q->hard_count },
                { "hard-bytes=", &q->hard_bytes },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(fields); i++)
                if (g_str_has_prefix(assignment, fields[i].name)) {
                        uint64_t v;

                        if (!parse_size(assignment + strlen(fields[i].name), &v) || v > INT64_MAX)
                                return false;
                        *fields[i].field = v;
                        return true;
                }

        return false;
}

char *quota_format(const Quota *q) {
        if (q->hard_count < 0 && q->hard_bytes < 0)
                return g_strdup_printf("count=%" PRId64 ",bytes=%" PRId64, q->count, q->bytes);

        return g_strdup_printf("count=%" PRId64 ",bytes=%" PRId64 "=;byteHardLimit=%" PRId64 ";countHardLimit=%" PRId64,
                               q->count, q->bytes, q->hard_bytes, q->hard_count);
}

static bool take_number(const char *s, int64_t *ret) {
        uint64_t v;

        if (g_str_equal(s, "-1")) {
                *ret = -1;
                return true;
        }
        if (!parse_u64(s, &v) || v > INT64_MAX)
                return false;
        *ret = v;
        return true;
}

bool quota_parse(const char *text, size_t size, Quota *ret) {
        Quota q = QUOTA_NONE;
        const struct {
                const char *name;
                int64_t *field;
        } fields[] = {
                { "count", &q.count },
                { "bytes", &q.bytes },
                { "countHardLimit", &q.hard_count },
                { "byteHardLimit", &q.hard_bytes },
        };
        g_autofree char *copy = g_strndup(text, size);
        g_auto(GStrv) parts = g_strsplit_set(copy, ",;", -1);

        if (!parts[0])
                return false;
        for (char **part = parts; *part; part++) {
                g_auto(GStrv) pair = g_strsplit(*part, "=", 3);
                size_t i;

                if (!pair[0] || !pair[1] || (pair[2] && *pair[2]))
                        return false;
                for (i = 0; i < G_N_ELEMENTS(fields); i++)
                        if (g_str_equal(pair[0], fields[i].name))
                                break;
                if (i == G_N_ELEMENTS(fields) || !take_number(pair[1], fields[i].field))
                        return false;
        }

        *ret = q;
        return true;
}

char *quota_directory(const char *path) {
        return g_strconcat("/zookeeper/quota", path, NULL);
}
