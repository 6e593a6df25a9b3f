/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Join
 *
 * The side of the new host: asks the members that its token names, one after the other, until one of them says yes, or no for
 * good.  Only who has the key of the token gets to see the secret.
 */

#include <systemd/sd-event.h>

#include "agent/net/key.h"
#include "agent/peer/token.h"

typedef struct PeerJoiner PeerJoiner;

/* One of the two, once; the joiner may be freed from inside. */
typedef struct PeerJoinerHandler {
        /* `config` as zab_checkpoint_config() gives it; borrowed. */
        void (*joined)(void *userdata, uint32_t sid, GBytes *config);
        /* `refused`: a member said no, and `text` is what it said; else `text` says for each address what was wrong, or why that
         * member has put it off. */
        void (*failed)(void *userdata, bool refused, const char *text);
        void *userdata;
} PeerJoinerHandler;

typedef struct PeerJoinerOptions {
        const char *name;               /* of this host */
        const char *address;            /* where it will be reached; "" for nowhere */
        Id128 disk_id;
        uint32_t feature_level;
        uint32_t version_min, version_max;      /* 0: FRAME_VERSION */
        uint64_t answer_usec;           /* 0: 75 s: for one member's answer */
} PeerJoinerOptions;

/* All is copied. */
PeerJoiner *peer_joiner_new(sd_event *event, NetKey *key, const PeerToken *token, const PeerJoinerOptions *options,
                            const PeerJoinerHandler *handler);
PeerJoiner *peer_joiner_free(PeerJoiner *j);    /* NULL allowed, returns NULL */
