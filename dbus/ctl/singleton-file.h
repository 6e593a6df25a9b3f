/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Singleton files
 *
 * What "singleton enable" writes: the settings, as convene.singleton(5) has them, and the drop-ins that tie units to their
 * host's leadership.
 */

#include "dbus/ctl/connection.h"

#define SESSION_TIMEOUT_DEFAULT_MSEC 10000

typedef struct SingletonSettings {
        char *unit;
        uint64_t session_timeout_msec, stop_timeout_msec, stand_back_msec;      /* 0: not given */
        uint64_t copies;                                                        /* 0: not given */
        char *preferred_hosts;          /* separated by spaces; NULL: none */
} SingletonSettings;

void singleton_settings_done(SingletonSettings *s);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SingletonSettings, singleton_settings_done)

char *singleton_settings_path(const char *unit);
char *singleton_drop_in_path(const char *unit);

/* `text` NULL: there is no file yet.  What cannot be read counts as not given. */
void singleton_settings_parse(const char *text, SingletonSettings *ret);
/* `before`: the text that there was, in which other keys and comments stay; NULL, or one that cannot be read: a new file. */
char *singleton_settings_format(const SingletonSettings *s, const char *before);
/* What the command line gives replaces what there was.  False with a sentence if it is no good. */
bool singleton_settings_take(SingletonSettings *s, const Options *o, char **ret_error);

/* How a unit was before it became a singleton, and what it is to be tied to. */
typedef struct SingletonDropIn {
        const char *unit;               /* that the drop-in is of */
        const char *leader;             /* the singleton: another unit for a service that it triggers */
        const char *file_state;         /* of the unit before; NULL: its links stay as they are */
        uint64_t stage_msec;            /* --stop-timeout= */
        uint64_t stop_usec, abort_usec; /* of one stage as it is, which is what it stays at without that; 0: not known */
} SingletonDropIn;

char *singleton_drop_in_format(const SingletonDropIn *d);
/* NULL if the text is of no drop-in of ours, or does not say it; owned by the caller. */
char *singleton_drop_in_file_state(const char *text);
char *singleton_drop_in_leader(const char *text);
uint64_t singleton_drop_in_stop_timeout_msec(const char *text);         /* 0: none */
