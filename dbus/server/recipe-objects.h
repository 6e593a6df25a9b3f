/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * org.convene1.Lock, .Election and .Group: objects for what has a name of its own, with PropertiesChanged.
 */

#include "dbus/server/server.h"

int recipe_objects_init(Server *s);
void recipe_objects_done(Server *s);
