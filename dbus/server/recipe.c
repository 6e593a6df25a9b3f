/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the recipes share
 */

#include "dbus/server/recipe.h"

#include <string.h>

#include "dbus/server/error.h"
#include "dbus/server/server-private.h"

static const char *const roots[] = { RECIPE_ROOT, RECIPE_LOCKS, RECIPE_ELECTIONS, RECIPE_LEASES, RECIPE_COUNTERS,
                                     RECIPE_BARRIERS, RECIPE_GROUPS, RECIPE_QUEUES, NULL };

char *recipe_path(const char *root, const char *name) {
        g_autofree char *path = NULL;

        if (name[0] != '/' && strchr(name, '/'))
                return NULL;
        path = name[0] == '/' ? g_strdup(name) : g_strdup_printf("%s/%s", root, name);
        if (g_str_equal(path, "/") || path_validate(path, false) != CONVENE_OK)
                return NULL;
        return g_steal_pointer(&path);
}

int recipe_refuse_name(Caller *c, sd_bus_message *m) {
        reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS,
                      "a name is one component of a path without a slash, or a whole path that begins with one");
        return METHOD_DONE;
}

AclEntries recipe_nearest_acl(const Tree *tree, const char *path) {
        g_autofree char *ancestor = g_strdup(path);
        Acl *acl;

        while (!(acl = tree_get_acl(tree, ancestor))) {
                char *slash = strrchr(ancestor, '/');

                if (slash == ancestor)
                        slash++;
                *slash = '\0';                  /* "/" is always there */
        }
        return acl_entries(acl);
}

void recipe_acl_init(RecipeAcl *a, const Options *o) {
        AclEntries acl = options_acl(o);

        *a = (RecipeAcl) { 0 };
        if (!(o->given & OPTION_ACL))
                return;
        a->entries = g_array_new(FALSE, FALSE, sizeof(AclEntry));
        a->strings = g_ptr_array_new_with_free_func(g_free);
        for (uint32_t i = 0; i < acl.count; i++) {
                char *scheme = g_strdup(acl.items[i].who.scheme), *id = g_strdup(acl.items[i].who.id);
                AclEntry e = { acl.items[i].permissions, { scheme, id } };

                g_ptr_array_add(a->strings, scheme);
                g_ptr_array_add(a->strings, id);
                g_array_append_val(a->entries, e);
        }
}

void recipe_acl_done(RecipeAcl *a) {
        g_clear_pointer(&a->entries, g_array_unref);
        g_clear_pointer(&a->strings, g_ptr_array_unref);
}

AclEntries recipe_acl_entries(const RecipeAcl *a, const Tree *tree, const char *path) {
        if (!a->entries)
                return recipe_nearest_acl(tree, path);
        return (AclEntries) { (const AclEntry *) (const void *) a->entries->data, a->entries->len };
}

static void make_one(Server *s, const char *path, uint64_t session, Identities caller, AclEntries acl, Call *main,
                     CallDone done) {
        bool stays = g_strv_contains(roots, path);
        Request r = {
                .op = REQUEST_CREATE,
                .path = path,
                .session = session,
                .caller = caller,
                .acl = stays ? recipe_nearest_acl(member_get_tree(s->member), path) : acl,
                .data = (const uint8_t *) "",
                .mode = stays ? CREATE_PERSISTENT : CREATE_CONTAINER,
        };
        Call *call = call_new_detached(s, NULL, NULL, &r, done);

        call->main = main;
        call_start_detached(call, &r);
}

void recipe_make_parents(Server *s, const char *path, uint64_t session, Identities caller, AclEntries acl, Call *main,
                         CallDone done) {
        g_autofree char *part = g_strdup(path);

        for (char *slash = strchr(part + 1, '/');; slash = strchr(slash + 1, '/')) {
                if (slash)
                        *slash = '\0';
                if (!tree_lookup(member_get_tree(s->member), part, NULL, NULL))
                        make_one(s, part, session, caller, acl, main, done);
                if (!slash)
                        return;
                *slash = '/';
        }
}
