/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The store and what may happen to its files: damaged ones, missing ones, a disk that is full or fails.
 */

#include "tests/unit/store-fixture.h"

#define FIRST_SEGMENT "log/0000000000000001.log"

/*
 * Damage
 */

static void test_meta_damage(void) {
        g_auto(Fixture) f = { 0 };
        g_autofree char *meta = NULL;
        g_autofree char *error = NULL;
        uint64_t lost_from;
        ZabPosition position;

        fixture_init(&f, NULL);
        fixture_run(&f);
        fixture_append(&f);
        fixture_drain(&f);

        /* One slot, again and again: the start heals it. */
        for (unsigned i = 0; i < 4; i++) {
                fixture_close(&f);
                fixture_flip(&f, "meta", i % 2 * 4096 + 30, 1);
                fixture_run(&f);
                g_assert_cmpuint(store_get_report(f.store)->meta_slots_bad, ==, 1);
                fixture_reopen(&f);
                g_assert_cmpuint(store_get_report(f.store)->meta_slots_bad, ==, 0);
        }
        fixture_close(&f);

        fixture_flip(&f, "meta", 30, 1);
        fixture_flip(&f, "meta", 4096 + 30, 1);
        g_assert_cmpint(fixture_open(&f), ==, 0);
        g_assert_cmpint(store_get_report(f.store)->state, ==, STORE_DAMAGED);
        g_assert_cmpuint(store_get_report(f.store)->meta_slots_bad, ==, 2);
        g_assert_nonnull(strstr(store_get_report(f.store)->text, "/meta: "));
        g_assert_cmpint(store_load(f.store, NULL, &position, NULL), ==, -EUCLEAN);
        g_assert_cmpint(store_accept_loss(f.store, &lost_from, &error), ==, -ENODATA);
        fixture_close(&f);

        /* Gone altogether, beside a log: not blank. */
        meta = fixture_path(&f, "meta");
        g_assert_cmpint(g_unlink(meta), ==, 0);
        g_assert_cmpint(fixture_open(&f), ==, 0);
        g_assert_cmpint(store_get_report(f.store)->state, ==, STORE_DAMAGED);
}

/* A damaged LMDB file: cut to every multiple of half a page, every page overwritten, single bits.  Either the damage
 * touches nothing in use, and the load is right, or it is -EUCLEAN; never a crash, never wrong rows. */
static void test_checkpoint_damage(void) {
        g_auto(Fixture) f = { 0 };
        g_autofree char *path = NULL;
        g_autofree char *whole = NULL;
        unsigned damaged = 0, harmless = 0;
        Prng prng = { 7 };
        gsize size;

        fixture_init(&f, NULL);
        fixture_run(&f);
        fixture_append(&f);
        fixture_drain(&f);
        fixture_checkpoint_and_wait(&f, &prng, true, 1500);
        fixture_checkpoint_and_wait(&f, &prng, false, 50);
        fixture_close(&f);
        path = fixture_path(&f, "checkpoint.1/data.mdb");
        g_assert_true(g_file_get_contents(path, &whole, &size, NULL));

        for (unsigned round = 0; round < size / 2048 + size / 4096 + 300; round++) {
                g_autofree char *data = g_memdup2(whole, size);
                ZabPosition position;
                gsize keep = size;
                int r;

                if (round < size / 2048)
                        keep = round * 2048;
                else if (round < size / 2048 + size / 4096)
                        memset(data + (round - size / 2048) * 4096, (int) prng_below(&prng, 256), 4096);
                else
                        data[prng_below(&prng, size)] ^= (char) (1 << prng_below(&prng, 8));
                g_assert_true(g_file_set_contents(path, data, (gssize) keep, NULL));

                g_assert_cmpint(fixture_open(&f), ==, 0);
                r = store_load(f.store, NULL, &position, NULL);
                if (r == 1) {
                        harmless++;
                        g_assert_cmpuint(position.index, ==, 1);
                        g_assert_cmpuint(keep, ==, size);
                } else {
                        damaged++;
                        g_assert_cmpint(r, ==, -EUCLEAN);
                        g_assert_cmpint(store_get_report(f.store)->state, ==, STORE_DAMAGED);
                        g_assert_nonnull(store_get_report(f.store)->text);
                }
                fixture_close(&f);
        }
        g_test_message("%u damaged, %u harmless", damaged, harmless);
        g_assert_cmpuint(damaged, >, size / 2048);

        /* No file at all. */
        g_assert_cmpint(g_unlink(path), ==, 0);
        g_assert_cmpint(fixture_open(&f), ==, 0);
        g_assert_cmpint(store_load(f.store, NULL, &f.last, NULL), ==, -EUCLEAN);
}

static void write_commit_floor(Fixture *f, uint64_t index) {
        ZabMeta meta = store_get_report(f->store)->meta;

        meta.commit_floor = index;
        store_write_meta(f->store, ++f->io_seq, &meta);
        fixture_wait(f, f->meta_written == f->io_seq);
}

static void test_log_damage(void) {
        g_auto(Fixture) f = { 0 };
        g_autofree char *error = NULL;
        const StoreReport *report;
        uint64_t lost_from = 0;

        fixture_init(&f, NULL);
        fixture_run(&f);
        for (unsigned i = 0; i < 10; i++) {
                fixture_append(&f);
                fixture_drain(&f);
        }
        write_commit_floor(&f, 8);
        fixture_close(&f);

        /* the fourth */
        fixture_flip(&f, FIRST_SEGMENT, SEGMENT_HEADER_BYTES + (off_t) record_bytes(100) * 3 + 90, 16);
        g_assert_cmpint(fixture_open(&f), ==, 0);
        g_assert_cmpint(fixture_recover(&f), ==, -EUCLEAN);
        g_assert_cmpuint(f.replay_last.index, ==, 3);
        report = store_get_report(f.store);
        g_assert_cmpint(report->state, ==, STORE_DAMAGED);
        g_assert_nonnull(strstr(report->text, "0000000000000001.log"));
        g_assert_nonnull(strstr(report->text, "entries from 4"));
        g_assert_nonnull(strstr(report->text, "--accept-loss"));
        fixture_close(&f);

        /* It does not go away by itself. */
        g_assert_cmpint(fixture_open(&f), ==, 0);
        g_assert_cmpint(fixture_recover(&f), ==, -EUCLEAN);

        g_assert_cmpint(store_accept_loss(f.store, &lost_from, &error), ==, 0);
        g_assert_cmpuint(lost_from, ==, 4);
        g_assert_cmpint(store_get_report(f.store)->state, ==, STORE_MEMBER);
        /* Nothing that is left says that there are no others: they have what is lost, and it has no vote without it. */
        g_assert_cmpint(store_get_report(f.store)->meta.membership, ==, ZAB_MEMBERSHIP_DAMAGED);
        /* What comes in the place of the lost ones is not committed. */
        g_assert_cmpuint(store_get_report(f.store)->meta.commit_floor, ==, 3);
        g_assert_cmpint(fixture_recover(&f), ==, 0);
        g_assert_cmpuint(f.last.index, ==, 3);
        fixture_start(&f);
        fixture_append(&f);
        fixture_drain(&f);
        fixture_reopen(&f);
        g_assert_cmpuint(f.last.index, ==, 4);
        g_assert_cmpuint(store_get_report(f.store)->meta.commit_floor, ==, 3);

        /* A floor below the damage stays. */
        write_commit_floor(&f, 2);
        fixture_close(&f);
        fixture_flip(&f, FIRST_SEGMENT, SEGMENT_HEADER_BYTES + (off_t) record_bytes(100) * 2 + 90, 16);
        g_assert_cmpint(fixture_open(&f), ==, 0);
        g_assert_cmpint(fixture_recover(&f), ==, -EUCLEAN);
        g_assert_cmpint(store_accept_loss(f.store, &lost_from, &error), ==, 0);
        g_assert_cmpuint(lost_from, ==, 3);
        g_assert_cmpuint(store_get_report(f.store)->meta.commit_floor, ==, 2);
}

/* Who is the only voter has nobody to wait for; who is one of several has. */
static void test_loss_accepted_by(unsigned voters, ZabMembership expected) {
        const ZabConfigMember members[] = {
                { .sid = 1, .role = ZAB_MEMBER_VOTER, .name = "a", .address = "" },
                { .sid = 2, .role = ZAB_MEMBER_VOTER, .name = "b", .address = "" },
        };
        g_autoptr(GBytes) config = zab_config_encode(members, voters);
        g_auto(Fixture) f = { 0 };
        g_autofree char *error = NULL;
        uint64_t lost_from;

        fixture_init(&f, NULL);
        fixture_run(&f);
        fixture_append_entry(&f, ZAB_ENTRY_CONFIG, config);
        fixture_drain(&f);
        for (unsigned i = 0; i < 10; i++) {
                fixture_append(&f);
                fixture_drain(&f);
        }
        fixture_close(&f);
        fixture_flip(&f, FIRST_SEGMENT, SEGMENT_HEADER_BYTES + (off_t) record_bytes(g_bytes_get_size(config)) +
                     (off_t) record_bytes(100) * 3 + 90, 16);
        g_assert_cmpint(fixture_open(&f), ==, 0);
        g_assert_cmpint(fixture_recover(&f), ==, -EUCLEAN);
        g_assert_cmpint(store_accept_loss(f.store, &lost_from, &error), ==, 0);
        g_assert_cmpuint(lost_from, ==, 5);
        g_assert_cmpint(store_get_report(f.store)->meta.membership, ==, expected);
        fixture_close(&f);

        /* It starts as what it is: marked, but no longer broken. */
        g_assert_cmpint(fixture_open(&f), ==, 0);
        g_assert_cmpint(store_get_report(f.store)->state, ==, STORE_MEMBER);
        g_assert_cmpint(store_get_report(f.store)->meta.membership, ==, expected);
        g_assert_cmpint(fixture_recover(&f), ==, 0);
        g_assert_cmpuint(f.last.index, ==, 4);
}

static void test_loss_accepted(void) {
        test_loss_accepted_by(1, ZAB_MEMBERSHIP_MEMBER);
        test_loss_accepted_by(2, ZAB_MEMBERSHIP_DAMAGED);
}

/* What a write left that was cut off by a loss of power: gone, and zeros in its place. */
static void test_torn(void) {
        g_auto(Fixture) f = { 0 };
        g_autofree char *path = NULL;
        g_autofree char *data = NULL;
        off_t end;
        gsize size;

        fixture_init(&f, NULL);
        fixture_run(&f);
        for (unsigned i = 0; i < 3; i++)
                fixture_append(&f);
        fixture_drain(&f);
        fixture_close(&f);
        end = SEGMENT_HEADER_BYTES + 3 * (off_t) record_bytes(100) + RECORD_HEADER_BYTES;
        for (off_t at = end + 8; at < end + 5000; at += 3)
                fixture_flip(&f, FIRST_SEGMENT, at, 0x55);

        g_assert_cmpint(fixture_open(&f), ==, 0);
        g_assert_cmpint(fixture_recover(&f), ==, 0);
        g_assert_cmpuint(store_get_report(f.store)->torn_bytes, >, 4900);
        g_assert_cmpuint(f.last.index, ==, 3);
        fixture_close(&f);
        path = fixture_path(&f, FIRST_SEGMENT);
        g_assert_true(g_file_get_contents(path, &data, &size, NULL));
        g_assert_cmpuint(size, ==, f.options.segment_bytes);
        for (gsize i = (gsize) end; i < size; i++)
                g_assert_cmpint(data[i], ==, 0);
        fixture_run(&f);
        g_assert_cmpuint(store_get_report(f.store)->torn_bytes, ==, 0);
}

/* The last segment gone: META knows that there was one. */
static void test_log_missing(void) {
        g_auto(Fixture) f = { 0 };
        g_autofree char *error = NULL;
        g_autofree char *log = NULL;
        g_autofree char *last = NULL;
        g_autofree char *path = NULL;
        uint64_t lost_from = 0;
        const char *name;
        GDir *dir;

        fixture_init(&f, NULL);
        fixture_run(&f);
        for (unsigned i = 0; i < 30; i++)
                fixture_append_size(&f, 25000);
        fixture_drain(&f);
        fixture_close(&f);

        log = fixture_path(&f, "log");
        dir = g_dir_open(log, 0, NULL);
        while ((name = g_dir_read_name(dir)))
                if (g_str_has_suffix(name, ".log") && g_strcmp0(name, last) > 0) {
                        g_free(last);
                        last = g_strdup(name);
                }
        g_dir_close(dir);
        g_assert_nonnull(last);
        path = g_build_filename(log, last, NULL);
        g_assert_cmpint(g_unlink(path), ==, 0);

        g_assert_cmpint(fixture_open(&f), ==, 0);
        g_assert_cmpint(fixture_recover(&f), ==, -EUCLEAN);
        g_assert_cmpint(store_accept_loss(f.store, &lost_from, &error), ==, 0);
        g_assert_cmpuint(lost_from, ==, g_ascii_strtoull(last, NULL, 16));
        g_assert_cmpint(fixture_recover(&f), ==, 0);
        fixture_start(&f);
        fixture_append(&f);
        fixture_drain(&f);
        fixture_reopen(&f);
        g_assert_cmpuint(f.last.index, ==, lost_from);
}

/*
 * An earlier life
 */

/* Copies the segments that begin after `after`. */
static unsigned copy_segments(const Fixture *from, const Fixture *to, uint64_t after) {
        g_autofree char *directory = fixture_path(from, "log");
        GDir *dir = g_dir_open(directory, 0, NULL);
        unsigned count = 0;
        const char *name;

        while ((name = g_dir_read_name(dir))) {
                g_autofree char *source = g_build_filename(directory, name, NULL);
                g_autofree char *target = g_build_filename(to->directory, "log", name, NULL);
                g_autofree char *data = NULL;
                gsize size;

                if (!g_str_has_suffix(name, ".log") || g_ascii_strtoull(name, NULL, 16) <= after)
                        continue;
                g_assert_true(g_file_get_contents(source, &data, &size, NULL));
                g_assert_true(g_file_set_contents(target, data, (gssize) size, NULL));
                count++;
        }
        g_dir_close(dir);
        return count;
}

/* A life of this disk, of the same ensemble and history as any other; `entries` fill whole segments of ten. */
static void live(Fixture *f, uint8_t disk, unsigned entries) {
        ZabMeta meta = fixture_meta;

        meta.disk_id.bytes[0] = disk;
        fixture_init(f, NULL);
        g_assert_cmpint(fixture_open(f), ==, 0);
        g_assert_cmpint(store_create(f->store, &meta), ==, 0);
        g_assert_cmpint(fixture_recover(f), ==, 0);
        if (entries > 0)
                fixture_start(f);       /* which begins the log */
        for (unsigned i = 0; i < entries; i++) {
                fixture_append_size(f, 25000);
                fixture_drain(f);
        }
        fixture_close(f);
}

/* Segments that another disk wrote, though they continue the log to the byte: nothing in them is believed. */
static void test_earlier_life(void) {
        g_auto(Fixture) old = { 0 };
        const char *why;

        live(&old, 1, 35);
        g_assert_cmpuint(fixture_count(&old, "log", ".log"), ==, 4);

        for (unsigned entries = 0; entries <= 10; entries += 5) {
                g_auto(Fixture) f = { 0 };

                live(&f, 2, entries);
                g_assert_cmpuint(copy_segments(&old, &f, entries > 0 ? 1 : 0), ==, entries > 0 ? 3 : 4);
                g_assert_cmpint(fixture_open(&f), ==, 0);
                if (entries == 0) {
                        /* This life had not begun a log: all of it goes. */
                        g_assert_cmpint(fixture_recover(&f), ==, 0);
                        g_assert_cmpuint(f.last.index, ==, 0);
                        g_assert_cmpuint(fixture_count(&f, "log", ".log"), ==, 0);
                        continue;
                }
                g_assert_cmpint(fixture_recover(&f), ==, -EUCLEAN);
                g_assert_cmpuint(f.replay_last.index, ==, entries);
                why = store_get_report(f.store)->text;
                g_assert_nonnull(strstr(why, entries == 10 ? "another member" : "a later segment exists"));
        }

        /* And the first segment itself. */
        {
                g_auto(Fixture) f = { 0 };

                live(&f, 2, 10);
                g_assert_cmpuint(copy_segments(&old, &f, 0), ==, 4);
                g_assert_cmpint(fixture_open(&f), ==, 0);
                g_assert_cmpint(fixture_recover(&f), ==, -EUCLEAN);
                g_assert_cmpuint(f.replay_last.index, ==, 0);
        }
}

/* A damaged checkpoint: given up only while the log has everything. */
static void test_accept_checkpoint_loss(void) {
        for (unsigned whole = 0; whole < 2; whole++) {
                g_auto(Fixture) f = { 0 };
                g_autofree char *error = NULL;
                uint64_t lost_from = 0;
                Prng prng = { 11 };
                ZabPosition position;

                fixture_init(&f, NULL);
                f.options.log_keep_bytes = whole ? 64 * 1024 * 1024 : 1;
                fixture_run(&f);
                for (unsigned i = 0; i < 30; i++)
                        fixture_append_size(&f, 25000);
                fixture_drain(&f);
                fixture_checkpoint_and_wait(&f, &prng, true, 100);
                fixture_append(&f);
                fixture_drain(&f);
                fixture_close(&f);
                for (off_t page = 0; page < 4; page++)
                        fixture_flip(&f, "checkpoint.1/data.mdb", page * 4096 + 16, 0xff);

                g_assert_cmpint(fixture_open(&f), ==, 0);
                g_assert_cmpint(store_load(f.store, NULL, &position, NULL), ==, -EUCLEAN);
                g_assert_cmpint(store_accept_loss(f.store, &lost_from, &error), ==, whole ? 0 : -ENODATA);
                if (!whole) {
                        g_assert_nonnull(strstr(error, "does not reach back"));
                        continue;
                }
                g_assert_cmpuint(lost_from, ==, 32);
                g_assert_cmpint(fixture_recover(&f), ==, 0);
                g_assert_cmpuint(f.replay_first, ==, 1);
                g_assert_cmpuint(f.last.index, ==, 31);
                fixture_start(&f);
                fixture_checkpoint_and_wait(&f, &prng, true, 100);
                fixture_reopen(&f);
                g_assert_cmpuint(store_get_report(f.store)->checkpoint.index, ==, 31);
        }
}

/*
 * Full and failing disks
 */

static int failing_commit(void *userdata, MDB_txn *txn) {
        mdb_txn_abort(txn);
        errno = *(int *) userdata;      /* as the system call left it: LMDB says EIO of a short write, too */
        return errno;
}

/* No room for a checkpoint: it is given up, and nothing else. */
static void test_checkpoint_room(void) {
        for (unsigned full = 0; full < 2; full++) {
                g_auto(Fixture) f = { 0 };
                Prng prng = { 9 };

                fixture_init(&f, NULL);
                f.io.map_bytes = 96 * 1024;
                fixture_run(&f);
                fixture_append(&f);
                fixture_drain(&f);
                fixture_checkpoint_and_wait(&f, &prng, true, 50);
                fixture_append(&f);
                fixture_drain(&f);
                fixture_checkpoint(&f, &prng, full, 3000);
                fixture_wait(&f, f.checkpointed == f.io_seq);
                g_assert_cmpint(f.checkpoint_error, ==, -ENOSPC);
                g_assert_cmpuint(f.failed, ==, 0);
                f.appended = f.io_seq;
                fixture_append(&f);
                fixture_drain(&f);
                g_assert_cmpuint(f.failed, ==, 0);
                f.io.map_bytes = 0;
                fixture_reopen(&f);
                g_assert_cmpuint(store_get_report(f.store)->checkpoint.index, ==, 1);
                g_assert_cmpuint(f.last.index, ==, 3);
                g_assert_cmpuint(fixture_count(&f, ".", ""), ==, 4);
                fixture_checkpoint_and_wait(&f, &prng, true, 100);
        }
}

static void test_checkpoint_commit_fails(void) {
        for (unsigned i = 0; i < 4; i++) {
                bool full = i % 2;
                g_auto(Fixture) f = { 0 };
                Prng prng = { 10 };
                int code = i < 2 ? EIO : ENOSPC;

                fixture_init(&f, NULL);
                fixture_run(&f);
                fixture_append(&f);
                fixture_drain(&f);
                fixture_checkpoint_and_wait(&f, &prng, true, 50);
                fixture_close(&f);
                f.io.commit = failing_commit;
                f.io.userdata = &code;
                fixture_run(&f);
                fixture_append(&f);
                fixture_drain(&f);
                fixture_checkpoint(&f, &prng, full, 50);
                fixture_wait(&f, f.checkpointed == f.io_seq || f.failed > 0);
                /* in place and not for want of room: the file is in doubt */
                g_assert_cmpuint(f.failed, ==, code == EIO && !full);
                if (f.failed == 0)
                        g_assert_cmpint(f.checkpoint_error, ==, -code);
                fixture_close(&f);
                f.io = store_io_system;
                f.io.segment_bytes_min = 8192;
                fixture_run(&f);
                g_assert_cmpuint(f.last.index, ==, 2);
        }
}

typedef struct Fault {
        gint armed;                     /* which call fails, from now on; see below */
        int error;
        gint calls;                     /* fdatasync of the log since it failed */
} Fault;

static int full_fallocate(void *userdata, int fd, off_t size) {
        Fault *fault = userdata;

        if (g_atomic_int_get(&fault->armed)) {
                errno = fault->error;
                return -1;
        }
        return fallocate(fd, 0, 0, size);
}

static void test_no_space(void) {
        g_auto(Fixture) f = { 0 };
        Fault fault = { .error = ENOSPC };
        StoreStatistics statistics;

        fixture_init(&f, NULL);
        f.io.fallocate = full_fallocate;
        f.io.userdata = &fault;
        fixture_run(&f);
        fixture_append(&f);
        fixture_drain(&f);

        /* The spare that is there absorbs one rotation; then there is none, and all of a segment left. */
        g_atomic_int_set(&fault.armed, 1);
        while (f.space != 0) {
                fixture_append_size(&f, 20000);
                fixture_drain(&f);
        }
        g_assert_cmpuint(f.failed, ==, 0);
        store_get_statistics(f.store, &statistics);
        g_assert_false(statistics.space_available);
        for (unsigned i = 0; i < 8; i++)
                fixture_append_size(&f, 20000);
        fixture_drain(&f);
        g_assert_cmpuint(f.failed, ==, 0);

        /* It comes back by itself. */
        g_atomic_int_set(&fault.armed, 0);
        fixture_wait(&f, f.space == 1);
        for (unsigned i = 0; i < 30; i++)
                fixture_append_size(&f, 20000);
        fixture_drain(&f);
        g_assert_cmpuint(f.failed, ==, 0);

        /* Who goes on all the same waits for room. */
        g_atomic_int_set(&fault.armed, 1);
        for (unsigned i = 0; i < 100; i++)
                fixture_append_size(&f, 20000);
        fixture_wait(&f, f.space == 0);
        g_assert_cmpuint(f.failed, ==, 0);
        g_atomic_int_set(&fault.armed, 0);
        fixture_drain(&f);
        g_assert_cmpuint(f.failed, ==, 0);
        {
                uint64_t told = f.appended;

                fixture_reopen(&f);
                g_assert_cmpuint(f.last.index, >=, told);
        }

        /* No room at start. */
        g_atomic_int_set(&fault.armed, 1);
        fixture_close(&f);
        {
                g_autofree char *spare = fixture_path(&f, "log/spare");

                g_assert_cmpint(g_unlink(spare), ==, 0);
        }
        fixture_run(&f);
        fixture_wait(&f, f.space == 0);
        g_atomic_int_set(&fault.armed, 0);
        fixture_wait(&f, f.space == 1);
}

static int failing_fdatasync(void *userdata, int fd) {
        Fault *fault = userdata;

        if (g_atomic_int_get(&fault->armed)) {
                if (g_atomic_int_add(&fault->calls, 1) == 0) {
                        errno = EIO;
                        return -1;
                }
                return 0;               /* as Linux does: the error is told once */
        }
        return fdatasync(fd);
}

static ssize_t failing_pwrite(void *userdata, int fd, const void *buffer, size_t size, off_t offset) {
        Fault *fault = userdata;

        if (g_atomic_int_get(&fault->armed)) {
                gint call = g_atomic_int_add(&fault->calls, 1);

                /* A disk that fills up: a short write, and why with the next. */
                if (fault->error == ENOSPC && call == 0)
                        return pwrite(fd, buffer, size / 2, offset);
                errno = fault->error;
                return -1;
        }
        return pwrite(fd, buffer, size, offset);
}

/* fdatasync fails once, or a write fails or is short: failed() once, nothing acknowledged, nothing written any more. */
static void test_io_error(void) {
        for (unsigned kind = 0; kind < 3; kind++) {
                g_auto(Fixture) f = { 0 };
                Fault fault = { .error = kind == 2 ? ENOSPC : EIO };
                uint64_t told;

                fixture_init(&f, NULL);
                if (kind == 0)
                        f.io.fdatasync = failing_fdatasync;
                else
                        f.io.pwrite = failing_pwrite;
                f.io.userdata = &fault;
                fixture_run(&f);
                for (unsigned i = 0; i < 5; i++)
                        fixture_append(&f);
                fixture_drain(&f);
                told = f.appended;
                g_atomic_int_set(&fault.armed, 1);
                for (unsigned i = 0; i < 5; i++)
                        fixture_append(&f);
                fixture_wait(&f, f.failed > 0);
                for (unsigned i = 0; i < 5; i++)
                        fixture_append(&f);
                store_write_meta(f.store, ++f.io_seq, &fixture_meta);
                fixture_close(&f);
                g_assert_cmpuint(f.failed, ==, 1);
                g_assert_cmpint(f.failed_error, ==, -fault.error);
                g_assert_nonnull(strstr(f.failed_what, "log/"));
                g_assert_cmpuint(f.appended, ==, told);
                g_assert_cmpint(g_atomic_int_get(&fault.calls), ==, kind == 2 ? 2 : 1);

                f.io = store_io_system;
                f.io.segment_bytes_min = 8192;
                fixture_run(&f);
                g_assert_cmpuint(f.last.index, >=, told);
        }
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/store/damage/meta", test_meta_damage);
        g_test_add_func("/store/damage/checkpoint", test_checkpoint_damage);
        g_test_add_func("/store/disk/checkpoint-room", test_checkpoint_room);
        g_test_add_func("/store/disk/checkpoint-commit-fails", test_checkpoint_commit_fails);
        g_test_add_func("/store/damage/log", test_log_damage);
        g_test_add_func("/store/damage/loss-accepted", test_loss_accepted);
        g_test_add_func("/store/damage/torn", test_torn);
        g_test_add_func("/store/damage/missing-segment", test_log_missing);
        g_test_add_func("/store/damage/earlier-life", test_earlier_life);
        g_test_add_func("/store/damage/accept-checkpoint-loss", test_accept_checkpoint_loss);
        g_test_add_func("/store/disk/no-space", test_no_space);
        g_test_add_func("/store/disk/io-error", test_io_error);

        return g_test_run();
}
