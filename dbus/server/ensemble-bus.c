/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Ensemble
 */

#include <errno.h>
#include <string.h>

#include "dbus/server/call.h"
#include "dbus/server/codec.h"
#include "dbus/server/error.h"
#include "dbus/server/server-private.h"
#include "dbus/server/text.h"

static MemberStatus get_status(void *userdata) {
        Channel *ch = userdata;
        MemberStatus status;

        member_get_status(ch->server->member, &status);
        return status;
}

#define TOKEN_LIFETIME_MSEC_MAX (UINT64_C(7) * 24 * 60 * 60 * 1000)

#define GETTER(name) \
        static int get_##name(sd_bus *bus, const char *path, const char *interface, const char *property, \
                              sd_bus_message *reply, void *userdata, sd_bus_error *error)

GETTER(role) {
        MemberStatus s = get_status(userdata);

        return sd_bus_message_append(reply, "s", s.role == ZAB_ROLE_FOLLOWER && !s.voter ? "observer" :
                                     zab_role_to_string(s.role));
}

GETTER(epoch) {
        return sd_bus_message_append(reply, "u", get_status(userdata).epoch);
}

GETTER(zxid) {
        return sd_bus_message_append(reply, "t", get_status(userdata).zxid);
}

GETTER(leader) {
        return sd_bus_message_append(reply, "u", get_status(userdata).leader);
}

GETTER(parent) {
        return sd_bus_message_append(reply, "u", get_status(userdata).parent);
}

GETTER(member) {
        return sd_bus_message_append(reply, "u", get_status(userdata).sid);
}

GETTER(cluster_id) {
        MemberStatus status = get_status(userdata);
        char text[ID128_TEXT_BYTES];

        return sd_bus_message_append(reply, "s", id128_to_text(&status.cluster_id, text));
}

GETTER(serving) {
        return sd_bus_message_append(reply, "b", (int) get_status(userdata).serving);
}

GETTER(role_since) {
        return sd_bus_message_append(reply, "t", get_status(userdata).role_since_usec);
}

GETTER(members) {
        MemberStatus status = get_status(userdata);
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(ussss)");
        for (unsigned i = 0; status.config && i < status.config->members_count && r >= 0; i++) {
                const ZabConfigMember *m = &status.config->members[i];
                char disk[ID128_TEXT_BYTES];

                r = sd_bus_message_append(reply, "(ussss)", m->sid, m->name, member_role_to_string(m->role), m->address,
                                          id128_to_text(&m->disk_id, disk));
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

GETTER(positions) {
        MemberStatus s = get_status(userdata);

        return sd_bus_message_append(reply, "(tttt)", s.last_index, s.commit_index, s.applied_index, s.durable_index);
}

GETTER(trouble) {
        return sd_bus_message_append(reply, "s", get_status(userdata).trouble ?: "");
}

static int append_member(sd_bus_message *reply, Server *s, const MemberStatus *status, const ZabConfigMember *m) {
        ServerPeer peer = { 0 };
        bool self = m->sid == status->sid;

        if (self)
                peer = (ServerPeer) { .connected = true, .known = status->role == ZAB_ROLE_LEADER, .synced = status->serving,
                                      .acked = status->durable_index };
        else if (s->agent.peer)
                s->agent.peer(s->agent.userdata, m->sid, &peer);

        return sd_bus_message_append(reply, "(usssbbbtts)", m->sid, m->name, member_role_to_string(m->role), m->address,
                                     (int) peer.connected, (int) peer.known, (int) peer.synced, peer.acked, peer.heard_usec,
                                     peer.connected || !peer.error ? "" : peer.error);
}

static int method_list_members(Caller *c, sd_bus_message *m) {
        g_autoptr(sd_bus_message) reply = NULL;
        MemberStatus status;
        int r;

        member_get_status(c->server->member, &status);
        r = sd_bus_message_new_method_return(m, &reply);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(reply, 'a', "(usssbbbtts)");
        for (unsigned i = 0; status.config && i < status.config->members_count && r >= 0; i++)
                r = append_member(reply, c->server, &status, &status.config->members[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r < 0)
                return r;
        (void) channel_send(c->channel, reply, 64 * 1024);
        return METHOD_DONE;
}

static int encode_version(sd_bus_message *reply, const Result *r) {
        return sd_bus_message_append_basic(reply, 't', &r->zxid);
}

static void on_changed(Call *call, const Result *result) {
        if (result->status == CONVENE_OK)
                call_answer(call, result);
        else
                call_fail(call, result->status);
}

/* s member, t base: the version that the caller looked at, 0 for any. */
static int change(Caller *c, sd_bus_message *m, MemberChangeOp op) {
        Request nothing = { .op = REQUEST_SYNC, .path = "/" };
        MemberChange wanted = { .op = op };
        uint64_t base;
        Call *call;
        int r;

        r = caller_authorize(c, m, ACTION_ADMIN);
        if (r <= 0)
                return r;
        r = sd_bus_message_read(m, "st", &wanted.member.name, &base);
        if (r < 0)
                return r;
        call = call_new_detached(c->server, c, m, &nothing, on_changed);
        if (!call)
                return METHOD_DONE;
        call->encode = encode_version;
        call_start_change(call, &wanted, base);
        return METHOD_DONE;
}

static int method_remove_member(Caller *c, sd_bus_message *m) {
        return change(c, m, MEMBER_CHANGE_REMOVE);
}

static int method_promote_member(Caller *c, sd_bus_message *m) {
        return change(c, m, MEMBER_CHANGE_PROMOTE);
}

static int method_demote_member(Caller *c, sd_bus_message *m) {
        return change(c, m, MEMBER_CHANGE_DEMOTE);
}

static int method_transfer_leadership(Caller *c, sd_bus_message *m) {
        return change(c, m, MEMBER_CHANGE_TRANSFER);
}

static void on_token(void *sink, const char *token, ConveneStatus status, const char *error) {
        Call *call = sink;
        sd_bus_message *reply;

        if (call->caller && error)
                reply_refusal(call->caller->channel, call->message, status, "no token could be made: %s", error);
        else if ((reply = call_new_reply(call)) && sd_bus_message_append(reply, "s", token) >= 0)
                call_return(call, reply, strlen(token));
        call_free(call);
}

/* `name` NULL: for whoever comes. */
static int create_token(Caller *c, sd_bus_message *m, const char *name, uint64_t lifetime_msec) {
        Server *s = c->server;
        Request nothing = { .op = REQUEST_SYNC, .path = "/" };
        Call *call;

        if (lifetime_msec < 1000 || lifetime_msec > TOKEN_LIFETIME_MSEC_MAX) {
                reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS, "a token lives between a second and a week");
                return METHOD_DONE;
        }
        if (!s->agent.token) {
                reply_error(c->channel, m, CONVENE_UNIMPLEMENTED, NULL);
                return METHOD_DONE;
        }
        call = call_new_detached(s, c, m, &nothing, NULL);
        if (call)
                s->agent.token(s->agent.userdata, name, lifetime_msec, on_token, call);
        return METHOD_DONE;
}

static int method_create_token(Caller *c, sd_bus_message *m) {
        uint64_t lifetime_msec;
        int r;

        r = caller_authorize(c, m, ACTION_ADMIN);
        if (r <= 0)
                return r;
        r = sd_bus_message_read(m, "t", &lifetime_msec);
        return r < 0 ? r : create_token(c, m, NULL, lifetime_msec);
}

static int method_create_token_for(Caller *c, sd_bus_message *m) {
        uint64_t lifetime_msec;
        const char *name;
        int r;

        r = caller_authorize(c, m, ACTION_ADMIN);
        if (r <= 0)
                return r;
        r = sd_bus_message_read(m, "st", &name, &lifetime_msec);
        return r < 0 ? r : create_token(c, m, name, lifetime_msec);
}

static void on_rotated(void *sink, ConveneStatus status, const char *error) {
        Call *call = sink;
        sd_bus_message *reply;

        if (call->caller && status != CONVENE_OK)
                reply_refusal(call->caller->channel, call->message, status, "the key was not changed: %s", error);
        else if ((reply = call_new_reply(call)))
                call_return(call, reply, 0);
        call_free(call);
}

static int method_rotate_key(Caller *c, sd_bus_message *m) {
        Server *s = c->server;
        Request nothing = { .op = REQUEST_SYNC, .path = "/" };
        Call *call;
        int r;

        r = caller_authorize(c, m, ACTION_ADMIN);
        if (r <= 0)
                return r;
        if (!s->agent.rotate_key) {
                reply_error(c->channel, m, CONVENE_UNIMPLEMENTED, NULL);
                return METHOD_DONE;
        }
        call = call_new_detached(s, c, m, &nothing, NULL);
        if (call)
                s->agent.rotate_key(s->agent.userdata, on_rotated, call);
        return METHOD_DONE;
}

DEFINE_METHOD(method_list_members)
DEFINE_METHOD(method_remove_member)
DEFINE_METHOD(method_promote_member)
DEFINE_METHOD(method_demote_member)
DEFINE_METHOD(method_transfer_leadership)
DEFINE_METHOD(method_create_token)
DEFINE_METHOD(method_create_token_for)
DEFINE_METHOD(method_rotate_key)

#define CHANGE(name, method) \
        SD_BUS_METHOD_WITH_ARGS(name, SD_BUS_ARGS("s", member, "t", base), SD_BUS_RESULT("t", version), bus_##method, \
                                SD_BUS_VTABLE_UNPRIVILEGED)

const sd_bus_vtable ensemble_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Role", "s", get_role, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Epoch", "u", get_epoch, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Zxid", "t", get_zxid, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Leader", "u", get_leader, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Parent", "u", get_parent, 0, 0),
        SD_BUS_PROPERTY("Member", "u", get_member, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("ClusterId", "s", get_cluster_id, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Serving", "b", get_serving, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("RoleSince", "t", get_role_since, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Members", "a(ussss)", get_members, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Positions", "(tttt)", get_positions, 0, 0),
        SD_BUS_PROPERTY("Trouble", "s", get_trouble, 0, 0),
        SD_BUS_METHOD_WITH_ARGS("ListMembers", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(usssbbbtts)", members), bus_method_list_members,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        CHANGE("RemoveMember", method_remove_member),
        CHANGE("PromoteMember", method_promote_member),
        CHANGE("DemoteMember", method_demote_member),
        CHANGE("TransferLeadership", method_transfer_leadership),
        SD_BUS_METHOD_WITH_ARGS("CreateToken", SD_BUS_ARGS("t", lifetime_msec), SD_BUS_RESULT("s", token), bus_method_create_token,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("CreateTokenFor", SD_BUS_ARGS("s", name, "t", lifetime_msec), SD_BUS_RESULT("s", token),
                                bus_method_create_token_for, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("RotateKey", NULL, NULL, bus_method_rotate_key, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
