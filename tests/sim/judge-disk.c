/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Judge: platters.  Nothing is said, committed or applied before what it rests on would survive the power going now.
 */

#include <string.h>

#include "tests/sim/judge.h"

bool judge_disk_has(const Host *h, uint64_t index, Hash128 chain) {
        Hash128 mine;

        if (!h->store || h->judge->bad_disk)
                return false;
        if (index <= h->store->checkpoint_index)
                return true;            /* I1 and I12 have looked at checkpoints */
        return vstore_get_chain(h->store, index, &mine) && hash128_equal(mine, chain);
}

static bool is_this_disk(const Host *h, const ZabConfigMember *m) {
        return memcmp(&h->disk_id, &m->disk_id, sizeof(Id128)) == 0;
}

static unsigned count_holders(World *w, const ZabConfig *c, uint64_t index, Hash128 chain, unsigned *ret_able) {
        unsigned holders = 0, able = 0;

        for (unsigned i = 0; i < c->members_count; i++) {
                const ZabConfigMember *m = c->members + i;
                const Host *h = &w->hosts[m->sid];

                if (m->role != ZAB_MEMBER_VOTER || !is_this_disk(h, m) || h->judge->bad_disk)
                        continue;
                able++;
                holders += judge_disk_has(h, index, chain);
        }
        *ret_able = able;
        return holders;
}

static void check_quorum(World *w, const ZabConfig *c, Host *h, uint64_t index) {
        const Proposal *p = judge_proposal(w, judge_log_zxid(h->judge, index));
        unsigned able, holders, voters = zab_config_voters(c);

        if (!p) {
                world_fail(w, "I1", "h%u has %" PRIu64 " committed without an entry there", h->sid, index);
                return;
        }
        holders = count_holders(w, c, index, p->chain, &able);
        /* A disk that was lost since may have had it, and may have said so; but then the others must have it so that no
         * quorum of them is without it (I8). */
        if (holders + (voters - able) < zab_config_quorum(c) || holders + zab_config_quorum(c) < able + 1)
                world_fail(w, "I11", "h%u has %" PRIu64 " committed, but only %u of the %u voters of the configuration of "
                           ZXID_FORMAT " have it on disk", h->sid, index, holders, voters, c->version);
}

/* Of each entry, the configuration that was committed before it, and of a configuration that one, too. */
void judge_commit(World *w, Host *h, uint64_t index) {
        GPtrArray *configs = w->judge->configs;
        ZabConfig *c = configs->len > 0 ? zab_config_ref(configs->pdata[configs->len - 1]) : NULL;
        uint64_t from = c ? g_array_index(w->judge->config_indexes, uint64_t, configs->len - 1) + 1 : 1;

        for (uint64_t i = MAX(from, h->judge->base + 1); i <= index; i++) {
                Zxid at = judge_log_zxid(h->judge, i);
                const Proposal *p = judge_proposal(w, at);
                ZabConfig *next = p && p->type == ZAB_ENTRY_CONFIG ? zab_config_decode(p->payload, at) : NULL;

                if (!next)
                        continue;
                if (c)
                        check_quorum(w, c, h, i);
                zab_config_unref(c);
                c = next;
                check_quorum(w, c, h, i);
        }
        if (c)
                check_quorum(w, c, h, index);
        zab_config_unref(c);
}

void judge_quorums(World *w) {
        uint64_t index = judge_committed(w);
        const ZabConfig *c = judge_config(w);
        const Proposal *p = judge_proposal(w, judge_zxid(w, index));
        unsigned able, holders, quorum;

        if (!c || !p)
                return;
        quorum = zab_config_quorum(c);
        holders = count_holders(w, c, index, p->chain, &able);
        if (able >= quorum && holders + quorum < able + 1)
                world_fail(w, "I8", "%u of %u voters have %" PRIu64 " on disk: a quorum without it could lead", holders,
                           able, index);
}

/* I9 for META; and a member that a leader has brought through NEWLEADER is whole again. */
static void check_meta(Host *h) {
        HostJudge *j = h->judge;
        const ZabMeta *m = &h->store->record.meta;

        if (m->accepted_epoch < j->accepted || m->current_epoch < j->current || m->current_epoch > m->accepted_epoch)
                world_fail(h->world, "I9", "h%u: META goes from accepted %u current %u to accepted %u current %u", h->sid,
                           j->accepted, j->current, m->accepted_epoch, m->current_epoch);
        if (m->current_epoch > j->current && m->current_epoch == j->mark_epoch && h->store->durable < j->mark)
                world_fail(h->world, "I11", "h%u: META takes epoch %u as its own, whose history goes to %" PRIu64
                           ", and only %" PRIu64 " is on disk", h->sid, m->current_epoch, j->mark, h->store->durable);
        j->accepted = m->accepted_epoch;
        j->current = m->current_epoch;
        if (m->membership == ZAB_MEMBERSHIP_MEMBER)
                j->bad_disk = false;
}

void judge_on_settled(Host *h, PersistPoint point) {
        if (h->world->failure)
                return;
        if (point == PERSIST_META)
                check_meta(h);
}

/* What was durable is still there, whatever the crash left of the rest. */
void judge_recovered(Host *h, const VStore *before, const VFound *found) {
        uint64_t last = found->checkpoint.index + (found->entries ? found->entries->len : 0);
        uint64_t durable;

        if (!before || h->judge->bad_disk)
                return;
        if (found->verdict == VSTORE_DAMAGED) {
                world_fail(h->world, "recovery", "h%u is said to be damaged (%s), and its disk is good", h->sid, found->why);
                return;
        }
        durable = before->installing > 0 ? MIN(before->durable, before->installing) : before->durable;
        if (last < durable)
                world_fail(h->world, "recovery", "h%u had %" PRIu64 " durable, and %" PRIu64 " came back", h->sid, durable,
                           last);
}

/*
 * Sending: one case per row of protocol 2.14
 */

static void refuse(Host *h, const ZabMessage *m, const char *invariant, const char *why) {
        world_fail(h->world, invariant, "h%u sends %s of epoch %u: %s (accepted %u current %u durable %" PRIu64
                   " on disk; promised %u)", h->sid, zab_message_type_to_string(m->type), m->epoch, why,
                   h->store->record.meta.accepted_epoch, h->store->record.meta.current_epoch, h->store->durable,
                   h->judge->promised);
}

/* Who votes in nothing any more may follow a leader of an epoch before its promise (2.8): its acks count for nobody. */
static bool is_voter(const Host *h) {
        const ZabConfig *c = judge_config(h->world);

        return !c || zab_config_has_voter(c, h->sid, &h->disk_id);
}

static void check_ack(Host *h, const ZabMessage *m) {
        if (m->epoch < h->judge->promised && is_voter(h))
                refuse(h, m, "I10", "it has promised a newer epoch");
        else if (h->store->record.meta.current_epoch != m->epoch)
                refuse(h, m, "I11", "that is not its epoch on disk");
        else if (m->index > h->store->durable)
                refuse(h, m, "I11", "not all of that is on disk");
}

/* 2.0.1: by epoch first, and only then by zxid. */
void judge_on_vote_request(Host *h, uint32_t from, const ZabMessage *m) {
        uint32_t current = h->store->record.meta.current_epoch;
        Zxid last = judge_log_zxid(h->judge, judge_log_last(h->judge));
        bool behind = m->vote.current_epoch < current || (m->vote.current_epoch == current && m->vote.last.zxid < last);

        if (behind) {
                h->judge->refused = m->epoch;
                h->judge->refused_sid = from;
        } else if (h->judge->refused_sid == from)
                h->judge->refused = 0;
}

void judge_on_hello(Host *h, const ZabMessage *m) {
        ZabConfig *c = m->hello.established && m->hello.config ? zab_checkpoint_config_decode(m->hello.config) : NULL;

        h->judge->hello_config = c ? c->version : 0;
        zab_config_unref(c);
}

static bool was_led_later(const World *w, uint32_t epoch) {
        for (guint i = epoch + 1; i < w->judge->epochs->len; i++)
                if (((const Epoch *) w->judge->epochs->pdata[i])->leader != 0)
                        return true;
        return false;
}

/* 2.8: whoever votes in nothing follows a leader that broadcasts and that nobody has followed, whatever it has promised. */
static void check_reject(Host *h, uint32_t peer, const ZabMessage *m) {
        World *w = h->world;
        Host *leader = &w->hosts[peer];
        MemberStatus s;

        if (peer == 0 || leader->state != HOST_UP || leader->judge->role != ZAB_ROLE_LEADER ||
            leader->judge->epoch != m->epoch || h->judge->hello_config != judge_config(w)->version || is_voter(h) ||
            was_led_later(w, m->epoch))
                return;
        member_get_status(leader->member, &s);
        if (!s.pending_config)
                refuse(h, m, "V4", "it votes in nothing, and stays outside");
}

/* 2.13: who is fed by a follower gets what is committed, and nothing else. */
static void check_feed(Host *h, const ZabMessage *m) {
        uint64_t last = m->entries_count > 0 ? m->entries[m->entries_count - 1].index : 0;

        h->world->statistics->fed += m->entries_count > 0;
        if (h->judge->role != ZAB_ROLE_FOLLOWER || h->judge->epoch != m->epoch)
                refuse(h, m, "I3", "it follows no leader of that epoch");
        else if (MAX(last, m->commit) > judge_committed(h->world))
                judge_commit(h->world, h, MAX(last, m->commit));
}

void judge_send_zab(Host *h, uint32_t peer, const ZabMessage *m) {
        const ZabMeta *meta = &h->store->record.meta;
        HostJudge *j = h->judge;

        switch (m->type) {

        case ZAB_MESSAGE_VOTE_REQUEST:
                if (meta->accepted_epoch < m->epoch)
                        refuse(h, m, "I11", "its own promise is not on disk");
                j->promised = MAX(j->promised, m->epoch);
                break;

        case ZAB_MESSAGE_VOTE_RESPONSE:
                if (!m->vote.granted)
                        break;
                if (meta->accepted_epoch < m->epoch)
                        refuse(h, m, "I11", "the promise is not on disk");
                if (meta->membership != ZAB_MEMBERSHIP_MEMBER)
                        refuse(h, m, "I11", "its disk gives it no vote");
                if (j->refused == m->epoch && j->refused_sid == peer)
                        refuse(h, m, "I6", "the candidate's history is behind its own");
                j->promised = MAX(j->promised, m->epoch);
                break;

        case ZAB_MESSAGE_SYNC_REQUEST:
                if (meta->accepted_epoch < m->epoch)
                        refuse(h, m, "I11", "the promise is not on disk");
                j->promised = MAX(j->promised, m->epoch);
                break;

        case ZAB_MESSAGE_ACK_NEWLEADER:
        case ZAB_MESSAGE_ACK:
                check_ack(h, m);
                break;

        case ZAB_MESSAGE_REJECT:
                if (judge_config(h->world))
                        check_reject(h, peer, m);
                break;

        case ZAB_MESSAGE_FEED:
                check_feed(h, m);
                break;

        default:
                break;
        }
}

void judge_on_send(Host *h, uint32_t peer, const PeerMessage *message) {
        if (h->world->failure || !message->is_zab)
                return;
        judge_send_zab(h, peer, &message->zab);
}
