/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The store's log beside the bare disk, in the same directory and in turns: a durable append at window 1 against one
 * preallocated 4-KiB pwrite and fdatasync, and appends per second at window 1000.  Then appends while checkpoints
 * run, and the time to load one.
 *
 *     bench-store [DIRECTORY [ROWS]]   the disk to measure; default: the directory for temporary files, 200000 rows
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "agent/store/store.h"

#define ROUNDS 20
#define PER_ROUND 150
#define PAYLOAD_BYTES 100
#define BARE_BYTES 4096
#define WINDOW 1000
#define WINDOW_APPENDS 200000
#define ROW_BYTES 200
#define ROWS_PER_CALL 1000
#define BACKLOG_MAX 4

typedef struct Bench {
        Store *store;
        uint64_t io_seq, appended;
        bool checkpointed;
        Hash128 digest;
        ZabPosition last;
        int bare_fd;
        off_t bare_offset;
} Bench;

static const ZabMeta meta = {
        .cluster_id = { { 1 } },
        .disk_id = { { 2 } },
        .sid = 1,
        .membership = ZAB_MEMBERSHIP_MEMBER,
};

static double usec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double) ts.tv_sec * 1e6 + (double) ts.tv_nsec / 1e3;
}

_Noreturn static void die(const char *what, int error) {
        fprintf(stderr, "bench-store: %s: %s\n", what, g_strerror(error));
        exit(EXIT_FAILURE);
}

static void on_appended(void *userdata, uint64_t io_seq) {
        Bench *b = userdata;

        b->appended = io_seq;
}

static void on_done(void *userdata, uint64_t io_seq) {}

static void on_checkpointed(void *userdata, uint64_t io_seq, int error) {
        Bench *b = userdata;

        b->checkpointed = true;
        if (error < 0)
                die("checkpoint", -error);
}

static void on_space(void *userdata, bool available) {
        if (!available)
                die("log", ENOSPC);
}

static void on_failed(void *userdata, int error, const char *what) {
        die(what, -error);
}

static void append(Bench *b, GBytes *payload) {
        ZabEntry e = {
                .index = b->last.index + 1,
                .zxid = b->last.zxid + 1,
                .prev_zxid = b->last.zxid,
                .type = ZAB_ENTRY_REQUEST,
                .payload = payload,
        };

        e.chain = zab_entry_chain(b->last.chain, &meta.cluster_id, &e);
        b->last = (ZabPosition) { e.index, e.zxid, e.chain };
        store_append(b->store, ++b->io_seq, &e, 1);
}

static void wait_for(Bench *b, uint64_t io_seq) {
        struct pollfd p = { .fd = store_get_fd(b->store), .events = POLLIN };

        while (b->appended < io_seq) {
                if (poll(&p, 1, -1) < 0 && errno != EINTR)
                        die("poll", errno);
                store_dispatch(b->store);
        }
}

static void bare_open(Bench *b, const char *directory) {
        g_autofree char *path = g_build_filename(directory, "bare", NULL);
        static const char zeros[1 << 20];

        b->bare_fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (b->bare_fd < 0)
                die(path, errno);
        for (int i = 0; i < ROUNDS * PER_ROUND * BARE_BYTES / (1 << 20) + 1; i++)
                if (write(b->bare_fd, zeros, sizeof zeros) != sizeof zeros)
                        die(path, errno);
        if (fsync(b->bare_fd) < 0)
                die(path, errno);
}

static void bare_append(Bench *b) {
        static const char block[BARE_BYTES] = "x";

        if (pwrite(b->bare_fd, block, sizeof block, b->bare_offset) != sizeof block || fdatasync(b->bare_fd) < 0)
                die("bare", errno);
        b->bare_offset += BARE_BYTES;
}

static void store_begin(Bench *b, const char *directory) {
        g_autofree char *path = g_build_filename(directory, "store", NULL), *error = NULL;
        StoreOptions options = { .directory = path };
        StoreListener listener = {
                .appended = on_appended,
                .meta_written = on_done,
                .checkpointed = on_checkpointed,
                .space = on_space,
                .failed = on_failed,
                .userdata = b,
        };
        ZabPosition position;
        int r;

        r = store_open(&options, &listener, &b->store, &error);
        if (r < 0)
                die(error, -r);
        if (store_create(b->store, &meta) < 0 || store_load(b->store, NULL, &position, NULL) < 0 ||
            store_replay(b->store, NULL, NULL) < 0 || store_start(b->store) < 0)
                die("store", EIO);
}

static int compare(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;

        return (x > y) - (x < y);
}

static double report(const char *name, double *values, unsigned count) {
        double sum = 0;

        for (unsigned i = 0; i < count; i++)
                sum += values[i];
        qsort(values, count, sizeof *values, compare);
        printf("%-34s median %7.1f us   mean %7.1f us   p99 %7.1f us\n", name, values[count / 2], sum / count,
               values[count * 99 / 100]);
        return values[count / 2];
}

static double window_one(Bench *b, GBytes *payload) {
        static double bare[ROUNDS * PER_ROUND], store[ROUNDS * PER_ROUND];
        double bare_median, store_median;
        StoreStatistics s;
        unsigned n = 0;

        for (unsigned round = 0; round < ROUNDS; round++) {
                for (unsigned i = 0; i < PER_ROUND; i++) {
                        double begin = usec();

                        bare_append(b);
                        bare[n + i] = usec() - begin;
                }
                for (unsigned i = 0; i < PER_ROUND; i++) {
                        double begin = usec();

                        append(b, payload);
                        wait_for(b, b->io_seq);
                        store[n + i] = usec() - begin;
                }
                n += PER_ROUND;
        }
        bare_median = report("bare 4-KiB pwrite + fdatasync", bare, n);
        store_median = report("durable append, window 1", store, n);
        store_get_statistics(b->store, &s);
        printf("%-34s %.1f us mean in write and sync\n", "  of it", (double) s.sync_usec_total / (double) s.syncs);
        printf("%-34s %.2f\n", "ratio of medians", store_median / bare_median);
        return store_median;
}

static void window_many(Bench *b, GBytes *payload, double one_usec) {
        uint64_t end = b->io_seq + WINDOW_APPENDS;
        StoreStatistics before, after;
        double begin, seconds, rate;

        store_get_statistics(b->store, &before);
        begin = usec();
        while (b->io_seq < end) {
                while (b->io_seq < end && b->io_seq - b->appended < WINDOW)
                        append(b, payload);
                wait_for(b, b->appended + 1);
        }
        wait_for(b, end);
        seconds = (usec() - begin) / 1e6;
        store_get_statistics(b->store, &after);
        rate = WINDOW_APPENDS / seconds;
        printf("%-34s %.0f per second, %.0f per sync\n", "durable appends, window 1000", rate,
               WINDOW_APPENDS / (double) (after.syncs - before.syncs));
        printf("%-34s %.1f\n", "ratio to window 1", rate * one_usec / 1e6);
}

/* The digest's part of a row; tree.h says how. */
static Hash128 hash_row(const TreeRow *row) {
        uint8_t bytes[9 + ROW_BYTES];

        bytes[0] = row->table;
        for (unsigned i = 0; i < 8; i++)
                bytes[1 + i] = (uint8_t) (row->key >> 8 * i);
        memcpy(bytes + 9, row->value, ROW_BYTES);
        return hash128(bytes, sizeof bytes, 0);
}

/* Rows `step` apart, in the version after `version`, handed over in pieces between appends at window 1. */
static void checkpoint(Bench *b, GBytes *payload, const char *name, unsigned rows_count, unsigned step,
                       uint8_t version) {
        g_autofree TreeRow *rows = g_new0(TreeRow, ROWS_PER_CALL);
        g_autofree uint8_t *values = g_malloc0(ROWS_PER_CALL * ROW_BYTES), *before = g_malloc0(ROW_BYTES);
        g_autoptr(GArray) latencies = g_array_new(FALSE, FALSE, sizeof(double));
        ZabPosition position = b->last;
        Hash128 digest = b->digest;
        uint64_t key = 1;
        double begin = usec();

        memset(before, version, ROW_BYTES);
        memset(values, version + 1, (size_t) ROWS_PER_CALL * ROW_BYTES);
        for (uint64_t k = 1; k <= rows_count; k += step) {
                TreeRow old = { TREE_TABLE_ZNODE, k, before, ROW_BYTES };
                TreeRow new = { TREE_TABLE_ZNODE, k, values, ROW_BYTES };

                if (version > 0)
                        digest = hash128_subtract(digest, hash_row(&old));
                digest = hash128_add(digest, hash_row(&new));
        }
        b->digest = digest;
        b->checkpointed = false;
        store_checkpoint_begin(b->store, b->io_seq + 1, version == 0, &position, digest, NULL);
        b->io_seq++;
        while (!b->checkpointed) {
                double at = usec();

                append(b, payload);
                wait_for(b, b->io_seq);
                at = usec() - at;
                g_array_append_val(latencies, at);
                while (key <= rows_count && store_checkpoint_backlog(b->store) < BACKLOG_MAX) {
                        unsigned n = 0;

                        for (; n < ROWS_PER_CALL && key <= rows_count; n++, key += step)
                                rows[n] = (TreeRow) {
                                        TREE_TABLE_ZNODE, key, values + n * (size_t) ROW_BYTES, ROW_BYTES,
                                };
                        store_checkpoint_rows(b->store, rows, n);
                        if (key > rows_count)
                                store_checkpoint_end(b->store);
                }
        }
        printf("%-34s %u rows in %.0f ms\n", name, (rows_count + step - 1) / step, (usec() - begin) / 1e3);
        report("  appends meanwhile", (double *) (void *) latencies->data, latencies->len);
        printf("%-34s %.1f ms\n", "  longest", g_array_index(latencies, double, latencies->len - 1) / 1e3);
}

static void load(Bench *b, const char *directory) {
        g_autofree char *path = g_build_filename(directory, "store", NULL), *error = NULL;
        StoreOptions options = { .directory = path };
        StoreListener listener = {
                .appended = on_appended,
                .meta_written = on_done,
                .checkpointed = on_checkpointed,
                .space = on_space,
                .failed = on_failed,
                .userdata = b,
        };
        ZabPosition position;
        double begin = usec(), loaded;

        b->store = store_close(b->store);
        if (store_open(&options, &listener, &b->store, &error) < 0)
                die(error, EIO);
        if (store_load(b->store, NULL, &position, NULL) != 1)
                die(store_get_report(b->store)->text, EUCLEAN);
        loaded = usec();
        if (store_replay(b->store, NULL, NULL) < 0)
                die("replay", EIO);
        printf("%-34s %.0f ms for the checkpoint, %.0f ms for %" PRIu64 " entries after it\n", "opening and verifying",
               (loaded - begin) / 1e3, (usec() - loaded) / 1e3, b->last.index - position.index);
}

static void remove_tree(const char *path) {
        GDir *dir = g_dir_open(path, 0, NULL);
        const char *name;

        while (dir && (name = g_dir_read_name(dir))) {
                g_autofree char *child = g_build_filename(path, name, NULL);

                remove_tree(child);
        }
        if (dir)
                g_dir_close(dir);
        (void) g_remove(path);
}

int main(int argc, char *argv[]) {
        g_autofree char *directory = g_build_filename(argc > 1 ? argv[1] : g_get_tmp_dir(), "bench-store-XXXXXX", NULL);
        g_autofree void *bytes = g_malloc0(PAYLOAD_BYTES);
        g_autoptr(GBytes) payload = g_bytes_new(bytes, PAYLOAD_BYTES);
        Bench b = { .bare_fd = -1 };
        unsigned rows = argc > 2 ? (unsigned) strtoul(argv[2], NULL, 10) : 200000;
        double one_usec;

        if (!g_mkdtemp(directory))
                die(directory, errno);
        bare_open(&b, directory);
        store_begin(&b, directory);
        one_usec = window_one(&b, payload);
        window_many(&b, payload, one_usec);
        checkpoint(&b, payload, "full checkpoint", rows, 1, 0);
        checkpoint(&b, payload, "incremental, every 10th row", rows, 10, 1);
        load(&b, directory);
        b.store = store_close(b.store);
        close(b.bare_fd);
        remove_tree(directory);
        return EXIT_SUCCESS;
}
