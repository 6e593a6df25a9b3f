/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Twin: quotas
 *
 * The quota of a znode is that of the nearest znode at or above it that has a limits znode.  Usage is what a walk over
 * all znodes finds: the znode with the quota and everything below it.  It is the text of the usage znode beside the
 * limits whenever an entry is done, whatever anybody writes there.  A quota of "/", "/zookeeper" or of what is in
 * "/zookeeper/quota" itself is none, and the znodes are like others.
 */

#include "tests/unit/twin.h"

#include <inttypes.h>
#include <string.h>

typedef struct Limits {
        int64_t count, bytes, count_hard, bytes_hard;   /* -1: none */
} Limits;

static bool number_parse(const char *text, int64_t *ret) {
        if (!g_str_equal(text, "-1") && (strspn(text, "0123456789") != strlen(text) || text[0] == 0))
                return false;

        return g_ascii_string_to_signed(text, 10, -1, INT64_MAX, ret, NULL);
}

/* count=C,bytes=B or count=C,bytes=B=;byteHardLimit=H;countHardLimit=K; each part at most once. */
static bool limits_parse(GBytes *data, Limits *ret) {
        static const char *const keys[] = { "count", "bytes", "countHardLimit", "byteHardLimit" };
        int64_t *values[] = { &ret->count, &ret->bytes, &ret->count_hard, &ret->bytes_hard };
        size_t size = data ? g_bytes_get_size(data) : 0;
        g_autofree char *text = NULL;
        g_auto(GStrv) fields = NULL;
        bool seen[4] = { false };

        *ret = (Limits) { -1, -1, -1, -1 };
        if (size == 0 || size > 256 || memchr(g_bytes_get_data(data, NULL), 0, size))
                return false;

        text = g_strndup(g_bytes_get_data(data, NULL), size);
        fields = g_strsplit_set(text, ",;", -1);
        for (char **f = fields; *f; f++) {
                size_t length = strlen(*f);
                bool known = false;

                if (length > 0 && (*f)[length - 1] == '=')
                        (*f)[length - 1] = 0;
                for (unsigned k = 0; k < G_N_ELEMENTS(keys); k++) {
                        g_autofree char *prefix = g_strconcat(keys[k], "=", NULL);

                        if (!g_str_has_prefix(*f, prefix))
                                continue;
                        if (seen[k] || !number_parse(*f + strlen(prefix), values[k]))
                                return false;
                        known = seen[k] = true;
                }
                if (!known)
                        return false;
        }
        return true;
}

static char *quota_path(const char *path, const char *name) {
        return g_strconcat("/zookeeper/quota", path, "/", name, NULL);
}

static bool may_have_quota(const char *path) {
        return path[0] == '/' && path[1] != 0 && !g_str_equal(path, "/zookeeper") &&
                !g_str_equal(path, "/zookeeper/quota") && !twin_is_below(path, "/zookeeper/quota");
}

/* If `path` is that of a quota's znode `name`, the path that has the quota (owned by the caller). */
static char *quota_target(const char *path, const char *name) {
        static const char prefix[] = "/zookeeper/quota";
        g_autofree char *suffix = g_strconcat("/", name, NULL);
        g_autofree char *target = NULL;
        size_t size = strlen(path);

        if (!g_str_has_prefix(path, prefix) || !g_str_has_suffix(path, suffix) ||
            size < strlen(prefix) + strlen(suffix))
                return NULL;

        target = g_strndup(path + strlen(prefix), size - strlen(prefix) - strlen(suffix));
        return may_have_quota(target) ? g_steal_pointer(&target) : NULL;
}

static TwinZnode *find_limits(const Twin *t, const char *path) {
        g_autofree char *limits_path = quota_path(path, "zookeeper_limits");

        return may_have_quota(path) ? twin_find(t, limits_path) : NULL;
}

/* The path that has the quota in scratch, or NULL. */
static char *find_quota(Twin *t, const char *path, Limits *ret) {
        for (char *at = twin_scratch_string(t, path); !g_str_equal(at, "/"); at = twin_parent_path(t, at)) {
                TwinZnode *limits = find_limits(t, at);

                if (!limits)
                        continue;
                g_assert_true(limits_parse(limits->data, ret));
                return at;
        }
        return NULL;
}

static void usage(const Twin *t, const char *path, int64_t *ret_count, int64_t *ret_bytes) {
        *ret_count = *ret_bytes = 0;
        for (unsigned i = 0; i < t->znodes->len; i++) {
                TwinZnode *z = t->znodes->pdata[i];

                if (!g_str_equal(z->path, path) && !twin_is_below(z->path, path))
                        continue;
                *ret_count += 1;
                *ret_bytes += z->data ? g_bytes_get_size(z->data) : 0;
        }
}

static GBytes *usage_text(const Twin *t, const char *path) {
        int64_t count, bytes;
        char *text;

        usage(t, path, &count, &bytes);
        text = g_strdup_printf("count=%" PRId64 ",bytes=%" PRId64, count, bytes);
        return g_bytes_new_take(text, strlen(text));
}

ConveneStatus twin_quota_filter(Twin *t, const char *path, GBytes **data) {
        g_autofree char *limited = quota_target(path, "zookeeper_limits");
        g_autofree char *used = quota_target(path, "zookeeper_stats");
        Limits l;

        if (limited && !limits_parse(*data, &l))
                return CONVENE_BAD_ARGUMENTS;
        if (used && find_limits(t, used)) {
                g_clear_pointer(data, g_bytes_unref);
                *data = usage_text(t, used);
        }
        return CONVENE_OK;
}

void twin_quota_refresh(Twin *t) {
        for (unsigned i = 0; i < t->znodes->len; i++) {
                TwinZnode *z = t->znodes->pdata[i];
                g_autofree char *used = NULL;

                if (!g_str_has_suffix(z->path, "/zookeeper_stats"))
                        continue;
                used = quota_target(z->path, "zookeeper_stats");
                if (!used || !find_limits(t, used))
                        continue;
                g_clear_pointer(&z->data, g_bytes_unref);
                z->data = usage_text(t, used);
        }
}

/* What takes nothing cannot exceed anything, however far over the limit the subtree already is. */
static bool exceeds(int64_t limit, int64_t used, int64_t more) {
        return limit >= 0 && more > 0 && used + more > limit;
}

ConveneStatus twin_quota_check(Twin *t, const char *path, int64_t count, int64_t bytes) {
        int64_t used_count, used_bytes;
        Limits l;
        char *at = find_quota(t, path, &l);

        if (!at)
                return CONVENE_OK;

        usage(t, at, &used_count, &used_bytes);
        if (exceeds(l.count_hard, used_count, count) || exceeds(l.bytes_hard, used_bytes, bytes))
                return CONVENE_QUOTA_EXCEEDED;

        return CONVENE_OK;
}

void twin_quota_report(Twin *t, Zxid zxid, const char *path, int64_t count, int64_t bytes) {
        int64_t used_count, used_bytes;
        Limits l;
        char *at = find_quota(t, path, &l);

        if (!at)
                return;

        usage(t, at, &used_count, &used_bytes);
        if (exceeds(l.count, used_count - count, count) || exceeds(l.bytes, used_bytes - bytes, bytes))
                twin_add_soft_quota(t, zxid, twin_find(t, at));
}
