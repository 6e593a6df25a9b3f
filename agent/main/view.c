/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * View
 *
 * What the bus shows of the agent, beside what the member knows.
 */

#include <string.h>

#include "agent/base/messages.h"
#include "agent/main/agent-internal.h"
#include "agent/main/journal.h"

/* Of those who belong: what was exchanged with a member that was removed is not in it any more. */
static void add_frames(const PeerMesh *mesh, void (*add)(void *sink, const char *name, uint64_t value), void *sink) {
        uint64_t frames_in = 0, frames_out = 0, bytes_in = 0, bytes_out = 0;

        for (uint32_t sid = 1; sid <= ZAB_CONFIG_MEMBERS_MAX; sid++) {
                PeerStatus p;

                if (!peer_mesh_get_status(mesh, sid, &p))
                        continue;
                frames_in += p.frames_in;
                frames_out += p.frames_out;
                bytes_in += p.bytes_in;
                bytes_out += p.bytes_out;
        }
        add(sink, "mesh_frames_received", frames_in);
        add(sink, "mesh_frames_sent", frames_out);
        add(sink, "mesh_received_bytes", bytes_in);
        add(sink, "mesh_sent_bytes", bytes_out);
}

static void add_mesh(const PeerMesh *mesh, void (*add)(void *sink, const char *name, uint64_t value), void *sink) {
        PeerMeshStatistics s;

        add_frames(mesh, add, sink);
        peer_mesh_get_statistics(mesh, &s);
        add(sink, "mesh_accepted", s.accepted);
        add(sink, "mesh_refused", s.refused);
        add(sink, "mesh_strangers", s.strangers);
        add(sink, "mesh_joins", s.joins);
        add(sink, "mesh_alarms_left_out", s.alarms_left_out);
        add(sink, "mesh_pending_now", s.pending);
}

static void get_statistics(void *userdata, void (*add)(void *sink, const char *name, uint64_t value), void *sink) {
        Agent *a = userdata;
        StoreStatistics s;

        store_get_statistics(a->store, &s);
        add(sink, "store_appends", s.appends);
        add(sink, "store_append_bytes", s.append_bytes);
        add(sink, "store_syncs", s.syncs);
        add(sink, "store_sync_total_usec", s.sync_usec_total);
        add(sink, "store_sync_max_usec", s.sync_usec_max);
        add(sink, "store_checkpoints", s.checkpoints);
        add(sink, "store_checkpoint_rows", s.checkpoint_rows);
        add(sink, "store_checkpoint_last_usec", s.checkpoint_usec_last);
        add(sink, "store_segments_now", s.segments);
        add(sink, "store_log_now_bytes", s.log_bytes);
        add(sink, "checkpoint_slice_max_usec", checkpointer_slice_usec_max(a->checkpointer));
        add(sink, "loop_turn_max_usec", a->turn_usec_max);
        add(sink, "journal_lost", journal_lost());
        if (a->mesh)
                add_mesh(a->mesh, add, sink);
        add(sink, "uptime_usec", agent_clock_usec(CLOCK_BOOTTIME) - a->started_usec);
}

static char **get_problems(void *userdata) {
        Agent *a = userdata;
        g_autoptr(GStrvBuilder) b = g_strv_builder_new();

        if (!a->space_available) {
                g_autofree char *s = g_strdup_printf("the disk under %s is full: updates are refused until there is room",
                                                     a->conf.data);

                g_strv_builder_add(b, s);
        }
        if (a->broker_problem)
                g_strv_builder_add(b, a->broker_problem);
        if (a->mesh_problem)
                g_strv_builder_add(b, a->mesh_problem);
        if (a->presences) {
                const GPtrArray *p = presences_problems(a->presences);

                for (guint i = 0; i < p->len; i++)
                        g_strv_builder_add(b, p->pdata[i]);
        }
        if (a->singletons) {
                const GPtrArray *p = singletons_problems(a->singletons);

                for (guint i = 0; i < p->len; i++)
                        g_strv_builder_add(b, p->pdata[i]);
        }
        return g_strv_builder_end(b);
}

static void request_checkpoint(void *userdata, void (*done)(void *sink, int error, Zxid zxid), void *sink) {
        Agent *a = userdata;

        checkpointer_request(a->checkpointer, done, sink);
}

static void on_limit_reached(void *userdata, uid_t uid, const char *key, uint64_t value) {
        g_autofree char *uid_field = g_strdup_printf("CONVENE_UID=%u", (unsigned) uid);

        journal_send(LOG_WARNING, CONVENE_MESSAGE_LIMIT_REACHED, (const char *const[]) { uid_field, NULL },
                     "User %u has reached %s=%" PRIu64 " of [Limits] and is refused more", (unsigned) uid, key, value);
}

static void on_credential_refused(void *userdata, const char *unit, const char *name, const char *why) {
        g_autofree char *field = g_strdup_printf("CONVENE_UNIT=%s", unit);

        journal_send(LOG_WARNING, NULL, (const char *const[]) { field, NULL },
                     "Credential %s is not given to %s, so that it does not start: %s", name, unit, why);
}

static void get_presences(void *userdata,
                          void (*each)(void *sink, const char *unit, const char *invocation, const char *path,
                                       uint64_t session, const char *error),
                          void *sink) {
        Agent *a = userdata;

        if (a->presences)
                presences_foreach(a->presences, each, sink);
}

static void get_singletons(void *userdata, void (*each)(void *sink, const ServerSingleton *one), void *sink) {
        Agent *a = userdata;

        if (a->singletons)
                singletons_foreach(a->singletons, each, sink);
}

static ConveneStatus hold_singleton(void *userdata, const char *name, bool hold) {
        Agent *a = userdata;

        return a->singletons ? singletons_hold(a->singletons, name, hold) : CONVENE_NOT_READY;
}

static void get_peer(void *userdata, uint32_t sid, ServerPeer *ret) {
        Agent *a = userdata;
        ZabPeerState z;
        PeerStatus p;

        *ret = (ServerPeer) { 0 };
        if (a->mesh && peer_mesh_get_status(a->mesh, sid, &p)) {
                ret->connected = p.connected;
                ret->since_usec = p.since_usec;
                ret->error = p.error;
        }
        if (member_get_peer(a->member, sid, &z)) {
                ret->known = true;
                ret->synced = z.synced;
                ret->acked = z.acked;
                ret->heard_usec = z.heard_usec;
        }
}

ServerAgent view_for_server(Agent *a) {
        return (ServerAgent) {
                .statistics = get_statistics,
                .problems = get_problems,
                .checkpoint = request_checkpoint,
                .presences = get_presences,
                .singletons = get_singletons,
                .hold = hold_singleton,
                .limit_reached = on_limit_reached,
                .credential_refused = on_credential_refused,
                .token = tokens_make,
                .rotate_key = rotation_begin,
                .peer = get_peer,
                .userdata = a,
        };
}
