/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Admission
 *
 * Tokens and who comes with one.  A token is a znode below /convene/tokens named by the SHA-256 of its secret, whose data is the
 * wall-clock millisecond it ends at and, if it is for one host alone, a space and that host's name; reading the tree gives nobody a token.  To let somebody in: the znode must be there and not
 * be over; deleting it makes the token used, once, whoever else tries at the same time; then the configuration gets an
 * observer.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/base/messages.h"
#include "agent/main/agent-internal.h"
#include "agent/main/journal.h"

#define TOKENS "/convene/tokens"
#define TOKENS_PENDING_MAX 64           /* who asks to join at a time */

static const AclEntry readable[] = { { PERMISSION_READ, { "world", "anyone" } } };

static char *token_path(const uint8_t hash[static 32]) {
        GString *s = g_string_new(TOKENS "/");

        for (unsigned i = 0; i < 32; i++)
                g_string_append_printf(s, "%02x", hash[i]);
        return g_string_free(s, FALSE);
}

static int64_t wall_msec(void) {
        return (int64_t) (agent_clock_usec(CLOCK_REALTIME) / 1000);
}

/*
 * Somebody comes
 */

typedef struct Admission {
        Agent *agent;
        PeerJoin *join;                 /* NULL: it has gone */
        char *name, *address, *path;
        Id128 disk_id;
        uint8_t pin[NET_PIN_BYTES];
} Admission;

static void admission_end(Admission *d) {
        g_ptr_array_remove(d->agent->admissions, d);
        g_free(d->name);
        g_free(d->address);
        g_free(d->path);
        g_free(d);
}

static void refuse(Admission *d, const char *text) {
        if (d->join) {
                journal(LOG_WARNING, CONVENE_MESSAGE_PEER_REFUSED, "%s asked to join and was refused: %s", d->name, text);
                peer_join_answer(d->join, 0, NULL, text);
        }
        admission_end(d);
}

/* A host that was here before, by its name, comes with a new disk. */
static const ZabConfigMember *find_name(const ZabConfig *c, const char *name) {
        for (unsigned i = 0; c && i < c->members_count; i++)
                if (strcmp(c->members[i].name, name) == 0)
                        return &c->members[i];

        return NULL;
}

static const ZabConfigMember *find_disk(const ZabConfig *c, const Id128 *disk_id) {
        for (unsigned i = 0; c && i < c->members_count; i++)
                if (memcmp(c->members[i].disk_id.bytes, disk_id->bytes, sizeof(disk_id->bytes)) == 0)
                        return &c->members[i];

        return NULL;
}

static void on_changed(void *userdata, const Result *result) {
        Admission *d = userdata;
        g_autoptr(GBytes) config = NULL;
        const ZabConfigMember *m;
        ZabPosition position;
        MemberStatus s;

        if (result->status != CONVENE_OK) {
                g_autofree char *text = g_strdup_printf("the token is used, but the ensemble could not take this host up: %s; make "
                                                        "another token and try again", convene_status_describe(result->status));

                refuse(d, text);
                return;
        }

        member_get_status(d->agent->member, &s);
        m = find_disk(s.config, &d->disk_id);
        if (!m) {
                refuse(d, "it was taken up and removed again");
                return;
        }
        member_get_applied(d->agent->member, &position, &config);
        journal(LOG_NOTICE, CONVENE_MESSAGE_MEMBER_JOINED, "%s joined as member %u, an observer", m->name, m->sid);
        if (d->join)
                peer_join_answer(d->join, m->sid, config, NULL);
        admission_end(d);
}

static void on_used(void *userdata, const Result *result) {
        Admission *d = userdata;
        MemberChange change = { .op = MEMBER_CHANGE_ADD };
        const ZabConfigMember *same;
        MemberStatus s;

        if (result->status != CONVENE_OK) {
                refuse(d, result->status == CONVENE_NO_NODE ? "this token has been used" : convene_status_describe(result->status));
                return;
        }

        member_get_status(d->agent->member, &s);
        same = find_name(s.config, d->name);
        if (same)
                change.op = MEMBER_CHANGE_REPLACE;
        change.member = (ZabConfigMember) {
                .sid = same ? same->sid : 0,
                .disk_id = d->disk_id,
                .role = ZAB_MEMBER_OBSERVER,
                .name = d->name,
                .address = d->address,
                .pin = d->pin,
                .pin_size = sizeof(d->pin),
        };
        own_change(d->agent->own, &change, on_changed, d);
}

/* Whether the clocks of members agree is what a host that is told "expired" right away has to look at. */
static char *describe_expired(int64_t ago_msec) {
        return g_strdup_printf("this token expired %" PRId64 " s ago by this member's clock; 'convenectl member token' makes another; "
                               "if it has just been made, compare the clocks of the members (timedatectl)", ago_msec / 1000);
}

static void on_looked(void *userdata, const Result *result) {
        Admission *d = userdata;
        g_autofree char *text = NULL;
        int64_t until_msec;
        char *name;

        if (result->status != CONVENE_OK) {
                refuse(d, result->status == CONVENE_NO_NODE ? "this token is not known: it was used, has expired, or is of another "
                       "ensemble" : convene_status_describe(result->status));
                return;
        }

        text = g_strndup((const char *) result->data, result->data_size);
        until_msec = g_ascii_strtoll(text, &name, 10);
        if (until_msec < wall_msec()) {
                g_autofree char *why = describe_expired(wall_msec() - until_msec);

                refuse(d, why);
                return;
        }
        if (*name == ' ' && strcmp(name + 1, d->name) != 0) {
                g_autofree char *why = g_strdup_printf("this token is for a host named %s, and this one is %s; set Name= in convened.conf, "
                                                       "or make another token", name + 1, d->name);

                refuse(d, why);
                return;
        }
        own_submit(d->agent->own, &(Request) { .op = REQUEST_DELETE, .path = d->path, .version = VERSION_ANY }, 0, on_used, d);
}

/* Two hosts of one name: the one that is there stays. */
static bool is_there(Agent *a, const char *name) {
        const ZabConfigMember *same;
        PeerStatus peer;
        MemberStatus s;

        member_get_status(a->member, &s);
        same = find_name(s.config, name);
        return same && (same->sid == s.sid || (peer_mesh_get_status(a->mesh, same->sid, &peer) && peer.connected));
}

/* One that was taken up and interrupted before it had noted that, by its name, key and disk, comes again: its token is used, but
 * nobody else can be it, and it has promised nothing yet. */
static bool was_taken_up(Agent *a, PeerJoin *join, const PeerJoinRequest *request) {
        g_autoptr(GBytes) config = NULL;
        const ZabConfigMember *m;
        ZabPosition position;
        MemberStatus s;

        member_get_status(a->member, &s);
        m = find_disk(s.config, &request->disk_id);
        if (!m || m->role != ZAB_MEMBER_OBSERVER || strcmp(m->name, request->name) != 0 || m->pin_size != sizeof(request->pin) ||
            memcmp(m->pin, request->pin, sizeof(request->pin)) != 0)
                return false;

        member_get_applied(a->member, &position, &config);
        journal(LOG_NOTICE, CONVENE_MESSAGE_MEMBER_JOINED, "%s, member %u, asked to join again, having been interrupted", m->name, m->sid);
        peer_join_answer(join, m->sid, config, NULL);
        return true;
}

void admission_ask(Agent *a, PeerJoin *join, const PeerJoinRequest *request) {
        Admission *d;

        if (a->admissions->len >= TOKENS_PENDING_MAX) {
                peer_join_answer(join, 0, NULL, "too many hosts ask to join at the moment; try again");
                return;
        }
        if (!conf_host_name_is_valid(request->name)) {
                peer_join_answer(join, 0, NULL, "its name is no host name; set Name= in convened.conf");
                return;
        }
        if (is_there(a, request->name)) {
                peer_join_answer(join, 0, NULL, "a member of this name is connected; set another Name= in convened.conf");
                return;
        }
        if (was_taken_up(a, join, request))
                return;

        d = g_new0(Admission, 1);
        *d = (Admission) {
                .agent = a,
                .join = join,
                .name = g_strdup(request->name),
                .address = g_strdup(request->address),
                .path = token_path(request->secret_hash),
                .disk_id = request->disk_id,
        };
        memcpy(d->pin, request->pin, sizeof(d->pin));
        g_ptr_array_add(a->admissions, d);
        own_submit(a->own, &(Request) { .op = REQUEST_GET_DATA, .path = d->path }, MEMBER_LINEARIZABLE, on_looked, d);
}

void admission_cancelled(Agent *a, PeerJoin *join) {
        for (guint i = 0; i < a->admissions->len; i++) {
                Admission *d = g_ptr_array_index(a->admissions, i);

                if (d->join == join)
                        d->join = NULL;
        }
}

/*
 * A new token
 */

typedef struct TokenMaking {
        Agent *agent;
        PeerToken token;
        char *name, *path;              /* name NULL: whoever comes */
        int64_t until_msec;
        int64_t lifetime_msec;
        bool parents_made;
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

static void create_token(TokenMaking *m);

static void on_parents(void *userdata, const Result *result) {
        create_token(userdata);         /* whatever came of it: the next one tells */
}

static void on_parent(void *userdata, const Result *result) {
        TokenMaking *m = userdata;

        own_submit(m->agent->own, &(Request) {
                .op = REQUEST_CREATE,
                .path = TOKENS,
                .acl = { readable, G_N_ELEMENTS(readable) },
        }, 0, on_parents, m);
}

static void on_created(void *userdata, const Result *result) {
        TokenMaking *m = userdata;

        if (result->status == CONVENE_NO_NODE && !m->parents_made) {
                m->parents_made = true;
                own_submit(m->agent->own, &(Request) {
                        .op = REQUEST_CREATE,
                        .path = "/convene",
                        .acl = { readable, G_N_ELEMENTS(readable) },
                }, 0, on_parent, m);
                return;
        }

        making_end(m, result->status, NULL);
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

void admission_token(void *agent, const char *name, uint64_t lifetime_msec, ServerTokenDone done, void *sink) {
        Agent *a = agent;
        TokenMaking *m = g_new0(TokenMaking, 1);
        uint8_t hash[32];
        MemberStatus s;

        m->agent = a;
        m->name = g_strdup(name);
        m->done = done;
        m->sink = sink;
        m->lifetime_msec = (int64_t) lifetime_msec;
        m->until_msec = wall_msec() + m->lifetime_msec;
        member_get_status(a->member, &s);
        if (peer_token_make(&s.cluster_id, &m->token) < 0) {
                making_end(m, CONVENE_SYSTEM_ERROR, "the system gives no random numbers");
                return;
        }
        if (name && !conf_host_name_is_valid(name)) {
                making_end(m, CONVENE_BAD_ARGUMENTS, "this is no host name");
                return;
        }
        if (name && is_there(a, name)) {
                making_end(m, CONVENE_NODE_EXISTS, "a member of this name is connected");
                return;
        }
        if (!add_members(a, &m->token)) {
                making_end(m, CONVENE_NOT_REACHABLE, "no member can be reached by others: set Listen= in [Ensemble] of convened.conf to "
                           "an address of this host ('convenectl init --listen=ADDRESS' does), restart convened, and try again");
                return;
        }
        peer_secret_hash(m->token.secret, hash);
        m->path = token_path(hash);
        create_token(m);
}
