/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A tree and its twin in step
 */

#include "tests/unit/twin-run.h"

#include <string.h>

#include "agent/base/limits.h"
#include "agent/base/writer.h"
#include "tests/unit/twin-describe.h"

/* Faults played on the tree's side */

static void mutate_result(Run *run, Result *r, Result **ret_results) {
        *ret_results = NULL;
        if (run->mutation == MUTATION_STAT_FIELD && r->op == REQUEST_SET_DATA && r->status == CONVENE_OK)
                r->stat.mtime_msec++;
        if (run->mutation == MUTATION_PAGE_SHORT && r->op == REQUEST_GET_CHILDREN && r->items_count > 3)
                r->items_count--;
        if (run->mutation != MUTATION_MULTI_BLAMES_NEXT || r->op != REQUEST_MULTI)
                return;
        for (unsigned i = 0; i + 1 < r->results_count; i++)
                if (r->results[i].status != CONVENE_OK) {
                        *ret_results = g_memdup2(r->results, r->results_count * sizeof(Result));
                        (*ret_results)[i + 1].status = (*ret_results)[i].status;
                        (*ret_results)[i].status = CONVENE_OK;
                        r->results = *ret_results;
                        return;
                }
}

static bool mutate_request(Run *run, Request *r, AclEntry *ret_entry) {
        if (run->mutation == MUTATION_VERSION_IGNORED && r->op == REQUEST_SET_DATA)
                r->version = VERSION_ANY;
        else if (run->mutation == MUTATION_CXID_FORGOTTEN)
                r->cxid = 0;
        else if (run->mutation == MUTATION_ACL_WIDENED && r->op == REQUEST_CREATE && r->acl.count == 1 &&
                 r->acl.items[0].permissions == PERMISSION_READ) {
                *ret_entry = r->acl.items[0];
                ret_entry->permissions |= PERMISSION_WRITE;
                r->acl.items = ret_entry;
        } else
                return false;

        return true;
}

/* Updates */

static void apply_to_tree(Run *run, const Request *original, const uint8_t *payload, size_t payload_size,
                          const Result *of_twin, Result *ret) {
        Request r = *original;
        AclEntry entry;

        if (run->mutation == MUTATION_DELETE_IGNORED && r.op == REQUEST_DELETE && of_twin->status == CONVENE_OK) {
                tree_skip(run->tree, run->zxid);
                *ret = (Result) { .op = r.op, .zxid = run->zxid };
                return;
        }
        if (!mutate_request(run, &r, &entry) && payload)
                tree_apply(run->tree, run->zxid, run->time_msec, payload, payload_size, ret);
        else
                tree_apply_request(run->tree, run->zxid, run->time_msec, &r, ret);
}

static void step_update(Run *run, const Request *r, const uint8_t *payload, size_t payload_size) {
        g_autofree Result *results = NULL;
        Result of_tree, of_twin;

        twin_apply(run->twin, run->zxid, run->time_msec, r, payload != NULL, &of_twin);
        apply_to_tree(run, r, payload, payload_size, &of_twin, &of_tree);
        mutate_result(run, &of_tree, &results);
        compare_result(run, &of_tree, &of_twin);
        compare_changes(run);

        run->coverage->znodes_max = MAX(run->coverage->znodes_max, run->twin->znodes->len);
        if (r->op == REQUEST_CREATE && of_twin.status == CONVENE_TOO_LARGE && strlen(r->path) < 400 &&
            r->data_size < LIMIT_DATA_BYTES)
                run->coverage->too_deep++;
}

/* What the decoder takes, the encoder gives back byte for byte. */
static void compare_encoding(Run *run, const uint8_t *payload, size_t payload_size, const Request *decoded) {
        g_auto(Writer) w = WRITER_INIT;

        request_encode(decoded, &w);
        if (w.size != payload_size || memcmp(w.data, payload, w.size) != 0)
                difference(run, "encoding", "a decoded request encodes to other bytes", "to the same");
}

/* Somebody else's bytes: whatever the decoder makes of them, both apply the same. */
static void step_corrupt(Run *run, uint8_t *payload, size_t payload_size) {
        Generator *g = &run->generator;
        DecodedRequest d;
        Result of_tree;

        run->coverage->payloads_corrupt++;
        payload[generator_below(g, payload_size)] ^= 1 << generator_below(g, 8);
        if (!request_decode(payload, payload_size, &d)) {
                twin_skip(run->twin, run->zxid);
                tree_apply(run->tree, run->zxid, run->time_msec, payload, payload_size, &of_tree);
                compare_number(run, "status of bytes that do not decode", of_tree.status, CONVENE_MARSHALLING_ERROR);
                compare_changes(run);
                return;
        }

        g_string_append(run->what, "\n    corrupted into ");
        describe_request(run->what, &d.request);
        compare_encoding(run, payload, payload_size, &d.request);
        step_update(run, &d.request, payload, payload_size);
        request_decoded_done(&d);
}

static void step_encoded(Run *run, const Request *r) {
        g_auto(Writer) w = WRITER_INIT;
        DecodedRequest d;
        bool decodes;

        request_encode(r, &w);
        decodes = request_decode(w.data, w.size, &d);
        compare_number(run, "whether the request decodes", decodes, twin_decodes(r));
        if (decodes) {
                compare_encoding(run, w.data, w.size, &d.request);
                request_decoded_done(&d);
        }

        if (generator_chance(&run->generator, 1))
                step_corrupt(run, w.data, w.size);
        else
                step_update(run, r, w.data, w.size);
}

/* Reads */

static void step_read_request(Run *run, const Request *r, const Request *as_twin_sees_it) {
        g_autofree Result *results = NULL;
        Result of_tree, of_twin;

        twin_read(run->twin, as_twin_sees_it, &of_twin);
        tree_read(run->tree, r, &of_tree);
        mutate_result(run, &of_tree, &results);
        compare_result(run, &of_tree, &of_twin);
        if (of_twin.more && of_twin.items_count < (r->entries_max > 0 ? r->entries_max : LIMIT_PAGE_ENTRIES))
                run->coverage->pages_cut_by_bytes++;
}

static void step_read(Run *run, const Request *r) {
        g_auto(Writer) w = WRITER_INIT;
        DecodedRequest d;

        if (generator_chance(&run->generator, 50)) {
                step_read_request(run, r, r);
                return;
        }

        request_encode(r, &w);
        if (!request_decode(w.data, w.size, &d)) {
                compare_number(run, "whether the read decodes", false, twin_decodes(r));
                return;
        }
        compare_encoding(run, w.data, w.size, &d.request);
        step_read_request(run, &d.request, r);
        request_decoded_done(&d);
}

static void step_request(Run *run) {
        Request r;

        generator_next_request(&run->generator, &r);
        describe_request(run->what, &r);
        if (!request_op_is_update(r.op)) {
                step_read(run, &r);
                return;
        }

        run->zxid++;
        if (generator_chance(&run->generator, 50))
                step_encoded(run, &r);
        else
                step_update(run, &r, NULL, 0);
        compare_number(run, "tree_zxid()", tree_zxid(run->tree), run->twin->zxid);
}

/* Watches */

static void step_watch(Run *run) {
        static const WatchKind kinds[] = {
                WATCH_DATA, WATCH_CHILDREN, WATCH_DATA, WATCH_CHILDREN, WATCH_PERSISTENT, WATCH_PERSISTENT_RECURSIVE,
        };
        Generator *g = &run->generator;
        uint64_t watcher = 1 + generator_below(g, RUN_WATCHERS);
        const char *path = generator_path(g);
        WatchKind kind = kinds[generator_below(g, G_N_ELEMENTS(kinds))];
        unsigned mask = generator_below(g, 16), dice = generator_below(g, 100);

        if (path[0] != '/' || (path[1] != 0 && g_str_has_suffix(path, "/")))
                return;
        g_string_append_printf(run->what, "watch: watcher %" PRIu64 " path %s kind %d mask %u dice %u", watcher, path,
                               kind, mask, dice);
        if (dice < 70)
                compare_number(run, "watch_table_add()", watch_table_add(run->watches, watcher, path, kind),
                               twin_watches_add(run->twin_watches, watcher, path, kind));
        else if (dice < 97)
                compare_number(run, "watch_table_remove()", watch_table_remove(run->watches, watcher, path, mask),
                               twin_watches_remove(run->twin_watches, watcher, path, mask));
        else {
                watch_table_remove_watcher(run->watches, watcher);
                twin_watches_remove_watcher(run->twin_watches, watcher);
        }
        compare_number(run, "watch_table_get()", watch_table_get(run->watches, watcher, path),
                       twin_watches_get(run->twin_watches, watcher, path));
        compare_number(run, "watch_table_count()", watch_table_count(run->watches), run->twin_watches->len);
}

static void step_replay(Run *run) {
        Generator *g = &run->generator;
        const char *path = generator_path(g);
        WatchKind kind = generator_chance(g, 50) ? WATCH_PERSISTENT : WATCH_PERSISTENT_RECURSIVE;
        Zxid span = generator_chance(g, 90) ? 100 : 5000, since = run->zxid - MIN(run->zxid, generator_below(g, span));
        g_autoptr(GPtrArray) events = twin_events_new();
        ConveneStatus status;

        if (path[0] != '/' || (path[1] != 0 && g_str_has_suffix(path, "/")))
                return;
        run->coverage->replays++;
        g_string_append_printf(run->what, "replay: path %s kind %d since " ZXID_FORMAT, path, kind, since);
        compare_number(run, "change_history_floor()", change_history_floor(run->history), run->history_floor);
        status = change_history_replay(run->history, path, kind, since, 9, run_on_event, run);
        compare_number(run, "change_history_replay()", status,
                       since < run->history_floor ? CONVENE_HISTORY_GONE : CONVENE_OK);
        if (status == CONVENE_OK)
                twin_watches_replay(run->history_changes, path, kind, since, 9, events);
        compare_replay(run, events);
}

/* Reaping */

typedef struct Reap {
        Run *run;
        int64_t now_msec;
        GHashTable *found;
} Reap;

static void on_reapable(const char *path, Zxid czxid, void *userdata) {
        Reap *reap = userdata;
        const TwinZnode *z = twin_find(reap->run->twin, path);

        if (!z || z->czxid != czxid || !twin_is_reapable(reap->run->twin, z, reap->now_msec))
                difference(reap->run, "tree_find_reapable() names what is not reapable", path, "not reapable");
        g_hash_table_add(reap->found, g_strdup(path));
}

/* One call may begin where the last one stopped; two without a bound see everything. */
static void step_reapable(Run *run) {
        Reap reap = { run, run->time_msec + generator_below(&run->generator, 3000), NULL };
        unsigned max = 1 + generator_below(&run->generator, 4), count;

        g_string_append_printf(run->what, "find reapable at %" PRId64, reap.now_msec);
        reap.found = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        count = tree_find_reapable(run->tree, reap.now_msec, max, on_reapable, &reap);
        compare_number(run, "tree_find_reapable() counts", count, g_hash_table_size(reap.found));
        if (count > max)
                difference(run, "tree_find_reapable() finds too many", "more than max", "at most max");
        for (unsigned i = 0; i < 2; i++)
                tree_find_reapable(run->tree, reap.now_msec, UINT_MAX, on_reapable, &reap);
        for (unsigned i = 0; i < run->twin->znodes->len; i++) {
                TwinZnode *z = run->twin->znodes->pdata[i];

                if (twin_is_reapable(run->twin, z, reap.now_msec) && !g_hash_table_contains(reap.found, z->path))
                        difference(run, "tree_find_reapable() misses", "not found", z->path);
        }
        g_hash_table_unref(reap.found);
}

/* Checkpoints and loading */

static void history_reset(Run *run) {
        g_ptr_array_set_size(run->history_changes, 0);
        run->history_floor = run->twin->zxid;
        run->history = change_history_new(tree_acl_table(run->tree), run->history_floor);
}

/* The tree goes away and comes back from its rows, as in a restart. */
static void reload(Run *run) {
        TreeListener listener = run_listener(run);
        const char *error = NULL;
        Tree *fresh;

        fresh = disk_load(&run->disk, &listener, run->twin->zxid, &error);
        if (!fresh)
                difference(run, "tree_load_row()", error ? error : "(no text)", "a loaded tree");
        run->coverage->loads++;
        tree_check(fresh);
        for (unsigned i = 0; i < 5; i++)
                ++*(disk_load_damaged(&run->disk, run->twin->zxid, &run->generator.prng) ?
                    &run->coverage->damage_taken : &run->coverage->damage_refused);
        compare_number(run, "tree_dirty_count() of a loaded tree", tree_dirty_count(fresh), 0);

        run->history = change_history_free(run->history);
        tree_free(run->tree);
        run->tree = fresh;
        history_reset(run);
        compare_whole(run);
}

static void step_checkpoint(Run *run) {
        Generator *g = &run->generator;
        bool done = false, full = generator_chance(g, 15), at_once;
        const char *error;

        if (!run->disk.expected) {
                disk_begin(&run->disk, run->tree, run->twin, full, !full || generator_chance(g, 50));
                run->coverage->checkpoints++;
        }
        if (generator_chance(g, 3)) {
                disk_abort(&run->disk, run->tree);
                run->coverage->checkpoints_aborted++;
                return;
        }

        at_once = generator_chance(g, 10);
        do {
                bool lose = run->mutation == MUTATION_ROW_LOST && generator_chance(g, 20);

                error = disk_next(&run->disk, run->tree, 1 + generator_below(g, 12), lose, &done);
                if (error)
                        difference(run, error, "-", "-");
        } while (at_once && !done);

        /* Nothing happened since it began, so the disk holds the present. */
        if (at_once && run->disk.keep && tree_checkpoint_zxid(run->tree) == run->twin->zxid && generator_chance(g, 50))
                reload(run);
}

/* The loop */

static void step(Run *run) {
        Generator *g = &run->generator;
        unsigned dice = generator_below(g, 1000);

        g_string_truncate(run->what, 0);
        if (dice < 100)
                step_watch(run);
        else if (dice < 108)
                step_replay(run);
        else if (dice < 160)
                step_checkpoint(run);
        else if (dice < 164)
                step_reapable(run);
        else if (dice < 167) {
                run->zxid++;
                tree_skip(run->tree, run->zxid);
                twin_skip(run->twin, run->zxid);
        } else {
                step_request(run);
                run->time_msec += generator_chance(g, 2) ? 5000 : generator_below(g, 50);
                if (generator_chance(g, 1))
                        run->time_msec -= 700;  /* another leader's clock */
                if (generator_below(g, 2000) == 0)
                        run->zxid = zxid_make(zxid_epoch(run->zxid) + 1, 0);
        }
        if (generator_below(g, 60) == 0)
                compare_whole(run);
        if (generator_below(g, 250) == 0)
                tree_check(run->tree);
}

/* Counters next to where they wrap, which no test of a sane length reaches by counting. */
static void wrap_counters(Run *run) {
        static const int32_t versions[] = { INT32_MAX - 1, -3, INT32_MAX, -2 };

        for (unsigned i = 0; i < run->twin->znodes->len; i++) {
                TwinZnode *z = run->twin->znodes->pdata[i];

                z->version = versions[i % 4];
                z->aversion = versions[(i + 1) % 4];
                z->creates = i % 2 == 0 ? UINT64_C(0x7ffffffd) : UINT64_C(0xfffffffd);
        }
}

static void make(Run *run, const Request *like, const char *path) {
        Request r = { .op = REQUEST_CREATE, .path = path, .acl = like->acl, .caller = like->caller };

        run->zxid++;
        step_update(run, &r, NULL, 0);
}

static void make_chain(Run *run, const Request *like) {
        g_autoptr(GString) path = g_string_new("/chain");

        for (unsigned i = 0; i < LIMIT_PATH_DEPTH; i++, g_string_append(path, "/a"))
                make(run, like, path->str);
}

static void make_worn(Run *run, const Request *like) {
        for (char c = 'a'; c < 'm'; c++) {
                char path[] = { '/', c, 0 };

                make(run, like, path);
        }
        wrap_counters(run);
        disk_set(&run->disk, run->twin);
        reload(run);
}

static void run_begin(Run *run) {
        static const AclEntry open = { PERMISSION_ALL, { "world", "anyone" } };
        static const Identity super = { "super", "root" };
        Request r = { .op = REQUEST_SET_ACL, .path = "/", .version = VERSION_ANY, .acl = { &open, 1 },
                      .caller = { &super, 1 } };

        describe_request(run->what, &r);
        run->zxid++;
        if (run->seed % 10 != 9)
                step_update(run, &r, NULL, 0);
        else {
                tree_skip(run->tree, run->zxid);
                twin_skip(run->twin, run->zxid);
        }
        if (run->generator.profile == PROFILE_DEEP)
                make_chain(run, &r);
        if (run->generator.profile == PROFILE_WRAP)
                make_worn(run, &r);
}

void run_seed(uint64_t seed, unsigned operations, Mutation mutation, Coverage *coverage) {
        Run run = { .seed = seed, .operations = operations, .mutation = mutation, .coverage = coverage,
                    .time_msec = INT64_C(1700000000000) };
        TreeListener listener = run_listener(&run);

        run.twin = twin_new();
        run.tree = tree_new(&listener);
        run.what = g_string_new(NULL);
        run.watches = watch_table_new();
        run.twin_watches = twin_watches_new();
        run.changes = g_ptr_array_new_with_free_func(g_free);
        run.events = g_ptr_array_new_with_free_func(g_free);
        run.session_events = g_ptr_array_new_with_free_func(g_free);
        run.history_changes = twin_changes_new();
        disk_init(&run.disk);
        generator_init(&run.generator, seed, seed % _PROFILE_MAX, run.twin);
        history_reset(&run);

        compare_whole(&run);
        run_begin(&run);
        for (; run.operation < operations; run.operation++, coverage->operations++)
                step(&run);
        compare_whole(&run);
        tree_check(run.tree);

        generator_done(&run.generator);
        change_history_free(run.history);
        watch_table_free(run.watches);
        tree_free(run.tree);
        twin_free(run.twin);
        disk_done(&run.disk);
        g_string_free(run.what, true);
        g_ptr_array_unref(run.twin_watches);
        g_ptr_array_unref(run.changes);
        g_ptr_array_unref(run.events);
        g_ptr_array_unref(run.session_events);
        g_ptr_array_unref(run.history_changes);
}
