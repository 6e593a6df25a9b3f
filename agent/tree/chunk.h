/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Chunk
 *
 * Rows of a tree as bytes, for a snapshot on its way to another member: u32 rows, then per row u8 table, u64 key, blob value.
 * All rows of a tree, in the order tree_load_row() wants them, make chunks one after the other.
 */

#include <glib.h>

#include "agent/base/writer.h"
#include "agent/tree/tree.h"

#define TREE_CHUNK_ROWS_MAX 65536

void tree_chunk_encode(const TreeRow *rows, unsigned rows_count, Writer *w);

/* Calls `each` for every row, which borrows from `chunk`; false for bytes that are none (a truncated chunk, trailing
 * bytes, an unknown table, too many rows), or when `each` returns false: rows before that were told. */
bool tree_chunk_decode(GBytes *chunk, bool (*each)(void *userdata, const TreeRow *row), void *userdata);
