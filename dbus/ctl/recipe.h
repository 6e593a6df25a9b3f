/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the commands of recipes share.
 */

#include "dbus/ctl/connection.h"
#include "dbus/ctl/guard.h"
#include "dbus/ctl/json.h"
#include "dbus/ctl/output.h"

/* Into open options: how long the agent waits, by --timeout and --try; the answer may take a little longer. */
void append_patience(Call *call);

/* The options of a read. */
void append_read_options(Call *call);
/* Into open options: all that every grant knows. */
void append_grant_options(Call *call);
/* Sends the call that asks for one.  *ret_reply (may be NULL): where the answer goes on. */
ExitStatus granted_receive(Call *call, const char *subject, Granted *ret, sd_bus_message **ret_reply);
/* False, with a sentence, if no command stands behind "--". */
bool need_command(const Ctl *c);

/* Has leadership go to another host ("": any), with a method that answers with the host that leads then, and prints that. */
ExitStatus hand_over(Ctl *c, const char *interface, const char *method, const char *name, const char *host, const char *subject);

/* From now to this instant of CLOCK_BOOTTIME; 0 if it is over. */
uint64_t boottime_left_msec(uint64_t until_usec);

/* Reads a row, and adds it to the array or, if that is NULL, to the table.  Positive: there was one; 0: they are at an end. */
typedef int (*OnRow)(sd_bus_message *reply, JsonObject *array, Table *table);

/* Sends the call, and prints the rows (each of the type `row`) that are its answer. */
ExitStatus print_rows(Call *call, const char *subject, const char *row, OnRow read_row, Table *table);
/* As the options want it; `more`: the agent had more than one answer holds. */
ExitStatus print_list(Ctl *c, JsonObject *array, const Table *table, bool more);
