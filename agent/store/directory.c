/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Directory
 */

#include "agent/store/directory.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define ZERO_BYTES (256 * 1024)

static void close_fd(int *fd) {
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

int directory_fail(Directory *d, int error, int directory_fd, const char *name, const char *operation) {
        assert(error < 0);

        (void) snprintf(d->what, sizeof d->what, "%s%s: %s", directory_fd == d->log_fd ? "log/" : "", name, operation);
        return error;
}

static int fail_errno(Directory *d, int directory_fd, const char *name, const char *operation) {
        return directory_fail(d, errno > 0 ? -errno : -EIO, directory_fd, name, operation);
}

static int open_directory(Directory *d, const char *path) {
        char *slash;
        g_autofree char *parent = NULL;
        int fd, r;

        d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (d->fd >= 0)
                return 0;
        if (errno != ENOENT || (mkdir(path, 0700) < 0 && errno != EEXIST))
                return fail_errno(d, -1, path, "make directory");
        d->fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (d->fd < 0)
                return fail_errno(d, -1, path, "open");

        /* The new directory's name is in its parent. */
        parent = g_strdup(path);
        while ((slash = strrchr(parent, '/')) && slash > parent && slash[1] == '\0')
                *slash = '\0';
        if (slash)
                slash[slash == parent] = '\0';
        fd = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return fail_errno(d, -1, path, "open its parent");
        r = fsync(fd);
        close(fd);
        return r < 0 ? fail_errno(d, -1, path, "sync its parent") : 0;
}

int directory_open(Directory *d, const char *path, const StoreIo *io, bool no_sync) {
        int r;

        *d = DIRECTORY_INIT;
        d->io = io;
        d->no_sync = no_sync;
        d->path = g_strdup(path);

        r = open_directory(d, path);
        if (r < 0)
                return r;
        r = d->lock_fd = directory_open_file(d, d->fd, "lock", O_RDWR | O_CREAT);
        if (r < 0)
                return r;
        if (flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0)
                return fail_errno(d, d->fd, "lock", "lock");

        r = directory_make(d, d->fd, "log");
        if (r < 0 && r != -EEXIST)
                return r;
        r = directory_sync(d, d->fd);
        if (r < 0)
                return r;
        d->log_fd = openat(d->fd, "log", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (d->log_fd < 0)
                return fail_errno(d, d->fd, "log", "open");
        return 0;
}

void directory_done(Directory *d) {
        close_fd(&d->log_fd);
        close_fd(&d->lock_fd);
        close_fd(&d->fd);
        g_clear_pointer(&d->path, g_free);
}

int directory_open_file(Directory *d, int directory_fd, const char *name, int flags) {
        int fd = d->io->openat(d->io->userdata, directory_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);

        return fd < 0 ? fail_errno(d, directory_fd, name, "open") : fd;
}

int directory_write(Directory *d, int directory_fd, const char *name, int fd, const void *data, size_t size,
                    uint64_t offset) {
        ssize_t n;

        n = d->io->pwrite(d->io->userdata, fd, data, size, (off_t) offset);
        if (n < 0)
                return fail_errno(d, directory_fd, name, "write");
        if ((size_t) n == size)
                return 0;

        /* Where blocks are allocated only now (store.h), a disk that fills up says so with the next call. */
        data = (const uint8_t *) data + n;
        size -= (size_t) n;
        n = d->io->pwrite(d->io->userdata, fd, data, size, (off_t) offset + n);
        if (n < 0)
                return fail_errno(d, directory_fd, name, "write the rest");
        return (size_t) n == size ? 0 : directory_fail(d, -EIO, directory_fd, name, "short write");
}

ssize_t directory_read(Directory *d, int directory_fd, const char *name, int fd, void *buffer, size_t size,
                       uint64_t offset) {
        size_t done = 0;

        while (done < size) {
                ssize_t n = d->io->pread(d->io->userdata, fd, (uint8_t *) buffer + done, size - done,
                                         (off_t) (offset + done));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return fail_errno(d, directory_fd, name, "read");
                if (n == 0)
                        break;
                done += (size_t) n;
        }
        return (ssize_t) done;
}

int directory_zero(Directory *d, int directory_fd, const char *name, int fd, uint64_t offset, uint64_t size) {
        static const uint8_t zeros[ZERO_BYTES];

        while (size > 0) {
                size_t n = (size_t) MIN(size, (uint64_t) sizeof zeros);
                int r;

                r = directory_write(d, directory_fd, name, fd, zeros, n, offset);
                if (r < 0)
                        return r;
                offset += n;
                size -= n;
        }
        return 0;
}

int directory_sync_file(Directory *d, int directory_fd, const char *name, int fd) {
        if (!d->no_sync && d->io->fdatasync(d->io->userdata, fd) < 0)
                return fail_errno(d, directory_fd, name, "sync");
        return 0;
}

int directory_settle_file(Directory *d, int directory_fd, const char *name, int fd) {
        int r;

        r = directory_sync_file(d, directory_fd, name, fd);
        if (r >= 0)
                d->io->forget(d->io->userdata, fd);
        return r;
}

int directory_sync(Directory *d, int directory_fd) {
        if (!d->no_sync && d->io->fsync(d->io->userdata, directory_fd) < 0)
                return fail_errno(d, directory_fd, ".", "sync");
        return 0;
}

int directory_allocate(Directory *d, int directory_fd, const char *name, int fd, uint64_t size) {
        if (d->io->fallocate(d->io->userdata, fd, (off_t) size) >= 0)
                return 0;
        if (errno != EOPNOTSUPP)
                return fail_errno(d, directory_fd, name, "allocate");
        return directory_zero(d, directory_fd, name, fd, 0, size);
}

int directory_rename(Directory *d, int directory_fd, const char *from, const char *to) {
        if (d->io->rename(d->io->userdata, directory_fd, from, to) < 0)
                return fail_errno(d, directory_fd, to, "rename");
        return 0;
}

int directory_replace(Directory *d, int directory_fd, const char *from, const char *to) {
        if (d->io->replace(d->io->userdata, directory_fd, from, to) < 0)
                return fail_errno(d, directory_fd, to, "replace");
        return 0;
}

int directory_remove(Directory *d, int directory_fd, const char *name, bool is_directory) {
        int flags = is_directory ? AT_REMOVEDIR : 0;

        if (d->io->unlinkat(d->io->userdata, directory_fd, name, flags) < 0 && errno != ENOENT)
                return fail_errno(d, directory_fd, name, "remove");
        return 0;
}

int directory_make(Directory *d, int directory_fd, const char *name) {
        if (d->io->mkdirat(d->io->userdata, directory_fd, name, 0700) < 0)
                return fail_errno(d, directory_fd, name, "make directory");
        return 0;
}

static int compare_names(gconstpointer a, gconstpointer b) {
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

int directory_list(Directory *d, int directory_fd, char ***ret_names) {
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        struct dirent *entry;
        DIR *stream;
        int fd, error;

        fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return fail_errno(d, directory_fd, ".", "open");
        stream = fdopendir(fd);
        if (!stream) {
                close(fd);
                return fail_errno(d, directory_fd, ".", "list");
        }

        for (errno = 0; (entry = readdir(stream)); errno = 0)
                if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                        g_ptr_array_add(names, g_strdup(entry->d_name));
        error = errno;
        closedir(stream);
        if (error > 0)
                return directory_fail(d, -error, directory_fd, ".", "list");

        g_ptr_array_sort(names, compare_names);
        g_ptr_array_add(names, NULL);
        *ret_names = (char **) g_ptr_array_free(g_steal_pointer(&names), FALSE);
        return 0;
}
