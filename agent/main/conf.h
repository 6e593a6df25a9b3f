/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Conf
 *
 * convened.conf(5): one key file, then drop-ins in the order of their names; a later value wins.  Every mistake is an
 * error that names file, key and value, and the agent does not start (or, on reload, keeps what it had).
 */

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "dbus/server/server.h"

typedef struct Conf {
        char *name;                     /* [Agent] Name=; NULL: the host name */
        char *data;                     /* [Agent] Data= */
        char *listen;                   /* [Ensemble] Listen=; NULL: other members cannot reach this one */
        char *advertise;                /* [Ensemble] Advertise=: what they are told; NULL: `listen` */
        uint32_t found;                 /* [Ensemble] Found=: 0, 1 or CONF_FOUND_UNSET; see conf_may_found() */
        uint32_t election_timeout_msec; /* [Ensemble] ElectionTimeout= */
        uint64_t segment_bytes, keep_log_bytes;
        uint64_t checkpoint_changes, checkpoint_log_bytes;
        uint32_t timeout_min_msec, timeout_max_msec, timeout_default_msec;
        ServerLimits limits;
        uint32_t reap_interval_msec, reap_max;
} Conf;

#define CONF_FILE "/etc/convene/convened.conf"

/* Reads `file` (NULL: CONF_FILE, which may be missing) and, for CONF_FILE, convened.conf.d/ in /etc/convene, /run/convene and
 * /usr/lib/convene (the same name in an earlier one hides the later).  Returns false with a sentence in *ret_error. */
bool conf_load(const char *file, Conf *ret, char **ret_error);
void conf_done(Conf *c);

/* Listen= and Advertise= together, also where the command line has changed one of them: is there an address that others can be
 * told?  False with a sentence in *ret_error. */
bool conf_check_addresses(const Conf *c, char **ret_error);

/* Whether a blank store without a token founds an ensemble.  Unless told, only where nobody could join it: a host that others reach is
 * in an ensemble, or about to be, and its store is blank because its disk is not there. */
#define CONF_FOUND_UNSET 2
bool conf_may_found(const Conf *c);

/* All that is in force, as a configuration file that conf_load() reads to the same end.  Owned by the caller. */
char *conf_to_string(const Conf *c);

/* What may stand in identities ("unix:0@NAME"), in owners and in the configuration of the ensemble. */
#define CONF_HOST_NAME_BYTES 64
bool conf_host_name_is_valid(const char *name);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Conf, conf_done)
