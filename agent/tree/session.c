/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Session
 */

#include "agent/tree/session.h"

#include <assert.h>
#include <string.h>

#include <glib.h>

Session *session_new(uint64_t id) {
        Session *s = g_new0(Session, 1);

        s->id = id;
        return s;
}

void session_free(Session *s) {
        g_free(s->owner);
        g_free((gpointer) s->identities.items);
        g_free(s);
}

static bool identities_contain(const Identity *items, uint32_t count, Identity who) {
        for (uint32_t i = 0; i < count; i++)
                if (strcmp(items[i].scheme, who.scheme) == 0 && strcmp(items[i].id, who.id) == 0)
                        return true;

        return false;
}

static Identity *identities_pack(const Identity *items, uint32_t count) {
        size_t size = count * sizeof(Identity);
        Identity *packed;
        char *at;

        for (uint32_t i = 0; i < count; i++)
                size += strlen(items[i].scheme) + strlen(items[i].id) + 2;

        packed = g_malloc(size);
        at = (char *) (packed + count);
        for (uint32_t i = 0; i < count; i++) {
                packed[i].scheme = at;
                at = stpcpy(at, items[i].scheme) + 1;
                packed[i].id = at;
                at = stpcpy(at, items[i].id) + 1;
        }

        return packed;
}

/* Those it holds and the new ones of `more`, each once.  Returns how many, or one more than allowed. */
static uint32_t identities_unite(const Session *s, Identities more, Identity all[static LIMIT_SESSION_IDENTITIES]) {
        uint32_t count = s->identities.count;

        if (count > 0)
                memcpy(all, s->identities.items, count * sizeof(Identity));

        for (uint32_t i = 0; i < more.count; i++) {
                if (identities_contain(all, count, more.items[i]))
                        continue;
                if (count == LIMIT_SESSION_IDENTITIES)
                        return LIMIT_SESSION_IDENTITIES + 1;
                all[count++] = more.items[i];
        }

        return count;
}

bool session_has_room(const Session *s, Identities more) {
        Identity all[LIMIT_SESSION_IDENTITIES];

        return identities_unite(s, more, all) <= LIMIT_SESSION_IDENTITIES;
}

void session_add_identities(Session *s, Identities more) {
        Identity all[LIMIT_SESSION_IDENTITIES], *packed;
        uint32_t count = identities_unite(s, more, all);

        assert(count <= LIMIT_SESSION_IDENTITIES);
        if (count == s->identities.count)
                return;

        packed = identities_pack(all, count);
        g_free((gpointer) s->identities.items);
        s->identities = (Identities) { .items = packed, .count = count };
}

void session_info(const Session *s, SessionInfo *ret) {
        *ret = (SessionInfo) {
                .id = s->id,
                .timeout_msec = s->timeout_msec,
                .member = s->member,
                .owner_kind = s->owner_kind,
                .owner = s->owner,
                .identities = s->identities,
                .ephemerals_count = s->ephemerals_count,
                .ctime_msec = s->ctime_msec,
                .generation = s->generation,
        };
}

void session_insert_ephemeral(Session *s, Znode *z) {
        ZnodeExtra *x = z->extra;

        if (x->ephemeral_before)
                x->ephemeral_before->extra->ephemeral_after = z;
        else
                s->ephemerals_first = z;
        if (x->ephemeral_after)
                x->ephemeral_after->extra->ephemeral_before = z;
        else
                s->ephemerals_last = z;
        s->ephemerals_count++;
}

void session_remove_ephemeral(Session *s, Znode *z) {
        ZnodeExtra *x = z->extra;

        if (x->ephemeral_before)
                x->ephemeral_before->extra->ephemeral_after = x->ephemeral_after;
        else
                s->ephemerals_first = x->ephemeral_after;
        if (x->ephemeral_after)
                x->ephemeral_after->extra->ephemeral_before = x->ephemeral_before;
        else
                s->ephemerals_last = x->ephemeral_before;
        s->ephemerals_count--;
}
