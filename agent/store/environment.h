/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Environments
 *
 * The LMDB environments of finished checkpoints, shared by the thread that writes checkpoints and the one that reads them
 * for other members: LMDB must not have the same file open twice in one process.  One is open while somebody uses it, so
 * that neither its mapping nor its pages stay resident.
 *
 * Readers and the writer are kept apart by LMDB's reader table.  Its lock file gets its blocks before LMDB maps it: a
 * disk that is full must not be told by a signal.  Other processes are kept out by the store's own lock.
 */

#include "agent/store/directory.h"
#include "agent/tree/tree.h"

#define ENVIRONMENT_LOCK_NAME "data.mdb-lock"

typedef struct Environment {
        unsigned uses;                  /* guarded by the lock of Environments */
        uint64_t generation;
        int fd;                         /* the generation's directory */
        MDB_env *env;
        MDB_dbi tables[_TREE_TABLE_MAX], position_table;
} Environment;

typedef struct Environments {
        GMutex lock;                    /* guards what follows; held while one is opened or closed */
        GPtrArray *open;                /* Environment */
        uint64_t newest;                /* generation; 0: none */
} Environments;

void environments_init(Environments *e, uint64_t newest);
void environments_done(Environments *e);

/* A finished generation is the newest from now on; only then the one before it may be removed. */
void environments_publish(Environments *e, uint64_t generation);

/* The newest; 1 with *ret, 0 if there is none, or a negative errno with directory->what. */
int environments_use_newest(Environments *e, Directory *d, Environment **ret);
int environments_use(Environments *e, Directory *d, uint64_t generation, Environment **ret);
/* NULL is allowed; returns NULL. */
Environment *environments_release(Environments *e, Environment *environment);
