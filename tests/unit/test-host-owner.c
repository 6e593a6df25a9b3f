/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owner texts: what is written is read again; nothing else is. */

#include "agent/host/owner.h"

#include <string.h>

#include <glib.h>

#include "agent/base/limits.h"
#include "agent/base/prng.h"

#define ID "5f3c0123456789abcdef0123456789ab"

static OwnerText owner(OwnerTextKind kind, const char *name) {
        OwnerText o = { .kind = kind, .uid = (uid_t) -1 };

        g_strlcpy(o.name, name, sizeof o.name);
        return o;
}

static void assert_same(const OwnerText *a, const OwnerText *b) {
        g_assert_cmpint(a->kind, ==, b->kind);
        g_assert_cmpstr(a->bus, ==, b->bus);
        g_assert_cmpstr(a->name, ==, b->name);
        g_assert_cmpstr(a->unit, ==, b->unit);
        g_assert_cmpuint(a->uid, ==, b->uid);
        g_assert_cmpint(a->pid, ==, b->pid);
        g_assert_true(sd_id128_equal(a->invocation, b->invocation));
}

static void round_trip(const OwnerText *o, const char *expected) {
        g_autofree char *text = owner_text_format(o);
        OwnerText again;

        g_assert_cmpstr(text, ==, expected);
        g_assert_true(owner_text_parse(o->kind, text, &again));
        assert_same(o, &again);
}

static void test_round_trip(void) {
        OwnerText o = owner(OWNER_TEXT_CONNECTION, ":1.42");

        g_strlcpy(o.bus, ID, sizeof o.bus);
        round_trip(&o, ID " :1.42");
        o.uid = 0;
        round_trip(&o, ID " :1.42 uid 0");
        o.uid = 1000;
        o.pid = 712;
        g_strlcpy(o.unit, "app.service", sizeof o.unit);
        round_trip(&o, ID " :1.42 uid 1000 pid 712 unit app.service");

        o = owner(OWNER_TEXT_CONNECTION, "");
        round_trip(&o, "socket");
        o.uid = UINT32_MAX - 1;
        o.pid = INT32_MAX;
        round_trip(&o, "socket uid 4294967294 pid 2147483647");
        g_strlcpy(o.unit, "dev-a\\x2db.mount", sizeof o.unit);
        round_trip(&o, "socket uid 4294967294 pid 2147483647 unit dev-a\\x2db.mount");

        o = owner(OWNER_TEXT_UNIT, "nginx.service");
        g_assert_cmpint(sd_id128_from_string(ID, &o.invocation), ==, 0);
        round_trip(&o, "nginx.service " ID);

        o = owner(OWNER_TEXT_DESCRIPTOR, "convene-0000000000000001");
        round_trip(&o, "convene-0000000000000001");
        o.pid = 1;
        round_trip(&o, "convene-0000000000000001 pid 1");

        o = owner(OWNER_TEXT_HOST, "web1.example.org");
        round_trip(&o, "web1.example.org");

        o = owner(OWNER_TEXT_EXPLICIT, "");
        round_trip(&o, "");
        o.uid = 33;
        round_trip(&o, "uid 33");
        g_strlcpy(o.unit, "unit", sizeof o.unit);
        round_trip(&o, "uid 33 unit unit");
}

/* A name that would break the form is made harmless, and one that does not fit is left out. */
static void test_format_is_safe(void) {
        OwnerText o = owner(OWNER_TEXT_HOST, "a b\nc\xff");
        g_autofree char *host = owner_text_format(&o), *full = NULL;
        OwnerText again;

        g_assert_cmpstr(host, ==, "a_b_c_");

        o = owner(OWNER_TEXT_CONNECTION, "");
        g_strlcpy(o.bus, ID, sizeof o.bus);
        memset(o.name, 'n', sizeof o.name - 1);
        memset(o.unit, 'u', sizeof o.unit - 1);
        o.uid = UINT32_MAX - 1;
        o.pid = INT32_MAX;
        full = owner_text_format(&o);
        g_assert_cmpuint(strlen(full), <=, LIMIT_OWNER_BYTES);
        g_assert_true(owner_text_parse(OWNER_TEXT_CONNECTION, full, &again));
        g_assert_cmpstr(again.unit, ==, "");
        g_assert_cmpstr(again.name, ==, o.name);
}

static void test_hostile(void) {
        static const struct {
                OwnerTextKind kind;
                const char *text;
        } bad[] = {
                { OWNER_TEXT_UNIT, "" },
                { OWNER_TEXT_UNIT, "nginx.service" },
                { OWNER_TEXT_UNIT, "nginx.service " },
                { OWNER_TEXT_UNIT, "nginx.service 5f3c" },
                { OWNER_TEXT_UNIT, "nginx.service  " ID },
                { OWNER_TEXT_UNIT, " nginx.service " ID },
                { OWNER_TEXT_UNIT, "nginx.service " ID " " },
                { OWNER_TEXT_UNIT, "nginx.service " ID " x" },
                { OWNER_TEXT_UNIT, "nginx.service 5F3C0123456789ABCDEF0123456789AB" },
                { OWNER_TEXT_UNIT, "nginx.service 5f3c0123-4567-89ab-cdef-0123456789ab" },
                { OWNER_TEXT_UNIT, "nginx.service " ID "\n" },
                { OWNER_TEXT_HOST, "" },
                { OWNER_TEXT_HOST, "a b" },
                { OWNER_TEXT_HOST, "a\tb" },
                { OWNER_TEXT_HOST, "a\x7f" },
                { OWNER_TEXT_HOST, "h\xc3\xa4" },
                { OWNER_TEXT_CONNECTION, "" },
                { OWNER_TEXT_CONNECTION, ID },
                { OWNER_TEXT_CONNECTION, ID " :1.42 uid" },
                { OWNER_TEXT_CONNECTION, ID " :1.42 uid -1" },
                { OWNER_TEXT_CONNECTION, ID " :1.42 uid +1" },
                { OWNER_TEXT_CONNECTION, ID " :1.42 uid 01" },
                { OWNER_TEXT_CONNECTION, ID " :1.42 uid 4294967295" },
                { OWNER_TEXT_CONNECTION, ID " :1.42 uid 99999999999999999999" },
                { OWNER_TEXT_CONNECTION, ID " :1.42 uid 1 uid 1" },
                { OWNER_TEXT_CONNECTION, ID " :1.42 pid 0" },
                { OWNER_TEXT_CONNECTION, ID " :1.42 pid 2147483648" },
                { OWNER_TEXT_CONNECTION, ID " :1.42 pid 1 uid 1" },
                { OWNER_TEXT_CONNECTION, ID " :1.42 gid 1" },
                { OWNER_TEXT_CONNECTION, "socket :1.42" },
                { OWNER_TEXT_CONNECTION, "socket unit" },
                { OWNER_TEXT_EXPLICIT, "uid 1 pid 2 unit a.service uid 1 pid 2 unit a.service" },
                { OWNER_TEXT_EXPLICIT, "unit a.service uid 1" },
                { OWNER_TEXT_DESCRIPTOR, "" },
                { OWNER_TEXT_DESCRIPTOR, "uid 1" },             /* the name is "uid", and "1" is no word */
                { (OwnerTextKind) 77, "web1" },
        };
        g_autofree char *longest = g_strnfill(LIMIT_OWNER_BYTES + 1, 'x'), *long_name = g_strnfill(256, 'x');
        OwnerText o;

        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
                g_test_message("\"%s\"", bad[i].text);
                g_assert_false(owner_text_parse(bad[i].kind, bad[i].text, &o));
        }
        g_assert_false(owner_text_parse(OWNER_TEXT_HOST, longest, &o));
        g_assert_false(owner_text_parse(OWNER_TEXT_HOST, long_name, &o));
}

/* Words in random order: whatever is accepted is exactly what formatting it gives. */
static void test_random(void) {
        static const char *const words[] = { "socket", ID, ":1.1", "uid", "pid", "unit", "0", "1", "4294967295", "a.service",
                                             "", "\n", "web1", "-" };
        Prng prng = { 20261122 };
        unsigned accepted = 0;

        for (unsigned i = 0; i < 200000; i++) {
                g_autoptr(GString) s = g_string_new(NULL);
                OwnerTextKind kind = prng_below(&prng, 5);
                OwnerText o;

                for (uint64_t n = prng_below(&prng, 9); n > 0; n--)
                        g_string_append_printf(s, "%s%s", words[prng_below(&prng, G_N_ELEMENTS(words))], n > 1 ? " " : "");
                if (owner_text_parse(kind, s->str, &o)) {
                        g_autofree char *again = owner_text_format(&o);

                        g_assert_cmpstr(again, ==, s->str);
                        accepted++;
                }
        }
        g_assert_cmpuint(accepted, >, 1000);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/host/owner/round-trip", test_round_trip);
        g_test_add_func("/host/owner/format-is-safe", test_format_is_safe);
        g_test_add_func("/host/owner/hostile", test_hostile);
        g_test_add_func("/host/owner/random", test_random);
        return g_test_run();
}
