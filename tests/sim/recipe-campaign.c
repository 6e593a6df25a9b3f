/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Recipes: who lets others pass in an election, as dbus/server/campaign.c has it.  How important a caller is stands in the owner text of its
 * session, and nowhere else that the agents look.
 */

#include <stdio.h>
#include <string.h>

#include "agent/recipe/candidacy.h"
#include "tests/sim/recipes.h"

#define PRIORITIES 3

/* Not drawn: the other errands of a seed stay as they are. */
void recipe_campaign_begin(RecipeCaller *c, char *owner, size_t size) {
        size_t n = strlen(owner);

        c->priority = c->errand == ERRAND_LEAD ? (uint32_t) ((c->number + c->next_tag) % PRIORITIES) : 0;
        if (c->priority > 0)
                (void) snprintf(owner + n, size - n, " priority %u", c->priority);
}

static uint32_t read_priority(RecipeCaller *c, const char *name) {
        const char *word;
        SessionInfo info;
        char path[160];
        Result result;

        (void) snprintf(path, sizeof(path), "%s/%s", c->parent, name);
        if (recipe_read(c, REQUEST_EXISTS, path, &result) != CONVENE_OK ||
            !tree_get_session(member_get_tree(c->host->member), result.stat.ephemeral_owner, &info))
                return 0;
        word = strstr(info.owner, " priority ");
        return word ? (uint32_t) g_ascii_strtoull(word + strlen(" priority "), NULL, 10) : 0;
}

bool recipe_campaign_lets_pass(RecipeCaller *c) {
        g_autoptr(GPtrArray) names = recipe_children(c->host, c->parent);
        g_autoptr(Lineup) l = lineup_new((const char *const *) names->pdata, names->len);
        g_autofree Candidate *queue = g_new0(Candidate, lineup_length(l));
        unsigned place;

        if (!lineup_find(l, c->name, &place))
                return false;
        for (unsigned i = 0; i < lineup_length(l); i++)
                queue[i] = (Candidate) { "", read_priority(c, lineup_at(l, i)->name) };
        return candidacy_stands_aside(queue, lineup_length(l), place, NULL);
}

void recipe_campaign_stand_aside(RecipeCaller *c) {
        char old[160], path[160];
        const char *word = strstr(c->name, "-latch-");
        Request operations[] = {
                { .op = REQUEST_CREATE, .path = path, .data = (const uint8_t *) "", .mode = CREATE_EPHEMERAL_SEQUENTIAL, .acl = recipe_acl() },
                { .op = REQUEST_DELETE, .path = old, .version = VERSION_ANY, .czxid = c->czxid },
        };
        Request r = { .op = REQUEST_MULTI, .session = c->session, .operations = operations, .operations_count = G_N_ELEMENTS(operations) };

        (void) snprintf(old, sizeof(old), "%s/%s", c->parent, c->name);
        (void) snprintf(path, sizeof(path), "%s/%.*s-latch-", c->parent, (int) (word - c->name), c->name);
        c->world->statistics->recipe_asides++;
        c->state = CALLER_MOVING;
        recipe_submit(c, &r, 0);
}

bool recipe_campaign_stood_aside(RecipeCaller *c, const Result *result) {
        if (result->status != CONVENE_OK)
                return false;
        (void) g_strlcpy(c->name, strrchr(result->results[0].path, '/') + 1, sizeof(c->name));
        c->czxid = result->results[0].stat.czxid;
        c->token = tenure_token(&result->results[0]);
        c->state = CALLER_WAITING;
        c->look = true;
        return true;
}
