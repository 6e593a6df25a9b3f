/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * org.convene1.Tree, what its files share.
 */

#include "dbus/server/call.h"

int method_create(Caller *c, sd_bus_message *m);
int method_multi(Caller *c, sd_bus_message *m);
int method_multi_read(Caller *c, sd_bus_message *m);

/* A znode's data as an argument: never NULL, for an empty array is not the null value. */
int read_data(sd_bus_message *m, const uint8_t **ret_data, size_t *ret_size);
/* Puts it into the request, or the null value instead; answers and returns false if it is too large or both were given. */
bool take_data(Caller *c, sd_bus_message *m, const Options *o, size_t size, Request *r);

int names_append(sd_bus_message *reply, const Result *r);

/* The ACL a new znode gets if none is named: that of its parent (with `parents`, of the nearest ancestor there is), as
 * this agent's tree has it.  1: it is in *ret, valid until the tree changes; 0: there is no parent; METHOD_HOLD: an update of this caller is under
 * way that may change it, and the caller is held until that is answered. */
int default_acl(Caller *c, const char *path, bool parents, AclEntries *ret);

/* The session of an ephemeral without a session option: the connection's own.  1: it is in *r; otherwise what the method
 * returns. */
int use_implicit_session(Caller *c, sd_bus_message *m, const Options *o, Request *r);
