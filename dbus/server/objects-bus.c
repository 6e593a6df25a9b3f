/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Session and org.convene1.Member
 *
 * Objects that come and go with the tree.  Nothing is kept per object: a property is read where it stands.
 */

#include <string.h>

#include "dbus/server/codec.h"
#include "dbus/server/server-private.h"
#include "dbus/server/text.h"

#define SESSION_PREFIX OBJECT_PATH "/session/"
#define MEMBER_PREFIX OBJECT_PATH "/member"
#define ENUMERATED_MAX 1000             /* sessions shown in introspection; Sessions.List has them all */

#define GETTER(name) \
        static int get_##name(sd_bus *bus, const char *path, const char *interface, const char *property, \
                              sd_bus_message *reply, void *userdata, sd_bus_error *error)

/*
 * Sessions
 */

static bool session_of_path(Channel *ch, const char *path, SessionInfo *ret) {
        const char *id = path + strlen(SESSION_PREFIX);
        uint64_t number = 0;

        if (!g_str_has_prefix(path, SESSION_PREFIX) || strlen(id) != 16)
                return false;
        for (; *id != '\0'; id++) {
                if (!g_ascii_isxdigit(*id) || g_ascii_isupper(*id))
                        return false;
                number = number << 4 | (uint64_t) g_ascii_xdigit_value(*id);
        }
        return tree_get_session(member_get_tree(ch->server->member), number, ret);
}

int session_object_find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                        sd_bus_error *error) {
        SessionInfo info;

        if (!session_of_path(userdata, path, &info))
                return 0;
        *ret_found = userdata;
        return 1;
}

/* sd-bus frees the strings with free(), which is what g_malloc() uses. */
static char **take_nodes(GPtrArray *nodes) {
        g_ptr_array_add(nodes, NULL);
        return (char **) g_ptr_array_free(nodes, FALSE);
}

int session_object_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error) {
        Request page = { .op = REQUEST_LIST_SESSIONS, .entries_max = ENUMERATED_MAX };
        Channel *ch = userdata;
        GPtrArray *nodes = g_ptr_array_new();
        Result result;

        tree_read(member_tree(ch->server->member), &page, &result);
        for (uint32_t i = 0; i < result.items_count; i++)
                g_ptr_array_add(nodes, g_strdup_printf(SESSION_PREFIX "%016" PRIx64, result.sessions[i].id));
        *ret_nodes = take_nodes(nodes);
        return 0;
}

static int append_session_property(sd_bus_message *reply, const char *property, const SessionInfo *s) {
        if (g_str_equal(property, "Id"))
                return sd_bus_message_append(reply, "t", s->id);
        if (g_str_equal(property, "OwnerKind"))
                return sd_bus_message_append(reply, "s", owner_kind_to_string(s->owner_kind));
        if (g_str_equal(property, "Owner"))
                return sd_bus_message_append(reply, "s", s->owner);
        if (g_str_equal(property, "Member"))
                return sd_bus_message_append(reply, "u", s->member);
        if (g_str_equal(property, "Timeout"))
                return sd_bus_message_append(reply, "u", s->timeout_msec);
        if (g_str_equal(property, "Ephemerals"))
                return sd_bus_message_append(reply, "u", s->ephemerals_count);
        if (g_str_equal(property, "Created"))
                return sd_bus_message_append(reply, "x", s->ctime_msec);
        return identities_append(reply, s->identities);
}

GETTER(session_property) {
        SessionInfo info;

        if (!session_of_path(userdata, path, &info))
                return sd_bus_error_setf(error, SD_BUS_ERROR_UNKNOWN_OBJECT, "The session has ended");
        return append_session_property(reply, property, &info);
}

const sd_bus_vtable session_object_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Id", "t", get_session_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("OwnerKind", "s", get_session_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Owner", "s", get_session_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Member", "u", get_session_property, 0, 0),
        SD_BUS_PROPERTY("Timeout", "u", get_session_property, 0, 0),
        SD_BUS_PROPERTY("Ephemerals", "u", get_session_property, 0, 0),
        SD_BUS_PROPERTY("Created", "x", get_session_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Identities", "a(ss)", get_session_property, 0, 0),
        SD_BUS_VTABLE_END,
};

/*
 * Members
 */

static const ZabConfigMember *member_of_path(Channel *ch, const char *path) {
        g_autofree char *name = NULL;
        const ZabConfigMember *found = NULL;
        MemberStatus status;
        char *decoded = NULL;

        if (sd_bus_path_decode(path, MEMBER_PREFIX, &decoded) <= 0)
                return NULL;
        name = decoded;
        member_get_status(ch->server->member, &status);
        for (unsigned i = 0; status.config && i < status.config->members_count; i++)
                if (g_str_equal(status.config->members[i].name, name))
                        found = &status.config->members[i];
        return found;
}

int member_object_find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                       sd_bus_error *error) {
        if (!member_of_path(userdata, path))
                return 0;
        *ret_found = userdata;
        return 1;
}

int member_object_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error) {
        Channel *ch = userdata;
        GPtrArray *nodes = g_ptr_array_new();
        MemberStatus status;

        member_get_status(ch->server->member, &status);
        for (unsigned i = 0; status.config && i < status.config->members_count; i++) {
                char *node;

                if (sd_bus_path_encode(MEMBER_PREFIX, status.config->members[i].name, &node) >= 0)
                        g_ptr_array_add(nodes, node);
        }
        *ret_nodes = take_nodes(nodes);
        return 0;
}

GETTER(member_property) {
        const ZabConfigMember *m = member_of_path(userdata, path);
        char text[ID128_TEXT_BYTES];

        if (!m)
                return sd_bus_error_setf(error, SD_BUS_ERROR_UNKNOWN_OBJECT, "No such member (any more)");
        if (g_str_equal(property, "Sid"))
                return sd_bus_message_append(reply, "u", m->sid);
        if (g_str_equal(property, "Name"))
                return sd_bus_message_append(reply, "s", m->name);
        if (g_str_equal(property, "Role"))
                return sd_bus_message_append(reply, "s", member_role_to_string(m->role));
        if (g_str_equal(property, "Address"))
                return sd_bus_message_append(reply, "s", m->address);
        return sd_bus_message_append(reply, "s", id128_to_text(&m->disk_id, text));
}

const sd_bus_vtable member_object_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Sid", "u", get_member_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Name", "s", get_member_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Role", "s", get_member_property, 0, 0),
        SD_BUS_PROPERTY("Address", "s", get_member_property, 0, 0),
        SD_BUS_PROPERTY("DiskId", "s", get_member_property, 0, 0),
        SD_BUS_VTABLE_END,
};
