/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * MetaFile
 *
 * The file `meta`: the record that holds now, and the next one written beside it.
 */

#include "agent/store/directory.h"
#include "agent/store/format/meta.h"

typedef struct MetaFile {
        Directory *directory;           /* borrowed */
        int fd;
        MetaRecord record;              /* what is durable */
        unsigned bad;                   /* slots found bad */
} MetaFile;

#define META_FILE_INIT(d) ((MetaFile) { .directory = (d), .fd = -1 })

/* Returns 1, 0 if there is no file, -EUCLEAN if both slots are bad, -ENOTSUP if one is of a later format, -errno. */
int meta_file_open(MetaFile *m);
int meta_file_create(MetaFile *m, const ZabMeta *meta);

/* Durable on return; then m->record is what was given. */
int meta_file_write(MetaFile *m, const ZabMeta *meta, uint64_t newest_segment);
void meta_file_done(MetaFile *m);
