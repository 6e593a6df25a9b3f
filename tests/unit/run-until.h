/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Run until
 *
 * Drives an event loop until something is true.  What has not come true after half a minute never will.
 */

#include <glib.h>
#include <systemd/sd-event.h>

#define run_until(event, condition)                                                                     \
        do {                                                                                            \
                gint64 run_until_deadline = g_get_monotonic_time() + 30 * G_USEC_PER_SEC;               \
                                                                                                        \
                while (!(condition)) {                                                                  \
                        g_assert_cmpint(g_get_monotonic_time(), <, run_until_deadline);                 \
                        g_assert_cmpint(sd_event_run(event, 1000), >=, 0);                              \
                }                                                                                       \
        } while (0)
