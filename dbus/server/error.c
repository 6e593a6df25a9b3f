/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Error
 */

#include "dbus/server/error.h"

#include "dbus/server/server-private.h"

#define ERROR_BYTES 512                 /* about what such a message takes, its text apart */

static void reply_text(Channel *ch, sd_bus_message *call, ConveneStatus status, const char *text) {
        g_autoptr(sd_bus_message) m = NULL;
        g_autofree char *name = g_strconcat(ERROR_PREFIX, convene_status_to_string(status), NULL);

        ch->server->counters.errors++;
        if (sd_bus_message_new_method_errorf(call, &m, name, "%s", text) >= 0)
                (void) channel_send(ch, m, ERROR_BYTES + strlen(text));
}

void reply_error(Channel *ch, sd_bus_message *call, ConveneStatus status, const char *about) {
        const char *sentence = convene_status_describe(status);
        g_autofree char *text = about && *about ? g_strdup_printf("%s (%s)", sentence, about) : g_strdup(sentence);

        reply_text(ch, call, status, text);
}

void reply_refusal(Channel *ch, sd_bus_message *call, ConveneStatus status, const char *format, ...) {
        g_autofree char *text = NULL;
        va_list ap;

        va_start(ap, format);
        text = g_strdup_vprintf(format, ap);
        va_end(ap);
        reply_text(ch, call, status, text);
}
