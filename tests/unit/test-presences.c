/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Presences: what fails is tried again, and said once.  A real member whose disk is at once done; systemd and the bus
 * front are made here.
 */

#include <string.h>

#include <glib/gstdio.h>

#include "agent/main/presences.h"

#define RETRY_USEC 1000
#define UNIT "web.service"
#define WAIT_USEC (UINT64_C(30) * 1000 * 1000)

typedef struct Harness {
        sd_event *event;
        Member *member;
        MemberClient *client;
        uint64_t append_seq, meta_seq;
        ZabMeta meta;
        char *directory, *file;
        const char *directories[2];
        Presences *presences;

        ConveneStatus refuse;           /* the next session is, with this */
        unsigned asked;                 /* for a session */
        uint64_t session;
        void (*opened)(void *userdata, ConveneStatus status, uint64_t session);
        void *opened_userdata;

        ConveneStatus status;           /* of the last answer to the test's own client */
        unsigned answers;
        uint64_t ephemeral_owner;
        char *error;                    /* what presences_foreach() tells; owned */
        unsigned holdings;
} Harness;

static Harness *harness;
static const Identity super[] = { { "super", "" } };
static const Identity unit_identities[] = { { "unit", UNIT "@h1" }, { "super", "convened" } };
static const AclEntry open_acl[] = { { PERMISSION_ALL, { "world", "anyone" } } };

/*
 * systemd: one run, that goes on
 */

static void (*started)(void *userdata, const UnitFacts *facts);

void units_set_started(Units *u, bool (*wanted)(void *userdata, const char *unit),
                       void (*on_started)(void *userdata, const UnitFacts *facts), void *userdata) {
        UnitFacts facts = { .unit = UNIT, .invocation = SD_ID128_MAKE(1,2,3,4,5,6,7,8,9,a,b,c,d,e,f,0), .active_state = "active" };

        started = on_started;
        if (started && wanted(userdata, facts.unit))
                started(userdata, &facts);
}

UnitRun *units_watch_run(Units *u, const char *unit, sd_id128_t invocation, void (*ended)(void *userdata, const char *why),
                         void *userdata) {
        return NULL;
}

UnitRun *unit_run_free(UnitRun *r) {
        return NULL;
}

/*
 * The bus front
 */

#define TAG_SESSION 1
#define TAG_OWN 2

void server_open_unit_session(Server *s, const UnitFacts *run, uint32_t timeout_msec,
                              void (*opened)(void *userdata, ConveneStatus status, uint64_t session), void *userdata) {
        Harness *h = harness;

        h->asked++;
        if (h->refuse != CONVENE_OK) {
                ConveneStatus status = h->refuse;

                h->refuse = CONVENE_OK;
                opened(userdata, status, 0);
                return;
        }
        h->opened = opened;
        h->opened_userdata = userdata;
        member_submit(h->client, TAG_SESSION, &(Request) {
                .op = REQUEST_OPEN_SESSION,
                .timeout_msec = timeout_msec,
                .owner_kind = OWNER_UNIT,
                .owner = UNIT " 0102030405060708090a0b0c0d0e0f00",
                .member = 1,
                .identities = { unit_identities, 2 },
                .caller = { super, 1 },
        }, 0, 0);
}

void server_close_unit_session(Server *s, uint64_t session) {
        g_assert_not_reached();
}

/*
 * The member
 */

static void on_append(void *userdata, uint64_t io_seq, const ZabEntry *e, unsigned count) {
        ((Harness *) userdata)->append_seq = io_seq;
}

static void on_write_meta(void *userdata, uint64_t io_seq, const ZabMeta *meta) {
        ((Harness *) userdata)->meta_seq = io_seq;
}

static void on_role(void *userdata, ZabRole role, uint32_t epoch, const char *reason) {
}

static void on_session_ended(void *userdata, uint64_t session, bool expired) {
}

static void on_soft_quota(void *userdata, const char *path) {
}

static void get_time(void *userdata, uint64_t *ret_now_usec, int64_t *ret_wall_msec) {
        *ret_now_usec = 1000000;
        *ret_wall_msec = 5000;
}

static void on_reply(void *userdata, uint64_t tag, const Result *r) {
        Harness *h = userdata;

        if (tag == TAG_SESSION) {
                g_assert_cmpint(r->status, ==, CONVENE_OK);
                h->session = r->session;
                h->opened(h->opened_userdata, r->status, r->session);
                return;
        }
        h->answers++;
        h->status = r->status;
        h->ephemeral_owner = r->status == CONVENE_OK ? r->stat.ephemeral_owner : 0;
}

static void on_event(void *userdata, uint64_t watch, WatchEventType type, const char *path, Zxid zxid, bool spent) {
}

static const MemberFront front = { .reply = on_reply, .event = on_event };

static void complete_io(Harness *h) {
        uint64_t append_seq, meta_seq;

        do {
                append_seq = h->append_seq;
                meta_seq = h->meta_seq;
                if (append_seq > 0)
                        member_on_appended(h->member, append_seq);
                if (meta_seq > 0)
                        member_on_meta_written(h->member, meta_seq);
        } while (h->append_seq != append_seq || h->meta_seq != meta_seq);
}

static void harness_init(Harness *h, const char *declaration) {
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

        *h = (Harness) { .meta.membership = ZAB_MEMBERSHIP_MEMBER };
        harness = h;
        g_assert_cmpint(sd_event_new(&h->event), >=, 0);
        h->member = member_new(&options, &driver);
        g_assert_cmpint(member_take_tree(h->member, tree_new(member_tree_listener(h->member)), &(ZabPosition) { 0 }, NULL),
                        ==, 0);
        h->client = member_client_new(h->member, &front, h);
        member_start(h->member, &h->meta);
        complete_io(h);

        h->directory = g_dir_make_tmp("convene-presences-XXXXXX", NULL);
        h->file = g_build_filename(h->directory, "web.conf", NULL);
        g_assert_true(g_file_set_contents(h->file, declaration, -1, NULL));
        h->directories[0] = h->directory;
        h->presences = presences_new(h->event, h->member, NULL, NULL, &(PresencesOptions) {
                .directories = h->directories,
                .retry_usec = RETRY_USEC,
        });
        presences_load(h->presences);
        g_assert_cmpuint(presences_problems(h->presences)->len, ==, 0);
}

static void harness_done(Harness *h) {
        presences_free(h->presences);
        member_client_free(h->client);
        member_free(h->member);
        sd_event_unref(h->event);
        g_assert_cmpint(g_unlink(h->file), ==, 0);
        g_assert_cmpint(g_rmdir(h->directory), ==, 0);
        g_free(h->file);
        g_free(h->directory);
        g_free(h->error);
        harness = NULL;
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Harness, harness_done)

static void submit(Harness *h, Request r) {
        unsigned answers = h->answers;

        r.caller = (Identities) { super, 1 };
        member_submit(h->client, TAG_OWN, &r, 0, 0);
        complete_io(h);
        g_assert_cmpuint(h->answers, ==, answers + 1);
}

static void note_presence(void *sink, const char *unit, const char *invocation, const char *path, uint64_t session,
                          const char *error) {
        Harness *h = sink;

        g_assert_cmpstr(unit, ==, UNIT);
        g_free(h->error);
        h->error = g_strdup(error);
        h->holdings++;
}

/* What is said of the one presence there is. */
static const char *error_of(Harness *h) {
        h->holdings = 0;
        presences_foreach(h->presences, note_presence, h);
        g_assert_cmpuint(h->holdings, ==, 1);
        return h->error;
}

static bool is_present(Harness *h, const char *path) {
        submit(h, (Request) { .op = REQUEST_EXISTS, .path = path });
        return h->status == CONVENE_OK;
}

/* One turn of the loop; the timer of the retry is among what it waits for. */
static void turn(Harness *h) {
        g_assert_cmpint(sd_event_run(h->event, WAIT_USEC), >, 0);
        complete_io(h);
}

static void run_until_failed(Harness *h) {
        while (*error_of(h) == '\0')
                turn(h);
}

static void run_until_present(Harness *h, const char *path) {
        while (!is_present(h, path))
                turn(h);
        g_assert_cmpuint(h->ephemeral_owner, ==, h->session);
        while (*error_of(h) != '\0')
                turn(h);
}

/* A parent that is not there yet: the declaration comes true as soon as it is, with nobody's telling. */
static void test_parent_comes(void) {
        g_auto(Harness) h = { 0 };

        harness_init(&h, "[Presence]\nUnit=" UNIT "\nPath=/services/web\nData=hello\nCreateParents=no\n");
        run_until_failed(&h);
        g_assert_nonnull(strstr(h.error, "the parent does not exist"));
        g_assert_false(is_present(&h, "/services/web"));

        /* It goes on failing, in the one session, as often as it is tried. */
        for (unsigned i = 0; i < 5; i++)
                turn(&h);
        g_assert_nonnull(strstr(error_of(&h), "the parent does not exist"));
        g_assert_cmpuint(h.asked, ==, 1);

        submit(&h, (Request) { .op = REQUEST_CREATE, .path = "/services", .acl = { open_acl, 1 } });
        g_assert_cmpint(h.status, ==, CONVENE_OK);
        run_until_present(&h, "/services/web");
        g_assert_cmpuint(h.asked, ==, 1);
}

/* A session that cannot be had for now. */
static void test_session_refused(void) {
        g_auto(Harness) h = { 0 };

        harness_init(&h, "[Presence]\nUnit=" UNIT "\nPath=/services/web\n");
        h.refuse = CONVENE_NO_SPACE;
        run_until_failed(&h);
        g_assert_cmpuint(h.asked, ==, 1);
        g_assert_cmpstr(h.error, ==, convene_status_describe(CONVENE_NO_SPACE));
        run_until_present(&h, "/services/web");
        g_assert_cmpuint(h.asked, ==, 2);
}

/* The disk fills up and has room again. */
static void test_no_space(void) {
        g_auto(Harness) h = { 0 };

        harness_init(&h, "[Presence]\nUnit=" UNIT "\nPath=/web\n");
        while (h.session == 0)
                turn(&h);
        while (!is_present(&h, "/web"))
                turn(&h);
        submit(&h, (Request) { .op = REQUEST_DELETE, .path = "/web", .version = VERSION_ANY });
        member_on_space(h.member, false);
        run_until_failed(&h);
        g_assert_cmpstr(h.error, ==, convene_status_describe(CONVENE_NO_SPACE));
        member_on_space(h.member, true);
        run_until_present(&h, "/web");
        g_assert_cmpuint(h.asked, ==, 1);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/presences/retry/parent-comes", test_parent_comes);
        g_test_add_func("/presences/retry/session-refused", test_session_refused);
        g_test_add_func("/presences/retry/no-space", test_no_space);

        return g_test_run();
}
