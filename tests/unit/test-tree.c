/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Tree: updates of znodes, multi, stat, permissions
 */

#include <string.h>

#include "agent/base/limits.h"
#include "agent/base/prng.h"
#include "tests/unit/tree-fixture.h"

static const AclEntry read_entry = { PERMISSION_READ, { "world", "anyone" } };
static const AclEntry alice_entry = { PERMISSION_ALL, { "digest", "alice:hash" } };
static const Identity alice_identity = { "digest", "alice:hash" };
static const AclEntries acl_read = { &read_entry, 1 };
static const AclEntries acl_alice = { &alice_entry, 1 };
static const Identities alice = { &alice_identity, 1 };

static void test_new(void) {
        static const char *const fixed[] = { "/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config" };
        Tree *t = tree_new(NULL);
        Result result;

        tree_check(t);
        g_assert_cmphex(tree_zxid(t), ==, 0);
        g_assert_cmpuint(tree_znodes_count(t), ==, 4);
        g_assert_cmpuint(tree_dirty_count(t), ==, 5);
        for (size_t i = 0; i < G_N_ELEMENTS(fixed); i++) {
                tree_read(t, &(Request) { .op = REQUEST_GET_DATA, .path = fixed[i] }, &result);
                g_assert_cmpint(result.status, ==, CONVENE_OK);
                g_assert_cmphex(result.stat.czxid, ==, 0);
                g_assert_cmpint(result.stat.cversion, ==, i == 0 ? 1 : i == 1 ? 2 : 0);
                tree_apply_request(t, i + 1, 1, &(Request) { .op = REQUEST_DELETE, .path = fixed[i], .caller = super,
                                   .version = VERSION_ANY }, &result);
                g_assert_cmpint(result.status, ==, CONVENE_BAD_ARGUMENTS);
        }

        /* Nobody but super creates anything before the root is opened. */
        tree_apply_request(t, 10, 1, &(Request) OP_CREATE("/a", ""), &result);
        g_assert_cmpint(result.status, ==, CONVENE_NO_AUTH);
        tree_apply_request(t, 11, 1, &(Request) { .op = REQUEST_CREATE, .path = "/a", .acl = acl_open,
                           .caller = super }, &result);
        g_assert_cmpint(result.status, ==, CONVENE_OK);
        tree_check(t);
        tree_free(t);
}

static void test_create_order(void) {
        Fixture f;
        uint64_t session;

        fixture_init(&f);
        session = open_session(&f);

        /* session, before a bad mode */
        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_CREATE, .session = 999, .path = "x", .mode = 99 }), ==,
                        CONVENE_SESSION_EXPIRED);
        /* mode, ttl, ephemeral without session: before path and ACL */
        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_CREATE, .path = "x", .mode = 99 }), ==,
                        CONVENE_BAD_ARGUMENTS);
        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_CREATE, .path = "/a", .mode = CREATE_TTL }), ==,
                        CONVENE_BAD_ARGUMENTS);
        g_assert_cmpint(create_mode(&f, "/a", CREATE_EPHEMERAL, 0), ==, CONVENE_BAD_ARGUMENTS);
        /* a '/', before the ACL */
        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_CREATE, .path = "a" }), ==, CONVENE_BAD_ARGUMENTS);
        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_CREATE, .path = "" }), ==, CONVENE_BAD_ARGUMENTS);
        /* the ACL, before the parent */
        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_CREATE, .path = "/none/a" }), ==, CONVENE_INVALID_ACL);
        /* the parent, before the form of the path */
        g_assert_cmpint(create(&f, "/b/", ""), ==, CONVENE_NO_NODE);
        g_assert_cmpint(create(&f, "/./x", ""), ==, CONVENE_NO_NODE);
        g_assert_cmpint(create(&f, "a/b", ""), ==, CONVENE_NO_NODE);
        g_assert_cmpint(create(&f, "//b", ""), ==, CONVENE_BAD_ARGUMENTS);
        g_assert_cmpint(create(&f, "/", ""), ==, CONVENE_NODE_EXISTS);
        /* permission, before the form of the path and existence */
        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_CREATE, .path = "/closed", .acl = acl_read }), ==,
                        CONVENE_OK);
        g_assert_cmpint(create(&f, "/closed/..", ""), ==, CONVENE_NO_AUTH);
        g_assert_cmpint(create(&f, "/zookeeper/quota", ""), ==, CONVENE_NO_AUTH);
        /* the form, before existence; existence, before an ephemeral parent */
        g_assert_cmpint(create_mode(&f, "/e", CREATE_EPHEMERAL, session), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/e/..", ""), ==, CONVENE_BAD_ARGUMENTS);
        g_assert_cmpint(create(&f, "/e", ""), ==, CONVENE_NODE_EXISTS);
        g_assert_cmpint(create(&f, "/e/x", ""), ==, CONVENE_NO_CHILDREN_FOR_EPHEMERALS);
        fixture_done(&f);
}

static void test_stat(void) {
        Fixture f;
        Stat s;

        fixture_init(&f);
        g_assert_cmpint(create(&f, "/a", "one"), ==, CONVENE_OK);
        g_assert_cmpstr(f.result.path, ==, "/a");
        s = f.result.stat;
        g_assert_cmphex(s.czxid, ==, f.zxid);
        g_assert_cmphex(s.mzxid, ==, f.zxid);
        g_assert_cmphex(s.pzxid, ==, f.zxid);
        g_assert_cmpint(s.ctime_msec, ==, f.time_msec);
        g_assert_cmpint(s.mtime_msec, ==, f.time_msec);
        g_assert_cmpint(s.version + s.cversion + s.aversion, ==, 0);
        g_assert_cmpint(s.data_length, ==, 3);

        g_assert_cmpint(set(&f, "/a", "three"), ==, CONVENE_OK);
        g_assert_cmpstr(f.log->str, ==, "=/a");
        g_assert_cmpint(f.result.stat.version, ==, 1);
        g_assert_cmphex(f.result.stat.mzxid, ==, f.zxid);
        g_assert_cmphex(f.result.stat.pzxid, ==, s.czxid);
        g_assert_cmpint(f.result.stat.ctime_msec, ==, s.ctime_msec);
        g_assert_cmpint(f.result.stat.mtime_msec, ==, f.time_msec);
        g_assert_cmpint(f.result.stat.data_length, ==, 5);

        g_assert_cmpint(create(&f, "/a/b", NULL), ==, CONVENE_OK);
        g_assert_cmpstr(f.log->str, ==, "+/a/b");
        s = stat_of(&f, "/a");
        g_assert_cmpint(s.cversion, ==, 1);
        g_assert_cmpint(s.children_count, ==, 1);
        g_assert_cmphex(s.pzxid, ==, f.zxid);
        g_assert_cmpint(s.version, ==, 1);

        g_assert_cmpint(set(&f, "/a/b", "x"), ==, CONVENE_OK);
        g_assert_cmphex(stat_of(&f, "/a").pzxid, ==, s.pzxid);

        g_assert_cmpint(erase(&f, "/a/b"), ==, CONVENE_OK);
        g_assert_cmpstr(f.log->str, ==, "-/a/b");
        s = stat_of(&f, "/a");
        g_assert_cmpint(s.cversion, ==, 2);
        g_assert_cmpint(s.children_count, ==, 0);
        g_assert_cmphex(s.pzxid, ==, f.zxid);

        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_SET_ACL, .path = "/a", .acl = acl_open }), ==, CONVENE_OK);
        g_assert_cmpstr(f.log->str, ==, "");
        g_assert_cmpint(f.result.stat.aversion, ==, 1);
        g_assert_cmphex(f.result.stat.mzxid, <, f.zxid);

        /* A null value is not an empty one. */
        g_assert_cmpint(set(&f, "/a", NULL), ==, CONVENE_OK);
        g_assert_cmpint(ask(&f, &(Request) { .op = REQUEST_GET_DATA, .path = "/a" }), ==, CONVENE_OK);
        g_assert_null(f.result.data);
        g_assert_cmpint(set(&f, "/a", ""), ==, CONVENE_OK);
        g_assert_cmpint(ask(&f, &(Request) { .op = REQUEST_GET_DATA, .path = "/a" }), ==, CONVENE_OK);
        g_assert_nonnull(f.result.data);
        g_assert_cmpuint(f.result.data_size, ==, 0);
        fixture_done(&f);
}

static void test_versions(void) {
        Fixture f;
        Request r = { .op = REQUEST_SET_DATA, .path = "/a", .version = 1 };
        Zxid czxid;

        fixture_init(&f);
        g_assert_cmpint(create(&f, "/a", ""), ==, CONVENE_OK);
        czxid = f.zxid;
        g_assert_cmpint(apply(&f, &r), ==, CONVENE_BAD_VERSION);
        r.version = -2;
        g_assert_cmpint(apply(&f, &r), ==, CONVENE_BAD_VERSION);
        r.version = 0;
        r.czxid = czxid + 1;
        g_assert_cmpint(apply(&f, &r), ==, CONVENE_BAD_VERSION);
        r.czxid = czxid;
        g_assert_cmpint(apply(&f, &r), ==, CONVENE_OK);
        g_assert_cmpint(f.result.stat.version, ==, 1);

        /* delete: existence, permission, version, czxid, emptiness */
        g_assert_cmpint(create(&f, "/a/b", ""), ==, CONVENE_OK);
        r = (Request) { .op = REQUEST_DELETE, .path = "/a", .version = 7 };
        g_assert_cmpint(apply(&f, &r), ==, CONVENE_BAD_VERSION);
        r.version = 1;
        r.czxid = czxid + 1;
        g_assert_cmpint(apply(&f, &r), ==, CONVENE_BAD_VERSION);
        r.czxid = 0;
        g_assert_cmpint(apply(&f, &r), ==, CONVENE_NOT_EMPTY);
        g_assert_cmpint(erase(&f, "/a/none"), ==, CONVENE_NO_NODE);
        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_SET_ACL, .path = "/a", .acl = acl_read,
                              .version = 1 }), ==, CONVENE_BAD_VERSION);
        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_SET_ACL, .path = "/a", .acl = acl_read }), ==, CONVENE_OK);
        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_DELETE, .path = "/a/b", .version = 9 }), ==,
                        CONVENE_NO_AUTH);
        fixture_done(&f);
}

static void test_sequence(void) {
        Fixture f;

        fixture_init(&f);
        g_assert_cmpint(create(&f, "/q", ""), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/q/plain", ""), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/q/plain", ""), ==, CONVENE_NODE_EXISTS);
        g_assert_cmpint(erase(&f, "/q/plain"), ==, CONVENE_OK);
        g_assert_cmpint(create_mode(&f, "/q/n-", CREATE_PERSISTENT_SEQUENTIAL, 0), ==, CONVENE_OK);
        g_assert_cmpstr(f.result.path, ==, "/q/n-0000000001");
        g_assert_cmpint(create_mode(&f, "/q/", CREATE_TTL_SEQUENTIAL, 0), ==, CONVENE_OK);
        g_assert_cmpstr(f.result.path, ==, "/q/0000000002");
        g_assert_cmpint(create_mode(&f, "/q/e", CREATE_EPHEMERAL_SEQUENTIAL, open_session(&f)), ==, CONVENE_OK);
        g_assert_cmpstr(f.result.path, ==, "/q/e0000000003");
        g_assert_cmpint(stat_of(&f, "/q").cversion, ==, 5);
        fixture_done(&f);
}

static void test_permissions(void) {
        Fixture f;
        Request r;

        fixture_init(&f);
        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_CREATE, .path = "/p", .acl = acl_alice,
                              .caller = alice }), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/p/x", ""), ==, CONVENE_NO_AUTH);
        g_assert_cmpint(set(&f, "/p", ""), ==, CONVENE_NO_AUTH);
        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_SET_ACL, .path = "/p", .acl = acl_open,
                              .version = 5 }), ==, CONVENE_NO_AUTH);
        g_assert_cmpint(multi(&f, &(Request) OP_CHECK("/p", 9), 1), ==, CONVENE_NO_AUTH);
        g_assert_cmpint(ask(&f, &(Request) { .op = REQUEST_EXISTS, .path = "/p" }), ==, CONVENE_NO_AUTH);
        g_assert_cmpint(ask(&f, &(Request) { .op = REQUEST_EXISTS, .path = "/nope" }), ==, CONVENE_NO_NODE);
        g_assert_cmpint(ask(&f, &(Request) { .op = REQUEST_GET_DATA, .path = "/p" }), ==, CONVENE_NO_AUTH);
        g_assert_cmpint(ask(&f, &(Request) { .op = REQUEST_GET_CHILDREN, .path = "/p" }), ==, CONVENE_NO_AUTH);
        g_assert_cmpint(ask(&f, &(Request) { .op = REQUEST_COUNT_DESCENDANTS, .path = "/p" }), ==, CONVENE_NO_AUTH);
        g_assert_cmpint(ask(&f, &(Request) { .op = REQUEST_GET_ACL, .path = "/p" }), ==, CONVENE_NO_AUTH);

        r = (Request) { .op = REQUEST_GET_ACL, .path = "/p", .caller = alice };
        g_assert_cmpint(ask(&f, &r), ==, CONVENE_OK);
        g_assert_cmpstr(f.result.acl.items[0].who.id, ==, "alice:hash");
        r.caller = super;
        g_assert_cmpint(ask(&f, &r), ==, CONVENE_OK);

        /* Who may read but not administrate sees no hash. */
        AclEntry both[] = { alice_entry, read_entry };
        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_SET_ACL, .path = "/p", .acl = { both, 2 }, .version = 0,
                              .caller = alice }), ==, CONVENE_OK);
        r.caller = (Identities) { 0 };
        g_assert_cmpint(ask(&f, &r), ==, CONVENE_OK);
        g_assert_cmpuint(f.result.acl.count, ==, 2);
        g_assert_cmpstr(f.result.acl.items[0].who.id, ==, "alice:x");
        g_assert_cmpstr(f.result.acl.items[1].who.id, ==, "anyone");
        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_SET_ACL, .path = "/none" }), ==, CONVENE_INVALID_ACL);
        fixture_done(&f);
}

static void test_multi(void) {
        Fixture f;
        Request good[] = {
                OP_CREATE("/m", "1"), OP_SEQUENTIAL("/m/s"), OP_SEQUENTIAL("/m/s"), OP_SET("/m", "22"),
                OP_CHECK("/m", 1), OP_DELETE("/m/s0000000000"),
        };
        Stat s;

        fixture_init(&f);
        g_assert_cmpint(multi(&f, NULL, 0), ==, CONVENE_OK);
        g_assert_cmpuint(f.result.results_count, ==, 0);
        g_assert_cmpint(multi(&f, good, G_N_ELEMENTS(good)), ==, CONVENE_OK);
        g_assert_cmpstr(f.log->str, ==, "+/m +/m/s0000000000 +/m/s0000000001 =/m -/m/s0000000000");
        g_assert_cmpuint(f.result.results_count, ==, G_N_ELEMENTS(good));
        g_assert_cmpstr(f.result.results[2].path, ==, "/m/s0000000001");
        g_assert_cmpint(f.result.results[0].stat.data_length, ==, 1);
        g_assert_cmpint(f.result.results[3].stat.data_length, ==, 2);
        g_assert_cmpint(f.result.results[3].stat.cversion, ==, 2);
        s = stat_of(&f, "/m");
        g_assert_cmphex(s.czxid, ==, f.zxid);
        g_assert_cmphex(s.mzxid, ==, f.zxid);
        g_assert_cmpint(s.version, ==, 1);
        g_assert_cmpint(s.cversion, ==, 3);
        g_assert_cmpint(multi(&f, &(Request) { .op = REQUEST_SET_ACL, .path = "/m", .acl = acl_open }, 1), ==,
                        CONVENE_MARSHALLING_ERROR);
        fixture_done(&f);
}

static void test_multi_rollback(void) {
        Fixture f;
        const TreeRow *rows;
        unsigned rows_count;
        uint64_t dirty;
        Hash128 digest;
        Stat s;

        fixture_init(&f);
        g_assert_cmpint(create(&f, "/m", "data"), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/m/old", "old"), ==, CONVENE_OK);
        g_assert_cmpint(create_mode(&f, "/c", CREATE_CONTAINER, 0), ==, CONVENE_OK);

        tree_checkpoint_begin(f.tree, /* full= */ false);
        while (tree_checkpoint_next(f.tree, 100, &rows, &rows_count))
                ;
        dirty = tree_dirty_count(f.tree);
        g_assert_cmpuint(dirty, ==, 0);
        digest = tree_digest(f.tree);
        s = stat_of(&f, "/m");

        Request bad[] = {
                OP_SET("/m", "changed"), OP_DELETE("/m/old"), OP_CREATE("/m/old", "again"), OP_DELETE("/m/old"),
                OP_SEQUENTIAL("/m/s"), OP_CREATE("/c/x", ""), OP_DELETE("/c/x"), OP_SET("/m", "twice"),
                OP_CHECK("/m", 77), OP_CREATE("/never", ""),
        };
        g_assert_cmpint(multi(&f, bad, G_N_ELEMENTS(bad)), ==, CONVENE_BAD_VERSION);
        g_assert_cmpuint(f.result.results_count, ==, G_N_ELEMENTS(bad));
        for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
                g_assert_cmpint(f.result.results[i].status, ==,
                                i < 8 ? CONVENE_OK : i == 8 ? CONVENE_BAD_VERSION : CONVENE_RUNTIME_INCONSISTENCY);
                g_assert_null(f.result.results[i].path);
                g_assert_cmpint(f.result.results[i].op, ==, bad[i].op);
        }

        g_assert_true(hash128_equal(digest, tree_digest(f.tree)));
        g_assert_cmpuint(tree_dirty_count(f.tree), ==, dirty);
        Stat after = stat_of(&f, "/m");
        g_assert_cmpmem(&after, sizeof(after), &s, sizeof(s));
        g_autofree char *data = data_of(&f, "/m"), *old = data_of(&f, "/m/old");
        g_assert_cmpstr(data, ==, "data");
        g_assert_cmpstr(old, ==, "old");
        g_assert_cmpint(create_mode(&f, "/m/s", CREATE_PERSISTENT_SEQUENTIAL, 0), ==, CONVENE_OK);
        g_assert_cmpstr(f.result.path, ==, "/m/s0000000001");
        fixture_done(&f);
}

static void test_delete_recursive(void) {
        Fixture f;
        Request r = { .op = REQUEST_DELETE_RECURSIVE, .path = "/d" };

        fixture_init(&f);
        g_assert_cmpint(create(&f, "/d", ""), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/d/b", ""), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/d/a", ""), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/d/a/x", ""), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/d/a-b", ""), ==, CONVENE_OK);
        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_SET_ACL, .path = "/d/a", .acl = acl_alice,
                              .version = VERSION_ANY }), ==, CONVENE_OK);
        g_assert_cmpint(apply(&f, &r), ==, CONVENE_NO_AUTH);
        g_assert_cmpuint(tree_znodes_count(f.tree), ==, 9);
        r.caller = alice;
        g_assert_cmpint(apply(&f, &r), ==, CONVENE_OK);
        g_assert_cmpuint(f.result.count, ==, 5);
        g_assert_cmpstr(f.log->str, ==, "-/d/a/x -/d/a -/d/a-b -/d/b -/d");
        g_assert_cmpint(apply(&f, &r), ==, CONVENE_NO_NODE);

        r.caller = super;
        for (const char *const *p = (const char *const[]) { "/", "/zookeeper", "/zookeeper/quota", NULL }; *p; p++) {
                r.path = *p;
                g_assert_cmpint(apply(&f, &r), ==, CONVENE_BAD_ARGUMENTS);
        }
        fixture_done(&f);
}

/* Applies without the check after each, which would walk everything ten thousand times. */
static void create_many(Fixture *f, const char *parent, unsigned count, CreateMode mode, uint64_t session) {
        for (unsigned i = 0; i < count; i++) {
                g_autofree char *path = g_strdup_printf("%s/%u", parent, i);
                Request r = { .op = REQUEST_CREATE, .path = path, .mode = mode, .session = session, .acl = acl_open };

                tree_apply_request(f->tree, ++f->zxid, f->time_msec, &r, &f->result);
                g_assert_cmpint(f->result.status, ==, CONVENE_OK);
                g_string_truncate(f->log, 0);
        }
}

static void test_limits(void) {
        Fixture f;
        uint64_t session;
        Request r = { .op = REQUEST_DELETE_RECURSIVE, .path = "/d" };

        fixture_init(&f);
        g_assert_cmpint(create(&f, "/d", ""), ==, CONVENE_OK);
        create_many(&f, "/d", LIMIT_RECURSIVE_ZNODES, CREATE_PERSISTENT, 0);
        g_assert_cmpint(apply(&f, &r), ==, CONVENE_LIMIT_EXCEEDED);
        g_assert_cmpint(erase(&f, "/d/0"), ==, CONVENE_OK);
        g_assert_cmpint(apply(&f, &r), ==, CONVENE_OK);
        g_assert_cmpuint(f.result.count, ==, LIMIT_RECURSIVE_ZNODES);

        session = open_session(&f);
        g_assert_cmpint(create(&f, "/e", ""), ==, CONVENE_OK);
        create_many(&f, "/e", LIMIT_SESSION_EPHEMERALS, CREATE_EPHEMERAL, session);
        g_assert_cmpuint(tree_ephemerals_count(f.tree), ==, LIMIT_SESSION_EPHEMERALS);
        g_assert_cmpint(create_mode(&f, "/e/more", CREATE_EPHEMERAL, session), ==, CONVENE_LIMIT_EXCEEDED);
        g_assert_cmpint(create(&f, "/e/more", ""), ==, CONVENE_OK);
        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_CLOSE_SESSION, .target = session }), ==, CONVENE_OK);
        g_assert_cmpuint(tree_ephemerals_count(f.tree), ==, 0);
        fixture_done(&f);
}

/* Thousands of names come and go in random order: the name table splits and merges, the AVL tree rotates every way. */
static void test_many_names(void) {
        Fixture f;
        Prng prng = { 42 };
        g_autofree bool *there = g_new0(bool, 20000);
        unsigned count = 0;

        fixture_init(&f);
        for (unsigned round = 0; round < 200000; round++) {
                unsigned n = prng_below(&prng, 20000);
                bool growing = round / 25000 % 2 == 0;
                g_autofree char *path = g_strdup_printf("/%x", n * 2654435761U);
                Request add = { .op = REQUEST_CREATE, .path = path, .acl = acl_open };
                Request drop = { .op = REQUEST_DELETE, .path = path, .version = VERSION_ANY };

                if (there[n] == growing)
                        continue;
                tree_apply_request(f.tree, ++f.zxid, 1, growing ? &add : &drop, &f.result);
                g_assert_cmpint(f.result.status, ==, CONVENE_OK);
                g_string_truncate(f.log, 0);
                there[n] = growing;
                count = growing ? count + 1 : count - 1;
                if (round % 8192 == 0)
                        tree_check(f.tree);
        }
        tree_check(f.tree);
        g_assert_cmpint(stat_of(&f, "/").children_count, ==, count + 1);
        fixture_done(&f);
}

/* Names that all fall into one bucket (the hash is known to everybody) must not make lookups slow, nor wrong. */
static void test_colliding_names(void) {
        uint64_t root_id = 1;
        unsigned found = 0;
        char path[16];
        Fixture f;

        fixture_init(&f);
        for (unsigned n = 0; found < 200; n++) {
                Request r = { .op = REQUEST_CREATE, .path = path, .acl = acl_open };

                g_snprintf(path, sizeof(path), "/%u", n);
                if ((XXH3_64bits_withSeed(path + 1, strlen(path + 1), root_id) & 0x3ff) != 0)
                        continue;
                tree_apply_request(f.tree, ++f.zxid, 1, &r, &f.result);
                g_assert_cmpint(f.result.status, ==, CONVENE_OK);
                g_string_truncate(f.log, 0);
                g_assert_true(tree_lookup(f.tree, path, NULL, NULL));
                g_assert_true(tree_lookup(f.tree, "/zookeeper", NULL, NULL));
                g_assert_false(tree_lookup(f.tree, "/none", NULL, NULL));
                found++;
        }
        tree_check(f.tree);
        for (unsigned n = 0; found > 0; n++) {
                g_snprintf(path, sizeof(path), "/%u", n);
                if (!tree_lookup(f.tree, path, NULL, NULL))
                        continue;
                g_assert_cmpint(erase(&f, path), ==, CONVENE_OK);
                g_assert_false(tree_lookup(f.tree, path, NULL, NULL));
                found--;
        }
        fixture_done(&f);
}

static void test_marshalling(void) {
        Fixture f;
        g_auto(Writer) w = WRITER_INIT;

        fixture_init(&f);
        request_encode(&(Request) OP_CREATE("/a", "x"), &w);
        tree_apply(f.tree, ++f.zxid, 5, w.data, w.size - 1, &f.result);
        g_assert_cmpint(f.result.status, ==, CONVENE_MARSHALLING_ERROR);
        g_assert_cmphex(tree_zxid(f.tree), ==, f.zxid);
        tree_apply(f.tree, ++f.zxid, 5, w.data, w.size, &f.result);
        g_assert_cmpint(f.result.status, ==, CONVENE_OK);
        tree_skip(f.tree, ++f.zxid);
        g_assert_cmphex(tree_zxid(f.tree), ==, f.zxid);
        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_EXISTS, .path = "/a" }), ==, CONVENE_UNIMPLEMENTED);
        g_assert_cmpint(ask(&f, &(Request) OP_CREATE("/b", "")), ==, CONVENE_UNIMPLEMENTED);
        fixture_done(&f);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/tree/new", test_new);
        g_test_add_func("/tree/create-order", test_create_order);
        g_test_add_func("/tree/stat", test_stat);
        g_test_add_func("/tree/versions", test_versions);
        g_test_add_func("/tree/sequence", test_sequence);
        g_test_add_func("/tree/permissions", test_permissions);
        g_test_add_func("/tree/multi", test_multi);
        g_test_add_func("/tree/multi-rollback", test_multi_rollback);
        g_test_add_func("/tree/delete-recursive", test_delete_recursive);
        g_test_add_func("/tree/limits", test_limits);
        g_test_add_func("/tree/many-names", test_many_names);
        g_test_add_func("/tree/colliding-names", test_colliding_names);
        g_test_add_func("/tree/marshalling", test_marshalling);
        return g_test_run();
}
