/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Sessions
 */

#include <errno.h>
#include <string.h>

#include "dbus/server/codec.h"
#include "dbus/server/connection.h"
#include "dbus/server/error.h"
#include "dbus/server/owners.h"
#include "dbus/server/server-private.h"

#define ATTACH_FAILURES_MAX 5
#define CREDENTIAL_BYTES_MAX 512

/* The owner unit: the caller's own run, which was found out when it first called, or somebody else's. */
static int choose_unit(Caller *c, sd_bus_message *m, const Options *o, OpenPlan **plan) {
        OpenPlan *p;
        int k;

        if (o->unit && (!c->unit || !g_str_equal(o->unit, c->unit))) {
                k = caller_authorize(c, m, ACTION_BIND);
                if (k <= 0)
                        return k;
                p = open_plan_new(c->server, OWNER_UNIT, o->timeout_msec);
                p->unit = g_strdup(o->unit);
                *plan = p;
                return 1;
        }
        if (!c->unit) {
                reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS,
                              "you are in no unit of systemd that this agent knows; name one with the option 'unit'");
                return 0;
        }
        p = open_plan_new(c->server, OWNER_UNIT, o->timeout_msec);
        p->unit = g_strdup(c->unit);
        p->invocation = c->invocation;
        *plan = p;
        return 1;
}

static int method_open(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        OpenPlan *plan = NULL;
        const char *word;
        OwnerKind kind;
        int k;

        k = sd_bus_message_read_basic(m, 's', &word);
        if (k < 0)
                return k;
        if (!owner_kind_from_string(word, &kind) || kind == OWNER_DESCRIPTOR) {
                reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS,
                              "unknown owner '%.64s': connection, unit, host or explicit; OpenDescriptor opens the fifth kind", word);
                return METHOD_DONE;
        }
        k = call_read_options(c, m, OPTION_TIMEOUT | (kind == OWNER_UNIT ? OPTION_UNIT : 0), &o);
        if (k <= 0)
                return k;

        if (kind == OWNER_UNIT)
                k = choose_unit(c, m, &o, &plan);
        else if (kind == OWNER_HOST)
                k = caller_authorize(c, m, ACTION_ADMIN);
        if (k <= 0)
                return k;
        if (!plan)
                plan = open_plan_new(c->server, kind, o.timeout_msec);
        owners_open(c->server, c, m, plan);
        return METHOD_DONE;
}

static int method_open_descriptor(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        int k;

        k = call_read_options(c, m, OPTION_TIMEOUT, &o);
        if (k <= 0)
                return k;
        owners_open(c->server, c, m, open_plan_new(c->server, OWNER_DESCRIPTOR, o.timeout_msec));
        return METHOD_DONE;
}

static int encode_timeout(sd_bus_message *reply, const Result *r) {
        return sd_bus_message_append_basic(reply, 'u', &r->timeout_msec);
}

/* Guessing is for nobody: a connection has five tries, ever. */
static void note_failure(Call *call) {
        Caller *c = call->caller;

        c->server->counters.attach_refused++;
        if (++c->attach_failures >= ATTACH_FAILURES_MAX && c->channel->connection)
                connection_doom(c->channel->connection);
}

static void on_attached(Call *call, const Result *result) {
        Server *s = call->server;
        Caller *c = call->caller;
        OwnedSession *o;
        SessionInfo info;

        if (result->status == CONVENE_AUTH_FAILED && c) {
                call_fail(call, result->status);
                note_failure(call);
                return;
        }
        if (result->status != CONVENE_OK || !tree_get_session(member_get_tree(s->member), result->session, &info)) {
                call_fail(call, result->status != CONVENE_OK ? result->status : CONVENE_SESSION_EXPIRED);
                return;
        }

        o = owners_find(s, result->session);
        if (!o)
                o = owners_add(s, result->session, info.owner_kind, NULL, call->account);
        owners_forget_claim(o);
        owners_give(o, c);
        if (c && !o->ending)
                o->end = false;                 /* its end was refused: it has somebody again */
        if (o->kind == OWNER_CONNECTION) {
                if (c)
                        owners_keep(o);
                else
                        owners_end(o);
        }
        call_answer(call, result);
}

static int method_attach(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        MemberStatus status;
        Request r = { .op = REQUEST_ATTACH_SESSION, .caller = caller_identities(c) };
        const void *secret;
        size_t size;
        Call *call;
        int k;

        k = sd_bus_message_read_basic(m, 't', &r.target);
        if (k < 0)
                return k;
        k = sd_bus_message_read_array(m, 'y', &secret, &size);
        if (k < 0)
                return k;
        k = call_read_options(c, m, OPTION_TIMEOUT, &o);
        if (k <= 0)
                return k;
        if (c->attach_failures >= ATTACH_FAILURES_MAX) {
                reply_refusal(c->channel, m, CONVENE_AUTH_FAILED, "too many wrong secrets on this connection");
                return METHOD_DONE;
        }

        member_get_status(c->server->member, &status);
        r.member = status.sid;
        r.timeout_msec = owners_negotiate(c->server, o.timeout_msec);
        secret_hash(secret, size, r.secret_hash);
        call = call_new_detached(c->server, c, m, &r, on_attached);
        if (!call)
                return METHOD_DONE;
        call->encode = encode_timeout;
        call_start_detached(call, &r);
        return METHOD_DONE;
}

/* ZooKeeper's: the user's name and a hash of "user:password". */
static char *digest_id(const char *credential, size_t size, const char *colon) {
        g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA1);
        g_autofree char *user = g_strndup(credential, colon - credential), *hash = NULL;
        uint8_t bytes[20];
        gsize n = sizeof(bytes);

        g_checksum_update(sum, (const guchar *) credential, size);
        g_checksum_get_digest(sum, bytes, &n);
        hash = g_base64_encode(bytes, n);
        return g_strdup_printf("%s:%s", user, hash);
}

static int method_authenticate(Caller *c, sd_bus_message *m) {
        g_autofree char *id = NULL;
        Request r = { .op = REQUEST_AUTH_SESSION, .caller = caller_identities(c) };
        const char *scheme, *colon;
        const void *credential;
        OwnedSession *o;
        Identity who;
        size_t size;
        int k;

        k = sd_bus_message_read(m, "ts", &r.target, &scheme);
        if (k < 0)
                return k;
        k = sd_bus_message_read_array(m, 'y', &credential, &size);
        if (k < 0)
                return k;
        o = owners_find_of_caller(c, r.target);
        if (!o) {
                owners_refuse_session(c, m, r.target);
                return METHOD_DONE;
        }
        colon = size > 0 && size <= CREDENTIAL_BYTES_MAX ? memchr(credential, ':', size) : NULL;
        if (!g_str_equal(scheme, "digest") || !colon) {
                reply_refusal(c->channel, m, CONVENE_AUTH_FAILED, "only scheme 'digest' with a credential USER:PASSWORD is known here");
                return METHOD_DONE;
        }

        id = digest_id(credential, size, colon);
        who = (Identity) { "digest", id };
        r.identities = (Identities) { &who, 1 };
        if (!identity_is_valid(who, false)) {
                reply_refusal(c->channel, m, CONVENE_AUTH_FAILED, "the user's name is not one an ACL could hold");
                return METHOD_DONE;
        }
        owners_touch(o);
        return call_submit(c, m, &r, &OPTIONS_INIT, NULL, NULL);
}

static int method_keep_alive(Caller *c, sd_bus_message *m) {
        g_autoptr(sd_bus_message) reply = NULL;
        OwnedSession *o;
        uint64_t session;
        int k;

        k = sd_bus_message_read_basic(m, 't', &session);
        if (k < 0)
                return k;
        o = owners_find_of_caller(c, session);
        if (!o) {
                owners_refuse_session(c, m, session);
                return METHOD_DONE;
        }
        owners_touch(o);                        /* again, if it has waited */
        if (sd_bus_message_new_method_return(m, &reply) >= 0)
                (void) channel_send(c->channel, reply, 128);
        return METHOD_DONE;
}

static int method_close(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        Request r = { .op = REQUEST_CLOSE_SESSION, .caller = caller_identities(c) };
        int k;

        k = sd_bus_message_read_basic(m, 't', &r.target);
        if (k < 0)
                return k;
        k = call_read_options(c, m, 0, &o);
        if (k <= 0)
                return k;
        if (!owners_find_of_caller(c, r.target)) {
                k = caller_authorize(c, m, ACTION_ADMIN);
                if (k <= 0)
                        return k;
        }
        return call_submit(c, m, &r, &OPTIONS_INIT, NULL, NULL);
}

static int append_session(sd_bus_message *reply, const SessionInfo *s, uint64_t deadline_usec) {
        return sd_bus_message_append(reply, "(tssuuuxt)", s->id, owner_kind_to_string(s->owner_kind), s->owner, s->member,
                                     s->timeout_msec, s->ephemerals_count, s->ctime_msec, deadline_usec);
}

static void on_list(Call *call, const Result *result) {
        sd_bus_message *reply;
        int k, more = result->more;

        if (result->status != CONVENE_OK) {
                call_fail(call, result->status);
                return;
        }
        reply = call_new_reply(call);
        if (!reply)
                return;
        k = sd_bus_message_open_container(reply, 'a', "(tssuuuxt)");
        for (uint32_t i = 0; i < result->items_count && k >= 0; i++)
                k = append_session(reply, &result->sessions[i],
                                   member_session_deadline(call->server->member, result->sessions[i].id));
        if (k >= 0)
                k = sd_bus_message_close_container(reply);
        if (k >= 0)
                k = sd_bus_message_append_basic(reply, 'b', &more);
        if (k >= 0) {
                call_return(call, reply, result_bytes(result));
                return;
        }
        sd_bus_message_unref(reply);
        call_fail(call, CONVENE_TOO_LARGE);
}

static int method_list(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        Request r = { .op = REQUEST_LIST_SESSIONS, .caller = caller_identities(c) };
        int k;

        k = call_read_options(c, m, OPTION_START_AFTER_SESSION | OPTION_LIMIT, &o);
        if (k <= 0)
                return k;
        member_on_tick(c->server->member);      /* in an ensemble of one the deadlines grow when it looks at the clock */
        r.start_after_session = o.start_after_session;
        r.entries_max = o.limit;
        return call_submit(c, m, &r, &o, NULL, on_list);
}

DEFINE_METHOD(method_open)
DEFINE_METHOD(method_open_descriptor)
DEFINE_METHOD(method_attach)
DEFINE_METHOD(method_authenticate)

/* Being alive does not wait for what the caller asked for before: somebody may have to type a password first. */
static int bus_method_keep_alive(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Channel *ch = userdata;
        Caller *c = caller_find(ch, m);
        OwnedSession *o;
        uint64_t session;

        if (c && sd_bus_message_read_basic(m, 't', &session) > 0) {
                o = owners_find_of_caller(c, session);
                if (o)
                        owners_touch(o);
                (void) sd_bus_message_rewind(m, true);
        }
        return caller_dispatch(ch, m, method_keep_alive);
}

DEFINE_METHOD(method_close)
DEFINE_METHOD(method_list)

const sd_bus_vtable sessions_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Open",
                                SD_BUS_ARGS("s", owner, "a{sv}", options),
                                SD_BUS_RESULT("t", session, "ay", secret, "u", timeout),
                                bus_method_open, SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD_WITH_ARGS("OpenDescriptor",
                                SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("t", session, "h", descriptor, "u", timeout),
                                bus_method_open_descriptor, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Attach",
                                SD_BUS_ARGS("t", session, "ay", secret, "a{sv}", options),
                                SD_BUS_RESULT("u", timeout),
                                bus_method_attach, SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD_WITH_ARGS("Authenticate",
                                SD_BUS_ARGS("t", session, "s", scheme, "ay", credential),
                                SD_BUS_NO_RESULT,
                                bus_method_authenticate, SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD_WITH_ARGS("KeepAlive",
                                SD_BUS_ARGS("t", session),
                                SD_BUS_NO_RESULT,
                                bus_method_keep_alive, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Close",
                                SD_BUS_ARGS("t", session, "a{sv}", options),
                                SD_BUS_NO_RESULT,
                                bus_method_close, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("List",
                                SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("a(tssuuuxt)", sessions, "b", more),
                                bus_method_list, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("Ended",
                                SD_BUS_ARGS("t", session, "b", expired),
                                0),
        SD_BUS_VTABLE_END,
};
