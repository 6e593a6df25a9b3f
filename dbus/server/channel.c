/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Channel
 */

#include "dbus/server/channel.h"

#include "dbus/server/connection.h"
#include "dbus/server/server-private.h"

static void slot_free(gpointer p) {
        sd_bus_slot_unref(p);
}

void channel_init(Channel *ch, Server *s, sd_bus *bus, Connection *connection) {
        ch->server = s;
        ch->bus = sd_bus_ref(bus);
        ch->connection = connection;
        ch->slots = g_ptr_array_new_with_free_func(slot_free);
}

static int publish_manager(Channel *ch) {
        static const struct {
                const char *interface;
                const sd_bus_vtable *vtable;
        } interfaces[] = {
                { "org.convene1.Tree", tree_vtable },
                { "org.convene1.Watches", watches_vtable },
                { "org.convene1.Sessions", sessions_vtable },
                { "org.convene1.Locks", locks_vtable },
                { "org.convene1.Leases", leases_vtable },
                { "org.convene1.Counters", counters_vtable },
                { "org.convene1.Barriers", barriers_vtable },
                { "org.convene1.Groups", groups_vtable },
                { "org.convene1.Queues", queues_vtable },
                { "org.convene1.Singletons", singletons_vtable },
                { "org.convene1.Ensemble", ensemble_vtable },
                { "org.convene1.Agent", agent_vtable },
                { "org.convene1.Statistics", statistics_vtable },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(interfaces); i++) {
                sd_bus_slot *slot;
                int r;

                r = sd_bus_add_object_vtable(ch->bus, &slot, OBJECT_PATH, interfaces[i].interface,
                                             interfaces[i].vtable, ch);
                if (r < 0)
                        return r;
                g_ptr_array_add(ch->slots, slot);
        }
        return 0;
}

static int publish_objects(Channel *ch) {
        static const struct {
                const char *prefix, *interface;
                const sd_bus_vtable *vtable;
                sd_bus_object_find_t find;
                sd_bus_node_enumerator_t enumerate;
        } objects[] = {
                { OBJECT_PATH "/session", "org.convene1.Session", session_object_vtable, session_object_find,
                  session_object_enumerate },
                { OBJECT_PATH "/lock", "org.convene1.Lock", queue_object_vtable, recipe_object_find, recipe_object_enumerate },
                { OBJECT_PATH "/election", "org.convene1.Election", queue_object_vtable, recipe_object_find,
                  recipe_object_enumerate },
                { OBJECT_PATH "/group", "org.convene1.Group", group_object_vtable, recipe_object_find,
                  recipe_object_enumerate },
                { OBJECT_PATH "/member", "org.convene1.Member", member_object_vtable, member_object_find,
                  member_object_enumerate },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(objects); i++) {
                sd_bus_slot *slot;
                int r;

                r = sd_bus_add_fallback_vtable(ch->bus, &slot, objects[i].prefix, objects[i].interface,
                                               objects[i].vtable, objects[i].find, ch);
                if (r < 0)
                        return r;
                g_ptr_array_add(ch->slots, slot);
                r = sd_bus_add_node_enumerator(ch->bus, &slot, objects[i].prefix, objects[i].enumerate, ch);
                if (r < 0)
                        return r;
                g_ptr_array_add(ch->slots, slot);
        }
        return 0;
}

int channel_publish(Channel *ch) {
        int r;

        r = publish_manager(ch);
        if (r < 0)
                return r;
        return publish_objects(ch);
}

void channel_done(Channel *ch) {
        g_clear_pointer(&ch->slots, g_ptr_array_unref);
        ch->bus = sd_bus_unref(ch->bus);
}

int channel_send(Channel *ch, sd_bus_message *m, uint64_t bytes) {
        int r;

        if (ch->connection && connection_is_doomed(ch->connection))
                return -ENOTCONN;
        r = sd_bus_send(ch->bus, m, NULL);
        if (ch->connection)
                connection_sent(ch->connection, r, bytes);
        return r;
}
