/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Objects of recipes
 *
 * Nothing is kept per object but that it has changed: a property is read where it stands.  What is told to everybody must be what
 * everybody may read: there is an object only for a znode that does not need more than that.
 */

#include "dbus/server/recipe-objects.h"

#include <string.h>

#include "dbus/server/grant.h"
#include "dbus/server/holder.h"
#include "dbus/server/locks.h"
#include "dbus/server/server-private.h"

#define CHANGES_USEC (UINT64_C(100) * 1000)     /* changes of one object are told at most so often */
#define ENUMERATED_MAX 1000
#define MEMBER_SIGNATURE "(sssuutxt)"

static const struct {
        const char *prefix, *root, *interface;
        const char *const *properties;
} kinds[] = {
        { OBJECT_PATH "/lock", RECIPE_LOCKS, "org.convene1.Lock", (const char *const[]) { "Holders", "Waiters", NULL } },
        { OBJECT_PATH "/election", RECIPE_ELECTIONS, "org.convene1.Election", (const char *const[]) { "Holders", "Waiters", NULL } },
        { OBJECT_PATH "/group", RECIPE_GROUPS, "org.convene1.Group", (const char *const[]) { "Members", NULL } },
};

#define KINDS G_N_ELEMENTS(kinds)

typedef struct Watched {
        struct RecipeObjects *objects;
        Guest guest;                    /* at the root */
        GHashTable *changed;            /* names */
        bool all;                       /* changes may have been missed */
} Watched;

struct RecipeObjects {
        Server *server;
        sd_event_source *timer;
        bool armed;
        Watched watched[KINDS];
};

typedef struct RecipeObjects RecipeObjects;

/*
 * Objects
 */

typedef struct Object {
        size_t kind;
        char *name, *path;
} Object;

static void object_done(Object *o) {
        g_free(o->name);
        g_free(o->path);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Object, object_done)

static bool everybody_may_read(Server *s, const char *path) {
        const Acl *acl = tree_get_acl(member_get_tree(s->member), path);

        return acl && acl_allows(acl, PERMISSION_READ, (Identities) { 0 });
}

static bool object_of_path(Channel *ch, const char *object_path, Object *ret) {
        for (size_t i = 0; i < KINDS; i++) {
                g_auto(Object) o = { .kind = i };

                if (sd_bus_path_decode(object_path, kinds[i].prefix, &o.name) <= 0)
                        continue;
                o.path = recipe_path(kinds[i].root, o.name);
                if (!o.path || o.name[0] == '/' || !everybody_may_read(ch->server, o.path))
                        return false;
                *ret = o;
                o = (Object) { 0 };
                return true;
        }
        return false;
}

int recipe_object_find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                       sd_bus_error *error) {
        g_auto(Object) o = { 0 };

        if (!object_of_path(userdata, path, &o))
                return 0;
        *ret_found = userdata;
        return 1;
}

static void add_nodes(Channel *ch, size_t kind, GPtrArray *nodes) {
        g_autoptr(GPtrArray) names = place_children(ch->server, kinds[kind].root);

        for (guint i = 0; i < MIN(names->len, ENUMERATED_MAX); i++) {
                g_autofree char *path = recipe_path(kinds[kind].root, names->pdata[i]);
                char *encoded;

                if (path && everybody_may_read(ch->server, path) &&
                    sd_bus_path_encode(kinds[kind].prefix, names->pdata[i], &encoded) >= 0)
                        g_ptr_array_add(nodes, encoded);
        }
}

int recipe_object_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error) {
        GPtrArray *nodes = g_ptr_array_new();

        for (size_t i = 0; i < KINDS; i++)
                if (g_str_equal(prefix, kinds[i].prefix))
                        add_nodes(userdata, i, nodes);
        g_ptr_array_add(nodes, NULL);
        *ret_nodes = (char **) g_ptr_array_free(nodes, FALSE);
        return 0;
}

/*
 * Properties
 */

static int append_queue(Server *s, sd_bus_message *reply, const Object *o, uint32_t *waiters) {
        g_autofree char *slots = g_strdup_printf("%s/" GRANT_SLOTS, o->path);
        int k;

        *waiters = 0;
        k = locks_append_holders(s, reply, o->name, o->path, waiters);
        return k < 0 ? k : locks_append_holders(s, reply, o->name, slots, waiters);
}

static int append_members(Server *s, sd_bus_message *reply, const Object *o) {
        g_autoptr(GPtrArray) names = place_children(s, o->path);
        int k = 0;

        for (guint i = 0; i < names->len && k >= 0; i++) {
                g_autofree char *path = g_strdup_printf("%s/%s", o->path, (const char *) names->pdata[i]);
                Holder h;

                if (holder_read(s, path, &h) && h.stat.ephemeral_owner != 0)
                        k = sd_bus_message_append(reply, MEMBER_SIGNATURE, names->pdata[i], holder_host(s, &h), holder_unit(&h),
                                                  holder_uid(&h), holder_pid(&h), h.stat.ephemeral_owner, h.stat.ctime_msec,
                                                  h.stat.czxid);
        }
        return k;
}

static int append_property(Server *s, sd_bus_message *reply, const char *property, const Object *o) {
        bool members = g_str_equal(property, "Members");
        uint32_t waiters;
        int k;

        if (g_str_equal(property, "Name"))
                return sd_bus_message_append(reply, "s", o->name);
        if (g_str_equal(property, "Path"))
                return sd_bus_message_append(reply, "s", o->path);
        if (g_str_equal(property, "Waiters")) {
                (void) append_queue(s, NULL, o, &waiters);
                return sd_bus_message_append(reply, "u", waiters);
        }
        k = sd_bus_message_open_container(reply, 'a', members ? MEMBER_SIGNATURE : HOLDER_SIGNATURE);
        if (k >= 0)
                k = members ? append_members(s, reply, o) : append_queue(s, reply, o, &waiters);
        return k < 0 ? k : sd_bus_message_close_container(reply);
}

static int get_property(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                        void *userdata, sd_bus_error *error) {
        g_auto(Object) o = { 0 };
        Channel *ch = userdata;

        if (!object_of_path(ch, path, &o))
                return sd_bus_error_setf(error, SD_BUS_ERROR_UNKNOWN_OBJECT, "Nobody uses that name any more");
        return append_property(ch->server, reply, property, &o);
}

const sd_bus_vtable queue_object_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Name", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Path", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Holders", "a" HOLDER_SIGNATURE, get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Waiters", "u", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_VTABLE_END,
};

const sd_bus_vtable group_object_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Name", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Path", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Members", "a" MEMBER_SIGNATURE, get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_VTABLE_END,
};

/*
 * Changes
 */

static void tell(Server *s, size_t kind, const char *name) {
        g_autofree char *path = recipe_path(kinds[kind].root, name);
        char *object = NULL;

        if (path && everybody_may_read(s, path) && sd_bus_path_encode(kinds[kind].prefix, name, &object) >= 0)
                server_emit(s, object, kinds[kind].interface, kinds[kind].properties);
        g_free(object);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        RecipeObjects *all = userdata;

        all->armed = false;
        for (size_t i = 0; i < KINDS; i++) {
                Watched *w = &all->watched[i];
                g_autoptr(GPtrArray) names = NULL;
                GHashTableIter iter;
                gpointer name;

                if (w->all) {
                        names = place_children(all->server, kinds[i].root);
                        for (guint k = 0; k < MIN(names->len, ENUMERATED_MAX); k++)
                                g_hash_table_add(w->changed, g_strdup(names->pdata[k]));
                }
                w->all = false;
                g_hash_table_iter_init(&iter, w->changed);
                while (g_hash_table_iter_next(&iter, &name, NULL))
                        tell(all->server, i, name);
                g_hash_table_remove_all(w->changed);
        }
        return 0;
}

static void on_saw(void *userdata, WatchEventType type, const char *path, Zxid zxid) {
        Watched *w = userdata;
        RecipeObjects *all = w->objects;

        if (!path)
                w->all = true;
        else {
                const char *name = path + strlen(kinds[w - all->watched].root);

                if (*name != '/')
                        return;                 /* the root itself */
                g_hash_table_add(w->changed, g_strndup(name + 1, strcspn(name + 1, "/")));
        }
        if (all->armed)
                return;
        all->armed = true;
        (void) sd_event_source_set_time_relative(all->timer, CHANGES_USEC);
        (void) sd_event_source_set_enabled(all->timer, SD_EVENT_ONESHOT);
}

static void on_look(void *userdata) {
}

int recipe_objects_init(Server *s) {
        RecipeObjects *all = s->recipe_objects = g_new0(RecipeObjects, 1);
        int r;

        all->server = s;
        r = sd_event_add_time_relative(s->event, &all->timer, CLOCK_BOOTTIME, CHANGES_USEC, 0, on_timer, all);
        if (r < 0)
                return r;
        for (size_t i = 0; i < KINDS; i++) {
                Watched *w = &all->watched[i];

                w->objects = all;
                w->changed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
                w->guest = (Guest) { .every_event = true, .look = on_look, .saw = on_saw, .userdata = w };
                place_join(s, kinds[i].root, &w->guest);
        }
        return sd_event_source_set_enabled(all->timer, SD_EVENT_OFF);
}

void recipe_objects_done(Server *s) {
        RecipeObjects *all = g_steal_pointer(&s->recipe_objects);

        if (!all)
                return;
        for (size_t i = 0; i < KINDS; i++)
                if (all->watched[i].changed) {
                        place_leave(&all->watched[i].guest);
                        g_hash_table_unref(all->watched[i].changed);
                }
        sd_event_source_disable_unref(all->timer);
        g_free(all);
}
