/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Status
 *
 * What an operator sees, and in one sentence why requests are not answered.
 */

#include <string.h>

#include "agent/member/member-internal.h"

static const char *name_of(const Member *m, uint32_t sid) {
        const ZabConfig *c = zab_config(m->zab);
        const ZabConfigMember *member = c ? zab_config_find(c, sid) : NULL;

        return member && *member->name ? member->name : NULL;
}

static void append_name(const Member *m, GString *s, uint32_t sid) {
        const char *name = name_of(m, sid);

        if (name)
                g_string_append(s, name);
        else
                g_string_append_printf(s, "member %u", sid);
}

static bool belongs(const Member *m, const ZabConfig *c) {
        const ZabConfigMember *self = zab_config_find(c, m->options.zab.sid);

        return self && memcmp(&self->disk_id, &m->options.zab.disk_id, sizeof(self->disk_id)) == 0;
}

static void say_no_leader(const Member *m, GString *s) {
        const ZabConfig *c = zab_config(m->zab);
        unsigned missing = 0;

        if (!c) {
                g_string_append(s, "no leader: this member does not know the ensemble yet");
                return;
        }

        if (!belongs(m, c) && (!zab_pending_config(m->zab) || !belongs(m, zab_pending_config(m->zab)))) {
                g_string_append(s, "removed: the ensemble has gone on without this member");
                return;
        }

        for (unsigned i = 0; i < c->members_count; i++) {
                const ZabConfigMember *v = &c->members[i];

                if (v->role != ZAB_MEMBER_VOTER || v->sid == m->options.zab.sid || m->connections[v->sid] != 0)
                        continue;
                g_string_append(s, missing++ == 0 ? "no leader: not connected to " : ", ");
                append_name(m, s, v->sid);
        }

        if (missing == 0)
                g_string_append(s, "no leader: an election is under way");
        else
                g_string_append_printf(s, "; %u of %u voters are needed", zab_config_quorum(c), zab_config_voters(c));
}

static void say_trouble(const Member *m, GString *s) {
        const ZabMeta *meta = zab_meta(m->zab);

        switch (zab_role(m->zab)) {

        case ZAB_ROLE_STOPPED:
                g_string_append_printf(s, "stopped: %s", m->role_reason ?: "not started yet");
                return;

        case ZAB_ROLE_LEADER_SYNC:
                g_string_append(s, "elected: waits until a quorum has the same history");
                return;

        case ZAB_ROLE_FOLLOWER_HELLO:
        case ZAB_ROLE_FOLLOWER_SYNC:
                g_string_append(s, "being brought up to date by ");
                append_name(m, s, zab_leader(m->zab));
                return;

        case ZAB_ROLE_LEADER:
        case ZAB_ROLE_FOLLOWER:
                g_string_append(s, !m->settled ? "applies what was agreed before" :
                                "the disk is full: updates are refused until there is room for the log");
                return;

        default:
                break;
        }

        if (meta->membership == ZAB_MEMBERSHIP_DAMAGED)
                g_string_append(s, "damaged: waits for a leader elected without this member to repair it");
        else if (meta->membership == ZAB_MEMBERSHIP_BLANK)
                g_string_append(s, "blank: neither initialised nor joined to an ensemble");
        else
                say_no_leader(m, s);
}

void member_get_status(const Member *m, MemberStatus *ret) {
        bool serving = member_is_serving(m) && m->space_available;

        g_string_truncate(m->trouble, 0);
        if (!serving)
                say_trouble(m, m->trouble);

        *ret = (MemberStatus) {
                .role = zab_role(m->zab),
                .epoch = zab_epoch(m->zab),
                .sid = m->options.zab.sid,
                .leader = zab_leader(m->zab),
                .parent = zab_parent(m->zab),
                .cluster_id = m->options.zab.cluster_id,
                .zxid = tree_zxid(m->tree),
                .last_index = zab_last(m->zab)->index,
                .commit_index = zab_commit(m->zab),
                .applied_index = m->applied_index,
                .durable_index = zab_durable(m->zab),
                .role_since_usec = m->role_since_usec,
                .serving = serving,
                .voter = zab_is_voter(m->zab),
                .base_index = zab_base(m->zab),
                .trouble = serving ? NULL : m->trouble->str,
                .space_available = m->space_available,
                .config = zab_config(m->zab),
                .pending_config = zab_pending_config(m->zab),
        };
}

bool member_get_peer(const Member *m, uint32_t sid, ZabPeerState *ret) {
        return zab_peer(m->zab, sid, ret);
}

void member_get_statistics(const Member *m, MemberStatistics *ret) {
        *ret = m->statistics;
        ret->clients = m->clients.length;
        ret->outstanding = m->outstanding;
        ret->watches = watch_table_count(m->watches);
        ret->watch_paths = watch_table_paths_count(m->watches);
        ret->watchers = watch_table_watchers_count(m->watches);
        ret->history_floor = change_history_floor(m->history);
}
