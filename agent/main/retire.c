/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Retiring: what is done before the agent ends
 *
 * An agent that is restarted leaves its singletons running, and the next one finds them; one that is stopped stops them first, and resigns.
 * Which of the two it is, systemd knows: the job that is under way for the agent's own unit says so.  Then a leader of the ensemble
 * hands over, so that nobody waits for an election.
 */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "agent/main/agent-internal.h"

static void on_transferred(Agent *a) {
        agent_end(a, AGENT_EXIT_OK);
}

static void hand_over(void *userdata) {
        transfer_begin(userdata, on_transferred);
}

static void on_job_type(void *userdata, int error, const char *type) {
        Agent *a = userdata;

        a->own_job = NULL;
        if (error >= 0 && g_str_has_suffix(type, "restart")) {
                hand_over(a);
                return;
        }
        (void) sd_notify(false, "STATUS=Stopping the singletons that run here");
        singletons_stop(a->singletons, "the agent stops", hand_over, a);
}

static void on_own_unit(void *userdata, int error, const UnitFacts *facts) {
        Agent *a = userdata;

        a->own_unit = NULL;
        if (error >= 0)
                a->own_job = units_ask_job_type(a->units, facts->unit, on_job_type, a);
        else if (error == -ENOENT && units_available(a->units))
                on_job_type(a, 0, "");          /* it was started by hand */
        else
                hand_over(a);                   /* nothing could be stopped: the guards will see to it */
}

void retire(Agent *a) {
        bool again = a->retiring;

        (void) sd_notify(false, "STOPPING=1");
        a->retiring = true;
        if (!a->member || again)                /* it is joining still; or somebody will not wait */
                agent_end(a, AGENT_EXIT_OK);
        else if (!a->singletons || !singletons_any(a->singletons))
                hand_over(a);
        else
                a->own_unit = units_lookup_pid(a->units, getpid(), on_own_unit, a);
}

void retire_forget(Agent *a) {
        a->own_unit = unit_lookup_cancel(a->own_unit);
        a->own_job = unit_job_cancel(a->own_job);
}
