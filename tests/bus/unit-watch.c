/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * unit-watch
 *
 * Shows what agent/host/units.c sees on a real system bus: a line for each start and each end of a unit that matches one of the
 * globs, with the wall clock in microseconds, so that a script can compare it with $EPOCHREALTIME and with systemd's own
 * InactiveEnterTimestamp.  It connects again when the bus goes away.
 *
 *     unit-watch GLOB...
 *     unit-watch --pid PID | --name UNIT | --invocation ID     one question, one answer
 */

#include <assert.h>
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <glib.h>

#include "agent/host/units.h"

typedef struct Watch {
        sd_event *event;
        sd_bus *bus;
        Units *units;
        char **globs;
        GHashTable *runs;               /* Run, a set */
        sd_event_source *reconnect;
} Watch;

typedef struct Run {
        Watch *watch;
        char *unit, *id;
        UnitRun *run;
} Run;

static uint64_t now_usec(void) {
        struct timespec t;

        clock_gettime(CLOCK_REALTIME, &t);
        return (uint64_t) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void run_destroy(void *data) {
        Run *run = data;

        unit_run_free(run->run);
        g_free(run->unit);
        g_free(run->id);
        g_free(run);
}

static void on_ended(void *userdata, const char *why) {
        Run *run = userdata;

        printf("%" PRIu64 " ended %s %s (%s)\n", now_usec(), run->unit, run->id, why);
        g_hash_table_remove(run->watch->runs, run);
}

static bool on_wanted(void *userdata, const char *unit) {
        Watch *w = userdata;

        for (char **glob = w->globs; *glob; glob++)
                if (fnmatch(*glob, unit, FNM_NOESCAPE) == 0)
                        return true;
        return false;
}

static void on_started(void *userdata, const UnitFacts *facts) {
        char id[SD_ID128_STRING_MAX];
        Watch *w = userdata;
        Run *run = g_new0(Run, 1);

        run->watch = w;
        run->unit = g_strdup(facts->unit);
        run->id = g_strdup(sd_id128_to_string(facts->invocation, id));
        printf("%" PRIu64 " started %s %s %s\n", now_usec(), run->unit, run->id, facts->active_state);
        g_hash_table_add(w->runs, run);
        run->run = units_watch_run(w->units, facts->unit, facts->invocation, on_ended, run);
}

static int on_reconnect(sd_event_source *source, uint64_t usec, void *userdata);

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Watch *w = userdata;

        fprintf(stderr, "%" PRIu64 " bus lost\n", now_usec());
        units_set_bus(w->units, NULL);
        sd_bus_detach_event(w->bus);
        w->bus = sd_bus_close_unref(w->bus);
        return sd_event_add_time_relative(w->event, &w->reconnect, CLOCK_MONOTONIC, 20000, 1000, on_reconnect, w);
}

static int bus_connect(Watch *w) {
        int r;

        r = sd_bus_open_system(&w->bus);
        if (r < 0)
                return r;
        r = sd_bus_attach_event(w->bus, w->event, SD_EVENT_PRIORITY_NORMAL);
        assert(r >= 0);
        r = sd_bus_match_signal_async(w->bus, NULL, "org.freedesktop.DBus.Local", NULL, "org.freedesktop.DBus.Local",
                                      "Disconnected", on_disconnected, NULL, w);
        assert(r >= 0);
        fprintf(stderr, "%" PRIu64 " bus connected\n", now_usec());
        units_set_bus(w->units, w->bus);
        return 0;
}

static int on_reconnect(sd_event_source *source, uint64_t usec, void *userdata) {
        Watch *w = userdata;

        w->reconnect = sd_event_source_disable_unref(w->reconnect);
        if (bus_connect(w) < 0)
                return sd_event_add_time_relative(w->event, &w->reconnect, CLOCK_MONOTONIC, 20000, 1000, on_reconnect, w);
        return 0;
}

static void on_answer(void *userdata, int error, const UnitFacts *facts) {
        char id[SD_ID128_STRING_MAX];
        Watch *w = userdata;

        if (error < 0)
                printf("%s\n", strerrorname_np(-error));
        else
                printf("%s %s %s\n", facts->unit, sd_id128_to_string(facts->invocation, id), facts->active_state);
        sd_event_exit(w->event, error < 0);
}

static bool ask(Watch *w, const char *what, const char *argument) {
        sd_id128_t id;

        if (g_str_equal(what, "--pid"))
                units_lookup_pid(w->units, atoi(argument), on_answer, w);
        else if (g_str_equal(what, "--name"))
                units_lookup_name(w->units, argument, on_answer, w);
        else if (g_str_equal(what, "--invocation") && sd_id128_from_string(argument, &id) >= 0)
                units_lookup_invocation(w->units, id, on_answer, w);
        else
                return false;
        return true;
}

int main(int argc, char **argv) {
        Watch w = { .globs = argv + 1, .runs = g_hash_table_new_full(NULL, NULL, run_destroy, NULL) };
        sigset_t signals;
        int r;

        setvbuf(stdout, NULL, _IOLBF, 0);
        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigprocmask(SIG_BLOCK, &signals, NULL);
        r = sd_event_default(&w.event);
        assert(r >= 0);
        r = sd_event_add_signal(w.event, NULL, SIGTERM, NULL, NULL);
        assert(r >= 0);

        w.units = units_new(w.event);
        r = bus_connect(&w);
        if (r < 0) {
                fprintf(stderr, "unit-watch: no system bus: %s\n", strerror(-r));
                return 1;
        }
        if (argc == 3 && ask(&w, argv[1], argv[2]))
                w.globs = NULL;
        else
                units_set_started(w.units, on_wanted, on_started, &w);

        r = sd_event_loop(w.event);
        g_hash_table_unref(w.runs);
        units_free(w.units);
        sd_event_source_disable_unref(w.reconnect);
        sd_bus_flush_close_unref(w.bus);
        sd_event_unref(w.event);
        return r < 0 ? 1 : r;
}
