/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Tree fixture
 */

#include "tests/unit/tree-fixture.h"

#include <string.h>

static const AclEntry open_entry = { PERMISSION_ALL, { "world", "anyone" } };
static const Identity super_identity = { "super", "admin" };

const AclEntries acl_open = { &open_entry, 1 };
const Identities super = { &super_identity, 1 };

static void on_changed(void *userdata, const TreeChange *c) {
        Fixture *f = userdata;
        char sign = c->soft_quota ? '!' : c->kind == CHANGE_CREATED ? '+' : c->kind == CHANGE_DELETED ? '-' : '=';

        g_assert_cmphex(c->zxid, ==, f->zxid);
        g_assert_cmphex(tree_zxid(f->tree), ==, f->zxid);
        if (!c->soft_quota) {
                g_assert_nonnull(c->acl);
                g_assert_nonnull(c->parent_acl);
        }
        g_string_append_printf(f->log, "%s%c%s", f->log->len > 0 ? " " : "", sign, c->path);
}

static void on_session_ended(void *userdata, uint64_t session, bool expired) {
        Fixture *f = userdata;

        g_string_append_printf(f->log, "%s%s %" G_GUINT64_FORMAT, f->log->len > 0 ? " " : "",
                               expired ? "expired" : "end", session);
        g_assert_false(tree_get_session(f->tree, session, &(SessionInfo) { 0 }));
}

static void on_session_moved(void *userdata, uint64_t session, uint64_t generation) {
        Fixture *f = userdata;

        g_string_append_printf(f->log, "%smoved %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT,
                               f->log->len > 0 ? " " : "", session, generation);
}

void fixture_init(Fixture *f) {
        TreeListener listener = { on_changed, on_session_ended, on_session_moved, f };
        Request r = { .op = REQUEST_SET_ACL, .path = "/", .acl = acl_open, .version = VERSION_ANY, .caller = super };

        *f = (Fixture) { .tree = tree_new(&listener), .time_msec = 1000, .log = g_string_new(NULL) };
        g_assert_cmpint(apply(f, &r), ==, CONVENE_OK);
}

void fixture_done(Fixture *f) {
        f->tree = tree_free(f->tree);
        g_string_free(f->log, TRUE);
}

ConveneStatus apply(Fixture *f, const Request *r) {
        g_string_truncate(f->log, 0);
        f->time_msec += 10;
        f->zxid++;
        tree_apply_request(f->tree, f->zxid, f->time_msec, r, &f->result);

        g_assert_cmphex(f->result.zxid, ==, f->zxid);
        g_assert_cmphex(tree_zxid(f->tree), ==, f->zxid);
        g_assert_cmpint(f->result.op, ==, r->op);
        if (f->result.status != CONVENE_OK)
                g_assert_cmpstr(f->log->str, ==, "");
        tree_check(f->tree);
        return f->result.status;
}

ConveneStatus ask(Fixture *f, const Request *r) {
        tree_read(f->tree, r, &f->result);
        g_assert_cmphex(f->result.zxid, ==, f->zxid);
        return f->result.status;
}

ConveneStatus create(Fixture *f, const char *path, const char *data) {
        Request r = {
                .op = REQUEST_CREATE,
                .path = path,
                .data = (const uint8_t *) data,
                .data_size = data ? strlen(data) : 0,
                .acl = acl_open,
        };

        return apply(f, &r);
}

ConveneStatus create_mode(Fixture *f, const char *path, CreateMode mode, uint64_t session) {
        bool ttl = mode == CREATE_TTL || mode == CREATE_TTL_SEQUENTIAL;
        Request r = {
                .op = REQUEST_CREATE,
                .session = session,
                .path = path,
                .mode = mode,
                .ttl_msec = ttl ? 100 : 0,
                .acl = acl_open,
        };

        return apply(f, &r);
}

ConveneStatus erase(Fixture *f, const char *path) {
        return apply(f, &(Request) OP_DELETE(path));
}

ConveneStatus set(Fixture *f, const char *path, const char *data) {
        Request r = {
                .op = REQUEST_SET_DATA,
                .path = path,
                .data = (const uint8_t *) data,
                .data_size = data ? strlen(data) : 0,
                .version = VERSION_ANY,
        };

        return apply(f, &r);
}

ConveneStatus multi(Fixture *f, const Request *operations, uint32_t count) {
        return apply(f, &(Request) { .op = REQUEST_MULTI, .operations = operations, .operations_count = count });
}

uint64_t open_session(Fixture *f) {
        Request r = { .op = REQUEST_OPEN_SESSION, .timeout_msec = 5000, .owner = "test", .member = 1 };

        g_assert_cmpint(apply(f, &r), ==, CONVENE_OK);
        g_assert_cmphex(f->result.session, ==, f->zxid);
        return f->result.session;
}

Stat stat_of(Fixture *f, const char *path) {
        Result result;

        tree_read(f->tree, &(Request) { .op = REQUEST_EXISTS, .path = path, .caller = super }, &result);
        g_assert_cmpint(result.status, ==, CONVENE_OK);
        return result.stat;
}

char *data_of(Fixture *f, const char *path) {
        Result result;

        tree_read(f->tree, &(Request) { .op = REQUEST_GET_DATA, .path = path, .caller = super }, &result);
        g_assert_cmpint(result.status, ==, CONVENE_OK);
        return result.data ? g_strndup((const char *) result.data, result.data_size) : NULL;
}
