/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Log: what happens at start.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/store/log.h"

/* The first index in a segment's name, or 0 if it is no such name. */
static uint64_t parse_name(const char *name) {
        char canonical[LOG_NAME_BYTES];
        uint64_t index;

        index = g_ascii_strtoull(name, NULL, 16);
        log_segment_name(index, canonical);
        return strcmp(name, canonical) == 0 ? index : 0;
}

int log_list(Log *l) {
        Directory *d = l->directory;
        g_auto(GStrv) names = NULL;
        int r;

        r = directory_list(d, d->log_fd, &names);
        if (r < 0)
                return r;

        /* Names of equal length in hexadecimal digits sort as the numbers do. */
        g_array_set_size(l->segments, 0);
        for (char **name = names; *name; name++) {
                LogSegment segment = { .first_index = parse_name(*name) };
                struct stat st;

                if (segment.first_index == 0)
                        continue;
                if (fstatat(d->log_fd, *name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return directory_fail(d, -errno, d->log_fd, *name, "stat");
                segment.bytes = (uint64_t) st.st_size;
                g_array_append_val(l->segments, segment);
        }
        return 0;
}

/* One segment is open at a time. */
typedef struct Source {
        Log *log;
        int (*entry)(void *userdata, const ZabEntry *entry);
        void *userdata;
        int fd;
        unsigned segment;
        char name[LOG_NAME_BYTES];
} Source;

static ssize_t source_read(void *userdata, unsigned segment, uint64_t offset, void *buffer, size_t size) {
        Source *s = userdata;
        Directory *d = s->log->directory;

        if (s->fd < 0 || s->segment != segment) {
                if (s->fd >= 0)
                        close(s->fd);
                log_segment_name(g_array_index(s->log->segments, LogSegment, segment).first_index, s->name);
                s->fd = directory_open_file(d, d->log_fd, s->name, O_RDONLY);
                if (s->fd < 0)
                        return s->fd;
                s->segment = segment;
        }
        return directory_read(d, d->log_fd, s->name, s->fd, buffer, size, offset);
}

static int source_entry(void *userdata, const ZabEntry *entry) {
        Source *s = userdata;

        return s->entry(s->userdata, entry);
}

int log_recover(Log *l, const RecoverOptions *options, int (*entry)(void *userdata, const ZabEntry *entry),
                void *userdata, RecoverResult *ret) {
        Source s = { .log = l, .entry = entry, .userdata = userdata, .fd = -1 };
        RecoverSource source = { .read = source_read, .entry = entry ? source_entry : NULL, .userdata = &s };
        g_autofree uint64_t *first = g_new0(uint64_t, l->segments->len + 1);
        RecoverOptions o = *options;
        int r;

        for (unsigned i = 0; i < l->segments->len; i++)
                first[i] = g_array_index(l->segments, LogSegment, i).first_index;
        o.segments = first;
        o.segments_count = l->segments->len;

        r = recover_log(&o, &source, ret);
        if (s.fd >= 0)
                close(s.fd);
        return r;
}

/* Newest first, each removal durable before the next: a crash leaves a log that ends early, never one with a gap
 * (protocol P12). */
static int remove_from(Log *l, unsigned first) {
        Directory *d = l->directory;

        while (l->segments->len > first) {
                char name[LOG_NAME_BYTES];
                int r;

                log_segment_name(g_array_index(l->segments, LogSegment, l->segments->len - 1).first_index, name);
                r = directory_remove(d, d->log_fd, name, false);
                if (r < 0)
                        return r;
                r = directory_sync(d, d->log_fd);
                if (r < 0)
                        return r;
                g_array_set_size(l->segments, l->segments->len - 1);
        }
        return 0;
}

int log_remove_all(Log *l) {
        return remove_from(l, 0);
}

/* Opens the segment that is to be written on, with `offset` as its end. */
static int open_tail(Log *l, const RecoverResult *found) {
        Directory *d = l->directory;
        struct stat st;
        uint64_t size;
        int r;

        log_segment_name(found->header.first_index, l->name);
        r = l->fd = directory_open_file(d, d->log_fd, l->name, O_RDWR);
        if (r < 0)
                return r;
        l->header = found->header;
        l->offset = found->offset;
        l->proven = false;

        if (found->verdict != RECOVER_CLEAN) {
                /* After an accepted loss the file may even be too short; allocating again is harmless. */
                if (fstat(l->fd, &st) < 0)
                        return directory_fail(d, -errno, d->log_fd, l->name, "stat");
                size = MIN((uint64_t) st.st_size, l->header.segment_bytes);
                if (size < l->header.segment_bytes) {
                        r = directory_allocate(d, d->log_fd, l->name, l->fd, l->header.segment_bytes);
                        if (r < 0)
                                return r;
                }
                if (size > l->offset) {
                        r = directory_zero(d, d->log_fd, l->name, l->fd, l->offset, size - l->offset);
                        if (r < 0)
                                return r;
                }
        }
        r = directory_sync_file(d, d->log_fd, l->name, l->fd);
        if (r < 0)
                return r;
        return directory_sync(d, d->log_fd);
}

int log_settle(Log *l, const RecoverResult *found) {
        bool keep = !found->stale && found->offset > 0;
        int r;

        assert(l->fd < 0);

        if (l->segments->len > 0) {
                r = remove_from(l, found->stale ? 0 : found->segment + (keep ? 1 : 0));
                if (r < 0)
                        return r;
        }
        l->last = found->last;
        l->durable = found->last.index;
        l->header = (SegmentHeader) { .number = found->number };
        return keep ? open_tail(l, found) : 0;
}
