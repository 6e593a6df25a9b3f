/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Member: order of answers and events, durability before answers, sessions and watches, as traces
 */

#include <string.h>

#include <glib.h>

#include "agent/member/member.h"

typedef struct Harness {
        Member *member;
        uint64_t now_usec;
        int64_t wall_msec;
        uint64_t append_seq, meta_seq;
        ZabMeta meta;
        GString *trace;
        MemberClient *a, *b;
        MemberClient *free_on_reply;
        Request ask_on_reply;           /* op 0: nothing */
        uint64_t ask_tag;
        unsigned ask_flags;
        int watches;                    /* told */
        bool trace_watches;
        GPtrArray *log;                 /* ZabEntry, copies; NULL: not kept */
} Harness;

static const Identity super[] = { { "super", "" } };
static const Identity user[] = { { "unix", "1000@h1" } };
static const AclEntry open_acl[] = { { PERMISSION_ALL, { "world", "anyone" } } };
static const AclEntry closed_acl[] = { { PERMISSION_ALL, { "unix", "1@h1" } } };

static void on_append(void *userdata, uint64_t io_seq, const ZabEntry *e, unsigned count) {
        Harness *h = userdata;

        h->append_seq = io_seq;
        if (h->log) {
                ZabEntry *copy = g_memdup2(e, sizeof(*e));

                g_bytes_ref(copy->payload);
                g_ptr_array_add(h->log, copy);
        }
}

static void on_write_meta(void *userdata, uint64_t io_seq, const ZabMeta *meta) {
        Harness *h = userdata;

        h->meta_seq = io_seq;
        h->meta = *meta;
}

static void on_role(void *userdata, ZabRole role, uint32_t epoch, const char *reason) {
}

static void on_session_ended(void *userdata, uint64_t session, bool expired) {
        g_string_append_printf(((Harness *) userdata)->trace, "%s ", expired ? "expired" : "closed");
}

static void on_soft_quota(void *userdata, const char *path) {
}

static void get_time(void *userdata, uint64_t *ret_now_usec, int64_t *ret_wall_msec) {
        Harness *h = userdata;

        *ret_now_usec = h->now_usec;
        *ret_wall_msec = h->wall_msec;
}

static void on_reply(void *userdata, uint64_t tag, const Result *r) {
        Harness *h = userdata;

        g_string_append_printf(h->trace, "%" PRIu64 ":%s", tag, convene_status_to_string(r->status));
        if (r->op == REQUEST_GET_DATA && r->status == CONVENE_OK)
                g_string_append_printf(h->trace, "=%.*s", (int) r->data_size, (const char *) r->data);
        g_string_append_c(h->trace, ' ');
        if (h->free_on_reply)
                h->free_on_reply = member_client_free(h->free_on_reply);
        if (h->ask_on_reply.op != 0) {
                Request ask = h->ask_on_reply;

                h->ask_on_reply.op = 0;
                ask.caller = (Identities) { super, 1 };
                member_submit(h->a, h->ask_tag, &ask, 0, h->ask_flags);
        }
}

static void on_event(void *userdata, uint64_t watch, WatchEventType type, const char *path, Zxid zxid, bool spent) {
        static const char *const names[] = { "", "created", "deleted", "data", "children" };

        g_string_append_printf(((Harness *) userdata)->trace, "w%" PRIu64 ":%s(%s)%s ", watch, names[type], path,
                               spent ? "!" : "");
}

static void on_watches(void *userdata, int change) {
        Harness *h = userdata;

        h->watches += change;
        if (h->trace_watches)
                g_string_append_printf(h->trace, "%+d ", change);
}

static const MemberFront front = { .reply = on_reply, .event = on_event, .watches = on_watches };

static void harness_init(Harness *h) {
        MemberDriver driver = {
                .append = on_append,
                .write_meta = on_write_meta,
                .role_changed = on_role,
                .session_ended = on_session_ended,
                .soft_quota = on_soft_quota,
                .get_time = get_time,
                .userdata = h,
        };
        MemberOptions options = { .zab = { .sid = 1, .name = "h1" } };

        *h = (Harness) { .trace = g_string_new(NULL), .now_usec = 1000000, .wall_msec = 5000 };
        h->meta.membership = ZAB_MEMBERSHIP_MEMBER;
        h->member = member_new(&options, &driver);
        g_assert_cmpint(member_take_tree(h->member, tree_new(member_tree_listener(h->member)), &(ZabPosition) { 0 }, NULL),
                        ==, 0);
        h->a = member_client_new(h->member, &front, h);
        h->b = member_client_new(h->member, &front, h);
}

static void durable(Harness *h) {
        member_on_appended(h->member, h->append_seq);
}

static void start(Harness *h) {
        member_start(h->member, &h->meta);
        member_on_meta_written(h->member, h->meta_seq);
        if (h->append_seq > 0)
                durable(h);
        member_on_meta_written(h->member, h->meta_seq);
        member_on_meta_written(h->member, h->meta_seq);         /* the configuration is committed */
}

static void harness_done(Harness *h) {
        tree_check(member_get_tree(h->member));
        member_client_free(h->a);
        member_client_free(h->b);
        member_free(h->member);
        g_string_free(h->trace, TRUE);
}

static void expect(Harness *h, const char *trace) {
        MemberStatistics s;

        g_assert_cmpstr(h->trace->str, ==, trace);
        g_string_truncate(h->trace, 0);
        member_get_statistics(h->member, &s);
        g_assert_cmpint(h->watches, ==, (int) s.watches);
}

static Request with_super(Request r) {
        if (r.session == 0 && r.caller.count == 0)
                r.caller = (Identities) { super, 1 };
        return r;
}

static void submit(MemberClient *c, uint64_t tag, Request r, uint64_t watch, unsigned flags) {
        r = with_super(r);
        member_submit(c, tag, &r, watch, flags);
}

static Request make(const char *path, const char *data) {
        return (Request) { .op = REQUEST_CREATE, .path = path, .data = (const uint8_t *) data, .data_size = strlen(data),
                           .acl = { open_acl, 1 } };
}

static Request set(const char *path, const char *data) {
        return (Request) { .op = REQUEST_SET_DATA, .path = path, .data = (const uint8_t *) data,
                           .data_size = strlen(data), .version = VERSION_ANY };
}

static Request get(const char *path) {
        return (Request) { .op = REQUEST_GET_DATA, .path = path };
}

static void test_waits_for_leader(void) {
        Harness h;

        harness_init(&h);
        submit(h.a, 1, make("/a", "x"), 0, 0);
        submit(h.a, 2, get("/a"), 0, 0);
        submit(h.b, 3, get("/a"), 0, 0);
        expect(&h, "");                 /* what is in the tree before may be old */
        start(&h);
        expect(&h, "3:NoNode ");
        durable(&h);
        expect(&h, "1:Ok 2:Ok=x ");
        harness_done(&h);
}

static void test_leader_never_comes(void) {
        Harness h;

        harness_init(&h);
        member_start(h.member, &h.meta);
        submit(h.a, 1, make("/a", "x"), 0, 0);
        submit(h.a, 2, get("/"), 0, MEMBER_LINEARIZABLE);
        submit(h.a, 3, get("/"), 0, 0);
        h.now_usec += 19 * 1000000;
        member_on_tick(h.member);
        expect(&h, "");
        h.now_usec += 2 * 1000000;
        member_on_tick(h.member);
        expect(&h, "1:NotReady 2:NotReady 3:NotReady ");
        harness_done(&h);
}

/* A read that comes between the start and the election must not see the checkpoint without the log behind it. */
static void test_read_after_restart(void) {
        Harness h, again;
        g_autoptr(GPtrArray) log = g_ptr_array_new();

        harness_init(&h);
        h.log = log;
        start(&h);
        submit(h.a, 1, make("/a", "x"), 0, 0);
        durable(&h);
        expect(&h, "1:Ok ");

        harness_init(&again);
        for (guint i = 0; i < log->len; i++) {
                ZabEntry *e = log->pdata[i];

                g_assert_cmpint(member_replay(again.member, e), ==, 0);
                g_bytes_unref(e->payload);
                g_free(e);
        }
        again.meta = h.meta;
        submit(again.a, 1, get("/a"), 0, 0);
        expect(&again, "");
        start(&again);
        expect(&again, "1:Ok=x ");
        harness_done(&again);
        harness_done(&h);
}

static void test_durable_before_reply(void) {
        Harness h;

        harness_init(&h);
        start(&h);
        submit(h.a, 1, make("/a", "1"), 0, 0);
        submit(h.a, 2, set("/a", "2"), 0, 0);
        submit(h.a, 3, get("/a"), 0, 0);
        submit(h.a, 4, set("/a", "3"), 0, 0);
        submit(h.a, 5, get("/a"), 0, 0);
        expect(&h, "");
        g_assert_cmpuint(member_client_pending(h.a), ==, 5);
        submit(h.b, 6, get("/a"), 0, 0);
        expect(&h, "6:NoNode ");
        durable(&h);
        expect(&h, "1:Ok 2:Ok 3:Ok=2 4:Ok 5:Ok=3 ");    /* each read sees what was before it and no more */
        g_assert_cmpuint(member_client_pending(h.a), ==, 0);
        harness_done(&h);
}

static void test_refusals_keep_order(void) {
        Harness h;

        harness_init(&h);
        start(&h);
        submit(h.a, 1, make("/a", "1"), 0, 0);
        submit(h.a, 2, (Request) { .op = REQUEST_CHECK, .path = "/a" }, 0, 0);  /* only legal in a multi */
        submit(h.a, 3, set("/none", "1"), 0, 0);
        expect(&h, "");
        durable(&h);
        expect(&h, "1:Ok 2:Unimplemented 3:NoNode ");
        member_on_space(h.member, false);
        submit(h.a, 4, set("/a", "2"), 0, 0);
        submit(h.a, 5, get("/a"), 0, 0);
        expect(&h, "4:NoSpace 5:Ok=1 ");
        member_on_space(h.member, true);
        submit(h.a, 6, set("/a", "2"), 0, 0);
        durable(&h);
        expect(&h, "6:Ok ");
        harness_done(&h);
}

static void test_event_before_reply(void) {
        Harness h;

        harness_init(&h);
        start(&h);
        submit(h.a, 1, make("/a", "1"), 0, 0);
        durable(&h);
        submit(h.b, 2, get("/a"), 77, 0);
        submit(h.a, 3, get("/a"), 78, 0);
        expect(&h, "1:Ok 2:Ok=1 3:Ok=1 ");
        submit(h.a, 4, set("/a", "2"), 0, 0);
        submit(h.a, 5, set("/a", "3"), 0, 0);
        durable(&h);
        expect(&h, "w77:data(/a)! w78:data(/a)! 4:Ok 5:Ok ");
        harness_done(&h);
}

static void test_watch_with_queued_read(void) {
        Harness h;

        harness_init(&h);
        start(&h);
        submit(h.a, 1, make("/a", "1"), 0, 0);
        submit(h.a, 2, (Request) { .op = REQUEST_EXISTS, .path = "/a/b" }, 9, 0);
        submit(h.a, 3, make("/a/b", "1"), 0, 0);
        submit(h.a, 4, (Request) { .op = REQUEST_GET_CHILDREN, .path = "/a" }, 10, 0);
        submit(h.a, 5, (Request) { .op = REQUEST_DELETE, .path = "/a/b", .version = VERSION_ANY }, 0, 0);
        durable(&h);
        expect(&h, "1:Ok 2:NoNode w9:created(/a/b)! 3:Ok 4:Ok w10:children(/a)! 5:Ok ");
        harness_done(&h);
}

static void test_event_needs_read(void) {
        Harness h;
        Request closed = make("/a/c", "1");

        harness_init(&h);
        start(&h);
        submit(h.a, 1, make("/a", "1"), 0, 0);
        durable(&h);
        g_assert_cmpint(member_watch(h.b, 5, "/a", WATCH_PERSISTENT_RECURSIVE, 0, (Identities) { user, 1 }, 0), ==, CONVENE_OK);
        closed.acl = (AclEntries) { closed_acl, 1 };
        submit(h.a, 2, closed, 0, 0);
        submit(h.a, 3, make("/a/d", "1"), 0, 0);
        durable(&h);
        expect(&h, "1:Ok 2:Ok w5:created(/a/d) 3:Ok ");
        harness_done(&h);
}

/* Who counts watches is told of each that comes and goes: also of one-shot ones used up by what their owner may not see, and
 * of those beside one that stays. */
static void test_watches_told(void) {
        static const char *const paths[] = { "/c", "/a" };
        Harness h;
        Request closed = make("/c", "1");

        harness_init(&h);
        start(&h);
        h.trace_watches = true;
        closed.acl = (AclEntries) { closed_acl, 1 };
        submit(h.a, 1, make("/a", "1"), 0, 0);
        durable(&h);
        g_assert_cmpint(member_watch(h.b, 5, "/c", WATCH_DATA, 0, (Identities) { user, 1 }, 0), ==, CONVENE_OK);
        g_assert_cmpint(member_watch(h.b, 5, "/c", WATCH_DATA, 0, (Identities) { user, 1 }, 0), ==, CONVENE_OK);
        submit(h.a, 2, closed, 0, 0);
        durable(&h);
        expect(&h, "1:Ok +1 -1 2:Ok ");
        g_assert_cmpint(member_unwatch(h.b, 5, NULL, 0), ==, CONVENE_NO_WATCHER);

        g_assert_cmpint(member_watch(h.b, 5, "/a", WATCH_PERSISTENT, 0, (Identities) { user, 1 }, 0), ==, CONVENE_OK);
        g_assert_cmpint(member_watch(h.b, 5, "/a", WATCH_DATA, 0, (Identities) { user, 1 }, 0), ==, CONVENE_OK);
        submit(h.a, 3, set("/a", "2"), 0, 0);
        durable(&h);
        expect(&h, "+1 +1 -1 w5:data(/a) 3:Ok ");
        g_assert_cmpint(member_set_watches(h.b, 5, 0, (Identities) { user, 1 }, 1, WATCH_DATA, false, paths, 2), ==, CONVENE_OK);
        expect(&h, "w5:data(/a) ");             /* the one that stays is not gone by that */
        g_assert_cmpint(member_set_watches(h.b, 6, 0, (Identities) { user, 1 }, tree_zxid(member_get_tree(h.member)),
                                           WATCH_CHILDREN, false, paths, 2), ==, CONVENE_OK);
        expect(&h, "+1 +1 ");
        submit(h.a, 4, (Request) { .op = REQUEST_DELETE, .path = "/a", .version = VERSION_ANY }, 0, 0);
        durable(&h);
        expect(&h, "w5:deleted(/a) -1 w6:deleted(/a)! 4:Ok ");
        g_assert_cmpint(member_unwatch(h.b, 6, "/c", WATCH_CHILDREN | WATCH_DATA), ==, CONVENE_OK);
        g_assert_cmpint(member_unwatch(h.b, 5, NULL, 0), ==, CONVENE_OK);
        expect(&h, "-1 -1 ");
        g_assert_cmpint(h.watches, ==, 0);
        harness_done(&h);
}

/* A number stands for one set of identities, whoever used it first. */
static void test_watch_number_is_taken(void) {
        static const char *const paths[] = { "/a" };
        Harness h;

        harness_init(&h);
        start(&h);
        submit(h.a, 1, make("/a", "1"), 0, 0);
        durable(&h);
        g_assert_cmpint(member_watch(h.a, 5, "/b", WATCH_PERSISTENT, 0, (Identities) { user, 1 }, 0), ==, CONVENE_OK);
        g_assert_cmpint(member_watch(h.a, 5, "/a", WATCH_PERSISTENT, 0, (Identities) { super, 1 }, 0), ==,
                        CONVENE_BAD_ARGUMENTS);
        g_assert_cmpint(member_set_watches(h.a, 5, 0, (Identities) { super, 1 }, 1, WATCH_DATA, false, paths, 1), ==,
                        CONVENE_BAD_ARGUMENTS);
        submit(h.a, 2, get("/a"), 5, 0);
        g_assert_cmpint(member_watch(h.a, 5, "/a", WATCH_PERSISTENT, 0, (Identities) { user, 1 }, 0), ==, CONVENE_OK);
        g_assert_cmpint(member_watch(h.b, 5, "/a", WATCH_PERSISTENT, 0, (Identities) { super, 1 }, 0), ==, CONVENE_OK);
        expect(&h, "1:Ok 2:BadArguments ");
        harness_done(&h);
}

static void test_resume(void) {
        Harness h;
        Zxid since;
        MemberStatus s;

        harness_init(&h);
        start(&h);
        submit(h.a, 1, make("/a", "1"), 0, 0);
        durable(&h);
        member_get_status(h.member, &s);
        since = s.zxid;
        submit(h.a, 2, set("/a", "2"), 0, 0);
        submit(h.a, 3, make("/a/b", "2"), 0, 0);
        durable(&h);
        expect(&h, "1:Ok 2:Ok 3:Ok ");
        g_assert_cmpint(member_watch(h.b, 5, "/a", WATCH_PERSISTENT_RECURSIVE, 0, (Identities) { user, 1 }, since), ==,
                        CONVENE_OK);
        expect(&h, "w5:data(/a) w5:created(/a/b) ");
        g_assert_cmpint(member_watch(h.b, 6, "/a", WATCH_DATA, 0, (Identities) { user, 1 }, since), ==, CONVENE_BAD_ARGUMENTS);
        g_assert_cmpint(member_unwatch(h.b, 5, NULL, 0), ==, CONVENE_OK);
        g_assert_cmpint(member_unwatch(h.b, 5, NULL, 0), ==, CONVENE_NO_WATCHER);
        submit(h.a, 4, set("/a", "3"), 0, 0);
        durable(&h);
        expect(&h, "4:Ok ");
        harness_done(&h);
}

static void test_set_watches(void) {
        static const char *const all[] = { "/a", "/gone", "/b" };
        Harness h;
        MemberStatus s;

        harness_init(&h);
        start(&h);
        submit(h.a, 1, make("/a", "1"), 0, 0);
        submit(h.a, 2, make("/b", "1"), 0, 0);
        durable(&h);
        member_get_status(h.member, &s);
        submit(h.a, 3, set("/a", "2"), 0, 0);
        submit(h.a, 4, make("/a/x", "2"), 0, 0);
        durable(&h);
        expect(&h, "1:Ok 2:Ok 3:Ok 4:Ok ");
        member_set_watches(h.b, 1, 0, (Identities) { user, 1 }, s.zxid, WATCH_DATA, false, all, 3);
        expect(&h, "w1:data(/a)! w1:deleted(/gone)! ");
        member_set_watches(h.b, 2, 0, (Identities) { user, 1 }, s.zxid, WATCH_CHILDREN, false, all, 3);
        expect(&h, "w2:children(/a)! w2:deleted(/gone)! ");
        member_set_watches(h.b, 3, 0, (Identities) { user, 1 }, s.zxid, WATCH_DATA, true, all, 3);
        expect(&h, "w3:created(/a)! w3:created(/b)! ");
        submit(h.a, 5, set("/b", "2"), 0, 0);
        submit(h.a, 6, make("/gone", "2"), 0, 0);
        durable(&h);
        expect(&h, "w1:data(/b)! 5:Ok w3:created(/gone)! 6:Ok ");
        harness_done(&h);
}

static uint64_t open_session(Harness *h, uint32_t timeout_msec) {
        uint64_t session = 0;
        MemberStatus s;

        submit(h->a, 99, (Request) { .op = REQUEST_OPEN_SESSION, .timeout_msec = timeout_msec, .member = 1, .owner = "test",
                                     .identities = { super, 1 } }, 0, 0);
        durable(h);
        expect(h, "99:Ok ");
        member_get_status(h->member, &s);
        session = s.zxid;
        return session;
}

static void test_session_expiry(void) {
        Harness h;
        uint64_t session;
        Request eph = make("/e", "1");

        harness_init(&h);
        start(&h);
        session = open_session(&h, 2000);
        eph.session = session;
        eph.mode = CREATE_EPHEMERAL;
        submit(h.a, 1, eph, 0, 0);
        durable(&h);
        submit(h.b, 2, get("/e"), 5, 0);
        expect(&h, "1:Ok 2:Ok=1 ");
        h.now_usec += 1500000;
        member_touch_session(h.member, session);
        h.now_usec += 1999000;
        member_on_tick(h.member);
        g_assert_cmpuint(member_next_tick_usec(h.member), ==, h.now_usec + 1000);
        h.now_usec += 1000;
        member_on_tick(h.member);
        expect(&h, "");                         /* an expiry is an entry like any other */
        durable(&h);
        expect(&h, "w5:deleted(/e)! expired ");
        submit(h.a, 3, eph, 0, 0);
        durable(&h);
        expect(&h, "3:SessionExpired ");
        harness_done(&h);
}

static void test_session_kept(void) {
        Harness h;
        uint64_t session;

        harness_init(&h);
        start(&h);
        session = open_session(&h, 1000);
        member_keep_session(h.member, session, true);
        for (unsigned i = 0; i < 100; i++) {
                h.now_usec += 700000;
                member_on_tick(h.member);
        }
        durable(&h);
        expect(&h, "");
        g_assert_cmpuint(member_session_deadline(h.member, session), ==, h.now_usec + 990000);
        submit(h.a, 1, (Request) { .op = REQUEST_CLOSE_SESSION, .target = session }, 0, 0);
        durable(&h);
        expect(&h, "closed 1:Ok ");
        g_assert_cmpuint(member_session_deadline(h.member, session), ==, 0);
        harness_done(&h);
}

/* Who may hear of the last changes of a session is asked of it until they are told; then its watches end with it. */
static void test_session_takes_watches(void) {
        Harness h;
        uint64_t session;
        Request eph = make("/e", "1");

        harness_init(&h);
        start(&h);
        session = open_session(&h, 2000);
        eph.session = session;
        eph.mode = CREATE_EPHEMERAL;
        submit(h.a, 1, eph, 0, 0);
        durable(&h);
        expect(&h, "1:Ok ");
        h.trace_watches = true;
        g_assert_cmpint(member_watch(h.b, 5, "/", WATCH_PERSISTENT_RECURSIVE, session, (Identities) { 0 }, 0), ==, CONVENE_OK);
        g_assert_cmpint(member_watch(h.b, 6, "/e", WATCH_DATA, session, (Identities) { 0 }, 0), ==, CONVENE_OK);
        g_assert_cmpint(member_watch(h.b, 6, "/x", WATCH_DATA, session, (Identities) { 0 }, 0), ==, CONVENE_OK);
        g_assert_cmpint(member_watch(h.b, 7, "/x", WATCH_DATA, 0, (Identities) { super, 1 }, 0), ==, CONVENE_OK);
        submit(h.a, 2, (Request) { .op = REQUEST_CLOSE_SESSION, .target = session }, 0, 0);
        durable(&h);
        expect(&h, "+1 +1 +1 +1 w5:deleted(/e) -1 w6:deleted(/e)! -1 -1 closed 2:Ok ");
        g_assert_cmpint(member_unwatch(h.b, 5, NULL, 0), ==, CONVENE_NO_WATCHER);
        g_assert_cmpint(member_watch(h.b, 5, "/", WATCH_PERSISTENT, session, (Identities) { 0 }, 0), ==,
                        CONVENE_SESSION_EXPIRED);
        submit(h.a, 3, make("/x", ""), 0, 0);
        durable(&h);
        expect(&h, "-1 w7:created(/x)! 3:Ok ");
        harness_done(&h);
}

/* A re-attach that stands before the expiry in the log was in time. */
static void test_attach_before_expiry(void) {
        Harness h;
        uint64_t session;

        harness_init(&h);
        start(&h);
        session = open_session(&h, 2000);
        h.now_usec += 1999000;
        submit(h.a, 1, (Request) { .op = REQUEST_ATTACH_SESSION, .target = session, .timeout_msec = 2000, .member = 1 }, 0, 0);
        h.now_usec += 1500;
        member_on_tick(h.member);
        durable(&h);
        expect(&h, "1:Ok ");
        h.now_usec += 1999000;
        member_on_tick(h.member);
        durable(&h);
        expect(&h, "");
        h.now_usec += 2000;
        member_on_tick(h.member);
        durable(&h);
        expect(&h, "expired ");
        harness_done(&h);
}

static void test_cxids(void) {
        Harness h;
        uint64_t session;
        Request r = make("/a", "1");

        harness_init(&h);
        start(&h);
        session = open_session(&h, 1000);
        r.session = session;
        submit(h.a, 1, r, 0, 0);
        submit(h.a, 2, r, 0, 0);
        durable(&h);
        expect(&h, "1:Ok 2:NodeExists ");
        g_assert_cmpuint(tree_session_cxid(member_get_tree(h.member), session), ==, 1); /* of the last with an effect */
        r.path = "/b";
        submit(h.a, 3, r, 0, 0);
        durable(&h);
        expect(&h, "3:Ok ");
        g_assert_cmpuint(tree_session_cxid(member_get_tree(h.member), session), ==, 3);
        harness_done(&h);
}

static void test_linearizable(void) {
        Harness h;

        harness_init(&h);
        start(&h);
        submit(h.a, 1, make("/a", "1"), 0, 0);
        submit(h.a, 2, get("/a"), 0, MEMBER_LINEARIZABLE);
        submit(h.a, 3, (Request) { .op = REQUEST_SYNC }, 0, 0);
        submit(h.a, 4, set("/a", "2"), 0, 0);
        durable(&h);
        expect(&h, "1:Ok 2:Ok=1 3:Ok 4:Ok ");
        submit(h.a, 5, get("/a"), 0, MEMBER_LINEARIZABLE);
        expect(&h, "5:Ok=2 ");
        harness_done(&h);
}

/* From inside an answer that is one of several of the same step. */
static void test_ask_in_reply(void) {
        Harness h;

        for (unsigned kind = 0; kind < 4; kind++) {
                harness_init(&h);
                start(&h);
                submit(h.a, 1, make("/a", "1"), 0, 0);
                submit(h.a, 2, set("/a", "2"), 0, 0);
                submit(h.b, 3, set("/a", "3"), 0, 0);
                h.ask_on_reply = kind < 2 ? get("/a") : kind == 2 ? set("/a", "4") : (Request) { .op = REQUEST_SYNC };
                h.ask_flags = kind == 0 ? MEMBER_LINEARIZABLE : 0;
                h.ask_tag = 9;
                durable(&h);
                durable(&h);
                expect(&h, kind < 2 ? "1:Ok 2:Ok 3:Ok 9:Ok=3 " : "1:Ok 2:Ok 3:Ok 9:Ok ");
                harness_done(&h);
        }
}

/* An answer may be the end of another client, and is not that of a third one. */
static void test_other_gone_in_reply(void) {
        Harness h;
        MemberClient *c;

        harness_init(&h);
        c = member_client_new(h.member, &front, &h);
        submit(h.a, 1, get("/"), 0, 0);
        submit(h.b, 2, get("/"), 0, 0);
        submit(c, 3, get("/"), 0, 0);
        h.free_on_reply = g_steal_pointer(&h.b);
        start(&h);
        expect(&h, "1:Ok= 3:Ok= ");

        h.b = member_client_new(h.member, &front, &h);
        submit(h.a, 4, make("/a", ""), 0, 0);
        submit(h.b, 5, make("/b", ""), 0, 0);
        submit(c, 6, make("/c", ""), 0, 0);
        h.free_on_reply = g_steal_pointer(&h.b);
        durable(&h);
        expect(&h, "4:Ok 6:Ok ");
        member_client_free(c);
        harness_done(&h);
}

/* Waiting is in order with the rest, and no longer than for a leader. */
static void test_wait(void) {
        static const char *const paths[] = { "/a" };
        Harness h;
        Zxid zxid;

        harness_init(&h);
        g_assert_cmpint(member_watch(h.a, 5, "/a", WATCH_DATA, 0, (Identities) { super, 1 }, 0), ==, CONVENE_NOT_READY);
        g_assert_cmpint(member_set_watches(h.a, 5, 0, (Identities) { super, 1 }, 0, WATCH_DATA, false, paths, 1), ==,
                        CONVENE_NOT_READY);
        member_wait(h.a, 1, 0);
        expect(&h, "");
        start(&h);
        submit(h.b, 2, make("/z", ""), 0, 0);
        durable(&h);
        expect(&h, "1:Ok 2:Ok ");

        zxid = tree_zxid(member_get_tree(h.member));
        g_assert_cmpint(member_watch(h.a, 5, "/a", WATCH_PERSISTENT, 0, (Identities) { super, 1 }, zxid + 1), ==,
                        CONVENE_NOT_READY);
        g_assert_cmpint(member_set_watches(h.a, 5, 0, (Identities) { super, 1 }, zxid + 1, WATCH_DATA, false, paths, 1), ==,
                        CONVENE_NOT_READY);
        member_wait(h.b, 2, zxid + 2);
        member_wait(h.a, 3, zxid + 1);
        submit(h.b, 4, get("/a"), 0, 0);
        submit(h.b, 5, set("/a", "3"), 0, 0);
        submit(h.a, 6, (Request) { .op = REQUEST_EXISTS, .path = "/a" }, 0, 0);
        expect(&h, "");
        h.ask_on_reply = set("/a", "2");        /* behind what waits in the same client */
        h.ask_tag = 8;
        {
                MemberClient *c = member_client_new(h.member, &front, &h);

                submit(c, 7, make("/a", "1"), 0, 0);
                durable(&h);
                expect(&h, "7:Ok 3:Ok 6:Ok ");
                durable(&h);
                expect(&h, "8:Ok 2:Ok 4:Ok=2 ");
                durable(&h);
                expect(&h, "5:Ok ");
                member_client_free(c);
        }

        member_wait(h.a, 9, zxid + 100);
        submit(h.a, 10, get("/a"), 0, 0);
        h.now_usec += 19 * 1000000;
        member_on_tick(h.member);
        expect(&h, "");
        g_assert_cmpuint(member_next_tick_usec(h.member), <=, h.now_usec + 1000000);
        h.now_usec += 2 * 1000000;
        member_on_tick(h.member);
        expect(&h, "9:NotReady 10:Ok=3 ");
        harness_done(&h);
}

static void test_client_gone(void) {
        Harness h;

        harness_init(&h);
        start(&h);
        submit(h.a, 1, make("/a", "1"), 0, 0);
        submit(h.a, 2, get("/a"), 8, 0);
        g_assert_cmpint(member_watch(h.a, 5, "/a", WATCH_PERSISTENT, 0, (Identities) { super, 1 }, 0), ==, CONVENE_OK);
        h.a = member_client_free(h.a);
        h.watches = 0;                          /* nothing is said of these */
        submit(h.b, 3, get("/a"), 0, 0);
        durable(&h);
        submit(h.b, 4, get("/a"), 0, 0);
        expect(&h, "3:NoNode 4:Ok=1 ");         /* done all the same, and nobody told */

        h.a = member_client_new(h.member, &front, &h);
        submit(h.a, 5, set("/a", "2"), 0, 0);
        submit(h.a, 6, get("/a"), 0, 0);
        h.free_on_reply = h.a;
        h.a = NULL;
        durable(&h);
        expect(&h, "5:Ok ");                    /* freed from inside its first answer */
        harness_done(&h);
}

static void test_reaping(void) {
        Harness h;
        Request c = make("/c", ""), t = make("/t", "");

        harness_init(&h);
        start(&h);
        c.mode = CREATE_CONTAINER;
        t.mode = CREATE_TTL;
        t.ttl_msec = 1000;
        submit(h.a, 1, c, 0, 0);
        submit(h.a, 2, t, 0, 0);
        submit(h.a, 3, make("/c/x", ""), 0, 0);
        submit(h.a, 4, (Request) { .op = REQUEST_DELETE, .path = "/c/x", .version = VERSION_ANY }, 0, 0);
        durable(&h);
        expect(&h, "1:Ok 2:Ok 3:Ok 4:Ok ");
        h.now_usec += 61 * 1000000;
        h.wall_msec += 61000;
        member_on_tick(h.member);
        durable(&h);
        submit(h.a, 5, get("/c"), 0, 0);
        submit(h.a, 6, get("/t"), 0, 0);
        expect(&h, "5:NoNode 6:NoNode ");
        harness_done(&h);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/member/waits-for-leader", test_waits_for_leader);
        g_test_add_func("/member/leader-never-comes", test_leader_never_comes);
        g_test_add_func("/member/read-after-restart", test_read_after_restart);
        g_test_add_func("/member/durable-before-reply", test_durable_before_reply);
        g_test_add_func("/member/refusals-keep-order", test_refusals_keep_order);
        g_test_add_func("/member/event-before-reply", test_event_before_reply);
        g_test_add_func("/member/watch-with-queued-read", test_watch_with_queued_read);
        g_test_add_func("/member/event-needs-read", test_event_needs_read);
        g_test_add_func("/member/watches-told", test_watches_told);
        g_test_add_func("/member/watch-number-is-taken", test_watch_number_is_taken);
        g_test_add_func("/member/resume", test_resume);
        g_test_add_func("/member/set-watches", test_set_watches);
        g_test_add_func("/member/session-expiry", test_session_expiry);
        g_test_add_func("/member/session-kept", test_session_kept);
        g_test_add_func("/member/session-takes-watches", test_session_takes_watches);
        g_test_add_func("/member/attach-before-expiry", test_attach_before_expiry);
        g_test_add_func("/member/cxids", test_cxids);
        g_test_add_func("/member/linearizable", test_linearizable);
        g_test_add_func("/member/ask-in-reply", test_ask_in_reply);
        g_test_add_func("/member/other-gone-in-reply", test_other_gone_in_reply);
        g_test_add_func("/member/wait", test_wait);
        g_test_add_func("/member/client-gone", test_client_gone);
        g_test_add_func("/member/reaping", test_reaping);
        return g_test_run();
}
