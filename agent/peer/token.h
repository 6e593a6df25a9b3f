/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Token
 *
 * What a new host needs to join, in one word that a person copies: where members are and which keys they have, so that it
 * cannot be led astray, and a secret, so that they let it in.
 *
 *      "cvn1." and in base64 as URLs have it, without padding:  u8 format (1)  16 bytes cluster id  u8 members, then per
 *      member: string address, 32 bytes pin  16 bytes secret  u32 checksum of all that
 *
 * Members keep the secret's SHA-256 alone: who reads their disks cannot join.
 */

#include <stdbool.h>

#include "agent/net/key.h"
#include "agent/wire/join.h"

#define PEER_TOKEN_MEMBERS_MAX 8

typedef struct PeerTokenMember {
        char *address;
        uint8_t pin[NET_PIN_BYTES];
} PeerTokenMember;

typedef struct PeerToken {
        Id128 cluster_id;
        PeerTokenMember members[PEER_TOKEN_MEMBERS_MAX];
        unsigned members_count;
        uint8_t secret[JOIN_SECRET_BYTES];
} PeerToken;

/* One with a new secret and no members yet; 0 or -errno. */
int peer_token_make(const Id128 *cluster_id, PeerToken *ret);

/* False if there are enough already, or this is no address that one could dial. */
bool peer_token_add(PeerToken *t, const char *address, const uint8_t pin[static NET_PIN_BYTES]);

/* Owned by the caller. */
char *peer_token_to_string(const PeerToken *t);

/* 0; -EINVAL: not a token at all; -EPROTONOSUPPORT: of another format; -EBADMSG: mistyped or cut short. */
int peer_token_parse(const char *text, PeerToken *ret);

/* What members keep of it. */
void peer_secret_hash(const uint8_t secret[static JOIN_SECRET_BYTES], uint8_t ret[static 32]);

void peer_token_done(PeerToken *t);             /* and forgets the secret */

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PeerToken, peer_token_done)
