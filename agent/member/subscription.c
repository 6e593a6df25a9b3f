/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Subscription
 *
 * A client's watch number: who may see its events, and on how many paths it watches.  The watch table knows it by a
 * number unique in this member.  Rule it keeps: an event is shown only to who may READ the znode (CVE-2024-23944),
 * and a one-shot watch is spent either way (zookeeper-semantics 2.11).
 */

#include <assert.h>
#include <string.h>

#include "agent/member/member-internal.h"

struct Subscription {
        MemberClient *client;
        uint64_t watch;                 /* the client's number */
        uint64_t watcher;               /* ours */
        uint64_t session;               /* whose identities decide; 0: `identities` */
        Identities identities;          /* owned, deep */
        unsigned paths_count;           /* paths that the table holds for this watcher */
        GList link;                     /* in client->subscription_list */
        GList session_link;             /* in Watching.subscriptions */
};

/* What goes with a session. */
typedef struct Watching {
        uint64_t session;
        GQueue subscriptions;           /* never empty */
} Watching;

void subscriptions_init(Member *m) {
        m->subscriptions = g_hash_table_new(g_int64_hash, g_int64_equal);
        m->watching = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
}

void subscriptions_done(Member *m) {
        g_hash_table_unref(m->subscriptions);
        g_hash_table_unref(m->watching);
}

static Identities identities_copy(Identities from) {
        Identity *items = g_new(Identity, from.count);

        for (uint32_t i = 0; i < from.count; i++)
                items[i] = (Identity) { g_strdup(from.items[i].scheme), g_strdup(from.items[i].id) };

        return (Identities) { items, from.count };
}

static void identities_free(Identities i) {
        for (uint32_t k = 0; k < i.count; k++) {
                g_free((char *) i.items[k].scheme);
                g_free((char *) i.items[k].id);
        }
        g_free((Identity *) i.items);
}

static bool identities_equal(Identities a, Identities b) {
        if (a.count != b.count)
                return false;

        for (uint32_t i = 0; i < a.count; i++)
                if (strcmp(a.items[i].scheme, b.items[i].scheme) != 0 || strcmp(a.items[i].id, b.items[i].id) != 0)
                        return false;

        return true;
}

/* After each change of the table, all of it one client's. */
static void tell_watches(MemberClient *c) {
        Member *m = c->member;
        uint64_t now = watch_table_count(m->watches);
        int change = (int) (int64_t) (now - m->watches_told);

        m->watches_told = now;
        if (change != 0 && c->front && c->front->watches)
                c->front->watches(c->userdata, change);
}

static void join_session(Subscription *s) {
        Member *m = s->client->member;
        Watching *w = g_hash_table_lookup(m->watching, &s->session);

        if (!w) {
                w = g_new0(Watching, 1);
                w->session = s->session;
                g_hash_table_insert(m->watching, &w->session, w);
        }

        s->session_link.data = s;
        g_queue_push_tail_link(&w->subscriptions, &s->session_link);
}

static void leave_session(Subscription *s) {
        Member *m = s->client->member;
        Watching *w = g_hash_table_lookup(m->watching, &s->session);

        g_queue_unlink(&w->subscriptions, &s->session_link);
        if (w->subscriptions.length == 0)
                g_hash_table_remove(m->watching, &s->session);
}

/* The watch table must hold nothing of it any more. */
static void subscription_free(Subscription *s) {
        MemberClient *c = s->client;

        g_hash_table_remove(c->member->subscriptions, &s->watcher);
        g_hash_table_remove(c->subscriptions, &s->watch);
        g_queue_unlink(&c->subscription_list, &s->link);
        if (s->session != 0)
                leave_session(s);
        identities_free(s->identities);
        g_free(s);
}

/* With all its watches. */
static void subscription_end(Subscription *s) {
        MemberClient *c = s->client;

        watch_table_remove_watcher(c->member->watches, s->watcher);
        subscription_free(s);
        tell_watches(c);
}

bool subscription_fits(const MemberClient *c, uint64_t watch, uint64_t session, Identities caller) {
        const Subscription *s = g_hash_table_lookup(c->subscriptions, &watch);

        return !s || (s->session == session && (session != 0 || identities_equal(s->identities, caller)));
}

static Subscription *subscription_get(MemberClient *c, uint64_t watch, uint64_t session, Identities caller) {
        Subscription *s = g_hash_table_lookup(c->subscriptions, &watch);

        if (s)
                return s;

        s = g_new0(Subscription, 1);
        s->client = c;
        s->watch = watch;
        s->watcher = ++c->member->next_watcher;
        s->session = session;
        s->identities = identities_copy(session == 0 ? caller : (Identities) { 0 });
        s->link.data = s;
        if (session != 0)
                join_session(s);
        g_queue_push_tail_link(&c->subscription_list, &s->link);
        g_hash_table_insert(c->subscriptions, &s->watch, s);
        g_hash_table_insert(c->member->subscriptions, &s->watcher, s);
        return s;
}

static bool may_see(const Subscription *s, Acl *acl) {
        SessionInfo info;

        if (!acl)
                return false;
        if (s->session == 0)
                return acl_allows(acl, PERMISSION_READ, s->identities);

        return tree_get_session(s->client->member->tree, s->session, &info) &&
               acl_allows(acl, PERMISSION_READ, info.identities);
}

static void emit(Subscription *s, WatchEventType type, const char *path, Zxid zxid, Acl *acl, bool spent) {
        MemberClient *c = s->client;

        if (c->front && may_see(s, acl)) {
                c->member->statistics.events++;
                c->front->event(c->userdata, s->watch, type, path, zxid, spent);
        }
}

static void on_fire(void *userdata, uint64_t watcher, WatchEventType type, const char *path, Zxid zxid, Acl *acl,
                    bool spent) {
        Member *m = userdata;
        Subscription *s = g_hash_table_lookup(m->subscriptions, &watcher);

        assert(s);

        tell_watches(s->client);
        emit(s, type, path, zxid, acl, spent);
        if (!spent)
                return;

        assert(s->paths_count > 0);
        if (--s->paths_count == 0)
                subscription_free(s);
}

void subscription_on_change(Member *m, const TreeChange *change) {
        change_history_add(m->history, change);
        watch_table_fire(m->watches, change, on_fire, m);
}

void subscription_add(MemberClient *c, uint64_t watch, const char *path, WatchKind kind, uint64_t session,
                      Identities caller) {
        Subscription *s;

        assert(watch != 0);

        s = subscription_get(c, watch, session, caller);
        if (watch_table_get(c->member->watches, s->watcher, path) == 0)
                s->paths_count++;
        (void) watch_table_add(c->member->watches, s->watcher, path, kind);
        tell_watches(c);
}

/* Nobody's identities are left to ask whether an event may be shown. */
void subscription_on_session_ended(Member *m, uint64_t session) {
        Watching *w;

        while ((w = g_hash_table_lookup(m->watching, &session)))
                subscription_end(g_queue_peek_head(&w->subscriptions));
}

static void on_replay(void *userdata, uint64_t watcher, WatchEventType type, const char *path, Zxid zxid, Acl *acl,
                      bool spent) {
        emit(userdata, type, path, zxid, acl, false);
}

/* Whether a watch for them may be registered by what this member has at `zxid`. */
static ConveneStatus may_register(const MemberClient *c, uint64_t watch, uint64_t session, Identities caller, Zxid zxid) {
        const Member *m = c->member;

        if (watch == 0 || !subscription_fits(c, watch, session, caller))
                return CONVENE_BAD_ARGUMENTS;
        if (!member_is_serving(m) || zxid > tree_zxid(m->tree))
                return CONVENE_NOT_READY;
        if (session != 0 && !tree_get_session(m->tree, session, &(SessionInfo) { 0 }))
                return CONVENE_SESSION_EXPIRED;

        return CONVENE_OK;
}

static ConveneStatus watch_since(MemberClient *c, uint64_t watch, const char *path, WatchKind kind, Zxid since) {
        Member *m = c->member;
        Subscription *s = g_hash_table_lookup(c->subscriptions, &watch);

        return change_history_replay(m->history, path, kind, since, s->watcher, on_replay, s);
}

ConveneStatus member_watch(MemberClient *c, uint64_t watch, const char *path, WatchKind kind, uint64_t session,
                           Identities caller, Zxid since) {
        Member *m = c->member;
        ConveneStatus status = path_validate(path, false);

        if (status == CONVENE_OK && since != 0 && kind != WATCH_PERSISTENT && kind != WATCH_PERSISTENT_RECURSIVE)
                status = CONVENE_BAD_ARGUMENTS;
        if (status == CONVENE_OK)
                status = may_register(c, watch, session, caller, since);
        if (status == CONVENE_OK && since != 0 && since < change_history_floor(m->history))
                status = CONVENE_HISTORY_GONE;
        if (status != CONVENE_OK)
                return status;

        member_enter(m);
        subscription_add(c, watch, path, kind, session, caller);
        if (since != 0)
                status = watch_since(c, watch, path, kind, since);
        member_leave(m);
        return status;
}

static ConveneStatus unwatch(Subscription *s, const char *path, unsigned kinds) {
        MemberClient *c = s->client;
        Member *m = c->member;

        if (!path) {
                subscription_end(s);
                return CONVENE_OK;
        }

        if (watch_table_remove(m->watches, s->watcher, path, kinds) == 0)
                return CONVENE_NO_WATCHER;
        if (watch_table_get(m->watches, s->watcher, path) == 0 && --s->paths_count == 0)
                subscription_free(s);
        tell_watches(c);
        return CONVENE_OK;
}

ConveneStatus member_unwatch(MemberClient *c, uint64_t watch, const char *path, unsigned kinds) {
        Member *m = c->member;
        Subscription *s = g_hash_table_lookup(c->subscriptions, &watch);
        ConveneStatus status;

        if (!s)
                return CONVENE_NO_WATCHER;

        member_enter(m);
        status = unwatch(s, path, kinds);
        member_leave(m);
        return status;
}

void subscription_free_all(MemberClient *c) {
        Subscription *s;

        while ((s = g_queue_peek_head(&c->subscription_list)))
                subscription_end(s);
}

/* The table of setWatches in 2.11: what to do for one path. */
static void catch_up(MemberClient *c, Subscription *s, const char *path, WatchKind kind, bool exist, Zxid relative) {
        Member *m = c->member;
        Acl *acl = tree_get_acl(m->tree, path);
        Zxid mzxid, pzxid;
        bool there = tree_lookup(m->tree, path, &mzxid, &pzxid);
        WatchEventType type = 0;

        if (kind == WATCH_DATA && exist)
                type = there ? WATCH_EVENT_CREATED : 0;
        else if (kind == WATCH_DATA)
                type = !there ? WATCH_EVENT_DELETED : mzxid > relative ? WATCH_EVENT_DATA_CHANGED : 0;
        else if (kind == WATCH_CHILDREN)
                type = !there ? WATCH_EVENT_DELETED : pzxid > relative ? WATCH_EVENT_CHILDREN_CHANGED : 0;

        if (type == 0) {
                subscription_add(c, s->watch, path, kind, s->session, s->identities);
                return;
        }

        /* A znode that is gone has no ACL left that could hide it. */
        if (type == WATCH_EVENT_DELETED || may_see(s, acl)) {
                m->statistics.events++;
                c->front->event(c->userdata, s->watch, type, path, tree_zxid(m->tree),
                                watch_table_get(m->watches, s->watcher, path) == 0);
        }
}

ConveneStatus member_set_watches(MemberClient *c, uint64_t watch, uint64_t session, Identities caller, Zxid relative,
                                 WatchKind kind, bool exist, const char *const *paths, unsigned paths_count) {
        Member *m = c->member;
        ConveneStatus status = may_register(c, watch, session, caller, relative);
        Subscription *s;

        for (unsigned i = 0; i < paths_count && status == CONVENE_OK; i++)
                status = path_validate(paths[i], false);
        if (status != CONVENE_OK)
                return status;

        member_enter(m);
        s = subscription_get(c, watch, session, caller);
        for (unsigned i = 0; i < paths_count && c->front; i++)
                catch_up(c, s, paths[i], kind, exist, relative);
        if (s->paths_count == 0)
                subscription_free(s);
        member_leave(m);
        return CONVENE_OK;
}

/*
 * A snapshot has taken the tree's place: what happened between the two trees was not seen.  As setWatches does, each watch
 * fires what a look at its path shows; those that last are told that there may have been more.
 */

typedef struct Watched {
        char *path;
        unsigned kinds;
} Watched;

static void note_watched(void *userdata, const char *path, unsigned kinds) {
        Watched w = { g_strdup(path), kinds };

        g_array_append_val(userdata, w);
}

typedef struct Look {
        bool there;
        Zxid mzxid, pzxid;
        Acl *acl;
} Look;

static Look look(const Tree *t, const char *path) {
        Look l = { .acl = tree_get_acl(t, path) };

        l.there = tree_lookup(t, path, &l.mzxid, &l.pzxid);
        return l;
}

/* Tells one event of the kinds that it concerns, and spends the one-shot ones; returns the kinds that are left. */
static unsigned fire_missed(Subscription *s, const Watched *w, unsigned left, unsigned kinds, WatchEventType type,
                            Acl *acl) {
        Member *m = s->client->member;
        unsigned shots = left & kinds & (WATCH_DATA | WATCH_CHILDREN);

        if ((left & kinds) == 0)
                return left;

        (void) watch_table_remove(m->watches, s->watcher, w->path, shots);
        tell_watches(s->client);
        left &= ~shots;
        emit(s, type, w->path, tree_zxid(m->tree), acl, left == 0);
        return left;
}

static void catch_up_with_snapshot(Subscription *s, const Watched *w, const Tree *before) {
        const unsigned lasting = WATCH_PERSISTENT | WATCH_PERSISTENT_RECURSIVE;
        MemberClient *c = s->client;
        Member *m = c->member;
        Look old = look(before, w->path), new = look(m->tree, w->path);
        unsigned left = w->kinds;

        if (old.there && !new.there)
                left = fire_missed(s, w, left, WATCH_DATA | WATCH_CHILDREN | lasting, WATCH_EVENT_DELETED, old.acl);
        else if (!old.there && new.there)
                left = fire_missed(s, w, left, WATCH_DATA | lasting, WATCH_EVENT_CREATED, new.acl);
        else if (new.there && new.mzxid != old.mzxid)
                left = fire_missed(s, w, left, WATCH_DATA | lasting, WATCH_EVENT_DATA_CHANGED, new.acl);
        if (old.there && new.there && new.pzxid != old.pzxid)
                left = fire_missed(s, w, left, WATCH_CHILDREN | WATCH_PERSISTENT, WATCH_EVENT_CHILDREN_CHANGED, new.acl);

        if (left & lasting && c->front && c->front->lost)
                c->front->lost(c->userdata, s->watch, w->path, tree_zxid(m->tree));
        if (left == 0)
                s->paths_count--;
}

static void subscription_catch_up(Subscription *s, const Tree *before) {
        g_autoptr(GArray) watched = g_array_new(FALSE, FALSE, sizeof(Watched));

        watch_table_foreach(s->client->member->watches, s->watcher, note_watched, watched);
        for (guint i = watched->len; i > 0; i--) {      /* they come newest first */
                Watched *w = &g_array_index(watched, Watched, i - 1);

                catch_up_with_snapshot(s, w, before);
                g_free(w->path);
        }
        if (s->paths_count == 0)
                subscription_free(s);
}

void subscription_on_snapshot(Member *m, const Tree *before) {
        g_autoptr(GPtrArray) clients = g_ptr_array_new();       /* a front may free any of them meanwhile */

        for (GList *i = m->clients.head; i; i = i->next)
                g_ptr_array_add(clients, i->data);

        for (guint i = 0; i < clients->len; i++) {
                MemberClient *c = clients->pdata[i];

                for (GList *k = c->subscription_list.head, *after; k; k = after) {
                        after = k->next;
                        subscription_catch_up(k->data, before);
                }
        }
}
