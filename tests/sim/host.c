/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Host: what the agent's main loop is to a member, and the machine around it, which crashes, pauses and is wiped.
 */

#include <assert.h>
#include <string.h>

#include "agent/tree/chunk.h"
#include "tests/sim/host-internal.h"
#include "tests/sim/judge.h"
#include "tests/sim/recipes.h"
#include "tests/sim/workload.h"

#define WALL_MSEC_BASE INT64_C(1700000000000)

uint32_t world_host_key(const Host *h) {
        return h->sid | h->run << 8;
}

uint64_t host_clock(const Host *h) {
        int64_t elapsed = (int64_t) (h->world->now_usec - h->boot_usec);

        return h->clock_base + (uint64_t) (elapsed + elapsed * h->clock_ppm / 1000000);
}

uint64_t host_instant(const Host *h, uint64_t clock) {
        int64_t elapsed = (int64_t) (clock - h->clock_base);

        if (clock <= h->clock_base)
                return h->world->now_usec;
        return h->boot_usec + (uint64_t) (elapsed - elapsed * h->clock_ppm / (1000000 + h->clock_ppm)) + 1;
}

bool host_is_paused(const Host *h) {
        return h->resume_usec > h->world->now_usec;
}

/*
 * The store
 */

static void on_appended(void *userdata, uint64_t io_seq) {
        Host *h = userdata;

        member_on_appended(h->member, io_seq);
        host_after_input(h);
}

static void on_meta_written(void *userdata, uint64_t io_seq) {
        Host *h = userdata;

        member_on_meta_written(h->member, io_seq);
        host_after_input(h);
}

static void on_checkpointed(void *userdata, uint64_t index) {
        Host *h = userdata;

        h->has_checkpoint = true;
        h->world->statistics->checkpoints++;
        member_on_checkpointed(h->member, index);
        host_after_input(h);
}

static void on_log_dropped(void *userdata, uint64_t index) {
        Host *h = userdata;

        member_on_log_dropped(h->member, index);
        host_after_input(h);
}

static void on_wake(void *userdata, uint64_t usec, uint64_t token) {
        Host *h = userdata;

        agenda_add(&h->world->agenda, h->world->now_usec + usec, EVENT_DISK, world_host_key(h), token);
}

static uint64_t on_latency(void *userdata, PersistPoint point) {
        Host *h = userdata;
        World *w = h->world;

        if (w->now_usec < h->slow_usec)
                return prng_between(&w->prng, w->params.election_usec / 10, w->params.election_usec * 3 / 2);
        return world_draw(w, &w->params.disk_usec);
}

static bool on_persist(void *userdata, PersistPoint point, PersistPhase phase, uint64_t latency_usec) {
        Host *h = userdata;
        World *w = h->world;
        uint64_t delay = 0;

        if (!h->aimed || h->aim_point != point || h->aim_phase != phase || w->phase != 1)
                return false;
        if (h->aim_skip-- > 0)
                return false;
        h->aimed = false;
        w->statistics->persist[point][phase]++;
        if (phase == PERSIST_DURING)
                delay = prng_below(&w->prng, latency_usec + 1);
        agenda_add(&w->agenda, w->now_usec + delay, EVENT_CRASH, world_host_key(h), prng_chance(&w->prng, 700));
        return phase != PERSIST_DURING;
}

static void on_settled(void *userdata, PersistPoint point) {
        judge_on_settled(userdata, point);
}

/*
 * The member's effects
 */

static void on_append(void *userdata, uint64_t io_seq, const ZabEntry *entries, unsigned entries_count) {
        Host *h = userdata;

        judge_on_append(h, entries, entries_count);
        vstore_append(h->store, io_seq, entries, entries_count);
}

static void on_truncate(void *userdata, uint64_t io_seq, const ZabPosition *position) {
        Host *h = userdata;

        TRACE(h->world, "h%u truncates to %" PRIu64, h->sid, position->index);
        h->world->statistics->truncs++;
        judge_on_truncate(h, position);
        fault_on_moment(h, MOMENT_TRUNCATES);
        vstore_truncate(h->store, io_seq, position);
}

static void on_write_meta(void *userdata, uint64_t io_seq, const ZabMeta *meta) {
        Host *h = userdata;

        TRACE(h->world, "h%u META accepted %u current %u", h->sid, meta->accepted_epoch, meta->current_epoch);
        vstore_write_meta(h->store, io_seq, meta);
}

static void drop_incoming(Host *h) {
        h->incoming = vchanges_free(h->incoming);
        checkpoint_position_done(&h->incoming_at);
        h->incoming_at = (CheckpointPosition) { 0 };
}

static void on_snap_begin(void *userdata, const ZabPosition *position, GBytes *config) {
        Host *h = userdata;

        drop_incoming(h);
        h->incoming = vchanges_new();
        h->incoming_at.cluster_id = h->world->cluster_id;
        h->incoming_at.position = *position;
        h->incoming_at.config = config ? g_bytes_ref(config) : NULL;
}

static bool put_row(void *userdata, const TreeRow *row) {
        Host *h = userdata;

        vchanges_put(h->incoming, row);
        return true;
}

static void on_snap_chunk(void *userdata, GBytes *chunk) {
        Host *h = userdata;

        if (!tree_chunk_decode(chunk, put_row, h))
                world_fail(h->world, "driver", "h%u: snap_chunk() of bytes that are no chunk", h->sid);
}

static void on_snap_install(void *userdata, uint64_t io_seq, const ZabMeta *meta, Hash128 digest) {
        Host *h = userdata;

        TRACE(h->world, "h%u installs a snapshot of %" PRIu64, h->sid, h->incoming_at.position.index);
        h->world->statistics->snaps++;
        h->incoming_at.digest = digest;
        judge_on_install(h, &h->incoming_at.position);
        if (h->slicing)
                tree_checkpoint_abort(member_tree(h->member));
        host_drop_slices(h);
        vstore_install(h->store, io_seq, meta, g_steal_pointer(&h->incoming), &h->incoming_at);
        h->has_checkpoint = true;
        drop_incoming(h);
}

static void on_snap_abort(void *userdata) {
        drop_incoming(userdata);
}

static void on_send(void *userdata, uint64_t conn, const PeerMessage *message) {
        Host *h = userdata;
        uint32_t peer = network_peer(h->world, conn);

        judge_on_send(h, peer, message);
        if (message->is_zab && message->zab.type == ZAB_MESSAGE_PING)
                fault_on_moment(h, MOMENT_PINGS);
        network_send(h, conn, message);
}

static void on_close(void *userdata, uint64_t conn, const char *reason) {
        Host *h = userdata;

        TRACE(h->world, "h%u closes %" PRIu64 " (to h%u): %s", h->sid, conn, network_peer(h->world, conn), reason);
        network_close(h, conn);
}

static void on_config_changed(void *userdata) {
        Host *h = userdata;

        judge_on_config(h);
        network_check_permissions(h->world, h);
}

static void on_role_changed(void *userdata, ZabRole role, uint32_t epoch, const char *reason) {
        Host *h = userdata;

        TRACE(h->world, "h%u role %s/%d epoch %u: %s", h->sid, zab_role_to_string(role), role, epoch, reason);
        judge_on_role(h, role, epoch);
        if (role == ZAB_ROLE_CANDIDATE) {
                fault_on_moment(h, MOMENT_CANDIDATE);
                fault_on_moment(h, MOMENT_AHEAD);
        } else if (role == ZAB_ROLE_LEADER_SYNC)
                fault_on_moment(h, MOMENT_ELECTED);
        else if (role == ZAB_ROLE_LEADER)
                fault_on_moment(h, MOMENT_ESTABLISHED);
}

static void on_session_ended(void *userdata, uint64_t session, bool expired) {
        Host *h = userdata;

        workload_on_session_ended(h, session, expired);
        recipes_on_session_ended(h, session);
}

static void on_soft_quota(void *userdata, const char *path) {
}

static void on_diverged(void *userdata, uint64_t index) {
        Host *h = userdata;

        world_fail(h->world, "I12", "h%u says that its tree differs from the leader's at %" PRIu64, h->sid, index);
}

static void on_get_time(void *userdata, uint64_t *ret_now_usec, int64_t *ret_wall_msec) {
        Host *h = userdata;

        *ret_now_usec = host_clock(h);
        *ret_wall_msec = WALL_MSEC_BASE + (int64_t) (h->world->now_usec / 1000) + h->wall_skew_msec;
}

void host_set_driver(Host *h, MemberDriver *ret) {
        *ret = (MemberDriver) {
                .append = on_append,
                .truncate = on_truncate,
                .write_meta = on_write_meta,
                .snap_begin = on_snap_begin,
                .snap_chunk = on_snap_chunk,
                .snap_install = on_snap_install,
                .snap_abort = on_snap_abort,
                .read_log = host_read_log,
                .open_snapshot = host_open_snapshot,
                .read_snapshot = host_read_snapshot,
                .close_snapshot = host_close_snapshot,
                .send = on_send,
                .close = on_close,
                .config_changed = on_config_changed,
                .role_changed = on_role_changed,
                .session_ended = on_session_ended,
                .soft_quota = on_soft_quota,
                .diverged = on_diverged,
                .get_time = on_get_time,
                .userdata = h,
        };
}

/*
 * Running
 */

void host_after_input(Host *h) {
        uint64_t next, at;

        if (h->state != HOST_UP)
                return;
        judge_step(h);
        next = member_next_tick_usec(h->member);
        if (next == UINT64_MAX)
                return;
        at = MAX(host_instant(h, next), h->world->now_usec);
        if (h->tick_usec <= at)
                return;
        h->tick_usec = at;
        agenda_add(&h->world->agenda, at, EVENT_TICK, world_host_key(h), at);
}

void host_on_tick(Host *h) {
        h->tick_usec = UINT64_MAX;
        TRACE(h->world, "h%u ticks", h->sid);
        if (member_next_tick_usec(h->member) <= host_clock(h))
                member_on_tick(h->member);
        host_after_input(h);
        /* One that asks for a time that has come gets it in the next instant, not in this. */
        if (h->tick_usec <= h->world->now_usec) {
                h->tick_usec = h->world->now_usec + 1;
                agenda_add(&h->world->agenda, h->tick_usec, EVENT_TICK, world_host_key(h), h->tick_usec);
        }
}

static void give_disk_id(Host *h) {
        for (unsigned i = 0; i < sizeof(h->disk_id.bytes); i += 8)
                memcpy(h->disk_id.bytes + i, &(uint64_t) { prng_next(&h->world->prng) }, 8);
        for (unsigned i = 0; i < sizeof(h->pin); i++)
                h->pin[i] = h->disk_id.bytes[i % sizeof(h->disk_id.bytes)];
}

void host_init(Host *h, World *w, uint32_t sid, ZabMembership membership) {
        ZabMeta meta = { .cluster_id = w->cluster_id, .sid = sid, .membership = membership };

        h->world = w;
        h->sid = sid;
        h->state = membership == ZAB_MEMBERSHIP_MEMBER ? HOST_DOWN : HOST_ABSENT;
        h->clock_ppm = (int64_t) prng_below(&w->prng, 2 * w->params.clock_ppm + 1) - w->params.clock_ppm;
        h->clock_base = prng_below(&w->prng, 1000000000);
        h->wall_skew_msec = (int64_t) prng_below(&w->prng, 7200000) - 3600000;
        give_disk_id(h);
        meta.disk_id = h->disk_id;
        vstorage_format(&h->storage, &meta);
        g_queue_init(&h->reads);
        h->snapshots = g_array_new(FALSE, FALSE, sizeof(Snapshot));
        h->tick_usec = UINT64_MAX;
        judge_host_init(h);
}

static void end_run(Host *h) {
        workload_host_gone(h);
        admin_host_crashed(h->world, h);
        h->member = member_free(h->member);
        drop_incoming(h);
        host_drop_slices(h);
        host_drop_reads(h);
        h->resume_usec = 0;
        h->tick_usec = UINT64_MAX;
        h->aimed = false;
}

void host_done(Host *h) {
        if (h->state == HOST_UP) {
                recipes_host_gone(h, true);
                end_run(h);
        }
        h->store = vstore_free(h->store);
        vstorage_done(&h->storage);
        g_array_unref(h->snapshots);
        judge_host_done(h);
}

void host_crash(Host *h, bool power) {
        World *w = h->world;

        if (h->state != HOST_UP)
                return;
        TRACE(w, "h%u %s", h->sid, power ? "loses power" : "is killed");
        w->statistics->crashes++;
        recipes_host_gone(h, power);
        end_run(h);
        h->state = HOST_DOWN;
        h->run++;
        if (power) {
                vdisk_lose_power(&h->storage.disk, &w->prng);
                /* A reboot: CLOCK_BOOTTIME begins anew. */
                h->boot_usec = w->now_usec;
                h->clock_base = prng_below(&w->prng, 3000000);
        }
        network_host_crashed(h, power);
        agenda_add(&w->agenda, w->now_usec + world_draw(w, &w->params.down_usec), EVENT_START, world_host_key(h), 0);
}

void host_pause(Host *h, uint64_t usec) {
        if (h->state != HOST_UP || host_is_paused(h))
                return;
        TRACE(h->world, "h%u pauses for %" PRIu64 " usec", h->sid, usec);
        h->resume_usec = h->world->now_usec + usec;
        h->world->statistics->pauses++;
        workload_on_pause(h);
}

void host_wipe(Host *h) {
        World *w = h->world;
        ZabMeta meta = { .cluster_id = w->cluster_id, .sid = h->sid, .membership = ZAB_MEMBERSHIP_JOINING };

        assert(h->state != HOST_UP);
        TRACE(w, "h%u gets a new disk", h->sid);
        w->statistics->wipes++;
        h->store = vstore_free(h->store);
        vstorage_done(&h->storage);
        give_disk_id(h);
        meta.disk_id = h->disk_id;
        vstorage_format(&h->storage, &meta);
        h->lost_disk = true;
        h->wiped_usec = w->now_usec;
        judge_host_wiped(h);
}

static void set_store_options(Host *h, VStore *options) {
        *options = (VStore) {
                .prng = { prng_next(&h->world->prng) },
                .segment_bytes = h->world->params.segment_bytes,
                .keep_bytes = h->world->params.keep_bytes,
                .watermark_usec = 100000,
                .meta_overtakes = h->world->params.meta_overtakes,
                .listener = { on_appended, on_meta_written, on_checkpointed, on_log_dropped, on_wake, on_latency,
                              on_persist, on_settled, h },
        };
}

static Member *make_member(Host *h) {
        World *w = h->world;
        char name[8];
        MemberDriver driver;
        MemberOptions options = {
                .zab = {
                        .sid = h->sid,
                        .cluster_id = w->cluster_id,
                        .disk_id = h->disk_id,
                        .name = name,
                        .genesis = w->genesis,
                        .election_timeout_usec = w->params.election_usec,
                        .heartbeat_usec = w->params.heartbeat_usec,
                        .tail_bytes = w->params.tail_bytes,
                        .window_bytes = w->params.window_bytes,
                        .prng_seed = prng_next(&w->prng),
                },
                .reap_interval_msec = 500,
        };

        (void) g_snprintf(name, sizeof(name), "h%u", h->sid);
        host_set_driver(h, &driver);
        return member_new(&options, &driver);
}

static void give_history(Host *h, VFound *found) {
        Tree *tree = found->tree ? g_steal_pointer(&found->tree) : tree_new(member_tree_listener(h->member));

        if (member_take_tree(h->member, tree, &found->checkpoint, found->config) < 0)
                world_fail(h->world, "recovery", "h%u: member_take_tree() refuses what was found", h->sid);
        if (found->base_index < found->checkpoint.index && found->epochs &&
            !member_restore_base(h->member, found->base_index, found->base_zxid,
                                 (const ZabEpochStart *) found->epochs->data, found->epochs->len))
                world_fail(h->world, "recovery", "h%u: member_restore_base() refuses %" PRIu64, h->sid,
                           found->base_index);
        for (guint i = 0; found->entries && i < found->entries->len; i++)
                if (member_replay(h->member, found->entries->pdata[i]) < 0)
                        world_fail(h->world, "recovery", "h%u: member_replay() refuses an entry", h->sid);
}

void host_start(Host *h) {
        World *w = h->world;
        VStore options, *store;
        VFound found;

        assert(h->state == HOST_DOWN);
        h->run++;
        set_store_options(h, &options);
        h->member = make_member(h);
        store = vstore_open(&h->storage, &options, member_tree_listener(h->member), &found);
        if (!store) {
                world_fail(w, "recovery", "h%u: META is lost", h->sid);
                h->member = member_free(h->member);
                return;
        }
        w->statistics->torn += found.torn_bytes > 0;
        w->statistics->damaged += found.verdict == VSTORE_DAMAGED;
        TRACE(w, "h%u starts: checkpoint %" PRIu64 ", log %" PRIu64 " to %" PRIu64 ", accepted %u current %u%s%s", h->sid,
              found.checkpoint.index, found.base_index, store->last.index, store->record.meta.accepted_epoch,
              store->record.meta.current_epoch, found.verdict == VSTORE_DAMAGED ? ", DAMAGED: " : "",
              found.why ?: "");
        judge_recovered(h, h->store, &found);
        vstore_free(h->store);
        h->store = store;
        h->has_checkpoint = store->record.meta.checkpoint_generation > 0;
        h->state = HOST_UP;
        judge_on_start(h, &found);
        if (!w->failure) {
                give_history(h, &found);
                member_start(h->member, &store->record.meta);
                host_after_input(h);
                recipes_host_started(h);
        }
        vfound_done(&found);
}

void host_config_member(const Host *h, ZabMemberRole role, ZabConfigMember *ret) {
        static const char *const names[] = { "", "h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8", "h9" };

        *ret = (ZabConfigMember) {
                .sid = h->sid,
                .disk_id = h->disk_id,
                .role = role,
                .name = names[h->sid],
                .address = "",
                .pin = h->pin,
                .pin_size = sizeof(h->pin),
        };
}
