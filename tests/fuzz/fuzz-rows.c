/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Fuzz: rows of a tree, as a checkpoint or a peer may bring them
 *
 *     u64 zxid, then rows: u8 table  u64 key  blob value
 *
 * What is accepted is a sound tree of exactly these rows, and goes on being one whatever is then asked of it.
 */

#include <string.h>

#include "agent/base/limits.h"
#include "agent/base/reader.h"
#include "agent/tree/tree.h"
#include "tests/fuzz/fuzz.h"

#define ROWS_MAX 4096
#define SECRET_OFFSET (4 + 4 + 1 + 8 + 8 + 8)   /* of a session's row */

uint64_t fuzz_accepted;

typedef struct Rows {
        Zxid zxid;
        GArray *items;                  /* TreeRow, in the input */
        Hash128 digest;
} Rows;

static const Identity super_identity = { "super", "" };
static const Identities super = { &super_identity, 1 };
static const AclEntry open_entry = { PERMISSION_ALL, { "world", "anyone" } };

static bool read_rows(Rows *rows, const uint8_t *data, size_t size) {
        Reader r = READER_INIT(data, size);
        g_auto(Writer) w = WRITER_INIT;

        rows->zxid = reader_u64(&r) & INT64_MAX;
        while (reader_left(&r) > 0 && rows->items->len < ROWS_MAX) {
                TreeRow row = { .table = (TreeTable) reader_u8(&r), .key = reader_u64(&r) };
                size_t n;

                row.value = reader_blob(&r, UINT32_MAX, &n);
                row.value_size = (uint32_t) n;
                if (r.failed)
                        return false;
                g_array_append_val(rows->items, row);

                writer_clear(&w);
                writer_u8(&w, row.table);
                writer_u64(&w, row.key);
                writer_bytes(&w, row.value, row.value_size);
                rows->digest = hash128_add(rows->digest, hash128(w.data, w.size, 0));
        }
        return reader_done(&r);
}

static bool load(Tree *t, const Rows *rows) {
        const char *error = NULL;

        for (unsigned i = 0; i < rows->items->len; i++)
                if (!tree_load_row(t, &g_array_index(rows->items, TreeRow, i), &error)) {
                        fuzz_check(error && *error != '\0');
                        return false;
                }
        if (!tree_load_finish(t, rows->zxid, &error)) {
                fuzz_check(error && *error != '\0');
                return false;
        }
        return true;
}

/* A whole checkpoint of it is, byte for byte and in this order, what came in. */
static void check_written(Tree *t, const Rows *rows) {
        const TreeRow *slice;
        unsigned count, at = 0;

        fuzz_check(tree_dirty_count(t) == 0);
        tree_checkpoint_begin(t, true);
        while (tree_checkpoint_next(t, 5, &slice, &count))
                for (unsigned i = 0; i < count; i++) {
                        const TreeRow *row;

                        fuzz_check(at < rows->items->len);
                        row = &g_array_index(rows->items, TreeRow, at++);
                        fuzz_check(slice[i].table == row->table && slice[i].key == row->key);
                        fuzz_check(slice[i].value && slice[i].value_size == row->value_size);
                        fuzz_check(memcmp(slice[i].value, row->value, row->value_size) == 0);
                }
        fuzz_check(at == rows->items->len);
        fuzz_check(hash128_equal(tree_checkpoint_digest(t), rows->digest));
}

/* What it writes it can read. */
static void check_sound(Tree *t) {
        Tree *again = tree_new_empty(NULL);
        const char *error = NULL;
        const TreeRow *slice;
        unsigned count;

        tree_check(t);
        tree_checkpoint_begin(t, true);
        while (tree_checkpoint_next(t, 100, &slice, &count))
                for (unsigned i = 0; i < count; i++)
                        fuzz_check(tree_load_row(again, &slice[i], &error));
        fuzz_check(tree_load_finish(again, tree_zxid(t), &error));
        fuzz_check(hash128_equal(tree_digest(again), tree_digest(t)));
        tree_free(again);
}

static ConveneStatus apply(Tree *t, Request r, Result *ret) {
        Zxid zxid = tree_zxid(t) + 1;

        r.caller = r.session == 0 ? super : (Identities) { 0 };
        tree_apply_request(t, zxid, 1000, &r, ret);
        fuzz_check(ret->zxid == zxid && tree_zxid(t) == zxid);
        return ret->status;
}

static GPtrArray *list_paths(Tree *t) {
        GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
        Request r = { .op = REQUEST_LIST, .path = "/", .want_data = true, .caller = super };
        g_autofree char *after = NULL;
        Result result;

        do {
                r.start_after = after;
                tree_read(t, &r, &result);
                fuzz_check(result.status == CONVENE_OK);
                fuzz_check(!result.more || result.items_count > 0);
                for (uint32_t i = 0; i < result.items_count; i++)
                        g_ptr_array_add(paths, g_strdup(result.items[i].path));
                g_free(after);
                after = paths->len > 0 ? g_strdup(paths->pdata[paths->len - 1]) : NULL;
        } while (result.more);
        g_ptr_array_add(paths, g_strdup("/"));
        return paths;
}

static void add_session(const SessionInfo *s, void *userdata) {
        g_array_append_val((GArray *) userdata, s->id);
}

/* Its agent comes back: the secret's hash is in the row. */
static void attach_sessions(Tree *t, const Rows *rows) {
        Result result;

        for (unsigned i = 0; i < rows->items->len; i++) {
                const TreeRow *row = &g_array_index(rows->items, TreeRow, i);
                Request r = { .op = REQUEST_ATTACH_SESSION, .target = row->key, .timeout_msec = 5000, .member = 2 };

                if (row->table != TREE_TABLE_SESSION)
                        continue;
                memcpy(r.secret_hash, row->value + SECRET_OFFSET, sizeof r.secret_hash);
                fuzz_check(apply(t, r, &result) == CONVENE_OK);
        }
}

static void add_reapable(const char *path, Zxid czxid, void *userdata) {
        Request r = { .op = REQUEST_REAP, .path = g_strdup(path), .czxid = czxid };

        g_array_append_val((GArray *) userdata, r);
}

static void change_znodes(Tree *t) {
        g_autoptr(GPtrArray) paths = list_paths(t);
        Result result;

        for (unsigned i = 0; i < paths->len; i++) {
                const char *path = paths->pdata[i];
                g_autofree char *child = g_strconcat(path[1] ? path : "", "/n-", NULL);
                g_autofree char *container = g_strconcat(path[1] ? path : "", "/k", NULL);

                (void) apply(t, (Request) { .op = REQUEST_SET_DATA, .path = path, .data = (const uint8_t *) "new",
                                            .data_size = 3, .version = VERSION_ANY }, &result);
                (void) apply(t, (Request) { .op = REQUEST_SET_ACL, .path = path, .acl = { &open_entry, 1 },
                                            .version = VERSION_ANY }, &result);
                (void) apply(t, (Request) { .op = REQUEST_CREATE, .path = child, .acl = { &open_entry, 1 },
                                            .mode = i % 2 ? CREATE_PERSISTENT_SEQUENTIAL : CREATE_TTL_SEQUENTIAL,
                                            .ttl_msec = i % 2 ? 0 : 1 }, &result);
                (void) apply(t, (Request) { .op = REQUEST_CREATE, .path = container, .acl = { &open_entry, 1 },
                                            .mode = CREATE_CONTAINER }, &result);
                (void) apply(t, (Request) { .op = REQUEST_DELETE, .path = path, .version = VERSION_ANY }, &result);
        }
}

static void change_sessions(Tree *t) {
        g_autoptr(GArray) sessions = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        Result result;

        tree_foreach_session(t, add_session, sessions);
        fuzz_check(sessions->len == tree_sessions_count(t));
        for (unsigned i = 0; i < sessions->len; i++) {
                uint64_t id = g_array_index(sessions, uint64_t, i), cxid = tree_session_cxid(t, id);

                (void) apply(t, (Request) { .op = REQUEST_CREATE, .session = id, .cxid = cxid + 1, .path = "/zookeeper/e",
                                            .mode = CREATE_EPHEMERAL_SEQUENTIAL, .acl = { &open_entry, 1 } }, &result);
                (void) apply(t, (Request) { .op = REQUEST_AUTH_SESSION, .target = id, .identities = super }, &result);
                fuzz_check(apply(t, (Request) { .op = REQUEST_CLOSE_SESSION, .target = id }, &result) == CONVENE_OK);
        }
        fuzz_check(tree_sessions_count(t) == 0 && tree_ephemerals_count(t) == 0);
}

static void change_reapable(Tree *t) {
        g_autoptr(GArray) requests = g_array_new(FALSE, FALSE, sizeof(Request));
        Result result;

        (void) tree_find_reapable(t, INT64_MAX, 100, add_reapable, requests);
        for (unsigned i = 0; i < requests->len; i++) {
                Request *r = &g_array_index(requests, Request, i);

                (void) apply(t, *r, &result);
                g_free((char *) r->path);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autoptr(GArray) items = g_array_new(FALSE, FALSE, sizeof(TreeRow));
        Rows rows = { .items = items };
        Tree *t;

        if (!read_rows(&rows, data, size))
                return 0;

        t = tree_new_empty(NULL);
        if (load(t, &rows)) {
                fuzz_accepted++;
                tree_check(t);
                fuzz_check(tree_zxid(t) == rows.zxid && hash128_equal(tree_digest(t), rows.digest));
                check_written(t, &rows);
                attach_sessions(t, &rows);
                change_znodes(t);
                check_sound(t);
                change_sessions(t);
                change_reapable(t);
                check_sound(t);
        }
        tree_free(t);
        return 0;
}
