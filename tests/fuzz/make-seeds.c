/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Make seeds
 *
 *     make-seeds tests/fuzz/corpus
 *
 * Writes the inputs that fuzzing begins with, DIRECTORY/TARGET/seed-NN: what the encoders make of one request of
 * each kind, a few configurations, a few ACLs, the rows of a tree.  Run it again when a format changes.  (The seeds of
 * texts that people write are written by people.)
 */

#include <errno.h>
#include <string.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "agent/base/writer.h"
#include "agent/tree/tree.h"
#include "agent/zab/config.h"

#define DIGEST "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ="

static const char *directory;

static bool save(const char *target, unsigned n, const void *data, size_t size) {
        g_autofree char *folder = g_build_filename(directory, target, NULL), *path = NULL;
        g_autofree char *name = g_strdup_printf("seed-%02u", n);
        g_autoptr(GError) error = NULL;

        if (g_mkdir_with_parents(folder, 0755) < 0) {
                g_printerr("%s: %s\n", folder, g_strerror(errno));
                return false;
        }

        path = g_build_filename(folder, name, NULL);
        if (!g_file_set_contents(path, data, size, &error)) {
                g_printerr("%s\n", error->message);
                return false;
        }

        return true;
}

static const Identity identities[] = {
        { "unix", "33@web1" }, { "unit", "nginx.service@web1" }, { "ip", "10.0.0.1" }, { "digest", DIGEST },
};
static const AclEntry entries[] = {
        { PERMISSION_READ, { "world", "anyone" } },     { PERMISSION_ALL, { "auth", "" } },
        { PERMISSION_WRITE, { "ip", "10.0.0.0/8" } },   { PERMISSION_ADMIN, { "host", "*" } },
};

#define CALLER { identities, 2 }
#define ACL { entries, G_N_ELEMENTS(entries) }
#define DATA(text) .data = (const uint8_t *) (text), .data_size = sizeof(text) - 1

static const Request writes[] = {
        { .op = REQUEST_CREATE, .path = "/a", DATA("x"), .acl = ACL, .mode = CREATE_TTL, .ttl_msec = 1000 },
        { .op = REQUEST_CHECK, .path = "/a", .version = 1 },
        { .op = REQUEST_SET_DATA, .path = "/a", DATA(""), .version = VERSION_ANY },
        { .op = REQUEST_DELETE, .path = "/a", .version = 1, .czxid = 1 },
};
static const Request reads[] = {
        { .op = REQUEST_GET_DATA, .path = "/a" },
        { .op = REQUEST_GET_CHILDREN, .path = "/", .start_after = "a", .entries_max = 2 },
};
static const Request requests[] = {
        { .op = REQUEST_CREATE, .session = 1, .cxid = 1, .path = "/a-", DATA("d"), .acl = ACL,
          .mode = CREATE_EPHEMERAL_SEQUENTIAL },
        { .op = REQUEST_CREATE, .caller = CALLER, .path = "/a", .acl = ACL },
        { .op = REQUEST_DELETE, .session = 1, .cxid = 2, .path = "/a", .version = VERSION_ANY },
        { .op = REQUEST_SET_DATA, .caller = CALLER, .path = "/a", DATA("v"), .version = 1, .czxid = 1 },
        { .op = REQUEST_SET_ACL, .path = "/a", .acl = ACL, .version = 1 },
        { .op = REQUEST_MULTI, .session = 1, .cxid = 3, .operations = writes,
          .operations_count = G_N_ELEMENTS(writes) },
        { .op = REQUEST_DELETE_RECURSIVE, .path = "/a" },
        { .op = REQUEST_REAP, .path = "/a", .czxid = 1 },
        { .op = REQUEST_OPEN_SESSION, .timeout_msec = 10000, .owner_kind = OWNER_UNIT, .owner = "nginx.service 5f3c",
          .member = 1,
          .identities = CALLER },
        { .op = REQUEST_ATTACH_SESSION, .target = 1, .timeout_msec = 10000, .member = 1 },
        { .op = REQUEST_AUTH_SESSION, .target = 1, .identities = CALLER },
        { .op = REQUEST_CLOSE_SESSION, .target = 1, .expired = true },
        { .op = REQUEST_EXISTS, .path = "/a" },
        { .op = REQUEST_GET_ACL, .path = "/a" },
        { .op = REQUEST_GET_CHILDREN, .session = 1, .path = "/", .start_after = "a", .entries_max = 9,
          .want_data = true },
        { .op = REQUEST_COUNT_DESCENDANTS, .path = "/" },
        { .op = REQUEST_GET_EPHEMERALS, .session = 1, .path = "/" },
        { .op = REQUEST_LIST, .path = "/", .start_after = "/a/b", .want_data = true },
        { .op = REQUEST_MULTI_READ, .operations = reads, .operations_count = G_N_ELEMENTS(reads) },
        { .op = REQUEST_WHO_AM_I, .caller = CALLER },
        { .op = REQUEST_LIST_SESSIONS, .start_after_session = 1, .entries_max = 5 },
        { .op = REQUEST_SYNC, .path = "/a" },
};

static bool save_requests(void) {
        g_auto(Writer) w = WRITER_INIT;

        for (unsigned i = 0; i < G_N_ELEMENTS(requests); i++) {
                writer_clear(&w);
                request_encode(&requests[i], &w);
                if (!save("request", i, w.data, w.size))
                        return false;
        }

        return true;
}

static bool save_configs(void) {
        static const uint8_t pin[32] = { 1, 2, 3 };
        static const ZabConfigMember members[] = {
                { 1, { "disk one" }, ZAB_MEMBER_VOTER, "web1", "web1.example:7181", pin, sizeof(pin) },
                { 2, { "disk two" }, ZAB_MEMBER_VOTER, "web2", "[2001:db8::2]:7181", pin, 1 },
                { 255, { "disk three" }, ZAB_MEMBER_OBSERVER, "web3", "", NULL, 0 },
        };

        for (unsigned i = 1; i <= G_N_ELEMENTS(members); i++) {
                g_autoptr(GBytes) b = zab_config_encode(members, i);

                if (!save("config", i, g_bytes_get_data(b, NULL), g_bytes_get_size(b)))
                        return false;
        }

        return true;
}

static bool save_paths_and_acls(void) {
        static const struct {
                const char *path;
                AclEntry entry;
        } cases[] = {
                { "/", { 31, { "world", "anyone" } } },         { "/a/b", { 1, { "digest", DIGEST } } },
                { "/a/", { 2, { "ip", "2001:db8::/32" } } },    { "/\xc3\xa4", { 4, { "ip", "::ffff:10.0.0.0/104" } } },
                { "/a/.", { 8, { "x509", "CN=a,O=b" } } },      { "/\xe2\x82\xac/..", { 16, { "unix", "0@*" } } },
                { "/\xf0\x9f\x98\x80", { 31, { "unit", "getty@tty1.service@web1" } } },
                { "relative", { 31, { "host", "web1.example" } } }, { "/a//b", { 32, { "super", "" } } },
        };
        g_auto(Writer) w = WRITER_INIT;

        for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
                AclEntry list[] = { cases[i].entry, entries[i % G_N_ELEMENTS(entries)] };

                writer_clear(&w);
                writer_u8(&w, i % 2);
                writer_string(&w, cases[i].path);
                identities_encode((Identities) { identities, i % (G_N_ELEMENTS(identities) + 1) }, &w);
                acl_entries_encode((AclEntries) { list, G_N_ELEMENTS(list) }, &w);
                if (!save("path-acl", i, w.data, w.size))
                        return false;
        }

        return true;
}

/*
 * Rows
 */

static const AclEntry open_entry = { PERMISSION_ALL, { "world", "anyone" } };
static const Identity super_identity = { "super", "" };

#define OPEN { &open_entry, 1 }

static void apply(Tree *t, Request r) {
        Result result;

        if (r.session == 0)
                r.caller = (Identities) { &super_identity, 1 };
        tree_apply_request(t, tree_zxid(t) + 1, 1000, &r, &result);
        g_assert_cmpint(result.status, ==, CONVENE_OK);
}

static bool save_rows(unsigned n, Tree *t) {
        g_auto(Writer) w = WRITER_INIT;
        const TreeRow *rows;
        unsigned count;

        writer_u64(&w, tree_zxid(t));
        tree_checkpoint_begin(t, true);
        while (tree_checkpoint_next(t, 100, &rows, &count))
                for (unsigned i = 0; i < count; i++) {
                        writer_u8(&w, rows[i].table);
                        writer_u64(&w, rows[i].key);
                        writer_blob(&w, rows[i].value, rows[i].value_size);
                }
        return save("rows", n, w.data, w.size);
}

/* Everything that a row can say, in few rows: the mutations are to hit something. */
static bool save_trees(void) {
        Tree *t = tree_new(NULL);
        uint64_t session;
        bool ok = save_rows(0, t);

        apply(t, (Request) { .op = REQUEST_CREATE, .path = "/a", DATA("x"), .acl = OPEN });
        apply(t, (Request) { .op = REQUEST_CREATE, .path = "/a/t", .acl = OPEN, .mode = CREATE_TTL, .ttl_msec = 9 });
        apply(t, (Request) { .op = REQUEST_CREATE, .path = "/c", .acl = { entries + 2, 2 }, .mode = CREATE_CONTAINER });
        ok = ok && save_rows(1, t);

        apply(t, (Request) { .op = REQUEST_OPEN_SESSION, .timeout_msec = 10000, .owner_kind = OWNER_UNIT,
                             .owner = "a.service 5f3c", .member = 1, .identities = CALLER });
        session = tree_zxid(t);
        apply(t, (Request) { .op = REQUEST_CREATE, .session = session, .cxid = 1, .path = "/a/e", .acl = OPEN,
                             .mode = CREATE_EPHEMERAL_SEQUENTIAL });
        apply(t, (Request) { .op = REQUEST_CREATE, .session = session, .cxid = 2, .path = "/a/f", .acl = OPEN,
                             .mode = CREATE_EPHEMERAL });
        ok = ok && save_rows(2, t);

        apply(t, (Request) { .op = REQUEST_CREATE, .path = "/zookeeper/quota/a", .acl = OPEN });
        apply(t, (Request) { .op = REQUEST_CREATE, .path = "/zookeeper/quota/a/zookeeper_limits",
                             DATA("count=9,bytes=-1=;byteHardLimit=99;countHardLimit=20"), .acl = OPEN });
        apply(t, (Request) { .op = REQUEST_CREATE, .path = "/zookeeper/quota/a/zookeeper_stats", DATA(""), .acl = OPEN });
        ok = ok && save_rows(3, t);

        apply(t, (Request) { .op = REQUEST_DELETE_RECURSIVE, .path = "/a" });
        ok = ok && save_rows(4, t);
        tree_free(t);
        return ok;
}

int main(int argc, char **argv) {
        if (argc != 2) {
                g_printerr("make-seeds DIRECTORY\n");
                return 2;
        }

        directory = argv[1];
        return save_requests() && save_configs() && save_paths_and_acls() && save_trees() ? 0 : 1;
}
