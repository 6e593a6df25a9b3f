/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Owners: after a restart of the agent
 *
 * The replicated owner text says what each session of this host lives with (DESIGN 2.7).  What is still there is
 * bound again; what ended meanwhile is closed at once.  A client of the local socket has lost its connection with the
 * agent and attaches anew with its session's secret: its session is left to its timeout until then.
 */

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dbus/server/grant.h"
#include "dbus/server/owners.h"
#include "dbus/server/promised.h"
#include "dbus/server/server-private.h"

#define ACCURACY_USEC UINT64_C(1000)

typedef struct Found {
        uint64_t id;
        OwnerKind kind;
        bool attached_before;
        OwnerText text;
} Found;

typedef struct Search {
        uint32_t sid;
        GArray *found;                  /* Found */
} Search;

static void search_session(const SessionInfo *info, void *userdata) {
        Search *search = userdata;
        Found f = { .id = info->id, .kind = info->owner_kind, .attached_before = info->generation > 1 };

        /* Another member answers for it, or a text not of ours (another front's): its timeout decides. */
        if (info->member == search->sid && owner_text_parse((OwnerTextKind) info->owner_kind, info->owner, &f.text))
                g_array_append_val(search->found, f);
}

static void claim_failed(OwnedSession *o) {
        bool attached_before = o->attached_before;

        owners_forget_claim(o);
        /* It was handed on after its owner was written down: whoever has it now is not known by name. */
        if (!attached_before)
                owners_end(o);
}

static int on_connection_uid(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        OwnedSession *o = userdata;
        Server *s = o->server;
        uint32_t uid;
        Caller *c;

        o->claim_slot = sd_bus_slot_unref(o->claim_slot);
        if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "u", &uid) < 0 || uid != o->claim->uid) {
                claim_failed(o);
                return 1;
        }

        c = caller_get(s->bus, o->claim->name);
        owners_forget_claim(o);
        if (o->caller)
                return 1;                       /* attached by somebody in the meantime */
        owners_give(o, c);
        owners_keep(o);
        if (!c->implicit)
                c->implicit = o;
        return 1;
}

static void check_claim(OwnedSession *o) {
        Server *s = o->server;

        if (!g_str_equal(o->claim->bus, s->bus_id))
                claim_failed(o);                /* the broker was restarted too: nobody is left */
        else if (sd_bus_call_method_async(s->bus->bus, &o->claim_slot, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                          "org.freedesktop.DBus", "GetConnectionUnixUser", on_connection_uid, o, "s",
                                          o->claim->name) < 0)
                claim_failed(o);
}

void owners_check_claims(Server *s) {
        GHashTableIter i;
        gpointer p;

        if (!s->bus || s->bus_id[0] == '\0')
                return;
        g_hash_table_iter_init(&i, s->owned);
        while (g_hash_table_iter_next(&i, NULL, &p)) {
                OwnedSession *o = p;

                if (o->claim && !o->claim_slot)
                        check_claim(o);
        }
}

void owners_forget_claim(OwnedSession *o) {
        o->claim_slot = sd_bus_slot_unref(o->claim_slot);
        g_clear_pointer(&o->claim, g_free);
}

static int on_grace_over(sd_event_source *source, uint64_t usec, void *userdata) {
        OwnedSession *o = userdata;

        o->hangup = sd_event_source_disable_unref(o->hangup);
        owners_end(o);
        return 0;
}

/* The descriptor of what others wait for is gone.  It may have been hung up here (on_stored) just now, or by the agent before this one: whoever held
 * it has its grace still. */
static void end_after_grace(OwnedSession *o) {
        Server *s = o->server;
        uint64_t now_usec = 0, until_usec = 0;
        SessionInfo info;

        (void) sd_event_now(s->event, CLOCK_BOOTTIME, &now_usec);
        if (tree_get_session(member_get_tree(s->member), o->id, &info))
                until_usec = MAX(s->dropped_usec, s->stored_since_usec) + tenure_grace_usec(info.timeout_msec);
        if (now_usec >= until_usec ||
            sd_event_add_time(s->event, &o->hangup, CLOCK_BOOTTIME, until_usec, ACCURACY_USEC, on_grace_over, o) < 0)
                owners_end(o);
}

static bool is_hung_up(int fd) {
        struct pollfd p = { .fd = fd };

        return poll(&p, 1, 0) == 1;
}

static void recover_descriptor(OwnedSession *o, const char *label) {
        int fd = fd_store_take(o->server->fds, o->id);

        if (fd >= 0 && is_hung_up(fd)) {
                close(g_steal_fd(&fd));
                fd_store_remove(o->server->fds, o->id);
        }
        if (fd < 0 && grant_label_excludes(label))
                end_after_grace(o);
        else if (fd < 0)
                owners_end(o);
        else if (owners_watch_descriptor(o, fd) < 0)
                owners_end(o);
        else
                owners_keep(o);
}

static void recover_session(Server *s, const Found *f) {
        Account *account = f->text.uid == (uid_t) -1 ? NULL : account_get(s, f->text.uid);
        OwnedSession *o = owners_add(s, f->id, f->kind, NULL, account);

        account_unref(account);
        switch (f->kind) {
        case OWNER_UNIT:
                owners_keep(o);
                owners_watch_unit(o, f->text.name, f->text.invocation);
                break;
        case OWNER_DESCRIPTOR:
                recover_descriptor(o, f->text.name);
                if (!o->end && o->fd >= 0)
                        grant_recover(o, f->text.name);
                break;
        case OWNER_HOST:
                owners_keep(o);
                break;
        case OWNER_CONNECTION:
                if (f->text.bus[0] != '\0') {
                        o->claim = g_memdup2(&f->text, sizeof(f->text));
                        o->attached_before = f->attached_before;
                }
                break;
        default:
                break;                          /* explicit: its timeout */
        }
}

/*
 * Until the sessions are found again
 */

typedef struct Late {
        Server *server;
        uint64_t now_usec, next_usec;   /* UINT64_MAX: none */
        GArray *sessions;
} Late;

/* The agent that is gone kept its promises up to this grace, a quarter of the timeout, before their end.  This member's tree may be too
 * old to have the session at all. */
static void find_late(void *userdata, uint64_t session, uint32_t grace_msec) {
        Late *l = userdata;
        uint64_t until_usec = promised_give_up_usec(l->server, session, (uint64_t) grace_msec * 1000);

        if (grace_msec == 0)
                return;
        if (until_usec <= l->now_usec)
                g_array_append_val(l->sessions, session);
        else
                l->next_usec = MIN(l->next_usec, until_usec);
}

/* The service manager's copy must not keep the socket open. */
static void drop_stored(Server *s, uint64_t session) {
        int fd = fd_store_take(s->fds, session);

        descriptor_hang_up(fd);
        close(fd);
        fd_store_remove(s->fds, session);
}

static int on_stored(sd_event_source *source, uint64_t usec, void *userdata) {
        Server *s = userdata;
        Late l = { .server = s, .next_usec = UINT64_MAX, .sessions = g_array_new(FALSE, FALSE, sizeof(uint64_t)) };

        (void) sd_event_now(s->event, CLOCK_BOOTTIME, &l.now_usec);
        fd_store_foreach(s->fds, find_late, &l);
        for (guint i = 0; i < l.sessions->len; i++)
                drop_stored(s, g_array_index(l.sessions, uint64_t, i));
        if (l.sessions->len > 0)
                s->dropped_usec = l.now_usec;
        g_array_unref(l.sessions);
        s->stored_timer = sd_event_source_disable_unref(s->stored_timer);
        if (l.next_usec < UINT64_MAX)
                (void) sd_event_add_time(s->event, &s->stored_timer, CLOCK_BOOTTIME, l.next_usec, ACCURACY_USEC, on_stored, s);
        return 0;
}

void server_guard_stored(Server *s, uint64_t since_usec) {
        s->stored_since_usec = since_usec;
        (void) sd_event_add_time(s->event, &s->stored_timer, CLOCK_BOOTTIME, since_usec, ACCURACY_USEC, on_stored, s);
}

void server_recover_owners(Server *s) {
        Search search = { .found = g_array_new(FALSE, FALSE, sizeof(Found)) };
        MemberStatus status;

        member_get_status(s->member, &status);
        search.sid = status.sid;
        tree_foreach_session(member_get_tree(s->member), search_session, &search);
        for (guint i = 0; i < search.found->len; i++) {
                const Found *f = &g_array_index(search.found, Found, i);

                if (!owners_find(s, f->id))
                        recover_session(s, f);
        }
        g_array_unref(search.found);
        owners_check_claims(s);
}
