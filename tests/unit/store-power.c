/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Crashes of process and power; see store-power.h.
 */

#include "tests/unit/store-power.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "agent/base/prng.h"

#define SECTOR_BYTES 512
#define GRAVE "grave"                   /* beside the store's directory: files removed, whose removal is not synced */

typedef struct File {
        ino_t inode;
        int fd;                         /* our own, to undo through */
} File;

typedef struct UnsyncedWrite {
        ino_t inode;
        off_t offset;
        size_t size;                    /* 0: the file was allocated, from old_size */
        off_t old_size;
        uint8_t *old;                   /* owned */
} UnsyncedWrite;

typedef enum NameChange {
        NAME_CREATED,
        NAME_RENAMED,
        NAME_REPLACED,
        NAME_REMOVED,
} NameChange;

typedef struct UnsyncedName {
        NameChange change;
        ino_t directory;
        char *path, *from;              /* owned */
        char *replaced;                 /* REPLACED: where the old file is kept; owned */
} UnsyncedName;

static struct {
        PowerOptions options;
        GMutex lock;
        Prng prng;
        unsigned calls, graves;
        GArray *files, *writes, *names, *dirty;         /* dirty: File of LMDB with commits that were not synced */
} power;

static ino_t inode_of(int fd) {
        struct stat st;

        g_assert_cmpint(fstat(fd, &st), ==, 0);
        return st.st_ino;
}

static char *path_of(int directory_fd, const char *name) {
        g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", directory_fd);
        g_autofree char *directory = g_file_read_link(link, NULL);

        g_assert_nonnull(directory);
        return g_build_filename(directory, name, NULL);
}

static int file_of(ino_t inode) {
        for (unsigned i = 0; i < power.files->len; i++)
                if (g_array_index(power.files, File, i).inode == inode)
                        return g_array_index(power.files, File, i).fd;
        return -1;
}

static void remember_file(int fd, const char *path) {
        File file = { .inode = inode_of(fd) };
        struct stat st;

        fstat(fd, &st);
        if (!S_ISREG(st.st_mode) || file_of(file.inode) >= 0)
                return;
        file.fd = open(path, O_RDWR | O_CLOEXEC);
        if (file.fd >= 0)
                g_array_append_val(power.files, file);
}

/*
 * The crash
 */

/* Sector by sector: as it was before the write, or as it is now. */
static void undo_write(const UnsyncedWrite *w) {
        off_t end = w->offset + (off_t) w->size;
        int fd = file_of(w->inode);

        if (fd < 0)
                return;
        if (w->size == 0) {
                if (prng_below(&power.prng, 2) == 0)
                        g_assert_cmpint(ftruncate(fd, w->old_size), ==, 0);
                return;
        }
        for (off_t at = w->offset; at < end;) {
                off_t next = MIN(end, (at / SECTOR_BYTES + 1) * SECTOR_BYTES);

                if (prng_below(&power.prng, 2) == 0)
                        g_assert_cmpint(pwrite(fd, w->old + (at - w->offset), (size_t) (next - at), at), ==, next - at);
                at = next;
        }
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
        (void) remove(path);
}

static void undo_name(const UnsyncedName *n) {
        switch (n->change) {

        case NAME_CREATED:
                remove_tree(n->path);
                return;

        case NAME_RENAMED:
        case NAME_REMOVED:
                g_assert_cmpint(rename(n->path, n->from), ==, 0);
                return;

        case NAME_REPLACED:
                g_assert_cmpint(rename(n->path, n->from), ==, 0);
                g_assert_cmpint(rename(n->replaced, n->path), ==, 0);
                return;
        }
}

/* LMDB's pages since its last sync, as the disk may have them: here, some of all pages gone. */
static void spoil(const File *file) {
        static const uint8_t zeros[4096];
        struct stat st;

        fstat(file->fd, &st);
        for (off_t at = 0; at < st.st_size; at += 4096)
                if (prng_below(&power.prng, 3) == 0)
                        (void) !pwrite(file->fd, zeros, sizeof zeros, at);
}

static void lose_power(void) {
        unsigned keep;

        for (unsigned i = power.writes->len; i-- > 0;)
                undo_write(&g_array_index(power.writes, UnsyncedWrite, i));
        for (unsigned i = 0; i < power.dirty->len; i++)
                spoil(&g_array_index(power.dirty, File, i));

        /* A file system with a journal keeps the order of names. */
        keep = (unsigned) prng_below(&power.prng, power.names->len + 1);
        for (unsigned i = power.names->len; i-- > keep;)
                undo_name(&g_array_index(power.names, UnsyncedName, i));
}

/* For the next process: u64 inode, offset, size, old size, bytes. */
static void write_journal(void) {
        FILE *f;

        if (!power.options.journal)
                return;
        f = fopen(power.options.journal, "we");
        g_assert_nonnull(f);
        for (unsigned i = 0; i < power.writes->len; i++) {
                const UnsyncedWrite *w = &g_array_index(power.writes, UnsyncedWrite, i);
                uint64_t head[4] = { w->inode, (uint64_t) w->offset, w->size, (uint64_t) w->old_size };

                g_assert_cmpuint(fwrite(head, sizeof head, 1, f), ==, 1);
                if (w->size > 0)                /* a write behind the end of the file replaced nothing */
                        g_assert_cmpuint(fwrite(w->old, 1, w->size, f), ==, w->size);
        }
        fclose(f);
}

static void read_journal(void) {
        g_autofree char *data = NULL;
        gsize size = 0;

        if (!power.options.journal || !g_file_get_contents(power.options.journal, &data, &size, NULL))
                return;
        for (gsize at = 0; at < size;) {
                uint64_t head[4];
                UnsyncedWrite w;

                memcpy(head, data + at, sizeof head);
                at += sizeof head;
                w = (UnsyncedWrite) { (ino_t) head[0], (off_t) head[1], head[2], (off_t) head[3],
                                      g_memdup2(data + at, head[2]) };
                at += head[2];
                g_array_append_val(power.writes, w);
        }
        g_unlink(power.options.journal);
}

static void remember_files_in(const char *directory) {
        GDir *dir = g_dir_open(directory, 0, NULL);
        const char *name;

        while (dir && (name = g_dir_read_name(dir))) {
                g_autofree char *path = g_build_filename(directory, name, NULL);
                int fd = open(path, O_RDONLY | O_CLOEXEC);

                if (fd >= 0) {
                        remember_file(fd, path);
                        close(fd);
                }
        }
        if (dir)
                g_dir_close(dir);
}

_Noreturn static void crash(void) {
        if (power.options.loses_power) {
                lose_power();
                if (power.options.journal)
                        g_unlink(power.options.journal);
        } else
                write_journal();
        _exit(POWER_EXIT_STATUS);
}

/* True: crash as soon as the call has had its effect. */
static bool arrive(void) {
        g_mutex_lock(&power.lock);
        if (++power.calls != power.options.crash_at)
                return false;
        if (power.options.moment == POWER_BEFORE)
                crash();
        return true;
}

static void leave(bool crashing) {
        if (crashing)
                crash();
        g_mutex_unlock(&power.lock);
}

/*
 * The calls
 */

static void note_name(NameChange change, int directory_fd, char *path, char *from) {
        UnsyncedName n = { change, inode_of(directory_fd), path, from };

        g_array_append_val(power.names, n);
}

static int power_openat(void *userdata, int directory_fd, const char *name, int flags, mode_t mode) {
        bool crashing = false, creates = flags & O_CREAT;
        g_autofree char *path = path_of(directory_fd, name);
        int fd, error;

        creates = creates && !g_file_test(path, G_FILE_TEST_EXISTS);
        if (creates)
                crashing = arrive();
        else
                g_mutex_lock(&power.lock);
        fd = store_io_system.openat(NULL, directory_fd, name, flags, mode);
        error = errno;
        if (fd >= 0 && creates)
                note_name(NAME_CREATED, directory_fd, g_strdup(path), NULL);
        if (fd >= 0)
                remember_file(fd, path);
        leave(crashing);
        errno = error;
        return fd;
}

static ssize_t power_pread(void *userdata, int fd, void *buffer, size_t size, off_t offset) {
        return pread(fd, buffer, size, offset);
}

static ssize_t power_pwrite(void *userdata, int fd, const void *buffer, size_t size, off_t offset) {
        UnsyncedWrite w = { .inode = inode_of(fd), .offset = offset, .size = size, .old = g_malloc0(size + 1) };
        bool crashing = arrive();
        ssize_t n;

        (void) !pread(fd, w.old, size, offset);
        g_array_append_val(power.writes, w);
        if (crashing && power.options.moment == POWER_HALF)
                size = (size_t) prng_below(&power.prng, size + 1);
        n = pwrite(fd, buffer, size, offset);
        g_assert_cmpint(n, ==, (ssize_t) size);
        leave(crashing);
        return n;
}

/* No disk is asked: what is durable is known here. */
static int power_fdatasync(void *userdata, int fd) {
        ino_t inode = inode_of(fd);
        bool crashing = arrive();

        /* At half-time the disk has some sectors more, which is what a crash before it gives. */
        if (crashing && power.options.moment == POWER_HALF)
                crash();
        for (unsigned i = power.writes->len; i-- > 0;)
                if (g_array_index(power.writes, UnsyncedWrite, i).inode == inode) {
                        g_free(g_array_index(power.writes, UnsyncedWrite, i).old);
                        g_array_remove_index(power.writes, i);
                }
        for (unsigned i = power.dirty->len; i-- > 0;)
                if (g_array_index(power.dirty, File, i).inode == inode) {
                        close(g_array_index(power.dirty, File, i).fd);
                        g_array_remove_index(power.dirty, i);
                }
        leave(crashing);
        return 0;
}

static int power_fsync(void *userdata, int fd) {
        ino_t inode = inode_of(fd);
        bool crashing = arrive();

        for (unsigned i = power.names->len; i-- > 0;) {
                UnsyncedName *n = &g_array_index(power.names, UnsyncedName, i);

                if (n->directory != inode)
                        continue;
                if (n->change == NAME_REMOVED)
                        remove_tree(n->path);
                if (n->change == NAME_REPLACED)
                        remove_tree(n->replaced);
                g_free(n->replaced);
                g_free(n->path);
                g_free(n->from);
                g_array_remove_index(power.names, i);
        }
        leave(crashing);
        return 0;
}

static bool is_lock_file(int fd) {
        g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", fd);
        g_autofree char *path = g_file_read_link(link, NULL);

        return path && g_str_has_suffix(path, "-lock");
}

static int power_fallocate(void *userdata, int fd, off_t size) {
        UnsyncedWrite w = { .inode = inode_of(fd) };
        bool crashing = arrive();
        struct stat st;
        int r;

        fstat(fd, &st);
        w.old_size = st.st_size;
        /* LMDB's lock file outlives nothing, and must not shrink below its mapping while other threads still run. */
        if (!is_lock_file(fd))
                g_array_append_val(power.writes, w);
        r = fallocate(fd, 0, 0, size);
        g_assert_cmpint(r, ==, 0);
        leave(crashing);
        return r;
}

static int power_rename(void *userdata, int directory_fd, const char *from, const char *to) {
        bool crashing = arrive();
        int r, error;

        r = store_io_system.rename(NULL, directory_fd, from, to);
        error = errno;
        if (r >= 0)
                note_name(NAME_RENAMED, directory_fd, path_of(directory_fd, to), path_of(directory_fd, from));
        leave(crashing);
        errno = error;
        return r;
}

static char *new_grave(void) {
        return g_strdup_printf("%s.%s/%d-%u", power.options.directory, GRAVE, (int) getpid(), power.graves++);
}

static int power_replace(void *userdata, int directory_fd, const char *from, const char *to) {
        UnsyncedName n = {
                .change = NAME_REPLACED,
                .directory = inode_of(directory_fd),
                .path = path_of(directory_fd, to),
                .from = path_of(directory_fd, from),
        };
        bool crashing = arrive();

        n.replaced = new_grave();
        g_assert_cmpint(link(n.path, n.replaced), ==, 0);
        g_assert_cmpint(rename(n.from, n.path), ==, 0);
        g_array_append_val(power.names, n);
        leave(crashing);
        return 0;
}

static int power_unlinkat(void *userdata, int directory_fd, const char *name, int flags) {
        g_autofree char *path = path_of(directory_fd, name), *grave = NULL;
        bool crashing;
        int r, error;

        if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
                errno = ENOENT;
                return -1;
        }
        crashing = arrive();
        grave = new_grave();
        r = rename(path, grave);
        error = errno;
        g_assert_cmpint(r, ==, 0);
        note_name(NAME_REMOVED, directory_fd, g_steal_pointer(&grave), g_steal_pointer(&path));
        leave(crashing);
        errno = error;
        return r;
}

static int power_mkdirat(void *userdata, int directory_fd, const char *name, mode_t mode) {
        bool crashing = arrive();
        int r, error;

        r = mkdirat(directory_fd, name, mode);
        error = errno;
        if (r >= 0)
                note_name(NAME_CREATED, directory_fd, path_of(directory_fd, name), NULL);
        leave(crashing);
        errno = error;
        return r;
}

/* LMDB syncs its own commits, except those of a new generation. */
static int power_commit(void *userdata, MDB_txn *txn) {
        MDB_env *env = mdb_txn_env(txn);
        mdb_filehandle_t fd;
        unsigned flags;
        bool crashing = arrive();
        File file;
        int code;

        mdb_env_get_flags(env, &flags);
        mdb_env_get_fd(env, &fd);
        if (flags & MDB_NOSYNC) {
                file = (File) { inode_of(fd), dup(fd) };
                g_array_append_val(power.dirty, file);
        }
        code = mdb_txn_commit(txn);
        leave(crashing);
        return code;
}

void power_init(const PowerOptions *options, StoreIo *ret_io) {
        g_autofree char *grave = g_strdup_printf("%s.%s", options->directory, GRAVE);
        g_autofree char *log = g_build_filename(options->directory, "log", NULL);

        power.options = *options;
        power.prng.state = options->seed;
        power.files = g_array_new(FALSE, FALSE, sizeof(File));
        power.dirty = g_array_new(FALSE, FALSE, sizeof(File));
        power.writes = g_array_new(FALSE, FALSE, sizeof(UnsyncedWrite));
        power.names = g_array_new(FALSE, FALSE, sizeof(UnsyncedName));
        remove_tree(grave);
        g_assert_cmpint(g_mkdir_with_parents(grave, 0700), ==, 0);
        read_journal();
        remember_files_in(options->directory);
        remember_files_in(log);

        *ret_io = store_io_system;
        ret_io->openat = power_openat;
        ret_io->pread = power_pread;
        ret_io->pwrite = power_pwrite;
        ret_io->fdatasync = power_fdatasync;
        ret_io->fsync = power_fsync;
        ret_io->fallocate = power_fallocate;
        ret_io->rename = power_rename;
        ret_io->replace = power_replace;
        ret_io->unlinkat = power_unlinkat;
        ret_io->mkdirat = power_mkdirat;
        ret_io->commit = power_commit;
}
