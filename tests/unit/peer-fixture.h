/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Peer fixture
 *
 * Members on loopback in one process, and a fake one that says what a test wants said.
 */

#include <glib.h>

#include "agent/net/stream.h"
#include "agent/peer/mesh.h"
#include "tests/unit/run-until.h"

#define NODES_MAX 4                     /* sids 1 to 3 */

typedef struct Node {
        PeerMesh *mesh;
        NetKey *key;
        PeerMeshOptions options;
        char name[16];
        char *address;
        uint64_t conn[NODES_MAX];       /* by sid; 0: not connected */
        uint64_t received[NODES_MAX];   /* pings, which carry 1, 2, 3 ... */
        uint64_t others;                /* messages that are no pings, since the last up */
        uint64_t bytes;                 /* of payloads */
        unsigned alive;                 /* signs of life in between */
        unsigned ups, downs;
        char *reason;                   /* of the last down */
        GPtrArray *alarms;
        int priority;                   /* of the last one */
        bool closes_in_up, closes_in_message, admits_nobody_in_message;
        PeerJoin *join;
        unsigned joins, cancelled;
        PeerJoinRequest request;        /* without its texts */
        char *request_name, *request_address;
} Node;

extern sd_event *test_event;
extern Node test_nodes[NODES_MAX];

/* All of them belong; none runs yet. */
void nodes_begin(void);
void nodes_done(void);
/* Those that are changed in between by the test start so. */
Node *node_start(uint32_t sid);
void node_stop(Node *n);
/* Tells it who belongs: all, without the member `without` (0: really all). */
void node_configure(Node *n, uint32_t without);
ZabConfig *nodes_config(uint32_t without, Zxid version);
void nodes_run(uint32_t sids);          /* starts and configures 1 to `sids` */
bool node_alarmed(const Node *n, const char *part);     /* some alarm has these words */
bool node_ping(Node *n, uint32_t to, uint64_t number);
PeerStatus node_status(const Node *n, uint32_t of);

typedef struct Fake {
        NetStream *stream;
        FrameHello hello;
        uint8_t pin[NET_PIN_BYTES];     /* of whom it has met */
        bool met;
        bool deaf;                      /* reads nothing after the hello */
        GByteArray *received;
        char *closed;
} Fake;

/* Dials `to` with the key, and as the member, of `as`.  It says hello and agrees by itself unless `silent`. */
void fake_begin(Fake *f, const Node *to, const Node *as, bool silent);
void fake_done(Fake *f);
void fake_hello(Fake *f);
void fake_agree(Fake *f);
void fake_ping(Fake *f, uint64_t number);
void fake_write(Fake *f, const void *data, size_t size);
/* Says hello and agrees, and waits for both to see it. */
void fake_up(Fake *f, Node *to);
/* Whether a frame of this type has come in. */
bool fake_has(const Fake *f, uint8_t type);
/* Text of the LEAVE that has come in, or NULL; owned by the caller. */
char *fake_leave(const Fake *f);
