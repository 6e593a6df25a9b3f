/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Transfer
 *
 * What: leadership handed over: proposals stop, the successor gets everything, is told to campaign, and wins because the
 *     others may vote for it though they hear their leader.
 * Rules it keeps: the successor is a voter of every configuration in force with the whole log durable; if nobody has
 *     taken over within the election timeout this member leads on, unless it has been removed (2.13.5).
 * Source: protocol 2.7 (transfer_epoch), 2.13.
 */

#include "agent/zab/zab-internal.h"

#include <errno.h>

bool transfer_stops_proposals(const Zab *z) {
        const ZabConfig *newest = zab_pending_config(z) ?: z->config;

        /* 2.13.5: a leader that is on its way out proposes nothing after the configuration that says so. */
        return z->transfer.sid != 0 || !zab_config_has_voter(newest, z->options.sid, &z->options.disk_id);
}

static bool is_candidate(const Zab *z, const Peer *p) {
        if (!p || p->conn == 0 || !p->stream.newleader_acked || !zab_config_has_voter(z->config, p->sid, &p->disk_id))
                return false;

        for (guint i = 0; i < z->pending_configs->len; i++)
                if (!zab_config_has_voter(g_array_index(z->pending_configs, PendingConfig, i).config, p->sid, &p->disk_id))
                        return false;

        return true;
}

static uint32_t best(const Zab *z) {
        const Peer *p, *found = NULL;

        for (unsigned at = 0; (p = peer_next(z, &at));)
                if (is_candidate(z, p) && (!found || p->stream.acked > found->stream.acked))
                        found = p;

        return found ? found->sid : 0;
}

static void begin(Zab *z, uint32_t sid) {
        z->transfer.sid = sid;
        z->transfer.told = false;
        z->transfer.deadline_usec = z->now_usec + z->options.election_timeout_usec;
}

int transfer_request(Zab *z, uint32_t sid) {
        if (z->role != ZAB_ROLE_LEADER || z->transfer.sid != 0)
                return -EAGAIN;

        if (sid == 0)
                sid = best(z);
        if (sid == 0 || sid > ZAB_CONFIG_MEMBERS_MAX || !is_candidate(z, z->peers[sid]))
                return -ENOENT;

        begin(z, sid);
        return 0;
}

/* 2.13.5 */
void transfer_when_removed(Zab *z) {
        uint32_t sid;

        if (z->role != ZAB_ROLE_LEADER || z->transfer.sid != 0 ||
            zab_config_has_voter(z->config, z->options.sid, &z->options.disk_id))
                return;

        sid = best(z);
        if (sid != 0)
                begin(z, sid);
        else
                lead_step_down(z, 0, "this member was removed from the ensemble");
}

static void tell(Zab *z, Peer *p) {
        z->transfer.told = true;
        z->transfer.deadline_usec = z->now_usec + z->options.election_timeout_usec;
        stream_send(z, p, &(ZabMessage) { .type = ZAB_MESSAGE_TIMEOUT_NOW });
        stream_done(z, p);              /* the last message of its session (follow.c) */
}

static void give_up(Zab *z) {
        Peer *p = z->peers[z->transfer.sid];

        if (!zab_config_has_voter(z->config, z->options.sid, &z->options.disk_id)) {
                lead_step_down(z, 0, "this member was removed from the ensemble");
                return;
        }

        /* 2.6: a new session needs a new connection. */
        if (z->transfer.told && p->conn != 0)
                peer_close(z, p, "it did not take over");
        p->heard_usec = z->now_usec;    /* it was not expected to say anything */
        z->transfer.sid = 0;
        z->effects.role_changed(z->effects.userdata, z->role, z->epoch, "nobody took over: this member leads on");
}

void transfer_advance(Zab *z) {
        Peer *p = z->transfer.sid != 0 ? z->peers[z->transfer.sid] : NULL;

        if (!p || z->transfer.told)
                return;

        if (!is_candidate(z, p))
                give_up(z);             /* it has gone */
        else if (p->stream.acked == z->last.index && z->commit == z->last.index)
                tell(z, p);
}

void transfer_on_tick(Zab *z) {
        if (z->transfer.sid != 0 && z->now_usec >= z->transfer.deadline_usec)
                give_up(z);
}
