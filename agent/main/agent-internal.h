/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the files of the agent share: all parts, and who begins what.
 */

#include <systemd/sd-event.h>

#include "agent/main/agent.h"
#include "agent/main/broker.h"
#include "agent/main/checkpointer.h"
#include "agent/main/own.h"
#include "agent/main/presences.h"
#include "agent/main/singletons.h"
#include "agent/peer/join.h"
#include "agent/peer/mesh.h"
#include "agent/store/store.h"

typedef struct Agent {
        const AgentOptions *options;
        Conf conf;
        char *host;
        sd_event *event;
        sd_event_source *tick, *apply_turn, *patience, *transfer_deadline;
        uint64_t appended_io_seq, applied_io_seq;       /* durable; and handed to the member */
        uint64_t snap_io_seq;           /* of the snapshot that is being installed; 0: none */
        Store *store;
        Member *member;
        Own *own;                       /* the agent's own requests */
        Checkpointer *checkpointer;
        NetKey *key;
        bool key_lost;                  /* there is a store, and `key` is a new one that is on no disk yet */
        ZabConfig *known;               /* that the mesh goes by: links.c */
        sd_event_source *farewell;
        sd_event_source *listen_again;
        PeerMesh *mesh;                 /* NULL: alone, and nowhere to be reached */
        struct Rotation *rotation;      /* of the key, under way: rotation.c */
        GPtrArray *admissions;          /* who asks to join: admission.c */
        GPtrArray *openings;            /* snapshots that wait for the first checkpoint: driver.c */
        FdStore *fds;
        Units *units;
        Polkit *polkit;
        Server *server;
        Presences *presences;
        Singletons *singletons;
        struct Absence *absence;        /* NULL: there is no bus on which logind could be */
        Broker *broker;
        char *broker_problem, *mesh_problem, *join_problem;
        bool open;                      /* fronts may be called */
        bool named;                     /* the name on the system bus is ours */
        bool begun;                     /* has served once: fronts are open */
        bool announced;                 /* READY=1 was sent */
        void (*transferred)(struct Agent *a);   /* called when leadership has been handed over; NULL: it is not being */
        bool retiring;                  /* it is to end: retire.c */
        UnitLookup *own_unit;           /* ... and asks whether it is restarted */
        UnitJob *own_job;
        bool self_told;                 /* its own entry in the configuration was looked at */
        bool telling;                   /* the ensemble is asked to change that entry */
        uint64_t tell_again_usec;       /* not before */
        bool space_available;
        uint64_t started_usec;
        uint64_t turn_usec_max;         /* longest turn of the event loop */
} Agent;

uint64_t agent_clock_usec(clockid_t clock);
void agent_notify_status(Agent *a);
void agent_end(Agent *a, int exit_status);
void agent_look(Agent *a);              /* has it begun to serve? */

/* driver.c */
MemberDriver driver_for_member(Agent *a);
StoreListener driver_for_store(Agent *a);
int driver_add_apply_turn(Agent *a);

/* links.c: the mesh */
int links_open(Agent *a);               /* 0, or an exit status */
void links_on_config(Agent *a);
void links_done(Agent *a);
void links_send(Agent *a, uint64_t conn, const PeerMessage *message);
void links_close(Agent *a, uint64_t conn, const char *reason);
void links_look(Agent *a);              /* tells the ensemble this member's name, address and key, where they changed */
char *links_join_file(const Agent *a);  /* what a join brought; owned by the caller */

/* admission.c: who may join */
GPtrArray *admissions_new(void);
void admission_ask(Agent *a, PeerJoin *join, const PeerJoinRequest *request);
void admission_cancelled(Agent *a, PeerJoin *join);
bool admission_is_there(const Agent *a, const char *name);      /* a member of this name, connected */

/* tokens.c: what lets a host in */
void tokens_make(void *agent, const char *name, uint64_t lifetime_msec, ServerTokenDone done, void *sink);
char *tokens_path(const uint8_t hash[static 32]);       /* of its znode; owned by the caller */
int64_t tokens_wall_msec(void);
/* The znode that they are below: was it made and kept by members alone? */
void tokens_look(Agent *a, void (*done)(void *userdata, const Result *result), void *userdata);
bool tokens_are_ours(const Result *looked);

/* rotation.c: a new key for this member */
void rotation_begin(void *agent, ServerRotateDone done, void *sink);
void rotation_on_told(Agent *a);        /* the ensemble has this member's key, and no other one for it */
void rotation_forget(Agent *a);
bool rotation_has_two_keys(const Agent *a);     /* the ensemble is to know both for now */

/* founding.c: a store that is blank */
int founding_key(Agent *a);             /* loads the member's key, or makes one */
int founding_store(Agent *a);           /* founds an ensemble, or joins one; 0, or an exit status */
void founding_done(const Agent *a);     /* there is a store: what a join that was interrupted has left is over */
GBytes *founding_config(const Agent *a);
int founding_check(Agent *a);           /* does what the ensemble agreed on fit this host and program?  0, or an exit status */

/* retire.c: the end that somebody asks for; asked twice, it comes at once */
void retire(Agent *a);
void retire_forget(Agent *a);

/* transfer.c: leadership of the ensemble, to another member */
bool transfer_is_due(const Agent *a);   /* this member has it, and there are others */
/* `done` is called once, perhaps before this returns: handed over, or it cannot be, or not within a second.  Who asks last is told. */
void transfer_begin(Agent *a, void (*done)(Agent *a));
void transfer_on_role(Agent *a, ZabRole role);
void transfer_forget(Agent *a);

/* absence.c: this host sleeps or shuts down */
void absence_open(Agent *a);
void absence_set_bus(Agent *a, sd_bus *bus);
void absence_on_singletons(Agent *a);   /* there are singletons from now on */
void absence_done(Agent *a);

/* view.c */
ServerAgent view_for_server(Agent *a);
