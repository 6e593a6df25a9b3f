/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What an ensemble asks of the store: the log cut, a leader's snapshot installed, entries and checkpoints read back for
 * others.  Crashes in the middle are in test-store-crash.c.
 */

#include "tests/unit/store-fixture.h"

/*
 * Truncation
 */

static void cut_to(Fixture *f, uint64_t index) {
        ZabPosition to = fixture_position(f, index);

        store_truncate(f->store, ++f->io_seq, &to);
        f->last = to;
        f->next_zxid = zxid_make(zxid_epoch(to.zxid) + 1, 1);
}

/* To every index of a log of several segments, with appends right behind it, and again after a restart. */
static void test_truncate_everywhere(void) {
        for (uint64_t to = 1; to <= 40; to++) {
                g_auto(Fixture) f = { 0 };
                StoreStatistics statistics;

                fixture_init(&f, NULL);
                f.options.segment_bytes = 24 * 1024;
                f.options.no_sync = true;
                fixture_run(&f);
                for (unsigned i = 0; i < 41; i++)
                        fixture_append_size(&f, 2000 + i % 3 * 700);
                if (to % 2 == 0)
                        fixture_drain(&f);
                cut_to(&f, to);
                if (to % 3 == 0)
                        fixture_append(&f);
                fixture_drain(&f);
                g_assert_cmpuint(f.failed, ==, 0);
                store_get_statistics(f.store, &statistics);
                g_assert_cmpuint(statistics.segments, ==, fixture_count(&f, "log", ".log"));

                f.watched_index = to;
                fixture_reopen(&f);
                g_assert_cmpuint(f.last.index, ==, to + (to % 3 == 0));
                for (unsigned i = 0; i < 20; i++)
                        fixture_append_size(&f, 3000);
                fixture_drain(&f);
                cut_to(&f, to + 1);
                fixture_append(&f);
                fixture_reopen(&f);
                g_assert_cmpuint(f.last.index, ==, to + 2);
                g_assert_cmpuint(f.last.zxid, ==, zxid_make(zxid_epoch(f.last.zxid), 1));
                g_assert_cmpint(store_get_report(f.store)->state, ==, STORE_MEMBER);
        }
}

/* META knew that what is cut now was durable; with either slot lost afterwards it must not prove a loss. */
static void test_truncate_floor(void) {
        for (unsigned slot = 0; slot < 2; slot++) {
                g_auto(Fixture) f = { 0 };

                fixture_init(&f, NULL);
                f.options.segment_bytes = 24 * 1024;
                fixture_run(&f);
                for (unsigned i = 0; i < 40; i++)
                        fixture_append_size(&f, 2000);
                store_write_meta(f.store, ++f.io_seq, &fixture_meta);
                fixture_wait(&f, f.meta_written == f.io_seq);
                cut_to(&f, 17);
                fixture_drain(&f);
                fixture_close(&f);
                fixture_flip(&f, "meta", slot * 4096 + 100, 1);
                fixture_run(&f);
                g_assert_cmpuint(store_get_report(f.store)->meta_slots_bad, ==, 1);
                g_assert_cmpuint(store_get_report(f.store)->meta.durable_floor, ==, 17);
                g_assert_cmpuint(f.last.index, ==, 17);
        }
}

/* To where the log does not have that entry: final. */
static void test_truncate_other(void) {
        g_auto(Fixture) f = { 0 };
        ZabPosition to;

        fixture_init(&f, NULL);
        fixture_run(&f);
        for (unsigned i = 0; i < 10; i++)
                fixture_append(&f);
        fixture_drain(&f);
        to = fixture_position(&f, 5);
        to.chain.low++;
        store_truncate(f.store, ++f.io_seq, &to);
        fixture_wait(&f, f.failed > 0);
        g_assert_cmpint(f.failed_error, ==, -EUCLEAN);
        fixture_reopen(&f);
        g_assert_cmpuint(f.last.index, ==, 10);
}

/*
 * Reading the log
 */

static void read_log(Fixture *f, uint64_t from, uint64_t to, uint64_t bytes_max) {
        static uint64_t request;

        store_read_log(f->store, ++request, from, to, bytes_max);
        fixture_wait(f, f->log_request == request || f->failed > 0);
}

static void check_entries(const Fixture *f, uint64_t from) {
        for (unsigned i = 0; i < f->entries->len; i++) {
                const ZabEntry *e = &g_array_index(f->entries, ZabEntry, i);
                ZabPosition position = fixture_position(f, from + i);

                g_assert_cmpuint(e->index, ==, from + i);
                g_assert_cmpuint(e->zxid, ==, position.zxid);
                g_assert_true(hash128_equal(e->chain, position.chain));
                if (g_bytes_get_size(e->payload) > 0)
                        g_assert_cmpint(*(const uint8_t *) g_bytes_get_data(e->payload, NULL), ==, (uint8_t) e->index);
        }
}

/* From `from` to the end in as many reads as it takes. */
static unsigned read_all(Fixture *f, uint64_t from, uint64_t bytes_max) {
        unsigned reads = 0;

        while (from <= f->last.index) {
                read_log(f, from, f->last.index, bytes_max);
                g_assert_cmpuint(f->entries->len, >, 0);
                check_entries(f, from);
                from += f->entries->len;
                reads++;
        }
        return reads;
}

static void test_read_log(void) {
        g_auto(Fixture) f = { 0 };
        Prng prng = { 4 };

        fixture_init(&f, NULL);
        f.options.log_keep_bytes = 2 * f.options.segment_bytes;
        fixture_run(&f);
        for (unsigned i = 0; i < 1500; i++)
                fixture_append_size(&f, prng_below(&prng, 2000));
        fixture_drain(&f);

        for (unsigned life = 0; life < 2; life++) {
                unsigned reads = read_all(&f, 1, 100000);

                g_assert_cmpuint(reads, >, 15);
                g_assert_cmpuint(read_all(&f, 1, 1), ==, 1500);         /* one alone each time */
                for (unsigned i = 0; i < 300; i++) {
                        uint64_t from = 1 + prng_below(&prng, 1500), to = from + prng_below(&prng, 5);

                        read_log(&f, from, to, UINT64_MAX);
                        g_assert_cmpuint(f.entries->len, >, 0);
                        g_assert_cmpuint(f.entries->len, <=, to - from + 1);
                        check_entries(&f, from);
                }
                read_log(&f, 1501, 1600, UINT64_MAX);
                g_assert_cmpuint(f.entries->len, ==, 0);
                read_log(&f, 10, 9, UINT64_MAX);
                g_assert_cmpuint(f.entries->len, ==, 0);
                fixture_reopen(&f);
        }

        /* What a checkpoint has taken away. */
        fixture_checkpoint_and_wait(&f, &prng, true, 10);
        g_assert_cmpuint(f.log_dropped, >, 500);
        read_log(&f, f.log_dropped, 1500, UINT64_MAX);
        g_assert_cmpuint(f.entries->len, ==, 0);
        (void) read_all(&f, f.log_dropped + 1, 5000);
}

/* Reads go on while entries are appended, segments dropped and the end cut. */
static void test_read_log_meanwhile(void) {
        g_auto(Fixture) f = { 0 };
        Prng prng = { 4 };
        uint64_t request = 1000000, from = 1;
        unsigned answers = 0;

        fixture_init(&f, NULL);
        f.options.segment_bytes = 64 * 1024;
        f.options.log_keep_bytes = 3 * f.options.segment_bytes;
        f.options.no_sync = true;
        fixture_run(&f);
        fixture_append(&f);
        fixture_drain(&f);
        for (unsigned round = 0; round < 400; round++) {
                uint64_t durable = f.last.index, lowest = f.log_dropped;

                store_read_log(f.store, ++request, from, UINT64_MAX, 20000);
                for (unsigned i = 0; i < 10; i++)
                        fixture_append_size(&f, prng_below(&prng, 1500));
                fixture_wait(&f, f.log_request == request);
                check_entries(&f, from);
                if (from > f.log_dropped && from <= durable)
                        g_assert_cmpuint(f.entries->len, >, 0);
                if (from <= lowest)
                        g_assert_cmpuint(f.entries->len, ==, 0);
                answers += f.entries->len > 0;
                from += f.entries->len;
                if (f.entries->len == 0 || prng_below(&prng, 4) == 0)
                        from = f.log_dropped + 1 + prng_below(&prng, f.last.index - f.log_dropped);
                fixture_drain(&f);
                if (round % 40 == 39)
                        fixture_checkpoint_and_wait(&f, &prng, round == 39, 10);
                if (round % 40 == 20) {
                        store_read_log(f.store, ++request, f.last.index - 5, UINT64_MAX, 20000);
                        cut_to(&f, f.last.index - 3);
                        fixture_append(&f);
                        fixture_drain(&f);
                        fixture_wait(&f, f.log_request == request);
                        from = f.last.index;
                }
        }
        g_assert_cmpuint(f.failed, ==, 0);
        g_assert_cmpuint(answers, >, 200);
        g_assert_cmpuint(f.log_dropped, >, 0);
}

/* A record that rots where it lies: final when it is read, and behind the checkpoint it only shortens what is there at the
 * next start. */
static void test_read_log_damage(void) {
        g_auto(Fixture) f = { 0 };
        Prng prng = { 4 };
        char name[32];

        fixture_init(&f, NULL);
        f.options.log_keep_bytes = 64 * 1024 * 1024;
        fixture_run(&f);
        for (unsigned i = 0; i < 60; i++)
                fixture_append_size(&f, 20000);
        fixture_drain(&f);
        fixture_checkpoint_and_wait(&f, &prng, true, 10);
        fixture_append(&f);
        fixture_drain(&f);
        (void) snprintf(name, sizeof name, "log/%016x.log", 1);
        fixture_flip(&f, name, SEGMENT_HEADER_BYTES + 20200, 1);
        read_log(&f, 1, 1, UINT64_MAX);
        g_assert_cmpuint(f.entries->len, ==, 1);
        read_log(&f, 2, 2, UINT64_MAX);
        g_assert_cmpint(f.failed_error, ==, -EUCLEAN);
        g_assert_nonnull(strstr(f.failed_what, "0000000000000001.log"));

        fixture_reopen(&f);
        g_assert_cmpuint(f.last.index, ==, 61);
        g_assert_cmpuint(store_get_report(f.store)->log_base_index, >, 1);
        read_log(&f, 2, 2, UINT64_MAX);
        g_assert_cmpuint(f.entries->len, ==, 0);
        (void) read_all(&f, store_get_report(f.store)->log_base_index + 1, 50000);
        g_assert_cmpuint(f.failed, ==, 0);
}

/* Where the log begins and which epochs begin in it. */
static void test_base(void) {
        g_auto(Fixture) f = { 0 };
        const StoreReport *report;
        Prng prng = { 4 };
        unsigned epochs = 0;

        fixture_init(&f, NULL);
        f.options.log_keep_bytes = 3 * f.options.segment_bytes;
        fixture_run(&f);
        for (unsigned i = 0; i < 100; i++) {
                if (i % 7 == 6)
                        f.next_zxid = zxid_make(zxid_epoch(f.last.zxid) + 2, 1);
                fixture_append_size(&f, 20000);
        }
        fixture_drain(&f);
        fixture_reopen(&f);
        report = store_get_report(f.store);
        g_assert_cmpuint(report->log_base_index, ==, 0);
        g_assert_cmpuint(report->epochs_count, ==, 0);

        fixture_checkpoint_and_wait(&f, &prng, true, 10);
        for (unsigned i = 0; i < 30; i++) {
                if (i % 7 == 6)
                        f.next_zxid = zxid_make(zxid_epoch(f.last.zxid) + 2, 1);
                fixture_append_size(&f, 20000);
        }
        fixture_drain(&f);
        g_assert_cmpuint(f.log_dropped, >, 0);
        {
                uint64_t base = f.log_dropped;

                fixture_reopen(&f);
                report = store_get_report(f.store);
                g_assert_cmpuint(report->log_base_index, ==, base);
        }
        g_assert_cmpuint(report->checkpoint.index, ==, 100);
        g_assert_cmpuint(report->log_base_zxid, >, 0);
        for (unsigned i = 0; i < report->epochs_count; i++) {
                g_assert_cmpuint(report->epochs[i].index, >, report->log_base_index);
                g_assert_cmpuint(report->epochs[i].index, <=, 100);
                g_assert_cmpuint(report->epochs[i].index % 7, ==, 0);
                g_assert_cmpuint(report->epochs[i].epoch, ==, report->epochs[i].index / 7 * 2);
                epochs++;
        }
        g_assert_cmpuint(epochs, ==, 100 / 7 - report->log_base_index / 7);
        (void) read_all(&f, report->log_base_index + 1, 100000);
}

/*
 * Snapshots
 */

static void begin_snapshot(Fixture *f, const ZabPosition *to) {
        g_autoptr(GBytes) config = g_bytes_new_static("configuration", 13);

        store_snap_begin(f->store, to, config);
        for (uint64_t key = 1; key <= FIXTURE_ROWS; key++)
                f->rows[key] = (uint32_t) (to->index + key);
        fixture_send_chunks(f);
}

static void install(Fixture *f, const ZabPosition *to, Hash128 digest) {
        ZabMeta meta = fixture_meta;

        meta.accepted_epoch = meta.current_epoch = 7;
        store_snap_install(f->store, ++f->io_seq, &meta, digest);
        fixture_wait(f, f->appended == f->io_seq || f->snap_failed == f->io_seq);
}

static void test_install(void) {
        g_auto(Fixture) f = { 0 };
        ZabPosition to = { 1000, zxid_make(6, 5), { 7, 8 } };
        const StoreReport *report;
        Prng prng = { 4 };

        fixture_init(&f, NULL);
        fixture_run(&f);
        for (unsigned i = 0; i < 60; i++)
                fixture_append_size(&f, 20000);
        fixture_drain(&f);
        fixture_checkpoint_and_wait(&f, &prng, true, 100);

        /* One of our own is under way, and goes without a word. */
        store_checkpoint_begin(f.store, ++f.io_seq, false, &f.last, (Hash128) { 0 }, NULL);
        fixture_send_row(&f, 1);
        begin_snapshot(&f, &to);
        install(&f, &to, fixture_digest(&f));
        g_assert_cmpuint(f.snap_failed, ==, 0);
        g_assert_cmpuint(fixture_count(&f, "log", ".log"), ==, 1);
        read_log(&f, 1000, 1001, UINT64_MAX);
        g_assert_cmpuint(f.entries->len, ==, 0);

        /* A log that goes on from there, and a checkpoint on top of the snapshot. */
        f.last = to;
        for (unsigned i = 0; i < 30; i++)
                fixture_append_size(&f, 20000);
        fixture_drain(&f);
        (void) read_all(&f, 1001, 100000);
        fixture_checkpoint_and_wait(&f, &prng, false, 100);
        fixture_reopen(&f);
        g_assert_cmpuint(fixture_count(&f, ".", ""), ==, 4);
        report = store_get_report(f.store);
        g_assert_cmpuint(report->meta.current_epoch, ==, 7);
        g_assert_cmpuint(report->checkpoint.index, ==, 1030);
        g_assert_cmpuint(report->log_base_index, ==, 1000);
        g_assert_cmpuint(report->log_base_zxid, ==, to.zxid);
        (void) read_all(&f, 1001, 100000);
}

/* Into a store that has nothing of its own. */
static void test_install_joining(void) {
        g_auto(Fixture) f = { 0 };
        ZabPosition to = { 1000, zxid_make(6, 5), { 7, 8 } };
        ZabMeta meta = fixture_meta;

        fixture_init(&f, NULL);
        meta.membership = ZAB_MEMBERSHIP_JOINING;
        g_assert_cmpint(fixture_open(&f), ==, 0);
        g_assert_cmpint(store_create(f.store, &meta), ==, 0);
        fixture_close(&f);
        g_assert_cmpint(fixture_open(&f), ==, 0);
        g_assert_cmpint(store_get_report(f.store)->state, ==, STORE_MEMBER);
        g_assert_cmpint(store_get_report(f.store)->meta.membership, ==, ZAB_MEMBERSHIP_JOINING);
        g_assert_cmpint(fixture_recover(&f), ==, 0);
        fixture_start(&f);
        begin_snapshot(&f, &to);
        install(&f, &to, fixture_digest(&f));
        fixture_reopen(&f);
        g_assert_cmpuint(f.last.index, ==, 1000);
        g_assert_cmpint(store_get_report(f.store)->meta.membership, ==, ZAB_MEMBERSHIP_MEMBER);
        fixture_append(&f);
        fixture_drain(&f);
        fixture_reopen(&f);
        g_assert_cmpuint(f.last.index, ==, 1001);
}

/* The wrong digest, bytes that are no chunk, no room: told, and everything is as it was. */
static void test_install_refused(void) {
        static const int errors[] = { -EUCLEAN, -EBADMSG, -ENOSPC };

        for (unsigned kind = 0; kind < G_N_ELEMENTS(errors); kind++) {
                g_auto(Fixture) f = { 0 };
                ZabPosition to = { 1000, zxid_make(6, 5), { 7, 8 } };
                Prng prng = { 4 };

                fixture_init(&f, NULL);
                f.io.map_bytes = kind == 2 ? 96 * 1024 : 0;
                fixture_run(&f);
                for (unsigned i = 0; i < 30; i++)
                        fixture_append_size(&f, 20000);
                fixture_drain(&f);
                fixture_checkpoint_and_wait(&f, &prng, true, 100);
                begin_snapshot(&f, &to);
                if (kind == 1) {
                        g_autoptr(GBytes) no_chunk = g_bytes_new_static("nonsense", 8);

                        store_snap_chunk(f.store, no_chunk);
                }
                install(&f, &to, kind == 0 ? (Hash128) { 1, 2 } : fixture_digest(&f));
                g_assert_cmpuint(f.snap_failed, ==, f.io_seq);
                g_assert_cmpint(f.snap_error, ==, errors[kind]);
                g_assert_cmpuint(f.failed, ==, 0);
                g_assert_cmpuint(fixture_count(&f, ".", ""), ==, 4);
                f.appended = f.io_seq;
                fixture_append(&f);
                fixture_drain(&f);
                fixture_reopen(&f);
                g_assert_cmpuint(store_get_report(f.store)->checkpoint.index, ==, 30);
                g_assert_cmpuint(store_get_report(f.store)->meta.accepted_epoch, ==, 2);
                g_assert_cmpuint(f.last.index, ==, 31);
        }
}

static void test_snap_abort(void) {
        g_auto(Fixture) f = { 0 };
        ZabPosition to = { 1000, zxid_make(6, 5), { 7, 8 } };
        Prng prng = { 4 };

        fixture_init(&f, NULL);
        fixture_run(&f);
        fixture_append(&f);
        fixture_drain(&f);
        for (unsigned i = 0; i < 3; i++) {
                begin_snapshot(&f, &to);
                if (i < 2)
                        store_snap_abort(f.store);
                /* the third is begun over */
        }

        /* None of our own meanwhile; and one again, after the end. */
        store_checkpoint_begin(f.store, ++f.io_seq, true, &f.last, (Hash128) { 0 }, NULL);
        store_checkpoint_end(f.store);
        fixture_wait(&f, f.checkpointed == f.io_seq);
        g_assert_cmpint(f.checkpoint_error, ==, -EBUSY);
        store_snap_abort(f.store);
        fixture_checkpoint_and_wait(&f, &prng, true, 100);
        begin_snapshot(&f, &to);
        fixture_close(&f);
        g_assert_cmpuint(fixture_count(&f, ".", ""), ==, 4);
        fixture_run(&f);
        g_assert_cmpuint(store_get_report(f.store)->checkpoint.index, ==, 1);
}

static GMutex slow_disk;                /* held: nothing is made on it */

static int mkdirat_slowly(void *userdata, int directory_fd, const char *name, mode_t mode) {
        int r;

        g_mutex_lock(&slow_disk);
        r = mkdirat(directory_fd, name, mode);
        g_mutex_unlock(&slow_disk);
        return r;
}

/* How many chunks wait for the disk is known, so that the leader can be made to wait. */
static void test_snap_backlog(void) {
        g_auto(Fixture) f = { 0 };
        ZabPosition to = { 1000, zxid_make(6, 5), { 7, 8 } };
        g_autoptr(GBytes) chunk = g_bytes_new_static("any", 3);
        unsigned before;

        fixture_init(&f, NULL);
        fixture_run(&f);
        f.io.mkdirat = mkdirat_slowly;
        g_mutex_lock(&slow_disk);
        begin_snapshot(&f, &to);                /* with some chunks of its own */
        before = store_checkpoint_backlog(f.store);
        for (unsigned i = 1; i <= 100; i++) {
                store_snap_chunk(f.store, chunk);
                g_assert_cmpuint(store_checkpoint_backlog(f.store), ==, before + i);
        }
        g_mutex_unlock(&slow_disk);
        store_snap_install(f.store, ++f.io_seq, &fixture_meta, (Hash128) { 0 });
        fixture_wait(&f, f.snap_failed == f.io_seq);            /* it was no snapshot */
        g_assert_cmpuint(store_checkpoint_backlog(f.store), ==, 0);
        f.appended = f.io_seq;
}

static void open_snapshot(Fixture *f, uint64_t request) {
        store_open_snapshot(f->store, request);
        fixture_wait(f, f->snapshot_request == request);
}

/* Out of one store and into another, while the first goes on with entries and checkpoints of both kinds: the same rows. */
static void test_snapshot_between(void) {
        g_auto(Fixture) from = { 0 }, into = { 0 };
        ZabPosition position;
        ZabMeta meta = fixture_meta;
        Hash128 digest;
        Prng prng = { 4 };
        unsigned chunks = 0;

        fixture_init(&from, NULL);
        from.options.segment_bytes = 64 * 1024;
        from.options.log_keep_bytes = 1;
        fixture_run(&from);
        open_snapshot(&from, 1);
        g_assert_cmpuint(from.snapshot_position.index, ==, 0);
        store_close_snapshot(from.store, 1);
        for (unsigned i = 0; i < 10; i++)
                fixture_append(&from);
        fixture_drain(&from);
        for (uint64_t key = 1; key <= FIXTURE_ROWS; key++)
                from.rows[key] = 5;
        fixture_checkpoint_and_wait(&from, &prng, true, 2000);
        digest = fixture_digest(&from);

        open_snapshot(&from, 2);
        position = from.snapshot_position;
        g_assert_cmpuint(position.index, ==, 10);
        fixture_init(&into, NULL);
        fixture_run(&into);
        store_snap_begin(into.store, &position, NULL);
        for (uint64_t wait = 1;; wait++) {
                /* the log behind it must stay through all of this */
                for (unsigned i = 0; i < 60; i++)
                        fixture_append_size(&from, 3000);
                fixture_drain(&from);
                fixture_checkpoint_and_wait(&from, &prng, wait == 2, 500);

                from.chunk_request = 0;
                store_read_snapshot(from.store, 2);
                fixture_wait(&from, from.chunk_request == 2);
                g_assert_true(hash128_equal(from.chunk_digest, digest));
                if (!from.chunk)
                        break;
                store_snap_chunk(into.store, from.chunk);
                chunks++;
        }
        g_assert_cmpuint(chunks, >, 0);
        g_assert_cmpuint(from.log_dropped, <=, 10);
        read_log(&from, 11, 11, 1);
        g_assert_cmpuint(from.entries->len, ==, 1);
        store_close_snapshot(from.store, 2);
        /* Another thread learns of that, perhaps after the next checkpoint. */
        for (unsigned i = 0; i < 1000 && from.log_dropped <= 10; i++) {
                fixture_append(&from);
                fixture_drain(&from);
                fixture_checkpoint_and_wait(&from, &prng, false, 10);
        }
        g_assert_cmpuint(from.log_dropped, >, 10);

        store_snap_install(into.store, ++into.io_seq, &meta, digest);
        fixture_wait(&into, into.appended == into.io_seq);
        fixture_reopen(&into);
        g_assert_cmpuint(into.last.index, ==, 10);
}

/* Four at once; the fifth waits, and hears nothing if it is closed first. */
static void test_snapshots_bounded(void) {
        g_auto(Fixture) f = { 0 };
        Prng prng = { 4 };

        fixture_init(&f, NULL);
        fixture_run(&f);
        fixture_append(&f);
        fixture_drain(&f);
        fixture_checkpoint_and_wait(&f, &prng, true, 100);
        for (uint64_t request = 1; request <= 4; request++)
                open_snapshot(&f, request);
        store_open_snapshot(f.store, 5);
        store_open_snapshot(f.store, 6);
        store_open_snapshot(f.store, 7);
        read_log(&f, 1, 1, 1);          /* in its turn, so the three wait by now */
        g_assert_cmpuint(f.snapshot_request, ==, 4);
        store_close_snapshot(f.store, 5);
        store_close_snapshot(f.store, 2);
        fixture_wait(&f, f.snapshot_request == 6);
        store_read_snapshot(f.store, 1);
        store_close_snapshot(f.store, 1);
        f.chunk_request = 0;
        fixture_wait(&f, f.snapshot_request == 7);
        g_assert_cmpuint(f.chunk_request, ==, 0);
        fixture_reopen(&f);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/store/truncate/everywhere", test_truncate_everywhere);
        g_test_add_func("/store/truncate/floor", test_truncate_floor);
        g_test_add_func("/store/truncate/other-history", test_truncate_other);
        g_test_add_func("/store/read-log/ends", test_read_log);
        g_test_add_func("/store/read-log/meanwhile", test_read_log_meanwhile);
        g_test_add_func("/store/read-log/damage", test_read_log_damage);
        g_test_add_func("/store/base", test_base);
        g_test_add_func("/store/snap/install", test_install);
        g_test_add_func("/store/snap/joining", test_install_joining);
        g_test_add_func("/store/snap/refused", test_install_refused);
        g_test_add_func("/store/snap/abort", test_snap_abort);
        g_test_add_func("/store/snap/backlog", test_snap_backlog);
        g_test_add_func("/store/snapshot/between", test_snapshot_between);
        g_test_add_func("/store/snapshot/bounded", test_snapshots_bounded);

        return g_test_run();
}
