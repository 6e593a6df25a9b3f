/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Members as an ensemble: the fate of requests and reads across a change of leader, snapshots, disagreement, and changes of
 * the membership
 */

#include "tests/unit/member-requests.h"

static void test_through_follower(void) {
        g_autoptr(Network) n = network_new(3, 3);
        Host *leader = network_settle(n), *f = network_follower(n);

        host_submit(f, 1, make("/a", "1"), 0, 0);
        host_submit(f, 2, get("/a"), 7, 0);
        host_submit(f, 3, set("/a", "2"), 0, 0);
        host_submit(f, 4, (Request) { .op = REQUEST_CHECK, .path = "/a" }, 0, 0);
        host_submit(f, 5, get("/a"), 0, 0);
        host_expect(f, "");
        network_pump(n);
        host_expect(f, "1:Ok 2:Ok=1 w7:data(/a)! 3:Ok 4:Unimplemented 5:Ok=2 ");

        /* What the follower does not have yet, a linearizable read waits for; a local one does not. */
        f->disk_stalled = true;
        host_submit(leader, 6, set("/a", "3"), 0, 0);
        network_pump(n);
        host_expect(leader, "6:Ok ");
        host_submit(f, 7, get("/a"), 0, 0);
        host_submit(f, 8, get("/a"), 0, MEMBER_LINEARIZABLE);
        host_submit(f, 9, (Request) { .op = REQUEST_SYNC }, 0, 0);
        host_submit(f, 10, get("/a"), 0, 0);
        network_pump(n);
        host_expect(f, "7:Ok=2 ");
        f->disk_stalled = false;
        network_run(n, 200);
        host_expect(f, "8:Ok=3 9:Ok 10:Ok=3 ");
}

/* A reader that is cut off answers nothing rather than the past, and everything when it is back. */
static void test_cut_off(void) {
        g_autoptr(Network) n = network_new(3, 3);
        Host *leader, *f;
        MemberStatus s;

        network_settle(n);
        f = network_follower(n);
        network_isolate(n, f->sid, true);
        network_run(n, 100);
        member_get_status(f->member, &s);
        g_assert_false(s.serving);
        g_assert_nonnull(strstr(s.trouble, "not connected to h"));
        g_assert_nonnull(strstr(s.trouble, "2 of 3 voters are needed"));

        leader = network_leader(n);
        host_submit(leader, 1, make("/a", "1"), 0, 0);
        network_pump(n);
        host_expect(leader, "1:Ok ");
        host_submit(f, 2, get("/a"), 0, 0);
        host_submit(f, 3, set("/a", "2"), 0, 0);
        network_run(n, 5000);
        host_expect(f, "");
        network_isolate(n, f->sid, false);
        network_settle(n);
        network_run(n, 200);
        host_expect(f, "2:Ok=1 3:Ok ");
        network_isolate(n, f->sid, true);
        host_submit(f, 4, get("/a"), 0, 0);
        network_run(n, 21500);
        host_expect(f, "4:NotReady ");
}

/* A reader that knows more than this member waits for it, and is not told what it knows as news. */
static void test_ahead_of_member(void) {
        static const char *const paths[] = { "/new" };
        g_autoptr(Network) n = network_new(3, 3);
        Host *leader = network_settle(n), *f = network_follower(n);
        Zxid seen;

        network_run(n, 100);
        f->disk_stalled = true;
        host_submit(leader, 1, make("/new", "1"), 0, 0);
        network_pump(n);
        host_expect(leader, "1:Ok ");
        seen = zxid_of(leader);
        g_assert_false(has(f, "/new"));
        g_assert_cmpint(member_set_watches(f->client, 5, 0, SUPER, seen, WATCH_DATA, false, paths, 1), ==, CONVENE_NOT_READY);
        g_assert_cmpint(member_watch(f->client, 6, "/new", WATCH_PERSISTENT, 0, SUPER, seen), ==, CONVENE_NOT_READY);
        member_wait(f->client, 2, seen);
        network_pump(n);
        host_expect(f, "");
        f->disk_stalled = false;
        network_run(n, 200);
        host_expect(f, "2:Ok ");
        g_assert_cmpint(member_set_watches(f->client, 5, 0, SUPER, seen, WATCH_DATA, false, paths, 1), ==, CONVENE_OK);
        g_assert_cmpint(member_watch(f->client, 6, "/new", WATCH_PERSISTENT, 0, SUPER, seen), ==, CONVENE_OK);
        host_expect(f, "");

        member_wait(f->client, 3, seen + 1);
        network_isolate(n, f->sid, true);
        network_run(n, 3000);
        host_submit(network_leader(n), 4, set("/new", "2"), 0, 0);
        network_pump(n);
        host_expect(f, "");
        network_isolate(n, f->sid, false);
        network_settle(n);
        network_run(n, 200);
        host_expect(f, "w5:data(/new)! w6:data(/new) 3:Ok ");
}

/* While it hands over, a leader's own updates wait for the next tick; asking again at once would go on for ever. */
static void test_refused_proposal(void) {
        g_autoptr(Network) n = network_new(3, 3);
        Host *old = network_settle(n), *f = network_follower(n);
        MemberChange c = { .op = MEMBER_CHANGE_TRANSFER, .member = { .sid = f->sid } };
        uint64_t next;

        f->disk_stalled = true;
        host_submit(old, 1, make("/a", ""), 0, 0);
        member_change(old->client, 2, &c, 0);
        host_submit(old, 3, make("/b", ""), 0, 0);
        network_pump(n);
        host_expect(old, "1:Ok 2:Ok ");
        next = member_next_tick_usec(old->member);
        n->now_usec += 20000;
        (void) member_watch(old->client, 5, "/", WATCH_DATA, 0, SUPER, 0);
        g_assert_cmpuint(member_next_tick_usec(old->member), <=, next);         /* not put off by what else comes in */
        network_run(n, 300);
        host_expect(old, "");
        f->disk_stalled = false;
        network_run(n, 100);
        network_settle(n);
        network_run(n, 300);
        host_expect(old, "3:Ok ");
}

/* The leader dies at every moment: each update takes effect once, in order, and is answered. */
static void test_fate(void) {
        for (unsigned deliveries = 1; deliveries < 60; deliveries++) {
                g_autoptr(Network) n = network_new(3, 3);
                Host *dead = network_settle(n), *f = network_follower(n);
                uint64_t session = open_session(n, f, 30000, true);
                Request r;

                host_submit(f, 1, make("/q", ""), 0, 0);
                network_pump(n);
                host_expect(f, "1:Ok ");
                n->kill_leader_at = n->delivered + deliveries;
                for (uint64_t tag = 2; tag < 8; tag++) {
                        r = make_sequential("/q/x");
                        r.session = tag % 2 == 0 ? session : 0;
                        host_submit(f, tag, r, 0, 0);
                }
                host_submit(f, 8, set("/q", "end"), 0, 0);
                host_submit(f, 9, list("/q"), 0, MEMBER_LINEARIZABLE);
                network_run(n, 1000);
                network_settle(n);
                network_run(n, 1000);
                host_expect(f, "2:Ok 3:Ok 4:Ok 5:Ok 6:Ok 7:Ok 8:Ok 9:Ok=6 ");

                if (!dead->member)
                        host_start(dead);
                network_settle(n);
                network_run(n, 500);
                g_assert_true(has(dead, "/q/x0000000005") && !has(dead, "/q/x0000000006"));
                g_assert_true(hash128_equal(tree_digest(member_get_tree(dead->member)),
                                            tree_digest(member_get_tree(f->member))));
        }
}

/* However much waits for a leader, no more is given to one at a time than a connection can hold, and all of it in its turn. */
static void test_much_at_once(void) {
        enum { UPDATES = 100, BYTES = 128 * 1024 };
        g_autoptr(Network) n = network_new(3, 3);
        g_autofree char *data = g_strnfill(BYTES, 'x');
        g_autoptr(GString) answers = g_string_new(NULL);
        Host *old = network_settle(n), *f = network_follower(n);

        host_submit(f, 1, make("/a", ""), 0, 0);
        network_pump(n);
        host_expect(f, "1:Ok ");
        host_kill(old);
        for (uint64_t tag = 2; tag < 2 + UPDATES; tag++) {
                host_submit(f, tag, set("/a", data), 0, 0);
                g_string_append_printf(answers, "%" PRIu64 ":Ok ", tag);
        }
        network_settle(n);
        network_run(n, 2000);
        host_expect(f, answers->str);

        /* Of those that one leader was given some are still under way when the next is asked. */
        host_start(old);
        network_settle(n);
        f = network_follower(n);
        network_pump(n);
        for (uint64_t tag = 2; tag < 2 + UPDATES; tag++)
                host_submit(f, tag, set("/a", data), 0, 0);
        g_assert_cmpuint(g_queue_get_length(&n->messages), >, 4 * 1024 * 1024 / BYTES - 2);
        g_assert_cmpuint(g_queue_get_length(&n->messages), <, 4 * 1024 * 1024 / BYTES + 2);
        host_kill(network_leader(n));
        network_settle(n);
        network_run(n, 2000);
        host_expect(f, answers->str);
}

/* A leader that has no room, or whose disk hangs, hands over to one that can write; alone in that, it stays. */
static void test_leader_cannot_write(void) {
        for (unsigned hangs = 0; hangs < 2; hangs++) {
                g_autoptr(Network) n = network_new(3, 3);
                Host *old = network_settle(n), *f = network_follower(n);

                host_submit(f, 1, make("/a", ""), 0, 0);
                network_pump(n);
                host_expect(f, "1:Ok ");
                if (hangs)
                        old->disk_stalled = true;
                else
                        member_on_space(old->member, false);
                host_submit(f, 2, set("/a", "1"), 0, 0);
                network_run(n, 8000);
                g_assert_true(network_leader(n) != old);
                host_expect(f, hangs ? "2:Ok " : "2:NoSpace ");
                host_submit(f, 3, set("/a", "2"), 0, 0);
                network_run(n, 100);
                host_expect(f, "3:Ok ");
        }
}

/* The same for what the leader's own clients asked: it comes back as a follower. */
static void test_fate_of_deposed(void) {
        g_autoptr(Network) n = network_new(3, 3);
        Host *old = network_settle(n);

        host_submit(old, 1, make("/q", ""), 0, 0);
        network_pump(n);
        host_expect(old, "1:Ok ");
        network_isolate(n, old->sid, true);
        for (uint64_t tag = 2; tag < 5; tag++)
                host_submit(old, tag, make_sequential("/q/x"), 0, 0);
        network_run(n, 4000);
        host_expect(old, "");
        g_assert_true(network_leader(n) && network_leader(n) != old);
        network_isolate(n, old->sid, false);
        network_settle(n);
        network_run(n, 500);
        host_submit(old, 5, list("/q"), 0, MEMBER_LINEARIZABLE);
        network_pump(n);
        host_expect(old, "2:Ok 3:Ok 4:Ok 5:Ok=3 ");
}

/* A cut that breaks no connection, and does not heal in time: each call ends, and says what is known. */
static void test_fate_in_silence(void) {
        for (unsigned leads = 0; leads < 2; leads++) {
                g_autoptr(Network) n = network_new(3, 3);
                Host *leader = network_settle(n), *h = leads ? leader : network_follower(n), *other;

                host_submit(h, 1, make("/a", "1"), 0, 0);
                network_pump(n);
                host_expect(h, "1:Ok ");
                n->silent[h->sid] = true;
                host_submit(h, 2, set("/a", "2"), 0, 0);                /* into the silence, or at once into the log */
                host_submit(h, 3, get("/a"), 0, MEMBER_LINEARIZABLE);
                network_run(n, 8000);
                host_expect(h, "");
                host_submit(h, 4, set("/a", "4"), 0, 0);                /* by now it knows */
                host_submit(h, 5, get("/a"), 0, 0);
                network_run(n, 11500);
                host_expect(h, "");
                network_run(n, 2000);
                host_expect(h, "2:FateUnknown 3:NotReady ");
                network_run(n, 8000);
                host_expect(h, "4:NotReady 5:NotReady ");

                /* The others go on, and what was given up is not tried again. */
                other = network_leader(n);
                g_assert_true(other && other != h);
                n->silent[h->sid] = false;
                network_run(n, 5000);
                host_expect(h, "");
                host_submit(h, 6, get("/a"), 0, MEMBER_LINEARIZABLE);
                host_submit(h, 7, set("/a", "7"), 0, 0);
                network_run(n, 200);
                host_expect(h, "6:Ok=1 7:Ok ");
        }
}

/* Reads that pass no update, and share the leader's rounds. */
static void test_reads_share_rounds(void) {
        g_autoptr(Network) n = network_new(3, 3);
        Host *f;

        network_settle(n);
        f = network_follower(n);
        host_submit(f, 1, make("/a", "1"), 0, 0);
        network_pump(n);
        host_expect(f, "1:Ok ");

        /* One round trip, for all of them: the leader's question to a quorum goes between. */
        for (uint64_t tag = 2; tag < 6; tag++)
                host_submit(f, tag, get("/a"), 0, MEMBER_LINEARIZABLE);
        g_assert_cmpuint(g_queue_get_length(&n->messages), ==, 4);
        host_submit(f, 6, get("/a"), 0, 0);
        host_submit(f, 7, set("/a", "2"), 0, 0);
        host_submit(f, 8, get("/a"), 0, MEMBER_LINEARIZABLE);
        host_submit(f, 9, get("/a"), 0, 0);
        g_assert_cmpuint(g_queue_get_length(&n->messages), ==, 4);      /* the update waits for the reads before it */
        host_expect(f, "");
        network_pump(n);
        network_run(n, 100);
        host_expect(f, "2:Ok=1 3:Ok=1 4:Ok=1 5:Ok=1 6:Ok=1 7:Ok 8:Ok=2 9:Ok=2 ");

        /* And begin again together where the leader went meanwhile. */
        for (uint64_t tag = 10; tag < 13; tag++)
                host_submit(f, tag, get("/a"), 0, MEMBER_LINEARIZABLE);
        host_kill(network_leader(n));
        host_expect(f, "");
        network_settle(n);
        network_run(n, 500);
        host_expect(f, "10:Ok=2 11:Ok=2 12:Ok=2 ");
}

/* An answer that was lost together with the entries: the one case in which a caller must look. */
static void test_fate_lost_in_snapshot(void) {
        g_autoptr(Network) n = network_new(3, 3);
        Host *leader = network_settle(n), *f = network_follower(n);
        uint64_t session = open_session(n, f, 30000, true);
        Request r = make("/s", "1");

        host_submit(f, 1, make("/a", "1"), 0, 0);
        host_submit(f, 2, get("/a"), 5, 0);
        network_pump(n);
        host_expect(f, "1:Ok 2:Ok=1 ");
        g_assert_cmpint(member_watch(f->client, 6, "/", WATCH_PERSISTENT_RECURSIVE, 0, SUPER, 0), ==, CONVENE_OK);
        g_assert_cmpint(member_watch(f->client, 7, "/a", WATCH_PERSISTENT, 0, SUPER, 0), ==, CONVENE_OK);

        f->disk_stalled = true;
        r.session = session;
        host_submit(f, 3, r, 0, 0);
        host_submit(f, 4, set("/a", "2"), 0, 0);
        network_pump(n);
        network_isolate(n, f->sid, true);
        r.path = "/t";
        host_submit(f, 5, r, 0, 0);             /* sent nowhere */
        leader = network_leader(n);
        g_assert_true(has(leader, "/s"));
        for (unsigned i = 0; i < 10; i++)
                host_submit(leader, 100, set("/a", "9"), 0, 0);
        network_pump(n);
        for (uint32_t sid = 1; sid <= 3; sid++)
                if (sid != f->sid)
                        host_drop_log(&n->hosts[sid]);
        g_queue_clear_full(&f->jobs, g_free);   /* and loses what it had not written */
        host_expect(f, "");
        f->disk_stalled = false;
        network_isolate(n, f->sid, false);
        network_settle(n);
        network_run(n, 500);
        g_assert_cmpuint(f->snapshots, ==, 1);
        host_expect(f, "w5:data(/a)! w6:lost(/) w7:data(/a) w7:lost(/a) 3:FateUnknown 4:FateUnknown w6:created(/t) 5:Ok ");
        g_assert_cmpint(member_watch(f->client, 8, "/", WATCH_PERSISTENT_RECURSIVE, 0, SUPER, session), ==,
                        CONVENE_HISTORY_GONE);
        host_submit(f, 6, set("/a", "10"), 0, 0);
        network_pump(n);
        host_expect(f, "w6:data(/a) w7:data(/a) 6:Ok ");
}

static void forward(Network *n, Host *from, Request r, uint64_t number) {
        g_auto(Writer) w = WRITER_INIT;
        g_autoptr(GBytes) payload = NULL;
        Host *leader = network_leader(n);
        ZabPeerState peer;
        MemberStatus s;

        g_assert_true(member_get_peer(leader->member, from->sid, &peer));
        member_get_status(leader->member, &s);
        r.number = number;
        request_encode(&r, &w);
        payload = writer_to_bytes(&w);
        network_inject(n, from->sid, leader->sid, &(MemberMessage) {
                .type = MEMBER_MESSAGE_FORWARD, .epoch = s.epoch, .session = peer.session, .number = number,
                .payload = payload,
        });
        network_pump(n);
}

static void expect_refused(Network *n, Host *from, Request r) {
        Zxid before = zxid_of(network_leader(n));
        uint64_t closes = network_leader(n)->closes;

        r.origin = r.origin ?: from->sid;
        forward(n, from, r, 1);
        g_assert_cmpuint(zxid_of(network_leader(n)), ==, before);
        g_assert_cmpuint(network_leader(n)->closes, ==, closes);
}

static void expect_cut_off(Network *n, Host *from, Request r) {
        Host *leader = network_settle(n);
        Zxid before = zxid_of(leader);
        uint64_t closes = leader->closes;

        forward(n, from, r, 1);
        g_assert_cmpuint(zxid_of(leader), ==, before);
        g_assert_cmpuint(leader->closes, ==, closes + 1);
        network_run(n, 500);
        network_settle(n);
}

/* A host speaks for itself alone, and an observer is no administrator. */
static void test_forward_is_judged(void) {
        static const Identity mine[] = { { "unix", "0@h4" }, { "unit", "x.service@h4" }, { "host", "h4" },
                                         { "ip", "192.0.2.4" } };
        static const Identity users[][1] = { { { "digest", "u:qOePOwLJ5QmcGpRLG2BvBKBLVwA=" } }, { { "x509", "CN=u" } } };
        static const Identity others[][1] = { { { "unix", "0@h1" } }, { { "unit", "x.service@h1" } }, { { "host", "h1" } },
                                              { { "unix", "0@*" } } };
        g_autoptr(Network) n = network_new(4, 3);
        Host *leader = network_settle(n), *o = &n->hosts[4], *f = network_follower(n);
        Request ok = make("/a", "1"), r;
        uint64_t session;

        host_submit(leader, 1, make("/a", "1"), 0, 0);
        host_submit(leader, 2, (Request) { .op = REQUEST_SET_ACL, .path = "/", .acl = { open_acl, 1 },
                                           .version = VERSION_ANY }, 0, 0);
        network_pump(n);
        host_expect(leader, "1:Ok 2:Ok ");

        ok.path = "/b";
        ok.caller = (Identities) { mine, G_N_ELEMENTS(mine) };
        ok.origin = o->sid;
        forward(n, o, ok, 1);
        g_assert_true(has(leader, "/b"));

        for (unsigned i = 0; i < G_N_ELEMENTS(others); i++) {
                r = make("/c", "");
                r.caller = (Identities) { others[i], 1 };
                expect_refused(n, o, r);
                r = (Request) { .op = REQUEST_OPEN_SESSION, .timeout_msec = 5000, .owner = "", .member = o->sid,
                                .identities = { others[i], 1 } };
                expect_refused(n, o, r);
        }
        r = make("/c", "");
        r.caller = SUPER;
        expect_refused(n, o, r);
        r.origin = f->sid;                      /* a voter's root is trusted with the tree */
        forward(n, f, r, 1);
        g_assert_true(has(leader, "/c"));

        /* Who knows the password is for a voter's agent to say: the hash of it is in ACLs, for every observer's root to read. */
        forward(n, o, (Request) { .op = REQUEST_OPEN_SESSION, .timeout_msec = 5000, .owner = "", .member = o->sid, .origin = o->sid }, 2);
        session = zxid_of(leader);
        g_assert_true(tree_get_session(member_get_tree(leader->member), session, &(SessionInfo) { 0 }));
        for (unsigned i = 0; i < G_N_ELEMENTS(users); i++) {
                r = make("/e", "");
                r.caller = (Identities) { users[i], 1 };
                expect_refused(n, o, r);
                expect_refused(n, o, (Request) { .op = REQUEST_AUTH_SESSION, .target = session, .identities = { users[i], 1 } });
                expect_refused(n, o, (Request) { .op = REQUEST_OPEN_SESSION, .timeout_msec = 5000, .owner = "", .member = o->sid,
                                                 .identities = { users[i], 1 } });
                r.path = i == 0 ? "/e" : "/f";
                r.origin = f->sid;
                forward(n, f, r, 2 + i);
                g_assert_true(has(leader, r.path));
        }

        session = open_session(n, f, 5000, true);
        expect_refused(n, o, (Request) { .op = REQUEST_CLOSE_SESSION, .target = session });
        expect_refused(n, o, (Request) { .op = REQUEST_AUTH_SESSION, .target = session, .identities = { mine, 1 } });
        expect_refused(n, o, (Request) { .op = REQUEST_CHECK, .path = "/a" });
        r = make("/d", "");
        r.session = session;
        r.origin = o->sid;
        forward(n, o, r, 1);                    /* an entry, for only the tree knows for sure whose the session is */
        g_assert_false(has(leader, "/d"));

        expect_cut_off(n, o, (Request) { .op = REQUEST_REAP, .path = "/a", .czxid = 1, .origin = o->sid });
        expect_cut_off(n, o, (Request) { .op = REQUEST_GET_DATA, .path = "/a", .origin = o->sid });
        r = make("/c", "");
        r.origin = f->sid;
        expect_cut_off(n, o, r);
        expect_cut_off(n, o, (Request) { .op = REQUEST_OPEN_SESSION, .timeout_msec = 5000, .owner = "", .member = f->sid,
                                         .origin = o->sid });
        expect_cut_off(n, o, (Request) { .op = REQUEST_CLOSE_SESSION, .target = session, .expired = true,
                                         .origin = o->sid });
        g_assert_cmpuint(tree_sessions_count(member_get_tree(network_settle(n)->member)), ==, 2);
}

static void change(Network *n, Host *h, uint64_t tag, MemberChangeOp op, ZabConfigMember member, Zxid base) {
        MemberChange c = { op, member };

        member_change(h->client, tag, &c, base);
        network_run(n, 300);
}

static void expect_role(Host *h, uint32_t sid, ZabMemberRole role) {
        MemberStatus s;
        const ZabConfigMember *m;

        member_get_status(h->member, &s);
        m = zab_config_find(s.config, sid);
        g_assert_cmpint(m ? m->role : 0, ==, role);
}

static void test_changes(void) {
        g_autoptr(Network) n = network_new(4, 3);
        Host *leader = network_settle(n), *f = network_follower(n), *o = &n->hosts[4];
        static const uint8_t pins[64] = { [0] = 1, [32] = 2 }, others[64] = { [0] = 3, [32] = 4 };
        MemberStatus s;

        change(n, f, 1, MEMBER_CHANGE_PROMOTE, (ZabConfigMember) { .name = "h4" }, 0);
        host_expect(f, "1:Ok ");
        expect_role(f, 4, ZAB_MEMBER_VOTER);
        change(n, f, 2, MEMBER_CHANGE_PROMOTE, (ZabConfigMember) { .sid = 4 }, 0);
        change(n, f, 3, MEMBER_CHANGE_REMOVE, (ZabConfigMember) { .name = "nobody" }, 0);
        change(n, f, 4, MEMBER_CHANGE_DEMOTE, (ZabConfigMember) { .sid = 4 }, 1);
        host_expect(f, "2:BadArguments 3:BadArguments 4:BadVersion ");
        member_get_status(f->member, &s);
        change(n, leader, 5, MEMBER_CHANGE_DEMOTE, (ZabConfigMember) { .sid = 4 }, s.config->version);
        host_expect(leader, "5:Ok ");
        expect_role(o, 4, ZAB_MEMBER_OBSERVER);

        /* An observer decides about its own key alone. */
        change(n, o, 6, MEMBER_CHANGE_PROMOTE, (ZabConfigMember) { .sid = 4 }, 0);
        change(n, o, 7, MEMBER_CHANGE_UPDATE, (ZabConfigMember) { .sid = 4, .pin = pins, .pin_size = 64 }, 0);
        host_expect(o, "6:NoAuth 7:Ok ");

        /* Nor does it take another's key or name. */
        change(n, f, 61, MEMBER_CHANGE_UPDATE, (ZabConfigMember) { .sid = 1, .pin = others, .pin_size = 32 }, 0);
        change(n, o, 62, MEMBER_CHANGE_UPDATE, (ZabConfigMember) { .sid = 4, .pin = others, .pin_size = 64 }, 0);
        change(n, o, 63, MEMBER_CHANGE_UPDATE, (ZabConfigMember) { .sid = 4, .pin = pins, .pin_size = 31 }, 0);
        change(n, o, 64, MEMBER_CHANGE_UPDATE, (ZabConfigMember) { .sid = 4, .name = "h9" }, 0);
        host_expect(f, "61:Ok ");
        host_expect(o, "62:BadArguments 63:BadArguments 64:NoAuth ");

        change(n, f, 8, MEMBER_CHANGE_ADD, (ZabConfigMember) { .name = "h5", .address = "h5:1" }, 0);
        change(n, f, 9, MEMBER_CHANGE_ADD, (ZabConfigMember) { .name = "h5" }, 0);
        change(n, f, 10, MEMBER_CHANGE_PROMOTE, (ZabConfigMember) { .sid = 5 }, 0);    /* not there */
        change(n, f, 11, MEMBER_CHANGE_REMOVE, (ZabConfigMember) { .sid = 5 }, 0);
        change(n, f, 12, MEMBER_CHANGE_TRANSFER, (ZabConfigMember) { .sid = 4 }, 0);
        host_expect(f, "8:Ok 9:BadArguments 10:NewConfigNoQuorum 11:Ok 12:BadArguments ");

        /* In order with the client's requests. */
        host_submit(f, 13, make("/a", "1"), 0, 0);
        change(n, f, 14, MEMBER_CHANGE_TRANSFER, (ZabConfigMember) { .sid = f->sid }, 0);
        host_submit(f, 15, get("/a"), 0, MEMBER_LINEARIZABLE);
        network_settle(n);
        network_run(n, 200);
        host_expect(f, "13:Ok 14:Ok 15:Ok=1 ");
        g_assert_true(network_leader(n) == f);
        host_expect(leader, "");
        expect_role(o, 5, 0);

        /* Whether the others can do without it is not for one that has removed itself to say. */
        change(n, o, 16, MEMBER_CHANGE_REMOVE, (ZabConfigMember) { .sid = 4 }, 0);
        change(n, leader, 17, MEMBER_CHANGE_REMOVE, (ZabConfigMember) { .sid = leader->sid }, 0);
        host_expect(o, "16:NoAuth ");
        host_expect(leader, "17:NotReady ");
        expect_role(f, leader->sid, 0);
}

/* While leadership is handed over nothing is proposed; nobody's requests are lost or disordered. */
static void test_transfer_under_load(void) {
        g_autoptr(Network) n = network_new(3, 3);
        Host *old = network_settle(n), *f = network_follower(n), *third;
        MemberChange c = { .op = MEMBER_CHANGE_TRANSFER, .member = { .sid = f->sid } };
        g_autoptr(GString) expected = g_string_new(NULL);

        third = &n->hosts[6 - old->sid - f->sid];
        for (uint64_t tag = 1; tag < 100; tag++) {
                for (uint32_t sid = 1; sid <= 3; sid++)
                        host_submit(&n->hosts[sid], tag, tag == 1 && sid == 1 ? make("/q", "") : make_sequential("/x"), 0, 0);
                g_string_append_printf(expected, "%" PRIu64 ":Ok ", tag);
                if (tag == 50)
                        member_change(third->client, 1000, &c, 0);
                network_run(n, 10);
        }
        network_run(n, 3000);
        g_assert_true(network_leader(n) == f);
        for (uint32_t sid = 1; sid <= 3; sid++) {
                Host *h = &n->hosts[sid];

                if (h != third)
                        host_expect(h, expected->str);
        }
        g_assert_nonnull(strstr(third->trace->str, "50:Ok 1000:Ok 51:Ok"));
        g_assert_nonnull(strstr(third->trace->str, "99:Ok"));
        host_submit(f, 1, list("/"), 0, MEMBER_LINEARIZABLE);
        network_pump(n);
        g_string_truncate(f->trace, 0);
        g_assert_true(has(f, "/x0000000297") && !has(f, "/x0000000298"));
}

/* What one host's client asked for, in order, and what it was told. */
static void check_history(Host *h, uint64_t asked) {
        g_auto(GStrv) words = g_strsplit(h->trace->str, " ", -1);
        uint64_t tag = 0, done = 0, unsure = 0;
        Request r = list("/q");
        Result result;
        uint64_t children = 0;
        g_autofree char *prefix = g_strdup_printf("h%u-", h->sid);

        for (unsigned i = 0; *words[i]; i++) {
                g_assert_cmpuint(g_ascii_strtoull(words[i], NULL, 10), ==, ++tag);
                done += g_str_has_suffix(words[i], ":Ok");
                unsure += g_str_has_suffix(words[i], ":FateUnknown");
        }
        g_assert_cmpuint(tag, ==, asked);

        r.caller = SUPER;
        tree_read(member_tree(h->member), &r, &result);
        for (uint32_t i = 0; i < result.items_count; i++)
                children += g_str_has_prefix(result.items[i].path, prefix);
        g_assert_cmpuint(children, >=, done);
        g_assert_cmpuint(children, <=, done + unsure);
}

static void ask(Host *h, uint64_t tag, uint64_t session, bool with_session) {
        g_autofree char *path = g_strdup_printf("/q/h%u-", h->sid);
        Request r = make_sequential(path);

        r.session = with_session ? session : 0;
        host_submit(h, tag, r, 0, 0);
}

/* Links that come and go, disks that stand still, logs that are cut: each update once, in order, and answered. */
static void run_random(uint64_t seed) {
        g_autoptr(Network) n = network_new(3, 3);
        Prng p = { seed };
        uint64_t sessions[4], asked[4] = { 0 };

        host_submit(network_settle(n), 1, make("/q", ""), 0, 0);
        network_run(n, 100);
        for (uint32_t sid = 1; sid <= 3; sid++) {
                g_string_truncate(n->hosts[sid].trace, 0);
                sessions[sid] = open_session(n, &n->hosts[sid], 3600000, false);
        }

        for (unsigned i = 0; i < 400; i++) {
                uint32_t sid = 1 + prng_below(&p, 3);
                Host *h = &n->hosts[sid];

                switch (prng_below(&p, 12)) {

                case 0:
                        network_isolate(n, sid, true);
                        break;

                case 1:
                case 2:
                        network_isolate(n, sid, false);
                        break;

                case 3:
                        h->disk_stalled = prng_below(&p, 2);
                        break;

                case 4:
                        if (prng_below(&p, 4) == 0 && h->jobs.length == 0)
                                host_drop_log(h);
                        break;

                default:
                        for (uint64_t more = 1 + prng_below(&p, 4); more > 0; more--)
                                if (prng_below(&p, 4) == 0)
                                        host_submit(h, ++asked[sid], get("/q"), 0, prng_below(&p, 2) ? MEMBER_LINEARIZABLE : 0);
                                else
                                        ask(h, ++asked[sid], sessions[sid], prng_below(&p, 2));
                }
                network_run(n, prng_below(&p, 8) * 30);
        }

        for (uint32_t sid = 1; sid <= 3; sid++) {
                network_isolate(n, sid, false);
                n->hosts[sid].disk_stalled = false;
        }
        network_settle(n);
        network_run(n, 2000);
        for (uint32_t sid = 1; sid <= 3; sid++)
                check_history(&n->hosts[sid], asked[sid]);
}

static void test_random(void) {
        for (uint64_t seed = 1; seed <= 60; seed++)
                run_random(seed);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/member-ensemble/through-follower", test_through_follower);
        g_test_add_func("/member-ensemble/cut-off", test_cut_off);
        g_test_add_func("/member-ensemble/ahead-of-member", test_ahead_of_member);
        g_test_add_func("/member-ensemble/refused-proposal", test_refused_proposal);
        g_test_add_func("/member-ensemble/fate", test_fate);
        g_test_add_func("/member-ensemble/much-at-once", test_much_at_once);
        g_test_add_func("/member-ensemble/leader-cannot-write", test_leader_cannot_write);
        g_test_add_func("/member-ensemble/fate-of-deposed", test_fate_of_deposed);
        g_test_add_func("/member-ensemble/fate-in-silence", test_fate_in_silence);
        g_test_add_func("/member-ensemble/reads-share-rounds", test_reads_share_rounds);
        g_test_add_func("/member-ensemble/fate-lost-in-snapshot", test_fate_lost_in_snapshot);
        g_test_add_func("/member-ensemble/forward-is-judged", test_forward_is_judged);
        g_test_add_func("/member-ensemble/changes", test_changes);
        g_test_add_func("/member-ensemble/transfer-under-load", test_transfer_under_load);
        g_test_add_func("/member-ensemble/random", test_random);
        return g_test_run();
}
