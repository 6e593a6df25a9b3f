/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Judge: logs and what is applied of them.
 */

#include <assert.h>

#include "tests/sim/judge.h"
#include "tests/sim/workload.h"

static void epoch_free(gpointer p) {
        Epoch *e = p;

        for (guint i = 0; i < e->proposals->len; i++)
                g_bytes_unref(g_array_index(e->proposals, Proposal, i).payload);
        g_array_unref(e->proposals);
        g_free(e);
}

static void config_free(gpointer p) {
        zab_config_unref(p);
}

void judge_init(World *w) {
        w->judge = g_new0(Judge, 1);
        w->judge->epochs = g_ptr_array_new_with_free_func(epoch_free);
        w->judge->committed = g_array_new(FALSE, FALSE, sizeof(Committed));
        w->judge->configs = g_ptr_array_new_with_free_func(config_free);
        w->judge->config_indexes = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        w->judge->early = g_array_new(FALSE, FALSE, sizeof(EarlyClose));
        w->judge->broken = g_array_new(FALSE, FALSE, sizeof(BrokenPromise));
}

void judge_done(World *w) {
        g_ptr_array_unref(w->judge->epochs);
        g_array_unref(w->judge->committed);
        g_ptr_array_unref(w->judge->configs);
        g_array_unref(w->judge->config_indexes);
        g_array_unref(w->judge->early);
        g_array_unref(w->judge->broken);
        g_free(w->judge);
}

void judge_host_init(Host *h) {
        h->judge = g_new0(HostJudge, 1);
        h->judge->log = g_array_new(FALSE, FALSE, sizeof(Zxid));
        h->judge->touches = g_array_new(FALSE, FALSE, sizeof(Touch));
}

void judge_host_done(Host *h) {
        g_array_unref(h->judge->log);
        g_array_unref(h->judge->touches);
        g_free(h->judge);
}

void judge_host_wiped(Host *h) {
        h->judge->accepted = h->judge->current = h->judge->promised = 0;
        h->judge->bad_disk = false;
}

static Epoch *epoch(World *w, uint32_t number) {
        GPtrArray *epochs = w->judge->epochs;

        if (number > 100000) {
                world_fail(w, "I2", "epoch %u", number);
                number = 0;
        }
        while (epochs->len <= number) {
                Epoch *e = g_new0(Epoch, 1);

                e->proposals = g_array_new(FALSE, FALSE, sizeof(Proposal));
                g_ptr_array_add(epochs, e);
        }
        return epochs->pdata[number];
}

const Proposal *judge_proposal(const World *w, Zxid zxid) {
        const Epoch *e;

        if (zxid_epoch(zxid) >= w->judge->epochs->len)
                return NULL;
        e = w->judge->epochs->pdata[zxid_epoch(zxid)];
        if (zxid_counter(zxid) == 0 || zxid_counter(zxid) > e->proposals->len)
                return NULL;
        return &g_array_index(e->proposals, Proposal, zxid_counter(zxid) - 1);
}

uint64_t judge_committed(const World *w) {
        return w->judge->committed->len;
}

Zxid judge_zxid(const World *w, uint64_t index) {
        return index == 0 ? 0 : g_array_index(w->judge->committed, Committed, index - 1).zxid;
}

const ZabConfig *judge_config(const World *w) {
        GPtrArray *configs = w->judge->configs;

        return configs->len > 0 ? configs->pdata[configs->len - 1] : NULL;
}

Zxid judge_log_zxid(const HostJudge *j, uint64_t index) {
        if (index <= j->base || index - j->base > j->log->len)
                return 0;
        return g_array_index(j->log, Zxid, index - j->base - 1);
}

uint64_t judge_log_last(const HostJudge *j) {
        return j->base + j->log->len;
}

/* A host's log, or the snapshot below it, agrees with G as far as both go: at `index`. */
static bool log_has(const World *w, const HostJudge *j, uint64_t index) {
        return index <= j->base || judge_log_zxid(j, index) == judge_zxid(w, index);
}

void judge_on_start(Host *h, const VFound *found) {
        HostJudge *j = h->judge;

        j->base = found->checkpoint.index;
        g_array_set_size(j->log, 0);
        for (guint i = 0; found->entries && i < found->entries->len; i++)
                g_array_append_val(j->log, ((ZabEntry *) found->entries->pdata[i])->zxid);
        j->applied = j->commit = found->checkpoint.index;
        j->is_leader = false;
        j->role = ZAB_ROLE_STOPPED;
        j->epoch = 0;
        if (!j->bad_disk && (h->store->record.meta.accepted_epoch < j->accepted ||
                             h->store->record.meta.current_epoch < j->current))
                world_fail(h->world, "recovery", "h%u had accepted %u current %u on disk, and accepted %u current %u came back",
                           h->sid, j->accepted, j->current, h->store->record.meta.accepted_epoch,
                           h->store->record.meta.current_epoch);
        /* A write that was under way when it crashed may be there. */
        j->accepted = h->store->record.meta.accepted_epoch;
        j->current = h->store->record.meta.current_epoch;
        j->installing = 0;
        j->mark_epoch = 0;
        g_array_set_size(j->touches, 0);
}

/* I14; and of a new entry, I2, I3 and I4: its leader made it, without a hole. */
static void check_entry(Host *h, const ZabEntry *e) {
        World *w = h->world;
        const Proposal *known = judge_proposal(w, e->zxid);
        Epoch *ep = epoch(w, zxid_epoch(e->zxid));
        Proposal p = { e->index, e->chain, e->type, e->time_msec };

        if (known) {
                if (known->index != e->index || !hash128_equal(known->chain, e->chain))
                        world_fail(w, "I14", "h%u has " ZXID_FORMAT " at %" PRIu64 ", others had it at %" PRIu64
                                   " or with another chain", h->sid, e->zxid, e->index, known->index);
                return;
        }
        if (zxid_epoch(e->zxid) > 0 && (!h->judge->is_leader || h->judge->epoch != zxid_epoch(e->zxid))) {
                world_fail(w, "I3", "h%u appends " ZXID_FORMAT ", which nobody proposed", h->sid, e->zxid);
                return;
        }
        if (zxid_counter(e->zxid) != ep->proposals->len + 1) {
                world_fail(w, "I4", "h%u proposes " ZXID_FORMAT " after counter %u", h->sid, e->zxid, ep->proposals->len);
                return;
        }
        p.payload = e->payload ? g_bytes_ref(e->payload) : g_bytes_new(NULL, 0);
        g_array_append_val(ep->proposals, p);
        if (e->type == ZAB_ENTRY_REQUEST)
                judge_close(h, e);
}

/* I15: as leader, never a second configuration on top of one that is not committed. */
static void check_config(Host *h, const ZabEntry *e) {
        HostJudge *j = h->judge;

        if (!j->is_leader || zxid_epoch(e->zxid) != j->epoch)
                return;
        h->world->judge->configs_proposed++;
        fault_on_moment(h, MOMENT_CONFIG);
        for (uint64_t i = MAX(j->commit, j->established) + 1; i <= judge_log_last(j); i++) {
                const Proposal *p = judge_proposal(h->world, judge_log_zxid(j, i));

                if (p && p->type == ZAB_ENTRY_CONFIG)
                        world_fail(h->world, "I15", "h%u proposes a configuration at %" PRIu64 " while that of %" PRIu64
                                   " is not committed", h->sid, e->index, i);
        }
}

/* The member goes on from the snapshot. */
static void switch_log(HostJudge *j) {
        j->base = j->installing;
        j->applied = MIN(j->applied, j->base);
        j->installing = 0;
        g_array_set_size(j->log, 0);
}

void judge_on_append(Host *h, const ZabEntry *entries, unsigned entries_count) {
        HostJudge *j = h->judge;

        for (unsigned i = 0; i < entries_count; i++) {
                const ZabEntry *e = entries + i;
                uint64_t last;

                if (j->installing > 0 && e->index == j->installing + 1)
                        switch_log(j);
                last = judge_log_last(j);
                if (e->index != last + 1 || (j->log->len > 0 && (e->prev_zxid != judge_log_zxid(j, last) ||
                                                                 e->zxid <= e->prev_zxid))) {
                        world_fail(h->world, "I2", "h%u appends %" PRIu64 " " ZXID_FORMAT " (after " ZXID_FORMAT
                                   ") behind %" PRIu64 " " ZXID_FORMAT, h->sid, e->index, e->zxid, e->prev_zxid, last,
                                   judge_log_zxid(j, last));
                        return;
                }
                TRACE(h->world, "h%u appends %" PRIu64 " " ZXID_FORMAT, h->sid, e->index, e->zxid);
                check_entry(h, e);
                if (e->type == ZAB_ENTRY_CONFIG)
                        check_config(h, e);
                g_array_append_val(j->log, e->zxid);
        }
}

void judge_on_truncate(Host *h, const ZabPosition *position) {
        HostJudge *j = h->judge;

        if (position->index < j->applied)
                world_fail(h->world, "I13", "h%u cuts its log at %" PRIu64 ", though %" PRIu64 " is applied", h->sid,
                           position->index, j->applied);
        else if (position->index < judge_committed(h->world) && position->index < judge_log_last(j) &&
                 judge_log_zxid(j, position->index + 1) == judge_zxid(h->world, position->index + 1))
                world_fail(h->world, "I8", "h%u cuts its log at %" PRIu64 ": the entry after it is committed", h->sid,
                           position->index);
        else if (position->index >= j->base && position->index <= judge_log_last(j))
                g_array_set_size(j->log, (guint) (position->index - j->base));
}

void judge_on_install(Host *h, const ZabPosition *position) {
        HostJudge *j = h->judge;

        /* One whose disk is known to be wrong may go back (2.12). */
        if (position->index < j->applied && !j->bad_disk)
                world_fail(h->world, "I13", "h%u takes a snapshot of %" PRIu64 ", though %" PRIu64 " is applied", h->sid,
                           position->index, j->applied);
        if (position->index > judge_committed(h->world) || judge_zxid(h->world, position->index) != position->zxid)
                world_fail(h->world, "I1", "h%u takes a snapshot of %" PRIu64 " " ZXID_FORMAT ", which is not committed",
                           h->sid, position->index, position->zxid);
        workload_on_snapshot(h);
        j->installing = position->index;
}

/* I6.  It may come so late that a later epoch has committed more: of that it need not know. */
static void check_complete(Host *h, uint32_t number) {
        World *w = h->world;
        uint64_t index = judge_committed(w);

        while (index > 0 && zxid_epoch(judge_zxid(w, index)) >= number)
                index--;
        if (judge_log_last(h->judge) < index || !log_has(w, h->judge, index))
                world_fail(w, "I6", "h%u leads epoch %u with a log to %" PRIu64 ", but %" PRIu64 " entries of epochs before "
                           "are committed", h->sid, number, judge_log_last(h->judge), index);
}

void judge_on_role(Host *h, ZabRole role, uint32_t number) {
        World *w = h->world;
        HostJudge *j = h->judge;
        bool leads = role == ZAB_ROLE_LEADER || role == ZAB_ROLE_LEADER_SYNC;
        Epoch *e;

        world_hash(w, (uint64_t) h->sid << 40 | (uint64_t) role << 32 | number);
        if (role == j->role && number == j->epoch)
                return;                 /* a hand-over that came to nothing: it leads on */
        j->is_leader = leads;
        j->role = role;
        j->epoch = number;
        g_array_set_size(j->touches, 0);
        if (!leads)
                return;

        e = epoch(w, number);
        if (e->leader != 0 && e->leader != h->sid)
                world_fail(w, "I7", "h%u and h%u both lead epoch %u", e->leader, h->sid, number);
        if (role == ZAB_ROLE_LEADER_SYNC) {
                w->statistics->elections++;
                j->mark_epoch = number;
                j->mark = judge_log_last(j);
        }
        e->leader = h->sid;
        if (role != ZAB_ROLE_LEADER)
                return;
        w->statistics->leaders++;
        j->established = judge_log_last(j);
        j->led_since_usec = host_clock(h);
        e->established = true;
        check_complete(h, number);
}

/* I15: what a member takes for a committed configuration is one. */
void judge_on_config(Host *h) {
        World *w = h->world;
        const Proposal *p;
        MemberStatus s;

        if (!h->member)
                return;
        member_get_status(h->member, &s);
        p = s.config ? judge_proposal(w, s.config->version) : NULL;
        if (p && p->index <= judge_committed(w) && judge_zxid(w, p->index) != s.config->version)
                world_fail(w, "I15", "h%u goes by the configuration " ZXID_FORMAT " of %" PRIu64 ", but " ZXID_FORMAT
                           " is committed there", h->sid, s.config->version, p->index, judge_zxid(w, p->index));
}

static void commit_config(World *w, uint64_t index, const Proposal *p, Zxid zxid) {
        ZabConfig *c = zab_config_decode(p->payload, zxid);

        if (!c) {
                world_fail(w, "I15", "the configuration at %" PRIu64 " does not decode", index);
                return;
        }
        TRACE(w, "configuration of %" PRIu64 " is committed: %u members, %u voters", index, c->members_count,
              zab_config_voters(c));
        w->statistics->reconfigurations += w->judge->configs->len > 0;
        g_ptr_array_add(w->judge->configs, c);
        g_array_append_val(w->judge->config_indexes, index);
}

/* The host is the first to apply index |G| + 1. */
static void extend(Host *h) {
        World *w = h->world;
        HostJudge *j = h->judge;
        uint64_t index = judge_committed(w) + 1;
        Committed c = { .zxid = judge_log_zxid(j, index) };
        const Proposal *p = judge_proposal(w, c.zxid);

        if (!p || p->index != index) {
                world_fail(w, "I1", "h%u applies %" PRIu64 ", which is not in its log", h->sid, index);
                return;
        }
        if (c.zxid <= judge_zxid(w, index - 1))
                world_fail(w, "I2", "G goes on from " ZXID_FORMAT " with " ZXID_FORMAT, judge_zxid(w, index - 1), c.zxid);
        judge_commit(w, h, index);
        world_hash(w, c.zxid);
        g_array_append_val(w->judge->committed, c);
        if (p->type == ZAB_ENTRY_CONFIG)
                commit_config(w, index, p, c.zxid);
        else
                judge_promises(w, c.zxid);
        w->statistics->entries++;
}

/* I12 */
static void check_digest(Host *h) {
        World *w = h->world;
        Committed *c = &g_array_index(w->judge->committed, Committed, h->judge->applied - 1);
        Hash128 digest = tree_digest(member_get_tree(h->member));

        if (!c->has_digest) {
                c->digest = digest;
                c->has_digest = true;
        } else if (!hash128_equal(c->digest, digest))
                world_fail(w, "I12", "the tree of h%u at %" PRIu64 " differs from another's", h->sid, h->judge->applied);
}

static void check_applied(Host *h, const MemberStatus *s) {
        World *w = h->world;
        HostJudge *j = h->judge;

        if (s->applied_index < j->applied)
                world_fail(w, "I9", "h%u: applied goes back from %" PRIu64 " to %" PRIu64, h->sid, j->applied,
                           s->applied_index);
        /* One that goes back by a snapshot has not heard yet that its store has it. */
        if (s->applied_index > h->store->durable && j->installing == 0)
                world_fail(w, "I11", "h%u applied %" PRIu64 ", durable here is %" PRIu64, h->sid, s->applied_index,
                           h->store->durable);
        for (uint64_t i = MAX(j->applied, j->base) + 1; i <= s->applied_index && !w->failure; i++) {
                if (i > judge_committed(w))
                        extend(h);
                else if (!log_has(w, j, i))
                        world_fail(w, "I1", "h%u applies " ZXID_FORMAT " at %" PRIu64 ", but " ZXID_FORMAT
                                   " is committed there", h->sid, judge_log_zxid(j, i), i, judge_zxid(w, i));
        }
        j->applied = s->applied_index;
        if (!w->failure && j->applied > 0)
                check_digest(h);
}

/* I15: who has applied a configuration, or a snapshot behind it, goes by that one or a later one. */
static void check_config_known(Host *h, const MemberStatus *s) {
        const Judge *j = h->world->judge;

        for (guint i = j->configs->len; i-- > 0;) {
                Zxid version = ((const ZabConfig *) j->configs->pdata[i])->version;

                if (g_array_index(j->config_indexes, uint64_t, i) > s->applied_index)
                        continue;
                if (!s->config || s->config->version < version)
                        world_fail(h->world, "I15", "h%u has applied %" PRIu64 " and does not know the configuration "
                                   ZXID_FORMAT " of %" PRIu64, h->sid, s->applied_index, version,
                                   g_array_index(j->config_indexes, uint64_t, i));
                return;
        }
}

/* Nothing is under way that could still tell the member what is durable. */
static void check_durable_known(Host *h, const MemberStatus *s) {
        if (vstore_is_idle(h->store) && !h->store->stalled && s->durable_index < s->last_index)
                world_fail(h->world, "V3", "h%u was told of all that its store has done, and takes %" PRIu64
                           " for durable with a log to %" PRIu64, h->sid, s->durable_index, s->last_index);
}

/* A member goes on from a snapshot when its store has told it so; one whose disk was wrong may go back by it. */
static bool has_switched(const Host *h, const MemberStatus *s) {
        const HostJudge *j = h->judge;

        if (j->installing == 0)
                return false;
        /* The latter may also go on with its own log until then, if it hears that this is committed. */
        return j->applied < j->installing && !j->bad_disk ? s->applied_index >= j->installing :
               h->store->installing == 0 && s->last_index == j->installing;
}

void judge_step(Host *h) {
        World *w = h->world;
        HostJudge *j = h->judge;
        MemberStatus s;

        if (w->failure)
                return;
        member_get_status(h->member, &s);
        if (has_switched(h, &s))
                switch_log(j);
        if (s.commit_index > s.last_index || s.last_index != judge_log_last(j))
                world_fail(w, "I9", "h%u: commit %" PRIu64 ", last %" PRIu64 ", appended %" PRIu64, h->sid, s.commit_index,
                           s.last_index, judge_log_last(j));
        if (s.role != j->role && j->role != ZAB_ROLE_STOPPED)
                world_fail(w, "driver", "h%u: role %d, told %d", h->sid, s.role, j->role);
        if (j->is_leader && s.commit_index > MAX(j->commit, j->base) && s.commit_index > judge_committed(w))
                judge_commit(w, h, s.commit_index);
        j->commit = MAX(s.commit_index, j->base);
        check_durable_known(h, &s);
        if (s.applied_index != j->applied) {
                check_applied(h, &s);
                check_config_known(h, &s);
        }
}
