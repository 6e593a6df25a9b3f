/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Caller: who it is
 *
 * uid and pid come from the broker or the socket, never from /proc; the unit from systemd, by pid.  A pid may meanwhile belong to
 * somebody else, so the unit counts only if the caller was still there after systemd answered: the process that called holds its
 * connection open, and a pid is not given out again while its process lives.
 */

#include <errno.h>
#include <poll.h>

#include "dbus/server/caller.h"
#include "dbus/server/server-private.h"

#define BROKER_NAME "org.freedesktop.DBus"
#define BROKER_PATH "/org/freedesktop/DBus"
#define BROKER_INTERFACE "org.freedesktop.DBus"

/* Removes it from its channel, and so frees it. */
static void caller_gone(Caller *c) {
        g_hash_table_remove(c->channel->callers, c->name);
}

static int on_still_there(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Caller *c = userdata;
        int there;

        c->question = sd_bus_slot_unref(c->question);
        if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "b", &there) < 0 || !there)
                caller_gone(c);
        else
                caller_resolved(c, CALLER_READY);
        return 1;
}

static bool process_is_there(const Caller *c) {
        struct pollfd p = { .fd = c->pidfd, .events = POLLIN };

        if (c->pidfd >= 0)
                return poll(&p, 1, 0) == 0;
        p = (struct pollfd) { .fd = sd_bus_get_fd(c->channel->bus), .events = POLLRDHUP };
        return p.fd >= 0 && poll(&p, 1, 0) == 0;
}

static void on_unit(void *userdata, int error, const UnitFacts *facts) {
        Caller *c = userdata;

        c->lookup = NULL;
        if (error >= 0) {
                c->unit = g_strdup(facts->unit);
                c->invocation = facts->invocation;
        }

        if (!c->name) {
                if (!process_is_there(c))
                        g_clear_pointer(&c->unit, g_free);
                caller_resolved(c, CALLER_READY);
                return;
        }
        if (error < 0 ||
            sd_bus_call_method_async(c->channel->bus, &c->question, BROKER_NAME, BROKER_PATH, BROKER_INTERFACE,
                                     "NameHasOwner", on_still_there, c, "s", c->name) < 0) {
                g_clear_pointer(&c->unit, g_free);
                caller_resolved(c, CALLER_READY);
        }
}

static void resolve_unit(Caller *c) {
        if (c->pid > 0 && units_available(c->server->units))
                c->lookup = units_lookup_pid(c->server->units, c->pid, on_unit, c);
        if (!c->lookup)
                caller_resolved(c, CALLER_READY);
}

static int read_credentials(sd_bus_message *m, uid_t *ret_uid, pid_t *ret_pid) {
        const char *key;
        uint32_t uid = UINT32_MAX, pid = 0;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read(m, "s", &key);
                if (r < 0)
                        return r;
                if (g_str_equal(key, "UnixUserID"))
                        r = sd_bus_message_read(m, "v", "u", &uid);
                else if (g_str_equal(key, "ProcessID"))
                        r = sd_bus_message_read(m, "v", "u", &pid);
                else
                        r = sd_bus_message_skip(m, "v");
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        if (uid == UINT32_MAX)
                return -ENODATA;
        *ret_uid = uid;
        *ret_pid = pid <= INT32_MAX ? (pid_t) pid : 0;
        return 0;
}

static int on_credentials(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Caller *c = userdata;

        c->question = sd_bus_slot_unref(c->question);
        /* It left before the broker was asked; its end may have been announced before we knew it. */
        if (sd_bus_message_is_method_error(m, SD_BUS_ERROR_NAME_HAS_NO_OWNER)) {
                caller_gone(c);
                return 1;
        }
        if (sd_bus_message_is_method_error(m, NULL) || read_credentials(m, &c->uid, &c->pid) < 0)
                caller_resolved(c, CALLER_REFUSED);
        else
                resolve_unit(c);
        return 1;
}

void caller_resolve(Caller *c) {
        if (!c->name)
                resolve_unit(c);
        else if (sd_bus_call_method_async(c->channel->bus, &c->question, BROKER_NAME, BROKER_PATH, BROKER_INTERFACE,
                                          "GetConnectionCredentials", on_credentials, c, "s", c->name) < 0)
                caller_resolved(c, CALLER_REFUSED);
}
