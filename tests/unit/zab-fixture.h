/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Zab fixture
 *
 * A handful of zabs with every message and every completion in the test's hands.  Messages wait in one queue, in the order
 * of sending; nothing is durable before the test, or net_run(), says so.
 */

#include <glib.h>

#include "agent/zab/zab.h"

#define NODES_MAX 6
#define SECOND UINT64_C(1000000)

typedef struct Net Net;

typedef struct Node {
        Net *net;
        uint32_t sid;
        Id128 disk_id;
        Zab *zab;                       /* NULL: crashed */

        /* the disk */
        ZabMeta meta;                   /* durable */
        ZabMembership membership;       /* to start with */
        GPtrArray *log;                 /* ZabEntry, durable, after `checkpoint` */
        ZabPosition checkpoint;
        GBytes *checkpoint_config;
        uint64_t base;                  /* the log has been dropped up to here */
        GQueue operations;              /* Operation, not yet durable */
        ZabMeta meta_writing;
        uint64_t meta_io_seq;
        bool slow_log, slow_meta;       /* net_run() completes nothing */

        /* what it did */
        GArray *applied;                /* Zxid by index, from 1 */
        uint64_t first_applied;         /* index of applied[0] */
        GArray *reads;                  /* ids answered */
        uint64_t read_index;            /* of the newest */
        ZabRole role;
        unsigned closes, snapshots, switches, stops, chunks_in, truncates, log_reads, elections;
        const char *last_reason;
        uint32_t regressed;             /* sid of the disk it was told of last */
        uint64_t regressed_from, regressed_to;
        struct {
                uint64_t request, chunks;       /* request 0: free */
                ZabPosition position;
        } open[NODES_MAX];              /* snapshots being sent */
        GPtrArray *incoming;            /* chunks of a snapshot */
        bool behind;                    /* and they wait for the disk */
        ZabPosition incoming_position;
        GBytes *incoming_config;
} Node;

typedef struct Envelope {
        uint64_t conn;
        Node *from, *to;
        ZabMessage message;             /* owned copy */
} Envelope;

struct Net {
        Node nodes[NODES_MAX + 1];      /* by sid */
        unsigned nodes_count;
        uint64_t now;
        uint64_t conns;
        uint64_t conn[NODES_MAX + 1][NODES_MAX + 1];
        bool blocked[NODES_MAX + 1][NODES_MAX + 1];     /* messages from, to wait */
        bool manual_network;            /* a closed connection stays closed */
        GQueue messages;                /* Envelope */
        unsigned sent[_ZAB_MESSAGE_MAX];
        GPtrArray *forged;              /* messages to be freed at the end */
        uint64_t tail_bytes, window_bytes;
};

/* Members 1..voters are voters of the founding configuration; 1..nodes exist, none is started. */
Net *net_new(unsigned nodes, unsigned voters);
void net_free(Net *n);

/* A configuration of these voters (sids, ended by 0) and observers (the same). */
GBytes *net_config(Net *n, const uint32_t *voters, const uint32_t *observers);

void node_start(Net *n, uint32_t sid);          /* from its disk */
void node_crash(Net *n, uint32_t sid);          /* loses what is not durable, and its connections */
void node_wipe(Net *n, uint32_t sid);           /* ... and everything else: another disk */
void node_checkpoint(Net *n, uint32_t sid);     /* of what is applied */
void node_drop_log(Net *n, uint32_t sid);       /* up to the checkpoint */
void node_log_durable(Net *n, uint32_t sid);    /* everything issued so far */
void node_meta_durable(Net *n, uint32_t sid);

void net_connect(Net *n, uint32_t a, uint32_t b);
void net_disconnect(Net *n, uint32_t a, uint32_t b);
void net_connect_all(Net *n);
void net_isolate(Net *n, uint32_t sid, bool isolated);  /* messages wait both ways; nobody notices */

/* One message, even if it is to wait; false if there is none. */
bool net_deliver(Net *n, uint32_t from, uint32_t to);
/* Delivers and completes until nothing moves. */
void net_settle(Net *n);
/* The same with time: ticks where they are due. */
void net_run(Net *n, uint64_t usec);

int node_step(Net *n, uint32_t sid, ZabInput in);
int node_propose(Net *n, uint32_t sid, const char *text, Zxid *ret_zxid);
int node_read(Net *n, uint32_t sid, uint64_t id);
int node_reconfigure(Net *n, uint32_t sid, GBytes *config, Zxid base);
bool node_has_read(const Node *node, uint64_t id);

/* Gives `to` a message as if it came from `from`. */
void net_forge(Net *n, uint32_t from, uint32_t to, const ZabMessage *m);

/* Messages of this type that wait from one to the other. */
unsigned net_count(const Net *n, uint32_t from, uint32_t to, ZabMessageType type);
Envelope *net_find(const Net *n, uint32_t from, uint32_t to, ZabMessageType type);

/* The only leader; fails the test if there is none or several. */
uint32_t net_leader(const Net *n);
/* Everybody has applied the same, and follows or leads. */
void net_check_equal(const Net *n);
