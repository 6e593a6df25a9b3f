/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * VStore, inside: vstore.c has the storage, the steps and what is asked for; vstore-plan.c makes operations into steps;
 * vstore-open.c recovers and reads back.
 */

#include "tests/sim/vstore.h"

typedef enum VOpType {
        VOP_APPEND,
        VOP_TRUNCATE,
        VOP_META,
        VOP_INSTALL,
        VOP_CHECKPOINT,
} VOpType;

struct VOp {
        VOp *next;
        VOpType type;
        uint64_t io_seq;
        ZabPosition position;
        ZabMeta meta;
        bool full;
        VCheckpoint *checkpoint;        /* INSTALL, and a full CHECKPOINT: the new state */
        VChanges *changes;              /* CHECKPOINT that is not full */
        CheckpointPosition at;
        unsigned entries_count, entries_done;
        ZabEntry *entries;
};

typedef enum VStepType {
        VSTEP_WRITE,                    /* timed: `data` to a file, and its sync */
        VSTEP_META,                     /* timed: `record` */
        VSTEP_RENAME,                   /* timed: the spare becomes `name` */
        VSTEP_UNLINK,                   /* timed */
        VSTEP_COMMIT,                   /* timed: `checkpoint` is generation `number` */
        VSTEP_CALL,                     /* not timed: what changes in memory, and who hears of it */
} VStepType;

typedef struct VStep {
        VStepType type;
        PersistPoint point;
        uint64_t name, number;
        size_t offset, size;
        uint8_t *data;                  /* owned; NULL: zeros */
        MetaRecord record;
        VCheckpoint *checkpoint;        /* owned */
        void (*call)(VStore *s, uint64_t number);
} VStep;

static inline VSegment *vstore_newest(VStore *s) {
        return s->segments->len > 0 ? &g_array_index(s->segments, VSegment, s->segments->len - 1) : NULL;
}

/* Where the entry is, durable or not; NULL: not in the log. */
static inline const VPlace *vstore_place(const VStore *s, uint64_t index) {
        if (index <= s->base.index || index - s->base.index > s->places->len)
                return NULL;
        return &g_array_index(s->places, VPlace, index - s->base.index - 1);
}

void op_free(VOp *o);

/* The next steps; false if there is nothing to do. */
bool vstore_plan(VStore *s);
void vstore_plan_watermark(VStore *s);
void vstore_sync_meta(VStore *s, const MetaRecord *record);     /* at once */
