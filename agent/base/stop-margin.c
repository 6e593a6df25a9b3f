/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Stop margin
 */

#include "agent/base/stop-margin.h"

#include <inttypes.h>
#include <string.h>

#include <glib.h>

static uint64_t needed_msec(uint64_t stop_msec, uint64_t heartbeat_msec) {
        return stop_msec + STOP_MARGIN_MSEC + STOP_MARGIN_HEARTBEATS * heartbeat_msec;
}

uint64_t stop_margin_session_msec(uint64_t stop_msec, uint64_t heartbeat_msec) {
        return needed_msec(stop_msec, heartbeat_msec) * 100 / (100 - STOP_MARGIN_DRIFT_PERCENT) + 1;
}

/* As systemd.time(7) has it: "9.9s". */
static char *seconds(uint64_t msec) {
        g_autofree char *fraction = g_strdup_printf(".%03u", (unsigned) (msec % 1000));
        size_t size = strlen(fraction);

        while (size > 1 && fraction[size - 1] == '0')
                size--;
        return g_strdup_printf("%" PRIu64 "%.*ss", msec / 1000, size > 1 ? (int) size : 0, fraction);
}

char *stop_margin_refusal(uint64_t session_msec, uint64_t stop_msec, uint64_t heartbeat_msec) {
        g_autofree char *session = NULL, *stop = NULL, *margin = NULL, *heartbeats = NULL, *sum = NULL, *promise = NULL, *least = NULL;
        uint64_t needed = stop_margin_session_msec(stop_msec, heartbeat_msec);

        if (session_msec >= needed)
                return NULL;
        session = seconds(session_msec);
        stop = seconds(stop_msec);
        margin = seconds(STOP_MARGIN_MSEC);
        heartbeats = seconds(STOP_MARGIN_HEARTBEATS * heartbeat_msec);
        sum = seconds(needed_msec(stop_msec, heartbeat_msec));
        promise = seconds(session_msec * (100 - STOP_MARGIN_DRIFT_PERCENT) / 100);
        least = seconds((needed + 99) / 100 * 100);
        return g_strdup_printf("the unit may take %s to stop; with %s of margin and %s for two heartbeats that is %s, but a session of %s "
                               "promises only %s (1%% less, for clocks that differ); let the unit stop faster (TimeoutStopSec=) or "
                               "give the session at least %s", stop, margin, heartbeats, sum, session, promise, least);
}
