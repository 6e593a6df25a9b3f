/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Specifiers of presence files (presence.h lists them).  Pure.
 */

#include "agent/host/presence.h"

/* NULL, or why the template is no good; the sentence may live in *keep (g_free). */
const char *specifiers_check(const char *template, char **keep);

/* Stores the expanded text in *ret (g_free) and returns NULL, or returns why it cannot be. The template must have
 * passed specifiers_check(). */
const char *specifiers_expand(const char *template, const char *unit, const PresenceHost *host, char **ret);
