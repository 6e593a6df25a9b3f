/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Watch: triggers, order, one-shots, scale; and the history of changes
 */

#include <malloc.h>
#include <string.h>

#include <glib.h>

#include "agent/base/limits.h"
#include "agent/base/prng.h"
#include "agent/tree/watch.h"

typedef struct Fixture {
        AclTable *acls;
        Acl *acl, *parent_acl;
        WatchTable *table;
        GString *events;
        bool read_denied;               /* plays a front whose watchers may see nothing */
} Fixture;

static void set_up(Fixture *f, gconstpointer unused) {
        const AclEntry own = { PERMISSION_READ, { "host", "own" } }, parent = { PERMISSION_READ, { "host", "parent" } };

        f->acls = acl_table_new();
        f->acl = acl_table_intern(f->acls, (AclEntries) { &own, 1 });
        f->parent_acl = acl_table_intern(f->acls, (AclEntries) { &parent, 1 });
        f->table = watch_table_new();
        f->events = g_string_new(NULL);
}

static void tear_down(Fixture *f, gconstpointer unused) {
        f->table = watch_table_free(f->table);
        acl_unref(f->acls, f->acl);
        acl_unref(f->acls, f->parent_acl);
        acl_table_free(f->acls);        /* asserts that every reference came back */
        g_string_free(f->events, TRUE);
}

/* "7 created /a 0x5 own spent", with what a front would filter: whose ACL decides. */
static void emit(void *userdata, uint64_t watcher, WatchEventType type, const char *path, Zxid zxid, Acl *acl,
                 bool spent) {
        static const char *const names[] = { NULL, "created", "deleted", "changed", "children" };
        Fixture *f = userdata;

        if (f->read_denied)
                return;

        g_string_append_printf(f->events, "%s%" G_GUINT64_FORMAT " %s %s " ZXID_FORMAT " %s%s",
                               f->events->len ? "; " : "", watcher, names[type], path, zxid,
                               acl == f->acl ? "own" : "parent", spent ? " spent" : "");
}

static void fire(Fixture *f, ChangeKind kind, const char *path) {
        TreeChange change = {
                .kind = kind, .zxid = 5, .path = path, .acl = f->acl,
                .parent_acl = g_str_equal(path, "/") ? NULL : f->parent_acl,
        };

        g_string_truncate(f->events, 0);
        watch_table_fire(f->table, &change, emit, f);
}

/* The table of zookeeper-semantics 2.11: where a watch of each kind stands, and what each change gives it. */
static const struct {
        ChangeKind change;
        const char *watched;            /* the change is always to /p/q */
        WatchKind kind;
        const char *event;              /* NULL: none */
} triggers[] = {
        { CHANGE_CREATED, "/p/q", WATCH_DATA, "created /p/q 0x5 own spent" },
        { CHANGE_CREATED, "/p/q", WATCH_CHILDREN, NULL },
        { CHANGE_CREATED, "/p/q", WATCH_PERSISTENT, "created /p/q 0x5 own" },
        { CHANGE_CREATED, "/p/q", WATCH_PERSISTENT_RECURSIVE, "created /p/q 0x5 own" },
        { CHANGE_CREATED, "/p", WATCH_DATA, NULL },
        { CHANGE_CREATED, "/p", WATCH_CHILDREN, "children /p 0x5 parent spent" },
        { CHANGE_CREATED, "/p", WATCH_PERSISTENT, "children /p 0x5 parent" },
        { CHANGE_CREATED, "/p", WATCH_PERSISTENT_RECURSIVE, "created /p/q 0x5 own" },

        { CHANGE_DELETED, "/p/q", WATCH_DATA, "deleted /p/q 0x5 own spent" },
        { CHANGE_DELETED, "/p/q", WATCH_CHILDREN, "deleted /p/q 0x5 own spent" },
        { CHANGE_DELETED, "/p/q", WATCH_PERSISTENT, "deleted /p/q 0x5 own" },
        { CHANGE_DELETED, "/p/q", WATCH_PERSISTENT_RECURSIVE, "deleted /p/q 0x5 own" },
        { CHANGE_DELETED, "/p", WATCH_DATA, NULL },
        { CHANGE_DELETED, "/p", WATCH_CHILDREN, "children /p 0x5 parent spent" },
        { CHANGE_DELETED, "/p", WATCH_PERSISTENT, "children /p 0x5 parent" },
        { CHANGE_DELETED, "/p", WATCH_PERSISTENT_RECURSIVE, "deleted /p/q 0x5 own" },

        { CHANGE_DATA, "/p/q", WATCH_DATA, "changed /p/q 0x5 own spent" },
        { CHANGE_DATA, "/p/q", WATCH_CHILDREN, NULL },
        { CHANGE_DATA, "/p/q", WATCH_PERSISTENT, "changed /p/q 0x5 own" },
        { CHANGE_DATA, "/p/q", WATCH_PERSISTENT_RECURSIVE, "changed /p/q 0x5 own" },
        { CHANGE_DATA, "/p", WATCH_DATA, NULL },
        { CHANGE_DATA, "/p", WATCH_CHILDREN, NULL },
        { CHANGE_DATA, "/p", WATCH_PERSISTENT, NULL },
        { CHANGE_DATA, "/p", WATCH_PERSISTENT_RECURSIVE, "changed /p/q 0x5 own" },

        { CHANGE_CREATED, "/", WATCH_PERSISTENT_RECURSIVE, "created /p/q 0x5 own" },
        { CHANGE_DELETED, "/", WATCH_PERSISTENT_RECURSIVE, "deleted /p/q 0x5 own" },
        { CHANGE_DATA, "/", WATCH_PERSISTENT_RECURSIVE, "changed /p/q 0x5 own" },
        { CHANGE_CREATED, "/", WATCH_DATA, NULL },
        { CHANGE_DELETED, "/", WATCH_CHILDREN, NULL },
        { CHANGE_DELETED, "/", WATCH_PERSISTENT, NULL },

        /* below, beside, and a name that only begins alike */
        { CHANGE_DELETED, "/p/q/r", WATCH_PERSISTENT_RECURSIVE, NULL },
        { CHANGE_DELETED, "/p/q/r", WATCH_DATA, NULL },
        { CHANGE_DELETED, "/p/qq", WATCH_PERSISTENT_RECURSIVE, NULL },
        { CHANGE_DELETED, "/p/", WATCH_PERSISTENT_RECURSIVE, NULL },
        { CHANGE_CREATED, "/pp", WATCH_CHILDREN, NULL },
};

static void test_triggers(Fixture *f, gconstpointer denied) {
        f->read_denied = denied;

        for (size_t i = 0; i < G_N_ELEMENTS(triggers); i++) {
                WatchKind kind = triggers[i].kind;
                bool one_shot = kind == WATCH_DATA || kind == WATCH_CHILDREN;
                g_autofree char *expected = triggers[i].event && !denied ? g_strconcat("7 ", triggers[i].event, NULL) :
                        g_strdup("");

                g_test_message("row %zu", i);
                g_assert_true(watch_table_add(f->table, 7, triggers[i].watched, kind));
                fire(f, triggers[i].change, "/p/q");
                g_assert_cmpstr(f->events->str, ==, expected);

                /* A one-shot is spent whether or not its event could be shown. */
                g_assert_cmpuint(watch_table_get(f->table, 7, triggers[i].watched), ==,
                                 triggers[i].event && one_shot ? 0 : kind);
                fire(f, triggers[i].change, "/p/q");
                g_assert_cmpstr(f->events->str, ==, one_shot ? "" : expected);

                watch_table_remove_watcher(f->table, 7);
                g_assert_cmpuint(watch_table_count(f->table), ==, 0);
        }
}

static void test_root(Fixture *f, gconstpointer unused) {
        watch_table_add(f->table, 1, "/", WATCH_DATA);
        watch_table_add(f->table, 2, "/", WATCH_CHILDREN);
        watch_table_add(f->table, 3, "/", WATCH_PERSISTENT);
        watch_table_add(f->table, 4, "/", WATCH_PERSISTENT_RECURSIVE);

        fire(f, CHANGE_DATA, "/");
        g_assert_cmpstr(f->events->str, ==, "1 changed / 0x5 own spent; 3 changed / 0x5 own; 4 changed / 0x5 own");
        fire(f, CHANGE_CREATED, "/a");
        g_assert_cmpstr(f->events->str, ==,
                        "4 created /a 0x5 own; 2 children / 0x5 parent spent; 3 children / 0x5 parent");
        g_assert_cmpuint(watch_table_count(f->table), ==, 2);
}

/* One event per watcher and path, however many of its watches match. */
static void test_collapse(Fixture *f, gconstpointer unused) {
        g_assert_true(watch_table_add(f->table, 1, "/p/q", WATCH_DATA));
        g_assert_false(watch_table_add(f->table, 1, "/p/q", WATCH_DATA));
        g_assert_true(watch_table_add(f->table, 1, "/p/q", WATCH_CHILDREN));
        fire(f, CHANGE_DELETED, "/p/q");
        g_assert_cmpstr(f->events->str, ==, "1 deleted /p/q 0x5 own spent");
        g_assert_cmpuint(watch_table_count(f->table), ==, 0);

        /* All kinds here, and recursive ones on every ancestor. */
        for (WatchKind kind = WATCH_DATA; kind <= WATCH_PERSISTENT_RECURSIVE; kind <<= 1) {
                watch_table_add(f->table, 1, "/p/q", kind);
                watch_table_add(f->table, 1, "/p", kind);
        }
        watch_table_add(f->table, 1, "/", WATCH_PERSISTENT_RECURSIVE);
        g_assert_cmpuint(watch_table_count(f->table), ==, 9);
        g_assert_cmpuint(watch_table_paths_count(f->table), ==, 3);
        g_assert_cmpuint(watch_table_watchers_count(f->table), ==, 1);

        fire(f, CHANGE_CREATED, "/p/q");
        g_assert_cmpstr(f->events->str, ==, "1 created /p/q 0x5 own; 1 children /p 0x5 parent");
        g_assert_cmpuint(watch_table_get(f->table, 1, "/p/q"), ==,
                         WATCH_CHILDREN | WATCH_PERSISTENT | WATCH_PERSISTENT_RECURSIVE);
        g_assert_cmpuint(watch_table_get(f->table, 1, "/p"), ==,
                         WATCH_DATA | WATCH_PERSISTENT | WATCH_PERSISTENT_RECURSIVE);
}

/* `spent` is about the path of the event alone: who counts watched paths relies on it. */
static void test_spent(Fixture *f, gconstpointer unused) {
        watch_table_add(f->table, 1, "/p/q", WATCH_DATA);
        watch_table_add(f->table, 1, "/p", WATCH_PERSISTENT_RECURSIVE);
        fire(f, CHANGE_DATA, "/p/q");
        g_assert_cmpstr(f->events->str, ==, "1 changed /p/q 0x5 own spent");
        fire(f, CHANGE_DATA, "/p/q");
        g_assert_cmpstr(f->events->str, ==, "1 changed /p/q 0x5 own");

        watch_table_add(f->table, 1, "/p/q", WATCH_CHILDREN);
        fire(f, CHANGE_DATA, "/p/q");           /* comes from above: the watch for children stays */
        g_assert_cmpstr(f->events->str, ==, "1 changed /p/q 0x5 own");
        g_assert_cmpuint(watch_table_get(f->table, 1, "/p/q"), ==, WATCH_CHILDREN);

        watch_table_add(f->table, 1, "/p/q", WATCH_DATA);
        fire(f, CHANGE_DATA, "/p/q");           /* children still watched here */
        g_assert_cmpstr(f->events->str, ==, "1 changed /p/q 0x5 own");
        g_assert_cmpuint(watch_table_get(f->table, 1, "/p/q"), ==, WATCH_CHILDREN);
        fire(f, CHANGE_DELETED, "/p/q");
        g_assert_cmpstr(f->events->str, ==, "1 deleted /p/q 0x5 own spent");
}

static void test_order(Fixture *f, gconstpointer unused) {
        watch_table_add(f->table, 9, "/p", WATCH_PERSISTENT);
        watch_table_add(f->table, UINT64_MAX, "/p/q", WATCH_DATA);
        watch_table_add(f->table, 4, "/", WATCH_PERSISTENT_RECURSIVE);
        watch_table_add(f->table, 5, "/p/q", WATCH_PERSISTENT);
        watch_table_add(f->table, 3, "/p", WATCH_CHILDREN);
        watch_table_add(f->table, 7, "/p", WATCH_PERSISTENT_RECURSIVE);
        watch_table_add(f->table, 0, "/p/q", WATCH_DATA);

        fire(f, CHANGE_DELETED, "/p/q");
        g_assert_cmpstr(f->events->str, ==,
                        "0 deleted /p/q 0x5 own spent; 4 deleted /p/q 0x5 own; 5 deleted /p/q 0x5 own; "
                        "7 deleted /p/q 0x5 own; 18446744073709551615 deleted /p/q 0x5 own spent; "
                        "3 children /p 0x5 parent spent; 9 children /p 0x5 parent");
}

static void test_quota_is_no_change(Fixture *f, gconstpointer unused) {
        TreeChange change = { .kind = CHANGE_DATA, .zxid = 5, .path = "/p", .acl = f->acl, .soft_quota = true };

        watch_table_add(f->table, 1, "/p", WATCH_DATA);
        watch_table_fire(f->table, &change, emit, f);
        g_assert_cmpstr(f->events->str, ==, "");
        g_assert_cmpuint(watch_table_get(f->table, 1, "/p"), ==, WATCH_DATA);
}

static void test_remove(Fixture *f, gconstpointer unused) {
        watch_table_add(f->table, 1, "/a", WATCH_DATA);
        watch_table_add(f->table, 1, "/a", WATCH_PERSISTENT_RECURSIVE);
        watch_table_add(f->table, 1, "/b", WATCH_DATA);
        watch_table_add(f->table, 2, "/a", WATCH_DATA);

        g_assert_cmpuint(watch_table_remove(f->table, 1, "/c", 15), ==, 0);
        g_assert_cmpuint(watch_table_remove(f->table, 3, "/a", 15), ==, 0);
        g_assert_cmpuint(watch_table_remove(f->table, 1, "/a", WATCH_CHILDREN), ==, 0);
        g_assert_cmpuint(watch_table_remove(f->table, 1, "/a", WATCH_CHILDREN | WATCH_DATA), ==, WATCH_DATA);
        g_assert_cmpuint(watch_table_get(f->table, 1, "/a"), ==, WATCH_PERSISTENT_RECURSIVE);
        g_assert_cmpuint(watch_table_remove(f->table, 1, "/a", 15), ==, WATCH_PERSISTENT_RECURSIVE);
        g_assert_cmpuint(watch_table_get(f->table, 1, "/a"), ==, 0);
        g_assert_cmpuint(watch_table_get(f->table, 2, "/a"), ==, WATCH_DATA);
        g_assert_cmpuint(watch_table_watchers_count(f->table), ==, 2);

        watch_table_remove_watcher(f->table, 1);
        watch_table_remove_watcher(f->table, 1);
        g_assert_cmpuint(watch_table_watchers_count(f->table), ==, 1);
        g_assert_cmpuint(watch_table_paths_count(f->table), ==, 1);
        g_assert_cmpuint(watch_table_remove(f->table, 2, "/a", 15), ==, WATCH_DATA);
        g_assert_cmpuint(watch_table_count(f->table), ==, 0);
        g_assert_cmpuint(watch_table_paths_count(f->table), ==, 0);
        g_assert_cmpuint(watch_table_watchers_count(f->table), ==, 0);
}

/*
 * Against a plain array of masks
 */

#define MODEL_WATCHERS 12

static const char *const model_paths[] = { "/", "/a", "/a/b", "/a/b/c", "/a/bb", "/d" };
static const int model_parents[] = { -1, 0, 1, 2, 1, 0 };

typedef uint8_t Model[G_N_ELEMENTS(model_paths)][MODEL_WATCHERS];

static void model_event(GString *s, unsigned watcher, const char *name, const char *path, const char *acl, bool spent) {
        g_string_append_printf(s, "%s%u %s %s 0x5 %s%s", s->len ? "; " : "", watcher, name, path, acl,
                               spent ? " spent" : "");
}

static void model_fire(Model m, ChangeKind kind, unsigned path, GString *s) {
        static const char *const names[] = { NULL, "created", "deleted", "changed" };
        unsigned shots = kind == CHANGE_DELETED ? WATCH_DATA | WATCH_CHILDREN : WATCH_DATA;
        int parent = model_parents[path];

        g_string_truncate(s, 0);
        for (unsigned w = 0; w < MODEL_WATCHERS; w++) {
                uint8_t *own = &m[path][w], before = *own;
                bool hit = before & (shots | WATCH_PERSISTENT | WATCH_PERSISTENT_RECURSIVE);

                for (int i = parent; i >= 0; i = model_parents[i])
                        hit = hit || (m[i][w] & WATCH_PERSISTENT_RECURSIVE);
                *own &= ~shots;
                if (hit)
                        model_event(s, w, names[kind], model_paths[path], "own", before && !*own);
        }

        for (unsigned w = 0; kind != CHANGE_DATA && parent >= 0 && w < MODEL_WATCHERS; w++) {
                bool hit = m[parent][w] & (WATCH_CHILDREN | WATCH_PERSISTENT);

                m[parent][w] &= ~WATCH_CHILDREN;
                if (hit)
                        model_event(s, w, "children", model_paths[parent], "parent", m[parent][w] == 0);
        }
}

static void model_check(const WatchTable *t, Model m) {
        unsigned count = 0, paths = 0, watchers = 0;

        for (unsigned p = 0; p < G_N_ELEMENTS(model_paths); p++) {
                bool any = false;

                for (unsigned w = 0; w < MODEL_WATCHERS; w++) {
                        g_assert_cmpuint(watch_table_get(t, w, model_paths[p]), ==, m[p][w]);
                        count += (unsigned) __builtin_popcount(m[p][w]);
                        any = any || m[p][w];
                }
                paths += any;
        }

        for (unsigned w = 0; w < MODEL_WATCHERS; w++) {
                bool any = false;

                for (unsigned p = 0; p < G_N_ELEMENTS(model_paths); p++)
                        any = any || m[p][w];
                watchers += any;
        }

        g_assert_cmpuint(watch_table_count(t), ==, count);
        g_assert_cmpuint(watch_table_paths_count(t), ==, paths);
        g_assert_cmpuint(watch_table_watchers_count(t), ==, watchers);
}

static void test_model(Fixture *f, gconstpointer unused) {
        g_autoptr(GString) expected = g_string_new(NULL);
        unsigned events = 0;
        Prng prng = { 11 };
        Model m = { 0 };

        for (unsigned i = 0; i < 100000; i++) {
                unsigned p = prng_below(&prng, G_N_ELEMENTS(model_paths)), w = prng_below(&prng, MODEL_WATCHERS);
                unsigned kinds = prng_below(&prng, 16), kind = 1u << prng_below(&prng, 4);

                switch (prng_below(&prng, 16)) {

                case 0:
                        watch_table_remove_watcher(f->table, w);
                        for (unsigned k = 0; k < G_N_ELEMENTS(model_paths); k++)
                                m[k][w] = 0;
                        break;

                case 1 ... 3:
                        g_assert_cmpuint(watch_table_remove(f->table, w, model_paths[p], kinds), ==, m[p][w] & kinds);
                        m[p][w] &= ~kinds;
                        break;

                case 4 ... 6:
                        kind = p == 0 ? CHANGE_DATA : 1 + prng_below(&prng, 3);
                        model_fire(m, kind, p, expected);
                        fire(f, kind, model_paths[p]);
                        g_assert_cmpstr(f->events->str, ==, expected->str);
                        events += f->events->len > 0;
                        break;

                default:
                        g_assert_cmpint(watch_table_add(f->table, w, model_paths[p], kind), ==, !(m[p][w] & kind));
                        m[p][w] |= kind;
                }

                if (i % 16 == 0)
                        model_check(f->table, m);
        }

        g_assert_cmpuint(events, >, 10000);
}

/*
 * Scale
 */

static size_t heap_bytes(void) {
        struct mallinfo2 m = mallinfo2();

        return m.uordblks + m.hblkhd;
}

/* A sanitizer's allocator counts elsewhere. */
static void assert_heap_bytes(double bytes, double low, double high) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
        g_assert_cmpfloat(bytes, >, low);
        g_assert_cmpfloat(bytes, <, high);
#endif
}

static void scale_path(char *buffer, size_t size, unsigned i) {
        g_snprintf(buffer, size, "/services/web/instances/%07u", i);
}

/* Watches on distinct paths by a hundredth as many watchers. */
static void test_many_paths(Fixture *f, gconstpointer unused) {
        const unsigned count = g_test_slow() ? 1000000 : 100000, watchers = count / 100;
        size_t before = heap_bytes();
        char path[64];
        double bytes;

        for (unsigned i = 0; i < count; i++) {
                scale_path(path, sizeof(path), i);
                g_assert_true(watch_table_add(f->table, i % watchers, path, WATCH_DATA));
        }

        bytes = (double) (heap_bytes() - before) / count;
        g_test_message("%.1f bytes for each of %u watches", bytes, count);
        assert_heap_bytes(bytes, 50, 200);

        for (unsigned w = 1; w < watchers; w++)
                watch_table_remove_watcher(f->table, w);
        g_assert_cmpuint(watch_table_count(f->table), ==, count / watchers);
        g_assert_cmpuint(watch_table_paths_count(f->table), ==, count / watchers);

        scale_path(path, sizeof(path), watchers);
        fire(f, CHANGE_DATA, path);
        g_assert_true(g_str_has_prefix(f->events->str, "0 changed /services/web/instances/"));
        g_assert_cmpuint(watch_table_count(f->table), ==, count / watchers - 1);
}

typedef struct Herd {
        uint64_t next;
        uint64_t count;
} Herd;

static void emit_herd(void *userdata, uint64_t watcher, WatchEventType type, const char *path, Zxid zxid, Acl *acl,
                      bool spent) {
        Herd *h = userdata;

        g_assert_cmpuint(watcher, >=, h->next);
        g_assert_true(spent);
        h->next = watcher + 1;
        h->count++;
}

/* A herd on one path: no step may cost as many steps as the herd has members. */
static void test_one_path(Fixture *f, gconstpointer unused) {
        const uint64_t count = 200000;
        TreeChange change = { .kind = CHANGE_DATA, .zxid = 5, .path = "/leader", .acl = f->acl,
                              .parent_acl = f->parent_acl };
        Herd herd = { 0 };

        for (uint64_t i = 0; i < count; i++)
                g_assert_true(watch_table_add(f->table, count - i, "/leader", WATCH_DATA));
        for (uint64_t i = 1; i <= count; i += 2)
                watch_table_remove_watcher(f->table, i);

        watch_table_fire(f->table, &change, emit_herd, &herd);
        g_assert_cmpuint(herd.count, ==, count / 2);
        g_assert_cmpuint(watch_table_count(f->table), ==, 0);
}

/*
 * History
 */

static void add(ChangeHistory *h, Fixture *f, ChangeKind kind, Zxid zxid, const char *path) {
        change_history_add(h, &(TreeChange) {
                .kind = kind, .zxid = zxid, .path = path, .acl = f->acl,
                .parent_acl = g_str_equal(path, "/") ? NULL : f->parent_acl,
        });
}

static void check_replay(Fixture *f, ChangeHistory *h, const char *path, WatchKind kind, Zxid since,
                         const char *expected) {
        g_string_truncate(f->events, 0);
        g_assert_cmpint(change_history_replay(h, path, kind, since, 3, emit, f), ==,
                        expected ? CONVENE_OK : CONVENE_HISTORY_GONE);
        g_assert_cmpstr(f->events->str, ==, expected ?: "");
}

static void test_history(Fixture *f, gconstpointer unused) {
        ChangeHistory *h = change_history_new(f->acls, 10);

        check_replay(f, h, "/a", WATCH_PERSISTENT, 10, "");
        check_replay(f, h, "/a", WATCH_PERSISTENT, 9, NULL);
        check_replay(f, h, "/a", WATCH_PERSISTENT, 99, "");

        add(h, f, CHANGE_CREATED, 11, "/a");
        add(h, f, CHANGE_CREATED, 12, "/a/b");
        add(h, f, CHANGE_CREATED, 12, "/ab");
        add(h, f, CHANGE_CREATED, 13, "/a/b/c");
        add(h, f, CHANGE_DATA, 14, "/a/b");
        add(h, f, CHANGE_DATA, 15, "/a");
        add(h, f, CHANGE_DELETED, 16, "/a/b/c");
        change_history_add(h, &(TreeChange) { .kind = CHANGE_DATA, .zxid = 16, .path = "/a", .acl = f->acl,
                                              .soft_quota = true });
        add(h, f, CHANGE_DELETED, 17, "/a/b");
        add(h, f, CHANGE_DATA, 18, "/");
        g_assert_cmpuint(change_history_floor(h), ==, 10);

        check_replay(f, h, "/a", WATCH_PERSISTENT, 10,
                     "3 created /a 0xb own; 3 children /a 0xc parent; 3 changed /a 0xf own; 3 children /a 0x11 parent");
        check_replay(f, h, "/a", WATCH_PERSISTENT, 12, "3 changed /a 0xf own; 3 children /a 0x11 parent");
        check_replay(f, h, "/a", WATCH_PERSISTENT, 17, "");
        check_replay(f, h, "/a", WATCH_PERSISTENT_RECURSIVE, 11,
                     "3 created /a/b 0xc own; 3 created /a/b/c 0xd own; 3 changed /a/b 0xe own; 3 changed /a 0xf own; "
                     "3 deleted /a/b/c 0x10 own; 3 deleted /a/b 0x11 own");
        check_replay(f, h, "/", WATCH_PERSISTENT, 10,
                     "3 children / 0xb parent; 3 children / 0xc parent; 3 changed / 0x12 own");
        check_replay(f, h, "/", WATCH_PERSISTENT_RECURSIVE, 15,
                     "3 deleted /a/b/c 0x10 own; 3 deleted /a/b 0x11 own; 3 changed / 0x12 own");
        check_replay(f, h, "/a/b", WATCH_PERSISTENT, 13,
                     "3 changed /a/b 0xe own; 3 children /a/b 0x10 parent; 3 deleted /a/b 0x11 own");
        check_replay(f, h, "/a/b/c/d", WATCH_PERSISTENT_RECURSIVE, 10, "");
        check_replay(f, h, "/a", WATCH_PERSISTENT_RECURSIVE, 9, NULL);

        change_history_free(h);
        g_assert_null(change_history_free(NULL));
}

/* A replay gives what a watch that stayed would have seen. */
static void test_history_equals_watching(Fixture *f, gconstpointer unused) {
        ChangeHistory *h = change_history_new(f->acls, 0);
        Prng prng = { 5 };

        for (Zxid zxid = 1; zxid <= 2000; zxid++) {
                unsigned p = prng_below(&prng, G_N_ELEMENTS(model_paths));

                add(h, f, p == 0 ? CHANGE_DATA : (ChangeKind) (1 + prng_below(&prng, 3)), zxid / 2 + 1, model_paths[p]);
        }

        for (unsigned p = 0; p < G_N_ELEMENTS(model_paths); p++)
                for (WatchKind kind = WATCH_PERSISTENT; kind <= WATCH_PERSISTENT_RECURSIVE; kind <<= 1) {
                        g_autofree char *replayed = NULL;

                        g_string_truncate(f->events, 0);
                        g_assert_cmpint(change_history_replay(h, model_paths[p], kind, 500, 3, emit, f), ==,
                                        CONVENE_OK);
                        replayed = g_strdup(f->events->str);
                        g_assert_cmpuint(f->events->len, >, 100);

                        g_string_truncate(f->events, 0);
                        watch_table_add(f->table, 3, model_paths[p], kind);
                        prng = (Prng) { 5 };
                        for (Zxid zxid = 1; zxid <= 2000; zxid++) {
                                unsigned q = prng_below(&prng, G_N_ELEMENTS(model_paths));
                                TreeChange change = {
                                        .kind = q == 0 ? CHANGE_DATA : (ChangeKind) (1 + prng_below(&prng, 3)),
                                        .zxid = zxid / 2 + 1, .path = model_paths[q], .acl = f->acl,
                                        .parent_acl = q == 0 ? NULL : f->parent_acl,
                                };

                                if (change.zxid > 500)
                                        watch_table_fire(f->table, &change, emit, f);
                        }
                        g_assert_cmpstr(f->events->str, ==, replayed);
                        watch_table_remove_watcher(f->table, 3);
                }

        change_history_free(h);
}

static void count_event(void *userdata, uint64_t watcher, WatchEventType type, const char *path, Zxid zxid, Acl *acl,
                        bool spent) {
        (*(unsigned *) userdata)++;
}

static unsigned count_replay(ChangeHistory *h, Zxid since) {
        unsigned n = 0;

        g_assert_cmpint(change_history_replay(h, "/", WATCH_PERSISTENT_RECURSIVE, since, 1, count_event, &n), ==,
                        CONVENE_OK);
        return n;
}

static void test_history_events_bound(Fixture *f, gconstpointer unused) {
        ChangeHistory *h = change_history_new(f->acls, 0);

        for (Zxid zxid = 1; zxid <= LIMIT_HISTORY_EVENTS; zxid++)
                add(h, f, CHANGE_DATA, zxid, "/a");
        g_assert_cmpuint(change_history_floor(h), ==, 0);
        g_assert_cmpuint(count_replay(h, 0), ==, LIMIT_HISTORY_EVENTS);

        add(h, f, CHANGE_DATA, LIMIT_HISTORY_EVENTS + 1, "/a");
        g_assert_cmpuint(change_history_floor(h), ==, 1);
        g_assert_cmpint(change_history_replay(h, "/", WATCH_PERSISTENT_RECURSIVE, 0, 1, emit, f), ==,
                        CONVENE_HISTORY_GONE);
        g_assert_cmpuint(count_replay(h, 1), ==, LIMIT_HISTORY_EVENTS);
        g_assert_cmpuint(count_replay(h, LIMIT_HISTORY_EVENTS), ==, 1);
        g_assert_cmpuint(count_replay(h, LIMIT_HISTORY_EVENTS + 1), ==, 0);
        change_history_free(h);
}

/* An entry that has partly left is not known at all. */
static void test_history_whole_entries(Fixture *f, gconstpointer unused) {
        ChangeHistory *h = change_history_new(f->acls, 0);

        add(h, f, CHANGE_DATA, 1, "/a");
        add(h, f, CHANGE_DATA, 1, "/b");
        for (unsigned i = 0; i < LIMIT_HISTORY_EVENTS - 1; i++)
                add(h, f, CHANGE_DATA, 2, "/a");
        g_assert_cmpuint(change_history_floor(h), ==, 1);
        check_replay(f, h, "/b", WATCH_PERSISTENT, 0, NULL);
        check_replay(f, h, "/b", WATCH_PERSISTENT, 1, "");

        /* An entry larger than the whole history loses itself. */
        for (unsigned i = 0; i < 2 * LIMIT_HISTORY_EVENTS; i++)
                add(h, f, CHANGE_DATA, 3, "/a");
        g_assert_cmpuint(change_history_floor(h), ==, 3);
        g_assert_cmpuint(count_replay(h, 3), ==, 0);
        add(h, f, CHANGE_DATA, 4, "/a");
        g_assert_cmpuint(count_replay(h, 3), ==, 1);
        change_history_free(h);
}

static void test_history_bytes_bound(Fixture *f, gconstpointer unused) {
        g_autofree char *path = g_strnfill(LIMIT_PATH_BYTES, 'p');
        ChangeHistory *h = change_history_new(f->acls, 0);
        size_t before = heap_bytes(), after;
        const Zxid last = 3 * LIMIT_HISTORY_BYTES / LIMIT_PATH_BYTES;
        unsigned kept;

        path[0] = '/';
        for (Zxid zxid = 1; zxid <= last; zxid++)
                add(h, f, CHANGE_DATA, zxid, path);
        after = heap_bytes();

        kept = count_replay(h, change_history_floor(h));
        g_assert_cmpuint(kept, ==, last - change_history_floor(h));
        g_assert_cmpuint(kept, <=, LIMIT_HISTORY_BYTES / LIMIT_PATH_BYTES);
        g_assert_cmpuint(kept, >, LIMIT_HISTORY_BYTES / LIMIT_PATH_BYTES * 9 / 10);
        assert_heap_bytes((double) (after - before), LIMIT_HISTORY_BYTES / 2, LIMIT_HISTORY_BYTES / 4 * 5);
        change_history_free(h);
}

#define ADD(name, func, data) g_test_add("/watch/" name, Fixture, data, set_up, func, tear_down)

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        ADD("triggers", test_triggers, NULL);
        ADD("triggers-without-read", test_triggers, "");
        ADD("root", test_root, NULL);
        ADD("collapse", test_collapse, NULL);
        ADD("spent", test_spent, NULL);
        ADD("order", test_order, NULL);
        ADD("quota-is-no-change", test_quota_is_no_change, NULL);
        ADD("remove", test_remove, NULL);
        ADD("model", test_model, NULL);
        ADD("many-paths", test_many_paths, NULL);
        ADD("one-path", test_one_path, NULL);
        ADD("history", test_history, NULL);
        ADD("history-equals-watching", test_history_equals_watching, NULL);
        ADD("history-events-bound", test_history_events_bound, NULL);
        ADD("history-whole-entries", test_history_whole_entries, NULL);
        ADD("history-bytes-bound", test_history_bytes_bound, NULL);
        return g_test_run();
}
