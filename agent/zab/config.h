/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Config
 *
 * Who belongs to the ensemble.  It is the payload of CONFIG entries; the first entry of every history is one
 * (protocol 2.0.6, 2.2).
 *
 * Bytes: u8 format (1; 2: with a feature level above 1)  in format 2 u32 feature level  u32 members, then per member: u32 sid,
 * 16 bytes disk id, u8 role, string name, string address, blob key pins.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/zab/entry.h"

#define ZAB_CONFIG_MEMBERS_MAX 255
#define ZAB_CONFIG_NAME_BYTES 255
#define ZAB_CONFIG_ADDRESS_BYTES (ZAB_CONFIG_NAME_BYTES + 6)    /* a name, ":" and a port */
#define ZAB_CONFIG_PIN_BYTES 64

typedef enum ZabMemberRole {
        ZAB_MEMBER_VOTER = 1,
        ZAB_MEMBER_OBSERVER = 2,
} ZabMemberRole;

typedef struct ZabConfigMember {
        uint32_t sid;
        Id128 disk_id;
        ZabMemberRole role;
        const char *name;               /* host name */
        const char *address;            /* "host:port" of the mesh, "" for none */
        const uint8_t *pin;             /* SHA-256 of the public key, two while it changes; may be empty */
        uint32_t pin_size;
} ZabConfigMember;

/* Immutable, reference-counted. */
typedef struct ZabConfig {
        unsigned refs;
        Zxid version;                   /* zxid of its entry; not part of the bytes */
        GBytes *bytes;                  /* what `members` points into */
        ZabConfigMember *members;       /* ascending by sid */
        unsigned members_count;
        uint32_t feature_level;         /* what every member must be able to do, from 1; it never falls */
} ZabConfig;

/* The members must be what zab_config_decode() accepts. */
GBytes *zab_config_encode(const ZabConfigMember *members, unsigned members_count);      /* at feature level 1 */
GBytes *zab_config_encode_at(const ZabConfigMember *members, unsigned members_count, uint32_t feature_level);

/* NULL on malformed bytes: unknown format, a level that has no need of its format, sids not ascending or out of 1..255, limits,
 * names that are not UTF-8, no voter (nobody could ever change it), trailing bytes. */
ZabConfig *zab_config_decode(GBytes *bytes, Zxid version);
ZabConfig *zab_config_ref(ZabConfig *c);
void zab_config_unref(ZabConfig *c);            /* NULL is allowed */

const ZabConfigMember *zab_config_find(const ZabConfig *c, uint32_t sid);

/* True if this voter, with this very disk, is in the configuration. */
bool zab_config_has_voter(const ZabConfig *c, uint32_t sid, const Id128 *disk_id);
unsigned zab_config_voters(const ZabConfig *c);
unsigned zab_config_quorum(const ZabConfig *c); /* a majority of the voters */
