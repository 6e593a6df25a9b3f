/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Ensemble
 */

#include "dbus/server/codec.h"
#include "dbus/server/server-private.h"
#include "dbus/server/text.h"

static MemberStatus get_status(void *userdata) {
        Channel *ch = userdata;
        MemberStatus status;

        member_get_status(ch->server->member, &status);
        return status;
}

#define GETTER(name) \
        static int get_##name(sd_bus *bus, const char *path, const char *interface, const char *property, \
                              sd_bus_message *reply, void *userdata, sd_bus_error *error)

GETTER(role) {
        return sd_bus_message_append(reply, "s", zab_role_to_string(get_status(userdata).role));
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

const sd_bus_vtable ensemble_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Role", "s", get_role, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Epoch", "u", get_epoch, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Zxid", "t", get_zxid, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Leader", "u", get_leader, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Member", "u", get_member, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("ClusterId", "s", get_cluster_id, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Serving", "b", get_serving, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("RoleSince", "t", get_role_since, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Members", "a(ussss)", get_members, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Positions", "(tttt)", get_positions, 0, 0),
        SD_BUS_VTABLE_END,
};
