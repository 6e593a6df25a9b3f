/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Mesh
 *
 * The connections between members: one for each pair, dialled by the one with the higher sid; the lower one waits.  If nothing
 * comes for some seconds it dials, too: the address that the other knows may be an old one.  Where both dial, the attempt of the
 * higher one wins.
 *
 * A connection is up once both sides agree: TLS with a key that the directory knows, then the dialler's hello, the other's
 * hello in answer if it has no objection, and an empty hello of the dialler that says the same.  Whoever objects says why in a
 * LEAVE, so that both sides have it in the journal.  Until then nothing of the peer reaches the listener.
 *
 * A key that belongs to nobody may ask to join, once and in one small frame, and nothing else.
 *
 * Frames that make no sense close the connection and keep the peer out for a while; so does the same disk at two places.
 *
 * Source: protocol 2.6, reliability 3 (rows 17 to 20, 27 to 29, 31, 33, 34, 41 to 43) and 5.2.
 */

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "agent/net/address.h"
#include "agent/net/key.h"
#include "agent/wire/frame.h"
#include "agent/wire/join.h"
#include "agent/zab/config.h"

typedef struct PeerMesh PeerMesh;
typedef struct PeerJoin PeerJoin;       /* somebody asks to join and awaits the answer */

typedef struct PeerJoinRequest {
        const char *name, *address;     /* as it says itself; address: "" for none */
        Id128 disk_id;
        uint8_t pin[NET_PIN_BYTES];     /* of the key it has shown that it holds */
        uint8_t secret_hash[32];        /* SHA-256 of the token's secret */
        const char *from;               /* where the connection comes from */
} PeerJoinRequest;

/* All from the event loop, never from inside a call.  Each may call anything of the mesh but peer_mesh_free(). */
typedef struct PeerMeshListener {
        void (*up)(void *userdata, uint64_t conn, uint32_t sid, const Id128 *disk_id);
        /* Once for each up(), and before the next up() of the same member. */
        void (*down)(void *userdata, uint64_t conn, uint32_t sid, const char *reason);
        /* The message is valid during the call; references to its GBytes may be taken. */
        void (*message)(void *userdata, uint64_t conn, uint32_t sid, const PeerMessage *message);
        /* Bytes of a message came in that is not whole yet; said now and then while it lasts.  May be NULL. */
        void (*alive)(void *userdata, uint64_t conn, uint32_t sid);
        /* For the journal; `priority` as in syslog(3).  Repeated ones are left out. */
        void (*alarm)(void *userdata, int priority, const char *text);
        /* Answer with peer_join_answer() or peer_join_put_off(), now or later.  NULL: nobody joins here. */
        void (*join)(void *userdata, PeerJoin *join, const PeerJoinRequest *request);
        /* Nobody awaits the answer any more; `join` is gone. */
        void (*join_cancelled)(void *userdata, PeerJoin *join);
        void *userdata;
} PeerMeshListener;

typedef struct PeerMeshOptions {
        uint32_t sid;
        Id128 cluster_id, disk_id;
        const char *name;                               /* borrowed while peer_mesh_new() runs */
        uint32_t feature_level;                         /* what this program can do */
        uint32_t version_min, version_max;              /* 0: FRAME_VERSION */
        uint64_t patience_usec;                         /* 0: 3 s without a connection: the lower one dials, too */
        uint64_t alive_usec;                            /* 0: 50 ms: alive() not more often than that */
        uint64_t hold_usec;                             /* 0: 300 ms: how long a second one of the same disk waits */
        uint64_t clone_ban_usec;                        /* 0: 10 s */
        uint64_t malformed_ban_usec;                    /* 0: 1 s; doubled each time up to 60 times as long */
        uint64_t hello_usec;                            /* 0: 5 s: from TLS to agreement, or to the JOIN */
        uint64_t join_usec;                             /* 0: 60 s: for the answer to a JOIN */
        size_t output_max;                              /* 0: 16 MiB: not yet sent to one peer */
} PeerMeshOptions;

/* Takes a reference to the key.  NULL if the event loop or the kernel's randomness refuse. */
PeerMesh *peer_mesh_new(sd_event *event, NetKey *key, const PeerMeshOptions *options,
                        const PeerMeshListener *listener);
/* No callbacks; who asked to join and has no answer is gone, too.  NULL allowed, returns NULL. */
PeerMesh *peer_mesh_free(PeerMesh *m);

/* Where to be reached: NULL for nowhere.  0 or -errno, then nothing has changed. */
int peer_mesh_listen(PeerMesh *m, const NetAddress *address);
/* With the port that the kernel chose; NULL if it does not listen. */
const NetAddress *peer_mesh_address(const PeerMesh *m);

/* Who belongs; either may be NULL.  Connections of those who do not any more are closed before this returns. */
void peer_mesh_set_config(PeerMesh *m, const ZabConfig *committed, const ZabConfig *pending);
/* The same for one who has no configuration of its own yet. */
void peer_mesh_set_directory(PeerMesh *m, const ZabConfigMember *members, unsigned members_count);

/* The feature level that the ensemble has taken up: who cannot do as much is refused, and told so. */
void peer_mesh_set_required(PeerMesh *m, uint32_t feature_level);

/* This member's key from now on, for new connections. */
void peer_mesh_set_key(PeerMesh *m, NetKey *key);

/* False if the connection is gone, or goes because its peer does not read. */
bool peer_mesh_send(PeerMesh *m, uint64_t conn, const PeerMessage *message);

/* Nothing more is sent or comes in; down() follows from the loop.  The peer is dialled again at once. */
void peer_mesh_close(PeerMesh *m, uint64_t conn, const char *reason);

/* `sid` not 0: it was admitted, and `config` is the configuration, as zab_checkpoint_config() gives it.  Else `text` says why
 * not. */
void peer_join_answer(PeerJoin *join, uint32_t sid, GBytes *config, const char *text);
/* Instead of that: not now, or not by this member; it asks the next one. */
void peer_join_put_off(PeerJoin *join, const char *text);

typedef struct PeerStatus {
        uint32_t sid;
        const char *name;                       /* borrowed, as are the texts below: until the loop goes on */
        const char *address;                    /* of the other end; NULL if not connected */
        bool connected;
        uint64_t since_usec;                    /* CLOCK_BOOTTIME: connected, or not, since then */
        uint64_t connections;                   /* how many have been up */
        uint64_t bytes_in, bytes_out, frames_in, frames_out, malformed;
        size_t queued_bytes;                    /* not yet sent */
        const char *error;                      /* why the last connection, or try, ended; NULL: none yet */
        uint64_t error_usec;
        uint64_t banned_until_usec;             /* 0: it is not */
} PeerStatus;

/* False if no such peer belongs. */
bool peer_mesh_get_status(const PeerMesh *m, uint32_t sid, PeerStatus *ret);

typedef struct PeerMeshStatistics {
        uint64_t accepted, refused;             /* connections; refused: by the caps of the listener */
        uint64_t strangers, joins;              /* keys that belong to nobody; those of them that asked to join */
        uint64_t alarms_left_out;
        unsigned pending;                       /* not yet known who */
} PeerMeshStatistics;

void peer_mesh_get_statistics(const PeerMesh *m, PeerMeshStatistics *ret);
