/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Rotation
 *
 * A new key for this member, with no moment at which another one would not know it: the new key is on the disk; the configuration has
 * both; every other member has that configuration on its disk; then the new key takes the place of the old one here, and
 * the configuration has the new one alone, upon which every other member closes what still runs under the old one.
 *
 * While a member is away nothing of that begins, or goes on: it could learn of the new key only from somebody it would not
 * let in.
 *
 * Wherever this is interrupted, the member goes on with the key in key.pem, which every other one knows; links_look() takes
 * the other one out of the configuration.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/messages.h"
#include "agent/main/agent-internal.h"
#include "agent/main/journal.h"

#define ASK_AGAIN_USEC UINT64_C(100000)
#define PATIENCE_USEC UINT64_C(10000000)        /* with others that are about to have the new key */

struct Rotation {
        NetKey *key;                    /* the new one */
        char *path;                     /* where it is, until it takes the place of the old one */
        sd_event_source *again;
        uint64_t until_usec;
        ServerRotateDone done;
        void *sink;
};

static void rotation_free(struct Rotation *r) {
        sd_event_source_disable_unref(r->again);
        net_key_unref(r->key);
        g_free(r->path);
        g_free(r);
}

static void rotation_end(Agent *a, ConveneStatus status, const char *error) {
        struct Rotation *r = g_steal_pointer(&a->rotation);

        r->done(r->sink, status, status != CONVENE_OK && !error ? convene_status_describe(status) : error);
        rotation_free(r);
}

void rotation_forget(Agent *a) {
        g_clear_pointer(&a->rotation, rotation_free);
}

bool rotation_has_two_keys(const Agent *a) {
        return a->rotation && a->rotation->key != a->key;
}

/* The configuration may have the new key as well. */
static void give_up(Agent *a, ConveneStatus status, const char *error) {
        (void) unlink(a->rotation->path);
        a->self_told = false;
        rotation_end(a, status, error);
}

void rotation_on_told(Agent *a) {
        if (!a->rotation || a->rotation->key != a->key)
                return;

        journal(LOG_NOTICE, NULL, "This member has a new key, and the ensemble knows it; the old one is worth nothing any more");
        rotation_end(a, CONVENE_OK, NULL);
}

/* Durable, as the configuration soon has no other. */
static int replace_key_file(const Agent *a, const char *from) {
        g_autofree char *to = g_build_filename(a->conf.data, "key.pem", NULL);
        int fd, r;

        if (rename(from, to) < 0)
                return -errno;
        fd = open(a->conf.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = fsync(fd) < 0 ? -errno : 0;
        close(fd);
        return r;
}

static void change_keys(Agent *a) {
        int r;

        r = replace_key_file(a, a->rotation->path);
        if (r < 0) {
                journal(LOG_CRIT, CONVENE_MESSAGE_IO_ERROR, "Cannot put the new key into its place: %s; stopping, and the next start finds "
                        "out which of the two it has", strerror(-r));
                rotation_end(a, CONVENE_SYSTEM_ERROR, strerror(-r));
                agent_end(a, AGENT_EXIT_IO);
                return;
        }
        net_key_unref(a->key);
        a->key = net_key_ref(a->rotation->key);
        peer_mesh_set_key(a->mesh, a->key);
        a->self_told = false;           /* and away with the old one */
}

static void tell_both(Agent *a, void (*done)(void *userdata, const Result *result)) {
        uint8_t pins[2 * NET_PIN_BYTES];
        MemberChange change = { .op = MEMBER_CHANGE_UPDATE };
        MemberStatus s;

        memcpy(pins, net_key_pin(a->key), NET_PIN_BYTES);
        memcpy(pins + NET_PIN_BYTES, net_key_pin(a->rotation->key), NET_PIN_BYTES);
        member_get_status(a->member, &s);
        change.member = (ZabConfigMember) { .sid = s.sid, .pin = pins, .pin_size = sizeof(pins) };
        own_change(a->own, &change, done, a);
}

static bool is_away(const Agent *a, const ZabConfigMember *m) {
        ZabPeerState known;
        PeerStatus link;

        if (member_get_peer(a->member, m->sid, &known) && !(known.connected && known.synced))
                return true;
        return !peer_mesh_get_status(a->mesh, m->sid, &link) || !link.connected;
}

/* The leader has refused; who that is for is to be seen here as well, as a rule.  NULL if not; owned by the caller. */
static char *describe_away(const Agent *a) {
        MemberStatus s;

        member_get_status(a->member, &s);
        for (unsigned i = 0; s.config && i < s.config->members_count; i++) {
                const ZabConfigMember *m = &s.config->members[i];

                if (m->sid != s.sid && is_away(a, m))
                        return g_strdup_printf("%s is away, and would not let this member in under a key that it has not heard of: "
                                               "bring it back, or remove it, and try again", m->name);
        }

        return NULL;
}

static void end_for_want_of_somebody(Agent *a, const char *away) {
        give_up(a, CONVENE_NEW_CONFIG_NO_QUORUM, away ?: "a member is not up to date, and would not let this one in under a key that it has not "
                "heard of: wait until it is ('convenectl member list' on the leader), and try again");
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata);

static void ask_again(Agent *a, ConveneStatus why) {
        g_autofree char *away = why == CONVENE_NEW_CONFIG_NO_QUORUM ? describe_away(a) : NULL;
        struct Rotation *r = a->rotation;

        if (away || agent_clock_usec(CLOCK_BOOTTIME) >= r->until_usec) {
                end_for_want_of_somebody(a, away);
                return;
        }

        r->again = sd_event_source_disable_unref(r->again);
        if (sd_event_add_time_relative(a->event, &r->again, CLOCK_BOOTTIME, ASK_AGAIN_USEC, 0, on_again, a) < 0)
                give_up(a, CONVENE_SYSTEM_ERROR, NULL);
}

/* The leader takes two keys from nobody before every member has the configuration before that on its disk: here that is the one with
 * both. */
static void on_known(void *userdata, const Result *result) {
        Agent *a = userdata;

        if (!a->rotation)
                return;
        if (result->status == CONVENE_OK)
                change_keys(a);
        else
                ask_again(a, result->status);
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        tell_both(userdata, on_known);
        return 0;
}

/* The others take either of the two, as soon as they hear of it. */
static void on_both(void *userdata, const Result *result) {
        Agent *a = userdata;

        if (!a->rotation)
                return;
        if (result->status == CONVENE_OK) {
                a->rotation->until_usec = agent_clock_usec(CLOCK_BOOTTIME) + PATIENCE_USEC;
                tell_both(a, on_known);
        } else if (result->status == CONVENE_NEW_CONFIG_NO_QUORUM) {
                g_autofree char *away = describe_away(a);

                end_for_want_of_somebody(a, away);
        } else
                give_up(a, result->status, NULL);
}

/* One that is there already is of a rotation that was interrupted. */
static int take_new_key(struct Rotation *r) {
        int q;

        q = net_key_load(r->path, &r->key);
        if (q == -EBADMSG) {
                (void) unlink(r->path);
                q = -ENOENT;
        }
        if (q != -ENOENT)
                return q;

        r->key = net_key_new();
        return r->key ? net_key_save(r->key, r->path) : -EIO;
}

void rotation_begin(void *agent, ServerRotateDone done, void *sink) {
        Agent *a = agent;
        int r;

        if (a->rotation) {
                done(sink, CONVENE_RECONFIG_IN_PROGRESS, "a rotation of this member's key is under way");
                return;
        }
        if (!a->self_told || a->telling) {
                done(sink, CONVENE_RECONFIG_IN_PROGRESS, "the ensemble is about to be told of this member's name, address and key; try again");
                return;
        }
        a->rotation = g_new0(struct Rotation, 1);
        *a->rotation = (struct Rotation) { .done = done, .sink = sink };
        a->rotation->path = g_build_filename(a->conf.data, "key-next.pem", NULL);
        r = take_new_key(a->rotation);
        if (r < 0)
                rotation_end(a, CONVENE_SYSTEM_ERROR, strerror(-r));
        else
                tell_both(a, on_both);
}
