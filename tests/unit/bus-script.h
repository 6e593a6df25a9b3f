/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Bus script
 *
 * A connection to a "broker" whose every word a test says itself: over a pair of sockets, in one event loop, so that nothing
 * happens behind its back.  Hello and AddMatch are answered; each other call waits until the test expects it.
 */

#include <stdbool.h>

#include <glib.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#define BROKER "org.freedesktop.DBus"

typedef struct Script {
        sd_event *event;
        sd_bus *client;                 /* what is tested speaks here */
        sd_bus *broker;                 /* the other end */
        GQueue calls;                   /* sd_bus_message: came, not expected yet */
        GPtrArray *matches;             /* texts */
} Script;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(sd_bus_message, sd_bus_message_unref)

/* Connected, with Hello said. */
Script *script_new(sd_event *event);
Script *script_free(Script *s);
/* The broker's end closes; the client's finds out in the event loop. */
void script_hang_up(Script *s);

/* Runs the event loop until nothing is left to do but to wait. */
void script_settle(Script *s);

/* The next call, which must be `member` of `path`; waits for it. */
sd_bus_message *script_expect(Script *s, const char *path, const char *member);
/* No call has come and none is on its way. */
void script_expect_nothing(Script *s);

/* Answers to a call, which they take; and what is said unasked.  Types and values as sd_bus_message_append(). */
void script_return(Script *s, sd_bus_message *call, const char *types, ...);
void script_fail(Script *s, sd_bus_message *call, const char *error);
void script_signal(Script *s, const char *sender, const char *path, const char *interface, const char *member,
                   const char *types, ...);
/* For messages that a format cannot say. */
sd_bus_message *script_new_signal(Script *s, const char *sender, const char *path, const char *interface,
                                  const char *member);
void script_send(Script *s, sd_bus_message *m);
/* The name's owner changes: the broker says so. */
void script_owner_changed(Script *s, const char *name, const char *old, const char *new);
