/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the recipes share: where their names are, and the parents of their znodes.
 */

#include "dbus/server/call.h"

#define RECIPE_ROOT "/convene"
#define RECIPE_LOCKS RECIPE_ROOT "/locks"
#define RECIPE_ELECTIONS RECIPE_ROOT "/elections"
#define RECIPE_LEASES RECIPE_ROOT "/leases"
#define RECIPE_COUNTERS RECIPE_ROOT "/counters"
#define RECIPE_BARRIERS RECIPE_ROOT "/barriers"
#define RECIPE_GROUPS RECIPE_ROOT "/groups"
#define RECIPE_QUEUES RECIPE_ROOT "/queues"

/* The path of a name: one component below the root, or a whole path.  NULL: it is no name. */
char *recipe_path(const char *root, const char *name);
int recipe_refuse_name(Caller *c, sd_bus_message *m);

/* The ACL of the znode, or else of the nearest ancestor that is there. */
AclEntries recipe_nearest_acl(const Tree *tree, const char *path);

/* What a znode to be made shall have: kept while its call waits. */
typedef struct RecipeAcl {
        GArray *entries;                /* AclEntry; NULL: that of the nearest ancestor */
        GPtrArray *strings;
} RecipeAcl;

void recipe_acl_init(RecipeAcl *a, const Options *o);
void recipe_acl_done(RecipeAcl *a);
AclEntries recipe_acl_entries(const RecipeAcl *a, const Tree *tree, const char *path);

/* Makes what is missing of a path, the path itself included, ahead of the request that `main` stands for, so that the member's order makes
 * them in turn.  The roots stay, for an administrator may have set their ACL; the others are containers with this ACL, and vanish with
 * their last child.  Each answer goes to `done`, with its main. */
void recipe_make_parents(Server *s, const char *path, uint64_t session, Identities caller, AclEntries acl, Call *main,
                         CallDone done);
