/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Queue
 */

#include "agent/store/queue.h"

#include <assert.h>
#include <string.h>

void queue_init(Queue *q) {
        q->first = NULL;
        q->end = &q->first;
}

void queue_push(Queue *q, Operation *o) {
        assert(!o->next);

        *q->end = o;
        q->end = &o->next;
}

Operation *queue_pop(Queue *q) {
        Operation *o = q->first;

        if (!o)
                return NULL;
        q->first = g_steal_pointer(&o->next);
        if (!q->first)
                q->end = &q->first;
        return o;
}

Operation *queue_take(Queue *q) {
        Operation *o = q->first;

        queue_init(q);
        return o;
}

void queue_clear(Queue *q) {
        Operation *o;

        while ((o = queue_pop(q)))
                operation_free(o);
}

Operation *operation_new(OperationType type, uint64_t io_seq) {
        Operation *o = g_malloc0(sizeof *o);

        o->type = type;
        o->io_seq = io_seq;
        return o;
}

Operation *operation_new_append(uint64_t io_seq, const ZabEntry *entries, unsigned entries_count) {
        Operation *o = g_malloc0(sizeof *o + entries_count * sizeof *entries);

        o->type = OPERATION_APPEND;
        o->io_seq = io_seq;
        o->entries_count = entries_count;
        for (unsigned i = 0; i < entries_count; i++) {
                o->entries[i] = entries[i];
                if (entries[i].payload)
                        g_bytes_ref(entries[i].payload);
        }
        return o;
}

Operation *operation_new_rows(const TreeRow *rows, unsigned rows_count) {
        Operation *o = operation_new(OPERATION_CHECKPOINT_ROWS, 0);
        size_t size = rows_count * sizeof *rows;
        uint8_t *values;

        for (unsigned i = 0; i < rows_count; i++)
                if (rows[i].value)
                        size += rows[i].value_size;

        o->rows_count = rows_count;
        o->rows = g_malloc(size);
        values = (uint8_t *) (o->rows + rows_count);
        for (unsigned i = 0; i < rows_count; i++) {
                o->rows[i] = rows[i];
                if (!rows[i].value)
                        continue;
                memcpy(values, rows[i].value, rows[i].value_size);
                o->rows[i].value = values;
                values += rows[i].value_size;
        }
        return o;
}

Operation *operation_free(Operation *o) {
        if (!o)
                return NULL;
        for (unsigned i = 0; i < o->entries_count; i++)
                g_clear_pointer(&o->entries[i].payload, g_bytes_unref);
        checkpoint_position_done(&o->position);
        g_clear_pointer(&o->chunk, g_bytes_unref);
        g_free(o->rows);
        g_free(o);
        return NULL;
}

void completion_clear(Completion *c) {
        g_clear_pointer(&c->what, g_free);
        g_clear_pointer(&c->entries, g_array_unref);
        g_clear_pointer(&c->bytes, g_bytes_unref);
}

static void entry_clear(gpointer data) {
        ZabEntry *e = data;

        g_clear_pointer(&e->payload, g_bytes_unref);
}

GArray *entries_new(void) {
        GArray *entries = g_array_new(FALSE, FALSE, sizeof(ZabEntry));

        g_array_set_clear_func(entries, entry_clear);
        return entries;
}

GArray *completions_new(void) {
        GArray *completions = g_array_new(FALSE, FALSE, sizeof(Completion));

        g_array_set_clear_func(completions, (GDestroyNotify) completion_clear);
        return completions;
}

void completions_push(GArray *completions, const Completion *c) {
        if (c->type == COMPLETION_APPENDED && completions->len > 0) {
                Completion *last = &g_array_index(completions, Completion, completions->len - 1);

                if (last->type == COMPLETION_APPENDED) {
                        assert(c->io_seq > last->io_seq);
                        last->io_seq = c->io_seq;
                        return;
                }
        }
        g_array_append_val(completions, *c);
}

void completion_deliver(const Completion *c, const StoreListener *listener) {
        switch (c->type) {

        case COMPLETION_APPENDED:
                listener->appended(listener->userdata, c->io_seq);
                return;

        case COMPLETION_META:
                listener->meta_written(listener->userdata, c->io_seq);
                return;

        case COMPLETION_CHECKPOINT:
                listener->checkpointed(listener->userdata, c->io_seq, c->error);
                return;

        case COMPLETION_SNAP_FAILED:
                if (listener->snap_failed)
                        listener->snap_failed(listener->userdata, c->io_seq, c->error);
                else
                        listener->failed(listener->userdata, c->error, "the leader's snapshot: install");
                return;

        case COMPLETION_LOG_DROPPED:
                if (listener->log_dropped)
                        listener->log_dropped(listener->userdata, c->index);
                return;

        case COMPLETION_LOG_READ:
                listener->log_read(listener->userdata, c->io_seq, (const ZabEntry *) c->entries->data, c->entries->len);
                return;

        case COMPLETION_SNAPSHOT_OPENED:
                listener->snapshot_opened(listener->userdata, c->io_seq, &c->position, c->bytes);
                return;

        case COMPLETION_SNAPSHOT_CHUNK:
                listener->snapshot_chunk(listener->userdata, c->io_seq, c->bytes, c->digest);
                return;

        case COMPLETION_SPACE:
                listener->space(listener->userdata, c->available);
                return;

        case COMPLETION_FAILED:
                listener->failed(listener->userdata, c->error, c->what);
                return;
        }
        assert(false);
}
