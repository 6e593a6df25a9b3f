/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Error
 */

#include "dbus/server/error.h"

#include <time.h>

#include "dbus/server/server-private.h"

#define ERROR_BYTES 512                 /* about what such a message takes, its text apart */

static void reply_text(Channel *ch, sd_bus_message *call, ConveneStatus status, const char *text) {
        g_autoptr(sd_bus_message) m = NULL;
        g_autofree char *name = g_strconcat(ERROR_PREFIX, convene_status_to_string(status), NULL);

        ch->server->counters.errors++;
        if (sd_bus_message_new_method_errorf(call, &m, name, "%s", text) >= 0)
                (void) channel_send(ch, m, ERROR_BYTES + strlen(text));
}

/* Why this member does not serve, and since when. */
static char *describe_trouble(Channel *ch) {
        MemberStatus status;
        struct timespec now;
        uint64_t now_usec;

        member_get_status(ch->server->member, &status);
        if (!status.trouble)
                return NULL;

        (void) clock_gettime(CLOCK_BOOTTIME, &now);
        now_usec = (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
        return g_strdup_printf("%s; for %" PRIu64 " s now", status.trouble,
                               (now_usec - MIN(now_usec, status.role_since_usec)) / 1000000);
}

void reply_error(Channel *ch, sd_bus_message *call, ConveneStatus status, const char *about) {
        bool is_of_ensemble = status == CONVENE_NOT_READY || status == CONVENE_FATE_UNKNOWN;
        g_autofree char *trouble = is_of_ensemble ? describe_trouble(ch) : NULL;
        GString *text = g_string_new(convene_status_describe(status));

        if (about && *about)
                g_string_append_printf(text, " (%s)", about);
        if (trouble)
                g_string_append_printf(text, ": %s", trouble);
        reply_text(ch, call, status, text->str);
        g_string_free(text, TRUE);
}

void reply_refusal(Channel *ch, sd_bus_message *call, ConveneStatus status, const char *format, ...) {
        g_autofree char *text = NULL;
        va_list ap;

        va_start(ap, format);
        text = g_strdup_vprintf(format, ap);
        va_end(ap);
        reply_text(ch, call, status, text);
}
