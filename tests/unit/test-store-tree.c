/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Store and tree together: a real tree whose entries go through the log and whose rows go into checkpoints while it
 * goes on changing, closed at any time and loaded again: the same digest each time.
 */

#include "tests/unit/store-fixture.h"

#define PATHS 300
#define ROUNDS 40

typedef struct World {
        Fixture store;
        Tree *tree;
        Prng prng;
        uint64_t sessions[8];
        uint64_t checkpoint_io_seq;     /* asked for, not yet heard of; 0: none */
        bool full_next;
        uint64_t checkpoints;
} World;

static const Identity super_identity = { "super", "admin" };
static const Identities super = { &super_identity, 1 };
static const AclEntry open_entry = { PERMISSION_ALL, { "world", "anyone" } };

static void submit(World *w, const Request *r) {
        g_auto(Writer) bytes = WRITER_INIT;
        g_autoptr(GBytes) payload = NULL;
        Result result;

        request_encode(r, &bytes);
        payload = writer_to_bytes(&bytes);
        fixture_append_payload(&w->store, payload);
        tree_apply(w->tree, w->store.last.zxid, 5, g_bytes_get_data(payload, NULL), g_bytes_get_size(payload), &result);
        if (r->op == REQUEST_OPEN_SESSION)
                w->sessions[prng_below(&w->prng, G_N_ELEMENTS(w->sessions))] = w->store.last.zxid;
}

static void change(World *w) {
        g_autofree char *path = g_strdup_printf("/%s%" PRIu64, prng_below(&w->prng, 3) == 0 ? "n1/" : "n",
                                                prng_below(&w->prng, PATHS));
        uint8_t data[400];
        Request r = {
                .path = path,
                .data = data,
                .data_size = (uint32_t) prng_below(&w->prng, sizeof data),
                .version = VERSION_ANY,
                .caller = super,
        };

        for (size_t i = 0; i < sizeof data; i++)
                data[i] = (uint8_t) prng_next(&w->prng);
        switch (prng_below(&w->prng, 12)) {

        case 0 ... 4:
                r.op = REQUEST_CREATE;
                r.acl = (AclEntries) { &open_entry, 1 };
                break;

        case 5 ... 7:
                r.op = REQUEST_SET_DATA;
                break;

        case 8 ... 9:
                r.op = REQUEST_DELETE;
                r.data = NULL;
                r.data_size = 0;
                break;

        case 10:
                r = (Request) {
                        .op = REQUEST_OPEN_SESSION,
                        .timeout_msec = 5000,
                        .owner = "test",
                        .member = 1,
                        .identities = super,
                        .caller = super,
                };
                break;

        default:
                r = (Request) {
                        .op = REQUEST_CLOSE_SESSION,
                        .target = w->sessions[prng_below(&w->prng, G_N_ELEMENTS(w->sessions))],
                        .caller = super,
                };
                break;
        }
        submit(w, &r);
}

static int on_entry(void *userdata, const ZabEntry *e) {
        World *w = userdata;
        Result result;

        tree_apply(w->tree, e->zxid, e->time_msec, g_bytes_get_data(e->payload, NULL), g_bytes_get_size(e->payload),
                   &result);
        w->store.last = (ZabPosition) { e->index, e->zxid, e->chain };
        return 0;
}

static void world_open(World *w) {
        TreeListener listener = { 0 };
        ZabPosition position = { 0 };
        Fixture *f = &w->store;
        int r;

        g_assert_cmpint(fixture_open(f), ==, 0);
        if (store_get_report(f->store)->state == STORE_BLANK)
                g_assert_cmpint(store_create(f->store, &fixture_meta), ==, 0);
        w->tree = tree_new_empty(&listener);
        r = store_load(f->store, w->tree, &position, NULL);
        g_assert_cmpint(r, >=, 0);
        if (r == 0) {
                tree_free(w->tree);
                w->tree = tree_new(&listener);
        }
        f->last = position;
        g_assert_cmpint(store_replay(f->store, on_entry, w), ==, 0);
        w->full_next = r == 0;
        w->checkpoint_io_seq = 0;
        tree_check(w->tree);
        fixture_start(f);
}

static void checkpoint_begin(World *w) {
        Fixture *f = &w->store;

        /* What is queued for the log is written first, so nothing needs to be waited for. */
        tree_checkpoint_begin(w->tree, w->full_next);
        w->checkpoint_io_seq = ++f->io_seq;
        store_checkpoint_begin(f->store, f->io_seq, w->full_next, &f->last, tree_checkpoint_digest(w->tree), NULL);
}

/* A slice; at the end, waits until it is heard of. */
static void checkpoint_go_on(World *w, unsigned rows_max) {
        Fixture *f = &w->store;
        const TreeRow *rows;
        unsigned rows_count;

        if (tree_checkpoint_next(w->tree, rows_max, &rows, &rows_count)) {
                store_checkpoint_rows(f->store, rows, rows_count);
                return;
        }
        store_checkpoint_end(f->store);
        fixture_wait(f, f->checkpointed == w->checkpoint_io_seq);
        g_assert_cmpint(f->checkpoint_error, ==, 0);
        w->checkpoint_io_seq = 0;
        w->full_next = prng_below(&w->prng, 5) == 0;
        w->checkpoints++;
}

static void test_random(void) {
        World w = { .prng = { 3 } };
        Fixture *f = &w.store;

        fixture_init(f, NULL);
        f->options.segment_bytes = 64 * 1024;
        f->options.log_keep_bytes = 1;
        for (unsigned round = 0; round < ROUNDS; round++) {
                Hash128 digest;
                Zxid zxid;

                world_open(&w);
                if (round == 0)
                        submit(&w, &(Request) {
                                        .op = REQUEST_SET_ACL,
                                        .path = "/",
                                        .acl = { &open_entry, 1 },
                                        .version = VERSION_ANY,
                                        .caller = super,
                                });
                for (unsigned step = 0; step < 200; step++) {
                        change(&w);
                        if (w.checkpoint_io_seq > 0)
                                checkpoint_go_on(&w, 1 + (unsigned) prng_below(&w.prng, 30));
                        else if (prng_below(&w.prng, 25) == 0)
                                checkpoint_begin(&w);
                }
                /* closed with whatever checkpoint is under way */
                digest = tree_digest(w.tree);
                zxid = tree_zxid(w.tree);
                fixture_close(f);
                tree_free(w.tree);

                world_open(&w);
                g_assert_cmpuint(tree_zxid(w.tree), ==, zxid);
                g_assert_true(hash128_equal(tree_digest(w.tree), digest));
                fixture_close(f);
                tree_free(w.tree);
        }
        g_assert_cmpuint(w.checkpoints, >, ROUNDS);
        fixture_done(f);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/store/tree/random", test_random);

        return g_test_run();
}
