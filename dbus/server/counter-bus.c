/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Counters
 */

#include <inttypes.h>

#include "agent/recipe/counter.h"
#include "dbus/server/attempt.h"
#include "dbus/server/error.h"

typedef struct Plan {
        bool adds, has_expect;
        int64_t value, expect;          /* to add or to set; only if it is this */
        int64_t after;                  /* what it has become */
} Plan;

/* 0 where there is none; *ret_stat tells whether there is one by its czxid.  False: it has been refused. */
static bool see(Attempt *a, int64_t *ret_value, Stat *ret_stat) {
        Result result;
        ConveneStatus status = attempt_read(a, &result);

        *ret_value = 0;
        *ret_stat = (Stat) { 0 };
        if (status == CONVENE_NO_NODE)
                return true;
        if (status != CONVENE_OK) {
                attempt_refuse(a, status);
                return false;
        }
        *ret_stat = result.stat;
        if (!counter_parse(result.data, result.data_size, ret_value)) {
                attempt_refuse_text(a, CONVENE_BAD_ARGUMENTS, "what is there is no counter: that is 8 bytes, or none");
                return false;
        }
        return true;
}

static void change_look(Attempt *a) {
        Plan *p = a->plan;
        uint8_t bytes[COUNTER_BYTES];
        int64_t before;
        Request r;
        Stat stat;

        if (!see(a, &before, &stat))
                return;
        if (p->has_expect && before != p->expect) {
                g_autofree char *text = g_strdup_printf("its value is %" PRId64, before);

                attempt_refuse_text(a, CONVENE_BAD_VERSION, text);
                return;
        }
        p->after = p->value;
        if (p->adds && !counter_add(before, p->value, &p->after)) {
                attempt_refuse_text(a, CONVENE_BAD_ARGUMENTS, "the sum is more than 64 bits");
                return;
        }
        counter_format(p->after, bytes);
        r = counter_request(a->path, &stat, bytes);
        attempt_submit(a, &r);
}

static void change_applied(Attempt *a) {
        const Plan *p = a->plan;

        if (p->adds)
                attempt_answer(a, "x", p->after);
        else
                attempt_answer(a, "");
}

static void get_look(Attempt *a) {
        int64_t value;
        Stat stat;

        if (!see(a, &value, &stat))
                return;
        if (stat.czxid == 0)
                attempt_refuse(a, CONVENE_NO_NODE);
        else
                attempt_answer(a, "x", value);
}

/* An addition need not see the latest value: should it not, it is refused and looks again. */
static const AttemptKind add_kind = { .look = change_look, .applied = change_applied };
static const AttemptKind set_kind = { .look = change_look, .applied = change_applied, .is_fresh = true };
static const AttemptKind get_kind = { .look = get_look, .is_fresh = true };

static int start(Caller *c, sd_bus_message *m, const AttemptKind *kind, const char *name, const Plan *p, const Options *o) {
        char *path = recipe_path(RECIPE_COUNTERS, name);

        if (!path)
                return recipe_refuse_name(c, m);
        attempt_start(c, m, kind, path, g_memdup2(p, sizeof(*p)), g_free, o);
        return METHOD_DONE;
}

static int method_get_counter(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        const char *name;
        int k;

        k = sd_bus_message_read_basic(m, 's', &name);
        if (k < 0)
                return k;
        k = call_read_options(c, m, 0, &o);
        return k <= 0 ? k : start(c, m, &get_kind, name, &(Plan) { 0 }, &o);
}

static int method_add(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        Plan p = { .adds = true };
        const char *name;
        int k;

        k = sd_bus_message_read(m, "sx", &name, &p.value);
        if (k < 0)
                return k;
        k = call_read_options(c, m, OPTION_ACL, &o);
        return k <= 0 ? k : start(c, m, &add_kind, name, &p, &o);
}

static int method_set_counter(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        Plan p = { 0 };
        const char *name;
        int k;

        k = sd_bus_message_read(m, "sx", &name, &p.value);
        if (k < 0)
                return k;
        k = call_read_options(c, m, OPTION_ACL | OPTION_EXPECT, &o);
        if (k <= 0)
                return k;
        p.has_expect = o.given & OPTION_EXPECT;
        p.expect = o.expect;
        return start(c, m, &set_kind, name, &p, &o);
}

DEFINE_METHOD(method_get_counter)
DEFINE_METHOD(method_add)
DEFINE_METHOD(method_set_counter)

const sd_bus_vtable counters_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Get",
                                SD_BUS_ARGS("s", name, "a{sv}", options),
                                SD_BUS_RESULT("x", value),
                                bus_method_get_counter, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Add",
                                SD_BUS_ARGS("s", name, "x", delta, "a{sv}", options),
                                SD_BUS_RESULT("x", value),
                                bus_method_add, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Set",
                                SD_BUS_ARGS("s", name, "x", value, "a{sv}", options),
                                SD_BUS_NO_RESULT,
                                bus_method_set_counter, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
