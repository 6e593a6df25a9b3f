/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Epochs
 */

#include "agent/zab/epochs.h"

#include <assert.h>

static const EpochRun *run(const Epochs *e, guint n) {
        return &g_array_index(e->runs, EpochRun, n);
}

void epochs_init(Epochs *e) {
        e->runs = g_array_new(FALSE, FALSE, sizeof(EpochRun));
        epochs_reset(e, 0, 0);
}

void epochs_done(Epochs *e) {
        g_array_unref(e->runs);
        *e = (Epochs) { 0 };
}

void epochs_reset(Epochs *e, uint64_t base_index, Zxid base_zxid) {
        EpochRun base = { base_index, base_zxid };

        g_array_set_size(e->runs, 0);
        g_array_append_val(e->runs, base);
        e->last = base_index;
}

bool epochs_continues(Zxid last, Zxid zxid) {
        return zxid_epoch(zxid) == zxid_epoch(last) ? zxid_counter(last) < UINT32_MAX && zxid == last + 1
                                                    : zxid_epoch(zxid) > zxid_epoch(last) && zxid_counter(zxid) == 1;
}

void epochs_append(Epochs *e, Zxid zxid) {
        Zxid last = epochs_zxid_at(e, e->last);

        assert(epochs_continues(last, zxid));

        e->last++;
        if (zxid_epoch(zxid) != zxid_epoch(last)) {
                EpochRun r = { e->last, zxid };

                g_array_append_val(e->runs, r);
        }
}

/* The run that `index` lies in. */
static guint find(const Epochs *e, uint64_t index) {
        guint low = 0, high = e->runs->len;

        assert(epochs_has(e, index));

        while (high - low > 1) {
                guint middle = low + (high - low) / 2;

                if (run(e, middle)->index <= index)
                        low = middle;
                else
                        high = middle;
        }

        return low;
}

Zxid epochs_zxid_at(const Epochs *e, uint64_t index) {
        const EpochRun *r = run(e, find(e, index));

        return r->zxid + (index - r->index);
}

void epochs_truncate(Epochs *e, uint64_t index) {
        g_array_set_size(e->runs, find(e, index) + 1);
        e->last = index;
}

void epochs_drop(Epochs *e, uint64_t index) {
        guint n = find(e, index);
        EpochRun base = { index, epochs_zxid_at(e, index) };

        if (n > 0)
                g_array_remove_range(e->runs, 0, n);
        g_array_index(e->runs, EpochRun, 0) = base;
}

bool epochs_extend_back(Epochs *e, uint64_t base_index, Zxid base_zxid, const ZabEpochStart *epochs, unsigned epochs_count) {
        uint64_t old_base = epochs_base(e);
        Epochs longer, tmp;
        bool fits;

        if (base_index > old_base)
                return false;

        epochs_init(&longer);
        epochs_reset(&longer, base_index, base_zxid);
        fits = true;
        for (unsigned i = 0; fits && i < epochs_count; i++) {
                EpochRun r = { epochs[i].index, zxid_make(epochs[i].epoch, 1) };
                const EpochRun *before = run(&longer, longer.runs->len - 1);

                if (i == 0 && r.index <= base_index)
                        fits = r.zxid + (base_index - r.index) == base_zxid;
                else if (before->zxid + (r.index - before->index) != r.zxid) {  /* else it goes on: the founding epoch, 0 */
                        fits = r.index > before->index && r.index <= old_base && zxid_epoch(r.zxid) > zxid_epoch(before->zxid);
                        g_array_append_val(longer.runs, r);
                }
        }

        longer.last = old_base;
        fits = fits && epochs_zxid_at(&longer, old_base) == epochs_zxid_at(e, old_base);
        if (fits) {
                if (e->runs->len > 1)
                        g_array_append_vals(longer.runs, run(e, 1), e->runs->len - 1);
                longer.last = e->last;
                tmp = *e;
                *e = longer;
                longer = tmp;
        }

        epochs_done(&longer);
        return fits;
}

/* The last index of a run. */
static uint64_t run_end(const Epochs *e, guint n) {
        return n + 1 < e->runs->len ? run(e, n + 1)->index - 1 : e->last;
}

unsigned epochs_ends(const Epochs *e, ZabEpochEnd *ret, unsigned max) {
        guint first = e->runs->len > max ? e->runs->len - max : 0;
        unsigned count = 0;

        for (guint n = first; n < e->runs->len; n++) {
                Zxid z = epochs_zxid_at(e, run_end(e, n));

                if (z > 0)              /* a base of 0 is no entry */
                        ret[count++] = (ZabEpochEnd) { zxid_epoch(z), zxid_counter(z) };
        }

        return count;
}

static const ZabEpochEnd *find_end(const ZabSyncRequest *other, uint32_t epoch) {
        for (unsigned i = 0; i < other->ends_count; i++)
                if (other->ends[i].epoch == epoch)
                        return &other->ends[i];

        return NULL;
}

bool epochs_common(const Epochs *e, const ZabSyncRequest *other, uint64_t *ret) {
        for (guint n = e->runs->len; n-- > 0;) {
                const EpochRun *r = run(e, n);
                const ZabEpochEnd *end = find_end(other, zxid_epoch(r->zxid));
                uint64_t index;

                if (!end || end->counter < zxid_counter(r->zxid))
                        continue;

                index = MIN(run_end(e, n), r->index + (end->counter - zxid_counter(r->zxid)));
                if (index > other->base_index) {
                        *ret = index;
                        return true;
                }
        }

        if (!epochs_has(e, other->base_index) || epochs_zxid_at(e, other->base_index) != other->base_zxid)
                return false;

        *ret = other->base_index;
        return true;
}
