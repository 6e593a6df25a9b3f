/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reconfigure
 *
 * What: whether a proposed configuration may become an entry.
 * Rules it keeps: one change at a time; none that would leave the ensemble waiting for members that are not there, for a
 *     pending configuration cannot be taken back (2.13.1, 2.13.2).
 * Not here: what it means for quorums: quorum, lead.
 * Source: protocol 2.13.
 */

#include "agent/zab/zab-internal.h"

#include <errno.h>

static const Peer *synced_peer(const Zab *z, const ZabConfigMember *m) {
        const Peer *p = z->peers[m->sid];

        return p && p->conn != 0 && p->stream.newleader_acked && id128_equal(&p->disk_id, &m->disk_id) ? p : NULL;
}

/* 2.13.2: every added voter, not only a quorum.  Under load each is always a batch behind some other: what was committed one or two
 * heartbeats ago is what it has to have.  One that has promised a later epoch cannot keep that promise as a voter of this one: it
 * may be one once there is a leader of that epoch or a later one. */
static bool added_are_synced(const Zab *z, const ZabConfig *c) {
        for (unsigned i = 0; i < c->members_count; i++) {
                const ZabConfigMember *m = &c->members[i];
                const Peer *p;

                if (m->role != ZAB_MEMBER_VOTER || zab_config_has_voter(z->config, m->sid, &m->disk_id))
                        continue;

                if (m->sid == z->options.sid && id128_equal(&m->disk_id, &z->options.disk_id))
                        continue;

                p = synced_peer(z, m);
                if (!p || (p->stream.listens && !ZAB_BREAK(WAIVED_VOTES)) || p->stream.acked < z->commit_before)
                        return false;
        }

        return true;
}

static uint64_t present(const Zab *z, const Peer *p) {
        return !p || (p->conn != 0 && p->stream.newleader_acked);
}

int reconfigure(Zab *z, const ZabInput *in, Zxid *ret_zxid) {
        g_autoptr(ZabConfig) c = NULL;

        if (z->role != ZAB_ROLE_LEADER || transfer_stops_proposals(z))
                return -EAGAIN;

        c = zab_config_decode(in->payload, 0);
        if (!c || config_brings_disk_back(z, c))
                return -EINVAL;

        if (z->pending_configs->len > 0)
                return -EINPROGRESS;

        if (in->base != 0 && in->base != z->config->version)
                return -ESTALE;

        if ((!added_are_synced(z, c) || quorum_of(z, c, present) == 0) && !ZAB_BREAK(RECONFIGURE_UNSYNCED))
                return -EBUSY;

        return lead_propose(z, ZAB_ENTRY_CONFIG, in->time_msec, in->payload, ret_zxid);
}
