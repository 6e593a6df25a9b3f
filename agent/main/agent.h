/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Agent
 *
 * Birth, life and death of everything in convened: event loop, store, member, fronts, host.
 */

#include <stdbool.h>

#include "agent/main/conf.h"

/* What this program can do, as a number that grows with what members must agree on.  An ensemble is at a level from its founding, and
 * lets nobody in who can do less.  (The tests build one of the next level.) */
#ifndef FEATURE_LEVEL
#define FEATURE_LEVEL 1
#endif

/* What the command line decides. */
typedef struct AgentOptions {
        const char *conf_file;          /* NULL: the system's */
        const char *data;               /* NULL: as configured */
        const char *socket;             /* path of a socket to make; NULL: as handed over by systemd */
        const char *bus_address;        /* NULL: the system bus */
        const char *pid_file;
        const char *listen;             /* "address:port" for other members; NULL: as configured */
        const char *join_file;          /* a file with a token: join its ensemble if there is no store yet; with "-" before it: if
                                         * the file is there; NULL: found one */
        bool no_system_bus;
        bool print_ready;
        bool accept_loss;
} AgentOptions;

/* Exit statuses of convened(8). */
enum {
        AGENT_EXIT_OK = 0,
        AGENT_EXIT_FAILURE = 1,
        AGENT_EXIT_USAGE = 2,
        AGENT_EXIT_DAMAGED = 65,        /* EX_DATAERR */
        AGENT_EXIT_IO = 74,             /* EX_IOERR */
        AGENT_EXIT_CONFIGURATION = 78,  /* EX_CONFIG */
};

/* Runs until told to stop; returns an exit status. */
int agent_run(const AgentOptions *options);
