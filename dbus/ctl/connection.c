/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Connection
 */

#include "dbus/ctl/connection.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dbus/ctl/output.h"

static const char *default_address(const Options *o) {
        const char *address = getenv("CONVENE_ADDRESS");
        struct stat st;

        if (o->address)
                return o->address;
        if (o->system)
                return NULL;
        if (address && *address)
                return address;
        if (stat(AGENT_SOCKET, &st) >= 0 && S_ISSOCK(st.st_mode))
                return "unix:path=" AGENT_SOCKET;
        return NULL;
}

void ctl_disconnect(Ctl *c) {
        c->bus = sd_bus_flush_close_unref(c->bus);
}

void ctl_done(Ctl *c) {
        ctl_disconnect(c);
        g_free(c->where);
}

/* A connection that never came to be has nothing to flush, and would wait for it. */
typedef sd_bus NewBus;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NewBus, sd_bus_close_unref)

static int wait_until_ready(sd_bus *bus, uint64_t timeout_usec) {
        int64_t end = g_get_monotonic_time() + timeout_usec;
        int r;

        while ((r = sd_bus_is_ready(bus)) == 0) {
                int64_t now = g_get_monotonic_time();

                if (now >= end)
                        return -ETIMEDOUT;
                r = sd_bus_process(bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(bus, end - now);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : 0;
}

const char *system_bus_address(void) {
        return getenv("DBUS_SYSTEM_BUS_ADDRESS") ?: "unix:path=/run/dbus/system_bus_socket";
}

const char *ctl_address(const Ctl *c) {
        return default_address(c->options) ?: system_bus_address();
}

int bus_open(const char *address, uint64_t timeout_usec, sd_bus **ret) {
        g_autoptr(NewBus) bus = NULL;
        int r;

        r = sd_bus_new(&bus);
        if (r < 0)
                return r;
        r = sd_bus_set_address(bus, address);
        if (r < 0)
                return r;
        /* The local socket answers Hello too, so that one way of connecting serves both. */
        r = sd_bus_set_bus_client(bus, true);
        if (r < 0)
                return r;
        r = sd_bus_set_allow_interactive_authorization(bus, true);
        if (r < 0)
                return r;
        r = sd_bus_set_method_call_timeout(bus, timeout_usec);
        if (r < 0)
                return r;
        r = sd_bus_start(bus);
        if (r < 0)
                return r;
        r = wait_until_ready(bus, timeout_usec);
        if (r < 0)
                return r;

        *ret = g_steal_pointer(&bus);
        return 0;
}

int ctl_connect(Ctl *c) {
        const char *address = default_address(c->options);

        if (c->bus)
                return 0;

        g_free(c->where);
        c->where = g_strdup(address ?: "the system bus");
        return bus_open(address ?: system_bus_address(), c->options->timeout_msec * 1000, &c->bus);
}

void ctl_print_unreachable(const Ctl *c, int error) {
        print_error("cannot reach the agent at %s: %s; is it running? (systemctl status convened)", c->where,
                    g_strerror(-error));
}

ExitStatus ctl_need_connection(Ctl *c) {
        int r = ctl_connect(c);
        if (r == -EINVAL && (c->options->given & OPTION_BIT(OPTION_ADDRESS))) {
                print_error("--address: \"%s\" is not a bus address, such as unix:path=%s", c->where, AGENT_SOCKET);
                return EXIT_STATUS_USAGE;
        }
        if (r < 0) {
                if (!c->hush)
                        ctl_print_unreachable(c, r);
                return EXIT_STATUS_UNREACHABLE;
        }

        return EXIT_STATUS_OK;
}

void call_done(Call *call) {
        call->message = sd_bus_message_unref(call->message);
}

static void call_set_error(Call *call, int r) {
        if (call->error >= 0 && r < 0)
                call->error = r;
}

static bool call_failed(const Call *call) {
        return call->exit != EXIT_STATUS_OK || call->error < 0;
}

void call_begin_at(Call *call, const char *path, const char *interface, const char *method) {
        assert(!call->message);

        call->exit = ctl_need_connection(call->ctl);
        if (call->exit != EXIT_STATUS_OK)
                return;

        call_set_error(call, sd_bus_message_new_method_call(call->ctl->bus, &call->message, AGENT_NAME, path, interface,
                                                            method));
        if (!call_failed(call) && call->ctl->no_auto_start)
                call_set_error(call, sd_bus_message_set_auto_start(call->message, false));
}

void call_begin(Call *call, const char *interface, const char *method) {
        g_autofree char *full = g_strconcat(AGENT_NAME ".", interface, NULL);

        call_begin_at(call, AGENT_PATH, full, method);
}

void call_begin_update(Call *call, const char *interface, const char *method) {
        call_begin(call, interface, method);
        call->update = true;
}

void call_append(Call *call, const char *types, ...) {
        va_list ap;

        if (call_failed(call))
                return;

        va_start(ap, types);
        call_set_error(call, sd_bus_message_appendv(call->message, types, ap));
        va_end(ap);
}

void call_append_bytes(Call *call, const void *data, size_t size) {
        if (!call_failed(call))
                call_set_error(call, sd_bus_message_append_array(call->message, 'y', data, size));
}

void call_open(Call *call, char type, const char *contents) {
        if (!call_failed(call))
                call_set_error(call, sd_bus_message_open_container(call->message, type, contents));
}

void call_close(Call *call) {
        if (!call_failed(call))
                call_set_error(call, sd_bus_message_close_container(call->message));
}

void call_append_acl(Call *call, const GPtrArray *acl) {
        call_open(call, 'a', "(uss)");
        for (unsigned i = 0; i < acl->len; i++) {
                const AclItem *item = g_ptr_array_index(acl, i);

                call_append(call, "(uss)", item->permissions, item->scheme, item->id);
        }
        call_close(call);
}

static void open_options(Call *call) {
        call_open(call, 'a', "{sv}");
        call->in_options = true;
}

void call_open_options(Call *call) {
        open_options(call);
        if (call->ctl->options->super)
                call_option(call, "super", "b", true);
}

static void open_option(Call *call, const char *name, const char *type) {
        call_open(call, 'e', "sv");
        call_append(call, "s", name);
        call_open(call, 'v', type);
}

static void close_option(Call *call) {
        call_close(call);
        call_close(call);
}

void call_option(Call *call, const char *name, const char *type, ...) {
        va_list ap;

        if (call_failed(call))
                return;

        open_option(call, name, type);
        va_start(ap, type);
        call_set_error(call, sd_bus_message_appendv(call->message, type, ap));
        va_end(ap);
        close_option(call);
}

void call_option_bytes(Call *call, const char *name, const void *data, size_t size) {
        open_option(call, name, "ay");
        call_append_bytes(call, data, size);
        close_option(call);
}

void call_option_acl(Call *call, const char *name, const GPtrArray *acl) {
        open_option(call, name, "a(uss)");
        call_append_acl(call, acl);
        close_option(call);
}

void call_append_session_options(Call *call, const char *unit, uint64_t timeout_msec) {
        open_options(call);
        if (unit)
                call_option(call, "unit", "s", unit);
        if (timeout_msec > 0)
                call_option(call, "timeout", "u", (uint32_t) MIN(timeout_msec, UINT32_MAX));
}

ExitStatus bad_reply(int error) {
        print_error("the agent's answer is not understood: %s; are convenectl and convened of one version?",
                    g_strerror(-error));
        return EXIT_STATUS_FAILURE;
}

static bool is_lost(const sd_bus_error *e, int r) {
        return sd_bus_error_has_name(e, SD_BUS_ERROR_NO_REPLY) || sd_bus_error_has_name(e, SD_BUS_ERROR_TIMEOUT) ||
               sd_bus_error_has_name(e, "org.freedesktop.DBus.Error.TimedOut") ||
               sd_bus_error_has_name(e, SD_BUS_ERROR_DISCONNECTED) || r == -ECONNRESET || r == -ENOTCONN ||
               r == -EPIPE || r == -ETIMEDOUT;
}

ExitStatus print_bus_error(const Ctl *c, const char *subject, const sd_bus_error *e, int r, bool update) {
        const char *own = error_name_strip(e->name);
        const char *message = e->message && *e->message ? e->message : own ? "failed" : g_strerror(-r);
        g_autofree char *prefix = g_strconcat(subject ?: "", ": ", NULL);

        if (c->hush && ((!own && is_lost(e, r)) || exit_status_from_error_name(e->name) == EXIT_STATUS_UNREACHABLE))
                return EXIT_STATUS_UNREACHABLE;

        if (!own && is_lost(e, r)) {
                if (!update) {
                        print_error("%sno answer from the agent at %s: %s", subject ? prefix : "", c->where, message);
                        return EXIT_STATUS_UNREACHABLE;
                }
                print_error("%sthe connection was lost or the time ran out before the answer came; read the tree to "
                            "find out whether it took effect (FateUnknown)", subject ? prefix : "");
                return EXIT_STATUS_FATE_UNKNOWN;
        }

        /* the agent's text names the znode behind it: once is enough */
        g_autofree char *suffix = g_strdup_printf(" (%s)", subject ?: "");
        size_t length = strlen(message) - (g_str_has_suffix(message, suffix) ? strlen(suffix) : 0);
        print_error("%s%.*s (%s)", subject ? prefix : "", (int) length, message, own ?: e->name ?: "no reply");
        return exit_status_from_error_name(e->name);
}

ExitStatus call_try(Call *call, const char *subject, sd_bus_message **ret_reply, ConveneStatus *ret_status) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;

        if (call->exit != EXIT_STATUS_OK)
                return call->exit;
        if (call->in_options)
                call_set_error(call, sd_bus_message_close_container(call->message));
        if (call->error < 0) {
                print_error("%s%scannot be sent: %s", subject ?: "", subject ? ": " : "",
                            call->error == -EINVAL ? "not valid text" : g_strerror(-call->error));
                return EXIT_STATUS_USAGE;
        }

        int r = sd_bus_call(call->ctl->bus, call->message, 0, &error, ret_reply);
        if (r >= 0) {
                if (ret_status)
                        *ret_status = CONVENE_OK;
                return EXIT_STATUS_OK;
        }
        if (ret_status && error_name_strip(error.name)) {
                *ret_status = convene_status_from_string(error_name_strip(error.name));
                return EXIT_STATUS_OK;
        }
        return print_bus_error(call->ctl, subject, &error, r, call->update);
}

ExitStatus call_send(Call *call, const char *subject, sd_bus_message **ret_reply) {
        return call_try(call, subject, ret_reply, NULL);
}
