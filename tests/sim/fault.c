/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Fault: what goes wrong, by the weights of the seed.
 */

#include "tests/sim/judge.h"

typedef struct Partition {
        bool blocked[HOSTS_MAX + 1][HOSTS_MAX + 1];
} Partition;

void fault_init(World *w) {
        w->partitions = g_ptr_array_new();
        if (w->params.fault_weights_sum > 0)
                agenda_add(&w->agenda, world_draw(w, &w->params.fault_usec), EVENT_FAULT, 0, 0);
}

void fault_done(World *w) {
        for (guint i = 0; i < w->partitions->len; i++)
                g_free(w->partitions->pdata[i]);
        g_ptr_array_unref(w->partitions);
}

static Host *some_host(World *w) {
        return &w->hosts[1 + prng_below(&w->prng, w->params.hosts)];
}

/* Leaders are more interesting than their share of hosts. */
static Host *some_running_host(World *w) {
        Host *h = some_host(w);

        if (prng_chance(&w->prng, 400))
                for (uint32_t sid = 1; sid <= w->params.hosts; sid++)
                        if (w->hosts[sid].state == HOST_UP && w->hosts[sid].judge->is_leader)
                                h = &w->hosts[sid];
        return h->state == HOST_UP ? h : NULL;
}

/*
 * Partitions
 */

static void block(World *w, Partition *p) {
        for (uint32_t a = 1; a <= w->params.hosts; a++)
                for (uint32_t b = 1; b <= w->params.hosts; b++)
                        if (p->blocked[a][b])
                                network_block(w, a, b);
        w->statistics->partitions++;
        g_ptr_array_add(w->partitions, p);
}

static void heal_last_after(World *w, uint64_t usec) {
        agenda_add(&w->agenda, w->now_usec + usec, EVENT_HEAL_LINKS, 0, w->partitions->len - 1);
}

static void heal_links(World *w, guint number) {
        Partition *p = w->partitions->pdata[number];

        if (!p)
                return;
        w->partitions->pdata[number] = NULL;
        TRACE(w, "partition %u heals", number);
        for (uint32_t a = 1; a <= w->params.hosts; a++)
                for (uint32_t b = 1; b <= w->params.hosts; b++)
                        if (p->blocked[a][b])
                                network_unblock(w, a, b);
        g_free(p);
}

void fault_on_heal_links(World *w, uint64_t number) {
        if (number != FAULT_EVERY_PARTITION)
                heal_links(w, (guint) number);
        for (guint i = 0; number == FAULT_EVERY_PARTITION && i < w->partitions->len; i++)
                heal_links(w, i);
}

static void partition(World *w, FaultKind kind, uint32_t one) {
        Partition *p = g_new0(Partition, 1);
        uint64_t sides = prng_next(&w->prng);
        bool hears = prng_next(&w->prng) & 1;

        for (uint32_t a = 1; a <= w->params.hosts; a++)
                for (uint32_t b = 1; b <= w->params.hosts; b++) {
                        bool across = (sides >> a & 1) != (sides >> b & 1);

                        if (a == b)
                                continue;
                        if (kind == FAULT_SPLIT)
                                p->blocked[a][b] = across;
                        else if (kind == FAULT_BRIDGE)
                                p->blocked[a][b] = across && a != one && b != one;
                        else if (kind == FAULT_ISOLATE)
                                p->blocked[a][b] = a == one || b == one;
                        else
                                p->blocked[a][b] = hears ? a == one : b == one;
                }
        block(w, p);
        heal_last_after(w, world_draw(w, &w->params.cut_usec));
}

static void stall(World *w) {
        uint32_t a = some_host(w)->sid, b = some_host(w)->sid;
        Partition *p;

        if (a == b)
                return;
        p = g_new0(Partition, 1);
        p->blocked[a][b] = true;
        block(w, p);
        heal_last_after(w, world_draw(w, &w->params.cut_usec));
}

/*
 * Hosts
 */

static void crash_all(World *w) {
        bool power = prng_chance(&w->prng, 700);

        w->statistics->crashes_all++;
        for (uint32_t sid = 1; sid <= w->params.hosts; sid++)
                host_crash(&w->hosts[sid], power);
}

/* Snapshots are rare: a host that is taking one in is taken for that. */
static Host *find_installing(World *w) {
        for (uint32_t sid = 1; sid <= w->params.hosts; sid++) {
                Host *h = &w->hosts[sid];

                if (h->state == HOST_UP && (h->incoming || h->store->installing > 0))
                        return h;
        }
        return NULL;
}

static void aim(World *w) {
        Host *installing = find_installing(w), *h = installing ?: some_running_host(w);

        if (!h)
                return;
        h->aimed = true;
        h->aim_point = installing ? PERSIST_INSTALL : (PersistPoint) prng_below(&w->prng, _PERSIST_MAX);
        h->aim_phase = (PersistPhase) prng_below(&w->prng, _PERSIST_PHASE_MAX);
        h->aim_skip = (unsigned) prng_below(&w->prng, 4);
}

static void wipe(World *w) {
        Host *h = some_host(w);

        if (h->state == HOST_ABSENT || !admin_may_lose_disk(w, h))
                return;
        host_crash(h, true);
        host_wipe(h);
}

/* At rest, in what was made durable long ago: before the watermark (2.11) nobody can tell the loss of the last record from a
 * write that never came to its end. */
static void rot(World *w) {
        Host *h = some_host(w);
        VDisk *d = &h->storage.disk;
        unsigned i = 0;

        if (h->state == HOST_ABSENT || !h->store || h->store->segments->len == 0 || !h->store->proven ||
            !admin_may_lose_disk(w, h))
                return;
        host_crash(h, false);
        i = (unsigned) prng_below(&w->prng, h->store->segments->len);
        {
                VSegment *s = &g_array_index(h->store->segments, VSegment, i);
                VFile *f = vdisk_find(d, s->first_index);

                if (!f)
                        return;
                w->statistics->rots++;
                TRACE(w, "h%u: a bit of segment %" PRIu64 " rots", h->sid, s->first_index);
                vdisk_rot(f, &w->prng, 0, s->end);
        }
        h->lost_disk = h->judge->bad_disk = true;
}

static void wall_jump(World *w) {
        static const int64_t jumps[] = { 3600000, -3600000, INT64_C(315360000000), INT64_C(-315360000000) };

        some_host(w)->wall_skew_msec += jumps[prng_below(&w->prng, G_N_ELEMENTS(jumps))];
}

static FaultKind draw(World *w) {
        uint64_t at = prng_below(&w->prng, w->params.fault_weights_sum);
        unsigned kind = 0;

        while (at >= w->params.fault_weights[kind])
                at -= w->params.fault_weights[kind++];
        return (FaultKind) kind;
}

static void pause_one(World *w) {
        Host *h = some_running_host(w);

        if (h)
                host_pause(h, world_draw(w, &w->params.pause_usec));
}

static void crash_one(World *w) {
        Host *h = some_running_host(w);

        if (h)
                host_crash(h, prng_chance(&w->prng, 600));
}

static void slow_disk(Host *h) {
        World *w = h->world;

        h->slow_usec = w->now_usec + prng_between(&w->prng, w->params.election_usec / 4, w->params.election_usec * 4);
        TRACE(w, "h%u: its disk is slow until %" PRIu64, h->sid, h->slow_usec / 1000);
}

static void checkpoint_one(World *w) {
        Host *h = some_running_host(w);

        if (h && !host_is_paused(h))
                host_begin_checkpoint(h);
}

static void break_one(World *w) {
        uint32_t a = some_host(w)->sid, b = some_host(w)->sid;

        if (a != b)
                network_break_pair(w, a, b);
}

static void strike(World *w, FaultKind kind) {
        switch (kind) {

        case FAULT_CRASH:
                crash_one(w);
                break;

        case FAULT_CRASH_ALL:
                crash_all(w);
                break;

        case FAULT_AIM:
                aim(w);
                break;

        case FAULT_PAUSE:
                pause_one(w);
                break;

        case FAULT_BREAK:
                break_one(w);
                break;

        case FAULT_STALL:
                stall(w);
                break;

        case FAULT_WIPE:
                wipe(w);
                break;

        case FAULT_ROT:
                rot(w);
                break;

        case FAULT_DISK:
                slow_disk(some_host(w));
                break;

        case FAULT_RECONFIGURE:
                admin_reconfigure(w);
                break;

        case FAULT_TRANSFER:
                admin_transfer(w);
                break;

        case FAULT_CHECKPOINT:
                checkpoint_one(w);
                break;

        case FAULT_WALL:
                wall_jump(w);
                break;

        default:
                partition(w, kind, some_host(w)->sid);
                break;
        }
}

void fault_on_event(World *w) {
        FaultKind kind;

        if (w->phase != 1)
                return;
        kind = draw(w);
        w->statistics->faults[kind]++;
        TRACE(w, "fault: %s", fault_kind_to_string(kind));
        strike(w, kind);
        agenda_add(&w->agenda, w->now_usec + world_draw(w, &w->params.fault_usec), EVENT_FAULT, 0, 0);
}

/*
 * Moments
 */

void fault_on_moment(Host *h, Moment m) {
        World *w = h->world;
        uint64_t later = (w->now_usec & 1) != 0 ? w->params.wire_usec.max : w->params.election_usec / 2;

        if (w->phase != 1 || w->params.moment_share[m] == 0 || !prng_chance(&w->prng, w->params.moment_share[m]))
                return;
        if (m == MOMENT_PINGS || m == MOMENT_AHEAD)
                later = 0;
        agenda_add(&w->agenda, w->now_usec + prng_below(&w->prng, later + 1), EVENT_MOMENT, world_host_key(h), m);
}

static void lose_disk(Host *h) {
        if (h->state == HOST_ABSENT || !admin_may_lose_disk(h->world, h))
                return;
        host_crash(h, true);
        host_wipe(h);
}

/* What was left behind by a removal is not there any more, and power goes for all. */
static void abandon(Host *h) {
        World *w = h->world;

        crash_all(w);
        host_wipe(h);
        lose_disk(some_host(w));
}

static bool has_elder_leader(const World *w, const Host *h) {
        for (uint32_t sid = 1; sid <= w->params.hosts; sid++)
                if (w->hosts[sid].state == HOST_UP && w->hosts[sid].judge->role == ZAB_ROLE_LEADER &&
                    w->hosts[sid].judge->epoch < h->judge->epoch)
                        return true;
        return false;
}

/* It keeps its promise, nobody hears of it, and it loses its vote meanwhile: nothing but its leader's hello can bring it back (2.8).
 * That is to be seen before somebody else is elected, so the administrator, once that is done, mends everything (admin.c). */
static void leave_behind(Host *h) {
        World *w = h->world;
        uint64_t usec = prng_between(&w->prng, 4, 16) * w->params.election_usec + 20 * w->params.disk_usec.max;
        Partition *p;

        if (!has_elder_leader(w, h))
                return;
        p = g_new0(Partition, 1);
        for (uint32_t sid = 1; sid <= w->params.hosts; sid++)
                p->blocked[sid][h->sid] = p->blocked[h->sid][sid] = sid != h->sid;
        block(w, p);
        heal_last_after(w, usec);
        admin_demote_ahead(w, h, w->now_usec + usec);
}

void fault_strike_moment(Host *h, Moment m) {
        World *w = h->world;

        if (w->phase != 1)
                return;
        w->statistics->moments[m]++;
        TRACE(w, "fault: moment %s of h%u", moment_to_string(m), h->sid);
        if (m == MOMENT_REMOVED) {
                abandon(h);
                return;
        }
        if (m == MOMENT_AHEAD) {
                leave_behind(h);
                return;
        }
        if (m == MOMENT_PINGS) {
                host_pause(h, world_draw(w, &w->params.pause_usec));
                return;
        }
        if (m == MOMENT_CANDIDATE && prng_next(&w->prng) & 1)
                admin_suspects(w, h);
        switch (prng_below(&w->prng, 8)) {

        case 0:
                host_crash(h, true);
                break;

        case 1:
                host_crash(h, false);
                break;

        case 2:
                host_pause(h, world_draw(w, &w->params.pause_usec));
                break;

        case 3:
                slow_disk(h);
                break;

        case 4:
                partition(w, FAULT_DEAF, h->sid);
                break;

        case 5:
                lose_disk(h);
                break;

        default:
                partition(w, FAULT_ISOLATE, h->sid);
                break;
        }
}

void fault_heal_all(World *w) {
        fault_on_heal_links(w, FAULT_EVERY_PARTITION);
        for (uint32_t sid = 1; sid <= w->params.hosts; sid++) {
                Host *h = &w->hosts[sid];

                h->aimed = false;
                h->slow_usec = 0;
                /* A pause that has begun goes on to its end: events wait for that instant. */
                w->heal_usec = MAX(w->heal_usec, h->resume_usec);
                if (h->state == HOST_DOWN)
                        agenda_add(&w->agenda, w->now_usec + prng_below(&w->prng, 10000), EVENT_START,
                                   world_host_key(h), 0);
        }
}
