/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * META: see meta.h for the bytes.
 */

#include "agent/store/format/meta.h"

#include <assert.h>
#include <string.h>

#include "agent/base/reader.h"
#include "agent/base/writer.h"

#define CHECK_OFFSET (META_SLOT_BYTES - 8)

static const char magic[8] = { 'c', 'v', 'n', '-', 'm', 'e', 't', 'a' };

void meta_encode(const MetaRecord *r, uint8_t ret_slot[static META_SLOT_BYTES]) {
        g_auto(Writer) w = WRITER_INIT;
        const ZabMeta *m = &r->meta;
        uint64_t check;

        assert(m->current_epoch <= m->accepted_epoch);
        assert(m->membership >= ZAB_MEMBERSHIP_MEMBER && m->membership <= ZAB_MEMBERSHIP_JOINING);
        assert(m->sid >= 1 && m->sid <= 255);

        writer_bytes(&w, magic, sizeof magic);
        writer_u32(&w, META_FORMAT);
        writer_u32(&w, m->sid);
        writer_u64(&w, r->seq);
        writer_bytes(&w, m->cluster_id.bytes, sizeof m->cluster_id.bytes);
        writer_bytes(&w, m->disk_id.bytes, sizeof m->disk_id.bytes);
        writer_u32(&w, m->accepted_epoch);
        writer_u32(&w, m->current_epoch);
        writer_u64(&w, m->checkpoint_generation);
        writer_u64(&w, m->durable_floor);
        writer_u64(&w, r->newest_segment);
        writer_u32(&w, m->membership);
        writer_u64(&w, m->commit_floor);
        assert(w.size <= CHECK_OFFSET);

        memset(ret_slot, 0, META_SLOT_BYTES);
        memcpy(ret_slot, w.data, w.size);
        check = GUINT64_TO_LE(XXH3_64bits(ret_slot, CHECK_OFFSET));
        memcpy(ret_slot + CHECK_OFFSET, &check, sizeof check);
}

MetaVerdict meta_decode(const uint8_t slot[static META_SLOT_BYTES], MetaRecord *ret) {
        Reader r = READER_INIT(slot, META_SLOT_BYTES);
        MetaRecord record = { 0 };
        ZabMeta *m = &record.meta;
        uint32_t format;
        uint64_t check;

        memcpy(&check, slot + CHECK_OFFSET, sizeof check);
        if (memcmp(reader_bytes(&r, sizeof magic), magic, sizeof magic) != 0 ||
            GUINT64_FROM_LE(check) != XXH3_64bits(slot, CHECK_OFFSET))
                return META_BAD;

        format = reader_u32(&r);
        if (format > META_FORMAT)
                return META_NEWER;
        if (format != META_FORMAT)
                return META_BAD;

        m->sid = reader_u32(&r);
        record.seq = reader_u64(&r);
        memcpy(m->cluster_id.bytes, reader_bytes(&r, sizeof m->cluster_id.bytes), sizeof m->cluster_id.bytes);
        memcpy(m->disk_id.bytes, reader_bytes(&r, sizeof m->disk_id.bytes), sizeof m->disk_id.bytes);
        m->accepted_epoch = reader_u32(&r);
        m->current_epoch = reader_u32(&r);
        m->checkpoint_generation = reader_u64(&r);
        m->durable_floor = reader_u64(&r);
        record.newest_segment = reader_u64(&r);
        m->membership = (ZabMembership) reader_u32(&r);
        m->commit_floor = reader_u64(&r);
        if (m->current_epoch > m->accepted_epoch || m->sid < 1 || m->sid > 255 ||
            m->membership < ZAB_MEMBERSHIP_MEMBER || m->membership > ZAB_MEMBERSHIP_JOINING)
                return META_BAD;
        *ret = record;
        return META_OK;
}

MetaVerdict meta_choose(const uint8_t *file, size_t size, MetaRecord *ret, unsigned *ret_bad) {
        unsigned bad = 0;
        MetaRecord best = { 0 };

        for (size_t offset = 0; offset < META_FILE_BYTES; offset += META_SLOT_BYTES) {
                MetaVerdict verdict = META_BAD;
                MetaRecord record = { 0 };

                if (size >= offset + META_SLOT_BYTES)
                        verdict = meta_decode(file + offset, &record);
                if (verdict == META_NEWER)
                        return META_NEWER;
                if (verdict == META_BAD || meta_slot_offset(record.seq) != offset)
                        bad++;
                else if (record.seq >= best.seq)
                        best = record;
        }

        *ret_bad = bad;
        if (bad == 2)
                return META_BAD;
        *ret = best;
        return META_OK;
}
