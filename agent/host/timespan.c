/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Time spans
 */

#include "agent/host/timespan.h"

#include <string.h>

#include <glib.h>

#define SPACE " \t"

const char *timespan_parse(const char *text, uint64_t *ret_msec) {
        static const struct {
                const char *name;
                uint64_t msec;
        } units[] = { { "ms", 1 }, { "s", 1000 }, { "sec", 1000 }, { "", 1000 }, { "min", 60000 }, { "m", 60000 },
                      { "h", 3600000 }, { "d", 86400000 } };
        uint64_t msec = 0;

        if (*text == '\0')
                return "is empty";
        while (*text != '\0') {
                size_t digits = strspn(text, "0123456789"), letters, gap, i;
                uint64_t n = g_ascii_strtoull(text, NULL, 10);

                if (digits == 0 || digits > 9)
                        return "is no time span such as \"10s\" or \"1min 30s\"";
                text += digits;
                text += strspn(text, SPACE);
                letters = strspn(text, "abcdefghijklmnopqrstuvwxyz");
                for (i = 0; i < G_N_ELEMENTS(units); i++)
                        if (strlen(units[i].name) == letters && strncmp(units[i].name, text, letters) == 0)
                                break;
                text += letters;
                gap = strspn(text, SPACE);
                if (i == G_N_ELEMENTS(units) || (letters == 0 && *text != '\0'))
                        return "is no time span such as \"10s\" or \"1min 30s\"";
                text += gap;
                msec += n * units[i].msec;      /* below 10^9 * 86400000: a few terms cannot wrap */
                if (msec > TIMESPAN_MAX_MSEC)
                        return "is more than a day";
        }
        *ret_msec = msec;
        return NULL;
}
