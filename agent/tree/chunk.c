/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Chunk
 *
 * Rows of a tree as bytes, for a snapshot on its way to another member.
 */

#include "agent/tree/chunk.h"

#include <assert.h>

#include "agent/base/reader.h"

void tree_chunk_encode(const TreeRow *rows, unsigned rows_count, Writer *w) {
        assert(rows_count <= TREE_CHUNK_ROWS_MAX);

        writer_u32(w, rows_count);
        for (unsigned i = 0; i < rows_count; i++) {
                assert(rows[i].value);

                writer_u8(w, (uint8_t) rows[i].table);
                writer_u64(w, rows[i].key);
                writer_blob(w, rows[i].value, rows[i].value_size);
        }
}

bool tree_chunk_decode(GBytes *chunk, bool (*each)(void *userdata, const TreeRow *row), void *userdata) {
        gsize size;
        const uint8_t *data = g_bytes_get_data(chunk, &size);
        Reader r = READER_INIT(data, size);
        uint32_t count = reader_count(&r, TREE_CHUNK_ROWS_MAX, 13);

        for (uint32_t i = 0; i < count; i++) {
                TreeRow row = { .table = (TreeTable) reader_u8(&r), .key = reader_u64(&r) };
                size_t value_size = 0;

                row.value = reader_blob(&r, UINT32_MAX, &value_size);
                row.value_size = (uint32_t) value_size;
                if (r.failed || row.table >= _TREE_TABLE_MAX || !each(userdata, &row))
                        return false;
        }

        return reader_done(&r);
}
