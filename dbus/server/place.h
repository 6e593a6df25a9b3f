/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Place
 *
 * A znode at which somebody of this host waits for something.  It is watched here, in the agent's own tree, for as long as anybody does;
 * what happens there has all of this host's guests look, in the order in which they came, in one go.
 */

#include "agent/member/member.h"
#include "agent/recipe/lineup.h"
#include "dbus/server/server.h"

typedef struct Place Place;

typedef struct Guest {
        Place *place;                   /* NULL: at none */
        GList link;
        bool every_event;               /* otherwise only when something has been deleted */
        void (*look)(void *userdata);   /* must not leave any place; from the event loop */
        /* May be NULL.  Tells of each event when it happens, inside the member's outward call; path NULL: some may have been
         * missed. */
        void (*saw)(void *userdata, WatchEventType type, const char *path, Zxid zxid);
        void *userdata;
} Guest;

void places_init(Server *s);
void places_done(Server *s);

void place_join(Server *s, const char *path, Guest *g);         /* looks soon */
void place_leave(Guest *g);
void place_look(Guest *g);              /* all who are there look soon */

/* An update of one guest is under way: whether the others should make one is not known before that is done. */
void place_occupy(Guest *g);
void place_vacate(Guest *g);
bool place_is_occupied(const Guest *g);

/* From inside look(): the contenders there, read once for all guests. */
const Lineup *place_lineup(const Guest *g);

/* The names, and the contenders among them, below a path as this agent's tree has them; never NULL. */
GPtrArray *place_children(Server *s, const char *parent);
Lineup *place_read(Server *s, const char *parent);
