/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Singleton files
 *
 * How a unit that runs on one host of many is to be treated here.  Files *.conf:
 *
 *     [Singleton]
 *     Unit=myapp.service              a unit, or a template for all its instances ("myapp@.service"); required
 *     StopTimeout=1min 30s            how long it may take to stop; required
 *     SessionTimeout=2min             default: 10s.  How long the others wait before they take over from a host that is silent
 *     Copies=1                        default.  On how many hosts it runs at once
 *     PreferredHosts=web1 web2        hosts that go first, in this order
 *     StandBack=10s                   default.  How long this host stays out after the unit has failed here; doubled for
 *     StandBackMax=5min               each further time, up to this
 *
 * Keys that begin with X- are ignored.  A file hides those of the same name in later directories; if it is empty or a link to
 * /dev/null, it does only that.  A file that names the instance goes before one that names its template.
 */

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#define SINGLETON_SESSION_TIMEOUT_DEFAULT_MSEC 10000
#define SINGLETON_STAND_BACK_DEFAULT_MSEC 10000
#define SINGLETON_STAND_BACK_MAX_DEFAULT_MSEC (5 * 60 * 1000)
#define SINGLETON_COPIES_MAX 1000

typedef struct SingletonFile {
        char *file;
        char *unit;
        uint64_t stop_msec, session_msec, stand_back_msec, stand_back_max_msec;
        uint32_t copies;
        char **preferred;
} SingletonFile;

/* Pure: understands the text of one file.  Returns NULL and a sentence that names file, key and value in *ret_error (g_free),
 * or NULL and no error for a text without any line that counts (a mask). */
SingletonFile *singleton_file_parse(const char *file, const char *text, size_t size, char **ret_error);
SingletonFile *singleton_file_copy(const SingletonFile *f);
SingletonFile *singleton_file_free(SingletonFile *f);

typedef struct SingletonSet SingletonSet;

/* Reads every file; never NULL: a file that is wrong is left out, with a sentence about it appended to `errors` (g_free). */
SingletonSet *singleton_set_load(const char *const *directories, GPtrArray *errors);
SingletonSet *singleton_set_free(SingletonSet *s);

/* The file for the unit, or else for its template; among several the first by file name.  NULL: none. */
const SingletonFile *singleton_set_match(const SingletonSet *s, const char *unit);
void singleton_set_foreach(const SingletonSet *s, void (*each)(void *userdata, const SingletonFile *f), void *userdata);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(SingletonFile, singleton_file_free)
