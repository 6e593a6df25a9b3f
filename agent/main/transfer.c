/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Transfer: leadership of the ensemble goes to another member, before this one is away
 *
 * So nobody has to find out that the leader is gone, and waits for an election.
 */

#include "agent/main/agent-internal.h"

#define PATIENCE_USEC UINT64_C(1000000)

static void finish(Agent *a) {
        void (*done)(Agent *a) = g_steal_pointer(&a->transferred);

        a->transfer_deadline = sd_event_source_disable_unref(a->transfer_deadline);
        if (done)
                done(a);
}

static void on_asked(void *userdata, const Result *result) {
        if (result->status != CONVENE_OK)
                finish(userdata);               /* there is nobody to take it */
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        finish(userdata);
        return 0;
}

bool transfer_is_due(const Agent *a) {
        MemberStatus s;

        if (!a->member)
                return false;
        member_get_status(a->member, &s);
        return s.role == ZAB_ROLE_LEADER && s.config && zab_config_voters(s.config) >= 2;
}

void transfer_begin(Agent *a, void (*done)(Agent *a)) {
        a->transfer_deadline = sd_event_source_disable_unref(a->transfer_deadline);
        a->transferred = done;
        if (!transfer_is_due(a) ||
            sd_event_add_time_relative(a->event, &a->transfer_deadline, CLOCK_BOOTTIME, PATIENCE_USEC, 0, on_deadline, a) < 0)
                finish(a);
        else
                own_change(a->own, &(MemberChange) { .op = MEMBER_CHANGE_TRANSFER }, on_asked, a);
}

void transfer_on_role(Agent *a, ZabRole role) {
        if (a->transferred && role != ZAB_ROLE_LEADER)
                finish(a);
}

void transfer_forget(Agent *a) {
        a->transferred = NULL;
        a->transfer_deadline = sd_event_source_disable_unref(a->transfer_deadline);
}
