/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Caller
 */

#include "dbus/server/caller.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/limits.h"
#include "dbus/server/attempt.h"
#include "dbus/server/call.h"
#include "dbus/server/connection.h"
#include "dbus/server/error.h"
#include "dbus/server/grant.h"
#include "dbus/server/owners.h"
#include "dbus/server/server-private.h"
#include "dbus/server/watch.h"

#define HELD_TOTAL_FACTOR 4             /* all callers together, in the bytes one uid may have in calls */
#define HELD_BYTES 512                  /* of a message without arguments */
#define DEPTH_MAX 32                    /* of containers walked to size a message */

typedef struct Held {
        sd_bus_message *message;
        Method method;
        uint64_t bytes;
        const char *granted;            /* what polkit has allowed already */
} Held;

static const MemberFront front = {
        .reply = call_on_reply,
        .event = watch_on_event,
        .watches = watch_on_count,
        .lost = watch_on_lost,
};

static void caller_on_drain(void *userdata);

Caller *caller_new(Channel *ch, const char *name) {
        Caller *c = g_new0(Caller, 1);

        c->server = ch->server;
        c->channel = ch;
        c->name = g_strdup(name);
        c->uid = (uid_t) -1;
        c->pidfd = -1;
        g_queue_init(&c->held);
        c->sessions = g_ptr_array_new();
        deferred_init(&c->drain, caller_on_drain, c);
        c->server->counters.callers_seen++;
        return c;
}

static void caller_count_held(Caller *c, int64_t bytes) {
        c->held_bytes += bytes;
        c->server->held_bytes += bytes;
        if (c->account)
                c->account->held_bytes += bytes;
}

static void held_free(Caller *c, Held *h) {
        caller_count_held(c, -(int64_t) h->bytes);
        sd_bus_message_unref(h->message);
        g_free(h);
}

Caller *caller_free(Caller *c) {
        Held *h;

        if (!c)
                return NULL;

        owners_on_caller_gone(c);
        grants_on_caller_gone(c);
        attempts_on_caller_gone(c);
        call_forget_caller(c);
        c->client = member_client_free(c->client);
        watch_forget_caller(c);
        while ((h = g_queue_pop_head(&c->held)))
                held_free(c, h);
        polkit_question_cancel(c->asking);
        if (c->name && c->server->polkit)
                polkit_forget(c->server->polkit, c->name);
        deferred_cancel(&c->server->later, &c->drain);
        sd_bus_slot_unref(c->question);
        unit_lookup_cancel(c->lookup);
        account_unref(c->account);
        if (c->pidfd >= 0)
                close(c->pidfd);
        g_ptr_array_unref(c->sessions);
        g_free(c->implicit_error);
        g_free(c->unix_id);
        g_free(c->unit_id);
        g_free(c->unit);
        g_free(c->name);
        g_free(c);
        return NULL;
}

Caller *caller_get(Channel *ch, const char *name) {
        Caller *c = g_hash_table_lookup(ch->callers, name);

        if (!c) {
                c = caller_new(ch, name);
                g_hash_table_insert(ch->callers, c->name, c);
                caller_resolve(c);
        }
        return c;
}

static void refuse_to_hold(Caller *c, sd_bus_message *m) {
        reply_refusal(c->channel, m, CONVENE_LIMIT_EXCEEDED,
                      "too many calls wait for an earlier one (Calls= and Bytes= in [Limits] of convened.conf)");
}

void caller_set_credentials(Caller *c, uid_t uid, pid_t pid, int pidfd) {
        assert(!c->account);

        c->uid = uid;
        c->pid = pid;
        c->pidfd = pidfd;
        c->account = account_get(c->server, uid);
        c->account->held_bytes += c->held_bytes;
        /* What was held before anybody knew for whom. */
        while (c->held.length > 0 && c->account->held_bytes > c->server->limits.bytes) {
                Held *h = g_queue_pop_tail(&c->held);

                refuse_to_hold(c, h->message);
                held_free(c, h);
        }
}

static char *join_at(const char *name, const char *host) {
        char *id = g_strdup_printf("%s@%s", name, host);

        if (strlen(id) > LIMIT_IDENTITY_BYTES)
                g_clear_pointer(&id, g_free);
        return id;
}

static void make_identities(Caller *c) {
        const Server *s = c->server;
        uint32_t n = 0;

        c->privileged = c->uid == 0 || (s->admin_uid != (uid_t) -1 && c->uid == s->admin_uid);
        c->unix_id = g_strdup_printf("%u@%s", (unsigned) c->uid, s->host);
        c->items[n++] = (Identity) { "unix", c->unix_id };
        c->unit_id = c->unit ? join_at(c->unit, s->host) : NULL;
        if (c->unit_id)
                c->items[n++] = (Identity) { "unit", c->unit_id };
        c->items[n] = (Identity) { "super", c->unix_id };
        c->identities_super = (Identities) { c->items, n + 1 };
        c->identities = (Identities) { c->items, n };
}

Identities caller_identities(const Caller *c) {
        return c->privileged && server_may_be_super(c->server) ? c->identities_super : c->identities;
}

void caller_resolved(Caller *c, CallerState state) {
        assert(c->state == CALLER_RESOLVING);
        assert(state != CALLER_RESOLVING);

        c->state = state;
        if (state == CALLER_READY) {
                make_identities(c);
                c->client = member_client_new(c->server->member, &front, c);
        }
        if (c->held.length > 0)
                deferred_schedule(&c->server->later, &c->drain);
}

/* About how many bytes a message holds: sd-bus does not tell. */
static uint64_t measure(sd_bus_message *m, unsigned depth) {
        uint64_t n = 0;
        const char *contents;
        char type;

        while (depth > 0 && sd_bus_message_peek_type(m, &type, &contents) > 0) {
                const void *data;
                size_t size;
                union {
                        const char *string;
                        uint64_t number;
                } v;

                if (type == SD_BUS_TYPE_ARRAY && g_str_equal(contents, "y")) {
                        if (sd_bus_message_read_array(m, 'y', &data, &size) < 0)
                                break;
                        n += size;
                } else if (contents) {
                        if (sd_bus_message_enter_container(m, type, contents) < 0)
                                break;
                        n += 8 + measure(m, depth - 1);
                        if (sd_bus_message_exit_container(m) < 0)
                                break;
                } else {
                        if (sd_bus_message_read_basic(m, type, &v) < 0)
                                break;
                        n += 8;
                        if (type == SD_BUS_TYPE_STRING || type == SD_BUS_TYPE_OBJECT_PATH || type == SD_BUS_TYPE_SIGNATURE)
                                n += strlen(v.string);
                }
        }
        return n;
}

static bool caller_may_hold(const Caller *c, uint64_t bytes) {
        const ServerLimits *l = &c->server->limits;

        return c->held.length < l->calls && c->held_bytes + bytes <= l->bytes &&
               (!c->account || c->account->held_bytes + bytes <= l->bytes) &&
               c->server->held_bytes + bytes <= l->bytes * HELD_TOTAL_FACTOR;
}

static void caller_stop_asking(Caller *c) {
        if (!c->asking)
                return;
        c->asking = polkit_question_cancel(c->asking);
        caller_release(c);
}

static void caller_enqueue(Caller *c, sd_bus_message *m, Method method) {
        uint64_t bytes;
        Held *h;

        (void) sd_bus_message_rewind(m, true);
        bytes = HELD_BYTES + measure(m, DEPTH_MAX);
        if (!caller_may_hold(c, bytes)) {
                if (c->held.length == 0)
                        caller_stop_asking(c);  /* that was for this call */
                refuse_to_hold(c, m);
                return;
        }

        h = g_new0(Held, 1);
        h->message = sd_bus_message_ref(m);
        h->method = method;
        h->bytes = bytes;
        caller_count_held(c, (int64_t) bytes);
        g_queue_push_tail(&c->held, h);
}

/* Runs the method; true if it wants to be run again later. */
static bool caller_run(Caller *c, sd_bus_message *m, Method method) {
        int r;

        if (c->state == CALLER_REFUSED) {
                reply_refusal(c->channel, m, CONVENE_NO_AUTH, "the bus does not say who you are");
                return false;
        }
        if (c->events_lost) {
                reply_refusal(c->channel, m, CONVENE_LIMIT_EXCEEDED,
                              "events for your watches could not be delivered; leave the bus and connect again");
                return false;
        }

        r = method(c, m);
        if (r >= 0)
                return false;
        if (r == METHOD_HOLD) {
                assert(c->holds > 0 || c->drain.queued);        /* the latter: it is over already */
                return true;
        }
        if (r == -E2BIG)
                reply_refusal(c->channel, m, CONVENE_LIMIT_EXCEEDED, "a list in the arguments is longer than allowed");
        else
                reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS, "the arguments cannot be read: %s", g_strerror(-r));
        return false;
}

Caller *caller_find(Channel *ch, sd_bus_message *m) {
        const char *sender = sd_bus_message_get_sender(m);

        if (ch->caller)
                return ch->caller;
        return sender ? g_hash_table_lookup(ch->callers, sender) : NULL;
}

int caller_dispatch(Channel *ch, sd_bus_message *m, Method method) {
        Caller *c = caller_find(ch, m);

        if (!c) {
                const char *sender = sd_bus_message_get_sender(m);

                if (!sender)
                        return -EBADMSG;
                c = caller_get(ch, sender);
        }

        c->server->counters.calls++;
        if (c->state == CALLER_RESOLVING && !c->question && !c->lookup)
                caller_resolve(c);
        if (c->state == CALLER_RESOLVING || caller_is_held(c) || caller_run(c, m, method))
                caller_enqueue(c, m, method);
        return 1;
}

static void caller_on_drain(void *userdata) {
        Caller *c = userdata;

        while (c->state != CALLER_RESOLVING && c->holds == 0 && c->held.length > 0) {
                Held *h = g_queue_pop_head(&c->held);

                bool again;

                (void) sd_bus_message_rewind(h->message, true);
                c->granted = h->granted;
                again = caller_run(c, h->message, h->method);
                c->granted = NULL;
                if (again) {
                        g_queue_push_head(&c->held, h);
                        break;
                }
                held_free(c, h);
        }
        if (c->channel->connection && !caller_is_held(c))
                connection_resume(c->channel->connection);
}

void caller_hold(Caller *c) {
        c->holds++;
}

void caller_release(Caller *c) {
        assert(c->holds > 0);

        if (--c->holds == 0)
                deferred_schedule(&c->server->later, &c->drain);
}

bool caller_hold_until_answered(Caller *c) {
        if (c->calls_count == 0)
                return false;
        if (!c->barrier) {
                c->barrier = true;
                caller_hold(c);
        }
        return true;
}

static void refuse_permission(Caller *c, sd_bus_message *m, const char *action) {
        reply_refusal(c->channel, m, CONVENE_NO_AUTH, "this needs root or polkit's permission %s", action);
}

static void caller_on_permission(void *userdata, bool allowed) {
        Caller *c = userdata;
        Held *h = g_queue_peek_head(&c->held);

        assert(h);

        c->asking = NULL;
        if (allowed)
                h->granted = c->action;
        else {
                g_queue_pop_head(&c->held);
                refuse_permission(c, h->message, c->action);
                held_free(c, h);
        }
        caller_release(c);
}

int caller_authorize(Caller *c, sd_bus_message *m, const char *action) {
        int r;

        assert(!c->asking);

        if (c->privileged || (c->granted && g_str_equal(c->granted, action)))
                return 1;
        if (!c->name || !c->server->polkit) {
                reply_refusal(c->channel, m, CONVENE_NO_AUTH,
                              "this needs root, or polkit's permission %s, which is asked for callers of the system bus only",
                              action);
                return 0;
        }

        r = polkit_check(c->server->polkit, c->name, action,
                         sd_bus_message_get_allow_interactive_authorization(m) > 0, caller_on_permission, c, &c->asking);
        if (r > 0)
                return 1;
        if (r == -EINPROGRESS) {
                c->action = action;
                caller_hold(c);
                return METHOD_HOLD;
        }
        if (r == -EBUSY)
                reply_refusal(c->channel, m, CONVENE_LIMIT_EXCEEDED, "too many questions to polkit are open; try again");
        else
                refuse_permission(c, m, action);
        return 0;
}
