/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Holder
 */

#include "dbus/ctl/holder.h"

int holder_read(sd_bus_message *m, Holder *ret) {
        return sd_bus_message_read(m, HOLDER_SIGNATURE, &ret->name, &ret->kind, &ret->host, &ret->unit, &ret->uid, &ret->pid,
                                   &ret->session, &ret->since_msec, &ret->token, &ret->waiters, &ret->path);
}

JsonObject *holder_to_json(const Holder *h) {
        JsonObject *o = json_object_new_object();

        json_add_string(o, "name", h->name);
        json_add_string(o, "kind", h->kind);
        json_add_string(o, "host", h->host);
        json_add(o, "unit", *h->unit ? json_object_new_string(h->unit) : NULL);
        json_add(o, "uid", h->uid != UINT32_MAX ? json_object_new_int64(h->uid) : NULL);
        json_add(o, "pid", h->pid > 0 ? json_object_new_int64(h->pid) : NULL);
        json_add_session(o, "session", h->session);
        json_add_i64(o, "since_ms", h->since_msec);
        json_add_u64(o, "token", h->token);
        json_add_u64(o, "waiters", h->waiters);
        json_add_string(o, "path", h->path);
        return o;
}
