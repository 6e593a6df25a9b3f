/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Log
 *
 * What: the entries this member has, what of them is durable, committed and applied.
 * Rules it keeps: every entry continues its predecessor in index, zxid and chain (2.0.4); an operation issued before
 *     the latest truncation or installation makes nothing durable (2.5, P10, P11); only what is both committed and
 *     durable here is applied, once and in order (2.0.3).
 * Not here: who decides that something is committed: lead, follow, elect (gossip).
 * Source: protocol 2.2 to 2.5, 2.8.
 */

#include "agent/zab/zab-internal.h"

#include <assert.h>
#include <errno.h>

#define APPLY_MAX 1024

bool log_follows(const Zab *z, ZabPosition *position, const ZabEntry *e) {
        g_autoptr(ZabConfig) c = NULL;

        if (!e->payload || (e->type != ZAB_ENTRY_REQUEST && e->type != ZAB_ENTRY_CONFIG) ||
            e->index != position->index + 1 || e->prev_zxid != position->zxid ||
            !epochs_continues(position->zxid, e->zxid) ||
            !hash128_equal(zab_entry_chain(position->chain, &z->options.cluster_id, e), e->chain))
                return false;

        if (e->type == ZAB_ENTRY_CONFIG && !(c = zab_config_decode(e->payload, e->zxid)))
                return false;

        *position = (ZabPosition) { e->index, e->zxid, e->chain };
        return true;
}

static void take(Zab *z, const ZabEntry *e) {
        tail_push(&z->tail, e);
        epochs_append(&z->epochs, e->zxid);
        z->last = (ZabPosition) { e->index, e->zxid, e->chain };
        if (e->type == ZAB_ENTRY_CONFIG)
                config_push(z, e->index, e->zxid, e->payload);
}

void log_append(Zab *z, const ZabEntry *entries, unsigned count) {
        assert(count > 0 && z->snap != SNAP_INSTALLING);

        for (unsigned i = 0; i < count; i++)
                take(z, &entries[i]);

        marks_push(&z->appends, ++z->io_seq, z->last.index);
        z->effects.append(z->effects.userdata, z->io_seq, entries, count);
}

Zxid log_propose(Zab *z, ZabEntryType type, int64_t time_msec, GBytes *payload, Zxid zxid) {
        ZabEntry e = {
                .index = z->last.index + 1,
                .zxid = zxid,
                .prev_zxid = z->last.zxid,
                .type = type,
                .time_msec = time_msec,
                .payload = payload,
        };

        assert(zxid > z->last.zxid);    /* I2 */

        e.chain = zab_entry_chain(z->last.chain, &z->options.cluster_id, &e);
        log_append(z, &e, 1);
        return zxid;
}

bool log_position(const Zab *z, uint64_t index, ZabPosition *ret) {
        const ZabEntry *e = tail_get(&z->tail, index);

        assert(epochs_has(&z->epochs, index));

        *ret = (ZabPosition) { .index = index, .zxid = epochs_zxid_at(&z->epochs, index) };
        if (index == z->last.index)
                *ret = z->last;
        else if (index == z->applied.index)
                *ret = z->applied;
        else if (e)
                ret->chain = e->chain;
        else
                return index == 0;
        return true;
}

/* 2.8, TRUNC: `durable` goes down in the same step (P11), and comes up again only by what is issued from now on. */
void log_truncate(Zab *z, const ZabPosition *position) {
        zab_invariant(position->index >= z->applied.index && position->index < z->last.index);  /* I13 */

        tail_truncate(&z->tail, position->index);
        epochs_truncate(&z->epochs, position->index);
        config_truncate(z, position->index);
        z->last = *position;
        z->commit = MIN(z->commit, position->index);
        if (!ZAB_BREAK(TRUNC_KEEPS_DURABLE))
                z->durable = MIN(z->durable, position->index);
        if (!ZAB_BREAK(STALE_COMPLETION))
                marks_clear(&z->appends);
        z->barrier = BARRIER_TRUNCATE;
        z->barrier_io_seq = ++z->io_seq;
        z->barrier_index = position->index;
        z->effects.truncate(z->effects.userdata, z->io_seq, position);
}

/* A snapshot is in: the log is empty behind it. */
void log_reset(Zab *z, const ZabPosition *position, ZabConfig *config) {
        tail_reset(&z->tail, position->index + 1);
        z->tail_applied_bytes = 0;
        epochs_reset(&z->epochs, position->index, position->zxid);
        config_truncate(z, 0);
        zab_config_unref(z->applied_config);
        z->applied_config = config ? zab_config_ref(config) : NULL;
        if (config && (z->role == ZAB_ROLE_STOPPED || !ZAB_BREAK(NO_CONFIG_TAUGHT)))
                config_learn(z, config);
        z->applied = z->last = *position;
        z->commit = z->durable = z->checkpointed = position->index;
}

bool log_on_durable(Zab *z, uint64_t io_seq) {
        bool installed = false;
        const Mark *m;

        if (z->barrier != BARRIER_NONE && io_seq >= z->barrier_io_seq) {
                installed = z->barrier == BARRIER_INSTALL;
                if (z->barrier == BARRIER_TRUNCATE && !ZAB_BREAK(TRUNC_KEEPS_DURABLE) && !ZAB_BREAK(TRUNC_RAISES_NOTHING))
                        z->durable = z->barrier_index;          /* FIFO: everything below is (2.15 g) */
                z->barrier = BARRIER_NONE;
        }

        if (z->barrier == BARRIER_NONE || ZAB_BREAK(STALE_COMPLETION))
                while ((m = marks_first(&z->appends)) && m->at <= io_seq) {
                        z->durable = MAX(z->durable, m->value);
                        marks_pop(&z->appends);
                }

        return installed;
}

void log_commit(Zab *z, uint64_t index) {
        if (index <= z->commit)
                return;

        assert(index <= z->last.index);

        z->commit = index;
        config_commit(z);
}

/* Followers are fed from memory; a member that has none, and expects none, keeps nothing. */
static void trim(Zab *z) {
        bool followers = z->peers_count > 0 || (z->config && z->config->members_count > 1);
        uint64_t limit = followers ? z->options.tail_bytes : 0;

        while (z->tail_applied_bytes > limit && z->tail.count > 0) {
                z->tail_applied_bytes -= tail_entry_bytes(tail_get(&z->tail, z->tail.first));
                tail_pop_first(&z->tail);
        }
}

/* Few are due at a time but when a role begins, and then all of the log since the checkpoint may be: a step takes a bounded part of
 * it, so that heartbeats pass between (zab_timeout_usec() asks for the next). */
void log_apply(Zab *z) {
        uint64_t limit = MIN(z->commit, z->durable);

        if (ZAB_BREAK(APPLY_BEFORE_COMMIT))
                limit = MIN(z->durable, z->last.index);
        if (ZAB_BREAK(APPLY_BEFORE_DURABLE))
                limit = z->commit;

        limit = MIN(limit, z->applied.index + APPLY_MAX);
        while (z->applied.index < limit) {
                ZabEntry e = *tail_get(&z->tail, z->applied.index + 1);

                zab_invariant(e.prev_zxid == z->applied.zxid);  /* I1, I2 */

                z->applied = (ZabPosition) { e.index, e.zxid, e.chain };
                z->tail_applied_bytes += tail_entry_bytes(&e);
                if (e.type == ZAB_ENTRY_CONFIG) {
                        zab_config_unref(z->applied_config);
                        z->applied_config = zab_config_decode(e.payload, e.zxid);
                        assert(z->applied_config);
                }
                z->effects.apply(z->effects.userdata, &e);
        }

        trim(z);
}

void log_on_checkpointed(Zab *z, uint64_t index) {
        assert(index <= z->applied.index);

        z->checkpointed = MAX(z->checkpointed, index);
}

void log_on_dropped(Zab *z, uint64_t index) {
        assert(index <= z->applied.index);

        if (index > epochs_base(&z->epochs))
                epochs_drop(&z->epochs, index);
}

int zab_restore_checkpoint(Zab *z, const ZabPosition *position, GBytes *config) {
        g_autoptr(ZabConfig) c = NULL;

        assert(z->role == ZAB_ROLE_STOPPED && z->last.index == 0);

        if (config && !(c = zab_checkpoint_config_decode(config)))
                return -EBADMSG;

        log_reset(z, position, c);
        return 0;
}

int zab_restore_entry(Zab *z, const ZabEntry *entry) {
        g_autoptr(GBytes) payload = NULL;
        ZabPosition position = z->last;
        ZabEntry e = *entry;

        assert(z->role == ZAB_ROLE_STOPPED);

        if (!log_follows(z, &position, entry))
                return -EBADMSG;

        e.payload = payload = g_bytes_new(g_bytes_get_data(entry->payload, NULL), g_bytes_get_size(entry->payload));
        take(z, &e);
        z->durable = e.index;
        return 0;
}

bool zab_restore_base(Zab *z, uint64_t base_index, Zxid base_zxid, const ZabEpochStart *epochs, unsigned epochs_count) {
        assert(z->role == ZAB_ROLE_STOPPED);

        return epochs_extend_back(&z->epochs, base_index, base_zxid, epochs, epochs_count);
}
