/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Barriers
 *
 * A barrier is closed while its znode is there; a double barrier is entered through a grant (grant-kinds.c).
 */

#include "dbus/server/attempt.h"
#include "dbus/server/error.h"
#include "dbus/server/grant.h"
#include "dbus/server/server-private.h"

static ConveneStatus look_for(const Attempt *a) {
        Result result;

        return attempt_read(a, &result);
}

/*
 * Close, Open, Wait
 */

static void close_look(Attempt *a) {
        ConveneStatus status = look_for(a);

        if (status == CONVENE_OK)
                attempt_answer(a, "");
        else if (status != CONVENE_NO_NODE)
                attempt_refuse(a, status);
        else
                attempt_submit(a, &(Request) {
                        .op = REQUEST_CREATE,
                        .path = a->path,
                        .data = (const uint8_t *) "",
                        .mode = CREATE_PERSISTENT,
                });
}

static void open_look(Attempt *a) {
        if (look_for(a) == CONVENE_NO_NODE)
                attempt_answer(a, "");
        else
                attempt_submit(a, &(Request) { .op = REQUEST_DELETE, .path = a->path, .version = VERSION_ANY });
}

static void changed(Attempt *a) {
        attempt_answer(a, "");
}

static void wait_look(Attempt *a) {
        ConveneStatus status = look_for(a);

        if (status == CONVENE_NO_NODE)
                attempt_answer(a, "");
        else if (status == CONVENE_OK)
                attempt_wait(a, UINT64_MAX);
        else
                attempt_refuse(a, status);
}

static const AttemptKind close_kind = { .look = close_look, .applied = changed, .is_fresh = true };
static const AttemptKind open_kind = { .look = open_look, .applied = changed, .is_fresh = true };
static const AttemptKind wait_kind = { .look = wait_look, .is_fresh = true };

/* Until all who have entered have left. */
static void wait_empty_look(Attempt *a) {
        ConveneStatus status = look_for(a);
        g_autoptr(GPtrArray) names = NULL;

        if (status != CONVENE_OK && status != CONVENE_NO_NODE) {
                attempt_refuse(a, status);
                return;
        }
        names = place_children(a->server, a->path);
        for (guint i = 0; i < names->len; i++)
                if (!g_str_equal(names->pdata[i], BARRIER_READY)) {
                        attempt_wait(a, UINT64_MAX);
                        return;
                }
        attempt_answer(a, "");
}

static const AttemptKind wait_empty_kind = { .look = wait_empty_look, .is_fresh = true };

/*
 * Methods
 */

static int start(Caller *c, sd_bus_message *m, const AttemptKind *kind, uint32_t options) {
        g_auto(Options) o = OPTIONS_INIT;
        const char *name;
        char *path;
        int k;

        k = sd_bus_message_read_basic(m, 's', &name);
        if (k < 0)
                return k;
        k = call_read_options(c, m, options, &o);
        if (k <= 0)
                return k;
        path = recipe_path(RECIPE_BARRIERS, name);
        if (!path)
                return recipe_refuse_name(c, m);
        attempt_start(c, m, kind, path, NULL, NULL, &o);
        return METHOD_DONE;
}

static int method_close_barrier(Caller *c, sd_bus_message *m) {
        return start(c, m, &close_kind, OPTION_ACL);
}

static int method_open_barrier(Caller *c, sd_bus_message *m) {
        return start(c, m, &open_kind, 0);
}

static int method_wait(Caller *c, sd_bus_message *m) {
        return start(c, m, &wait_kind, OPTION_PATIENCE);
}

static int method_wait_empty(Caller *c, sd_bus_message *m) {
        return start(c, m, &wait_empty_kind, OPTION_PATIENCE);
}

static int method_enter(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        GrantRequest r = { .kind = &grant_entrant };
        g_autofree char *path = NULL;
        const char *name;
        int k;

        k = sd_bus_message_read(m, "su", &name, &r.slots);
        if (k < 0)
                return k;
        k = call_read_options(c, m, OPTIONS_GRANT, &o);
        if (k <= 0)
                return k;
        r.parent = path = recipe_path(RECIPE_BARRIERS, name);
        if (!path)
                return recipe_refuse_name(c, m);
        if (r.slots == 0) {
                reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS, "a barrier is full with one or more");
                return METHOD_DONE;
        }
        return grant_start(c, m, &r, &o);
}

DEFINE_METHOD(method_close_barrier)
DEFINE_METHOD(method_open_barrier)
DEFINE_METHOD(method_wait)
DEFINE_METHOD(method_wait_empty)
DEFINE_METHOD(method_enter)

const sd_bus_vtable barriers_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Close",
                                SD_BUS_ARGS("s", name, "a{sv}", options),
                                SD_BUS_NO_RESULT,
                                bus_method_close_barrier, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Open",
                                SD_BUS_ARGS("s", name, "a{sv}", options),
                                SD_BUS_NO_RESULT,
                                bus_method_open_barrier, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Wait",
                                SD_BUS_ARGS("s", name, "a{sv}", options),
                                SD_BUS_NO_RESULT,
                                bus_method_wait, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Enter",
                                SD_BUS_ARGS("s", name, "u", count, "a{sv}", options),
                                SD_BUS_RESULT("h", descriptor, "t", token, "s", path, "u", grace),
                                bus_method_enter, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("WaitEmpty",
                                SD_BUS_ARGS("s", name, "a{sv}", options),
                                SD_BUS_NO_RESULT,
                                bus_method_wait_empty, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
