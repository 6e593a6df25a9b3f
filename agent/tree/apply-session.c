/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Apply: updates of sessions
 *
 * Who may do this to which session is the fronts' business, except for the secret that a re-attach must prove.
 */

#include <string.h>

#include "agent/tree/tree-internal.h"

/* Takes as long for a guess that is wrong in its last byte as for one that is wrong in its first. */
static bool secret_equal(const uint8_t *a, const uint8_t *b) {
        volatile uint8_t difference = 0;

        for (size_t i = 0; i < SESSION_SECRET_HASH_BYTES; i++)
                difference |= a[i] ^ b[i];

        return difference == 0;
}

static bool timeout_is_valid(uint32_t timeout_msec) {
        return timeout_msec >= LIMIT_SESSION_TIMEOUT_MIN_MSEC && timeout_msec <= LIMIT_SESSION_TIMEOUT_MAX_MSEC;
}

/* The front has verified that the caller is these; "super" is one of them. */
static bool identities_are_valid(Identities i) {
        for (uint32_t n = 0; n < i.count; n++)
                if (!identity_is_valid(i.items[n], /* allow_super= */ true))
                        return false;

        return true;
}

static ConveneStatus apply_open(Tree *t, const Request *r, Result *ret) {
        Session *s;

        if (!timeout_is_valid(r->timeout_msec) || (unsigned) r->owner_kind >= _OWNER_KIND_MAX)
                return CONVENE_BAD_ARGUMENTS;
        if (!identities_are_valid(r->identities))
                return CONVENE_AUTH_FAILED;
        if (t->sessions.count >= LIMIT_SESSIONS_TOTAL)
                return CONVENE_LIMIT_EXCEEDED;

        s = session_new(ret->zxid);
        if (!session_has_room(s, r->identities)) {
                session_free(s);
                return CONVENE_LIMIT_EXCEEDED;
        }

        session_add_identities(s, r->identities);
        s->generation = 1;
        s->ctime_msec = t->entry.time_msec;
        s->timeout_msec = r->timeout_msec;
        s->member = r->member;
        s->owner_kind = r->owner_kind;
        s->owner = g_strdup(r->owner ? r->owner : "");
        memcpy(s->secret_hash, r->secret_hash, SESSION_SECRET_HASH_BYTES);
        index_insert(&t->sessions, s);
        entry_session_settle(t, s);

        ret->session = s->id;
        ret->timeout_msec = s->timeout_msec;
        return CONVENE_OK;
}

static ConveneStatus apply_attach(Tree *t, const Request *r, Session *s, Result *ret, SessionEvent *ret_event) {
        if (!secret_equal(s->secret_hash, r->secret_hash))
                return CONVENE_AUTH_FAILED;

        entry_session_touch(t, s);
        s->generation++;
        s->timeout_msec = r->timeout_msec;
        s->member = r->member;
        entry_session_settle(t, s);

        *ret_event = (SessionEvent) { .session = s->id, .generation = s->generation, .moved = true };
        ret->session = s->id;
        ret->timeout_msec = s->timeout_msec;
        return CONVENE_OK;
}

static ConveneStatus apply_auth(Tree *t, const Request *r, Session *s) {
        if (!identities_are_valid(r->identities))
                return CONVENE_AUTH_FAILED;
        if (!session_has_room(s, r->identities))
                return CONVENE_LIMIT_EXCEEDED;

        entry_session_touch(t, s);
        session_add_identities(s, r->identities);
        entry_session_settle(t, s);
        return CONVENE_OK;
}

static ConveneStatus apply_close(Tree *t, const Request *r, Session *s, SessionEvent *ret_event) {
        /* Its client was in time: the re-attach stands before the expiry in the log. */
        if (r->generation != 0 && r->generation != s->generation)
                return CONVENE_BAD_VERSION;

        *ret_event = (SessionEvent) { .session = s->id, .ended = true, .expired = r->expired };

        entry_session_touch(t, s);
        while (s->ephemerals_first)
                entry_delete(t, s->ephemerals_first);

        return CONVENE_OK;
}

void session_bury(Tree *t, uint64_t session) {
        Session *s = index_find(&t->sessions, session);

        checkpoint_mark_session_gone(t, s);
        index_remove(&t->sessions, s);
        session_free(s);
}

ConveneStatus apply_session(Tree *t, const Request *r, Result *ret, SessionEvent *ret_event) {
        Session *s;

        if (r->op == REQUEST_OPEN_SESSION)
                return apply_open(t, r, ret);
        if (r->op == REQUEST_ATTACH_SESSION && !timeout_is_valid(r->timeout_msec))
                return CONVENE_BAD_ARGUMENTS;

        s = index_find(&t->sessions, r->target);
        if (!s)
                return CONVENE_SESSION_EXPIRED;

        switch (r->op) {

        case REQUEST_ATTACH_SESSION:
                return apply_attach(t, r, s, ret, ret_event);

        case REQUEST_AUTH_SESSION:
                return apply_auth(t, r, s);

        case REQUEST_CLOSE_SESSION:
                return apply_close(t, r, s, ret_event);

        default:
                return CONVENE_UNIMPLEMENTED;
        }
}
