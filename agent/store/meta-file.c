/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * MetaFile
 */

#include "agent/store/meta-file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int meta_file_open(MetaFile *m) {
        Directory *d = m->directory;
        uint8_t data[META_FILE_BYTES];
        ssize_t n;
        int r;

        assert(m->fd < 0);

        m->fd = directory_open_file(d, d->fd, "meta", O_RDWR);
        if (m->fd == -ENOENT)
                return 0;
        if (m->fd < 0)
                return m->fd;

        /* Nothing may be promised on a slot before the disk has it. */
        r = directory_settle_file(d, d->fd, "meta", m->fd);
        if (r < 0)
                return r;
        n = directory_read(d, d->fd, "meta", m->fd, data, sizeof data, 0);
        if (n < 0)
                return (int) n;

        switch (meta_choose(data, (size_t) n, &m->record, &m->bad)) {

        case META_OK:
                return 1;

        case META_NEWER:
                return directory_fail(d, -ENOTSUP, d->fd, "meta", "its format is of a later version");

        case META_BAD:
                break;
        }
        return directory_fail(d, -EUCLEAN, d->fd, "meta", "both slots are damaged");
}

int meta_file_create(MetaFile *m, const ZabMeta *meta) {
        Directory *d = m->directory;
        uint8_t data[META_FILE_BYTES];
        MetaRecord record = { .meta = *meta };
        int r;

        assert(m->fd < 0);

        for (record.seq = 1; record.seq <= 2; record.seq++)
                meta_encode(&record, data + meta_slot_offset(record.seq));
        record.seq = 2;

        r = directory_remove(d, d->fd, "meta.new", false);
        if (r < 0)
                return r;
        r = m->fd = directory_open_file(d, d->fd, "meta.new", O_RDWR | O_CREAT | O_EXCL);
        if (r < 0)
                return r;
        r = directory_write(d, d->fd, "meta.new", m->fd, data, sizeof data, 0);
        if (r < 0)
                return r;
        r = directory_sync_file(d, d->fd, "meta.new", m->fd);
        if (r < 0)
                return r;
        r = directory_rename(d, d->fd, "meta.new", "meta");
        if (r < 0)
                return r;
        r = directory_sync(d, d->fd);
        if (r < 0)
                return r;
        m->record = record;
        return 0;
}

int meta_file_write(MetaFile *m, const ZabMeta *meta, uint64_t newest_segment) {
        Directory *d = m->directory;
        MetaRecord record = { .seq = m->record.seq + 1, .meta = *meta, .newest_segment = newest_segment };
        uint8_t slot[META_SLOT_BYTES];
        int r;

        meta_encode(&record, slot);
        r = directory_write(d, d->fd, "meta", m->fd, slot, sizeof slot, meta_slot_offset(record.seq));
        if (r < 0)
                return r;
        r = directory_sync_file(d, d->fd, "meta", m->fd);
        if (r < 0)
                return r;
        m->record = record;
        return 0;
}

void meta_file_done(MetaFile *m) {
        if (m->fd >= 0)
                close(m->fd);
        m->fd = -1;
}
