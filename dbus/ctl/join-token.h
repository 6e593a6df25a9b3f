/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Join token
 *
 * Whether a word is a token as a member printed it, so that a mistyped one is found out before anything is changed.  What is
 * in it is between agents.
 */

#include <stdbool.h>

/* False with a static part of a sentence. */
bool join_token_is_intact(const char *token, const char **ret_why);
