/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * SnapshotReader
 *
 * A finished checkpoint as chunks (tree/chunk.h), out of one read transaction: rows table by table, keys ascending.
 * LMDB has no checksums, so the rows are added up on the way: a snapshot that ends without an error has the digest that
 * its position says.
 */

#include "agent/store/checkpoint.h"

#define SNAPSHOT_CHUNK_BYTES (256 * 1024)

typedef struct SnapshotReader {
        Directory *directory;           /* borrowed */
        Environment *environment;       /* one use of it */
        MDB_txn *txn;
        MDB_cursor *cursor;             /* in `table`; NULL: at its beginning */
        unsigned table;
        uint64_t last_key;
        CheckpointPosition position;
        Hash128 digest;                 /* of the rows so far */
        GArray *rows;                   /* TreeRow of the chunk being made */
        Writer scratch;
} SnapshotReader;

/* Takes over one use of `environment`, also when it fails. */
int snapshot_reader_open(SnapshotReader *s, Directory *d, Environments *environments, Environment *environment);
void snapshot_reader_done(SnapshotReader *s, Environments *environments);

/* A finished generation that nobody has open, read from the disk to its end: -EUCLEAN if it is not what was written. */
int snapshot_reader_verify(Directory *d, Environments *environments, uint64_t generation);

/* 1 with a chunk, 0 at the end, -EUCLEAN if the checkpoint is damaged, or another negative errno. */
int snapshot_reader_next(SnapshotReader *s, GBytes **ret);
