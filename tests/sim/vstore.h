/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * VStore
 *
 * The store of a simulated host: the log, META and checkpoints over a VDisk, with the bytes and the recovery rule of
 * store/format and the orders of protocol 2.11.  Work is cut into steps.  A timed step writes, waits for the disk, and
 * has its effect on the platter; between any two, and within each, the host may crash.
 *
 * What is durable is said twice: by the listener's functions, as the real store would, and by the fields below as soon
 * as the platter has it, for judges.
 */

#include "agent/store/format/meta.h"
#include "agent/store/format/recover.h"
#include "agent/zab/zab.h"
#include "tests/sim/vcheckpoint.h"
#include "tests/sim/vdisk.h"

/* Where a host may crash: before the step has begun, while it waits for the disk, after the disk has it and before
 * anybody was told. */
typedef enum PersistPoint {
        PERSIST_APPEND,
        PERSIST_META,
        PERSIST_SEGMENT,                /* a new one begins */
        PERSIST_TRUNCATE,
        PERSIST_INSTALL,                /* a snapshot becomes the state */
        PERSIST_CHECKPOINT,
        PERSIST_DROP,                   /* old segments go */
        _PERSIST_MAX,
} PersistPoint;

typedef enum PersistPhase {
        PERSIST_BEFORE,
        PERSIST_DURING,
        PERSIST_AFTER,
        _PERSIST_PHASE_MAX,
} PersistPhase;

const char *persist_point_to_string(PersistPoint p);

/* What survives a run: the disk itself. */
typedef struct VStorage {
        VDisk disk;
        struct {
                uint64_t generation;    /* 0: free */
                VCheckpoint *checkpoint;
        } checkpoints[3];
} VStorage;

void vstorage_done(VStorage *s);
/* A first META. */
void vstorage_format(VStorage *s, const ZabMeta *meta);

typedef struct VStoreListener {
        void (*appended)(void *userdata, uint64_t io_seq);
        void (*meta_written)(void *userdata, uint64_t io_seq);
        void (*checkpointed)(void *userdata, uint64_t index);
        void (*log_dropped)(void *userdata, uint64_t index);
        /* Call vstore_on_disk(token) after `usec`. */
        void (*wake)(void *userdata, uint64_t usec, uint64_t token);
        uint64_t (*latency)(void *userdata, PersistPoint point);
        /* True: the host crashes here and now; the store does nothing any more. */
        bool (*persist)(void *userdata, PersistPoint point, PersistPhase phase, uint64_t latency_usec);
        /* The platter has more than before (or, for META, something else). */
        void (*settled)(void *userdata, PersistPoint point);
        void *userdata;
} VStoreListener;

/* Where an entry is in the log. */
typedef struct VPlace {
        uint64_t segment;
        size_t offset;
        Zxid zxid;
        Hash128 chain;
} VPlace;

typedef struct VSegment {
        uint64_t first_index;
        SegmentHeader header;
        size_t end;                     /* where the next record goes */
} VSegment;

typedef struct VOp VOp;

typedef struct VStore {
        VStorage *storage;
        VStoreListener listener;
        Prng prng;                      /* salts */
        size_t segment_bytes, keep_bytes;
        uint64_t watermark_usec;
        bool meta_overtakes;            /* META is a queue of its own */

        MetaRecord record;              /* on the platter */
        uint64_t next_seq;

        GArray *segments;               /* VSegment, ascending */
        GArray *places;                 /* VPlace of entries base + 1 ... */
        ZabPosition base;               /* before the first entry of the log; its chain counts only without segments */
        ZabPosition last;               /* encoded */
        uint64_t durable;               /* index */
        uint64_t checkpoint_index;      /* of the checkpoint on the platter */
        bool proven;
        uint64_t installing;            /* base of a snapshot whose switch is under way, or 0 */

        VOp *ops, **ops_end;
        VOp *checkpoint;                /* waits or is written */
        bool wrote_log;
        GArray *steps;                  /* VStep */
        unsigned step;
        bool in_step, stalled;
        uint64_t token;
        Writer buffer;
} VStore;

typedef enum VVerdict {
        VSTORE_BLANK,
        VSTORE_OK,
        VSTORE_DAMAGED,                 /* what is left was kept, the rest cut off; META says DAMAGED */
        VSTORE_LOST,                    /* META is gone */
} VVerdict;

typedef struct VFound {
        VVerdict verdict;
        const char *why;
        Tree *tree;                     /* from the checkpoint; NULL: none */
        ZabPosition checkpoint;
        GBytes *config;
        GPtrArray *entries;             /* ZabEntry behind the checkpoint */
        uint64_t base_index;            /* the log is complete behind it */
        Zxid base_zxid;
        GArray *epochs;                 /* ZabEpochStart */
        uint64_t torn_bytes;
} VFound;

void vfound_done(VFound *f);

/* Recovers.  `listener_tree` is for the tree.  The store is NULL for BLANK and LOST. */
VStore *vstore_open(VStorage *storage, const VStore *options, const TreeListener *listener_tree, VFound *ret);
VStore *vstore_free(VStore *s);

void vstore_append(VStore *s, uint64_t io_seq, const ZabEntry *entries, unsigned entries_count);
void vstore_truncate(VStore *s, uint64_t io_seq, const ZabPosition *position);
void vstore_write_meta(VStore *s, uint64_t io_seq, const ZabMeta *meta);
/* Both take the changes.  One checkpoint at a time. */
void vstore_install(VStore *s, uint64_t io_seq, const ZabMeta *meta, VChanges *rows, const CheckpointPosition *position);
void vstore_checkpoint(VStore *s, bool full, VChanges *rows, const CheckpointPosition *position);
bool vstore_is_checkpointing(const VStore *s);
bool vstore_is_idle(const VStore *s);   /* what was asked for is done and told, checkpoints excepted */
void vstore_on_disk(VStore *s, uint64_t token);

/* Durable entries, up to so many bytes (at least one); empty if they are gone. */
GPtrArray *vstore_read_log(const VStore *s, uint64_t from_index, uint64_t to_index, uint64_t bytes_max);
/* The checkpoint on the platter, NULL for none; borrowed. */
VCheckpoint *vstore_get_checkpoint(const VStore *s);

/* The chain of a durable entry in the log; false if the log does not have it (the checkpoint may). */
bool vstore_get_chain(const VStore *s, uint64_t index, Hash128 *ret);

/* For vstore-open.c */
VStore *vstore_new(VStorage *storage, const VStore *options);
void vstore_begin_segment(VStore *s);           /* at once */
ZabEntry *entry_copy(const ZabEntry *e);
void entry_free(gpointer p);
VCheckpoint **vstorage_find(VStorage *s, uint64_t generation);
void vstorage_drop_others(VStorage *s, uint64_t generation);
