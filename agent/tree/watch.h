/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Watch
 *
 * Who wants to hear of which change (zookeeper-semantics 2.11).  Watches are local to a member and not part of the
 * replicated tree.  A watcher is a number the front chose: the ZooKeeper port uses one per connection, so that
 * identical watches collapse and one change gives one event; the bus uses one per Watch call.
 *
 * The table knows paths and watchers, not permissions: WatchEmit decides with the change's ACLs whether the event
 * may be shown; a one-shot watch is spent either way.
 */

#include "agent/tree/tree.h"

typedef enum WatchKind {
        WATCH_DATA = 1,                 /* one-shot: created, deleted, data changed (exists and getData) */
        WATCH_CHILDREN = 2,             /* one-shot: children changed, deleted */
        WATCH_PERSISTENT = 4,           /* both of the above, until removed */
        WATCH_PERSISTENT_RECURSIVE = 8, /* created, deleted, data changed here and below, until removed */
} WatchKind;

typedef enum WatchEventType {
        WATCH_EVENT_CREATED = 1,        /* ZooKeeper's numbers */
        WATCH_EVENT_DELETED = 2,
        WATCH_EVENT_DATA_CHANGED = 3,
        WATCH_EVENT_CHILDREN_CHANGED = 4,
} WatchEventType;

typedef struct WatchTable WatchTable;

/* Called once per watcher and trigger.  `acl` is the ACL whose READ decides whether the watcher may see it (the
 * znode's; for CHILDREN_CHANGED the parent's, which is then the znode at `path`); `spent` says that with this event
 * the watcher's last watch on this very path ended (a recursive one on an ancestor is not on this path and may
 * remain).  Must not change the table. */
typedef void (*WatchEmit)(void *userdata, uint64_t watcher, WatchEventType type, const char *path, Zxid zxid,
                          Acl *acl, bool spent);

WatchTable *watch_table_new(void);
WatchTable *watch_table_free(WatchTable *t);

/* Adding what is there already changes nothing.  Returns true if it was new. */
bool watch_table_add(WatchTable *t, uint64_t watcher, const char *path, WatchKind kind);

/* Removes the kinds in the mask; returns the mask of what was there. */
unsigned watch_table_remove(WatchTable *t, uint64_t watcher, const char *path, unsigned kinds);
void watch_table_remove_watcher(WatchTable *t, uint64_t watcher);

unsigned watch_table_get(const WatchTable *t, uint64_t watcher, const char *path);     /* mask, 0 for none */

/* Calls `each` for every path that the watcher watches, in an order that depends on nothing but the calls before; it must
 * not change the table. */
void watch_table_foreach(const WatchTable *t, uint64_t watcher,
                         void (*each)(void *userdata, const char *path, unsigned kinds), void *userdata);

uint64_t watch_table_count(const WatchTable *t);        /* (watcher, path, kind) triples */
uint64_t watch_table_paths_count(const WatchTable *t);
uint64_t watch_table_watchers_count(const WatchTable *t);

/* Fires what `change` triggers, by the table of 2.11: for each watcher at most one event per path, first the ones
 * for the path itself, then CHILDREN_CHANGED of its parent; watchers in ascending order. */
void watch_table_fire(WatchTable *t, const TreeChange *change, WatchEmit emit, void *userdata);

/*
 * Change history: the latest changes with the ACLs they were made under, for watches that resume from a zxid.  It
 * is bounded (limits.h) and starts at a floor: nothing is known of changes at or below it.
 */
typedef struct ChangeHistory ChangeHistory;

ChangeHistory *change_history_new(AclTable *acls, Zxid floor);
ChangeHistory *change_history_free(ChangeHistory *h);
void change_history_add(ChangeHistory *h, const TreeChange *change);
Zxid change_history_floor(const ChangeHistory *h);

/* Replays, in order, the events that a PERSISTENT or PERSISTENT_RECURSIVE watch on `path` held since `since` would
 * have seen.  CONVENE_HISTORY_GONE, with nothing emitted, if since is below the floor. */
ConveneStatus change_history_replay(const ChangeHistory *h, const char *path, WatchKind kind, Zxid since,
                                    uint64_t watcher, WatchEmit emit, void *userdata);
