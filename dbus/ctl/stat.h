/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Stat
 *
 * A znode's Stat as the bus carries it, and as JSON and people see it.
 */

#include <systemd/sd-bus.h>

#include "agent/base/zxid.h"
#include "dbus/ctl/json.h"

#define STAT_SIGNATURE "(tttxxiiitii)"

typedef struct ZnodeStat {
        Zxid czxid, mzxid, pzxid;
        int64_t ctime_msec, mtime_msec;
        int32_t version, cversion, aversion;
        uint64_t ephemeral_owner;       /* session, 0 for none */
        int32_t data_length, children;
} ZnodeStat;

int stat_read(sd_bus_message *m, ZnodeStat *ret);       /* as sd_bus_message_read() */
JsonObject *stat_to_json(const ZnodeStat *s);
void stat_print(const char *path, const ZnodeStat *s);
