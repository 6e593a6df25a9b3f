/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Journal
 *
 * Where the agent says what happens: the journal under systemd, standard error elsewhere.  One failure, one message,
 * ending in its consequence.  It never waits: what the journal does not take at once is lost, and a later message says how many were.
 */

#include <stdint.h>
#include <syslog.h>

#include <glib.h>

/* `message_id`: one of agent/base/messages.h, or NULL.  `fields`: further NULL-terminated "NAME=value" strings, or NULL. */
void journal_send(int priority, const char *message_id, const char *const *fields, const char *format, ...)
        G_GNUC_PRINTF(4, 5);

/* The same for what the agent ends with: its unit's status line says it, too. */
void journal_last_words(const char *message_id, const char *format, ...) G_GNUC_PRINTF(2, 3);

uint64_t journal_lost(void);

/* For tests: another one than journald's; borrowed for good. */
void journal_use_socket(const char *path);

#define journal(priority, message_id, ...) journal_send(priority, message_id, NULL, __VA_ARGS__)
