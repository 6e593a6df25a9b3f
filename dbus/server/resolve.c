/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Caller: who it is
 *
 * uid and pid come from the broker or the socket, never from /proc; the unit from systemd, by pid.  A pid may meanwhile belong to
 * somebody else, so the unit counts only if the caller was still there after systemd answered: a pid is not given out again while
 * its process lives, which a descriptor of the process shows.  A broker too old to have one (ProcessFD) leaves us with the
 * unique name: it is gone when the process is, unless the connection was handed to another process.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "dbus/server/caller.h"
#include "dbus/server/connection.h"
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

/* As far as descriptors show it: poll() passes over those that are -1. */
static bool process_is_there(const Caller *c) {
        struct pollfd p[] = {
                { .fd = c->pidfd, .events = POLLIN },
                { .fd = c->channel->connection ? c->channel->connection->fd : -1, .events = POLLRDHUP },
        };

        return poll(p, G_N_ELEMENTS(p), 0) == 0;
}

static void on_unit(void *userdata, int error, const UnitFacts *facts) {
        Caller *c = userdata;

        c->lookup = NULL;
        if (error >= 0) {
                c->unit = g_strdup(facts->unit);
                c->invocation = facts->invocation;
        }

        if (!process_is_there(c))
                g_clear_pointer(&c->unit, g_free);
        if (!c->name) {
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

/* *ret_pidfd: the message's own, -1 if the broker does not know it. */
static int read_credentials(sd_bus_message *m, uid_t *ret_uid, pid_t *ret_pid, int *ret_pidfd) {
        const char *key;
        uint32_t uid = UINT32_MAX, pid = 0;
        int r, pidfd = -1;

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
                else if (g_str_equal(key, "ProcessFD"))
                        r = sd_bus_message_read(m, "v", "h", &pidfd);
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
        *ret_pidfd = pidfd;
        return 0;
}

static int on_credentials(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Caller *c = userdata;
        pid_t pid;
        uid_t uid;
        int pidfd;

        c->question = sd_bus_slot_unref(c->question);
        /* It left before the broker was asked; its end may have been announced before we knew it. */
        if (sd_bus_message_is_method_error(m, SD_BUS_ERROR_NAME_HAS_NO_OWNER)) {
                caller_gone(c);
                return 1;
        }
        if (sd_bus_message_is_method_error(m, NULL) || read_credentials(m, &uid, &pid, &pidfd) < 0) {
                caller_resolved(c, CALLER_REFUSED);
                return 1;
        }
        caller_set_credentials(c, uid, pid, pidfd < 0 ? -1 : fcntl(pidfd, F_DUPFD_CLOEXEC, 3));
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
