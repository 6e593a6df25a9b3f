/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The store's log beside the bare disk, in the same directory and in turns: a durable append at window 1 against one
 * preallocated 4-KiB pwrite and fdatasync, and appends per second at window 1000.
 *
 *     bench-store [DIRECTORY]          the disk to measure; default: the directory for temporary files
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

typedef struct Bench {
        Store *store;
        uint64_t io_seq, appended;
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

static void on_checkpointed(void *userdata, uint64_t io_seq, int error) {}

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
        StoreListener listener = { on_appended, on_done, on_checkpointed, on_space, on_failed, b };
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
        double one_usec;

        if (!g_mkdtemp(directory))
                die(directory, errno);
        bare_open(&b, directory);
        store_begin(&b, directory);
        one_usec = window_one(&b, payload);
        window_many(&b, payload, one_usec);
        b.store = store_close(b.store);
        close(b.bare_fd);
        remove_tree(directory);
        return EXIT_SUCCESS;
}
