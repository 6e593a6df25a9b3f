/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Members wired together in one process
 *
 * A few Members with a log and a checkpoint in memory, FIFO connections between them and one clock.  Nothing happens by
 * itself: network_pump() completes I/O and delivers messages until there are none, network_run() lets time pass, too.
 */

#include <glib.h>

#include "agent/member/member.h"

#define HOSTS_MAX 5

typedef struct Network Network;
typedef struct Host Host;

struct Host {
        Network *network;
        uint32_t sid;
        Member *member;                 /* NULL: down */
        MemberClient *client;
        GString *trace;                 /* answers and events of the client, endings of sessions, divergence */

        /* the disk */
        ZabMeta meta;
        uint64_t base_index;
        Zxid base_zxid;
        GPtrArray *log;                 /* ZabEntry, from base_index + 1 */
        ZabPosition checkpoint;         /* installed; index 0: none */
        GBytes *checkpoint_config;
        GPtrArray *checkpoint_chunks;   /* GBytes */
        ZabPosition incoming;
        GBytes *incoming_config;
        GPtrArray *incoming_chunks;

        GQueue jobs;                    /* Job*: I/O that is under way */
        bool disk_stalled;
        GPtrArray *served;              /* GBytes: the snapshot being read by a follower */
        Hash128 served_digest;
        uint64_t conns[HOSTS_MAX + 1];
        uint64_t runs, snapshots, closes;
        GString *close_reason;          /* the last one */
};

struct Network {
        Host hosts[HOSTS_MAX + 1];      /* by sid */
        unsigned hosts_count;
        uint64_t now_usec;
        uint64_t next_conn;
        GQueue messages;                /* Message*, in order of sending */
        bool cut[HOSTS_MAX + 1][HOSTS_MAX + 1];
        bool silent[HOSTS_MAX + 1];     /* its connections stand, and what it sends or is sent is lost */
        bool stuck_at_keep[HOSTS_MAX + 1];      /* what it sends from a list of sessions that it keeps on is on its way for ever */
        bool stuck[HOSTS_MAX + 1];
        uint64_t delivered;
        uint64_t kill_leader_at;        /* not 0: after that many deliveries */
};

/* The first `voters` are voters, the others observers; their names are h1, h2 ... */
Network *network_new(unsigned hosts, unsigned voters);
Network *network_free(Network *n);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Network, network_free)

void network_pump(Network *n);
void network_run(Network *n, uint64_t msec);
void network_isolate(Network *n, uint32_t sid, bool isolated);

void host_kill(Host *h);                /* what was written is durable */
void host_start(Host *h);
void host_drop_log(Host *h);            /* a checkpoint of what is applied, and no log before it */

/* Runs until one serves as leader and everybody who is up serves. */
Host *network_settle(Network *n);
Host *network_leader(Network *n);
Host *network_follower(Network *n);     /* the up voter that does not lead, of the lowest sid */

void host_submit(Host *h, uint64_t tag, Request r, uint64_t watch, unsigned flags);
void host_expect(Host *h, const char *trace);   /* and forgets it */

/* Says what no member would. */
void network_inject(Network *n, uint32_t from, uint32_t to, const MemberMessage *message);
