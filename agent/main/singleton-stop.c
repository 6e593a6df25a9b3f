/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Singleton: whether its unit stops as fast as was promised
 *
 * The drop-in of "convenectl singleton enable" keeps the unit to StopTimeout=, but units are edited, and settings are written by hand.  It is a
 * doubt and no refusal: systemd's time is one of several that make up a stop, and what is promised is for an administrator to say.
 */

#include <inttypes.h>

#include "agent/base/messages.h"
#include "agent/main/singletons-internal.h"

static char *describe(const Singleton *s, uint64_t usec) {
        uint64_t msec = usec / 1000, promised = s->file->stop_msec;
        g_autofree char *takes = usec == UINT64_MAX ? g_strdup("for ever") : g_strdup_printf("%" PRIu64 ".%03us", msec / 1000, (unsigned) (msec % 1000));

        return g_strdup_printf("a stop of %s may take %s (TimeoutStopSec=), and StopTimeout= in %s promises %" PRIu64 ".%03us: two could run at "
                               "once; run \"convenectl singleton enable %s\" again", s->unit, takes, s->file->file, promised / 1000,
                               (unsigned) (promised % 1000), s->unit);
}

static void on_told(void *userdata, int error, const char *text) {
        Singleton *s = userdata;
        g_autofree char *before = NULL;
        guint64 usec;

        s->measuring = NULL;
        if (error < 0 || !s->file)
                return;                 /* asked again when it stands the next time */
        before = g_steal_pointer(&s->doubt);
        if (!g_ascii_string_to_unsigned(text, 10, 0, UINT64_MAX, &usec, NULL) || usec / 1000 <= s->file->stop_msec)
                return;
        s->doubt = describe(s, usec);
        if (g_strcmp0(before, s->doubt) != 0)
                singleton_tell(s, LOG_WARNING, CONVENE_MESSAGE_CONFIGURATION, s->doubt);
}

void singleton_check_stop(Singleton *s) {
        unit_job_cancel(s->measuring);
        s->measuring = units_ask_stop_timeout(s->all->units, s->unit, on_told, s);
}
