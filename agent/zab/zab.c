/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Zab
 *
 * What: election, synchronisation and broadcast as one step function.
 * Rules it keeps: nothing is acknowledged, voted or applied before what it depends on is durable (protocol 2.14);
 *     only committed and locally durable entries are applied (2.0.3); nothing is committed before a quorum has
 *     adopted the leader's history in this epoch (2.8, 2.9).
 * Not here: what an entry's payload means (member), how it gets to disk (store).
 * Source: protocol 2.4 to 2.10.
 */

#include "agent/zab/zab.h"

#include <assert.h>
#include <errno.h>

#include "agent/base/reader.h"
#include "agent/base/writer.h"

/* What the META write under way is for. */
typedef enum MetaPurpose {
        META_IDLE = 0,
        META_PROMISE,                   /* accepted_epoch: our own candidacy */
        META_ADOPT,                     /* current_epoch: our history is the epoch's */
} MetaPurpose;

/* An append under way: when `io_seq` is durable, so is `index`. */
typedef struct AppendMark {
        uint64_t io_seq;
        uint64_t index;
} AppendMark;

struct Zab {
        ZabOptions options;
        ZabEffects effects;
        Prng prng;
        uint64_t now_usec;

        /* persistent, as last written or being written: current_epoch <= accepted_epoch */
        ZabMeta meta;

        /* the log: checkpoint.index <= applied.index <= commit, durable <= last.index; commit may pass durable */
        ZabPosition checkpoint, applied, last;
        uint64_t commit, durable;
        GQueue entries;                 /* ZabEntry*, applied.index + 1 .. last.index */
        GQueue appends;                 /* AppendMark*, ascending */
        ZabConfig *config;              /* last committed; NULL before the genesis entry is applied */
        GPtrArray *pending_configs;     /* ZabConfig*, in the log after `config`, ascending */

        /* volatile */
        ZabRole role;
        uint32_t epoch;                 /* campaigning for, or leading */
        uint64_t election_at_usec;
        uint64_t io_seq;
        MetaPurpose meta_purpose;
        uint64_t meta_io_seq;

        /* leader */
        uint64_t z0;                    /* last.index when elected */
        bool self_newleader;            /* own NEWLEADER acknowledgement */
        uint32_t counter;
};

static const char *const role_names[_ZAB_ROLE_MAX] = {
        [ZAB_ROLE_STOPPED] = "stopped",
        [ZAB_ROLE_LOOKING] = "looking",
        [ZAB_ROLE_PRECANDIDATE] = "looking",
        [ZAB_ROLE_CANDIDATE] = "looking",
        [ZAB_ROLE_LEADER_SYNC] = "looking",
        [ZAB_ROLE_LEADER] = "leader",
};

const char *zab_role_to_string(ZabRole role) {
        assert(role >= 0 && role < _ZAB_ROLE_MAX);
        return role_names[role];
}

static void entry_free(ZabEntry *e) {
        g_bytes_unref(e->payload);
        g_free(e);
}

Zab *zab_new(const ZabOptions *options, const ZabEffects *effects) {
        Zab *z = g_new0(Zab, 1);

        assert(options->sid >= 1 && options->sid <= ZAB_CONFIG_MEMBERS_MAX);

        z->options = *options;
        z->options.name = g_strdup(options->name);
        if (z->options.election_timeout_usec == 0)
                z->options.election_timeout_usec = UINT64_C(1000000);
        z->effects = *effects;
        z->prng.state = options->prng_seed;
        z->pending_configs = g_ptr_array_new_with_free_func((GDestroyNotify) zab_config_unref);
        g_queue_init(&z->entries);
        g_queue_init(&z->appends);
        return z;
}

Zab *zab_free(Zab *z) {
        if (!z)
                return NULL;

        g_queue_clear_full(&z->entries, (GDestroyNotify) entry_free);
        g_queue_clear_full(&z->appends, g_free);
        g_ptr_array_unref(z->pending_configs);
        zab_config_unref(z->config);
        g_free((char *) z->options.name);
        g_free(z);
        return NULL;
}

static void set_role(Zab *z, ZabRole role, const char *reason) {
        if (z->role == role)
                return;

        z->role = role;
        z->effects.role_changed(z->effects.userdata, role, z->epoch, reason);
}

/* Quorums (2.7, 2.9): "config in force" is the last committed one plus every CONFIG entry after it in the log, and a
 * quorum is needed in each.  `self` says whether this member counts among those in favour. */
static bool quorum_in_every_config(const Zab *z, bool self) {
        bool any = false;

        if (z->config) {
                if (!self || !zab_config_has_voter(z->config, z->options.sid, &z->options.disk_id) ||
                    zab_config_quorum(z->config) > 1)
                        return false;
                any = true;
        }

        for (guint i = 0; i < z->pending_configs->len; i++) {
                const ZabConfig *c = g_ptr_array_index(z->pending_configs, i);

                if (!self || !zab_config_has_voter(c, z->options.sid, &z->options.disk_id) || zab_config_quorum(c) > 1)
                        return false;
                any = true;
        }

        return any;                     /* without any configuration there is no quorum (2.0.6) */
}

static bool is_voter_somewhere(const Zab *z) {
        if (z->config && zab_config_has_voter(z->config, z->options.sid, &z->options.disk_id))
                return true;

        for (guint i = 0; i < z->pending_configs->len; i++)
                if (zab_config_has_voter(g_ptr_array_index(z->pending_configs, i), z->options.sid, &z->options.disk_id))
                        return true;

        return false;
}

/* One META write at a time; what it is for decides what its completion allows. */
static void write_meta(Zab *z, MetaPurpose purpose) {
        assert(z->meta_purpose == META_IDLE);
        assert(z->meta.current_epoch <= z->meta.accepted_epoch);

        z->meta.durable_floor = z->durable;
        z->meta_purpose = purpose;
        z->meta_io_seq = ++z->io_seq;
        z->effects.write_meta(z->effects.userdata, z->meta_io_seq, &z->meta);
}

static void restart_election_timer(Zab *z) {
        uint64_t t = z->options.election_timeout_usec;

        z->election_at_usec = z->now_usec + t + prng_below(&z->prng, t);        /* [T_min, 2 T_min] (2.7) */
}

/* 2.7: pre-vote.  Nothing is promised before a quorum would vote for us. */
static void campaign(Zab *z, const char *reason) {
        restart_election_timer(z);

        if (z->meta.membership != ZAB_MEMBERSHIP_MEMBER || !is_voter_somewhere(z) || z->meta_purpose != META_IDLE)
                return;

        set_role(z, ZAB_ROLE_PRECANDIDATE, reason);
        if (!quorum_in_every_config(z, true))
                return;

        if (z->meta.accepted_epoch >= ZXID_EPOCH_MAX) {
                set_role(z, ZAB_ROLE_STOPPED, "the last epoch is used up");
                return;
        }

        /* 2.14: VOTE_REQ(e) and our own vote need accepted_epoch = e durable. */
        z->epoch = z->meta.accepted_epoch + 1;
        z->meta.accepted_epoch = z->epoch;
        set_role(z, ZAB_ROLE_CANDIDATE, reason);
        write_meta(z, META_PROMISE);
}

static void apply_config(Zab *z, const ZabEntry *e) {
        assert(z->pending_configs->len > 0);

        zab_config_unref(z->config);
        z->config = zab_config_ref(g_ptr_array_index(z->pending_configs, 0));
        g_ptr_array_remove_index(z->pending_configs, 0);
        assert(z->config->version == e->zxid);
}

/* 2.0.3: the tree only ever contains entries both committed and durable here. */
static void apply_ready(Zab *z) {
        uint64_t limit = MIN(z->commit, z->durable);

        while (z->applied.index < limit) {
                ZabEntry *e = g_queue_pop_head(&z->entries);

                assert(e && e->index == z->applied.index + 1);
                z->applied = (ZabPosition) { e->index, e->zxid, e->chain };
                if (e->type == ZAB_ENTRY_CONFIG)
                        apply_config(z, e);
                z->effects.apply(z->effects.userdata, e);
                entry_free(e);
        }
}

/* 2.9, commit rule: entries a quorum has durable, and none by counting before the NEWLEADER quorum of this epoch. */
static void advance_commit(Zab *z) {
        if (z->role == ZAB_ROLE_LEADER && quorum_in_every_config(z, z->self_newleader))
                z->commit = MAX(z->commit, z->durable);

        apply_ready(z);
}

/* 2.8: the leader adopts the epoch once its own history is durable; 2.14: "leader counts itself for NEWLEADER". */
static void maybe_adopt_epoch(Zab *z) {
        if (z->role != ZAB_ROLE_LEADER_SYNC || z->durable < z->z0 || z->meta_purpose != META_IDLE || z->self_newleader)
                return;

        z->meta.current_epoch = z->epoch;
        write_meta(z, META_ADOPT);
}

static void become_leader_sync(Zab *z) {
        z->z0 = z->last.index;
        z->self_newleader = false;
        z->counter = 0;
        set_role(z, ZAB_ROLE_LEADER_SYNC, "elected by a quorum");
        maybe_adopt_epoch(z);
}

static void become_leader(Zab *z) {
        z->commit = MAX(z->commit, z->z0);
        set_role(z, ZAB_ROLE_LEADER, "a quorum has this epoch's history");
        advance_commit(z);
}

static void on_meta_durable(Zab *z, uint64_t io_seq) {
        MetaPurpose purpose = z->meta_purpose;

        if (purpose == META_IDLE || io_seq < z->meta_io_seq)
                return;

        z->meta_purpose = META_IDLE;
        switch (purpose) {
        case META_PROMISE:
                if (z->role == ZAB_ROLE_CANDIDATE && quorum_in_every_config(z, true))
                        become_leader_sync(z);
                break;
        case META_ADOPT:
                if (z->role != ZAB_ROLE_LEADER_SYNC)
                        break;
                z->self_newleader = true;
                if (quorum_in_every_config(z, z->self_newleader))
                        become_leader(z);
                break;
        case META_IDLE:
                break;
        }
}

static void on_log_durable(Zab *z, uint64_t io_seq) {
        AppendMark *m;

        while ((m = g_queue_peek_head(&z->appends)) && m->io_seq <= io_seq) {
                z->durable = MAX(z->durable, m->index);
                g_free(g_queue_pop_head(&z->appends));
        }

        maybe_adopt_epoch(z);
        advance_commit(z);
}

/* Puts an entry at the end of the log; its zxid decides its place. */
static void append(Zab *z, Zxid zxid, ZabEntryType type, int64_t time_msec, GBytes *payload) {
        ZabEntry *e = g_new(ZabEntry, 1);
        AppendMark *m = g_new(AppendMark, 1);

        assert(zxid > z->last.zxid);

        *e = (ZabEntry) {
                .index = z->last.index + 1,
                .zxid = zxid,
                .prev_zxid = z->last.zxid,
                .type = type,
                .time_msec = time_msec,
                .payload = g_bytes_ref(payload),
        };
        e->chain = zab_entry_chain(z->last.chain, &z->options.cluster_id, e);
        z->last = (ZabPosition) { e->index, e->zxid, e->chain };
        g_queue_push_tail(&z->entries, e);
        if (type == ZAB_ENTRY_CONFIG) {
                ZabConfig *c = zab_config_decode(payload, zxid);

                assert(c);              /* our own proposal: the caller encoded it */
                g_ptr_array_add(z->pending_configs, c);
        }

        *m = (AppendMark) { .io_seq = ++z->io_seq, .index = e->index };
        g_queue_push_tail(&z->appends, m);
        z->effects.append(z->effects.userdata, m->io_seq, e, 1);
}

static int propose(Zab *z, const ZabInput *in, Zxid *ret_zxid) {
        if (z->role != ZAB_ROLE_LEADER)
                return -EAGAIN;

        if (z->counter >= ZXID_COUNTER_MAX) {
                /* ZOOKEEPER-1277: a new epoch before the counter wraps. */
                campaign(z, "the epoch's counter is used up");
                return -EAGAIN;
        }

        *ret_zxid = zxid_make(z->epoch, ++z->counter);
        append(z, *ret_zxid, in->entry_type, in->time_msec, in->payload);
        return 0;
}

/* 2.10: no lease; a quorum confirms that this is still the leader.  With one voter that quorum is this member. */
static int read_index(Zab *z, uint64_t read_id) {
        if (z->role != ZAB_ROLE_LEADER || !quorum_in_every_config(z, true))
                return -EAGAIN;

        z->effects.read_ready(z->effects.userdata, read_id, z->commit);
        return 0;
}

int zab_step(Zab *z, const ZabInput *input, Zxid *ret_zxid) {
        Zxid zxid = 0;
        int r = 0;

        z->now_usec = MAX(z->now_usec, input->now_usec);

        switch (input->type) {
        case ZAB_INPUT_TICK:
                if (z->role < ZAB_ROLE_LEADER_SYNC && z->role != ZAB_ROLE_STOPPED && z->now_usec >= z->election_at_usec)
                        campaign(z, "no leader within the election timeout");
                break;
        case ZAB_INPUT_LOG_DURABLE:
                on_log_durable(z, input->io_seq);
                break;
        case ZAB_INPUT_META_DURABLE:
                on_meta_durable(z, input->io_seq);
                break;
        case ZAB_INPUT_PROPOSE:
                r = propose(z, input, &zxid);
                if (r >= 0 && ret_zxid)
                        *ret_zxid = zxid;
                break;
        case ZAB_INPUT_READ_INDEX:
                r = read_index(z, input->read_id);
                break;
        default:
                break;
        case ZAB_INPUT_CHECKPOINTED:
                assert(input->index <= z->applied.index);
                z->checkpoint.index = MAX(z->checkpoint.index, input->index);
                break;
        }

        assert(z->applied.index <= z->durable && z->durable <= z->last.index);
        return r;
}

/* Beside the checkpoint's rows: u64 version, then the configuration's own bytes. */
GBytes *zab_checkpoint_config(const Zab *z) {
        g_auto(Writer) w = WRITER_INIT;

        if (!z->config)
                return NULL;

        writer_u64(&w, z->config->version);
        writer_bytes(&w, g_bytes_get_data(z->config->bytes, NULL), g_bytes_get_size(z->config->bytes));
        return writer_to_bytes(&w);
}

int zab_restore_checkpoint(Zab *z, const ZabPosition *position, GBytes *config) {
        assert(z->role == ZAB_ROLE_STOPPED && z->last.index == 0);

        if (config) {
                Reader r = READER_INIT(g_bytes_get_data(config, NULL), g_bytes_get_size(config));
                Zxid version = reader_u64(&r);
                g_autoptr(GBytes) bytes = g_bytes_new(r.at, reader_left(&r));

                z->config = r.failed ? NULL : zab_config_decode(bytes, version);
                if (!z->config)
                        return -EBADMSG;
        }

        z->checkpoint = z->applied = z->last = *position;
        z->commit = z->durable = position->index;
        return 0;
}

int zab_restore_entry(Zab *z, const ZabEntry *entry) {
        Hash128 chain = zab_entry_chain(z->last.chain, &z->options.cluster_id, entry);
        ZabEntry *e;

        assert(z->role == ZAB_ROLE_STOPPED);

        if (entry->index != z->last.index + 1 || entry->prev_zxid != z->last.zxid || entry->zxid <= z->last.zxid ||
            !hash128_equal(chain, entry->chain))
                return -EBADMSG;

        if (entry->type == ZAB_ENTRY_CONFIG) {
                ZabConfig *c = zab_config_decode(entry->payload, entry->zxid);

                if (!c)
                        return -EBADMSG;
                g_ptr_array_add(z->pending_configs, c);
        }

        e = g_memdup2(entry, sizeof(*entry));
        e->payload = g_bytes_new(g_bytes_get_data(entry->payload, NULL), g_bytes_get_size(entry->payload));
        g_queue_push_tail(&z->entries, e);
        z->last = (ZabPosition) { e->index, e->zxid, e->chain };
        z->durable = e->index;
        return 0;
}

/* 2.0.6: the genesis configuration is entry 1, with epoch 0 and counter 1. */
static void found_ensemble(Zab *z) {
        ZabConfigMember self = {
                .sid = z->options.sid,
                .disk_id = z->options.disk_id,
                .role = ZAB_MEMBER_VOTER,
                .name = z->options.name ?: "",
                .address = "",
        };
        g_autoptr(GBytes) config = zab_config_encode(&self, 1);

        append(z, zxid_make(0, 1), ZAB_ENTRY_CONFIG, 0, config);
}

void zab_start(Zab *z, const ZabMeta *meta, uint64_t now_usec) {
        assert(z->role == ZAB_ROLE_STOPPED);
        assert(meta->current_epoch <= meta->accepted_epoch);

        z->meta = *meta;
        z->now_usec = now_usec;
        z->epoch = meta->current_epoch;
        restart_election_timer(z);
        set_role(z, ZAB_ROLE_LOOKING, "started");
        if (z->last.index == 0 && !z->config)
                found_ensemble(z);

        /* Waiting for others only makes sense where there are others. */
        if (quorum_in_every_config(z, true))
                campaign(z, "the only voter");
}

uint64_t zab_timeout_usec(const Zab *z) {
        return z->role < ZAB_ROLE_LEADER_SYNC && z->role != ZAB_ROLE_STOPPED ? z->election_at_usec : UINT64_MAX;
}

ZabRole zab_role(const Zab *z) {
        return z->role;
}

uint32_t zab_epoch(const Zab *z) {
        return z->epoch;
}

uint32_t zab_leader(const Zab *z) {
        return z->role == ZAB_ROLE_LEADER ? z->options.sid : 0;
}

const ZabPosition *zab_last(const Zab *z) {
        return &z->last;
}

const ZabPosition *zab_applied(const Zab *z) {
        return &z->applied;
}

uint64_t zab_commit(const Zab *z) {
        return z->commit;
}

uint64_t zab_durable(const Zab *z) {
        return z->durable;
}

const ZabConfig *zab_config(const Zab *z) {
        return z->config;
}
