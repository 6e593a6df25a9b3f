/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Tree.Multi and MultiRead
 */

#include <errno.h>
#include <string.h>

#include "agent/base/limits.h"
#include "dbus/server/codec.h"
#include "dbus/server/error.h"
#include "dbus/server/server-private.h"
#include "dbus/server/tree-bus.h"

typedef struct Multi {
        Caller *caller;
        sd_bus_message *message;
        GArray *operations;             /* Request */
        GPtrArray *acls;                /* GArray*: what `operations` point into */
        bool ephemeral;
} Multi;

static void multi_done(Multi *multi) {
        g_array_unref(multi->operations);
        g_ptr_array_unref(multi->acls);
}

static const struct {
        const char *name;
        RequestOp op;
        uint32_t options;
} kinds[] = {
        { "create", REQUEST_CREATE, OPTION_DATA | OPTION_MODE | OPTION_ACL | OPTION_TTL | OPTION_NULL },
        { "set", REQUEST_SET_DATA, OPTION_DATA | OPTION_VERSION | OPTION_CZXID | OPTION_NULL },
        { "delete", REQUEST_DELETE, OPTION_VERSION | OPTION_CZXID },
        { "check", REQUEST_CHECK, OPTION_VERSION | OPTION_CZXID },
};

/* The parent that an earlier create of the same multi makes, or NULL. */
static const Request *find_parent(const Multi *multi, const char *path) {
        const char *slash = strrchr(path, '/');

        for (guint i = multi->operations->len; i > 0; i--) {
                const Request *r = &g_array_index(multi->operations, Request, i - 1);

                if (r->op == REQUEST_CREATE && !create_mode_is_sequential(r->mode) && slash &&
                    strlen(r->path) == (size_t) (slash - path) && strncmp(r->path, path, slash - path) == 0)
                        return r;
        }
        return NULL;
}

static int choose_acl(Multi *multi, const Options *o, Request *r) {
        static const AclEntry own = { PERMISSION_ALL, { "auth", "" } };
        const Request *parent;
        int k;

        if (o->given & OPTION_ACL) {
                r->acl = options_acl(o);
                g_ptr_array_add(multi->acls, g_array_ref(o->acl));
                return 1;
        }
        parent = find_parent(multi, r->path);
        if (parent) {
                r->acl = parent->acl;
                return 1;
        }
        k = default_acl(multi->caller, r->path, false, &r->acl);
        /* The tree will say that there is no parent; should one come about by then, the znode is the caller's own. */
        if (k == 0)
                r->acl = (AclEntries) { &own, 1 };
        return k < 0 ? k : 1;
}

/* 1: go on; otherwise what the method returns. */
static int take_operation(Multi *multi, const Options *o, Request *r) {
        Caller *c = multi->caller;

        r->version = o->version;
        r->czxid = o->czxid;
        if (r->op == REQUEST_CREATE || r->op == REQUEST_SET_DATA) {
                r->data = o->data && o->data_size > 0 ? o->data : (const uint8_t *) "";
                if (!take_data(c, multi->message, o, o->data_size, r))
                        return 0;
        }
        if (r->op != REQUEST_CREATE)
                return 1;

        r->version = 0;
        r->ttl_msec = (int64_t) o->ttl_msec;
        if (o->mode && !create_mode_from_string(o->mode, &r->mode)) {
                reply_refusal(c->channel, multi->message, CONVENE_BAD_ARGUMENTS, "unknown mode '%.64s'", o->mode);
                return 0;
        }
        multi->ephemeral = multi->ephemeral || create_mode_is_ephemeral(r->mode);
        return choose_acl(multi, o, r);
}

static int read_operation(Multi *multi) {
        g_auto(Options) o = OPTIONS_INIT;
        Request r = { 0 };
        const char *kind;
        int k;

        k = sd_bus_message_read(multi->message, "ss", &kind, &r.path);
        if (k < 0)
                return k;
        for (size_t i = 0; i < G_N_ELEMENTS(kinds) && r.op == 0; i++)
                if (g_str_equal(kinds[i].name, kind)) {
                        r.op = kinds[i].op;
                        k = call_read_options(multi->caller, multi->message, kinds[i].options, &o);
                        if (k <= 0)
                                return k;
                }
        if (r.op == 0) {
                reply_refusal(multi->caller->channel, multi->message, CONVENE_BAD_ARGUMENTS,
                              "unknown operation '%.64s': create, set, delete or check", kind);
                return 0;
        }

        k = take_operation(multi, &o, &r);
        if (k > 0)
                g_array_append_val(multi->operations, r);
        return k;
}

static int read_operations(Multi *multi) {
        sd_bus_message *m = multi->message;
        int k;

        k = sd_bus_message_enter_container(m, 'a', "(ssa{sv})");
        if (k < 0)
                return k;
        while ((k = sd_bus_message_enter_container(m, 'r', "ssa{sv}")) > 0) {
                if (multi->operations->len >= LIMIT_MULTI_OPERATIONS)
                        return -E2BIG;
                k = read_operation(multi);
                if (k <= 0)
                        return k;
                k = sd_bus_message_exit_container(m);
                if (k < 0)
                        return k;
        }
        if (k < 0)
                return k;
        k = sd_bus_message_exit_container(m);
        return k < 0 ? k : 1;
}

/*
 * Answers
 */

static int open_result(sd_bus_message *m, const Result *r) {
        int k;

        k = sd_bus_message_open_container(m, 'r', "sa{sv}");
        if (k < 0)
                return k;
        k = sd_bus_message_append_basic(m, 's', convene_status_to_string(r->status));
        return k < 0 ? k : sd_bus_message_open_container(m, 'a', "{sv}");
}

static int close_result(sd_bus_message *m) {
        int k;

        k = sd_bus_message_close_container(m);
        return k < 0 ? k : sd_bus_message_close_container(m);
}

static int append_stat_value(sd_bus_message *m, const Stat *s) {
        int k;

        if ((k = sd_bus_message_open_container(m, 'e', "sv")) < 0 || (k = sd_bus_message_append(m, "s", "stat")) < 0 ||
            (k = sd_bus_message_open_container(m, 'v', STAT_SIGNATURE)) < 0 || (k = stat_append(m, s)) < 0 ||
            (k = sd_bus_message_close_container(m)) < 0)
                return k;
        return sd_bus_message_close_container(m);
}

static int append_update_result(sd_bus_message *m, const Result *r, bool committed) {
        int k;

        k = open_result(m, r);
        if (k >= 0 && committed && r->path)
                k = sd_bus_message_append(m, "{sv}", "created", "s", r->path);
        if (k >= 0 && committed && (r->op == REQUEST_CREATE || r->op == REQUEST_SET_DATA))
                k = append_stat_value(m, &r->stat);
        return k < 0 ? k : close_result(m);
}

static int encode_multi(sd_bus_message *m, const Result *r) {
        int committed = r->status == CONVENE_OK, k;

        k = sd_bus_message_append_basic(m, 'b', &committed);
        if (k >= 0)
                k = sd_bus_message_open_container(m, 'a', "(sa{sv})");
        for (uint32_t i = 0; i < r->results_count && k >= 0; i++)
                k = append_update_result(m, &r->results[i], committed);
        if (k >= 0)
                k = sd_bus_message_close_container(m);
        return k < 0 ? k : sd_bus_message_append_basic(m, 't', &r->zxid);
}

static int append_data_value(sd_bus_message *m, const Result *r) {
        int k;

        if ((k = sd_bus_message_open_container(m, 'e', "sv")) < 0 || (k = sd_bus_message_append(m, "s", "data")) < 0 ||
            (k = sd_bus_message_open_container(m, 'v', "ay")) < 0 || (k = bytes_append(m, r->data, r->data_size)) < 0 ||
            (k = sd_bus_message_close_container(m)) < 0)
                return k;
        return sd_bus_message_close_container(m);
}

static int append_names_value(sd_bus_message *m, const Result *r) {
        int k;

        if ((k = sd_bus_message_open_container(m, 'e', "sv")) < 0 || (k = sd_bus_message_append(m, "s", "names")) < 0 ||
            (k = sd_bus_message_open_container(m, 'v', "as")) < 0 || (k = names_append(m, r)) < 0 ||
            (k = sd_bus_message_close_container(m)) < 0)
                return k;
        return sd_bus_message_close_container(m);
}

static int append_read_result(sd_bus_message *m, const Result *r) {
        int k;

        k = open_result(m, r);
        if (k >= 0 && r->status == CONVENE_OK)
                k = r->op == REQUEST_GET_DATA ? append_data_value(m, r) : append_names_value(m, r);
        if (k >= 0 && r->status == CONVENE_OK)
                k = append_stat_value(m, &r->stat);
        return k < 0 ? k : close_result(m);
}

static int encode_multi_read(sd_bus_message *m, const Result *r) {
        int k;

        k = sd_bus_message_open_container(m, 'a', "(sa{sv})");
        for (uint32_t i = 0; i < r->results_count && k >= 0; i++)
                k = append_read_result(m, &r->results[i]);
        if (k >= 0)
                k = sd_bus_message_close_container(m);
        return k < 0 ? k : sd_bus_message_append_basic(m, 't', &r->zxid);
}

/* Which operation failed, and why, is an answer; only a multi that was not tried at all is an error. */
static void on_multi(Call *call, const Result *result) {
        sd_bus_message *reply;

        if (result->results_count == 0) {
                call_answer(call, result);
                return;
        }
        reply = call_new_reply(call);
        if (!reply)
                return;
        if (call->encode(reply, result) >= 0) {
                call_return(call, reply, result_bytes(result));
                return;
        }
        sd_bus_message_unref(reply);
        call_fail(call, CONVENE_TOO_LARGE);
}

static int run_multi(Multi *multi) {
        Caller *c = multi->caller;
        sd_bus_message *m = multi->message;
        g_auto(Options) o = OPTIONS_INIT;
        Request r = { .op = REQUEST_MULTI };
        int k;

        k = read_operations(multi);
        if (k <= 0)
                return k;
        k = call_read_options(c, m, OPTIONS_UPDATE, &o);
        if (k <= 0)
                return k;
        k = call_identify(c, m, &o, &r);
        if (k <= 0)
                return k;
        if (multi->ephemeral && r.session == 0) {
                k = use_implicit_session(c, m, &o, &r);
                if (k <= 0)
                        return k;
        }
        r.operations = (const Request *) (const void *) multi->operations->data;
        r.operations_count = multi->operations->len;
        return call_submit(c, m, &r, &o, encode_multi, on_multi);
}

int method_multi(Caller *c, sd_bus_message *m) {
        Multi multi = {
                .caller = c,
                .message = m,
                .operations = g_array_new(FALSE, FALSE, sizeof(Request)),
                .acls = g_ptr_array_new_with_free_func((GDestroyNotify) g_array_unref),
        };
        int k = run_multi(&multi);

        multi_done(&multi);
        return k;
}

static int read_reads(Caller *c, sd_bus_message *m, GArray *operations) {
        const char *kind, *path;
        int k;

        k = sd_bus_message_enter_container(m, 'a', "(ss)");
        if (k < 0)
                return k;
        while ((k = sd_bus_message_read(m, "(ss)", &kind, &path)) > 0) {
                Request r = { .op = REQUEST_GET_DATA, .path = path };

                if (operations->len >= LIMIT_MULTI_OPERATIONS)
                        return -E2BIG;
                if (g_str_equal(kind, "children"))
                        r.op = REQUEST_GET_CHILDREN;
                else if (!g_str_equal(kind, "get")) {
                        reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS, "unknown operation '%.64s': get or children",
                                      kind);
                        return 0;
                }
                g_array_append_val(operations, r);
        }
        if (k < 0)
                return k;
        k = sd_bus_message_exit_container(m);
        return k < 0 ? k : 1;
}

int method_multi_read(Caller *c, sd_bus_message *m) {
        g_autoptr(GArray) operations = g_array_new(FALSE, FALSE, sizeof(Request));
        g_auto(Options) o = OPTIONS_INIT;
        Request r = { .op = REQUEST_MULTI_READ };
        int k;

        k = read_reads(c, m, operations);
        if (k <= 0)
                return k;
        k = call_read_options(c, m, OPTIONS_READ, &o);
        if (k <= 0)
                return k;
        k = call_identify(c, m, &o, &r);
        if (k <= 0)
                return k;
        r.operations = (const Request *) (const void *) operations->data;
        r.operations_count = operations->len;
        return call_submit(c, m, &r, &o, encode_multi_read, on_multi);
}
