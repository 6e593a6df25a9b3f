/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Server
 *
 * The bus front: org.convene1 on the system bus and, without a broker in between, on the local socket; the same vtables on
 * both.  It decodes calls, knows who calls, submits to the member, encodes answers.  It decides nothing about the tree.
 */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "agent/host/fdstore.h"
#include "agent/host/polkit.h"
#include "agent/host/units.h"
#include "agent/member/member.h"

typedef struct Server Server;

/* Per-uid bounds (agent/base/limits.h names the defaults). */
typedef struct ServerLimits {
        uint32_t sessions, ephemerals, watches, calls, connections;
        uint64_t bytes;
} ServerLimits;

/* Another member, as this one sees it. */
typedef struct ServerPeer {
        bool connected;
        uint64_t since_usec;            /* CLOCK_BOOTTIME: connected, or not, since then; 0: never */
        const char *error;              /* why the last connection ended; NULL: none; borrowed until the loop goes on */
        bool known;                     /* this member leads, so the following is known: */
        bool synced;
        uint64_t acked;                 /* index that is durable there */
        uint64_t heard_usec;            /* CLOCK_BOOTTIME */
} ServerPeer;

typedef void (*ServerTokenDone)(void *sink, const char *token, ConveneStatus status, const char *error);

typedef void (*ServerRotateDone)(void *sink, ConveneStatus status, const char *error);

/* A unit that runs on one host of many, as this one sees it (org.convene1.Singletons); borrowed during the call. */
typedef struct ServerSingleton {
        const char *name, *unit, *state;
        const char *text;               /* why it is so; NULL: nothing to be said */
        const char *const *hosts;       /* who stand, in their order */
        uint32_t copies;
        uint64_t token;                 /* of the first; 0: nobody stands */
        uint64_t deadline_usec;         /* CLOCK_BOOTTIME: until then it may run here; 0: it may not */
        uint64_t until_usec;            /* CLOCK_BOOTTIME: this host stands back until then; 0: it does not */
} ServerSingleton;

/* What main knows and the bus shows; all called on the event loop. */
typedef struct ServerAgent {
        /* Adds the agent's own numbers to Statistics.Get. */
        void (*statistics)(void *userdata, void (*add)(void *sink, const char *name, uint64_t value), void *sink);
        /* Problems as sentences, NULL-terminated, owned by the caller (g_strfreev). */
        char **(*problems)(void *userdata);
        /* Starts a checkpoint; `done` is called once. */
        void (*checkpoint)(void *userdata, void (*done)(void *sink, int error, Zxid zxid), void *sink);
        /* Calls `each` for every declared presence of a running unit. */
        void (*presences)(void *userdata,
                          void (*each)(void *sink, const char *unit, const char *invocation, const char *path,
                                       uint64_t session, const char *error),
                          void *sink);
        /* A user has reached a limit (its key in convened.conf and its value); at most once a minute and user.  May be NULL. */
        void (*limit_reached)(void *userdata, uid_t uid, const char *key, uint64_t value);
        /* The credential of a unit is not given; `why` is a sentence.  May be NULL. */
        void (*credential_refused)(void *userdata, const char *unit, const char *name, const char *why);
        /* Makes a token with which one host may join, `name` if not NULL; `done` is called once, with the token, or with a status and
         * a sentence that say why there is none. */
        void (*token)(void *userdata, const char *name, uint64_t lifetime_msec, ServerTokenDone done, void *sink);
        /* Gives this member a new key; `done` is called once, when the ensemble knows no other one. */
        void (*rotate_key)(void *userdata, ServerRotateDone done, void *sink);
        /* Calls `each` for every singleton that is known here. */
        void (*singletons)(void *userdata, void (*each)(void *sink, const ServerSingleton *one), void *sink);
        /* This host stays out of an election until let go. */
        ConveneStatus (*hold)(void *userdata, const char *name, bool hold);
        /* What is known of another member. */
        void (*peer)(void *userdata, uint32_t sid, ServerPeer *ret);
        void *userdata;
} ServerAgent;

typedef struct ServerOptions {
        const char *host;               /* this host's name, copied */
        ServerLimits limits;
        uint32_t session_timeout_min_msec, session_timeout_max_msec, session_timeout_default_msec;
        uid_t admin_uid;                /* besides root: the agent's own user outside the system ((uid_t) -1: none) */
} ServerOptions;

Server *server_new(sd_event *event, Member *member, Units *units, Polkit *polkit, FdStore *fds,
                   const ServerOptions *options, const ServerAgent *agent);
Server *server_free(Server *s);
/* At a reload.  Sessions that are open keep the timeout they got. */
void server_set_limits(Server *s, const ServerLimits *limits);
void server_set_timeouts(Server *s, uint32_t min_msec, uint32_t max_msec, uint32_t default_msec);

/* Serves on the system bus; the name is requested by the caller after the member serves.  NULL: the bus is gone: every
 * caller on it has left.  The server takes its own reference. */
int server_set_bus(Server *s, sd_bus *bus);

/* Serves on a listening AF_UNIX socket, which now belongs to the server. */
int server_listen(Server *s, int fd);

/* Serves LoadCredential= of systemd on a listening AF_UNIX socket, which now belongs to the server; see credential.c. */
int server_listen_credentials(Server *s, int fd);

/* From the member's driver and from main. */
void server_on_session_ended(Server *s, uint64_t session, bool expired);
void server_on_role_changed(Server *s);
void server_on_problems_changed(Server *s);

/* After start-up, once: sessions of this member found in the tree are bound to their owners again (unit runs by InvocationID,
 * connections by name owner, descriptors from the fd store, the host's are kept) or closed if those ended meanwhile (DESIGN 2.7).
 * Call when the member has begun to serve. */
void server_recover_owners(Server *s);

/* From the start until then: the stored descriptors of grants hang up if their sessions are not found again in time, because
 * meanwhile the ensemble may give to another what they stand for.  `since_usec`: CLOCK_BOOTTIME when the agent started. */
void server_guard_stored(Server *s, uint64_t since_usec);

/* Before that: the directory where what was promised outlives the agent, and how often the ensemble is heard.  Negative errno: it cannot be
 * kept there, and after a restart without a quorum what is held is given up early. */
int server_keep_promises(Server *s, const char *directory, uint32_t heartbeat_msec);

/* This host is about to sleep or to shut down.  Whatever somebody here holds and keeps others out with is lost to its holder at once, and
 * open to others after the holder's grace; and nothing of that kind is given to anybody here before server_resume().  `done` is called
 * once, from the event loop, when all that is over: never, while the ensemble has no quorum. */
void server_yield(Server *s, void (*done)(void *userdata), void *userdata);
void server_resume(Server *s);          /* nobody is told any more */
unsigned server_yielding(const Server *s);      /* how many such grants there are */

/*
 * Sessions on behalf of units, for declared presence: the server opens and closes them like those of callers.
 */
/* Calls `opened` once with status and id.  When the unit's run ends the session is closed by the server. */
void server_open_unit_session(Server *s, const UnitFacts *run, uint32_t timeout_msec,
                              void (*opened)(void *userdata, ConveneStatus status, uint64_t session), void *userdata);
/* Sees to it that one so opened is closed; 0, or one that has ended: nothing. */
void server_close_unit_session(Server *s, uint64_t session);
