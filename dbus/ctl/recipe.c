/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the commands of recipes share
 */

#include "dbus/ctl/recipe.h"

#include <time.h>

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

uint64_t boottime_left_msec(uint64_t until_usec) {
        struct timespec ts;
        uint64_t now;

        clock_gettime(CLOCK_BOOTTIME, &ts);
        now = (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
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
