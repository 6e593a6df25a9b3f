/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Status
 *
 * One table: value, name, advice.
 */

#include "agent/base/status.h"

#include <glib.h>

static const struct {
        ConveneStatus status;
        const char *name;
        const char *text;
} table[] = {
        { CONVENE_OK, "Ok", "success" },
        { CONVENE_SYSTEM_ERROR, "SystemError", "the agent failed internally; see its journal" },
        { CONVENE_RUNTIME_INCONSISTENCY, "RuntimeInconsistency",
          "not tried, because an earlier operation of the same multi failed" },
        { CONVENE_MARSHALLING_ERROR, "MarshallingError", "the request is malformed or mixes reads and writes" },
        { CONVENE_UNIMPLEMENTED, "Unimplemented", "this operation is not offered here" },
        { CONVENE_BAD_ARGUMENTS, "BadArguments",
          "an argument is out of range; a path starts with '/', has no empty, '.' or '..' component and no "
          "trailing '/'" },
        { CONVENE_NEW_CONFIG_NO_QUORUM, "NewConfigNoQuorum",
          "too few voters of the new configuration are connected and in step; see 'convenectl member list'" },
        { CONVENE_RECONFIG_IN_PROGRESS, "ReconfigInProgress",
          "another change of the membership waits for its quorum; try again when it is done" },
        { CONVENE_NO_NODE, "NoNode", "no such znode; for create: its parent does not exist" },
        { CONVENE_NO_AUTH, "NoAuth", "the znode's ACL does not allow this; see 'convenectl acl PATH'" },
        { CONVENE_BAD_VERSION, "BadVersion", "the version has changed since it was read; read again and retry" },
        { CONVENE_NO_CHILDREN_FOR_EPHEMERALS, "NoChildrenForEphemerals", "an ephemeral znode cannot have children" },
        { CONVENE_NODE_EXISTS, "NodeExists", "the znode already exists" },
        { CONVENE_NOT_EMPTY, "NotEmpty", "the znode has children; delete them first or delete recursively" },
        { CONVENE_SESSION_EXPIRED, "SessionExpired", "the session has ended; open a new one" },
        { CONVENE_INVALID_ACL, "InvalidACL", "the ACL is empty, malformed or names an unknown scheme or permission" },
        { CONVENE_AUTH_FAILED, "AuthFailed", "the credentials were not accepted" },
        { CONVENE_SESSION_MOVED, "SessionMoved", "the session is now served through another connection" },
        { CONVENE_NO_WATCHER, "NoWatcher", "there is no such watch" },
        { CONVENE_QUOTA_EXCEEDED, "QuotaExceeded", "a hard quota of an ancestor would be exceeded" },
        { CONVENE_LIMIT_EXCEEDED, "LimitExceeded", "a limit of the agent is reached; see 'convenectl statistics'" },
        { CONVENE_NOT_READY, "NotReady", "the ensemble has no leader at the moment; try again" },
        { CONVENE_NO_SPACE, "NoSpace", "the agent's disk is full: reads go on, writes wait for room" },
        { CONVENE_HISTORY_GONE, "HistoryGone",
          "changes since that zxid are no longer remembered; read the tree again and watch from now" },
        { CONVENE_FATE_UNKNOWN, "FateUnknown",
          "it is not known whether the request took effect; read the tree to find out" },
        { CONVENE_TOO_LARGE, "TooLarge", "the request or its answer is larger than allowed; split or page it" },
        { CONVENE_SEQUENCE_OVERFLOW, "SequenceOverflow",
          "the parent has used up its sequence numbers; use a fresh parent" },
        { CONVENE_NOT_REACHABLE, "NotReachable",
          "no member can be reached by other hosts: give this one an address with 'convenectl init --listen=ADDRESS'" },
        { CONVENE_TIMED_OUT, "TimedOut", "others held it for as long as you would wait; see 'convenectl lock list'" },
        { CONVENE_NOT_HELD, "NotHeld", "nobody holds it, or who waited for it was taken out of the queue" },
};

const char *convene_status_to_string(ConveneStatus status) {
        for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
                if (table[i].status == status)
                        return table[i].name;

        return "SystemError";
}

ConveneStatus convene_status_from_string(const char *name) {
        for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
                if (g_str_equal(table[i].name, name))
                        return table[i].status;

        return CONVENE_SYSTEM_ERROR;
}

const char *convene_status_describe(ConveneStatus status) {
        for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
                if (table[i].status == status)
                        return table[i].text;

        return "unknown status";
}
