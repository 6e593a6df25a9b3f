/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Text forms of ids.
 */

#include <glib.h>

#include "agent/member/member.h"

#define ID128_TEXT_BYTES 33

static inline const char *id128_to_text(const Id128 *id, char text[static ID128_TEXT_BYTES]) {
        for (unsigned i = 0; i < sizeof(id->bytes); i++)
                g_snprintf(text + 2 * i, 3, "%02x", id->bytes[i]);
        return text;
}
