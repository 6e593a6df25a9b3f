/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Absence: this host sleeps or shuts down
 *
 * logind says so first, and waits: leadership of the ensemble, singletons and grants are handed over at the same time, and logind is let go on
 * as soon as all is done, or when it is about to lose its patience.  Nothing is taken back early for that: a holder has its grace and a unit its
 * time to stop, and what is not over by then ends as after a power failure.
 */

#include <inttypes.h>

#include "agent/base/messages.h"
#include "agent/host/logind.h"
#include "agent/main/agent-internal.h"
#include "agent/main/journal.h"

#define MARGIN_MAX_USEC UINT64_C(500000)        /* logind is let go on so long before it would by itself */
#define MARGIN_DIVISOR 10
#define DELAY_MAX_USEC (UINT64_C(3600) * 1000000)

typedef struct Absence {
        Logind *logind;
        const char *why;                /* as a sentence; NULL: the host stays */
        bool transfers, resigns, yields;        /* being handed over: leadership; singletons; grants */
        bool told;                      /* that there is something to hand over */
        uint64_t since_usec, delay_usec;
        sd_event_source *limit, *look;
} Absence;

static char *seconds_since(uint64_t since_usec) {
        uint64_t msec = (agent_clock_usec(CLOCK_BOOTTIME) - since_usec) / 1000;

        return g_strdup_printf("%" PRIu64 ".%03us", msec / 1000, (unsigned) (msec % 1000));
}

/* "leadership of the ensemble, 2 singletons, 1 lock or other grant": what is not handed over yet; NULL: nothing. */
static char *describe(const Agent *a) {
        const Absence *ab = a->absence;
        unsigned singletons = a->singletons ? singletons_running(a->singletons) : 0, grants = server_yielding(a->server);
        g_autoptr(GString) text = g_string_new(NULL);

        if (ab->transfers)
                g_string_append(text, ", leadership of the ensemble");
        if (singletons > 0)
                g_string_append_printf(text, ", %u singleton%s", singletons, singletons == 1 ? "" : "s");
        if (grants > 0)
                g_string_append_printf(text, ", %u lock%s or other grant%s", grants, grants == 1 ? "" : "s", grants == 1 ? "" : "s");
        return text->len > 0 ? g_strdup(text->str + 2) : NULL;
}

static void release(Absence *ab) {
        ab->limit = sd_event_source_disable_unref(ab->limit);
        logind_release(ab->logind);
}

static bool is_under_way(const Absence *ab) {
        return ab->transfers || ab->resigns || ab->yields;
}

/* Something is done.  From the event loop, for that may have been noticed inside the member's outward calls. */
static int on_look(sd_event_source *source, void *userdata) {
        Agent *a = userdata;
        Absence *ab = a->absence;
        g_autofree char *took = NULL;

        if (!ab->why || is_under_way(ab) || !ab->limit)
                return 0;
        took = seconds_since(ab->since_usec);
        if (ab->told)
                journal(LOG_NOTICE, CONVENE_MESSAGE_HOST_LEAVES, "All that others wait for is handed over, after %s", took);
        release(ab);
        return 0;
}

static void wake(Absence *ab) {
        (void) sd_event_source_set_enabled(ab->look, SD_EVENT_ONESHOT);
}

static int on_limit(sd_event_source *source, uint64_t usec, void *userdata) {
        Agent *a = userdata;
        g_autofree char *took = seconds_since(a->absence->since_usec), *left = describe(a);

        journal(LOG_WARNING, CONVENE_MESSAGE_HOST_LEAVES, "logind waits no longer (InhibitDelayMaxSec= in logind.conf(5)), and after %s "
                "not everything is handed over: %s; others get it when its time is over", took, left ?: "the ensemble has not confirmed it");
        release(a->absence);
        return 0;
}

static void on_transferred(Agent *a) {
        a->absence->transfers = false;
        wake(a->absence);
}

static void on_resigned(void *userdata) {
        Absence *ab = userdata;

        ab->resigns = false;
        wake(ab);
}

static void on_yielded(void *userdata) {
        Absence *ab = userdata;

        ab->yields = false;
        wake(ab);
}

static void resign(Agent *a) {
        Absence *ab = a->absence;

        ab->resigns = true;
        singletons_stop(a->singletons, ab->why, on_resigned, ab);
}

/* The whole of it is measured and told; a host that has nothing to hand over says nothing. */
static void on_leaves(void *userdata, LogindReason reason, uint64_t delay_usec) {
        Agent *a = userdata;
        Absence *ab = a->absence;
        g_autofree char *what = NULL;

        delay_usec = MIN(delay_usec, DELAY_MAX_USEC);
        ab->why = reason == LOGIND_SLEEP ? "this host is about to sleep" : "this host is about to shut down";
        ab->since_usec = agent_clock_usec(CLOCK_BOOTTIME);
        if (sd_event_add_time_relative(a->event, &ab->limit, CLOCK_BOOTTIME, delay_usec - MIN(delay_usec / MARGIN_DIVISOR, MARGIN_MAX_USEC),
                                       1000, on_limit, a) < 0)
                g_error("cannot add a timer to the event loop");
        ab->transfers = transfer_is_due(a) && !a->retiring;
        what = describe(a);
        ab->told = what;
        if (what)
                journal(LOG_NOTICE, CONVENE_MESSAGE_HOST_LEAVES, "Handing over %s, because %s; logind waits for %" PRIu64 "ms at most", what,
                        ab->why, delay_usec / 1000);

        ab->yields = true;
        server_yield(a->server, on_yielded, ab);
        if (a->singletons && !a->retiring)
                resign(a);
        if (ab->transfers)
                transfer_begin(a, on_transferred);
        wake(ab);
}

/* Timers of CLOCK_BOOTTIME that passed while the host slept have run by now or run before anything new is given: what they find lost is. */
static void on_stays(void *userdata) {
        Agent *a = userdata;
        Absence *ab = a->absence;
        g_autofree char *away = seconds_since(ab->since_usec);

        ab->limit = sd_event_source_disable_unref(ab->limit);
        ab->why = NULL;
        if (ab->told)
                journal(LOG_INFO, CONVENE_MESSAGE_HOST_STAYS, "This host is back after %s, and stands in its elections again", away);
        ab->told = false;
        if (a->retiring)
                return;
        server_resume(a->server);
        if (a->singletons)
                singletons_resume(a->singletons);
}

static void on_refused(void *userdata, const char *why) {
        journal(LOG_WARNING, NULL, "logind does not let convened delay sleep and shutdown: %s; then nothing is handed over in time, and others "
                "wait as after a power failure (is polkit there?)", why);
}

void absence_open(Agent *a) {
        Absence *ab;

        if (a->options->no_system_bus)
                return;
        ab = a->absence = g_new0(Absence, 1);
        ab->logind = logind_new(a->event, &(LogindListener) {
                .leaves = on_leaves,
                .stays = on_stays,
                .refused = on_refused,
                .userdata = a,
        });
        if (sd_event_add_defer(a->event, &ab->look, on_look, a) < 0 || sd_event_source_set_enabled(ab->look, SD_EVENT_OFF) < 0)
                g_error("cannot add a source to the event loop");
}

void absence_set_bus(Agent *a, sd_bus *bus) {
        logind_set_bus(a->absence->logind, bus);
}

void absence_on_singletons(Agent *a) {
        if (a->absence && a->absence->why && !a->retiring)
                resign(a);
}

void absence_done(Agent *a) {
        Absence *ab = g_steal_pointer(&a->absence);

        if (!ab)
                return;
        logind_free(ab->logind);
        sd_event_source_disable_unref(ab->limit);
        sd_event_source_disable_unref(ab->look);
        g_free(ab);
}
