/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * VCheckpoint
 */

#include "tests/sim/vcheckpoint.h"

#include <assert.h>
#include <string.h>

static void row_unref(gpointer p) {
        VRow *row = p;

        if (--row->refs == 0)
                g_free(row);
}

static int compare_rows(const VRow *a, const VRow *b) {
        if (a->table != b->table)
                return a->table < b->table ? -1 : 1;
        if (a->key != b->key)
                return a->key < b->key ? -1 : 1;
        return 0;
}

static int compare_pointers(const void *a, const void *b) {
        return compare_rows(*(VRow *const *) a, *(VRow *const *) b);
}

VChanges *vchanges_new(void) {
        VChanges *c = g_new0(VChanges, 1);

        c->rows = g_ptr_array_new_with_free_func(row_unref);
        return c;
}

VChanges *vchanges_free(VChanges *c) {
        if (!c)
                return NULL;
        g_ptr_array_unref(c->rows);
        g_free(c);
        return NULL;
}

void vchanges_put(VChanges *c, const TreeRow *row) {
        size_t size = row->value ? row->value_size : 0;
        VRow *copy = g_malloc(sizeof(VRow) + size);

        copy->refs = 1;
        copy->table = row->table;
        copy->key = row->key;
        copy->gone = !row->value;
        copy->value_size = (uint32_t) size;
        if (size > 0)
                memcpy(copy->value, row->value, size);
        g_ptr_array_add(c->rows, copy);
}

static void take(VCheckpoint *c, VRow *row) {
        if (row->gone)
                return;
        row->refs++;
        c->rows[c->rows_count++] = row;
}

VCheckpoint *vcheckpoint_commit(const VCheckpoint *before, VChanges *changes, const CheckpointPosition *position) {
        unsigned old_count = before ? before->rows_count : 0, i = 0, j = 0;
        VRow **new = (VRow **) changes->rows->pdata;
        VCheckpoint *c = g_new0(VCheckpoint, 1);
        Writer w = WRITER_INIT;

        c->refs = 1;
        checkpoint_position_encode(position, &w);
        c->position = writer_to_bytes(&w);
        writer_done(&w);

        c->rows = g_new(VRow *, old_count + changes->rows->len + 1);
        if (changes->rows->len > 1)
                qsort(new, changes->rows->len, sizeof(VRow *), compare_pointers);
        while (i < old_count || j < changes->rows->len) {
                int order = i == old_count ? 1 : j == changes->rows->len ? -1 : compare_rows(before->rows[i], new[j]);

                if (order < 0)
                        take(c, before->rows[i++]);
                else {
                        i += order == 0;
                        take(c, new[j++]);
                }
        }
        return c;
}

VCheckpoint *vcheckpoint_ref(VCheckpoint *c) {
        if (c)
                c->refs++;
        return c;
}

VCheckpoint *vcheckpoint_unref(VCheckpoint *c) {
        if (!c || --c->refs > 0)
                return NULL;
        for (unsigned i = 0; i < c->rows_count; i++)
                row_unref(c->rows[i]);
        g_free(c->rows);
        g_bytes_unref(c->position);
        g_free(c);
        return NULL;
}

Tree *vcheckpoint_load(const VCheckpoint *c, const TreeListener *listener, CheckpointPosition *ret_position,
                       const char **ret_error) {
        Tree *tree = tree_new_empty(listener);
        CheckpointPosition position = { 0 };
        gsize size;
        const uint8_t *data = g_bytes_get_data(c->position, &size);

        *ret_error = "its position is damaged";
        if (checkpoint_position_decode(data, size, &position) != POSITION_OK)
                goto fail;
        for (unsigned i = 0; i < c->rows_count; i++) {
                const VRow *row = c->rows[i];

                if (!tree_load_row(tree, &(TreeRow) { row->table, row->key, row->value, row->value_size }, ret_error))
                        goto fail;
        }
        if (!tree_load_finish(tree, position.position.zxid, ret_error))
                goto fail;
        *ret_error = "its digest is not that of its rows";
        if (!hash128_equal(tree_digest(tree), position.digest))
                goto fail;
        *ret_position = position;
        return tree;

fail:
        checkpoint_position_done(&position);
        tree_free(tree);
        return NULL;
}
