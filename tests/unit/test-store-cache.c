/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The store after a sync that failed, on a model of a page cache: what a failed fdatasync() was to write stays in the cache,
 * counts as clean from then on, and is not on the disk.  Any sync may be the one.  The process ends and starts again on
 * what it reads; then the power goes, and all that was only in the cache with it.  What the second life told the world must be
 * there in the third.
 */

#include "tests/unit/store-fixture.h"

#define PAGE_BYTES 4096

/* A page that the cache has otherwise than the disk.  The file itself is the cache. */
typedef struct Page {
        ino_t inode;
        off_t offset;
        bool dirty;                     /* the next sync writes it; else it is taken for clean, and none does */
        uint8_t disk[PAGE_BYTES];
} Page;

typedef struct Cache {
        GMutex lock;
        GArray *pages;
        GArray *files;                  /* int: our own descriptors, to undo through, by inode */
        unsigned syncs, fail_at;        /* fail_at: 0: none fails */
        bool failed;
        bool keeps_clean;               /* forget() does nothing */
} Cache;

static ino_t inode_of(int fd) {
        struct stat st;

        g_assert_cmpint(fstat(fd, &st), ==, 0);
        return st.st_ino;
}

static Page *find_page(Cache *c, ino_t inode, off_t offset) {
        for (unsigned i = 0; i < c->pages->len; i++) {
                Page *p = &g_array_index(c->pages, Page, i);

                if (p->inode == inode && p->offset == offset)
                        return p;
        }
        return NULL;
}

static void read_page(int fd, off_t offset, uint8_t page[static PAGE_BYTES]) {
        memset(page, 0, PAGE_BYTES);
        g_assert_cmpint(pread(fd, page, PAGE_BYTES, offset), >=, 0);
}

/* The page is about to change. */
static void touch(Cache *c, int fd, ino_t inode, off_t offset) {
        Page *p = find_page(c, inode, offset);
        Page fresh = { .inode = inode, .offset = offset, .dirty = true };

        if (p) {
                p->dirty = true;
                return;
        }
        read_page(fd, offset, fresh.disk);
        g_array_append_val(c->pages, fresh);
}

/* Drops from the cache what it takes for clean (`all`: everything) and reads it from the disk again. */
static void drop(Cache *c, ino_t inode, bool all) {
        for (unsigned i = c->pages->len; i-- > 0;) {
                Page *p = &g_array_index(c->pages, Page, i);
                bool found = false;

                if (!all && (p->inode != inode || p->dirty))
                        continue;
                for (unsigned k = 0; k < c->files->len; k++) {
                        int fd = g_array_index(c->files, int, k);
                        struct stat st;

                        g_assert_cmpint(fstat(fd, &st), ==, 0);
                        if (st.st_ino != p->inode)
                                continue;
                        found = true;
                        if (p->offset < st.st_size)
                                g_assert_cmpint(pwrite(fd, p->disk, (size_t) MIN(PAGE_BYTES, st.st_size - p->offset),
                                                       p->offset), >, 0);
                }
                g_assert_true(found);
                g_array_remove_index_fast(c->pages, i);
        }
}

static void remember_file(Cache *c, int fd, int flags) {
        ino_t inode = inode_of(fd);
        struct stat st;
        char path[64];
        int own;

        if ((flags & O_DIRECTORY) || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return;
        for (unsigned k = 0; k < c->files->len; k++)
                if (inode_of(g_array_index(c->files, int, k)) == inode)
                        return;
        (void) snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        own = open(path, O_RDWR | O_CLOEXEC);
        g_assert_cmpint(own, >=, 0);
        g_array_append_val(c->files, own);
}

static int cache_openat(void *userdata, int directory_fd, const char *name, int flags, mode_t mode) {
        Cache *c = userdata;
        int fd, error;

        fd = store_io_system.openat(NULL, directory_fd, name, flags, mode);
        error = errno;
        if (fd >= 0) {
                g_mutex_lock(&c->lock);
                remember_file(c, fd, flags);
                g_mutex_unlock(&c->lock);
        }
        errno = error;
        return fd;
}

static ssize_t cache_pwrite(void *userdata, int fd, const void *buffer, size_t size, off_t offset) {
        Cache *c = userdata;
        ino_t inode = inode_of(fd);
        ssize_t n;

        g_mutex_lock(&c->lock);
        for (off_t at = offset / PAGE_BYTES * PAGE_BYTES; at < offset + (off_t) size; at += PAGE_BYTES)
                touch(c, fd, inode, at);
        n = pwrite(fd, buffer, size, offset);
        g_mutex_unlock(&c->lock);
        return n;
}

/* One sync: as Linux does it, the error is told once, and the pages are clean from then on. */
static bool sync_pages(Cache *c, ino_t inode) {
        bool fails = ++c->syncs == c->fail_at;

        for (unsigned i = c->pages->len; i-- > 0;) {
                Page *p = &g_array_index(c->pages, Page, i);

                if (p->inode != inode || !p->dirty)
                        continue;
                if (fails)
                        p->dirty = false;
                else
                        g_array_remove_index_fast(c->pages, i);
        }
        c->failed |= fails;
        return !fails;
}

static int cache_fdatasync(void *userdata, int fd) {
        Cache *c = userdata;
        bool done;

        g_mutex_lock(&c->lock);
        done = sync_pages(c, inode_of(fd));
        g_mutex_unlock(&c->lock);
        errno = EIO;
        return done ? 0 : -1;
}

/* LMDB writes and syncs by itself: what it changed is seen in the file, and the sync is the last thing it does. */
static int cache_commit(void *userdata, MDB_txn *txn) {
        Cache *c = userdata;
        MDB_env *env = mdb_txn_env(txn);
        mdb_filehandle_t fd;
        unsigned flags = 0;
        g_autofree uint8_t *before = NULL;
        struct stat st;
        bool done = true;
        int code;

        g_mutex_lock(&c->lock);
        g_assert_cmpint(mdb_env_get_fd(env, &fd), ==, 0);
        g_assert_cmpint(mdb_env_get_flags(env, &flags), ==, 0);
        remember_file(c, fd, 0);
        g_assert_cmpint(fstat(fd, &st), ==, 0);
        before = g_malloc0((size_t) st.st_size + PAGE_BYTES);
        g_assert_cmpint(pread(fd, before, (size_t) st.st_size, 0), ==, st.st_size);

        code = mdb_txn_commit(txn);
        g_assert_cmpint(code, ==, 0);
        for (off_t at = 0; at < st.st_size; at += PAGE_BYTES) {
                Page now = { .inode = st.st_ino, .offset = at, .dirty = true }, *known = find_page(c, st.st_ino, at);

                read_page(fd, at, now.disk);
                if (memcmp(now.disk, before + at, PAGE_BYTES) == 0)
                        continue;
                memcpy(now.disk, before + at, PAGE_BYTES);
                if (known)
                        known->dirty = true;
                else
                        g_array_append_val(c->pages, now);
        }
        if (!(flags & MDB_NOSYNC))
                done = sync_pages(c, st.st_ino);
        g_mutex_unlock(&c->lock);
        errno = done ? 0 : EIO;
        return done ? 0 : EIO;
}

static void cache_forget(void *userdata, int fd) {
        Cache *c = userdata;

        g_mutex_lock(&c->lock);
        if (!c->keeps_clean)
                drop(c, inode_of(fd), false);
        g_mutex_unlock(&c->lock);
}

static void cache_init(Cache *c, Fixture *f) {
        *c = (Cache) { .pages = g_array_new(FALSE, FALSE, sizeof(Page)), .files = g_array_new(FALSE, FALSE, sizeof(int)) };
        g_mutex_init(&c->lock);
        f->io.openat = cache_openat;
        f->io.pwrite = cache_pwrite;
        f->io.fdatasync = cache_fdatasync;
        f->io.commit = cache_commit;
        f->io.forget = cache_forget;
        f->io.userdata = c;
}

static void cache_done(Cache *c) {
        for (unsigned i = 0; i < c->files->len; i++)
                close(g_array_index(c->files, int, i));
        g_array_unref(c->files);
        g_array_unref(c->pages);
        g_mutex_clear(&c->lock);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Cache, cache_done)

/*
 * Three lives
 */

typedef struct Seen {
        int r;
        ZabPosition last;
        uint64_t checkpoint;
        uint32_t accepted_epoch;
} Seen;

static Seen look(Fixture *f) {
        const StoreReport *report = store_get_report(f->store);

        return (Seen) { 0, f->last, report->checkpoint.index, report->meta.accepted_epoch };
}

/* What the first life was told. */
typedef struct Told {
        uint64_t index, checkpoint;
        uint32_t accepted_epoch;
} Told;

static bool failed(const Fixture *f) {
        return f->failed > 0;
}

static void append_and_wait(Fixture *f, Told *told, unsigned count) {
        for (unsigned i = 0; i < count && !failed(f); i++) {
                fixture_append_size(f, 3000);
                fixture_drain(f);
                if (!failed(f))
                        told->index = f->last.index;
        }
}

static void write_meta_and_wait(Fixture *f, Told *told) {
        ZabMeta meta = store_get_report(f->store)->meta;

        if (failed(f))
                return;
        meta.accepted_epoch = told->accepted_epoch + 1;
        store_write_meta(f->store, ++f->io_seq, &meta);
        fixture_wait(f, f->meta_written == f->io_seq || failed(f));
        f->appended = f->io_seq;
        if (!failed(f))
                told->accepted_epoch++;
}

static void checkpoint_and_wait(Fixture *f, Prng *prng, Told *told, bool full) {
        uint64_t index = f->last.index;

        if (failed(f))
                return;
        fixture_checkpoint(f, prng, full, 200);
        fixture_wait(f, f->checkpointed == f->io_seq || failed(f));
        f->appended = f->io_seq;
        if (!failed(f) && f->checkpoint_error == 0)
                told->checkpoint = index;
}

/* Appends over several segments, META and checkpoints of both kinds, until the sync that fails or the end. */
static void first_life(Fixture *f, Told *told) {
        Prng prng = { 5 };

        told->accepted_epoch = fixture_meta.accepted_epoch;
        /* A start syncs, too, and says so if it cannot. */
        if (fixture_open(f) < 0 || fixture_recover(f) < 0 || store_start(f->store) < 0) {
                fixture_close(f);
                return;
        }
        append_and_wait(f, told, 3);
        write_meta_and_wait(f, told);
        checkpoint_and_wait(f, &prng, told, true);
        append_and_wait(f, told, 8);
        /* An in-place checkpoint that failed for another reason than room is final. */
        checkpoint_and_wait(f, &prng, told, false);
        append_and_wait(f, told, 1);
        write_meta_and_wait(f, told);
        append_and_wait(f, told, 2);
        fixture_close(f);
}

/* What is found now is as good as told to the world. */
static Seen next_life(Fixture *f) {
        Seen seen = { .r = fixture_open(f) };

        if (seen.r >= 0)
                seen.r = fixture_recover(f);
        if (seen.r >= 0)
                seen = look(f);
        fixture_close(f);
        return seen;
}

static bool seen_equal(const Seen *a, const Seen *b) {
        return a->r == b->r && a->last.index == b->last.index && a->last.zxid == b->last.zxid &&
               a->checkpoint == b->checkpoint && a->accepted_epoch == b->accepted_epoch;
}

/* Returns false if there is no sync number `at`; *ret_believed: the second life said what the third no longer knew. */
static bool three_lives(unsigned at, bool keeps_clean, bool *ret_believed) {
        g_auto(Cache) c = { 0 };        /* outlives the store */
        g_auto(Fixture) f = { 0 };
        Told told = { 0 };
        Seen second, third;

        fixture_init(&f, NULL);
        f.options.segment_bytes = 24 * 1024;
        f.options.log_keep_bytes = 1;
        cache_init(&c, &f);
        c.keeps_clean = keeps_clean;
        /* Before there is a META, a failure is only an error of the start. */
        fixture_run(&f);
        fixture_close(&f);
        c.fail_at = c.syncs + at;

        first_life(&f, &told);
        if (!c.failed)
                return false;

        second = next_life(&f);
        drop(&c, 0, true);
        third = next_life(&f);
        *ret_believed = !seen_equal(&second, &third);
        if (keeps_clean)
                return true;

        g_assert_cmpint(second.r, ==, 0);
        g_assert_cmpuint(second.last.index, >=, told.index);
        g_assert_cmpuint(second.checkpoint, >=, told.checkpoint);
        g_assert_cmpuint(second.accepted_epoch, >=, told.accepted_epoch);
        g_assert_true(seen_equal(&second, &third));
        fixture_run(&f);
        fixture_append(&f);
        fixture_drain(&f);
        g_assert_cmpuint(f.failed, ==, 0);
        return true;
}

static void test_failed_sync(void) {
        bool believed;
        unsigned at;

        for (at = 1; three_lives(at, false, &believed); at++)
                ;
        g_test_message("%u syncs", at - 1);
        g_assert_cmpuint(at, >, 20);
}

/* The same where clean pages stay: a restart then believes what is not on the disk, or all of this shows nothing. */
static void test_believed(void) {
        unsigned count = 0;
        bool believed;

        for (unsigned at = 1; three_lives(at, true, &believed); at++)
                count += believed;
        g_test_message("believed %u times", count);
        g_assert_cmpuint(count, >, 10);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/store/cache/failed-sync", test_failed_sync);
        g_test_add_func("/store/cache/believed-without-forget", test_believed);

        return g_test_run();
}
