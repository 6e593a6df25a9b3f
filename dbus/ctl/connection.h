/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Connection
 *
 * Where the agent is and how it is asked: one connection, opened when first needed, and one call at a time.
 */

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>
#include <systemd/sd-bus.h>

#include "agent/base/status.h"
#include "dbus/ctl/exit-status.h"
#include "dbus/ctl/options.h"

#define AGENT_NAME "org.convene1"
#define AGENT_PATH "/org/convene1"
#define AGENT_SOCKET "/run/convene/bus"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(sd_bus_message, sd_bus_message_unref)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(sd_bus_error, sd_bus_error_free)

/* One run of convenectl. */
typedef struct Ctl {
        const Options *options;
        sd_bus *bus;                    /* NULL until needed */
        char *where;                    /* the address, for messages */
        bool no_auto_start;             /* completion: an agent that does not run is not started */
        bool hush;                      /* not a word about an agent that is not there: somebody tries again */
} Ctl;

void ctl_done(Ctl *c);

const char *system_bus_address(void);
/* Where it is looked for, by options and environment. */
const char *ctl_address(const Ctl *c);
/* Connects and waits until the connection is ready, for at most the time-out, which is that of each call, too.  Negative
 * errno without a word. */
int bus_open(const char *address, uint64_t timeout_usec, sd_bus **ret);

/* Connects and waits until the connection is ready, for at most the time-out.  Returns negative errno without a
 * word.  Does nothing when there is a connection. */
int ctl_connect(Ctl *c);
/* Drops the connection; the next call makes a new one. */
void ctl_disconnect(Ctl *c);
/* The same with a sentence on standard error if it fails. */
ExitStatus ctl_need_connection(Ctl *c);
void ctl_print_unreachable(const Ctl *c, int error);

/*
 * A call being put together.  Errors stick and are told by call_send(), so that its parts need no checks.
 */
typedef struct Call {
        Ctl *ctl;
        sd_bus_message *message;
        ExitStatus exit;                /* not OK: told already */
        int error;                      /* negative errno of an append */
        bool update;                    /* once sent, its fate is unknown until answered */
        bool in_options;
} Call;

#define CALL_INIT(c) { .ctl = (c) }
void call_done(Call *call);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Call, call_done)

/* `interface`: the part after "org.convene1.". */
void call_begin(Call *call, const char *interface, const char *method);
void call_begin_update(Call *call, const char *interface, const char *method);
void call_begin_at(Call *call, const char *path, const char *interface, const char *method);    /* full names */
void call_append(Call *call, const char *types, ...);
void call_append_bytes(Call *call, const void *data, size_t size);
void call_append_acl(Call *call, const GPtrArray *acl);
void call_open(Call *call, char type, const char *contents);     /* a container; call_close() ends it */
void call_close(Call *call);

/* The a{sv} at the end: open, options, and call_send() closes it.  `super` of the command line is put in by open. */
void call_open_options(Call *call);
void call_option(Call *call, const char *name, const char *type, ...);
void call_option_bytes(Call *call, const char *name, const void *data, size_t size);
void call_option_acl(Call *call, const char *name, const GPtrArray *acl);

/* The whole a{sv} of the Sessions methods; `unit` NULL and `timeout_msec` 0 are left out. */
void call_append_session_options(Call *call, const char *unit, uint64_t timeout_msec);

/* Sends and waits.  On an error prints "convenectl: SUBJECT: what happened (Name)" and returns its exit status. */
ExitStatus call_send(Call *call, const char *subject, sd_bus_message **ret_reply);
/* The same, but an error of the agent's own (org.convene1.Error.*) goes to *ret_status without a word, with
 * EXIT_STATUS_OK. */
ExitStatus call_try(Call *call, const char *subject, sd_bus_message **ret_reply, ConveneStatus *ret_status);

/* The answer is not of the documented form. */
ExitStatus bad_reply(int error);
ExitStatus print_bus_error(const Ctl *c, const char *subject, const sd_bus_error *error, int r, bool update);
