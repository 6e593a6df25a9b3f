/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Position
 *
 * What a checkpoint says about itself: the one row of its table "position", written in the transaction of the rows
 * it speaks of (protocol P16).  Little-endian:
 *
 *     u32 format (1)  16 bytes cluster id  u64 index  u64 zxid  u128 chain  u128 digest
 *     u8 has_config  blob config (empty without)  u64 check: XXH3-64 of all before it
 *
 * The format stays first and the check last in every format.
 */

#include <stddef.h>
#include <stdint.h>

#include "agent/base/writer.h"
#include "agent/zab/entry.h"

#define POSITION_FORMAT 1

typedef struct CheckpointPosition {
        Id128 cluster_id;
        ZabPosition position;
        Hash128 digest;                 /* of the tree there */
        GBytes *config;                 /* NULL: none committed yet; owned */
} CheckpointPosition;

typedef enum PositionVerdict {
        POSITION_OK,
        POSITION_BAD,
        POSITION_NEWER,
} PositionVerdict;

void checkpoint_position_encode(const CheckpointPosition *p, Writer *w);
PositionVerdict checkpoint_position_decode(const uint8_t *data, size_t size, CheckpointPosition *ret);
void checkpoint_position_done(CheckpointPosition *p);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CheckpointPosition, checkpoint_position_done)
