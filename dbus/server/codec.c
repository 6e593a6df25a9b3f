/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Codec
 */

#include "dbus/server/codec.h"

#include <errno.h>
#include <string.h>

#include "agent/base/limits.h"

#define MESSAGE_BYTES 256               /* header, Stat and what else is always there */

int stat_append(sd_bus_message *m, const Stat *s) {
        return sd_bus_message_append(m, STAT_SIGNATURE, s->czxid, s->mzxid, s->pzxid, s->ctime_msec, s->mtime_msec,
                                     s->version, s->cversion, s->aversion, s->ephemeral_owner, s->data_length,
                                     s->children_count);
}

int bytes_append(sd_bus_message *m, const uint8_t *data, size_t size) {
        return sd_bus_message_append_array(m, 'y', data, size);
}

int acl_append(sd_bus_message *m, AclEntries acl) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "(uss)");
        if (r < 0)
                return r;
        for (uint32_t i = 0; i < acl.count; i++) {
                r = sd_bus_message_append(m, "(uss)", acl.items[i].permissions, acl.items[i].who.scheme,
                                          acl.items[i].who.id);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(m);
}

int identities_append(sd_bus_message *m, Identities ids) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "(ss)");
        if (r < 0)
                return r;
        for (uint32_t i = 0; i < ids.count; i++) {
                r = sd_bus_message_append(m, "(ss)", ids.items[i].scheme, ids.items[i].id);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(m);
}

int acl_read(sd_bus_message *m, GArray **ret) {
        g_autoptr(GArray) acl = g_array_new(FALSE, FALSE, sizeof(AclEntry));
        AclEntry e;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "(uss)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(m, "(uss)", &e.permissions, &e.who.scheme, &e.who.id)) > 0) {
                if (acl->len > LIMIT_ACL_ENTRIES)
                        return -E2BIG;
                g_array_append_val(acl, e);
        }
        if (r < 0)
                return r;
        *ret = g_steal_pointer(&acl);
        return sd_bus_message_exit_container(m);
}

static const char *const create_modes[_CREATE_MODE_MAX] = {
        [CREATE_PERSISTENT] = "persistent",
        [CREATE_EPHEMERAL] = "ephemeral",
        [CREATE_PERSISTENT_SEQUENTIAL] = "persistent-sequential",
        [CREATE_EPHEMERAL_SEQUENTIAL] = "ephemeral-sequential",
        [CREATE_CONTAINER] = "container",
        [CREATE_TTL] = "ttl",
        [CREATE_TTL_SEQUENTIAL] = "ttl-sequential",
};

bool create_mode_from_string(const char *s, CreateMode *ret) {
        for (unsigned i = 0; i < _CREATE_MODE_MAX; i++)
                if (g_str_equal(create_modes[i], s)) {
                        *ret = i;
                        return true;
                }

        return false;
}

bool create_mode_is_ephemeral(CreateMode mode) {
        return mode == CREATE_EPHEMERAL || mode == CREATE_EPHEMERAL_SEQUENTIAL;
}

bool create_mode_is_sequential(CreateMode mode) {
        return mode == CREATE_PERSISTENT_SEQUENTIAL || mode == CREATE_EPHEMERAL_SEQUENTIAL ||
               mode == CREATE_TTL_SEQUENTIAL;
}

bool watch_kind_from_string(const char *s, WatchKind *ret, bool *ret_exist) {
        static const struct {
                const char *name;
                WatchKind kind;
                bool exist;
        } kinds[] = {
                { "data", WATCH_DATA, false },
                { "exist", WATCH_DATA, true },
                { "children", WATCH_CHILDREN, false },
                { "persistent", WATCH_PERSISTENT, false },
                { "recursive", WATCH_PERSISTENT_RECURSIVE, false },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
                if (g_str_equal(kinds[i].name, s)) {
                        *ret = kinds[i].kind;
                        *ret_exist = kinds[i].exist;
                        return true;
                }

        return false;
}

const char *watch_event_to_string(WatchEventType type) {
        switch (type) {
        case WATCH_EVENT_CREATED: return "created";
        case WATCH_EVENT_DELETED: return "deleted";
        case WATCH_EVENT_DATA_CHANGED: return "data-changed";
        case WATCH_EVENT_CHILDREN_CHANGED: return "children-changed";
        }
        g_assert_not_reached();
}

static const char *const owner_kinds[_OWNER_KIND_MAX] = {
        [OWNER_EXPLICIT] = "explicit",
        [OWNER_CONNECTION] = "connection",
        [OWNER_UNIT] = "unit",
        [OWNER_DESCRIPTOR] = "descriptor",
        [OWNER_HOST] = "host",
};

const char *owner_kind_to_string(OwnerKind kind) {
        return kind < _OWNER_KIND_MAX ? owner_kinds[kind] : "unknown";
}

bool owner_kind_from_string(const char *s, OwnerKind *ret) {
        for (unsigned i = 0; i < _OWNER_KIND_MAX; i++)
                if (g_str_equal(owner_kinds[i], s)) {
                        *ret = i;
                        return true;
                }

        return false;
}

const char *member_role_to_string(ZabMemberRole role) {
        return role == ZAB_MEMBER_OBSERVER ? "observer" : "voter";
}

uint64_t request_bytes(const Request *r) {
        uint64_t n = MESSAGE_BYTES + r->data_size + (r->path ? strlen(r->path) : 0);

        for (uint32_t i = 0; i < r->operations_count; i++)
                n += request_bytes(&r->operations[i]);
        return n;
}

uint64_t result_bytes(const Result *r) {
        uint64_t n = MESSAGE_BYTES + r->data_size;

        for (uint32_t i = 0; i < r->items_count && r->items; i++)
                n += MESSAGE_BYTES / 2 + strlen(r->items[i].path) + r->items[i].data_size;
        for (uint32_t i = 0; i < r->items_count && r->sessions; i++)
                n += MESSAGE_BYTES + strlen(r->sessions[i].owner);
        for (uint32_t i = 0; i < r->acl.count; i++)
                n += 16 + strlen(r->acl.items[i].who.scheme) + strlen(r->acl.items[i].who.id);
        for (uint32_t i = 0; i < r->results_count; i++)
                n += result_bytes(&r->results[i]);
        return n;
}
