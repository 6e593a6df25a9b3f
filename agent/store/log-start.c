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

        r = directory_remove(d, d->log_fd, LOG_CUT_NAME, false);
        if (r < 0)
                return r;
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

ssize_t log_source_read(void *userdata, unsigned segment, uint64_t offset, void *buffer, size_t size) {
        LogSource *s = userdata;
        Directory *d = s->log->directory;
        int r;

        if (s->fd < 0 || s->segment != segment) {
                log_source_done(s);
                log_segment_name(g_array_index(s->log->segments, LogSegment, segment).first_index, s->name);
                r = s->fd = directory_open_file(d, d->log_fd, s->name, O_RDONLY);
                if (r >= 0 && s->settle)
                        r = directory_settle_file(d, d->log_fd, s->name, s->fd);
                if (r < 0)
                        return r;
                s->segment = segment;
        }
        return directory_read(d, d->log_fd, s->name, s->fd, buffer, size, offset);
}

void log_source_done(LogSource *s) {
        if (s->fd >= 0)
                close(s->fd);
        s->fd = -1;
}

static int source_entry(void *userdata, const ZabEntry *entry) {
        LogSource *s = userdata;

        return s->entry(s->userdata, entry);
}

static void source_resumed(void *userdata, unsigned segment, uint64_t offset, const ZabPosition *before) {
        LogSource *s = userdata;
        ResumedMark resumed = { segment, { *before, offset } };

        g_array_append_val(s->log->resumed, resumed);
}

static uint64_t *first_indexes(const Log *l) {
        uint64_t *first = g_new0(uint64_t, l->segments->len + 1);

        for (unsigned i = 0; i < l->segments->len; i++)
                first[i] = g_array_index(l->segments, LogSegment, i).first_index;
        return first;
}

int log_recover(Log *l, const RecoverOptions *options, int (*entry)(void *userdata, const ZabEntry *entry),
                void *userdata, RecoverResult *ret) {
        LogSource s = LOG_SOURCE_INIT(l);
        RecoverSource source = {
                .read = log_source_read,
                .entry = entry ? source_entry : NULL,
                .userdata = &s,
                .resumed = source_resumed,
        };
        g_autofree uint64_t *first = first_indexes(l);
        RecoverOptions o = *options;
        int r;

        s.settle = true;
        s.entry = entry;
        s.userdata = userdata;
        o.segments = first;
        o.segments_count = l->segments->len;
        g_array_set_size(l->resumed, 0);

        r = recover_log(&o, &source, ret);
        log_source_done(&s);
        return r;
}

int log_offer(Log *l, const RecoverOptions *options, RecoverBase *ret) {
        LogSource s = LOG_SOURCE_INIT(l);
        RecoverSource source = { .read = log_source_read, .userdata = &s };
        g_autofree uint64_t *first = first_indexes(l);
        RecoverOptions o = *options;
        unsigned skipped = 0;
        int r;

        s.settle = true;
        o.segments = first;
        o.segments_count = l->segments->len;
        r = recover_base(&o, &source, ret);
        log_source_done(&s);
        if (r < 0)
                return r;

        log_index_begin(&l->index, ret->base.index);
        while (skipped + 1 < l->segments->len && first[skipped + 1] <= ret->base.index + 1)
                skipped++;
        for (unsigned i = skipped; i < l->segments->len; i++)
                log_index_add(&l->index, first[i]);
        for (unsigned i = 0; i < l->resumed->len; i++) {
                const ResumedMark *resumed = &g_array_index(l->resumed, ResumedMark, i);

                if (resumed->segment >= skipped && resumed->segment < l->segments->len)
                        log_index_mark(&l->index, resumed->segment - skipped, &resumed->mark);
        }
        log_index_set_durable(&l->index, l->durable);
        return 0;
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
        l->offset = l->marked = found->offset;
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
                r = log_remove_from(l, found->stale ? 0 : found->segment + (keep ? 1 : 0));
                if (r < 0)
                        return r;
        }
        l->last = found->last;
        l->durable = found->last.index;
        l->header = (SegmentHeader) { .number = found->number };
        return keep ? open_tail(l, found) : 0;
}
