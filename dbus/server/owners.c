/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Owners
 *
 * What this asks of the member is deferred: owners end inside the member's outward calls as well.
 */

#include "dbus/server/owners.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/host/promises.h"
#include "dbus/server/error.h"
#include "dbus/server/grant.h"
#include "dbus/server/server-private.h"
#include "dbus/server/stand.h"

#define RETRY_USEC (UINT64_C(500) * 1000)

static void owned_on_work(void *userdata);

static void owned_free(void *p) {
        OwnedSession *o = p;
        Server *s = o->server;

        owners_give(o, NULL);
        owners_forget_claim(o);
        deferred_cancel(&s->later, &o->work);
        unit_run_free(o->run);
        sd_event_source_disable_unref(o->hangup);
        if (o->fd >= 0)
                close(o->fd);
        if (o->theirs >= 0)
                close(o->theirs);
        if (o->grant)
                grant_on_session_gone(o->grant);
        if (o->stand)
                stand_on_session_gone(o->stand);
        if (o->account) {
                g_ptr_array_remove_fast(o->account->owned, o);
                o->account->sessions--;
                account_unref(o->account);
        }
        g_free(o);
}

OwnedSession *owners_add(Server *s, uint64_t session, OwnerKind kind, Caller *c, Account *account) {
        OwnedSession *o = g_new0(OwnedSession, 1);

        assert(!g_hash_table_contains(s->owned, &session));

        o->server = s;
        o->id = session;
        o->kind = kind;
        o->fd = o->theirs = -1;
        deferred_init(&o->work, owned_on_work, o);
        if (account) {
                o->account = account_ref(account);
                g_ptr_array_add(account->owned, o);
                account->sessions++;
        }
        g_hash_table_insert(s->owned, &o->id, o);
        owners_give(o, c);
        return o;
}

OwnedSession *owners_find(Server *s, uint64_t session) {
        return g_hash_table_lookup(s->owned, &session);
}

bool owners_is_agents_own(const Server *s, uint64_t session) {
        SessionInfo info;

        return tree_get_session(member_get_tree(s->member), session, &info) && info.identities.count > 0 &&
               g_str_equal(info.identities.items[0].scheme, "host");
}

OwnedSession *owners_find_of_caller(Caller *c, uint64_t session) {
        for (guint i = 0; i < c->sessions->len; i++) {
                OwnedSession *o = g_ptr_array_index(c->sessions, i);

                if (o->id == session)
                        return o;
        }
        return NULL;
}

void owners_refuse_session(Caller *c, sd_bus_message *m, uint64_t session) {
        SessionInfo info;

        if (tree_get_session(member_get_tree(c->server->member), session, &info))
                reply_refusal(c->channel, m, CONVENE_NO_AUTH,
                              "session 0x%" PRIx64 " was not opened on this connection; attach to it with its secret", session);
        else
                reply_error(c->channel, m, CONVENE_SESSION_EXPIRED, NULL);
}

void owners_give(OwnedSession *o, Caller *c) {
        if (o->caller == c)
                return;
        if (o->caller) {
                g_ptr_array_remove_fast(o->caller->sessions, o);
                if (o->caller->implicit == o)
                        o->caller->implicit = NULL;
        }
        o->caller = c;
        if (c)
                g_ptr_array_add(c->sessions, o);
}

void owners_touch(OwnedSession *o) {
        if (o->kind == OWNER_EXPLICIT)
                member_touch_session(o->server->member, o->id);
}

void owners_keep(OwnedSession *o) {
        o->keep = true;
        deferred_schedule(&o->server->later, &o->work);
}

void owners_end(OwnedSession *o) {
        o->keep = false;
        o->end = true;
        deferred_schedule(&o->server->later, &o->work);
}

/* The service manager's copy must not keep the socket open. */
void descriptor_hang_up(int fd) {
        char c;

        (void) recv(fd, &c, 1, MSG_DONTWAIT);   /* a mark left unread would be told as a reset */
        (void) shutdown(fd, SHUT_RDWR);
}

static void hang_up(const OwnedSession *o) {
        if (o->fd >= 0)
                descriptor_hang_up(o->fd);
}

void owners_hang_up(OwnedSession *o) {
        hang_up(o);
        owners_end(o);
}

/* Once for the hang-up itself, and again when whoever held it has closed the other end: it does not need the rest of its grace. */
static int on_closed_when_lost(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        OwnedSession *o = userdata;

        if (o->seen_lost) {
                o->hangup = sd_event_source_disable_unref(o->hangup);
                owners_end(o);
        }
        o->seen_lost = true;
        return 0;
}

/* Hung up by us, it looks the same when the other end is closed, but the kernel tells of that anew.  What falls together with our own waits
 * for the end of the grace, and no longer. */
void owners_tell_lost(OwnedSession *o) {
        o->hangup = sd_event_source_disable_unref(o->hangup);
        hang_up(o);
        if (o->fd >= 0)
                (void) sd_event_add_io(o->server->event, &o->hangup, o->fd, EPOLLET, on_closed_when_lost, o);
}

static void on_closed(Call *call, const Result *result) {
        Server *s = call->server;
        uint64_t *id = call->plan;
        OwnedSession *o = owners_find(s, *id);

        if (!o)
                return;                         /* as it should be: server_on_session_ended() came first */
        if (result->status == CONVENE_SESSION_EXPIRED) {
                g_hash_table_remove(s->owned, id);
                return;
        }
        o->ending = false;
        (void) sd_event_source_set_time_relative(s->retry_timer, RETRY_USEC);
        (void) sd_event_source_set_enabled(s->retry_timer, SD_EVENT_ONESHOT);
}

static void owned_close(OwnedSession *o) {
        Server *s = o->server;
        Request r = {
                .op = REQUEST_CLOSE_SESSION,
                .target = o->id,
                .caller = server_identities(s),
        };
        Call *call = call_new_detached(s, NULL, NULL, &r, on_closed);

        o->ending = true;
        call->plan = g_memdup2(&o->id, sizeof(o->id));
        call->plan_free = g_free;
        call_start_detached(call, &r);
}

static void owned_on_work(void *userdata) {
        OwnedSession *o = userdata;

        member_keep_session(o->server->member, o->id, o->keep);
        if (o->end && !o->ending)
                owned_close(o);                 /* which may free it */
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Server *s = userdata;
        GHashTableIter i;
        gpointer o;

        g_hash_table_iter_init(&i, s->owned);
        while (g_hash_table_iter_next(&i, NULL, &o))
                if (((OwnedSession *) o)->end && !((OwnedSession *) o)->ending)
                        deferred_schedule(&s->later, &((OwnedSession *) o)->work);
        return 0;
}

static int on_hangup(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        OwnedSession *o = userdata;

        if (!(events & (EPOLLHUP | EPOLLERR)))
                return 0;
        o->hangup = sd_event_source_disable_unref(o->hangup);
        owners_end(o);
        return 0;
}

int owners_watch_descriptor(OwnedSession *o, int fd) {
        o->fd = fd;
        return sd_event_add_io(o->server->event, &o->hangup, fd, 0 /* a hang-up is always told */, on_hangup, o);
}

static void on_run_ended(void *userdata, const char *why) {
        OwnedSession *o = userdata;

        o->run = unit_run_free(o->run);
        owners_end(o);
}

void owners_watch_unit(OwnedSession *o, const char *unit, sd_id128_t invocation) {
        o->run = units_watch_run(o->server->units, unit, invocation, on_run_ended, o);
}

void owners_on_caller_gone(Caller *c) {
        while (c->sessions->len > 0) {
                OwnedSession *o = g_ptr_array_index(c->sessions, c->sessions->len - 1);

                owners_give(o, NULL);
                if (o->kind == OWNER_CONNECTION)
                        owners_end(o);
        }
}

/* The signal goes before whatever the caller is told next, and the session is out of reach from here on. */
static void tell_ended(OwnedSession *o, bool expired) {
        Channel *ch = o->caller->channel;
        g_autoptr(sd_bus_message) m = NULL;

        if (sd_bus_message_new_signal(ch->bus, &m, OBJECT_PATH, "org.convene1.Sessions", "Ended") < 0 ||
            (o->caller->name && sd_bus_message_set_destination(m, o->caller->name) < 0) ||
            sd_bus_message_append(m, "tb", o->id, (int) expired) < 0)
                return;
        (void) channel_send(ch, m, 256);
}

void server_on_session_ended(Server *s, uint64_t session, bool expired) {
        OwnedSession *o = owners_find(s, session);

        if (!o)
                return;
        if (o->caller)
                tell_ended(o, expired);
        if (o->kind == OWNER_DESCRIPTOR) {
                hang_up(o);
                fd_store_remove(s->fds, session);
                promises_forget(s->promises, session);
        }
        g_hash_table_remove(s->owned, &session);
}

void server_close_unit_session(Server *s, uint64_t session) {
        OwnedSession *o = owners_find(s, session);

        if (o)
                owners_end(o);
}

int owners_init(Server *s) {
        int r;

        s->owned = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, owned_free);
        r = sd_event_add_time_relative(s->event, &s->retry_timer, CLOCK_BOOTTIME, RETRY_USEC, 0, on_retry, s);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(s->retry_timer, SD_EVENT_OFF);
}

/* The sessions go on: the next agent finds their owners again. */
void owners_done(Server *s) {
        owners_drop_deliveries(s);
        g_clear_pointer(&s->owned, g_hash_table_unref);
        s->retry_timer = sd_event_source_disable_unref(s->retry_timer);
        s->stored_timer = sd_event_source_disable_unref(s->stored_timer);
}
