/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Log: writing.  What happens at start is in log-start.c.
 */

#include "agent/store/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/store/format/record.h"

#define SPARE_PIECE_BYTES (256 * 1024)

/* What stays allocated between batches. */
#define BUFFER_KEEP_BYTES (1024 * 1024)

void log_init(Log *l, Directory *directory, uint64_t segment_bytes) {
        *l = (Log) {
                .directory = directory,
                .segment_bytes = segment_bytes,
                .segments = g_array_new(FALSE, FALSE, sizeof(LogSegment)),
                .resumed = g_array_new(FALSE, FALSE, sizeof(ResumedMark)),
                .fd = -1,
                .buffer = WRITER_INIT,
                .spare_fd = -1,
        };
        log_index_init(&l->index);
}

void log_close(Log *l) {
        if (l->fd >= 0)
                close(l->fd);
        l->fd = -1;
}

void log_done(Log *l) {
        log_close(l);
        if (l->spare_fd >= 0)
                close(l->spare_fd);
        l->spare_fd = -1;
        g_clear_pointer(&l->segments, g_array_unref);
        g_clear_pointer(&l->resumed, g_array_unref);
        log_index_done(&l->index);
        writer_done(&l->buffer);
}

void log_segment_name(uint64_t first_index, char ret_name[static LOG_NAME_BYTES]) {
        (void) snprintf(ret_name, LOG_NAME_BYTES, "%016" PRIx64 ".log", first_index);
}

uint64_t log_room(const Log *l) {
        uint64_t used = l->offset + l->buffer.size;

        return l->fd >= 0 && used < l->header.segment_bytes ? l->header.segment_bytes - used : 0;
}

uint64_t log_newest(const Log *l) {
        return l->segments->len > 0 ? g_array_index(l->segments, LogSegment, l->segments->len - 1).first_index : 0;
}

uint64_t log_bytes(const Log *l) {
        uint64_t bytes = 0;

        for (unsigned i = 0; i < l->segments->len; i++)
                bytes += g_array_index(l->segments, LogSegment, i).bytes;
        return bytes;
}

bool log_encode(Log *l, const ZabEntry *entry) {
        size_t size = entry->payload ? g_bytes_get_size(entry->payload) : 0;

        assert(entry->index == l->last.index + 1);
        assert(entry->prev_zxid == l->last.zxid);
        assert(entry->zxid > l->last.zxid);

        if (record_bytes(size) > log_room(l))
                return false;
        if (l->offset + l->buffer.size >= l->marked + LOG_MARK_BYTES) {
                l->marked = l->offset + l->buffer.size;
                log_index_mark_newest(&l->index, &(LogMark) { l->last, l->marked });
        }
        record_encode(&l->buffer, l->header.salt, entry, l->durable);
        l->last = (ZabPosition) { entry->index, entry->zxid, entry->chain };
        return true;
}

bool log_encode_watermark(Log *l) {
        assert(l->durable == l->last.index);

        if (record_bytes(0) > log_room(l))
                return false;
        record_encode_watermark(&l->buffer, l->header.salt, &l->last);
        return true;
}

int log_flush(Log *l) {
        Directory *d = l->directory;
        bool proven = l->durable == l->last.index;      /* then there is only a watermark in the buffer */
        int r;

        if (l->buffer.size == 0)
                return 0;
        r = directory_write(d, d->log_fd, l->name, l->fd, l->buffer.data, l->buffer.size, l->offset);
        if (r < 0)
                return r;
        r = directory_sync_file(d, d->log_fd, l->name, l->fd);
        if (r < 0)
                return r;

        l->offset += l->buffer.size;
        l->durable = l->last.index;
        log_index_set_durable(&l->index, l->durable);
        l->proven = proven;
        if (l->buffer.allocated > BUFFER_KEEP_BYTES)
                writer_done(&l->buffer);
        else
                writer_clear(&l->buffer);
        return 0;
}

static int make_salt(uint64_t *ret) {
        return getrandom(ret, sizeof *ret, 0) == sizeof *ret ? 0 : -EIO;
}

int log_rotate(Log *l) {
        Directory *d = l->directory;
        uint8_t block[SEGMENT_HEADER_BYTES];
        char name[LOG_NAME_BYTES];
        LogSegment segment;
        SegmentHeader h = {
                .cluster_id = l->cluster_id,
                .disk_id = l->disk_id,
                .number = l->header.number + 1,
                .first_index = l->last.index + 1,
                .prev_zxid = l->last.zxid,
                .prev_chain = l->last.chain,
                .segment_bytes = l->segment_bytes,
        };
        int r;

        assert(l->buffer.size == 0);
        assert(l->durable == l->last.index);

        r = log_make_spare(l);
        if (r < 0)
                return r;
        r = make_salt(&h.salt);
        if (r < 0)
                return directory_fail(d, r, d->log_fd, LOG_SPARE_NAME, "getrandom");

        /* protocol 2.11: header durable, then the name, then the name durable, then the first record */
        segment_header_encode(&h, block);
        r = directory_write(d, d->log_fd, LOG_SPARE_NAME, l->spare_fd, block, sizeof block, 0);
        if (r < 0)
                return r;
        r = directory_sync_file(d, d->log_fd, LOG_SPARE_NAME, l->spare_fd);
        if (r < 0)
                return r;
        log_segment_name(h.first_index, name);
        r = directory_rename(d, d->log_fd, LOG_SPARE_NAME, name);
        if (r < 0)
                return r;
        r = directory_sync(d, d->log_fd);
        if (r < 0)
                return r;

        if (l->fd >= 0)
                close(l->fd);
        l->fd = l->spare_fd;
        l->spare_fd = -1;
        memcpy(l->name, name, sizeof l->name);
        l->header = h;
        l->offset = l->marked = SEGMENT_HEADER_BYTES;
        l->proven = true;               /* by the header just written */
        segment = (LogSegment) { h.first_index, h.segment_bytes };
        g_array_append_val(l->segments, segment);
        log_index_add(&l->index, h.first_index);
        return 0;
}

/* A spare left by an earlier run holds nothing but zeros and perhaps an old header, which will be overwritten. */
static int reuse_spare(Log *l) {
        Directory *d = l->directory;
        struct stat st;
        int fd;

        fd = directory_open_file(d, d->log_fd, LOG_SPARE_NAME, O_RDWR);
        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        if (fstat(fd, &st) >= 0 && S_ISREG(st.st_mode) && (uint64_t) st.st_size == l->segment_bytes &&
            (uint64_t) st.st_blocks * 512 >= l->segment_bytes) {
                l->spare_fd = fd;
                l->spare_filled = l->segment_bytes;
                return 1;
        }
        close(fd);
        return directory_remove(d, d->log_fd, LOG_SPARE_NAME, false);
}

int log_make_spare(Log *l) {
        Directory *d = l->directory;
        int fd, r;

        if (l->spare_fd >= 0)
                return 0;
        r = reuse_spare(l);
        if (r != 0)
                return MIN(r, 0);

        fd = directory_open_file(d, d->log_fd, LOG_SPARE_NAME, O_RDWR | O_CREAT | O_EXCL);
        if (fd < 0)
                return fd;
        r = directory_allocate(d, d->log_fd, LOG_SPARE_NAME, fd, l->segment_bytes);
        if (r < 0) {
                char what[sizeof d->what];

                memcpy(what, d->what, sizeof what);
                close(fd);
                (void) directory_remove(d, d->log_fd, LOG_SPARE_NAME, false);
                memcpy(d->what, what, sizeof what);
                return r;
        }
        l->spare_fd = fd;
        l->spare_filled = 0;
        return 0;
}

int log_fill_spare(Log *l) {
        Directory *d = l->directory;
        uint64_t n;
        int r;

        assert(l->spare_fd >= 0);

        n = MIN(l->segment_bytes - l->spare_filled, (uint64_t) SPARE_PIECE_BYTES);
        r = directory_zero(d, d->log_fd, LOG_SPARE_NAME, l->spare_fd, l->spare_filled, n);
        if (r < 0)
                return r;
        r = directory_sync_file(d, d->log_fd, LOG_SPARE_NAME, l->spare_fd);
        if (r < 0)
                return r;
        l->spare_filled += n;
        return l->spare_filled == l->segment_bytes;
}

/* How many of the oldest segments are not needed any more. */
static unsigned count_droppable(const Log *l, uint64_t checkpoint, uint64_t keep_bytes) {
        uint64_t covered_bytes = 0;
        unsigned covered, drop;

        /* A segment is covered if the next one begins no later than behind the checkpoint; the newest never is. */
        for (covered = 0; covered + 1 < l->segments->len; covered++) {
                if (g_array_index(l->segments, LogSegment, covered + 1).first_index > checkpoint + 1)
                        break;
                covered_bytes += g_array_index(l->segments, LogSegment, covered).bytes;
        }
        for (drop = 0; drop < covered; drop++) {
                covered_bytes -= g_array_index(l->segments, LogSegment, drop).bytes;
                if (covered_bytes < keep_bytes)
                        break;
        }
        return drop;
}

int log_drop(Log *l, uint64_t checkpoint, uint64_t keep_bytes) {
        Directory *d = l->directory;
        unsigned drop = count_droppable(l, checkpoint, keep_bytes), dropped;
        uint64_t base;
        int r;

        if (drop == 0)
                return 0;

        /* Nobody is told of a segment that is about to go. */
        base = log_index_drop(&l->index, g_array_index(l->segments, LogSegment, drop).first_index - 1);
        for (dropped = 0; dropped < drop; dropped++) {
                char name[LOG_NAME_BYTES];

                if (g_array_index(l->segments, LogSegment, dropped + 1).first_index > base + 1)
                        break;
                log_segment_name(g_array_index(l->segments, LogSegment, dropped).first_index, name);
                r = directory_remove(d, d->log_fd, name, false);
                if (r < 0)
                        return r;
        }
        if (dropped == 0)
                return 0;
        g_array_remove_range(l->segments, 0, dropped);
        r = directory_sync(d, d->log_fd);
        return r < 0 ? r : 1;
}
