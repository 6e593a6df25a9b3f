/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Journal
 *
 * Datagrams of the journal's native protocol.  libsystemd would wait where journald is stopped or slow, and with it the whole agent:
 * its leadership is lost, and then the watchdog kills it.  Here what is not taken at once is lost, counted, and told later.
 */

#include "agent/main/journal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <systemd/sd-daemon.h>

#define SOCKET "/run/systemd/journal/socket"

static struct {
        const char *path;               /* NULL: SOCKET */
        int fd;                         /* 0: not yet */
        uint64_t lost, lost_and_told;
} journald;

void journal_use_socket(const char *path) {
        journald.path = path;
}

uint64_t journal_lost(void) {
        return journald.lost;
}

/* The socket stays unconnected: journald may be started anew. */
static bool transmit(const GString *datagram) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        ssize_t n;

        if (journald.fd <= 0)
                journald.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (journald.fd <= 0)
                return false;

        g_strlcpy(sa.sun_path, journald.path ?: SOCKET, sizeof(sa.sun_path));
        do
                n = sendto(journald.fd, datagram->str, datagram->len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *) &sa, sizeof(sa));
        while (n < 0 && errno == EINTR);
        return n >= 0;
}

/* A value of several lines has its size before it. */
static void add_field(GString *datagram, const char *name, const char *value) {
        size_t size = strlen(value);
        uint64_t size_le = GUINT64_TO_LE(size);

        g_string_append(datagram, name);
        if (strchr(value, '\n')) {
                g_string_append_c(datagram, '\n');
                g_string_append_len(datagram, (const char *) &size_le, sizeof(size_le));
        } else
                g_string_append_c(datagram, '=');
        g_string_append_len(datagram, value, size);
        g_string_append_c(datagram, '\n');
}

/* As "NAME=value". */
static void add_assignment(GString *datagram, const char *assignment) {
        const char *is = strchr(assignment, '=');
        g_autofree char *name = NULL;

        g_return_if_fail(is);
        name = g_strndup(assignment, is - assignment);
        add_field(datagram, name, is + 1);
}

static bool transmit_message(int priority, const char *message_id, const char *const *fields, const char *text) {
        g_autoptr(GString) datagram = g_string_new(NULL);
        const char level[] = { '0' + priority, 0 };

        add_field(datagram, "MESSAGE", text);
        add_field(datagram, "PRIORITY", level);
        add_field(datagram, "SYSLOG_IDENTIFIER", "convened");
        if (message_id)
                add_assignment(datagram, message_id);
        for (; fields && *fields; fields++)
                add_assignment(datagram, *fields);
        return transmit(datagram);
}

/* False: not even that is taken. */
static bool tell_lost(void) {
        g_autofree char *text = NULL;

        if (journald.lost == journald.lost_and_told)
                return true;

        text = g_strdup_printf("%" G_GUINT64_FORMAT " messages before this one are lost, as the journal did not take them",
                               journald.lost - journald.lost_and_told);
        if (!transmit_message(LOG_WARNING, NULL, NULL, text))
                return false;
        journald.lost_and_told = journald.lost;
        return true;
}

void journal_send(int priority, const char *message_id, const char *const *fields, const char *format, ...) {
        g_autofree char *text = NULL;
        va_list ap;

        va_start(ap, format);
        text = g_strdup_vprintf(format, ap);
        va_end(ap);

        if (!getenv("JOURNAL_STREAM"))
                fprintf(stderr, "convened: %s\n", text);
        else if (!tell_lost() || !transmit_message(priority, message_id, fields, text))
                journald.lost++;
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
