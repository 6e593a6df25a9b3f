/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Directory
 *
 * The store's directory and the files in it: everything goes through descriptors of the directory, follows no
 * symbolic link and says, when it fails, which file and which operation it was.  Owned by one thread at a time:
 * first the one that opens the store, then the writer thread; the checkpoint's thread has a copy, so that `what` is its
 * own.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/store/io.h"

typedef struct Directory {
        const StoreIo *io;
        bool no_sync;
        int fd;                         /* the store's directory */
        int log_fd;                     /* its log/ */
        int lock_fd;
        char *path;                     /* owned; for messages */
        char what[192];                 /* "log/spare: write" of the operation that failed last */
} Directory;

#define DIRECTORY_INIT ((Directory) { .fd = -1, .log_fd = -1, .lock_fd = -1 })

/* Makes the directory and log/ if they are missing (durably), opens both and takes the lock: -EAGAIN if
 * somebody has it. */
int directory_open(Directory *d, const char *path, const StoreIo *io, bool no_sync);
void directory_done(Directory *d);

/* Notes what failed and gives `error` back. */
int directory_fail(Directory *d, int error, int directory_fd, const char *name, const char *operation);

/* All return 0 (or a descriptor) or a negative errno, with d->what set. */
int directory_open_file(Directory *d, int directory_fd, const char *name, int flags);
int directory_write(Directory *d, int directory_fd, const char *name, int fd, const void *data, size_t size,
                    uint64_t offset);
/* Up to `size` bytes; fewer only at the end of the file. */
ssize_t directory_read(Directory *d, int directory_fd, const char *name, int fd, void *buffer, size_t size,
                       uint64_t offset);
int directory_zero(Directory *d, int directory_fd, const char *name, int fd, uint64_t offset, uint64_t size);
int directory_sync_file(Directory *d, int directory_fd, const char *name, int fd);
/* Before a file of an earlier life is read: what a killed process left in the page cache goes to the disk, and what is
 * read comes from it.  Linux marks pages clean that a failed fdatasync never wrote, so the cache alone proves nothing. */
int directory_settle_file(Directory *d, int directory_fd, const char *name, int fd);
int directory_sync(Directory *d, int directory_fd);
int directory_allocate(Directory *d, int directory_fd, const char *name, int fd, uint64_t size);
int directory_rename(Directory *d, int directory_fd, const char *from, const char *to);
int directory_replace(Directory *d, int directory_fd, const char *from, const char *to);
/* A file that is missing is no error. */
int directory_remove(Directory *d, int directory_fd, const char *name, bool is_directory);
int directory_make(Directory *d, int directory_fd, const char *name);

/* Names in the directory, sorted; without "." and "..".  Free with g_strfreev(). */
int directory_list(Directory *d, int directory_fd, char ***ret_names);
