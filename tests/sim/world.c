/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * World
 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/judge.h"
#include "tests/sim/recipes.h"
#include "tests/sim/workload.h"

/* A world that takes so many events for so little time does not get anywhere. */
#define EVENTS_MAX 20000000

#define PROGRESS_ELECTIONS 50           /* reliability V1: within so many election time-outs */
#define QUIET_ELECTIONS 20              /* V2 */

void world_fail(World *w, const char *invariant, const char *format, ...) {
        g_autofree char *text = NULL;
        va_list args;

        if (w->failure)
                return;
        va_start(args, format);
        text = g_strdup_vprintf(format, args);
        va_end(args);
        w->failure = g_strdup_printf("%s: %s", invariant, text);
        TRACE(w, "FAILED %s", w->failure);
}

void world_hash(World *w, uint64_t value) {
        w->trace_hash = (w->trace_hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
        w->trace_hash ^= w->trace_hash >> 31;
}

void world_trace(World *w, const char *format, ...) {
        va_list args;

        printf("[%9.3f] ", (double) w->now_usec / 1000);
        va_start(args, format);
        vprintf(format, args);
        va_end(args);
        putchar('\n');
}

uint64_t world_draw(World *w, const Spread *s) {
        return spread_draw(s, &w->prng);
}

static void make_genesis(World *w) {
        ZabConfigMember members[HOSTS_MAX];
        unsigned count = w->params.voters + w->params.observers;

        for (unsigned i = 0; i < count; i++)
                host_config_member(&w->hosts[i + 1], i < w->params.voters ? ZAB_MEMBER_VOTER : ZAB_MEMBER_OBSERVER,
                                   members + i);
        w->genesis = zab_config_encode(members, count);
}

World *world_new(uint64_t seed, SimProfile profile, Statistics *statistics, bool verbose) {
        World *w = g_new0(World, 1);
        unsigned founders;

        w->seed = seed;
        w->statistics = statistics;
        w->verbose = verbose;
        w->prng = (Prng) { seed * 2 + 1 };
        (void) prng_next(&w->prng);
        params_draw(&w->params, &w->prng, profile);
        for (unsigned i = 0; i < sizeof(w->cluster_id.bytes); i += 8)
                memcpy(w->cluster_id.bytes + i, &(uint64_t) { prng_next(&w->prng) }, 8);
        w->phase = 1;

        judge_init(w);
        founders = w->params.voters + w->params.observers;
        for (uint32_t sid = 1; sid <= w->params.hosts; sid++)
                host_init(&w->hosts[sid], w, sid,
                          sid <= founders ? ZAB_MEMBERSHIP_MEMBER : ZAB_MEMBERSHIP_JOINING);
        make_genesis(w);
        network_init(w);
        fault_init(w);
        workload_init(w);
        recipes_init(w);
        admin_init(w);
        for (uint32_t sid = 1; sid <= w->params.hosts; sid++) {
                agenda_add(&w->agenda, prng_below(&w->prng, 50000), EVENT_START, world_host_key(&w->hosts[sid]), 0);
                if (w->params.checkpoint_usec > 0)
                        agenda_add(&w->agenda, prng_below(&w->prng, w->params.checkpoint_usec), EVENT_CHECKPOINT, sid, 0);
        }
        agenda_add(&w->agenda, w->params.phase_usec, EVENT_PHASE, 0, 0);
        return w;
}

World *world_free(World *w) {
        for (uint32_t sid = 1; sid <= w->params.hosts; sid++)
                host_done(&w->hosts[sid]);
        network_done(w);
        fault_done(w);
        admin_done(w);
        recipes_done(w);
        workload_done(w);
        judge_done(w);
        agenda_done(&w->agenda);
        writer_done(&w->writer);
        g_clear_pointer(&w->genesis, g_bytes_unref);
        g_free(w->failure);
        g_free(w);
        return NULL;
}

/*
 * Phase 2
 */

/* Of the committed configuration, with the disk that it knows. */
bool world_takes_part(const World *w, const Host *h) {
        const ZabConfig *c = judge_config(w);
        const ZabConfigMember *m = c ? zab_config_find(c, h->sid) : NULL;

        if (!c)
                return h->sid <= w->params.voters + w->params.observers;
        return m && memcmp(&m->disk_id, &h->disk_id, sizeof(Id128)) == 0;
}

static void begin_phase2(World *w) {
        TRACE(w, "everything is healed");
        w->phase = 2;
        w->heal_usec = w->now_usec;
        w->params.wire_usec.spikes = w->params.disk_usec.spikes = 0;
        fault_heal_all(w);
        admin_heal(w);
        recipes_heal(w);
        agenda_add(&w->agenda, w->heal_usec + 1000000, EVENT_PHASE, 1, 0);
}

void world_heal(World *w) {
        agenda_add(&w->agenda, w->now_usec, EVENT_PHASE, 0, 0);
}

/* Led, and with nothing left to do. */
static bool all_reached_the_end(World *w) {
        for (uint32_t sid = 1; sid <= w->params.hosts; sid++) {
                Host *h = &w->hosts[sid];

                if (!world_takes_part(w, h))
                        continue;
                if (h->state != HOST_UP || h->judge->applied < judge_committed(w) ||
                    judge_log_last(h->judge) > judge_committed(w) ||
                    (h->judge->role != ZAB_ROLE_LEADER && h->judge->role != ZAB_ROLE_FOLLOWER))
                        return false;
                /* One that has no vote any more is about to hand over. */
                if (h->judge->role == ZAB_ROLE_LEADER && !zab_config_has_voter(judge_config(w), sid, &h->disk_id))
                        return false;
        }
        return true;
}

static void describe_stuck(World *w, const char *what) {
        g_autoptr(GString) s = g_string_new(what);

        for (uint32_t sid = 1; sid <= w->params.hosts; sid++) {
                Host *h = &w->hosts[sid];
                MemberStatus m = { 0 };

                if (h->state == HOST_UP)
                        member_get_status(h->member, &m);
                g_string_append_printf(s, "; h%u%s %s role %d epoch %u leader %u last %" PRIu64 " commit %" PRIu64
                                       " applied %" PRIu64, sid, world_takes_part(w, h) ? "" : "(not a member)",
                                       h->state == HOST_UP ? "up" : "down", m.role, m.epoch, m.leader, m.last_index,
                                       m.commit_index, m.applied_index);
        }
        world_fail(w, "V1", "%s; |G| %" PRIu64, s->str, judge_committed(w));
}

/* First somebody writes on every member; then everybody has all of it; then nothing is elected any more. */
static void progress(World *w) {
        uint64_t bound = (PROGRESS_ELECTIONS * w->params.election_usec) + 100 * w->params.disk_usec.max;

        if (w->recipes)                 /* one after another, and those whose callers have died, each in its turn */
                bound += w->params.callers * 3 * (w->params.disk_usec.max + 1500000);

        recipes_leave_removed(w);
        if (w->quiet_until_usec > 0) {
                w->done = w->now_usec >= w->quiet_until_usec && all_reached_the_end(w);
                if (w->now_usec > w->quiet_until_usec + bound)
                        describe_stuck(w, "some member is behind again, with nothing going on");
                if (w->done || w->failure)
                        return;
        } else if (!w->workload->stopped && w->progress_usec == 0) {
                for (uint32_t sid = 1; sid <= w->params.hosts; sid++)
                        if (w->hosts[sid].state == HOST_UP && world_takes_part(w, &w->hosts[sid]))
                                workload_add_probe(w, &w->hosts[sid]);
                w->progress_usec = w->now_usec;
        } else if (!w->workload->stopped && workload_probes_satisfied(w))
                w->workload->stopped = true;
        else if (w->workload->stopped && workload_is_idle(w) && recipes_are_idle(w) && admin_is_idle(w) && all_reached_the_end(w)) {
                TRACE(w, "everybody has everything");
                w->quiet_until_usec = w->now_usec + QUIET_ELECTIONS * w->params.election_usec;
                w->quiet_elections = w->statistics->elections;
        } else if (w->now_usec - w->heal_usec > bound) {
                describe_stuck(w, !w->workload->stopped ? "no write on every member" :
                                  !workload_is_idle(w) ? "requests are not answered" :
                                  !recipes_are_idle(w) ? "M4: somebody waits for what is free" : "not everybody has everything");
                return;
        }
        agenda_add(&w->agenda, w->now_usec + 50000, EVENT_PHASE, 1, 0);
}

static void check_quiet(World *w) {
        if (w->quiet_until_usec > 0 && w->statistics->elections != w->quiet_elections)
                world_fail(w, "V2", "an election, with everything healed and nothing going on");
}

/*
 * The loop
 */

/* NULL if the event is about another run of its host; put off if the host is paused. */
static Host *host_of(World *w, const Event *e) {
        Host *h = &w->hosts[e->host & 0xff];

        if (h->run != e->host >> 8 || (h->state != HOST_UP && e->type != EVENT_START))
                return NULL;
        if (host_is_paused(h) && e->type != EVENT_CRASH) {
                agenda_add(&w->agenda, h->resume_usec, e->type, e->host, e->number);
                return NULL;
        }
        return h;
}

static void on_host_event(World *w, const Event *e) {
        Host *h = host_of(w, e);

        if (!h)
                return;
        switch (e->type) {

        case EVENT_TICK:
                if (e->number == h->tick_usec)
                        host_on_tick(h);
                break;

        case EVENT_DISK:
                vstore_on_disk(h->store, e->number);
                break;

        case EVENT_READ:
                host_on_read(h);
                break;

        case EVENT_SLICE:
                host_on_slice(h);
                break;

        case EVENT_START:
                if (h->state == HOST_DOWN)
                        host_start(h);
                break;

        case EVENT_RECIPE:
                recipes_on_event(h);
                break;

        case EVENT_MOMENT:
                fault_strike_moment(h, (Moment) e->number);
                break;

        default:
                /* Aimed at a step that took so long that everything is healed by now: only if its store is waiting for it. */
                if (w->phase == 1 || h->store->stalled)
                        host_crash(h, e->number);
                break;
        }
}

static void on_checkpoint(World *w, uint32_t sid) {
        Host *h = &w->hosts[sid];

        if (!host_is_paused(h))
                host_begin_checkpoint(h);
        agenda_add(&w->agenda, w->now_usec + 1 + prng_below(&w->prng, 2 * w->params.checkpoint_usec), EVENT_CHECKPOINT,
                   sid, 0);
}

static void handle(World *w, const Event *e) {
        switch (e->type) {

        case EVENT_CHECKPOINT:
                on_checkpoint(w, e->host);
                break;

        case EVENT_DIAL:
                network_on_dial(w, e->number);
                break;

        case EVENT_PERMIT:
                network_on_permit(w, e->number);
                break;

        case EVENT_UP:
                network_on_up(w, e->number);
                break;

        case EVENT_DOWN:
                network_on_down(w, e->number);
                break;

        case EVENT_DELIVER:
                network_on_deliver(w, e->number);
                break;

        case EVENT_HEAL_LINKS:
                fault_on_heal_links(w, e->number);
                break;

        case EVENT_FAULT:
                fault_on_event(w);
                break;

        case EVENT_CLIENT:
                workload_on_client(w, e->number);
                break;

        case EVENT_ADMIN:
                admin_on_event(w);
                break;

        case EVENT_PHASE:
                if (e->host > 0)
                        progress(w);
                else if (w->phase == 1)
                        begin_phase2(w);
                break;

        default:
                on_host_event(w, e);
                break;
        }
}

bool world_judge(World *w) {
        if (w->failure)
                return false;
        for (uint32_t sid = 1; sid <= w->params.hosts; sid++)
                if (w->hosts[sid].state == HOST_UP)
                        tree_check(member_get_tree(w->hosts[sid].member));
        workload_end(w);
        recipes_judge_end(w);
        replay_check(w);
        if (!w->failure && w->params.black_box) {
                g_autofree char *why = linear_check(w, &w->statistics->black_box_operations);

                w->statistics->black_boxes++;
                if (why)
                        world_fail(w, "B", "%s", why);
        }
        return !w->failure;
}

bool world_run(World *w) {
        Event e;

        while (!w->done && !w->failure && agenda_take(&w->agenda, &e)) {
                w->now_usec = MAX(w->now_usec, e.at_usec);
                world_hash(w, e.at_usec ^ (uint64_t) e.type << 56 ^ (uint64_t) e.host << 40 ^ e.number);
                handle(w, &e);
                recipes_judge_step(w);
                if (++w->events > EVENTS_MAX)
                        world_fail(w, "B1", "more than %d events", EVENTS_MAX);
                if (w->quiet_until_usec > 0)
                        check_quiet(w);
        }
        w->statistics->seeds++;
        w->statistics->events += w->events;
        w->statistics->usec += w->now_usec;
        return !w->failure;
}
