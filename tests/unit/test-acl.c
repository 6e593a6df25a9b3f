/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * ACL: identities, matching, normalising, interning, codec
 */

#include <string.h>

#include <glib.h>

#include "agent/base/limits.h"
#include "agent/base/prng.h"
#include "agent/tree/acl.h"

#define IDENTITIES(...) ((Identities) { (const Identity[]) { __VA_ARGS__ },                     \
                                        G_N_ELEMENTS(((const Identity[]) { __VA_ARGS__ })) })
#define ENTRIES(...) ((AclEntries) { (const AclEntry[]) { __VA_ARGS__ },                        \
                                     G_N_ELEMENTS(((const AclEntry[]) { __VA_ARGS__ })) })
#define NOBODY ((Identities) { 0 })

static const char digest[] = "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=";

static bool matches(const char *scheme, const char *entry, const char *caller_scheme, const char *caller) {
        AclTable *t = acl_table_new();
        Acl *acl = acl_table_intern(t, ENTRIES({ PERMISSION_READ, { scheme, entry } }));
        bool r = acl_allows(acl, PERMISSION_READ, IDENTITIES({ caller_scheme, caller }));

        g_assert_false(acl_allows(acl, PERMISSION_WRITE, IDENTITIES({ caller_scheme, caller })));
        acl_unref(t, acl);
        acl_table_free(t);
        return r;
}

static void test_ip(void) {
        static const struct {
                const char *entry, *caller;
                bool match;
        } cases[] = {
                { "10.0.0.1", "10.0.0.1", true },       { "10.0.0.1", "10.0.0.2", false },
                { "10.0.0.1/32", "10.0.0.1", true },    { "10.0.0.1/31", "10.0.0.0", true },
                { "10.0.0.1/31", "10.0.0.2", false },   { "10.0.0.0/8", "10.255.255.255", true },
                { "10.0.0.0/8", "11.0.0.0", false },    { "10.99.0.0/9", "10.127.0.1", true },
                { "10.99.0.0/9", "10.128.0.1", false }, { "0.0.0.0/0", "255.1.2.3", true },
                { "192.168.1.128/25", "192.168.1.200", true }, { "192.168.1.128/25", "192.168.1.127", false },
                { "::1", "::1", true },                 { "::1", "::2", false },
                { "::1", "0:0:0:0:0:0:0:1", true },     { "2001:db8::/32", "2001:db8:1::5", true },
                { "2001:db8::/32", "2001:db9::", false }, { "2001:db8::/33", "2001:db8:8000::", false },
                { "2001:db8::1/128", "2001:db8::1", true }, { "::/0", "2001:db8::1", true },
                { "::/0", "10.0.0.1", false },          { "0.0.0.0/0", "::1", false },
                { "10.0.0.0/8", "::ffff:10.1.2.3", true }, { "::ffff:10.0.0.0/104", "10.9.9.9", true },
                { "::ffff:10.0.0.0/104", "11.9.9.9", false }, { "::ffff:10.0.0.1", "::ffff:10.0.0.1", true },
                /* a caller has an address, not a range; what is malformed matches nothing */
                { "10.0.0.0/8", "10.0.0.0/8", false },  { "junk", "junk", false }, { "10.0.0.0/", "10.0.0.0", false },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_test_message("%s %s", cases[i].entry, cases[i].caller);
                g_assert_cmpint(matches("ip", cases[i].entry, "ip", cases[i].caller), ==, cases[i].match);
        }

        /* Every prefix length against a bit-by-bit comparison. */
        for (unsigned bits = 0; bits <= 32; bits++)
                for (unsigned flipped = 0; flipped < 32; flipped++) {
                        uint32_t a = UINT32_C(0xc0a81f55), b = a ^ UINT32_C(1) << (31 - flipped);
                        g_autofree char *entry = g_strdup_printf("%u.%u.%u.%u/%u", a >> 24, a >> 16 & 255, a >> 8 & 255,
                                                                 a & 255, bits);
                        g_autofree char *caller = g_strdup_printf("%u.%u.%u.%u", b >> 24, b >> 16 & 255, b >> 8 & 255,
                                                                  b & 255);

                        g_assert_cmpint(matches("ip", entry, "ip", caller), ==, flipped >= bits);
                }
}

static void test_matching(void) {
        g_assert_true(matches("digest", digest, "digest", digest));
        g_assert_false(matches("digest", digest, "digest", "u:other"));
        g_assert_false(matches("digest", digest, "x509", digest));
        g_assert_true(matches("x509", "CN=a,O=b", "x509", "CN=a,O=b"));
        g_assert_false(matches("x509", "CN=a,O=b", "x509", "CN=a"));

        g_assert_true(matches("unix", "33@web1", "unix", "33@web1"));
        g_assert_false(matches("unix", "33@web1", "unix", "33@web2"));
        g_assert_false(matches("unix", "33@web1", "unix", "3@web1"));
        g_assert_true(matches("unix", "33@*", "unix", "33@web2"));
        g_assert_false(matches("unix", "33@*", "unix", "3@web2"));
        g_assert_false(matches("unix", "33@*", "unix", "333@web2"));
        g_assert_false(matches("unix", "33@*", "unit", "33@web2"));
        g_assert_false(matches("unix", "33@w*", "unix", "33@web2"));    /* no other patterns */

        g_assert_true(matches("unit", "getty@tty1.service@web1", "unit", "getty@tty1.service@web1"));
        g_assert_true(matches("unit", "getty@tty1.service@*", "unit", "getty@tty1.service@web9"));
        g_assert_false(matches("unit", "getty@*", "unit", "getty@tty1.service@web9"));
        g_assert_false(matches("unit", "a.service@*", "unit", "b.service@web9"));

        g_assert_true(matches("host", "web1", "host", "web1"));
        g_assert_false(matches("host", "web1", "host", "web2"));
        g_assert_true(matches("host", "*", "host", "web2"));
        g_assert_false(matches("host", "*", "unix", "0@web2"));

        /* Only world:anyone is everybody, and only the entry can say so. */
        g_assert_true(matches("world", "anyone", "ip", "::1"));
        g_assert_false(matches("world", "someone", "world", "someone"));
        g_assert_false(matches("digest", "anyone", "world", "anyone"));
        g_assert_false(matches("auth", "", "auth", ""));
        g_assert_false(matches("sasl", "bob", "sasl", "bob"));
}

static void test_allows(void) {
        AclTable *t = acl_table_new();
        Acl *open = acl_table_intern(t, ENTRIES({ PERMISSION_ALL, { "world", "anyone" } }));
        Acl *mixed = acl_table_intern(t, ENTRIES({ PERMISSION_READ, { "world", "anyone" } },
                                                 { PERMISSION_WRITE | PERMISSION_ADMIN, { "unix", "0@*" } },
                                                 { PERMISSION_CREATE, { "host", "web1" } }));
        Acl *closed = acl_table_intern(t, ENTRIES({ PERMISSION_READ, { "host", "web1" } }));
        Acl *empty = acl_table_intern(t, (AclEntries) { 0 });
        Identities root = IDENTITIES({ "ip", "::1" }, { "unix", "0@web1" });
        Identities super = IDENTITIES({ "ip", "::1" }, { "super", "" });

        for (unsigned bit = 1; bit < PERMISSION_ALL; bit <<= 1) {
                g_assert_true(acl_allows(open, bit, NOBODY));
                g_assert_true(acl_allows(empty, bit, NOBODY));
                g_assert_true(acl_allows(closed, bit, super));
                g_assert_false(acl_allows(closed, bit, NOBODY));
                g_assert_false(acl_allows(closed, bit, root));
        }

        g_assert_true(acl_allows(mixed, PERMISSION_READ, NOBODY));
        g_assert_false(acl_allows(mixed, PERMISSION_WRITE, NOBODY));
        g_assert_true(acl_allows(mixed, PERMISSION_WRITE, root));
        g_assert_true(acl_allows(mixed, PERMISSION_ADMIN, root));
        g_assert_false(acl_allows(mixed, PERMISSION_CREATE, root));
        g_assert_true(acl_allows(mixed, PERMISSION_CREATE, IDENTITIES({ "host", "web1" })));
        g_assert_false(acl_allows(mixed, PERMISSION_DELETE, root));
        /* any of the wanted bits suffices, as getACL needs it */
        g_assert_true(acl_allows(mixed, PERMISSION_DELETE | PERMISSION_ADMIN, root));

        acl_unref(t, open);
        acl_unref(t, mixed);
        acl_unref(t, closed);
        acl_unref(t, empty);
        acl_unref(t, NULL);
        acl_table_free(t);
}

/* An id as an ACL entry may have it, and as a caller may hold it. */
static const struct {
        const char *scheme, *id;
        bool entry, caller;
} ids[] = {
        { "world", "anyone", true, false }, { "world", "", false, false }, { "world", "any", false, false },
        { "super", "", false, true }, { "super", "admin", false, true }, { "nosuch", "x", false, false },
        { "", "", false, false }, { "World", "anyone", false, false }, { "sasl", "bob", false, false },

        { "digest", digest, true, true }, { "digest", "u", false, false }, { "digest", "u:", false, false },
        { "digest", "a:b:c", false, false }, { "digest", ":h", true, true }, { "digest", "", false, false },
        { "digest", "\xc3\xa4:h", true, true }, { "digest", "\xc3:h", false, false },
        { "digest", "a\n:h", false, false },

        { "ip", "10.0.0.1", true, true }, { "ip", "10.0.0.0/8", true, false },
        { "ip", "10.0.0.0/33", false, false }, { "ip", "10.0.0.0/", false, false },
        { "ip", "10.0.0/8", false, false }, { "ip", "10.0.0.0/08", false, false },
        { "ip", "10.0.0.0/+8", false, false }, { "ip", "10.0.0.0/8/8", false, false },
        { "ip", "10.0.0.0/0", true, false }, { "ip", "10.0.0.256", false, false },
        { "ip", "010.0.0.1", false, false }, { "ip", "", false, false }, { "ip", "::1", true, true },
        { "ip", "::/0", true, false }, { "ip", "::/128", true, false }, { "ip", "::/129", false, false },
        { "ip", "fe80::1%eth0", false, false }, { "ip", "[::1]", false, false },
        { "ip", "10.0.0.1 ", false, false }, { "ip", "/8", false, false },
        { "ip", "::/4294967297", false, false },

        { "x509", "CN=a,O=b", true, true }, { "x509", "2.5.4.3=a", true, true }, { "x509", "a", false, false },
        { "x509", "=a", false, false }, { "x509", "", false, false }, { "x509", "C N=a", false, false },

        { "unix", "0@web1", true, true }, { "unix", "33@*", true, false }, { "unix", "33", false, false },
        { "unix", "@web1", false, false }, { "unix", "-1@web1", false, false },
        { "unix", "033@web1", false, false }, { "unix", "4294967294@h", true, true },
        { "unix", "4294967295@h", false, false }, { "unix", "99999999999@h", false, false },
        { "unix", "root@web1", false, false }, { "unix", "33@", false, false },
        { "unix", "*@web1", false, false }, { "unix", "33@w*", false, false },
        { "unix", "33@a b", false, false }, { "unix", "1@2@h", false, false },

        { "unit", "a.service@web1", true, true }, { "unit", "a.service@*", true, false },
        { "unit", "getty@tty1.service@h.example", true, true }, { "unit", "a\\x2db.mount@h", true, true },
        { "unit", "a@web1", false, false }, { "unit", "a.service", false, false },
        { "unit", ".service@h", false, false }, { "unit", "a.@h", false, false },
        { "unit", "a b.service@h", false, false }, { "unit", "*@h", false, false },

        { "host", "web1", true, true }, { "host", "*", true, false }, { "host", "", false, false },
        { "host", "web1.example.org", true, true }, { "host", "a@b", false, false },
        { "host", "web*", false, false },
};

static void test_ids(void) {
        AclTable *t = acl_table_new();

        for (size_t i = 0; i < G_N_ELEMENTS(ids); i++) {
                Identity who = { ids[i].scheme, ids[i].id };
                Acl *acl = NULL;
                ConveneStatus status;

                g_test_message("case %zu", i);
                status = acl_table_normalise(t, ENTRIES({ PERMISSION_READ, who }), NOBODY, &acl);
                g_assert_cmpint(status, ==, ids[i].entry ? CONVENE_OK : CONVENE_INVALID_ACL);
                g_assert_cmpint(acl != NULL, ==, ids[i].entry);
                g_assert_cmpint(identity_is_valid(who, true), ==, ids[i].caller);
                g_assert_cmpint(identity_is_valid(who, false), ==, ids[i].caller && !g_str_equal(who.scheme, "super"));
                acl_unref(t, acl);
        }

        acl_table_free(t);
}

static void test_id_limits(void) {
        g_autofree char *fits = g_strnfill(LIMIT_IDENTITY_BYTES, 'h'), *above = g_strconcat(fits, "h", NULL);
        AclTable *t = acl_table_new();
        Acl *acl = NULL;

        g_assert_true(identity_is_valid((Identity) { "host", fits }, false));
        g_assert_false(identity_is_valid((Identity) { "host", above }, false));
        g_assert_false(identity_is_valid((Identity) { above, "x" }, false));
        g_assert_false(identity_is_valid((Identity) { "host", NULL }, false));
        g_assert_false(identity_is_valid((Identity) { NULL, "x" }, false));
        g_assert_cmpint(acl_table_normalise(t, ENTRIES({ 1, { "host", above } }), NOBODY, &acl), ==,
                        CONVENE_INVALID_ACL);
        g_assert_cmpint(acl_table_normalise(t, ENTRIES({ 1, { "host", fits } }), NOBODY, &acl), ==, CONVENE_OK);
        acl_unref(t, acl);
        acl_table_free(t);
}

static char *acl_text(const Acl *acl) {
        g_autoptr(GString) s = g_string_new(NULL);
        AclEntries e = acl_entries(acl);

        for (uint32_t i = 0; i < e.count; i++)
                g_string_append_printf(s, "%s%u %s:%s", i ? ", " : "", e.items[i].permissions, e.items[i].who.scheme,
                                       e.items[i].who.id);
        return g_string_free(g_steal_pointer(&s), FALSE);
}

static void check_normalise(AclEntries in, Identities caller, ConveneStatus expected, const char *text) {
        AclTable *t = acl_table_new();
        Acl *acl = NULL, *again = NULL;

        g_assert_cmpint(acl_table_normalise(t, in, caller, &acl), ==, expected);
        g_assert_cmpint(acl != NULL, ==, expected == CONVENE_OK);
        if (acl) {
                g_autofree char *s = acl_text(acl);

                g_assert_cmpstr(s, ==, text);
                g_assert_cmpint(acl_table_normalise(t, acl_entries(acl), NOBODY, &again), ==, CONVENE_OK);
                g_assert_true(again == acl);
        }

        acl_unref(t, acl);
        acl_unref(t, again);
        acl_table_free(t);
}

static void test_normalise(void) {
        Identities caller = IDENTITIES({ "ip", "10.0.0.1" }, { "unix", "33@web1" }, { "super", "" },
                                       { "digest", digest });

        check_normalise((AclEntries) { 0 }, caller, CONVENE_INVALID_ACL, NULL);
        check_normalise(ENTRIES({ 31, { "world", "anyone" } }), NOBODY, CONVENE_OK, "31 world:anyone");

        /* duplicates: the first stays; other permissions are another entry */
        check_normalise(ENTRIES({ 1, { "host", "b" } }, { 1, { "host", "a" } }, { 1, { "host", "b" } },
                                { 2, { "host", "b" } }),
                        NOBODY, CONVENE_OK, "1 host:b, 1 host:a, 2 host:b");

        /* auth, whatever its id; neither addresses nor super; each identity once */
        check_normalise(ENTRIES({ 3, { "auth", "" } }), caller, CONVENE_OK,
                        "3 unix:33@web1, 3 digest:u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=");
        check_normalise(ENTRIES({ 3, { "auth", "ignored" } }, { 1, { "host", "a" } }, { 3, { "unix", "33@web1" } }),
                        caller,
                        CONVENE_OK, "3 unix:33@web1, 3 digest:u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=, 1 host:a");
        check_normalise(ENTRIES({ 3, { "auth", "" } }), NOBODY, CONVENE_INVALID_ACL, NULL);
        check_normalise(ENTRIES({ 3, { "auth", "" } }), IDENTITIES({ "ip", "10.0.0.1" }), CONVENE_INVALID_ACL, NULL);
        check_normalise(ENTRIES({ 3, { "auth", "" } }), IDENTITIES({ "super", "" }), CONVENE_INVALID_ACL, NULL);
        check_normalise(ENTRIES({ 1, { "host", "a" } }, { 3, { "auth", "" } }), NOBODY, CONVENE_INVALID_ACL, NULL);

        /* permissions */
        check_normalise(ENTRIES({ 0, { "world", "anyone" } }), NOBODY, CONVENE_INVALID_ACL, NULL);
        check_normalise(ENTRIES({ 32, { "world", "anyone" } }), NOBODY, CONVENE_INVALID_ACL, NULL);
        check_normalise(ENTRIES({ 33, { "world", "anyone" } }), NOBODY, CONVENE_INVALID_ACL, NULL);
        check_normalise(ENTRIES({ UINT32_MAX, { "world", "anyone" } }), NOBODY, CONVENE_INVALID_ACL, NULL);
        check_normalise(ENTRIES({ 0, { "auth", "" } }), caller, CONVENE_INVALID_ACL, NULL);
        check_normalise(ENTRIES({ 1, { NULL, "" } }), caller, CONVENE_INVALID_ACL, NULL);
        check_normalise(ENTRIES({ 1, { "host", NULL } }), caller, CONVENE_INVALID_ACL, NULL);
}

static void test_normalise_limits(void) {
        AclEntry entries[LIMIT_ACL_ENTRIES + 1];
        Identity caller[LIMIT_SESSION_IDENTITIES];
        g_autoptr(GPtrArray) strings = g_ptr_array_new_with_free_func(g_free);
        AclTable *t = acl_table_new();
        Acl *acl = NULL;

        for (unsigned i = 0; i < G_N_ELEMENTS(entries); i++) {
                char *name = g_strdup_printf("h%u", i), *user = g_strdup_printf("%u@h", i);

                g_ptr_array_add(strings, name);
                g_ptr_array_add(strings, user);
                entries[i] = (AclEntry) { PERMISSION_READ, { "host", name } };
                if (i < G_N_ELEMENTS(caller))
                        caller[i] = (Identity) { "unix", user };
        }

        Identities all = { caller, G_N_ELEMENTS(caller) };
        g_assert_cmpint(acl_table_normalise(t, (AclEntries) { entries, LIMIT_ACL_ENTRIES + 1 }, all, &acl), ==,
                        CONVENE_LIMIT_EXCEEDED);
        g_assert_null(acl);

        g_assert_cmpint(acl_table_normalise(t, (AclEntries) { entries, LIMIT_ACL_ENTRIES }, all, &acl), ==, CONVENE_OK);
        g_assert_cmpuint(acl_entries(acl).count, ==, LIMIT_ACL_ENTRIES);
        acl_unref(t, g_steal_pointer(&acl));

        /* what auth becomes counts, too */
        entries[0] = (AclEntry) { PERMISSION_WRITE, { "auth", "" } };
        g_assert_cmpint(acl_table_normalise(t, (AclEntries) { entries, 1 }, all, &acl), ==, CONVENE_OK);
        g_assert_cmpuint(acl_entries(acl).count, ==, LIMIT_SESSION_IDENTITIES);
        acl_unref(t, g_steal_pointer(&acl));
        g_assert_cmpint(acl_table_normalise(t, (AclEntries) { entries, 2 }, all, &acl), ==, CONVENE_LIMIT_EXCEEDED);
        g_assert_null(acl);
        acl_table_free(t);
}

static void test_intern(void) {
        AclTable *t = acl_table_new();
        char scheme[] = "host", id[] = "web1";
        Acl *a = acl_table_intern(t, ENTRIES({ 1, { scheme, id } }, { 2, { "host", "b" } }));
        Acl *b = acl_table_intern(t, ENTRIES({ 1, { "host", "web1" } }, { 2, { "host", "b" } }));
        Acl *other_order = acl_table_intern(t, ENTRIES({ 2, { "host", "b" } }, { 1, { "host", "web1" } }));
        Acl *other_permissions = acl_table_intern(t, ENTRIES({ 3, { "host", "web1" } }, { 2, { "host", "b" } }));
        Acl *shifted = acl_table_intern(t, ENTRIES({ 1, { "hostw", "eb1" } }, { 2, { "host", "b" } }));

        g_assert_true(a == b);
        g_assert_true(a != other_order && a != other_permissions && a != shifted);

        /* its own copy of the strings */
        memset(scheme, 'x', 4);
        memset(id, 'x', 4);
        g_assert_cmpstr(acl_entries(a).items[0].who.scheme, ==, "host");
        g_assert_cmpstr(acl_entries(a).items[0].who.id, ==, "web1");

        g_assert_true(acl_ref(a) == a);
        acl_unref(t, a);
        acl_unref(t, a);
        g_assert_cmpstr(acl_entries(b).items[1].who.id, ==, "b");
        acl_unref(t, b);
        acl_unref(t, other_order);
        acl_unref(t, other_permissions);
        acl_unref(t, shifted);
        acl_table_free(t);
}

/* Many ACLs come and go; equal ones are one object at any time. */
static void test_intern_many(void) {
        AclTable *t = acl_table_new();
        Acl *live[512] = { 0 };
        Prng prng = { 3 };

        for (unsigned i = 0; i < 50000; i++) {
                unsigned n = prng_below(&prng, G_N_ELEMENTS(live));
                g_autofree char *id = g_strdup_printf("h%u", n);
                Acl *acl = acl_table_intern(t, ENTRIES({ 1 + n % 31, { "host", id } }));

                if (live[n])
                        g_assert_true(acl == live[n]);
                acl_unref(t, live[n]);
                live[n] = acl;
                if (prng_below(&prng, 3) == 0)
                        acl_unref(t, g_steal_pointer(&live[n]));
        }

        for (unsigned n = 0; n < G_N_ELEMENTS(live); n++)
                acl_unref(t, live[n]);
        acl_table_free(t);
}

static void test_codec(void) {
        AclEntries e = ENTRIES({ 31, { "world", "anyone" } }, { 0, { "", "" } }, { UINT32_MAX, { "host", "web1" } });
        Identities i = IDENTITIES({ "unix", "0@web1" }, { "digest", digest });
        g_auto(Writer) w = WRITER_INIT, again = WRITER_INIT;
        AclEntries e_out;
        Identities i_out;
        Reader r;

        acl_entries_encode(e, &w);
        identities_encode(i, &w);
        r = READER_INIT(w.data, w.size);
        g_assert_true(acl_entries_decode(&r, &e_out));
        g_assert_true(identities_decode(&r, &i_out));
        g_assert_true(reader_done(&r));
        g_assert_cmpuint(e_out.count, ==, 3);
        g_assert_cmpuint(e_out.items[2].permissions, ==, UINT32_MAX);
        g_assert_cmpstr(e_out.items[0].who.id, ==, "anyone");
        g_assert_cmpstr(i_out.items[1].id, ==, digest);
        acl_entries_encode(e_out, &again);
        identities_encode(i_out, &again);
        g_assert_cmpmem(w.data, w.size, again.data, again.size);
        g_free((AclEntry *) e_out.items);
        g_free((Identity *) i_out.items);

        for (size_t n = 0; n < w.size; n++) {
                g_autofree uint8_t *copy = g_memdup2(w.data, n);

                e_out = (AclEntries) { 0 };
                r = READER_INIT(copy ?: (uint8_t *) "", n);
                g_assert_false(acl_entries_decode(&r, &e_out) && identities_decode(&r, &i_out));
                g_free((AclEntry *) e_out.items);
        }
}

static void test_codec_limits(void) {
        g_autofree char *above = g_strnfill(LIMIT_IDENTITY_BYTES + 1, 'x');
        AclEntries e;
        Identities i;

        for (unsigned extra = 0; extra < 2; extra++) {
                g_auto(Writer) w = WRITER_INIT, v = WRITER_INIT;
                Reader r;

                writer_u32(&w, LIMIT_ACL_ENTRIES + extra);
                for (unsigned n = 0; n < LIMIT_ACL_ENTRIES + extra; n++) {
                        writer_u32(&w, 1);
                        writer_string(&w, "host");
                        writer_string(&w, above + 1);
                }
                r = READER_INIT(w.data, w.size);
                g_assert_cmpint(acl_entries_decode(&r, &e), ==, extra == 0);
                if (extra == 0)
                        g_free((AclEntry *) e.items);

                writer_u32(&v, LIMIT_SESSION_IDENTITIES + extra);
                for (unsigned n = 0; n < LIMIT_SESSION_IDENTITIES + extra; n++) {
                        writer_string(&v, "host");
                        writer_string(&v, "h");
                }
                r = READER_INIT(v.data, v.size);
                g_assert_cmpint(identities_decode(&r, &i), ==, extra == 0);
                if (extra == 0)
                        g_free((Identity *) i.items);
        }

        g_auto(Writer) w = WRITER_INIT;
        acl_entries_encode(ENTRIES({ 1, { "host", above } }), &w);
        Reader r = READER_INIT(w.data, w.size);
        g_assert_false(acl_entries_decode(&r, &e));
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/acl/ip", test_ip);
        g_test_add_func("/acl/matching", test_matching);
        g_test_add_func("/acl/allows", test_allows);
        g_test_add_func("/acl/ids", test_ids);
        g_test_add_func("/acl/id-limits", test_id_limits);
        g_test_add_func("/acl/normalise", test_normalise);
        g_test_add_func("/acl/normalise-limits", test_normalise_limits);
        g_test_add_func("/acl/intern", test_intern);
        g_test_add_func("/acl/intern-many", test_intern_many);
        g_test_add_func("/acl/codec", test_codec);
        g_test_add_func("/acl/codec-limits", test_codec_limits);
        return g_test_run();
}
