/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * StoreIo: the system's table.
 */

#include "agent/store/io.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int system_openat(void *userdata, int directory_fd, const char *name, int flags, mode_t mode) {
        return openat(directory_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, mode);
}

static ssize_t system_pread(void *userdata, int fd, void *buffer, size_t size, off_t offset) {
        return pread(fd, buffer, size, offset);
}

static ssize_t system_pwrite(void *userdata, int fd, const void *buffer, size_t size, off_t offset) {
        return pwrite(fd, buffer, size, offset);
}

static int system_fdatasync(void *userdata, int fd) {
        return fdatasync(fd);
}

static int system_fsync(void *userdata, int fd) {
        return fsync(fd);
}

static int system_fallocate(void *userdata, int fd, off_t size) {
        return fallocate(fd, 0, 0, size);
}

static int system_rename(void *userdata, int directory_fd, const char *from, const char *to) {
        return renameat2(directory_fd, from, directory_fd, to, RENAME_NOREPLACE);
}

static int system_replace(void *userdata, int directory_fd, const char *from, const char *to) {
        return renameat(directory_fd, from, directory_fd, to);
}

static int system_unlinkat(void *userdata, int directory_fd, const char *name, int flags) {
        return unlinkat(directory_fd, name, flags);
}

static int system_mkdirat(void *userdata, int directory_fd, const char *name, mode_t mode) {
        return mkdirat(directory_fd, name, mode);
}

static int system_commit(void *userdata, MDB_txn *txn) {
        return mdb_txn_commit(txn);
}

static void system_forget(void *userdata, int fd) {
        (void) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

const StoreIo store_io_system = {
        .openat = system_openat,
        .pread = system_pread,
        .pwrite = system_pwrite,
        .fdatasync = system_fdatasync,
        .fsync = system_fsync,
        .fallocate = system_fallocate,
        .rename = system_rename,
        .replace = system_replace,
        .unlinkat = system_unlinkat,
        .mkdirat = system_mkdirat,
        .commit = system_commit,
        .forget = system_forget,
};
