/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Logind
 *
 * Tells when this host is about to sleep, to shut down or to reboot, and has logind wait with that: an inhibitor lock of the kind "delay"
 * is held whenever logind is there and neither of these is under way.  Where there is no logind nothing happens; it is never activated.
 */

#include <stdint.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

typedef struct Logind Logind;

typedef enum LogindReason {
        LOGIND_SLEEP,
        LOGIND_SHUTDOWN,                /* reboot as well */
} LogindReason;

typedef struct LogindListener {
        /* The host is about to go.  logind waits until logind_release(), but for `delay_usec` at most. */
        void (*leaves)(void *userdata, LogindReason reason, uint64_t delay_usec);
        /* It has woken up, or does not shut down after all.  The lock is taken again. */
        void (*stays)(void *userdata);
        /* logind does not give the lock; `why` as logind has it.  Said once, until the lock was had. */
        void (*refused)(void *userdata, const char *why);
        void *userdata;
} LogindListener;

Logind *logind_new(sd_event *event, const LogindListener *listener);
Logind *logind_free(Logind *l);                 /* logind waits no longer; NULL allowed, returns NULL */
void logind_set_bus(Logind *l, sd_bus *bus);    /* NULL: the bus is gone; the lock stays */

/* After leaves(): everything is done that logind was to wait for.  Otherwise nothing. */
void logind_release(Logind *l);
