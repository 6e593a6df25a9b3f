/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Agenda
 *
 * What happens next in a simulated world: a heap of events by time, and in the order of entry within one instant, so
 * that a run depends on its seed and on nothing else.  Events are never taken back: each says in `number` what it is
 * about (a run of a host, a connection, a timer), and whoever handles it looks whether that still is.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum EventType {
        EVENT_TICK,                     /* host, run */
        EVENT_DISK,                     /* host, run: the step in work is done */
        EVENT_READ,                     /* host, run: the oldest answer to the member's reads is due */
        EVENT_SLICE,                    /* host, run: the next rows of a checkpoint */
        EVENT_CHECKPOINT,               /* host: begin one */
        EVENT_START,                    /* host: its agent starts */
        EVENT_CRASH,                    /* host, run */
        EVENT_MOMENT,                   /* host, run; number: the moment */
        EVENT_DIAL,                     /* number: the pair */
        EVENT_PERMIT,                   /* number: the pair: may it be connected still? */
        EVENT_UP,                       /* number: the end of a connection */
        EVENT_DOWN,                     /* number: the end of a connection */
        EVENT_DELIVER,                  /* number: the end of a connection that hears */
        EVENT_HEAL_LINKS,               /* number: the partition */
        EVENT_FAULT,
        EVENT_CLIENT,                   /* number: the client */
        EVENT_ADMIN,
        EVENT_PHASE,                    /* host 0: phase 2 begins; 1: how far has it come? */
        EVENT_RECIPE,                   /* host, run: its callers of recipes go on */
        _EVENT_MAX,
} EventType;

typedef struct Event {
        uint64_t at_usec, order;
        EventType type;
        uint32_t host;
        uint64_t number;
} Event;

typedef struct Agenda {
        Event *heap;
        size_t count, allocated;
        uint64_t order;
} Agenda;

void agenda_done(Agenda *a);
void agenda_add(Agenda *a, uint64_t at_usec, EventType type, uint32_t host, uint64_t number);
bool agenda_take(Agenda *a, Event *ret);
