/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Polkit
 *
 * Asks polkit whether a caller of the system bus may do what otherwise only root may.  The subject is the caller's
 * unique bus name, never a pid (reuse).  Answers that will stay the same (no dialogue, nothing temporary) are remembered
 * per (caller, action) until polkit's Changed signal or the caller's end.  Without polkit, or on any error, the answer is no.
 */

#include <stdbool.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

typedef struct Polkit Polkit;
typedef struct PolkitQuestion PolkitQuestion;

Polkit *polkit_new(sd_event *event);
Polkit *polkit_free(Polkit *p);
void polkit_set_bus(Polkit *p, sd_bus *bus);    /* NULL: every answer is no */

/* `interactive`: the caller allows an authentication dialogue.  Returns 1 (yes) or 0 (no) if the answer is known at once, without calling
 * `done`; otherwise -EINPROGRESS, and `done` is called once.  Equal questions under way are asked once.  At most 256 different ones per
 * process and 16 per caller are under way; beyond it the answer is -EBUSY. */
int polkit_check(Polkit *p, const char *unique_name, const char *action, bool interactive,
                 void (*done)(void *userdata, bool allowed), void *userdata, PolkitQuestion **ret_question);
PolkitQuestion *polkit_question_cancel(PolkitQuestion *q);
void polkit_forget(Polkit *p, const char *unique_name); /* the caller is gone */
