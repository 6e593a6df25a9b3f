/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Recovery: a store of one member out of that of an ensemble which has lost its majority, over real directories; and what it is
 * refused for, with nothing changed.
 */

#include "tests/unit/store-fixture.h"

#include "agent/main/agent.h"
#include "agent/main/recovery.h"
#include "agent/net/key.h"

#define MIB (UINT64_C(1) << 20)
#define EPOCH 7                         /* of the last entries */

static const Identity super_identity = { "super", "admin" };
static const AclEntry open_entry = { PERMISSION_ALL, { "world", "anyone" } };
static const uint8_t old_pin[NET_PIN_BYTES] = { 0x5a };

typedef struct World {
        char *root, *into;
        Fixture old;
        Tree *tree;                     /* as it has to come over */
        Conf conf;
        char *said;                     /* by the last run, on both streams */
} World;

static void world_begin(World *w) {
        g_autofree char *data = NULL;

        *w = (World) { .root = g_dir_make_tmp("convene-recovery-XXXXXX", NULL), .tree = tree_new(NULL) };
        w->into = g_build_filename(w->root, "into", NULL);
        data = g_build_filename(w->root, "data", NULL);
        g_assert_cmpint(g_mkdir(data, 0700), ==, 0);
        fixture_init(&w->old, data);
        w->old.options.segment_bytes = 8 * MIB;
        w->conf = (Conf) { .data = g_strdup(data), .segment_bytes = 8 * MIB, .keep_log_bytes = 8 * MIB };
}

static void world_end(World *w) {
        fixture_forget(&w->old);
        fixture_remove(w->root);
        tree_free(w->tree);
        conf_done(&w->conf);
        g_free(w->root);
        g_free(w->into);
        g_free(w->said);
}

static void apply(World *w, const Request *r) {
        g_auto(Writer) bytes = WRITER_INIT;
        g_autoptr(GBytes) payload = NULL;
        Request copy = *r;
        Result result;

        copy.caller = (Identities) { &super_identity, 1 };
        request_encode(&copy, &bytes);
        payload = writer_to_bytes(&bytes);
        fixture_append_payload(&w->old, payload);
        tree_apply(w->tree, w->old.last.zxid, 5, g_bytes_get_data(payload, NULL), g_bytes_get_size(payload), &result);
        g_assert_cmpint(result.status, ==, CONVENE_OK);
}

static void create(World *w, const char *path) {
        apply(w, &(Request) { .op = REQUEST_CREATE, .path = path, .data = (const uint8_t *) path, .data_size = (uint32_t) strlen(path),
                              .acl = { &open_entry, 1 } });
}

static GBytes *configuration(unsigned voters) {
        const ZabConfigMember members[] = {
                { .sid = 1, .disk_id = fixture_meta.disk_id, .role = ZAB_MEMBER_VOTER, .name = "one", .address = "192.0.2.1:2890",
                  .pin = old_pin, .pin_size = sizeof(old_pin) },
                { .sid = 2, .disk_id = { "two" }, .role = voters > 1 ? ZAB_MEMBER_VOTER : ZAB_MEMBER_OBSERVER, .name = "two", .address = "" },
                { .sid = 5, .disk_id = { "five" }, .role = ZAB_MEMBER_OBSERVER, .name = "five", .address = "" },
        };

        return zab_config_encode_at(members, G_N_ELEMENTS(members), 3);
}

static void configure(World *w, unsigned voters) {
        g_autoptr(GBytes) payload = configuration(voters);

        fixture_append_entry(&w->old, ZAB_ENTRY_CONFIG, payload);
        tree_skip(w->tree, w->old.last.zxid);
}

/* A history of some entries, the middle of it in a checkpoint, with or without the configuration. */
static void checkpoint(World *w) {
        Fixture *f = &w->old;
        g_autoptr(GBytes) entry = configuration(2), config = NULL;
        g_auto(Writer) bytes = WRITER_INIT;
        const TreeRow *rows;
        unsigned count;

        writer_u64(&bytes, 1);
        writer_bytes(&bytes, g_bytes_get_data(entry, NULL), g_bytes_get_size(entry));
        config = writer_to_bytes(&bytes);
        tree_checkpoint_begin(w->tree, true);
        store_checkpoint_begin(f->store, ++f->io_seq, true, &f->last, tree_checkpoint_digest(w->tree), config);
        while (tree_checkpoint_next(w->tree, 100, &rows, &count))
                store_checkpoint_rows(f->store, rows, count);
        store_checkpoint_end(f->store);
        fixture_wait(f, f->checkpointed == f->io_seq);
        f->appended = f->io_seq;
}

/* 1 configuration, 2 and 3 of an earlier epoch, 4 and 5 of the last one; `floor`: what is known committed. */
static void write_old(World *w, unsigned voters, ZabMembership membership, uint64_t floor) {
        ZabMeta meta = fixture_meta;
        Fixture *f = &w->old;

        fixture_run(f);
        configure(w, voters);
        create(w, "/first");
        create(w, "/first/below");
        fixture_drain(f);
        checkpoint(w);
        f->next_zxid = zxid_make(EPOCH, 1);
        create(w, "/last");
        create(w, "/unknown");
        fixture_drain(f);

        meta.accepted_epoch = EPOCH + 1;
        meta.current_epoch = EPOCH;
        meta.commit_floor = floor;
        meta.membership = membership;
        store_write_meta(f->store, ++f->io_seq, &meta);
        fixture_wait(f, f->meta_written == f->io_seq);
}

static int run(World *w) {
        g_autofree char *path = g_build_filename(w->root, "said", NULL);
        int fd, out, error, r;

        fflush(stdout);
        fflush(stderr);
        fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
        out = dup(STDOUT_FILENO);
        error = dup(STDERR_FILENO);
        g_assert_cmpint(dup2(fd, STDOUT_FILENO), >=, 0);
        g_assert_cmpint(dup2(fd, STDERR_FILENO), >=, 0);
        r = recovery_run(&w->conf, "its host", w->into);
        fflush(stdout);
        fflush(stderr);
        g_assert_cmpint(dup2(out, STDOUT_FILENO), >=, 0);
        g_assert_cmpint(dup2(error, STDERR_FILENO), >=, 0);
        close(fd);
        close(out);
        close(error);
        g_clear_pointer(&w->said, g_free);
        g_assert_true(g_file_get_contents(path, &w->said, NULL, NULL));
        return r;
}

static void assert_said(const World *w, const char *text) {
        if (!strstr(w->said, text))
                g_error("\"%s\" is not in: %s", text, w->said);
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* Every file below `path`, but what is held while it is open. */
static void add_contents(const char *path, GChecksum *sum) {
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        GDir *dir = g_dir_open(path, 0, NULL);
        const char *name;

        g_assert_nonnull(dir);
        while ((name = g_dir_read_name(dir)))
                g_ptr_array_add(names, g_strdup(name));
        g_dir_close(dir);
        g_ptr_array_sort(names, compare_names);
        for (guint i = 0; i < names->len; i++) {
                g_autofree char *child = g_build_filename(path, names->pdata[i], NULL), *bytes = NULL;
                gsize size;

                if (g_str_equal(names->pdata[i], "lock") || g_str_has_suffix(names->pdata[i], "lock.mdb"))
                        continue;
                g_checksum_update(sum, names->pdata[i], -1);
                if (g_file_test(child, G_FILE_TEST_IS_DIR)) {
                        add_contents(child, sum);
                        continue;
                }
                g_assert_true(g_file_get_contents(child, &bytes, &size, NULL));
                g_checksum_update(sum, (const guchar *) bytes, (gssize) size);
        }
}

static char *contents(const char *path) {
        g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);

        add_contents(path, sum);
        return g_strdup(g_checksum_get_string(sum));
}

/* Refused with this status and for this reason; the old store is as it was, and the new one is not there. */
static void assert_refused(World *w, int status, const char *reason) {
        g_autofree char *before = contents(w->conf.data), *after = NULL;

        g_assert_cmpint(run(w), ==, status);
        assert_said(w, reason);
        assert_said(w, "nothing was changed");
        after = contents(w->conf.data);
        g_assert_cmpstr(after, ==, before);
        g_assert_false(g_file_test(w->into, G_FILE_TEST_EXISTS));
}

/*
 * What comes of it
 */

typedef struct Made {
        Store *store;
        Tree *tree;
        ZabConfig *config;
        ZabPosition position;
} Made;

static int no_entry(void *userdata, const ZabEntry *entry) {
        g_assert_not_reached();
}

static void made_open(Made *m, const World *w) {
        const StoreOptions options = { .directory = w->into, .segment_bytes = 8 * MIB };
        const StoreListener nobody = { 0 };
        g_autoptr(GBytes) config = NULL;
        g_autofree char *error = NULL;

        *m = (Made) { .tree = tree_new_empty(NULL) };
        g_assert_cmpint(store_open(&options, &nobody, &m->store, &error), ==, 0);
        g_assert_cmpint(store_get_report(m->store)->state, !=, STORE_BLANK);
        g_assert_cmpint(store_load(m->store, m->tree, &m->position, &config), ==, 1);
        g_assert_cmpint(store_replay(m->store, no_entry, NULL), ==, 0);
        m->config = zab_checkpoint_config_decode(config);
        g_assert_nonnull(m->config);
}

static void made_close(Made *m) {
        zab_config_unref(m->config);
        tree_free(m->tree);
        store_close(m->store);
}

static void assert_meta(const Made *m, const World *w) {
        const ZabMeta *meta = &store_get_report(m->store)->meta;

        g_assert_cmpuint(meta->sid, ==, 1);
        g_assert_cmpint(meta->membership, ==, ZAB_MEMBERSHIP_MEMBER);
        g_assert_cmpint(memcmp(&meta->cluster_id, &fixture_meta.cluster_id, sizeof(Id128)), !=, 0);
        g_assert_cmpint(memcmp(&meta->disk_id, &fixture_meta.disk_id, sizeof(Id128)), !=, 0);
        g_assert_cmpuint(meta->current_epoch, ==, EPOCH + 1 + 1000);
        g_assert_cmpuint(meta->accepted_epoch, ==, EPOCH + 1 + 1000);
        g_assert_cmpuint(meta->commit_floor, ==, w->old.last.index);
}

static void assert_alone(const Made *m, const World *w, const char *address) {
        g_autofree char *path = g_build_filename(w->into, "key.pem", NULL);
        const ZabConfigMember *self = &m->config->members[0];
        struct stat st;
        NetKey *key;

        g_assert_cmpint(net_key_load(path, &key), ==, 0);
        g_assert_cmpint(g_stat(path, &st), ==, 0);
        g_assert_cmpuint(st.st_mode & 0777, ==, 0600);
        g_assert_cmpuint(m->config->members_count, ==, 1);
        g_assert_cmpuint(m->config->feature_level, ==, 3);
        g_assert_cmpuint(self->sid, ==, 1);
        g_assert_cmpint(self->role, ==, ZAB_MEMBER_VOTER);
        g_assert_cmpstr(self->name, ==, "one");
        g_assert_cmpstr(self->address, ==, address);
        g_assert_cmpmem(&self->disk_id, sizeof(Id128), &store_get_report(m->store)->meta.disk_id, sizeof(Id128));
        g_assert_cmpmem(self->pin, self->pin_size, net_key_pin(key), NET_PIN_BYTES);
        net_key_unref(key);
}

static void test_recovered(void) {
        g_autofree char *before = NULL, *after = NULL, *record = NULL, *text = NULL, *where = NULL;
        World w;
        Made m;

        world_begin(&w);
        write_old(&w, 2, ZAB_MEMBERSHIP_MEMBER, 3);
        fixture_close(&w.old);
        before = contents(w.conf.data);
        g_assert_cmpint(run(&w), ==, AGENT_EXIT_OK);
        after = contents(w.conf.data);
        g_assert_cmpstr(after, ==, before);

        assert_said(&w, "of this member alone out of ensemble 01020304050607080000000000000000");
        assert_said(&w, "Members dropped: two (voter 2), five (observer 5)\n");
        where = g_strdup_printf("It goes on after zxid " ZXID_FORMAT " (index 5)", zxid_make(EPOCH, 2));
        assert_said(&w, where);
        assert_said(&w, "Entries 4 to 5 are kept, though");
        record = g_build_filename(w.into, RECOVERY_RECORD, NULL);
        g_assert_true(g_file_get_contents(record, &text, NULL, NULL));
        g_assert_cmpstr(text, ==, w.said);

        made_open(&m, &w);
        g_assert_cmpuint(m.position.index, ==, 5);
        g_assert_cmpuint(m.position.zxid, ==, zxid_make(EPOCH, 2));
        g_assert_cmpuint(tree_zxid(m.tree), ==, tree_zxid(w.tree));
        g_assert_true(hash128_equal(tree_digest(m.tree), tree_digest(w.tree)));
        assert_meta(&m, &w);
        assert_alone(&m, &w, "192.0.2.1:2890");
        made_close(&m);
        world_end(&w);
}

/* What the host is configured with now goes before what the old ensemble knew. */
static void test_address(void) {
        World w;
        Made m;

        world_begin(&w);
        write_old(&w, 2, ZAB_MEMBERSHIP_MEMBER, 5);
        fixture_close(&w.old);
        w.conf.listen = g_strdup("192.0.2.9:2890");
        g_assert_cmpint(run(&w), ==, AGENT_EXIT_OK);
        g_assert_null(strstr(w.said, "are kept, though"));      /* all of it is known to be committed */
        made_open(&m, &w);
        assert_alone(&m, &w, "192.0.2.9:2890");
        made_close(&m);
        world_end(&w);
}

/* Once, and the record is kept under another name. */
static void test_told(void) {
        g_autofree char *path = NULL, *told = NULL, *record = NULL;
        World w;

        world_begin(&w);
        path = g_build_filename(w.root, RECOVERY_RECORD, NULL);
        told = g_strconcat(path, ".told", NULL);
        recovery_tell(w.root);
        g_assert_false(g_file_test(told, G_FILE_TEST_EXISTS));
        g_assert_true(g_file_set_contents(path, "Made it\nMembers dropped: two\n", -1, NULL));
        recovery_tell(w.root);
        g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
        g_assert_true(g_file_get_contents(told, &record, NULL, NULL));
        g_assert_cmpstr(record, ==, "Made it\nMembers dropped: two\n");
        world_end(&w);
}

/*
 * What it is refused for
 */

static void test_no_store(void) {
        g_autofree char *meta = NULL;
        World w;

        world_begin(&w);
        meta = g_build_filename(w.conf.data, "meta", NULL);
        for (unsigned i = 0; i < 2; i++) {      /* an empty directory, and then none */
                g_assert_cmpint(run(&w), ==, AGENT_EXIT_FAILURE);
                assert_said(&w, "There is no store in");
                g_assert_false(g_file_test(meta, G_FILE_TEST_EXISTS) || g_file_test(w.into, G_FILE_TEST_EXISTS));
                if (i == 0)
                        fixture_remove(w.conf.data);
        }
        g_assert_false(g_file_test(w.conf.data, G_FILE_TEST_EXISTS));
        world_end(&w);
}

static void test_no_ensemble(void) {
        World w;

        world_begin(&w);
        fixture_run(&w.old);
        fixture_close(&w.old);
        assert_refused(&w, AGENT_EXIT_FAILURE, "holds no ensemble yet");
        world_end(&w);
}

static void test_only_voter(void) {
        World w;

        world_begin(&w);
        fixture_run(&w.old);
        configure(&w, 1);
        fixture_drain(&w.old);
        fixture_close(&w.old);
        assert_refused(&w, AGENT_EXIT_FAILURE, "is the only voter of its ensemble");
        world_end(&w);
}

/* What it has may be any part of a history. */
static void test_not_up_to_date(void) {
        static const ZabMembership memberships[] = { ZAB_MEMBERSHIP_DAMAGED, ZAB_MEMBERSHIP_JOINING };

        for (size_t i = 0; i < G_N_ELEMENTS(memberships); i++) {
                World w;

                world_begin(&w);
                write_old(&w, 2, memberships[i], 5);
                fixture_close(&w.old);
                assert_refused(&w, AGENT_EXIT_FAILURE, "recover on another one");
                world_end(&w);
        }
}

static void test_agent_runs(void) {
        World w;

        world_begin(&w);
        write_old(&w, 2, ZAB_MEMBERSHIP_MEMBER, 5);
        fixture_close(&w.old);
        g_assert_cmpint(fixture_open(&w.old), ==, 0);           /* whose threads do not write yet */
        assert_refused(&w, AGENT_EXIT_FAILURE, "in use by another process");
        fixture_close(&w.old);
        g_assert_cmpint(run(&w), ==, AGENT_EXIT_OK);
        world_end(&w);
}

/* A byte of an entry that was acknowledged. */
static void test_damaged(void) {
        g_autofree char *path = NULL, *bytes = NULL;
        gsize size;
        char *at;
        World w;

        world_begin(&w);
        write_old(&w, 2, ZAB_MEMBERSHIP_MEMBER, 5);
        fixture_close(&w.old);
        path = g_build_filename(w.conf.data, "log/0000000000000001.log", NULL);
        g_assert_true(g_file_get_contents(path, &bytes, &size, NULL));
        at = memmem(bytes, size, "/last", 5);
        g_assert_nonnull(at);
        at[1] = 'L';
        g_assert_true(g_file_set_contents(path, bytes, (gssize) size, NULL));
        assert_refused(&w, AGENT_EXIT_DAMAGED, "The store is damaged");
        world_end(&w);
}

static void test_target_exists(void) {
        g_autofree char *before = NULL, *after = NULL;
        World w;

        world_begin(&w);
        write_old(&w, 2, ZAB_MEMBERSHIP_MEMBER, 5);
        fixture_close(&w.old);
        g_assert_cmpint(run(&w), ==, AGENT_EXIT_OK);
        before = contents(w.into);
        g_assert_cmpint(run(&w), ==, AGENT_EXIT_FAILURE);
        assert_said(&w, "There is a store in");
        after = contents(w.into);
        g_assert_cmpstr(after, ==, before);
        world_end(&w);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_unsetenv("JOURNAL_STREAM");
        g_test_add_func("/recovery/recovered", test_recovered);
        g_test_add_func("/recovery/address", test_address);
        g_test_add_func("/recovery/told", test_told);
        g_test_add_func("/recovery/no-store", test_no_store);
        g_test_add_func("/recovery/no-ensemble", test_no_ensemble);
        g_test_add_func("/recovery/only-voter", test_only_voter);
        g_test_add_func("/recovery/not-up-to-date", test_not_up_to_date);
        g_test_add_func("/recovery/agent-runs", test_agent_runs);
        g_test_add_func("/recovery/damaged", test_damaged);
        g_test_add_func("/recovery/target-exists", test_target_exists);
        return g_test_run();
}
