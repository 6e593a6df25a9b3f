/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Host: what its member reads back for others, and its own checkpoints.
 */

#include "agent/tree/chunk.h"
#include "tests/sim/host-internal.h"

typedef enum ReadType {
        READ_LOG,
        READ_OPEN,
        READ_CHUNK,
} ReadType;

typedef struct Read {
        ReadType type;
        uint64_t request, from, to, bytes_max;
} Read;

static void queue_read(Host *h, const Read *read) {
        g_queue_push_tail(&h->reads, g_memdup2(read, sizeof(*read)));
        agenda_add(&h->world->agenda, h->world->now_usec + prng_between(&h->world->prng, 20, 3000), EVENT_READ,
                   world_host_key(h), 0);
}

void host_read_log(void *userdata, uint64_t request, uint64_t from_index, uint64_t to_index, uint64_t bytes_max) {
        queue_read(userdata, &(Read) { READ_LOG, request, from_index, to_index, bytes_max });
}

void host_open_snapshot(void *userdata, uint64_t request) {
        queue_read(userdata, &(Read) { .type = READ_OPEN, .request = request });
}

void host_read_snapshot(void *userdata, uint64_t request) {
        queue_read(userdata, &(Read) { .type = READ_CHUNK, .request = request });
}

static Snapshot *find_snapshot(Host *h, uint64_t request) {
        for (unsigned i = 0; i < h->snapshots->len; i++)
                if (g_array_index(h->snapshots, Snapshot, i).request == request)
                        return &g_array_index(h->snapshots, Snapshot, i);
        return NULL;
}

static void remove_snapshot(Host *h, Snapshot *s) {
        vcheckpoint_unref(s->checkpoint);
        g_array_remove_index(h->snapshots, (guint) (s - (Snapshot *) h->snapshots->data));
}

void host_close_snapshot(void *userdata, uint64_t request) {
        Host *h = userdata;
        Snapshot *s = find_snapshot(h, request);

        if (s)
                remove_snapshot(h, s);
        for (GList *i = h->reads.head, *next; i; i = next) {
                Read *r = i->data;

                next = i->next;
                if (r->type != READ_LOG && r->request == request) {
                        g_free(r);
                        g_queue_delete_link(&h->reads, i);
                }
        }
}

static void answer_log(Host *h, const Read *r) {
        g_autoptr(GPtrArray) list = vstore_read_log(h->store, r->from, r->to, r->bytes_max);
        g_autofree ZabEntry *entries = g_new(ZabEntry, list->len + 1);

        for (guint i = 0; i < list->len; i++)
                entries[i] = *(ZabEntry *) list->pdata[i];
        member_on_log_read(h->member, r->request, entries, list->len);
}

static void answer_open(Host *h, const Read *r) {
        VCheckpoint *c = vstore_get_checkpoint(h->store);
        CheckpointPosition at = { 0 };
        Snapshot s = { .request = r->request };

        if (c) {
                s.checkpoint = vcheckpoint_ref(c);
                g_array_append_val(h->snapshots, s);
                if (checkpoint_position_decode(g_bytes_get_data(c->position, NULL), g_bytes_get_size(c->position),
                                               &at) != POSITION_OK)
                        g_assert_not_reached();
        }
        member_on_snapshot_opened(h->member, r->request, &at.position, at.config);
        checkpoint_position_done(&at);
        if (!c)
                host_begin_checkpoint(h);
}

static void answer_chunk(Host *h, const Read *r) {
        Snapshot *s = find_snapshot(h, r->request);
        unsigned n;

        if (!s)
                return;
        n = MIN(s->checkpoint->rows_count - s->next_row, h->world->params.slice_rows);
        if (n == 0) {
                CheckpointPosition at;

                if (checkpoint_position_decode(g_bytes_get_data(s->checkpoint->position, NULL),
                                               g_bytes_get_size(s->checkpoint->position), &at) != POSITION_OK)
                        g_assert_not_reached();
                member_on_snapshot_chunk(h->member, r->request, NULL, at.digest);
                checkpoint_position_done(&at);
        } else {
                g_autofree TreeRow *rows = g_new(TreeRow, n);
                g_autoptr(GBytes) chunk = NULL;

                for (unsigned i = 0; i < n; i++) {
                        const VRow *row = s->checkpoint->rows[s->next_row + i];

                        rows[i] = (TreeRow) { row->table, row->key, row->value, row->value_size };
                }
                s->next_row += n;
                tree_chunk_encode(rows, n, &h->world->writer);
                chunk = writer_to_bytes(&h->world->writer);
                member_on_snapshot_chunk(h->member, r->request, chunk, (Hash128) { 0 });
        }
}

void host_on_read(Host *h) {
        Read *r = g_queue_pop_head(&h->reads);

        if (!r)
                return;
        if (r->type == READ_LOG)
                answer_log(h, r);
        else if (r->type == READ_OPEN)
                answer_open(h, r);
        else
                answer_chunk(h, r);
        g_free(r);
        host_after_input(h);
}

/*
 * Checkpoints
 */

void host_drop_slices(Host *h) {
        if (!h->slicing)
                return;
        h->slicing = false;
        h->slices = vchanges_free(h->slices);
        checkpoint_position_done(&h->slice_at);
}

void host_begin_checkpoint(Host *h) {
        if (h->state != HOST_UP || h->slicing || vstore_is_checkpointing(h->store) || h->store->installing > 0)
                return;

        h->slice_at = (CheckpointPosition) { .cluster_id = h->world->cluster_id };
        member_get_applied(h->member, &h->slice_at.position, &h->slice_at.config);
        if (h->slice_at.position.index == 0 || h->slice_at.position.index < h->store->checkpoint_index ||
            h->slice_at.position.index > h->store->durable) {      /* the store has gone back by a snapshot */
                checkpoint_position_done(&h->slice_at);
                return;
        }
        h->slice_full = !h->has_checkpoint || prng_chance(&h->world->prng, 100);
        tree_checkpoint_begin(member_tree(h->member), h->slice_full);
        h->slice_at.digest = tree_checkpoint_digest(member_tree(h->member));
        h->slices = vchanges_new();
        h->slicing = true;
        agenda_add(&h->world->agenda, h->world->now_usec, EVENT_SLICE, world_host_key(h), 0);
}

void host_on_slice(Host *h) {
        const TreeRow *rows;
        unsigned count;

        if (!h->slicing)
                return;
        if (tree_checkpoint_next(member_tree(h->member), h->world->params.slice_rows, &rows, &count)) {
                for (unsigned i = 0; i < count; i++)
                        vchanges_put(h->slices, rows + i);
                agenda_add(&h->world->agenda, h->world->now_usec + prng_below(&h->world->prng, 2000), EVENT_SLICE,
                           world_host_key(h), 0);
                return;
        }
        h->slicing = false;
        vstore_checkpoint(h->store, h->slice_full, g_steal_pointer(&h->slices), &h->slice_at);
        checkpoint_position_done(&h->slice_at);
}

void host_drop_reads(Host *h) {
        while (!g_queue_is_empty(&h->reads))
                g_free(g_queue_pop_head(&h->reads));
        while (h->snapshots->len > 0)
                remove_snapshot(h, &g_array_index(h->snapshots, Snapshot, 0));
}
