/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * World
 *
 * An ensemble in one process: hosts with real members over virtual disks, the wires between them, clients, what goes
 * wrong, and the judges, all driven by one agenda from one seed.  First anything may happen and nothing may be lost;
 * then everything is healed and progress is demanded.
 *
 *     world.c     birth, the loop, the two phases        host.c    one host: the driver of its member
 *     network.c   connections                            fault.c   what goes wrong
 *     workload.c  what clients do                        admin.c   who belongs to the ensemble
 *     judge-*.c   what must hold                         recipes.c callers of recipes (locks, leases, queues ...)
 */

#include "agent/member/member.h"
#include "tests/sim/agenda.h"
#include "tests/sim/params.h"
#include "tests/sim/statistics.h"
#include "tests/sim/vstore.h"

typedef struct World World;
typedef struct Host Host;
typedef struct Connection Connection;
typedef struct Workload Workload;
typedef struct Judge Judge;
typedef struct Admin Admin;
typedef struct HostJudge HostJudge;
typedef struct Recipes Recipes;

typedef enum HostState {
        HOST_ABSENT,                    /* not yet, or not any more, a member of anything: never starts by itself */
        HOST_DOWN,
        HOST_UP,
} HostState;

typedef struct Snapshot {               /* being read for a follower */
        uint64_t request;
        VCheckpoint *checkpoint;
        unsigned next_row;
} Snapshot;

struct Host {
        World *world;
        uint32_t sid;
        HostState state;
        uint32_t run;                   /* grows with each start; events of others are void */
        uint64_t resume_usec;           /* paused until then */
        uint64_t slow_usec;             /* its disk is slow until then */
        Id128 disk_id;
        uint8_t pin[32];                /* a key of its own with each disk */

        uint64_t boot_usec, clock_base; /* CLOCK_BOOTTIME: base at the instant `boot` of the world */
        int64_t clock_ppm;
        int64_t wall_skew_msec;

        VStorage storage;
        VStore *store;                  /* also while down: what was durable at the crash */
        Member *member;
        uint64_t tick_usec;             /* of the world: when the next EVENT_TICK is due */

        bool slicing, has_checkpoint;   /* a checkpoint of its own is being handed over; there is one */
        bool slice_full;
        VChanges *slices;
        CheckpointPosition slice_at;

        VChanges *incoming;             /* a snapshot from the leader */
        CheckpointPosition incoming_at;

        GQueue reads;                   /* Read: answers due, in order */
        GArray *snapshots;              /* Snapshot */

        bool aimed;
        PersistPoint aim_point;
        PersistPhase aim_phase;
        unsigned aim_skip;

        bool lost_disk;                 /* wiped or rotten since a configuration last took it in */
        uint64_t wiped_usec;            /* when */
        HostJudge *judge;
};

struct World {
        uint64_t seed;
        Params params;
        Prng prng;                      /* of all that is random */
        uint64_t now_usec;
        Agenda agenda;
        Id128 cluster_id;
        GBytes *genesis;
        Host hosts[HOSTS_MAX + 1];      /* by sid */

        GPtrArray *connections;         /* Connection, by number - 1; NULL: over */
        Connection *pairs[HOSTS_MAX + 1][HOSTS_MAX + 1];        /* the newest, lower sid first */
        bool dialling[HOSTS_MAX + 1][HOSTS_MAX + 1];            /* the pair's EVENT_DIAL is due */
        unsigned blocked[HOSTS_MAX + 1][HOSTS_MAX + 1];         /* by from and to: how many partitions say so */
        GPtrArray *partitions;

        Workload *workload;
        Judge *judge;
        Admin *admin;
        Recipes *recipes;               /* NULL: none in this world */
        unsigned phase;                 /* 1, 2 */
        uint64_t heal_usec, progress_usec, quiet_until_usec, quiet_elections;
        bool done;
        char *failure;                  /* the first thing that did not hold; owned */
        uint64_t trace_hash;
        uint64_t events;
        bool verbose;
        Statistics *statistics;
        Writer writer;
};

World *world_new(uint64_t seed, SimProfile profile, Statistics *statistics, bool verbose);
/* Runs it to the end; then looks at what only the whole history shows.  False: something did not hold; see `failure`. */
bool world_run(World *w);
bool world_judge(World *w);
World *world_free(World *w);

/* The first failure ends the world after the event at hand. */
void world_fail(World *w, const char *invariant, const char *format, ...) __attribute__((format(printf, 3, 4)));
void world_hash(World *w, uint64_t value);
void world_trace(World *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define TRACE(w, ...) do { if ((w)->verbose) world_trace(w, __VA_ARGS__); } while (false)
void world_heal(World *w);              /* phase 2 begins, at once */
uint64_t world_draw(World *w, const Spread *s);
/* It is a member by the last committed configuration, with the disk that it has. */
bool world_takes_part(const World *w, const Host *h);
uint32_t world_host_key(const Host *h); /* for events: sid and run */

/* host.c */
void host_init(Host *h, World *w, uint32_t sid, ZabMembership membership);
void host_done(Host *h);
void host_start(Host *h);
void host_crash(Host *h, bool power);
void host_pause(Host *h, uint64_t usec);
void host_wipe(Host *h);                /* while down: a new disk, that may join */
uint64_t host_clock(const Host *h);
uint64_t host_instant(const Host *h, uint64_t clock);   /* of the world, at which the host's clock has come to that */
bool host_is_paused(const Host *h);
void host_after_input(Host *h);         /* what the member wants next, and the judges */
void host_begin_checkpoint(Host *h);
void host_on_tick(Host *h);
void host_on_read(Host *h);
void host_on_slice(Host *h);
void host_config_member(const Host *h, ZabMemberRole role, ZabConfigMember *ret);
void host_set_driver(Host *h, MemberDriver *ret);

/* network.c */
void network_init(World *w);
void network_done(World *w);
void network_send(Host *h, uint64_t conn, const PeerMessage *message);
void network_close(Host *h, uint64_t conn);
void network_host_crashed(Host *h, bool power);
void network_check_permissions(World *w, Host *h);
void network_break_pair(World *w, uint32_t a, uint32_t b);
void network_block(World *w, uint32_t from, uint32_t to);
void network_unblock(World *w, uint32_t from, uint32_t to);
uint32_t network_peer(World *w, uint64_t conn);         /* the sid at the other end, 0 if the connection is over */
void network_on_permit(World *w, uint64_t pair);
void network_on_dial(World *w, uint64_t pair);
void network_on_up(World *w, uint64_t end);
void network_on_down(World *w, uint64_t end);
void network_on_deliver(World *w, uint64_t end);

/* fault.c */
void fault_init(World *w);
void fault_on_event(World *w);
#define FAULT_EVERY_PARTITION UINT64_MAX
void fault_on_heal_links(World *w, uint64_t number);
void fault_on_moment(Host *h, Moment m);        /* now; trouble may follow in the next instant or a little later */
void fault_strike_moment(Host *h, Moment m);
void fault_heal_all(World *w);
void fault_done(World *w);

/* admin.c: what an administrator does */
void admin_init(World *w);
void admin_done(World *w);
void admin_on_event(World *w);
void admin_heal(World *w);              /* what was asked during phase 1 is of no interest any more */
bool admin_is_idle(const World *w);
void admin_reconfigure(World *w);       /* something at random */
void admin_transfer(World *w);
void admin_host_crashed(World *w, Host *h);
void admin_suspects(World *w, const Host *h);   /* it looks as if it were gone */
/* Its vote is taken from it, if that can be done until then; and then everything is healed. */
void admin_demote_ahead(World *w, const Host *h, uint64_t until_usec);
/* How many more voters of every configuration in force may lose their disks. */
bool admin_may_lose_disk(World *w, const Host *h);
