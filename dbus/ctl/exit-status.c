/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Exit status
 */

#include "dbus/ctl/exit-status.h"

#include <glib.h>

/* man/generate.py reads this table: names and sentences are plain string literals. */
static const struct {
        const char *name;
        const char *text;
} table[_EXIT_STATUS_MAX] = {
        [EXIT_STATUS_OK] = { "ok", "Success." },
        [EXIT_STATUS_FAILURE] = { "failure", "A failure that has no number of its own; standard error says which." },
        [EXIT_STATUS_USAGE] = { "usage", "The command line, an argument or the input is wrong." },
        [EXIT_STATUS_NO_NODE] = { "no-node", "There is no such znode, session, member or presence, or nobody holds the lock or leads." },
        [EXIT_STATUS_CONFLICT] = { "conflict",
                "The tree or the ensemble is not as expected: the znode exists, has children, has another version or is an "
                "ephemeral that cannot have children; another change of the membership is under way, or has no quorum." },
        [EXIT_STATUS_ACCESS] = { "access",
                "Access denied by an ACL, by the bus policy or by polkit, or credentials not accepted." },
        [EXIT_STATUS_UNREACHABLE] = { "unreachable",
                "The agent cannot be reached, does not answer, or does not serve at the moment." },
        [EXIT_STATUS_LIMIT] = { "limit",
                "A limit or quota is reached, the request is too large or the disk of the agent is full." },
        [EXIT_STATUS_SESSION] = { "session", "The session has ended or is served through another connection." },
        [EXIT_STATUS_FATE_UNKNOWN] = { "fate-unknown",
                "The connection was lost or the time ran out after an update was sent: read the tree to find out "
                "whether it took effect." },
        [EXIT_STATUS_HISTORY_GONE] = { "history-gone",
                "Changes since the given zxid are no longer remembered: read the tree again and watch from now." },
        [EXIT_STATUS_NOT_GRANTED] = { "not-granted", "Others held the lock, or what was waited for did not come about, for as long as was to be waited." },
};

const char *exit_status_name(ExitStatus e) {
        return e < _EXIT_STATUS_MAX ? table[e].name : NULL;
}

const char *exit_status_describe(ExitStatus e) {
        return e < _EXIT_STATUS_MAX ? table[e].text : NULL;
}

ExitStatus exit_status_from_status(ConveneStatus status) {
        switch (status) {
        case CONVENE_OK:
                return EXIT_STATUS_OK;
        case CONVENE_BAD_ARGUMENTS:
        case CONVENE_MARSHALLING_ERROR:
        case CONVENE_INVALID_ACL:
                return EXIT_STATUS_USAGE;
        case CONVENE_NO_NODE:
        case CONVENE_NO_WATCHER:
        case CONVENE_NOT_HELD:
                return EXIT_STATUS_NO_NODE;
        case CONVENE_NODE_EXISTS:
        case CONVENE_NOT_EMPTY:
        case CONVENE_BAD_VERSION:
        case CONVENE_NO_CHILDREN_FOR_EPHEMERALS:
        case CONVENE_RECONFIG_IN_PROGRESS:
        case CONVENE_NEW_CONFIG_NO_QUORUM:
        case CONVENE_NOT_REACHABLE:
                return EXIT_STATUS_CONFLICT;
        case CONVENE_NO_AUTH:
        case CONVENE_AUTH_FAILED:
                return EXIT_STATUS_ACCESS;
        case CONVENE_NOT_READY:
                return EXIT_STATUS_UNREACHABLE;
        case CONVENE_LIMIT_EXCEEDED:
        case CONVENE_QUOTA_EXCEEDED:
        case CONVENE_NO_SPACE:
        case CONVENE_TOO_LARGE:
        case CONVENE_SEQUENCE_OVERFLOW:
                return EXIT_STATUS_LIMIT;
        case CONVENE_SESSION_EXPIRED:
        case CONVENE_SESSION_MOVED:
                return EXIT_STATUS_SESSION;
        case CONVENE_FATE_UNKNOWN:
                return EXIT_STATUS_FATE_UNKNOWN;
        case CONVENE_HISTORY_GONE:
                return EXIT_STATUS_HISTORY_GONE;
        case CONVENE_TIMED_OUT:
                return EXIT_STATUS_NOT_GRANTED;
        case CONVENE_SYSTEM_ERROR:
        case CONVENE_RUNTIME_INCONSISTENCY:
        case CONVENE_UNIMPLEMENTED:
                return EXIT_STATUS_FAILURE;
        }

        return EXIT_STATUS_FAILURE;
}

static const struct {
        const char *name;
        ExitStatus exit;
} bus_errors[] = {
        { "org.freedesktop.DBus.Error.AccessDenied", EXIT_STATUS_ACCESS },
        { "org.freedesktop.DBus.Error.AuthFailed", EXIT_STATUS_ACCESS },
        { "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", EXIT_STATUS_ACCESS },
        { "org.freedesktop.DBus.Error.InvalidArgs", EXIT_STATUS_USAGE },
        { "org.freedesktop.DBus.Error.UnknownObject", EXIT_STATUS_NO_NODE },
        { "org.freedesktop.DBus.Error.LimitsExceeded", EXIT_STATUS_LIMIT },
        { "org.freedesktop.DBus.Error.Disconnected", EXIT_STATUS_UNREACHABLE },
        { "org.freedesktop.DBus.Error.NameHasNoOwner", EXIT_STATUS_UNREACHABLE },
        { "org.freedesktop.DBus.Error.NoReply", EXIT_STATUS_UNREACHABLE },
        { "org.freedesktop.DBus.Error.NoServer", EXIT_STATUS_UNREACHABLE },
        { "org.freedesktop.DBus.Error.ServiceUnknown", EXIT_STATUS_UNREACHABLE },
        { "org.freedesktop.DBus.Error.TimedOut", EXIT_STATUS_UNREACHABLE },
        { "org.freedesktop.DBus.Error.Timeout", EXIT_STATUS_UNREACHABLE },
};

const char *error_name_strip(const char *name) {
        const char prefix[] = "org.convene1.Error.";

        return name && g_str_has_prefix(name, prefix) ? name + strlen(prefix) : NULL;
}

ExitStatus exit_status_from_error_name(const char *name) {
        const char *own = error_name_strip(name);

        if (own)
                return exit_status_from_status(convene_status_from_string(own));

        for (size_t i = 0; i < G_N_ELEMENTS(bus_errors); i++)
                if (g_strcmp0(bus_errors[i].name, name) == 0)
                        return bus_errors[i].exit;

        if (name && g_str_has_prefix(name, "org.freedesktop.DBus.Error.Spawn."))
                return EXIT_STATUS_UNREACHABLE;

        return EXIT_STATUS_FAILURE;
}
