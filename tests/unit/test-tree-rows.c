/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Tree: rows out and in, checkpoints
 *
 * A Disk holds what checkpoints handed out.  Its rows must at each end of a checkpoint sum up to the digest the
 * tree had when it began, and load as a tree with that digest.
 */

#include <string.h>

#include "agent/base/limits.h"
#include "agent/base/prng.h"
#include "tests/unit/tree-fixture.h"

typedef struct DiskKey {
        TreeTable table;
        uint64_t key;
} DiskKey;

typedef struct Disk {
        GTree *rows;                    /* DiskKey -> GBytes */
} Disk;

static int disk_key_compare(gconstpointer a, gconstpointer b, gpointer userdata) {
        const DiskKey *x = a, *y = b;

        if (x->table != y->table)
                return x->table < y->table ? -1 : 1;
        return x->key < y->key ? -1 : x->key > y->key;
}

static void disk_init(Disk *d) {
        d->rows = g_tree_new_full(disk_key_compare, NULL, g_free, (GDestroyNotify) g_bytes_unref);
}

static void disk_write(Disk *d, const TreeRow *row) {
        DiskKey *key = g_new(DiskKey, 1);

        *key = (DiskKey) { row->table, row->key };
        if (row->value) {
                g_tree_replace(d->rows, key, g_bytes_new(row->value, row->value_size));
                return;
        }
        g_tree_remove(d->rows, key);
        g_free(key);
}

static Hash128 disk_digest(Disk *d) {
        Hash128 sum = { 0, 0 };
        g_auto(Writer) w = WRITER_INIT;

        for (GTreeNode *n = g_tree_node_first(d->rows); n; n = g_tree_node_next(n)) {
                const DiskKey *key = g_tree_node_key(n);
                gsize size;
                const void *value = g_bytes_get_data(g_tree_node_value(n), &size);

                writer_clear(&w);
                writer_u8(&w, key->table);
                writer_u64(&w, key->key);
                writer_bytes(&w, value, size);
                sum = hash128_add(sum, hash128(w.data, w.size, 0));
        }
        return sum;
}

static TreeRow node_to_row(GTreeNode *n) {
        const DiskKey *key = g_tree_node_key(n);
        TreeRow row = { .table = key->table, .key = key->key };
        gsize size;

        row.value = g_bytes_get_data(g_tree_node_value(n), &size);
        row.value_size = size;
        return row;
}

static Tree *disk_load(Disk *d, Zxid zxid, const char **ret_error) {
        Tree *t = tree_new_empty(NULL);
        bool ok = true;

        for (GTreeNode *n = g_tree_node_first(d->rows); ok && n; n = g_tree_node_next(n)) {
                TreeRow row = node_to_row(n);

                ok = tree_load_row(t, &row, ret_error);
        }
        if (ok && tree_load_finish(t, zxid, ret_error)) {
                tree_check(t);
                return t;
        }

        g_assert_nonnull(*ret_error);
        return tree_free(t);
}

/* Takes the whole checkpoint at once. */
static void disk_checkpoint(Disk *d, Tree *t, bool full) {
        const TreeRow *rows;
        unsigned count;

        if (full) {
                g_tree_unref(d->rows);
                disk_init(d);
        }
        tree_checkpoint_begin(t, full);
        while (tree_checkpoint_next(t, 7, &rows, &count))
                for (unsigned i = 0; i < count; i++)
                        disk_write(d, &rows[i]);
}

static void assert_disk_is(Disk *d, const Tree *t) {
        const char *error = NULL;
        Tree *loaded;

        g_assert_true(hash128_equal(disk_digest(d), tree_checkpoint_digest(t)));
        loaded = disk_load(d, tree_checkpoint_zxid(t), &error);
        g_assert_cmpstr(error, ==, NULL);
        g_assert_true(hash128_equal(tree_digest(loaded), tree_checkpoint_digest(t)));
        g_assert_cmpuint(tree_dirty_count(loaded), ==, 0);
        tree_free(loaded);
}

/*
 * A busy tree
 */

static char *random_path(Prng *prng) {
        static const char *const parents[] = { "", "/d", "/d/x", "/c", "/t" };
        uint64_t n = prng_below(prng, 3 * 12);

        return g_strdup_printf("%s/%c", parents[prng_below(prng, G_N_ELEMENTS(parents))],
                               "abcdxtcdxdct"[n % 12]);
}

static void random_change(Fixture *f, Prng *prng, GArray *sessions) {
        g_autofree char *path = random_path(prng), *other = random_path(prng), *data = NULL;
        uint64_t some = sessions->len > 0 ? g_array_index(sessions, uint64_t, prng_below(prng, sessions->len)) : 0;

        data = g_strnfill(prng_below(prng, 40), 'x');
        switch (prng_below(prng, 12)) {
        case 0:
                some = open_session(f);
                g_array_append_val(sessions, some);
                break;
        case 1:
                apply(f, &(Request) { .op = REQUEST_CLOSE_SESSION, .target = some });
                break;
        case 2:
                create_mode(f, path, CREATE_EPHEMERAL, some);
                break;
        case 3:
                create_mode(f, path, prng_below(prng, 2) ? CREATE_CONTAINER : CREATE_TTL, 0);
                break;
        case 4:
        case 5:
                create(f, path, data);
                break;
        case 6:
                erase(f, path);
                break;
        case 7:
                apply(f, &(Request) { .op = REQUEST_DELETE_RECURSIVE, .path = path });
                break;
        case 8:
                apply(f, &(Request) { .op = REQUEST_ATTACH_SESSION, .target = some, .timeout_msec = 9000 });
                break;
        case 9: {
                Request r[] = { OP_DELETE(path), OP_CREATE(other, "multi"), OP_SET(path, "") };

                multi(f, r, prng_below(prng, 4));
                break;
        }
        case 10:
                apply(f, &(Request) { .op = REQUEST_SET_ACL, .path = path, .acl = acl_open, .version = VERSION_ANY });
                break;
        default:
                set(f, path, data);
        }
}

static void test_round_trip(void) {
        g_autoptr(GArray) sessions = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        Prng prng = { 7 };
        Fixture f;
        Disk d;

        fixture_init(&f);
        disk_init(&d);
        for (unsigned i = 0; i < 300; i++) {
                random_change(&f, &prng, sessions);
                if (i % 10 == 0) {
                        disk_checkpoint(&d, f.tree, true);
                        assert_disk_is(&d, f.tree);
                        g_assert_cmpuint(tree_dirty_count(f.tree), ==, 0);
                }
        }
        g_tree_unref(d.rows);
        fixture_done(&f);
}

/* What was loaded behaves as what it was written from. */
static void test_loaded_goes_on(void) {
        const char *error = NULL;
        Fixture f, g = { 0 };
        uint64_t session;
        Disk d;

        fixture_init(&f);
        session = open_session(&f);
        create(&f, "/q", "");
        create_mode(&f, "/q/n", CREATE_EPHEMERAL_SEQUENTIAL, session);
        create_mode(&f, "/c", CREATE_CONTAINER, 0);
        create(&f, "/c/x", "");
        disk_init(&d);
        disk_checkpoint(&d, f.tree, true);

        g = (Fixture) { .tree = disk_load(&d, f.zxid, &error), .zxid = f.zxid, .time_msec = f.time_msec,
                        .log = g_string_new(NULL) };
        g_assert_nonnull(g.tree);
        for (Fixture *i = &f; i; i = i == &f ? &g : NULL) {
                g_assert_cmpint(create_mode(i, "/q/n", CREATE_EPHEMERAL_SEQUENTIAL, session), ==, CONVENE_OK);
                g_assert_cmpstr(i->result.path, ==, "/q/n0000000001");
                g_assert_cmpint(create(i, "/q", ""), ==, CONVENE_NODE_EXISTS);
                g_assert_cmpint(erase(i, "/c/x"), ==, CONVENE_OK);
                g_assert_cmpint(apply(i, &(Request) { .op = REQUEST_REAP, .path = "/c",
                                      .czxid = stat_of(i, "/c").czxid }), ==, CONVENE_OK);
                g_assert_cmpint(apply(i, &(Request) { .op = REQUEST_CLOSE_SESSION, .target = session }), ==,
                                CONVENE_OK);
        }
        g_assert_true(hash128_equal(tree_digest(f.tree), tree_digest(g.tree)));
        g_tree_unref(d.rows);
        fixture_done(&f);
        fixture_done(&g);
}

/* A znode's shown cversion and sequence number come from a row, so the far end of the numbers does too. */
static void test_numbers_at_their_end(void) {
        const char *error = NULL;
        g_autofree uint8_t *bytes = NULL;
        Fixture f;
        Disk d;

        fixture_init(&f);
        disk_init(&d);
        create(&f, "/q", "");
        disk_checkpoint(&d, f.tree, true);
        for (GTreeNode *n = g_tree_node_first(d.rows); n; n = g_tree_node_next(n)) {
                TreeRow row = node_to_row(n);

                if (row.table != TREE_TABLE_ZNODE || row.key != 5)
                        continue;
                bytes = g_memdup2(row.value, row.value_size);
                bytes[48] = 0xfe, bytes[49] = 0xff, bytes[50] = 0xff, bytes[51] = 0x7f;         /* creates: 2^31 - 2 */
                bytes[56] = 0xfe, bytes[57] = bytes[58] = bytes[59] = 0xff;                     /* version: -2 */
                bytes[60] = bytes[61] = bytes[62] = 0xff, bytes[63] = 0x7f;                     /* aversion: 2^31 - 1 */
                row.value = bytes;
                disk_write(&d, &row);
                break;
        }
        f.tree = tree_free(f.tree);
        f.tree = disk_load(&d, f.zxid, &error);
        g_assert_cmpstr(error, ==, NULL);

        g_assert_cmpint(stat_of(&f, "/q").cversion, ==, -4);
        g_assert_cmpint(stat_of(&f, "/q").version, ==, -2);
        g_assert_cmpint(set(&f, "/q", ""), ==, CONVENE_OK);
        g_assert_cmpint(f.result.stat.version, ==, 0);
        g_assert_cmpint(apply(&f, &(Request) { .op = REQUEST_SET_ACL, .path = "/q", .acl = acl_open,
                              .version = VERSION_ANY }), ==, CONVENE_OK);
        g_assert_cmpint(f.result.stat.aversion, ==, INT32_MIN);
        g_assert_cmpint(create_mode(&f, "/q/", CREATE_PERSISTENT_SEQUENTIAL, 0), ==, CONVENE_OK);
        g_assert_cmpstr(f.result.path, ==, "/q/2147483646");
        g_assert_cmpint(create_mode(&f, "/q/", CREATE_PERSISTENT_SEQUENTIAL, 0), ==, CONVENE_OK);
        g_assert_cmpstr(f.result.path, ==, "/q/2147483647");
        g_assert_cmpint(create_mode(&f, "/q/", CREATE_PERSISTENT_SEQUENTIAL, 0), ==, CONVENE_SEQUENCE_OVERFLOW);
        g_assert_cmpint(create(&f, "/q/plain", ""), ==, CONVENE_OK);
        g_tree_unref(d.rows);
        fixture_done(&f);
}

/*
 * Hostile rows
 */

static void make_rich_disk(Disk *d, Fixture *f) {
        uint64_t session;

        fixture_init(f);
        disk_init(d);
        session = open_session(f);
        create(f, "/d", "data");
        create(f, "/d/x", NULL);
        create_mode(f, "/d/e", CREATE_EPHEMERAL, session);
        create_mode(f, "/t", CREATE_TTL, 0);
        disk_checkpoint(d, f->tree, true);
}

/* No damage may crash the loader or make a tree that does not hold together; and what is accepted is different
 * from the original, because no two byte sequences are the same row. */
static void test_damaged_rows(void) {
        unsigned accepted = 0, refused = 0;
        Fixture f;
        Disk d;

        make_rich_disk(&d, &f);
        for (GTreeNode *n = g_tree_node_first(d.rows); n; n = g_tree_node_next(n)) {
                TreeRow original = node_to_row(n);
                g_autofree uint8_t *whole = g_memdup2(original.value, original.value_size);

                for (uint32_t i = 0; i < original.value_size * 4; i++) {
                        g_autofree uint8_t *copy = NULL;
                        TreeRow row = original;
                        const char *error = NULL;
                        Disk damaged;
                        Tree *t;

                        row.value_size -= i % 4 == 3 ? i / 4 + 1 : 0;
                        row.value = copy = g_memdup2(whole, row.value_size > 0 ? row.value_size : 1);
                        if (!copy)
                                continue;
                        if (i % 4 < 3)
                                copy[i / 4] ^= (uint8_t[]) { 0x01, 0x80, 0xff }[i % 4];

                        disk_init(&damaged);
                        for (GTreeNode *m = g_tree_node_first(d.rows); m; m = g_tree_node_next(m)) {
                                TreeRow other = m == n ? row : node_to_row(m);

                                disk_write(&damaged, &other);
                        }
                        t = disk_load(&damaged, f.zxid, &error);
                        if (t) {
                                g_assert_false(hash128_equal(tree_digest(t), tree_digest(f.tree)));
                                accepted++;
                        } else
                                refused++;
                        tree_free(t);
                        g_tree_unref(damaged.rows);
                }
        }
        g_assert_cmpuint(accepted, >, 0);
        g_assert_cmpuint(refused, >, accepted / 4);
        g_tree_unref(d.rows);
        fixture_done(&f);
}

/* Leaving out any row that others need is noticed; a leaf may be missing, which the digest tells. */
static void test_missing_rows(void) {
        static const bool needed[] = { true, true, true, true, true, false, false, false, true, true };
        unsigned n_row = 0;
        Fixture f;
        Disk d;

        make_rich_disk(&d, &f);
        g_assert_cmpint(g_tree_nnodes(d.rows), ==, G_N_ELEMENTS(needed));
        for (GTreeNode *n = g_tree_node_first(d.rows); n; n = g_tree_node_next(n), n_row++) {
                const char *error = NULL;
                Disk rest;
                Tree *t;

                disk_init(&rest);
                for (GTreeNode *m = g_tree_node_first(d.rows); m; m = g_tree_node_next(m)) {
                        TreeRow row = node_to_row(m);

                        if (m != n)
                                disk_write(&rest, &row);
                }
                t = disk_load(&rest, f.zxid, &error);
                g_assert_cmpint(t == NULL, ==, needed[n_row]);
                tree_free(t);
                g_tree_unref(rest.rows);
        }
        g_tree_unref(d.rows);
        fixture_done(&f);
}

static void test_load_rules(void) {
        const char *error = NULL;
        TreeRow first, second;
        Fixture f;
        Tree *t;
        Disk d;

        make_rich_disk(&d, &f);
        first = node_to_row(g_tree_node_first(d.rows));
        second = node_to_row(g_tree_node_next(g_tree_node_first(d.rows)));

        t = tree_new_empty(NULL);
        g_assert_true(tree_load_row(t, &first, &error));
        g_assert_false(tree_load_row(t, &first, &error));
        g_assert_cmpstr(error, ==, "rows not in order");
        t = tree_free(t);

        t = tree_new_empty(NULL);
        g_assert_false(tree_load_row(t, &second, &error));
        t = tree_free(t);

        t = tree_new_empty(NULL);
        g_assert_false(tree_load_finish(t, 1, &error));
        t = tree_free(t);

        /* A second znode of the same name. */
        TreeRow twin = { .table = TREE_TABLE_ZNODE };
        for (GTreeNode *n = g_tree_node_first(d.rows); n; n = g_tree_node_next(n))
                if (node_to_row(n).table == TREE_TABLE_ZNODE)
                        twin = node_to_row(n);
        t = tree_new_empty(NULL);
        for (GTreeNode *n = g_tree_node_first(d.rows); n; n = g_tree_node_next(n)) {
                TreeRow row = node_to_row(n);

                if (row.table == TREE_TABLE_ZNODE)
                        g_assert_true(tree_load_row(t, &row, &error));
        }
        twin.key++;
        g_assert_false(tree_load_row(t, &twin, &error));
        t = tree_free(t);

        /* Rows that are newer than the position they are said to be of. */
        g_assert_null(disk_load(&d, f.zxid - 1, &error));
        g_assert_cmpstr(error, ==, "a row from after the position");
        g_tree_unref(d.rows);
        fixture_done(&f);
}

/*
 * Checkpoints while the tree goes on
 */

static void disk_copy(const Disk *d, Disk *ret) {
        disk_init(ret);
        for (GTreeNode *n = g_tree_node_first(d->rows); n; n = g_tree_node_next(n)) {
                TreeRow row = node_to_row(n);

                disk_write(ret, &row);
        }
}

/* Takes up to `slices_max` small slices with changes in between; returns the rows handed out. */
static uint64_t take_slices(Fixture *f, Prng *prng, GArray *sessions, unsigned slices_max, Disk *d) {
        uint64_t rows_count = 0;
        const TreeRow *rows;
        unsigned count;

        while (slices_max-- > 0 && tree_checkpoint_next(f->tree, 1 + prng_below(prng, 4), &rows, &count)) {
                for (unsigned i = 0; i < count; i++)
                        disk_write(d, &rows[i]);
                rows_count += count;
                for (unsigned i = prng_below(prng, 3); i > 0; i--)
                        random_change(f, prng, sessions);
        }
        return rows_count;
}

static void run_busy_checkpoints(uint64_t seed) {
        g_autoptr(GArray) sessions = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        Prng prng = { seed };
        Fixture f;
        Disk d;

        fixture_init(&f);
        disk_init(&d);
        for (unsigned round = 0; round < 12; round++) {
                bool full = round == 0 || prng_below(&prng, 4) == 0;
                bool aborted = round > 0 && prng_below(&prng, 3) == 0;
                uint64_t promised, handed_out;
                Disk next;

                for (unsigned i = prng_below(&prng, 30); i > 0; i--)
                        random_change(&f, &prng, sessions);

                if (full)
                        disk_init(&next);
                else
                        disk_copy(&d, &next);

                promised = tree_dirty_count(f.tree);
                tree_checkpoint_begin(f.tree, full);
                g_assert_true(hash128_equal(tree_checkpoint_digest(f.tree), tree_digest(f.tree)));
                g_assert_cmphex(tree_checkpoint_zxid(f.tree), ==, f.zxid);
                handed_out = take_slices(&f, &prng, sessions, aborted ? prng_below(&prng, 6) : UINT_MAX, &next);
                if (aborted) {
                        tree_checkpoint_abort(f.tree);
                        g_assert_false(tree_checkpoint_is_active(f.tree));
                        g_tree_unref(next.rows);
                        tree_check(f.tree);
                        continue;
                }

                g_assert_false(tree_checkpoint_is_active(f.tree));
                if (!full)
                        g_assert_cmpuint(handed_out, ==, promised);
                g_tree_unref(d.rows);
                d = next;
                assert_disk_is(&d, f.tree);
        }
        g_tree_unref(d.rows);
        fixture_done(&f);
}

static void test_busy_checkpoints(void) {
        for (uint64_t seed = 1; seed <= 150; seed++)
                run_busy_checkpoints(seed);
}

/* Full: in order of tables and keys, so that a loader can take it as it comes, whatever changes meanwhile. */
static void test_full_is_in_order(void) {
        g_autoptr(GArray) sessions = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        const char *error = NULL;
        const TreeRow *rows;
        Prng prng = { 3 };
        unsigned count;
        Fixture f;
        Tree *t;

        fixture_init(&f);
        for (unsigned i = 0; i < 60; i++)
                random_change(&f, &prng, sessions);
        t = tree_new_empty(NULL);
        tree_checkpoint_begin(f.tree, true);
        while (tree_checkpoint_next(f.tree, 2, &rows, &count)) {
                for (unsigned i = 0; i < count; i++)
                        g_assert_true(tree_load_row(t, &rows[i], &error));
                random_change(&f, &prng, sessions);
        }
        g_assert_true(tree_load_finish(t, tree_checkpoint_zxid(f.tree), &error));
        g_assert_true(hash128_equal(tree_digest(t), tree_checkpoint_digest(f.tree)));
        tree_check(t);
        tree_free(t);
        fixture_done(&f);
}

/* A commit that fails after the last slice. */
static void test_abort_after_end(void) {
        Fixture f;
        Disk d;

        fixture_init(&f);
        disk_init(&d);
        disk_checkpoint(&d, f.tree, true);
        create(&f, "/a", "1");
        create(&f, "/b", "1");
        erase(&f, "/b");
        g_assert_cmpuint(tree_dirty_count(f.tree), ==, 3);      /* "/", "/a", the state; "/b" was never on the disk */

        Disk lost;
        disk_init(&lost);
        disk_checkpoint(&lost, f.tree, false);
        g_assert_cmpuint(tree_dirty_count(f.tree), ==, 0);
        set(&f, "/a", "2");
        erase(&f, "/a");
        tree_checkpoint_abort(f.tree);
        tree_check(f.tree);
        disk_checkpoint(&d, f.tree, false);
        assert_disk_is(&d, f.tree);
        g_tree_unref(lost.rows);
        g_tree_unref(d.rows);
        fixture_done(&f);
}

static void test_slices_are_bounded(void) {
        g_autofree char *big = g_strnfill(LIMIT_DATA_BYTES, 'x');
        const TreeRow *rows;
        unsigned count, slices = 0;
        Fixture f;

        fixture_init(&f);
        for (unsigned i = 0; i < 4; i++) {
                g_autofree char *path = g_strdup_printf("/%u", i);

                create(&f, path, big);
        }
        tree_checkpoint_begin(f.tree, false);
        while (tree_checkpoint_next(f.tree, 1000, &rows, &count)) {
                uint64_t bytes = 0;

                for (unsigned i = 0; i < count; i++)
                        bytes += rows[i].value_size;
                g_assert_cmpuint(bytes, <=, 2 * LIMIT_DATA_BYTES + 4096);
                slices++;
        }
        g_assert_cmpuint(slices, >=, 4);
        fixture_done(&f);
}

static void test_quota_rows(void) {
        static const char limits[] = "/zookeeper/quota/d/zookeeper_limits";
        static const char usage[] = "/zookeeper/quota/d/zookeeper_stats";
        Request dir = { .op = REQUEST_CREATE, .path = "/zookeeper/quota/d", .acl = acl_open, .caller = super };
        const char *error = NULL;
        Fixture f;
        Tree *t;
        Disk d;

        fixture_init(&f);
        disk_init(&d);
        apply(&f, &dir);
        create(&f, limits, "countHardLimit=2");
        create(&f, usage, "");
        create(&f, "/d", "abc");
        disk_checkpoint(&d, f.tree, true);
        create(&f, "/d/x", "abc");
        g_assert_cmpuint(tree_dirty_count(f.tree), ==, 4);      /* "/d", "/d/x", the usage, the state */
        disk_checkpoint(&d, f.tree, false);
        assert_disk_is(&d, f.tree);

        t = disk_load(&d, f.zxid, &error);
        g_assert_nonnull(t);
        tree_apply_request(t, f.zxid + 1, 1, &(Request) OP_CREATE("/d/y", ""), &f.result);
        g_assert_cmpint(f.result.status, ==, CONVENE_QUOTA_EXCEEDED);
        tree_free(t);

        /* A usage that lies. */
        for (GTreeNode *n = g_tree_node_first(d.rows); n; n = g_tree_node_next(n)) {
                TreeRow row = node_to_row(n);
                char *at = memmem(row.value, row.value_size, "count=2,bytes=6", 15);

                if (!at)
                        continue;
                at[6] = '9';
                g_assert_null(disk_load(&d, f.zxid, &error));
                g_assert_cmpstr(error, ==, "wrong usage of a quota");
        }
        g_assert_nonnull(error);
        g_tree_unref(d.rows);
        fixture_done(&f);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/tree/rows/round-trip", test_round_trip);
        g_test_add_func("/tree/rows/loaded-goes-on", test_loaded_goes_on);
        g_test_add_func("/tree/rows/numbers-at-their-end", test_numbers_at_their_end);
        g_test_add_func("/tree/rows/damaged", test_damaged_rows);
        g_test_add_func("/tree/rows/missing", test_missing_rows);
        g_test_add_func("/tree/rows/rules", test_load_rules);
        g_test_add_func("/tree/rows/quota", test_quota_rows);
        g_test_add_func("/tree/checkpoint/busy", test_busy_checkpoints);
        g_test_add_func("/tree/checkpoint/full-is-in-order", test_full_is_in_order);
        g_test_add_func("/tree/checkpoint/abort-after-end", test_abort_after_end);
        g_test_add_func("/tree/checkpoint/slices-are-bounded", test_slices_are_bounded);
        return g_test_run();
}
