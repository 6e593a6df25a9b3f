/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * SnapshotReader
 */

#include "agent/store/snapshot-reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/tree/chunk.h"

static int fail(SnapshotReader *s, int code, const char *operation) {
        return checkpoint_fail(s->directory, s->environment->generation, code, operation);
}

static int read_position(SnapshotReader *s) {
        uint64_t id = 1;
        MDB_val key = { sizeof id, &id }, value;
        int code;

        code = mdb_get(s->txn, s->environment->position_table, &key, &value);
        if (code != 0)
                return fail(s, code, "read its position");
        if (checkpoint_position_decode(value.mv_data, value.mv_size, &s->position) != POSITION_OK)
                return fail(s, MDB_CORRUPTED, "read its position");
        return 0;
}

int snapshot_reader_open(SnapshotReader *s, Directory *d, Environments *environments, Environment *environment) {
        int code, r;

        *s = (SnapshotReader) {
                .directory = d,
                .environment = environment,
                .rows = g_array_new(FALSE, FALSE, sizeof(TreeRow)),
                .scratch = WRITER_INIT,
        };
        code = mdb_txn_begin(environment->env, NULL, MDB_RDONLY, &s->txn);
        r = code != 0 ? fail(s, code, "read") : read_position(s);
        if (r < 0)
                snapshot_reader_done(s, environments);
        return r;
}

void snapshot_reader_done(SnapshotReader *s, Environments *environments) {
        if (s->cursor)
                mdb_cursor_close(s->cursor);
        if (s->txn)
                mdb_txn_abort(s->txn);
        (void) environments_release(environments, s->environment);
        checkpoint_position_done(&s->position);
        g_array_unref(s->rows);
        writer_done(&s->scratch);
        *s = (SnapshotReader) { 0 };
}

/* The next row of all; 1, 0 at the end. */
static int next_row(SnapshotReader *s, TreeRow *ret) {
        for (; s->table < _TREE_TABLE_MAX; s->table++) {
                bool first = !s->cursor;
                MDB_val key, value;
                uint64_t id;
                int code = 0;

                if (first)
                        code = mdb_cursor_open(s->txn, s->environment->tables[s->table], &s->cursor);
                if (code == 0)
                        code = mdb_cursor_get(s->cursor, &key, &value, MDB_NEXT);
                if (code == MDB_NOTFOUND) {
                        mdb_cursor_close(g_steal_pointer(&s->cursor));
                        continue;
                }
                if (code != 0 || key.mv_size != sizeof id || value.mv_size > CHECKPOINT_ROW_BYTES_MAX)
                        return fail(s, code != 0 ? code : MDB_CORRUPTED, "read a row");
                memcpy(&id, key.mv_data, sizeof id);
                if (!first && id <= s->last_key)
                        return fail(s, MDB_CORRUPTED, "read a row");
                s->last_key = id;
                *ret = (TreeRow) { (TreeTable) s->table, id, value.mv_data, (uint32_t) value.mv_size };
                return 1;
        }
        return 0;
}

static void add_to_digest(SnapshotReader *s, const TreeRow *row) {
        Writer *w = &s->scratch;

        writer_clear(w);
        writer_u8(w, (uint8_t) row->table);
        writer_u64(w, row->key);
        writer_bytes(w, row->value, row->value_size);
        s->digest = hash128_add(s->digest, hash128(w->data, w->size, 0));
}

int snapshot_reader_next(SnapshotReader *s, GBytes **ret) {
        size_t bytes = 0;
        int r = 1;

        g_array_set_size(s->rows, 0);
        while (bytes < SNAPSHOT_CHUNK_BYTES && s->rows->len < TREE_CHUNK_ROWS_MAX) {
                TreeRow row;

                r = next_row(s, &row);
                if (r < 0)
                        return r;
                if (r == 0)
                        break;
                add_to_digest(s, &row);
                g_array_append_val(s->rows, row);
                bytes += row.value_size;
        }
        if (s->rows->len == 0)
                return hash128_equal(s->digest, s->position.digest) ?
                        0 : fail(s, MDB_CORRUPTED, "its rows do not have the digest they were written with");

        writer_clear(&s->scratch);
        tree_chunk_encode((const TreeRow *) s->rows->data, s->rows->len, &s->scratch);
        *ret = writer_to_bytes(&s->scratch);
        return 1;
}

/* The rows must come from the disk, not from what was just written to the cache. */
static int settle_data(Directory *d, uint64_t generation) {
        char name[CHECKPOINT_NAME_BYTES], file[CHECKPOINT_NAME_BYTES + 16];
        int fd, r;

        checkpoint_name(generation, name);
        (void) snprintf(file, sizeof file, "%s/data.mdb", name);
        fd = directory_open_file(d, d->fd, file, O_RDONLY);
        if (fd < 0)
                return fd;
        r = directory_settle_file(d, d->fd, file, fd);
        close(fd);
        return r;
}

int snapshot_reader_verify(Directory *d, Environments *environments, uint64_t generation) {
        Environment *environment;
        SnapshotReader s;
        int r;

        r = settle_data(d, generation);
        if (r < 0)
                return r;
        r = environments_use(environments, d, generation, &environment);
        if (r < 0)
                return r;
        r = snapshot_reader_open(&s, d, environments, environment);
        if (r < 0)
                return r;
        do {
                g_autoptr(GBytes) chunk = NULL;

                r = snapshot_reader_next(&s, &chunk);
        } while (r > 0);
        snapshot_reader_done(&s, environments);
        return r;
}
