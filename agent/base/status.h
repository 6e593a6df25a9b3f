/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Status
 *
 * The outcome of an operation on the tree, as every front reports it.  Values from -1 to -127 are
 * ZooKeeper's error codes, unchanged (ZooKeeper 3.9, KeeperException.Code), so that the ZooKeeper port
 * sends them as they are; values from -1001 down are ours.  A status is replicated data: the same entry
 * gives the same status on every member.  It is not an errno: failures of the environment are negative
 * errno values and never meet this type.
 */

typedef enum ConveneStatus {
        CONVENE_OK = 0,
        CONVENE_SYSTEM_ERROR = -1,
        CONVENE_RUNTIME_INCONSISTENCY = -2,     /* in a failed multi: an operation after the one that failed */
        CONVENE_MARSHALLING_ERROR = -5,
        CONVENE_UNIMPLEMENTED = -6,
        CONVENE_BAD_ARGUMENTS = -8,
        CONVENE_NEW_CONFIG_NO_QUORUM = -13,
        CONVENE_RECONFIG_IN_PROGRESS = -14,
        CONVENE_NO_NODE = -101,
        CONVENE_NO_AUTH = -102,
        CONVENE_BAD_VERSION = -103,
        CONVENE_NO_CHILDREN_FOR_EPHEMERALS = -108,
        CONVENE_NODE_EXISTS = -110,
        CONVENE_NOT_EMPTY = -111,
        CONVENE_SESSION_EXPIRED = -112,
        CONVENE_INVALID_ACL = -114,
        CONVENE_AUTH_FAILED = -115,
        CONVENE_SESSION_MOVED = -118,
        CONVENE_NO_WATCHER = -121,
        CONVENE_QUOTA_EXCEEDED = -125,

        CONVENE_LIMIT_EXCEEDED = -1001,         /* a bound of agent/base/limits.h */
        CONVENE_NOT_READY = -1002,              /* no leader yet, or none any more */
        CONVENE_NO_SPACE = -1003,               /* the log cannot grow: nothing is acknowledged until it can */
        CONVENE_HISTORY_GONE = -1004,           /* a watch asked to resume from a zxid no longer remembered */
        CONVENE_FATE_UNKNOWN = -1005,           /* the one case in which a caller must look for itself */
        CONVENE_TOO_LARGE = -1006,              /* data, path, list or request beyond its limit */
        CONVENE_SEQUENCE_OVERFLOW = -1007,      /* the parent has named 2^31 sequential children */
        CONVENE_NOT_REACHABLE = -1008,          /* no member has an address at which another host could reach it */
        CONVENE_TIMED_OUT = -1009,              /* a lock was not granted within the time that the caller would wait */
        CONVENE_NOT_HELD = -1010,               /* a lock or leadership that nobody has, or that was lost */
} ConveneStatus;

/* The name after "org.convene1.Error." and in convenectl's output, e.g. "NoNode".  Never NULL: a value that is
 * no status gives "SystemError". */
const char *convene_status_to_string(ConveneStatus status);

/* The reverse; returns CONVENE_SYSTEM_ERROR for an unknown name. */
ConveneStatus convene_status_from_string(const char *name);

/* One English sentence without a full stop that says what happened and what to do about it. */
const char *convene_status_describe(ConveneStatus status);
