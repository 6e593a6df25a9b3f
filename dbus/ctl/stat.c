/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Stat
 */

#include "dbus/ctl/stat.h"

#include "dbus/ctl/output.h"
#include "dbus/ctl/text.h"

int stat_read(sd_bus_message *m, ZnodeStat *ret) {
        return sd_bus_message_read(m, STAT_SIGNATURE, &ret->czxid, &ret->mzxid, &ret->pzxid, &ret->ctime_msec,
                                   &ret->mtime_msec, &ret->version, &ret->cversion, &ret->aversion,
                                   &ret->ephemeral_owner, &ret->data_length, &ret->children);
}

JsonObject *stat_to_json(const ZnodeStat *s) {
        JsonObject *o = json_object_new_object();

        json_add_zxid(o, "czxid", s->czxid);
        json_add_zxid(o, "mzxid", s->mzxid);
        json_add_zxid(o, "pzxid", s->pzxid);
        json_add_i64(o, "ctime_ms", s->ctime_msec);
        json_add_i64(o, "mtime_ms", s->mtime_msec);
        json_add_i64(o, "version", s->version);
        json_add_i64(o, "cversion", s->cversion);
        json_add_i64(o, "aversion", s->aversion);
        json_add_session(o, "ephemeral_owner", s->ephemeral_owner);
        json_add_i64(o, "data_bytes", s->data_length);
        json_add_i64(o, "children", s->children);
        return o;
}

#define WIDTH 9

void stat_print(const char *path, const ZnodeStat *s) {
        g_autofree char *created = format_time_msec(s->ctime_msec);
        g_autofree char *changed = format_time_msec(s->mtime_msec);

        print_field(WIDTH, "Znode", "%s", path);
        print_field(WIDTH, "Created", "%s by " ZXID_FORMAT, created, s->czxid);
        print_field(WIDTH, "Changed", "%s by " ZXID_FORMAT ", version %d", changed, s->mzxid, s->version);
        print_field(WIDTH, "Children", "%d, last changed by " ZXID_FORMAT ", version %d", s->children, s->pzxid,
                    s->cversion);
        print_field(WIDTH, "ACL", "version %d", s->aversion);
        print_field(WIDTH, "Data", "%d bytes", s->data_length);
        if (s->ephemeral_owner != 0)
                print_field(WIDTH, "Ephemeral", "session %016" PRIx64, s->ephemeral_owner);
}
