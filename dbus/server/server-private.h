/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the files of this folder share.
 *
 *     Channel     one sd_bus we serve: the broker's, or one connection of the local socket
 *     Caller      one unique name of the broker, or one connection of the local socket; has a MemberClient
 *     Account     what one uid holds; shared by its callers
 *     Call        one method call without an answer yet
 *     OwnedSession  a session this agent answers for, and what ends it
 */

#include "dbus/server/account.h"
#include "dbus/server/channel.h"
#include "dbus/server/deferred.h"
#include "dbus/server/server.h"

typedef struct ServerCounters {
        uint64_t calls, errors, events, limits_reached, connections_opened, connections_refused, connections_cut,
                 callers_seen, attach_refused;
} ServerCounters;

struct Server {
        sd_event *event;
        Member *member;
        Units *units;
        Polkit *polkit;
        FdStore *fds;
        ServerAgent agent;
        ServerLimits limits;
        char *host;
        uint32_t timeout_min_msec, timeout_max_msec, timeout_default_msec;
        uid_t admin_uid;

        Channel *bus;                   /* the broker; NULL: none */
        DeferredQueue later;
        Deferred emit;                  /* PropertiesChanged of the ensemble and the agent */
        unsigned emit_what;             /* ServerChange bits */
        sd_event_source *zxid_timer;
        Zxid zxid_emitted;

        GHashTable *accounts;           /* uid -> Account, borrowed */
        MemberClient *client;           /* requests that outlive their caller: opening and closing sessions */
        Identity identities[2];         /* see server_identities() */
        uint64_t held_bytes;            /* in calls that wait for their callers to be known */

        /* owners.c, open.c, recover.c */
        GHashTable *owned;              /* session -> OwnedSession */
        sd_event_source *retry_timer;
        sd_event_source *stored_timer;  /* see server_guard_stored() */
        uint64_t stored_since_usec;
        struct Promises *promises;      /* NULL: none are kept; see promised.c */
        sd_event_source *promised_timer;
        uint64_t promised_usec;         /* between two looks */
        bool promised_armed;
        uint64_t dropped_usec;          /* when the last of them were hung up; 0: none */
        char bus_id[33];                /* "": not known yet */
        GQueue deliveries;              /* outcomes on their way to whoever had a session opened */

        /* grant.c, attempt.c, lease-bus.c, place.c */
        GQueue grants;                  /* Grant */
        GQueue stands;                  /* Stand */
        GQueue hand_overs;              /* HandOver */
        GQueue attempts;                /* Attempt */
        struct Sightings *sightings;    /* of leases */
        struct RecipeObjects *recipe_objects;
        MemberClient *watcher;          /* watches the places */
        GHashTable *places;             /* path -> Place */
        GHashTable *places_by_watch;    /* Place.watch -> Place */
        uint64_t next_place_watch;

        /* yield.c */
        bool away;                      /* this host is about to sleep or to shut down, or does */
        void (*yielded)(void *userdata);        /* NULL: nobody waits for it */
        void *yielded_userdata;
        Deferred yield;

        /* socket.c */
        GQueue listeners;
        GQueue connections;
        uint64_t next_connection;
        GQueue credentials;             /* credential.c */
        sd_id128_t socket_id;           /* what the local socket calls its server */

        struct Call *detached;          /* calls that no caller waits for, or whose answer must be heard anyway */
        struct Call *free_calls;
        unsigned free_calls_count;
        struct Call *submitting;        /* being given to the member; NULL once it is answered */
        ServerCounters counters;
};

/* Whether requests from this host may be made with all rights: only while it votes. */
bool server_may_be_super(const Server *s);
/* PropertiesChanged, to everybody. */
void server_emit(Server *s, const char *path, const char *interface, const char *const *properties);
/* The agent's own: host, and super if it may. */
Identities server_identities(const Server *s);
/* Those with which it reads its own tree for itself, which asks nobody: all of it, whether it votes or not. */
Identities server_reading_identities(const Server *s);

typedef enum ServerChange {
        SERVER_CHANGED_ROLE = 1,
        SERVER_CHANGED_ZXID = 2,
        SERVER_CHANGED_PROBLEMS = 4,
} ServerChange;
