/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Locks: who holds
 *
 * Each method is a read, for its place among its caller's answers and, for Verify, for being linearizable; when its turn has
 * come the answer is put together from this agent's tree.
 */

#include <string.h>

#include "agent/base/limits.h"
#include "dbus/server/codec.h"
#include "dbus/server/error.h"
#include "dbus/server/holder.h"
#include "dbus/server/locks.h"
#include "dbus/server/server-private.h"

#define ROW_BYTES 256

/* One queue as it stands. */
typedef struct Standing {
        Server *server;
        const char *name, *path;
        Lineup *lineup;
        uint32_t slots;                 /* the most that a contender's owner text names; 0: none does */
        unsigned holders;
} Standing;

static bool may_read(Server *s, const char *path, Identities who) {
        const Acl *acl = tree_get_acl(member_get_tree(s->member), path);

        return acl && acl_allows(acl, PERMISSION_READ, who);
}

static char *row_path(const Standing *st, unsigned place) {
        return g_strdup_printf("%s/%s", st->path, lineup_at(st->lineup, place)->name);
}

static bool row_read(const Standing *st, unsigned place, Holder *ret) {
        g_autofree char *path = row_path(st, place);

        return holder_read(st->server, path, ret);
}

static uint32_t row_slots(const Holder *h) {
        return h->has_owner && h->owner.kind == OWNER_TEXT_DESCRIPTOR ? grant_label_number(h->owner.name, CONTENDER_LEASE) : 0;
}

/* A contender that came another way does not say how many slots it goes by: those of the others, or else no limit. */
static bool standing_holds(const Standing *st, unsigned place) {
        uint32_t slots = 1;
        Holder row;

        if (lineup_at(st->lineup, place)->parsed.role == CONTENDER_LEASE)
                slots = row_read(st, place, &row) ? row_slots(&row) : 0;
        if (slots == 0)
                slots = st->slots > 0 ? st->slots : UINT32_MAX;
        return lineup_holds(st->lineup, place, slots, NULL);
}

static void standing_init(Standing *st, Server *s, const char *name, const char *path) {
        *st = (Standing) { .server = s, .name = name, .path = path, .lineup = place_read(s, path) };
        for (unsigned i = 0; i < lineup_length(st->lineup); i++) {
                Holder row;

                if (lineup_at(st->lineup, i)->parsed.role == CONTENDER_LEASE && row_read(st, i, &row))
                        st->slots = MAX(st->slots, row_slots(&row));
        }
        for (unsigned i = 0; i < lineup_length(st->lineup); i++)
                st->holders += standing_holds(st, i);
}

static int append_row(sd_bus_message *m, const Standing *st, unsigned place) {
        g_autofree char *path = row_path(st, place);
        Holder h;

        if (!holder_read(st->server, path, &h))
                return 0;
        return sd_bus_message_append(m, HOLDER_SIGNATURE, st->name,
                                     contender_role_to_string(lineup_at(st->lineup, place)->parsed.role),
                                     holder_host(st->server, &h), holder_unit(&h), holder_uid(&h), holder_pid(&h),
                                     h.stat.ephemeral_owner, h.stat.ctime_msec, h.stat.czxid,
                                     (uint32_t) (lineup_length(st->lineup) - st->holders), path);
}

int locks_append_holders(Server *s, sd_bus_message *m, const char *name, const char *path, uint32_t *waiters) {
        Standing st;
        int k = 0;

        standing_init(&st, s, name, path);
        *waiters += lineup_length(st.lineup) - st.holders;
        for (unsigned i = 0; m && i < lineup_length(st.lineup) && k >= 0; i++)
                if (standing_holds(&st, i))
                        k = append_row(m, &st, i);
        lineup_free(st.lineup);
        return k;
}

/* Every method answers behind the answers before it.  Takes the plan. */
static int submit_read(Caller *c, sd_bus_message *m, void *plan, const Options *o, CallDone done) {
        Request r = { .op = REQUEST_EXISTS, .path = "/", .caller = c->identities };
        Call *call = call_new(c, m, &r, NULL, done);

        if (!call) {
                g_free(plan);
                return METHOD_DONE;
        }
        call->plan = plan;
        call->plan_free = g_free;
        call_start(call, &r, o->linearizable ? MEMBER_LINEARIZABLE : 0);
        return METHOD_DONE;
}

static void finish(Call *call, sd_bus_message *reply, int error, uint64_t bytes) {
        if (error >= 0) {
                call_return(call, reply, bytes);
                return;
        }
        sd_bus_message_unref(reply);
        call_fail(call, CONVENE_TOO_LARGE);
}

/*
 * ListLocks
 */

typedef struct Listing {
        Call *call;
        sd_bus_message *reply;
        unsigned rows;
        bool more;
        int error;
} Listing;

static void list_queue(Listing *l, const char *name, const char *path) {
        Standing st;

        if (l->error < 0 || l->more || !may_read(l->call->server, path, l->call->caller->identities))
                return;
        standing_init(&st, l->call->server, name, path);
        if (l->rows + st.holders > LIMIT_PAGE_ENTRIES)
                l->more = true;
        for (unsigned i = 0; i < lineup_length(st.lineup) && l->error >= 0 && !l->more; i++)
                if (standing_holds(&st, i)) {
                        l->rows++;
                        l->error = append_row(l->reply, &st, i);
                }
        lineup_free(st.lineup);
}

static void list_root(Listing *l, const char *root) {
        Server *s = l->call->server;
        g_autoptr(GPtrArray) names = NULL;

        if (!may_read(s, root, l->call->caller->identities))
                return;
        names = place_children(s, root);
        for (guint i = 0; i < names->len; i++) {
                const char *name = g_ptr_array_index(names, i);
                g_autofree char *path = g_strdup_printf("%s/%s", root, name);
                g_autofree char *leases = g_strdup_printf("%s/" GRANT_SLOTS, path);

                list_queue(l, name, path);
                list_queue(l, name, leases);
        }
}

static void on_list(Call *call, const Result *result) {
        Listing l = { .call = call };

        if (result->status != CONVENE_OK) {
                call_fail(call, result->status);
                return;
        }
        l.reply = call_new_reply(call);
        if (!l.reply)
                return;
        l.error = sd_bus_message_open_container(l.reply, 'a', HOLDER_SIGNATURE);
        list_root(&l, RECIPE_LOCKS);
        list_root(&l, RECIPE_ELECTIONS);
        if (l.error >= 0)
                l.error = sd_bus_message_close_container(l.reply);
        if (l.error >= 0)
                l.error = sd_bus_message_append(l.reply, "b", (int) l.more);
        finish(call, l.reply, l.error, (uint64_t) l.rows * ROW_BYTES);
}

int method_list_locks(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        int k;

        k = call_read_options(c, m, OPTION_LINEARIZABLE, &o);
        return k <= 0 ? k : submit_read(c, m, NULL, &o, on_list);
}

/*
 * Leader
 */

/* Data that the caller may not read is left out. */
static int append_leader(sd_bus_message *m, const Standing *st, unsigned place, Identities who, uint64_t *ret_bytes) {
        g_autofree char *path = row_path(st, place);
        Request r = { .op = REQUEST_GET_DATA, .path = path, .caller = who };
        Result result;
        int k;

        k = append_row(m, st, place);
        if (k < 0)
                return k;
        tree_read(member_tree(st->server->member), &r, &result);
        *ret_bytes = ROW_BYTES + result.data_size;
        return bytes_append(m, result.data, result.data_size);
}

static void on_leader(Call *call, const Result *result) {
        Server *s = call->server;
        const char *path = call->plan;
        sd_bus_message *reply;
        uint64_t bytes = 0;
        unsigned i = 0;
        Standing st;

        if (result->status != CONVENE_OK) {
                call_fail(call, result->status);
                return;
        }
        if (tree_lookup(member_get_tree(s->member), path, NULL, NULL) && !may_read(s, path, call->caller->identities)) {
                reply_error(call->caller->channel, call->message, CONVENE_NO_AUTH, path);
                return;
        }
        standing_init(&st, s, strrchr(path, '/') + 1, path);
        while (i < lineup_length(st.lineup) && !standing_holds(&st, i))
                i++;
        if (i == lineup_length(st.lineup))
                reply_error(call->caller->channel, call->message, CONVENE_NOT_HELD, path);
        else if ((reply = call_new_reply(call))) {
                int k = append_leader(reply, &st, i, call->caller->identities, &bytes);

                finish(call, reply, k, bytes);
        }
        lineup_free(st.lineup);
}

int method_leader(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        g_autofree char *path = NULL;
        const char *name;
        int k;

        k = sd_bus_message_read_basic(m, 's', &name);
        if (k < 0)
                return k;
        k = call_read_options(c, m, OPTION_LINEARIZABLE, &o);
        if (k <= 0)
                return k;
        path = recipe_path(RECIPE_ELECTIONS, name);
        return path ? submit_read(c, m, g_steal_pointer(&path), &o, on_leader) : recipe_refuse_name(c, m);
}

/*
 * Verify
 */

static bool holds_token(Server *s, const char *path, Zxid token) {
        Standing st;
        bool found = false;

        standing_init(&st, s, "", path);
        for (unsigned i = 0; i < lineup_length(st.lineup) && !found; i++) {
                Holder row;

                found = standing_holds(&st, i) && row_read(&st, i, &row) && row.stat.czxid == token;
        }
        lineup_free(st.lineup);
        return found;
}

typedef struct Question {
        Zxid token;
        char name[];
} Question;

static void on_verified(Call *call, const Result *result) {
        const Question *q = call->plan;
        g_autofree char *lock = recipe_path(RECIPE_LOCKS, q->name), *election = recipe_path(RECIPE_ELECTIONS, q->name);
        g_autofree char *leases = g_strdup_printf("%s/" GRANT_SLOTS, lock);
        const char *paths[] = { lock, leases, election };
        sd_bus_message *reply;
        bool current = false;

        if (result->status != CONVENE_OK) {
                call_fail(call, result->status);
                return;
        }
        for (size_t i = 0; i < G_N_ELEMENTS(paths) && !current; i++)
                current = holds_token(call->server, paths[i], q->token);
        reply = call_new_reply(call);
        if (reply)
                finish(call, reply, sd_bus_message_append(reply, "b", (int) current), ROW_BYTES);
}

/* No permission is asked for: who knows the token learns no more than whether it is spent. */
int method_verify(Caller *c, sd_bus_message *m) {
        g_autofree char *path = NULL;
        Options o = OPTIONS_INIT;
        const char *name;
        Question *q;
        Zxid token;
        int k;

        k = sd_bus_message_read(m, "st", &name, &token);
        if (k < 0)
                return k;
        path = recipe_path(RECIPE_LOCKS, name);
        if (!path)
                return recipe_refuse_name(c, m);
        o.linearizable = true;
        q = g_malloc(sizeof(*q) + strlen(name) + 1);
        q->token = token;
        strcpy(q->name, name);
        return submit_read(c, m, q, &o, on_verified);
}
