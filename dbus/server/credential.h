/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Credential
 *
 * systemd asks for the credentials of a unit that is about to start (LoadCredential=NAME:/run/convene/credentials): it connects from an
 * address that names the unit and the credential, and reads to the end.  What it gets is the data of a znode, if that unit may READ it.
 */

#include <stdbool.h>
#include <stddef.h>

#include "dbus/server/server-private.h"

/*
 * From the peer's address ("\0RANDOM/unit/UNIT/NAME", `size` bytes without the family), both newly allocated.  False if it is none, or
 * if a name is none: what is not plain is not looked for.
 */
bool credential_parse_address(const char *address, size_t size, char **ret_unit, char **ret_name);

/*
 * Where the credential of a unit is, the most special first: 0: of the unit, 1: of its template, if it is an instance.  NULL beyond that.
 * Owned by the caller.
 */
char *credential_path(const char *unit, const char *name, unsigned i);

void credentials_close_all(Server *s);
