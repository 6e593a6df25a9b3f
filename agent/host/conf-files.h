/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Files *.conf of several directories
 *
 * A file hides those of the same name in later directories; if it is empty or a link to /dev/null, it does only that.
 */

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

/* Understands the text of one file: what it stands for, or NULL and a sentence that names the file in *ret_error (g_free), or NULL and no
 * error for a text that only hides. */
typedef void *(*ConfFileParse)(const char *path, const char *text, size_t size, char **ret_error);

/* Adds what every file that counts stands for to `files`, in no order, and a sentence (g_free) for each one that is wrong to `errors`.
 * Earlier directories win; one that does not exist has no files. */
void conf_files_load(const char *const *directories, ConfFileParse parse, GPtrArray *files, GPtrArray *errors);

/* Only blank lines and comments, if anything. */
bool conf_text_is_mask(const char *text, size_t size);

/* Splits at white space, without empty words. */
char **conf_split_words(const char *value);

/* Calls `take` for each key of the only group that such a file has, with its last value, stripped; keys and groups that begin with X- are passed over.
 * `take` returns NULL, or why the value is no good; the sentence may live in *keep (g_free).  Returns NULL, or a sentence that names file,
 * key and value (g_free). */
char *conf_take_all(const char *path, GKeyFile *k, const char *group,
                    const char *(*take)(void *userdata, GKeyFile *k, const char *key, const char *value, char **keep), void *userdata);

/* The text as key file; NULL and no error for a mask. */
GKeyFile *conf_text_parse(const char *path, const char *text, size_t size, char **ret_error);
