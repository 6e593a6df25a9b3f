/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The bytes of META and of a checkpoint's position: every bit turned over, every cut.
 */

#include <string.h>

#include <glib.h>

#include "agent/store/format/meta.h"
#include "agent/store/format/position.h"

static const Id128 cluster_id = { { 1, 2, 3, 4, 5, 6, 7, 8, 9 } };
static const Id128 disk_id = { { 9, 8, 7 } };

static MetaRecord example_meta(uint64_t seq) {
        return (MetaRecord) {
                .seq = seq,
                .meta = {
                        .cluster_id = cluster_id,
                        .disk_id = disk_id,
                        .sid = 3,
                        .accepted_epoch = 10 + (uint32_t) seq,
                        .current_epoch = 9,
                        .checkpoint_generation = 4,
                        .durable_floor = 100,
                        .membership = ZAB_MEMBERSHIP_MEMBER,
                },
                .newest_segment = 90,
        };
}

static void test_meta(void) {
        MetaRecord seven = example_meta(7), eight = example_meta(8), r;
        uint8_t file[META_FILE_BYTES], whole[META_FILE_BYTES];
        unsigned bad;

        meta_encode(&eight, file);
        meta_encode(&seven, file + META_SLOT_BYTES);
        memcpy(whole, file, sizeof file);
        g_assert_cmpint(meta_choose(file, sizeof file, &r, &bad), ==, META_OK);
        g_assert_cmpuint(bad, ==, 0);
        g_assert_cmpuint(r.seq, ==, 8);
        g_assert_cmpmem(&r.meta, sizeof r.meta, &eight.meta, sizeof eight.meta);
        g_assert_cmpuint(r.newest_segment, ==, 90);

        /* every bit of both */
        for (size_t bit = 0; bit < META_FILE_BYTES * 8; bit++) {
                file[bit / 8] ^= 1u << bit % 8;
                g_assert_cmpint(meta_choose(file, sizeof file, &r, &bad), ==, META_OK);
                g_assert_cmpuint(bad, ==, 1);
                g_assert_cmpuint(r.seq, ==, bit / 8 < META_SLOT_BYTES ? 7 : 8);
                file[bit / 8] ^= 1u << bit % 8;
        }

        /* a write of seq 9 that is cut at every byte: the old one or the new one */
        for (size_t cut = 0; cut <= META_SLOT_BYTES; cut++) {
                MetaRecord nine = example_meta(9);
                uint8_t slot[META_SLOT_BYTES];

                meta_encode(&nine, slot);
                memcpy(file, whole, sizeof file);
                memcpy(file + META_SLOT_BYTES, slot, cut);
                g_assert_cmpint(meta_choose(file, sizeof file, &r, &bad), ==, META_OK);
                g_assert_cmpuint(r.meta.accepted_epoch, ==, r.seq == 9 ? 19 : 18);
                g_assert_cmpuint(r.seq, ==, memcmp(file + META_SLOT_BYTES, slot, META_SLOT_BYTES) == 0 ? 9 : 8);
        }

        /* both bad; a short file; slots in each other's place */
        memcpy(file, whole, sizeof file);
        file[100] ^= 1;
        file[META_SLOT_BYTES + 4000] ^= 1;
        g_assert_cmpint(meta_choose(file, sizeof file, &r, &bad), ==, META_BAD);
        g_assert_cmpuint(bad, ==, 2);
        g_assert_cmpint(meta_choose(whole, META_SLOT_BYTES, &r, &bad), ==, META_OK);
        g_assert_cmpuint(bad, ==, 1);
        g_assert_cmpint(meta_choose(whole, 0, &r, &bad), ==, META_BAD);
        memcpy(file, whole + META_SLOT_BYTES, META_SLOT_BYTES);
        memcpy(file + META_SLOT_BYTES, whole, META_SLOT_BYTES);
        g_assert_cmpint(meta_choose(file, sizeof file, &r, &bad), ==, META_BAD);
}

static void reseal(uint8_t *block, size_t size) {
        uint64_t check = GUINT64_TO_LE(XXH3_64bits(block, size - 8));

        memcpy(block + size - 8, &check, sizeof check);
}

static void test_meta_values(void) {
        MetaRecord record = example_meta(2), r;
        uint8_t file[META_FILE_BYTES] = { 0 };
        unsigned bad;

        meta_encode(&record, file);
        file[8] = META_FORMAT + 1;
        reseal(file, META_SLOT_BYTES);
        g_assert_cmpint(meta_choose(file, sizeof file, &r, &bad), ==, META_NEWER);
        file[8] = META_FORMAT;
        file[12] = 0;                   /* sid 0 */
        reseal(file, META_SLOT_BYTES);
        g_assert_cmpint(meta_choose(file, sizeof file, &r, &bad), ==, META_BAD);
        file[12] = 3;
        file[60] = 200;                 /* current above accepted */
        reseal(file, META_SLOT_BYTES);
        g_assert_cmpint(meta_choose(file, sizeof file, &r, &bad), ==, META_BAD);
        file[60] = 9;
        file[88] = 4;                   /* no such membership */
        reseal(file, META_SLOT_BYTES);
        g_assert_cmpint(meta_choose(file, sizeof file, &r, &bad), ==, META_BAD);
        file[88] = 2;
        reseal(file, META_SLOT_BYTES);
        g_assert_cmpint(meta_choose(file, sizeof file, &r, &bad), ==, META_OK);
        g_assert_cmpint(r.meta.membership, ==, ZAB_MEMBERSHIP_DAMAGED);
}

static void test_position(void) {
        for (unsigned with_config = 0; with_config < 2; with_config++) {
                g_autoptr(GBytes) config = with_config ? g_bytes_new_static("config", 6) : NULL;
                CheckpointPosition p = {
                        .cluster_id = cluster_id,
                        .position = { 5, 6, { 7, 8 } },
                        .digest = { 9, 10 },
                        .config = config,
                };
                g_auto(CheckpointPosition) q = { 0 };
                g_auto(Writer) w = WRITER_INIT;

                checkpoint_position_encode(&p, &w);
                g_assert_cmpint(checkpoint_position_decode(w.data, w.size, &q), ==, POSITION_OK);
                g_assert_cmpuint(q.position.index, ==, 5);
                g_assert_cmpuint(q.position.zxid, ==, 6);
                g_assert_true(hash128_equal(q.position.chain, p.position.chain));
                g_assert_true(hash128_equal(q.digest, p.digest));
                g_assert_true(!q.config == !config);
                if (config)
                        g_assert_true(g_bytes_equal(q.config, config));

                for (size_t bit = 0; bit < w.size * 8; bit++) {
                        g_auto(CheckpointPosition) never = { 0 };

                        w.data[bit / 8] ^= 1u << bit % 8;
                        g_assert_cmpint(checkpoint_position_decode(w.data, w.size, &never), ==, POSITION_BAD);
                        w.data[bit / 8] ^= 1u << bit % 8;
                }
                for (size_t size = 0; size < w.size; size++) {
                        g_auto(CheckpointPosition) never = { 0 };

                        g_assert_cmpint(checkpoint_position_decode(w.data, size, &never), ==, POSITION_BAD);
                }
                w.data[0] = POSITION_FORMAT + 1;
                reseal(w.data, w.size);
                g_assert_cmpint(checkpoint_position_decode(w.data, w.size, &q), ==, POSITION_NEWER);
        }
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/store/meta/slots", test_meta);
        g_test_add_func("/store/meta/values", test_meta_values);
        g_test_add_func("/store/position/codec", test_position);

        return g_test_run();
}
