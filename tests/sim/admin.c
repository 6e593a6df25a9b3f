/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Admin: who belongs to the ensemble.  One change at a time, asked of some member; hosts with new disks are taken in
 * again, first as observers.
 */

#include <string.h>

#include "tests/sim/judge.h"

#define SETTLE_USEC 5000000
#define NOTICE_ELECTIONS 10             /* so many election time-outs after its end a connection is known to be over */

struct Admin {
        Host *host;                     /* that was asked */
        MemberClient *member;
        uint64_t tag;
        bool busy, looks;               /* with a change, or with a look at who is left */
        MemberChangeOp op;
        uint32_t about;                 /* sid */
        bool gone[HOSTS_MAX + 1];       /* was told that it is removed: it may be switched off and wiped */
        uint32_t suspect;               /* to be demoted; 0: nobody */
        const Host *ahead;              /* to be demoted before `ahead_usec`, whatever it takes; NULL */
        uint64_t ahead_usec;
        uint64_t proposed;              /* configurations, ever, when it asked */
        guint settled;                  /* of the judge's configurations: none before this one is in force anywhere */
        uint64_t settled_usec;          /* until then a change that was given up may still become an entry */
};

static bool knows_member(const Host *h, uint32_t sid) {
        MemberStatus s;

        member_get_status(h->member, &s);
        return !s.config || zab_config_find(s.config, sid);
}

static void be_told(World *w, Host *h) {
        w->admin->gone[h->sid] = true;
        fault_on_moment(h, MOMENT_REMOVED);
}

/* What a member has applied when it answers a change or a linearizable read is known to a quorum for good (2.13.6). */
static void note_settled(World *w, const Host *h) {
        GPtrArray *configs = w->judge->configs;
        MemberStatus s;

        member_get_status(h->member, &s);
        for (guint i = configs->len; s.config && i-- > w->admin->settled;)
                if (((const ZabConfig *) configs->pdata[i])->version == s.config->version)
                        w->admin->settled = i;
}

static void on_reply(void *userdata, uint64_t tag, const Result *result) {
        World *w = userdata;
        Admin *a = w->admin;

        if (tag != a->tag)
                return;
        TRACE(w, "admin: %s is answered %s", a->looks ? "look" : "change", convene_status_to_string(result->status));
        a->busy = false;
        if (result->status == CONVENE_OK && (a->looks || a->op != MEMBER_CHANGE_TRANSFER))
                note_settled(w, a->host);
        if (result->status == CONVENE_OK && (a->looks ? !knows_member(a->host, a->about) : a->op == MEMBER_CHANGE_REMOVE))
                be_told(w, &w->hosts[a->about]);
}

static void on_event(void *userdata, uint64_t watch, WatchEventType type, const char *path, Zxid zxid, bool spent) {
}

static const MemberFront front = { on_reply, on_event };

void admin_init(World *w) {
        w->admin = g_new0(Admin, 1);
        agenda_add(&w->agenda, 500000, EVENT_ADMIN, 0, 0);
}

static void leave(World *w) {
        if (w->admin->member)
                w->admin->member = member_client_free(w->admin->member);
        if (w->admin->busy && !w->admin->looks)
                w->admin->settled_usec = w->now_usec + SETTLE_USEC;
        w->admin->host = NULL;
        w->admin->busy = false;
}

void admin_heal(World *w) {
        w->admin->ahead = NULL;
        leave(w);
}

bool admin_is_idle(const World *w) {
        return !w->admin->busy || !world_takes_part(w, w->admin->host);
}

void admin_done(World *w) {
        g_free(w->admin);
}

void admin_host_crashed(World *w, Host *h) {
        if (w->admin->host == h)
                leave(w);
}

static Host *choose_host(World *w) {
        uint32_t first = 1 + (uint32_t) prng_below(&w->prng, w->params.hosts);

        for (uint32_t i = 0; i < w->params.hosts; i++) {
                Host *h = &w->hosts[1 + (first + i) % w->params.hosts];

                if (h->state == HOST_UP && !host_is_paused(h) && h != w->admin->ahead)
                        return h;
        }
        return NULL;
}

static bool has_disk(const Host *h, const ZabConfigMember *m) {
        return memcmp(&m->disk_id, &h->disk_id, sizeof(Id128)) == 0;
}

/* The fault budget, for the configuration as it would be: no change makes a minority of the voters that have what they
 * had.  An administrator who does that needs the way back from a lost majority, which is no matter of the protocol. */
static bool keeps_budget(World *w, MemberChangeOp op, const Host *about) {
        const ZabConfig *c = judge_config(w);
        unsigned voters = 0, lost = 0;

        for (unsigned i = 0; c && i < c->members_count; i++) {
                const ZabConfigMember *m = c->members + i;
                bool is_voter = m->role == ZAB_MEMBER_VOTER;

                if (m->sid == about->sid && op != MEMBER_CHANGE_TRANSFER)
                        is_voter = op == MEMBER_CHANGE_PROMOTE;
                voters += is_voter;
                /* The ensemble itself has to see whether it is there (2.13.2), once it can have noticed. */
                if (m->sid == about->sid && op == MEMBER_CHANGE_PROMOTE &&
                    w->now_usec - about->wiped_usec > NOTICE_ELECTIONS * w->params.election_usec)
                        continue;
                lost += is_voter && (!has_disk(&w->hosts[m->sid], m) || w->hosts[m->sid].judge->bad_disk);
        }
        return voters > 0 && lost <= (voters - 1) / 2;
}

static MemberClient *turn_to(World *w, Host *h, const Host *about, bool looks) {
        Admin *a = w->admin;

        leave(w);
        a->host = h;
        a->busy = true;
        a->looks = looks;
        a->about = about->sid;
        a->member = member_client_new(h->member, &front, w);
        return a->member;
}

static void ask(World *w, MemberChangeOp op, const Host *about, ZabMemberRole role) {
        Admin *a = w->admin;
        MemberChange change = { .op = op };
        Host *h = choose_host(w);

        if (!h || a->busy || !keeps_budget(w, op, about))
                return;
        host_config_member(about, role, &change.member);
        if (op == MEMBER_CHANGE_TRANSFER && prng_next(&w->prng) & 1)
                change.member.sid = 0;
        TRACE(w, "admin asks h%u for change %d of h%u", h->sid, op, about->sid);
        a->op = op;
        a->proposed = w->judge->configs_proposed;
        member_change(turn_to(w, h, about, false), ++a->tag, &change, 0);
        host_after_input(h);
}

/* After an answer that leaves it open: a linearizable read, and then the list of members. */
static void look(World *w, const Host *about) {
        Request sync = { .op = REQUEST_SYNC, .path = "/" };
        Host *h = choose_host(w);

        if (!h)
                return;
        TRACE(w, "admin asks h%u whether h%u is gone", h->sid, about->sid);
        member_submit(turn_to(w, h, about, true), ++w->admin->tag, &sync, 0, 0);
        host_after_input(h);
}

static const ZabConfigMember *configured(World *w, const Host *h) {
        const ZabConfig *c = judge_config(w);

        return c ? zab_config_find(c, h->sid) : NULL;
}

/* Removed and back: never with the old disk. */
static void begin_joining(World *w, Host *h) {
        w->admin->gone[h->sid] = false;
        if (h->state == HOST_UP)
                host_crash(h, false);
        if (h->judge->accepted > 0)
                host_wipe(h);
        h->state = HOST_DOWN;
        agenda_add(&w->agenda, w->now_usec, EVENT_START, world_host_key(h), 0);
}

/* The first thing that is not as it should be. */
static void mend(World *w) {
        for (uint32_t sid = 1; sid <= w->params.hosts; sid++) {
                Host *h = &w->hosts[sid];
                const ZabConfigMember *m = configured(w, h);

                if (m && !has_disk(h, m) && h->state == HOST_UP) {
                        w->statistics->replaced++;
                        ask(w, MEMBER_CHANGE_REPLACE, h, ZAB_MEMBER_OBSERVER);
                        return;
                }
                if (m && m->role == ZAB_MEMBER_OBSERVER && sid <= w->params.voters && prng_chance(&w->prng, 500)) {
                        ask(w, MEMBER_CHANGE_PROMOTE, h, ZAB_MEMBER_VOTER);
                        return;
                }
        }
}

void admin_suspects(World *w, const Host *h) {
        w->admin->suspect = h->sid;
}

void admin_demote_ahead(World *w, const Host *h, uint64_t until_usec) {
        w->admin->ahead = h;
        w->admin->ahead_usec = until_usec;
}

static void demote_ahead(World *w) {
        Admin *a = w->admin;
        const ZabConfigMember *m = configured(w, a->ahead);

        if (w->now_usec >= a->ahead_usec || !m || !has_disk(a->ahead, m))
                a->ahead = NULL;
        else if (m->role != ZAB_MEMBER_VOTER) {
                w->statistics->left_behind++;
                a->ahead = NULL;
                world_heal(w);
        } else if (!a->busy || a->op != MEMBER_CHANGE_DEMOTE || a->about != a->ahead->sid) {
                leave(w);               /* the handing over that made it a candidate */
                ask(w, MEMBER_CHANGE_DEMOTE, a->ahead, ZAB_MEMBER_OBSERVER);
        }
}

void admin_on_event(World *w) {
        Admin *a = w->admin;
        uint32_t suspect = a->suspect;

        if (!w->done)
                agenda_add(&w->agenda, w->now_usec + prng_between(&w->prng, 100000, 600000), EVENT_ADMIN, 0, 0);
        if (a->ahead && w->phase == 1) {
                demote_ahead(w);
                return;
        }
        if (a->busy || (w->phase == 1 && !w->params.admin_mends) || w->quiet_until_usec > 0)
                return;
        a->suspect = 0;
        if (suspect > 0 && w->phase == 1)
                ask(w, MEMBER_CHANGE_DEMOTE, &w->hosts[suspect], ZAB_MEMBER_OBSERVER);
        else
                mend(w);
}

/* An administrator may not have noticed that a disk is another one now. */
static Host *find_replaced_observer(World *w) {
        for (uint32_t sid = 1; sid <= w->params.hosts; sid++) {
                const ZabConfigMember *m = configured(w, &w->hosts[sid]);

                if (m && m->role == ZAB_MEMBER_OBSERVER && !has_disk(&w->hosts[sid], m))
                        return &w->hosts[sid];
        }
        return NULL;
}

void admin_reconfigure(World *w) {
        Host *replaced = find_replaced_observer(w);
        Host *h = replaced && prng_next(&w->prng) & 1 ? replaced : &w->hosts[1 + prng_below(&w->prng, w->params.hosts)];
        const ZabConfigMember *m = configured(w, h);

        if (w->admin->busy || !judge_config(w))
                return;
        if (!m && h->judge->accepted > 0 && !w->admin->gone[h->sid])
                look(w, h);
        else if (!m) {
                begin_joining(w, h);
                ask(w, MEMBER_CHANGE_ADD, h, ZAB_MEMBER_OBSERVER);
        } else if (m->role == ZAB_MEMBER_OBSERVER)
                ask(w, prng_chance(&w->prng, 700) ? MEMBER_CHANGE_PROMOTE : MEMBER_CHANGE_REMOVE, h, ZAB_MEMBER_VOTER);
        else
                ask(w, prng_chance(&w->prng, w->params.remove_share) ? MEMBER_CHANGE_REMOVE : MEMBER_CHANGE_DEMOTE, h,
                    ZAB_MEMBER_OBSERVER);
}

void admin_transfer(World *w) {
        w->statistics->transfers++;
        ask(w, MEMBER_CHANGE_TRANSFER, &w->hosts[1 + prng_below(&w->prng, w->params.hosts)], ZAB_MEMBER_VOTER);
}

/*
 * The fault budget: of every configuration that may be in force somewhere, less than half of the voters may have lost
 * what they had.
 */

static bool spares(World *w, const ZabConfig *c, const Host *h) {
        unsigned lost = 0, voters = zab_config_voters(c);
        bool is_voter = zab_config_has_voter(c, h->sid, &h->disk_id);

        for (unsigned i = 0; i < c->members_count; i++) {
                const ZabConfigMember *m = c->members + i;
                const Host *other = &w->hosts[m->sid];

                lost += m->role == ZAB_MEMBER_VOTER && (!has_disk(other, m) || other->judge->bad_disk);
        }
        return !is_voter || lost + 1 <= (voters - 1) / 2;
}

/* Every configuration in some log behind the committed ones. */
static bool pending_spare(World *w, const HostJudge *j, const Host *h) {
        for (uint64_t i = MAX(judge_committed(w), j->base) + 1; i <= judge_log_last(j); i++) {
                Zxid zxid = judge_log_zxid(j, i);
                const Proposal *p = judge_proposal(w, zxid);
                ZabConfig *c = p && p->type == ZAB_ENTRY_CONFIG ? zab_config_decode(p->payload, zxid) : NULL;
                bool ok = !c || spares(w, c, h);

                zab_config_unref(c);
                if (!ok)
                        return false;
        }
        return true;
}

bool admin_may_lose_disk(World *w, const Host *h) {
        GPtrArray *configs = w->judge->configs;
        bool open;

        /* What was asked for and stands in no log yet may be anything. */
        open = (w->admin->busy && !w->admin->looks) || w->now_usec < w->admin->settled_usec;
        if (configs->len == 0 || (open && w->judge->configs_proposed == w->admin->proposed))
                return false;
        /* Members that have not heard of the newest still act by the one before. */
        for (guint i = MAX(configs->len > 2 ? configs->len - 2 : 0, w->admin->settled); i < configs->len; i++)
                if (!spares(w, configs->pdata[i], h))
                        return false;
        for (uint32_t sid = 1; sid <= w->params.hosts; sid++)
                if (!pending_spare(w, w->hosts[sid].judge, h))
                        return false;
        return true;
}
