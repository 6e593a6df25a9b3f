/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Exit status
 *
 * What convenectl tells its caller: one table, from which convenectl(1) takes its text too.
 */

#include "agent/base/status.h"

typedef enum ExitStatus {
        EXIT_STATUS_OK = 0,
        EXIT_STATUS_FAILURE = 1,
        EXIT_STATUS_USAGE = 2,
        EXIT_STATUS_NO_NODE = 3,
        EXIT_STATUS_CONFLICT = 4,
        EXIT_STATUS_ACCESS = 5,
        EXIT_STATUS_UNREACHABLE = 6,
        EXIT_STATUS_LIMIT = 7,
        EXIT_STATUS_SESSION = 8,
        EXIT_STATUS_FATE_UNKNOWN = 9,
        EXIT_STATUS_HISTORY_GONE = 10,
        EXIT_STATUS_NOT_GRANTED = 11,
        _EXIT_STATUS_MAX,
} ExitStatus;

/* A short name ("no-node") and one sentence; NULL beyond the last. */
const char *exit_status_name(ExitStatus e);
const char *exit_status_describe(ExitStatus e);

ExitStatus exit_status_from_status(ConveneStatus status);

/* From the name of a D-Bus error, whether the agent's or the bus's own. */
ExitStatus exit_status_from_error_name(const char *name);

/* The part after "org.convene1.Error.", or NULL for any other error. */
const char *error_name_strip(const char *name);
