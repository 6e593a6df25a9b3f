/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Own
 */

#include "agent/main/own.h"

typedef struct Asked {
        void (*done)(void *userdata, const Result *result);
        void *userdata;
} Asked;

struct Own {
        MemberClient *client;
        uint64_t tag;
        GHashTable *asked;              /* tag -> Asked */
};

static const Identity every_right[] = { { "super", "convened" } };

static void on_reply(void *userdata, uint64_t tag, const Result *result) {
        Own *o = userdata;
        g_autofree uint64_t *key = NULL;
        g_autofree Asked *asked = NULL;

        if (g_hash_table_steal_extended(o->asked, &tag, (gpointer *) &key, (gpointer *) &asked))
                asked->done(asked->userdata, result);
}

static void on_event(void *userdata, uint64_t watch, WatchEventType type, const char *path, Zxid zxid, bool spent) {
        /* The agent watches nothing. */
}

static const MemberFront front = { .reply = on_reply, .event = on_event };

Own *own_new(Member *member) {
        Own *o = g_new0(Own, 1);

        o->asked = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
        o->client = member_client_new(member, &front, o);
        return o;
}

Own *own_free(Own *o) {
        if (!o)
                return NULL;

        member_client_free(o->client);
        g_hash_table_unref(o->asked);
        g_free(o);
        return NULL;
}

static uint64_t ask(Own *o, void (*done)(void *userdata, const Result *result), void *userdata) {
        Asked *asked = g_new(Asked, 1);

        *asked = (Asked) { done, userdata };
        o->tag++;
        g_hash_table_insert(o->asked, g_memdup2(&o->tag, sizeof(o->tag)), asked);
        return o->tag;
}

void own_submit(Own *o, const Request *r, unsigned flags, void (*done)(void *userdata, const Result *result),
                void *userdata) {
        Request copy = *r;

        copy.caller = (Identities) { every_right, G_N_ELEMENTS(every_right) };
        member_submit(o->client, ask(o, done, userdata), &copy, 0, flags);
}

void own_change(Own *o, const MemberChange *change, void (*done)(void *userdata, const Result *result), void *userdata) {
        member_change(o->client, ask(o, done, userdata), change, 0);
}
