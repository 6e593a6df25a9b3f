/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Driver
 *
 * The member's effects go to the store and to the mesh; the store's completions come back to the member.
 */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "agent/base/messages.h"
#include "agent/main/agent-internal.h"
#include "agent/main/journal.h"

#define APPENDS_PER_STEP 32             /* handed to the member between two looks at the clock */
#define TURN_USEC 2000
#define SNAP_BACKLOG_MAX 64             /* chunks of a snapshot that wait for the disk: some 16 MiB, more than it writes between two PINGs */

/*
 * Effects
 */

static void on_append(void *userdata, uint64_t io_seq, const ZabEntry *entries, unsigned entries_count) {
        Agent *a = userdata;

        for (unsigned i = 0; i < entries_count; i++)
                checkpointer_count_log(a->checkpointer, g_bytes_get_size(entries[i].payload) + 128);
        store_append(a->store, io_seq, entries, entries_count);
}

static void on_truncate(void *userdata, uint64_t io_seq, const ZabPosition *position) {
        Agent *a = userdata;

        journal(LOG_NOTICE, NULL, "Taking back what the leader does not have: the log ends at index %" PRIu64 " now; nothing of "
                "it was ever acknowledged", position->index);
        store_truncate(a->store, io_seq, position);
}

static void on_write_meta(void *userdata, uint64_t io_seq, const ZabMeta *meta) {
        Agent *a = userdata;

        store_write_meta(a->store, io_seq, meta);
}

static void on_snap_begin(void *userdata, const ZabPosition *position, GBytes *config) {
        Agent *a = userdata;

        journal(LOG_NOTICE, NULL, "This member is too far behind for the leader's log: taking a snapshot of index %" PRIu64,
                position->index);
        checkpointer_hold(a->checkpointer, true);
        store_snap_begin(a->store, position, config);
}

static void on_snap_chunk(void *userdata, GBytes *chunk) {
        Agent *a = userdata;

        store_snap_chunk(a->store, chunk);
}

static bool on_snap_is_behind(void *userdata) {
        Agent *a = userdata;

        return store_checkpoint_backlog(a->store) >= SNAP_BACKLOG_MAX;
}

static void on_snap_install(void *userdata, uint64_t io_seq, const ZabMeta *meta, Hash128 digest) {
        Agent *a = userdata;

        a->snap_io_seq = io_seq;
        store_snap_install(a->store, io_seq, meta, digest);
}

static void on_snap_abort(void *userdata) {
        Agent *a = userdata;

        store_snap_abort(a->store);
        checkpointer_hold(a->checkpointer, false);
}

static void on_read_log(void *userdata, uint64_t request, uint64_t from_index, uint64_t to_index, uint64_t bytes_max) {
        Agent *a = userdata;

        store_read_log(a->store, request, from_index, to_index, bytes_max);
}

/* A young ensemble has no checkpoint for a long time, and a member that can be mended by nothing else cannot wait for it. */
typedef struct Opening {
        Agent *agent;
        uint64_t request;
        bool closed;
} Opening;

static void on_first_checkpoint(void *userdata, int error, Zxid zxid) {
        Opening *o = userdata;

        if (!o->closed)
                store_open_snapshot(o->agent->store, o->request);       /* after an error there is none, and it says so */
        g_ptr_array_remove_fast(o->agent->openings, o);
}

static void on_open_snapshot(void *userdata, uint64_t request) {
        Agent *a = userdata;
        Opening *o;

        if (!checkpointer_is_blank(a->checkpointer)) {
                store_open_snapshot(a->store, request);
                return;
        }

        o = g_new(Opening, 1);
        *o = (Opening) { .agent = a, .request = request };
        g_ptr_array_add(a->openings, o);
        checkpointer_request(a->checkpointer, on_first_checkpoint, o);
}

static void on_read_snapshot(void *userdata, uint64_t request) {
        Agent *a = userdata;

        store_read_snapshot(a->store, request);
}

static void on_close_snapshot(void *userdata, uint64_t request) {
        Agent *a = userdata;

        for (guint i = 0; i < a->openings->len; i++) {
                Opening *o = g_ptr_array_index(a->openings, i);

                if (o->request == request) {
                        o->closed = true;
                        return;
                }
        }
        store_close_snapshot(a->store, request);
}

static void on_send(void *userdata, uint64_t conn, const PeerMessage *message) {
        links_send(userdata, conn, message);
}

static void on_close(void *userdata, uint64_t conn, const char *reason) {
        links_close(userdata, conn, reason);
}

static void on_config_changed(void *userdata) {
        links_on_config(userdata);
}

static bool is_worth_telling(ZabRole role) {
        return role == ZAB_ROLE_LEADER || role == ZAB_ROLE_FOLLOWER || role == ZAB_ROLE_LOOKING;
}

static void on_role_changed(void *userdata, ZabRole role, uint32_t epoch, const char *reason) {
        Agent *a = userdata;
        g_autofree char *role_field = g_strdup_printf("CONVENE_ROLE=%s", zab_role_to_string(role));
        g_autofree char *epoch_field = g_strdup_printf("CONVENE_EPOCH=%u", epoch);
        const char *const fields[] = { role_field, epoch_field, NULL };

        if (role == ZAB_ROLE_STOPPED) {
                journal_send(LOG_CRIT, CONVENE_MESSAGE_ROLE_CHANGED, fields, "Stopping in epoch %u: %s", epoch, reason);
                agent_end(a, AGENT_EXIT_DAMAGED);
        } else if (is_worth_telling(role))
                journal_send(LOG_INFO, CONVENE_MESSAGE_ROLE_CHANGED, fields, "Role is now %s in epoch %u: %s",
                             zab_role_to_string(role), epoch, reason);

        transfer_on_role(a, role);
        if (a->server)
                server_on_role_changed(a->server);
        if (a->announced)
                agent_notify_status(a);
}

static void on_session_ended(void *userdata, uint64_t session, bool expired) {
        Agent *a = userdata;

        if (expired) {
                g_autofree char *field = g_strdup_printf("CONVENE_SESSION=%016" PRIx64, session);

                journal_send(LOG_INFO, CONVENE_MESSAGE_SESSION_EXPIRED, (const char *const[]) { field, NULL },
                             "Session 0x%" PRIx64 " expired: it was not kept alive", session);
        }
        if (a->server)
                server_on_session_ended(a->server, session, expired);
        if (a->presences)
                presences_on_session_ended(a->presences, session);
}

static void on_soft_quota(void *userdata, const char *path) {
        journal(LOG_WARNING, CONVENE_MESSAGE_QUOTA_EXCEEDED, "The soft quota of %s is exceeded", path);
}

static void on_diverged(void *userdata, uint64_t index) {
        journal(LOG_CRIT, CONVENE_MESSAGE_STORE_DAMAGED, "The tree of this member differs from the others' at index %" PRIu64
                ": it does not serve until it has theirs as a snapshot; this is a bug or failing memory, please report it",
                index);
}

static void on_disk_regressed(void *userdata, uint32_t sid, uint64_t acked, uint64_t last) {
        journal(LOG_CRIT, CONVENE_MESSAGE_STORE_DAMAGED, "The disk of member %u has lost what it had said was durable: it had "
                "acknowledged index %" PRIu64 " and has %" PRIu64 " now; it counts again once the leader has brought it up to date; check "
                "that disk, or whether an old image of it was restored, and replace the member", sid, acked, last);
}

static void get_time(void *userdata, uint64_t *ret_now_usec, int64_t *ret_wall_msec) {
        Agent *a = userdata;
        uint64_t wall_usec;

        (void) sd_event_now(a->event, CLOCK_BOOTTIME, ret_now_usec);
        (void) sd_event_now(a->event, CLOCK_REALTIME, &wall_usec);
        *ret_wall_msec = wall_usec / 1000;
}

MemberDriver driver_for_member(Agent *a) {
        return (MemberDriver) {
                .append = on_append,
                .truncate = on_truncate,
                .write_meta = on_write_meta,
                .snap_begin = on_snap_begin,
                .snap_chunk = on_snap_chunk,
                .snap_is_behind = on_snap_is_behind,
                .snap_install = on_snap_install,
                .snap_abort = on_snap_abort,
                .read_log = on_read_log,
                .open_snapshot = on_open_snapshot,
                .read_snapshot = on_read_snapshot,
                .close_snapshot = on_close_snapshot,
                .send = on_send,
                .close = on_close,
                .config_changed = on_config_changed,
                .role_changed = on_role_changed,
                .session_ended = on_session_ended,
                .soft_quota = on_soft_quota,
                .diverged = on_diverged,
                .disk_regressed = on_disk_regressed,
                .get_time = get_time,
                .userdata = a,
        };
}

/*
 * Completions
 */

/* The snapshot is the member's tree from the step on in which it hears that it is durable. */
static void hand_over(Agent *a, uint64_t io_seq) {
        a->applied_io_seq = io_seq;
        member_on_appended(a->member, io_seq);
        if (a->snap_io_seq > 0 && a->snap_io_seq <= io_seq) {
                a->snap_io_seq = 0;
                checkpointer_on_snapshot(a->checkpointer);
        }
}

/* One group commit may carry thousands of entries, each with an answer to send: a turn takes a bounded part of them,
 * so that everybody else is not kept waiting. */
static int on_apply_turn(sd_event_source *source, uint64_t usec, void *userdata) {
        uint64_t end_usec = agent_clock_usec(CLOCK_MONOTONIC) + TURN_USEC;
        Agent *a = userdata;

        do
                hand_over(a, MIN(a->applied_io_seq + APPENDS_PER_STEP, a->appended_io_seq));
        while (a->applied_io_seq < a->appended_io_seq && agent_clock_usec(CLOCK_MONOTONIC) < end_usec);
        checkpointer_consider(a->checkpointer);
        return sd_event_source_set_enabled(a->apply_turn,
                                           a->applied_io_seq < a->appended_io_seq ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

/* A timer that is due and no deferred source, which would go before all others until it has nothing left to do. */
int driver_add_apply_turn(Agent *a) {
        int r;

        r = sd_event_add_time(a->event, &a->apply_turn, CLOCK_MONOTONIC, 0, 1, on_apply_turn, a);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(a->apply_turn, SD_EVENT_OFF);
}

static void on_appended(void *userdata, uint64_t io_seq) {
        Agent *a = userdata;
        bool idle = a->applied_io_seq >= a->appended_io_seq;

        a->appended_io_seq = io_seq;
        if (idle)
                (void) on_apply_turn(a->apply_turn, 0, a);
}

/* The store writes META after every append before it: what is durable by now is told first (protocol 2.5). */
static void on_meta_written(void *userdata, uint64_t io_seq) {
        Agent *a = userdata;

        hand_over(a, a->appended_io_seq);
        member_on_meta_written(a->member, io_seq);
}

static void on_checkpointed(void *userdata, uint64_t io_seq, int error) {
        Agent *a = userdata;

        checkpointer_on_done(a->checkpointer, error);
}

static void on_space(void *userdata, bool available) {
        Agent *a = userdata;

        a->space_available = available;
        member_on_space(a->member, available);
        if (available)
                journal(LOG_NOTICE, CONVENE_MESSAGE_DISK_ROOM_AGAIN, "There is room on the disk again; updates are accepted");
        else
                journal(LOG_ERR, CONVENE_MESSAGE_DISK_FULL, "No room for the next log segment in %s; updates are refused, "
                        "reads go on; make room and they are accepted again by themselves", a->conf.data);
        agent_notify_status(a);
        if (a->server) {
                server_on_problems_changed(a->server);
                server_on_role_changed(a->server);
        }
}

/* Protocol 2.5: after an I/O error on the log or META no further message may leave this process. */
static void on_failed(void *userdata, int error, const char *what) {
        Agent *a = userdata;

        journal(LOG_CRIT, CONVENE_MESSAGE_IO_ERROR, "%s: %s; stopping at once, so that nothing is acknowledged that is "
                "not on the disk; check the disk under %s, then start again", what, strerror(-error), a->conf.data);
        (void) sd_notifyf(false, "STATUS=Stopped by an I/O error: %s: %s\nERRNO=%d", what, strerror(-error), -error);
        _exit(AGENT_EXIT_IO);
}

/* Nothing has changed on the disk; without the snapshot there is nothing to go on with, so the next start tries anew. */
static void on_snap_failed(void *userdata, uint64_t io_seq, int error) {
        Agent *a = userdata;

        journal(LOG_CRIT, CONVENE_MESSAGE_IO_ERROR, "Cannot install the leader's snapshot in %s: %s; stopping, and the next start "
                "asks for it again", a->conf.data, strerror(-error));
        agent_end(a, AGENT_EXIT_FAILURE);
}

static void on_log_read(void *userdata, uint64_t request, const ZabEntry *entries, unsigned entries_count) {
        Agent *a = userdata;

        member_on_log_read(a->member, request, entries, entries_count);
}

static void on_log_dropped(void *userdata, uint64_t index) {
        Agent *a = userdata;

        member_on_log_dropped(a->member, index);
}

static void on_snapshot_opened(void *userdata, uint64_t request, const ZabPosition *position, GBytes *config) {
        Agent *a = userdata;

        member_on_snapshot_opened(a->member, request, position, config);
}

static void on_snapshot_chunk(void *userdata, uint64_t request, GBytes *chunk, Hash128 digest) {
        Agent *a = userdata;

        member_on_snapshot_chunk(a->member, request, chunk, digest);
}

StoreListener driver_for_store(Agent *a) {
        return (StoreListener) {
                .appended = on_appended,
                .meta_written = on_meta_written,
                .checkpointed = on_checkpointed,
                .space = on_space,
                .failed = on_failed,
                .snap_failed = on_snap_failed,
                .log_read = on_log_read,
                .log_dropped = on_log_dropped,
                .snapshot_opened = on_snapshot_opened,
                .snapshot_chunk = on_snapshot_chunk,
                .userdata = a,
        };
}
