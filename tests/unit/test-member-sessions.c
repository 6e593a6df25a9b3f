/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Sessions of an ensemble: who answers for which, and when their time is over
 */

#include "tests/unit/member-requests.h"

static void make_ephemeral(Network *n, Host *h, uint64_t session, const char *path) {
        Request r = make(path, "");

        r.session = session;
        r.mode = CREATE_EPHEMERAL;
        host_submit(h, 91, r, 0, 0);
        network_pump(n);
        host_expect(h, "91:Ok ");
}

/* The leader's own disk lags, so that it does not know of a re-attach that is in the log: the expiry it orders by what it knows
 * does not end the session. */
static void test_expiry_of_lagging_leader(void) {
        g_autoptr(Network) n = network_new(3, 3);
        Host *leader = network_settle(n), *f = network_follower(n);
        uint64_t session = open_session(n, leader, 2000, false);

        make_ephemeral(n, leader, session, "/e");
        leader->disk_stalled = true;
        network_run(n, 1900);
        host_submit(f, 1, (Request) { .op = REQUEST_ATTACH_SESSION, .target = session, .timeout_msec = 2000,
                                      .member = f->sid }, 0, 0);
        network_run(n, 20);
        host_expect(f, "1:Ok ");
        g_assert_true(network_leader(n) == leader);
        network_run(n, 400);
        leader->disk_stalled = false;
        network_run(n, 100);
        g_assert_true(has(leader, "/e") && has(f, "/e"));
        host_expect(f, "");
        network_run(n, 3000);
        g_assert_false(has(f, "/e"));
}

/* An observer is no administrator, but an administrator can give its host a place in the tree. */
static void test_host_of_observer(void) {
        static const Identity host[] = { { "host", "h4" } };
        static const Identity unit[] = { { "unit", "x.service@h4" }, { "host", "h4" } };
        static const AclEntry place[] = { { PERMISSION_CREATE | PERMISSION_DELETE | PERMISSION_READ, { "host", "h4" } } };
        g_autoptr(Network) n = network_new(4, 3);
        Host *leader = network_settle(n), *o = &n->hosts[4];
        Request r = make("/hosts", "");
        uint64_t session;

        r.acl = (AclEntries) { place, 1 };
        host_submit(leader, 1, r, 0, 0);
        network_run(n, 100);
        host_expect(leader, "1:Ok ");

        host_submit(o, 2, make("/hosts/a", ""), 0, 0);          /* super */
        r = make("/hosts/h4", "");
        r.caller = (Identities) { host, 1 };
        r.acl = (AclEntries) { place, 1 };
        host_submit(o, 3, r, 0, 0);
        host_submit(o, 4, (Request) { .op = REQUEST_OPEN_SESSION, .timeout_msec = 5000, .owner = "x.service", .member = 4,
                                      .identities = { unit, 2 }, .caller = { host, 1 } }, 0, 0);
        network_run(n, 100);
        host_expect(o, "2:AuthFailed 3:Ok 4:Ok ");
        session = zxid_of(o);
        r = make("/hosts/h4/x", "");
        r.mode = CREATE_EPHEMERAL;
        r.session = session;
        host_submit(o, 5, r, 0, 0);
        network_run(n, 100);
        host_expect(o, "5:Ok ");
        g_assert_true(has(leader, "/hosts/h4/x"));
}

/* Time passes in which the observer reads what another has just written, and is promised its session all along. */
static void live_on(Network *n, Host *o, uint64_t session, const char *word) {
        g_autofree char *expected = g_strdup_printf("2:Ok=%s ", word);

        host_submit(network_leader(n), 1, set("/open", word), 0, 0);
        network_run(n, 100);
        host_expect(network_leader(n), "1:Ok ");
        host_submit(o, 2, get("/open"), 0, MEMBER_LINEARIZABLE);
        for (unsigned i = 0; i < 16; i++) {
                network_run(n, 250);
                g_assert_cmpuint(member_session_deadline(o->member, session), >, n->now_usec);
        }
        host_expect(o, expected);
        g_assert_true(has(network_leader(n), "/open/e") && has(o, "/open/e"));
}

static uint32_t parent_of(Host *h) {
        MemberStatus s;

        member_get_status(h->member, &s);
        return s.parent;
}

/* An observer whose entries come from a follower loses that one, and the leader, and another writes meanwhile. */
static void test_observer_of_follower(void) {
        static const Identity host[] = { { "host", "h4" } };
        g_autoptr(Network) n = network_new(4, 3);
        Host *leader = network_settle(n), *o = &n->hosts[4], *parent;
        Request r = make("/open/e", "");
        uint64_t session;

        host_submit(leader, 1, make("/open", ""), 0, 0);
        network_run(n, 1000);
        host_expect(leader, "1:Ok ");
        host_submit(o, 1, (Request) { .op = REQUEST_OPEN_SESSION, .timeout_msec = 3000, .member = 4, .owner = "test",
                                      .identities = { host, 1 } }, 0, 0);
        network_run(n, 100);
        host_expect(o, "1:Ok ");
        session = zxid_of(o);
        member_keep_session(o->member, session, true);
        r.session = session;
        r.mode = CREATE_EPHEMERAL;
        host_submit(o, 1, r, 0, 0);
        network_run(n, 100);
        host_expect(o, "1:Ok ");

        g_assert_cmpuint(parent_of(o), !=, 0);
        g_assert_cmpuint(parent_of(o), !=, leader->sid);
        live_on(n, o, session, "fed");
        parent = &n->hosts[parent_of(o)];
        host_kill(parent);
        live_on(n, o, session, "orphan");
        g_assert_cmpuint(parent_of(o), !=, 0);
        g_assert_cmpuint(parent_of(o), !=, parent->sid);
        host_start(parent);
        network_settle(n);

        parent = &n->hosts[parent_of(o)];
        n->silent[parent->sid] = true;
        live_on(n, o, session, "cut");
        n->silent[parent->sid] = false;
        network_run(n, 5000);
        network_settle(n);

        leader = network_leader(n);
        host_kill(leader);
        network_settle(n);
        live_on(n, o, session, "led");
        g_assert_cmpuint(parent_of(o), !=, 0);
        host_expect(o, "");
}

static void test_sessions_of_followers(void) {
        g_autoptr(Network) n = network_new(3, 3);
        Host *leader = network_settle(n), *f = network_follower(n);
        uint64_t kept = open_session(n, f, 2000, true), explicit = open_session(n, f, 2000, false), deadline;

        make_ephemeral(n, f, kept, "/kept");
        make_ephemeral(n, f, explicit, "/explicit");
        for (unsigned i = 0; i < 20; i++) {
                network_run(n, 500);
                member_touch_session(f->member, explicit);
                /* A promise is never longer than the timeout, and a live member's is not much shorter. */
                g_assert_cmpuint(member_session_deadline(f->member, kept), <=, n->now_usec + 1980000);
                g_assert_cmpuint(member_session_deadline(f->member, kept), >, n->now_usec + 1500000);
                g_assert_cmpuint(member_session_deadline(f->member, explicit), <=, n->now_usec + 1980000);
        }
        g_assert_true(has(f, "/kept") && has(f, "/explicit"));
        g_assert_cmpuint(member_session_deadline(leader->member, kept), ==, 0);

        deadline = member_session_deadline(f->member, explicit);
        while (has(f, "/explicit"))
                network_run(n, 10);
        g_assert_cmpuint(n->now_usec, >=, deadline);
        g_assert_cmpuint(n->now_usec, <, deadline + 1000000);
        host_expect(f, "expired ");

        /* Nobody touches a session of a member that is gone; and it gives up before that. */
        network_isolate(n, f->sid, true);
        deadline = member_session_deadline(f->member, kept);
        while (has(leader, "/kept"))
                network_run(n, 10);
        g_assert_cmpuint(n->now_usec, >=, deadline);
        g_assert_cmpuint(n->now_usec, <, deadline + 1000000);
        g_assert_cmpuint(member_session_deadline(f->member, kept), ==, deadline);
        network_isolate(n, f->sid, false);
        network_settle(n);
        network_run(n, 500);
        host_expect(f, "expired ");
}

/* A new leader knows nobody's touches: everybody has a full timeout, and keeping goes on. */
static void test_sessions_outlive_leader(void) {
        g_autoptr(Network) n = network_new(3, 3);
        Host *old = network_settle(n), *f = network_follower(n);
        uint64_t kept = open_session(n, f, 2000, true), explicit = open_session(n, f, 4000, false), started;
        uint64_t of_dead = open_session(n, old, 3000, true);

        make_ephemeral(n, f, kept, "/kept");
        make_ephemeral(n, f, explicit, "/explicit");
        make_ephemeral(n, old, of_dead, "/dead");
        network_run(n, 2500);
        host_kill(old);
        network_settle(n);
        started = n->now_usec;
        network_run(n, 2900);
        g_assert_true(has(f, "/kept") && has(f, "/explicit") && has(f, "/dead"));
        while (has(f, "/dead"))
                network_run(n, 10);
        g_assert_cmpuint(n->now_usec, <, started + 3500000);
        network_run(n, 3000);
        g_assert_true(has(f, "/kept") && !has(f, "/explicit"));
        member_keep_session(f->member, kept, false);
        network_run(n, 2500);
        g_assert_false(has(f, "/kept"));
}

/* It is back, and what it says comes through up to, not including, the list of sessions that it keeps.  A PONG of the same instant was
 * before that, if a heartbeat was due just then. */
static void promise_of_what_was_not_heard(unsigned away_msec) {
        g_autoptr(Network) n = network_new(3, 3);
        Host *leader = network_settle(n), *f = network_follower(n);
        uint64_t kept = open_session(n, f, 3000, true), promised = 0;

        make_ephemeral(n, f, kept, "/kept");
        network_run(n, 1000);
        network_isolate(n, f->sid, true);
        network_run(n, away_msec);
        n->stuck_at_keep[f->sid] = true;
        network_isolate(n, f->sid, false);
        while (has(leader, "/kept")) {
                promised = member_session_deadline(f->member, kept);
                network_run(n, 10);
        }
        g_assert_true(n->stuck[f->sid]);
        g_assert_cmpuint(promised, >, 0);
        g_assert_cmpuint(promised, <=, n->now_usec);
}

static void test_promise_of_what_was_not_heard(void) {
        for (unsigned msec = 1500; msec < 1800; msec += 10)
                promise_of_what_was_not_heard(msec);
}

/* A session that is claimed again by a member that was away meanwhile; and one that is not. */
static void test_session_not_claimed_again(void) {
        g_autoptr(Network) n = network_new(3, 3);
        Host *leader = network_settle(n), *f = network_follower(n);
        uint64_t a = open_session(n, f, 3000, true), b = open_session(n, f, 3000, true);

        make_ephemeral(n, f, a, "/a");
        make_ephemeral(n, f, b, "/b");
        network_run(n, 5000);
        network_isolate(n, f->sid, true);
        network_run(n, 500);
        member_keep_session(f->member, b, false);
        network_isolate(n, f->sid, false);
        network_settle(n);
        network_run(n, 2000);
        g_assert_true(has(leader, "/a") && has(leader, "/b"));
        network_run(n, 3000);
        g_assert_true(has(leader, "/a") && !has(leader, "/b"));
}

static void test_session_moves(void) {
        g_autoptr(Network) n = network_new(3, 3);
        Host *leader = network_settle(n), *f = network_follower(n);
        uint64_t session = open_session(n, f, 2000, true);
        Request r = make("/late", "");

        make_ephemeral(n, f, session, "/e");
        host_submit(leader, 1, (Request) { .op = REQUEST_ATTACH_SESSION, .target = session, .timeout_msec = 2000,
                                           .member = leader->sid }, 0, 0);
        network_run(n, 50);
        host_expect(leader, "1:Ok ");
        member_keep_session(leader->member, session, true);
        r.session = session;
        host_submit(f, 2, r, 0, 0);
        network_pump(n);
        host_expect(f, "2:SessionMoved ");
        g_assert_cmpuint(member_session_deadline(f->member, session), ==, 0);
        member_touch_session(f->member, session);       /* by a client that has not heard of it */
        network_run(n, 500);
        g_assert_cmpuint(member_session_deadline(f->member, session), ==, 0);
        host_kill(f);
        network_run(n, 5000);
        g_assert_true(has(leader, "/e"));
        g_assert_cmpuint(member_session_deadline(leader->member, session), >, n->now_usec + 1500000);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/member-sessions/expiry-of-lagging-leader", test_expiry_of_lagging_leader);
        g_test_add_func("/member-sessions/host-of-observer", test_host_of_observer);
        g_test_add_func("/member-sessions/observer-of-follower", test_observer_of_follower);
        g_test_add_func("/member-sessions/sessions-of-followers", test_sessions_of_followers);
        g_test_add_func("/member-sessions/sessions-outlive-leader", test_sessions_outlive_leader);
        g_test_add_func("/member-sessions/promise-of-what-was-not-heard", test_promise_of_what_was_not_heard);
        g_test_add_func("/member-sessions/session-not-claimed-again", test_session_not_claimed_again);
        g_test_add_func("/member-sessions/session-moves", test_session_moves);
        return g_test_run();
}
