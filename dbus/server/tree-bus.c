/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Tree
 *
 * Each method decodes, submits, and names the encoder of its answer.  Create and the multis have files of their own.
 */

#include <errno.h>

#include "dbus/server/call.h"
#include "dbus/server/codec.h"
#include "dbus/server/owners.h"
#include "dbus/server/server-private.h"
#include "dbus/server/tree-bus.h"

/*
 * Answers
 */

static int encode_nothing(sd_bus_message *reply, const Result *r) {
        return 0;
}

static int encode_data(sd_bus_message *reply, const Result *r) {
        int k;

        k = bytes_append(reply, r->data, r->data_size);
        return k < 0 ? k : stat_append(reply, &r->stat);
}

static int encode_stat(sd_bus_message *reply, const Result *r) {
        return stat_append(reply, &r->stat);
}

static int encode_count(sd_bus_message *reply, const Result *r) {
        return sd_bus_message_append_basic(reply, 't', &r->count);
}

static int encode_zxid(sd_bus_message *reply, const Result *r) {
        return sd_bus_message_append_basic(reply, 't', &r->zxid);
}

static int encode_acl(sd_bus_message *reply, const Result *r) {
        int k;

        k = acl_append(reply, r->acl);
        return k < 0 ? k : stat_append(reply, &r->stat);
}

int names_append(sd_bus_message *reply, const Result *r) {
        int k;

        k = sd_bus_message_open_container(reply, 'a', "s");
        for (uint32_t i = 0; i < r->items_count && k >= 0; i++)
                k = sd_bus_message_append_basic(reply, 's', r->items[i].path);
        return k < 0 ? k : sd_bus_message_close_container(reply);
}

static int encode_children(sd_bus_message *reply, const Result *r) {
        int k, more = r->more;

        k = names_append(reply, r);
        if (k < 0)
                return k;
        k = stat_append(reply, &r->stat);
        return k < 0 ? k : sd_bus_message_append_basic(reply, 'b', &more);
}

static int append_item(sd_bus_message *reply, const ListItem *item) {
        int k;

        k = sd_bus_message_open_container(reply, 'r', "s" STAT_SIGNATURE "ay");
        if (k < 0)
                return k;
        k = sd_bus_message_append_basic(reply, 's', item->path);
        if (k < 0)
                return k;
        k = stat_append(reply, &item->stat);
        if (k < 0)
                return k;
        k = bytes_append(reply, item->data, item->data ? item->data_size : 0);
        return k < 0 ? k : sd_bus_message_close_container(reply);
}

static int encode_list(sd_bus_message *reply, const Result *r) {
        int k, more = r->more;

        k = sd_bus_message_open_container(reply, 'a', "(s" STAT_SIGNATURE "ay)");
        for (uint32_t i = 0; i < r->items_count && k >= 0; i++)
                k = append_item(reply, &r->items[i]);
        if (k < 0)
                return k;
        k = sd_bus_message_close_container(reply);
        return k < 0 ? k : sd_bus_message_append_basic(reply, 'b', &more);
}

static int encode_identities(sd_bus_message *reply, const Result *r) {
        return identities_append(reply, r->identities);
}

static int encode_exists(sd_bus_message *reply, const Result *r) {
        static const Stat none;
        int exists = r->status == CONVENE_OK, k;

        k = sd_bus_message_append_basic(reply, 'b', &exists);
        return k < 0 ? k : stat_append(reply, exists ? &r->stat : &none);
}

/* No such znode is an answer here, not an error. */
static void on_exists(Call *call, const Result *result) {
        sd_bus_message *reply;

        if (result->status != CONVENE_NO_NODE) {
                call_answer(call, result);
                return;
        }
        reply = call_new_reply(call);
        if (reply && encode_exists(reply, result) >= 0)
                call_return(call, reply, result_bytes(result));
        else
                sd_bus_message_unref(reply);
}

/*
 * Methods
 */

/* What most methods begin with: a path, perhaps more by `format`, and at last the options. */
static int read_start(Caller *c, sd_bus_message *m, uint32_t known, Request *r, Options *o) {
        int k;

        k = call_read_options(c, m, known, o);
        if (k <= 0)
                return k;
        r->czxid = o->czxid;
        r->start_after = o->start_after;
        r->entries_max = o->limit;
        r->want_data = o->want_data;
        return call_identify(c, m, o, r);
}

/* A read of the form (path, options). */
static int read_path(Caller *c, sd_bus_message *m, RequestOp op, uint32_t known, CallEncode encode, CallDone done) {
        g_auto(Options) o = OPTIONS_INIT;
        Request r = { .op = op };
        int k;

        k = sd_bus_message_read_basic(m, 's', &r.path);
        if (k < 0)
                return k;
        k = read_start(c, m, known, &r, &o);
        return k <= 0 ? k : call_submit(c, m, &r, &o, encode, done);
}

static int method_get(Caller *c, sd_bus_message *m) {
        return read_path(c, m, REQUEST_GET_DATA, OPTIONS_READ | OPTION_WATCH, encode_data, NULL);
}

static int method_exists(Caller *c, sd_bus_message *m) {
        return read_path(c, m, REQUEST_EXISTS, OPTIONS_READ | OPTION_WATCH, encode_exists, on_exists);
}

static int method_get_acl(Caller *c, sd_bus_message *m) {
        return read_path(c, m, REQUEST_GET_ACL, OPTIONS_READ, encode_acl, NULL);
}

static int method_get_children(Caller *c, sd_bus_message *m) {
        return read_path(c, m, REQUEST_GET_CHILDREN, OPTIONS_READ | OPTION_WATCH | OPTION_START_AFTER | OPTION_LIMIT,
                         encode_children, NULL);
}

static int method_list(Caller *c, sd_bus_message *m) {
        return read_path(c, m, REQUEST_LIST, OPTIONS_READ | OPTION_START_AFTER | OPTION_LIMIT | OPTION_WANT_DATA,
                         encode_list, NULL);
}

static int method_count_descendants(Caller *c, sd_bus_message *m) {
        return read_path(c, m, REQUEST_COUNT_DESCENDANTS, OPTIONS_READ, encode_count, NULL);
}

static int method_delete_recursive(Caller *c, sd_bus_message *m) {
        return read_path(c, m, REQUEST_DELETE_RECURSIVE, OPTIONS_UPDATE, encode_count, NULL);
}

static int method_set(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        Request r = { .op = REQUEST_SET_DATA };
        size_t size;
        int k;

        k = sd_bus_message_read_basic(m, 's', &r.path);
        if (k < 0)
                return k;
        k = read_data(m, &r.data, &size);
        if (k < 0)
                return k;
        k = sd_bus_message_read_basic(m, 'i', &r.version);
        if (k < 0)
                return k;
        k = read_start(c, m, OPTIONS_UPDATE | OPTION_CZXID | OPTION_NULL, &r, &o);
        if (k <= 0 || !take_data(c, m, &o, size, &r))
                return MIN(k, METHOD_DONE);
        return call_submit(c, m, &r, &o, encode_stat, NULL);
}

static int method_delete(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        Request r = { .op = REQUEST_DELETE };
        int k;

        k = sd_bus_message_read(m, "si", &r.path, &r.version);
        if (k < 0)
                return k;
        k = read_start(c, m, OPTIONS_UPDATE | OPTION_CZXID, &r, &o);
        return k <= 0 ? k : call_submit(c, m, &r, &o, encode_nothing, NULL);
}

static int method_set_acl(Caller *c, sd_bus_message *m) {
        g_autoptr(GArray) acl = NULL;
        g_auto(Options) o = OPTIONS_INIT;
        Request r = { .op = REQUEST_SET_ACL };
        int k;

        k = sd_bus_message_read_basic(m, 's', &r.path);
        if (k < 0)
                return k;
        k = acl_read(m, &acl);
        if (k < 0)
                return k;
        k = sd_bus_message_read_basic(m, 'i', &r.version);
        if (k < 0)
                return k;
        r.acl = (AclEntries) { (const AclEntry *) (const void *) acl->data, acl->len };
        k = read_start(c, m, OPTIONS_UPDATE, &r, &o);
        return k <= 0 ? k : call_submit(c, m, &r, &o, encode_stat, NULL);
}

static int encode_ephemerals(sd_bus_message *reply, const Result *r) {
        int k, more = r->more;

        k = names_append(reply, r);
        return k < 0 ? k : sd_bus_message_append_basic(reply, 'b', &more);
}

/* Without a session option: those of the connection's own session, of which there may be none. */
static int method_get_ephemerals(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        Request r = { .op = REQUEST_GET_EPHEMERALS };
        int k;

        k = sd_bus_message_read_basic(m, 's', &r.path);
        if (k < 0)
                return k;
        k = read_start(c, m, OPTION_SESSION | OPTION_LINEARIZABLE | OPTION_START_AFTER | OPTION_LIMIT, &r, &o);
        if (k <= 0)
                return k;
        if (r.session == 0 && c->implicit) {
                r.session = c->implicit->id;
                r.caller = (Identities) { 0 };
        } else if (r.session == 0) {
                g_autoptr(sd_bus_message) reply = NULL;

                if (caller_hold_until_answered(c))
                        return METHOD_HOLD;     /* an answer stays behind the answers before it */
                if (sd_bus_message_new_method_return(m, &reply) >= 0 &&
                    encode_ephemerals(reply, &(Result) { 0 }) >= 0)
                        (void) channel_send(c->channel, reply, 128);
                return METHOD_DONE;
        }
        return call_submit(c, m, &r, &o, encode_ephemerals, NULL);
}

static int method_sync(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        Request r = { .op = REQUEST_SYNC, .path = "/" };
        int k;

        k = read_start(c, m, OPTION_SESSION, &r, &o);
        return k <= 0 ? k : call_submit(c, m, &r, &o, encode_zxid, NULL);
}

static int method_who_am_i(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        Request r = { .op = REQUEST_WHO_AM_I };
        int k;

        k = read_start(c, m, OPTIONS_READ, &r, &o);
        return k <= 0 ? k : call_submit(c, m, &r, &o, encode_identities, NULL);
}

DEFINE_METHOD(method_create)
DEFINE_METHOD(method_get)
DEFINE_METHOD(method_exists)
DEFINE_METHOD(method_set)
DEFINE_METHOD(method_delete)
DEFINE_METHOD(method_delete_recursive)
DEFINE_METHOD(method_get_acl)
DEFINE_METHOD(method_set_acl)
DEFINE_METHOD(method_get_children)
DEFINE_METHOD(method_list)
DEFINE_METHOD(method_count_descendants)
DEFINE_METHOD(method_get_ephemerals)
DEFINE_METHOD(method_multi)
DEFINE_METHOD(method_multi_read)
DEFINE_METHOD(method_sync)
DEFINE_METHOD(method_who_am_i)

const sd_bus_vtable tree_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Create",
                                SD_BUS_ARGS("s", path, "ay", data, "s", mode, "a{sv}", options),
                                SD_BUS_RESULT("s", created, STAT_SIGNATURE, stat),
                                bus_method_create, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Get",
                                SD_BUS_ARGS("s", path, "a{sv}", options),
                                SD_BUS_RESULT("ay", data, STAT_SIGNATURE, stat),
                                bus_method_get, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Exists",
                                SD_BUS_ARGS("s", path, "a{sv}", options),
                                SD_BUS_RESULT("b", exists, STAT_SIGNATURE, stat),
                                bus_method_exists, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Set",
                                SD_BUS_ARGS("s", path, "ay", data, "i", version, "a{sv}", options),
                                SD_BUS_RESULT(STAT_SIGNATURE, stat),
                                bus_method_set, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Delete",
                                SD_BUS_ARGS("s", path, "i", version, "a{sv}", options),
                                SD_BUS_NO_RESULT,
                                bus_method_delete, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("DeleteRecursive",
                                SD_BUS_ARGS("s", path, "a{sv}", options),
                                SD_BUS_RESULT("t", count),
                                bus_method_delete_recursive, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetAcl",
                                SD_BUS_ARGS("s", path, "a{sv}", options),
                                SD_BUS_RESULT("a(uss)", acl, STAT_SIGNATURE, stat),
                                bus_method_get_acl, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetAcl",
                                SD_BUS_ARGS("s", path, "a(uss)", acl, "i", version, "a{sv}", options),
                                SD_BUS_RESULT(STAT_SIGNATURE, stat),
                                bus_method_set_acl, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetChildren",
                                SD_BUS_ARGS("s", path, "a{sv}", options),
                                SD_BUS_RESULT("as", names, STAT_SIGNATURE, stat, "b", more),
                                bus_method_get_children, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("List",
                                SD_BUS_ARGS("s", path, "a{sv}", options),
                                SD_BUS_RESULT("a(s" STAT_SIGNATURE "ay)", znodes, "b", more),
                                bus_method_list, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("CountDescendants",
                                SD_BUS_ARGS("s", path, "a{sv}", options),
                                SD_BUS_RESULT("t", count),
                                bus_method_count_descendants, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetEphemerals",
                                SD_BUS_ARGS("s", prefix, "a{sv}", options),
                                SD_BUS_RESULT("as", paths, "b", more),
                                bus_method_get_ephemerals, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Multi",
                                SD_BUS_ARGS("a(ssa{sv})", operations, "a{sv}", options),
                                SD_BUS_RESULT("b", committed, "a(sa{sv})", results, "t", zxid),
                                bus_method_multi, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("MultiRead",
                                SD_BUS_ARGS("a(ss)", operations, "a{sv}", options),
                                SD_BUS_RESULT("a(sa{sv})", results, "t", zxid),
                                bus_method_multi_read, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Sync",
                                SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("t", zxid),
                                bus_method_sync, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("WhoAmI",
                                SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("a(ss)", identities),
                                bus_method_who_am_i, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
