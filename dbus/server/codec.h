/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Codec
 *
 * Between the tree's types and the bus's: Stat, ACL, identities, and the words of the interfaces.
 */

#include <glib.h>
#include <systemd/sd-bus.h>

#include "agent/member/member.h"

#define STAT_SIGNATURE "(tttxxiiitii)"

int stat_append(sd_bus_message *m, const Stat *s);
int bytes_append(sd_bus_message *m, const uint8_t *data, size_t size);
int acl_append(sd_bus_message *m, AclEntries acl);
int identities_append(sd_bus_message *m, Identities ids);

/* Reads a(uss) into a new array of AclEntry whose strings belong to the message; reads at most one entry more than
 * LIMIT_ACL_ENTRIES, so that the limit's own check sees it.  *ret stays NULL on failure. */
int acl_read(sd_bus_message *m, GArray **ret);

/* The words; false or NULL for what is none. */
bool create_mode_from_string(const char *s, CreateMode *ret);
bool create_mode_is_ephemeral(CreateMode mode);
bool create_mode_is_sequential(CreateMode mode);
bool watch_kind_from_string(const char *s, WatchKind *ret, bool *ret_exist);    /* "exist" (SetWatches only) is WATCH_DATA */
const char *watch_event_to_string(WatchEventType type);
const char *owner_kind_to_string(OwnerKind kind);
bool owner_kind_from_string(const char *s, OwnerKind *ret);
const char *member_role_to_string(ZabMemberRole role);

/* About what a request or an answer takes on the bus. */
uint64_t request_bytes(const Request *r);
uint64_t result_bytes(const Result *r);
