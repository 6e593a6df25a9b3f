/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Watch
 */

#include "dbus/server/watch.h"

#include <assert.h>
#include <string.h>

#include "dbus/server/codec.h"
#include "dbus/server/server-private.h"

void watch_on_count(void *userdata, int change) {
        Caller *c = userdata;

        assert(change >= 0 || c->watches >= (unsigned) -change);

        c->watches += (unsigned) change;
        c->account->watches += (uint32_t) change;
}

void watch_forget_caller(Caller *c) {
        if (c->watches == 0)
                return;
        c->account->watches -= c->watches;
        c->watches = 0;
}

static int event_append(sd_bus_message *m, const Caller *c, uint64_t watch, const char *type, const char *path,
                        Zxid zxid, bool spent) {
        int r;

        if (c->name) {
                r = sd_bus_message_set_destination(m, c->name);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_append(m, "tsstb", watch, type, path, zxid, (int) spent);
}

static void send_event(Caller *c, uint64_t watch, const char *type, const char *path, Zxid zxid, bool spent) {
        g_autoptr(sd_bus_message) m = NULL;

        c->server->counters.events++;
        if (c->events_lost)
                return;
        if (sd_bus_message_new_signal(c->channel->bus, &m, OBJECT_PATH, "org.convene1.Watches", "Event") < 0 ||
            event_append(m, c, watch, type, path, zxid, spent) < 0 ||
            channel_send(c->channel, m, 256 + strlen(path)) < 0)
                c->events_lost = true;
}

void watch_on_event(void *userdata, uint64_t watch, WatchEventType type, const char *path, Zxid zxid, bool spent) {
        send_event(userdata, watch, watch_event_to_string(type), path, zxid, spent);
}

void watch_on_lost(void *userdata, uint64_t watch, const char *path, Zxid zxid) {
        send_event(userdata, watch, "lost", path, zxid, false);
}
