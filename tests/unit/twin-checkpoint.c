/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a disk would hold
 */

#include "tests/unit/twin-checkpoint.h"

static void row_free(gpointer p) {
        TwinRow *row = p;

        g_clear_pointer(&row->value, g_bytes_unref);
        g_free(row);
}

static int compare_rows(gconstpointer a, gconstpointer b, gpointer userdata) {
        const TwinRow *ra = a, *rb = b;

        if (ra->table != rb->table)
                return ra->table < rb->table ? -1 : 1;
        return (ra->key > rb->key) - (ra->key < rb->key);
}

static GTree *rows_new(void) {
        return g_tree_new_full(compare_rows, NULL, row_free, NULL);
}

static void rows_insert(GTree *rows, TreeTable table, uint64_t key, GBytes *value) {
        TwinRow *row = g_new0(TwinRow, 1);

        *row = (TwinRow) { table, key, value ? g_bytes_ref(value) : NULL };
        g_tree_replace(rows, row, row);
}

void disk_init(Disk *d) {
        *d = (Disk) { .rows = rows_new(), .staged = rows_new() };
}

void disk_done(Disk *d) {
        g_tree_unref(d->rows);
        g_tree_unref(d->staged);
        g_clear_pointer(&d->expected, g_ptr_array_unref);
}

static void rows_clear(GTree **rows) {
        g_tree_unref(*rows);
        *rows = rows_new();
}

void disk_set(Disk *d, const Twin *twin) {
        g_autoptr(GPtrArray) rows = twin_rows(twin);

        rows_clear(&d->rows);
        for (unsigned i = 0; i < rows->len; i++) {
                TwinRow *row = rows->pdata[i];

                rows_insert(d->rows, row->table, row->key, row->value);
        }
}

void disk_begin(Disk *d, Tree *tree, const Twin *twin, bool full, bool keep) {
        rows_clear(&d->staged);
        g_clear_pointer(&d->expected, g_ptr_array_unref);
        d->expected = twin_rows(twin);
        d->expected_digest = twin_rows_digest(d->expected);
        d->expected_zxid = twin->zxid;
        d->full = full;
        d->keep = keep;
        d->dirty_count = full ? d->expected->len : tree_dirty_count(tree);
        tree_checkpoint_begin(tree, full);
}

static gboolean apply_staged(gpointer key, gpointer value, gpointer userdata) {
        TwinRow *row = value;
        GTree *rows = userdata;

        if (row->value)
                rows_insert(rows, row->table, row->key, row->value);
        else
                g_tree_remove(rows, row);
        return false;
}

static const char *compare_to_expected(GTree *rows, GPtrArray *expected) {
        if ((unsigned) g_tree_nnodes(rows) != expected->len)
                return "checkpoint: the number of rows is wrong";

        for (unsigned i = 0; i < expected->len; i++) {
                TwinRow *e = expected->pdata[i], *row = g_tree_lookup(rows, e);

                if (!row)
                        return "checkpoint: a row is missing";
                if (!g_bytes_equal(row->value, e->value))
                        return e->table == TREE_TABLE_ZNODE ? "checkpoint: a znode's row is wrong" :
                               e->table == TREE_TABLE_SESSION ? "checkpoint: a session's row is wrong" :
                                                                "checkpoint: the state row is wrong";
        }
        return NULL;
}

static const char *finish(Disk *d, Tree *tree) {
        g_autoptr(GPtrArray) expected = g_steal_pointer(&d->expected);
        GTree *rows = d->full && !d->keep ? rows_new() : g_tree_ref(d->rows);
        const char *difference;

        if ((uint64_t) g_tree_nnodes(d->staged) != d->dirty_count)
                difference = "checkpoint: not as many rows as tree_dirty_count() announced";
        else {
                if (d->full && d->keep) {
                        rows_clear(&d->rows);
                        g_tree_unref(rows);
                        rows = g_tree_ref(d->rows);
                }
                g_tree_foreach(d->staged, apply_staged, rows);
                difference = compare_to_expected(rows, expected);
        }
        g_tree_unref(rows);
        if (!difference && (tree_checkpoint_zxid(tree) != d->expected_zxid ||
                            !hash128_equal(tree_checkpoint_digest(tree), d->expected_digest)))
                difference = "checkpoint: zxid or digest is not that of its beginning";
        if (!d->keep)
                tree_checkpoint_abort(tree);
        return difference;
}

const char *disk_next(Disk *d, Tree *tree, unsigned rows_max, bool lose, bool *ret_done) {
        const TreeRow *rows = NULL;
        unsigned count = 0;

        *ret_done = false;
        if (!tree_checkpoint_is_active(tree))
                return "checkpoint: ended by itself";
        if (!tree_checkpoint_next(tree, rows_max, &rows, &count)) {
                *ret_done = true;
                return finish(d, tree);
        }
        if (count > rows_max)
                return "checkpoint: a slice is larger than asked for";

        for (unsigned i = lose ? 1 : 0; i < count; i++) {
                TwinRow key = { rows[i].table, rows[i].key, NULL };
                g_autoptr(GBytes) value = rows[i].value ? g_bytes_new(rows[i].value, rows[i].value_size) : NULL;

                if (g_tree_lookup(d->staged, &key))
                        return "checkpoint: a row was handed out twice";
                rows_insert(d->staged, rows[i].table, rows[i].key, value);
        }
        return NULL;
}

void disk_abort(Disk *d, Tree *tree) {
        tree_checkpoint_abort(tree);
        g_clear_pointer(&d->expected, g_ptr_array_unref);
}

typedef struct Load {
        Tree *tree;
        const char *error;
} Load;

static gboolean load_row(gpointer key, gpointer value, gpointer userdata) {
        const TwinRow *row = value;
        Load *load = userdata;
        TreeRow r = { .table = row->table, .key = row->key, .value = g_bytes_get_data(row->value, NULL),
                      .value_size = g_bytes_get_size(row->value) };

        return !tree_load_row(load->tree, &r, &load->error);
}

/* Flips a bit, or cuts or adds bytes at the end. */
static GBytes *damage(GBytes *value, Prng *prng) {
        g_autoptr(GByteArray) bytes = g_byte_array_new();
        size_t size;
        const uint8_t *data = g_bytes_get_data(value, &size);

        g_byte_array_append(bytes, data, size);
        switch (prng_below(prng, 4)) {
        case 0:
                g_byte_array_set_size(bytes, prng_below(prng, size));
                break;
        case 1:
                g_byte_array_append(bytes, data, 1 + prng_below(prng, size));
                break;
        default:
                bytes->data[prng_below(prng, size)] ^= 1 << prng_below(prng, 8);
                break;
        }
        return g_byte_array_free_to_bytes(g_steal_pointer(&bytes));
}

static gboolean copy_row(gpointer key, gpointer value, gpointer userdata) {
        g_ptr_array_add(userdata, value);
        return false;
}

bool disk_load_damaged(const Disk *d, Zxid zxid, Prng *prng) {
        static const TreeListener listener;
        g_autoptr(GPtrArray) rows = g_ptr_array_new();
        g_autoptr(GBytes) damaged = NULL;
        Tree *tree = tree_new_empty(&listener);
        const char *error = NULL;
        bool ok = true;
        unsigned hit;

        g_tree_foreach(d->rows, copy_row, rows);
        hit = prng_below(prng, rows->len);
        damaged = damage(((TwinRow *) rows->pdata[hit])->value, prng);

        for (unsigned i = 0; i < rows->len && ok; i++) {
                const TwinRow *row = rows->pdata[i];
                GBytes *value = i == hit ? damaged : row->value;
                TreeRow r = { .table = row->table, .key = row->key, .value = g_bytes_get_data(value, NULL),
                              .value_size = g_bytes_get_size(value) };

                /* Nothing at the end of a row of no bytes may be touched; "gone" it is not. */
                if (!r.value)
                        r.value = (const uint8_t *) "";
                ok = tree_load_row(tree, &r, &error);
        }
        ok = ok && tree_load_finish(tree, zxid, &error);
        if (ok)
                tree_check(tree);
        else
                g_assert_nonnull(error);
        tree_free(tree);
        return ok;
}

Tree *disk_load(const Disk *d, const TreeListener *listener, Zxid zxid, const char **ret_error) {
        Load load = { .tree = tree_new_empty(listener) };

        g_tree_foreach(d->rows, load_row, &load);
        if (!load.error && tree_load_finish(load.tree, zxid, &load.error))
                return load.tree;

        *ret_error = load.error;
        return tree_free(load.tree);
}
