/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the commands of recipes share
 */

#include "dbus/ctl/recipe.h"
#include "dbus/ctl/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define ANSWER_USEC (UINT64_C(10) * 1000 * 1000)        /* for the agent to say that the time has run out */

void append_patience(Call *call) {
        const Options *o = call->ctl->options;
        bool limited = o->given & OPTION_BIT(OPTION_TIMEOUT);
        uint64_t most = o->try_only || limited ? o->timeout_msec * 1000 + ANSWER_USEC : UINT64_MAX;

        if (o->try_only || limited)
                call_option(call, "timeout", "t", o->try_only ? UINT64_C(0) : o->timeout_msec * 1000);
        if (call->ctl->bus)
                (void) sd_bus_set_method_call_timeout(call->ctl->bus, most);
}

void append_read_options(Call *call) {
        call_open(call, 'a', "{sv}");
        if (call->ctl->options->linearizable)
                call_option(call, "linearizable", "b", true);
        call_close(call);
}

void append_grant_options(Call *call) {
        const Options *o = call->ctl->options;

        append_patience(call);
        if (o->session_timeout_msec > 0)
                call_option(call, "session-timeout", "u", (uint32_t) MIN(o->session_timeout_msec, UINT32_MAX));
        if (o->data)
                call_option_bytes(call, "data", o->data, strlen(o->data));
        if (o->acl->len > 0)
                call_option_acl(call, "acl", o->acl);
}

ExitStatus granted_receive(Call *call, const char *subject, Granted *ret, sd_bus_message **ret_reply) {
        g_autoptr(sd_bus_message) reply = NULL;
        const char *path;
        int fd;

        ExitStatus e = call_send(call, subject, &reply);
        if (e != EXIT_STATUS_OK)
                return e;
        int r = sd_bus_message_read(reply, "htsu", &fd, &ret->token, &path, &ret->grace_msec);
        if (r < 0)
                return bad_reply(r);
        ret->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (ret->fd < 0)
                return bad_reply(-errno);
        ret->path = g_strdup(path);
        ret->address = g_strdup(ctl_address(call->ctl));
        if (ret_reply)
                *ret_reply = g_steal_pointer(&reply);
        return EXIT_STATUS_OK;
}

bool need_command(const Ctl *c) {
        if (c->options->command && c->options->command[0])
                return true;
        print_error("which command?  It stands behind \"--\"; see \"convenectl --help\"");
        return false;
}

ExitStatus hand_over(Ctl *c, const char *interface, const char *method, const char *name, const char *host, const char *subject) {
        /* a little less than we wait ourselves, so that it is the agent that says what did not happen */
        uint64_t timeout_usec = c->options->timeout_msec * 1000 - c->options->timeout_msec * 100;
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        const char *leader;

        call_begin_update(&call, interface, method);
        call_append(&call, "ss", name, host);
        call_open_options(&call);
        call_option(&call, "timeout", "t", timeout_usec);
        ExitStatus e = call_send(&call, subject, &reply);
        if (e != EXIT_STATUS_OK)
                return e;
        int r = sd_bus_message_read(reply, "s", &leader);
        if (r < 0)
                return bad_reply(r);
        if (c->options->json) {
                g_autoptr(JsonObject) o = json_object_new_object();

                json_add_string(o, "name", name);
                json_add_string(o, "leader", leader);
                json_print(o);
        } else if (!c->options->quiet) {
                printf("%s\n", leader);
        }
        return EXIT_STATUS_OK;
}

uint64_t boottime_left_msec(uint64_t until_usec) {
        uint64_t now = now_usec(CLOCK_BOOTTIME);

        return until_usec > now ? (until_usec - now) / 1000 : 0;
}

ExitStatus print_list(Ctl *c, JsonObject *array, const Table *table, bool more) {
        if (c->options->json)
                json_print(array);
        else if (!c->options->quiet)
                table_print(table);
        if (more)
                print_error("more is there than one answer of the agent can tell");
        return EXIT_STATUS_OK;
}

ExitStatus print_rows(Call *call, const char *subject, const char *row, OnRow read_row, Table *table) {
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(JsonObject) array = json_object_new_array();
        int more = 0;

        ExitStatus e = call_send(call, subject, &reply);
        if (e != EXIT_STATUS_OK)
                return e;
        int r = sd_bus_message_enter_container(reply, 'a', row);
        while (r >= 0 && (r = read_row(reply, call->ctl->options->json ? array : NULL, table)) > 0)
                ;
        if (r >= 0)
                r = sd_bus_message_exit_container(reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "b", &more);
        if (r < 0)
                return bad_reply(r);
        return print_list(call->ctl, array, table, more);
}
