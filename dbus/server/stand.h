/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Stand
 *
 * This host itself stands in an election, for one of its units: a contender as any other below the election's znode (agent/recipe),
 * whose session lives with the host and is kept over restarts of the agent.  Who is first leads; with several copies, the
 * first so many.  What follows from that for the unit is decided elsewhere (agent/main/singleton.c).
 */

#include "agent/recipe/contender.h"
#include "dbus/server/owners.h"
#include "dbus/server/place.h"

typedef enum StandState {
        STAND_OPENING,                  /* its session, its znode */
        STAND_WAITING,                  /* behind others */
        STAND_LEADING,
        STAND_LEAVING,                  /* until its session has ended */
        STAND_GONE,                     /* over, and why is in stand_error() */
} StandState;

typedef struct Stand Stand;

/* `copies`: how many may lead.  `changed` is called from the event loop after each change of state, and whenever somebody came or went
 * before this one. */
Stand *stand_new(Server *s, const char *election, uint32_t copies, uint32_t timeout_msec,
                 void (*changed)(void *userdata), void *userdata);
/* Ends the session: whoever is next leads as soon as that is done.  Then it is GONE. */
void stand_leave(Stand *st);
/* Nobody listens any more.  One that is not GONE stays, with its session, for the next agent to find. */
Stand *stand_free(Stand *st);

StandState stand_state(const Stand *st);
/* CONVENE_OK: it was left; _SESSION_EXPIRED: its time ran out; otherwise why it could not begin. */
ConveneStatus stand_error(const Stand *st);
Zxid stand_token(const Stand *st);              /* while WAITING or LEADING */
/* A hand-over is under way (handover.h), and by it this host, which leads, is to resign; or is not to lead if its turn comes. */
bool stand_is_to_resign(const Stand *st);
bool stand_is_passed_over(const Stand *st);
bool stand_is_chosen(const Stand *st);          /* ... or this host is the one that is to lead */
void stand_set_copies(Stand *st, uint32_t copies);
/* CLOCK_BOOTTIME usec up to which the ensemble has promised to keep the session, and its timeout; 0: not known. */
uint64_t stand_promised_usec(const Stand *st);
uint32_t stand_timeout_msec(const Stand *st);
/* What a session gets that asks for so much. */
uint32_t stand_timeout_for(const Server *s, uint64_t timeout_msec);

/* After a restart of the agent, once the owners were found again: those of this host.  The callback says who listens by stand_listen();
 * one that nobody listens to is left. */
void stands_recover(Server *s, void (*found)(void *userdata, const char *election, Stand *st), void *userdata);
void stand_listen(Stand *st, void (*changed)(void *userdata), void *userdata);

/* Everybody who stands in an election, as this agent's tree has it, in their order. */
typedef struct StandSeen {
        char *host;                     /* "": not known */
        Zxid token;
        bool ours;                      /* this host's own */
        bool hears;                     /* of a hand-over: an agent stands for it */
        uint32_t priority;              /* of a campaign */
} StandSeen;
GArray *stands_see(Server *s, const char *election);    /* of StandSeen; owned by the caller */
bool stands_has(Server *s, const char *election, const char *host);

/* Inside the server. */
AclEntries stand_acl(void);
void stand_on_session_gone(Stand *st);
void stands_done(Server *s);
