/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Requests and answers as text, for comparing and for people.  Of a Result only what result.h promises for its op and
 * status is told, so two answers are the same if and only if their texts are.
 */

#include <glib.h>

#include "tests/unit/twin.h"

const char *describe_op(RequestOp op);
void describe_request(GString *s, const Request *r);
void describe_result(GString *s, const Result *r);
void describe_acl(GString *s, AclEntries acl);
void describe_change(GString *s, ChangeKind kind, Zxid zxid, const char *path, bool soft_quota, const AclEntries *acl,
                     const AclEntries *parent_acl);
void describe_event(GString *s, uint64_t watcher, WatchEventType type, const char *path, Zxid zxid, AclEntries acl,
                    bool spent);
void describe_session(GString *s, const SessionInfo *i);
