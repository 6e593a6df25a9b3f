/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Setup
 *
 * What "init" and "join" change on a host, and how it is taken back: a drop-in of the configuration, the token, and where the
 * store of an earlier ensemble went.
 */

#include "dbus/ctl/connection.h"

#define SETUP_DROP_IN "/etc/convene/convened.conf.d/50-ensemble.conf"
#define SETUP_TOKEN "/etc/convene/join-token"

typedef struct Setup {
        const Options *options;
        char *drop_in, *token;          /* the files, below --root */
        char *drop_in_before;           /* what it was; NULL: there was none */
        bool drop_in_written, token_written;

        char *name, *data;              /* of this host, as configured */
        char *address;                  /* that others are told; NULL: none */
        char *kept;                     /* where the store is that was in the way; NULL: there was none */
        bool was_up;                    /* the agent, before anything was changed */
} Setup;

/* Finds out that the caller may do this at all. */
ExitStatus setup_begin(Setup *s, const Options *o);
void setup_done(Setup *s);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Setup, setup_done)

/* Writes --listen and --advertise, if given, and reads what is in force then; with --root only the former.  What is wrong is taken
 * back and said.  `founds`: not only a token makes this host a member. */
ExitStatus setup_configure(Setup *s, bool founds);

/* Once this host belongs to an ensemble that others join: if it loses its store, it is not to found another one by itself. */
ExitStatus setup_forbid_founding(Setup *s);

/* A store that says which member this host is. */
bool setup_has_store(const Setup *s);

/* For the agent's user alone, complete or not at all. */
ExitStatus setup_put_token(Setup *s, const char *token);

/* Moves the store aside and makes an empty place for another one.  The agent must not run. */
ExitStatus setup_keep_store(Setup *s);

/* Only for what these commands have made. */
void setup_remove_tree(const char *directory);

/* All of that as it was before. */
void setup_undo(Setup *s);
