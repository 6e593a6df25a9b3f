/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Directory
 *
 * Who belongs: which key speaks for which member with which disk, and where members are reached.  Made from the committed
 * configuration and the one that awaits its quorum; an entry of either is as good.
 */

#include <stdbool.h>

#include "agent/net/address.h"
#include "agent/net/key.h"
#include "agent/zab/config.h"

/* One for each pin of each member. */
typedef struct PeerDirectoryEntry {
        uint32_t sid;
        Id128 disk_id;
        char *name;
        char *address_text;             /* as configured, may be "" */
        NetAddress address;             /* size 0: none that one could dial */
        uint8_t pin[NET_PIN_BYTES];
        bool pending;                   /* only in the configuration that is not committed yet */
} PeerDirectoryEntry;

typedef struct PeerDirectory {
        GArray *entries;                /* PeerDirectoryEntry */
} PeerDirectory;

PeerDirectory *peer_directory_new(void);
PeerDirectory *peer_directory_free(PeerDirectory *d);   /* NULL allowed, returns NULL */

/* Pins that are neither 32 bytes nor two of them admit nobody. */
void peer_directory_add(PeerDirectory *d, const ZabConfigMember *member, bool pending);

const PeerDirectoryEntry *peer_directory_match(const PeerDirectory *d, uint32_t sid, const Id128 *disk_id,
                                               const uint8_t pin[static NET_PIN_BYTES]);

/* The first with this pin; NULL for a stranger's. */
const PeerDirectoryEntry *peer_directory_find_pin(const PeerDirectory *d, const uint8_t pin[static NET_PIN_BYTES]);

/* The first of a member; NULL if it does not belong. */
const PeerDirectoryEntry *peer_directory_find_sid(const PeerDirectory *d, uint32_t sid);

/* The member's n-th address, in turn; NULL if it has none. */
const PeerDirectoryEntry *peer_directory_address(const PeerDirectory *d, uint32_t sid, unsigned n);

bool peer_directory_has_host(const PeerDirectory *d, const NetAddress *host);
