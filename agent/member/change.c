/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Change
 *
 * Changes of the membership (protocol 2.13).  The leader makes the new configuration out of the committed one; zab says
 * whether it is safe to propose.  A change is done when its CONFIG entry is applied here and a read index has been confirmed
 * after that: then a quorum of the new configuration knows durably that it is committed, and a member that it left out may be
 * switched off and wiped (2.13.6; zab's reads.c).  One that a change of leader leaves in doubt is answered NOT_READY, and who
 * asked looks, with a linearizable read, and tries again.
 */

#include <errno.h>
#include <string.h>

#include "agent/member/member-internal.h"

#define PIN_BYTES 32                    /* of one key; a member that changes its key has two for a while */

void change_copy(MemberChange *to, const MemberChange *from) {
        *to = *from;
        to->member.name = g_strdup(from->member.name ?: "");
        to->member.address = g_strdup(from->member.address ?: "");
        to->member.pin = from->member.pin_size > 0 ? g_memdup2(from->member.pin, from->member.pin_size) : NULL;
}

void change_done(MemberChange *c) {
        g_free((char *) c->member.name);
        g_free((char *) c->member.address);
        g_free((uint8_t *) c->member.pin);
        *c = (MemberChange) { 0 };
}

/*
 * The new configuration
 */

static bool text_fits(const char *s, size_t size_max) {
        return !s || (strnlen(s, size_max + 1) <= size_max && g_utf8_validate(s, -1, NULL));
}

static bool member_is_sane(const ZabConfigMember *m) {
        return m->sid <= ZAB_CONFIG_MEMBERS_MAX && text_fits(m->name, ZAB_CONFIG_NAME_BYTES) &&
                text_fits(m->address, ZAB_CONFIG_ADDRESS_BYTES) && m->pin_size <= ZAB_CONFIG_PIN_BYTES &&
                (m->pin || m->pin_size == 0);
}

static const ZabConfigMember *find_by_name(const ZabConfig *c, const char *name) {
        for (unsigned i = 0; name && *name && i < c->members_count; i++)
                if (strcmp(c->members[i].name, name) == 0)
                        return &c->members[i];

        return NULL;
}

static const ZabConfigMember *find_target(const ZabConfig *c, const ZabConfigMember *which) {
        return which->sid != 0 ? zab_config_find(c, which->sid) : find_by_name(c, which->name);
}

static uint32_t lowest_free(const ZabConfig *c) {
        uint32_t sid = 1;

        while (zab_config_find(c, sid))
                sid++;
        return sid;
}

static bool add(const ZabConfig *c, const ZabConfigMember *which, GArray *members) {
        ZabConfigMember new = *which;
        guint at = 0;

        if (c->members_count >= ZAB_CONFIG_MEMBERS_MAX || find_by_name(c, which->name) ||
            (which->sid != 0 && zab_config_find(c, which->sid)))
                return false;

        new.sid = which->sid != 0 ? which->sid : lowest_free(c);
        new.role = ZAB_MEMBER_OBSERVER;
        new.name = which->name ?: "";
        new.address = which->address ?: "";
        while (at < members->len && g_array_index(members, ZabConfigMember, at).sid < new.sid)
                at++;
        g_array_insert_val(members, at, new);
        return true;
}

static bool has_voter(const GArray *members) {
        for (guint i = 0; i < members->len; i++)
                if (g_array_index(members, ZabConfigMember, i).role == ZAB_MEMBER_VOTER)
                        return true;

        return false;
}

static bool alter(const ZabConfig *c, const MemberChange *change, GArray *members) {
        const ZabConfigMember *which = &change->member, *target = find_target(c, which), *same;
        ZabConfigMember *at;

        if (!target)
                return false;

        at = &g_array_index(members, ZabConfigMember, target - c->members);
        switch (change->op) {

        case MEMBER_CHANGE_REMOVE:
                g_array_remove_index(members, target - c->members);
                return has_voter(members);

        case MEMBER_CHANGE_PROMOTE:
                at->role = ZAB_MEMBER_VOTER;
                return target->role == ZAB_MEMBER_OBSERVER;

        case MEMBER_CHANGE_DEMOTE:
                at->role = ZAB_MEMBER_OBSERVER;
                return target->role == ZAB_MEMBER_VOTER && has_voter(members);

        case MEMBER_CHANGE_REPLACE:
                same = find_by_name(c, which->name);
                *at = *which;
                at->sid = target->sid;
                at->role = ZAB_MEMBER_OBSERVER;
                at->name = which->name && *which->name ? which->name : target->name;
                at->address = which->address ?: "";
                return (!same || same == target) && has_voter(members);

        case MEMBER_CHANGE_UPDATE:
                same = find_by_name(c, which->name);
                if (same && same != target)
                        return false;
                if (which->name && *which->name)
                        at->name = which->name;
                if (which->address && *which->address)
                        at->address = which->address;
                if (which->pin_size > 0) {
                        at->pin = which->pin;
                        at->pin_size = which->pin_size;
                }
                return true;

        default:
                return false;
        }
}

static bool have_pin_in_common(const ZabConfigMember *a, const ZabConfigMember *b) {
        for (uint32_t i = 0; i + PIN_BYTES <= a->pin_size; i += PIN_BYTES)
                for (uint32_t j = 0; j + PIN_BYTES <= b->pin_size; j += PIN_BYTES)
                        if (memcmp(a->pin + i, b->pin + j, PIN_BYTES) == 0)
                                return true;

        return false;
}

/* A key says which member somebody is: it is of one alone.  Otherwise one could be kept out by what another does in its name. */
static bool pins_are_sane(const GArray *members) {
        for (guint i = 0; i < members->len; i++) {
                const ZabConfigMember *m = &g_array_index(members, ZabConfigMember, i);

                if (m->pin_size % PIN_BYTES != 0)
                        return false;
                for (guint j = 0; j < i; j++)
                        if (have_pin_in_common(m, &g_array_index(members, ZabConfigMember, j)))
                                return false;
        }

        return true;
}

/* NULL if the change makes no sense. */
static GBytes *new_config(const ZabConfig *c, const MemberChange *change) {
        g_autoptr(GArray) members = g_array_new(FALSE, FALSE, sizeof(ZabConfigMember));

        g_array_append_vals(members, c->members, c->members_count);
        if (!(change->op == MEMBER_CHANGE_ADD ? add(c, &change->member, members) : alter(c, change, members)) ||
            !pins_are_sane(members))
                return NULL;

        return zab_config_encode_at((const ZabConfigMember *) members->data, members->len, c->feature_level);
}

/*
 * As leader
 */

static ConveneStatus status_of(int r) {
        switch (r) {

        case -EINVAL:
                return CONVENE_BAD_ARGUMENTS;

        case -EINPROGRESS:
                return CONVENE_RECONFIG_IN_PROGRESS;

        case -ESTALE:
                return CONVENE_BAD_VERSION;

        case -EBUSY:
        case -ENOENT:
                return CONVENE_NEW_CONFIG_NO_QUORUM;

        default:
                return r < 0 ? CONVENE_NOT_READY : CONVENE_OK;
        }
}

static ConveneStatus transfer(Member *m, const ZabConfig *c, const ZabConfigMember *which) {
        bool any = which->sid == 0 && (!which->name || !*which->name);
        const ZabConfigMember *target = any ? NULL : find_target(c, which);

        if (!any && (!target || target->role != ZAB_MEMBER_VOTER || target->sid == m->options.zab.sid))
                return CONVENE_BAD_ARGUMENTS;

        return status_of(member_step(m, (ZabInput) { .type = ZAB_INPUT_TRANSFER, .sid = any ? 0 : target->sid }, NULL));
}

/* Does every other member have the committed configuration on its disk?  What a synced one has not acknowledged in this epoch it has
 * had before. */
static bool everybody_knows(const Member *m, const ZabConfig *c) {
        ZabPeerState p;

        for (unsigned i = 0; i < c->members_count; i++)
                if (c->members[i].sid != m->options.zab.sid &&
                    (!zab_peer(m->zab, c->members[i].sid, &p) || !p.connected || !p.synced || p.acked < m->config_index))
                        return false;

        return true;
}

/* *ret_zxid: of the entry to wait for; 0 for none. */
static ConveneStatus carry_out(Member *m, const MemberChange *change, Zxid base, Zxid *ret_zxid) {
        const ZabConfig *c = zab_config(m->zab);
        g_autoptr(GBytes) payload = NULL;

        *ret_zxid = 0;
        if (!c)
                return CONVENE_NOT_READY;
        if (!member_is_sane(&change->member))
                return CONVENE_BAD_ARGUMENTS;
        if (base != 0 && base != c->version)
                return CONVENE_BAD_VERSION;
        if (change->op == MEMBER_CHANGE_TRANSFER)
                return transfer(m, c, &change->member);

        /* A second key is about to take the place of the first: who has not heard of it would keep its owner out, for good if that one leads. */
        if (change->op == MEMBER_CHANGE_UPDATE && change->member.pin_size > PIN_BYTES && !everybody_knows(m, c))
                return CONVENE_NEW_CONFIG_NO_QUORUM;

        payload = new_config(c, change);
        if (!payload)
                return zab_pending_config(m->zab) ? CONVENE_RECONFIG_IN_PROGRESS : CONVENE_BAD_ARGUMENTS;

        return status_of(member_step(m, (ZabInput) {
                .type = ZAB_INPUT_RECONFIGURE,
                .payload = payload,
                .base = base,
                .time_msec = m->wall_msec,
        }, ret_zxid));
}

/* An observer's root decides about its own key and nothing else. */
static bool may_ask(const Member *m, uint32_t sid, const MemberChange *change) {
        const ZabConfig *c = zab_config(m->zab);
        const ZabConfigMember *sender = c ? zab_config_find(c, sid) : NULL;

        if (sender && sender->role == ZAB_MEMBER_VOTER)
                return true;

        /* A new name would be that of a host it may not speak for. */
        return sender && change->op == MEMBER_CHANGE_UPDATE && change->member.sid == sid &&
                (!change->member.name || !*change->member.name || g_str_equal(change->member.name, sender->name));
}

void change_on_message(Member *m, uint32_t sid, const ZabSession *from, const MemberMessage *message) {
        MemberMessage answer = { .type = MEMBER_MESSAGE_CHANGED, .number = message->number };
        ConveneStatus status = CONVENE_NO_AUTH;

        if (may_ask(m, sid, &message->change))
                status = carry_out(m, &message->change, message->base, &answer.zxid);
        if (status != CONVENE_OK) {
                answer.type = MEMBER_MESSAGE_REFUSED;
                answer.status = status;
        }
        member_send(m, from, answer);
}

/*
 * Who asked
 */

static void unlink_change(Member *m, Pending *p) {
        g_queue_unlink(&m->changes, &p->link);
}

void change_forget(Pending *p) {
        unlink_change(p->client->member, p);
}

static void finish(Member *m, Pending *p, ConveneStatus status) {
        unlink_change(m, p);
        client_refuse(p, status);               /* OK: its turn */
}

/* Its entry is applied.  What follows is a linearizable read of nothing, also across changes of leader.  A member that has
 * removed itself is not told any more whether the others know: it does not claim that they do. */
static void confirm(Member *m, Pending *p) {
        const ZabConfig *c = zab_config(m->zab);

        if (!zab_config_find(c, m->options.zab.sid)) {
                finish(m, p, CONVENE_NOT_READY);
                return;
        }

        unlink_change(m, p);
        p->linearizable = true;
        pending_set_state(p, PENDING_WAIT);
        client_make_ready(p->client);
}

/* The leader has taken it. */
static void wait_for_entry(Member *m, Pending *p, Zxid zxid) {
        const ZabConfig *c = zab_config(m->zab);

        p->zxid = zxid;
        pending_set_state(p, PENDING_CONFIG);
        if (zxid == 0)
                finish(m, p, CONVENE_OK);
        else if (c && c->version == zxid && tree_zxid(m->tree) >= zxid)
                confirm(m, p);
}

void change_start(Pending *p) {
        Member *m = p->client->member;
        ConveneStatus status;
        Zxid zxid;

        pending_set_state(p, PENDING_ANSWER);
        p->number = m->next_number++;
        g_queue_push_tail_link(&m->changes, &p->link);
        if (m->term.follows) {
                member_send(m, &m->term.session, (MemberMessage) {
                        .type = MEMBER_MESSAGE_CHANGE,
                        .number = p->number,
                        .change = p->change,
                        .base = p->base,
                });
                return;
        }

        status = carry_out(m, &p->change, p->base, &zxid);
        if (status != CONVENE_OK)
                finish(m, p, status);
        else
                wait_for_entry(m, p, zxid);
}

void change_on_answer(Member *m, const MemberMessage *message) {
        for (GList *i = m->changes.head; i; i = i->next) {
                Pending *p = i->data;

                if (p->number != message->number || p->state != PENDING_ANSWER)
                        continue;

                if (message->type == MEMBER_MESSAGE_CHANGED)
                        wait_for_entry(m, p, message->zxid);
                else
                        finish(m, p, message->status == CONVENE_OK ? CONVENE_SYSTEM_ERROR : message->status);
                return;
        }
}

void change_on_applied(Member *m, Zxid zxid) {
        for (GList *i = m->changes.head, *next; i; i = next) {
                Pending *p = i->data;

                next = i->next;
                if (p->state == PENDING_CONFIG && p->zxid == zxid)
                        confirm(m, p);
        }
}

/* What an earlier leader was asked and has not been applied: whether it will be is not to be waited for. */
void change_on_settled(Member *m) {
        Pending *p;

        while ((p = g_queue_peek_head(&m->changes))) {
                const ZabConfig *c = zab_config(m->zab);

                if (p->state == PENDING_CONFIG && c && c->version == p->zxid)
                        confirm(m, p);
                else
                        finish(m, p, CONVENE_NOT_READY);
        }
}

void member_change(MemberClient *c, uint64_t tag, const MemberChange *change, Zxid base) {
        Member *m = c->member;
        bool known = change->op >= MEMBER_CHANGE_ADD && change->op < _MEMBER_CHANGE_MAX;
        Pending *p;

        member_enter(m);
        p = client_enqueue(c, tag, 0, PENDING_WAIT);
        change_copy(&p->change, change);
        p->base = base;
        if (!known || !member_is_sane(&change->member))
                client_refuse(p, CONVENE_BAD_ARGUMENTS);
        else
                client_make_ready(c);
        member_leave(m);
}
