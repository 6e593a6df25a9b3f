/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Recipe: leases and counters
 *
 * Leases are tried with agents whose clocks start anywhere and run as differently as is allowed, that see every change late, and whose
 * writes arrive late.  The judge alone knows the true time.
 */

#include <string.h>

#include <glib.h>

#include "agent/base/prng.h"
#include "agent/recipe/counter.h"
#include "agent/recipe/lease.h"

/*
 * Text
 */

#define X256 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
             "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
             "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
             "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void test_text(void) {
        static const struct {
                const char *text;
                uint64_t ttl_msec;
                uint32_t since;
                const char *holder;     /* NULL: it is no lease */
        } cases[] = {
                { "30000 7 web1", 30000, 7, "web1" },
                { "1 0 a b  c ", 1, 0, "a b  c " },
                { "1 4294967295 \xc3\xa4", 1, UINT32_MAX, "\xc3\xa4" },
                { "31622400000 1 x", LEASE_TTL_MAX_MSEC, 1, "x" },
                { "1 1 " X256, 1, 1, X256 },
                { "0 9 ", 0, 9, "" },

                { "", 0, 0, NULL },
                { "0 9", 0, 0, NULL },
                { "0 9 x", 0, 0, NULL },
                { "1 9 ", 0, 0, NULL },
                { "01 9 x", 0, 0, NULL },
                { "1 09 x", 0, 0, NULL },
                { " 1 9 x", 0, 0, NULL },
                { "-1 9 x", 0, 0, NULL },
                { "+1 9 x", 0, 0, NULL },
                { "1  9 x", 0, 0, NULL },
                { "1\t9 x", 0, 0, NULL },
                { "1 9 x\n", 0, 0, NULL },
                { "1 9 \x7f", 0, 0, NULL },
                { "1 9 \xff", 0, 0, NULL },
                { "1 4294967296 x", 0, 0, NULL },
                { "31622400001 1 x", 0, 0, NULL },
                { "18446744073709551617 1 x", 0, 0, NULL },
                { "1 1 x" X256, 0, 0, NULL },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autofree char *again = NULL;
                LeaseRecord r;
                bool is = lease_parse((const uint8_t *) cases[i].text, strlen(cases[i].text), &r);

                g_assert_cmpint(is, ==, cases[i].holder != NULL);
                if (!is)
                        continue;
                g_assert_cmpuint(r.ttl_msec, ==, cases[i].ttl_msec);
                g_assert_cmpuint(r.since, ==, cases[i].since);
                g_assert_cmpstr(r.holder, ==, cases[i].holder);
                again = lease_format(&r);
                g_assert_cmpstr(again, ==, cases[i].text);
        }
        g_assert_false(lease_parse((const uint8_t *) "1 1 a\0b", 7, &(LeaseRecord) { 0 }));
}

/*
 * Many agents, one lease
 */

#define AGENTS 4
#define WRITES_MAX 32

typedef struct Write {
        bool there;                     /* what must still be so */
        int32_t version;
        Zxid czxid;
        LeaseRecord record;
        int agent;                      /* who believes to hold if it succeeds; -1: nobody */
        uint64_t asked_usec, arrives_usec;      /* its clock; true time */
} Write;

typedef struct World {
        Prng prng;
        uint64_t now_usec;
        Zxid zxid;
        LeaseSight znode;               /* the truth; seen_usec of no meaning */
        LeaseSight sights[AGENTS];
        uint64_t offsets[AGENTS];
        uint64_t rates[AGENTS];         /* parts per million */
        uint64_t believes_until[AGENTS];        /* true time */
        Write writes[WRITES_MAX];
        unsigned writes_count;
        Zxid last_token;
        char last_holder[LEASE_HOLDER_BYTES + 1];
        unsigned takings, renewals, refusals;
} World;

static uint64_t clock_of(const World *w, int i) {
        return w->offsets[i] + (uint64_t) ((unsigned __int128) w->now_usec * w->rates[i] / 1000000);
}

static uint64_t true_time(const World *w, int i, uint64_t clock_usec) {
        return (uint64_t) ((unsigned __int128) (clock_usec - w->offsets[i]) * 1000000 / w->rates[i]);
}

static void world_init(World *w, uint64_t seed) {
        *w = (World) { .prng = { seed }, .zxid = 1000 };
        for (int i = 0; i < AGENTS; i++) {
                w->offsets[i] = prng_below(&w->prng, UINT64_C(1) << 40);
                w->rates[i] = 995000 + prng_below(&w->prng, 10001);
        }
}

static bool same(const LeaseSight *a, const LeaseSight *b) {
        return a->there == b->there && a->czxid == b->czxid && a->version == b->version;
}

static void see(World *w, int i) {
        uint64_t seen = w->sights[i].seen_usec;
        bool news = !same(&w->sights[i], &w->znode);

        w->sights[i] = w->znode;
        w->sights[i].seen_usec = news ? clock_of(w, i) : seen;
}

static void submit(World *w, const LeaseSight *s, const LeaseRecord *r, int agent) {
        if (w->writes_count == WRITES_MAX)
                return;
        w->writes[w->writes_count++] = (Write) {
                .there = s->there,
                .version = s->version,
                .czxid = s->czxid,
                .record = *r,
                .agent = agent,
                .asked_usec = agent >= 0 ? clock_of(w, agent) : 0,
                .arrives_usec = w->now_usec + prng_below(&w->prng, prng_below(&w->prng, 2) == 0 ? 300000 : 1000),
        };
}

static void try_to_take(World *w, int i) {
        static const uint64_t ttls[] = { 1000, 2000, 5000 };
        uint64_t keen = w->now_usec / 2000000 % AGENTS;         /* by turns, two at a time, so that it changes hands */
        char holder[8];
        LeaseRecord r;

        if (i != (int) keen && i != (int) (keen + 1) % AGENTS)
                return;
        g_snprintf(holder, sizeof(holder), "agent%d", i);
        if (lease_take(&w->sights[i], holder, ttls[i % 3], clock_of(w, i), &r))
                submit(w, &w->sights[i], &r, i);
        else
                w->refusals++;
}

/* Whoever hands over stops before it asks for that. */
static void try_to_hand_over(World *w, int i) {
        char holder[8], to[8] = "";
        LeaseRecord r;

        g_snprintf(holder, sizeof(holder), "agent%d", i);
        if (prng_below(&w->prng, 2) == 0)
                g_snprintf(to, sizeof(to), "agent%d", (i + 1) % AGENTS);
        if (!lease_hand_over(&w->sights[i], holder, to, &r))
                return;
        w->believes_until[i] = 0;
        for (unsigned k = 0; k < w->writes_count; k++)
                if (w->writes[k].agent == i)
                        w->writes[k].agent = -1;        /* nor does it heed what it asked for before */
        submit(w, &w->sights[i], &r, -1);
}

static void judge(World *w, const Write *wr) {
        Zxid token = lease_token(&w->znode);

        g_assert_cmpuint(token, <=, w->zxid);
        if (g_str_equal(w->znode.record.holder, w->last_holder))
                g_assert_cmpuint(token, ==, w->last_token);
        else
                g_assert_cmpuint(token, >, w->last_token);
        if (wr->agent < 0)
                return;
        for (int i = 0; i < AGENTS; i++)
                if (i != wr->agent)
                        g_assert_cmpuint(w->believes_until[i], <=, w->now_usec);
}

static void apply(World *w, const Write *wr) {
        LeaseSight wanted = { .there = wr->there, .version = wr->version, .czxid = wr->czxid };

        w->zxid++;
        if (!same(&w->znode, &wanted))
                return;
        w->znode.version = w->znode.there ? w->znode.version + 1 : 0;
        w->znode.czxid = w->znode.there ? w->znode.czxid : w->zxid;
        w->znode.there = true;
        w->znode.record = wr->record;
        judge(w, wr);
        if (wr->agent >= 0) {
                uint64_t until = true_time(w, wr->agent, lease_until_usec(wr->asked_usec, wr->record.ttl_msec));

                w->believes_until[wr->agent] = until;
                if (g_str_equal(w->znode.record.holder, w->last_holder))
                        w->renewals++;
                else
                        w->takings++;
        }
        w->last_token = lease_token(&w->znode);
        g_strlcpy(w->last_holder, w->znode.record.holder, sizeof(w->last_holder));
}

/* Somebody deletes the znode, when nobody has it: what is made anew must not begin with a token of before. */
static void delete_if_idle(World *w) {
        for (int i = 0; i < AGENTS; i++)
                if (w->believes_until[i] > w->now_usec)
                        return;
        if (w->writes_count > 0 || !w->znode.there)
                return;
        w->zxid++;
        w->znode = (LeaseSight) { 0 };
        w->last_holder[0] = '\0';
}

static void apply_what_has_arrived(World *w) {
        for (unsigned i = 0; i < w->writes_count;) {
                Write wr = w->writes[i];

                if (wr.arrives_usec > w->now_usec) {
                        i++;
                        continue;
                }
                w->writes[i] = w->writes[--w->writes_count];
                apply(w, &wr);
        }
}

static void test_agents(void) {
        unsigned takings = 0, renewals = 0, refusals = 0;

        for (uint64_t seed = 1; seed <= 200; seed++) {
                World w;

                world_init(&w, seed);
                for (unsigned step = 0; step < 20000; step++) {
                        int i = (int) prng_below(&w.prng, AGENTS);
                        uint64_t what = prng_below(&w.prng, 100);

                        w.now_usec += prng_below(&w.prng, prng_below(&w.prng, 2) == 0 ? 40000 : 1000);
                        apply_what_has_arrived(&w);
                        if (what < 50)
                                see(&w, i);
                        else if (what < 96)
                                try_to_take(&w, i);
                        else if (what < 98)
                                try_to_hand_over(&w, i);
                        else
                                delete_if_idle(&w);
                }
                takings += w.takings;
                renewals += w.renewals;
                refusals += w.refusals;
        }
        g_assert_cmpuint(takings, >, 5000);
        g_assert_cmpuint(renewals, >, 10000);
        g_assert_cmpuint(refusals, >, 10000);
}

/* Just at the edge: one microsecond earlier it is somebody else's still. */
static void test_edge(void) {
        LeaseSight s = { .there = true, .czxid = 100, .version = 4, .seen_usec = 5000000 };
        LeaseRecord r;

        g_assert_true(lease_parse((const uint8_t *) "2000 3 a", 8, &s.record));
        g_assert_cmpuint(lease_token(&s), ==, 103);
        g_assert_false(lease_take(&s, "b", 1000, 6999999, &r));
        g_assert_true(lease_take(&s, "b", 1000, 7000000, &r));
        g_assert_cmpuint(r.since, ==, 5);
        g_assert_true(lease_take(&s, "a", 1000, 0, &r));
        g_assert_cmpuint(r.since, ==, 3);
        g_assert_false(lease_hand_over(&s, "b", "c", &r));
        g_assert_true(lease_hand_over(&s, "a", "", &r));
        g_assert_cmpuint(r.ttl_msec, ==, 0);
        s.record = r;
        g_assert_true(lease_is_vacant(&s));
        g_assert_false(lease_hand_over(&s, "", "c", &r));
        g_assert_true(lease_take(&s, "c", 1000, 0, &r));
        s.version = INT32_MAX;
        g_assert_true(lease_take(&s, "c", 1000, 0, &r));
        g_assert_cmpuint(r.since, ==, UINT32_C(1) << 31);
        g_assert_false(lease_take(&s, "c", 0, 0, &r));
        g_assert_false(lease_take(&s, "c", LEASE_TTL_MAX_MSEC + 1, 0, &r));
        g_assert_false(lease_take(&(LeaseSight) { 0 }, "c", 0, 0, &r));
}

/*
 * Counters
 */

static void test_counter(void) {
        static const int64_t values[] = { 0, 1, -1, 255, 256, INT64_MAX, INT64_MIN, 0x0102030405060708 };
        uint8_t bytes[COUNTER_BYTES];
        int64_t v;

        for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
                counter_format(values[i], bytes);
                g_assert_true(counter_parse(bytes, sizeof(bytes), &v));
                g_assert_cmpint(v, ==, values[i]);
        }
        g_assert_cmpmem(bytes, 8, "\1\2\3\4\5\6\7\10", 8);
        g_assert_true(counter_parse(bytes, 0, &v));
        g_assert_cmpint(v, ==, 0);
        g_assert_false(counter_parse(bytes, 4, &v));
        g_assert_false(counter_parse((const uint8_t *) "123456789", 9, &v));

        g_assert_true(counter_add(INT64_MAX - 1, 1, &v));
        g_assert_cmpint(v, ==, INT64_MAX);
        g_assert_false(counter_add(INT64_MAX, 1, &v));
        g_assert_false(counter_add(INT64_MIN, -1, &v));
        g_assert_true(counter_add(INT64_MIN, INT64_MAX, &v));
        g_assert_cmpint(v, ==, -1);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/lease/text", test_text);
        g_test_add_func("/lease/edge", test_edge);
        g_test_add_func("/lease/agents", test_agents);
        g_test_add_func("/counter", test_counter);
        return g_test_run();
}
