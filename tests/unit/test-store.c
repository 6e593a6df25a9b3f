/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The store on a real directory: life, log, META, checkpoints.  Damage and failing disks are in test-store-damage.c,
 * crashes in test-store-crash.c.
 */

#include "tests/unit/store-fixture.h"

#define FIRST_SEGMENT "log/0000000000000001.log"

static void test_life(void) {
        g_auto(Fixture) f = { 0 };
        const StoreReport *report;
        StoreStatistics statistics;
        struct stat st;

        fixture_init(&f, NULL);
        g_assert_cmpint(g_rmdir(f.directory), ==, 0);
        g_assert_cmpint(fixture_open(&f), ==, 0);
        g_assert_cmpint(store_get_report(f.store)->state, ==, STORE_BLANK);
        g_assert_cmpint(stat(f.directory, &st), ==, 0);
        g_assert_cmpint(st.st_mode & 07777, ==, 0700);
        fixture_close(&f);

        fixture_run(&f);
        fixture_append(&f);
        fixture_drain(&f);
        for (unsigned i = 0; i < 50; i++)
                fixture_append(&f);
        fixture_drain(&f);
        g_assert_cmpuint(f.appended, ==, 51);
        store_get_statistics(f.store, &statistics);
        g_assert_cmpuint(statistics.appends, ==, 51);
        g_assert_true(statistics.space_available);
        fixture_close(&f);

        g_assert_cmpint(fixture_open(&f), ==, 0);
        report = store_get_report(f.store);
        g_assert_cmpint(report->state, ==, STORE_MEMBER);
        g_assert_cmpuint(report->meta.sid, ==, 1);
        g_assert_cmpuint(report->meta.accepted_epoch, ==, 2);
        g_assert_cmpint(fixture_recover(&f), ==, 0);
        g_assert_cmpuint(f.replay_first, ==, 1);
        g_assert_cmpuint(report->last.index, ==, 51);
        g_assert_cmpuint(report->torn_bytes, ==, 0);
        g_assert_null(report->text);
        fixture_start(&f);
        fixture_append(&f);
        fixture_drain(&f);
        fixture_reopen(&f);
        g_assert_cmpuint(f.last.index, ==, 52);
}

static void test_lock(void) {
        g_auto(Fixture) f = { 0 };
        StoreListener listener = { 0 };
        g_autofree char *error = NULL;
        Store *second = NULL;

        fixture_init(&f, NULL);
        fixture_run(&f);
        g_assert_cmpint(store_open_with_io(&f.options, &listener, &f.io, &second, &error), ==, -EAGAIN);
        g_assert_nonnull(strstr(error, "in use"));
        fixture_close(&f);
        fixture_run(&f);
}

/* What is queued while the disk is busy goes out together. */
static GMutex slow_lock;
static GCond slow_cond;
static bool slow_held;
static unsigned slow_waiting;

static int slow_fdatasync(void *userdata, int fd) {
        g_mutex_lock(&slow_lock);
        slow_waiting++;
        g_cond_broadcast(&slow_cond);
        while (slow_held)
                g_cond_wait(&slow_cond, &slow_lock);
        g_mutex_unlock(&slow_lock);
        return fdatasync(fd);
}

static void test_group_commit(void) {
        g_auto(Fixture) f = { 0 };
        StoreStatistics before, after;
        unsigned waiting;

        fixture_init(&f, NULL);
        fixture_run(&f);
        fixture_append(&f);
        fixture_drain(&f);
        fixture_close(&f);
        f.io.fdatasync = slow_fdatasync;
        fixture_run(&f);

        /* Hold whatever sync comes first (the append's, the spare's or the watermark's), so that all others wait. */
        g_mutex_lock(&slow_lock);
        slow_held = true;
        waiting = slow_waiting;
        fixture_append(&f);
        while (slow_waiting == waiting)
                g_cond_wait(&slow_cond, &slow_lock);
        g_mutex_unlock(&slow_lock);
        store_get_statistics(f.store, &before);
        for (unsigned i = 0; i < 500; i++)
                fixture_append(&f);
        g_mutex_lock(&slow_lock);
        slow_held = false;
        g_cond_broadcast(&slow_cond);
        g_mutex_unlock(&slow_lock);
        fixture_drain(&f);
        store_get_statistics(f.store, &after);
        g_assert_cmpuint(f.appended, ==, 501);
        /* The one that was held, and one for all the rest (and a watermark at most). */
        g_assert_cmpuint(after.syncs - before.syncs, <=, 3);
}

static void test_rotation(void) {
        g_auto(Fixture) f = { 0 };
        StoreStatistics statistics;

        fixture_init(&f, NULL);
        fixture_run(&f);
        for (unsigned round = 0; round < 10; round++) {
                for (unsigned i = 0; i < 30; i++)
                        fixture_append_size(&f, i % 3 == 0 ? 20000 : i % 7);
                fixture_drain(&f);
        }
        store_get_statistics(f.store, &statistics);
        g_assert_cmpuint(statistics.segments, >=, 8);
        g_assert_cmpuint(statistics.segments, ==, fixture_count(&f, "log", ".log"));
        g_assert_cmpuint(statistics.log_bytes, ==, statistics.segments * f.options.segment_bytes);
        fixture_reopen(&f);
        g_assert_cmpuint(f.last.index, ==, 300);
        fixture_append(&f);
        fixture_drain(&f);
        fixture_reopen(&f);
        g_assert_cmpuint(f.last.index, ==, 301);
}

/* The largest entry there is, and many at once. */
static void test_large(void) {
        g_auto(Fixture) f = { 0 };

        fixture_init(&f, NULL);
        f.io.segment_bytes_min = 0;
        f.options.segment_bytes = 1024 * 1024;
        g_assert_cmpint(fixture_open(&f), ==, -EINVAL);
        f.options.segment_bytes = (6 * 1024 + 8) * 1024;
        fixture_run(&f);
        for (unsigned i = 0; i < 12; i++)
                fixture_append_size(&f, LIMIT_REQUEST_BYTES - i);
        fixture_drain(&f);
        fixture_reopen(&f);
        g_assert_cmpuint(f.last.index, ==, 12);
}

static void test_meta(void) {
        g_auto(Fixture) f = { 0 };
        ZabMeta meta = fixture_meta;

        fixture_init(&f, NULL);
        fixture_run(&f);
        for (unsigned i = 0; i < 5; i++) {
                fixture_append(&f);
                meta.accepted_epoch = 10 + i;
                meta.checkpoint_generation = 77;        /* the store knows better */
                store_write_meta(f.store, ++f.io_seq, &meta);
                fixture_wait(&f, f.meta_written == f.io_seq);
                /* only after what was queued before */
                g_assert_cmpuint(f.appended, ==, f.io_seq - 1);
        }
        fixture_reopen(&f);
        g_assert_cmpuint(store_get_report(f.store)->meta.accepted_epoch, ==, 14);
        g_assert_cmpuint(store_get_report(f.store)->meta.durable_floor, ==, 5);
        g_assert_cmpuint(store_get_report(f.store)->meta.checkpoint_generation, ==, 0);
}

static void test_newer(void) {
        g_auto(Fixture) f = { 0 };
        g_autofree char *path = NULL;
        g_autofree uint8_t *data = NULL;
        uint64_t check;
        gsize size;

        fixture_init(&f, NULL);
        fixture_run(&f);
        fixture_append(&f);
        fixture_drain(&f);
        fixture_close(&f);

        path = fixture_path(&f, FIRST_SEGMENT);
        g_assert_true(g_file_get_contents(path, (char **) &data, &size, NULL));
        data[8] = SEGMENT_FORMAT + 1;
        check = GUINT64_TO_LE(XXH3_64bits(data, SEGMENT_HEADER_BYTES - 8));
        memcpy(data + SEGMENT_HEADER_BYTES - 8, &check, sizeof check);
        g_assert_true(g_file_set_contents(path, (char *) data, (gssize) size, NULL));
        g_assert_cmpint(fixture_open(&f), ==, 0);
        g_assert_cmpint(fixture_recover(&f), ==, -ENOTSUP);
        fixture_close(&f);
        g_clear_pointer(&data, g_free);
        g_clear_pointer(&path, g_free);

        path = fixture_path(&f, "meta");
        g_assert_true(g_file_get_contents(path, (char **) &data, &size, NULL));
        data[8] = 2;
        check = GUINT64_TO_LE(XXH3_64bits(data, 4096 - 8));
        memcpy(data + 4096 - 8, &check, sizeof check);
        g_assert_true(g_file_set_contents(path, (char *) data, (gssize) size, NULL));
        g_assert_cmpint(fixture_open(&f), ==, -ENOTSUP);
        g_assert_nonnull(strstr(f.error, "later version"));
}

/*
 * Checkpoints
 */

static void test_checkpoint(void) {
        g_auto(Fixture) f = { 0 };
        Prng prng = { 5 };

        fixture_init(&f, NULL);
        fixture_run(&f);
        for (unsigned i = 0; i < 30; i++)
                fixture_append(&f);
        fixture_drain(&f);

        /* Nothing to add to. */
        fixture_checkpoint(&f, &prng, false, 10);
        fixture_wait(&f, f.checkpointed == f.io_seq);
        g_assert_cmpint(f.checkpoint_error, ==, -ENOENT);
        f.appended = f.io_seq;

        fixture_checkpoint_and_wait(&f, &prng, true, 1500);
        g_assert_cmpuint(store_checkpoint_backlog(f.store), ==, 0);
        fixture_reopen(&f);
        g_assert_cmpuint(store_get_report(f.store)->checkpoint.index, ==, 30);
        g_assert_cmpuint(f.replay_first, ==, 0);

        for (unsigned round = 0; round < 12; round++) {
                g_autoptr(GBytes) config = NULL;
                ZabPosition position;

                for (unsigned i = 0; i < 7; i++)
                        fixture_append(&f);
                fixture_drain(&f);
                fixture_checkpoint_and_wait(&f, &prng, round % 4 == 3, 300);
                for (unsigned i = 0; i < round; i++)
                        fixture_append(&f);
                fixture_drain(&f);
                fixture_close(&f);

                g_assert_cmpint(fixture_open(&f), ==, 0);
                g_assert_cmpint(store_load(f.store, NULL, &position, &config), ==, 1);
                g_assert_cmpuint(position.index, ==, f.last.index - round);
                g_assert_cmpmem(g_bytes_get_data(config, NULL), g_bytes_get_size(config), "configuration", 13);
                f.replay_last = position;
                g_assert_cmpint(store_replay(f.store, fixture_on_entry, &f), ==, 0);
                g_assert_cmpuint(f.replay_last.index, ==, f.last.index);
                fixture_start(&f);
                g_assert_cmpuint(fixture_count(&f, ".", ""), ==, 4);    /* lock, meta, log, one checkpoint */
        }
        g_assert_cmpuint(store_get_report(f.store)->meta.checkpoint_generation, ==, 4);
}

/* A log that never runs dry does not keep a checkpoint from ending: each time the store has told of some appends, there
 * are as many more. */
static void append_more(Fixture *f) {
        while (f->io_seq < f->appended + 200)
                fixture_append_size(f, 10);
}

static void test_checkpoint_under_load(void) {
        g_auto(Fixture) f = { 0 };
        Prng prng = { 12 };
        uint64_t checkpoint_index;

        fixture_init(&f, NULL);
        fixture_run(&f);
        fixture_append(&f);
        f.on_appended = append_more;
        fixture_wait(&f, f.appended > 1000);
        checkpoint_index = f.last.index;
        fixture_checkpoint(&f, &prng, true, 1500);
        fixture_wait(&f, f.checkpointed > 0);
        g_assert_cmpint(f.checkpoint_error, ==, 0);
        f.on_appended = NULL;
        fixture_reopen(&f);
        g_assert_cmpuint(store_get_report(f.store)->checkpoint.index, ==, checkpoint_index);
}

static void test_checkpoint_abort(void) {
        g_auto(Fixture) f = { 0 };
        Prng prng = { 6 };

        fixture_init(&f, NULL);
        fixture_run(&f);
        fixture_append(&f);
        fixture_drain(&f);
        fixture_checkpoint_and_wait(&f, &prng, true, 100);

        for (unsigned full = 0; full < 2; full++) {
                store_checkpoint_begin(f.store, ++f.io_seq, full, &f.last, (Hash128) { 0 }, NULL);
                for (uint64_t key = 1; key < 500; key++) {
                        f.rows[key]++;
                        fixture_send_row(&f, key);
                        f.rows[key]--;
                }
                if (full == 0)
                        store_checkpoint_abort(f.store);
                fixture_append(&f);
                fixture_drain(&f);
                fixture_reopen(&f);
                g_assert_cmpuint(store_get_report(f.store)->checkpoint.index, ==, 1);
                g_assert_cmpuint(fixture_count(&f, ".", ""), ==, 4);
        }
}

/* A wrong digest is what wrong rows look like. */
static void test_checkpoint_digest(void) {
        g_auto(Fixture) f = { 0 };
        ZabPosition position;

        fixture_init(&f, NULL);
        fixture_run(&f);
        fixture_append(&f);
        fixture_drain(&f);
        f.rows[1] = 1;
        store_checkpoint_begin(f.store, ++f.io_seq, true, &f.last, (Hash128) { 1, 2 }, NULL);
        fixture_send_row(&f, 1);
        store_checkpoint_end(f.store);
        fixture_wait(&f, f.checkpointed == f.io_seq);
        fixture_close(&f);
        g_assert_cmpint(fixture_open(&f), ==, 0);
        g_assert_cmpint(store_load(f.store, NULL, &position, NULL), ==, -EUCLEAN);
        g_assert_nonnull(strstr(store_get_report(f.store)->text, "digest"));
}

static void test_old_segments(void) {
        g_auto(Fixture) f = { 0 };
        StoreStatistics before, after;
        g_autofree char *first = NULL;
        Prng prng = { 8 };

        fixture_init(&f, NULL);
        f.options.log_keep_bytes = 2 * f.options.segment_bytes;
        fixture_run(&f);
        for (unsigned i = 0; i < 80; i++)
                fixture_append_size(&f, 25000);
        fixture_drain(&f);
        store_get_statistics(f.store, &before);
        g_assert_cmpuint(before.segments, >=, 8);
        fixture_checkpoint_and_wait(&f, &prng, true, 100);
        store_get_statistics(f.store, &after);
        g_assert_cmpuint(after.segments, ==, 3);                /* two kept behind it, and the one in use */
        g_assert_cmpuint(fixture_count(&f, "log", ".log"), ==, 3);
        first = fixture_path(&f, FIRST_SEGMENT);
        g_assert_false(g_file_test(first, G_FILE_TEST_EXISTS));

        for (unsigned i = 0; i < 30; i++)
                fixture_append_size(&f, 25000);
        fixture_drain(&f);
        fixture_reopen(&f);
        g_assert_cmpuint(f.last.index, ==, 110);
        g_assert_cmpuint(f.replay_first, ==, 81);
}

/* Idle after a sync, or closed: a watermark makes the last entry provable. */
static GMutex idle_lock;
static GCond idle_cond;
static bool idle_written;

static ssize_t watching_pwrite(void *userdata, int fd, const void *buffer, size_t size, off_t offset) {
        ssize_t n = pwrite(fd, buffer, size, offset);

        if (size == RECORD_HEADER_BYTES) {
                g_mutex_lock(&idle_lock);
                idle_written = true;
                g_cond_signal(&idle_cond);
                g_mutex_unlock(&idle_lock);
        }
        return n;
}

static void test_watermark(void) {
        for (unsigned idle = 0; idle < 2; idle++) {
                g_auto(Fixture) f = { 0 };

                fixture_init(&f, NULL);
                f.io.pwrite = watching_pwrite;
                fixture_run(&f);
                idle_written = false;
                fixture_append(&f);
                fixture_drain(&f);
                if (idle == 1) {
                        gint64 deadline = g_get_monotonic_time() + FIXTURE_WAIT_MSEC * G_TIME_SPAN_MILLISECOND;

                        g_mutex_lock(&idle_lock);
                        while (!idle_written)
                                g_assert_true(g_cond_wait_until(&idle_cond, &idle_lock, deadline));
                        g_mutex_unlock(&idle_lock);
                }
                fixture_close(&f);
                fixture_flip(&f, FIRST_SEGMENT, SEGMENT_HEADER_BYTES + 90, 1);
                g_assert_cmpint(fixture_open(&f), ==, 0);
                g_assert_cmpint(fixture_recover(&f), ==, -EUCLEAN);
                g_assert_nonnull(strstr(store_get_report(f.store)->text, "entries from 1"));
        }
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/store/life", test_life);
        g_test_add_func("/store/lock", test_lock);
        g_test_add_func("/store/group-commit", test_group_commit);
        g_test_add_func("/store/rotation", test_rotation);
        g_test_add_func("/store/large", test_large);
        g_test_add_func("/store/meta", test_meta);
        g_test_add_func("/store/newer", test_newer);
        g_test_add_func("/store/checkpoint/full-and-incremental", test_checkpoint);
        g_test_add_func("/store/checkpoint/under-load", test_checkpoint_under_load);
        g_test_add_func("/store/checkpoint/abort", test_checkpoint_abort);
        g_test_add_func("/store/checkpoint/digest", test_checkpoint_digest);
        g_test_add_func("/store/checkpoint/old-segments", test_old_segments);
        g_test_add_func("/store/watermark", test_watermark);

        return g_test_run();
}
