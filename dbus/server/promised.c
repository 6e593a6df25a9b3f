/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Promised
 *
 * How long what was granted may be held is written down for the next agent (agent/host/promises.h) as often as it may change, and
 * read back for what is found in the fd store.
 */

#include "dbus/server/promised.h"

#include "agent/host/promises.h"
#include "dbus/server/grant.h"
#include "dbus/server/server-private.h"

/* Otherwise what was promised to an earlier agent is good still. */
static void note(Server *s, uint64_t session) {
        uint64_t deadline_usec = member_session_deadline(s->member, session);

        if (deadline_usec != 0)
                promises_set(s->promises, session, deadline_usec);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Server *s = userdata;

        if (s->grants.length == 0) {
                s->promised_armed = false;
                return 0;
        }
        member_on_tick(s->member);              /* an ensemble of one has no heartbeats: its promise grows when it looks at the clock */
        for (GList *i = s->grants.head; i; i = i->next) {
                const Grant *g = i->data;

                if (g->owned)
                        note(s, g->owned->id);
        }
        (void) sd_event_source_set_time_relative(source, s->promised_usec);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

void promised_note(Server *s, uint64_t session) {
        note(s, session);
        if (!s->promises || s->promised_armed)
                return;
        s->promised_armed = true;
        (void) sd_event_source_set_time_relative(s->promised_timer, s->promised_usec);
        (void) sd_event_source_set_enabled(s->promised_timer, SD_EVENT_ONESHOT);
}

static void note_stored(void *userdata, uint64_t session, uint32_t grace_msec) {
        g_hash_table_add(userdata, g_memdup2(&session, sizeof(session)));
}

static int is_stored(void *userdata, uint64_t session) {
        return g_hash_table_contains(userdata, &session);
}

int server_keep_promises(Server *s, const char *directory, uint32_t heartbeat_msec) {
        g_autoptr(GHashTable) stored = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
        int r = 0;

        s->promises = promises_open(directory, &r);
        if (!s->promises)
                return r;
        s->promised_usec = (uint64_t) heartbeat_msec * 1000;
        fd_store_foreach(s->fds, note_stored, stored);
        promises_sift(s->promises, is_stored, stored);
        r = sd_event_add_time_relative(s->event, &s->promised_timer, CLOCK_BOOTTIME, s->promised_usec, 0, on_timer, s);
        return r < 0 ? r : sd_event_source_set_enabled(s->promised_timer, SD_EVENT_OFF);
}

void promised_done(Server *s) {
        s->promised_timer = sd_event_source_disable_unref(s->promised_timer);
        s->promises = promises_free(s->promises);
}

uint64_t promised_give_up_usec(const Server *s, uint64_t session, uint64_t grace_usec) {
        uint64_t deadline_usec = promises_get(s->promises, session, s->stored_since_usec, grace_usec * TENURE_GRACE_DIVISOR / 1000);

        if (deadline_usec == 0)
                return s->stored_since_usec + grace_usec;
        return deadline_usec > 2 * grace_usec ? deadline_usec - grace_usec : 1 + grace_usec;
}
