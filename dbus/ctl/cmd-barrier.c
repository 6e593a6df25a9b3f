/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * barrier
 */

#include "dbus/ctl/command.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/recipe.h"
#include "dbus/ctl/text.h"

ExitStatus cmd_barrier_close(Ctl *c, char **arguments, unsigned count) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;

        call_begin_update(&call, "Barriers", "Close");
        call_append(&call, "s", arguments[0]);
        call_open(&call, 'a', "{sv}");
        if (c->options->acl->len > 0)
                call_option_acl(&call, "acl", c->options->acl);
        call_close(&call);
        return call_send(&call, arguments[0], &reply);
}

ExitStatus cmd_barrier_open(Ctl *c, char **arguments, unsigned count) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;

        call_begin_update(&call, "Barriers", "Open");
        call_append(&call, "sa{sv}", arguments[0], 0);
        return call_send(&call, arguments[0], &reply);
}

static ExitStatus wait_for(Ctl *c, const char *method, const char *name) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;

        call_begin(&call, "Barriers", method);
        call_append(&call, "s", name);
        call_open(&call, 'a', "{sv}");
        append_patience(&call);
        call_close(&call);
        return call_send(&call, name, &reply);
}

ExitStatus cmd_barrier_wait(Ctl *c, char **arguments, unsigned count) {
        return wait_for(c, "Wait", arguments[0]);
}

static ExitStatus enter(Ctl *c, const char *name, uint32_t members, Granted *ret) {
        g_auto(Call) call = CALL_INIT(c);

        call_begin(&call, "Barriers", "Enter");
        call_append(&call, "su", name, members);
        call_open_options(&call);
        append_grant_options(&call);
        return granted_receive(&call, name, ret, NULL);
}

/* All begin together, and end together: the exit status is the command's, unless its place was lost or the others could not be waited
 * for. */
ExitStatus cmd_barrier_enter(Ctl *c, char **arguments, unsigned count) {
        g_auto(Granted) granted = { .fd = -1 };
        uint64_t members;

        if (!need_command(c))
                return EXIT_STATUS_USAGE;
        if (!parse_u64(arguments[1], &members) || members == 0 || members > UINT32_MAX) {
                print_error("%s is not a number above 0", arguments[1]);
                return EXIT_STATUS_USAGE;
        }
        ExitStatus e = enter(c, arguments[0], (uint32_t) members, &granted);
        if (e != EXIT_STATUS_OK)
                return e;
        ctl_disconnect(c);
        int status = guard(&granted, c->options->command);
        if (status == EXIT_STATUS_SESSION)
                return EXIT_STATUS_SESSION;     /* it is not among them any more */
        e = wait_for(c, "WaitEmpty", arguments[0]);
        return e != EXIT_STATUS_OK ? e : (ExitStatus) status;
}
