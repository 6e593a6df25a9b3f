/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Channel
 *
 * One sd_bus that we serve.  The vtables are the same on every channel and have it as their userdata.
 */

#include "dbus/server/server.h"

#define OBJECT_PATH "/org/convene1"

typedef struct Caller Caller;
typedef struct Connection Connection;

typedef struct Channel {
        Server *server;
        sd_bus *bus;
        GHashTable *callers;            /* broker: unique name -> Caller (owned) */
        Caller *caller;                 /* local socket: the one there is */
        Connection *connection;         /* local socket: its byte stream; NULL on the broker */
        GPtrArray *slots;               /* sd_bus_slot* of vtables and matches */
} Channel;

static inline bool channel_is_broker(const Channel *ch) {
        return !ch->connection;
}

void channel_init(Channel *ch, Server *s, sd_bus *bus, Connection *connection);
/* Publishes every interface. */
int channel_publish(Channel *ch);
void channel_done(Channel *ch);

/* Sends and counts; `bytes` is about what the message takes.  A message that cannot be sent is dropped: the receiver's end
 * is noticed elsewhere. */
int channel_send(Channel *ch, sd_bus_message *m, uint64_t bytes);

/* The vtables, one per interface. */
extern const sd_bus_vtable tree_vtable[], watches_vtable[], sessions_vtable[], locks_vtable[], leases_vtable[], counters_vtable[], barriers_vtable[], groups_vtable[],
        queues_vtable[],
        singletons_vtable[],
        ensemble_vtable[], agent_vtable[], statistics_vtable[], session_object_vtable[], member_object_vtable[],
        queue_object_vtable[], group_object_vtable[];

/* Objects below /org/convene1 that come and go. */
int session_object_find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                        sd_bus_error *error);
int session_object_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error);
int member_object_find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                       sd_bus_error *error);
int member_object_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error);

int recipe_object_find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                       sd_bus_error *error);
int recipe_object_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(sd_bus_message, sd_bus_message_unref)
