/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Call
 *
 * Calls are recycled through a list, so that the path of a read allocates nothing here.
 */

#include "dbus/server/call.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "dbus/server/codec.h"
#include "dbus/server/error.h"
#include "dbus/server/owners.h"
#include "dbus/server/server-private.h"

#define FREE_CALLS_MAX 1024             /* kept for reuse */

static Call *call_allocate(Server *s) {
        Call *call = s->free_calls;

        if (!call)
                return g_new0(Call, 1);
        s->free_calls = call->next;
        s->free_calls_count--;
        *call = (Call) { 0 };
        return call;
}

static void call_link(Call **list, Call *call) {
        call->next = *list;
        if (call->next)
                call->next->previous = call;
        *list = call;
}

static void call_unlink(Call **list, Call *call) {
        if (call->previous)
                call->previous->next = call->next;
        else
                *list = call->next;
        if (call->next)
                call->next->previous = call->previous;
        call->next = call->previous = NULL;
}

static void call_discharge(Call *call) {
        Account *a = call->account;

        if (!a)
                return;
        account_discharge_call(a, call->bytes);
        if (call->ephemeral)
                a->ephemerals_pending--;
        if (call->watch != 0)
                a->watches--;
        call->account = account_unref(a);
}

void call_free(Call *call) {
        Server *s = call->server;
        Caller *c = call->caller;

        if (s->submitting == call)
                s->submitting = NULL;
        call_discharge(call);
        if (call->detached)
                call_unlink(&s->detached, call);
        else if (c) {
                call_unlink(&c->calls, call);
                if (call->changes_acls)
                        c->acl_changes_count--;
                if (--c->calls_count == 0 && c->barrier) {
                        c->barrier = false;
                        caller_release(c);
                }
        }
        if (call->plan_free)
                call->plan_free(call->plan);
        sd_bus_message_unref(call->message);
        g_free(call->path);

        if (s->free_calls_count >= FREE_CALLS_MAX) {
                g_free(call);
                return;
        }
        call->next = s->free_calls;
        s->free_calls = call;
        s->free_calls_count++;
}

static const char *call_path(const Call *call) {
        return call->path ? call->path : call->path_now;
}

static bool may_change_acls(RequestOp op) {
        return op == REQUEST_SET_ACL || op == REQUEST_DELETE || op == REQUEST_DELETE_RECURSIVE || op == REQUEST_MULTI;
}

static bool request_is_ephemeral_create(const Request *r) {
        return r->op == REQUEST_CREATE && create_mode_is_ephemeral(r->mode);
}

/* A path that is none is the caller's mistake, and no znode that is not there. */
static ConveneStatus check_paths(const Request *r, const char **ret_path) {
        ConveneStatus status = CONVENE_OK;

        *ret_path = r->path;
        if (r->path && r->op != REQUEST_GET_EPHEMERALS)
                status = path_validate(r->path, r->op == REQUEST_CREATE && create_mode_is_sequential(r->mode));
        for (uint32_t i = 0; i < r->operations_count && status == CONVENE_OK; i++)
                status = check_paths(&r->operations[i], ret_path);
        return status;
}

/* Everything that must hold before the member is asked; answers and returns false otherwise. */
static bool call_admit(Caller *c, sd_bus_message *m, const Request *r, uint64_t bytes, bool ephemeral, bool watch) {
        g_autofree char *text = NULL;
        AccountLimit limit;
        ConveneStatus status;
        const char *path;

        status = check_paths(r, &path);
        if (status == CONVENE_OK)
                status = request_validate(r);
        if (status != CONVENE_OK) {
                reply_error(c->channel, m, status, path);
                return false;
        }
        if (ephemeral && !account_has_room(c->account, limit = ACCOUNT_EPHEMERALS))
                goto full;
        if (watch && !account_has_room(c->account, limit = ACCOUNT_WATCHES))
                goto full;
        if (account_charge_call(c->account, bytes, &limit))
                return true;
full:
        text = account_limit_text(c->account, limit);
        reply_refusal(c->channel, m, CONVENE_LIMIT_EXCEEDED, "%s", text);
        return false;
}

static Call *call_make(Caller *c, sd_bus_message *m, const Request *r, uint64_t watch, CallEncode encode,
                       CallDone done) {
        bool ephemeral = request_is_ephemeral_create(r);
        uint64_t bytes = request_bytes(r);
        Call *call;

        for (uint32_t i = 0; i < r->operations_count; i++)
                ephemeral = ephemeral || request_is_ephemeral_create(&r->operations[i]);
        if (!call_admit(c, m, r, bytes, ephemeral, watch != 0))
                return NULL;

        call = call_allocate(c->server);
        call->server = c->server;
        call->caller = c;
        call->account = account_ref(c->account);
        call->message = sd_bus_message_ref(m);
        call->encode = encode;
        call->done = done;
        call->bytes = bytes;
        call->op = r->op;
        call->path_now = r->path;
        call->watch = watch;
        call->ephemeral = ephemeral;
        call->changes_acls = may_change_acls(r->op);
        call->account->ephemerals_pending += ephemeral;
        call->account->watches += watch != 0;
        c->acl_changes_count += call->changes_acls;
        c->calls_count++;
        call_link(&c->calls, call);
        return call;
}

Call *call_new(Caller *c, sd_bus_message *m, const Request *r, CallEncode encode, CallDone done) {
        return call_make(c, m, r, 0, encode, done);
}

/*
 * The local socket: what stays of a message that waits is a stub with its cookie, because the message may carry a
 * megabyte of arguments.  A broker bounds both, and a stub could not
 * name its sender there.
 */
void call_settle(Call *call) {
        sd_bus_message *stub = NULL;
        uint64_t cookie;

        if (!call->path && call->path_now)
                call->path = g_strdup(call->path_now);
        call->path_now = NULL;
        if (!call->message || !call->caller || !call->caller->channel->connection)
                return;

        if (sd_bus_message_get_cookie(call->message, &cookie) < 0 ||
            sd_bus_message_new_method_call(call->caller->channel->bus, &stub, NULL, OBJECT_PATH, NULL, "Stub") < 0)
                return;
        if (sd_bus_message_set_expect_reply(stub, sd_bus_message_get_expect_reply(call->message)) < 0 ||
            sd_bus_message_seal(stub, cookie, 0) < 0) {
                sd_bus_message_unref(stub);
                return;
        }
        sd_bus_message_unref(call->message);
        call->message = stub;
}

/* Around giving it to the member, which may answer it at once: then there is no call any more. */
static Call *call_begin(Call *call) {
        Call *outer = call->server->submitting;

        call->server->submitting = call;
        return outer;
}

static void call_begun(Server *s, Call *call, Call *outer) {
        if (s->submitting == call)
                call_settle(call);
        s->submitting = outer;
}

void call_start(Call *call, const Request *r, unsigned flags) {
        Server *s = call->server;
        Call *outer = call_begin(call);

        member_submit(call->caller->client, (uint64_t) (uintptr_t) call, r, call->watch, flags);
        call_begun(s, call, outer);
}

void call_start_wait(Call *call, Zxid zxid) {
        Server *s = call->server;
        Call *outer = call_begin(call);

        member_wait(call->caller->client, (uint64_t) (uintptr_t) call, zxid);
        call_begun(s, call, outer);
}

int call_submit(Caller *c, sd_bus_message *m, const Request *r, const Options *o, CallEncode encode, CallDone done) {
        Call *call = call_make(c, m, r, o->watch, encode, done);

        if (call)
                call_start(call, r, o->linearizable ? MEMBER_LINEARIZABLE : 0);
        return METHOD_DONE;
}

Call *call_new_detached(Server *s, Caller *c, sd_bus_message *m, const Request *r, CallDone done) {
        uint64_t bytes = request_bytes(r);
        Call *call;

        if (c && !call_admit(c, m, r, bytes, false, false))
                return NULL;

        call = call_allocate(s);
        call->server = s;
        call->caller = c;
        call->account = c ? account_ref(c->account) : NULL;
        call->message = sd_bus_message_ref(m);
        call->done = done;
        call->bytes = bytes;
        call->op = r->op;
        call->detached = true;
        call_link(&s->detached, call);
        return call;
}

bool call_charge(Call *call, uint64_t bytes) {
        g_autofree char *text = NULL;

        if (account_charge_bytes(call->account, bytes)) {
                call->bytes += bytes;
                return true;
        }
        text = account_limit_text(call->account, ACCOUNT_BYTES);
        reply_refusal(call->caller->channel, call->message, CONVENE_LIMIT_EXCEEDED, "%s", text);
        return false;
}

void call_start_detached(Call *call, const Request *r) {
        Server *s = call->server;
        Call *outer = call_begin(call);

        member_submit(s->client, (uint64_t) (uintptr_t) call, r, 0, 0);
        call_begun(s, call, outer);
}

void call_start_change(Call *call, const MemberChange *change, Zxid base) {
        Server *s = call->server;
        Call *outer = call_begin(call);

        member_change(s->client, (uint64_t) (uintptr_t) call, change, base);
        call_begun(s, call, outer);
}

void call_forget_caller(Caller *c) {
        while (c->calls)
                call_free(c->calls);
        for (Call *call = c->server->detached; call; call = call->next)
                if (call->caller == c) {
                        call->caller = NULL;
                        call->message = sd_bus_message_unref(call->message);
                }
}

sd_bus_message *call_new_reply(Call *call) {
        sd_bus_message *reply;

        if (!call->message || sd_bus_message_new_method_return(call->message, &reply) < 0)
                return NULL;
        return reply;
}

void call_return(Call *call, sd_bus_message *reply, uint64_t bytes) {
        if (reply && call->caller)
                (void) channel_send(call->caller->channel, reply, bytes);
        sd_bus_message_unref(reply);
}

void call_fail(Call *call, ConveneStatus status) {
        if (call->message && call->caller)
                reply_error(call->caller->channel, call->message, status, call_path(call));
}

void call_answer(Call *call, const Result *result) {
        sd_bus_message *reply;

        if (result->status != CONVENE_OK) {
                call_fail(call, result->status);
                return;
        }
        reply = call_new_reply(call);
        if (!reply)
                return;
        if (call->encode && call->encode(reply, result) < 0) {
                sd_bus_message_unref(reply);
                call_fail(call, CONVENE_TOO_LARGE);
                return;
        }
        call_return(call, reply, result_bytes(result));
}

void call_on_reply(void *userdata, uint64_t tag, const Result *result) {
        Call *call = (Call *) (uintptr_t) tag;

        assert(call->caller == userdata);

        if (call->done)
                call->done(call, result);
        else
                call_answer(call, result);
        call_free(call);
}

void call_on_detached_reply(void *userdata, uint64_t tag, const Result *result) {
        Call *call = (Call *) (uintptr_t) tag;

        assert(call->detached);

        call->done(call, result);
        call_free(call);
}

int call_read_options(Caller *c, sd_bus_message *m, uint32_t known, Options *ret) {
        g_autofree char *problem = NULL;
        int r;

        r = options_read(m, known, ret, &problem);
        if (r >= 0)
                return 1;
        if (!problem)
                return r;
        reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS, "%s", problem);
        return 0;
}

int call_identify(Caller *c, sd_bus_message *m, const Options *o, Request *r) {
        OwnedSession *s;
        int k;

        if (o->given & OPTION_SESSION) {
                if (o->super && !c->privileged) {
                        reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS,
                                      "'super' and 'session' exclude each other: a session has its own identities");
                        return 0;
                }
                s = owners_find_of_caller(c, o->session);
                if (!s) {
                        owners_refuse_session(c, m, o->session);
                        return 0;
                }
                owners_touch(s);
                r->session = o->session;
                return 1;
        }

        r->caller = caller_identities(c);
        if (o->super) {
                k = caller_authorize(c, m, ACTION_ADMIN);
                if (k <= 0)
                        return k;
                if (!server_may_be_super(c->server)) {
                        reply_refusal(c->channel, m, CONVENE_NO_AUTH,
                                      "'super' is for hosts that vote, and this one observes; ask on one of those, or have an ACL "
                                      "allow it to %s", c->unix_id);
                        return 0;
                }
                r->caller = c->identities_super;
        }
        return 1;
}
