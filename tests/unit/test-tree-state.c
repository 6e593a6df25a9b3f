/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Tree: sessions and their ephemerals, containers and TTL znodes, quotas, reads and lists
 */

#include <string.h>

#include "agent/base/limits.h"
#include "tests/unit/tree-fixture.h"

static const AclEntry create_entry = { PERMISSION_CREATE, { "world", "anyone" } };
static const AclEntries acl_hidden = { &create_entry, 1 };

/*
 * Sessions
 */

static void test_session_life(void) {
        Identity ids[] = { { "unix", "33@web1" }, { "unix", "33@web1" }, { "super", "admin" } };
        Request open = {
                .op = REQUEST_OPEN_SESSION, .timeout_msec = 5000, .owner = "nginx.service 5f3c",
                .owner_kind = OWNER_UNIT, .member = 3, .secret_hash = { 1, 2, 3 }, .identities = { ids, 2 },
        };
        Request attach = {
                .op = REQUEST_ATTACH_SESSION, .timeout_msec = 7000, .member = 4, .secret_hash = { 1, 2, 3 },
        };
        g_autofree char *moved = NULL;
        SessionInfo info;
        Fixture f;

        fixture_init(&f);
        g_assert_cmpint(apply(&f, &open), ==, CONVENE_OK);
        attach.target = f.result.session;
        g_assert_cmpuint(f.result.timeout_msec, ==, 5000);
        g_assert_true(tree_get_session(f.tree, attach.target, &info));
        g_assert_cmpstr(info.owner, ==, "nginx.service 5f3c");
        g_assert_cmpint(info.owner_kind, ==, OWNER_UNIT);
        g_assert_cmpuint(info.identities.count, ==, 1);
        g_assert_cmpstr(info.identities.items[0].id, ==, "33@web1");
        g_assert_cmpint(info.ctime_msec, ==, f.time_msec);
        g_assert_cmpuint(info.generation, ==, 1);

        g_assert_cmpint(apply(&f, &attach), ==, CONVENE_OK);
        moved = g_strdup_printf("moved %" G_GUINT64_FORMAT " 2", attach.target);
        g_assert_cmpstr(f.log->str, ==, moved);
        g_assert_cmpuint(f.result.session, ==, attach.target);
        g_assert_cmpuint(f.result.timeout_msec, ==, 7000);
        g_assert_true(tree_get_session(f.tree, attach.target, &info));
        g_assert_cmpuint(info.member, ==, 4);
        g_assert_cmpuint(info.generation, ==, 2);

        attach.secret_hash[31] = 1;
        g_assert_cmpint(apply(&f, &attach), ==, CONVENE_AUTH_FAILED);
        attach.timeout_msec = LIMIT_SESSION_TIMEOUT_MIN_MSEC - 1;
        g_assert_cmpint(apply(&f, &attach), ==, CONVENE_BAD_ARGUMENTS);
        attach.timeout_msec = 5000;
        attach.target++;
        g_assert_cmpint(apply(&f, &attach), ==, CONVENE_SESSION_EXPIRED);
        open.timeout_msec = LIMIT_SESSION_TIMEOUT_MAX_MSEC + 1;
        g_assert_cmpint(apply(&f, &open), ==, CONVENE_BAD_ARGUMENTS);
        g_assert_cmpuint(tree_sessions_count(f.tree), ==, 1);
        fixture_done(&f);
}

static void test_session_auth(void) {
        Identity id = { "super", "admin" }, bad = { "world", "anyone" };
        Request auth = { .op = REQUEST_AUTH_SESSION, .identities = { &id, 1 } };
        Request make = { .op = REQUEST_CREATE, .path = "/zookeeper/x", .acl = acl_open };
        Fixture f;

        fixture_init(&f);
        make.session = auth.target = open_session(&f);
        g_assert_cmpint(apply(&f, &make), ==, CONVENE_NO_AUTH);
        g_assert_cmpint(apply(&f, &auth), ==, CONVENE_OK);
        g_assert_cmpint(apply(&f, &make), ==, CONVENE_OK);
        g_assert_cmpint(ask(&f, &(Request) { .op = REQUEST_WHO_AM_I, .session = make.session }), ==, CONVENE_OK);
        g_assert_cmpuint(f.result.identities.count, ==, 1);

        auth.identities.items = &bad;
        g_assert_cmpint(apply(&f, &auth), ==, CONVENE_AUTH_FAILED);

        for (unsigned i = 0; i < LIMIT_SESSION_IDENTITIES; i++) {
                g_autofree char *name = g_strdup_printf("%u@h", i);
                Identity more = { "unix", name };

                auth.identities.items = &more;
                g_assert_cmpint(apply(&f, &auth), ==,
                                i < LIMIT_SESSION_IDENTITIES - 1 ? CONVENE_OK : CONVENE_LIMIT_EXCEEDED);
        }
        auth.identities.items = &id;
        auth.target = 999;
        g_assert_cmpint(apply(&f, &auth), ==, CONVENE_SESSION_EXPIRED);
        fixture_done(&f);
}

static void test_cxid(void) {
        Request r = { .op = REQUEST_CREATE, .path = "/a", .acl = acl_open, .cxid = 5 };
        Fixture f;

        fixture_init(&f);
        r.session = open_session(&f);
        g_assert_cmpuint(tree_session_cxid(f.tree, r.session), ==, 0);
        g_assert_cmpint(apply(&f, &r), ==, CONVENE_OK);
        g_assert_cmpuint(tree_session_cxid(f.tree, r.session), ==, 5);
        g_assert_cmpint(apply(&f, &r), ==, CONVENE_BAD_ARGUMENTS);
        r.path = "/b";
        r.cxid = 4;
        g_assert_cmpint(apply(&f, &r), ==, CONVENE_BAD_ARGUMENTS);
        g_assert_false(tree_lookup(f.tree, "/b", NULL, NULL));

        /* What failed has not been applied. */
        r.path = "/a";
        r.cxid = 6;
        g_assert_cmpint(apply(&f, &r), ==, CONVENE_NODE_EXISTS);
        g_assert_cmpuint(tree_session_cxid(f.tree, r.session), ==, 5);
        r.path = "/b";
        g_assert_cmpint(apply(&f, &r), ==, CONVENE_OK);
        r.cxid = 0;
        g_assert_cmpint(apply(&f, &r), ==, CONVENE_NODE_EXISTS);
        g_assert_cmpuint(tree_session_cxid(f.tree, r.session), ==, 6);

        /* The session's own end, numbered as well. */
        r = (Request) { .op = REQUEST_CLOSE_SESSION, .session = r.session, .target = r.session, .cxid = 7 };
        g_assert_cmpint(apply(&f, &r), ==, CONVENE_OK);
        g_assert_cmpuint(tree_session_cxid(f.tree, r.session), ==, 0);
        g_assert_cmpint(apply(&f, &r), ==, CONVENE_SESSION_EXPIRED);
        fixture_done(&f);
}

static void test_ephemerals(void) {
        Request close = { .op = REQUEST_CLOSE_SESSION, .expired = true };
        g_autofree char *log = NULL;
        uint64_t a, b;
        Fixture f;

        fixture_init(&f);
        a = open_session(&f);
        b = open_session(&f);
        g_assert_cmpint(create(&f, "/d", ""), ==, CONVENE_OK);
        g_assert_cmpint(create_mode(&f, "/z", CREATE_EPHEMERAL, a), ==, CONVENE_OK);
        g_assert_cmpuint(f.result.stat.ephemeral_owner, ==, a);
        g_assert_cmpint(create_mode(&f, "/d/y", CREATE_EPHEMERAL, a), ==, CONVENE_OK);
        g_assert_cmpint(create_mode(&f, "/d/b", CREATE_EPHEMERAL, b), ==, CONVENE_OK);
        g_assert_cmpint(create_mode(&f, "/d/x", CREATE_EPHEMERAL, a), ==, CONVENE_OK);
        g_assert_cmpint(create_mode(&f, "/d/w", CREATE_EPHEMERAL, a), ==, CONVENE_OK);

        Request fails[] = { OP_DELETE("/d/y"), OP_DELETE("/d/x"), OP_DELETE("/z"), OP_CHECK("/none", 0) };
        g_assert_cmpint(multi(&f, fails, G_N_ELEMENTS(fails)), ==, CONVENE_NO_NODE);
        g_assert_cmpuint(tree_ephemerals_count(f.tree), ==, 5);

        g_assert_cmpint(ask(&f, &(Request) { .op = REQUEST_GET_EPHEMERALS, .session = a }), ==, CONVENE_OK);
        g_assert_cmpuint(f.result.items_count, ==, 4);
        g_assert_cmpstr(f.result.items[0].path, ==, "/d/w");
        g_assert_cmpstr(f.result.items[3].path, ==, "/z");
        g_assert_cmpint(ask(&f, &(Request) { .op = REQUEST_GET_EPHEMERALS, .session = a, .path = "/d" }), ==,
                        CONVENE_OK);
        g_assert_cmpuint(f.result.items_count, ==, 3);
        g_assert_cmpint(ask(&f, &(Request) { .op = REQUEST_GET_EPHEMERALS }), ==, CONVENE_OK);
        g_assert_cmpuint(f.result.items_count, ==, 0);

        /* Anybody with permission deletes one; the rest ends with the session, oldest first. */
        g_assert_cmpint(erase(&f, "/d/x"), ==, CONVENE_OK);
        close.target = a;
        g_assert_cmpint(apply(&f, &close), ==, CONVENE_OK);
        log = g_strdup_printf("-/z -/d/y -/d/w expired %" G_GUINT64_FORMAT, a);
        g_assert_cmpstr(f.log->str, ==, log);
        g_assert_cmpuint(tree_ephemerals_count(f.tree), ==, 1);
        g_assert_cmphex(stat_of(&f, "/d").pzxid, ==, f.zxid);
        g_assert_cmpint(create_mode(&f, "/e", CREATE_EPHEMERAL, a), ==, CONVENE_SESSION_EXPIRED);
        fixture_done(&f);
}

static void collect_session(const SessionInfo *s, void *userdata) {
        g_string_append_printf(userdata, "%" G_GUINT64_FORMAT " ", s->id);
}

static void test_list_sessions(void) {
        Request r = { .op = REQUEST_LIST_SESSIONS, .entries_max = 2 };
        g_autoptr(GString) ids = g_string_new(NULL);
        uint64_t s[3];
        Fixture f;

        fixture_init(&f);
        for (unsigned i = 0; i < 3; i++)
                s[i] = open_session(&f);
        g_assert_cmpint(ask(&f, &r), ==, CONVENE_OK);
        g_assert_cmpuint(f.result.items_count, ==, 2);
        g_assert_true(f.result.more);
        g_assert_cmpuint(f.result.sessions[0].id, ==, s[0]);
        r.start_after_session = s[1];
        g_assert_cmpint(ask(&f, &r), ==, CONVENE_OK);
        g_assert_cmpuint(f.result.items_count, ==, 1);
        g_assert_false(f.result.more);
        g_assert_cmpuint(f.result.sessions[0].id, ==, s[2]);
        tree_foreach_session(f.tree, collect_session, ids);
        g_assert_cmpstr(ids->str, ==, "2 3 4 ");
        fixture_done(&f);
}

/*
 * Reaping
 */

static void collect_candidate(const char *path, Zxid czxid, void *userdata) {
        g_string_append_printf(userdata, "%s@%" G_GUINT64_FORMAT " ", path, czxid);
}

static char *candidates(Fixture *f, int64_t now_msec, unsigned max) {
        GString *s = g_string_new(NULL);
        unsigned count = tree_find_reapable(f->tree, now_msec, max, collect_candidate, s);

        g_assert_cmpuint(count, <=, max);
        return g_string_free(s, FALSE);
}

#define assert_candidates(f, now, max, text)                                    \
        G_STMT_START {                                                          \
                g_autofree char *_s = candidates((f), (now), (max));            \
                g_assert_cmpstr(_s, ==, (text));                                \
        } G_STMT_END

static void test_containers(void) {
        Request reap = { .op = REQUEST_REAP, .path = "/c" };
        Fixture f;

        fixture_init(&f);
        g_assert_cmpint(create_mode(&f, "/c", CREATE_CONTAINER, 0), ==, CONVENE_OK);
        reap.czxid = f.zxid;
        assert_candidates(&f, INT64_MAX, 9, "");
        g_assert_cmpint(apply(&f, &reap), ==, CONVENE_BAD_ARGUMENTS);
        g_assert_cmpint(create(&f, "/c/x", ""), ==, CONVENE_OK);
        assert_candidates(&f, INT64_MAX, 9, "");
        g_assert_cmpint(apply(&f, &reap), ==, CONVENE_NOT_EMPTY);
        g_assert_cmpint(erase(&f, "/c/x"), ==, CONVENE_OK);
        assert_candidates(&f, 0, 9, "/c@2 ");

        reap.czxid++;
        g_assert_cmpint(apply(&f, &reap), ==, CONVENE_BAD_VERSION);
        reap.czxid--;
        g_assert_cmpint(apply(&f, &reap), ==, CONVENE_OK);
        g_assert_cmpstr(f.log->str, ==, "-/c");
        g_assert_cmpint(apply(&f, &reap), ==, CONVENE_NO_NODE);
        assert_candidates(&f, INT64_MAX, 9, "");

        g_assert_cmpint(create(&f, "/plain", ""), ==, CONVENE_OK);
        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_REAP, .path = "/plain", .czxid = f.zxid }), ==,
                        CONVENE_BAD_ARGUMENTS);
        fixture_done(&f);
}

static void test_ttl(void) {
        Request reap = { .op = REQUEST_REAP, .path = "/t" };
        int64_t made_msec;
        Fixture f;

        fixture_init(&f);
        g_assert_cmpint(create_mode(&f, "/t", CREATE_TTL, 0), ==, CONVENE_OK);       /* of 100 ms */
        made_msec = f.time_msec;
        reap.czxid = f.zxid;
        g_assert_cmpuint(f.result.stat.ephemeral_owner, ==, 0);
        assert_candidates(&f, made_msec + 99, 9, "");
        assert_candidates(&f, made_msec + 100, 9, "/t@2 ");
        g_assert_cmpint(apply(&f, &reap), ==, CONVENE_BAD_ARGUMENTS);

        /* A change starts the time anew, a child stops it. */
        f.time_msec = made_msec + 90;
        g_assert_cmpint(set(&f, "/t", "x"), ==, CONVENE_OK);
        assert_candidates(&f, f.time_msec + 99, 9, "");
        g_assert_cmpint(create(&f, "/t/x", ""), ==, CONVENE_OK);
        assert_candidates(&f, INT64_MAX, 9, "");
        g_assert_cmpint(erase(&f, "/t/x"), ==, CONVENE_OK);
        assert_candidates(&f, INT64_MAX, 9, "/t@2 ");
        f.time_msec += 1000;
        g_assert_cmpint(apply(&f, &reap), ==, CONVENE_OK);
        fixture_done(&f);
}

/* Each call goes on where the last one stopped, and begins again after the end. */
static void test_reap_paging(void) {
        Fixture f;

        fixture_init(&f);
        g_assert_cmpint(create_mode(&f, "/t", CREATE_TTL, 0), ==, CONVENE_OK);
        g_assert_cmpint(create_mode(&f, "/a", CREATE_CONTAINER, 0), ==, CONVENE_OK);
        g_assert_cmpint(create_mode(&f, "/b", CREATE_CONTAINER, 0), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/b/x", ""), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/a/x", ""), ==, CONVENE_OK);
        g_assert_cmpint(erase(&f, "/b/x"), ==, CONVENE_OK);
        g_assert_cmpint(erase(&f, "/a/x"), ==, CONVENE_OK);
        assert_candidates(&f, INT64_MAX, 1, "/a@3 ");
        assert_candidates(&f, INT64_MAX, 1, "/b@4 ");
        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_REAP, .path = "/b", .czxid = 4 }), ==, CONVENE_OK);
        assert_candidates(&f, INT64_MAX, 1, "/t@2 ");
        assert_candidates(&f, INT64_MAX, 2, "/a@3 /t@2 ");
        assert_candidates(&f, 0, 2, "/a@3 ");
        fixture_done(&f);
}

/*
 * Quotas
 */

static ConveneStatus create_super(Fixture *f, const char *path, const char *data) {
        Request r = {
                .op = REQUEST_CREATE, .path = path, .acl = acl_open, .caller = super,
                .data = (const uint8_t *) data, .data_size = data ? strlen(data) : 0,
        };

        return apply(f, &r);
}

#define LIMITS "/zookeeper/quota/app/zookeeper_limits"
#define USAGE "/zookeeper/quota/app/zookeeper_stats"

#define assert_data(f, path, text)                                              \
        G_STMT_START {                                                          \
                g_autofree char *_d = data_of((f), (path));                     \
                g_assert_cmpstr(_d, ==, (text));                                \
        } G_STMT_END

static void test_quota_hard(void) {
        Fixture f;

        fixture_init(&f);
        g_assert_cmpint(create(&f, "/app", "12345"), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/app/a", "1"), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/apple", "not in it"), ==, CONVENE_OK);
        g_assert_cmpint(create_super(&f, "/zookeeper/quota/app", ""), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, LIMITS, "count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=3"), ==, CONVENE_OK);

        g_assert_cmpint(set(&f, "/app/a", "123456"), ==, CONVENE_QUOTA_EXCEEDED);
        g_assert_cmpint(set(&f, "/app/a", "12345"), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/app/b", "x"), ==, CONVENE_QUOTA_EXCEEDED);
        g_assert_cmpint(create(&f, "/app/b", ""), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/app/b/c", ""), ==, CONVENE_QUOTA_EXCEEDED);
        g_assert_cmpint(create(&f, "/apple/x", "0123456789abcdef"), ==, CONVENE_OK);

        /* A multi that makes room first is fine; the other way round nothing happens. */
        Request swap[] = { OP_DELETE("/app/b"), OP_CREATE("/app/c", "") };
        Request pass[] = { OP_CREATE("/app/d", ""), OP_DELETE("/app/c") };
        g_assert_cmpint(multi(&f, swap, 2), ==, CONVENE_OK);
        g_assert_cmpint(multi(&f, pass, 2), ==, CONVENE_QUOTA_EXCEEDED);

        /* Limits below the usage let it shrink, but not grow. */
        g_assert_cmpint(set(&f, LIMITS, "count=-1,bytes=-1=;byteHardLimit=1"), ==, CONVENE_OK);
        g_assert_cmpint(set(&f, "/app/a", "1234"), ==, CONVENE_OK);
        g_assert_cmpint(set(&f, "/app/a", "12345"), ==, CONVENE_QUOTA_EXCEEDED);
        g_assert_cmpint(create(&f, "/app/e", ""), ==, CONVENE_OK);
        g_assert_cmpint(erase(&f, LIMITS), ==, CONVENE_OK);
        g_assert_cmpint(set(&f, "/app/a", "0123456789abcdef"), ==, CONVENE_OK);

        /* The root itself counts, before it is there. */
        g_assert_cmpint(create_super(&f, "/zookeeper/quota/new", ""), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/zookeeper/quota/new/zookeeper_limits", "countHardLimit=0"), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/new", ""), ==, CONVENE_QUOTA_EXCEEDED);
        fixture_done(&f);
}

static void test_quota_usage(void) {
        Stat before, after;
        Fixture f;

        fixture_init(&f);
        g_assert_cmpint(create_super(&f, "/zookeeper/quota/app", ""), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, USAGE, "before any limits"), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/app", "12345"), ==, CONVENE_OK);
        assert_data(&f, USAGE, "before any limits");
        before = stat_of(&f, USAGE);
        g_assert_cmpint(create(&f, LIMITS, "count=5,bytes=100"), ==, CONVENE_OK);
        g_assert_cmpstr(f.log->str, ==, "+" LIMITS);
        assert_data(&f, USAGE, "count=1,bytes=5");
        g_assert_cmpint(create(&f, "/app/a", "xyz"), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/app/a/b", "z"), ==, CONVENE_OK);
        assert_data(&f, USAGE, "count=3,bytes=9");
        g_assert_cmpint(set(&f, "/app", NULL), ==, CONVENE_OK);
        g_assert_cmpstr(f.log->str, ==, "=/app");
        assert_data(&f, USAGE, "count=3,bytes=4");
        after = stat_of(&f, USAGE);
        g_assert_cmphex(after.mzxid, ==, before.mzxid);
        g_assert_cmpint(after.version, ==, before.version);
        g_assert_cmpint(after.data_length, ==, strlen("count=3,bytes=4"));

        /* A failed multi leaves it, what a client writes into it is not kept. */
        Request fails[] = { OP_SET("/app/a", "a lot more"), OP_DELETE("/app/a/b"), OP_DELETE("/none") };
        g_assert_cmpint(multi(&f, fails, 3), ==, CONVENE_NO_NODE);
        assert_data(&f, USAGE, "count=3,bytes=4");
        g_assert_cmpint(set(&f, USAGE, "count=0,bytes=0"), ==, CONVENE_OK);
        assert_data(&f, USAGE, "count=3,bytes=4");
        g_assert_cmpint(stat_of(&f, USAGE).version, ==, 1);
        g_assert_cmpint(erase(&f, USAGE), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, USAGE, "?"), ==, CONVENE_OK);
        assert_data(&f, USAGE, "count=3,bytes=4");

        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_DELETE_RECURSIVE, .path = "/app" }), ==, CONVENE_OK);
        assert_data(&f, USAGE, "count=0,bytes=0");
        g_assert_cmpint(create(&f, "/app", "1"), ==, CONVENE_OK);
        assert_data(&f, USAGE, "count=1,bytes=1");

        /* Without limits it is an ordinary znode. */
        g_assert_cmpint(erase(&f, LIMITS), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/app/z", "1"), ==, CONVENE_OK);
        assert_data(&f, USAGE, "count=1,bytes=1");
        g_assert_cmpint(set(&f, USAGE, "free"), ==, CONVENE_OK);
        assert_data(&f, USAGE, "free");

        /* Limits that come and go in a failed multi. */
        Request come[] = {
                OP_CREATE(LIMITS, "count=1"), OP_CREATE("/app/y", ""), OP_DELETE(LIMITS), OP_DELETE("/none"),
        };
        g_assert_cmpint(multi(&f, come, 4), ==, CONVENE_NO_NODE);
        assert_data(&f, USAGE, "free");
        fixture_done(&f);
}

static void test_quota_soft(void) {
        Fixture f;

        fixture_init(&f);
        g_assert_cmpint(create_super(&f, "/zookeeper/quota/app", ""), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, LIMITS, "count=2,bytes=5"), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/app", "12345"), ==, CONVENE_OK);
        g_assert_cmpstr(f.log->str, ==, "+/app");
        g_assert_cmpint(set(&f, "/app", "123456"), ==, CONVENE_OK);
        g_assert_cmpstr(f.log->str, ==, "=/app !/app");
        g_assert_cmpint(create(&f, "/app/a", ""), ==, CONVENE_OK);
        g_assert_cmpstr(f.log->str, ==, "+/app/a");
        Request r[] = { OP_CREATE("/app/b", ""), OP_SET("/app", "1") };
        g_assert_cmpint(multi(&f, r, 2), ==, CONVENE_OK);
        g_assert_cmpstr(f.log->str, ==, "+/app/b !/app =/app");
        fixture_done(&f);
}

static void test_quota_texts(void) {
        static const char *const good[] = {
                "count=1,bytes=2", "count=-1,bytes=-1", "bytes=7", "count=1,bytes=2=;byteHardLimit=3;countHardLimit=4",
                "countHardLimit=9223372036854775807",
        };
        static const char *const bad[] = {
                "", "count", "count=", "count==", "count=x", "count=-2", "count=1,", ",count=1", "count=1,count=2",
                "size=1", "count=1 ", "count=9223372036854775808", "count=1==", "=1", "count=1,,bytes=2", "count=+1", "count=--1",
        };
        Fixture f;

        fixture_init(&f);
        g_assert_cmpint(create_super(&f, "/zookeeper/quota/app", ""), ==, CONVENE_OK);
        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
                g_assert_cmpint(create(&f, LIMITS, bad[i]), ==, CONVENE_BAD_ARGUMENTS);
        g_assert_cmpint(create(&f, LIMITS, NULL), ==, CONVENE_BAD_ARGUMENTS);
        g_assert_cmpint(create(&f, LIMITS, good[0]), ==, CONVENE_OK);
        for (size_t i = 0; i < G_N_ELEMENTS(good); i++)
                g_assert_cmpint(set(&f, LIMITS, good[i]), ==, CONVENE_OK);
        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
                g_assert_cmpint(set(&f, LIMITS, bad[i]), ==, CONVENE_BAD_ARGUMENTS);

        /* Elsewhere the name means nothing, and what would count itself is no quota. */
        g_assert_cmpint(create(&f, "/zookeeper_limits", "free text"), ==, CONVENE_OK);
        g_assert_cmpint(create_super(&f, "/zookeeper/quota/zookeeper_limits", "free text"), ==, CONVENE_OK);
        g_assert_cmpint(create_super(&f, "/zookeeper/quota/zookeeper", ""), ==, CONVENE_OK);
        g_assert_cmpint(create(&f, "/zookeeper/quota/zookeeper/zookeeper_limits", "countHardLimit=0"), ==, CONVENE_OK);
        g_assert_cmpint(create_super(&f, "/zookeeper/free", ""), ==, CONVENE_OK);
        fixture_done(&f);
}

/*
 * Reads
 */

/* Names or paths of the last answer, with what each shows. */
static char *items(const Fixture *f) {
        GString *s = g_string_new(NULL);

        for (uint32_t i = 0; i < f->result.items_count; i++) {
                const ListItem *item = &f->result.items[i];

                g_string_append_printf(s, "%s%s", i > 0 ? " " : "", item->path);
                if (item->data)
                        g_string_append_printf(s, "=%.*s", (int) item->data_size, (const char *) item->data);
        }
        if (f->result.more)
                g_string_append(s, " ...");
        return g_string_free(s, FALSE);
}

#define assert_items(f, text)                                                   \
        G_STMT_START {                                                          \
                g_autofree char *_s = items((f));                               \
                g_assert_cmpint((f)->result.status, ==, CONVENE_OK);            \
                g_assert_cmpstr(_s, ==, (text));                                \
        } G_STMT_END

static void make_small_tree(Fixture *f) {
        static const char *const paths[] = {
                "/l", "/l/b", "/l/a-b", "/l/a", "/l/a/z", "/l/a/y", "/l/c", "/l/\xc3\xa4",
        };

        for (size_t i = 0; i < G_N_ELEMENTS(paths); i++)
                g_assert_cmpint(create(f, paths[i], "D"), ==, CONVENE_OK);
        g_assert_cmpint(apply(f, &(Request) { .op = REQUEST_CREATE, .path = "/l/bb", .acl = acl_hidden }), ==,
                        CONVENE_OK);
        g_assert_cmpint(create(f, "/l/bb/below", "D"), ==, CONVENE_OK);
}

static void test_paths_of_reads(void) {
        static const char *const none[] = { "l", "/l/", "//l", "/l//a", "/none", "l/a", "/l/a/", " " };
        Fixture f;

        fixture_init(&f);
        make_small_tree(&f);
        for (size_t i = 0; i < G_N_ELEMENTS(none); i++)
                g_assert_cmpint(ask(&f, &(Request) { .op = REQUEST_EXISTS, .path = none[i] }), ==, CONVENE_NO_NODE);
        g_assert_cmpint(ask(&f, &(Request) { .op = REQUEST_EXISTS, .path = "" }), ==, CONVENE_OK);
        g_assert_cmpint(f.result.stat.children_count, ==, 2);
        g_assert_cmpint(ask(&f, &(Request) { .op = REQUEST_EXISTS }), ==, CONVENE_MARSHALLING_ERROR);
        g_assert_cmpint(ask(&f, &(Request) { .op = REQUEST_SYNC, .path = "/none" }), ==, CONVENE_OK);
        g_assert_cmpint(ask(&f, &(Request) { .op = REQUEST_COUNT_DESCENDANTS, .path = "/" }), ==, CONVENE_OK);
        g_assert_cmpuint(f.result.count, ==, 13);
        g_assert_cmpint(ask(&f, &(Request) { .op = REQUEST_COUNT_DESCENDANTS, .path = "/l/a" }), ==, CONVENE_OK);
        g_assert_cmpuint(f.result.count, ==, 2);
        fixture_done(&f);
}

static void test_get_children(void) {
        Request r = { .op = REQUEST_GET_CHILDREN, .path = "/l" };
        Fixture f;

        fixture_init(&f);
        make_small_tree(&f);
        ask(&f, &r);
        assert_items(&f, "a a-b b bb c \xc3\xa4");
        g_assert_cmpint(f.result.stat.children_count, ==, 6);
        r.entries_max = 2;
        ask(&f, &r);
        assert_items(&f, "a a-b ...");
        r.start_after = "a-b";
        r.want_data = true;
        ask(&f, &r);
        assert_items(&f, "b=D bb ...");
        g_assert_cmphex(f.result.items[0].stat.czxid, !=, 0);
        g_assert_cmphex(f.result.items[1].stat.czxid, ==, 0);        /* may not be read */
        r.start_after = "bbb";
        ask(&f, &r);
        assert_items(&f, "c=D \xc3\xa4=D");
        r.start_after = "\xff";
        ask(&f, &r);
        assert_items(&f, "");
        fixture_done(&f);
}

static void test_list(void) {
        Request r = { .op = REQUEST_LIST, .path = "/l" };
        Fixture f;

        fixture_init(&f);
        make_small_tree(&f);
        ask(&f, &r);
        assert_items(&f, "/l /l/a /l/a/y /l/a/z /l/a-b /l/b /l/bb /l/c /l/\xc3\xa4");
        g_assert_cmpint(f.result.items[1].stat.children_count, ==, 2);
        r.caller = super;
        r.want_data = true;
        ask(&f, &r);
        assert_items(&f, "/l=D /l/a=D /l/a/y=D /l/a/z=D /l/a-b=D /l/b=D /l/bb /l/bb/below=D /l/c=D /l/\xc3\xa4=D");
        r.caller = (Identities) { 0 };
        r.want_data = false;

        /* Page by page, where the last one of each page is deleted before the next. */
        r.entries_max = 3;
        ask(&f, &r);
        assert_items(&f, "/l /l/a /l/a/y ...");
        g_assert_cmpint(erase(&f, "/l/a/y"), ==, CONVENE_OK);
        r.start_after = "/l/a/y";
        ask(&f, &r);
        assert_items(&f, "/l/a/z /l/a-b /l/b ...");
        g_assert_cmpint(erase(&f, "/l/b"), ==, CONVENE_OK);
        r.start_after = "/l/b";
        ask(&f, &r);
        assert_items(&f, "/l/bb /l/c /l/\xc3\xa4");

        r.entries_max = 0;
        r.start_after = "/l/a/gone/deep/er";
        ask(&f, &r);
        assert_items(&f, "/l/a/z /l/a-b /l/bb /l/c /l/\xc3\xa4");
        r.start_after = "/l/bb/below";
        ask(&f, &r);
        assert_items(&f, "/l/c /l/\xc3\xa4");
        r.start_after = "/l";
        ask(&f, &r);
        assert_items(&f, "/l/a /l/a/z /l/a-b /l/bb /l/c /l/\xc3\xa4");
        r.start_after = "/k";
        ask(&f, &r);
        assert_items(&f, "/l /l/a /l/a/z /l/a-b /l/bb /l/c /l/\xc3\xa4");
        r.start_after = "/m";
        ask(&f, &r);
        assert_items(&f, "");
        r.path = "/l/bb";
        g_assert_cmpint(ask(&f, &r), ==, CONVENE_NO_AUTH);
        r.path = "/none";
        g_assert_cmpint(ask(&f, &r), ==, CONVENE_NO_NODE);
        r = (Request) { .op = REQUEST_LIST, .path = "/", .start_after = "/zookeeper" };
        ask(&f, &r);
        assert_items(&f, "/zookeeper/config /zookeeper/quota");
        fixture_done(&f);
}

static void test_page_bytes(void) {
        g_autofree char *big = g_strnfill(LIMIT_DATA_BYTES, 'x');
        Request r = { .op = REQUEST_GET_CHILDREN, .path = "/big", .want_data = true };
        Request reads[] = {
                { .op = REQUEST_GET_DATA, .path = "/big/a" }, { .op = REQUEST_GET_DATA, .path = "/big/b" },
                { .op = REQUEST_GET_CHILDREN, .path = "/big" }, { .op = REQUEST_GET_DATA, .path = "/none" },
        };
        Fixture f;

        fixture_init(&f);
        g_assert_cmpint(create(&f, "/big", ""), ==, CONVENE_OK);
        for (const char *const *p = (const char *const[]) { "/big/a", "/big/b", "/big/c", NULL }; *p; p++)
                g_assert_cmpint(create(&f, *p, big), ==, CONVENE_OK);
        g_assert_cmpint(ask(&f, &r), ==, CONVENE_OK);
        g_assert_cmpuint(f.result.items_count, ==, 1);
        g_assert_true(f.result.more);
        g_assert_cmpuint(f.result.items[0].data_size, ==, LIMIT_DATA_BYTES);
        r.start_after = "b";
        g_assert_cmpint(ask(&f, &r), ==, CONVENE_OK);
        g_assert_cmpuint(f.result.items_count, ==, 1);
        g_assert_false(f.result.more);

        /* The parts of a multi-read share one answer. */
        g_assert_cmpint(ask(&f, &(Request) { .op = REQUEST_MULTI_READ, .operations = reads,
                            .operations_count = G_N_ELEMENTS(reads) }), ==, CONVENE_OK);
        g_assert_cmpint(f.result.results[0].status, ==, CONVENE_OK);
        g_assert_cmpuint(f.result.results[0].data_size, ==, LIMIT_DATA_BYTES);
        g_assert_cmpint(f.result.results[1].status, ==, CONVENE_TOO_LARGE);
        g_assert_cmpint(f.result.results[2].status, ==, CONVENE_OK);
        g_assert_true(f.result.results[2].more);
        g_assert_cmpint(f.result.results[3].status, ==, CONVENE_NO_NODE);
        fixture_done(&f);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/tree/session/life", test_session_life);
        g_test_add_func("/tree/session/auth", test_session_auth);
        g_test_add_func("/tree/session/cxid", test_cxid);
        g_test_add_func("/tree/session/ephemerals", test_ephemerals);
        g_test_add_func("/tree/session/list", test_list_sessions);
        g_test_add_func("/tree/reap/containers", test_containers);
        g_test_add_func("/tree/reap/ttl", test_ttl);
        g_test_add_func("/tree/reap/paging", test_reap_paging);
        g_test_add_func("/tree/quota/hard", test_quota_hard);
        g_test_add_func("/tree/quota/usage", test_quota_usage);
        g_test_add_func("/tree/quota/soft", test_quota_soft);
        g_test_add_func("/tree/quota/texts", test_quota_texts);
        g_test_add_func("/tree/read/paths", test_paths_of_reads);
        g_test_add_func("/tree/read/get-children", test_get_children);
        g_test_add_func("/tree/read/list", test_list);
        g_test_add_func("/tree/read/page-bytes", test_page_bytes);
        return g_test_run();
}
