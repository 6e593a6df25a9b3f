/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Snapshot
 *
 * The leader's tree on its way in (protocol 2.8).  It grows beside the present one, row by row as it comes, and each chunk that
 * is a piece of a tree goes to the disk as it is; the present tree answers nothing meanwhile but stays, until the new
 * one is complete, has the digest it should have, and is durable.
 */

#include <assert.h>

#include "agent/member/member-internal.h"
#include "agent/tree/chunk.h"

static void forget_incoming(Member *m) {
        m->incoming = tree_free(m->incoming);
}

static void on_snap_begin(void *userdata, const ZabPosition *position, GBytes *config) {
        Member *m = userdata;

        forget_incoming(m);
        m->incoming = tree_new_empty(&m->listener);
        m->incoming_position = *position;
        m->driver.snap_begin(m->driver.userdata, position, config);
}

static bool load_row(void *userdata, const TreeRow *row) {
        const char *error;

        return tree_load_row(userdata, row, &error);
}

static bool on_snap_chunk(void *userdata, GBytes *chunk) {
        Member *m = userdata;

        if (!m->incoming || !chunk || !tree_chunk_decode(chunk, load_row, m->incoming))
                return false;

        m->driver.snap_chunk(m->driver.userdata, chunk);
        return true;
}

static bool on_snap_is_behind(void *userdata) {
        Member *m = userdata;

        return m->driver.snap_is_behind && m->driver.snap_is_behind(m->driver.userdata);
}

static bool on_snap_end(void *userdata, Hash128 digest) {
        Member *m = userdata;
        const char *error;

        m->incoming_digest = digest;
        return m->incoming && tree_load_finish(m->incoming, m->incoming_position.zxid, &error) &&
                hash128_equal(tree_digest(m->incoming), digest);
}

static void on_snap_install(void *userdata, uint64_t io_seq, const ZabMeta *meta) {
        Member *m = userdata;

        m->driver.snap_install(m->driver.userdata, io_seq, meta, m->incoming_digest);
}

static void on_snap_abort(void *userdata) {
        Member *m = userdata;

        forget_incoming(m);
        m->driver.snap_abort(m->driver.userdata);
}

/* The one moment in which a member sees time pass without seeing what happened in it. */
static void on_snap_switch(void *userdata) {
        Member *m = userdata;
        Tree *before = m->tree;

        assert(m->incoming);

        m->history = change_history_free(m->history);
        m->tree = g_steal_pointer(&m->incoming);
        m->history = change_history_new(tree_acl_table(m->tree), tree_zxid(m->tree));
        m->applied_index = m->incoming_position.index;
        forward_on_snapshot(m);
        sessions_on_snapshot(m, before);
        digest_on_snapshot(m);
        subscription_on_snapshot(m, before);
        tree_free(before);
        client_on_index(m);
}

void snapshot_effects(ZabEffects *effects) {
        effects->snap_begin = on_snap_begin;
        effects->snap_chunk = on_snap_chunk;
        effects->snap_is_behind = on_snap_is_behind;
        effects->snap_end = on_snap_end;
        effects->snap_install = on_snap_install;
        effects->snap_switch = on_snap_switch;
        effects->snap_abort = on_snap_abort;
}

void snapshot_done(Member *m) {
        forget_incoming(m);
}
