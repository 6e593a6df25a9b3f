/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Base: reader, writer, status, hash sums
 */

#include <string.h>

#include <glib.h>

#include "agent/base/hash.h"
#include "agent/base/reader.h"
#include "agent/base/status.h"
#include "agent/base/writer.h"

static void test_round_trip(void) {
        g_auto(Writer) w = WRITER_INIT;
        size_t size;

        writer_u8(&w, 7);
        writer_u32(&w, UINT32_C(0xdeadbeef));
        writer_i64(&w, -5);
        writer_blob(&w, "ab\0c", 4);
        writer_string(&w, "path");
        writer_string(&w, NULL);

        Reader r = READER_INIT(w.data, w.size);
        g_assert_cmpint(reader_u8(&r), ==, 7);
        g_assert_cmphex(reader_u32(&r), ==, UINT32_C(0xdeadbeef));
        g_assert_cmpint(reader_i64(&r), ==, -5);
        g_assert_cmpmem(reader_blob(&r, 4, &size), size, "ab\0c", 4);
        g_assert_cmpstr(reader_string(&r, 4), ==, "path");
        g_assert_cmpstr(reader_string(&r, 4), ==, "");
        g_assert_true(reader_done(&r));
}

/* Every prefix of a valid record must fail, and never read past its end (ASan watches). */
static void test_truncation(void) {
        g_auto(Writer) w = WRITER_INIT;

        writer_u64(&w, 1);
        writer_string(&w, "abc");
        for (size_t n = 0; n < w.size; n++) {
                g_autofree uint8_t *copy = g_memdup2(w.data, n);
                Reader r = READER_INIT(copy, n);

                (void) reader_u64(&r);
                (void) reader_string(&r, 100);
                g_assert_false(reader_done(&r));
                g_assert_true(r.failed);
                g_assert_cmpint(reader_u64(&r), ==, 0);
        }
}

static void test_hostile(void) {
        g_auto(Writer) w = WRITER_INIT;
        size_t size;

        writer_u32(&w, UINT32_MAX);
        Reader r = READER_INIT(w.data, w.size);
        g_assert_null(reader_blob(&r, SIZE_MAX, &size));
        g_assert_true(r.failed);

        r = READER_INIT(w.data, w.size);
        g_assert_cmpint(reader_count(&r, UINT32_MAX, 1), ==, 0);
        g_assert_true(r.failed);

        writer_clear(&w);
        writer_blob(&w, "a\0b", 3);
        writer_u8(&w, 0);
        r = READER_INIT(w.data, w.size);
        g_assert_null(reader_string(&r, 10));
        g_assert_true(r.failed);

        writer_clear(&w);
        writer_string(&w, "toolong");
        r = READER_INIT(w.data, w.size);
        g_assert_null(reader_string(&r, 6));
        g_assert_true(r.failed);
}

static void test_status(void) {
        static const ConveneStatus some[] = { CONVENE_OK, CONVENE_NO_NODE, CONVENE_SEQUENCE_OVERFLOW };

        for (size_t i = 0; i < G_N_ELEMENTS(some); i++) {
                g_assert_cmpint(convene_status_from_string(convene_status_to_string(some[i])), ==, some[i]);
                g_assert_cmpuint(strlen(convene_status_describe(some[i])), >, 0);
        }
        g_assert_cmpstr(convene_status_to_string(-9999), ==, "SystemError");
        g_assert_cmpint(convene_status_from_string("?"), ==, CONVENE_SYSTEM_ERROR);
}

static void test_hash_sum(void) {
        Hash128 a = { UINT64_MAX, 1 }, b = { 1, 2 }, sum = hash128_add(a, b);

        g_assert_cmphex(sum.low, ==, 0);
        g_assert_cmphex(sum.high, ==, 4);
        g_assert_true(hash128_equal(hash128_subtract(sum, b), a));
        g_assert_true(hash128_equal(hash128_subtract(sum, a), b));
        g_assert_false(hash128_equal(hash128("a", 1, 0), hash128("a", 1, 1)));
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/base/round-trip", test_round_trip);
        g_test_add_func("/base/truncation", test_truncation);
        g_test_add_func("/base/hostile", test_hostile);
        g_test_add_func("/base/status", test_status);
        g_test_add_func("/base/hash-sum", test_hash_sum);
        return g_test_run();
}
