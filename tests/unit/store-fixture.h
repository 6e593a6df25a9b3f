/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A store with a listener that remembers, entries that continue each other, and a model of the rows: what the tests of
 * the store share.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "agent/base/prng.h"
#include "agent/base/writer.h"
#include "agent/store/format/record.h"
#include "agent/store/format/segment.h"
#include "agent/store/io.h"
#include "agent/tree/chunk.h"

#define FIXTURE_ROWS 2000
#define FIXTURE_WAIT_MSEC 30000

static const ZabMeta fixture_meta = {
        .cluster_id = { { 1, 2, 3, 4, 5, 6, 7, 8 } },
        .disk_id = { { 8, 7, 6 } },
        .sid = 1,
        .accepted_epoch = 2,
        .current_epoch = 1,
        .membership = ZAB_MEMBERSHIP_MEMBER,
};

typedef struct Fixture {
        char *directory;                /* owned */
        StoreIo io;
        StoreOptions options;
        Store *store;
        char *error;                    /* of the last open; owned */

        /* told */
        uint64_t appended, meta_written, checkpointed, snap_failed, log_dropped;
        int snap_error;
        uint64_t log_request, snapshot_request, chunk_request;          /* of the last answer of each kind */
        GArray *entries;                /* of the last log_read; owned, payloads included */
        ZabPosition snapshot_position;
        GBytes *chunk;                  /* owned; NULL at the end */
        Hash128 chunk_digest;
        int checkpoint_error;
        int space;                      /* -1: nothing said */
        unsigned failed;
        int failed_error;
        char *failed_what;              /* owned */
        void (*on_appended)(struct Fixture *f);

        /* log */
        ZabPosition last;
        Zxid next_zxid;                 /* of the next entry; 0: one more */
        GArray *positions;              /* ZabPosition, of each index; owned */
        uint64_t watched_index;         /* in a replay, the lowest epoch of the zxids after this index: */
        uint32_t lowest_epoch_after;
        uint64_t io_seq;
        ZabPosition replay_last;
        uint64_t replay_first;

        /* rows: table ZNODE, keys 1..FIXTURE_ROWS; 0: no such row */
        uint32_t rows[FIXTURE_ROWS + 1];
} Fixture;

static inline void fixture_on_appended(void *userdata, uint64_t io_seq) {
        Fixture *f = userdata;

        g_assert_cmpuint(f->failed, ==, 0);
        g_assert_cmpuint(io_seq, >, f->appended);
        g_assert_cmpuint(io_seq, <=, f->io_seq);
        f->appended = io_seq;
        if (f->on_appended)
                f->on_appended(f);
}

static inline void fixture_on_meta(void *userdata, uint64_t io_seq) {
        Fixture *f = userdata;

        g_assert_cmpuint(f->failed, ==, 0);
        g_assert_cmpuint(io_seq, >, f->meta_written);
        f->meta_written = io_seq;
}

static inline void fixture_on_checkpoint(void *userdata, uint64_t io_seq, int error) {
        Fixture *f = userdata;

        g_assert_cmpuint(f->failed, ==, 0);
        f->checkpointed = io_seq;
        f->checkpoint_error = error;
}

static inline void fixture_on_snap_failed(void *userdata, uint64_t io_seq, int error) {
        Fixture *f = userdata;

        g_assert_cmpint(error, <, 0);
        f->snap_failed = io_seq;
        f->snap_error = error;
}

static inline void fixture_on_log_dropped(void *userdata, uint64_t index) {
        Fixture *f = userdata;

        g_assert_cmpuint(index, >, f->log_dropped);
        f->log_dropped = index;
}

static inline void fixture_forget_answers(Fixture *f) {
        for (unsigned i = 0; f->entries && i < f->entries->len; i++)
                g_bytes_unref(g_array_index(f->entries, ZabEntry, i).payload);
        g_clear_pointer(&f->entries, g_array_unref);
        g_clear_pointer(&f->chunk, g_bytes_unref);
}

static inline void fixture_on_log_read(void *userdata, uint64_t request, const ZabEntry *entries, unsigned count) {
        Fixture *f = userdata;

        fixture_forget_answers(f);
        f->entries = g_array_new(FALSE, FALSE, sizeof(ZabEntry));
        g_array_append_vals(f->entries, entries, count);
        for (unsigned i = 0; i < count; i++)
                g_bytes_ref(entries[i].payload);
        f->log_request = request;
}

static inline void fixture_on_snapshot_opened(void *userdata, uint64_t request, const ZabPosition *position,
                                              GBytes *config) {
        Fixture *f = userdata;

        f->snapshot_request = request;
        f->snapshot_position = *position;
}

static inline void fixture_on_chunk(void *userdata, uint64_t request, GBytes *chunk, Hash128 digest) {
        Fixture *f = userdata;

        fixture_forget_answers(f);
        f->chunk_request = request;
        f->chunk = chunk ? g_bytes_ref(chunk) : NULL;
        f->chunk_digest = digest;
}

static inline void fixture_on_space(void *userdata, bool available) {
        Fixture *f = userdata;

        f->space = available;
}

static inline void fixture_on_failed(void *userdata, int error, const char *what) {
        Fixture *f = userdata;

        f->failed++;
        f->failed_error = error;
        g_free(f->failed_what);
        f->failed_what = g_strdup(what);
}

static inline void fixture_init(Fixture *f, const char *directory) {
        *f = (Fixture) {
                .directory = directory ? g_strdup(directory) : g_dir_make_tmp("convene-store-XXXXXX", NULL),
                .io = store_io_system,
                .space = -1,
                .positions = g_array_new(FALSE, TRUE, sizeof(ZabPosition)),
        };
        g_assert_nonnull(f->directory);
        f->io.segment_bytes_min = 8192;
        f->options.segment_bytes = 256 * 1024;
}

static inline void fixture_remove(const char *path) {
        GDir *dir = g_dir_open(path, 0, NULL);
        const char *name;

        while (dir && (name = g_dir_read_name(dir))) {
                g_autofree char *child = g_build_filename(path, name, NULL);

                if (g_file_test(child, G_FILE_TEST_IS_DIR) && !g_file_test(child, G_FILE_TEST_IS_SYMLINK))
                        fixture_remove(child);
                else
                        g_assert_cmpint(g_unlink(child), ==, 0);
        }
        if (dir)
                g_dir_close(dir);
        g_assert_cmpint(g_rmdir(path), ==, 0);
}

static inline void fixture_close(Fixture *f) {
        f->store = store_close(f->store);
}

/* All but the directory. */
static inline void fixture_forget(Fixture *f) {
        fixture_close(f);
        fixture_forget_answers(f);
        g_free(f->directory);
        g_free(f->error);
        g_free(f->failed_what);
        g_array_unref(f->positions);
}

static inline void fixture_done(Fixture *f) {
        fixture_close(f);
        fixture_remove(f->directory);
        fixture_forget(f);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Fixture, fixture_done)

static inline int fixture_open(Fixture *f) {
        StoreListener listener = {
                .appended = fixture_on_appended,
                .meta_written = fixture_on_meta,
                .checkpointed = fixture_on_checkpoint,
                .snap_failed = fixture_on_snap_failed,
                .log_dropped = fixture_on_log_dropped,
                .log_read = fixture_on_log_read,
                .snapshot_opened = fixture_on_snapshot_opened,
                .snapshot_chunk = fixture_on_chunk,
                .space = fixture_on_space,
                .failed = fixture_on_failed,
                .userdata = f,
        };

        g_assert_null(f->store);
        f->options.directory = f->directory;
        f->appended = f->meta_written = f->checkpointed = f->io_seq = f->snap_failed = f->log_dropped = 0;
        f->failed = 0;
        f->space = -1;
        g_clear_pointer(&f->error, g_free);
        return store_open_with_io(&f->options, &listener, &f->io, &f->store, &f->error);
}

static inline void fixture_note_position(Fixture *f, const ZabPosition *position) {
        if (f->positions->len <= position->index)
                g_array_set_size(f->positions, (guint) position->index + 1);
        g_array_index(f->positions, ZabPosition, position->index) = *position;
}

static inline ZabPosition fixture_position(const Fixture *f, uint64_t index) {
        g_assert_cmpuint(index, <, f->positions->len);
        return g_array_index(f->positions, ZabPosition, index);
}

/* Checks the entry against what fixture_entry() would have made. */
static inline int fixture_on_entry(void *userdata, const ZabEntry *e) {
        Fixture *f = userdata;
        const uint8_t *data;
        gsize size;

        if (f->replay_first == 0)
                f->replay_first = e->index;
        g_assert_cmpuint(e->index, ==, f->replay_last.index + 1);
        g_assert_cmpuint(e->prev_zxid, ==, f->replay_last.zxid);
        g_assert_true(hash128_equal(e->chain, zab_entry_chain(f->replay_last.chain, &fixture_meta.cluster_id, e)));
        data = g_bytes_get_data(e->payload, &size);
        for (gsize i = 0; e->type == ZAB_ENTRY_REQUEST && i < size; i++)
                g_assert_cmpint(data[i], ==, (uint8_t) (e->index + i % 7));
        f->replay_last = (ZabPosition) { e->index, e->zxid, e->chain };
        fixture_note_position(f, &f->replay_last);
        if (e->index > f->watched_index)
                f->lowest_epoch_after = MIN(f->lowest_epoch_after, zxid_epoch(e->zxid));
        return 0;
}

/* Load (rows only verified) and replay; the first negative result. */
static inline int fixture_recover(Fixture *f) {
        ZabPosition position = { 0 };
        g_autoptr(GBytes) config = NULL;
        int r;

        r = store_load(f->store, NULL, &position, &config);
        if (r < 0)
                return r;
        f->replay_last = position;
        f->replay_first = 0;
        f->lowest_epoch_after = UINT32_MAX;
        fixture_note_position(f, &position);
        r = store_replay(f->store, fixture_on_entry, f);
        f->last = f->replay_last;
        return r;
}

static inline void fixture_start(Fixture *f) {
        g_assert_cmpint(store_start(f->store), ==, 0);
}

/* Opened, loaded, replayed and started; made if blank. */
static inline void fixture_run(Fixture *f) {
        g_assert_cmpint(fixture_open(f), ==, 0);
        if (store_get_report(f->store)->state == STORE_BLANK)
                g_assert_cmpint(store_create(f->store, &fixture_meta), ==, 0);
        g_assert_cmpint(fixture_recover(f), ==, 0);
        fixture_start(f);
}

static inline void fixture_append_entry(Fixture *f, ZabEntryType type, GBytes *payload) {
        ZabEntry e = {
                .index = f->last.index + 1,
                .zxid = f->next_zxid > 0 ? f->next_zxid : f->last.zxid + 1,
                .prev_zxid = f->last.zxid,
                .type = type,
                .time_msec = 5,
                .payload = payload,
        };

        e.chain = zab_entry_chain(f->last.chain, &fixture_meta.cluster_id, &e);
        f->last = (ZabPosition) { e.index, e.zxid, e.chain };
        f->next_zxid = 0;
        fixture_note_position(f, &f->last);
        store_append(f->store, ++f->io_seq, &e, 1);
}

static inline void fixture_append_payload(Fixture *f, GBytes *payload) {
        fixture_append_entry(f, ZAB_ENTRY_REQUEST, payload);
}

static inline void fixture_append_size(Fixture *f, size_t size) {
        g_autofree uint8_t *data = g_malloc(size + 1);
        g_autoptr(GBytes) payload = NULL;

        for (size_t i = 0; i < size; i++)
                data[i] = (uint8_t) (f->last.index + 1 + i % 7);
        payload = g_bytes_new_take(g_steal_pointer(&data), size);
        fixture_append_payload(f, payload);
}

static inline void fixture_append(Fixture *f) {
        fixture_append_size(f, 100);
}

/* Waits for the store's descriptor, never for time to pass. */
static inline bool fixture_dispatch(Fixture *f) {
        struct pollfd p = { .fd = store_get_fd(f->store), .events = POLLIN };

        if (poll(&p, 1, FIXTURE_WAIT_MSEC) != 1)
                return false;
        store_dispatch(f->store);
        return true;
}

#define fixture_wait(f, condition)                                      \
        do {                                                            \
                while (!(condition))                                    \
                        g_assert_true(fixture_dispatch(f));             \
        } while (0)

static inline void fixture_drain(Fixture *f) {
        fixture_wait(f, f->appended == f->io_seq || f->failed > 0);
}

/*
 * Rows
 */

static inline void fixture_row(uint64_t key, uint32_t value, Writer *w) {
        writer_clear(w);
        for (unsigned i = 0; i < 12 + key % 5; i++)
                writer_u32(w, value * 31 + (uint32_t) key + i);
}

static inline Hash128 fixture_digest(const Fixture *f) {
        g_auto(Writer) w = WRITER_INIT;
        g_auto(Writer) row = WRITER_INIT;
        Hash128 digest = { 0 };

        for (uint64_t key = 1; key <= FIXTURE_ROWS; key++) {
                if (f->rows[key] == 0)
                        continue;
                fixture_row(key, f->rows[key], &row);
                writer_clear(&w);
                writer_u8(&w, TREE_TABLE_ZNODE);
                writer_u64(&w, key);
                writer_bytes(&w, row.data, row.size);
                digest = hash128_add(digest, hash128(w.data, w.size, 0));
        }
        return digest;
}

static inline void fixture_send_row(Fixture *f, uint64_t key) {
        g_auto(Writer) w = WRITER_INIT;
        TreeRow row = { .table = TREE_TABLE_ZNODE, .key = key };

        if (f->rows[key] != 0) {
                fixture_row(key, f->rows[key], &w);
                row.value = w.data;
                row.value_size = (uint32_t) w.size;
        }
        store_checkpoint_rows(f->store, &row, 1);
}

/* The rows as a leader sends them, some to a chunk. */
static inline void fixture_send_chunks(Fixture *f) {
        for (uint64_t key = 1; key <= FIXTURE_ROWS;) {
                g_autoptr(GArray) rows = g_array_new(FALSE, FALSE, sizeof(TreeRow));
                g_autoptr(GBytes) chunk = NULL;
                g_auto(Writer) values = WRITER_INIT, w = WRITER_INIT, value = WRITER_INIT;

                (void) writer_reserve(&values, 64 * 1024);
                writer_clear(&values);
                for (; key <= FIXTURE_ROWS && rows->len < 300; key++) {
                        TreeRow row = { .table = TREE_TABLE_ZNODE, .key = key };

                        if (f->rows[key] == 0)
                                continue;
                        fixture_row(key, f->rows[key], &value);
                        row.value = values.data + values.size;
                        row.value_size = (uint32_t) value.size;
                        writer_bytes(&values, value.data, value.size);
                        g_array_append_val(rows, row);
                }
                tree_chunk_encode((const TreeRow *) rows->data, rows->len, &w);
                chunk = writer_to_bytes(&w);
                store_snap_chunk(f->store, chunk);
        }
}

/* Changes some rows and asks for a checkpoint at the last entry, which must be durable. */
static inline void fixture_checkpoint(Fixture *f, Prng *prng, bool full, unsigned changes) {
        g_autoptr(GBytes) config = g_bytes_new_static("configuration", 13);
        g_autofree uint64_t *changed = g_new(uint64_t, changes + 1);

        for (unsigned i = 0; i < changes; i++) {
                changed[i] = 1 + prng_below(prng, FIXTURE_ROWS);
                f->rows[changed[i]] = prng_below(prng, 8) == 0 ? 0 : 1 + (uint32_t) prng_below(prng, 1000000);
        }
        store_checkpoint_begin(f->store, ++f->io_seq, full, &f->last, fixture_digest(f), config);
        if (full) {
                for (uint64_t key = 1; key <= FIXTURE_ROWS; key++)
                        if (f->rows[key] != 0)
                                fixture_send_row(f, key);
        } else
                for (unsigned i = 0; i < changes; i++)
                        fixture_send_row(f, changed[i]);
        store_checkpoint_end(f->store);
}

/* A checkpoint takes an io_seq of its own, which appended() does not tell. */
static inline void fixture_checkpoint_and_wait(Fixture *f, Prng *prng, bool full, unsigned changes) {
        fixture_checkpoint(f, prng, full, changes);
        fixture_wait(f, f->checkpointed == f->io_seq);
        g_assert_cmpint(f->checkpoint_error, ==, 0);
        f->appended = f->io_seq;
}

static inline void fixture_reopen(Fixture *f) {
        fixture_close(f);
        fixture_run(f);
}

static inline char *fixture_path(const Fixture *f, const char *name) {
        return g_build_filename(f->directory, name, NULL);
}

static inline unsigned fixture_count(const Fixture *f, const char *directory, const char *suffix) {
        g_autofree char *path = fixture_path(f, directory);
        GDir *dir = g_dir_open(path, 0, NULL);
        unsigned n = 0;
        const char *name;

        g_assert_nonnull(dir);
        while ((name = g_dir_read_name(dir)))
                n += g_str_has_suffix(name, suffix);
        g_dir_close(dir);
        return n;
}

/* Turns over bits of a file in place. */
static inline void fixture_flip(const Fixture *f, const char *name, off_t offset, uint8_t bits) {
        g_autofree char *path = fixture_path(f, name);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        uint8_t byte;

        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(pread(fd, &byte, 1, offset), ==, 1);
        byte ^= bits;
        g_assert_cmpint(pwrite(fd, &byte, 1, offset), ==, 1);
        close(fd);
}
