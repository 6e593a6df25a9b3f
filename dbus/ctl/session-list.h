/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Session list
 *
 * The sessions of the ensemble as Sessions.List gives them.
 */

#include "dbus/ctl/connection.h"
#include "dbus/ctl/json.h"

typedef struct SessionFacts {
        uint64_t id;
        char *owner_kind, *owner;
        uint32_t member, timeout_msec, ephemerals;
        int64_t created_msec;
        uint64_t deadline_usec;         /* CLOCK_BOOTTIME; 0: another member serves it */
} SessionFacts;

/* All sessions by id. */
ExitStatus session_list_read(Ctl *c, GPtrArray **ret);
/* NULL if there is none. */
const SessionFacts *session_list_find(const GPtrArray *list, uint64_t id);
JsonObject *session_facts_to_json(const SessionFacts *s);
