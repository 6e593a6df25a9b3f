/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Attempt
 *
 * The member's outward calls only note what happened; the rest is deferred.  An attempt that has ended is freed from the event loop.
 */

#include "dbus/server/attempt.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "dbus/server/codec.h"
#include "dbus/server/error.h"
#include "dbus/server/server-private.h"

#define TRIES_MAX 5                     /* the znode's parent may vanish just before it is made */
#define CONFLICTS_MAX 1000              /* others may be faster, but not for ever */
#define ACCURACY_USEC UINT64_C(1000)
#define REPLY_BYTES 512

/*
 * Birth and death
 */

static void attempt_free(Attempt *a) {
        Server *s = a->server;

        if (a->call)
                call_free(a->call);
        if (a->asking)
                a->asking->plan = NULL;
        place_leave(&a->guest);
        deferred_cancel(&s->later, &a->work);
        sd_event_source_disable_unref(a->patience);
        sd_event_source_disable_unref(a->timer);
        g_queue_unlink(&s->attempts, &a->link);
        if (a->plan_free)
                a->plan_free(a->plan);
        recipe_acl_done(&a->acl);
        g_free(a->made);
        g_free(a->path);
        g_free(a);
}

void attempts_done(Server *s) {
        while (s->attempts.length > 0)
                attempt_free(g_queue_peek_head(&s->attempts));
}

/* Nobody waits for the answer any more. */
static void attempt_end(Attempt *a) {
        Call *call = g_steal_pointer(&a->call);

        if (call)
                call_free(call);
        deferred_schedule(&a->server->later, &a->work);
}

void attempts_on_caller_gone(Caller *c) {
        for (GList *i = c->server->attempts.head; i; i = i->next) {
                Attempt *a = i->data;

                if (a->call && a->call->caller == c)
                        attempt_end(a);
        }
}

/*
 * Answers
 */

uint64_t attempt_now_usec(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_BOOTTIME, &now);
        return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

Identities attempt_identities(const Attempt *a) {
        return caller_identities(a->call->caller);
}

ConveneStatus attempt_read(const Attempt *a, Result *ret) {
        Request r = { .op = REQUEST_GET_DATA, .path = a->path, .caller = attempt_identities(a) };

        tree_read(member_tree(a->server->member), &r, ret);
        return ret->status;
}

sd_bus_message *attempt_new_reply(Attempt *a) {
        return call_new_reply(a->call);
}

void attempt_return(Attempt *a, sd_bus_message *reply, int k, uint64_t bytes) {
        if (k >= 0)
                call_return(a->call, reply, bytes);
        else {
                sd_bus_message_unref(reply);
                reply_error(a->call->caller->channel, a->call->message, CONVENE_TOO_LARGE, a->path);
        }
        attempt_end(a);
}

void attempt_answer(Attempt *a, const char *types, ...) {
        sd_bus_message *reply = attempt_new_reply(a);
        va_list arguments;
        int k = 0;

        va_start(arguments, types);
        if (reply && types[0] != '\0')
                k = sd_bus_message_appendv(reply, types, arguments);
        va_end(arguments);
        attempt_return(a, reply, k, REPLY_BYTES);
}

void attempt_refuse(Attempt *a, ConveneStatus status) {
        reply_error(a->call->caller->channel, a->call->message, status, a->path);
        attempt_end(a);
}

void attempt_refuse_text(Attempt *a, ConveneStatus status, const char *text) {
        reply_refusal(a->call->caller->channel, a->call->message, status, "%s (%s)", text, a->path);
        attempt_end(a);
}

/*
 * Waiting
 */

static int on_patience(sd_event_source *source, uint64_t usec, void *userdata) {
        Attempt *a = userdata;

        a->waits = false;
        if (a->call && !a->updates)             /* otherwise what becomes of the update is the answer */
                attempt_refuse(a, CONVENE_TIMED_OUT);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Attempt *a = userdata;

        if (a->guest.place)
                place_look(&a->guest);
        return 0;
}

void attempt_wait(Attempt *a, uint64_t until_usec) {
        if (!a->waits) {
                attempt_refuse(a, CONVENE_TIMED_OUT);
                return;
        }
        a->timer = sd_event_source_disable_unref(a->timer);
        if (until_usec < UINT64_MAX)
                (void) sd_event_add_time(a->server->event, &a->timer, CLOCK_BOOTTIME, until_usec, ACCURACY_USEC, on_timer, a);
}

static void attempt_on_look(void *userdata) {
        Attempt *a = userdata;

        if (a->call && !a->asking && !a->updates && (a->kind->is_blind || !place_is_occupied(&a->guest)))
                a->kind->look(a);
}

/*
 * Updates
 */

static void on_parent(Call *call, const Result *result) {
        Attempt *a = call->main->plan;

        if (a && result->status != CONVENE_OK && result->status != CONVENE_NODE_EXISTS && a->parents_status == CONVENE_OK)
                a->parents_status = result->status;
}

static void on_asked(Call *call, const Result *result) {
        Attempt *a = g_steal_pointer(&call->plan);

        if (!a)
                return;
        a->asking = NULL;
        a->status = result->status;
        a->stat = result->stat;
        a->made = g_strdup(result->path);
        deferred_schedule(&a->server->later, &a->work);
}

static void attempt_ask(Attempt *a, const Request *r, bool updates) {
        Call *call = call_new_detached(a->server, NULL, NULL, r, on_asked);
        g_autofree char *parent = NULL;

        a->updates = updates;
        a->asking = call;
        call->plan = a;
        if (r->op == REQUEST_CREATE && (parent = g_path_get_dirname(r->path)) && parent[1] != '\0')
                recipe_make_parents(a->server, parent, 0, r->caller, r->acl, call, on_parent);
        call_start_detached(call, r);
}

void attempt_submit(Attempt *a, Request *r) {
        r->caller = attempt_identities(a);
        if (r->op == REQUEST_CREATE)
                r->acl = recipe_acl_entries(&a->acl, member_get_tree(a->server->member), a->path);
        a->parents_status = CONVENE_OK;
        if (!a->kind->is_blind)
                place_occupy(&a->guest);
        attempt_ask(a, r, true);
}

/* What it saw was so no more. */
static bool may_look_again(Attempt *a) {
        switch (a->status) {
        case CONVENE_NO_NODE:
                return ++a->tries < TRIES_MAX;
        case CONVENE_BAD_VERSION:
        case CONVENE_NODE_EXISTS:
                return ++a->conflicts < CONFLICTS_MAX;
        default:
                return false;
        }
}

static void attempt_after_update(Attempt *a) {
        a->updates = false;
        if (a->status == CONVENE_OK)
                a->kind->applied(a);
        else if (a->parents_status != CONVENE_OK)
                attempt_refuse(a, a->parents_status);   /* says more than that there is no parent */
        else if (!may_look_again(a))
                attempt_refuse(a, a->status);
        else
                place_look(&a->guest);
        place_vacate(&a->guest);
}

static void attempt_on_work(void *userdata) {
        Attempt *a = userdata;

        if (!a->call)
                attempt_free(a);
        else if (a->asking)
                return;
        else if (a->updates)
                attempt_after_update(a);
        else if (a->status != CONVENE_OK)
                attempt_refuse(a, a->status);
        else
                place_join(a->server, a->path, &a->guest);
}

/*
 * Beginning
 */

static void on_never(Call *call, const Result *result) {
        g_assert_not_reached();                 /* it waits, and is not submitted */
}

void attempt_start(Caller *c, sd_bus_message *m, const AttemptKind *kind, char *path, void *plan, void (*plan_free)(void *plan),
                   const Options *o) {
        Server *s = c->server;
        Request shape = {
                .op = REQUEST_CREATE,
                .path = path,
                .caller = c->identities,
                .data = o->data_size > 0 ? o->data : (const void *) "",
                .data_size = (uint32_t) MIN(o->data_size, UINT32_MAX),
                .acl = o->given & OPTION_ACL ? options_acl(o) : recipe_nearest_acl(member_get_tree(s->member), path),
                .mode = CREATE_PERSISTENT,
        };
        Request sync = { .op = REQUEST_SYNC, .path = "/" };
        Attempt *a = g_new0(Attempt, 1);

        a->server = s;
        a->link.data = a;
        g_queue_push_tail_link(&s->attempts, &a->link);
        deferred_init(&a->work, attempt_on_work, a);
        a->kind = kind;
        a->path = path;
        a->plan = plan;
        a->plan_free = plan_free;
        a->guest = (Guest) { .every_event = true, .look = attempt_on_look, .userdata = a };
        recipe_acl_init(&a->acl, o);
        a->call = call_new_detached(s, c, m, &shape, on_never);
        if (!a->call) {
                attempt_free(a);                /* has been answered */
                return;
        }
        if (!call_charge(a->call, o->kept_bytes)) {
                attempt_free(a);
                return;
        }
        call_settle(a->call);
        a->waits = !(o->given & OPTION_PATIENCE) || o->patience_usec > 0;
        if (a->waits && o->given & OPTION_PATIENCE)
                (void) sd_event_add_time_relative(s->event, &a->patience, CLOCK_BOOTTIME,
                                                  MIN(o->patience_usec, UINT64_MAX / 4), ACCURACY_USEC, on_patience, a);
        if (kind->is_fresh)
                attempt_ask(a, &sync, false);
        else
                place_join(s, a->path, &a->guest);
}
