/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A tree and its twin in step: each request goes to both, and everything that can be seen of one must be seen of the
 * other.  The first difference is printed with what is needed to see it again, and aborts.
 */

#include "tests/unit/twin-checkpoint.h"
#include "tests/unit/twin-generate.h"

/* What a faulty tree would do.  A comparison that does not notice is worth nothing, so the test plays each of these
 * faults and demands a difference. */
typedef enum Mutation {
        MUTATION_NONE,
        MUTATION_STAT_FIELD,            /* a set-data answers with another mtime */
        MUTATION_CHANGE_LOST,           /* nobody is told of a creation */
        MUTATION_CHANGES_SWAPPED,       /* two changes of one entry in the wrong order */
        MUTATION_DELETE_IGNORED,        /* a delete answers Ok and does nothing */
        MUTATION_EVENT_LOST,            /* a watch does not fire */
        MUTATION_EVENTS_SWAPPED,        /* two watch events of one entry in the wrong order */
        MUTATION_VERSION_IGNORED,       /* a set-data with the wrong version is done */
        MUTATION_ROW_LOST,              /* a checkpoint forgets a row */
        MUTATION_ACL_WIDENED,           /* a new znode grants more than asked for */
        MUTATION_CXID_FORGOTTEN,        /* a session does not remember its request */
        MUTATION_MULTI_BLAMES_NEXT,     /* a failed multi reports the operation after the one that failed */
        MUTATION_PAGE_SHORT,            /* a list lacks its last item */
        _MUTATION_MAX,
} Mutation;

/* How often an op, alone or in a multi, came to a status. */
typedef struct Coverage {
        uint64_t counts[64][160];
        uint64_t operations, events, checkpoints, checkpoints_aborted, loads, replays, payloads_corrupt;
        uint64_t damage_taken, damage_refused, soft_quotas;
        uint64_t too_deep, pages_cut_by_bytes, znodes_max;
} Coverage;

uint64_t *coverage_at(Coverage *c, RequestOp op, ConveneStatus status);

#define RUN_WATCHERS 5

typedef struct Run {
        uint64_t seed;
        unsigned operation, operations;
        Mutation mutation;
        Coverage *coverage;

        Generator generator;
        Twin *twin;
        Tree *tree;
        Zxid zxid;
        int64_t time_msec;
        GString *what;                  /* the request under way, for people */

        WatchTable *watches;
        GPtrArray *twin_watches;
        ChangeHistory *history;
        Zxid history_floor;
        GPtrArray *history_changes;     /* TwinChange: all since the floor */

        /* what the tree's listener and the watch table said of this request, as text */
        GPtrArray *changes, *events, *session_events;
        Disk disk;
} Run;

/* Compares `operations` random operations from `seed`. */
void run_seed(uint64_t seed, unsigned operations, Mutation mutation, Coverage *coverage);

/* What the tree tells goes into run->changes and so on. */
TreeListener run_listener(Run *run);
void run_on_event(void *userdata, uint64_t watcher, WatchEventType type, const char *path, Zxid zxid, Acl *acl,
                  bool spent);

/* The one way in which a comparison fails: prints and aborts. */
G_NORETURN void difference(const Run *run, const char *what, const char *of_tree, const char *of_twin);

void compare_number(const Run *run, const char *what, uint64_t of_tree, uint64_t of_twin);
void compare_result(Run *run, const Result *of_tree, const Result *of_twin);
void compare_changes(Run *run);                         /* of the request just done, and the events they gave */
void compare_replay(Run *run, GPtrArray *of_twin);      /* events replayed against run->events */
void compare_whole(Run *run);
