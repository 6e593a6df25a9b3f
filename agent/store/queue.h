/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Queue
 *
 * What the event loop hands to the store's threads (operations) and what it hears back (completions): plain lists,
 * without a lock of their own.
 */

#include "agent/store/format/position.h"
#include "agent/store/store.h"

typedef enum OperationType {
        OPERATION_APPEND,
        OPERATION_META,
        OPERATION_TRUNCATE,
        OPERATION_INSTALL,              /* to the writer: wait for the checkpoint's thread, then switch */
        OPERATION_SETTLE,               /* these two from the checkpoint's thread to the writer */
        OPERATION_SWITCH,
        OPERATION_CHECKPOINT_BEGIN,
        OPERATION_CHECKPOINT_ROWS,
        OPERATION_CHECKPOINT_END,
        OPERATION_CHECKPOINT_ABORT,
        OPERATION_SNAP_BEGIN,
        OPERATION_SNAP_CHUNK,
        OPERATION_SNAP_INSTALL,
        OPERATION_SNAP_ABORT,
        OPERATION_READ_LOG,
        OPERATION_SNAPSHOT_OPEN,
        OPERATION_SNAPSHOT_READ,
        OPERATION_SNAPSHOT_CLOSE,
} OperationType;

typedef struct Operation Operation;

struct Operation {
        Operation *next;
        OperationType type;
        uint64_t io_seq;
        uint64_t request;               /* READ_LOG, SNAPSHOT_* */
        ZabMeta meta;                   /* META, INSTALL */
        CheckpointPosition position;    /* BEGIN, TRUNCATE, SWITCH; the digest: SNAP_INSTALL; owned */
        bool full;                      /* BEGIN */
        TreeRow *rows;                  /* ROWS; owned, the values behind them in one allocation */
        unsigned rows_count;
        GBytes *chunk;                  /* SNAP_CHUNK; owned */
        uint64_t generation, index;     /* SETTLE, SWITCH */
        int error;                      /* SWITCH: there is nothing to switch to */
        uint64_t from_index, to_index, bytes_max;       /* READ_LOG */
        unsigned entries_count;         /* APPEND; each payload referenced */
        ZabEntry entries[];
};

typedef struct Queue {
        Operation *first, **end;
} Queue;

void queue_init(Queue *q);
void queue_push(Queue *q, Operation *o);
/* The first, or NULL; without its followers. */
Operation *queue_pop(Queue *q);
/* All of it as a list. */
Operation *queue_take(Queue *q);
void queue_clear(Queue *q);

Operation *operation_new(OperationType type, uint64_t io_seq);
Operation *operation_new_append(uint64_t io_seq, const ZabEntry *entries, unsigned entries_count);
Operation *operation_new_rows(const TreeRow *rows, unsigned rows_count);
Operation *operation_free(Operation *o);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Operation, operation_free)

typedef enum CompletionType {
        COMPLETION_APPENDED,
        COMPLETION_META,
        COMPLETION_CHECKPOINT,
        COMPLETION_SNAP_FAILED,
        COMPLETION_LOG_DROPPED,
        COMPLETION_LOG_READ,
        COMPLETION_SNAPSHOT_OPENED,
        COMPLETION_SNAPSHOT_CHUNK,
        COMPLETION_SPACE,
        COMPLETION_FAILED,
} CompletionType;

typedef struct Completion {
        CompletionType type;
        uint64_t io_seq;                /* or the request */
        int error;
        bool available;                 /* SPACE */
        uint64_t index;                 /* LOG_DROPPED */
        GArray *entries;                /* LOG_READ: ZabEntry; owned by the array, as what follows */
        ZabPosition position;           /* SNAPSHOT_OPENED */
        GBytes *bytes;                  /* SNAPSHOT_OPENED: the configuration; SNAPSHOT_CHUNK: the chunk, NULL at the end */
        Hash128 digest;                 /* SNAPSHOT_CHUNK */
        char *what;                     /* FAILED */
} Completion;

/* An array of Completion. */
GArray *completions_new(void);

/* An array of ZabEntry that owns the payloads. */
GArray *entries_new(void);

void completion_clear(Completion *c);

/* Neighbouring APPENDED become one. */
void completions_push(GArray *completions, const Completion *c);
void completion_deliver(const Completion *c, const StoreListener *listener);
