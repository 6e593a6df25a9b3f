/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Queues
 *
 * The rules are in agent/recipe/workqueue.h; taking is a grant (claim.c).
 */

#include <string.h>

#include "agent/base/limits.h"
#include "dbus/server/attempt.h"
#include "dbus/server/error.h"
#include "dbus/server/grant.h"
#include "dbus/server/holder.h"
#include "dbus/server/server-private.h"
#include "dbus/server/tree-bus.h"

#define ITEM_SIGNATURE "(sxuussu)"
#define ITEM_BYTES 256

/*
 * Put
 */

static void put_look(Attempt *a) {
        g_autofree char *path = g_strdup_printf("%s/" WORKQUEUE_PREFIX, a->path);
        size_t size;
        const void *data = g_bytes_get_data(a->plan, &size);

        attempt_submit(a, &(Request) {
                .op = REQUEST_CREATE,
                .path = path,
                .data = data ?: "",
                .data_size = (uint32_t) size,
                .mode = CREATE_PERSISTENT_SEQUENTIAL,
        });
}

static void put_applied(Attempt *a) {
        attempt_answer(a, "s", a->made);
}

static void free_bytes(void *plan) {
        g_bytes_unref(plan);
}

static const AttemptKind put_kind = { .look = put_look, .applied = put_applied, .is_blind = true };

static int method_put(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        Request sized = { 0 };
        const uint8_t *data;
        const char *name;
        size_t size;
        char *path;
        int k;

        k = sd_bus_message_read_basic(m, 's', &name);
        if (k < 0)
                return k;
        k = read_data(m, &data, &size);
        if (k < 0)
                return k;
        k = call_read_options(c, m, OPTION_ACL, &o);
        if (k <= 0)
                return k;
        if (!take_data(c, m, &o, size, &sized))
                return METHOD_DONE;
        path = recipe_path(RECIPE_QUEUES, name);
        if (!path)
                return recipe_refuse_name(c, m);
        o.data = data;
        o.data_size = size;
        attempt_start(c, m, &put_kind, path, g_bytes_new(data, size), free_bytes, &o);
        return METHOD_DONE;
}

/*
 * Take
 */

static int method_take(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        GrantRequest r = { .kind = &grant_claim, .node = WORKQUEUE_CLAIM, .slots = 1 };
        g_autofree char *path = NULL;
        const char *name;
        int k;

        k = sd_bus_message_read_basic(m, 's', &name);
        if (k < 0)
                return k;
        k = call_read_options(c, m, OPTION_PATIENCE | OPTION_SESSION_TIMEOUT | OPTION_ORDERED | OPTION_TRIES, &o);
        if (k <= 0)
                return k;
        r.parent = path = recipe_path(RECIPE_QUEUES, name);
        if (!path)
                return recipe_refuse_name(c, m);
        r.taker = (WorkqueueTaker) { o.ordered, o.tries };
        return grant_start(c, m, &r, &o);
}

/*
 * Ack
 */

static void ack_look(Attempt *a) {
        g_autofree char *claim = g_strdup_printf("%s/" WORKQUEUE_CLAIM, a->path);
        const Zxid *token = a->plan;
        Request operations[2];
        Holder h;

        workqueue_ack(a->path, claim, *token, operations);
        if (!holder_read(a->server, claim, &h) || !workqueue_is_claim_of(&h.stat, *token))
                attempt_refuse(a, CONVENE_NOT_HELD);
        else
                attempt_submit(a, &(Request) {
                        .op = REQUEST_MULTI,
                        .path = NULL,
                        .operations = operations,
                        .operations_count = G_N_ELEMENTS(operations),
                });
}

static void ack_applied(Attempt *a) {
        attempt_answer(a, "");
}

static const AttemptKind ack_kind = { .look = ack_look, .applied = ack_applied, .is_fresh = true };

static int method_ack(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        const char *item;
        char *path;
        Zxid token;
        int k;

        k = sd_bus_message_read(m, "st", &item, &token);
        if (k < 0)
                return k;
        k = call_read_options(c, m, 0, &o);
        if (k <= 0)
                return k;
        path = item[0] == '/' ? recipe_path("", item) : NULL;
        if (!path || !workqueue_is_item(strrchr(path, '/') + 1)) {
                g_free(path);
                reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS, "an item is the path that Take gave");
                return METHOD_DONE;
        }
        attempt_start(c, m, &ack_kind, path, g_memdup2(&token, sizeof(token)), g_free, &o);
        return METHOD_DONE;
}

/*
 * Items
 */

static int append_item(const Attempt *a, sd_bus_message *reply, const char *name) {
        g_autofree char *path = g_strdup_printf("%s/%s", a->path, name);
        g_autofree char *claim = g_strdup_printf("%s/" WORKQUEUE_CLAIM, path);
        Holder item, taker = { 0 };
        bool claimed;

        if (!holder_read(a->server, path, &item))
                return 0;
        claimed = holder_read(a->server, claim, &taker);
        return sd_bus_message_append(reply, ITEM_SIGNATURE, path, item.stat.ctime_msec, (uint32_t) item.stat.data_length,
                                     workqueue_attempts(item.stat.cversion, item.stat.children_count),
                                     claimed ? holder_host(a->server, &taker) : "", claimed ? holder_unit(&taker) : "",
                                     claimed ? holder_pid(&taker) : 0);
}

static void items_look(Attempt *a) {
        g_autoptr(GPtrArray) names = NULL;
        sd_bus_message *reply;
        unsigned rows = 0;
        Result result;
        guint i;
        int k;

        if (attempt_read(a, &result) != CONVENE_OK && result.status != CONVENE_NO_NODE) {
                attempt_refuse(a, result.status);
                return;
        }
        names = place_children(a->server, a->path);
        reply = attempt_new_reply(a);
        if (!reply) {
                attempt_refuse(a, CONVENE_TOO_LARGE);
                return;
        }
        k = sd_bus_message_open_container(reply, 'a', ITEM_SIGNATURE);
        for (i = 0; i < names->len && rows < LIMIT_PAGE_ENTRIES && k >= 0; i++)
                if (workqueue_is_item(names->pdata[i])) {
                        rows++;
                        k = append_item(a, reply, names->pdata[i]);
                }
        if (k >= 0)
                k = sd_bus_message_close_container(reply);
        if (k >= 0)
                k = sd_bus_message_append(reply, "b", (int) (i < names->len));
        attempt_return(a, reply, k, (uint64_t) rows * ITEM_BYTES);
}

static const AttemptKind items_kind = { .look = items_look, .is_fresh = true };

static int method_items(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        const char *name;
        char *path;
        int k;

        k = sd_bus_message_read_basic(m, 's', &name);
        if (k < 0)
                return k;
        k = call_read_options(c, m, 0, &o);
        if (k <= 0)
                return k;
        path = recipe_path(RECIPE_QUEUES, name);
        if (!path)
                return recipe_refuse_name(c, m);
        attempt_start(c, m, &items_kind, path, NULL, NULL, &o);
        return METHOD_DONE;
}

DEFINE_METHOD(method_put)
DEFINE_METHOD(method_take)
DEFINE_METHOD(method_ack)
DEFINE_METHOD(method_items)

const sd_bus_vtable queues_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Put",
                                SD_BUS_ARGS("s", name, "ay", data, "a{sv}", options),
                                SD_BUS_RESULT("s", item),
                                bus_method_put, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Take",
                                SD_BUS_ARGS("s", name, "a{sv}", options),
                                SD_BUS_RESULT("h", descriptor, "t", token, "s", item, "u", grace, "ay", data, "u", attempt),
                                bus_method_take, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Ack",
                                SD_BUS_ARGS("s", item, "t", token, "a{sv}", options),
                                SD_BUS_NO_RESULT,
                                bus_method_ack, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Items",
                                SD_BUS_ARGS("s", name, "a{sv}", options),
                                SD_BUS_RESULT("a(sxuussu)", items, "b", more),
                                bus_method_items, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
