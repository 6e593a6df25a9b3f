/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Listener
 *
 * Accepts connections, and knows how many of them nobody has vouched for yet: at most so many altogether and so many
 * from one address.  Where there is no room for one more the oldest goes that has not said who it is, as an honest one does in
 * milliseconds; if none may go, the newcomer.  Hosts that belong here are not kept out by a crowd of others: they count against
 * their own address alone.
 *
 * Without file descriptors it rests for a moment instead of asking the kernel over and over.
 *
 * Source: reliability 3, rows 27 and 28.
 */

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "agent/net/address.h"

typedef struct NetListener NetListener;

/* A place among those not yet known.  Given back when the connection is authenticated or gone; it may outlive the listener. */
typedef struct NetAdmission NetAdmission;

NetAdmission *net_admission_free(NetAdmission *a);      /* NULL allowed, returns NULL */

/* Until net_admission_stays() its place may be given to another: then evict(), which frees it.  Without, it stays. */
void net_admission_set_evict(NetAdmission *a, void (*evict)(void *userdata), void *userdata);
void net_admission_stays(NetAdmission *a);

typedef struct NetListenerHandler {
        /* Takes `fd` (non-blocking) and the admission. */
        void (*accepted)(void *userdata, int fd, const NetAddress *from, NetAdmission *admission);
        /* Whether this host belongs here; NULL: none does. */
        bool (*known)(void *userdata, const NetAddress *from);
        /* There was no room for one from there, and somebody had to go.  May be NULL. */
        void (*crowded)(void *userdata, const NetAddress *from);
        void *userdata;
} NetListenerHandler;

typedef struct NetListenerOptions {
        unsigned pending_max;           /* 0: 256 */
        unsigned pending_of_host_max;   /* 0: 64 */
        uint64_t rest_usec;             /* after EMFILE and the like; 0: 100 ms */
} NetListenerOptions;

/* 0 or -errno. */
int net_listener_new(sd_event *event, const NetAddress *address, const NetListenerOptions *options,
                     const NetListenerHandler *handler, NetListener **ret);
NetListener *net_listener_free(NetListener *l);         /* NULL allowed, returns NULL */

/* With the port that the kernel chose. */
const NetAddress *net_listener_address(const NetListener *l);

typedef struct NetListenerStatistics {
        uint64_t accepted, rests;
        uint64_t refused;               /* closed for lack of room: newcomers, and those who went for one */
        unsigned pending;
} NetListenerStatistics;

void net_listener_get_statistics(const NetListener *l, NetListenerStatistics *ret);
