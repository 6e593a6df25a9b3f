/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The store under crashes: a child process works, tells through a pipe what it was told is durable, and ends at a
 * chosen call, killed or with the power gone.  The parent opens what is left: everything told is there, in order, and
 * nothing half there.
 */

#include <sys/wait.h>

#include "tests/unit/store-fixture.h"
#include "tests/unit/store-power.h"

#define STEPS 12
#define IO_SEQ_MAX 4096

/* What the child did and was told; fields of 0 do not count. */
typedef struct Told {
        uint64_t index, epoch, checkpoint, submitted;
        uint64_t cutting;               /* a truncation to this index began */
        uint64_t cut;                   /* it is done, or a snapshot is installed: what comes after this index */
        uint32_t cut_epoch;             /* is of this epoch of zxids at least */
        uint64_t installing, installed; /* a snapshot at this index */
        bool opened;
} Told;

static struct {
        int pipe_fd;
        Told told[IO_SEQ_MAX];          /* what it means that this io_seq is durable */
        uint64_t heard;
        uint64_t checkpoint_index, checkpoint_io_seq;
        uint32_t zxid_epoch;            /* the highest ever used */
} child;

static void tell(Told told) {
        g_assert_cmpint(write(child.pipe_fd, &told, sizeof told), ==, sizeof told);
}

static void child_appended(void *userdata, uint64_t io_seq) {
        fixture_on_appended(userdata, io_seq);
        while (child.heard < io_seq)
                tell(child.told[++child.heard]);
}

static void child_meta_written(void *userdata, uint64_t io_seq) {
        fixture_on_meta(userdata, io_seq);
        tell(child.told[io_seq]);
}

static void child_checkpointed(void *userdata, uint64_t io_seq, int error) {
        fixture_on_checkpoint(userdata, io_seq, error);
        g_assert_cmpint(error, ==, 0);
        tell((Told) { .checkpoint = child.checkpoint_index });
}

/* The rows as of an index: a function of it, so that the child knows what an earlier one left. */
static uint32_t model_row(uint64_t index, uint64_t key) {
        uint32_t v = (uint32_t) ((index + key) / 8);

        return key > 200 || v % 9 == 0 ? 0 : v;
}

static void child_append(Fixture *f, size_t size) {
        tell((Told) { .submitted = f->last.index + 1 });
        fixture_append_size(f, size);
        child.told[f->io_seq].index = f->last.index;
}

/* What comes next is another history. */
static void child_begin_epoch(Fixture *f) {
        f->next_zxid = zxid_make(++child.zxid_epoch, 1);
}

static void child_truncate(Fixture *f, Prng *prng, uint64_t base) {
        ZabPosition to;

        if (f->last.index < base + 2)
                return;
        fixture_wait(f, f->appended == f->io_seq);
        to = fixture_position(f, base + 1 + prng_below(prng, f->last.index - base - 1));
        child_begin_epoch(f);
        tell((Told) { .cutting = to.index });
        store_truncate(f->store, ++f->io_seq, &to);
        child.told[f->io_seq] = (Told) { .index = to.index, .cut = to.index, .cut_epoch = child.zxid_epoch };
        f->last = to;
        if (prng_below(prng, 2) == 0)
                fixture_wait(f, f->appended == f->io_seq);
}

static void child_install(Fixture *f, Prng *prng, uint64_t *base, ZabMeta *meta) {
        ZabPosition to = { f->last.index + 1 + prng_below(prng, 50), 0, { prng_next(prng), 1 } };

        fixture_wait(f, f->appended == f->io_seq);
        child_begin_epoch(f);
        to.zxid = f->next_zxid;
        tell((Told) { .installing = to.index });
        store_snap_begin(f->store, &to, NULL);
        for (uint64_t key = 1; key <= FIXTURE_ROWS; key++)
                f->rows[key] = model_row(to.index, key);
        fixture_send_chunks(f);
        meta->accepted_epoch++;
        store_snap_install(f->store, ++f->io_seq, meta, fixture_digest(f));
        child.told[f->io_seq] = (Told) {
                .index = to.index,
                .epoch = meta->accepted_epoch,
                .cut = to.index,
                .cut_epoch = child.zxid_epoch,
                .installed = to.index,
        };
        child_begin_epoch(f);
        *base = to.index;
        f->last = to;
        /* Appends wait their turn. */
        child_append(f, 100);
        fixture_wait(f, f->appended == f->io_seq);
}

/* The log goes on, into the next segments, while the rows are handed over. */
static void child_checkpoint(Fixture *f, Prng *prng, uint64_t *base, bool full) {
        uint64_t from = *base;

        for (uint64_t key = 1; key <= FIXTURE_ROWS; key++)
                f->rows[key] = model_row(f->last.index, key);
        child.checkpoint_index = *base = f->last.index;
        child.checkpoint_io_seq = ++f->io_seq;
        store_checkpoint_begin(f->store, f->io_seq, full, &f->last, fixture_digest(f), NULL);
        for (uint64_t key = 1; key <= 200; key++) {
                if (full ? f->rows[key] != 0 : f->rows[key] != model_row(from, key))
                        fixture_send_row(f, key);
                if (key % 50 == 0)
                        child_append(f, prng_below(prng, 9000));
        }
        fixture_wait(f, f->appended == f->io_seq);
        store_checkpoint_end(f->store);
        fixture_wait(f, f->checkpointed == child.checkpoint_io_seq);
}

static void child_open(Fixture *f, uint64_t *ret_base) {
        StoreListener listener = {
                .appended = child_appended,
                .meta_written = child_meta_written,
                .checkpointed = child_checkpointed,
                .space = fixture_on_space,
                .failed = fixture_on_failed,
                .userdata = f,
        };

        f->options.directory = f->directory;
        g_assert_cmpint(store_open_with_io(&f->options, &listener, &f->io, &f->store, &f->error), ==, 0);
        if (store_get_report(f->store)->state == STORE_BLANK)
                g_assert_cmpint(store_create(f->store, &fixture_meta), ==, 0);
        tell((Told) { .epoch = store_get_report(f->store)->meta.accepted_epoch });
        g_assert_cmpint(fixture_recover(f), ==, 0);
        fixture_start(f);

        /* What was found counts from now on as if it had been acknowledged. */
        *ret_base = store_get_report(f->store)->checkpoint.index;
        tell((Told) { .index = f->last.index, .checkpoint = *ret_base, .opened = true });
        child.zxid_epoch = MAX(child.zxid_epoch, zxid_epoch(f->last.zxid));
        child_begin_epoch(f);
}

static void child_work(Fixture *f, Prng *prng) {
        ZabMeta meta = fixture_meta;
        uint64_t base;

        child_open(f, &base);
        meta.accepted_epoch = store_get_report(f->store)->meta.accepted_epoch;
        for (unsigned step = 0; step < STEPS && f->failed == 0; step++) {
                unsigned burst = 1 + (unsigned) prng_below(prng, 4), what = (unsigned) prng_below(prng, 9);

                for (unsigned i = 0; i < burst; i++)
                        child_append(f, prng_below(prng, 3000));
                if (what < 2) {
                        meta.accepted_epoch++;
                        child.told[f->io_seq + 1].epoch = meta.accepted_epoch;
                        store_write_meta(f->store, ++f->io_seq, &meta);
                        fixture_wait(f, f->meta_written == f->io_seq);
                } else if (what == 2 || step == 3) {
                        fixture_wait(f, f->appended == f->io_seq);
                        child_checkpoint(f, prng, &base, base == 0 || prng_below(prng, 3) == 0);
                } else if (what < 5)
                        fixture_wait(f, f->appended == f->io_seq);
                else if (what < 7 || step == 6)
                        child_truncate(f, prng, base);
                else if (what == 7 || step == 9)
                        child_install(f, prng, &base, &meta);
        }
        g_assert_cmpuint(f->failed, ==, 0);
        f->store = store_close(f->store);
}

static void fixture_init_small(Fixture *f, const char *directory) {
        fixture_init(f, directory);
        f->options.segment_bytes = 24 * 1024;
        f->options.log_keep_bytes = 1;
}

static void take_told(Told *told, const Told *t) {
        if (t->opened) {
                told->installing = 0;
                told->submitted = MAX(told->submitted, t->index);
        }
        if (t->cutting > 0)
                told->index = MIN(told->index, t->cutting);
        told->index = MAX(told->index, t->index);
        told->epoch = MAX(told->epoch, t->epoch);
        told->checkpoint = MAX(told->checkpoint, MAX(t->checkpoint, t->installed));
        told->submitted = MAX(told->submitted, MAX(t->submitted, t->installed));
        if (t->cut > 0) {
                told->cut = t->cut;
                told->cut_epoch = t->cut_epoch;
        }
        if (t->installing > 0)
                told->installing = t->installing;
        if (t->installed > 0)
                told->installing = 0;
}

/* Returns false if the child came to its end. */
static bool run_child(const char *directory, const PowerOptions *options, Told *told) {
        int fds[2], status;
        pid_t pid;
        Told t;

        g_assert_cmpint(pipe2(fds, O_CLOEXEC), ==, 0);
        pid = fork();
        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                Prng prng = { options->seed + 1 };
                Fixture f;

                close(fds[0]);
                child.pipe_fd = fds[1];
                child.zxid_epoch = told->cut_epoch;
                fixture_init_small(&f, directory);
                power_init(options, &f.io);
                f.io.segment_bytes_min = 8192;
                child_work(&f, &prng);
                _exit(0);
        }
        close(fds[1]);
        while (read(fds[0], &t, sizeof t) == sizeof t)
                take_told(told, &t);
        close(fds[0]);
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_cmpint(WTERMSIG(status), ==, 0);
        g_assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == POWER_EXIT_STATUS);
        return WEXITSTATUS(status) == POWER_EXIT_STATUS;
}

/* Opens what is left; `goes_on`: and works on it a little. */
static void check(const char *directory, const Told *told, bool goes_on) {
        const StoreReport *report;
        Fixture f;

        fixture_init_small(&f, directory);
        f.options.no_sync = true;
        f.watched_index = told->cut;
        g_assert_cmpint(fixture_open(&f), ==, 0);
        report = store_get_report(f.store);
        if (report->state == STORE_BLANK) {
                g_assert_cmpuint(told->epoch, ==, 0);
                g_assert_cmpuint(told->index, ==, 0);
        } else {
                g_assert_cmpint(fixture_recover(&f), ==, 0);
                g_assert_cmpint(report->state, ==, STORE_MEMBER);
                g_assert_cmpuint(report->meta.accepted_epoch, >=, told->epoch);
                g_assert_cmpuint(report->checkpoint.index, >=, told->checkpoint);
                g_assert_cmpuint(report->last.index, >=, told->index);
                if (told->installing == 0 || report->checkpoint.index != told->installing)
                        g_assert_cmpuint(report->last.index, <=, told->submitted);
                /* Nothing of what was cut has come back. */
                if (told->cut > 0 && report->last.index > told->cut)
                        g_assert_cmpuint(f.lowest_epoch_after, >=, told->cut_epoch);
                g_assert_cmpuint(f.last.index, ==, report->last.index);
        }
        if (goes_on && report->state == STORE_MEMBER) {
                uint64_t before = f.last.index;

                fixture_start(&f);
                for (unsigned i = 0; i < 3; i++)
                        fixture_append(&f);
                fixture_drain(&f);
                fixture_close(&f);
                g_assert_cmpint(fixture_open(&f), ==, 0);
                g_assert_cmpint(fixture_recover(&f), ==, 0);
                g_assert_cmpuint(f.last.index, ==, before + 3);
        }
        fixture_close(&f);
        fixture_forget(&f);
}

static void remove_all(char *directory) {
        g_autofree char *grave = g_strdup_printf("%s.grave", directory);

        fixture_remove(directory);
        if (g_file_test(grave, G_FILE_TEST_IS_DIR))
                fixture_remove(grave);
        g_free(directory);
}

/* In memory if that is possible: the losses are made here, and what LMDB syncs is not what is tested. */
static char *make_directory(void) {
        char *directory = g_build_filename(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : g_get_tmp_dir(),
                                           "convene-crash-XXXXXX", NULL);

        g_assert_nonnull(g_mkdtemp_full(directory, 0700));
        return directory;
}

/* Every call there is, or every STEP-th, for one kind of crash and one course of work.  How calls merge depends on time, so
 * the end is where the child came to its own three times running. */
static unsigned crash_everywhere_once(PowerMoment moment, bool loses_power, uint64_t seed, unsigned step) {
        unsigned crashes = 0, ended = 0;

        for (unsigned at = 1 + (unsigned) moment % step; ended < 3; at += step) {
                char *directory = make_directory();
                PowerOptions options = {
                        .directory = directory,
                        .seed = seed,
                        .crash_at = at,
                        .moment = moment,
                        .loses_power = loses_power,
                };
                Told told = { 0 };

                if (run_child(directory, &options, &told)) {
                        crashes++;
                        ended = 0;
                } else
                        ended++;
                check(directory, &told, true);
                remove_all(directory);
        }
        return crashes;
}

/* Two courses with -m slow, else a third of one. */
static void crash_everywhere(PowerMoment moment, bool loses_power) {
        unsigned step = g_test_slow() ? 1 : 3;

        for (uint64_t seed = 100; seed < (g_test_slow() ? 102 : 101); seed++) {
                unsigned crashes = crash_everywhere_once(moment, loses_power, seed, step);

                g_test_message("%u crashes", crashes);
                g_assert_cmpuint(crashes, >, 90 / step);
        }
}

static void test_kill_before(void) {
        crash_everywhere(POWER_BEFORE, false);
}

static void test_kill_half(void) {
        crash_everywhere(POWER_HALF, false);
}

static void test_kill_after(void) {
        crash_everywhere(POWER_AFTER, false);
}

static void test_power_before(void) {
        crash_everywhere(POWER_BEFORE, true);
}

static void test_power_half(void) {
        crash_everywhere(POWER_HALF, true);
}

static void test_power_after(void) {
        crash_everywhere(POWER_AFTER, true);
}

/* One directory through many lives, crashes in recovery included; what a kill leaves unsynced, a later loss of power
 * may still take. */
static void test_many_lives(void) {
        char *directory = make_directory();
        g_autofree char *journal = g_strdup_printf("%s.journal", directory);
        Prng prng = { 77 };
        Told told = { 0 };
        unsigned lives = g_test_slow() ? 500 : 150, crashes = 0;

        for (unsigned life = 0; life < lives; life++) {
                PowerOptions options = {
                        .directory = directory,
                        .journal = journal,
                        .seed = prng_next(&prng),
                        .crash_at = 1 + (unsigned) prng_below(&prng, life % 3 == 0 ? 12 : 120),
                        .moment = (PowerMoment) prng_below(&prng, 3),
                        .loses_power = prng_below(&prng, 2) == 0,
                };

                crashes += run_child(directory, &options, &told);
                if (options.loses_power)
                        check(directory, &told, false);
        }
        g_test_message("%u crashes, %" PRIu64 " entries", crashes, told.index);
        g_assert_cmpuint(crashes, >, lives * 3 / 5);
        check(directory, &told, true);
        (void) g_unlink(journal);
        remove_all(directory);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/store/crash/kill-before", test_kill_before);
        g_test_add_func("/store/crash/kill-half", test_kill_half);
        g_test_add_func("/store/crash/kill-after", test_kill_after);
        g_test_add_func("/store/crash/power-before", test_power_before);
        g_test_add_func("/store/crash/power-half", test_power_half);
        g_test_add_func("/store/crash/power-after", test_power_after);
        g_test_add_func("/store/crash/many-lives", test_many_lives);

        return g_test_run();
}
