/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Systemd
 *
 * The service manager of this host, asked over the system bus, one call at a time.  What it refuses is told.
 */

#include "dbus/ctl/connection.h"
#include "dbus/ctl/unit-facts.h"

typedef struct Systemd {
        sd_bus *bus;
        uint64_t timeout_usec;          /* for an answer */
} Systemd;

void systemd_done(Systemd *s);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Systemd, systemd_done)

ExitStatus systemd_connect(Systemd *s, const Options *o);

/* Loads the unit; one that does not exist has facts, too.  *ret must be {} or read before. */
ExitStatus systemd_read_unit(Systemd *s, const char *unit, UnitFacts *ret);
/* Units of a template that are loaded.  NULL-terminated, owned by the caller. */
ExitStatus systemd_list_instances(Systemd *s, const char *template_unit, char ***ret);
/* "enabled", "disabled", "static", ...; owned by the caller. */
ExitStatus systemd_read_file_state(Systemd *s, const char *unit, char **ret);

/* Links of [Install]; `runtime`: those in /run.  systemd_reload() makes systemd see it. */
ExitStatus systemd_enable(Systemd *s, const char *unit, bool runtime);
ExitStatus systemd_disable(Systemd *s, const char *unit, bool runtime);
ExitStatus systemd_reload(Systemd *s);

/* Jobs: queued, or waited for, at most so long.  A unit that is not loaded is stopped. */
ExitStatus systemd_start(Systemd *s, const char *unit);
ExitStatus systemd_stop(Systemd *s, const char *unit, uint64_t timeout_usec);
/* A unit that does not run is left alone. */
ExitStatus systemd_reload_unit(Systemd *s, const char *unit, uint64_t timeout_usec);
