/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Options
 *
 * Every option of every command, in one table: it drives parsing, --help, completion and the check of the man page.
 */

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "dbus/ctl/text.h"

typedef enum OptionId {
        /* of every command */
        OPTION_HELP,
        OPTION_PROGRAM_VERSION,
        OPTION_JSON,
        OPTION_QUIET,
        OPTION_ADDRESS,
        OPTION_SYSTEM,
        OPTION_TIMEOUT,
        _OPTION_COMMON_MAX,

        /* of some */
        OPTION_SUPER = _OPTION_COMMON_MAX,
        OPTION_LINEARIZABLE,
        OPTION_RECURSIVE,
        OPTION_LONG,
        OPTION_DEPTH,
        OPTION_WITH_DATA,
        OPTION_EPHEMERAL,
        OPTION_SEQUENTIAL,
        OPTION_CONTAINER,
        OPTION_TTL,
        OPTION_PARENTS,
        OPTION_NULL,
        OPTION_ACL,
        OPTION_UNIT,
        OPTION_SESSION_TIMEOUT,
        OPTION_IF_VERSION,
        OPTION_IF_CZXID,
        OPTION_SINCE,
        OPTION_COUNT,
        OPTION_PATH,
        OPTION_DATA,
        OPTION_ROOT,
        OPTION_NO_RELOAD,
        OPTION_LIFETIME,
        OPTION_LISTEN,
        OPTION_ADVERTISE,
        OPTION_DISCARD,
        OPTION_YES,
        OPTION_SHARED,
        OPTION_SLOTS,
        OPTION_TRY,
        OPTION_HOLDER,
        OPTION_EXPECT,
        OPTION_AS,
        OPTION_ORDERED,
        OPTION_TRIES,
        OPTION_QUORUM,
        OPTION_VALUE,
        OPTION_GONE,
        OPTION_CHILDREN,
        OPTION_RELOAD,
        OPTION_RESTART,
        OPTION_MODE,
        OPTION_STOP_TIMEOUT,
        OPTION_STAND_BACK,
        OPTION_COPIES,
        OPTION_PREFER,
        OPTION_PRIORITY,
        _OPTION_MAX,
} OptionId;

#define OPTION_BIT(id) (UINT64_C(1) << (id))

typedef struct Options {
        bool help, program_version, json, quiet, system;
        char *address;
        uint64_t timeout_msec;

        bool super, linearizable, recursive, long_listing, with_data;
        bool ephemeral, sequential, container, parents, null_value, no_reload, discard, yes, shared, try_only, ordered;
        uint64_t ttl_msec, session_timeout_msec, lifetime_msec, stop_timeout_msec, stand_back_msec;         /* 0: not given */
        bool quorum, gone;
        uint64_t depth, count, slots, tries, children, copies, priority;  /* 0: not given */
        int32_t if_version;                             /* -1: any */
        Zxid if_czxid, since;                           /* 0: not given */
        GPtrArray *acl;                                 /* AclItem, never NULL */
        GPtrArray *prefer;                              /* strings, never NULL */
        char *unit, *path, *data, *root, *listen, *advertise, *holder, *expect, *as, *value, *reload, *restart, *mode;

        uint64_t given;                                 /* OPTION_BIT()s */
        char **arguments;                               /* the command first; NULL-terminated */
        unsigned arguments_count;
        char **command;                                 /* what followed "--", or NULL */
} Options;

void options_init(Options *o);
void options_done(Options *o);

/* Parses a whole command line, argv[0] included.  Everything before "--" that is no option is an argument.  On a
 * mistake returns false with a sentence in *ret_error. */
bool options_parse(Options *o, int argc, char **argv, char **ret_error);

typedef struct OptionSpec {
        const char *name;               /* long, without dashes */
        char letter;                    /* 0: none */
        const char *argument;           /* what to call it in help; NULL: takes none */
        const char *help;
} OptionSpec;

const OptionSpec *option_spec(OptionId id);
