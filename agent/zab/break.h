/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Break
 *
 * Wrong orderings, put back on purpose: a simulator that does not find them proves nothing.  They exist only in a build
 * with CONVENE_BREAK, where the simulator sets zab_break; in every other build ZAB_BREAK() is a constant 0 and the
 * compiler drops them.
 * Source: protocol 2.14 (what must be durable first), 2.15 (the model's table, a to g), 2.16 (P1 to P34).
 */

typedef enum ZabBreak {
        ZAB_BREAK_NONE = 0,

        /* 2.14, row by row */
        ZAB_BREAK_CANDIDATE_EARLY,              /* VOTE_REQ and the own vote before the promise is durable */
        ZAB_BREAK_VOTE_EARLY,                   /* VOTE_RSP before the promise is durable (P23) */
        ZAB_BREAK_SYNC_EARLY,                   /* SYNC_REQ before the promise is durable */
        ZAB_BREAK_EPOCH_BEFORE_LOG,             /* current_epoch before the leader's history is durable (P2) */
        ZAB_BREAK_NEWLEADER_ACK_BEFORE_LOG,     /* ACK_NEWLEADER before the history is durable (P1) */
        ZAB_BREAK_NEWLEADER_ACK_BEFORE_EPOCH,   /* ACK_NEWLEADER before current_epoch is durable */
        ZAB_BREAK_LEADER_ADOPTS_EARLY,          /* the leader counts itself for NEWLEADER at once */
        ZAB_BREAK_ACK_EARLY,                    /* ACK before the log is durable */
        ZAB_BREAK_LEADER_COUNTS_EARLY,          /* the leader counts itself for entries not durable with it */
        ZAB_BREAK_COMMIT_ALONE,                 /* COMMIT without a quorum */
        ZAB_BREAK_APPLY_BEFORE_COMMIT,          /* APPLY of what is only durable */
        ZAB_BREAK_APPLY_BEFORE_DURABLE,         /* APPLY of what is only committed (P17) */

        /* 2.15 */
        ZAB_BREAK_READ_APPLIED,                 /* read index of what the leader has applied, not of what is committed (P27) */
        ZAB_BREAK_NO_NEWLEADER,                 /* broadcast without a NEWLEADER round */
        ZAB_BREAK_READ_LEASE,                   /* read without a quorum round (P29) */
        ZAB_BREAK_ELECT_APPLIED,                /* election by applied instead of logged position (P9) */
        ZAB_BREAK_COUNT_UNSYNCED,               /* who is still synchronising is counted */
        ZAB_BREAK_TRUNC_KEEPS_DURABLE,          /* durable not lowered on TRUNC (P11) */
        ZAB_BREAK_WIPED_VOTES,                  /* a wiped voter keeps its identity */
        ZAB_BREAK_ACK_AFTER_PROMISE,            /* ACK to the old leader after a later promise (P24) */
        ZAB_BREAK_OLD_QUORUM,                   /* reconfiguration decided by the old quorum alone */
        ZAB_BREAK_NEW_QUORUM,                   /* ... by the new one alone */
        ZAB_BREAK_VOTE_ZXID_ONLY,               /* vote compares the last zxid only (P22) */
        ZAB_BREAK_META_OF_EARLIER_SESSION,      /* a META completion of an earlier session counts (d, P10) */
        ZAB_BREAK_NO_CONFIG_TAUGHT,             /* neither a hello, NEWLEADER nor SNAP brings the configuration (e) */
        ZAB_BREAK_STALE_COMPLETION,             /* a completion from before a truncation counts (P10) */

        /* further ones of 2.15 and 2.16 */
        ZAB_BREAK_NO_GOSSIP,                    /* election messages teach no commit: liveness (c, P32) */
        ZAB_BREAK_NO_WAIVER,                    /* a removed member with a later promise stays outside: liveness (f) */
        ZAB_BREAK_TRUNC_RAISES_NOTHING,         /* durable not raised by the truncation itself: liveness (g) */
        ZAB_BREAK_RECONFIGURE_UNSYNCED,         /* voters added that have nothing yet: liveness (2.13.2) */
        ZAB_BREAK_CONFIG_SURVIVES_TRUNC,        /* a configuration that was cut off stays in force (P31) */
        ZAB_BREAK_READ_OLD_ROUND,               /* a read confirmed by a round that began before it (P28) */
        ZAB_BREAK_ECHO_UNCONFIRMED,             /* a follower's time echoed without a quorum (DESIGN 2.8) */
        ZAB_BREAK_COMMIT_UNMATCHED,             /* COMMIT applied to entries that may not be the leader's (P6) */
        ZAB_BREAK_WAIVED_VOTES,                 /* who follows by the waiver is made a voter of that epoch (2.8) */
        ZAB_BREAK_SETTLED_EARLY,                /* a removal reported before a quorum's META knows it: liveness (2.13.6) */

        /* feed.c */
        ZAB_BREAK_FEED_UNCOMMITTED,             /* a parent takes all it has for committed */
        ZAB_BREAK_FEED_FORGOTTEN,               /* an observer waits for a parent that is gone: liveness */
        _ZAB_BREAK_MAX,
} ZabBreak;

#ifdef CONVENE_BREAK
extern unsigned zab_break;
#define ZAB_BREAK(name) (zab_break == ZAB_BREAK_##name)
/* With a break in force it is the simulator's judges that have to find it. */
#define zab_invariant(condition) assert(zab_break != 0 || (condition))
#else
#define ZAB_BREAK(name) 0
#define zab_invariant(condition) assert(condition)
#endif
