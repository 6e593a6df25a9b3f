/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Config and the chain of entries
 */

#include <string.h>

#include <glib.h>

#include "agent/base/prng.h"
#include "agent/base/writer.h"
#include "agent/zab/config.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ZabConfig, zab_config_unref)

static const uint8_t pin[] = { 0xde, 0xad, 0xbe, 0xef };

static const ZabConfigMember three[] = {
        { 1, { "0123456789abcde" }, ZAB_MEMBER_VOTER, "web1", "web1.example:7181", pin, sizeof(pin) },
        { 2, { "fedcba987654321" }, ZAB_MEMBER_OBSERVER, "web2", "", NULL, 0 },
        { 255, { "" }, ZAB_MEMBER_VOTER, "", "[2001:db8::1]:7181", pin, 1 },
};

static ZabConfig *decode(const void *data, size_t size) {
        g_autoptr(GBytes) b = g_bytes_new(data, size);

        return zab_config_decode(b, 7);
}

static void test_round_trip(void) {
        g_autoptr(GBytes) b = zab_config_encode(three, G_N_ELEMENTS(three)), again = NULL;
        g_autoptr(ZabConfig) c = zab_config_decode(b, zxid_make(3, 9));

        g_assert_nonnull(c);
        g_assert_cmphex(c->version, ==, zxid_make(3, 9));
        g_assert_cmpuint(c->members_count, ==, 3);
        for (unsigned i = 0; i < 3; i++) {
                g_assert_cmpuint(c->members[i].sid, ==, three[i].sid);
                g_assert_cmpmem(c->members[i].disk_id.bytes, 16, three[i].disk_id.bytes, 16);
                g_assert_cmpint(c->members[i].role, ==, three[i].role);
                g_assert_cmpstr(c->members[i].name, ==, three[i].name);
                g_assert_cmpstr(c->members[i].address, ==, three[i].address);
                g_assert_cmpmem(c->members[i].pin, c->members[i].pin_size, three[i].pin, three[i].pin_size);
        }

        again = zab_config_encode(c->members, c->members_count);
        g_assert_true(g_bytes_equal(b, again));
}

static void test_queries(void) {
        g_autoptr(GBytes) b = zab_config_encode(three, G_N_ELEMENTS(three));
        ZabConfig *c = zab_config_decode(b, 1), *same = zab_config_ref(c);
        Id128 other = { "another disk" };

        g_clear_pointer(&c, zab_config_unref);
        c = same;

        g_assert_cmpuint(zab_config_voters(c), ==, 2);
        g_assert_cmpuint(zab_config_quorum(c), ==, 2);
        g_assert_true(zab_config_find(c, 2) == &c->members[1]);
        g_assert_null(zab_config_find(c, 3));
        g_assert_null(zab_config_find(c, 0));
        g_assert_true(zab_config_has_voter(c, 1, &three[0].disk_id));
        g_assert_false(zab_config_has_voter(c, 1, &other));
        g_assert_false(zab_config_has_voter(c, 2, &three[1].disk_id));  /* an observer */
        g_assert_false(zab_config_has_voter(c, 9, &three[0].disk_id));
        zab_config_unref(c);
        zab_config_unref(NULL);
}

static void test_quorum(void) {
        static const unsigned quorums[] = { 0, 1, 2, 2, 3, 3, 4, 4 };
        ZabConfigMember members[7];

        for (unsigned n = 1; n <= 7; n++) {
                g_autoptr(GBytes) b = NULL;
                g_autoptr(ZabConfig) c = NULL;

                members[n - 1] = (ZabConfigMember) { n, { "" }, ZAB_MEMBER_VOTER, "h", "", NULL, 0 };
                b = zab_config_encode(members, n);
                c = zab_config_decode(b, 1);
                g_assert_cmpuint(zab_config_quorum(c), ==, quorums[n]);
        }
}

/* One level, one encoding: what needs no level has none. */
static void test_feature_level(void) {
        g_autoptr(GBytes) plain = zab_config_encode(three, G_N_ELEMENTS(three)), one = zab_config_encode_at(three, 3, 1);
        g_autoptr(GBytes) seven = zab_config_encode_at(three, 3, 7), again = NULL;
        g_autoptr(ZabConfig) c = zab_config_decode(plain, 1), d = zab_config_decode(seven, 1);
        gsize size;
        g_autofree uint8_t *data = NULL;

        g_assert_true(g_bytes_equal(plain, one));
        g_assert_cmpuint(c->feature_level, ==, 1);
        g_assert_cmpuint(d->feature_level, ==, 7);
        g_assert_cmpuint(d->members_count, ==, 3);
        again = zab_config_encode_at(d->members, d->members_count, d->feature_level);
        g_assert_true(g_bytes_equal(seven, again));

        data = g_memdup2(g_bytes_get_data(seven, NULL), g_bytes_get_size(seven));
        size = g_bytes_get_size(seven);
        for (uint8_t level = 0; level < 2; level++) {
                data[1] = level;
                g_assert_null(decode(data, size));
        }
        for (size_t n = 0; n < size; n++)
                g_assert_null(decode(g_bytes_get_data(seven, NULL), n));
}

static void test_truncation(void) {
        g_autoptr(GBytes) b = zab_config_encode(three, G_N_ELEMENTS(three));
        size_t size;
        const uint8_t *data = g_bytes_get_data(b, &size);
        g_autofree uint8_t *longer = g_malloc0(size + 1);

        for (size_t n = 0; n < size; n++)
                g_assert_null(decode(data, n));

        memcpy(longer, data, size);
        g_assert_null(decode(longer, size + 1));
}

/* Encodes without the checks of zab_config_encode(). */
static bool accepts(const ZabConfigMember *members, unsigned count, uint8_t format) {
        g_auto(Writer) w = WRITER_INIT;
        g_autoptr(ZabConfig) c = NULL;

        writer_u8(&w, format);
        writer_u32(&w, count);
        for (unsigned i = 0; i < count; i++) {
                writer_u32(&w, members[i].sid);
                writer_bytes(&w, members[i].disk_id.bytes, 16);
                writer_u8(&w, members[i].role);
                writer_string(&w, members[i].name);
                writer_string(&w, members[i].address);
                writer_blob(&w, members[i].pin, members[i].pin_size);
        }

        c = decode(w.data, w.size);
        return c;
}

static void test_refused(void) {
        static const uint8_t long_pin[ZAB_CONFIG_PIN_BYTES + 1];
        g_autofree char *name = g_strnfill(ZAB_CONFIG_NAME_BYTES, 'n'), *name_above = g_strconcat(name, "n", NULL);
        g_autofree char *address = g_strnfill(ZAB_CONFIG_ADDRESS_BYTES, 'a'), *above = g_strconcat(address, "a", NULL);
        const ZabConfigMember good = { 4, { "" }, ZAB_MEMBER_VOTER, name, address, long_pin, ZAB_CONFIG_PIN_BYTES };
        ZabConfigMember m[2] = { good, good };

        m[1].sid = 5;
        g_assert_true(accepts(m, 2, 1));
        g_assert_false(accepts(m, 2, 0));
        g_assert_false(accepts(m, 2, 2));
        g_assert_false(accepts(m, 0, 1));

        m[1].sid = 4;
        g_assert_false(accepts(m, 2, 1));
        m[1].sid = 3;
        g_assert_false(accepts(m, 2, 1));
        m[1].sid = 256;
        g_assert_false(accepts(m, 2, 1));
        m[0].sid = 0;
        g_assert_false(accepts(m, 1, 1));

#define REFUSES(field, value)                                   \
        m[0] = good;                                            \
        m[0].field = (value);                                   \
        g_assert_false(accepts(m, 1, 1))

        REFUSES(role, 0);
        REFUSES(role, 3);
        REFUSES(role, ZAB_MEMBER_OBSERVER);     /* nobody votes */
        REFUSES(name, name_above);
        REFUSES(name, "\xff");
        REFUSES(address, above);
        REFUSES(address, "\xc3");
        REFUSES(pin_size, ZAB_CONFIG_PIN_BYTES + 1);

        m[0] = good;
        g_assert_true(accepts(m, 1, 1));
}

static void test_mutations(void) {
        g_autoptr(GBytes) b = zab_config_encode(three, G_N_ELEMENTS(three));
        size_t size;
        const uint8_t *data = g_bytes_get_data(b, &size);
        Prng prng = { 42 };
        unsigned accepted = 0;

        for (unsigned i = 0; i < 100000; i++) {
                g_autofree uint8_t *copy = g_memdup2(data, size);
                g_autoptr(ZabConfig) c = NULL;

                for (unsigned n = 1 + prng_below(&prng, 3); n > 0; n--)
                        copy[prng_below(&prng, size)] = (uint8_t) prng_next(&prng);

                c = decode(copy, size);
                if (c) {
                        g_autoptr(GBytes) again = zab_config_encode_at(c->members, c->members_count, c->feature_level);

                        g_assert_cmpmem(g_bytes_get_data(again, NULL), g_bytes_get_size(again), copy, size);
                        accepted++;
                }
        }

        g_assert_cmpuint(accepted, >, 1000);
        g_assert_cmpuint(accepted, <, 99000);
}

static void test_chain(void) {
        g_autoptr(GBytes) p = g_bytes_new_static("payload", 7), q = g_bytes_new_static("payloae", 7);
        g_autoptr(GBytes) empty = g_bytes_new_static("", 0);
        const Id128 cluster = { "cluster" }, other_cluster = { "klaster" };
        const Hash128 previous = { 1, 2 };
        const ZabEntry entry = {
                .index = 5, .zxid = 6, .prev_zxid = 5, .type = ZAB_ENTRY_REQUEST, .time_msec = -7, .payload = p,
        };
        const Hash128 h = zab_entry_chain(previous, &cluster, &entry);
        ZabEntry changed = entry;

        /* A value that every disk from now on holds: a change of the function is a change of the format. */
        g_assert_cmphex(h.low, ==, UINT64_C(0xb5f3dd188369b785));
        g_assert_cmphex(h.high, ==, UINT64_C(0x6493a8ed3c18194b));

        changed.chain = (Hash128) { 9, 9 };
        g_assert_true(hash128_equal(h, zab_entry_chain(previous, &cluster, &changed)));

#define DIFFERS(field, value)                                   \
        changed = entry;                                        \
        changed.field = (value);                                \
        g_assert_false(hash128_equal(h, zab_entry_chain(previous, &cluster, &changed)))

        DIFFERS(index, 6);
        DIFFERS(zxid, 7);
        DIFFERS(prev_zxid, 4);
        DIFFERS(type, ZAB_ENTRY_CONFIG);
        DIFFERS(time_msec, 7);
        DIFFERS(payload, q);
        DIFFERS(payload, NULL);

        g_assert_false(hash128_equal(h, zab_entry_chain(previous, &other_cluster, &entry)));
        g_assert_false(hash128_equal(h, zab_entry_chain((Hash128) { 1, 3 }, &cluster, &entry)));
        g_assert_false(hash128_equal(h, zab_entry_chain((Hash128) { 2, 1 }, &cluster, &entry)));

        changed = entry;
        changed.payload = NULL;
        const Hash128 none = zab_entry_chain(previous, &cluster, &changed);
        changed.payload = empty;
        g_assert_true(hash128_equal(none, zab_entry_chain(previous, &cluster, &changed)));
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/config/round-trip", test_round_trip);
        g_test_add_func("/config/queries", test_queries);
        g_test_add_func("/config/quorum", test_quorum);
        g_test_add_func("/config/feature-level", test_feature_level);
        g_test_add_func("/config/truncation", test_truncation);
        g_test_add_func("/config/refused", test_refused);
        g_test_add_func("/config/mutations", test_mutations);
        g_test_add_func("/entry/chain", test_chain);
        return g_test_run();
}
