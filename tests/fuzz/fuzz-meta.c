/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Fuzz: META, and the position of a checkpoint
 *
 *     u8: bits 0 and 1 give the slots of META right checksums, bit 2 asks for a position instead; then the bytes
 */

#include <string.h>

#include "agent/store/format/meta.h"
#include "agent/store/format/position.h"
#include "tests/fuzz/fuzz.h"

uint64_t fuzz_accepted;

static void seal(uint8_t *data, size_t size) {
        uint64_t check = GUINT64_TO_LE(XXH3_64bits(data, size - 8));

        memcpy(data + size - 8, &check, sizeof check);
}

static void fuzz_meta(unsigned sealed, const uint8_t *data, size_t size) {
        uint8_t file[META_FILE_BYTES] = { 0 }, again[META_SLOT_BYTES];
        MetaRecord r, s;
        unsigned bad;

        /* the first half of the input for the first slot, the other for the second */
        for (unsigned i = 0; i < 2; i++) {
                memcpy(file + i * META_SLOT_BYTES, data + i * (size / 2), MIN(size / 2, META_SLOT_BYTES));
                if (sealed & 1u << i)
                        seal(file + i * META_SLOT_BYTES, META_SLOT_BYTES);
        }
        if (meta_choose(file, sizeof file, &r, &bad) != META_OK)
                return;

        fuzz_accepted++;
        fuzz_check(bad <= 1);
        fuzz_check(r.meta.current_epoch <= r.meta.accepted_epoch);
        meta_encode(&r, again);
        fuzz_check(meta_decode(again, &s) == META_OK);
        fuzz_check(memcmp(&r, &s, sizeof r) == 0);
}

static void fuzz_position(unsigned sealed, const uint8_t *data, size_t size) {
        g_autofree uint8_t *copy = g_memdup2(data, size);
        g_auto(CheckpointPosition) p = { 0 };
        g_auto(Writer) w = WRITER_INIT;

        if (sealed && size >= 8)
                seal(copy, size);
        if (checkpoint_position_decode(copy, size, &p) != POSITION_OK)
                return;

        fuzz_accepted++;
        checkpoint_position_encode(&p, &w);
        fuzz_check(w.size == size && memcmp(w.data, copy, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size == 0)
                return 0;
        if (data[0] & 4)
                fuzz_position(data[0] & 1, data + 1, size - 1);
        else
                fuzz_meta(data[0] & 3, data + 1, size - 1);
        return 0;
}
