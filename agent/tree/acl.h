/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * ACL
 *
 * Who may do what to a znode (ZooKeeper 3.9 semantics; zookeeper-semantics 2.14).  ACLs are not inherited.  An
 * Identity is something the ensemble has verified of a caller: scheme and id.
 *
 *     world   anyone                            everybody; never held by a caller
 *     auth    (ignored)                         only in a request: becomes the caller's authenticated identities
 *     digest  user:base64(SHA1(user:password))  proved with a password
 *     ip      address[/bits]                    IPv4 or IPv6; a caller holds its plain address
 *     x509    subject DN
 *     unix    UID@HOST                          a user of one host
 *     unit    NAME@HOST                         a systemd unit of one host
 *     host    NAME                              the agent of a host itself
 *     super   (any)                             passes every check; only a caller holds it, never a znode
 *
 * In an ACL entry, "unix", "unit" and "host" ids match literally, except that "*" stands for any host part
 * ("unix:33@*") and, for host, any name ("host:*").
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/reader.h"
#include "agent/base/status.h"
#include "agent/base/writer.h"

typedef enum Permission {
        PERMISSION_READ = 1,
        PERMISSION_WRITE = 2,
        PERMISSION_CREATE = 4,
        PERMISSION_DELETE = 8,
        PERMISSION_ADMIN = 16,
        PERMISSION_ALL = 31,
} Permission;

typedef struct Identity {
        const char *scheme;
        const char *id;
} Identity;

typedef struct AclEntry {
        uint32_t permissions;
        Identity who;
} AclEntry;

/* A list of identities or ACL entries by reference; whoever fills it says how long it lives. */
typedef struct Identities {
        const Identity *items;
        uint32_t count;
} Identities;

typedef struct AclEntries {
        const AclEntry *items;
        uint32_t count;
} AclEntries;

/* A normalised ACL, immutable, shared by every znode that has the same one. */
typedef struct Acl Acl;

/* The set of ACLs in use: equal ACLs are one object, so a million znodes cost one ACL. */
typedef struct AclTable AclTable;

AclTable *acl_table_new(void);
AclTable *acl_table_free(AclTable *t);          /* every reference must have been returned */

/* Normalises `entries` as create and setACL do (2.14): drops duplicates (first stays), expands "auth" into the
 * caller's identities other than "ip" ones, checks scheme, id and permissions (a value with no bit of
 * PERMISSION_ALL, or with another bit, is refused: 2.19.7).  On CONVENE_OK stores a new reference in *ret_acl;
 * otherwise returns CONVENE_INVALID_ACL (also for an empty result) or CONVENE_LIMIT_EXCEEDED. */
ConveneStatus acl_table_normalise(AclTable *t, AclEntries entries, Identities caller, Acl **ret_acl);

/* The ACL that consists of these entries as they are, for rows from disk and the built-in znodes.  Never NULL. */
Acl *acl_table_intern(AclTable *t, AclEntries entries);

Acl *acl_ref(Acl *acl);
void acl_unref(AclTable *t, Acl *acl);          /* NULL is allowed */

AclEntries acl_entries(const Acl *acl);         /* lives as long as a reference to acl */

/* True if one of `caller` may do all of `permissions`... any entry that grants at least one of the wanted bits
 * suffices, as in ZooKeeper ((perms & wanted) != 0).  A "super" identity always may. */
bool acl_allows(const Acl *acl, uint32_t permissions, Identities caller);

/* Checks one identity as a request may present it to authenticate a session: a known scheme other than world,
 * auth and super unless `allow_super`, within LIMIT_IDENTITY_BYTES, with a well-formed id. */
bool identity_is_valid(Identity who, bool allow_super);

/* u32 count, then per item u32 permissions (ACL only), string scheme, string id.  The decoders allocate *ret with
 * g_new (free with g_free; its strings point into the reader's range) and return false on malformed input. */
void acl_entries_encode(AclEntries e, Writer *w);
bool acl_entries_decode(Reader *r, AclEntries *ret);
void identities_encode(Identities i, Writer *w);
bool identities_decode(Reader *r, Identities *ret);
