/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Promise
 *
 * What: META as wanted and as durable.  One write is under way at a time; when it is done and something else is wanted
 *     by then, the next follows.
 * Rules it keeps: nobody concludes anything from a completion; conditions look at meta_durable (protocol 2.5, 2.15 d).
 * Not here: which condition waits for what: elect, follow, lead.
 * Source: protocol 2.3, 2.5, 2.14.
 */

#include "agent/zab/zab-internal.h"

#include <assert.h>

static bool differ(const ZabMeta *a, const ZabMeta *b) {
        return a->accepted_epoch != b->accepted_epoch || a->current_epoch != b->current_epoch ||
                a->membership != b->membership || a->commit_floor != b->commit_floor;
}

bool meta_is_idle(const Zab *z) {
        return z->meta_io_seq == 0;
}

static uint64_t begin(Zab *z) {
        assert(z->meta_io_seq == 0);
        assert(z->meta.current_epoch <= z->meta.accepted_epoch);                        /* I9 */
        assert(z->meta.accepted_epoch >= z->meta_durable.accepted_epoch);
        assert(z->meta.current_epoch >= z->meta_durable.current_epoch);

        z->meta.durable_floor = z->durable;
        z->meta_writing = z->meta;
        z->meta_io_seq = ++z->io_seq;
        return z->meta_io_seq;
}

/* META is a queue of its own (2.5) and may overtake the log: it names no entry before that is durable here.  `durable` has gone
 * down with a truncation that is under way, so what the disk may still hold instead is never named either. */
static void raise_floor(Zab *z) {
        if (z->floor > z->meta.commit_floor && z->floor <= z->durable)
                z->meta.commit_floor = z->floor;
}

bool meta_has_floor(const Zab *z) {
        return z->meta_durable.commit_floor >= z->floor;
}

void meta_sync(Zab *z) {
        uint64_t io_seq;

        raise_floor(z);
        if (!meta_is_idle(z) || !differ(&z->meta, &z->meta_durable))
                return;

        io_seq = begin(z);
        z->effects.write_meta(z->effects.userdata, io_seq, &z->meta_writing);
}

uint64_t meta_install_begin(Zab *z) {
        return begin(z);
}

void meta_on_durable(Zab *z, uint64_t io_seq) {
        if (z->meta_io_seq == 0 || io_seq < z->meta_io_seq)
                return;

        z->meta_io_seq = 0;
        z->meta_durable = z->meta_writing;
}
