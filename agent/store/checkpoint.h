/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Checkpoint
 *
 * The rows of the tree as of one exact position, in LMDB: tables "znode", "session" and "state" (key: u64, native
 * integer; value: the row), and "position" with one row (format/position.h) that is written in the transaction
 * of the rows it speaks of.
 *
 * An incremental checkpoint is one transaction on the generation in use.  A full one goes into a new generation in
 * many transactions that are not synced by LMDB but piece by piece here, so that a sync of the log never waits on the
 * disk for hundreds of megabytes; it counts only when META points at it.
 *
 * The environment of a finished generation is shared with those who read it (environment.h); one that is being built is
 * its builder's alone, and without LMDB's lock file.
 *
 * LMDB has no page checksums and trusts its pages, so reading a damaged file may crash the reader, or worse.  At
 * start a child process reads and streams the rows; the parent checks every one and their digest.
 *
 * Source: protocol 2.11 (LMDB), P15, P16, P19.
 */

#include "agent/store/environment.h"
#include "agent/store/format/position.h"

#define CHECKPOINT_NAME_BYTES 48

/* What a full checkpoint writes before it syncs. */
#define CHECKPOINT_PIECE_BYTES (1024 * 1024)

/* A znode's row: data, ACL, name, numbers. */
#define CHECKPOINT_ROW_BYTES_MAX (4 * 1024 * 1024)

typedef struct Checkpoint {
        Directory *directory;           /* borrowed, as the next */
        Environments *environments;
        uint64_t generation;
        bool full;
        CheckpointPosition position;
        uint64_t rows_count;

        Environment *shared;            /* unless full */
        int fd;                         /* full: the generation's directory */
        MDB_env *env;                   /* full: owned */
        MDB_txn *txn;                   /* a read-write transaction is open */
        MDB_dbi tables[_TREE_TABLE_MAX], position_table;
        uint64_t last_key[_TREE_TABLE_MAX];     /* full: highest key put, so that ordered rows are appended */
        bool has_key[_TREE_TABLE_MAX];
        size_t unsynced_bytes;          /* full */
} Checkpoint;

#define CHECKPOINT_INIT(d, e) ((Checkpoint) { .directory = (d), .environments = (e), .fd = -1 })

/* Errors: -errno with directory->what set.  checkpoint_error_is_room() tells those after which only this
 * checkpoint is lost. */
int checkpoint_begin(Checkpoint *c, uint64_t generation, bool full, const CheckpointPosition *position);
int checkpoint_put(Checkpoint *c, const TreeRow *rows, unsigned rows_count);
/* Durable, and verified by reading the position again. */
int checkpoint_commit(Checkpoint *c);
/* Ends it in any state; without a commit nothing has changed, and a new generation is removed. */
void checkpoint_done(Checkpoint *c, bool committed);

bool checkpoint_error_is_room(int error);

void checkpoint_name(uint64_t generation, char ret_name[static CHECKPOINT_NAME_BYTES]);
/* Of a directory's name, or 0. */
uint64_t checkpoint_parse_name(const char *name);
int checkpoint_remove(Directory *d, uint64_t generation);
/* Removes every generation but one. */
int checkpoint_remove_others(Directory *d, uint64_t generation);

/* Reads generation `generation` into `tree` (NULL: only verifies).  Returns 0, -EUCLEAN with *ret_why (static, a
 * part of a sentence) if it is damaged, -ENOTSUP if it is of a later format, -errno. */
int checkpoint_load(Directory *d, uint64_t generation, const Id128 *cluster_id, Tree *tree, CheckpointPosition *ret,
                    const char **ret_why);

/* An error of LMDB's as -errno, with directory->what. */
int checkpoint_fail(Directory *d, uint64_t generation, int code, const char *operation);

/* Opens the environment of the generation's directory `fd`. */
int checkpoint_open_environment(int fd, unsigned flags, size_t map_bytes, MDB_env **ret);
extern const char *const checkpoint_table_names[_TREE_TABLE_MAX];
#define CHECKPOINT_POSITION_TABLE "position"
