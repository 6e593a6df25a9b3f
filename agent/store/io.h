/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * StoreIo
 *
 * Every call with which the store touches a file, as a table, so that a test can let a disk fail, fill up or lose its
 * power between any two of them.  The functions behave as the system calls they are named for (errno included).
 * What LMDB does inside its own file is not in it, but for the commit as a whole.  For the store itself and its tests.
 */

#include <sys/types.h>

#include <lmdb.h>

#include "agent/store/store.h"

typedef struct StoreIo {
        int (*openat)(void *userdata, int directory_fd, const char *name, int flags, mode_t mode);
        ssize_t (*pread)(void *userdata, int fd, void *buffer, size_t size, off_t offset);
        ssize_t (*pwrite)(void *userdata, int fd, const void *buffer, size_t size, off_t offset);
        int (*fdatasync)(void *userdata, int fd);       /* of a file */
        int (*fsync)(void *userdata, int fd);           /* of a directory */
        int (*fallocate)(void *userdata, int fd, off_t size);
        int (*rename)(void *userdata, int directory_fd, const char *from, const char *to);      /* never replaces */
        int (*replace)(void *userdata, int directory_fd, const char *from, const char *to);     /* a file that is there */
        int (*unlinkat)(void *userdata, int directory_fd, const char *name, int flags);
        int (*mkdirat)(void *userdata, int directory_fd, const char *name, mode_t mode);
        int (*commit)(void *userdata, MDB_txn *txn);    /* mdb_txn_commit() */
        void (*forget)(void *userdata, int fd);         /* drops the file's clean pages from the cache */
        void *userdata;

        size_t map_bytes;               /* of LMDB's mapping; 0: as much as the system gives, up to 256 GiB */
        uint64_t segment_bytes_min;     /* 0: what store.h says */
} StoreIo;

/* The system's. */
extern const StoreIo store_io_system;

/* store_open() over another table, which must outlive the store. */
int store_open_with_io(const StoreOptions *options, const StoreListener *listener, const StoreIo *io, Store **ret,
                       char **ret_error);
