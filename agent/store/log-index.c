/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * LogIndex
 */

#include "agent/store/log-index.h"

#include <assert.h>

typedef struct IndexedSegment {
        uint64_t serial, first_index;
        GArray *marks;                  /* LogMark, ascending */
} IndexedSegment;

static IndexedSegment *segment_at(const LogIndex *i, unsigned n) {
        return &g_array_index(i->segments, IndexedSegment, n);
}

static void segment_clear(gpointer data) {
        IndexedSegment *s = data;

        g_array_unref(s->marks);
}

void log_index_init(LogIndex *i) {
        *i = (LogIndex) { .held = UINT64_MAX };
        g_mutex_init(&i->lock);
        i->segments = g_array_new(FALSE, FALSE, sizeof(IndexedSegment));
        g_array_set_clear_func(i->segments, segment_clear);
}

void log_index_done(LogIndex *i) {
        if (!i->segments)
                return;
        g_clear_pointer(&i->segments, g_array_unref);
        g_mutex_clear(&i->lock);
}

void log_index_begin(LogIndex *i, uint64_t base) {
        g_mutex_lock(&i->lock);
        g_array_set_size(i->segments, 0);
        i->base = i->durable = base;
        i->changes++;
        g_mutex_unlock(&i->lock);
}

void log_index_add(LogIndex *i, uint64_t first_index) {
        IndexedSegment s = { .first_index = first_index, .marks = g_array_new(FALSE, FALSE, sizeof(LogMark)) };

        g_mutex_lock(&i->lock);
        s.serial = ++i->serials;
        g_array_append_val(i->segments, s);
        g_mutex_unlock(&i->lock);
}

uint64_t log_index_drop(LogIndex *i, uint64_t base) {
        unsigned n = 0;

        g_mutex_lock(&i->lock);
        base = MIN(base, i->held);
        while (n + 1 < i->segments->len && segment_at(i, n + 1)->first_index <= base + 1)
                n++;
        if (n > 0) {
                g_array_remove_range(i->segments, 0, n);
                i->base = MAX(i->base, segment_at(i, 0)->first_index - 1);
                i->changes++;
        }
        g_mutex_unlock(&i->lock);
        return base;
}

void log_index_cut(LogIndex *i, uint64_t index) {
        g_mutex_lock(&i->lock);
        while (i->segments->len > 1 && segment_at(i, i->segments->len - 1)->first_index > index + 1)
                g_array_set_size(i->segments, i->segments->len - 1);
        if (i->segments->len > 0) {
                IndexedSegment *last = segment_at(i, i->segments->len - 1);

                last->serial = ++i->serials;
                while (last->marks->len > 0 &&
                       g_array_index(last->marks, LogMark, last->marks->len - 1).before.index >= index)
                        g_array_set_size(last->marks, last->marks->len - 1);
        }
        i->durable = MIN(i->durable, index);
        i->changes++;
        g_mutex_unlock(&i->lock);
}

void log_index_set_durable(LogIndex *i, uint64_t index) {
        g_mutex_lock(&i->lock);
        i->durable = index;
        g_mutex_unlock(&i->lock);
}

/* How many marks are at or before the entry after `index`. */
static unsigned marks_up_to(const GArray *marks, uint64_t index) {
        unsigned low = 0, high = marks->len;

        while (low < high) {
                unsigned middle = low + (high - low) / 2;

                if (g_array_index(marks, LogMark, middle).before.index <= index)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static void insert_mark(IndexedSegment *s, const LogMark *mark) {
        unsigned n = marks_up_to(s->marks, mark->before.index);

        if (n == 0 || g_array_index(s->marks, LogMark, n - 1).offset < mark->offset)
                g_array_insert_val(s->marks, n, *mark);
}

void log_index_mark(LogIndex *i, unsigned segment, const LogMark *mark) {
        g_mutex_lock(&i->lock);
        assert(segment < i->segments->len);
        insert_mark(segment_at(i, segment), mark);
        g_mutex_unlock(&i->lock);
}

void log_index_mark_newest(LogIndex *i, const LogMark *mark) {
        g_mutex_lock(&i->lock);
        assert(i->segments->len > 0);
        insert_mark(segment_at(i, i->segments->len - 1), mark);
        g_mutex_unlock(&i->lock);
}

static bool find(const LogIndex *i, uint64_t index, LogPlace *ret) {
        const IndexedSegment *s;
        unsigned n = i->segments->len, m;

        if (index <= i->base || index > i->durable)
                return false;
        while (n > 0 && segment_at(i, n - 1)->first_index > index)
                n--;
        if (n == 0)
                return false;

        s = segment_at(i, n - 1);
        m = marks_up_to(s->marks, index - 1);
        *ret = (LogPlace) {
                .serial = s->serial,
                .first_index = s->first_index,
                .last_index = i->durable,
                .changes = i->changes,
        };
        if (n < i->segments->len)
                ret->last_index = MIN(ret->last_index, segment_at(i, n)->first_index - 1);
        if (m > 0)
                ret->mark = g_array_index(s->marks, LogMark, m - 1);
        return true;
}

bool log_index_find(LogIndex *i, uint64_t index, LogPlace *ret) {
        bool found;

        g_mutex_lock(&i->lock);
        found = find(i, index, ret);
        g_mutex_unlock(&i->lock);
        return found;
}

bool log_index_is_unchanged(LogIndex *i, const LogPlace *place) {
        bool unchanged;

        g_mutex_lock(&i->lock);
        unchanged = i->changes == place->changes;
        g_mutex_unlock(&i->lock);
        return unchanged;
}

void log_index_learn(LogIndex *i, const LogPlace *place, const LogMark *mark) {
        g_mutex_lock(&i->lock);
        for (unsigned n = 0; i->changes == place->changes && n < i->segments->len; n++)
                if (segment_at(i, n)->serial == place->serial)
                        insert_mark(segment_at(i, n), mark);
        g_mutex_unlock(&i->lock);
}

bool log_index_hold(LogIndex *i, uint64_t held, uint64_t index) {
        bool there;

        g_mutex_lock(&i->lock);
        there = index >= i->base;
        if (there)
                i->held = held;
        g_mutex_unlock(&i->lock);
        return there;
}
