/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Error
 *
 * The answer that a call did not succeed: org.convene1.Error.NAME and a sentence that says what to do.
 */

#include "dbus/server/channel.h"

#define ERROR_PREFIX "org.convene1.Error."

/* The status's own sentence, with what it is about in brackets (NULL: nothing), and, where the ensemble is the reason, what is the
 * matter with it. */
void reply_error(Channel *ch, sd_bus_message *call, ConveneStatus status, const char *about);

/* A sentence for the occasion. */
void reply_refusal(Channel *ch, sd_bus_message *call, ConveneStatus status, const char *format, ...)
        G_GNUC_PRINTF(4, 5);
