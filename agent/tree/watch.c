/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Watch
 *
 * One Watch per watcher and path, in two places: in its path's tree, by watcher, and in its watcher's list.  The
 * tree of a path is a treap whose priorities are a hash of the watcher: it gives the order of events, finds one
 * watcher among a hundred thousand on one path, and costs two pointers.  The hash table finds paths and watchers
 * and is never iterated.
 */

#include "agent/tree/watch.h"

#include <assert.h>
#include <string.h>

#include <glib.h>

#include "agent/base/prng.h"

#define WATCH_ALL (WATCH_DATA | WATCH_CHILDREN | WATCH_PERSISTENT | WATCH_PERSISTENT_RECURSIVE)
#define WATCH_ONE_SHOT (WATCH_DATA | WATCH_CHILDREN)

typedef struct Watch Watch;

/* Begins WatchPath, and stands alone for one in lookups. */
typedef struct PathKey {
        const char *path;
        uint32_t size;
        uint32_t hash;
} PathKey;

typedef struct WatchPath {
        PathKey key;
        Watch *root;
        uint32_t recursive_count;       /* watches with WATCH_PERSISTENT_RECURSIVE */
        char path[];
} WatchPath;

typedef struct Watcher {
        uint64_t number;                /* the key */
        Watch *watches;
} Watcher;

struct Watch {
        WatchPath *path;
        Watcher *watcher;
        Watch *left, *right;            /* in the path's treap */
        Watch *previous, *next;         /* in the watcher's list */
        uint8_t kinds;                  /* never 0 */
};

struct WatchTable {
        GHashTable *paths;              /* set of WatchPath by PathKey */
        GHashTable *watchers;           /* set of Watcher by number */
        uint64_t count;
        uint64_t recursive_count;
        GPtrArray *hits;                /* of Watch; kept between calls, so that firing does not allocate */
        GString *parent;                /* likewise */
};

/*
 * Treap
 */

static uint64_t watch_priority(const Watch *w) {
        Prng p = { w->watcher->number };        /* a bijection: no two watchers tie */

        return prng_next(&p);
}

static void treap_insert(Watch **root, Watch *w) {
        uint64_t number = w->watcher->number, priority = watch_priority(w);
        Watch **left = &w->left, **right = &w->right, *rest;

        while (*root && watch_priority(*root) > priority)
                root = number < (*root)->watcher->number ? &(*root)->left : &(*root)->right;

        rest = *root;
        *root = w;
        while (rest)
                if (rest->watcher->number < number) {
                        *left = rest;
                        left = &rest->right;
                        rest = rest->right;
                } else {
                        *right = rest;
                        right = &rest->left;
                        rest = rest->left;
                }

        *left = *right = NULL;
}

static void treap_remove(Watch **root, Watch *w) {
        Watch *left = w->left, *right = w->right;

        while (*root != w)
                root = w->watcher->number < (*root)->watcher->number ? &(*root)->left : &(*root)->right;

        while (left && right)
                if (watch_priority(left) > watch_priority(right)) {
                        *root = left;
                        root = &left->right;
                        left = left->right;
                } else {
                        *root = right;
                        root = &right->left;
                        right = right->left;
                }

        *root = left ?: right;
}

static Watch *treap_find(Watch *root, uint64_t number) {
        while (root && root->watcher->number != number)
                root = number < root->watcher->number ? root->left : root->right;

        return root;
}

/* Appends the watches with one of `kinds`, by watcher.  The depth of a treap is logarithmic. */
static void treap_collect(Watch *root, unsigned kinds, GPtrArray *hits) {
        for (; root; root = root->right) {
                treap_collect(root->left, kinds, hits);
                if (root->kinds & kinds)
                        g_ptr_array_add(hits, root);
        }
}

/*
 * Table
 */

static PathKey path_key(const char *path, size_t size) {
        return (PathKey) { path, size, (uint32_t) hash128(path, size, 0).low };
}

static guint path_hash_func(gconstpointer p) {
        return ((const PathKey *) p)->hash;
}

static gboolean path_equal_func(gconstpointer a, gconstpointer b) {
        const PathKey *x = a, *y = b;

        return x->hash == y->hash && x->size == y->size && memcmp(x->path, y->path, x->size) == 0;
}

static guint watcher_hash_func(gconstpointer p) {
        Prng prng = { ((const Watcher *) p)->number };

        return (guint) prng_next(&prng);
}

static gboolean watcher_equal_func(gconstpointer a, gconstpointer b) {
        return ((const Watcher *) a)->number == ((const Watcher *) b)->number;
}

static void free_watches(Watch *root) {
        while (root) {
                Watch *right = root->right;

                free_watches(root->left);
                g_free(root);
                root = right;
        }
}

/* A path leaves the table without watches, except when the whole table ends. */
static void path_free(gpointer p) {
        free_watches(((WatchPath *) p)->root);
        g_free(p);
}

WatchTable *watch_table_new(void) {
        WatchTable *t = g_new0(WatchTable, 1);

        t->paths = g_hash_table_new_full(path_hash_func, path_equal_func, path_free, NULL);
        t->watchers = g_hash_table_new_full(watcher_hash_func, watcher_equal_func, g_free, NULL);
        t->hits = g_ptr_array_new();
        t->parent = g_string_new(NULL);
        return t;
}

WatchTable *watch_table_free(WatchTable *t) {
        if (!t)
                return NULL;

        g_hash_table_unref(t->paths);
        g_hash_table_unref(t->watchers);
        g_ptr_array_unref(t->hits);
        g_string_free(t->parent, TRUE);
        g_free(t);
        return NULL;
}

static WatchPath *find_path(const WatchTable *t, const char *path, size_t size) {
        PathKey key = path_key(path, size);

        return g_hash_table_lookup(t->paths, &key);
}

static Watcher *find_watcher(const WatchTable *t, uint64_t number) {
        Watcher probe = { .number = number };

        return g_hash_table_lookup(t->watchers, &probe);
}

static Watch *find_watch(const WatchTable *t, uint64_t watcher, const char *path) {
        WatchPath *p = t->count > 0 ? find_path(t, path, strlen(path)) : NULL;

        return p ? treap_find(p->root, watcher) : NULL;
}

static WatchPath *acquire_path(WatchTable *t, const char *path) {
        PathKey key = path_key(path, strlen(path));
        WatchPath *p = g_hash_table_lookup(t->paths, &key);

        if (p)
                return p;

        /* The text begins in what would be padding, so the struct is never assigned as a whole. */
        p = g_malloc(offsetof(WatchPath, path) + key.size + 1);
        p->key = (PathKey) { p->path, key.size, key.hash };
        p->root = NULL;
        p->recursive_count = 0;
        memcpy(p->path, path, key.size + 1);
        g_hash_table_add(t->paths, p);
        return p;
}

static Watcher *acquire_watcher(WatchTable *t, uint64_t number) {
        Watcher *w = find_watcher(t, number);

        if (w)
                return w;

        w = g_new0(Watcher, 1);
        w->number = number;
        g_hash_table_add(t->watchers, w);
        return w;
}

static Watch *acquire_watch(WatchTable *t, uint64_t watcher, const char *path) {
        WatchPath *p = acquire_path(t, path);
        Watch *w = treap_find(p->root, watcher);

        if (w)
                return w;

        w = g_new0(Watch, 1);
        w->path = p;
        w->watcher = acquire_watcher(t, watcher);
        treap_insert(&p->root, w);

        w->next = w->watcher->watches;
        if (w->next)
                w->next->previous = w;
        w->watcher->watches = w;
        return w;
}

static void watch_free(WatchTable *t, Watch *w) {
        WatchPath *p = w->path;
        Watcher *watcher = w->watcher;

        treap_remove(&p->root, w);
        if (!p->root)
                g_hash_table_remove(t->paths, p);

        if (w->next)
                w->next->previous = w->previous;
        if (w->previous)
                w->previous->next = w->next;
        else
                watcher->watches = w->next;
        if (!watcher->watches)
                g_hash_table_remove(t->watchers, watcher);

        g_free(w);
}

static unsigned kinds_count(unsigned kinds) {
        unsigned n = 0;

        for (; kinds; kinds &= kinds - 1)
                n++;
        return n;
}

/* Returns the kinds that were there; frees the watch with its last kind. */
static unsigned watch_strip(WatchTable *t, Watch *w, unsigned kinds) {
        unsigned removed = w->kinds & kinds;

        w->kinds &= ~removed;
        t->count -= kinds_count(removed);
        if (removed & WATCH_PERSISTENT_RECURSIVE) {
                w->path->recursive_count--;
                t->recursive_count--;
        }
        if (w->kinds == 0)
                watch_free(t, w);

        return removed;
}

bool watch_table_add(WatchTable *t, uint64_t watcher, const char *path, WatchKind kind) {
        Watch *w;

        assert(kind == WATCH_DATA || kind == WATCH_CHILDREN || kind == WATCH_PERSISTENT ||
               kind == WATCH_PERSISTENT_RECURSIVE);

        w = acquire_watch(t, watcher, path);
        if (w->kinds & kind)
                return false;

        w->kinds |= kind;
        t->count++;
        if (kind == WATCH_PERSISTENT_RECURSIVE) {
                w->path->recursive_count++;
                t->recursive_count++;
        }

        return true;
}

unsigned watch_table_remove(WatchTable *t, uint64_t watcher, const char *path, unsigned kinds) {
        Watch *w = find_watch(t, watcher, path);

        return w ? watch_strip(t, w, kinds) : 0;
}

void watch_table_remove_watcher(WatchTable *t, uint64_t watcher) {
        Watcher *w = find_watcher(t, watcher);

        /* The watcher goes with its last watch. */
        for (Watch *i = w ? w->watches : NULL, *next; i; i = next) {
                next = i->next;
                watch_strip(t, i, WATCH_ALL);
        }
}

unsigned watch_table_get(const WatchTable *t, uint64_t watcher, const char *path) {
        Watch *w = find_watch(t, watcher, path);

        return w ? w->kinds : 0;
}

void watch_table_foreach(const WatchTable *t, uint64_t watcher,
                         void (*each)(void *userdata, const char *path, unsigned kinds), void *userdata) {
        const Watcher *w = find_watcher(t, watcher);

        for (const Watch *i = w ? w->watches : NULL; i; i = i->next)
                each(userdata, i->path->path, i->kinds);
}

uint64_t watch_table_count(const WatchTable *t) {
        return t->count;
}

uint64_t watch_table_paths_count(const WatchTable *t) {
        return g_hash_table_size(t->paths);
}

uint64_t watch_table_watchers_count(const WatchTable *t) {
        return g_hash_table_size(t->watchers);
}

/*
 * Firing
 */

typedef struct Trigger {
        WatchEventType type;
        unsigned kinds;                 /* on the path itself */
        const char *path;
        size_t path_size;
        bool below;                     /* recursive watches on its ancestors too */
        Acl *acl;
        Zxid zxid;
} Trigger;

static size_t parent_size(const char *path, size_t size) {
        while (size > 0 && path[size - 1] != '/')
                size--;

        return size > 1 ? size - 1 : size;
}

static void collect_ancestors(WatchTable *t, const Trigger *trigger) {
        for (size_t size = trigger->path_size; size > 1; ) {
                WatchPath *p;

                size = parent_size(trigger->path, size);
                if (size == 0)
                        return;

                p = find_path(t, trigger->path, size);
                if (p && p->recursive_count > 0)
                        treap_collect(p->root, WATCH_PERSISTENT_RECURSIVE, t->hits);
        }
}

/* By watcher; of one watcher's the longest path first, which is the trigger's own if it is there. */
static gint hit_compare(gconstpointer a, gconstpointer b) {
        const Watch *x = *(Watch *const *) a, *y = *(Watch *const *) b;

        if (x->watcher != y->watcher)
                return x->watcher->number < y->watcher->number ? -1 : 1;

        return (x->path->key.size < y->path->key.size) - (x->path->key.size > y->path->key.size);
}

/* Leaves one hit per watcher; the hits are sorted. */
static void deduplicate(GPtrArray *hits) {
        guint n = 0;

        for (guint i = 0; i < hits->len; i++) {
                Watch *w = hits->pdata[i];

                if (n == 0 || ((Watch *) hits->pdata[n - 1])->watcher != w->watcher)
                        hits->pdata[n++] = w;
        }

        g_ptr_array_set_size(hits, (gint) n);
}

static void collect(WatchTable *t, const Trigger *trigger) {
        WatchPath *p = find_path(t, trigger->path, trigger->path_size);
        guint own;

        g_ptr_array_set_size(t->hits, 0);
        if (p)
                treap_collect(p->root, trigger->kinds, t->hits);

        own = t->hits->len;
        if (trigger->below && t->recursive_count > 0)
                collect_ancestors(t, trigger);

        if (t->hits->len > own) {
                g_ptr_array_sort(t->hits, hit_compare);
                deduplicate(t->hits);
        }
}

static void fire(WatchTable *t, const Trigger *trigger, WatchEmit emit, void *userdata) {
        collect(t, trigger);

        for (guint i = 0; i < t->hits->len; i++) {
                Watch *w = t->hits->pdata[i];
                uint64_t watcher = w->watcher->number;
                bool spent = false;

                /* An ancestor's hit is a recursive watch alone: it has no one-shot that could match here. */
                if (w->path->key.size == trigger->path_size) {
                        unsigned shots = trigger->kinds & WATCH_ONE_SHOT;

                        spent = (w->kinds & ~shots) == 0;
                        watch_strip(t, w, shots);
                }

                emit(userdata, watcher, trigger->type, trigger->path, trigger->zxid, trigger->acl, spent);
        }
}

static const struct {
        WatchEventType type;
        unsigned kinds;
} change_triggers[] = {
        [CHANGE_CREATED] = { WATCH_EVENT_CREATED, WATCH_DATA | WATCH_PERSISTENT | WATCH_PERSISTENT_RECURSIVE },
        [CHANGE_DELETED] = { WATCH_EVENT_DELETED, WATCH_ALL },
        [CHANGE_DATA]    = { WATCH_EVENT_DATA_CHANGED, WATCH_DATA | WATCH_PERSISTENT | WATCH_PERSISTENT_RECURSIVE },
};

void watch_table_fire(WatchTable *t, const TreeChange *change, WatchEmit emit, void *userdata) {
        Trigger trigger;
        size_t size;

        if (t->count == 0 || change->soft_quota)
                return;

        size = strlen(change->path);
        trigger = (Trigger) {
                .type = change_triggers[change->kind].type,
                .kinds = change_triggers[change->kind].kinds,
                .path = change->path,
                .path_size = size,
                .below = true,
                .acl = change->acl,
                .zxid = change->zxid,
        };
        fire(t, &trigger, emit, userdata);

        if (change->kind == CHANGE_DATA || size == 1 || t->count == 0)
                return;

        g_string_truncate(t->parent, 0);
        g_string_append_len(t->parent, change->path, (gssize) parent_size(change->path, size));
        trigger = (Trigger) {
                .type = WATCH_EVENT_CHILDREN_CHANGED,
                .kinds = WATCH_CHILDREN | WATCH_PERSISTENT,
                .path = t->parent->str,
                .path_size = t->parent->len,
                .acl = change->parent_acl,
                .zxid = change->zxid,
        };
        fire(t, &trigger, emit, userdata);
}
