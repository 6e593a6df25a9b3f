/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Quota
 *
 * The znode /zookeeper/quotaPATH/zookeeper_limits limits the subtree of PATH, which need not exist; the text of
 * its sibling zookeeper_stats, if there is one, is the usage, always.  Every parent knows the size of what is
 * below it, so usage is never counted by a walk.  Limits are those of the nearest quota at or above a change.
 *
 *     count=C,bytes=B                                           soft: told
 *     count=C,bytes=B=;byteHardLimit=H;countHardLimit=K         hard: refused
 *
 * in which every part may be missing and -1 is no limit.  A quota of "/", of /zookeeper or of anything below
 * /zookeeper/quota would count the usage texts themselves; znodes with such names are ordinary ones.
 */

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/tree/tree-internal.h"

#define QUOTA_ROOT "/zookeeper/quota"
#define LIMITS_NAME "zookeeper_limits"
#define USAGE_NAME "zookeeper_stats"
#define LIMITS_TEXT_BYTES 256

typedef enum LimitKind {
        LIMIT_COUNT,
        LIMIT_BYTES,
        LIMIT_COUNT_HARD,
        LIMIT_BYTES_HARD,
        _LIMIT_MAX,
} LimitKind;

typedef struct Limits {
        int64_t values[_LIMIT_MAX];     /* -1: none */
} Limits;

struct Quota {
        char *path;
        Znode *root;                    /* NULL while there is none at path */
        Znode *usage;                   /* NULL for none */
        Limits limits;
        bool noted;
};

void quota_free(gpointer p) {
        Quota *q = p;

        g_free(q->path);
        g_free(q);
}

/*
 * Texts
 */

static const char *const limit_keys[_LIMIT_MAX] = {
        [LIMIT_COUNT]      = "count",
        [LIMIT_BYTES]      = "bytes",
        [LIMIT_COUNT_HARD] = "countHardLimit",
        [LIMIT_BYTES_HARD] = "byteHardLimit",
};

/* -1 or a decimal number. */
static bool parse_limit(const char *s, size_t size, int64_t *ret) {
        int64_t v = 0;

        if (size == 2 && memcmp(s, "-1", 2) == 0) {
                *ret = -1;
                return true;
        }

        for (size_t i = 0; i < size; i++)
                if (!g_ascii_isdigit(s[i]) ||
                    __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, s[i] - '0', &v))
                        return false;

        *ret = v;
        return size > 0;
}

/* KEY=VALUE, or KEY=VALUE= */
static bool parse_field(const char *s, size_t size, bool seen[static _LIMIT_MAX], Limits *limits) {
        const char *equals = memchr(s, '=', size);

        if (!equals)
                return false;
        if (s[size - 1] == '=')
                size--;
        if (equals == s + size)
                return false;

        for (LimitKind k = 0; k < _LIMIT_MAX; k++) {
                size_t key_size = equals - s;

                if (strlen(limit_keys[k]) != key_size || memcmp(limit_keys[k], s, key_size) != 0)
                        continue;
                if (seen[k])
                        return false;
                seen[k] = true;
                return parse_limit(equals + 1, size - key_size - 1, &limits->values[k]);
        }

        return false;
}

static bool limits_parse(const uint8_t *data, size_t size, Limits *ret) {
        Limits limits = { { -1, -1, -1, -1 } };
        bool seen[_LIMIT_MAX] = { false };
        const char *p = (const char *) data, *end = p + size;

        if (size == 0 || size > LIMITS_TEXT_BYTES)
                return false;

        for (;;) {
                const char *q = p;

                while (q < end && *q != ',' && *q != ';')
                        q++;
                if (q == p || !parse_field(p, q - p, seen, &limits))
                        return false;
                if (q == end)
                        break;
                p = q + 1;
        }

        *ret = limits;
        return true;
}

static uint64_t usage_count(const Quota *q) {
        return q->root ? znode_descendants(q->root) + 1 : 0;
}

static uint64_t usage_bytes(const Quota *q) {
        return q->root ? znode_bytes_below(q->root) + znode_data_size(q->root) : 0;
}

static uint32_t usage_text(const Quota *q, char buffer[static QUOTA_TEXT_BYTES]) {
        return (uint32_t) snprintf(buffer, QUOTA_TEXT_BYTES, "count=%" PRIu64 ",bytes=%" PRIu64,
                                   usage_count(q), usage_bytes(q));
}

static bool usage_text_is_right(const Quota *q) {
        char buffer[QUOTA_TEXT_BYTES];
        uint32_t size = usage_text(q, buffer);

        return q->usage->data && q->usage->data->size == size && memcmp(q->usage->data->bytes, buffer, size) == 0;
}

/*
 * Which znode is what
 */

typedef enum QuotaPart {
        PART_NONE,
        PART_LIMITS,
        PART_USAGE,
} QuotaPart;

static bool path_is_at_or_below(const char *path, const char *top) {
        size_t size = strlen(top);

        return strncmp(path, top, size) == 0 && (path[size] == '\0' || path[size] == '/');
}

/* What the znode with this path is to quotas.  Its quota's path goes to the buffer. */
static QuotaPart path_to_part(const char *path, PathBuffer *ret) {
        const char *name = strrchr(path, '/'), *target = path + strlen(QUOTA_ROOT);
        QuotaPart part;

        if (!name || !path_is_at_or_below(path, QUOTA_ROOT))
                return PART_NONE;

        if (strcmp(name + 1, LIMITS_NAME) == 0)
                part = PART_LIMITS;
        else if (strcmp(name + 1, USAGE_NAME) == 0)
                part = PART_USAGE;
        else
                return PART_NONE;

        if (name <= target)
                return PART_NONE;

        memcpy(ret->bytes, target, name - target);
        ret->bytes[name - target] = '\0';
        if (strcmp(ret->bytes, "/zookeeper") == 0 || path_is_at_or_below(ret->bytes, QUOTA_ROOT))
                return PART_NONE;

        return part;
}

static QuotaPart znode_to_part(const Znode *z, PathBuffer *ret) {
        PathBuffer buffer;

        if (strcmp(z->name, LIMITS_NAME) != 0 && strcmp(z->name, USAGE_NAME) != 0)      /* nearly always */
                return PART_NONE;

        return path_to_part(znode_path(z, &buffer), ret);
}

/*
 * Keeping up with the tree
 */

void quota_note(Tree *t, Quota *q) {
        if (q->noted || !t->entry.open)
                return;

        q->noted = true;
        g_ptr_array_add(t->entry.quotas, q);
}

static void add_quota(Tree *t, Znode *limits, const char *path) {
        Quota *q = g_new0(Quota, 1);
        bool parsed = limits->data && limits_parse(limits->data->bytes, limits->data->size, &q->limits);

        assert(parsed);                 /* by quota_filter() or quota_load() */
        q->path = g_strdup(path);
        q->root = tree_find(t, path);
        if (q->root)
                znode_need_extra(q->root)->quota = q;
        q->usage = children_find(limits->parent, USAGE_NAME, strlen(USAGE_NAME));
        g_hash_table_insert(t->quotas, q->path, q);
        quota_note(t, q);
}

static void remove_quota(Tree *t, const char *path) {
        Quota *q = g_hash_table_lookup(t->quotas, path);

        assert(q);
        if (q->root)
                q->root->extra->quota = NULL;
        if (q->noted)
                g_ptr_array_remove(t->entry.quotas, q);
        g_hash_table_remove(t->quotas, path);
}

static void set_usage_znode(Tree *t, const char *path, Znode *z) {
        Quota *q = g_hash_table_lookup(t->quotas, path);

        if (!q)
                return;

        q->usage = z;
        quota_note(t, q);
}

void quota_on_link(Tree *t, Znode *z) {
        PathBuffer buffer;
        Quota *q;

        if (g_hash_table_size(t->quotas) > 0) {
                q = g_hash_table_lookup(t->quotas, znode_path(z, &buffer));
                if (q) {
                        q->root = z;
                        znode_need_extra(z)->quota = q;
                        quota_note(t, q);
                }
        }

        switch (znode_to_part(z, &buffer)) {

        case PART_LIMITS:
                add_quota(t, z, buffer.bytes);
                break;

        case PART_USAGE:
                set_usage_znode(t, buffer.bytes, z);
                break;

        case PART_NONE:
                break;
        }
}

void quota_on_unlink(Tree *t, Znode *z) {
        PathBuffer buffer;

        switch (znode_to_part(z, &buffer)) {

        case PART_LIMITS:
                remove_quota(t, buffer.bytes);
                break;

        case PART_USAGE:
                set_usage_znode(t, buffer.bytes, NULL);
                break;

        case PART_NONE:
                break;
        }

        if (z->extra && z->extra->quota) {
                z->extra->quota->root = NULL;
                z->extra->quota = NULL;
        }
}

void quota_on_data(Tree *t, Znode *z) {
        PathBuffer buffer;
        bool parsed;
        Quota *q;

        if (znode_to_part(z, &buffer) != PART_LIMITS)
                return;

        q = g_hash_table_lookup(t->quotas, buffer.bytes);
        parsed = z->data && limits_parse(z->data->bytes, z->data->size, &q->limits);
        assert(parsed);
}

void quota_refresh(Tree *t) {
        for (unsigned i = 0; i < t->entry.quotas->len; i++) {
                const Quota *q = t->entry.quotas->pdata[i];
                char buffer[QUOTA_TEXT_BYTES];

                if (!q->usage || usage_text_is_right(q))
                        continue;
                entry_replace_data(t, q->usage, (uint8_t *) buffer, usage_text(q, buffer));
        }
}

void quota_forget_notes(Tree *t) {
        for (unsigned i = 0; i < t->entry.quotas->len; i++)
                ((Quota *) t->entry.quotas->pdata[i])->noted = false;

        g_ptr_array_set_size(t->entry.quotas, 0);
}

/*
 * Limits
 */

static const Quota *nearest(const Znode *z) {
        for (; z; z = z->parent)
                if (z->extra && z->extra->quota)
                        return z->extra->quota;

        return NULL;
}

/* Whether growth by `more` (already counted, or not) ends above the limit.  What takes nothing exceeds nothing. */
static bool exceeds(int64_t limit, uint64_t usage, int64_t more) {
        return limit >= 0 && more > 0 && usage > (uint64_t) limit;
}

static ConveneStatus admits(const Quota *q, int64_t znodes_more, int64_t bytes_more) {
        if (exceeds(q->limits.values[LIMIT_COUNT_HARD], usage_count(q) + (uint64_t) znodes_more, znodes_more) ||
            exceeds(q->limits.values[LIMIT_BYTES_HARD], usage_bytes(q) + (uint64_t) bytes_more, bytes_more))
                return CONVENE_QUOTA_EXCEEDED;

        return CONVENE_OK;
}

ConveneStatus quota_admits_znode(const Tree *t, const Znode *parent, const char *path, uint32_t bytes) {
        const Quota *q;

        if (g_hash_table_size(t->quotas) == 0)
                return CONVENE_OK;

        q = g_hash_table_lookup(t->quotas, path);
        if (!q)
                q = nearest(parent);

        return q ? admits(q, 1, bytes) : CONVENE_OK;
}

ConveneStatus quota_admits_bytes(const Znode *z, int64_t bytes_more) {
        const Quota *q = nearest(z);

        return q ? admits(q, 0, bytes_more) : CONVENE_OK;
}

Znode *quota_exceeded_root(Znode *z, int64_t znodes_more, int64_t bytes_more) {
        const Quota *q = nearest(z);

        if (!q)
                return NULL;

        return exceeds(q->limits.values[LIMIT_COUNT], usage_count(q), znodes_more) ||
                exceeds(q->limits.values[LIMIT_BYTES], usage_bytes(q), bytes_more) ? q->root : NULL;
}

ConveneStatus quota_filter(const Tree *t, const char *path, const uint8_t **data, uint32_t *data_size,
                           char buffer[static QUOTA_TEXT_BYTES]) {
        PathBuffer target;
        const Quota *q;
        Limits limits;

        switch (path_to_part(path, &target)) {

        case PART_LIMITS:
                return *data && limits_parse(*data, *data_size, &limits) ? CONVENE_OK : CONVENE_BAD_ARGUMENTS;

        case PART_USAGE:
                q = g_hash_table_lookup(t->quotas, target.bytes);
                if (q) {
                        *data_size = usage_text(q, buffer);
                        *data = (const uint8_t *) buffer;
                }
                return CONVENE_OK;

        case PART_NONE:
        default:
                return CONVENE_OK;
        }
}

/*
 * Load and check
 */

bool quota_load(Tree *t, const char **ret_error) {
        const Znode *top = index_find(&t->znodes, ZNODE_ID_QUOTA);
        Quota *q;

        for (Znode *z = children_first(top); z; z = subtree_next(top, z, /* below= */ true)) {
                PathBuffer buffer;
                Limits limits;

                if (znode_to_part(z, &buffer) != PART_LIMITS)
                        continue;
                if (!z->data || !limits_parse(z->data->bytes, z->data->size, &limits)) {
                        *ret_error = "malformed limits of a quota";
                        return false;
                }

                add_quota(t, z, buffer.bytes);
                q = g_hash_table_lookup(t->quotas, buffer.bytes);
                if (q->usage && !usage_text_is_right(q)) {
                        *ret_error = "wrong usage of a quota";
                        return false;
                }
        }

        return true;
}

void quota_check(const Tree *t) {
        const Znode *top = tree_find(t, QUOTA_ROOT);
        unsigned count = 0;

        for (const Znode *z = children_first(top); z; z = subtree_next(top, z, /* below= */ true)) {
                PathBuffer buffer;
                const Quota *q;

                if (znode_to_part(z, &buffer) != PART_LIMITS)
                        continue;

                q = g_hash_table_lookup(t->quotas, buffer.bytes);
                assert(q && !q->noted);
                assert(q->root == tree_find(t, q->path));
                assert(!q->root || q->root->extra->quota == q);
                assert(q->usage == children_find(z->parent, USAGE_NAME, strlen(USAGE_NAME)));
                assert(!q->usage || usage_text_is_right(q));
                count++;
        }

        assert(count == g_hash_table_size(t->quotas));
        assert(t->entry.quotas->len == 0);
}
