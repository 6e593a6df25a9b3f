/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Hand-over
 *
 * Its life: a session of the host's is opened, the znode is made in it, and the queue is looked at whenever it changes.  It ends with an answer, and
 * then the session does.
 */

#include "dbus/server/handover.h"

#include <string.h>

#include "dbus/server/error.h"
#include "dbus/server/holder.h"
#include "dbus/server/place.h"
#include "dbus/server/recipe.h"
#include "dbus/server/server-private.h"
#include "dbus/server/stand.h"

#define NODE "move"
#define SESSION_MSEC 10000
#define ACCURACY_USEC UINT64_C(1000)
#define REPLY_BYTES 256
#define ORDER_BYTES 1024

typedef struct HandOver {
        Server *server;
        GList link;                     /* in Server.hand_overs */
        Call *call;                     /* waits for the answer; NULL: it has it */
        Call *making;
        char *election, *parent, *from, *to;
        uint64_t session;               /* 0: not yet */
        bool made;                      /* the znode is there */
        Guest guest;
        sd_event_source *patience;
        Deferred work;
} HandOver;

void hand_over_order_free(HandOverOrder *o) {
        g_free((char *) o->order.from);
        g_free((char *) o->order.to);
        g_free(o);
}

HandOverOrder *hand_over_read(Server *s, const char *parent) {
        g_autofree char *path = g_strdup_printf("%s/" NODE, parent), *text = NULL;
        Request r = { .op = REQUEST_GET_DATA, .path = path, .caller = server_reading_identities(s) };
        HandOverOrder *o;
        Result result;
        char *line;

        tree_read(member_tree(s->member), &r, &result);
        if (result.status != CONVENE_OK || !owners_is_agents_own(s, result.stat.ephemeral_owner) || result.data_size > ORDER_BYTES)
                return NULL;
        text = g_strndup((const char *) result.data, result.data_size);
        line = strchr(text, '\n');
        if (!line)
                return NULL;
        o = g_new0(HandOverOrder, 1);
        o->order = (CandidacyOrder) { .from = g_strndup(text, line - text), .to = g_strdup(line + 1) };
        o->to_stands = stands_has(s, parent, o->order.to);
        return o;
}

static void hand_over_free(HandOver *h) {
        Server *s = h->server;

        if (h->call)
                call_free(h->call);
        if (h->making)
                h->making->plan = NULL;
        place_leave(&h->guest);
        deferred_cancel(&s->later, &h->work);
        sd_event_source_disable_unref(h->patience);
        g_queue_unlink(&s->hand_overs, &h->link);
        g_free(h->election);
        g_free(h->parent);
        g_free(h->from);
        g_free(h->to);
        g_free(h);
}

void hand_overs_done(Server *s) {
        while (s->hand_overs.length > 0)
                hand_over_free(g_queue_peek_head(&s->hand_overs));
}

/* Answered: what is left is to end the session, if that is known by now; it is freed then. */
static void hand_over_end(HandOver *h) {
        OwnedSession *o = h->session != 0 ? owners_find(h->server, h->session) : NULL;

        g_clear_pointer(&h->call, call_free);
        h->patience = sd_event_source_disable_unref(h->patience);
        if (o)
                owners_end(o);
        if (h->session != 0)
                deferred_schedule(&h->server->later, &h->work);
}

static void refuse(HandOver *h, ConveneStatus status, const char *format, const char *what) {
        if (h->call && h->call->caller) {
                g_autofree char *text = g_strdup_printf("%s %s", h->election, format);

                reply_refusal(h->call->caller->channel, h->call->message, status, "%s%s", text, what);
        }
        hand_over_end(h);
}

static void answer(HandOver *h, const char *host) {
        g_autoptr(sd_bus_message) reply = h->call ? call_new_reply(h->call) : NULL;

        if (reply && sd_bus_message_append(reply, "s", host) >= 0)
                call_return(h->call, g_steal_pointer(&reply), REPLY_BYTES);
        hand_over_end(h);
}

static bool has_other(const GArray *seen, const char *host) {
        for (guint i = 0; i < seen->len; i++)
                if (!g_str_equal(g_array_index(seen, StandSeen, i).host, host))
                        return true;
        return false;
}

/* Whoever is first stays there, and does not let others go first. */
static bool is_settled(const HandOver *h, const GArray *seen) {
        const CandidacyOrder order = { .from = h->from, .to = h->to };
        g_autofree Candidate *queue = g_new0(Candidate, seen->len);

        for (guint i = 0; i < seen->len; i++)
                queue[i] = (Candidate) { g_array_index(seen, StandSeen, i).host, g_array_index(seen, StandSeen, i).priority };
        return !candidacy_stands_aside(queue, seen->len, 0, &order);
}

/* Whoever was first has gone, and the one who is to lead is there, or any. */
static void on_look(void *userdata) {
        g_autoptr(GArray) seen = NULL;
        HandOver *h = userdata;
        const char *first;

        if (!h->call || !h->made)
                return;
        seen = stands_see(h->server, h->election);
        if (seen->len == 0)
                return;
        first = g_array_index(seen, StandSeen, 0).host;
        if (h->to[0] != '\0' ? g_str_equal(first, h->to) : !g_str_equal(first, h->from) && is_settled(h, seen))
                answer(h, first);
        else if (h->to[0] != '\0' && !stands_has(h->server, h->election, h->to))
                refuse(h, CONVENE_BAD_ARGUMENTS, "cannot be handed over to a host that does not stand in it any more: ", h->to);
        else if (h->to[0] == '\0' && !has_other(seen, h->from))
                refuse(h, CONVENE_BAD_ARGUMENTS, "has no other host that stands by any more", "");
}

/* Whoever may not stand aside, or knows of no priority, leads although others were to go first. */
static int on_patience(sd_event_source *source, uint64_t usec, void *userdata) {
        HandOver *h = userdata;
        g_autoptr(GArray) seen = stands_see(h->server, h->election);
        const char *first = seen->len > 0 ? g_array_index(seen, StandSeen, 0).host : h->from;

        if (h->made && h->to[0] == '\0' && !g_str_equal(first, h->from))
                answer(h, first);
        else
                refuse(h, CONVENE_TIMED_OUT, "was not taken over in time; see \"convenectl leader\" for who leads", "");
        return 0;
}

static void on_work(void *userdata) {
        HandOver *h = userdata;

        if (!h->call)
                hand_over_free(h);
        else if (h->made)
                place_look(&h->guest);
}

static void on_made(Call *call, const Result *result) {
        HandOver *h = g_steal_pointer(&call->plan);

        if (!h)
                return;
        h->making = NULL;
        h->made = result->status == CONVENE_OK;
        if (!h->made && h->call && h->call->caller) {
                if (result->status == CONVENE_NODE_EXISTS)
                        reply_refusal(h->call->caller->channel, h->call->message, result->status, "%s is being handed over already",
                                      h->election);
                else
                        reply_error(h->call->caller->channel, h->call->message, result->status, h->parent);
        }
        if (!h->made)
                hand_over_end(h);
        else
                deferred_schedule(&h->server->later, &h->work);
}

static void on_opened(void *userdata, ConveneStatus status, uint64_t session) {
        HandOver *h = userdata;
        g_autofree char *path = g_strdup_printf("%s/" NODE, h->parent), *order = g_strdup_printf("%s\n%s", h->from, h->to);
        Request r = {
                .op = REQUEST_CREATE,
                .path = path,
                .session = session,
                .data = (const uint8_t *) order,
                .data_size = (uint32_t) strlen(order),
                .acl = stand_acl(),
                .mode = CREATE_EPHEMERAL,
        };

        h->session = session;
        if (status != CONVENE_OK) {
                if (h->call && h->call->caller)
                        reply_error(h->call->caller->channel, h->call->message, status, h->parent);
                g_clear_pointer(&h->call, call_free);
                hand_over_free(h);
                return;
        }
        if (!h->call) {                         /* its time was over before it had begun */
                hand_over_end(h);
                return;
        }
        h->making = call_new_detached(h->server, NULL, NULL, &r, on_made);
        h->making->plan = h;
        call_start_detached(h->making, &r);
}

static void begin(HandOver *h) {
        OpenPlan *plan = open_plan_new(h->server, OWNER_HOST, SESSION_MSEC);

        place_join(h->server, h->parent, &h->guest);
        plan->opened = on_opened;
        plan->userdata = h;
        owners_open(h->server, NULL, NULL, plan);
}

/* NULL, or why there is nothing to be handed over; *ret_first is who leads. */
static const char *check(const GArray *seen, const char *to, const char **ret_first) {
        if (seen->len == 0)
                return "is led by nobody: there is nothing to hand over";
        *ret_first = g_array_index(seen, StandSeen, 0).host;
        if (!g_array_index(seen, StandSeen, 0).hears && (to[0] == '\0' || !g_str_equal(*ret_first, to)))
                return "is led by a client of the ZooKeeper port, which no agent can ask to resign; close its session to have another lead";
        if (to[0] == '\0' && has_other(seen, *ret_first))
                return NULL;
        for (guint i = 0; i < seen->len; i++)
                if (to[0] != '\0' && g_str_equal(g_array_index(seen, StandSeen, i).host, to))
                        return NULL;
        return to[0] == '\0' ? "has no other host that stands by" : "cannot be handed over to a host that does not stand in it: ";
}

void hand_over_start(Call *call, const char *election, const char *to, const Options *o) {
        uint64_t timeout_usec = o->given & OPTION_PATIENCE ? MIN(o->patience_usec, HAND_OVER_PATIENCE_MAX_USEC) : HAND_OVER_PATIENCE_USEC;
        Server *s = call->server;
        g_autoptr(GArray) seen = stands_see(s, election);
        HandOver *h = g_new0(HandOver, 1);
        const char *first = "", *why = check(seen, to, &first);

        h->server = s;
        h->call = call;
        h->election = g_strdup(election);
        h->parent = recipe_path(RECIPE_ELECTIONS, election);
        h->from = g_strdup(first);
        h->to = g_strdup(to);
        h->link.data = h;
        h->guest = (Guest) { .every_event = true, .look = on_look, .userdata = h };
        deferred_init(&h->work, on_work, h);
        g_queue_push_tail_link(&s->hand_overs, &h->link);
        if (why) {
                refuse(h, seen->len == 0 ? CONVENE_NOT_HELD : CONVENE_BAD_ARGUMENTS, why, g_str_has_suffix(why, ": ") ? to : "");
                hand_over_free(h);
        } else if (to[0] != '\0' && g_str_equal(first, to)) {
                answer(h, first);
                hand_over_free(h);
        } else {
                (void) sd_event_add_time_relative(s->event, &h->patience, CLOCK_BOOTTIME, timeout_usec, ACCURACY_USEC, on_patience, h);
                begin(h);
        }
}

/*
 * Locks.HandOver
 */

/* Whoever may DELETE there could end the leadership anyway, and less gently; so could who leads. */
static bool may_hand_over(const Caller *c, const char *path) {
        Server *s = c->server;
        const Acl *acl = tree_get_acl(member_get_tree(s->member), path);
        g_autoptr(Lineup) l = NULL;
        g_autofree char *first = NULL;
        MemberStatus status;
        Holder h;

        if (!acl || acl_allows(acl, PERMISSION_DELETE, caller_identities(c)))
                return true;
        l = place_read(s, path);
        if (lineup_length(l) == 0)
                return false;
        first = g_strdup_printf("%s/%s", path, lineup_at(l, 0)->name);
        member_get_status(s->member, &status);
        return holder_read(s, first, &h) && h.has_session && h.session.member == status.sid && holder_uid(&h) == (uint32_t) c->uid;
}

int method_hand_over(Caller *c, sd_bus_message *m) {
        Request nothing = { .op = REQUEST_SYNC, .path = "/" };
        g_auto(Options) o = OPTIONS_INIT;
        g_autofree char *path = NULL;
        const char *name, *host;
        Call *call;
        int k;

        k = sd_bus_message_read(m, "ss", &name, &host);
        if (k < 0)
                return k;
        k = call_read_options(c, m, OPTION_PATIENCE, &o);
        if (k <= 0)
                return k;
        path = recipe_path(RECIPE_ELECTIONS, name);
        if (!path)
                return recipe_refuse_name(c, m);
        if (!may_hand_over(c, path)) {
                reply_refusal(c->channel, m, CONVENE_NO_AUTH,
                              "to hand over %s takes the permission DELETE on %s, or to be the user who leads, on its host", name, path);
                return METHOD_DONE;
        }
        call = call_new_detached(c->server, c, m, &nothing, NULL);
        if (call)
                hand_over_start(call, name, host, &o);
        return METHOD_DONE;
}
