/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Links
 *
 * The mesh, as the agent uses it: who belongs comes from the configuration, what comes in goes to the member.
 */

#include <errno.h>
#include <string.h>

#include "agent/base/messages.h"
#include "agent/main/agent-internal.h"
#include "agent/main/journal.h"
#include "agent/net/socket.h"

#define TELL_AGAIN_USEC UINT64_C(200000)        /* no timer: a member ticks more often than that */
#define LISTEN_AGAIN_USEC UINT64_C(2000000)
#define FAREWELL_USEC UINT64_C(300000)
#define FAREWELL_ACCURACY_USEC UINT64_C(10000)

static void on_up(void *userdata, uint64_t conn, uint32_t sid, const Id128 *disk_id) {
        Agent *a = userdata;

        member_on_peer_up(a->member, conn, sid, disk_id);
}

static void on_down(void *userdata, uint64_t conn, uint32_t sid, const char *reason) {
        Agent *a = userdata;

        member_on_peer_down(a->member, conn, sid);
}

static void on_message(void *userdata, uint64_t conn, uint32_t sid, const PeerMessage *message) {
        Agent *a = userdata;

        member_on_message(a->member, conn, sid, message);
        checkpointer_consider(a->checkpointer);         /* a commit may have come with it */
}

static void on_alive(void *userdata, uint64_t conn, uint32_t sid) {
        Agent *a = userdata;

        member_on_alive(a->member, conn, sid);
}

static void on_alarm(void *userdata, int priority, const char *text) {
        journal(priority, CONVENE_MESSAGE_PEER_REFUSED, "%s", text);
}

static void on_join(void *userdata, PeerJoin *join, const PeerJoinRequest *request) {
        admission_ask(userdata, join, request);
}

static void on_join_cancelled(void *userdata, PeerJoin *join) {
        admission_cancelled(userdata, join);
}

char *links_join_file(const Agent *a) {
        return g_build_filename(a->conf.data, "joined", NULL);
}

/* One who has joined and not been brought up to date yet knows who belongs from the answer to its token. */
static void take_directory_from_join(Agent *a) {
        g_autofree char *path = links_join_file(a), *text = NULL;
        g_autoptr(GBytes) bytes = NULL;
        ZabConfig *c;
        gsize size;

        if (!g_file_get_contents(path, &text, &size, NULL))
                return;

        bytes = g_bytes_new(text, size);
        c = zab_checkpoint_config_decode(bytes);
        if (!c) {
                journal(LOG_ERR, NULL, "%s is malformed: this member does not know whom to follow; remove the store and join "
                        "with a new token", path);
                return;
        }
        peer_mesh_set_directory(a->mesh, c->members, c->members_count);
        zab_config_unref(c);
}

static void take_config(Agent *a) {
        MemberStatus s;

        member_get_status(a->member, &s);
        if (s.config || s.pending_config)
                peer_mesh_set_config(a->mesh, s.config, s.pending_config);
        else
                take_directory_from_join(a);
        if (s.config)
                peer_mesh_set_required(a->mesh, s.config->feature_level);
        if (a->known && s.config && zab_config_find(a->known, s.sid) && !zab_config_find(s.config, s.sid))
                journal(LOG_WARNING, NULL, "This host was removed from the ensemble; it serves nobody any more, "
                        "and can come back with a new token alone");
        zab_config_unref(a->known);
        a->known = s.config ? zab_config_ref((ZabConfig *) s.config) : NULL;
}

static int on_farewell(sd_event_source *source, uint64_t usec, void *userdata) {
        Agent *a = userdata;

        a->farewell = sd_event_source_unref(a->farewell);
        take_config(a);
        return 0;
}

static bool somebody_goes(const Agent *a) {
        MemberStatus s;

        member_get_status(a->member, &s);
        for (unsigned i = 0; a->known && s.config && i < a->known->members_count; i++)
                if (!zab_config_find(s.config, a->known->members[i].sid))
                        return true;

        return false;
}

/* Who was removed hears of it, so that it can say so; then its connection goes, within a second (SEC-5). */
void links_on_config(Agent *a) {
        if (!a->mesh)
                return;

        if (!a->telling)
                a->self_told = false;           /* it may have a key of this member that was given up */
        if (!somebody_goes(a))
                take_config(a);
        else if (!a->farewell &&
                 sd_event_add_time_relative(a->event, &a->farewell, CLOCK_BOOTTIME, FAREWELL_USEC, FAREWELL_ACCURACY_USEC,
                                            on_farewell, a) < 0)
                take_config(a);
        if (a->server)
                server_on_role_changed(a->server);
}

void links_done(Agent *a) {
        a->farewell = sd_event_source_disable_unref(a->farewell);
        a->listen_again = sd_event_source_disable_unref(a->listen_again);
        zab_config_unref(a->known);
        a->known = NULL;
        a->mesh = peer_mesh_free(a->mesh);
}

/* The others go on trying the address that they were told. */
static void miss_listen(Agent *a) {
        const ZabConfigMember *self;
        const ZabConfig *c;
        MemberStatus s;

        member_get_status(a->member, &s);
        c = s.pending_config ?: s.config;
        self = c ? zab_config_find(c, s.sid) : NULL;
        if (!self || !*self->address || c->members_count < 2)
                return;

        g_free(a->mesh_problem);
        a->mesh_problem = g_strdup_printf("the other members look for this one at %s, and it listens nowhere: set Listen= in [Ensemble] of "
                                          "convened.conf, and restart it", self->address);
        journal(LOG_ERR, NULL, "%s", a->mesh_problem);
}

/* Who has the port now may be about to go: an earlier run of the agent, or an outgoing connection. */
static int on_listen_again(sd_event_source *source, uint64_t usec, void *userdata) {
        Agent *a = userdata;
        NetAddress address;

        if (!a->conf.listen || !net_address_parse(a->conf.listen, &address) || peer_mesh_listen(a->mesh, &address) < 0) {
                (void) sd_event_source_set_time_relative(source, LISTEN_AGAIN_USEC);
                return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }

        a->listen_again = sd_event_source_unref(a->listen_again);
        g_clear_pointer(&a->mesh_problem, g_free);
        journal(LOG_NOTICE, NULL, "Listening for other members on %s now", a->conf.listen);
        if (a->server)
                server_on_problems_changed(a->server);
        return 0;
}

static void listen_if_told(Agent *a) {
        NetAddress address;
        int r;

        if (!a->conf.listen) {
                miss_listen(a);
                return;
        }

        r = net_address_parse(a->conf.listen, &address) ? peer_mesh_listen(a->mesh, &address) : -EINVAL;
        if (r >= 0 && !net_is_here(&address))
                journal(LOG_WARNING, NULL, "This host does not have the address of Listen=%s at the moment; other members can reach it "
                        "once it has", a->conf.listen);
        if (r >= 0)
                return;

        g_free(a->mesh_problem);
        a->mesh_problem = g_strdup_printf("cannot listen for other members on %s: %s", a->conf.listen, strerror(-r));
        journal(LOG_ERR, NULL, "Cannot listen for other members on %s: %s%s", a->conf.listen, strerror(-r),
                r == -EADDRINUSE ? "; it is tried again every few seconds" : "");
        if (r == -EADDRINUSE)
                (void) sd_event_add_time_relative(a->event, &a->listen_again, CLOCK_BOOTTIME, LISTEN_AGAIN_USEC, 0,
                                                  on_listen_again, a);
}

int links_open(Agent *a) {
        const ZabMeta *meta = &store_get_report(a->store)->meta;
        PeerMeshOptions options = {
                .sid = meta->sid,
                .cluster_id = meta->cluster_id,
                .disk_id = meta->disk_id,
                .name = a->host,
                .feature_level = FEATURE_LEVEL,
                .alive_usec = (uint64_t) a->conf.election_timeout_msec * 1000 / 10,
        };
        PeerMeshListener listener = {
                .up = on_up,
                .down = on_down,
                .message = on_message,
                .alive = on_alive,
                .alarm = on_alarm,
                .join = on_join,
                .join_cancelled = on_join_cancelled,
                .userdata = a,
        };

        a->mesh = peer_mesh_new(a->event, a->key, &options, &listener);
        if (!a->mesh) {
                journal(LOG_CRIT, NULL, "Cannot set up the connections to other members");
                return AGENT_EXIT_FAILURE;
        }
        listen_if_told(a);
        links_on_config(a);
        return 0;
}

void links_send(Agent *a, uint64_t conn, const PeerMessage *message) {
        (void) peer_mesh_send(a->mesh, conn, message);
}

void links_close(Agent *a, uint64_t conn, const char *reason) {
        peer_mesh_close(a->mesh, conn, reason);
}

static void on_self_told(void *userdata, const Result *result) {
        Agent *a = userdata;

        a->telling = false;
        if (result->status != CONVENE_OK) {
                a->self_told = false;           /* a change of leader, or another one's change: once more */
                a->tell_again_usec = agent_clock_usec(CLOCK_BOOTTIME) + TELL_AGAIN_USEC;
                return;
        }
        journal(LOG_INFO, NULL, "The ensemble knows this member's name, address and key now");
        rotation_on_told(a);
}

void links_look(Agent *a) {
        const char *address = a->conf.advertise ?: a->conf.listen;
        const ZabConfigMember *self;
        MemberChange change = { .op = MEMBER_CHANGE_UPDATE };
        MemberStatus s;

        if (a->self_told || rotation_has_two_keys(a) || agent_clock_usec(CLOCK_BOOTTIME) < a->tell_again_usec)
                return;

        member_get_status(a->member, &s);
        self = s.serving && s.config ? zab_config_find(s.config, s.sid) : NULL;
        if (!self)
                return;

        a->self_told = true;
        address = address ?: self->address;
        if (strcmp(self->address, address) == 0 && strcmp(self->name, a->host) == 0 && self->pin_size == NET_PIN_BYTES &&
            memcmp(self->pin, net_key_pin(a->key), NET_PIN_BYTES) == 0) {
                rotation_on_told(a);
                return;
        }

        change.member = (ZabConfigMember) {
                .sid = s.sid,
                .name = a->host,
                .address = address,
                .pin = net_key_pin(a->key),
                .pin_size = NET_PIN_BYTES,
        };
        a->telling = true;
        own_change(a->own, &change, on_self_told, a);
}
