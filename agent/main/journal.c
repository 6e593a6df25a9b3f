/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Journal
 */

#include "agent/main/journal.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <systemd/sd-daemon.h>
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#define FIELDS_MAX 16

static void field(struct iovec *v, unsigned *n, const char *text) {
        g_return_if_fail(*n < FIELDS_MAX);
        v[(*n)++] = (struct iovec) { (char *) text, strlen(text) };
}

void journal_send(int priority, const char *message_id, const char *const *fields, const char *format, ...) {
        g_autofree char *text = NULL, *message = NULL;
        char level[] = "PRIORITY=0";
        struct iovec v[FIELDS_MAX];
        unsigned n = 0;
        va_list ap;

        va_start(ap, format);
        text = g_strdup_vprintf(format, ap);
        va_end(ap);

        if (!getenv("JOURNAL_STREAM")) {
                fprintf(stderr, "convened: %s\n", text);
                return;
        }

        message = g_strconcat("MESSAGE=", text, NULL);
        level[sizeof(level) - 2] = '0' + priority;
        field(v, &n, message);
        field(v, &n, level);
        field(v, &n, "SYSLOG_IDENTIFIER=convened");
        if (message_id)
                field(v, &n, message_id);
        for (; fields && *fields; fields++)
                field(v, &n, *fields);
        (void) sd_journal_sendv(v, n);
}

void journal_last_words(const char *message_id, const char *format, ...) {
        g_autofree char *text = NULL;
        va_list ap;

        va_start(ap, format);
        text = g_strdup_vprintf(format, ap);
        va_end(ap);

        journal(LOG_CRIT, message_id, "%s", text);
        (void) sd_notifyf(false, "STATUS=%s", text);
}
