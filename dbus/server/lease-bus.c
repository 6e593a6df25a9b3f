/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Leases
 *
 * agent/recipe/lease.h has the rules; here they are asked of this agent's tree and clock.
 */

#include <string.h>

#include "agent/base/limits.h"
#include "agent/recipe/lease.h"
#include "dbus/server/attempt.h"
#include "dbus/server/error.h"
#include "dbus/server/server-private.h"
#include "dbus/server/sightings.h"

#define TTL_MIN_USEC (UINT64_C(1000) * 1000)
#define USEC_PER_MSEC 1000
#define LIST_SIGNATURE "(ssttt)"
#define LIST_BYTES 128
#define NO_LEASE "what is there is no lease"

typedef struct Plan {
        char *holder, *to;
        uint64_t ttl_msec;              /* 0: as before */
        Zxid token;                     /* only if this is its token; 0: any */
        uint64_t asked_usec;
        LeaseRecord record;             /* written */
} Plan;

static void plan_free(void *userdata) {
        Plan *p = userdata;

        g_free(p->holder);
        g_free(p->to);
        g_free(p);
}

/* Data that is no lease's: CONVENE_BAD_ARGUMENTS. */
static ConveneStatus sight(const Attempt *a, const char *path, LeaseSight *ret) {
        Request r = { .op = REQUEST_GET_DATA, .path = path, .caller = attempt_identities(a) };
        Result result;

        *ret = (LeaseSight) { 0 };
        tree_read(member_tree(a->server->member), &r, &result);
        if (result.status == CONVENE_NO_NODE)
                return CONVENE_OK;
        if (result.status != CONVENE_OK)
                return result.status;
        ret->there = true;
        ret->czxid = result.stat.czxid;
        ret->version = result.stat.version;
        if (!lease_parse(result.data, result.data_size, &ret->record))
                return CONVENE_BAD_ARGUMENTS;
        ret->seen_usec = sightings_get(a->server, path, result.stat.mzxid);
        return CONVENE_OK;
}

/* False: it has been refused. */
static bool see(Attempt *a, LeaseSight *ret) {
        ConveneStatus status = sight(a, a->path, ret);

        if (status == CONVENE_BAD_ARGUMENTS)
                attempt_refuse_text(a, status, NO_LEASE);
        else if (status != CONVENE_OK)
                attempt_refuse(a, status);
        return status == CONVENE_OK;
}

static void write_record(Attempt *a, const LeaseSight *s) {
        const Plan *p = a->plan;
        g_autofree char *text = lease_format(&p->record);
        Request r = lease_request(s, a->path, text);

        attempt_submit(a, &r);
}

/*
 * Acquire
 */

static void acquire_look(Attempt *a) {
        Plan *p = a->plan;
        LeaseSight s;

        if (!see(a, &s))
                return;
        if (p->token != 0 && (lease_is_vacant(&s) || lease_token(&s) != p->token || !g_str_equal(s.record.holder, p->holder))) {
                attempt_refuse(a, CONVENE_NOT_HELD);
                return;
        }
        p->asked_usec = attempt_now_usec();
        if (lease_take(&s, p->holder, p->ttl_msec > 0 ? p->ttl_msec : s.record.ttl_msec, p->asked_usec, &p->record))
                write_record(a, &s);
        else
                attempt_wait(a, lease_free_usec(&s));
}

static void acquire_applied(Attempt *a) {
        const Plan *p = a->plan;
        LeaseSight s = { .there = true, .czxid = a->stat.czxid, .record = p->record };

        attempt_answer(a, "tt", lease_token(&s), lease_until_usec(p->asked_usec, p->record.ttl_msec));
}

static const AttemptKind acquire_kind = { .look = acquire_look, .applied = acquire_applied, .is_fresh = true };

/*
 * Release and Transfer
 */

static void hand_over_look(Attempt *a) {
        Plan *p = a->plan;
        LeaseSight s;

        if (!see(a, &s))
                return;
        if ((p->token == 0 || lease_token(&s) == p->token) && lease_hand_over(&s, p->holder, p->to, &p->record))
                write_record(a, &s);
        else
                attempt_refuse(a, CONVENE_NOT_HELD);
}

static void hand_over_applied(Attempt *a) {
        attempt_answer(a, "");
}

static const AttemptKind hand_over_kind = { .look = hand_over_look, .applied = hand_over_applied, .is_fresh = true };

/*
 * Get and List
 */

static bool is_held(const LeaseSight *s) {
        return !lease_is_vacant(s) && attempt_now_usec() < lease_free_usec(s);
}

static void get_look(Attempt *a) {
        LeaseSight s;

        if (!see(a, &s))
                return;
        if (is_held(&s))
                attempt_answer(a, "sttt", s.record.holder, lease_token(&s), s.record.ttl_msec * USEC_PER_MSEC,
                               lease_free_usec(&s));
        else
                attempt_refuse(a, CONVENE_NOT_HELD);
}

static const AttemptKind get_kind = { .look = get_look, .is_fresh = true };

static int append_held(Attempt *a, sd_bus_message *reply, const char *name) {
        g_autofree char *path = g_strdup_printf(RECIPE_LEASES "/%s", name);
        LeaseSight s;

        if (sight(a, path, &s) != CONVENE_OK || !is_held(&s))
                return 0;
        return sd_bus_message_append(reply, LIST_SIGNATURE, name, s.record.holder, lease_token(&s),
                                     s.record.ttl_msec * USEC_PER_MSEC, lease_free_usec(&s));
}

static void list_look(Attempt *a) {
        g_autoptr(GPtrArray) names = place_children(a->server, RECIPE_LEASES);
        guint count = MIN(names->len, LIMIT_PAGE_ENTRIES);
        sd_bus_message *reply = attempt_new_reply(a);
        int k;

        if (!reply) {
                attempt_refuse(a, CONVENE_TOO_LARGE);
                return;
        }
        k = sd_bus_message_open_container(reply, 'a', LIST_SIGNATURE);
        for (guint i = 0; i < count && k >= 0; i++)
                k = append_held(a, reply, names->pdata[i]);
        if (k >= 0)
                k = sd_bus_message_close_container(reply);
        if (k >= 0)
                k = sd_bus_message_append(reply, "b", (int) (names->len > count));
        attempt_return(a, reply, k, (uint64_t) count * LIST_BYTES);
}

static const AttemptKind list_kind = { .look = list_look, .is_fresh = true };

/*
 * Methods
 */

static int refuse(Caller *c, sd_bus_message *m, const char *text) {
        reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS, "%s", text);
        return METHOD_DONE;
}

/* Whose name is not given is the caller's unit, or its user, on this host. */
static int start(Caller *c, sd_bus_message *m, const AttemptKind *kind, const char *name, const Plan *wanted, const Options *o) {
        const char *holder = o->given & OPTION_HOLDER ? o->holder : c->unit_id ?: c->unix_id;
        char *path = name[0] != '/' ? recipe_path(RECIPE_LEASES, name) : NULL;
        Plan *p;

        if (!path)
                return refuse(c, m, "a lease's name is one component of a path, without a slash");
        if (!lease_holder_validate(holder) || (wanted->to && wanted->to[0] != '\0' && !lease_holder_validate(wanted->to))) {
                g_free(path);
                return refuse(c, m, "a holder's name is 1 to 256 bytes of text without control characters");
        }
        if (o->given & OPTION_TOKEN && o->token == 0) {
                g_free(path);
                return refuse(c, m, "no lease ever has the token 0");
        }
        p = g_new(Plan, 1);
        *p = *wanted;
        p->holder = g_strdup(holder);
        p->to = g_strdup(wanted->to);
        p->token = o->token;
        attempt_start(c, m, kind, path, p, plan_free, o);
        return METHOD_DONE;
}

static int method_acquire(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        const char *name;
        uint64_t ttl_usec;
        int k;

        k = sd_bus_message_read(m, "st", &name, &ttl_usec);
        if (k < 0)
                return k;
        k = call_read_options(c, m, OPTION_HOLDER | OPTION_TOKEN | OPTION_PATIENCE | OPTION_ACL, &o);
        if (k <= 0)
                return k;
        if (ttl_usec == 0 ? !(o.given & OPTION_TOKEN)
                          : ttl_usec < TTL_MIN_USEC || ttl_usec / USEC_PER_MSEC > LEASE_TTL_MAX_MSEC)
                return refuse(c, m, "a lease lasts one second to 366 days; 0 is only for one that is held, with its token");
        return start(c, m, &acquire_kind, name, &(Plan) { .ttl_msec = ttl_usec / USEC_PER_MSEC }, &o);
}

static int method_release(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        const char *name;
        int k;

        k = sd_bus_message_read_basic(m, 's', &name);
        if (k < 0)
                return k;
        k = call_read_options(c, m, OPTION_HOLDER | OPTION_TOKEN, &o);
        return k <= 0 ? k : start(c, m, &hand_over_kind, name, &(Plan) { .to = (char *) "" }, &o);
}

static int method_transfer(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        const char *name, *to;
        int k;

        k = sd_bus_message_read(m, "ss", &name, &to);
        if (k < 0)
                return k;
        k = call_read_options(c, m, OPTION_HOLDER | OPTION_TOKEN, &o);
        if (k <= 0)
                return k;
        if (to[0] == '\0')
                return refuse(c, m, "to nobody is Release");
        return start(c, m, &hand_over_kind, name, &(Plan) { .to = (char *) to }, &o);
}

static int method_get(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        const char *name;
        int k;

        k = sd_bus_message_read_basic(m, 's', &name);
        if (k < 0)
                return k;
        k = call_read_options(c, m, 0, &o);
        return k <= 0 ? k : start(c, m, &get_kind, name, &(Plan) { 0 }, &o);
}

static int method_list(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        int k;

        k = call_read_options(c, m, 0, &o);
        if (k <= 0)
                return k;
        attempt_start(c, m, &list_kind, g_strdup(RECIPE_LEASES), NULL, NULL, &o);
        return METHOD_DONE;
}

DEFINE_METHOD(method_acquire)
DEFINE_METHOD(method_release)
DEFINE_METHOD(method_transfer)
DEFINE_METHOD(method_get)
DEFINE_METHOD(method_list)

const sd_bus_vtable leases_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Acquire",
                                SD_BUS_ARGS("s", name, "t", ttl, "a{sv}", options),
                                SD_BUS_RESULT("t", token, "t", until),
                                bus_method_acquire, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Release",
                                SD_BUS_ARGS("s", name, "a{sv}", options),
                                SD_BUS_NO_RESULT,
                                bus_method_release, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Transfer",
                                SD_BUS_ARGS("s", name, "s", to, "a{sv}", options),
                                SD_BUS_NO_RESULT,
                                bus_method_transfer, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Get",
                                SD_BUS_ARGS("s", name, "a{sv}", options),
                                SD_BUS_RESULT("s", holder, "t", token, "t", ttl, "t", until),
                                bus_method_get, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("List",
                                SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("a(ssttt)", leases, "b", more),
                                bus_method_list, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
