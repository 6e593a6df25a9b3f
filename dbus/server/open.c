/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Owners: opening
 *
 * A session is opened through the server's own client: whatever becomes of the caller meanwhile, the answer is heard
 * and nothing stays open that nobody answers for.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/base/limits.h"
#include "dbus/server/codec.h"
#include "dbus/server/error.h"
#include "dbus/server/grant.h"
#include "dbus/server/owners.h"
#include "dbus/server/server-private.h"

void secret_hash(const uint8_t *secret, size_t size, uint8_t *ret_hash) {
        g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
        gsize hash_size = SESSION_SECRET_HASH_BYTES;

        g_checksum_update(sum, secret, size);
        g_checksum_get_digest(sum, ret_hash, &hash_size);
        assert(hash_size == SESSION_SECRET_HASH_BYTES);
}

uint32_t owners_negotiate(const Server *s, uint32_t timeout_msec) {
        if (timeout_msec == 0)
                timeout_msec = s->timeout_default_msec;
        return CLAMP(timeout_msec, s->timeout_min_msec, s->timeout_max_msec);
}

OpenPlan *open_plan_new(Server *s, OwnerKind kind, uint32_t timeout_msec) {
        OpenPlan *p = g_new0(OpenPlan, 1);

        p->server = s;
        p->kind = kind;
        p->timeout_msec = owners_negotiate(s, timeout_msec);
        p->fds[0] = p->fds[1] = -1;
        return p;
}

/* Until it is opened, the session to be is counted here. */
static void plan_discharge(OpenPlan *p) {
        if (!p->charged)
                return;
        p->charged->sessions--;
        p->charged = account_unref(p->charged);
}

static void plan_free(void *plan) {
        OpenPlan *p = plan;

        plan_discharge(p);
        unit_lookup_cancel(p->lookup);
        for (unsigned i = 0; i < G_N_ELEMENTS(p->fds); i++)
                if (p->fds[i] >= 0)
                        close(p->fds[i]);
        explicit_bzero(p->secret, sizeof(p->secret));
        g_free(p->unit);
        g_free(p);
}

static void owner_text_caller(OwnerText *o, const Caller *c) {
        o->uid = c ? c->uid : (uid_t) -1;
        o->pid = c ? c->pid : 0;
        if (c && c->unit)
                g_strlcpy(o->unit, c->unit, sizeof(o->unit));
}

static char *owner_text(const Server *s, const Caller *c, const OpenPlan *p) {
        OwnerText o = { .kind = (OwnerTextKind) p->kind, .uid = (uid_t) -1 };

        G_STATIC_ASSERT((int) OWNER_TEXT_HOST == (int) OWNER_HOST);
        switch (p->kind) {
        case OWNER_CONNECTION:
                if (c->name) {
                        g_strlcpy(o.bus, s->bus_id, sizeof(o.bus));
                        g_strlcpy(o.name, c->name, sizeof(o.name));
                }
                owner_text_caller(&o, c);
                break;
        case OWNER_UNIT:
                g_strlcpy(o.name, p->unit, sizeof(o.name));
                o.invocation = p->invocation;
                break;
        case OWNER_HOST:
                g_strlcpy(o.name, s->host, sizeof(o.name));
                break;
        case OWNER_DESCRIPTOR:
                g_strlcpy(o.name, p->label[0] != '\0' ? p->label : "descriptor", sizeof(o.name));
                owner_text_caller(&o, c);
                break;
        default:
                owner_text_caller(&o, c);
        }
        return owner_text_format(&o);
}

/* Delivers OpenPlan.opened outside the member's outward calls. */
typedef struct Delivery {
        Deferred deferred;
        Server *server;
        GList link;                     /* in Server.deliveries */
        void (*opened)(void *userdata, ConveneStatus status, uint64_t session);
        void *userdata;
        ConveneStatus status;
        uint64_t session;
} Delivery;

static void delivery_free(Delivery *d) {
        deferred_cancel(&d->server->later, &d->deferred);
        g_queue_unlink(&d->server->deliveries, &d->link);
        g_free(d);
}

static void delivery_run(void *userdata) {
        Delivery *d = userdata;

        d->opened(d->userdata, d->status, d->session);
        delivery_free(d);
}

void owners_drop_deliveries(Server *s) {
        while (s->deliveries.length > 0)
                delivery_free(g_queue_peek_head(&s->deliveries));
}

static void deliver(const OpenPlan *p, ConveneStatus status, uint64_t session) {
        Delivery *d = g_new0(Delivery, 1);

        d->server = p->server;
        d->opened = p->opened;
        d->userdata = p->userdata;
        d->status = status;
        d->session = session;
        d->link.data = d;
        g_queue_push_tail_link(&p->server->deliveries, &d->link);
        deferred_init(&d->deferred, delivery_run, d);
        deferred_schedule(&p->server->later, &d->deferred);
}

static void answer_opened(Call *call, const OpenPlan *p, const OwnedSession *o) {
        sd_bus_message *reply = call_new_reply(call);
        int r;

        if (!reply)
                return;
        (void) sd_bus_message_sensitive(reply);
        if (p->kind == OWNER_DESCRIPTOR)
                r = sd_bus_message_append(reply, "thu", o->id, p->fds[1], p->timeout_msec);
        else {
                r = sd_bus_message_append(reply, "t", o->id);
                if (r >= 0)
                        r = sd_bus_message_append_array(reply, 'y', p->secret, sizeof(p->secret));
                if (r >= 0)
                        r = sd_bus_message_append(reply, "u", p->timeout_msec);
        }
        if (r >= 0) {
                call_return(call, reply, 256);
                return;
        }
        sd_bus_message_unref(reply);            /* the connection takes no descriptors */
        reply_refusal(call->caller->channel, call->message, CONVENE_BAD_ARGUMENTS,
                      "the answer cannot be sent on this connection: %s", g_strerror(-r));
}

static void implicit_opened(Caller *c, OwnedSession *o, ConveneStatus status) {
        c->implicit_opening = false;
        c->implicit = o;
        if (!o) {
                c->implicit_status = status;
                c->implicit_error = g_strdup_printf("the connection's session could not be opened: %s",
                                                    convene_status_describe(status));
        }
        caller_release(c);
}

/* Binds what was opened to its owner. */
static void bind_owner(Server *s, Caller *c, OpenPlan *p, OwnedSession *o) {
        if (p->kind != OWNER_EXPLICIT)
                owners_keep(o);
        if (!c && !p->opened)
                owners_end(o);                  /* nobody will ever know of it */
        if (p->kind == OWNER_UNIT)
                owners_watch_unit(o, p->unit, p->invocation);
        if (p->kind == OWNER_DESCRIPTOR) {
                (void) fd_store_push(s->fds, o->id, p->label[0] != '\0' ? (uint32_t) (tenure_grace_usec(p->timeout_msec) / 1000) : 0, p->fds[0]);
                if (owners_watch_descriptor(o, p->fds[0]) < 0)
                        owners_end(o);
                p->fds[0] = -1;                 /* the session's */
                if (p->opened)
                        o->theirs = g_steal_fd(&p->fds[1]);
        }
}

static void on_opened(Call *call, const Result *result) {
        Server *s = call->server;
        Caller *c = call->caller;
        OpenPlan *p = call->plan;
        OwnedSession *o = NULL;

        plan_discharge(p);                      /* counted with the session from now on, if there is one */
        if (result->status == CONVENE_OK) {
                o = owners_add(s, result->session, p->kind, c, call->account);
                bind_owner(s, c, p, o);
        }

        if (p->opened)
                deliver(p, result->status, result->session);
        else if (p->implicit && c)
                implicit_opened(c, o, result->status);
        else if (c && o)
                answer_opened(call, p, o);
        else if (c)
                call_fail(call, result->status);
}

static Request open_request(Server *s, const Caller *c, OpenPlan *p, const char *owner) {
        MemberStatus status;

        member_get_status(s->member, &status);
        return (Request) {
                .op = REQUEST_OPEN_SESSION,
                .caller = c ? caller_identities(c) : server_identities(s),
                .timeout_msec = p->timeout_msec,
                .owner_kind = p->kind,
                .owner = owner,
                .member = status.sid,
        };
}

/* The session's identities: those of who opened it; of a unit's presence, the unit's and the agent's, which makes the znode. */
static void submit_open(Call *call) {
        Server *s = call->server;
        Caller *c = call->caller;
        OpenPlan *p = call->plan;
        g_autofree char *owner = owner_text(s, c, p);
        g_autofree char *unit_id = p->unit ? g_strdup_printf("%s@%s", p->unit, s->host) : NULL;
        Request r = open_request(s, c, p, owner);
        Identity items[] = { { "unit", unit_id }, s->identities[0], s->identities[1] };
        Identities own = server_identities(s);

        if (c)
                r.identities = caller_identities(c);
        else if (unit_id && strlen(unit_id) <= LIMIT_IDENTITY_BYTES)
                r.identities = (Identities) { items, 1 + own.count };
        else
                r.identities = own;
        secret_hash(p->secret, sizeof(p->secret), r.secret_hash);
        call_start_detached(call, &r);
}

static void refuse_open(Call *call, ConveneStatus status, const char *text) {
        OpenPlan *p = call->plan;

        if (p->opened)
                deliver(p, status, 0);
        else if (call->caller && call->message)
                reply_refusal(call->caller->channel, call->message, status, "%s", text);
        call_free(call);
}

static void on_unit(void *userdata, int error, const UnitFacts *facts) {
        Call *call = userdata;
        OpenPlan *p = call->plan;
        g_autofree char *text = NULL;

        p->lookup = NULL;
        if (!call->caller && !p->opened) {
                call_free(call);                /* the caller has left, and with it its right to ask */
                return;
        }
        if (error >= 0 && !sd_id128_is_null(facts->invocation) && !g_str_equal(facts->active_state, "inactive") &&
            !g_str_equal(facts->active_state, "failed")) {
                g_free(p->unit);
                p->unit = g_strdup(facts->unit);        /* its main name, not an alias */
                p->invocation = facts->invocation;
                submit_open(call);
                return;
        }

        if (error < 0 && error != -ENOENT)
                text = g_strdup_printf("systemd cannot be asked about unit '%s': %s", p->unit, g_strerror(-error));
        else
                text = g_strdup_printf("unit '%s' does not run", p->unit);
        refuse_open(call, CONVENE_BAD_ARGUMENTS, text);
}

static bool charge_session(Call *call) {
        OpenPlan *p = call->plan;
        Account *a = call->account;

        if (!a)
                return true;
        if (!account_has_room(a, ACCOUNT_SESSIONS)) {
                g_autofree char *text = account_limit_text(a, ACCOUNT_SESSIONS);

                if (p->implicit) {
                        Caller *c = call->caller;

                        implicit_opened(c, NULL, CONVENE_LIMIT_EXCEEDED);
                        g_free(c->implicit_error);
                        c->implicit_error = g_steal_pointer(&text);
                        call_free(call);
                } else
                        refuse_open(call, CONVENE_LIMIT_EXCEEDED, text);
                return false;
        }
        a->sessions++;
        p->charged = account_ref(a);
        return true;
}

static int make_descriptors(OpenPlan *p) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, p->fds) < 0)
                return -errno;
        if (p->marked && send(p->fds[1], "?", 1, MSG_NOSIGNAL) < 0)
                return -errno;
        /* The caller has nothing to say on it, and can only close it, or see that we did. */
        return shutdown(p->fds[0], SHUT_RD) < 0 ? -errno : 0;
}

void owners_open(Server *s, Caller *c, sd_bus_message *m, OpenPlan *plan) {
        Request sizes = { .op = REQUEST_CLOSE_SESSION, .target = 1, .caller = { s->identities, 2 } };
        Call *call;

        if (getrandom(plan->secret, sizeof(plan->secret), 0) != sizeof(plan->secret))
                g_error("getrandom() gave no %zu bytes", sizeof(plan->secret));

        call = call_new_detached(s, c && m ? c : NULL, m, &sizes, on_opened);
        if (!call) {
                plan_free(plan);
                return;
        }
        call->plan = plan;
        call->plan_free = plan_free;
        if (c && !m) {
                call->caller = c;
                call->account = account_ref(c->account);
                call->account->calls++;
                call->bytes = 0;
        }
        if (!charge_session(call))
                return;
        if (plan->kind == OWNER_DESCRIPTOR && make_descriptors(plan) < 0) {
                refuse_open(call, CONVENE_SYSTEM_ERROR, "no descriptor could be made");
                return;
        }
        if (plan->kind == OWNER_UNIT && sd_id128_is_null(plan->invocation))
                plan->lookup = units_lookup_name(s->units, plan->unit, on_unit, call);
        else
                submit_open(call);
}

void server_open_unit_session(Server *s, const UnitFacts *run, uint32_t timeout_msec,
                              void (*opened)(void *userdata, ConveneStatus status, uint64_t session), void *userdata) {
        OpenPlan *p = open_plan_new(s, OWNER_UNIT, timeout_msec);

        p->unit = g_strdup(run->unit);
        p->invocation = run->invocation;
        p->opened = opened;
        p->userdata = userdata;
        owners_open(s, NULL, NULL, p);
}
