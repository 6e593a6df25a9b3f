/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * VDisk
 *
 * A directory of files as a disk with a page cache has them.  A write changes the cache and marks its sectors; a sync
 * brings them to the platter; names are changed in the cache, too, until the directory is synced.  A process that is
 * killed leaves the cache; power that goes leaves the platter, any subset of the marked sectors (512 bytes or 4 KiB
 * each), and some prefix of the changes to names.
 *
 * Files have a fixed size: the log's are preallocated and META is two slots.  Names are numbers.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/prng.h"

#define VDISK_SECTOR_BYTES 512
#define VDISK_NAME_META UINT64_MAX
#define VDISK_NAME_SPARE (UINT64_MAX - 1)       /* all others: log segments, by their first index */

typedef struct VFile {
        unsigned refs;
        size_t size;
        uint8_t *cache, *platter;
        uint64_t *dirty;                /* a bit per sector of 512 bytes */
        bool has_dirty;
} VFile;

typedef struct VName {
        uint64_t name;
        VFile *file;
} VName;

typedef struct VNames {
        VName *items;                   /* ascending by name */
        unsigned count, allocated;
} VNames;

typedef struct VNameChange {
        uint64_t from, to;              /* from 0: linked as `to`; to 0: unlinked */
        VFile *file;
} VNameChange;

typedef struct VDisk {
        VNames cached, durable;
        VNameChange *changes;           /* not durable, in order */
        unsigned changes_count, changes_allocated;
} VDisk;

void vdisk_done(VDisk *d);
VFile *vdisk_find(const VDisk *d, uint64_t name);       /* as running processes see it; NULL for none */

/* All zeros, also on the platter. */
VFile *vdisk_create(VDisk *d, uint64_t name, size_t size);
void vdisk_rename(VDisk *d, uint64_t from, uint64_t to);
void vdisk_unlink(VDisk *d, uint64_t name);
void vdisk_sync_names(VDisk *d);

void vdisk_write(VFile *f, size_t offset, const void *data, size_t size);       /* data NULL: zeros */
void vdisk_sync(VFile *f);

void vdisk_lose_power(VDisk *d, Prng *prng);

/* One bit of the file, at rest: in the cache and on the platter. */
void vdisk_rot(VFile *f, Prng *prng, size_t begin, size_t end);
