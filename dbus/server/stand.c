/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Stand
 *
 * Its life: a session of the host's is opened; the contender's znode is made in it, and with it comes the place in the queue.  Whatever ends it ends
 * the session.  The member's outward calls only note what happened; the rest is deferred.
 */

#include "dbus/server/stand.h"

#include <assert.h>
#include <string.h>
#include <sys/random.h>

#include "dbus/server/grant.h"
#include "dbus/server/handover.h"
#include "dbus/server/holder.h"
#include "dbus/server/recipe.h"
#include "dbus/server/server-private.h"

#define TRIES_MAX 5                     /* the znode's parent may vanish just before it is made */

struct Stand {
        Server *server;
        GList link;                     /* in Server.stands */
        StandState state;
        char *parent;
        char *name;                     /* of the contender; NULL: not made yet */
        uint32_t copies;
        unsigned place;                 /* in the queue, as last seen */
        Zxid token;
        ConveneStatus error;
        Call *making;                   /* the create under way */
        ConveneStatus made, parents_made;
        unsigned tries;
        OwnedSession *owned;            /* NULL: not yet, or gone */
        Guest guest;
        bool unheard;                   /* nobody listens; while the session is being opened it cannot be freed */
        void (*changed)(void *userdata);
        void *userdata;
        Deferred work;
};

/* Everybody may see who leads; the agents alone, observers' as well, may change it. */
static const AclEntry acl[] = {
        { PERMISSION_READ, { "world", "anyone" } },
        { PERMISSION_ALL, { "host", "*" } },
};

AclEntries stand_acl(void) {
        return (AclEntries) { acl, G_N_ELEMENTS(acl) };
}

static void stand_on_work(void *userdata);
static void stand_on_look(void *userdata);

static Stand *stand_new_at(Server *s, const char *parent) {
        Stand *st = g_new0(Stand, 1);

        st->server = s;
        st->parent = g_strdup(parent);
        st->copies = 1;
        st->link.data = st;
        deferred_init(&st->work, stand_on_work, st);
        st->guest = (Guest) { .every_event = true, .look = stand_on_look, .userdata = st };
        g_queue_push_tail_link(&s->stands, &st->link);
        return st;
}

static void stand_destroy(Stand *st) {
        Server *s = st->server;

        if (st->making)
                st->making->plan = NULL;
        if (st->owned)
                st->owned->stand = NULL;
        place_leave(&st->guest);
        deferred_cancel(&s->later, &st->work);
        g_queue_unlink(&s->stands, &st->link);
        g_free(st->parent);
        g_free(st->name);
        g_free(st);
}

/* Their sessions go on. */
void stands_done(Server *s) {
        while (s->stands.length > 0)
                stand_destroy(g_queue_peek_head(&s->stands));
}

Stand *stand_free(Stand *st) {
        if (!st)
                return NULL;
        st->changed = NULL;
        st->unheard = true;
        if (st->state == STAND_GONE)
                stand_destroy(st);
        return NULL;
}

void stand_listen(Stand *st, void (*changed)(void *userdata), void *userdata) {
        st->changed = changed;
        st->userdata = userdata;
}

static void stand_set_state(Stand *st, StandState state) {
        st->state = state;
        deferred_schedule(&st->server->later, &st->work);
}

void stand_on_session_gone(Stand *st) {
        st->owned = NULL;
        if (st->state != STAND_LEAVING)
                st->error = CONVENE_SESSION_EXPIRED;
        stand_set_state(st, STAND_GONE);
}

static void stand_fail(Stand *st, ConveneStatus error) {
        st->error = error;
        stand_leave(st);
}

void stand_leave(Stand *st) {
        if (st->state == STAND_GONE || st->state == STAND_LEAVING)
                return;
        if (st->owned) {
                stand_set_state(st, STAND_LEAVING);
                owners_end(st->owned);
        } else
                st->state = STAND_LEAVING;      /* until it is known what to close */
}

/*
 * The place in the queue
 */

static void stand_on_look(void *userdata) {
        Stand *st = userdata;
        unsigned place;

        if (!st->name || !st->owned || st->state == STAND_LEAVING || st->state == STAND_GONE)
                return;
        if (!lineup_find(place_lineup(&st->guest), st->name, &place)) {
                stand_fail(st, CONVENE_NOT_HELD);       /* somebody has deleted it */
                return;
        }
        /* Who leads, or could, is told of everything: it may be about a hand-over. */
        if (st->place != place || place < st->copies || st->state != (place < st->copies ? STAND_LEADING : STAND_WAITING))
                stand_set_state(st, place < st->copies ? STAND_LEADING : STAND_WAITING);
        st->place = place;
}

void stand_set_copies(Stand *st, uint32_t copies) {
        st->copies = copies;
        if (st->guest.place)
                place_look(&st->guest);
}

/* Which place it has is known after the first look. */
static void stand_join(Stand *st) {
        place_join(st->server, st->parent, &st->guest);
}

/*
 * Making the znode
 */

static void stand_make(Stand *st);

static void stand_after_make(Stand *st) {
        if (st->made == CONVENE_OK)
                stand_join(st);
        else if (st->made == CONVENE_NO_NODE && st->parents_made == CONVENE_OK && st->tries < TRIES_MAX)
                stand_make(st);                 /* an empty container was removed in between */
        else                                    /* why there is no parent says more than that there is none */
                stand_fail(st, st->made == CONVENE_NO_NODE && st->parents_made != CONVENE_OK ? st->parents_made : st->made);
}

static void on_parent(Call *call, const Result *result) {
        Stand *st = call->main->plan;

        if (st && result->status != CONVENE_OK && result->status != CONVENE_NODE_EXISTS && st->parents_made == CONVENE_OK)
                st->parents_made = result->status;
}

static void on_made(Call *call, const Result *result) {
        Stand *st = g_steal_pointer(&call->plan);

        if (!st)
                return;
        st->making = NULL;
        st->made = result->status;
        if (result->status == CONVENE_OK) {
                st->name = g_strdup(strrchr(result->path, '/') + 1);
                st->token = result->stat.czxid;
        }
        deferred_schedule(&st->server->later, &st->work);
}

static void stand_make(Stand *st) {
        Server *s = st->server;
        char prefix[CONTENDER_PREFIX_BYTES];
        g_autofree char *path = NULL;
        uint8_t id[16];
        Request r = {
                .op = REQUEST_CREATE,
                .session = st->owned->id,
                .mode = CREATE_EPHEMERAL_SEQUENTIAL,
                .data = (const uint8_t *) s->host,      /* as Curator's latches name their participants */
                .data_size = (uint32_t) strlen(s->host),
        };

        if (getrandom(id, sizeof(id), 0) != sizeof(id))
                g_error("getrandom() gave no %zu bytes", sizeof(id));
        contender_prefix(CONTENDER_LATCH, id, prefix);
        r.path = path = g_strdup_printf("%s/%s", st->parent, prefix);
        st->parents_made = CONVENE_OK;
        st->tries++;
        r.acl = stand_acl();
        st->making = call_new_detached(s, NULL, NULL, &r, on_made);
        st->making->plan = st;
        recipe_make_parents(s, st->parent, st->owned->id, (Identities) { 0 }, r.acl, st->making, on_parent);
        call_start_detached(st->making, &r);
}

/* From the event loop: what happened, and who is to know of it. */
static void stand_on_work(void *userdata) {
        Stand *st = userdata;

        if (st->state == STAND_OPENING && st->owned && !st->making && !st->guest.place)
                stand_after_make(st);
        if (st->changed)
                st->changed(st->userdata);      /* which may free it only if it is GONE, and that is the last of it */
        else if (st->unheard && st->state == STAND_GONE)
                stand_destroy(st);
}

/*
 * Beginning
 */

static void on_opened(void *userdata, ConveneStatus status, uint64_t session) {
        Stand *st = userdata;
        OwnedSession *o = status == CONVENE_OK ? owners_find(st->server, session) : NULL;

        if (!o) {
                st->error = status != CONVENE_OK ? status : CONVENE_SESSION_EXPIRED;
                stand_set_state(st, STAND_GONE);
                return;
        }
        o->stand = st;
        st->owned = o;
        if (st->state == STAND_LEAVING)
                owners_end(o);
        else
                stand_make(st);
}

Stand *stand_new(Server *s, const char *election, uint32_t copies, uint32_t timeout_msec,
                 void (*changed)(void *userdata), void *userdata) {
        g_autofree char *parent = recipe_path(RECIPE_ELECTIONS, election);
        OpenPlan *plan = open_plan_new(s, OWNER_HOST, timeout_msec);
        Stand *st;

        assert(parent);

        st = stand_new_at(s, parent);
        st->copies = copies;
        stand_listen(st, changed, userdata);
        plan->opened = on_opened;
        plan->userdata = st;
        owners_open(s, NULL, NULL, plan);
        return st;
}

StandState stand_state(const Stand *st) {
        return st->state;
}

ConveneStatus stand_error(const Stand *st) {
        return st->error;
}

Zxid stand_token(const Stand *st) {
        return st->token;
}

uint64_t stand_promised_usec(const Stand *st) {
        return st->owned ? member_session_deadline(st->server->member, st->owned->id) : 0;
}

uint32_t stand_timeout_msec(const Stand *st) {
        SessionInfo info;

        return st->owned && tree_get_session(member_get_tree(st->server->member), st->owned->id, &info) ? info.timeout_msec : 0;
}

bool stand_is_to_resign(const Stand *st) {
        g_autoptr(HandOverOrder) o = hand_over_read(st->server, st->parent);

        return o && candidacy_resigns(&o->order, st->server->host);
}

bool stand_is_passed_over(const Stand *st) {
        g_autoptr(HandOverOrder) o = hand_over_read(st->server, st->parent);

        return o && candidacy_is_passed_over(&o->order, st->server->host, o->to_stands);
}

bool stand_is_chosen(const Stand *st) {
        g_autoptr(HandOverOrder) o = hand_over_read(st->server, st->parent);

        return o && candidacy_is_chosen(&o->order, st->server->host);
}

bool stands_has(Server *s, const char *election, const char *host) {
        g_autoptr(GArray) seen = stands_see(s, election);

        for (guint i = 0; i < seen->len; i++)
                if (g_str_equal(g_array_index(seen, StandSeen, i).host, host))
                        return true;
        return false;
}

uint32_t stand_timeout_for(const Server *s, uint64_t timeout_msec) {
        return owners_negotiate(s, (uint32_t) MIN(timeout_msec, UINT32_MAX));
}

/*
 * After a restart of the agent
 */

/* The only ephemeral that the session has, if that is a contender in an election by name; its election in *ret_election (g_free). */
static char *find_contender(Server *s, uint64_t session, char **ret_election) {
        Request r = { .op = REQUEST_GET_EPHEMERALS, .path = RECIPE_ELECTIONS, .session = session };
        const char *election, *slash;
        ContenderName parsed;
        Result result;

        tree_read(member_tree(s->member), &r, &result);
        if (result.status != CONVENE_OK || result.items_count != 1 ||
            !g_str_has_prefix(result.items[0].path, RECIPE_ELECTIONS "/"))
                return NULL;
        election = result.items[0].path + strlen(RECIPE_ELECTIONS "/");
        slash = strchr(election, '/');
        if (!slash || !contender_parse(slash + 1, &parsed) || parsed.role != CONTENDER_LATCH)
                return NULL;
        *ret_election = g_strndup(election, slash - election);
        return g_strdup(slash + 1);
}

static void recover_one(Server *s, OwnedSession *o, void (*found)(void *userdata, const char *election, Stand *st), void *userdata) {
        g_autofree char *election = NULL, *name = find_contender(s, o->id, &election), *parent = NULL, *path = NULL;
        Holder h;
        Stand *st;

        if (!name) {
                if (owners_is_agents_own(s, o->id))
                        owners_end(o);          /* what it was opened for was not made any more, or is over */
                return;
        }
        parent = recipe_path(RECIPE_ELECTIONS, election);
        path = g_strdup_printf("%s/%s", parent, name);
        st = stand_new_at(s, parent);
        st->name = g_steal_pointer(&name);
        st->token = holder_read(s, path, &h) ? h.stat.czxid : 0;
        st->owned = o;
        o->stand = st;
        stand_join(st);
        found(userdata, election, st);
        if (!st->changed) {
                st->unheard = true;
                stand_leave(st);
        }
}

void stands_recover(Server *s, void (*found)(void *userdata, const char *election, Stand *st), void *userdata) {
        g_autoptr(GPtrArray) candidates = g_ptr_array_new();
        GHashTableIter i;
        gpointer o;

        g_hash_table_iter_init(&i, s->owned);
        while (g_hash_table_iter_next(&i, NULL, &o))
                if (((OwnedSession *) o)->kind == OWNER_HOST && !((OwnedSession *) o)->stand)
                        g_ptr_array_add(candidates, o);
        for (guint n = 0; n < candidates->len; n++)
                recover_one(s, candidates->pdata[n], found, userdata);
}

static void seen_clear(gpointer p) {
        g_free(((StandSeen *) p)->host);
}

GArray *stands_see(Server *s, const char *election) {
        g_autofree char *parent = recipe_path(RECIPE_ELECTIONS, election);
        GArray *all = g_array_new(FALSE, FALSE, sizeof(StandSeen));
        g_autoptr(Lineup) l = place_read(s, parent);

        g_array_set_clear_func(all, seen_clear);
        for (unsigned i = 0; i < lineup_length(l); i++) {
                g_autofree char *path = g_strdup_printf("%s/%s", parent, lineup_at(l, i)->name);
                StandSeen one = { 0 };
                Holder h;

                if (!holder_read(s, path, &h))
                        continue;
                one.host = g_strdup(holder_host(s, &h));
                one.token = h.stat.czxid;
                one.ours = g_str_equal(one.host, s->host);
                one.hears = h.has_owner && (h.owner.kind == OWNER_TEXT_HOST || grant_label_campaigns(&h.owner, &one.priority));
                g_array_append_val(all, one);
        }
        return all;
}
