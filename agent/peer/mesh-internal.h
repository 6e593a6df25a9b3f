/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the files of this folder share.
 *
 * mesh.c: life, configuration, the closed     peer.c: one other member: dialling, bans, figures
 * link.c: one connection: frames, states      welcome.c: the hello: who may come in       stranger.c: joining, server's side
 */

#include "agent/base/prng.h"
#include "agent/net/listener.h"
#include "agent/net/stream.h"
#include "agent/peer/directory.h"
#include "agent/peer/mesh.h"

typedef struct Peer Peer;

typedef enum LinkState {
        LINK_HANDSHAKE,                 /* TLS */
        LINK_HELLO,                     /* awaits the other's hello */
        LINK_HELD,                      /* accepted, its hello is good: but is it the second of its disk? */
        LINK_AGREE,                     /* accepted, awaits the dialler's empty hello */
        LINK_UP,
        LINK_STRANGER,                  /* awaits a JOIN */
        LINK_ASKED,                     /* the JOIN awaits the listener's answer */
        LINK_ANSWERED,                  /* the other side reads it and goes */
        LINK_CLOSED,                    /* until the loop has told the listener and freed it */
} LinkState;

typedef struct Link {
        PeerMesh *mesh;
        LinkState state;
        bool server;
        bool up;                        /* up() was called, down() not yet */
        bool left;                      /* the peer said that it would go */
        uint64_t conn;
        NetAddress address;
        NetStream *stream;              /* NULL once closed */
        NetAdmission *admission;        /* accepted, and not yet up */
        sd_event_source *timer;         /* of the state */
        sd_event_source *resume;        /* had its share of this turn */

        Peer *peer;                     /* whom it was dialled for, or who it is; NULL before that, and once closed */
        uint32_t sid;                   /* as in peer; 0: not yet known */
        Id128 disk_id, incarnation;
        uint8_t pin[NET_PIN_BYTES];

        uint64_t turn, turn_frames, turn_bytes;         /* delivered in this turn of the loop */
        uint64_t up_usec;
        uint64_t alive_usec;            /* when that was last said of it */
        uint64_t frames_in, frames_out;
        char *reason;                   /* why it was closed */
        PeerJoin *join;
} Link;

struct PeerJoin {
        Link *link;
};

struct Peer {
        PeerMesh *mesh;
        uint32_t sid;
        char *name;
        Link *link;                     /* up, or agreed on by this side */
        Link *attempt;                  /* dialled, and not yet up */
        Link *held;                     /* the second of its disk */
        uint64_t held_bytes;            /* what `link` had received when it came */
        Id128 displaced;                /* the incarnation that the present one has put out, while it was still connected */
        uint64_t displaced_usec;        /* 0: none */

        sd_event_source *redial;
        unsigned tries;                 /* for the address */
        unsigned failures, hasty;       /* since a connection last held */
        uint64_t banned_until_usec;
        unsigned ban_exponent;
        uint64_t malformed_usec;        /* when that last happened */

        uint64_t connections, bytes_in, bytes_out, frames_in, frames_out, malformed;    /* of those that are over */
        uint64_t since_usec;
        char *addresses;                /* those that the directory has, to see a change */
        char *address, *error;
        uint64_t error_usec;
};

#define ALARMS_REMEMBERED 32

typedef struct AlarmBudget {
        unsigned spent;
        uint64_t since_usec;            /* in the window that began then */
} AlarmBudget;

struct PeerMesh {
        sd_event *event;
        NetKey *key;
        PeerMeshOptions options;
        PeerMeshListener listener;
        char *name;
        Id128 incarnation;
        uint32_t required;
        Prng prng;

        NetListener *accepting;
        PeerDirectory *directory;
        Zxid config_version;
        Hash128 config_digest;
        Peer *peers[ZAB_CONFIG_MEMBERS_MAX + 1];        /* by sid */

        GHashTable *links;              /* conn -> Link, all but the closed */
        GQueue closed;                  /* Link, in order */
        sd_event_source *work;          /* there are closed ones */
        uint64_t last_conn;
        Writer scratch;

        struct {
                guint hash;
                uint64_t usec;
        } alarms[ALARMS_REMEMBERED];
        unsigned alarms_next;
        AlarmBudget alarms_of_members, alarms_of_strangers;
        PeerMeshStatistics statistics;
};

uint64_t mesh_now(const PeerMesh *m);
void mesh_alarm(PeerMesh *m, int priority, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* About somebody who has shown no member's key: there may be any number of them, and few of their alarms are told. */
void mesh_alarm_stranger(PeerMesh *m, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* Tells the listener of closed connections of this member (0: of all), this one excepted, and frees them. */
void mesh_bury(PeerMesh *m, uint32_t sid, const Link *but);

Peer *peer_new(PeerMesh *m, uint32_t sid);
Peer *peer_free(Peer *p);
/* The directory has changed. */
void peer_update(Peer *p);
void peer_dial_soon(Peer *p, uint64_t delay_usec);
/* A connection of it is over; `meant`: somebody asked for that. */
void peer_on_closed(Peer *p, const Link *link, bool meant);
void peer_on_up(Peer *p, Link *link);
bool peer_is_banned(const Peer *p);
void peer_ban(Peer *p, uint64_t usec);
/* It sent what makes no sense. */
void peer_punish(Peer *p);

/* Both take fd.  NULL if the loop refuses. */
Link *link_new_dialled(Peer *p, int fd, const NetAddress *address);
Link *link_new_accepted(PeerMesh *m, int fd, const NetAddress *from, NetAdmission *admission);
void link_free(Link *link);
void link_close(Link *link, bool meant, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* Says why to the other side, too, and to the journal. */
void link_refuse(Link *link, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* Where the other end is, for the journal; owned by the caller. */
char *link_place(const Link *link);
void link_malformed(Link *link, const char *what);
void link_set_timer(Link *link, uint64_t usec);         /* when the patience with the present state ends */
bool link_write(Link *link);            /* sends mesh->scratch and clears it */
void link_send_hello(Link *link);
void link_up(Link *link);

/* The first hello of the other side, and the second of a dialler. */
void welcome_on_hello(Link *link, const uint8_t *body, size_t size);
void welcome_on_agreement(Link *link);
void welcome_on_hold_over(Link *link);

/* The listener has no answer. */
void stranger_on_timeout(Link *link);
/* As in NetStreamHandler.bytes. */
ssize_t stranger_on_bytes(Link *link, const uint8_t *data, size_t size);

/* Others choose some of the words: no control characters in the journal. */
void text_clean(char *text);
char *id_to_string(const Id128 *id);
char *pin_to_string(const uint8_t pin[static NET_PIN_BYTES]);   /* its beginning, enough to tell keys apart */
