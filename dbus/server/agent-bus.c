/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Agent and org.convene1.Statistics
 */

#include <errno.h>

#include "dbus/server/call.h"
#include "dbus/server/error.h"
#include "dbus/server/server-private.h"

#define GETTER(name) \
        static int get_##name(sd_bus *bus, const char *path, const char *interface, const char *property, \
                              sd_bus_message *reply, void *userdata, sd_bus_error *error)

GETTER(version) {
        return sd_bus_message_append(reply, "s", CONVENE_VERSION);
}

GETTER(host) {
        Channel *ch = userdata;

        return sd_bus_message_append(reply, "s", ch->server->host);
}

GETTER(space_available) {
        Channel *ch = userdata;
        MemberStatus status;

        member_get_status(ch->server->member, &status);
        return sd_bus_message_append(reply, "b", (int) status.space_available);
}

GETTER(problems) {
        Channel *ch = userdata;
        Server *s = ch->server;
        g_auto(GStrv) problems = s->agent.problems ? s->agent.problems(s->agent.userdata) : NULL;

        return sd_bus_message_append_strv(reply, problems);
}

static int encode_zxid(sd_bus_message *reply, const Result *r) {
        return sd_bus_message_append_basic(reply, 't', &r->zxid);
}

/* A checkpoint that fails leaves everything as it was. */
static void refuse_checkpoint(Call *call, int error) {
        Channel *ch = call->caller->channel;

        switch (error) {
        case -ENOSPC:
        case -EDQUOT:
        case -EFBIG:
                reply_refusal(ch, call->message, CONVENE_NO_SPACE,
                              "no checkpoint could be written: %s; make room for the agent's data, then ask again (nothing is "
                              "lost: the log is kept)", g_strerror(-error));
                break;
        case -ECANCELED:
                reply_refusal(ch, call->message, CONVENE_NOT_READY,
                              "no checkpoint was written, since this member is being brought up to date by a snapshot; ask again "
                              "when it serves");
                break;
        default:
                reply_refusal(ch, call->message, CONVENE_SYSTEM_ERROR,
                              "no checkpoint could be written: %s; see the agent's journal (nothing is lost: the log is kept)",
                              g_strerror(-error));
        }
}

static void on_checkpoint(void *sink, int error, Zxid zxid) {
        Call *call = sink;

        if (error >= 0)
                call_answer(call, &(Result) { .zxid = zxid });
        else if (call->caller)
                refuse_checkpoint(call, error);
        call_free(call);
}

static int method_checkpoint(Caller *c, sd_bus_message *m) {
        Server *s = c->server;
        Request nothing = { .op = REQUEST_SYNC, .path = "/" };
        Call *call;
        int k;

        k = caller_authorize(c, m, ACTION_ADMIN);
        if (k <= 0)
                return k;
        if (!s->agent.checkpoint) {
                reply_error(c->channel, m, CONVENE_UNIMPLEMENTED, NULL);
                return METHOD_DONE;
        }
        call = call_new_detached(s, c, m, &nothing, NULL);
        if (!call)
                return METHOD_DONE;
        call->encode = encode_zxid;
        s->agent.checkpoint(s->agent.userdata, on_checkpoint, call);
        return METHOD_DONE;
}

static void append_presence(void *sink, const char *unit, const char *invocation, const char *path, uint64_t session,
                            const char *error) {
        (void) sd_bus_message_append(sink, "(sssts)", unit, invocation, path, session, error ? error : "");
}

static int method_list_presences(Caller *c, sd_bus_message *m) {
        Server *s = c->server;
        g_autoptr(sd_bus_message) reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(m, &reply);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(reply, 'a', "(sssts)");
        if (r < 0)
                return r;
        if (s->agent.presences)
                s->agent.presences(s->agent.userdata, append_presence, reply);
        r = sd_bus_message_close_container(reply);
        if (r < 0)
                return r;
        (void) channel_send(c->channel, reply, 64 * 1024);
        return METHOD_DONE;
}

DEFINE_METHOD(method_checkpoint)
DEFINE_METHOD(method_list_presences)

const sd_bus_vtable agent_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Host", "s", get_host, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("SpaceAvailable", "b", get_space_available, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Problems", "as", get_problems, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_METHOD_WITH_ARGS("Checkpoint", SD_BUS_NO_ARGS, SD_BUS_RESULT("t", zxid), bus_method_checkpoint,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListPresences", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sssts)", presences),
                                bus_method_list_presences, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

/*
 * Statistics
 */

static void add_value(void *sink, const char *name, uint64_t value) {
        (void) sd_bus_message_append(sink, "{st}", name, value);
}

static void add_member(Server *s, sd_bus_message *reply) {
        const Tree *tree = member_get_tree(s->member);
        MemberStatistics v;

        member_get_statistics(s->member, &v);
        add_value(reply, "updates", v.updates);
        add_value(reply, "updates_failed", v.updates_failed);
        add_value(reply, "reads", v.reads);
        add_value(reply, "events", v.events);
        add_value(reply, "proposals", v.proposals);
        add_value(reply, "sessions_opened", v.sessions_opened);
        add_value(reply, "sessions_closed", v.sessions_closed);
        add_value(reply, "sessions_expired", v.sessions_expired);
        add_value(reply, "znodes_reaped", v.reaped);
        add_value(reply, "clients_now", v.clients);
        add_value(reply, "requests_unanswered_now", v.outstanding);
        add_value(reply, "watches_now", v.watches);
        add_value(reply, "watched_paths_now", v.watch_paths);
        add_value(reply, "watchers_now", v.watchers);
        add_value(reply, "znodes_now", tree_znodes_count(tree));
        add_value(reply, "data_bytes", tree_data_bytes(tree));
        add_value(reply, "sessions_now", tree_sessions_count(tree));
        add_value(reply, "ephemerals_now", tree_ephemerals_count(tree));
}

static void add_server(Server *s, sd_bus_message *reply) {
        const ServerCounters *v = &s->counters;

        add_value(reply, "bus_calls", v->calls);
        add_value(reply, "bus_errors", v->errors);
        add_value(reply, "bus_events", v->events);
        add_value(reply, "bus_callers", v->callers_seen);
        add_value(reply, "bus_limits_reached", v->limits_reached);
        add_value(reply, "bus_attach_refused", v->attach_refused);
        add_value(reply, "socket_connections", v->connections_opened);
        add_value(reply, "socket_connections_refused", v->connections_refused);
        add_value(reply, "socket_connections_cut", v->connections_cut);
        add_value(reply, "socket_connections_now", s->connections.length);
        add_value(reply, "bus_callers_now", s->bus ? g_hash_table_size(s->bus->callers) : 0);
        add_value(reply, "sessions_owned_now", g_hash_table_size(s->owned));
}

static int method_get(Caller *c, sd_bus_message *m) {
        Server *s = c->server;
        g_autoptr(sd_bus_message) reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(m, &reply);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(reply, 'a', "{st}");
        if (r < 0)
                return r;
        add_member(s, reply);
        add_server(s, reply);
        if (s->agent.statistics)
                s->agent.statistics(s->agent.userdata, add_value, reply);
        r = sd_bus_message_close_container(reply);
        if (r < 0)
                return r;
        (void) channel_send(c->channel, reply, 8 * 1024);
        return METHOD_DONE;
}

DEFINE_METHOD(method_get)

const sd_bus_vtable statistics_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Get", SD_BUS_NO_ARGS, SD_BUS_RESULT("a{st}", values), bus_method_get,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
