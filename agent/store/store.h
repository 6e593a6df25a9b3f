/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Store
 *
 * The durable half of a member: META, the log (segment files) and the checkpoint (LMDB), in one directory, behind
 * three threads: one writes the log and META, one writes checkpoints, so that the log never waits for LMDB, and one reads
 * both back for members that are behind.  The event loop hands work over and hears of completions through a file
 * descriptor; it never waits for a disk.  What the bytes mean is in store/format, which is pure.
 *
 * Directory (mode 0700, files 0600):
 *     lock                     flock()ed while open
 *     meta                     two 4-KiB slots, written in turn (protocol 2.3)
 *     log/<first index, 16 hex digits>.log       preallocated segments;  log/spare  the next one, preallocated
 *     checkpoint.<generation>/data.mdb           LMDB;  data.mdb-lock  its table of readers, worth nothing later
 *
 * Life: store_open(), then store_create() if BLANK, then store_load(), store_replay(), store_start(); then the
 * asynchronous calls; store_close() at the end.
 *
 * Failure: an error on the log or META is final (StoreListener.failed): the caller must stop speaking to the world and
 * end the process; a failed fdatasync is never retried (protocol 2.5, P20, P21).  No room for the next spare segment is
 * not an error: StoreListener.space tells, the caller refuses new updates, and what is already submitted has its
 * room in the current segment.  A failed checkpoint leaves the previous one and the log as they were.
 *
 * That room is promised where writing to a block that was allocated needs no other: ext4, XFS, F2FS, tmpfs.  On file systems
 * that copy on write or compress (btrfs, ZFS, bcachefs), or that have no fallocate(), a disk that is full may be found out
 * only by a write to the log, and that is final: failed() with -ENOSPC.
 *
 * Source: protocol 2.3, 2.11, 2.14.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/tree/tree.h"
#include "agent/zab/zab.h"

typedef struct Store Store;

typedef struct StoreListener {
        /* Everything appended, truncated and installed with an io_seq up to this one is durable. */
        void (*appended)(void *userdata, uint64_t io_seq);
        void (*meta_written)(void *userdata, uint64_t io_seq);
        /* The checkpoint is durable, verified and pointed at; or error < 0 (-ENOSPC, ...) and nothing changed. */
        void (*checkpointed)(void *userdata, uint64_t io_seq, int error);
        /* The leader's snapshot was not installed: it did not have its digest (-EUCLEAN), was malformed (-EBADMSG), or there
         * was no room (-ENOSPC, ...).  The state before it is as it was, and META was not written.  NULL: failed(). */
        void (*snap_failed)(void *userdata, uint64_t io_seq, int error);
        /* Old segments were removed: the log begins after this index.  May be NULL. */
        void (*log_dropped)(void *userdata, uint64_t index);
        /* The answers to store_read_log(), store_open_snapshot() and store_read_snapshot(); what is passed is borrowed.  NULL
         * if none of them is called. */
        void (*log_read)(void *userdata, uint64_t request, const ZabEntry *entries, unsigned entries_count);
        void (*snapshot_opened)(void *userdata, uint64_t request, const ZabPosition *position, GBytes *config);
        void (*snapshot_chunk)(void *userdata, uint64_t request, GBytes *chunk, Hash128 digest);
        /* Room for the log: false when no spare segment could be made, true when one can again. */
        void (*space)(void *userdata, bool available);
        /* Final.  `what` says which file and operation, for the journal. */
        void (*failed)(void *userdata, int error, const char *what);
        void *userdata;
} StoreListener;

typedef struct StoreOptions {
        const char *directory;          /* created if missing (one level) */
        uint64_t segment_bytes;         /* size of a log segment; 0: 64 MiB.  At least 4 MiB + one largest record */
        uint64_t log_keep_bytes;        /* log kept behind the checkpoint for DIFF; 0: 64 MiB */
        bool no_sync;                   /* tests of speed only */
} StoreOptions;

typedef enum StoreState {
        STORE_BLANK,                    /* no META: store_create() makes a first one */
        STORE_MEMBER,                   /* or still joining: see the report's meta */
        STORE_DAMAGED,                  /* something durable was lost; see StoreReport.text */
} StoreState;

/* What was found at start, for the journal and `convenectl status`. */
typedef struct StoreReport {
        StoreState state;
        ZabMeta meta;
        ZabPosition checkpoint;         /* index 0: none */
        ZabPosition last;               /* last entry of the log, after store_replay() */
        /* After store_replay(): the log holds the entries after this index (0: from the beginning) up to the checkpoint and
         * on, and in those up to the checkpoint these epochs begin; for zab_restore_base(). */
        uint64_t log_base_index;
        Zxid log_base_zxid;
        ZabEpochStart *epochs;          /* owned */
        unsigned epochs_count;
        uint64_t torn_bytes;            /* unsynced tail that was cut off */
        uint64_t meta_slots_bad;        /* 0, 1 or (then DAMAGED) 2 */
        char *text;                     /* owned; for DAMAGED: file, offset, index, and what to do; else NULL */
} StoreReport;

/* Opens and locks the directory and reads META.  Errors: -EAGAIN if another process holds the lock, -ENOTSUP if the
 * format is of a later version, -errno.  *ret_error is a sentence for the journal on any error. */
int store_open(const StoreOptions *options, const StoreListener *listener, Store **ret, char **ret_error);

/* BLANK only: writes the first META (durable on return), with membership JOINING if it says so, else MEMBER. */
int store_create(Store *s, const ZabMeta *meta);

/* Loads the checkpoint into `tree` (from tree_new_empty(); NULL only verifies), checks the digest, and gives
 * its position and the committed configuration stored with it (owned by the caller; NULL for none).  Returns 1 if
 * loaded, 0 if there is none (the tree must then be a tree_new()), -EUCLEAN if it is damaged (the report becomes
 * DAMAGED). */
int store_load(Store *s, Tree *tree, ZabPosition *ret_position, GBytes **ret_config);

/* Scans the log strictly (2.11) and calls `each` for every entry after the checkpoint, in order; the entry's
 * payload is borrowed for the call.  A torn tail is cut and made durable as cut; a lost durable record makes the report
 * DAMAGED and returns -EUCLEAN after the entries before it.  `each` < 0 stops with that value. */
int store_replay(Store *s, int (*each)(void *userdata, const ZabEntry *entry), void *userdata);

const StoreReport *store_get_report(const Store *s);

/* DAMAGED only, before store_start(): accepts the loss (the log is cut at the damage; a damaged checkpoint is
 * dropped only if the log still reaches back to index 1).  The only voter is MEMBER again; where there are, or may be, others the
 * member is marked DAMAGED and waits for them (2.12).  For `convened --accept-loss`. *ret_lost_from: the first index that may be lost.  Then load and replay (again), from the
 * beginning.  -ENODATA, with *ret_error, if META is lost or neither checkpoint nor log reaches back to the first
 * entry. */
int store_accept_loss(Store *s, uint64_t *ret_lost_from, char **ret_error);

/* Starts the threads (and a spare segment).  All signals are blocked in them. */
int store_start(Store *s);

/* Readable when store_dispatch() has something to tell; the listener is called from store_dispatch() only. */
int store_get_fd(Store *s);
void store_dispatch(Store *s);

/* Queues entries; takes references to the payloads.  Everything queued while the disk is busy goes out in one write and
 * one fdatasync.  io_seq grows with each call. */
void store_append(Store *s, uint64_t io_seq, const ZabEntry *entries, unsigned entries_count);

/* Queues META; done only after every append queued before it.  checkpoint_generation and durable_floor are the store's
 * own: those given do not count. */
void store_write_meta(Store *s, uint64_t io_seq, const ZabMeta *meta);

/* Cuts the log: `position`, which must be in it, becomes the last entry; appends after it continue it.  META comes
 * first, with a durable floor that is no higher; then segments go, newest first, each removal durable; last the segment that
 * holds the point is replaced by a copy of what is kept.  So a crash leaves the log as it was, or less of what is cut, and
 * never one whose later records, or META, prove the loss of earlier ones.  Completes through appended(). */
void store_truncate(Store *s, uint64_t io_seq, const ZabPosition *position);

/* A snapshot from the leader: chunks (tree_chunk_encode(); each is referenced) go into a new generation beside the present
 * state.  It takes the place of a checkpoint under way, which is aborted without a word, unless its end was asked for
 * already; another one that begins before install or abort ends with -EBUSY.
 *
 * Install: once the rows are durable and were read back from the disk with that digest, one META write makes them the
 * state: `meta`, the new generation, no log.  Then the whole old log and the old checkpoint go, and an empty log continues at
 * the snapshot's position.  Completes through appended(io_seq), which also stands for the META write, or with
 * snap_failed(io_seq).  Appends and META writes after it wait for it.  A crash leaves the old state or the new one. */
void store_snap_begin(Store *s, const ZabPosition *position, GBytes *config);
void store_snap_chunk(Store *s, GBytes *chunk);
void store_snap_install(Store *s, uint64_t io_seq, const ZabMeta *meta, Hash128 digest);
void store_snap_abort(Store *s);

/* Reads entries back, in a thread that nothing else waits for: log_read() with consecutive entries from `from_index` on, none
 * after `to_index`, at least one if it is durable and still there, of up to `bytes_max` (a larger one goes alone); with none if
 * the log does not reach back.  There may be fewer than fit: ask on.  A record that is not as it was written is final. */
void store_read_log(Store *s, uint64_t request, uint64_t from_index, uint64_t to_index, uint64_t bytes_max);

/* The newest durable checkpoint, for a member that is far behind: snapshot_opened() (index 0: there is none), then a chunk
 * (about 256 KiB, or one large row) for each store_read_snapshot(); NULL is the end.  `digest` is the whole tree's in
 * each.  Four can be open, more wait.  While one is, the log after its position stays, and so does it, whatever checkpoint
 * comes meanwhile.  `request` is the caller's, and not that of one that is open.  After close there are no more answers
 * for it. */
void store_open_snapshot(Store *s, uint64_t request);
void store_read_snapshot(Store *s, uint64_t request);
void store_close_snapshot(Store *s, uint64_t request);

/* A checkpoint in pieces: begin, rows as often as needed (copied), end.  It begins once the log is durable up to
 * `position`, which must be that of an entry already appended.  `digest` is the tree's at `position`; `config` (may be
 * NULL) is the committed configuration there.  `full`: into a new generation, leaving the old one until done; then
 * META's checkpoint_generation moves (the store writes META itself, with the rest of the latest META).  After it,
 * segments that are not needed are removed.  Without an earlier checkpoint, one that is not full ends with -ENOENT. */
void store_checkpoint_begin(Store *s, uint64_t io_seq, bool full, const ZabPosition *position, Hash128 digest,
                            GBytes *config);
void store_checkpoint_rows(Store *s, const TreeRow *rows, unsigned rows_count);
void store_checkpoint_end(Store *s);
/* Nothing is told of it afterwards, except an error that came before. */
void store_checkpoint_abort(Store *s);
unsigned store_checkpoint_backlog(const Store *s);      /* row batches, or chunks of a snapshot, handed over and not yet written */

typedef struct StoreStatistics {
        uint64_t appends, append_bytes, syncs, sync_usec_total, sync_usec_max;
        uint64_t checkpoints, checkpoint_rows, checkpoint_usec_last;
        uint64_t segments, log_bytes;
        bool space_available;
} StoreStatistics;

void store_get_statistics(Store *s, StoreStatistics *ret);

/* Finishes what is queued, stops the threads, unlocks.  NULL allowed, returns NULL. */
Store *store_close(Store *s);
