/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Server
 *
 * Its life, the broker, and what is announced to everybody: PropertiesChanged.
 */

#include "dbus/server/server.h"

#include <assert.h>

#include "dbus/server/attempt.h"
#include "dbus/server/call.h"
#include "dbus/server/credential.h"
#include "dbus/server/grant.h"
#include "dbus/server/handover.h"
#include "dbus/server/owners.h"
#include "dbus/server/recipe-objects.h"
#include "dbus/server/promised.h"
#include "dbus/server/server-private.h"
#include "dbus/server/sightings.h"
#include "dbus/server/socket.h"
#include "dbus/server/stand.h"
#include "dbus/server/yield.h"

#define ZXID_USEC (UINT64_C(1000) * 1000)       /* Zxid's change signal comes at most so often */
#define ZXID_ACCURACY_USEC (UINT64_C(250) * 1000)

static const MemberFront detached_front = {
        .reply = call_on_detached_reply,
};

void server_emit(Server *s, const char *path, const char *interface, const char *const *properties) {
        if (s->bus)
                (void) sd_bus_emit_properties_changed_strv(s->bus->bus, path, interface, (char **) properties);
        sockets_emit_changed(s, path, interface, (char **) properties);
}

static void server_on_emit(void *userdata) {
        Server *s = userdata;
        unsigned what = s->emit_what;

        s->emit_what = 0;
        if (what & SERVER_CHANGED_ROLE)
                server_emit(s, OBJECT_PATH, "org.convene1.Ensemble",
                            (const char *const[]) { "Role", "Epoch", "Zxid", "Leader", "Serving", "RoleSince", "Members", NULL });
        else if (what & SERVER_CHANGED_ZXID)
                server_emit(s, OBJECT_PATH, "org.convene1.Ensemble", (const char *const[]) { "Zxid", NULL });
        if (what & SERVER_CHANGED_PROBLEMS)
                server_emit(s, OBJECT_PATH, "org.convene1.Agent", (const char *const[]) { "SpaceAvailable", "Problems", NULL });
}

static void server_changed(Server *s, ServerChange what) {
        s->emit_what |= what;
        deferred_schedule(&s->later, &s->emit);
}

void server_on_role_changed(Server *s) {
        server_changed(s, SERVER_CHANGED_ROLE);
}

void server_on_problems_changed(Server *s) {
        server_changed(s, SERVER_CHANGED_PROBLEMS);
}

static int on_zxid_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Server *s = userdata;
        Zxid zxid = tree_zxid(member_get_tree(s->member));

        if (zxid != s->zxid_emitted) {
                s->zxid_emitted = zxid;
                server_changed(s, SERVER_CHANGED_ZXID);
        }
        (void) sd_event_source_set_time_relative(source, ZXID_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* Root of a voter's host could have the whole tree anyway.  An observer's host is trusted with what is its own: the leader refuses
 * more of it. */
bool server_may_be_super(const Server *s) {
        MemberStatus status;

        member_get_status(s->member, &status);
        for (unsigned i = 0; status.config && i < status.config->members_count; i++)
                if (status.config->members[i].sid == status.sid)
                        return status.config->members[i].role == ZAB_MEMBER_VOTER;
        return status.voter;
}

Identities server_identities(const Server *s) {
        return (Identities) { s->identities, server_may_be_super(s) ? 2 : 1 };
}

Identities server_reading_identities(const Server *s) {
        return (Identities) { s->identities, G_N_ELEMENTS(s->identities) };
}

static void make_own_identities(Server *s) {
        s->identities[0] = (Identity) { "host", s->host };
        s->identities[1] = (Identity) { "super", "convened" };
}

Server *server_new(sd_event *event, Member *member, Units *units, Polkit *polkit, FdStore *fds,
                   const ServerOptions *options, const ServerAgent *agent) {
        Server *s = g_new0(Server, 1);
        int r;

        assert(event);
        assert(member);
        assert(options->host);

        s->event = sd_event_ref(event);
        s->member = member;
        s->units = units;
        s->polkit = polkit;
        s->fds = fds;
        s->agent = *agent;
        s->limits = options->limits;
        s->host = g_strdup(options->host);
        s->timeout_min_msec = options->session_timeout_min_msec;
        s->timeout_max_msec = options->session_timeout_max_msec;
        s->timeout_default_msec = options->session_timeout_default_msec;
        s->admin_uid = options->admin_uid;
        s->accounts = g_hash_table_new(NULL, NULL);
        g_queue_init(&s->listeners);
        g_queue_init(&s->connections);
        g_queue_init(&s->credentials);
        g_queue_init(&s->deliveries);
        deferred_init(&s->emit, server_on_emit, s);
        yield_init(s);
        make_own_identities(s);
        s->client = member_client_new(member, &detached_front, s);

        r = deferred_queue_init(&s->later, event);
        if (r >= 0)
                r = owners_init(s);
        if (r >= 0)
                places_init(s);
        if (r >= 0)
                sightings_init(s);
        if (r >= 0)
                r = recipe_objects_init(s);
        if (r >= 0)
                r = sd_id128_randomize(&s->socket_id);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &s->zxid_timer, CLOCK_BOOTTIME, ZXID_USEC, ZXID_ACCURACY_USEC,
                                               on_zxid_timer, s);
        if (r < 0)
                g_error("the event loop takes no sources: %s", g_strerror(-r));
        return s;
}

static void broker_leave(Server *s) {
        Channel *ch = g_steal_pointer(&s->bus);

        if (!ch)
                return;
        s->bus_id[0] = '\0';
        g_hash_table_unref(ch->callers);
        channel_done(ch);
        g_free(ch);
}

Server *server_free(Server *s) {
        if (!s)
                return NULL;

        credentials_close_all(s);
        sockets_close_all(s);
        broker_leave(s);
        grants_done(s);
        hand_overs_done(s);
        promised_done(s);
        stands_done(s);
        attempts_done(s);
        sightings_done(s);
        recipe_objects_done(s);
        places_done(s);
        while (s->detached)
                call_free(s->detached);
        member_client_free(s->client);
        owners_done(s);
        deferred_cancel(&s->later, &s->emit);
        yield_done(s);
        deferred_queue_done(&s->later);
        sd_event_source_disable_unref(s->zxid_timer);
        while (s->free_calls) {
                Call *call = s->free_calls;

                s->free_calls = call->next;
                g_free(call);
        }
        assert(g_hash_table_size(s->accounts) == 0);
        g_hash_table_unref(s->accounts);
        g_free(s->host);
        sd_event_unref(s->event);
        g_free(s);
        return NULL;
}

void server_set_limits(Server *s, const ServerLimits *limits) {
        s->limits = *limits;
}

void server_set_timeouts(Server *s, uint32_t min_msec, uint32_t max_msec, uint32_t default_msec) {
        assert(min_msec <= default_msec && default_msec <= max_msec);

        s->timeout_min_msec = min_msec;
        s->timeout_max_msec = max_msec;
        s->timeout_default_msec = default_msec;
}

/*
 * The broker
 */

/* Somebody left the bus: one match for all of them. */
static int on_name_lost(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Channel *ch = userdata;
        const char *name;

        /* The match does not keep others out: sd-bus takes any unique name for a well-known one. */
        if (!g_str_equal(sd_bus_message_get_sender(m) ?: "", "org.freedesktop.DBus"))
                return 0;
        if (sd_bus_message_read(m, "s", &name) >= 0)
                g_hash_table_remove(ch->callers, name);
        return 0;
}

static int on_bus_id(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Channel *ch = userdata;
        Server *s = ch->server;
        const char *id;

        if (!sd_bus_message_is_method_error(m, NULL) && sd_bus_message_read(m, "s", &id) >= 0) {
                g_strlcpy(s->bus_id, id, sizeof(s->bus_id));
                owners_check_claims(s);
        }
        return 1;
}

static int broker_join(Channel *ch) {
        sd_bus_slot *slot;
        int r;

        /* Sent before any question about a caller, so the broker has it before it answers one. */
        r = sd_bus_add_match_async(ch->bus, &slot,
                                   "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                                   "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg2=''",
                                   on_name_lost, NULL, ch);
        if (r < 0)
                return r;
        g_ptr_array_add(ch->slots, slot);
        r = sd_bus_call_method_async(ch->bus, &slot, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                     "org.freedesktop.DBus", "GetId", on_bus_id, ch, NULL);
        if (r < 0)
                return r;
        g_ptr_array_add(ch->slots, slot);
        return channel_publish(ch);
}

static void free_caller(gpointer p) {
        caller_free(p);
}

int server_set_bus(Server *s, sd_bus *bus) {
        int r;

        if (s->bus && s->bus->bus == bus)
                return 0;
        broker_leave(s);
        if (!bus)
                return 0;

        s->bus = g_new0(Channel, 1);
        channel_init(s->bus, s, bus, NULL);
        s->bus->callers = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_caller);
        r = broker_join(s->bus);
        if (r < 0)
                broker_leave(s);
        return r;
}
