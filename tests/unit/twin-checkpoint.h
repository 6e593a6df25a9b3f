/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a disk would hold: rows by table and key, as checkpoints left them.
 */

#include "agent/base/prng.h"
#include "tests/unit/twin.h"

typedef struct Disk {
        GTree *rows;                    /* TwinRow of what is durable; TwinRow -> same */
        GTree *staged;                  /* of the checkpoint under way; value NULL: gone */
        GPtrArray *expected;            /* the twin's rows when it began; NULL without a checkpoint */
        Hash128 expected_digest;
        Zxid expected_zxid;
        bool full, keep;                /* keep: what it hands out becomes durable */
        uint64_t dirty_count;
} Disk;

void disk_init(Disk *d);
void disk_done(Disk *d);

/* `keep`: false for a full one that goes to another member instead. */
void disk_begin(Disk *d, Tree *tree, const Twin *twin, bool full, bool keep);

/* Takes one slice; `lose` drops one of its rows.  Returns NULL while it goes on well; at the end and on a difference
 * a text, with *ret_done telling which. */
const char *disk_next(Disk *d, Tree *tree, unsigned rows_max, bool lose, bool *ret_done);
void disk_abort(Disk *d, Tree *tree);

/* A tree of what is durable; NULL with a text in *ret_error if the rows are refused. */
Tree *disk_load(const Disk *d, const TreeListener *listener, Zxid zxid, const char **ret_error);

/* Loads the rows with one of them damaged.  A tree may take that or refuse it with a text, and if it takes it must be
 * sound.  Returns whether it took it. */
bool disk_load_damaged(const Disk *d, Zxid zxid, Prng *prng);

/* Makes the twin's rows durable, as if a checkpoint had written them. */
void disk_set(Disk *d, const Twin *twin);
