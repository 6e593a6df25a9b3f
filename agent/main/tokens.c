/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Tokens
 *
 * A token is a znode below /convene/tokens named by the SHA-256 of its secret, whose data is the wall-clock millisecond it ends at and,
 * if it is for one host alone, a space and that host's name; reading the tree gives nobody a token.
 *
 * Whoever could create a znode there could let hosts in.  So /convene/tokens has an ACL that lets nobody do so but members, and has
 * never had another one: then it does not matter who made it.
 */

#include <string.h>

#include "agent/main/agent-internal.h"
#include "agent/main/journal.h"

#define TOKENS "/convene/tokens"

static const AclEntry readable[] = { { PERMISSION_READ, { "world", "anyone" } } };

char *tokens_path(const uint8_t hash[static 32]) {
        GString *s = g_string_new(TOKENS "/");

        for (unsigned i = 0; i < 32; i++)
                g_string_append_printf(s, "%02x", hash[i]);
        return g_string_free(s, FALSE);
}

int64_t tokens_wall_msec(void) {
        return (int64_t) (agent_clock_usec(CLOCK_REALTIME) / 1000);
}

void tokens_look(Agent *a, void (*done)(void *userdata, const Result *result), void *userdata) {
        own_submit(a->own, &(Request) { .op = REQUEST_GET_ACL, .path = TOKENS }, MEMBER_LINEARIZABLE, done, userdata);
}

bool tokens_are_ours(const Result *r) {
        return r->status == CONVENE_OK && r->stat.aversion == 0 && r->acl.count == 1 &&
                r->acl.items[0].permissions == PERMISSION_READ && strcmp(r->acl.items[0].who.scheme, "world") == 0;
}

/*
 * A new one
 */

typedef struct TokenMaking {
        Agent *agent;
        PeerToken token;
        char *name, *path;              /* name NULL: whoever comes */
        int64_t until_msec;
        int64_t lifetime_msec;
        ServerTokenDone done;
        void *sink;
} TokenMaking;

static void making_end(TokenMaking *m, ConveneStatus status, const char *error) {
        g_autofree char *text = status != CONVENE_OK ? NULL : peer_token_to_string(&m->token);

        m->done(m->sink, text, status, status != CONVENE_OK && !error ? convene_status_describe(status) : error);
        peer_token_done(&m->token);
        g_free(m->name);
        g_free(m->path);
        g_free(m);
}

static void on_created(void *userdata, const Result *result) {
        making_end(userdata, result->status, NULL);
}

static void create_token(TokenMaking *m) {
        g_autofree char *until = g_strdup_printf("%" PRId64 "%s%s", m->until_msec, m->name ? " " : "", m->name ?: "");

        own_submit(m->agent->own, &(Request) {
                .op = REQUEST_CREATE,
                .path = m->path,
                .data = (const uint8_t *) until,
                .data_size = strlen(until),
                .acl = { readable, G_N_ELEMENTS(readable) },
                .mode = CREATE_TTL,
                .ttl_msec = m->lifetime_msec,
        }, 0, on_created, m);
}

static void on_looked_again(void *userdata, const Result *result) {
        TokenMaking *m = userdata;

        if (tokens_are_ours(result))
                create_token(m);
        else
                making_end(m, result->status == CONVENE_OK ? CONVENE_NO_AUTH : result->status, result->status == CONVENE_OK ? "somebody else "
                           "makes " TOKENS " anew each time: take CREATE and DELETE away from everybody in the ACL of /convene" : NULL);
}

static void on_place_made(void *userdata, const Result *result) {
        TokenMaking *m = userdata;

        tokens_look(m->agent, on_looked_again, m);      /* whatever came of it */
}

static void ignore(void *userdata, const Result *result) {
        /* The look at the end tells. */
}

/* All but what is as it should be; in one go, as a client's requests are carried out in their order. */
static void make_place(TokenMaking *m, bool is_of_others) {
        Own *own = m->agent->own;

        if (is_of_others) {
                journal(LOG_WARNING, NULL, TOKENS " was made or changed by somebody else than members: it is made anew, and no token in it is "
                        "good any more");
                own_submit(own, &(Request) { .op = REQUEST_SET_ACL, .path = "/convene", .acl = { readable, G_N_ELEMENTS(readable) },
                                             .version = VERSION_ANY }, 0, ignore, m);
                own_submit(own, &(Request) { .op = REQUEST_DELETE_RECURSIVE, .path = TOKENS }, 0, ignore, m);
        }
        own_submit(own, &(Request) { .op = REQUEST_CREATE, .path = "/convene", .acl = { readable, G_N_ELEMENTS(readable) } }, 0, ignore, m);
        own_submit(own, &(Request) { .op = REQUEST_CREATE, .path = TOKENS, .acl = { readable, G_N_ELEMENTS(readable) } }, 0,
                   on_place_made, m);
}

static void on_looked(void *userdata, const Result *result) {
        TokenMaking *m = userdata;

        if (tokens_are_ours(result))
                create_token(m);
        else if (result->status == CONVENE_OK || result->status == CONVENE_NO_NODE)
                make_place(m, result->status == CONVENE_OK);
        else
                making_end(m, result->status, NULL);
}

/* Members that can be dialled: this one first. */
static bool add_members(const Agent *a, PeerToken *t) {
        MemberStatus s;

        member_get_status(a->member, &s);
        for (unsigned pass = 0; pass < 2; pass++)
                for (unsigned i = 0; s.config && i < s.config->members_count; i++) {
                        const ZabConfigMember *m = &s.config->members[i];

                        /* An observer cannot let anybody in. */
                        if ((m->sid == s.sid) != (pass == 0) || !*m->address || m->role != ZAB_MEMBER_VOTER)
                                continue;
                        /* two while its key is being changed */
                        for (uint32_t at = 0; at + NET_PIN_BYTES <= m->pin_size; at += NET_PIN_BYTES)
                                (void) peer_token_add(t, m->address, m->pin + at);
                }

        return t->members_count > 0;
}

void tokens_make(void *agent, const char *name, uint64_t lifetime_msec, ServerTokenDone done, void *sink) {
        Agent *a = agent;
        TokenMaking *m = g_new0(TokenMaking, 1);
        uint8_t hash[32];
        MemberStatus s;

        m->agent = a;
        m->name = g_strdup(name);
        m->done = done;
        m->sink = sink;
        m->lifetime_msec = (int64_t) lifetime_msec;
        m->until_msec = tokens_wall_msec() + m->lifetime_msec;
        member_get_status(a->member, &s);
        if (peer_token_make(&s.cluster_id, &m->token) < 0) {
                making_end(m, CONVENE_SYSTEM_ERROR, "the system gives no random numbers");
                return;
        }
        if (name && !conf_host_name_is_valid(name)) {
                making_end(m, CONVENE_BAD_ARGUMENTS, "this is no host name");
                return;
        }
        if (name && admission_is_there(a, name)) {
                making_end(m, CONVENE_NODE_EXISTS, "a member of this name is connected");
                return;
        }
        if (!add_members(a, &m->token)) {
                making_end(m, CONVENE_NOT_REACHABLE, "no member can be reached by others: set Listen= in [Ensemble] of convened.conf to "
                           "an address of this host ('convenectl init --listen=ADDRESS' does), restart convened, and try again");
                return;
        }
        peer_secret_hash(m->token.secret, hash);
        m->path = tokens_path(hash);
        tokens_look(a, on_looked, m);
}
