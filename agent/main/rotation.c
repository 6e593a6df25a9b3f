/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Rotation
 *
 * A new key for this member, with no moment at which the others would not know it: the new key is on the disk, then the configuration
 * has both, then the new one takes the place of the old one here, then the configuration has the new one alone, upon
 * which every other member closes what still runs under the old one.
 *
 * Wherever this is interrupted, the member goes on with the key in key.pem, which the configuration has; links_look() takes
 * the other one out of it.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/messages.h"
#include "agent/main/agent-internal.h"
#include "agent/main/journal.h"

struct Rotation {
        Agent *agent;
        NetKey *key;                    /* the new one */
        char *path;                     /* where it is, until it takes the place of the old one */
        ServerRotateDone done;
        void *sink;
};

static void rotation_end(Agent *a, ConveneStatus status, const char *error) {
        struct Rotation *r = g_steal_pointer(&a->rotation);

        r->done(r->sink, status, status != CONVENE_OK && !error ? convene_status_describe(status) : error);
        net_key_unref(r->key);
        g_free(r->path);
        g_free(r);
}

void rotation_forget(Agent *a) {
        if (!a->rotation)
                return;

        net_key_unref(a->rotation->key);
        g_free(a->rotation->path);
        g_clear_pointer(&a->rotation, g_free);
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

/* The others take either of the two now. */
static void on_both(void *userdata, const Result *result) {
        Agent *a = userdata;
        int r;

        if (!a->rotation)
                return;
        if (result->status != CONVENE_OK) {
                rotation_end(a, result->status, NULL);
                return;
        }

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
        uint8_t pins[2 * NET_PIN_BYTES];
        MemberChange change = { .op = MEMBER_CHANGE_UPDATE };
        MemberStatus s;
        int r;

        if (a->rotation) {
                done(sink, CONVENE_RECONFIG_IN_PROGRESS, "a rotation of this member's key is under way");
                return;
        }

        a->rotation = g_new0(struct Rotation, 1);
        *a->rotation = (struct Rotation) { .agent = a, .done = done, .sink = sink };
        a->rotation->path = g_build_filename(a->conf.data, "key-next.pem", NULL);
        r = take_new_key(a->rotation);
        if (r < 0) {
                rotation_end(a, CONVENE_SYSTEM_ERROR, strerror(-r));
                return;
        }

        memcpy(pins, net_key_pin(a->key), NET_PIN_BYTES);
        memcpy(pins + NET_PIN_BYTES, net_key_pin(a->rotation->key), NET_PIN_BYTES);
        member_get_status(a->member, &s);
        change.member = (ZabConfigMember) { .sid = s.sid, .pin = pins, .pin_size = sizeof(pins) };
        own_change(a->own, &change, on_both, a);
}
