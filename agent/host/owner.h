/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Owner
 *
 * The text by which a replicated session names what it lives and dies with, so that an agent that was restarted finds its
 * owners again (DESIGN 2.6, 2.7), and people read it in `convenectl sessions`.
 *
 *     connection   "BUS :1.42 uid 1000 pid 712 unit app.service"     BUS: the broker's id (32 hex digits)
 *     connection   "socket uid 1000 pid 712 unit app.service"        of the local socket; gone with the agent unless re-attached
 *     unit         "nginx.service INVOCATION"                        32 hex digits
 *     descriptor   "WORD uid 1000 pid 712 unit app.service"          WORD: "descriptor", or what it holds: "mutex", "semaphore-3"
 *     host         "HOSTNAME"
 *     explicit     "uid 1000 pid 712 unit app.service"
 *
 * Parts that are not known are left out.
 */

#include <stdbool.h>

#include <sys/types.h>

#include <systemd/sd-id128.h>

typedef enum OwnerTextKind {            /* same order as OwnerKind of tree/request.h */
        OWNER_TEXT_EXPLICIT,
        OWNER_TEXT_CONNECTION,
        OWNER_TEXT_UNIT,
        OWNER_TEXT_DESCRIPTOR,
        OWNER_TEXT_HOST,
} OwnerTextKind;

typedef struct OwnerText {
        OwnerTextKind kind;
        char bus[33];                   /* CONNECTION on a broker; "" for the local socket */
        char name[256];                 /* unique name, unit, fd name or host name */
        sd_id128_t invocation;          /* UNIT */
        uid_t uid;                      /* (uid_t) -1: unknown */
        pid_t pid;                      /* 0: unknown */
        char unit[256];                 /* the caller's unit, "" if none */
} OwnerText;

/* g_malloc'd; never longer than LIMIT_OWNER_BYTES. */
char *owner_text_format(const OwnerText *o);
/* Hostile input: returns false if it is not exactly of the form above. */
bool owner_text_parse(OwnerTextKind kind, const char *text, OwnerText *ret);
