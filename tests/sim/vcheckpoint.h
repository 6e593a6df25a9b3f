/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * VCheckpoint
 *
 * What LMDB gives: a table of rows with a position, changed in one transaction that either is on the disk or is not, and
 * that goes on existing for who reads it.  So a state is immutable and counted, and a transaction makes the next one.
 */

#include <glib.h>

#include "agent/store/format/position.h"
#include "agent/tree/tree.h"

typedef struct VRow {
        unsigned refs;
        TreeTable table;
        uint64_t key;
        bool gone;                      /* only among changes */
        uint32_t value_size;
        uint8_t value[];
} VRow;

typedef struct VCheckpoint {
        unsigned refs;
        GBytes *position;               /* as checkpoint_position_encode() made it */
        unsigned rows_count;
        VRow **rows;                    /* ascending by table and key */
} VCheckpoint;

/* A transaction: rows come in any order, each once. */
typedef struct VChanges {
        GPtrArray *rows;                /* VRow */
} VChanges;

VChanges *vchanges_new(void);
VChanges *vchanges_free(VChanges *c);
void vchanges_put(VChanges *c, const TreeRow *row);

/* `before` NULL: an empty table. */
VCheckpoint *vcheckpoint_commit(const VCheckpoint *before, VChanges *changes, const CheckpointPosition *position);
VCheckpoint *vcheckpoint_ref(VCheckpoint *c);           /* NULL is allowed in both */
VCheckpoint *vcheckpoint_unref(VCheckpoint *c);

/* NULL, with *ret_error static text, if the rows are no tree with the digest of the position. */
Tree *vcheckpoint_load(const VCheckpoint *c, const TreeListener *listener, CheckpointPosition *ret_position,
                       const char **ret_error);
