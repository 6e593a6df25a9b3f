/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Groups
 *
 * A member is an ephemeral child of the group's znode, made and kept by a grant (grant-kinds.c), as Curator's GroupMember has it.
 */

#include <inttypes.h>
#include <string.h>

#include "agent/base/limits.h"
#include "agent/recipe/share.h"
#include "dbus/server/attempt.h"
#include "dbus/server/codec.h"
#include "dbus/server/error.h"
#include "dbus/server/grant.h"
#include "dbus/server/holder.h"
#include "dbus/server/server-private.h"

#define MEMBER_SIGNATURE "(sssuutxtay)"
#define MEMBER_BYTES 256
#define ITEM_BYTES 32                   /* beside its text */
#define TOO_MANY_ITEMS "so many items times members are more than one call may share out"

/*
 * Members
 */

/* One who is in it; data that the caller may not read is left out. */
typedef struct Seen {
        char *path;
        const char *name;
        Holder holder;
} Seen;

static void seen_clear(gpointer p) {
        g_free(((Seen *) p)->path);
}

/* *ret_version: of the group as a whole: it grows with every coming, going and change of data. */
static GArray *see_members(const Attempt *a, const Stat *group, Zxid *ret_version) {
        g_autoptr(GPtrArray) names = place_children(a->server, a->path);
        GArray *all = g_array_new(FALSE, FALSE, sizeof(Seen));

        g_array_set_clear_func(all, seen_clear);
        *ret_version = MAX(group->czxid, group->pzxid);
        for (guint i = 0; i < names->len; i++) {
                Seen one = { .path = g_strdup_printf("%s/%s", a->path, (const char *) names->pdata[i]) };

                if (!holder_read(a->server, one.path, &one.holder) || one.holder.stat.ephemeral_owner == 0) {
                        g_free(one.path);
                        continue;
                }
                one.name = strrchr(one.path, '/') + 1;
                *ret_version = MAX(*ret_version, one.holder.stat.mzxid);
                g_array_append_val(all, one);
        }
        return all;
}

static int append_member(const Attempt *a, sd_bus_message *m, const Seen *one, uint64_t *bytes) {
        const Holder *h = &one->holder;
        Request r = { .op = REQUEST_GET_DATA, .path = one->path, .caller = attempt_identities(a) };
        Result result;
        int k;

        tree_read(member_tree(a->server->member), &r, &result);
        *bytes += MEMBER_BYTES + result.data_size;
        k = sd_bus_message_open_container(m, 'r', "sssuutxtay");
        if (k >= 0)
                k = sd_bus_message_append(m, "sssuutxt", one->name, holder_host(a->server, h), holder_unit(h), holder_uid(h),
                                          holder_pid(h), h->stat.ephemeral_owner, h->stat.ctime_msec, h->stat.czxid);
        if (k >= 0)
                k = bytes_append(m, result.data, result.data_size);
        return k < 0 ? k : sd_bus_message_close_container(m);
}

static void answer_members(Attempt *a, const GArray *all, Zxid version) {
        sd_bus_message *reply = attempt_new_reply(a);
        bool more = all->len > LIMIT_PAGE_ENTRIES;
        uint64_t bytes = 0;
        guint n = 0;
        int k;

        if (!reply) {
                attempt_refuse(a, CONVENE_TOO_LARGE);
                return;
        }
        k = sd_bus_message_open_container(reply, 'a', MEMBER_SIGNATURE);
        for (; n < MIN(all->len, LIMIT_PAGE_ENTRIES) && bytes < LIMIT_PAGE_BYTES && k >= 0; n++)
                k = append_member(a, reply, &g_array_index(all, Seen, n), &bytes);
        more = n < all->len;
        if (k >= 0)
                k = sd_bus_message_close_container(reply);
        if (k >= 0)
                k = sd_bus_message_append(reply, "tb", version, (int) more);
        attempt_return(a, reply, k, bytes);
}

/* What a call wants to know. */
typedef struct Plan {
        bool has_since;
        Zxid since;                     /* only once the version is another one */
        char *member;                   /* Share: of whom, */
        char **items;                   /* ... and of what */
} Plan;

static void plan_free(void *userdata) {
        Plan *p = userdata;

        g_free(p->member);
        g_strfreev(p->items);
        g_free(p);
}

/* NULL: it is refused, or waits. */
static GArray *look_at_group(Attempt *a, Zxid *ret_version) {
        const Plan *p = a->plan;
        g_autoptr(GArray) all = NULL;
        Result result;
        ConveneStatus status = attempt_read(a, &result);

        *ret_version = 0;
        if (status != CONVENE_OK && status != CONVENE_NO_NODE) {
                attempt_refuse(a, status);
                return NULL;
        }
        if (status == CONVENE_OK) {
                Stat group = result.stat;

                all = see_members(a, &group, ret_version);
        } else
                all = g_array_new(FALSE, FALSE, sizeof(Seen));
        if (p->has_since && p->since == *ret_version) {
                attempt_wait(a, UINT64_MAX);
                return NULL;
        }
        return g_steal_pointer(&all);
}

static void members_look(Attempt *a) {
        Zxid version;
        g_autoptr(GArray) all = look_at_group(a, &version);

        if (all)
                answer_members(a, all, version);
}

static const AttemptKind members_kind = { .look = members_look, .is_fresh = true };

static Plan *plan_new(const Options *o) {
        Plan *p = g_new0(Plan, 1);

        p->has_since = o->given & OPTION_SINCE;
        p->since = o->since;
        return p;
}

static int method_members(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        const char *name;
        char *path;
        int k;

        k = sd_bus_message_read_basic(m, 's', &name);
        if (k < 0)
                return k;
        k = call_read_options(c, m, OPTION_SINCE | OPTION_PATIENCE, &o);
        if (k <= 0)
                return k;
        path = recipe_path(RECIPE_GROUPS, name);
        if (!path)
                return recipe_refuse_name(c, m);
        attempt_start(c, m, &members_kind, path, plan_new(&o), plan_free, &o);
        return METHOD_DONE;
}

/*
 * Share
 */

static void answer_share(Attempt *a, const GPtrArray *mine, Zxid version) {
        sd_bus_message *reply = attempt_new_reply(a);
        uint64_t bytes = 0;
        int k;

        if (!reply) {
                attempt_refuse(a, CONVENE_TOO_LARGE);
                return;
        }
        k = sd_bus_message_open_container(reply, 'a', "s");
        for (guint i = 0; i < mine->len && k >= 0; i++) {
                bytes += strlen(mine->pdata[i]) + 8;
                k = sd_bus_message_append_basic(reply, 's', mine->pdata[i]);
        }
        if (k >= 0)
                k = sd_bus_message_close_container(reply);
        if (k >= 0)
                k = sd_bus_message_append_basic(reply, 't', &version);
        attempt_return(a, reply, k, bytes);
}

static void share_look(Attempt *a) {
        const Plan *p = a->plan;
        Zxid version;
        g_autoptr(GArray) all = look_at_group(a, &version);
        g_autoptr(GPtrArray) names = g_ptr_array_new(), mine = NULL;
        guint self = 0;

        if (!all)
                return;
        for (guint i = 0; i < all->len; i++)
                g_ptr_array_add(names, (char *) g_array_index(all, Seen, i).name);
        if (!g_ptr_array_find_with_equal_func(names, p->member, g_str_equal, &self)) {
                attempt_refuse(a, CONVENE_NOT_HELD);
                return;
        }
        mine = share_of((const char *const *) names->pdata, names->len, self, (const char *const *) p->items,
                        g_strv_length(p->items));
        if (mine)
                answer_share(a, mine, version);
        else
                attempt_refuse_text(a, CONVENE_TOO_LARGE, TOO_MANY_ITEMS);
}

static const AttemptKind share_kind = { .look = share_look, .is_fresh = true };

/* 1: so many as one call may share out; 0: they are more. */
static int read_items(sd_bus_message *m, GPtrArray *items, uint64_t *ret_bytes) {
        const char *item;
        int k;

        *ret_bytes = 0;
        k = sd_bus_message_enter_container(m, 'a', "s");
        while (k >= 0 && (k = sd_bus_message_read_basic(m, 's', &item)) > 0) {
                if (items->len >= SHARE_STEPS_MAX)
                        return 0;
                *ret_bytes += ITEM_BYTES + strlen(item);
                g_ptr_array_add(items, g_strdup(item));
        }
        k = k < 0 ? k : sd_bus_message_exit_container(m);
        return k < 0 ? k : 1;
}

static int method_share(Caller *c, sd_bus_message *m) {
        g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func(g_free);
        g_auto(Options) o = OPTIONS_INIT;
        uint64_t bytes;
        const char *name, *member;
        char *path;
        Plan *p;
        int k;

        k = sd_bus_message_read(m, "ss", &name, &member);
        if (k < 0)
                return k;
        k = read_items(m, items, &bytes);
        if (k < 0)
                return k;
        if (k == 0) {
                reply_refusal(c->channel, m, CONVENE_TOO_LARGE, TOO_MANY_ITEMS);
                return METHOD_DONE;
        }
        k = call_read_options(c, m, OPTION_SINCE | OPTION_PATIENCE, &o);
        if (k <= 0)
                return k;
        path = recipe_path(RECIPE_GROUPS, name);
        if (!path)
                return recipe_refuse_name(c, m);
        p = plan_new(&o);
        p->member = g_strdup(member);
        g_ptr_array_add(items, NULL);
        p->items = (char **) g_ptr_array_free(g_steal_pointer(&items), FALSE);
        o.kept_bytes = bytes;
        attempt_start(c, m, &share_kind, path, p, plan_free, &o);
        return METHOD_DONE;
}

/*
 * Join
 */

static int method_join(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        g_autofree char *path = NULL, *node = NULL;
        GrantRequest r = { .kind = &grant_member, .slots = 1 };
        const char *name;
        int k;

        k = sd_bus_message_read_basic(m, 's', &name);
        if (k < 0)
                return k;
        k = call_read_options(c, m, OPTIONS_GRANT | OPTION_MEMBER, &o);
        if (k <= 0)
                return k;
        r.parent = path = recipe_path(RECIPE_GROUPS, name);
        if (!path)
                return recipe_refuse_name(c, m);
        node = o.given & OPTION_MEMBER ? g_strdup(o.member) : g_strdup_printf("%s-%" PRIu32, c->server->host, (uint32_t) c->pid);
        if (strchr(node, '/')) {
                reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS, "a member's name is one component of a path, without a slash");
                return METHOD_DONE;
        }
        r.node = node;
        return grant_start(c, m, &r, &o);
}

DEFINE_METHOD(method_join)
DEFINE_METHOD(method_members)
DEFINE_METHOD(method_share)

const sd_bus_vtable groups_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Join",
                                SD_BUS_ARGS("s", name, "a{sv}", options),
                                SD_BUS_RESULT("h", descriptor, "t", token, "s", path, "u", grace),
                                bus_method_join, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Members",
                                SD_BUS_ARGS("s", name, "a{sv}", options),
                                SD_BUS_RESULT("a(sssuutxtay)", members, "t", version, "b", more),
                                bus_method_members, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Share",
                                SD_BUS_ARGS("s", name, "s", member, "as", items, "a{sv}", options),
                                SD_BUS_RESULT("as", share, "t", version),
                                bus_method_share, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
