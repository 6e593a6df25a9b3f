/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Position: see position.h for the bytes.
 */

#include "agent/store/format/position.h"

#include <assert.h>
#include <string.h>

#include "agent/base/limits.h"
#include "agent/base/reader.h"

void checkpoint_position_done(CheckpointPosition *p) {
        g_clear_pointer(&p->config, g_bytes_unref);
}

void checkpoint_position_encode(const CheckpointPosition *p, Writer *w) {
        gsize config_size = 0;
        const void *config = p->config ? g_bytes_get_data(p->config, &config_size) : NULL;

        assert(w->size == 0);

        writer_u32(w, POSITION_FORMAT);
        writer_bytes(w, p->cluster_id.bytes, sizeof p->cluster_id.bytes);
        writer_u64(w, p->position.index);
        writer_u64(w, p->position.zxid);
        writer_u64(w, p->position.chain.low);
        writer_u64(w, p->position.chain.high);
        writer_u64(w, p->digest.low);
        writer_u64(w, p->digest.high);
        writer_u8(w, p->config != NULL);
        writer_blob(w, config, config_size);
        writer_u64(w, XXH3_64bits(w->data, w->size));
}

PositionVerdict checkpoint_position_decode(const uint8_t *data, size_t size, CheckpointPosition *ret) {
        CheckpointPosition p = { 0 };
        const uint8_t *id, *config;
        uint8_t has_config;
        size_t config_size;
        uint64_t check;
        Reader r;

        if (size < sizeof(uint32_t) + sizeof check)
                return POSITION_BAD;
        memcpy(&check, data + size - sizeof check, sizeof check);
        if (GUINT64_FROM_LE(check) != XXH3_64bits(data, size - sizeof check))
                return POSITION_BAD;

        r = READER_INIT(data, size - sizeof check);
        switch (reader_u32(&r)) {

        case 0:
                return POSITION_BAD;

        case POSITION_FORMAT:
                break;

        default:
                return POSITION_NEWER;
        }

        id = reader_bytes(&r, sizeof p.cluster_id.bytes);
        p.position.index = reader_u64(&r);
        p.position.zxid = reader_u64(&r);
        p.position.chain.low = reader_u64(&r);
        p.position.chain.high = reader_u64(&r);
        p.digest.low = reader_u64(&r);
        p.digest.high = reader_u64(&r);
        has_config = reader_u8(&r);
        config = reader_blob(&r, LIMIT_REQUEST_BYTES, &config_size);
        if (!reader_done(&r) || has_config > 1 || (!has_config && config_size > 0))
                return POSITION_BAD;

        memcpy(p.cluster_id.bytes, id, sizeof p.cluster_id.bytes);
        if (has_config)
                p.config = g_bytes_new(config, config_size);
        *ret = p;
        return POSITION_OK;
}
