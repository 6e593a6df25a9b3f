/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Locks
 *
 * What is asked for; grant.c does it.
 */

#include "dbus/server/locks.h"

#include <string.h>

#include "agent/base/limits.h"
#include "dbus/server/error.h"
#include "dbus/server/handover.h"
#include "dbus/server/server-private.h"

static int start(Caller *c, sd_bus_message *m, const char *root, const char *name, const Options *o, GrantRequest *r) {
        g_autofree char *path = recipe_path(root, name), *leases = NULL;

        if (!path)
                return recipe_refuse_name(c, m);
        if (r->role == CONTENDER_LEASE)
                leases = g_strdup_printf("%s/" GRANT_SLOTS, path);
        r->parent = leases ?: path;
        return grant_start(c, m, r, o);
}

/* Both say what becomes of the answer.  False: it has been refused. */
static bool check_answer(Caller *c, sd_bus_message *m, const Options *o) {
        if (!o->pending || !o->stay)
                return true;
        reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS, "'pending' and 'stay' exclude each other");
        return false;
}

static int method_lock(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        GrantRequest r = { .role = CONTENDER_MUTEX, .slots = 1 };
        const char *name;
        int k;

        k = sd_bus_message_read_basic(m, 's', &name);
        if (k < 0)
                return k;
        k = call_read_options(c, m, OPTIONS_GRANT | OPTION_PENDING | OPTION_STAY | OPTION_SHARED | OPTION_SLOTS, &o);
        if (k <= 0)
                return k;
        if (!check_answer(c, m, &o))
                return METHOD_DONE;
        if ((o.given & OPTION_SHARED) && (o.given & OPTION_SLOTS)) {
                reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS, "'shared' and 'slots' exclude each other");
                return METHOD_DONE;
        }
        if ((o.given & OPTION_SLOTS) && o.slots == 0) {
                reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS, "a semaphore has one slot or more");
                return METHOD_DONE;
        }
        if (o.given & OPTION_SHARED)
                r.role = o.shared ? CONTENDER_READER : CONTENDER_WRITER;
        else if (o.given & OPTION_SLOTS) {
                r.role = CONTENDER_LEASE;
                r.slots = o.slots;
        }
        return start(c, m, RECIPE_LOCKS, name, &o, &r);
}

static int method_campaign(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        GrantRequest r = { .kind = &grant_campaign, .role = CONTENDER_LATCH, .slots = 1 };
        const char *name;
        int k;

        k = sd_bus_message_read_basic(m, 's', &name);
        if (k < 0)
                return k;
        k = call_read_options(c, m, OPTIONS_GRANT | OPTION_PENDING | OPTION_STAY | OPTION_PRIORITY, &o);
        if (k <= 0)
                return k;
        if (!check_answer(c, m, &o))
                return METHOD_DONE;
        return start(c, m, RECIPE_ELECTIONS, name, &o, &r);
}

DEFINE_METHOD(method_lock)
DEFINE_METHOD(method_campaign)
DEFINE_METHOD(method_hand_over)
DEFINE_METHOD(method_verify)
DEFINE_METHOD(method_leader)
DEFINE_METHOD(method_list_locks)

const sd_bus_vtable locks_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Lock",
                                SD_BUS_ARGS("s", name, "a{sv}", options),
                                SD_BUS_RESULT("h", descriptor, "t", token, "s", path, "u", grace),
                                bus_method_lock, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Campaign",
                                SD_BUS_ARGS("s", name, "a{sv}", options),
                                SD_BUS_RESULT("h", descriptor, "t", token, "s", path, "u", grace),
                                bus_method_campaign, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("HandOver",
                                SD_BUS_ARGS("s", name, "s", host, "a{sv}", options),
                                SD_BUS_RESULT("s", leader),
                                bus_method_hand_over, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Verify",
                                SD_BUS_ARGS("s", name, "t", token),
                                SD_BUS_RESULT("b", current),
                                bus_method_verify, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Leader",
                                SD_BUS_ARGS("s", name, "a{sv}", options),
                                SD_BUS_RESULT("(ssssuutxtus)", leader, "ay", data),
                                bus_method_leader, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListLocks",
                                SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("a(ssssuutxtus)", locks, "b", more),
                                bus_method_list_locks, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("Granted",
                                SD_BUS_ARGS("t", token, "s", path, "u", grace),
                                0),
        SD_BUS_VTABLE_END,
};
