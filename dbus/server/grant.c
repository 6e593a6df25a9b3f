/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Grant
 *
 * Its life: a session is opened, bound to a descriptor whose other end is kept here; the znode is made; when its turn has come
 * the other end goes to the caller.  Whatever ends it ends the session, and with the session the znode goes.
 *
 * The member's outward calls only note what happened; the rest is deferred.
 */

#include "dbus/server/grant.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/base/limits.h"
#include "dbus/server/error.h"
#include "dbus/server/handover.h"
#include "dbus/server/holder.h"
#include "dbus/server/promised.h"
#include "dbus/server/server-private.h"
#include "dbus/server/yield.h"

#define TRIES_MAX 5                     /* the znode's parent may vanish just before it is made */
#define ACCURACY_USEC UINT64_C(1000)
#define REPLY_BYTES 512

/* Whether others cannot have it meanwhile. */
static bool kind_excludes(const GrantKind *kind) {
        return kind == &grant_contender || kind == &grant_campaign || kind == &grant_claim;
}

static void grant_on_work(void *userdata);
static void grant_on_look(void *userdata);
static void grant_make(Grant *g);

/*
 * Birth and death
 */

static Grant *grant_new(Server *s, const GrantKind *kind, const char *parent) {
        Grant *g = g_new0(Grant, 1);

        g->server = s;
        g->kind = kind;
        g->slots = 1;
        g->parent = g_strdup(parent);
        g->patience_usec = UINT64_MAX;
        g->link.data = g;
        deferred_init(&g->work, grant_on_work, g);
        g->guest = (Guest) { .every_event = kind->every_event || kind->saw || kind->choose, .look = grant_on_look, .saw = kind->saw, .userdata = g };
        g_queue_push_tail_link(&s->grants, &g->link);
        return g;
}

static void grant_forget_call(Grant *g) {
        Call *call = g_steal_pointer(&g->call);

        g->patience = sd_event_source_disable_unref(g->patience);
        if (call)
                call_free(call);
}

static void grant_free(Grant *g) {
        Server *s = g->server;

        grant_forget_call(g);
        if (g->making)
                g->making->plan = NULL;
        if (g->owned)
                g->owned->grant = NULL;
        place_leave(&g->guest);
        deferred_cancel(&s->later, &g->work);
        sd_event_source_disable_unref(g->promise);
        g_queue_unlink(&s->grants, &g->link);
        yield_look(s);
        g_clear_pointer(&g->data, g_bytes_unref);
        recipe_acl_done(&g->acl);
        g_clear_pointer(&g->order, hand_over_order_free);
        g_free(g->parent);
        g_free(g->queue);
        g_free(g->node);
        g_free(g->name);
        g_free(g);
}

/* Their sessions go on. */
void grants_done(Server *s) {
        while (s->grants.length > 0)
                grant_free(g_queue_peek_head(&s->grants));
}

static void grant_leave(Grant *g) {
        grant_forget_call(g);
        if (g->state == GRANT_OPENING && !g->owned) {
                g->state = GRANT_LEAVING;       /* until it is known what to close */
                return;
        }
        g->state = GRANT_LEAVING;
        g->promise = sd_event_source_disable_unref(g->promise);
        if (g->owned)
                owners_hang_up(g->owned);
        else
                deferred_schedule(&g->server->later, &g->work);
}

void grant_refuse(Grant *g, ConveneStatus status, const char *about) {
        if (g->call && g->call->caller)
                reply_error(g->call->caller->channel, g->call->message, status, about);
        grant_leave(g);
}

void grants_on_caller_gone(Caller *c) {
        for (GList *i = c->server->grants.head; i; i = i->next) {
                Grant *g = i->data;

                if (g->call && g->call->caller == c)
                        grant_leave(g);
        }
}

void grant_on_session_gone(Grant *g) {
        g->owned = NULL;
        deferred_schedule(&g->server->later, &g->work);
}

/*
 * The promise
 */

static uint64_t now_usec(const Grant *g) {
        uint64_t now = 0;

        (void) sd_event_now(g->server->event, CLOCK_BOOTTIME, &now);
        return now;
}

static TenureClock read_clock(const Grant *g) {
        TenureClock c = {
                .now_usec = now_usec(g),
                .deadline_usec = member_session_deadline(g->server->member, g->owned->id),
        };
        SessionInfo info;

        if (tree_get_session(member_get_tree(g->server->member), g->owned->id, &info))
                c.timeout_msec = info.timeout_msec;
        return c;
}

static uint64_t give_up_usec(Grant *g) {
        TenureClock c = read_clock(g);

        return tenure_give_up_usec(&g->tenure, &c);
}

static int on_promise(sd_event_source *source, uint64_t usec, void *userdata);

static void watch_promise(Grant *g, uint64_t at_usec) {
        if (!g->promise) {
                if (sd_event_add_time(g->server->event, &g->promise, CLOCK_BOOTTIME, at_usec, ACCURACY_USEC, on_promise, g) < 0)
                        grant_leave(g);
                return;
        }
        (void) sd_event_source_set_time(g->promise, at_usec);
        (void) sd_event_source_set_enabled(g->promise, SD_EVENT_ONESHOT);
}

/* Whoever held it is told first, and its session ends once it has had the time to act on that. */
void grant_lose(Grant *g) {
        TenureClock c = read_clock(g);

        g->state = GRANT_LOST;
        owners_tell_lost(g->owned);
        if (g->call && g->call->caller)
                reply_error(g->call->caller->channel, g->call->message, CONVENE_NOT_HELD, g->parent);
        grant_forget_call(g);
        watch_promise(g, tenure_release_usec(&c));
}

/* Nobody has been told that it holds; that is not sure of what an earlier agent has left. */
static bool is_waiting(const Grant *g) {
        return g->state == GRANT_WAITING || (g->state == GRANT_HELD && g->pending && !g->recovered);
}

static int on_promise(sd_event_source *source, uint64_t usec, void *userdata) {
        Grant *g = userdata;
        uint64_t at;

        member_on_tick(g->server->member);      /* an ensemble of one has no heartbeats: its promise grows when it looks at the clock */
        if (!g->owned)
                return 0;                       /* about to be freed */
        if (is_waiting(g)) {
                deferred_schedule(&g->server->later, &g->work);
                return 0;
        }
        if (g->state == GRANT_LOST) {
                grant_leave(g);
                return 0;
        }
        at = give_up_usec(g);
        if (now_usec(g) >= at) {
                grant_lose(g);
                return 0;
        }
        watch_promise(g, at);
        if (g->pending)                         /* perhaps only now it is known that there is one */
                deferred_schedule(&g->server->later, &g->work);
        return 0;
}

/*
 * Waiting and holding
 */

static int on_patience(sd_event_source *source, uint64_t usec, void *userdata) {
        Grant *g = userdata;

        grant_refuse(g, CONVENE_TIMED_OUT, g->parent);
        return 0;
}

static bool is_marked(const Grant *g) {
        char c;

        return recv(g->owned->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

bool grant_is_told(const Grant *g) {
        return g->state == GRANT_HELD && !is_waiting(g);
}

static char *describe_turn(Grant *g) {
        g_autofree char *path = g_strdup_printf("%s/%s", g->parent, g->name);
        Zxid token = g->token;
        Holder h;

        if (!g->moved)
                return g_strdup("\n");
        if (token == 0 && holder_read(g->server, path, &h))
                token = h.stat.czxid;
        return g_strdup_printf("%" PRIu64 " %s\n", token, path);
}

/* Told twice is as good as told once: the mark goes last. */
static void tell(Grant *g) {
        TenureClock clock = read_clock(g);
        g_autofree char *turn = describe_turn(g);
        uint64_t at;
        char c;

        if (!tenure_may_begin(&g->tenure, &clock, &at)) {
                watch_promise(g, at);
                return;
        }
        if (send(g->owned->fd, turn, strlen(turn), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
                grant_leave(g);
                return;
        }
        (void) recv(g->owned->fd, &c, 1, MSG_DONTWAIT);
        g->pending = false;
        watch_promise(g, at);
}

/* The call goes on: its end, or its caller's, is that of the grant. */
static void grant_tell_caller(Grant *g) {
        uint32_t grace_msec = (uint32_t) (tenure_grace_usec(read_clock(g).timeout_msec) / 1000);
        g_autofree char *path = g_strdup_printf("%s/%s", g->parent, g->name);
        g_autoptr(sd_bus_message) m = NULL;
        Caller *c = g->call->caller;

        g->state = GRANT_HELD;
        g->patience = sd_event_source_disable_unref(g->patience);
        if (c && sd_bus_message_new_signal(c->channel->bus, &m, OBJECT_PATH, "org.convene1.Locks", "Granted") >= 0 &&
            (!c->name || sd_bus_message_set_destination(m, c->name) >= 0) &&
            sd_bus_message_append(m, "tsu", g->token, path, grace_msec) >= 0)
                (void) channel_send(c->channel, m, REPLY_BYTES);
}

/* The descriptor is the grant: with its last copy closed, be it in a message that nobody takes, the session ends. */
static void grant_answer(Grant *g) {
        g_autoptr(sd_bus_message) reply = call_new_reply(g->call);
        g_autofree char *path = g->kind->choose ? g_strdup(g->parent) : g_strdup_printf("%s/%s", g->parent, g->name);
        uint32_t grace_msec = (uint32_t) (tenure_grace_usec(read_clock(g).timeout_msec) / 1000);
        int k;

        if (!reply)
                grant_leave(g);
        else if ((k = sd_bus_message_append(reply, "htsu", g->owned->theirs, g->token, path, grace_msec)) < 0 ||
                 (g->kind->answer && (k = g->kind->answer(g, reply)) < 0))
                grant_refuse(g, k == -EACCES ? CONVENE_NO_AUTH : CONVENE_TOO_LARGE, path);
        else {
                call_return(g->call, g_steal_pointer(&reply), REPLY_BYTES);
                g->state = GRANT_HELD;
                grant_forget_call(g);
                close(g->owned->theirs);
                g->owned->theirs = -1;
        }
}

static void grant_give(Grant *g) {
        TenureClock c = read_clock(g);
        uint64_t at;

        if (!tenure_may_begin(&g->tenure, &c, &at)) {
                watch_promise(g, at);
                return;
        }
        if (g->stays)
                grant_tell_caller(g);
        else
                grant_answer(g);
        if (g->state == GRANT_HELD)
                watch_promise(g, at);
}

/* It need not be its turn. */
static void grant_give_pending(Grant *g, LineupStanding standing) {
        if (g->state == GRANT_WAITING)
                grant_answer(g);
        if (g->state == GRANT_HELD && standing == STANDING_HOLDS)
                tell(g);
}

bool grant_excludes(const Grant *g) {
        return kind_excludes(g->kind);
}

bool grant_is_held(const Grant *g) {
        return g->owned && !is_waiting(g) && g->state >= GRANT_HELD;
}

/* This host is about to sleep or to shut down: others get it. */
static void grant_yield(Grant *g) {
        if (g->state == GRANT_HELD && !is_waiting(g)) {
                grant_lose(g);
                return;
        }
        if (g->call && g->call->caller)
                reply_refusal(g->call->caller->channel, g->call->message, CONVENE_NOT_HELD, "its turn has come for %s, but this host is "
                              "about to sleep or to shut down; ask again when it is back", g->parent);
        grant_leave(g);
}

static void grant_choose(Grant *g) {
        if (g->making)
                return;
        if (!g->server->away && g->kind->choose(g))
                grant_make(g);
        else if (g->patience_usec == 0 && g->state == GRANT_OPENING && !place_is_occupied(&g->guest))
                grant_refuse(g, CONVENE_TIMED_OUT, g->parent);
}

static void grant_on_look(void *userdata) {
        Grant *g = userdata;
        LineupStanding standing;

        if (!g->owned || g->state == GRANT_LEAVING || (g->making && (g->state == GRANT_WAITING || g->state == GRANT_HELD)))
                return;
        if (g->state == GRANT_OPENING && g->kind->choose) {
                grant_choose(g);
                return;
        }
        standing = g->kind->stand(g);
        if (g->state == GRANT_OPENING)
                grant_make(g);                  /* it had to look before */
        if (g->state != GRANT_WAITING && g->state != GRANT_HELD)
                return;
        if (standing == STANDING_WAITS)
                g->recovered = false;           /* no earlier agent can have told it that it holds */
        if (standing == STANDING_GONE)
                grant_refuse(g, CONVENE_NOT_HELD, g->parent);   /* somebody has deleted it */
        else if (standing == STANDING_HOLDS && g->server->away && grant_excludes(g))
                grant_yield(g);
        else if (g->pending)
                grant_give_pending(g, standing);
        else if (g->state == GRANT_WAITING && standing == STANDING_HOLDS)
                grant_give(g);
        else if (g->state == GRANT_WAITING && g->patience_usec == 0)
                grant_refuse(g, CONVENE_TIMED_OUT, g->parent);
}

/*
 * Making the znode
 */

AclEntries grant_acl(const Grant *g) {
        return recipe_acl_entries(&g->acl, member_get_tree(g->server->member), g->parent);
}

void grant_on_parent(Call *call, const Result *result) {
        Call *making = call->main;
        Grant *g = making->plan;

        if (g && result->status != CONVENE_OK && result->status != CONVENE_NODE_EXISTS && g->parents_made == CONVENE_OK)
                g->parents_made = result->status;
}

void grant_made(Grant *g, const Result *result) {
        g->making = NULL;
        g->made = result->status;
        deferred_schedule(&g->server->later, &g->work);
}

static void on_made(Call *call, const Result *result) {
        Grant *g = g_steal_pointer(&call->plan);

        if (!g)
                return;
        if (result->status == CONVENE_OK) {
                g->name = g_strdup(strrchr(result->path, '/') + 1);
                g->token = tenure_token(result);
        }
        grant_made(g, result);
}

static void grant_make(Grant *g) {
        Server *s = g->server;
        g_autofree char *path = g_strdup_printf("%s/%s", g->parent, g->node);
        size_t size;
        Request r = {
                .op = REQUEST_CREATE,
                .path = path,
                .session = g->owned->id,
                .mode = g->kind->is_sequential ? CREATE_EPHEMERAL_SEQUENTIAL : CREATE_EPHEMERAL,
        };
        Call *making;

        r.data = g_bytes_get_data(g->data, &size) ?: (const void *) "";
        r.data_size = (uint32_t) size;

        g->state = GRANT_CREATING;
        g->made = CONVENE_OK;
        g->parents_made = CONVENE_OK;
        g->tries++;
        g->making = making = call_new_detached(s, NULL, NULL, &r, on_made);
        making->plan = g;
        if (!g->kind->choose)                   /* what was chosen is not made anew when it has gone */
                recipe_make_parents(s, g->parent, g->owned->id, (Identities) { 0 }, grant_acl(g), making, grant_on_parent);
        r.acl = grant_acl(g);
        call_start_detached(making, &r);
}

static void on_made_beside(Call *call, const Result *result) {
}

void grant_make_beside(Grant *g, const char *name) {
        g_autofree char *path = g_strdup_printf("%s/%s", g->parent, name);
        Request r = {
                .op = REQUEST_CREATE,
                .path = path,
                .session = g->owned->id,
                .data = (const uint8_t *) "",
                .acl = grant_acl(g),
                .mode = CREATE_EPHEMERAL,
        };

        call_start_detached(call_new_detached(g->server, NULL, NULL, &r, on_made_beside), &r);
}

/* Somebody else was faster. */
static bool may_choose_again(const Grant *g) {
        return g->kind->choose && (g->made == CONVENE_NODE_EXISTS || g->made == CONVENE_NO_NODE);
}

static void grant_after_make(Grant *g) {
        if (may_choose_again(g)) {
                g->state = GRANT_OPENING;
                g->made = CONVENE_OK;
                g->tries = 0;
                place_look(&g->guest);
        } else if (g->made == CONVENE_OK) {
                g->state = GRANT_WAITING;
                if (g->guest.place)
                        place_look(&g->guest);
                else
                        place_join(g->server, g->parent, &g->guest);
        } else if (g->made == CONVENE_NO_NODE && g->parents_made == CONVENE_OK && g->tries < TRIES_MAX)
                grant_make(g);                  /* an empty container was removed in between */
        else                                    /* why there is no parent says more than that there is none */
                grant_refuse(g, g->made == CONVENE_NO_NODE && g->parents_made != CONVENE_OK ? g->parents_made : g->made,
                             g->parent);
}

/* What went before a choice, if something did.  That the parent is not as it was seen is as good as done; but not if it stays there. */
static void grant_after_other(Grant *g) {
        ConveneStatus made = g->made;

        g->made = CONVENE_OK;
        if (made == CONVENE_OK)
                g->tries = 0;
        else if (made == CONVENE_NO_NODE && g->parents_made != CONVENE_OK) {
                grant_refuse(g, g->parents_made, g->parent);
                return;
        } else if ((made != CONVENE_NO_NODE && made != CONVENE_NODE_EXISTS && made != CONVENE_NOT_EMPTY) ||
                   (tree_lookup(member_get_tree(g->server->member), g->parent, NULL, NULL) && ++g->tries >= TRIES_MAX)) {
                grant_refuse(g, made, g->parent);
                return;
        }
        place_look(&g->guest);
}

static void grant_on_work(void *userdata) {
        Grant *g = userdata;

        if (!g->owned) {
                grant_refuse(g, CONVENE_NOT_HELD, g->parent);
                grant_free(g);
                return;
        }
        if (g->state == GRANT_CREATING && !g->making)
                grant_after_make(g);
        else if (g->guest.place && g->state == GRANT_OPENING && !g->making)
                grant_after_other(g);
        else if (g->guest.place && (g->state == GRANT_WAITING || g->pending))
                place_look(&g->guest);
        if (g->guest.place && !g->making)
                place_vacate(&g->guest);
}

/*
 * Beginning
 */

static void on_opened(void *userdata, ConveneStatus status, uint64_t session) {
        Grant *g = userdata;
        OwnedSession *o = status == CONVENE_OK ? owners_find(g->server, session) : NULL;

        if (!o) {
                if (status == CONVENE_LIMIT_EXCEEDED && g->call && g->call->account) {
                        g_autofree char *text = account_limit_text(g->call->account, ACCOUNT_SESSIONS);

                        if (g->call->caller)
                                reply_refusal(g->call->caller->channel, g->call->message, status, "%s", text);
                } else if (g->call && g->call->caller)
                        reply_error(g->call->caller->channel, g->call->message,
                                    status != CONVENE_OK ? status : CONVENE_NOT_HELD, g->parent);
                grant_free(g);
                return;
        }

        o->grant = g;
        g->owned = o;
        owners_give(o, NULL);                   /* it lives with the descriptor and is nobody's to use */
        promised_note(g->server, o->id);
        if (g->state == GRANT_LEAVING)
                owners_hang_up(o);
        else if (g->kind->saw || g->kind->choose)
                place_join(g->server, g->parent, &g->guest);    /* what it is to see comes with its znode, or before */
        else
                grant_make(g);
}

static void on_never(Call *call, const Result *result) {
        g_assert_not_reached();                 /* it waits, and is not submitted */
}

/* The call that waits is charged to its caller as any other without an answer, data included. */
static Call *make_waiting_call(Caller *c, sd_bus_message *m, const GrantRequest *r, const Options *o, const char *path) {
        Request shape = {
                .op = REQUEST_CREATE,
                .path = path,
                .caller = c->identities,
                .data = o->data_size > 0 ? o->data : (const void *) "",
                .data_size = (uint32_t) MIN(o->data_size, UINT32_MAX),
                .acl = o->given & OPTION_ACL ? options_acl(o)
                                             : recipe_nearest_acl(member_get_tree(c->server->member), r->parent),
                .mode = !r->kind || r->kind->is_sequential ? CREATE_PERSISTENT_SEQUENTIAL : CREATE_PERSISTENT,
        };

        if (!o->stay && sd_bus_can_send(c->channel->bus, SD_BUS_TYPE_UNIX_FD) <= 0) {
                reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS,
                              "this connection takes no descriptors, and the answer is one; see the option 'stay' of Lock");
                return NULL;
        }
        return call_new_detached(c->server, c, m, &shape, on_never);
}

static void open_session(Grant *g, Caller *c, uint32_t timeout_msec) {
        OpenPlan *plan = open_plan_new(g->server, OWNER_DESCRIPTOR, timeout_msec);

        g_strlcpy(plan->label, g->kind->label ?: contender_role_to_string(g->role), sizeof(plan->label));
        if (!g->kind->label && (g->role == CONTENDER_LEASE || g->priority > 0))
                g_snprintf(plan->label, sizeof(plan->label), "%s-%" PRIu32, contender_role_to_string(g->role),
                           g->role == CONTENDER_LEASE ? g->slots : g->priority);
        plan->marked = g->pending;
        plan->opened = on_opened;
        plan->userdata = g;
        owners_open(g->server, c, NULL, plan);
}

char *grant_random_node(ContenderRole role) {
        char prefix[CONTENDER_PREFIX_BYTES];
        uint8_t id[16];

        if (getrandom(id, sizeof(id), 0) != sizeof(id))
                g_error("getrandom() gave no %zu bytes", sizeof(id));
        contender_prefix(role, id, prefix);
        return g_strdup(prefix);
}

static char *choose_node(const GrantRequest *r, const GrantKind *kind) {
        g_autofree char *random = NULL;

        if (r->node)
                return g_strdup(r->node);
        random = grant_random_node(r->role);
        if (!kind->is_sequential)               /* the UUID in it is name enough */
                return g_strndup(random + strlen("_c_"), CONTENDER_UUID_TEXT);
        return g_steal_pointer(&random);
}

int grant_start(Caller *c, sd_bus_message *m, const GrantRequest *r, const Options *o) {
        const GrantKind *kind = r->kind ?: &grant_contender;
        g_autofree char *node = choose_node(r, kind), *path = g_strdup_printf("%s/%s", r->parent, node);
        Server *s = c->server;
        Call *call;
        Grant *g;

        call = make_waiting_call(c, m, r, o, path);
        if (!call)
                return METHOD_DONE;             /* has been answered */
        call_settle(call);

        g = grant_new(s, kind, r->parent);
        g->call = call;
        g->role = r->role;
        g->slots = r->slots;
        g->priority = o->priority;
        g->count.wanted = r->slots;
        g->queue = g_strdup(r->parent);
        g->taker = r->taker;
        g->pending = o->pending;
        g->stays = o->stay;
        g->node = g_steal_pointer(&node);
        g->data = g_bytes_new(o->data, o->data_size);
        recipe_acl_init(&g->acl, o);
        g->patience_usec = o->given & OPTION_PATIENCE ? o->patience_usec : UINT64_MAX;
        if (g->patience_usec > 0 && g->patience_usec < UINT64_MAX / 2)
                (void) sd_event_add_time_relative(s->event, &g->patience, CLOCK_BOOTTIME, g->patience_usec, ACCURACY_USEC,
                                                  on_patience, g);
        open_session(g, c, o->session_timeout_msec);
        return METHOD_DONE;
}

/*
 * After a restart of the agent
 */

uint32_t grant_label_number(const char *label, ContenderRole role) {
        const char *prefix = contender_role_to_string(role);
        uint64_t number;

        if (!g_str_has_prefix(label, prefix) || label[strlen(prefix)] != '-' ||
            !g_ascii_string_to_unsigned(label + strlen(prefix) + 1, 10, 1, UINT32_MAX, &number, NULL))
                return 0;
        return (uint32_t) number;
}

/* NULL: it is none of ours. */
static const GrantKind *kind_of_label(const char *label) {
        static const GrantKind *const kinds[] = { &grant_member, &grant_entrant, &grant_claim };

        for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
                if (g_str_equal(label, kinds[i]->label))
                        return kinds[i];
        for (ContenderRole role = 0; role < _CONTENDER_ROLE_MAX; role++)
                if (g_str_equal(label, contender_role_to_string(role)))
                        return role == CONTENDER_LATCH ? &grant_campaign : &grant_contender;
        if (grant_label_number(label, CONTENDER_LATCH) > 0)
                return &grant_campaign;
        return grant_label_number(label, CONTENDER_LEASE) > 0 ? &grant_contender : NULL;
}

bool grant_label_excludes(const char *label) {
        const GrantKind *kind = kind_of_label(label);

        return kind && kind_excludes(kind);
}

/* The znode that stands for it: the only one that its session has, but for what it made beside. */
static char *find_own(Server *s, uint64_t session) {
        Request r = { .op = REQUEST_GET_EPHEMERALS, .path = "/", .session = session };
        const char *own = NULL;
        Result result;

        tree_read(member_tree(s->member), &r, &result);
        if (result.status != CONVENE_OK)
                return NULL;
        for (uint32_t i = 0; i < result.items_count; i++) {
                if (g_str_has_suffix(result.items[i].path, "/" BARRIER_READY) && result.items_count > 1)
                        continue;
                if (own)
                        return NULL;
                own = result.items[i].path;
        }
        return g_strdup(own);
}

/* Whoever waited for an answer has lost the call with the agent, and the other end of the descriptor was the agent's: that hangs up. */
void grant_recover(OwnedSession *o, const char *label) {
        const GrantKind *kind = kind_of_label(label);
        g_autofree char *path = NULL;
        ContenderName parsed = { 0 };
        uint64_t grace_usec;
        char *slash;
        Grant *g;

        if (!kind)
                return;
        path = find_own(o->server, o->id);
        slash = path ? strrchr(path, '/') : NULL;
        if (!slash || slash == path || (kind->is_sequential && !contender_parse(slash + 1, &parsed))) {
                owners_hang_up(o);              /* its znode was not made, or deleted */
                return;
        }
        *slash = '\0';

        g = grant_new(o->server, kind, path);
        g->role = parsed.role;
        g->slots = MAX(grant_label_number(label, CONTENDER_LEASE), 1);
        g->priority = grant_label_number(label, CONTENDER_LATCH);
        g->name = g_strdup(slash + 1);
        g->state = GRANT_HELD;
        g->owned = o;
        o->grant = g;
        g->recovered = true;
        g->moved = g->kind == &grant_campaign;  /* which place an earlier agent answered with is not known */
        grace_usec = tenure_grace_usec(read_clock(g).timeout_msec);
        g->tenure.unknown_since_usec = promised_give_up_usec(o->server, o->id, grace_usec) - grace_usec;
        g->pending = is_marked(g);
        place_join(g->server, g->parent, &g->guest);
        promised_note(g->server, o->id);
        watch_promise(g, give_up_usec(g));
}
