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
        OPERATION_SETTLE,               /* from the checkpoint's thread to the writer */
        OPERATION_CHECKPOINT_BEGIN,
        OPERATION_CHECKPOINT_ROWS,
        OPERATION_CHECKPOINT_END,
        OPERATION_CHECKPOINT_ABORT,
} OperationType;

typedef struct Operation Operation;

struct Operation {
        Operation *next;
        OperationType type;
        uint64_t io_seq;
        ZabMeta meta;                   /* META */
        CheckpointPosition position;    /* BEGIN; owned */
        bool full;                      /* BEGIN */
        TreeRow *rows;                  /* ROWS; owned, the values behind them in one allocation */
        unsigned rows_count;
        uint64_t generation, index;     /* SETTLE */
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

typedef enum CompletionType {
        COMPLETION_APPENDED,
        COMPLETION_META,
        COMPLETION_CHECKPOINT,
        COMPLETION_SPACE,
        COMPLETION_FAILED,
} CompletionType;

typedef struct Completion {
        CompletionType type;
        uint64_t io_seq;
        int error;
        bool available;                 /* SPACE */
        char *what;                     /* FAILED; owned by the array */
} Completion;

/* An array of Completion. */
GArray *completions_new(void);

/* Neighbouring APPENDED become one. */
void completions_push(GArray *completions, const Completion *c);
void completion_deliver(const Completion *c, const StoreListener *listener);
