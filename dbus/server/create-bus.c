/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Tree.Create
 *
 * What the tree leaves to its fronts: the default ACL, missing parents, and the connection's own session.
 *
 * The default ACL is read from this agent's tree when the call is its caller's turn, unredacted, as somebody who may read it
 * would copy it; that it may have changed by the time the create is applied is as with any read before an update.
 */

#include <errno.h>
#include <string.h>

#include "agent/base/limits.h"
#include "dbus/server/codec.h"
#include "dbus/server/error.h"
#include "dbus/server/owners.h"
#include "dbus/server/server-private.h"
#include "dbus/server/tree-bus.h"

int read_data(sd_bus_message *m, const uint8_t **ret_data, size_t *ret_size) {
        const void *data;
        int r;

        r = sd_bus_message_read_array(m, 'y', &data, ret_size);
        if (r >= 0)
                *ret_data = *ret_size > 0 ? data : (const void *) "";
        return r;
}

bool take_data(Caller *c, sd_bus_message *m, const Options *o, size_t size, Request *r) {
        if (size > LIMIT_DATA_BYTES) {
                reply_refusal(c->channel, m, CONVENE_TOO_LARGE, "%zu bytes of data are more than a znode may have (%d)", size,
                              LIMIT_DATA_BYTES);
                return false;
        }
        r->data_size = (uint32_t) size;
        if (!o->null)
                return true;
        if (size > 0) {
                reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS, "'null' and data exclude each other");
                return false;
        }
        r->data = NULL;
        return true;
}

/* Shortens a path to its parent's; false for "/". */
static bool path_to_parent(char *path) {
        char *slash = strrchr(path, '/');

        if (!slash || path[1] == '\0')
                return false;
        if (slash == path)
                slash++;
        *slash = '\0';
        return true;
}

int default_acl(Caller *c, const char *path, bool parents, AclEntries *ret) {
        const Tree *tree = member_get_tree(c->server->member);
        char parent[LIMIT_PATH_BYTES + 1];
        const Acl *acl = NULL;

        if (g_strlcpy(parent, path, sizeof(parent)) >= sizeof(parent))
                return 0;               /* the request's own check says so */
        if (c->acl_changes_count > 0 && caller_hold_until_answered(c))
                return METHOD_HOLD;

        (void) path_to_parent(parent);          /* "/" has its own; the tree will say that it exists */
        acl = tree_get_acl(tree, parent);
        /* The parent may be on its way. */
        if (!acl && caller_hold_until_answered(c))
                return METHOD_HOLD;
        while (!acl && parents && path_to_parent(parent))
                acl = tree_get_acl(tree, parent);
        if (!acl)
                return 0;
        *ret = acl_entries(acl);
        return 1;
}

int use_implicit_session(Caller *c, sd_bus_message *m, const Options *o, Request *r) {
        OpenPlan *plan;

        if (o->super && !c->privileged) {
                reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS,
                              "'super' does not go with an ephemeral: it is made by a session, with that session's identities");
                return 0;
        }
        if (c->implicit && !c->implicit->end) {
                r->session = c->implicit->id;
                r->caller = (Identities) { 0 };
                return 1;
        }
        if (c->implicit_error) {
                reply_refusal(c->channel, m, c->implicit_status, "%s", c->implicit_error);
                g_clear_pointer(&c->implicit_error, g_free);
                return 0;
        }

        c->implicit_opening = true;
        caller_hold(c);
        plan = open_plan_new(c->server, OWNER_CONNECTION, 0);
        plan->implicit = true;
        owners_open(c->server, c, NULL, plan);
        return METHOD_HOLD;
}

/*
 * Parents: one create each, ahead of the znode's own, so that the member's order makes them in turn.
 */

static void on_parent(Call *call, const Result *result) {
        Call *main = call->main;

        if (!main || result->status == CONVENE_OK || result->status == CONVENE_NODE_EXISTS)
                return;
        if (main->parent_status == CONVENE_OK) {
                main->parent_status = result->status;
                main->plan = g_strdup(call->path ? call->path : call->path_now);
                main->plan_free = g_free;
        }
}

static bool start_parents(Call *main, Caller *c, const Request *create) {
        const Tree *tree = member_get_tree(c->server->member);
        g_autofree char *path = g_strdup(create->path);
        char *end = strrchr(path, '/');

        for (char *slash = strchr(path + 1, '/'); slash && slash <= end; slash = strchr(slash + 1, '/')) {
                Request r = {
                        .op = REQUEST_CREATE,
                        .path = path,
                        .session = create->session,
                        .caller = create->caller,
                        .acl = create->acl,
                        .data = (const uint8_t *) "",
                        .mode = CREATE_PERSISTENT,
                };

                *slash = '\0';
                if (!tree_lookup(tree, path, NULL, NULL)) {
                        Call *call = call_new(c, main->message, &r, NULL, on_parent);

                        if (!call)
                                return false;
                        call->main = main;
                        call->message = sd_bus_message_unref(call->message);
                        call_start(call, &r, 0);
                }
                *slash = '/';
        }
        return true;
}

static int encode_created(sd_bus_message *reply, const Result *r) {
        int k;

        k = sd_bus_message_append_basic(reply, 's', r->path);
        return k < 0 ? k : stat_append(reply, &r->stat);
}

/* A parent's failure says more than that the znode then has none. */
static void on_created(Call *call, const Result *result) {
        if (result->status == CONVENE_NO_NODE && call->parent_status != CONVENE_OK && call->caller)
                reply_error(call->caller->channel, call->message, call->parent_status, call->plan);
        else
                call_answer(call, result);
}

static int submit_create(Caller *c, sd_bus_message *m, const Request *r, const Options *o) {
        Call *call = call_new(c, m, r, encode_created, on_created);

        if (!call)
                return METHOD_DONE;
        if (o->parents && !start_parents(call, c, r)) {
                for (Call *parent = c->calls; parent; parent = parent->next)
                        if (parent->main == call)
                                parent->main = NULL;
                call_free(call);                /* has been answered */
        } else
                call_start(call, r, 0);
        return METHOD_DONE;
}

int method_create(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        Request r = { .op = REQUEST_CREATE };
        const char *mode;
        ConveneStatus status;
        size_t size;
        int k;

        k = sd_bus_message_read_basic(m, 's', &r.path);
        if (k < 0)
                return k;
        k = read_data(m, &r.data, &size);
        if (k < 0)
                return k;
        k = sd_bus_message_read_basic(m, 's', &mode);
        if (k < 0)
                return k;
        k = call_read_options(c, m, OPTIONS_UPDATE | OPTION_ACL | OPTION_TTL | OPTION_NULL | OPTION_PARENTS, &o);
        if (k <= 0)
                return k;
        if (!create_mode_from_string(mode, &r.mode)) {
                reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS, "unknown mode '%.64s'", mode);
                return METHOD_DONE;
        }
        r.ttl_msec = (int64_t) o.ttl_msec;
        if (!take_data(c, m, &o, size, &r))
                return METHOD_DONE;
        status = path_validate(r.path, create_mode_is_sequential(r.mode));
        if (status != CONVENE_OK) {
                reply_error(c->channel, m, status, r.path);
                return METHOD_DONE;
        }

        k = call_identify(c, m, &o, &r);
        if (k <= 0)
                return k;
        if (create_mode_is_ephemeral(r.mode) && r.session == 0) {
                k = use_implicit_session(c, m, &o, &r);
                if (k <= 0)
                        return k;
        }

        r.acl = options_acl(&o);
        if (!(o.given & OPTION_ACL)) {
                k = default_acl(c, r.path, o.parents, &r.acl);
                if (k < 0)
                        return k;
                if (k == 0) {
                        reply_error(c->channel, m, CONVENE_NO_NODE, r.path);
                        return METHOD_DONE;
                }
        }
        return submit_create(c, m, &r, &o);
}
